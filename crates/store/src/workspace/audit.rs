use std::fmt::Display;

use ambient::AuditId;

use super::{Workspace, limits};
use crate::{
    catalogue::records as sql,
    error::StoreError,
    record::{AuditEntry, AuditRecord, Page, PageRequest},
    row::Row,
    tx::Tx,
};

impl Workspace {
    /// A page of the log, the newest first; of one action, if asked.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn audit(&self, page: PageRequest, action: Option<&str>) -> Result<Page<AuditRecord>, StoreError> {
        let (rows, total) = match action {
            None => (limits(self.seen(&sql::AUDIT), page), self.seen(&sql::AUDIT_COUNT)),
            Some(action) => (
                limits(self.seen(&sql::AUDIT_OF_ACTION), page).text(action),
                self.seen(&sql::AUDIT_COUNT_OF_ACTION).text(action),
            ),
        };
        self.page(rows, total, audit_record).await
    }

    /// What was logged after a record, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn audit_after(
        &self,
        after: AuditId,
        limit: u32,
        action: Option<&str>,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let statement = if action.is_some() { &sql::AUDIT_AFTER_OF_ACTION } else { &sql::AUDIT_AFTER };
        let mut bound = self.seen(statement).count(limit).id(after);
        if let Some(action) = action {
            bound = bound.text(action);
        }
        self.store.rows(bound).await?.iter().map(audit_record).collect()
    }

    /// Logs an event that changes nothing else, such as `api_key.exposed`.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn write_audit(
        &self,
        entry: AuditEntry<'_>,
        target_kind: &str,
        target_id: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        self.insert_audit(&mut tx, &entry, target_kind, &target_id).await?;
        tx.commit().await
    }

    /// Logs a change, in its transaction.
    pub(crate) async fn insert_audit(
        &self,
        tx: &mut Tx,
        entry: &AuditEntry<'_>,
        target_kind: &str,
        target_id: &(impl Display + ?Sized + Sync),
    ) -> Result<(), StoreError> {
        let id = self.store.next_audit_id()?;
        let bound = self.own(&sql::INSERT_AUDIT).id(id).time(self.store.now());
        let bound = bound.text(entry.actor.kind.as_str()).text(&entry.actor.id).text(entry.action);
        let bound = bound.text(target_kind).id(target_id).maybe_id(entry.actor.address);
        tx.execute(bound.maybe_id(entry.actor.request).maybe_id(entry.detail.as_ref())).await.map(|_| ())
    }
}

fn audit_record(row: &Row) -> Result<AuditRecord, StoreError> {
    Ok(AuditRecord {
        id: row.id("id")?,
        created_at: row.time("created_at")?,
        actor_kind: row.string("actor_kind")?,
        actor_id: row.string("actor_id")?,
        action: row.string("action")?,
        target_kind: row.string("target_kind")?,
        target_id: row.string("target_id")?,
        address: row.maybe_string("address")?,
        request_id: row.maybe_string("request_id")?,
        detail: row.maybe_json("detail")?,
    })
}
