use access::Tenant;
use ambient::{AttemptId, EventId, Millis, Ulid, WebhookId, WorkspaceId};

use super::{Workspace, deployments::tenant, limits, webhooks::webhook_record};
use crate::{
    catalogue::webhooks as sql,
    error::StoreError,
    record::{AuditEntry, Page, PageRequest},
    row::Row,
    store::Store,
    tx::Tx,
    webhooks::{AfterAttempt, AttemptRecord, DeliveryJob, DueDelivery, FinishedAttempt},
};

/// How long events and attempts are kept, in milliseconds.
const EVENT_TTL: i64 = 30 * 24 * 3600 * 1000;
/// How much is swept in one transaction, and how often at once.
const SWEEP: (u32, usize) = (1000, 100);

impl Store {
    /// Waits until an event was written by this process since the last call.
    pub async fn event_written(&self) {
        self.event_bell().notified().await;
    }

    /// Makes [`Store::event_written`] return: for a clock that jumped, and for what became due without an event.
    pub fn wake_deliveries(&self) {
        self.event_bell().notify_one();
    }

    /// Deliveries of every tenant that are due, the longest due first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn due_deliveries(&self, now: Millis, limit: u32) -> Result<Vec<DueDelivery>, StoreError> {
        self.rows(sql::DUE_DELIVERIES.bound().time(now).count(limit)).await?.iter().map(due_delivery).collect()
    }

    /// The same, but at most `of_each` of each endpoint: first the first of each, then the second, and so on. As
    /// slow as there is much due.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn due_deliveries_of_each(
        &self,
        now: Millis,
        of_each: u32,
        limit: u32,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let rows = sql::DUE_DELIVERIES_OF_EACH.bound().time(now).count(of_each).count(limit);
        self.rows(rows).await?.iter().map(due_delivery).collect()
    }

    /// When the next delivery is due after a time.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn next_delivery_after(&self, now: Millis) -> Result<Option<Millis>, StoreError> {
        self.row(sql::NEXT_DELIVERY.bound().time(now)).await?.map(|row| row.time("due_at")).transpose()
    }

    /// Takes deliveries for an attempt each: those that were still due. Until `until` they are due for nobody
    /// else, and then again: whoever dies with them loses none.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn claim_deliveries(
        &self,
        due: &[DueDelivery],
        now: Millis,
        until: Millis,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let mut claimed = Vec::with_capacity(due.len());
        let mut due: Vec<&DueDelivery> = due.iter().collect();
        due.sort_by_key(|one| place_of(one));
        let mut tx = self.begin().await?;
        for one in due {
            let data = self.workspace(one.tenant);
            let claim = data.own(&sql::CLAIM_DELIVERY).id(one.webhook).id(one.event);
            if tx.execute(claim.time(until).time(now)).await? > 0 {
                claimed.push(*one);
            }
        }
        tx.commit().await?;
        Ok(claimed)
    }

    /// Writes down attempts and what follows from each, all of them or none, in the order in which they are given.
    /// What somebody has replayed or claimed meanwhile stays due; of an endpoint that is gone, nothing is left to say.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn finish_attempts(&self, finished: &[FinishedAttempt]) -> Result<(), StoreError> {
        let now = self.now();
        // Those of one group follow each other, as they are listed.
        let mut id = AttemptId::mint(self.clock(), self.random())?;
        let mut finished: Vec<&FinishedAttempt> = finished.iter().collect();
        // One order of endpoints for all, so that nobody waits for somebody who waits for him.
        finished.sort_by_key(|one| place_of(&one.due));
        let mut tx = self.begin().await?;
        for attempts in finished.chunk_by(|a, b| place_of(&a.due) == place_of(&b.due)) {
            if let Some(first) = attempts.first() {
                let data = self.workspace(first.due.tenant);
                data.finish_attempts_at(&mut tx, attempts, &mut id, now).await?;
            }
        }
        tx.commit().await
    }

    /// Makes due what was claimed when the process before this one died. At the start, by the one that holds the
    /// database.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn release_deliveries(&self, now: Millis) -> Result<u64, StoreError> {
        self.execute(sql::RELEASE_DELIVERIES.bound().time(now)).await
    }

    /// Forgets events and attempts that are older than 30 days.
    pub(crate) async fn sweep_events(&self, now: Millis) -> Result<u64, StoreError> {
        let (batch, times) = SWEEP;
        let mut gone = 0;
        for statement in [&sql::SWEEP_EVENTS, &sql::SWEEP_ATTEMPTS] {
            for _ in 0..times {
                let some = self.execute(statement.bound().time(now.plus(-EVENT_TTL)).count(batch)).await?;
                gone += some;
                if some < u64::from(batch) {
                    break;
                }
            }
        }
        Ok(gone)
    }
}

