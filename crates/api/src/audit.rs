//! The audit log: who did what to what.

use access::{Access, Limit, Role, Scope};
use ambient::{AuditId, Millis};
use gate::{Call, List, ListMeta, LogQuery, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{AuditRecord, PageRequest};

use crate::{App, conversations::after};

pub(crate) const LIST_AUDIT_LOG: Operation<AuditQuery, List<AuditEvent>> = Operation::get(
    "/v1/audit-log",
    "list_audit_log",
    "List what was done, the newest first; `after` reads on from a record, the oldest first.",
    Access::closed(Limit::Read).member(Role::Admin).key(Scope::AuditRead),
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_AUDIT_LOG, list_audit_log);
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
    let AuditQuery { page, per_page, after: id, action } = &call.input;
    let query = LogQuery { page: *page, per_page: *per_page, after: id.clone() };
    let request = query.request()?;
    let data = app.workspace(&call)?;
    let action = action.as_deref();
    if action.is_some_and(|action| !is_action(action)) {
        return Err(Problem::invalid_request("The query parameter `action` is 1 to 64 of a-z, 0-9, `_` and `.`"));
    }
    let Some(after) = after(&query)? else {
        return Ok(List::of(data.audit(request, action).await?, request, AuditEvent::from));
    };
    let rows = data.audit_after(after, request.per_page, action).await?;
    let total = data.audit(PageRequest { page: 1, per_page: 1 }, action).await?.total;
    let meta = ListMeta { page: request.page, per_page: request.per_page, total };
    Ok(List { data: rows.into_iter().map(AuditEvent::from).collect(), meta })
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
}
