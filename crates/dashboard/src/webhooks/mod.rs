//! Webhooks: where events go, whether they arrive, and what is sent again.

mod edit;

use access::Role;
use ambient::{AttemptId, WebhookId};
use api::App;
use askama::Template;
use gate::{Ask, Call, Operation, PageQuery, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, OrDash, Pager, Trouble, When},
};

const SHOW_WEBHOOKS: Operation<PageQuery, Raw> =
    page("/_/webhooks", "show_webhooks_page", "The list of endpoints that events go to.", Role::Member);
const SHOW_WEBHOOK: Operation<PageQuery, Raw> =
    page("/_/webhooks/{id}", "show_webhook_page", "An endpoint, and the attempts to reach it.", Role::Member);
const TEST: Operation<Form, Raw> =
    form("/_/webhooks/{id}/test", "test_webhook_page", "Send a test event.", Role::Admin);
const REPLAY: Operation<Form, Raw> = form(
    "/_/webhooks/{id}/attempts/{attempt}/replay",
    "replay_webhook_attempt_page",
    "Send the event of an attempt again.",
    Role::Admin,
);
const RECOVER: Operation<Form, Raw> =
    form("/_/webhooks/{id}/recover", "recover_webhook_page", "Send again what was missed since a time.", Role::Admin);
const SWITCH: Operation<Form, Raw> =
    form("/_/webhooks/{id}/switch", "switch_webhook_page", "Turn an endpoint off or on.", Role::Admin);
const DELETE: Operation<Form, Raw> =
    form("/_/webhooks/{id}/delete", "delete_webhook_page", "Delete an endpoint.", Role::Admin);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_WEBHOOKS, show_webhooks);
    edit::mount(routes);
    routes.mount(SHOW_WEBHOOK, show_webhook);
    routes.mount(TEST, test);
    routes.mount(REPLAY, replay);
    routes.mount(RECOVER, recover);
    routes.mount(SWITCH, switch);
    routes.mount(DELETE, delete);
}

/// An endpoint, as the API says.
#[derive(Clone, Debug, Deserialize)]
struct Webhook {
    id: String,
    url: String,
    events: Option<Vec<String>>,
    description: OrDash,
    is_active: bool,
    status: String,
    disabled_reason: Option<String>,
    disabled_at: Option<When>,
    failing_since: Option<When>,
    previous_secret_expires_at: Option<When>,
    created_at: When,
}

impl Webhook {
    fn badge(&self) -> &'static str {
        match self.status.as_str() {
            "active" => "good",
            "failing" => "warn",
            _ => "wrong",
        }
    }

    fn heard(&self) -> String {
        self.events.as_ref().map_or_else(|| "all events".to_owned(), |events| events.join(", "))
    }

    /// What is the matter, and what to do.
    fn advice(&self) -> &'static str {
        match (self.status.as_str(), self.disabled_reason.as_deref()) {
            ("failing", _) => {
                "Every attempt since then has failed. See below what the endpoint answers, and mend it: what was not \
                 taken is tried again for three days, and can be sent again after that."
            }
            (_, Some("gone")) => {
                "It answered 410 Gone, which means: send no more. Turn it on when it is there again, and send again \
                 what it missed."
            }
            (_, Some("failing")) => {
                "It was turned off after five days in which nothing arrived. Mend it, turn it on, and send again what \
                 it missed."
            }
            (_, Some(_)) => "Somebody turned it off. Turn it on, and send again what it missed.",
            _ => "",
        }
    }
}

/// An attempt, as the API says.
#[derive(Clone, Debug, Deserialize)]
struct Attempt {
    id: String,
    event_id: String,
    event_type: OrDash,
    number: u32,
    delivered: bool,
    status: Option<u16>,
    error: Option<String>,
    answer: Option<String>,
    took_ms: u64,
    created_at: When,
    next_attempt_at: Option<When>,
}

impl Attempt {
    /// Why it did not arrive, in words.
    fn why(&self) -> &str {
        match self.error.as_deref() {
            None => "",
            Some("status") => "the answer was no success",
            Some("refused") => "the address is one that is not called",
            Some("resolve") => "the host has no address",
            Some("connect") => "nobody took the connection",
            Some("timeout") => "no answer in time",
            Some("transport") => "the connection broke",
            Some("redirect") => "it leads elsewhere, and that is never followed",
            Some(other) => other,
        }
    }
}

#[derive(Template)]
#[template(path = "webhooks/list.html")]
struct ListPage {
    frame: Frame,
    webhooks: Vec<Webhook>,
    pager: Pager,
    may_write: bool,
}

