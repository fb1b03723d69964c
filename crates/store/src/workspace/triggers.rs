use access::Tenant;
use ambient::{DeploymentId, Millis, RunId, TriggerId};
use credential::secret::Digest;

use super::{Workspace, deployments::tenant};
use crate::{
    catalogue::triggers as sql,
    error::StoreError,
    participation::{NewEffect, NewRun},
    record::AuditEntry,
    row::Row,
    store::Store,
    triggers::{Fired, NewTrigger, TriggerChange, TriggerFire, TriggerRecord},
};

/// What the audit log calls them.
const KIND: &str = "trigger";

/// The most triggers of one deployment.
pub const MAX_TRIGGERS: u32 = 20;

/// The most triggers of one environment of a workspace; a few more when they are made at the same moment.
pub const MAX_TRIGGERS_OF_WORKSPACE: u64 = 500;

/// Senders try again for a day or two, and then no more.
const DELIVERY_TTL: i64 = 3 * 24 * 3600 * 1000;

impl Workspace {
    /// Makes a trigger of a deployment.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the deployment; [`StoreError::Conflict`] `revoked`, `triggers` when it has
    /// [`MAX_TRIGGERS`], `workspace_triggers` when its environment has [`MAX_TRIGGERS_OF_WORKSPACE`].
    pub async fn create_trigger(&self, new: NewTrigger, audit: AuditEntry<'_>) -> Result<TriggerRecord, StoreError> {
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        self.lock_deployment(&mut tx, new.deployment).await?;
        let others = tx.rows(self.own(&sql::TRIGGERS_OF_DEPLOYMENT).id(new.deployment).count(MAX_TRIGGERS)).await?;
        if others.len() >= usize::try_from(MAX_TRIGGERS).unwrap_or(usize::MAX) {
            return Err(StoreError::Conflict("triggers"));
        }
        if tx.total(self.own(&sql::TRIGGER_COUNT)).await? >= MAX_TRIGGERS_OF_WORKSPACE {
            return Err(StoreError::Conflict("workspace_triggers"));
        }
        let digest = new.digest.as_ref().map(|digest| data_encoding::BASE64URL_NOPAD.encode(&digest.0));
        let insert = self.own(&sql::INSERT_TRIGGER).id(new.id).id(new.deployment).text(&new.kind).text(&new.name);
        let insert = insert.maybe_text(digest.as_deref()).maybe_blob(new.secret_sealed.clone());
        let insert = insert.maybe_text(new.schedule.as_deref()).maybe_text(new.timezone.as_deref());
        tx.execute(insert.maybe_text(new.input.as_deref()).maybe_time(new.next_at).time(now)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &new.id).await?;
        tx.commit().await?;
        Ok(TriggerRecord {
            id: new.id,
            deployment: new.deployment,
            kind: new.kind,
            name: new.name,
            secret_sealed: new.secret_sealed,
            schedule: new.schedule,
            timezone: new.timezone,
            input: new.input,
            next_at: new.next_at,
            last_at: None,
            last_error: None,
            created_at: now,
            disabled_at: None,
        })
    }

