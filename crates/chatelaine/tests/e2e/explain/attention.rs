//! What wants attention, on the first page: of the own workspace and half of the data, and of what one may list.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Backend, Persona, World, eventually, id_of};

use crate::limits::world_with;

on_each! {
    what_wants_attention_is_told_of_the_own_data_alone;
}

const DAY_MS: i64 = 86_400_000;

async fn attention(by: &Persona) -> Value {
    by.get("/v1/overview").await.expect(200).data()["attention"].take()
}

fn told(shown: &Value, kind: &str, member: &str) -> Vec<String> {
    shown[kind].as_array().unwrap().iter().map(|row| row[member].as_str().unwrap().to_owned()).collect()
}

/// A key of each kind that wants attention, called so, and an endpoint that rests.
async fn neglect(world: &World, by: &Persona, name: &'static str) {
    let now = world.server().running().app().clock().now();
    let soon = json!({"name": name, "expires_at": now.plus(3 * DAY_MS)});
    let _ = by.post("/v1/api-keys", &soon).await.expect(201);
    let leaked = by.post("/v1/api-keys", &json!({ "name": name })).await.expect(201).data();
    let report = json!([{"token": leaked["key"], "type": "key", "url": "", "source": "commit"}]);
    let _ = world.client().post("/v1/leaks", &report).send().await.expect(202);
    let exposed = by.post("/v1/api-keys", &json!({ "name": name })).await.expect(201).data();
    let exposed = world.holder(name, &exposed).at(Some("https://a.example"));
    let _ = exposed.get("/v1/bots").await.expect(403);
    let hook = json!({"url": format!("https://{name}.example.com/hook?token=x")});
    let hook = id_of(&by.post("/v1/webhooks", &hook).await.expect(201));
    let _ = by.patch(&format!("/v1/webhooks/{hook}"), &json!({"is_active": false})).await.expect(200);
}

async fn what_wants_attention_is_told_of_the_own_data_alone(backend: Backend) {
    let (world, clock) = world_with(backend, |_| {}).await;
    let (by, other, test) = (world.secret(), world.other_workspace_secret(), world.test_secret().await);
    for owner in [&by, &other] {
        let _ = owner.patch("/v1/workspace", &json!({"leak_policy": "notify"})).await.expect(200);
    }
    let all = [(&by, "live"), (&test, "test"), (&other, "other")];
    for (owner, name) in all {
        neglect(&world, owner, name).await;
    }
    for (owner, name) in all {
        let is_told = async || !told(&attention(owner).await, "exposed", "name").is_empty();
        assert!(eventually(Duration::from_secs(5), is_told).await, "{name}: a server's key was on a page");
        let shown = attention(owner).await;
        for kind in ["expiring", "leaked", "exposed"] {
            assert!(told(&shown, kind, "name").iter().all(|of| of == name), "{kind}: {shown}");
            assert!(!told(&shown, kind, "name").is_empty(), "{kind}");
        }
        let leaked = told(&shown, "leaked", "id");
        assert!(told(&shown, "exposed", "id").iter().all(|id| !leaked.contains(id)), "told twice: {shown}");
        assert_eq!(told(&shown, "webhooks", "host"), [format!("{name}.example.com")]);
        assert!(told(&shown, "unused", "name").is_empty());
    }
    // Of what one may not list nothing is told, and of the rest all.
    for (scopes, kinds) in [
        (json!(["usage:read", "api-keys:read"]), ["expiring", "leaked", "exposed"].as_slice()),
        (json!(["usage:read", "webhooks:read"]), ["webhooks"].as_slice()),
    ] {
        let narrow = world.key("narrow", json!({"name": "N", "scopes": scopes})).await;
        for (kind, rows) in attention(&narrow).await.as_object().unwrap() {
            assert_eq!(rows != &json!([]), kinds.contains(&kind.as_str()), "{scopes} {kind}: {rows}");
        }
    }
    clock.advance(Duration::from_secs(91 * 24 * 3600));
    for (owner, name) in all {
        let shown = attention(owner).await;
        let unused = told(&shown, "unused", "name");
        let others = all.iter().filter(|(_, of)| *of != name);
        assert!(unused.contains(&name.to_owned()), "{name}: {unused:?}");
        assert!(others.into_iter().all(|(_, of)| !unused.contains(&(*of).to_owned())), "{name}: {unused:?}");
        for kind in ["expiring", "leaked", "exposed"] {
            assert!(told(&shown, kind, "name").is_empty(), "{kind}: that was long ago");
        }
    }
    world.end().await;
}
