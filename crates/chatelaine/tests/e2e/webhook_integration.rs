//! Bots that a customer's own server answers for: what it is sent, what counts as its answer, and its secret.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, SystemClock};
use credential::webhook::verify_plain;
use http::HeaderMap;
use serde_json::{Value, json};
use testkit::{Backend, BotServer, Options, Persona, Received, World, eventually, id_of, text_of};

on_both! {
    a_server_of_the_customer_s_own_answers_and_can_tell_who_asks;
    what_is_no_answer_is_replaced_by_the_fallback;
    without_a_fallback_the_last_event_names_the_failure;
    its_secret_is_shown_once_and_sealed_and_goes_with_the_kind;
    it_answers_in_runs_too;
}

on_each! {
    during_a_rotation_both_secrets_sign_and_after_it_the_new_one_alone;
    a_private_address_is_refused;
}

/// A bot that the server answers for at this path, the integration's id and its secret.
async fn bot_at(world: &World, server: &BotServer, path: &str, extra: Value) -> (String, String, String) {
    let bot = world.bot().await;
    world.switch_off(&bot).await;
    let (id, secret) = add(world, &bot, &server.url(path), extra).await;
    (bot, id, secret)
}

async fn add(world: &World, bot: &str, url: &str, extra: Value) -> (String, String) {
    let mut body = json!({"name": "Ours", "kind": "webhook", "url": url});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let made = world.secret().post(&format!("/v1/bots/{bot}/integrations"), &body).await.expect(201).data();
    (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

/// What the reference implementation says of the signature.
pub(crate) fn is_signed_with(secret: &str, one: &Received) -> bool {
    let mut headers = HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, one.headers[name].clone());
    }
    standardwebhooks::Webhook::new(secret).unwrap().verify(&one.body, &headers).is_ok()
}

async fn ask(world: &World, bot: &str, text: &str) -> (String, String) {
    let session: Persona = world.open_session("session", &world.secret(), bot).await;
    let events = session.say(text).await.rest().await;
    (text_of(&events), events.last().unwrap().data["error"].as_str().unwrap_or_default().to_owned())
}

async fn a_server_of_the_customer_s_own_answers_and_can_tell_who_asks(world: &World) {
    let server = BotServer::start().await;
    let extra = json!({"headers": {"X-Team": "support", "webhook-id": "mine"}});
    let (bot, _, secret) = bot_at(world, &server, "/answer", extra).await;
    assert_eq!(world.secret().get(&format!("/v1/bots/{bot}")).await.data()["model"], "webhook");
    let open = json!({"agent_id": bot, "user_identifier": "ada@example.com", "metadata": {"plan": "gold"}});
    let opened = world.secret().post("/v1/chat/sessions", &open).await.expect(201).json();
    let (id, token) = (opened["conversation_id"].as_str().unwrap(), opened["session_token"].as_str().unwrap());
    let send = world.client().post(&format!("/v1/chat/sessions/{id}/messages"), &json!({"message": "Grüß dich"}));
    let events = send.bearer(token).stream().await.rest().await;
    assert_eq!((text_of(&events).as_str(), events.last().unwrap().kind()), ("Answer to: Grüß dich", "stream_end"));
    let one = &server.received("/answer")[0];
    let want = json!({
        "messages": [{"role": "user", "content": "Grüß dich"}],
        "conversation_id": id,
        "user": {"id": "ada@example.com"},
        "bot": {"id": bot, "name": "Echo"},
        "metadata": {"plan": "gold"},
    });
    assert_eq!(one.json(), want);
    let text = std::str::from_utf8(&one.body).unwrap();
    assert!(!text.contains("\": ") && !text.contains(", \"") && !text.contains('\n'), "compact: {text}");
    assert!(is_signed_with(&secret, one), "{:?}", one.headers);
    assert!(!is_signed_with("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", one));
    assert!(verify_plain(secret.as_bytes(), &one.body, one.header("x-chatbot-signature")));
    assert_eq!(one.header("x-team"), "support");
    assert_eq!(one.header("content-type"), "application/json");
    assert_ne!(one.header("webhook-id"), "mine", "nobody names a question but the server");
    let shown = world.secret().get(&format!("/v1/conversations/{id}/messages")).await.expect(200).data();
    assert_eq!(shown[1]["content"], "Answer to: Grüß dich");
}

