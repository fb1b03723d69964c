//! What keys were used for: shown at once, by key and by day, and bounded by the day.

use std::{sync::Arc, time::Duration};

use ambient::{ManualClock, Millis};
use serde_json::{Value, json};
use testkit::{Backend, Options, Persona, World};

const DAY: u64 = 86_400;
/// 2026-01-01, at noon.
const NOON: Millis = Millis(1_767_225_600_000 + 43_200_000);

on_each! {
    usage_is_shown_by_key_and_by_day_in_its_environment;
    a_day_of_requests_ends_at_midnight_and_not_with_the_process;
    a_ceiling_that_is_set_later_knows_what_was_before_it;
}

on_both! {
    a_use_is_shown_at_once_and_once;
    days_that_are_none_are_refused;
}

async fn at_noon(backend: Backend) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(NOON));
    (World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await, clock)
}

async fn flush(world: &World) {
    world.server().running().app().cluster().flush_uses(true).await;
}

async fn rows(by: &Persona, query: &str) -> Vec<Value> {
    by.get(&format!("/v1/usage?{query}")).await.expect(200).data().as_array().unwrap().clone()
}

async fn usage_is_shown_by_key_and_by_day_in_its_environment(backend: Backend) {
    let (world, clock) = at_noon(backend).await;
    let key = world.key("key", json!({"name": "Key", "scopes": ["bots:read"], "rate_limit": 4})).await;
    let other = world.key("other", json!({"name": "Other", "scopes": []})).await;
    let test = world.test_secret().await;
    for _ in 0..3 {
        let _ = key.get("/v1/bots").await.expect(200);
    }
    let _ = key.get("/v1/conversations").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = key.get("/v1/bots").await.expect(200);
    let _ = key.get("/v1/bots").await.refused(429, "RATE_LIMITED");
    let page = key.request("GET", "/v1/bots").origin("https://shop.example").send().await;
    let _ = page.refused(403, "SECRET_KEY_IN_BROWSER");
    for persona in [&other, &test] {
        let _ = persona.get("/v1/me").await.expect(200);
    }
    flush(&world).await;
    clock.advance(Duration::from_secs(DAY));
    let _ = other.get("/v1/me").await.expect(200);
    flush(&world).await;
    let by = world.secret();
    let row = |day: Value, of: Value, requests: u64, refused: u64| {
        let names = [(&key, "Key"), (&other, "Other"), (&test, "Test")];
        let name = names.iter().find(|(persona, _)| of == persona.id()).map(|(_, name)| *name);
        json!({"day": day, "key_id": of, "key_name": name, "requests": requests, "refused": refused})
    };
    let (first, second) = (json!("2026-01-01"), json!("2026-01-02"));
    let id = |persona: &Persona| json!(persona.id());
    let days = "from=2026-01-01&to=2026-01-02";
    assert_eq!(rows(&by, &format!("{days}&key_id={}", key.id())).await, [row(first.clone(), id(&key), 4, 3)]);
    assert_eq!(
        rows(&by, &format!("{days}&key_id={}", other.id())).await,
        [row(second, id(&other), 1, 0), row(first.clone(), id(&other), 1, 0)]
    );
    assert_eq!(
        rows(&by, &format!("{days}&group=key&key_id={}", other.id())).await,
        [row(Value::Null, id(&other), 2, 0)]
    );
    let of_first = rows(&by, "from=2026-01-01&to=2026-01-01&group=key").await;
    let named: Vec<_> = of_first.iter().map(|row| row["key_id"].clone()).collect();
    assert!(named.contains(&id(&key)) && named.contains(&id(&other)) && !named.contains(&id(&test)), "{named:?}");
    assert_eq!(
        of_first[0]["requests"].as_u64().max(of_first[1]["requests"].as_u64()),
        of_first[0]["requests"].as_u64()
    );
    let of_day = rows(&by, "from=2026-01-01&to=2026-01-01&group=day").await;
    let sum: u64 = of_first.iter().map(|row| row["requests"].as_u64().unwrap()).sum();
    assert_eq!(of_day, [row(first.clone(), Value::Null, sum, 3)]);
    assert_eq!(rows(&test, "group=key").await, [row(Value::Null, id(&test), 1, 0)], "the test data alone");
    assert!(rows(&world.other_workspace_secret(), &format!("key_id={}", key.id())).await.is_empty());
    let counting = world.key("counting", json!({"name": "Counting", "scopes": ["usage:read"]})).await;
    let of_key = rows(&counting, &format!("{days}&key_id={}", key.id())).await;
    assert_eq!((&of_key[0]["key_name"], &of_key[0]["requests"]), (&Value::Null, &json!(4)), "it may not list keys");
    let empty = by.get("/v1/usage?from=2025-01-01&to=2025-01-31").await.expect(200).json();
    assert_eq!(empty["meta"], json!({"page": 1, "per_page": 20, "total": 0}));
    world.end().await;
}

