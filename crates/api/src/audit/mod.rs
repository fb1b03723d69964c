//! The audit log: who did what to what.

mod export;

use access::{Access, Limit, Role, Scope};
use ambient::{AuditId, Millis, Ulid};
use gate::{Call, List, ListMeta, LogQuery, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{AuditFilter, AuditRecord, PageRequest};

use crate::{
    App,
    conversations::after,
    results::rows::{DayOrTime, time},
};

const READ: Access = Access::closed(Limit::Read).member(Role::Admin).key(Scope::AuditRead);

pub(crate) const LIST_AUDIT_LOG: Operation<AuditQuery, List<AuditEvent>> = Operation::get(
    "/v1/audit-log",
    "list_audit_log",
    "List what was done, the newest first; `after` reads on from a record, the oldest first.",
    READ,
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_AUDIT_LOG, list_audit_log);
    export::mount(routes);
}

/// Which records.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct AuditQuery {
    /// Which page, from 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    page: Option<u32>,
    /// How many rows: 20 by default, 100 at most.
    #[schemars(range(min = 1, max = 100))]
    per_page: Option<u32>,
    /// The records after this one.
    after: Option<String>,
    /// Those of one action alone, such as `create_api_key` or `api_key.exposed`.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9_.]+$"))]
    action: Option<String>,
    /// What one party did, by its id.
    #[schemars(length(min = 1, max = 200), regex(pattern = PARTY_PATTERN))]
    actor_id: Option<String>,
    /// What was done to one thing, by its id.
    #[schemars(length(min = 1, max = 200), regex(pattern = PARTY_PATTERN))]
    target_id: Option<String>,
    /// Done at this time or later: RFC 3339, or a day in UTC.
    #[schemars(with = "Option<DayOrTime>")]
    from: Option<String>,
    /// Done before this time: RFC 3339, or a day in UTC.
    #[schemars(with = "Option<DayOrTime>")]
    to: Option<String>,
}

/// An id of somebody or something.
const PARTY_PATTERN: &str = "^[!-~]+$";

/// What is asked of records, as it was sent.
struct Asked<'a> {
    action: &'a Option<String>,
    actor_id: &'a Option<String>,
    target_id: &'a Option<String>,
    from: &'a Option<String>,
    to: &'a Option<String>,
}

impl<'a> Asked<'a> {
    /// Checked.
    fn filter(&self) -> Result<AuditFilter<'a>, Problem> {
        if self.action.as_deref().is_some_and(|action| !is_action(action)) {
            return Err(Problem::invalid_request("The query parameter `action` is 1 to 64 of a-z, 0-9, `_` and `.`"));
        }
        for (name, id) in [("actor_id", self.actor_id), ("target_id", self.target_id)] {
            if id.as_deref().is_some_and(|id| !is_id(id)) {
                let what = format!("The query parameter `{name}` is an id: 1 to 200 visible ASCII characters");
                return Err(Problem::invalid_request(what));
            }
        }
        let at = |name, text: &Option<String>| text.as_deref().map(|text| time(name, text)).transpose();
        let (from, to) = (at("from", self.from)?, at("to", self.to)?);
        Ok(AuditFilter {
            action: self.action.as_deref(),
            actor: self.actor_id.as_deref(),
            target: self.target_id.as_deref(),
            after: from.map(|from| AuditId(Ulid(first(from).saturating_sub(1)))),
            before: to.map(|to| AuditId(Ulid(first(to)))),
        })
    }
}

/// The least id of a moment: every id begins with its time.
fn first(at: Millis) -> u128 {
    const LAST: u128 = (1 << 48) - 1;
    u128::try_from(at.0).unwrap_or(0).min(LAST) << 80
}

/// Who did what to what.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct AuditEvent {
    /// Its id; sorts by time.
    id: AuditId,
    /// When.
    created_at: Millis,
    /// The operation's id, or an event such as `api_key.exposed`.
    action: String,
    /// Who.
    actor: Party,
    /// To what.
    target: Party,
    /// From which address.
    ip: Option<String>,
    /// In which request.
    request_id: Option<String>,
    /// What changed: names of fields, never secrets.
    detail: Option<serde_json::Value>,
}

/// A party or a thing, by kind and id.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Party {
    /// Which kind: `api_key`, `member`, `bot`, …
    kind: String,
    /// Its id; empty for a stranger and for the server.
    id: String,
}

impl From<AuditRecord> for AuditEvent {
    fn from(record: AuditRecord) -> Self {
        Self {
            id: record.id,
            created_at: record.created_at,
            action: record.action,
            actor: Party { kind: record.actor_kind, id: record.actor_id },
            target: Party { kind: record.target_kind, id: record.target_id },
            ip: record.address,
            request_id: record.request_id,
            detail: record.detail,
        }
    }
}

async fn list_audit_log(app: App, call: Call<AuditQuery>) -> Result<List<AuditEvent>, Problem> {
    let AuditQuery { page, per_page, after: id, action, actor_id, target_id, from, to } = &call.input;
    let query = LogQuery { page: *page, per_page: *per_page, after: id.clone() };
    let request = query.request()?;
    let data = app.workspace(&call)?;
    let filter = Asked { action, actor_id, target_id, from, to }.filter()?;
    let Some(after) = after(&query)? else {
        return Ok(List::of(data.audit(request, filter).await?, request, AuditEvent::from));
    };
    let rest = AuditFilter { after: filter.after.max(Some(after)), ..filter };
    let rows = data.audit_after(request.per_page, &rest).await?;
    let one = data.audit(PageRequest { page: 1, per_page: 1 }, filter).await?;
    let meta = ListMeta::of(&one, request);
    Ok(List { data: rows.into_iter().map(AuditEvent::from).collect(), meta })
}

fn is_id(text: &str) -> bool {
    (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_action(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_a_short_plain_word() {
        for action in ["create_bot", "api_key.exposed", "x2", &"a".repeat(64)] {
            assert!(is_action(action), "{action}");
        }
        for other in ["", "\0", "create_bot\0", "CREATE_BOT", "a b", "a'b", "ä", &"a".repeat(65)] {
            assert!(!is_action(other), "{other:?}");
        }
    }

    #[test]
    fn a_day_is_the_ids_that_begin_with_its_time() {
        let own = |text: &str| Some(text.to_owned());
        let asked = |actor: Option<&str>, from: Option<&str>, to: Option<&str>| {
            let (actor_id, from, to) = (actor.and_then(own), from.and_then(own), to.and_then(own));
            let asked = Asked { action: &None, actor_id: &actor_id, target_id: &None, from: &from, to: &to };
            let filter = asked.filter().map_err(|problem| problem.status().as_u16())?;
            Ok((filter.after.map(|id| id.0.0 >> 80), filter.before.map(|id| id.0.0 >> 80)))
        };
        let day = 1_767_225_600_000;
        let found = asked(None, Some("2026-01-01"), Some("2026-01-02T00:00:00Z"));
        assert_eq!(found, Ok((Some(day - 1), Some(day + 86_400_000))));
        assert_eq!(asked(Some("usr_1"), None, None), Ok((None, None)));
        for wrong in ["", "a b", "a\0", "ä", &"a".repeat(201)] {
            assert_eq!(asked(Some(wrong), None, None), Err(400), "{wrong:?}");
        }
        assert_eq!(asked(None, Some("yesterday"), None), Err(400));
    }
}