    /// A trigger.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn trigger(&self, id: TriggerId) -> Result<TriggerRecord, StoreError> {
        self.one(self.own(&sql::TRIGGER).id(id), trigger_record).await
    }

    /// Every trigger of a deployment, the oldest first; none when there is no such deployment.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn triggers(&self, deployment: DeploymentId) -> Result<Vec<TriggerRecord>, StoreError> {
        let rows = self.own(&sql::TRIGGERS_OF_DEPLOYMENT).id(deployment).count(MAX_TRIGGERS);
        self.store.rows(rows).await?.iter().map(trigger_record).collect()
    }

    /// Changes a trigger. What it failed with before is forgotten.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `revoked`: nothing of such a deployment is turned on.
    pub async fn update_trigger(
        &self,
        id: TriggerId,
        change: TriggerChange,
        audit: AuditEntry<'_>,
    ) -> Result<TriggerRecord, StoreError> {
        let now = self.store.now();
        let deployment = self.trigger(id).await?.deployment;
        let mut tx = self.store.begin().await?;
        // In the order of those who start runs: the deployment, then the trigger.
        if change.is_enabled == Some(true) {
            self.lock_deployment(&mut tx, deployment).await?;
        }
        let row = tx.row(self.own(&sql::LOCK_TRIGGER).id(id)).await?;
        let mut trigger = trigger_record(&row.ok_or(StoreError::NotFound)?)?;
        trigger.name = change.name.unwrap_or(trigger.name);
        trigger.secret_sealed = change.secret_sealed.or(trigger.secret_sealed);
        trigger.schedule = change.schedule.or(trigger.schedule);
        trigger.timezone = change.timezone.or(trigger.timezone);
        trigger.input = change.input.or(trigger.input);
        trigger.last_error = None;
        match change.is_enabled {
            Some(true) => trigger.disabled_at = None,
            Some(false) => trigger.disabled_at = trigger.disabled_at.or(Some(now)),
            None => {}
        }
        trigger.next_at = change.next_at.unwrap_or(trigger.next_at).filter(|_| trigger.disabled_at.is_none());
        let update = self.own(&sql::UPDATE_TRIGGER).id(id).text(&trigger.name);
        let update = update.maybe_blob(trigger.secret_sealed.clone()).maybe_text(trigger.schedule.as_deref());
        let update = update.maybe_text(trigger.timezone.as_deref()).maybe_text(trigger.input.as_deref());
        let update = update.maybe_time(trigger.next_at).maybe_text(None).maybe_time(trigger.disabled_at);
        tx.change(update).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        Ok(trigger)
    }

    /// Deletes a trigger.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_trigger(&self, id: TriggerId, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.change(self.own(&sql::DELETE_TRIGGER).id(id)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await
    }

    /// The run that an event has started, if it has.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn delivered(&self, trigger: TriggerId, delivery: &str) -> Result<Option<RunId>, StoreError> {
        let row = self.store.row(self.own(&sql::TRIGGER_DELIVERY).id(trigger).text(delivery)).await?;
        row.map(|row| row.id("run_id")).transpose()
    }

    /// Starts a run as [`Workspace::create_run`] does, once for an event: with it is stored that the event was
    /// there, and of a schedule that its time has passed.
    ///
    /// # Errors
    /// As [`Workspace::create_run`]; [`StoreError::Conflict`] `trigger` when it is off, gone, or not due then.
    pub async fn create_triggered_run(
        &self,
        new: NewRun,
        effects: Vec<NewEffect>,
        fire: &TriggerFire,
    ) -> Result<Fired, StoreError> {
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        // From here on, everybody who starts a run of this deployment waits.
        self.lock_deployment(&mut tx, new.deployment).await?;
        if let Some(delivery) = &fire.delivery
            && let Some(row) = tx.row(self.own(&sql::TRIGGER_DELIVERY).id(fire.trigger).text(delivery)).await?
        {
            return Ok(Fired::Before(row.id("run_id")?));
        }
        let take = match fire.times {
            None => self.own(&sql::FIRE_WEBHOOK).id(fire.trigger).time(now),
            Some((due, next)) => {
                let take = self.own(&sql::TAKE_TRIGGER_TIME).id(fire.trigger).time(due);
                take.maybe_time(next).time(now).maybe_text(None)
            }
        };
        if tx.execute(take).await? == 0 {
            return Err(StoreError::Conflict("trigger"));
        }
        let id = RunId::mint(self.store.clock(), self.store.random())?;
        let run = self.insert_run(&mut tx, id, new, effects, now).await?;
        if let Some(delivery) = &fire.delivery {
            let insert = self.own(&sql::INSERT_TRIGGER_DELIVERY).id(fire.trigger).text(delivery);
            tx.execute(insert.id(run.id).time(now)).await?;
        }
        tx.commit().await?;
        Ok(Fired::Started(run))
    }

    /// Lets a time of a schedule pass without a run, and says why. Nothing when it was another's.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn skip_trigger_time(
        &self,
        id: TriggerId,
        due: Millis,
        next: Option<Millis>,
        why: &str,
    ) -> Result<(), StoreError> {
        let take = self.own(&sql::TAKE_TRIGGER_TIME).id(id).time(due).maybe_time(next);
        self.store.execute(take.time(self.store.now()).maybe_text(Some(why))).await.map(|_| ())
    }

    /// Turns a trigger off that can start nothing any more, and says why.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn disable_trigger(&self, id: TriggerId, why: &str) -> Result<(), StoreError> {
        let disable = self.own(&sql::DISABLE_TRIGGER).id(id).time(self.store.now()).text(why);
        self.store.execute(disable).await.map(|_| ())
    }

    /// Stores anew what was made with the installation's previous secret.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn renew_trigger(
        &self,
        id: TriggerId,
        digest: &Digest,
        secret_sealed: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let renew = self.own(&sql::RENEW_TRIGGER).id(id).digest(digest).maybe_blob(secret_sealed);
        self.store.execute(renew).await.map(|_| ())
    }
}

impl Store {
    /// The trigger of a token, also one that is off, and whose it is.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn trigger_by_digest(&self, digest: &Digest) -> Result<Option<(Tenant, TriggerRecord)>, StoreError> {
        let row = self.row(sql::TRIGGER_BY_DIGEST.bound().digest(digest)).await?;
        row.map(|row| Ok((tenant(&row)?, trigger_record(&row)?))).transpose()
    }

    /// Schedules that are due by `now`, and since when. The tenants take turns; of each the earliest comes first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn due_triggers(&self, now: Millis, limit: u32) -> Result<Vec<(Tenant, TriggerId, Millis)>, StoreError> {
        let rows = self.rows(sql::DUE_TRIGGERS.bound().time(now).count(limit)).await?;
        rows.iter().map(|row| Ok((tenant(row)?, row.id("id")?, row.time("next_at")?))).collect()
    }

    /// When the next schedule of any tenant is due after `now`.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn next_trigger_after(&self, now: Millis) -> Result<Option<Millis>, StoreError> {
        let row = self.row(sql::NEXT_TRIGGER.bound().time(now)).await?;
        row.map(|row| row.maybe_time("next_at")).transpose().map(Option::flatten)
    }

    /// Forgets events that are older than three days; how many.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub(crate) async fn sweep_trigger_deliveries(&self, now: Millis) -> Result<u64, StoreError> {
        self.execute(sql::SWEEP_TRIGGER_DELIVERIES.bound().time(now.plus(-DELIVERY_TTL))).await
    }
}

fn trigger_record(row: &Row) -> Result<TriggerRecord, StoreError> {
    Ok(TriggerRecord {
        id: row.id("id")?,
        deployment: row.id("deployment_id")?,
        kind: row.string("kind")?,
        name: row.string("name")?,
        secret_sealed: row.maybe_blob("secret_sealed")?,
        schedule: row.maybe_string("schedule")?,
        timezone: row.maybe_string("timezone")?,
        input: row.maybe_string("input")?,
        next_at: row.maybe_time("next_at")?,
        last_at: row.maybe_time("last_at")?,
        last_error: row.maybe_string("last_error")?,
        created_at: row.time("created_at")?,
        disabled_at: row.maybe_time("disabled_at")?,
    })
}
