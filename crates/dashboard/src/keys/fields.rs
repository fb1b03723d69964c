//! What can be said about a key: the fields of a form, and what the API is sent.

use gate::{Ask, Problem};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Key, ScopeGroup, scope_groups};
use crate::{
    Form,
    desk::Desk,
    show::{One, Trouble, When},
};

/// A day, in milliseconds.
const DAY: i64 = 86_400_000;
/// How long a key lives, in days.
const LIVES: &[(&str, i64)] = &[("30", 30), ("90", 90), ("365", 365)];

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The workspace's.
    Workspace,
    /// A service account's: it is a secret key.
    ServiceAccount,
}

/// The fields as they are shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyFields {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) environment: String,
    pub(crate) groups: Vec<ScopeGroup>,
    /// `30`, `90`, `365`, `date`, `never` or, of a key that is there, `keep`.
    pub(crate) expiry: String,
    pub(crate) expires_at: String,
    pub(crate) allowed_domains: String,
    pub(crate) allow_localhost: bool,
    pub(crate) allow_origin_header: bool,
    pub(crate) allowed_ips: String,
    pub(crate) rate_limit: String,
    pub(crate) daily_requests: String,
    pub(crate) daily_sessions: String,
    pub(crate) daily_messages: String,
    pub(crate) owner: String,
    pub(crate) purpose: String,
    pub(crate) rotate_after: String,
    /// The page that is tried.
    pub(crate) origin: String,
}

fn date_of(at: Option<When>) -> String {
    at.map(|at| at.0.to_string().chars().take_while(|letter| *letter != 'T').collect()).unwrap_or_default()
}

fn end_of_day(date: &str) -> String {
    format!("{date}T23:59:59Z")
}

fn shown(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

impl KeyFields {
    /// Of a new key: it may do nothing, and lives a year.
    pub(crate) fn new(is_test: bool) -> Self {
        let none: [&str; 0] = [];
        Self {
            kind: "secret".to_owned(),
            environment: if is_test { "test" } else { "live" }.to_owned(),
            groups: scope_groups(&none),
            expiry: "365".to_owned(),
            allow_localhost: true,
            ..Self::default()
        }
    }

    /// Of a key that is there.
    pub(crate) fn of(key: &Key) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Self {
            name: key.name.clone(),
            kind: key.kind.clone(),
            environment: key.environment.clone(),
            groups: scope_groups(&key.scopes),
            expiry: "keep".to_owned(),
            expires_at: date_of(key.expires_at),
            allowed_domains: key.allowed_domains.join("\n"),
            allow_localhost: key.allow_localhost.unwrap_or_default(),
            allow_origin_header: key.allow_origin_header,
            allowed_ips: key.allowed_ips.join("\n"),
            rate_limit: shown(key.rate_limit),
            daily_requests: shown(key.daily_requests),
            daily_sessions: shown(key.daily_sessions),
            daily_messages: shown(key.daily_messages),
            owner: text(&key.owner),
            purpose: text(&key.purpose),
            rotate_after: date_of(key.rotate_after),
            origin: String::new(),
        }
    }

    /// As they were sent, to be shown again.
    pub(crate) fn sent(form: &Form) -> Self {
        let text = |name| form.text(name).to_owned();
        Self {
            name: form.raw("name").to_owned(),
            kind: text("kind"),
            environment: text("environment"),
            groups: scope_groups(&form.all("scopes")),
            expiry: text("expiry"),
            expires_at: text("expires_at"),
            allowed_domains: form.raw("allowed_domains").to_owned(),
            allow_localhost: form.flag("allow_localhost"),
            allow_origin_header: form.flag("allow_origin_header"),
            allowed_ips: form.raw("allowed_ips").to_owned(),
            rate_limit: text("rate_limit"),
            daily_requests: text("daily_requests"),
            daily_sessions: text("daily_sessions"),
            daily_messages: text("daily_messages"),
            owner: text("owner"),
            purpose: text("purpose"),
            rotate_after: text("rotate_after"),
            origin: text("origin"),
        }
    }
}

/// What the API is sent for a key of this kind; a budget or a text that is empty is none.
fn body(form: &Form, kind: &str, now: When) -> Map<String, Value> {
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    set("name", json!(form.text("name")));
    set("allowed_ips", json!(form.lines("allowed_ips")));
    set("rate_limit", json!(form.number("rate_limit")));
    set("daily_requests", json!(form.number("daily_requests")));
    set("owner", json!(form.some("owner")));
    set("purpose", json!(form.some("purpose")));
    set("rotate_after", json!(form.some("rotate_after").map(|date| format!("{date}T00:00:00Z"))));
    match kind {
        "widget" => {
            set("allowed_domains", json!(form.lines("allowed_domains")));
            set("allow_localhost", json!(form.flag("allow_localhost")));
            set("daily_sessions", json!(form.number("daily_sessions")));
            set("daily_messages", json!(form.number("daily_messages")));
        }
        "secret" => {
            set("scopes", json!(form.all("scopes")));
            set("allow_origin_header", json!(form.flag("allow_origin_header")));
        }
        _ => {}
    }
    let life = LIVES.iter().find(|(name, _)| *name == form.text("expiry"));
    match (form.text("expiry"), life) {
        // To the end of a day: a form that is sent twice says the same twice.
        (_, Some((_, days))) => {
            set("expires_at", json!(end_of_day(&date_of(Some(When(now.0.plus(days.saturating_mul(DAY))))))));
        }
        ("never", _) => set("expires_at", Value::Null),
        ("date", _) => set("expires_at", json!(end_of_day(form.text("expires_at")))),
        _ => {}
    }
    body
}