impl Workspace {
    /// What an attempt needs; nothing when the endpoint or the event is gone.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn delivery_job(&self, webhook: WebhookId, event: EventId) -> Result<Option<DeliveryJob>, StoreError> {
        let row = self.store.row(self.own(&sql::DELIVERY_JOB).id(webhook).id(event)).await?;
        let Some(row) = row else { return Ok(None) };
        let (Some(attempts), Some(kind)) = (row.maybe_count("attempts")?, row.maybe_string("event_kind")?) else {
            return Ok(None);
        };
        Ok(Some(DeliveryJob {
            webhook: webhook_record(&row)?,
            kind,
            data: row.string("event_data")?,
            event_at: row.time("event_at")?,
            attempts,
        }))
    }

    /// Writes down attempts to reach one endpoint, in their order; none when it is gone. `id` is the first one's.
    async fn finish_attempts_at(
        &self,
        tx: &mut Tx,
        attempts: &[&FinishedAttempt],
        id: &mut AttemptId,
        now: Millis,
    ) -> Result<(), StoreError> {
        let Some(webhook) = attempts.first().map(|one| one.due.webhook) else { return Ok(()) };
        // The endpoint, then what goes there: in this order everywhere.
        let Some(row) = tx.row(self.own(&sql::LOCK_WEBHOOK).id(webhook)).await? else { return Ok(()) };
        let mut record = webhook_record(&row)?;
        for FinishedAttempt { due: DueDelivery { event, .. }, claim, outcome } in attempts {
            let (state, due) = match outcome.then {
                AfterAttempt::Delivered => ("delivered", None),
                AfterAttempt::Again(time) => ("pending", Some(time)),
                AfterAttempt::GiveUp | AfterAttempt::Disable(_) => ("failed", None),
            };
            let failing_since = match outcome.then {
                AfterAttempt::Delivered => None,
                _ => record.failing_since.or(Some(now)),
            };
            match (record.failing_since, failing_since) {
                (Some(_), None) => tx.execute(self.own(&sql::END_FAILING).id(webhook)).await?,
                (None, Some(_)) => tx.execute(self.own(&sql::BEGIN_FAILING).id(webhook).time(now)).await?,
                _ => 0,
            };
            let finish = self.own(&sql::FINISH_DELIVERY).id(webhook).id(*event).time(*claim).text(state);
            tx.execute(finish.maybe_time(due).time(now)).await?;
            if let Some(until) = outcome.throttled_until {
                tx.execute(self.own(&sql::THROTTLE_DELIVERIES).id(webhook).time(until)).await?;
            }
            let attempt = self.own(&sql::INSERT_ATTEMPT).id(webhook).id(*event).id(*id).maybe_count(outcome.status);
            let attempt = attempt.maybe_text(outcome.error).maybe_text(outcome.answer.as_deref());
            tx.execute(attempt.count(outcome.took_ms).time(now)).await?;
            *id = AttemptId(Ulid(id.0.0.saturating_add(1)));
            if let AfterAttempt::Disable(reason) = outcome.then {
                self.disable_webhook(tx, &record, reason, now).await?;
            }
            record.failing_since = failing_since;
        }
        Ok(())
    }

    /// A page of the attempts to reach an endpoint, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn attempts(&self, webhook: WebhookId, page: PageRequest) -> Result<Page<AttemptRecord>, StoreError> {
        let rows = limits(self.own(&sql::ATTEMPTS).id(webhook), page);
        self.page(rows, self.own(&sql::ATTEMPT_COUNT).id(webhook), attempt_record).await
    }

    /// The attempts after one, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn attempts_after(
        &self,
        webhook: WebhookId,
        after: AttemptId,
        limit: u32,
    ) -> Result<Vec<AttemptRecord>, StoreError> {
        let rows = self.own(&sql::ATTEMPTS_AFTER).id(webhook).count(limit).id(after);
        self.store.rows(rows).await?.iter().map(attempt_record).collect()
    }

    /// Sends what an attempt has sent again, from the first attempt on: the event's id.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also when the event is older than 30 days; [`StoreError::Conflict`] `disabled`.
    pub async fn replay_attempt(
        &self,
        webhook: WebhookId,
        attempt: AttemptId,
        audit: AuditEntry<'_>,
    ) -> Result<EventId, StoreError> {
        let mut tx = self.store.begin().await?;
        let record = self.lock_webhook(&mut tx, webhook, false).await?;
        let row = tx.row(self.own(&sql::ATTEMPT_EVENT).id(webhook).id(attempt)).await?;
        let event: EventId = row.ok_or(StoreError::NotFound)?.id("event_id")?;
        if record.disabled_at.is_some() {
            return Err(StoreError::Conflict("disabled"));
        }
        tx.change(self.own(&sql::REPLAY_DELIVERY).id(webhook).id(event).time(self.store.now())).await?;
        self.insert_audit(&mut tx, &audit, super::webhooks::KIND, &webhook).await?;
        tx.ring();
        tx.commit().await?;
        Ok(event)
    }

    /// Sends what has failed since a time again; how much.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `disabled`.
    pub async fn recover_webhook(
        &self,
        webhook: WebhookId,
        since: Millis,
        audit: AuditEntry<'_>,
    ) -> Result<u64, StoreError> {
        let mut tx = self.store.begin().await?;
        if self.lock_webhook(&mut tx, webhook, false).await?.disabled_at.is_some() {
            return Err(StoreError::Conflict("disabled"));
        }
        let recover = self.own(&sql::RECOVER_DELIVERIES).id(webhook).time(self.store.now()).time(since);
        let recovered = tx.execute(recover).await?;
        self.insert_audit(&mut tx, &audit, super::webhooks::KIND, &webhook).await?;
        tx.ring();
        tx.commit().await?;
        Ok(recovered)
    }
}

/// Where it goes, in an order.
fn place_of(due: &DueDelivery) -> (WorkspaceId, &'static str, WebhookId) {
    (due.tenant.workspace, due.tenant.environment.as_str(), due.webhook)
}

fn due_delivery(row: &Row) -> Result<DueDelivery, StoreError> {
    let tenant: Tenant = tenant(row)?;
    Ok(DueDelivery { tenant, webhook: row.id("webhook_id")?, event: row.id("event_id")? })
}

fn attempt_record(row: &Row) -> Result<AttemptRecord, StoreError> {
    Ok(AttemptRecord {
        id: row.id("id")?,
        event: row.id("event_id")?,
        kind: row.maybe_string("kind")?,
        number: row.count("number")?,
        next_at: row.maybe_time("next_at")?,
        status: row.maybe_count("status")?,
        error: row.maybe_string("error")?,
        answer: row.maybe_string("answer")?,
        took_ms: row.count("took_ms")?,
        created_at: row.time("created_at")?,
    })
}
