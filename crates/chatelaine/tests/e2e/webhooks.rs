//! Webhooks out: what is made, what is sent and signed, and what is done about receivers that misbehave.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, Millis, WebhookId};
use serde_json::{Value, json};
use store::PageRequest;
use testkit::{Backend, Options, Persona, World, eventually};

use crate::receiver::{Received, Receiver, Reply};

on_both! {
    an_event_is_delivered_signed_and_written_down;
    what_answers_410_is_disabled_at_once_and_told_to_the_others;
    what_does_not_end_costs_nothing_and_no_redirect_is_followed;
    an_endpoint_that_hangs_keeps_nobody_else_waiting;
    what_does_not_fit_is_refused_by_its_field;
    another_tenant_s_endpoints_are_not_found;
    an_attempt_is_replayed_with_the_id_of_its_event;
    what_a_kill_left_under_way_is_sent_again;
}

on_each! {
    an_attempt_says_of_what_it_was_and_when_the_next_one_comes;
    ten_attempts_come_on_their_days_with_one_id_and_fresh_times;
    after_five_days_of_failure_an_endpoint_is_disabled;
    an_endpoint_that_asks_for_time_gets_it;
    a_new_secret_signs_along_with_the_old_one_for_a_day;
    a_private_address_is_called_only_where_the_operator_says_so;
    what_was_under_way_at_a_kill_is_due_at_once_at_the_next_start;
}

const HOUR: u64 = 3600;

/// What was made, with its secret.
async fn make(by: &Persona, url: &str, extra: Value) -> Value {
    let mut body = extra;
    body["url"] = url.into();
    by.post("/v1/webhooks", &body).await.expect(201).data()
}

fn path(webhook: &Value) -> String {
    format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap())
}

async fn test(by: &Persona, webhook: &Value) -> String {
    let sent = by.post(&format!("{}/test", path(webhook)), &json!({})).await.expect(202).data();
    sent["event_id"].as_str().unwrap().to_owned()
}

/// A world whose time a test moves, and somebody who receives.
async fn at(
    backend: Backend,
    rule: impl Fn(&Received) -> Reply + Send + Sync + 'static,
) -> (World, Arc<ManualClock>, Receiver) {
    let clock = Arc::new(ManualClock::new("2026-11-22T12:00:00Z".parse().unwrap()));
    let options = Options { clock: clock.clone(), ..Options::default() };
    (World::with(backend, options).await, clock, Receiver::start(rule).await)
}

fn advance(world: &World, clock: &ManualClock, by: Duration) {
    clock.advance(by);
    world.server().running().app().webhooks().wake();
}

async fn attempts(world: &World, webhook: &Value) -> Vec<store::AttemptRecord> {
    let id: WebhookId = webhook["id"].as_str().unwrap().parse().unwrap();
    let data = world.store().workspace(world.tenant());
    data.attempts(id, PageRequest { page: 1, per_page: 100 }).await.unwrap().rows
}

async fn has_attempts(world: &World, webhook: &Value, count: usize) -> Vec<store::AttemptRecord> {
    let came = eventually(Duration::from_secs(15), async || attempts(world, webhook).await.len() >= count).await;
    assert!(came, "{} of {count}", attempts(world, webhook).await.len());
    // And no more of them.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let all = attempts(world, webhook).await;
    assert_eq!(all.len(), count, "{all:?}");
    all
}