/// A key to be made.
pub(crate) fn new_key(form: &Form, owner: Owner, now: When) -> Value {
    let kind = if owner == Owner::Workspace { form.text("kind") } else { "secret" };
    let mut body = body(form, kind, now);
    body.insert("environment".to_owned(), json!(form.text("environment")));
    if owner == Owner::Workspace {
        body.insert("kind".to_owned(), json!(kind));
    }
    Value::Object(body)
}

/// What is to be different about a key: what was not changed is not sent, so that the audit log says what was.
pub(crate) fn changes(form: &Form, key: &Key, now: When) -> Map<String, Value> {
    let mut changes = body(form, &key.kind, now);
    let same = [
        ("name", json!(key.name)),
        ("scopes", json!(key.scopes)),
        ("allowed_domains", json!(key.allowed_domains)),
        ("allow_localhost", json!(key.allow_localhost)),
        ("allow_origin_header", json!(key.allow_origin_header)),
        ("allowed_ips", json!(key.allowed_ips)),
        ("rate_limit", json!(key.rate_limit)),
        ("daily_requests", json!(key.daily_requests)),
        ("daily_sessions", json!(key.daily_sessions)),
        ("daily_messages", json!(key.daily_messages)),
        ("owner", json!(key.owner)),
        ("purpose", json!(key.purpose)),
    ];
    for (name, value) in same {
        if changes.get(name) == Some(&value) {
            changes.remove(name);
        }
    }
    if form.text("rotate_after") == date_of(key.rotate_after) {
        changes.remove("rotate_after");
    }
    changes
}

/// What was found out about a page.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Checked {
    pub(crate) allowed: bool,
    pub(crate) reason: String,
}

/// Tries whether the page of the form would pass its domains.
///
/// # Errors
/// Those of the API that the person cannot mend; the others are the inner one.
pub(crate) async fn check_origin(desk: &Desk<'_>, form: &Form) -> Result<Result<Checked, Trouble>, Problem> {
    let body = json!({
        "origin": form.text("origin"),
        "allowed_domains": form.lines("allowed_domains"),
        "allow_localhost": form.flag("allow_localhost"),
    });
    match desk.get::<One<Checked>>(Ask::to("check_origin").body(&body)).await {
        Ok(checked) => Ok(Ok(checked.data)),
        Err(problem) if problem.status().as_u16() == 422 => Ok(Err(Trouble::of(&problem))),
        Err(problem) => Err(problem),
    }
}

#[cfg(test)]
mod tests {
    use ambient::Millis;

    use super::*;

    const NOW: When = When(Millis(1_767_225_600_000));

    fn form(pairs: &[(&str, &str)]) -> Form {
        serde_json::from_value(json!(pairs)).unwrap()
    }

    #[test]
    fn a_widget_key_is_sent_with_its_domains_and_a_secret_key_with_its_scopes() {
        let sent = [
            ("name", " Site "),
            ("kind", "widget"),
            ("environment", "test"),
            ("scopes", "bots:read"),
            ("allowed_domains", "a.example\r\nb.example"),
            ("expiry", "30"),
            ("rate_limit", "x"),
        ];
        let widget = new_key(&form(&sent), Owner::Workspace, NOW);
        assert_eq!((&widget["name"], &widget["environment"]), (&json!("Site"), &json!("test")));
        assert_eq!(widget["allowed_domains"], json!(["a.example", "b.example"]));
        assert_eq!((&widget["allow_localhost"], widget.get("scopes")), (&json!(false), None));
        assert_eq!(widget["expires_at"], json!("2026-01-31T23:59:59Z"));
        assert_eq!(
            (&widget["rate_limit"], &widget["owner"]),
            (&json!("x"), &Value::Null),
            "the API says what is wrong"
        );
        let owned = new_key(&form(&sent), Owner::ServiceAccount, NOW);
        assert_eq!((owned.get("kind"), owned.get("allowed_domains")), (None, None));
        assert_eq!(owned["scopes"], json!(["bots:read"]));
    }

    #[test]
    fn only_what_is_different_is_sent() {
        let key = super::super::tests::key(&[]);
        let same = [
            ("name", "Site"),
            ("scopes", "bots:read"),
            ("allowed_ips", "192.0.2.0/24"),
            ("rate_limit", "5"),
            ("owner", "ada"),
            ("expiry", "keep"),
            ("expires_at", "2026-11-22"),
        ];
        assert_eq!(changes(&form(&same), &key, NOW), Map::new());
        let mut other = same.to_vec();
        other[1] = ("scopes", "");
        other[3] = ("rate_limit", "");
        other[5] = ("expiry", "never");
        let sent = Value::Object(changes(&form(&other), &key, NOW));
        assert_eq!(sent, json!({"scopes": [], "rate_limit": null, "expires_at": null}));
        other[5] = ("expiry", "date");
        assert_eq!(changes(&form(&other), &key, NOW)["expires_at"], json!("2026-11-22T23:59:59Z"));
    }
}
