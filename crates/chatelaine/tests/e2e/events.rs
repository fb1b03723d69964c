//! What is told of things is what the API shows of them.

use std::{sync::Arc, time::Duration};

use ambient::{ManualClock, Millis};
use serde_json::{Value, json};
use store::EventKind;
use testkit::{Backend, Options, World, eventually};

use crate::{
    agent_loops,
    receiver::{Receiver, Reply},
};

on_both! {
    a_session_is_told_as_the_api_shows_it;
    a_run_is_told_as_the_api_shows_it;
    contacts_and_keys_are_told_as_the_reference_shows_it;
}

on_each! {
    every_kind_is_told_as_the_reference_shows_it;
}

/// Members that are objects with members of their own.
const NESTED: [&str; 3] = ["by", "usage", "ending"];

/// An endpoint that hears everything, past the server.
async fn listen(world: &World) {
    let secret = if world.store().backend() == "sqlite" { "x'00'" } else { "'\\x00'::bytea" };
    let insert = format!(
        "INSERT INTO webhooks (workspace_id, environment, id, url, events, secret_sealed, created_at, updated_at)
        VALUES ('{}', 'live', 'whk_{}', 'https://hooks.invalid', '*', {secret}, 0, 0)",
        world.workspace(),
        "0".repeat(26)
    );
    assert_eq!(world.server().database().execute(&insert).await, 1);
}

/// The data of what was told, in order. It has the members that the reference shows.
async fn told(world: &World, kind: &str) -> Vec<Value> {
    let query = format!("SELECT data FROM webhook_events WHERE kind = '{kind}' ORDER BY created_at, id");
    let texts = world.server().database().texts(&query).await;
    let told: Vec<Value> = texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let reference = documented(kind);
    for data in &told {
        assert_eq!(members(data), members(&reference), "{kind}");
    }
    told
}

/// What the reference shows of a kind.
fn documented(kind: &str) -> Value {
    let page = include_str!("../../../../docs/reference.md");
    let section = page.split("\n### ").find(|section| section.starts_with(&format!("`{kind}`"))).unwrap();
    let lines: String = section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    serde_json::from_str(&lines).unwrap()
}

fn members(data: &Value) -> Vec<String> {
    let mut members: Vec<_> = data.as_object().unwrap().keys().cloned().collect();
    for name in NESTED {
        let inner = data[name].as_object().into_iter().flat_map(|inner| inner.keys());
        members.extend(inner.map(|member| format!("{name}.{member}")));
    }
    members.sort();
    members
}

