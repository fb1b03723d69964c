//! The audit log: who did what to what, found by any of them, and as a file.

use std::collections::BTreeMap;

use access::{Access, Limit, Role};
use api::App;
use askama::Template;
use gate::{Ask, Call, Download, Operation, Problem, Raw, Routes};
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    desk::Desk,
    frame::Frame,
    layout, page,
    show::{One, OrDash, Pager, When, address},
};

const SHOW_AUDIT_LOG: Operation<AuditQuery, Raw> =
    page("/_/audit-log", "show_audit_log_page", "Who did what to what.", Role::Admin);
const EXPORT_AUDIT_LOG: Operation<AuditQuery, Download> = Operation::get(
    "/_/audit-log/export",
    "export_audit_log_page",
    "The audit log as a file of lines.",
    Access::closed(Limit::Read).member(Role::Admin),
)
.page(layout::refusal);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_AUDIT_LOG, show_audit_log);
    routes.mount(EXPORT_AUDIT_LOG, export_audit_log);
}

fn text(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default().trim()
}

/// Which records.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct AuditQuery {
    /// Which page, from 1.
    page: Option<u32>,
    /// Of one action, `create_api_key`.
    action: Option<String>,
    /// By one actor, by its id.
    actor: Option<String>,
    /// On one thing, by its id.
    target: Option<String>,
    /// From this day on, `2026-01-31` in UTC.
    from: Option<String>,
    /// Until this day, included.
    to: Option<String>,
}

impl AuditQuery {
    fn parameters(&self) -> [(&'static str, &str); 5] {
        [
            ("action", text(&self.action)),
            ("actor", text(&self.actor)),
            ("target", text(&self.target)),
            ("from", text(&self.from)),
            ("to", text(&self.to)),
        ]
    }

    fn ask(&self, operation: &'static str) -> Ask {
        let api_name = |name| match name {
            "actor" => "actor_id",
            "target" => "target_id",
            other => other,
        };
        let named = self.parameters().into_iter();
        named.fold(Ask::to(operation), |ask, (name, value)| match name {
            // The API's last moment is not included, the page's last day is.
            "to" => ask.query_if("to", Some(next_day(value))),
            _ => ask.query_if(api_name(name), Some(value)),
        })
    }
}

/// The day after; what is no day is left as it is, and the API says what is wrong with it.
fn next_day(text: &str) -> String {
    let next = text.parse::<Date>().ok().and_then(|day| day.tomorrow().ok());
    next.map_or_else(|| text.to_owned(), |day| day.to_string())
}

/// A party or a thing.
#[derive(Clone, Debug, Deserialize)]
struct Party {
    kind: String,
    id: String,
    /// What it is called, where somebody looked it up.
    #[serde(skip)]
    name: String,
}

impl Party {
    /// Its page.
    fn path(&self) -> Option<String> {
        let pages = match self.kind.as_str() {
            "api_key" => "api-keys",
            "service_account" => "service-accounts",
            "member" => "members",
            "bot" => "bots",
            "agent_loop" => "agent-loops",
            "conversation" => "conversations",
            "contact" => "contacts",
            "webhook" => "webhooks",
            "workflow" => "workflows",
            "deployment" => "deployments",
            "run" => "runs",
            _ => return None,
        };
        (!self.id.is_empty()).then(|| format!("/_/{pages}/{}", self.id))
    }

    fn shown(&self) -> &str {
        match (self.name.is_empty(), self.id.is_empty()) {
            (false, _) => &self.name,
            (true, false) => &self.id,
            (true, true) => "–",
        }
    }

