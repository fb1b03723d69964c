//! Widget keys in full: the list of domains while a reply runs, ceilings of a day, frames, preflights.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, Millis, SystemClock};
use gate::Meta;
use serde_json::{Value, json};
use testkit::{Answer, Backend, ORIGIN, Options, Persona, Upstream, World, now};

use crate::matrix;

on_both! {
    removing_a_domain_ends_a_running_reply_and_the_chat;
    a_list_that_still_has_the_page_ends_nothing;
    every_operation_for_browsers_answers_a_preflight_and_no_other_does;
    a_frame_may_be_where_the_key_works;
    a_ceiling_is_for_widget_keys_and_shown;
    a_refused_domain_is_named_with_the_reason;
}

on_each! {
    a_day_of_sessions_has_a_ceiling;
    a_day_of_messages_has_a_ceiling_over_all_sessions;
    all_sessions_of_a_key_share_a_minute;
    a_foreign_page_costs_the_workspace_nothing;
}

/// A world whose clock stands still, so that no budget refills.
async fn standing_still(backend: Backend, change: impl FnOnce(&mut Options)) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Millis::from_seconds(SystemClock::new().now().seconds())));
    let mut options = Options { clock: clock.clone(), ..Options::default() };
    change(&mut options);
    (World::with(backend, options).await, clock)
}

fn path(key: &Persona) -> String {
    format!("/v1/api-keys/{}", key.id())
}

async fn widget_with(world: &World, more: Value) -> Persona {
    let mut body = json!({"name": "Widget", "kind": "widget", "allowed_domains": ["example.com"]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.key("widget", body).await.at(Some(ORIGIN))
}

async fn open(key: &Persona, bot: &str) -> Answer {
    key.post("/v1/chat/sessions", &json!({"agent_id": bot})).await
}

async fn conversations(world: &World) -> Value {
    world.secret().get("/v1/conversations").await.expect(200).json()["meta"]["total"].take()
}

/// Refused by this budget, of this window, with a wait that is within it.
#[track_caller]
fn refused_by(answer: Answer, policy: &str, quota: u32, window: u64) {
    let answer = answer.refused(429, "RATE_LIMITED");
    assert_eq!(answer.header("ratelimit-policy"), format!("\"{policy}\";q={quota};w={window}"));
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=window).contains(&wait), "{:?}", answer.headers);
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN, "the page can read how long to wait");
}

async fn removing_a_domain_ends_a_running_reply_and_the_chat(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "slow").await;
    let widget = world.widget().await;
    let elsewhere = widget.at(Some("http://localhost:3000"));
    let session = world.open_session("widget_session", &widget, &bot).await;
    let local = world.open_session("widget_session", &elsewhere, &bot).await;
    let (mut reply, mut other) = (session.say("one two three").await, local.say("one two three").await);
    let _ = (reply.until("chunk").await, other.until("chunk").await);
    let begun = now();
    let _ = world.secret().patch(&path(&widget), &json!({"allowed_domains": ["example.org"]})).await.expect(200);
    let rest = reply.rest().await;
    let last = rest.last().unwrap();
    assert_eq!((last.kind(), &last.data["error"]), ("error", &json!("revoked")), "{last:?}");
    assert!(last.at.duration_since(begun) < Duration::from_secs(1), "{:?}", last.at.duration_since(begun));
    let _ = session.get(&session.messages()).await.refused(403, "ORIGIN_NOT_ALLOWED");
    let more = session.post(&session.messages(), &json!({"message": "still there?"})).await;
    let _ = more.refused(403, "ORIGIN_NOT_ALLOWED");
    let _ = open(&widget, &bot).await.refused(403, "ORIGIN_NOT_ALLOWED");
    let goes_on = other.next().await.unwrap();
    assert_eq!(goes_on.kind(), "chunk", "a page that is still allowed goes on");
    let _ = world.secret().patch(&path(&widget), &json!({"allow_localhost": false})).await.expect(200);
    let last = other.rest().await.pop().unwrap();
    assert_eq!((last.kind(), &last.data["error"]), ("error", &json!("revoked")), "{last:?}");
}

async fn a_list_that_still_has_the_page_ends_nothing(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "slow").await;
    let widget = world.widget().await;
    let session = world.open_session("widget_session", &widget, &bot).await;
    let mut reply = session.say("one two three").await;
    let _ = reply.until("chunk").await;
    let wider = json!({"allowed_domains": "shop.example.org, example.com", "allow_localhost": false});
    let _ = world.secret().patch(&path(&widget), &wider).await.expect(200);
    assert_eq!(reply.next().await.unwrap().kind(), "chunk");
    let _ = session.get(&session.messages()).await.expect(200);
}

