//! The drop-in surface as the original's clients see it: status, headers and bodies to the byte.

mod origins;
mod refusals;
mod replies;
mod start;

use serde_json::{Value, json};
use testkit::{ADMIN_API_KEY, Answer, Backend, Client, Options, Request, Upstream, WIDGET_API_KEY, World, drop_in};

use chatelaine::config::{Concealed, DropIn};

pub(crate) const CHAT: &str = "/v1/chat";
pub(crate) const STREAM: &str = "/v1/chat/stream";
pub(crate) const LEGACY: &str = "/chat";
pub(crate) const LIST: &str = "/v1/admin/conversations";

/// A world whose server has both keys.
pub(crate) async fn world(backend: Backend, change: impl FnOnce(&mut DropIn)) -> World {
    let mut settings = drop_in();
    change(&mut settings);
    World::with(backend, Options { drop_in: Some(settings), ..Options::default() }).await
}

/// The same with a model of the upstream.
pub(crate) async fn with_model(backend: Backend, upstream: &Upstream, model: &str) -> World {
    world(backend, |settings| aim(settings, upstream, model)).await
}

pub(crate) fn aim(settings: &mut DropIn, upstream: &Upstream, model: &str) {
    settings.openai_api_key = Some(Concealed::new("sk-model-key".to_owned()));
    settings.openai_base_url = upstream.url();
    settings.openai_model = model.to_owned();
}

pub(crate) fn message(session: &str, text: &str) -> Value {
    json!({"sessionId": session, "message": text})
}

/// A message under the widget key.
pub(crate) fn send(client: &Client, path: &str, session: &str, text: &str) -> Request {
    client.post(path, &message(session, text)).header("x-api-key", WIDGET_API_KEY)
}

/// A request under the admin key.
pub(crate) fn read(client: &Client, path: &str) -> Request {
    client.get(path).header("x-admin-api-key", ADMIN_API_KEY)
}

/// Exactly this answer.
#[track_caller]
pub(crate) fn said(answer: &Answer, status: u16, body: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (status, body));
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16, error: &str) {
    said(answer, status, &format!("{{\"error\":\"{error}\"}}"));
}

/// How many conversations the admin key sees.
pub(crate) async fn total(client: &Client) -> u64 {
    read(client, LIST).send().await.expect(200).json()["total"].as_u64().unwrap()
}