async fn an_event_is_delivered_signed_and_written_down(world: &World) {
    let receiver = Receiver::start(|_| Reply::Answer(200, "", format!("thanks\0{}", "y".repeat(3000)))).await;
    let by = world.secret();
    let all = make(&by, &receiver.url("/all"), json!({"description": "CRM"})).await;
    let some = make(&by, &receiver.url("/some"), json!({"events": ["run.failed", "conversation.created"]})).await;
    let off = make(&by, &receiver.url("/off"), json!({"is_active": false})).await;
    let other = make(&by, &receiver.url("/other"), json!({"events": ["run.failed"]})).await;
    assert_eq!(
        (&all["status"], &off["status"], &off["disabled_reason"]),
        (&json!("active"), &json!("disabled"), &json!("paused"))
    );
    let sent = test(&by, &all).await;
    let one = receiver.wait("/all", 1).await.remove(0);
    let (secret, now) = (all["secret"].as_str().unwrap(), world.server().running().app().clock().now());
    let taken = one.verify(secret, now).unwrap();
    assert_eq!(
        (taken.name.as_str(), taken.is_timed, one.header("webhook-id")),
        (sent.as_str(), true, Some(sent.as_str()))
    );
    assert!(one.verify(some["secret"].as_str().unwrap(), now).is_err(), "each has a secret of its own");
    let plain = credential::webhook::sign_plain(secret.as_bytes(), &one.body);
    assert_eq!(one.header("x-chatbot-signature"), Some(plain.as_str()));
    for name in ["id", "timestamp", "signature"] {
        assert_eq!(one.header(&format!("svix-{name}")), one.header(&format!("webhook-{name}")));
    }
    assert_eq!(one.header("content-type"), Some("application/json"));
    assert!(one.header("authorization").is_none() && one.header("cookie").is_none());
    let body = one.json();
    assert_eq!((&body["type"], &body["id"]), (&json!("webhook.test"), &json!(sent)));
    assert_eq!(body.to_string().as_bytes(), one.body, "compact");

    let _ = world.session().await;
    let came = receiver.wait("/some", 1).await;
    assert_eq!(came[0].kind(), "conversation.created");
    assert!(receiver.wait("/all", 2).await.iter().any(|one| one.kind() == "conversation.created"));
    assert!(receiver.at("/off").is_empty() && receiver.at("/other").is_empty());
    // What came is written down a moment later.
    let _ = (has_attempts(world, &some, 1).await, has_attempts(world, &all, 2).await);
    let shown = by.get(&format!("{}/attempts", path(&some))).await.expect(200).json();
    let attempt = &shown["data"][0];
    assert_eq!(
        (&attempt["status"], &attempt["delivered"], &attempt["error"]),
        (&json!(200), &json!(true), &Value::Null)
    );
    let answer = attempt["answer"].as_str().unwrap();
    assert!(answer.starts_with("thanks\u{fffd}yyy") && (1000..=1024).contains(&answer.len()), "{}", answer.len());
    let first =
        by.get(&format!("{}/attempts", path(&all))).await.expect(200).data()[1]["id"].as_str().unwrap().to_owned();
    let next = by.get(&format!("{}/attempts?after={first}", path(&all))).await.expect(200).json();
    assert_eq!((next["data"].as_array().unwrap().len(), &next["meta"]["total"]), (1, &json!(2)));

    let shown = by.get(&path(&all)).await.expect(200).text() + &by.get("/v1/webhooks").await.expect(200).text();
    assert!(!shown.contains("whsec_") && shown.contains("CRM"));
    assert!(!world.server().request_log().contains("whsec_"));
    let audit = by.get("/v1/audit-log?action=create_webhook").await.expect(200).text();
    assert!(!audit.contains("whsec_") && !audit.contains(&receiver.url("")), "{audit}");
    let _ = by.delete(&path(&other)).await.expect(204);
    let _ = by.get(&path(&other)).await.refused(404, "NOT_FOUND");
}

