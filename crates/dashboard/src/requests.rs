//! The latest requests: a list that works without scripts, and the same as it goes on.

use access::Role;
use api::App;
use askama::Template;
use credential::key::Environment;
use gate::{Ask, Call, Operation, Problem, Raw, Routes};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    desk::Desk,
    doers::Doer,
    frame::Frame,
    page,
    show::{Pager, When},
};

const SHOW_REQUESTS: Operation<RequestsQuery, Raw> =
    page("/_/requests", "show_requests_page", "The latest requests, and each new one as it comes.", Role::Admin);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_REQUESTS, show_requests);
}

/// Which requests are listed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct RequestsQuery {
    /// Which page, from 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    page: Option<u32>,
    /// `let_in` or `refused`; else both.
    outcome: Option<String>,
    /// Refused with this code.
    code: Option<String>,
    /// Of this key.
    key_id: Option<String>,
    /// What was done a moment ago.
    #[expect(dead_code, reason = "the frame reads it")]
    done: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Credential {
    kind: String,
    id: String,
}

impl Credential {
    fn kind(&self) -> String {
        self.kind.replace('_', " ")
    }

    /// As the API names who did something, of whom there is a page.
    fn actor(&self) -> Option<String> {
        let kind = match self.id.split_once('_')?.0 {
            "key" => "api_key",
            "usr" => "member",
            _ => return None,
        };
        Some(format!("{kind}:{}", self.id))
    }
}

#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    created_at: When,
    method: String,
    path: String,
    status: u16,
    code: Option<String>,
    message: Option<String>,
    duration_us: u64,
    credential: Option<Credential>,
    /// Who that is, where somebody looked it up.
    #[serde(skip)]
    who: Option<Doer>,
    ip: Option<String>,
    origin: Option<String>,
}

impl Row {
    fn took(&self) -> String {
        match self.duration_us {
            us @ 0..1_000 => format!("{us}\u{a0}µs"),
            us => format!("{:.1}\u{a0}ms", us as f64 / 1_000.0),
        }
    }
}

#[derive(Template)]
#[template(path = "decisions/requests.html")]
struct RequestsPage {
    frame: Frame,
    rows: Vec<Row>,
    pager: Pager,
    outcome: String,
    code: String,
    key_id: String,
    environment: &'static str,
    is_filtered: bool,
}

async fn show_requests(_: App, call: Call<RequestsQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let RequestsQuery { page, outcome, code, key_id, .. } = &call.input;
    let text = |value: &Option<String>| value.as_deref().map(str::trim).unwrap_or_default().to_owned();
    let (outcome, code, key_id) = (text(outcome), text(code), text(key_id));
    let others = [("outcome", outcome.as_str()), ("code", &code), ("key_id", &key_id)];
    let ask = others.iter().fold(Ask::to("list_requests"), |ask, (name, value)| ask.query_if(name, Some(value)));
    let (mut rows, pager) = desk.list::<Row>(ask, *page, "/_/requests", &others).await?;
    let actors: Vec<Option<String>> =
        rows.iter().map(|row| row.credential.as_ref().and_then(Credential::actor)).collect();
    let mut doers = Doer::of_all(&desk, actors.iter().flatten().map(String::as_str)).await.into_iter();
    for (row, actor) in rows.iter_mut().zip(&actors) {
        row.who = actor.as_ref().and_then(|_| doers.next()).filter(|doer| doer.path.is_some());
    }
    let is_filtered = others.iter().any(|(_, value)| !value.is_empty());
    let environment = if desk.environment == Environment::Test { "test" } else { "live" };
    let frame = desk.frame("Live requests", "show_requests_page");
    desk.render(&RequestsPage { frame, rows, pager, outcome, code, key_id, environment, is_filtered })
}