/// Each kind is made to happen: one that the reference describes otherwise, or that nothing tells, is found here.
async fn every_kind_is_told_as_the_reference_shows_it(backend: Backend) {
    let (start, day) = (Millis(1_767_225_600_000), 86_400_000);
    let clock = Arc::new(ManualClock::new(start));
    let world = World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await;
    let (by, bot) = (world.secret(), world.bot().await);
    listen(&world).await;

    let session = world.open_session("session", &by, &bot).await;
    let _ = session.say("Hello").await.rest().await;
    let _ = session.end_session().await.expect(200);
    let _ = by.post("/v1/contacts", &json!({"name": "Ada"})).await.expect(201);
    let agent_loop = json!({"name": "Echo", "prompt": "Help.", "bot_id": bot});
    let agent_loop = testkit::id_of(&by.post("/v1/agent-loops", &agent_loop).await.expect(201));
    let _ = agent_loops::run(&world, &agent_loop).await;

    let guest = r#""participants": [{"name": "guest"}]"#;
    for child in [
        "",
        r#"{"type": "Input", "id": "q", "prompt": "Well?", "input_type": "nps"}"#,
        r#"{"type": "Tool", "id": "t", "url": "http://127.0.0.1:9/", "retries": 0}"#,
    ] {
        let definition = format!(r#"{{"type": "Workflow", "id": "w", {guest}, "children": [{child}]}}"#);
        let _ = world.deployment_of(&definition).await.post("/api/v1/runs", &json!({})).await.expect(202);
    }

    let dates = json!({"name": "Key", "expires_at": start.plus(31 * day), "rotate_after": start.plus(day)});
    let key = world.key("key", dates).await;
    let path = format!("/v1/api-keys/{}", world.key("other", json!({"name": "Other"})).await.id());
    let _ = by.post(&format!("{path}/rotate"), &json!({})).await.expect(200);
    let _ = by.delete(&path).await.expect(200);
    let _ = key.request("GET", "/v1/me").origin("https://shop.example").send().await;

    let receiver = Receiver::start(|_| Reply::status(410)).await;
    let gone = json!({"url": receiver.url("/gone")});
    let gone = testkit::id_of(&by.post("/v1/webhooks", &gone).await.expect(201));
    let _ = by.post(&format!("/v1/webhooks/{gone}/test"), &json!({})).await.expect(202);

    // A reply costs a credit: the ninth leaves a tenth of the grant, and the tenth nothing.
    let _ = by.post("/v1/credits/grants", &json!({"amount": 10})).await.expect(201);
    let _ = by.patch("/v1/credits", &json!({"metered": true})).await.expect(200);
    let session = world.open_session("metered", &by, &bot).await;
    for _ in 0..10 {
        let _ = session.say("Hello").await.rest().await;
    }

    clock.advance(Duration::from_millis(2 * day.unsigned_abs()));
    world.server().running().app().cluster().give_key_notices().await.unwrap();
    for kind in EventKind::ALL {
        let is_told = eventually(Duration::from_secs(20), async || !told(&world, kind.as_str()).await.is_empty()).await;
        assert!(is_told, "{}", kind.as_str());
    }
    world.end().await;
}

async fn contacts_and_keys_are_told_as_the_reference_shows_it(world: &World) {
    let by = world.secret();
    listen(world).await;
    let made = by.post("/v1/contacts", &json!({"name": "Ada"})).await.expect(201).data();
    assert_eq!(told(world, "contact.created").await, [made]);
    let key = world.key("key", json!({"name": "Key", "scopes": []})).await;
    let path = format!("/v1/api-keys/{}", key.id());
    let _ = by.post(&format!("{path}/rotate"), &json!({})).await.expect(200);
    let _ = by.delete(&path).await.expect(200);
    for kind in ["api_key.created", "api_key.rotated", "api_key.revoked"] {
        let told = told(world, kind).await;
        assert_eq!((told.len(), &told[0]["id"]), (1, &json!(key.id())), "{kind}");
    }
}

async fn a_session_is_told_as_the_api_shows_it(world: &World) {
    let (by, bot) = (world.secret(), world.bot().await);
    listen(world).await;
    let session = world.open_session("session", &by, &bot).await;
    let path = format!("/v1/conversations/{}", session.id());
    assert_eq!(told(world, "conversation.created").await, [by.get(&path).await.expect(200).data()]);
    let _ = session.say("Hello").await.rest().await;
    let mut said = told(world, "message.created").await;
    said.sort_by_key(|message| message["position"].as_u64());
    let mut shown = by.get(&format!("{path}/messages")).await.expect(200).data();
    for message in shown.as_array_mut().unwrap() {
        message["conversation_id"] = json!(session.id());
        message["truncated"] = json!(false);
    }
    assert_eq!(json!(said), shown, "the user's words and the whole reply");
    let _ = session.end_session().await.expect(200);
    assert_eq!(told(world, "session.ended").await, [by.get(&path).await.expect(200).data()]);
}

async fn a_run_is_told_as_the_api_shows_it(world: &World) {
    let by = world.deployment().await;
    listen(world).await;
    let started = by.post("/api/v1/runs", &json!({})).await.expect(202).json();
    let path = format!("/api/v1/runs/{}", started["run_id"].as_str().unwrap());
    let done =
        eventually(Duration::from_secs(10), async || by.get(&path).await.expect(200).json()["status"] == "completed");
    assert!(done.await);
    let begun = told(world, "run.started").await;
    assert_eq!((begun.len(), &begun[0]["id"], &begun[0]["status"]), (1, &started["run_id"], &json!("pending")));
    let mut shown = by.get(&path).await.expect(200).json();
    for name in ["input", "state"] {
        let _ = shown.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(told(world, "run.completed").await, [shown]);
}