async fn show_webhooks(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let (webhooks, pager) = desk.list(Ask::to("list_webhooks"), call.input.page, "/_/webhooks", &[]).await?;
    desk.render(&ListPage {
        frame: desk.frame("Webhooks", "show_webhooks_page"),
        webhooks,
        pager,
        may_write: desk.may("create_webhook"),
    })
}

#[derive(Template)]
#[template(path = "webhooks/webhook.html")]
struct WebhookPage {
    frame: Frame,
    webhook: Webhook,
    attempts: Vec<Attempt>,
    pager: Pager,
    path: String,
    since: String,
    /// Something was sent a moment ago.
    is_on_its_way: bool,
    may_write: bool,
    may_audit: bool,
    trouble: Trouble,
}

async fn webhook_page<I>(
    desk: &Desk<'_>,
    call: &Call<I>,
    page: Option<u32>,
    since: &str,
    trouble: Trouble,
) -> Result<Raw, Problem> {
    let id = call.id::<WebhookId>("id")?;
    let webhook = desk.get::<One<Webhook>>(Ask::to("get_webhook").at("id", id)).await?.data;
    let (path, status) = (format!("/_/webhooks/{id}"), trouble.status);
    let ask = Ask::to("list_webhook_attempts").at("id", id);
    let (attempts, pager) = desk.list(ask, page, &path, &[]).await?;
    let done = call.request.query("done").unwrap_or_default();
    let page = WebhookPage {
        is_on_its_way: ["tested", "replayed", "recovered"].contains(&done.as_str()),
        frame: desk.frame(webhook.url.as_str(), "show_webhooks_page"),
        webhook,
        attempts,
        pager,
        path,
        since: since.to_owned(),
        may_write: desk.may("update_webhook"),
        may_audit: desk.may("list_audit_log"),
        trouble,
    };
    Ok(desk.render(&page)?.with_status(status))
}

async fn show_webhook(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    webhook_page(&desk, &call, call.input.page, "", Trouble::default()).await
}

/// Does it, and leads back to the endpoint's page; what was wrong is said there.
async fn act(call: &Call<Form>, ask: Ask, done: &str) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(call).await?, call.id::<WebhookId>("id")?);
    match desk.ask(ask.at("id", id)).await {
        Ok(_) => Ok(Raw::see_other(&format!("/_/webhooks/{id}?done={done}"))),
        Err(problem) => webhook_page(&desk, call, None, "", Trouble::again(problem)?).await,
    }
}

async fn test(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    act(&call, Ask::to("test_webhook").once(call.input.text("once")), "tested").await
}

async fn replay(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let attempt = call.id::<AttemptId>("attempt")?;
    let ask = Ask::to("replay_webhook_attempt").at("attempt", attempt).once(call.input.text("once"));
    act(&call, ask, "replayed").await
}

async fn switch(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let is_active = call.input.flag("is_active");
    let ask = Ask::to("update_webhook").body(&json!({ "is_active": is_active }));
    act(&call, ask, if is_active { "turned-on" } else { "turned-off" }).await
}

#[derive(Deserialize)]
struct Recovered {
    events: u64,
}

/// What a browser's field for a date and a time says, in UTC.
fn utc(text: &str) -> String {
    match text.len() {
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    }
}

async fn recover(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id, since) = (Desk::open(&call).await?, call.id::<WebhookId>("id")?, call.input.text("since"));
    let ask = Ask::to("recover_webhook").at("id", id).body(&json!({ "since": utc(since) }));
    match desk.get::<One<Recovered>>(ask.once(call.input.text("once"))).await {
        Ok(sent) => {
            let done = if sent.data.events == 0 { "nothing-missed" } else { "recovered" };
            Ok(Raw::see_other(&format!("/_/webhooks/{id}?done={done}")))
        }
        Err(problem) => webhook_page(&desk, &call, None, since, Trouble::again(problem)?).await,
    }
}

async fn delete(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<WebhookId>("id")?);
    desk.ask(Ask::to("delete_webhook").at("id", id)).await?;
    Ok(Raw::see_other("/_/webhooks?done=deleted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browsers_time_is_taken_as_utc_and_anything_else_as_it_is() {
        assert_eq!(utc("2026-11-22T18:34"), "2026-11-22T18:34:00Z");
        assert_eq!(utc("2026-11-22T18:34:56"), "2026-11-22T18:34:56Z");
        assert_eq!(utc("2026-11-22T18:34:56Z"), "2026-11-22T18:34:56Z");
        assert_eq!(utc("yesterday"), "yesterday");
    }
}
