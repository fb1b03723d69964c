//! Starts runs when their schedules are due: finds them in the database, and takes each time there, once.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use access::Tenant;
use serde_json::Value;
use store::{Fired, StoreError, TriggerFire, TriggerRecord};
use tokio::time::sleep;

use crate::{RunError, Schedule, runs::Inner};

/// How many are read at once.
const BATCH: u32 = 100;
/// The longest time without a look.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After a failure of the database.
const RETRY: Duration = Duration::from_secs(1);
/// What its operators read of a schedule that was turned off with its deployment.
const REVOKED: &str = "The deployment was revoked.";
/// And of one that starts nothing until the key is given more time.
const EXPIRED: &str = "The deployment's key has expired.";

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
    async fn fire_due(&self) -> Result<Duration, StoreError> {
        let now = self.now();
        let (mut after, mut has_failed) = (None, false);
        loop {
            let due = self.parts.store.due_triggers(now, after, BATCH).await?;
            // Past those that fail: they do not keep the others waiting.
            let Some(last) = due.last().and_then(|(_, last)| Some((last.next_at?, last.id))) else { break };
            after = Some(last);
            for (tenant, trigger) in due {
                if let Err(error) = self.fire(tenant, &trigger).await {
                    tracing::warn!(trigger = %trigger.id, cause = %error, "a schedule could not start its run yet");
                    has_failed = true;
                }
            }
        }
        if has_failed {
            return Ok(RETRY);
        }
        let Some(next) = self.parts.store.next_trigger_after(now).await? else { return Ok(LOOK_EVERY) };
        let pause = u64::try_from(next.since(self.now())).map(Duration::from_millis).unwrap_or_default();
        Ok(pause.clamp(Duration::from_millis(1), LOOK_EVERY))
    }

    /// An error leaves it due.
    async fn fire(&self, tenant: Tenant, trigger: &TriggerRecord) -> Result<(), RunError> {
        let data = self.parts.store.workspace(tenant);
        let Some(due) = trigger.next_at else { return Ok(()) };
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
