//! Starts runs when their schedules are due: finds them in the database, and takes each time there, once.

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};

use access::Tenant;
use ambient::{Millis, TriggerId};
use cluster::Bucket;
use serde_json::Value;
use store::{Fired, StoreError, TriggerFire};
use tokio::{task::JoinSet, time::sleep};

use crate::{RunError, Schedule, runs::Inner};

/// How many are read at once, besides those that have failed.
const BATCH: usize = 256;
/// How many are fired at once: they wait for the database alone.
const AT_ONCE: usize = 8;
/// The longest time without a look.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After a failure of the database.
const RETRY: Duration = Duration::from_secs(1);
/// What its operators read of a schedule that was turned off with its deployment.
const REVOKED: &str = "The deployment was revoked.";
/// And of one that starts nothing until the key is given more time.
const EXPIRED: &str = "The deployment's key has expired.";
/// And of one whose time came when its workspace had no more.
const BUSY: &str = "The workspace had used its budget of a minute.";

/// Works until it is stopped, or the last [`crate::Runs`] is gone. A schedule that was due while nobody looked
/// starts one run, however often it was.
pub(crate) fn spawn(inner: &Arc<Inner>) {
    let (weak, stopping, alarm) = (Arc::downgrade(inner), inner.stopping.clone(), Arc::clone(&inner.alarm));
    let work = async move {
        while let Some(inner) = Weak::upgrade(&weak) {
            let pause = inner.fire_due().await.unwrap_or_else(|error| {
                tracing::warn!(cause = %error, "what is due by schedules could not be read");
                RETRY
            });
            drop(inner);
            tokio::select! {
                () = alarm.notified() => {}
                () = sleep(pause) => {}
            }
        }
    };
    tokio::spawn(async move { stopping.run_until_cancelled(work).await });
}

impl Inner {
    /// Starts what is due; says how long to wait for more.
    async fn fire_due(self: &Arc<Self>) -> Result<Duration, StoreError> {
        // Those that fail stay due, and do not keep the others waiting.
        let (mut tried, mut failed) = (HashSet::new(), 0);
        let mut now = self.now();
        loop {
            let limit = u32::try_from(BATCH + failed).unwrap_or(u32::MAX);
            let mut due = self.parts.store.due_triggers(now, limit).await?;
            due.retain(|(_, id, time)| tried.insert((*id, *time)));
            if due.is_empty() {
                break;
            }
            failed += self.fire_all(due).await;
            // Whose time has come meanwhile does not wait for all of another's.
            now = self.now();
        }
        if failed > 0 {
            return Ok(RETRY);
        }
        let Some(next) = self.parts.store.next_trigger_after(now).await? else { return Ok(LOOK_EVERY) };
        let pause = u64::try_from(next.since(self.now())).map(Duration::from_millis).unwrap_or_default();
        Ok(pause.clamp(Duration::from_millis(1), LOOK_EVERY))
    }

    /// Begins them in their order, a few at once; says how many have failed.
    async fn fire_all(self: &Arc<Self>, due: Vec<(Tenant, TriggerId, Millis)>) -> usize {
        let (mut firing, mut failed) = (JoinSet::new(), 0);
        let mut due = due.into_iter();
        loop {
            while firing.len() < AT_ONCE
                && let Some((tenant, id, time)) = due.next()
            {
                let inner = Arc::clone(self);
                firing.spawn(async move { (id, inner.fire(tenant, id, time).await) });
            }
            match firing.join_next().await {
                None => return failed,
                Some(Ok((_, Ok(())))) => {}
                Some(Ok((id, Err(error)))) => {
                    tracing::warn!(trigger = %id, cause = %error, "a schedule could not start its run yet");
                    failed += 1;
                }
                Some(Err(error)) => {
                    tracing::error!(cause = %error, "a schedule could not start its run yet");
                    failed += 1;
                }
            }
        }
    }

    /// An error leaves it due.
    async fn fire(&self, tenant: Tenant, id: TriggerId, due: Millis) -> Result<(), RunError> {
        let data = self.parts.store.workspace(tenant);
        let trigger = match data.trigger(id).await {
            Ok(trigger) if trigger.next_at == Some(due) => trigger,
            // Changed or deleted meanwhile.
            Ok(_) | Err(StoreError::NotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let (expression, zone) = (trigger.schedule.as_deref(), trigger.timezone.as_deref());
        let schedule = match Schedule::parse(expression.unwrap_or_default(), zone.unwrap_or_default()) {
            Ok(schedule) => schedule,
            Err(error) => return Ok(data.disable_trigger(trigger.id, &error.to_string()).await?),
        };
        let deployment = data.deployment(trigger.deployment).await?;
        if deployment.revoked_at.is_some() {
            return Ok(data.disable_trigger(trigger.id, REVOKED).await?);
        }
        let next = schedule.next_after(self.now());
        let key = self.parts.cluster.find_key(deployment.key()).await.map_err(RunError::unavailable)?;
        if key.is_none() {
            return Ok(data.skip_trigger_time(trigger.id, due, next, EXPIRED).await?);
        }
        let budgets = self.parts.cluster.budgets_of(tenant.workspace);
        let verdict = self.parts.cluster.charge(&[Bucket::Workspace(&budgets)], self.parts.clock.elapsed());
        if !verdict.allowed {
            return Ok(data.skip_trigger_time(trigger.id, due, next, BUSY).await?);
        }
        let verdict =
            self.parts.cluster.charge_start(tenant, &deployment, false).await.map_err(RunError::unavailable)?;
        if !verdict.allowed {
            let why = format!("The deployment had started {} runs in {} s.", verdict.quota, verdict.window_s);
            return Ok(data.skip_trigger_time(trigger.id, due, next, &why).await?);
        }
        let input: Value = match &trigger.input {
            None => Value::Null,
            Some(input) => serde_json::from_str(input).map_err(RunError::unavailable)?,
        };
        let fire = TriggerFire { trigger: trigger.id, delivery: Some(due.to_string()), times: Some((due, next)) };
        match self.start_by_trigger(tenant, &deployment, &input, "cron", &fire).await {
            Ok(Fired::Started(run)) => {
                tracing::debug!(trigger = %trigger.id, run = %run.id, "a schedule started a run");
            }
            // A clock that went back has come to this time again.
            Ok(Fired::Before(_)) => {
                data.skip_trigger_time(trigger.id, due, next, "This time had its run before.").await?;
            }
            Err(RunError::Revoked) => data.disable_trigger(trigger.id, REVOKED).await?,
            Err(RunError::Invalid(faults)) => {
                let why = faults.first().map_or("The input does not fit.".to_owned(), |fault| {
                    format!("The input does not fit: {} {}", fault.field, fault.message)
                });
                data.skip_trigger_time(trigger.id, due, next, &why).await?;
            }
            // Somebody else took this time, or turned it off.
            Err(RunError::NotFound) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