async fn a_day_of_requests_ends_at_midnight_and_not_with_the_process(backend: Backend) {
    let (world, clock) = at_noon(backend).await;
    let key = world.key("key", json!({"name": "Key", "scopes": ["bots:read"], "daily_requests": 3})).await;
    let path = format!("/v1/api-keys/{}", key.id());
    assert_eq!(world.secret().get(&path).await.data()["daily_requests"], 3);
    for left in ["2", "1"] {
        let answer = key.get("/v1/bots").await.expect(200);
        assert!(answer.header("ratelimit").contains(&format!("\"daily-requests\";r={left}")), "{left}");
    }
    let world = world.restart().await;
    let key = key.on(world.client());
    let _ = key.get("/v1/conversations").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = key.get("/v1/bots").await.expect(200);
    for _ in 0..2 {
        let refused = key.get("/v1/bots").await.refused(429, "RATE_LIMITED");
        assert_eq!(refused.header("retry-after"), "43200", "until midnight, UTC");
        let said = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(said.contains("daily_requests") && said.contains("43200 s"), "which of its limits: {said}");
    }
    let _ = world.secret().patch(&path, &json!({"daily_requests": 4})).await.expect(200);
    let _ = key.get("/v1/bots").await.expect(200);
    let _ = key.get("/v1/bots").await.refused(429, "RATE_LIMITED");
    let rotated = world.secret().post(&format!("{path}/rotate"), &json!({})).await.expect(200).data();
    let _ = world.holder("new", &rotated).get("/v1/bots").await.refused(429, "RATE_LIMITED");
    clock.advance(Duration::from_secs(43_200));
    for _ in 0..4 {
        let _ = key.get("/v1/bots").await.expect(200);
    }
    let refused = key.get("/v1/bots").await.refused(429, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "86400");
    world.end().await;
}

async fn a_ceiling_that_is_set_later_knows_what_was_before_it(backend: Backend) {
    let (world, _) = at_noon(backend).await;
    let key = world.key("key", json!({"name": "Key", "scopes": ["bots:read"]})).await;
    for _ in 0..2 {
        let _ = key.get("/v1/bots").await.expect(200);
    }
    flush(&world).await;
    let _ = key.get("/v1/bots").await.expect(200);
    let path = format!("/v1/api-keys/{}", key.id());
    let _ = world.secret().patch(&path, &json!({"daily_requests": 4})).await.expect(200);
    let _ = key.get("/v1/bots").await.expect(200);
    let _ = key.get("/v1/bots").await.refused(429, "RATE_LIMITED");
    for wrong in [json!(0), json!(10_000_001)] {
        let answer = world.secret().patch(&path, &json!({"daily_requests": wrong})).await;
        assert_eq!(answer.refused(422, "VALIDATION_FAILED").json()["error"]["errors"][0]["field"], "daily_requests");
    }
    let _ = world.secret().patch(&path, &json!({"daily_requests": null})).await.expect(200);
    let _ = key.get("/v1/bots").await.expect(200);
    world.end().await;
}

async fn a_use_is_shown_at_once_and_once(world: &World) {
    let key = world.key("key", json!({"name": "Key"})).await;
    let path = format!("/v1/api-keys/{}", key.id());
    let shown = async || world.secret().get(&path).await.expect(200).data()["secrets"].clone();
    assert_eq!(shown().await[0]["last_used_at"], Value::Null);
    let mut uses = 0;
    for flushed in [false, true, false, false, true] {
        let _ = key.get("/v1/me").await.expect(200);
        uses += 1;
        if flushed {
            flush(world).await;
        }
        let secrets = shown().await;
        assert_eq!(secrets[0]["uses"], uses, "{secrets}");
        assert!(secrets[0]["last_used_at"].is_string());
    }
    let new = world.secret().post(&format!("{path}/rotate"), &json!({})).await.expect(200).data();
    let new = world.holder("new", &new);
    let _ = new.get("/v1/me").await.expect(200);
    let _ = key.get("/v1/me").await.expect(200);
    let secrets = shown().await;
    assert_eq!(
        (&secrets[0]["uses"], &secrets[1]["uses"]),
        (&json!(1), &json!(uses + 1)),
        "through a rotation: {secrets}"
    );
    let _ = world.secret().patch(&path, &json!({"name": "Renamed"})).await.expect(200);
    flush(world).await;
    assert_eq!(shown().await, secrets, "what was carried over is written once");
    let list = world.secret().get("/v1/api-keys?per_page=1").await.expect(200).data();
    assert_eq!(list[0]["secrets"], secrets);
}

async fn days_that_are_none_are_refused(world: &World) {
    for query in [
        "from=2026-02-30",
        "from=yesterday",
        "to=2026-1-1",
        "from=2026-01-02&to=2026-01-01",
        "from=2024-01-01&to=2026-01-01",
        "key_id=1",
        "group=hour",
        "page=0",
        "per_page=101",
    ] {
        let answer = world.secret().get(&format!("/v1/usage?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
}