async fn what_answers_410_is_disabled_at_once_and_told_to_the_others(world: &World) {
    let receiver = Receiver::start(|one| Reply::status(if one.path == "/gone" { 410 } else { 204 })).await;
    let by = world.secret();
    let watcher = make(&by, &receiver.url("/watch"), json!({"events": ["webhook.disabled"]})).await;
    let gone = make(&by, &receiver.url("/gone"), json!({})).await;
    let _ = test(&by, &gone).await;
    let told = receiver.wait("/watch", 1).await.remove(0);
    let data = &told.json()["data"];
    assert_eq!((&data["id"], &data["disabled_reason"], data.get("url")), (&gone["id"], &json!("gone"), None));
    let shown = by.get(&path(&gone)).await.expect(200).data();
    assert_eq!(
        (&shown["status"], &shown["disabled_reason"], &shown["is_active"]),
        (&json!("disabled"), &json!("gone"), &json!(false))
    );
    let log = by.get("/v1/audit-log?action=webhook.disabled").await.expect(200).data();
    assert_eq!((&log[0]["target"]["id"], &log[0]["actor"]["kind"]), (&gone["id"], &json!("system")));
    let refused = by.post(&format!("{}/test", path(&gone)), &json!({})).await.refused(409, "CONFLICT");
    assert!(refused.text().contains("turn it on"));
    let _ = world.session().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.at("/gone").len(), 1, "it hears nothing more");
    let back =
        by.patch(&path(&gone), &json!({"is_active": true, "url": receiver.url("/back")})).await.expect(200).data();
    assert_eq!((&back["status"], &back["disabled_reason"]), (&json!("active"), &Value::Null));
    let _ = test(&by, &gone).await;
    let _ = receiver.wait("/back", 1).await;
    let recovered = by.post(&format!("{}/recover", path(&gone)), &json!({"since": "2020-01-01T00:00:00Z"})).await;
    assert_eq!(recovered.expect(202).data()["events"], 1);
    assert_eq!(receiver.wait("/back", 2).await[1].header("webhook-id"), receiver.at("/gone")[0].header("webhook-id"));
    assert_eq!(watcher["events"], json!(["webhook.disabled"]));
}

async fn what_does_not_end_costs_nothing_and_no_redirect_is_followed(world: &World) {
    let receiver = Receiver::start(|one| match one.path.as_str() {
        "/endless" => Reply::Endless,
        "/moved" => Reply::Answer(307, "location: /inner\r\n", "elsewhere".to_owned()),
        _ => Reply::status(200),
    })
    .await;
    let by = world.secret();
    let endless = make(&by, &receiver.url("/endless"), json!({})).await;
    let _ = test(&by, &endless).await;
    let attempt = has_attempts(world, &endless, 1).await.remove(0);
    assert_eq!((attempt.status, attempt.error, attempt.answer.unwrap().len()), (Some(200), None, 1024));
    assert!(attempt.took_ms < 10_000, "{}", attempt.took_ms);
    assert!(receiver.poured() < 32 << 20, "64 KiB are read, and sockets hold some: {}", receiver.poured());
    let moved = make(&by, &receiver.url("/moved"), json!({"events": ["run.failed"]})).await;
    let _ = test(&by, &moved).await;
    let attempt = has_attempts(world, &moved, 1).await.remove(0);
    assert_eq!((attempt.status, attempt.error.as_deref()), (Some(307), Some("redirect")));
    assert!(receiver.at("/inner").is_empty());
    assert_eq!(by.get(&path(&moved)).await.expect(200).data()["status"], "failing");
}

async fn an_endpoint_that_hangs_keeps_nobody_else_waiting(world: &World) {
    let receiver = Receiver::start(|one| if one.path == "/hang" { Reply::Hang } else { Reply::status(200) }).await;
    let (by, other) = (world.secret(), world.other_workspace_secret());
    let hangs = make(&by, &receiver.url("/hang"), json!({})).await;
    let (own, theirs) = (
        make(&by, &receiver.url("/own"), json!({"events": ["run.failed"]})).await,
        make(&other, &receiver.url("/theirs"), json!({})).await,
    );
    for _ in 0..30 {
        let _ = test(&by, &hangs).await;
    }
    let _ = receiver.wait("/hang", 4).await;
    let (first, second) = (test(&by, &own).await, test(&other, &theirs).await);
    let came =
        eventually(Duration::from_secs(5), async || receiver.at("/own").len() + receiver.at("/theirs").len() == 2);
    assert!(came.await);
    assert_eq!(receiver.at("/own")[0].header("webhook-id"), Some(first.as_str()));
    assert_eq!(receiver.at("/theirs")[0].header("webhook-id"), Some(second.as_str()));
    assert_eq!(receiver.at("/hang").len(), 4, "so many at once, and no more");
}