/// Paths that do not answer.
const BROKEN: [(&str, &str); 9] = [
    ("/status-500", "upstream_refused"),
    ("/status-404", "upstream_refused"),
    ("/text", "upstream_unavailable"),
    ("/shape", "upstream_unavailable"),
    ("/empty", "upstream_unavailable"),
    ("/huge", "upstream_unavailable"),
    ("/hang", "upstream_timeout"),
    ("/drip", "upstream_timeout"),
    ("/redirect", "upstream_refused"),
];

async fn what_is_no_answer_is_replaced_by_the_fallback(world: &World) {
    let server = BotServer::start().await;
    for (path, _) in BROKEN {
        let (bot, _, _) = bot_at(world, &server, path, json!({"timeout_seconds": 1})).await;
        let _ = add(world, &bot, &server.url("/answer"), json!({"weight": 0, "fallback": true})).await;
        assert_eq!(ask(world, &bot, "still here").await, ("Answer to: still here".to_owned(), String::new()), "{path}");
        assert_eq!(server.received(path).len(), 1, "{path} was asked once");
    }
    assert!(server.received("/inner").is_empty(), "a redirect is not followed");
}

async fn without_a_fallback_the_last_event_names_the_failure(world: &World) {
    let server = BotServer::start().await;
    for (path, word) in BROKEN {
        let (bot, _, _) = bot_at(world, &server, path, json!({"timeout_seconds": 1})).await;
        assert_eq!(ask(world, &bot, "hello").await, (String::new(), word.to_owned()), "{path}");
    }
    assert!(server.received("/inner").is_empty(), "a redirect is not followed");
}

async fn its_secret_is_shown_once_and_sealed_and_goes_with_the_kind(world: &World) {
    let (by, bot) = (world.secret(), world.bot().await);
    let list = format!("/v1/bots/{bot}/integrations");
    let (id, secret) = add(world, &bot, "https://bot.example.com/answer", json!({})).await;
    assert!(secret.starts_with("whsec_"));
    let path = format!("/v1/integrations/{id}");
    let renamed = by.patch(&path, &json!({"name": "Renamed"})).await.expect(200);
    assert_eq!(renamed.data()["secret"], Value::Null);
    for text in [by.get(&path).await.text(), by.get(&list).await.text(), by.get("/v1/audit-log").await.text()] {
        assert!(text.contains(&id) && !text.contains(&secret), "{text}");
    }
    let stored = world.server().database().bytes().await;
    let holds = |needle: &str| stored.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(holds(&id) && !holds(&secret) && !holds(secret.trim_start_matches("whsec_")), "sealed at rest");

    // Of another kind, there is no secret; a webhook again, it has a new one.
    let echo = by.patch(&path, &json!({"kind": "echo"})).await.expect(200).data();
    assert_eq!((&echo["secret"], &echo["url"]), (&Value::Null, &Value::Null));
    let _ = by.post(&format!("{path}/rotate-secret"), &json!({})).await.refused(409, "CONFLICT");
    let webhook = json!({"kind": "webhook", "url": "https://bot.example.com/answer"});
    let again = by.patch(&path, &webhook).await.expect(200).data();
    assert!(again["secret"].as_str().unwrap().starts_with("whsec_") && again["secret"] != secret);

    // An OpenAI integration that becomes one loses its model.
    let openai = json!({"kind": "openai", "url": "https://api.example.com/v1", "model": "m"});
    let other = format!("/v1/integrations/{}", id_of(&by.post(&list, &openai).await.expect(201)));
    let turned = by.patch(&other, &json!({"kind": "webhook"})).await.expect(200).data();
    assert!(turned["model"].is_null() && turned["secret"].is_string(), "{turned}");
    let refused = json!({"kind": "webhook", "url": "https://bot.example.com/", "model": "m"});
    let refused = by.post(&list, &refused).await.refused(422, "VALIDATION_FAILED");
    assert_eq!(refused.json()["error"]["errors"][0]["field"], "model");
}