async fn every_operation_for_browsers_answers_a_preflight_and_no_other_does(world: &World) {
    let table = matrix::table(world);
    let mut browsers = 0;
    for meta in &table {
        let shares_path = |other: &&Meta| other.path == meta.path && other.access.is_for_browsers();
        let expected = table.iter().any(|other| shares_path(&other));
        let filled: Vec<&str> =
            meta.path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
        let request = world.client().request("OPTIONS", &filled.join("/")).origin("https://anywhere.example");
        let request = request.header("access-control-request-method", meta.method.as_str());
        let answer = request.header("access-control-request-headers", "authorization, x-embedding-origin").send().await;
        if !expected {
            assert_eq!(answer.status, 405, "{}", meta.id);
            assert!(answer.header("access-control-allow-origin").is_empty(), "{}", meta.id);
            continue;
        }
        browsers += 1;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, "*"), "{}", meta.id);
        assert!(answer.header("access-control-allow-methods").contains(meta.method.as_str()), "{}", meta.id);
        let allowed = answer.header("access-control-allow-headers").to_lowercase();
        for header in ["authorization", "content-type", "idempotency-key", "last-event-id", "x-embedding-origin"] {
            assert!(allowed.contains(header), "{}: {header}", meta.id);
        }
        let seconds: u32 = answer.header("access-control-max-age").parse().unwrap();
        assert!(seconds <= 600 && answer.header("access-control-allow-credentials").is_empty(), "{}", meta.id);
    }
    assert!(browsers >= 4, "{browsers}");
}

async fn a_frame_may_be_where_the_key_works(world: &World) {
    let frame = async |id: &str| world.client().get(&format!("/widget/frame/{id}")).send().await;
    let widget = widget_with(world, json!({"allowed_domains": "example.com, http://old.example:8080"})).await;
    let page = frame(widget.id()).await.expect(200);
    assert!(page.header("content-type").starts_with("text/html"));
    let ancestors = |page: &Answer| {
        let policy = page.header("content-security-policy").to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; connect-src 'self'"), "{policy}");
        policy.split_once("frame-ancestors ").unwrap().1.to_owned()
    };
    let listed = "https://example.com https://*.example.com http://old.example:8080 http://*.old.example:8080";
    assert_eq!(ancestors(&page), format!("{listed} http://localhost:* http://127.0.0.1:*"));
    assert!(page.header("x-frame-options").is_empty(), "it would overrule the list in old browsers");
    assert_eq!(page.header("cache-control"), "no-store", "a list that changed is in force at once");
    assert!(!page.text().contains("tk_widget_") && !page.text().contains(widget.id()));
    let narrow = json!({"allowed_domains": ["example.org"], "allow_localhost": false});
    let _ = world.secret().patch(&path(&widget), &narrow).await.expect(200);
    assert_eq!(ancestors(&frame(widget.id()).await.expect(200)), "https://example.org https://*.example.org");

    let unknown = frame("key_01hzzzzzzzzzzzzzzzzzzzzzzz").await.refused(404, "NOT_FOUND");
    let _ = world.secret().delete(&path(&widget)).await.expect(200);
    for id in [widget.id(), world.secret().id(), "key_x", "x", widget.credential()] {
        let answer = frame(id).await.refused(404, "NOT_FOUND");
        assert_eq!(answer.body_without_id(), unknown.body_without_id(), "{id}");
        assert!(answer.header("content-security-policy").is_empty());
    }
}

async fn a_ceiling_is_for_widget_keys_and_shown(world: &World) {
    let widget = widget_with(world, json!({"daily_sessions": 5, "daily_messages": 10_000_000})).await;
    let shown = world.secret().get(&path(&widget)).await.expect(200).data();
    assert_eq!((&shown["daily_sessions"], &shown["daily_messages"]), (&json!(5), &json!(10_000_000)));
    let shown = world.secret().patch(&path(&widget), &json!({"daily_sessions": null})).await.expect(200).data();
    assert_eq!((&shown["daily_sessions"], &shown["daily_messages"]), (&Value::Null, &json!(10_000_000)));
    for wrong in [json!(0), json!(10_000_001), json!(-1), json!("5"), json!(1.5)] {
        let body = json!({"daily_sessions": wrong});
        let status = world.secret().patch(&path(&widget), &body).await.status;
        assert_eq!(status, 422, "{body}");
    }
    let body = json!({"name": "Server", "daily_messages": 5});
    let refused = world.secret().post("/v1/api-keys", &body).await.refused(422, "VALIDATION_FAILED");
    assert_eq!(refused.json()["error"]["errors"][0]["field"], "daily_messages");
}

async fn a_refused_domain_is_named_with_the_reason(world: &World) {
    let body = json!({"name": "Wide", "kind": "widget", "allowed_domains": ["mysite.com", "shop.example, github.io"]});
    let refused = world.secret().post("/v1/api-keys", &body).await.refused(422, "VALIDATION_FAILED").json();
    let error = &refused["error"]["errors"][0];
    assert_eq!(error["field"], "allowed_domains[1]");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("github.io: ") && message.contains("register"), "{message}");
}