async fn what_does_not_fit_is_refused_by_its_field(world: &World) {
    let by = world.secret();
    let url = "https://hooks.example.com/a";
    for (body, field) in [
        (json!({"url": "ftp://hooks.example.com"}), "url"),
        (json!({"url": "https://user:pass@hooks.example.com"}), "url"),
        (json!({"url": "https://hooks.example.com/#a"}), "url"),
        (json!({"url": "http://10.0.0.5/"}), "url"),
        (json!({"url": "http://169.254.169.254/latest"}), "url"),
        (json!({"url": "https://hooks.example.com/\n"}), "url"),
        (json!({"url": url, "events": []}), "events"),
        (json!({"url": url, "description": "x".repeat(501)}), "description"),
    ] {
        let refused = by.post("/v1/webhooks", &body).await.refused(422, "VALIDATION_FAILED");
        assert_eq!(refused.json()["error"]["errors"][0]["field"], field, "{body}");
    }
    for body in [json!({"url": url, "events": ["bot.created"]}), json!({"url": url, "secret": "x"}), json!({})] {
        assert!([400, 422].contains(&by.post("/v1/webhooks", &body).await.status), "{body}");
    }
    let made = make(&by, url, json!({"events": ["run.failed", "message.created", "run.failed"]})).await;
    assert_eq!(made["events"], json!(["message.created", "run.failed"]));
    let _ = by.patch(&path(&made), &json!({"url": "http://[fd00::1]/"})).await.refused(422, "VALIDATION_FAILED");
    let all = by.patch(&path(&made), &json!({"events": null, "description": null})).await.expect(200).data();
    assert_eq!((&all["events"], &all["url"]), (&Value::Null, &json!(url)));
    for _ in 1..50 {
        let _ = make(&by, url, json!({"is_active": false})).await;
    }
    let _ = by.post("/v1/webhooks", &json!({"url": url})).await.refused(409, "CONFLICT");
    let _ = make(&world.test_secret().await, url, json!({})).await;
    let _ = world
        .restricted()
        .await
        .post("/v1/webhooks", &json!({"url": url}))
        .await
        .refused(403, "INSUFFICIENT_PERMISSIONS");
}

async fn another_tenant_s_endpoints_are_not_found(world: &World) {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let by = world.secret();
    let made = make(&by, &receiver.url("/a"), json!({})).await;
    let _ = test(&by, &made).await;
    let attempt = has_attempts(world, &made, 1).await.remove(0).id;
    let path = path(&made);
    for stranger in [world.other_workspace_secret(), world.test_secret().await] {
        assert_eq!(stranger.get("/v1/webhooks").await.expect(200).json()["meta"]["total"], 0);
        for sub in ["", "/attempts"] {
            let _ = stranger.get(&format!("{path}{sub}")).await.refused(404, "NOT_FOUND");
        }
        let _ = stranger.patch(&path, &json!({"is_active": false})).await.refused(404, "NOT_FOUND");
        let _ = stranger.delete(&path).await.refused(404, "NOT_FOUND");
        for sub in ["test".to_owned(), "rotate-secret".to_owned(), format!("attempts/{attempt}/replay")] {
            let _ = stranger.post(&format!("{path}/{sub}"), &json!({})).await.refused(404, "NOT_FOUND");
        }
        let recover = json!({"since": "2020-01-01T00:00:00Z"});
        let _ = stranger.post(&format!("{path}/recover"), &recover).await.refused(404, "NOT_FOUND");
    }
    assert_eq!(receiver.at("/a").len(), 1);
}

async fn an_attempt_is_replayed_with_the_id_of_its_event(world: &World) {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let by = world.secret();
    let made = make(&by, &receiver.url("/a"), json!({})).await;
    let event = test(&by, &made).await;
    let attempt = has_attempts(world, &made, 1).await.remove(0).id;
    let replay = by.post(&format!("{}/attempts/{attempt}/replay", path(&made)), &json!({})).await.expect(202).data();
    assert_eq!(replay["event_id"], json!(event));
    let came = receiver.wait("/a", 2).await;
    assert_eq!(came[0].header("webhook-id"), came[1].header("webhook-id"));
    assert_eq!(came[0].body, came[1].body);
    let absent = format!("{}/attempts/att_00000000000000000000000001/replay", path(&made));
    let _ = by.post(&absent, &json!({})).await.refused(404, "NOT_FOUND");
}

