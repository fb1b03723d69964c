//! What happened today, and what wants attention.

use access::Role;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, Problem, Raw, Routes};
use serde::Deserialize;

use crate::{
    chart::Chart,
    desk::Desk,
    frame::Frame,
    page,
    show::{One, When},
};

const SHOW_HOME: Operation<Nothing, Raw> =
    page("/_/", "show_home_page", "What happened today, and what wants attention.", Role::Member);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_HOME, show_home);
}

#[derive(Deserialize)]
struct Overview {
    hours: Vec<Hour>,
    refusals: Vec<Refusals>,
    attention: Attention,
    has: Has,
}

#[derive(Deserialize)]
struct Hour {
    start: String,
    requests: u64,
    refused: u64,
    conversations: u64,
    credits: u64,
}

#[derive(Deserialize)]
struct Refusals {
    code: String,
    requests: u64,
}

#[derive(Deserialize)]
struct Attention {
    expiring: Vec<KeyAt>,
    unused: Vec<KeyAt>,
    leaked: Vec<KeyAt>,
    exposed: Vec<KeyAt>,
    over_budget: Vec<KeyAt>,
    webhooks: Vec<WebhookAt>,
    failing_webhooks: Vec<WebhookAt>,
}

#[derive(Deserialize)]
struct KeyAt {
    id: String,
    name: String,
    at: Option<When>,
}

#[derive(Deserialize)]
struct WebhookAt {
    id: String,
    host: String,
    at: When,
    reason: String,
}

impl WebhookAt {
    /// Why it gets nothing.
    fn why(&self) -> &str {
        match self.reason.as_str() {
            "gone" => "it answered that it is gone",
            "failing" => "it failed for too long",
            "paused" => "turned off",
            other => other,
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
struct Has {
    keys: bool,
    bots: bool,
    conversations: bool,
}

/// Keys that want the same.
struct Group {
    title: &'static str,
    advice: &'static str,
    badge: &'static str,
    /// What `at` is.
    at: &'static str,
    keys: Vec<KeyAt>,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    charts: Vec<Chart>,
    refusals: Vec<Refusals>,
    groups: Vec<Group>,
    webhooks: Vec<WebhookAt>,
    failing_webhooks: Vec<WebhookAt>,
    has: Has,
    may_follow: bool,
    may_make_keys: bool,
    may_make_bots: bool,
}

impl HomePage {
    fn is_quiet(&self) -> bool {
        self.groups.is_empty() && self.webhooks.is_empty() && self.failing_webhooks.is_empty()
    }
}

fn groups(attention: Attention) -> Vec<Group> {
    let Attention { expiring, unused, leaked, exposed, over_budget, .. } = attention;
    let group = |title, badge, at, advice, keys| Group { title, advice, badge, at, keys };
    let all = [
        group(
            "Reported as leaked",
            "wrong",
            "reported",
            "Somebody has found the key where it should not be. Rotate or revoke it.",
            leaked,
        ),
        group(
            "Seen in a browser",
            "wrong",
            "seen",
            "A key for servers came from a page: whoever opened the page has it. Rotate it, and use a widget key there.",
            exposed,
        ),
        group(
            "Over its budget",
            "warn",
            "last refused",
            "Requests were refused because a budget was used up. Raise it, or send less.",
            over_budget,
        ),
        group(
            "Ending soon",
            "warn",
            "ends",
            "The key stops within seven days. Give it a later end, or replace it.",
            expiring,
        ),
        group(
            "Not used",
            "",
            "last used",
            "The key was not used for ninety days. What nobody needs is better revoked.",
            unused,
        ),
    ];
    all.into_iter().filter(|group| !group.keys.is_empty()).collect()
}

async fn show_home(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let overview = desk.get::<One<Overview>>(Ask::to("get_overview")).await?.data;
    let values = |of: fn(&Hour) -> u64| {
        // `2026-01-31T18:00:00.000Z`: the hour.
        let label = |hour: &Hour| hour.start.get(11..16).unwrap_or_default().to_owned();
        overview.hours.iter().map(|hour| (label(hour), of(hour))).collect::<Vec<_>>()
    };
    let charts = vec![
        Chart::new("Let in", "bar", values(|hour| hour.requests)),
        Chart::new("Refused", "bad", values(|hour| hour.refused)),
        Chart::new("Conversations", "bar", values(|hour| hour.conversations)),
        Chart::new("Credits charged", "bar", values(|hour| hour.credits)),
    ];
    let Overview { refusals, mut attention, has, .. } = overview;
    let webhooks = std::mem::take(&mut attention.webhooks);
    let failing_webhooks = std::mem::take(&mut attention.failing_webhooks);
    desk.render(&HomePage {
        frame: desk.frame("Home", "show_home_page"),
        charts,
        refusals,
        groups: groups(attention),
        webhooks,
        failing_webhooks,
        has,
        may_follow: desk.may("show_requests_page"),
        may_make_keys: desk.may("create_api_key"),
        may_make_bots: desk.may("create_bot"),
    })
}
