use std::fmt::Display;

use ambient::AuditId;
use credential::key::Environment;

use super::{Workspace, limits};
use crate::{
    catalogue::{Bound, Statement, records as sql},
    error::StoreError,
    record::{AuditEntry, AuditRecord, MAX_TOTAL, Page, PageRequest},
    row::Row,
    tx::Tx,
};

/// Which records; all that is asked holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditFilter<'a> {
    /// Of one action.
    pub action: Option<&'a str>,
    /// By one actor, by its id.
    pub actor: Option<&'a str>,
    /// What was done to one thing, by its id.
    pub target: Option<&'a str>,
    /// Later than this record.
    pub after: Option<AuditId>,
    /// Earlier than this one.
    pub before: Option<AuditId>,
}

impl<'a> From<Option<&'a str>> for AuditFilter<'a> {
    fn from(action: Option<&'a str>) -> Self {
        Self { action, ..Self::default() }
    }
}

/// A statement for each index: by time, action, actor and target; of all, and of what is of `test`.
type Statements = [[&'static Statement; 2]; 4];

const ROWS: Statements = [
    [&sql::AUDIT, &sql::AUDIT_OF_TEST],
    [&sql::AUDIT_OF_ACTION, &sql::AUDIT_OF_ACTION_OF_TEST],
    [&sql::AUDIT_OF_ACTOR, &sql::AUDIT_OF_ACTOR_OF_TEST],
    [&sql::AUDIT_OF_TARGET, &sql::AUDIT_OF_TARGET_OF_TEST],
];
const AFTER: Statements = [
    [&sql::AUDIT_AFTER, &sql::AUDIT_AFTER_OF_TEST],
    [&sql::AUDIT_AFTER_OF_ACTION, &sql::AUDIT_AFTER_OF_ACTION_OF_TEST],
    [&sql::AUDIT_AFTER_OF_ACTOR, &sql::AUDIT_AFTER_OF_ACTOR_OF_TEST],
    [&sql::AUDIT_AFTER_OF_TARGET, &sql::AUDIT_AFTER_OF_TARGET_OF_TEST],
];
const COUNT: Statements = [
    [&sql::AUDIT_COUNT, &sql::AUDIT_COUNT_OF_TEST],
    [&sql::AUDIT_COUNT_OF_ACTION, &sql::AUDIT_COUNT_OF_ACTION_OF_TEST],
    [&sql::AUDIT_COUNT_OF_ACTOR, &sql::AUDIT_COUNT_OF_ACTOR_OF_TEST],
    [&sql::AUDIT_COUNT_OF_TARGET, &sql::AUDIT_COUNT_OF_TARGET_OF_TEST],
];

impl Workspace {
    /// A page of the log, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn audit<'a>(
        &self,
        page: PageRequest,
        filter: impl Into<AuditFilter<'a>>,
    ) -> Result<Page<AuditRecord>, StoreError> {
        let filter = filter.into();
        let rows = self.logged(&ROWS, &filter, |bound| limits(bound, page));
        let total = self.logged(&COUNT, &filter, |bound| bound.count(MAX_TOTAL + 1).count(0_u32));
        self.page(rows, total, audit_record).await
    }

    /// The first of what was logged, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn audit_after(&self, limit: u32, filter: &AuditFilter<'_>) -> Result<Vec<AuditRecord>, StoreError> {
        let bound = self.logged(&AFTER, filter, |bound| bound.count(limit).count(0_u32));
        self.store.rows(bound).await?.iter().map(audit_record).collect()
    }

    /// The statement for what is asked, bound to it; `limits` binds how much of it.
    fn logged(&self, of: &Statements, filter: &AuditFilter<'_>, limits: impl FnOnce(Bound) -> Bound) -> Bound {
        let [time, action, actor, target] = of;
        let [of_all, of_test] = match filter {
            AuditFilter { target: Some(_), .. } => target,
            AuditFilter { actor: Some(_), .. } => actor,
            AuditFilter { action: Some(_), .. } => action,
            _ => time,
        };
        let statement = match self.tenant.environment {
            Environment::Live => of_all,
            Environment::Test => of_test,
        };
        // Every id begins with `aud_`.
        let before = filter.before.map_or_else(|| "aud_~".to_owned(), |id| id.to_string());
        let after = filter.after.map(|id| id.to_string()).unwrap_or_default();
        let bound = limits(statement.bound().id(self.tenant.workspace)).text(after).text(before);
        let or_any = |text: Option<&str>| text.unwrap_or_default().to_owned();
        match (filter.target, filter.actor, filter.action) {
            (Some(target), actor, action) => bound.text(target).text(or_any(action)).text(or_any(actor)),
            (None, Some(actor), action) => bound.text(actor).text(or_any(action)),
            (None, None, Some(action)) => bound.text(action),
            (None, None, None) => bound,
        }
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