async fn a_day_of_sessions_has_a_ceiling(backend: Backend) {
    let (world, clock) = standing_still(backend, |_| ()).await;
    let bot = world.bot().await;
    let widget = widget_with(&world, json!({"daily_sessions": 2})).await;
    for _ in 0..2 {
        let _ = open(&widget, &bot).await.expect(201);
    }
    refused_by(open(&widget, &bot).await, "daily-sessions", 2, 86_400);
    let _ = open(&widget.at(Some("https://evil.example")), &bot).await.refused(403, "ORIGIN_NOT_ALLOWED");
    assert_eq!(conversations(&world).await, 2, "what was refused was not made");
    let _ = open(&widget_with(&world, json!({"daily_sessions": 1})).await, &bot).await.expect(201);
    let _ = world.secret().patch(&path(&widget), &json!({"name": "Renamed"})).await.expect(200);
    refused_by(open(&widget, &bot).await, "daily-sessions", 2, 86_400);
    let _ = world.secret().patch(&path(&widget), &json!({"daily_sessions": 3})).await.expect(200);
    for _ in 0..3 {
        let _ = open(&widget, &bot).await.expect(201);
    }
    refused_by(open(&widget, &bot).await, "daily-sessions", 3, 86_400);
    clock.advance(Duration::from_secs(86_400 / 3));
    let _ = open(&widget, &bot).await.expect(201);
    let _ = world.secret().patch(&path(&widget), &json!({"daily_sessions": null})).await.expect(200);
    for _ in 0..5 {
        let _ = open(&widget, &bot).await.expect(201);
    }
    world.end().await;
}

async fn a_day_of_messages_has_a_ceiling_over_all_sessions(backend: Backend) {
    let (world, _) = standing_still(backend, |_| ()).await;
    let bot = world.bot().await;
    let widget = widget_with(&world, json!({"daily_messages": 3})).await;
    let (one, two) = (world.open_session("one", &widget, &bot).await, world.open_session("two", &widget, &bot).await);
    for session in [&one, &two, &one] {
        let _ = session.say("hi").await.rest().await;
    }
    let refused = two.post(&two.messages(), &json!({"message": "hi"})).await;
    refused_by(refused, "daily-messages", 3, 86_400);
    assert_eq!(two.history().await.len(), 2, "history is still read, and nothing was added to it");
    let _ = two.end_session().await.expect(200);
    let by_server = world.session().await;
    let _ = by_server.say("hi").await.rest().await;
    world.end().await;
}

async fn all_sessions_of_a_key_share_a_minute(backend: Backend) {
    let (world, clock) = standing_still(backend, |options| options.limits.widget_messages_per_minute = 2).await;
    let bot = world.bot().await;
    let widget = world.widget().await;
    let (one, two) = (world.open_session("one", &widget, &bot).await, world.open_session("two", &widget, &bot).await);
    for session in [&one, &two] {
        let _ = session.say("hi").await.rest().await;
    }
    refused_by(one.post(&one.messages(), &json!({"message": "hi"})).await, "key-messages", 2, 60);
    let another = world.open_session("three", &world.widget().await, &bot).await;
    let _ = another.say("hi").await.rest().await;
    let by_server = world.session().await;
    for _ in 0..3 {
        let _ = by_server.say("hi").await.rest().await;
    }
    clock.advance(Duration::from_secs(30));
    let _ = two.say("hi").await.rest().await;
    world.end().await;
}

async fn a_foreign_page_costs_the_workspace_nothing(backend: Backend) {
    let (world, _) = standing_still(backend, |options| options.limits.workspace_per_minute = 50).await;
    let bot = world.bot().await;
    let widget = widget_with(&world, json!({"daily_sessions": 1})).await;
    let left = |answer: &Answer| {
        let budget = answer.header("ratelimit").to_owned();
        budget.split(';').find_map(|part| part.strip_prefix("r=")).unwrap().parse::<u32>().unwrap()
    };
    let servers = left(&world.secret().get("/v1/me").await.expect(200));
    for origin in [None, Some("null"), Some("https://evil-example.com"), Some("https://example.com.evil.test")] {
        let _ = open(&widget.at(origin), &bot).await.refused(403, "ORIGIN_NOT_ALLOWED");
    }
    let twice = widget.request("POST", "/v1/chat/sessions").origin(ORIGIN).json(&json!({"agent_id": bot}));
    let _ = twice.send().await.refused(403, "ORIGIN_NOT_ALLOWED");
    assert_eq!(conversations(&world).await, 0);
    assert_eq!(left(&world.secret().get("/v1/me").await.expect(200)), servers - 2, "this look and the one before");
    let first = open(&widget, &bot).await.expect(201);
    assert_eq!(first.header("ratelimit-policy"), "\"daily-sessions\";q=1;w=86400", "the day was not drawn on");
    let session = world.open_session("browser", &world.widget().await, &bot).await;
    let read = session.get(&session.messages()).await.expect(200);
    assert_eq!(left(&read), 47, "two sessions and this look: no refusal is among what browsers have used");
    world.end().await;
}
