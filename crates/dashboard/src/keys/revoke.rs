//! The end of one key or of several: first what it would cut, then how long it took.

use std::collections::BTreeSet;

use access::Role;
use ambient::KeyId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, Problem, Raw, Routes};
use serde::Deserialize;

use super::{Key, detail::find_key};
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Trouble, When},
};

const SHOW_REVOCATION: Operation<Nothing, Raw> =
    page("/_/api-keys/{id}/revoke", "show_api_key_revocation_page", "What revoking an API key would cut.", Role::Owner);
const REVOKE_API_KEYS: Operation<Form, Raw> = form(
    "/_/api-keys/revoke",
    "revoke_api_keys_page",
    "Revoke the chosen API keys for good, once it is confirmed.",
    Role::Owner,
);

/// As many as a page of the API has, at once.
const MOST: usize = 100;

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_REVOCATION, show_revocation);
    routes.mount(REVOKE_API_KEYS, revoke_api_keys);
}

/// What the API says that a revocation would cut.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Impact {
    open_streams: u64,
    live_sessions: u64,
    ends_deployment: bool,
}

/// What a revocation did.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Receipt {
    revoked_at: When,
    took_ms: f64,
    nodes_confirmed: u32,
    streams_closed: u64,
}

#[derive(Template)]
#[template(path = "keys/revoke.html")]
struct RevokePage {
    frame: Frame,
    keys: Vec<(Key, Impact)>,
    is_empty: bool,
}

#[derive(Template)]
#[template(path = "keys/revoked.html")]
struct RevokedPage {
    frame: Frame,
    done: Vec<(Key, Receipt)>,
    left: Vec<(Key, Trouble)>,
}

async fn show_revocation(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    ask_once_more(&desk, &[call.id("id")?]).await
}

async fn revoke_api_keys(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let ids: Result<BTreeSet<KeyId>, _> = call.input.all("id").into_iter().map(str::parse).collect();
    let ids: Vec<KeyId> = ids.map_err(|_| Problem::not_found())?.into_iter().collect();
    if ids.len() > MOST {
        return Err(Problem::invalid_request(
            "At most 100 keys are revoked at once. Nothing was revoked: choose fewer.",
        ));
    }
    if !call.input.flag("confirmed") {
        return ask_once_more(&desk, &ids).await;
    }
    // Each is found before the first is revoked: what is not there stops all of it, and not the half.
    let mut keys = Vec::with_capacity(ids.len());
    for id in ids {
        keys.push((id, find_key(&desk, id).await?));
    }
    let (mut done, mut left) = (Vec::new(), Vec::new());
    for (id, key) in keys {
        match desk.get::<One<Receipt>>(Ask::to("revoke_api_key").at("id", id)).await {
            Ok(receipt) => done.push((key, receipt.data)),
            // Those before it are revoked: the person is to know of each.
            Err(problem) => left.push((key, Trouble::of(&problem))),
        }
    }
    desk.render(&RevokedPage { frame: desk.frame("Revoked", "show_api_keys_page"), done, left })
}

async fn ask_once_more(desk: &Desk<'_>, ids: &[KeyId]) -> Result<Raw, Problem> {
    let mut keys = Vec::new();
    for id in ids {
        let key = find_key(desk, *id).await?;
        let impact = desk.get::<One<Impact>>(Ask::to("get_revocation_impact").at("id", id)).await?.data;
        keys.push((key, impact));
    }
    let title = match keys.as_slice() {
        [(key, _)] => format!("Revoke “{}”", key.name),
        _ => "Revoke keys".to_owned(),
    };
    desk.render(&RevokePage { frame: desk.frame(title, "show_api_keys_page"), is_empty: keys.is_empty(), keys })
}
