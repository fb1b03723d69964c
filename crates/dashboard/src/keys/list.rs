//! The list of keys.

use access::Role;
use api::App;
use askama::Template;
use gate::{Ask, Call, Operation, Problem, Raw, Routes};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Bars, Key, bars_of};
use crate::{desk::Desk, frame::Frame, page, show::Pager};

const SHOW_API_KEYS: Operation<KeysQuery, Raw> =
    page("/_/api-keys", "show_api_keys_page", "The list of API keys.", Role::Member);

/// Hours that are drawn beside a key.
const HOURS: u32 = 36;

const KINDS: &[(&str, &str)] =
    &[("", "All types"), ("secret", "Secret keys"), ("widget", "Widget keys"), ("deployment", "Deployment keys")];
const STATUSES: &[(&str, &str)] = &[
    ("", "All states"),
    ("active", "Active"),
    ("expiring", "Ends soon"),
    ("expired", "Expired"),
    ("disabled", "Disabled"),
    ("revoked", "Revoked"),
];
const SORTS: &[(&str, &str)] = &[
    ("", "Newest first"),
    ("oldest", "Oldest first"),
    ("name", "By name"),
    ("used", "Last used first"),
    ("unused", "Longest unused first"),
    ("expires", "Next to end first"),
];

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_API_KEYS, show_api_keys);
}

/// Which keys a person looks at.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
struct KeysQuery {
    q: Option<String>,
    kind: Option<String>,
    status: Option<String>,
    sort: Option<String>,
    page: Option<u32>,
}

/// A choice of a filter: its value, its words, whether it is chosen.
pub(super) type Choice = (&'static str, &'static str, bool);

fn choices(of: &'static [(&'static str, &'static str)], chosen: &str) -> Vec<Choice> {
    of.iter().map(|(value, words)| (*value, *words, *value == chosen)).collect()
}

#[derive(Template)]
#[template(path = "keys/list.html")]
struct KeysPage {
    frame: Frame,
    rows: Vec<(Key, Bars)>,
    pager: Pager,
    words: String,
    kinds: Vec<Choice>,
    statuses: Vec<Choice>,
    sorts: Vec<Choice>,
    is_filtered: bool,
    may_change: bool,
}

async fn show_api_keys(_: App, call: Call<KeysQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let text = |value: &Option<String>| value.as_deref().unwrap_or_default().trim().to_owned();
    let KeysQuery { q, kind, status, sort, page } = &call.input;
    let (words, kind, status, sort) = (text(q), text(kind), text(status), text(sort));
    let (order, reverse) = match sort.as_str() {
        "oldest" => ("created", true),
        "name" => ("name", false),
        "used" => ("last_used", false),
        "unused" => ("last_used", true),
        "expires" => ("expires", false),
        _ => ("created", false),
    };
    let ask = Ask::to("list_api_keys").query("sort", order).query("reverse", reverse);
    let ask = ask.query_if("q", Some(&words)).query_if("kind", Some(&kind)).query_if("status", Some(&status));
    let others = [("q", words.as_str()), ("kind", &kind), ("status", &status), ("sort", &sort)];
    let (keys, pager) = desk.list::<Key>(ask, *page, "/_/api-keys", &others).await?;
    let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
    let (mut bars, _) = bars_of(&desk, &ids, HOURS).await?;
    let rows = keys.into_iter().map(|key| {
        let bars = bars.remove(&key.id).unwrap_or_default();
        (key, bars)
    });
    let page = KeysPage {
        frame: desk.frame("API keys", "show_api_keys_page"),
        rows: rows.collect(),
        pager,
        kinds: choices(KINDS, &kind),
        statuses: choices(STATUSES, &status),
        sorts: choices(SORTS, &sort),
        is_filtered: !(words.is_empty() && kind.is_empty() && status.is_empty()),
        words,
        may_change: desk.may("create_api_key"),
    };
    desk.render(&page)
}
