//! API keys from their making to their end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ambient::{Clock, ManualClock, Millis};
use serde_json::{Value, json};
use testkit::{Backend, Options, Persona, World};

fn path(key: &Persona) -> String {
    format!("/v1/api-keys/{}", key.id())
}

async fn rotate(by: &Persona, key: &Persona, grace_seconds: u32) -> Value {
    by.post(&format!("{}/rotate", path(key)), &json!({ "grace_seconds": grace_seconds })).await.expect(200).data()
}

fn manual(clock: &Arc<ManualClock>) -> Options {
    Options { clock: clock.clone(), ..Options::default() }
}

/// Now, to the second: a clock that a test moves.
fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Millis::from_seconds(ambient::SystemClock::new().now().seconds())))
}

on_both! {
    a_key_is_shown_once_and_then_by_its_ends;
    a_change_is_in_force_for_the_next_request;
    no_key_makes_changes_or_rotates_a_wider_one;
    test_and_live_never_meet;
    a_revoked_key_is_refused_by_the_next_request_for_good;
    a_rotation_without_grace_ends_the_old_secret_and_its_sessions;
    a_key_may_rotate_itself;
    once_revoked_no_request_succeeds_however_many_are_on_their_way;
}

async fn a_key_is_shown_once_and_then_by_its_ends(world: &World) {
    let notes = json!({"team": "core"});
    let body =
        json!({"name": "CI", "owner": "ada@example.com", "purpose": "deploys", "metadata": notes, "rate_limit": 500});
    let answer = world.secret().post("/v1/api-keys", &body).await.expect(201);
    let made = answer.data();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(key.starts_with("sk_live_") && key.len() == 46, "{key}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let shown = world.secret().get(&format!("/v1/api-keys/{id}")).await.expect(200);
    assert!(!shown.text().contains(key) && shown.data().get("key").is_none());
    let shown = shown.data();
    assert_eq!(shown["display"], format!("{}…{}", &key[..12], &key[key.len() - 4..]));
    for member in ["name", "owner", "purpose", "metadata", "rate_limit"] {
        assert_eq!(shown[member], body[member], "{member}");
    }
    assert_eq!(
        (&shown["status"], &shown["kind"], &shown["environment"]),
        (&json!("active"), &json!("secret"), &json!("live"))
    );
    assert_eq!(shown["scopes"], json!(["admin"]), "its maker's, written out");
    assert!(shown["created_by"].as_str().unwrap().contains(world.secret().id()), "{shown}");
    let lives = shown["expires_at"]
        .as_str()
        .unwrap()
        .parse::<Millis>()
        .unwrap()
        .since(shown["created_at"].as_str().unwrap().parse().unwrap());
    assert!((lives - 365 * 86_400_000).abs() < 60_000, "a year: {lives}");
    let list = world.secret().get("/v1/api-keys?per_page=1").await.expect(200);
    assert_eq!((&list.json()["meta"]["total"], &list.data()[0]["id"]), (&json!(2), &json!(id)));
    assert!(!list.text().contains(key));
}

async fn a_change_is_in_force_for_the_next_request(world: &World) {
    let key = world.key("key", json!({"name": "Key", "scopes": ["bots:read", "bots:write"], "expires_at": null})).await;
    assert_eq!(world.secret().get(&path(&key)).await.data()["expires_at"], Value::Null);
    let _ = key.post("/v1/bots", &json!({"name": "One"})).await.expect(201);
    let changed =
        world.secret().patch(&path(&key), &json!({"name": "New", "scopes": ["bots:read"]})).await.expect(200).data();
    assert_eq!((&changed["name"], &changed["scopes"]), (&json!("New"), &json!(["bots:read"])));
    let _ = key.post("/v1/bots", &json!({"name": "Two"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = key.get("/v1/bots").await.expect(200);
    let _ = world.secret().patch(&path(&key), &json!({"allowed_ips": ["203.0.113.0/24"]})).await.expect(200);
    let _ = key.get("/v1/bots").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = world.secret().patch(&path(&key), &json!({"allowed_ips": []})).await.expect(200);
    let _ = key.get("/v1/bots").await.expect(200);
    let shown = world.secret().patch(&path(&key), &json!({"scopes": []})).await.expect(200).data();
    assert_eq!(shown["scopes"], json!([]));
    let _ = key.get("/v1/bots").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = key.get("/v1/me").await.expect(200);
}

async fn no_key_makes_changes_or_rotates_a_wider_one(world: &World) {
    let maker = world.key("maker", json!({"name": "Maker", "scopes": ["api-keys:write", "bots:read"]})).await;
    let wide = world.key("wide", json!({"name": "Wide", "scopes": ["bots:read", "bots:write"]})).await;
    for scopes in [json!(["admin"]), json!(["bots:read", "bots:write"]), json!(["api-keys:read"])] {
        let answer = maker.post("/v1/api-keys", &json!({"name": "Up", "scopes": scopes})).await;
        let answer = answer.refused(403, "INSUFFICIENT_PERMISSIONS");
        assert!(answer.json()["error"]["required_scope"].is_string(), "{}", answer.text());
    }
    let widget = json!({"name": "Up", "kind": "widget", "allowed_domains": ["example.com"]});
    let _ = maker.post("/v1/api-keys", &widget).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = maker.patch(&path(&wide), &json!({"name": "Mine"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = maker.post(&format!("{}/rotate", path(&wide)), &json!({})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = maker
        .post(&format!("{}/rotate", path(&world.secret())), &json!({}))
        .await
        .refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = maker.patch(&path(&maker), &json!({"scopes": ["admin"]})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = wide.get("/v1/bots").await.expect(200);
    let made = maker.post("/v1/api-keys", &json!({"name": "Same"})).await.expect(201).data();
    assert_eq!(made["scopes"], json!(["bots:read", "api-keys:write"]), "by default its maker's");
    let _ = maker.delete(&path(&wide)).await.expect(200);
    let _ = wide.get("/v1/bots").await.refused(401, "INVALID_API_KEY");
}

async fn test_and_live_never_meet(world: &World) {
    let (live, test) = (world.secret(), world.test_secret().await);
    let (live_bot, test_bot) = (world.bot().await, world.bot_of(&test).await);
    for (by, own, foreign) in [(&live, &live_bot, &test_bot), (&test, &test_bot, &live_bot)] {
        let _ = by.get(&format!("/v1/bots/{own}")).await.expect(200);
        let _ = by.get(&format!("/v1/bots/{foreign}")).await.refused(404, "NOT_FOUND");
        let _ = by.patch(&format!("/v1/bots/{foreign}"), &json!({"name": "Mine"})).await.refused(404, "NOT_FOUND");
        let _ = by.delete(&format!("/v1/bots/{foreign}")).await.refused(404, "NOT_FOUND");
        let _ = by.post("/v1/chat/sessions", &json!({"agent_id": foreign})).await.refused(404, "NOT_FOUND");
        let list = by.get("/v1/bots").await.expect(200);
        assert!(list.text().contains(own.as_str()) && !list.text().contains(foreign.as_str()));
    }
    let session = world.open_session("session", &test, &test_bot).await;
    let _ = session.say("hello").await.rest().await;
    assert_eq!(live.get("/v1/conversations").await.json()["meta"]["total"], 0);
    assert_eq!(test.get("/v1/conversations").await.json()["meta"]["total"], 1);
    let _ = live.get(&format!("/v1/conversations/{}", session.id())).await.refused(404, "NOT_FOUND");
    let _ = test
        .post("/v1/api-keys", &json!({"name": "Up", "environment": "live"}))
        .await
        .refused(422, "VALIDATION_FAILED");
    let made = test.post("/v1/api-keys", &json!({"name": "Down"})).await.expect(201).data();
    assert_eq!(made["environment"], "test");
    let _ = test.get(&path(&live)).await.refused(404, "NOT_FOUND");
    let _ = test.post(&format!("{}/rotate", path(&live)), &json!({})).await.refused(404, "NOT_FOUND");
    let _ = test.delete(&path(&live)).await.refused(404, "NOT_FOUND");
    let seen = test.get("/v1/api-keys").await.expect(200).data();
    assert!(seen.as_array().unwrap().iter().all(|key| key["environment"] == "test"), "{seen}");
    let _ = live.get("/v1/me").await.expect(200);
}

async fn a_revoked_key_is_refused_by_the_next_request_for_good(world: &World) {
    let key = world.key("doomed", json!({"name": "Doomed"})).await;
    let session = world.open_session("session", &key, &world.bot().await).await;
    let _ = session.say("hello").await.rest().await;
    let receipt = world.secret().delete(&path(&key)).await.expect(200).data();
    assert_eq!(
        (&receipt["id"], &receipt["nodes_confirmed"], &receipt["streams_closed"]),
        (&json!(key.id()), &json!(1), &json!(0))
    );
    assert!(receipt["took_ms"].as_f64().is_some_and(|took| (0.0..1000.0).contains(&took)), "{receipt}");
    let _ = key.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    let _ = session.get(&session.messages()).await.refused(401, "INVALID_TOKEN");
    let again = world.secret().delete(&path(&key)).await.expect(200).data();
    assert_eq!(again["revoked_at"], receipt["revoked_at"], "the first time counts");
    let shown = world.secret().get(&path(&key)).await.expect(200).data();
    assert_eq!((&shown["status"], &shown["revoked_at"]), (&json!("revoked"), &receipt["revoked_at"]));
    let _ = world.secret().post(&format!("{}/rotate", path(&key)), &json!({})).await.refused(409, "CONFLICT");
    let _ = world.secret().patch(&path(&key), &json!({"name": "Back"})).await.refused(409, "CONFLICT");
    let _ = key.get("/v1/me").await.refused(401, "INVALID_API_KEY");
}

async fn a_rotation_without_grace_ends_the_old_secret_and_its_sessions(world: &World) {
    let key = world.key("leaked", json!({"name": "Leaked"})).await;
    let session = world.open_session("session", &key, &world.bot().await).await;
    let rotated = rotate(&world.secret(), &key, 0).await;
    assert_eq!(rotated["id"], key.id());
    let _ = key.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    let _ = session.get(&session.messages()).await.refused(401, "INVALID_TOKEN");
    let new = world.holder("new", &rotated);
    let _ = new.get("/v1/me").await.expect(200);
    let session = world.open_session("session", &new, &world.bot().await).await;
    let _ = session.say("hello").await.rest().await;
}

async fn a_key_may_rotate_itself(world: &World) {
    let key = world.key("key", json!({"name": "Key"})).await;
    let rotated = rotate(&key, &key, 60).await;
    let new = world.holder("new", &rotated);
    let _ = key.get("/v1/me").await.expect(200);
    let _ = new.get("/v1/me").await.expect(200);
    let again = rotate(&new, &new, 60).await;
    let newest = world.holder("newest", &again);
    let _ = key.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    for key in [&new, &newest] {
        assert_eq!(key.get("/v1/me").await.expect(200).data()["id"], key.id());
    }
}

on_each! {
    both_secrets_work_until_the_grace_ends_and_each_counts_its_uses;
    keys_changes_and_revocations_survive_a_restart;
    an_expired_key_and_its_sessions_are_over_to_the_second;
}

async fn both_secrets_work_until_the_grace_ends_and_each_counts_its_uses(backend: Backend) {
    let clock = clock();
    let world = World::with(backend, manual(&clock)).await;
    let key = world.key("key", json!({"name": "Key"})).await;
    let session = world.open_session("session", &key, &world.bot().await).await;
    let rotated = rotate(&world.secret(), &key, 3600).await;
    let new = world.holder("new", &rotated);
    let ends: Millis = rotated["previous_expires_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(ends.since(clock.now()), 3_600_000);
    clock.advance(Duration::from_secs(3599));
    for _ in 0..2 {
        let _ = key.get("/v1/me").await.expect(200);
    }
    let _ = new.get("/v1/me").await.expect(200);
    let session_answer = session.get(&session.messages()).await;
    assert_eq!(session_answer.status, 401, "idle for an hour: {}", session_answer.text());
    let world = world.restart().await;
    let (key, new) = (key.on(world.client()), new.on(world.client()));
    let shown = world.secret().get(&path(&key)).await.expect(200).data();
    let secrets = shown["secrets"].as_array().unwrap();
    assert_eq!(secrets.len(), 2, "{shown}");
    assert_eq!((&secrets[0]["expires_at"], &secrets[1]["expires_at"]), (&Value::Null, &json!(ends.to_string())));
    assert_eq!((&secrets[0]["uses"], &secrets[1]["uses"]), (&json!(1), &json!(3)), "through a restart: {shown}");
    assert_eq!(shown["last_used_ip"], "127.0.0.1");
    let _ = key.get("/v1/me").await.expect(200);
    clock.advance(Duration::from_secs(1));
    let _ = key.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    let _ = new.get("/v1/me").await.expect(200);
    let world = world.restart().await;
    let _ = key.on(world.client()).get("/v1/me").await.refused(401, "INVALID_API_KEY");
    let _ = new.on(world.client()).get("/v1/me").await.expect(200);
    world.end().await;
}

async fn keys_changes_and_revocations_survive_a_restart(backend: Backend) {
    let world = World::new(backend).await;
    let kept = world.key("kept", json!({"name": "Kept", "scopes": ["bots:read"]})).await;
    let gone = world.key("gone", json!({"name": "Gone"})).await;
    let session = world.session().await;
    let _ = session.say("hello").await.rest().await;
    let _ = world.secret().delete(&path(&gone)).await.expect(200);
    let _ = world.secret().patch(&path(&kept), &json!({"scopes": ["api-keys:read"]})).await.expect(200);
    let world = world.restart().await;
    let client = world.client();
    let _ = gone.on(client).get("/v1/me").await.refused(401, "INVALID_API_KEY");
    let _ = kept.on(client).get("/v1/bots").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = kept.on(client).get("/v1/api-keys").await.expect(200);
    let session = session.on(client);
    assert_eq!(session.history().await.len(), 2);
    let _ = session.say("again").await.rest().await;
    let _ = session.end_session().await.expect(200);
    let world = world.restart().await;
    let session = session.on(world.client());
    let _ = session.get(&session.messages()).await.refused(401, "INVALID_TOKEN");
    world.end().await;
}

async fn an_expired_key_and_its_sessions_are_over_to_the_second(backend: Backend) {
    let clock = clock();
    let world = World::with(backend, manual(&clock)).await;
    let ends = clock.now().plus(600_000);
    let key = world.key("key", json!({"name": "Key", "expires_at": ends.to_string()})).await;
    assert_eq!(world.secret().get(&path(&key)).await.data()["status"], "expiring");
    let session = world.open_session("session", &key, &world.bot().await).await;
    clock.advance(Duration::from_millis(599_999));
    let _ = key.get("/v1/me").await.expect(200);
    let _ = session.get(&session.messages()).await.expect(200);
    clock.advance(Duration::from_millis(1));
    let _ = key.get("/v1/me").await.refused(401, "API_KEY_EXPIRED");
    let _ = session.get(&session.messages()).await.refused(401, "INVALID_TOKEN");
    assert_eq!(world.secret().get(&path(&key)).await.data()["status"], "expired");
    let _ = world.secret().patch(&path(&key), &json!({"expires_at": ends.plus(1000).to_string()})).await.expect(200);
    let _ = key.get("/v1/me").await.expect(200);
    world.end().await;
}

async fn once_revoked_no_request_succeeds_however_many_are_on_their_way(world: &World) {
    for _ in 0..5 {
        let key = world.key("busy", json!({"name": "Busy"})).await;
        let revoked = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = (0..6)
            .map(|_| {
                let (key, revoked) = (key.clone(), revoked.clone());
                tokio::spawn(async move {
                    let mut seen = (0, 0);
                    // Each goes on until it was refused 20 times after the receipt.
                    while seen.1 < 20 {
                        let before = revoked.load(Ordering::SeqCst);
                        match key.get("/v1/me").await.status {
                            200 if before => panic!("a revoked key was let in"),
                            200 => seen.0 += 1,
                            _ => seen.1 += 1,
                        }
                    }
                    seen.0
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(30)).await;
        let _ = world.secret().delete(&path(&key)).await.expect(200);
        revoked.store(true, Ordering::SeqCst);
        let mut let_in = 0;
        for caller in callers {
            let_in += caller.await.unwrap();
        }
        assert!(let_in > 0, "nobody was on the way");
    }
}