    fn kind(&self) -> String {
        self.kind.replace('_', " ")
    }
}

/// A record, as the API says.
#[derive(Clone, Debug, Deserialize)]
struct Record {
    id: String,
    created_at: When,
    action: String,
    actor: Party,
    target: Party,
    ip: OrDash,
    request_id: Option<String>,
    detail: Option<Map<String, Value>>,
}

/// A value before and after.
struct Change {
    field: String,
    before: String,
    after: String,
}

/// As people read it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "–".to_owned(),
        Value::Object(members) if members.is_empty() => "–".to_owned(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

impl Record {
    /// What was changed, where the record has it.
    fn changes(&self) -> Vec<Change> {
        let changes = self.detail.as_ref().and_then(|detail| detail.get("changes")).and_then(Value::as_object);
        let side = |change: &Value, side: &str| plain(change.get(side).unwrap_or(&Value::Null));
        let one = |(field, change): (&String, &Value)| Change {
            field: field.replace('_', " "),
            before: side(change, "before"),
            after: side(change, "after"),
        };
        changes.into_iter().flatten().map(one).collect()
    }

    /// The rest of what is known.
    fn facts(&self) -> Vec<(String, String)> {
        let detail = self.detail.iter().flatten().filter(|(name, value)| *name != "changes" && !value.is_null());
        detail.map(|(name, value)| (name.replace('_', " "), plain(value))).collect()
    }
}

#[derive(Template)]
#[template(path = "workspace/audit.html")]
struct AuditPage<'a> {
    frame: Frame,
    action: &'a str,
    actor: &'a str,
    target: &'a str,
    from: &'a str,
    to: &'a str,
    is_filtered: bool,
    records: Vec<Record>,
    pager: Pager,
    export: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    email: String,
}

/// What people and keys are called: each is asked for once.
async fn name_parties(desk: &Desk<'_>, records: &mut [Record]) {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for party in records.iter_mut().flat_map(|record| [&mut record.actor, &mut record.target]) {
        let operation = match party.kind.as_str() {
            "member" => "get_member",
            "api_key" => "get_api_key",
            "bot" => "get_bot",
            "service_account" => "get_service_account",
            "workflow" => "get_workflow",
            "deployment" => "get_deployment",
            _ => continue,
        };
        if !names.contains_key(&party.id) {
            let found = desk.get::<One<Named>>(Ask::to(operation).at("id", &party.id)).await;
            let name = found.map(|one| if one.data.name.is_empty() { one.data.email } else { one.data.name });
            names.insert(party.id.clone(), name.unwrap_or_default());
        }
        party.name = names.get(&party.id).cloned().unwrap_or_default();
    }
}

async fn show_audit_log(_: App, call: Call<AuditQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let parameters = call.input.parameters();
    let ask = call.input.ask("list_audit_log");
    let (mut records, pager) = desk.list::<Record>(ask, call.input.page, "/_/audit-log", &parameters).await?;
    name_parties(&desk, &mut records).await;
    let frame = desk.frame("Audit log", "show_audit_log_page");
    let export = [&parameters[..], &[("seen", frame.half())]].concat();
    let [(_, action), (_, actor), (_, target), (_, from), (_, to)] = parameters;
    desk.render(&AuditPage {
        frame,
        action,
        actor,
        target,
        from,
        to,
        is_filtered: parameters.iter().any(|(_, value)| !value.is_empty()),
        records,
        pager,
        export: address("/_/audit-log/export", &export),
    })
}

async fn export_audit_log(_: App, call: Call<AuditQuery>) -> Result<Download, Problem> {
    Desk::open(&call).await?.file(call.input.ask("export_audit_log")).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_day_is_included() {
        assert_eq!([next_day("2026-02-28"), next_day(""), next_day("x")], ["2026-03-01", "", "x"]);
    }

    #[test]
    fn a_record_says_what_was_before_and_after_and_the_rest() {
        let record: Record = serde_json::from_value(json!({
            "id": "aud_1", "created_at": "2026-01-01T00:00:00Z", "action": "update_member", "ip": null, "request_id": null,
            "actor": {"kind": "member", "id": "usr_1"}, "target": {"kind": "member", "id": "usr_2"},
            "detail": {"changes": {"role": {"before": "admin", "after": "owner"}}, "renamed": false, "scopes": ["a", "b"],
                "nothing": null},
        }))
        .unwrap();
        let changes: Vec<_> = record.changes().into_iter().map(|one| (one.field, one.before, one.after)).collect();
        assert_eq!(changes, [("role".to_owned(), "admin".to_owned(), "owner".to_owned())]);
        let facts = [("renamed", "no"), ("scopes", "a, b")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(record.facts(), facts);
        assert_eq!(record.target.path().as_deref(), Some("/_/members/usr_2"));
        assert_eq!(Party { kind: "member".into(), id: String::new(), name: String::new() }.path(), None);
    }
}