async fn what_a_kill_left_under_way_is_sent_again(world: &World) {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let by = world.secret();
    let made = make(&by, &receiver.url("/a"), json!({})).await;
    let event = test(&by, &made).await;
    let _ = has_attempts(world, &made, 1).await;
    let due = dies_with_it(world, &made, &event).await;
    let later = world.server().running().app().clock().now().plus(1000);
    assert_eq!(world.store().release_deliveries(later).await.unwrap(), 1);
    assert_eq!(world.store().due_deliveries(later, 10).await.unwrap(), [due]);
}

/// Claims an event as a process does that dies before the answer, long before the claim ends.
async fn dies_with_it(world: &World, made: &Value, event: &str) -> store::DueDelivery {
    let data = world.store().workspace(world.tenant());
    let (id, now) = (made["id"].as_str().unwrap().parse().unwrap(), world.server().running().app().clock().now());
    let due = store::DueDelivery { tenant: data.tenant(), webhook: id, event: event.parse().unwrap() };
    let attempt = attempts(world, made).await[0].id;
    let actor = access::Actor::system();
    world.server().running().app().webhooks().stop();
    let audit = store::AuditEntry { actor: &actor, action: "test", detail: None };
    let _ = data.replay_attempt(id, attempt, audit).await.unwrap();
    let (later, until) = (now.plus(1000), now.plus(3_600_000));
    assert_eq!(world.store().claim_deliveries(&[due], later, until).await.unwrap(), [due]);
    assert!(world.store().claim_deliveries(&[due], later, until).await.unwrap().is_empty(), "it is taken");
    assert!(world.store().due_deliveries(later, 10).await.unwrap().is_empty());
    due
}

async fn what_was_under_way_at_a_kill_is_due_at_once_at_the_next_start(backend: Backend) {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let world = World::new(backend).await;
    let made = make(&world.secret(), &receiver.url("/a"), json!({})).await;
    let event = test(&world.secret(), &made).await;
    let _ = has_attempts(&world, &made, 1).await;
    let _ = dies_with_it(&world, &made, &event).await;
    assert_eq!(receiver.at("/a").len(), 1);
    let world = world.restart_with(|_| {}).await;
    let again = receiver.wait("/a", 2).await.remove(1);
    assert_eq!(again.header("webhook-id"), Some(event.as_str()));
    world.end().await;
}

async fn ten_attempts_come_on_their_days_with_one_id_and_fresh_times(backend: Backend) {
    let (world, clock, receiver) = at(backend, |_| Reply::Answer(503, "", "no".to_owned())).await;
    let by = world.secret();
    let made = make(&by, &receiver.url("/a"), json!({})).await;
    let event = test(&by, &made).await;
    let start = clock.now();
    let _ = has_attempts(&world, &made, 1).await;
    for (index, delay) in webhook::DELAYS.into_iter().enumerate() {
        let early = u64::try_from(delay * 94 / 100).unwrap();
        advance(&world, &clock, Duration::from_millis(early));
        let _ = has_attempts(&world, &made, index + 1).await;
        advance(&world, &clock, Duration::from_millis(u64::try_from(delay).unwrap() * 12 / 100));
        let _ = has_attempts(&world, &made, index + 2).await;
    }
    let took = clock.now().since(start) / 3_600_000;
    assert!((75..=81).contains(&took), "{took} hours");
    advance(&world, &clock, Duration::from_secs(30 * HOUR));
    let _ = has_attempts(&world, &made, 10).await;
    let came = receiver.at("/a");
    assert!(came.iter().all(|one| one.header("webhook-id") == Some(event.as_str()) && one.body == came[0].body));
    let times: Vec<i64> = came.iter().map(|one| one.header("webhook-timestamp").unwrap().parse().unwrap()).collect();
    assert!(times.windows(2).all(|two| two[0] < two[1]), "{times:?}");
    assert!(came[9].verify(made["secret"].as_str().unwrap(), Millis::from_seconds(times[9])).is_ok());
    assert_eq!(by.get(&path(&made)).await.expect(200).data()["status"], "failing");
    world.end().await;
}