async fn it_answers_in_runs_too(world: &World) {
    let server = BotServer::start().await;
    let (bot, _, secret) = bot_at(world, &server, "/answer", json!({})).await;
    let agent = json!({"type": "Agent", "id": "helper", "bot": bot, "prompt": "Say hello."});
    let definition = json!({"type": "Workflow", "id": "root", "children": [agent]}).to_string();
    let deployment = world.deployment_of(&definition).await;
    let run = deployment.post("/api/v1/runs", &json!({})).await.expect(202).json();
    let path = format!("/api/v1/runs/{}", run["run_id"].as_str().unwrap());
    let done = eventually(Duration::from_secs(10), async || {
        deployment.get(&path).await.expect(200).json()["status"] == "completed"
    });
    assert!(done.await, "{}", deployment.get(&path).await.text());
    let asked = server.received("/answer");
    assert_eq!(asked.len(), 1);
    assert!(is_signed_with(&secret, &asked[0]));
    let body = asked[0].json();
    assert_eq!((&body["conversation_id"], &body["user"]), (&Value::Null, &Value::Null));
}

async fn during_a_rotation_both_secrets_sign_and_after_it_the_new_one_alone(backend: Backend) {
    // The reference implementation reads the machine's clock.
    let now = SystemClock::new().now();
    let clock = Arc::new(ManualClock::new(now));
    let world = World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await;
    let server = BotServer::start().await;
    let (bot, id, old) = bot_at(&world, &server, "/answer", json!({})).await;
    let rotate = format!("/v1/integrations/{id}/rotate-secret");
    let rotated = world.secret().post(&rotate, &json!({})).await.expect(200).data();
    let new = rotated["secret"].as_str().unwrap();
    let until = now.plus(24 * 3600 * 1000).to_string();
    assert!(new != old && rotated["previous_secret_expires_at"] == until, "{rotated}");
    let _ = ask(&world, &bot, "during").await;
    let one = &server.received("/answer")[0];
    assert!(is_signed_with(new, one) && is_signed_with(&old, one));
    assert!(verify_plain(new.as_bytes(), &one.body, one.header("x-chatbot-signature")));
    clock.advance(Duration::from_secs(24 * 3600));
    let _ = ask(&world, &bot, "after").await;
    let one = &server.received("/answer")[1];
    // A day ahead is nothing that the reference believes: the number of signatures says it.
    assert_eq!(one.header("webhook-signature").split(' ').count(), 1);
    assert!(verify_plain(new.as_bytes(), &one.body, one.header("x-chatbot-signature")));
    world.end().await;
}

async fn a_private_address_is_refused(backend: Backend) {
    let world = World::with(backend, Options { allow_loopback: false, ..Options::default() }).await;
    let (bot, server) = (world.bot().await, BotServer::start().await);
    let list = format!("/v1/bots/{bot}/integrations");
    for url in [server.url("/answer"), "https://10.0.0.5/".to_owned(), "https://169.254.169.254/".to_owned()] {
        let body = json!({"kind": "webhook", "url": url});
        let refused = world.secret().post(&list, &body).await.refused(422, "VALIDATION_FAILED");
        assert_eq!(refused.json()["error"]["errors"][0]["field"], "url", "{url}");
    }
    // A name is judged when it is called.
    world.switch_off(&bot).await;
    let _ = add(&world, &bot, "https://localtest.example.invalid/", json!({"timeout_seconds": 2})).await;
    assert_eq!(ask(&world, &bot, "hello").await.1, "upstream_unavailable");
    world.end().await;
}
