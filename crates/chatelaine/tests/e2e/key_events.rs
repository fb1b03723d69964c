//! What happens to keys is told to whoever listens, with who did it and never with a secret.

use std::{sync::Arc, time::Duration};

use ambient::{ManualClock, Millis};
use serde_json::{Value, json};
use testkit::{Backend, Options, Persona, World, eventually};

on_both! {
    what_is_done_to_a_key_is_told_with_the_request_that_did_it;
    a_key_in_a_browser_is_told_of_and_where_it_was;
}

on_each! {
    an_end_that_comes_near_is_told_by_the_server_that_runs_then;
}

/// Endpoints of both environments that hear everything of keys, and are never reached.
async fn listen(world: &World, test: &Persona) {
    let kinds = ["created", "rotated", "revoked", "exposed", "expiring", "rotation_due"];
    let events: Vec<String> = kinds.iter().map(|kind| format!("api_key.{kind}")).collect();
    for by in [&world.secret(), test] {
        let body = json!({"url": "http://127.0.0.1:9/hook", "events": events});
        let _ = by.post("/v1/webhooks", &body).await.expect(201);
    }
}

/// What was told of a key in an environment: kind and data, in order.
async fn told(world: &World, environment: &str, key: &str) -> Vec<(String, Value)> {
    let query = format!(
        "SELECT kind || ' ' || data FROM webhook_events WHERE environment = '{environment}' ORDER BY created_at, id"
    );
    let texts = world.server().database().texts(&query).await;
    let read = |text: &String| {
        let (kind, data) = text.split_once(' ').unwrap();
        (kind.to_owned(), serde_json::from_str::<Value>(data).unwrap())
    };
    texts.iter().map(read).filter(|(_, data)| data["id"] == key).collect()
}

async fn what_is_done_to_a_key_is_told_with_the_request_that_did_it(world: &World) {
    let (by, test) = (world.secret(), world.test_secret().await);
    listen(world, &test).await;
    for environment in ["live", "test"] {
        let other = if environment == "live" { "test" } else { "live" };
        let body = json!({"name": "Key", "environment": environment, "owner": "ada", "purpose": "CI"});
        let made = by.post("/v1/api-keys", &body).await.expect(201);
        let id = made.data()["id"].as_str().unwrap().to_owned();
        let rotated = by.post(&format!("/v1/api-keys/{id}/rotate"), &json!({"grace_seconds": 60})).await.expect(200);
        let _ = by.post(&format!("/v1/api-keys/{id}/end-grace"), &json!({})).await.expect(200);
        let revoked = by.delete(&format!("/v1/api-keys/{id}")).await.expect(200);
        let _ = by.delete(&format!("/v1/api-keys/{id}")).await.expect(200);
        let told_of = told(world, environment, &id).await;
        let expected = [("api_key.created", &made), ("api_key.rotated", &rotated), ("api_key.revoked", &revoked)];
        assert_eq!(told_of.len(), expected.len(), "{told_of:?}");
        for ((kind, data), (wanted, answer)) in told_of.iter().zip(expected) {
            assert_eq!((kind.as_str(), &data["request_id"]), (wanted, &json!(answer.header("x-request-id"))));
            assert_eq!(data["by"], json!({"kind": "api_key", "id": by.id()}));
            let shown = ["name", "kind", "environment", "owner", "purpose"].map(|name| data[name].clone());
            assert_eq!(shown, [json!("Key"), json!("secret"), json!(environment), json!("ada"), json!("CI")]);
        }
        assert_eq!(told_of[1].1["display"], rotated.data()["display"]);
        assert_eq!(told_of[1].1["previous_expires_at"], rotated.data()["previous_expires_at"]);
        assert!(told(world, other, &id).await.is_empty());
        for secret in [made.data()["key"].as_str().unwrap(), rotated.data()["key"].as_str().unwrap()] {
            assert!(told_of.iter().all(|(_, data)| !data.to_string().contains(secret)));
        }
    }
}

async fn a_key_in_a_browser_is_told_of_and_where_it_was(world: &World) {
    listen(world, &world.test_secret().await).await;
    let key = world.key("key", json!({"name": "Key"})).await;
    let _ = key.request("GET", "/v1/me").origin("https://shop.example").send().await;
    let _ = key.request("GET", "/v1/me").origin("https://shop.example").send().await;
    let exposed =
        async || told(world, "live", key.id()).await.into_iter().filter(|(kind, _)| kind == "api_key.exposed");
    assert!(eventually(Duration::from_secs(10), async || exposed().await.count() > 0).await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let seen: Vec<_> = exposed().await.map(|(_, data)| data["origin"].clone()).collect();
    assert_eq!(seen, ["https://shop.example"], "a page that tries again is one exposure");
}

async fn an_end_that_comes_near_is_told_by_the_server_that_runs_then(backend: Backend) {
    // 2026-01-01.
    let (start, day) = (Millis(1_767_225_600_000), 86_400_000);
    let clock = Arc::new(ManualClock::new(start));
    let world = World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await;
    listen(&world, &world.test_secret().await).await;
    let (end, rotate_after) = (start.plus(60 * day), start.plus(45 * day));
    let body = json!({"name": "Key", "expires_at": end, "rotate_after": rotate_after});
    let key = world.key("key", body).await;
    let path = format!("/v1/api-keys/{}", key.id());
    let mut world = world;
    for (days, kind, left, status) in [
        (30, "api_key.expiring", json!(30), "expiring"),
        (15, "api_key.rotation_due", Value::Null, "expiring"),
        (8, "api_key.expiring", json!(7), "expiring"),
        (6, "api_key.expiring", json!(1), "expiring"),
    ] {
        let was_said = async |world: &World| {
            let mut all = told(world, "live", key.id()).await.into_iter();
            all.any(|(said, data)| said == kind && data["days_left"] == left && data["expires_at"] == json!(end))
        };
        clock.advance(Duration::from_secs(days * 86_400 - 1));
        world.server().running().app().cluster().give_key_notices().await.unwrap();
        assert!(!was_said(&world).await, "{kind} before {days} days");
        clock.advance(Duration::from_secs(1));
        world = world.restart().await;
        // The server looks when it starts, and each minute.
        assert!(eventually(Duration::from_secs(10), async || was_said(&world).await).await, "{kind} after {days} days");
        assert_eq!(world.secret().get(&path).await.expect(200).data()["status"], status);
    }
    world.end().await;
}