async fn after_five_days_of_failure_an_endpoint_is_disabled(backend: Backend) {
    let (world, clock, receiver) = at(backend, |one| Reply::status(if one.path == "/a" { 500 } else { 200 })).await;
    let by = world.secret();
    let watcher = make(&by, &receiver.url("/watch"), json!({"events": ["webhook.disabled"]})).await;
    let made = make(&by, &receiver.url("/a"), json!({})).await;
    let _ = test(&by, &made).await;
    let _ = has_attempts(&world, &made, 1).await;
    // Nobody looked: the server was off, or nothing happened.
    advance(&world, &clock, Duration::from_secs(6 * 24 * HOUR));
    let _ = has_attempts(&world, &made, 2).await;
    for (count, delay) in [(3, 330), (4, 2000), (5, 3 * HOUR)] {
        assert_eq!(by.get(&path(&made)).await.expect(200).data()["status"], "failing", "{count}");
        advance(&world, &clock, Duration::from_secs(delay));
        let _ = has_attempts(&world, &made, count).await;
    }
    let told = receiver.wait("/watch", 1).await.remove(0);
    assert_eq!(told.json()["data"]["disabled_reason"], "failing");
    let shown = by.get(&path(&made)).await.expect(200).data();
    assert_eq!((&shown["status"], &shown["disabled_reason"]), (&json!("disabled"), &json!("failing")));
    assert_eq!(watcher["status"], "active");
    world.end().await;
}

async fn an_endpoint_that_asks_for_time_gets_it(backend: Backend) {
    let (world, clock, receiver) = at(backend, |_| Reply::Answer(429, "retry-after: 3600\r\n", String::new())).await;
    let by = world.secret();
    let made = make(&by, &receiver.url("/a"), json!({})).await;
    let _ = test(&by, &made).await;
    let _ = has_attempts(&world, &made, 1).await;
    advance(&world, &clock, Duration::from_secs(3500));
    let _ = has_attempts(&world, &made, 1).await;
    advance(&world, &clock, Duration::from_secs(101));
    let _ = has_attempts(&world, &made, 2).await;
    world.end().await;
}

async fn an_attempt_says_of_what_it_was_and_when_the_next_one_comes(backend: Backend) {
    let (world, clock, receiver) = at(backend, |one| Reply::status(if one.path == "/b" { 200 } else { 500 })).await;
    let by = world.secret();
    let (failing, good) =
        (make(&by, &receiver.url("/a"), json!({})).await, make(&by, &receiver.url("/b"), json!({})).await);
    let list = async |of: &Value, query: &str| {
        let shown = by.get(&format!("{}/attempts{query}", path(of))).await.expect(200).data();
        let row = |one: &Value| {
            let (event, next) = (one["event_id"].as_str().unwrap().to_owned(), one["next_attempt_at"].clone());
            assert_eq!(one["event_type"], "webhook.test");
            assert!(one["took_ms"].is_u64() && one["status"].is_u64(), "{one}");
            (event, one["number"].as_u64().unwrap(), next)
        };
        shown.as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    let one = test(&by, &failing).await;
    let _ = has_attempts(&world, &failing, 1).await;
    let two = test(&by, &failing).await;
    let _ = has_attempts(&world, &failing, 2).await;
    advance(&world, &clock, Duration::from_secs(10));
    let _ = has_attempts(&world, &failing, 4).await;
    let shown = list(&failing, "").await;
    let numbers = |event: &str| shown.iter().filter(|row| row.0 == event).map(|row| row.1).collect::<Vec<_>>();
    assert_eq!((numbers(&one), numbers(&two)), (vec![2, 1], vec![2, 1]), "each event's own, the newest first");
    for (event, number, next) in &shown {
        let planned = next.as_str().map(|next| next.parse::<Millis>().unwrap().since(clock.now()));
        let in_minutes = planned.is_some_and(|wait| (1_000..=900_000).contains(&wait));
        assert_eq!((in_minutes, next.is_null()), (*number == 2, *number == 1), "{event}: {next}");
    }
    let oldest = attempts(&world, &failing).await.pop().unwrap().id;
    let mut after = list(&failing, &format!("?after={oldest}")).await;
    after.reverse();
    assert_eq!(after, shown[..3], "read on from the oldest, they are the same");

    // What has arrived is not sent again, unless it is asked for; an event that is forgotten has no type.
    let sent = test(&by, &good).await;
    let id = has_attempts(&world, &good, 1).await.remove(0).id;
    assert_eq!(list(&good, "").await, [(sent.clone(), 1, Value::Null)]);
    let _ = by.post(&format!("{}/attempts/{id}/replay", path(&good)), &json!({})).await.expect(202);
    let _ = has_attempts(&world, &good, 2).await;
    assert_eq!(list(&good, "?per_page=1").await, [(sent, 2, Value::Null)], "whatever of them is on the page");
    let contact = by.post("/v1/contacts", &json!({"name": "Ada"})).await.expect(201).data();
    let _ = has_attempts(&world, &good, 3).await;
    let is_there = async |event_type: Value| {
        let shown = by.get(&format!("{}/attempts", path(&good))).await.expect(200).data();
        shown.as_array().unwrap().iter().any(|one| one["event_type"] == event_type && one["number"] == 1)
    };
    assert!(is_there("contact.created".into()).await && !is_there(Value::Null).await);
    let _ = by.delete(&format!("/v1/contacts/{}", contact["id"].as_str().unwrap())).await.expect(204);
    assert!(is_there(Value::Null).await && !is_there("contact.created".into()).await);
    world.end().await;
}

async fn a_new_secret_signs_along_with_the_old_one_for_a_day(backend: Backend) {
    let (world, clock, receiver) = at(backend, |_| Reply::status(200)).await;
    let by = world.secret();
    let made = make(&by, &receiver.url("/a"), json!({})).await;
    let rotated = by.post(&format!("{}/rotate-secret", path(&made)), &json!({})).await.expect(200).data();
    let secrets = [made["secret"].as_str().unwrap(), rotated["secret"].as_str().unwrap()];
    assert_ne!(secrets[0], secrets[1]);
    assert_eq!(rotated["previous_secret_expires_at"], "2026-11-23T12:00:00.000Z");
    let _ = test(&by, &made).await;
    let during = receiver.wait("/a", 1).await.remove(0);
    assert!(secrets.iter().all(|secret| during.verify(secret, clock.now()).is_ok()));
    assert_eq!(during.header("webhook-signature").unwrap().split(' ').count(), 2);
    advance(&world, &clock, Duration::from_secs(24 * HOUR));
    let _ = test(&by, &made).await;
    let after = receiver.wait("/a", 2).await.remove(1);
    assert!(after.verify(secrets[1], clock.now()).is_ok() && after.verify(secrets[0], clock.now()).is_err());
    assert_eq!(by.get(&path(&made)).await.expect(200).data()["previous_secret_expires_at"], Value::Null);
    world.end().await;
}

async fn a_private_address_is_called_only_where_the_operator_says_so(backend: Backend) {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let world = World::with(backend, Options { allow_loopback: true, ..Options::default() }).await;
    let made = make(&world.secret(), &receiver.url("/a"), json!({})).await;
    let _ = test(&world.secret(), &made).await;
    let _ = receiver.wait("/a", 1).await;
    // What was saved is judged again at each attempt.
    let world = world.restart_with(|options| options.allow_loopback = false).await;
    let by = world.secret();
    let _ = test(&by, &made).await;
    let newest = has_attempts(&world, &made, 2).await.remove(0);
    assert_eq!((newest.status, newest.error.as_deref(), newest.answer), (None, Some("refused"), None));
    assert_eq!(receiver.at("/a").len(), 1);
    let refused = by.post("/v1/webhooks", &json!({"url": receiver.url("/b")})).await.refused(422, "VALIDATION_FAILED");
    assert_eq!(refused.json()["error"]["errors"][0]["field"], "url");
    world.end().await;
}

/// An endpoint that nobody is at, and an attempt to reach it.
pub(crate) async fn new_attempt(world: &World) -> (String, String) {
    let by = world.secret();
    let made = make(&by, "http://127.0.0.1:9/", json!({"events": ["run.failed"]})).await;
    let _ = test(&by, &made).await;
    let attempt = has_attempts(world, &made, 1).await.remove(0);
    assert_eq!(attempt.error.as_deref(), Some("connect"));
    (made["id"].as_str().unwrap().to_owned(), attempt.id.to_string())
}
