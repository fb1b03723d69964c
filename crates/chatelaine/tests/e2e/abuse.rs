//! What somebody with a stolen, a public or a dead credential might try.

use serde_json::{Value, json};
use testkit::{Backend, Options, Persona, World};

on_both! {
    a_request_that_waited_for_its_body_is_judged_by_the_key_of_that_moment;
    a_key_that_was_narrowed_keeps_no_sessions;
    a_widget_key_has_no_idempotent_answers_to_share;
}

on_each! {
    a_public_key_cannot_use_up_what_the_servers_need;
    a_refused_request_costs_its_address_and_not_the_workspace;
    a_dead_token_costs_its_address_like_a_wrong_key;
    what_a_client_forwards_cannot_spoil_what_the_proxy_adds;
}

async fn world_with(backend: Backend, change: impl FnOnce(&mut Options)) -> World {
    let mut options = Options::default();
    change(&mut options);
    World::with(backend, options).await
}

/// A creation whose body comes in two parts, with something in between.
async fn held_creation(world: &World, key: &Persona, meanwhile: impl Future<Output = ()>) -> String {
    let body = r#"{"name":"Kept for later"}"#;
    let head = format!(
        "POST /v1/api-keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        key.credential(),
        body.len(),
        &body[..5],
    );
    world.client().raw_in_two(head.as_bytes(), meanwhile, &body.as_bytes()[5..]).await
}

async fn a_request_that_waited_for_its_body_is_judged_by_the_key_of_that_moment(world: &World) {
    let owner = world.secret();
    let make = async |name| world.key(name, json!({"name": name, "scopes": ["admin"]})).await;

    let untouched = make("untouched").await;
    let answer = held_creation(world, &untouched, async {}).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "a slow request is no crime: {answer}");

    let revoked = make("revoked").await;
    let path = format!("/v1/api-keys/{}", revoked.id());
    let revoke = async { drop(owner.delete(&path).await.expect(200)) };
    let answer = held_creation(world, &revoked, revoke).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("INVALID_API_KEY"), "{answer}");

    let narrowed = make("narrowed").await;
    let path = format!("/v1/api-keys/{}", narrowed.id());
    let narrow = async { drop(owner.patch(&path, &json!({"scopes": []})).await.expect(200)) };
    let answer = held_creation(world, &narrowed, narrow).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");

    let rotated = make("rotated").await;
    let path = format!("/v1/api-keys/{}/rotate", rotated.id());
    let rotate = async { drop(owner.post(&path, &json!({"grace_seconds": 0})).await.expect(200)) };
    let answer = held_creation(world, &rotated, rotate).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

async fn a_key_that_was_narrowed_keeps_no_sessions(world: &World) {
    let key = world.key("chats", json!({"name": "Chats", "scopes": ["chat:write"]})).await;
    let session = world.open_session("its session", &key, &world.bot().await).await;
    let _ = session.get(&session.messages()).await.expect(200);
    let path = format!("/v1/api-keys/{}", key.id());
    let _ = world.secret().patch(&path, &json!({"scopes": ["bots:read"]})).await.expect(200);
    let _ = session.get(&session.messages()).await.refused(401, "INVALID_TOKEN");
}

async fn a_widget_key_has_no_idempotent_answers_to_share(world: &World) {
    let (widget, bot) = (world.widget().await, world.bot().await);
    let open = async || {
        let request = widget.request("POST", "/v1/chat/sessions").header("idempotency-key", "order-1");
        request.json(&json!({"agent_id": bot})).send().await.expect(201)
    };
    let (first, second) = (open().await, open().await);
    assert_ne!(first.json()["session_token"], second.json()["session_token"], "one visitor's session is not another's");
    assert_eq!(second.header("idempotent-replayed"), "");
}

async fn a_public_key_cannot_use_up_what_the_servers_need(backend: Backend) {
    let world = world_with(backend, |options| options.limits.workspace_per_minute = 40).await;
    let (widget, bot) = (world.widget().await, world.bot().await);
    let mut refused = 0;
    for _ in 0..60 {
        let answer = widget.post("/v1/chat/sessions", &json!({"agent_id": bot})).await;
        refused += u32::from(answer.status == 429);
    }
    assert!(refused >= 10, "browsers have a budget: {refused}");
    let _ = world.secret().get("/v1/me").await.expect(200);
    world.end().await;
}

async fn a_refused_request_costs_its_address_and_not_the_workspace(backend: Backend) {
    let world = world_with(backend, |options| {
        options.limits.workspace_per_minute = 40;
        options.limits.failures_per_minute = 50;
    })
    .await;
    let widget = world.widget().await;
    let mut codes = Vec::new();
    for _ in 0..60 {
        codes.push(widget.get("/v1/bots").await.code());
    }
    assert_eq!(codes[0], "WRONG_CREDENTIAL");
    assert_eq!(codes[59], "RATE_LIMITED", "an address that keeps failing is slowed down");
    let _ = world.secret().get("/v1/me").await.expect(200);
    world.end().await;
}

async fn a_dead_token_costs_its_address_like_a_wrong_key(backend: Backend) {
    let world = world_with(backend, |options| options.limits.failures_per_minute = 5).await;
    let session = world.session().await;
    let _ = session.end_session().await.expect(200);
    let mut codes = Vec::new();
    for _ in 0..7 {
        codes.push(session.get(&session.messages()).await.code());
    }
    assert_eq!(codes[0], "INVALID_TOKEN");
    assert_eq!(codes[6], "RATE_LIMITED", "{codes:?}");
    world.end().await;
}

async fn what_a_client_forwards_cannot_spoil_what_the_proxy_adds(backend: Backend) {
    let world = world_with(backend, |options| options.trusted_proxies = vec!["127.0.0.1/32".to_owned()]).await;
    let key = world.key("inside", json!({"name": "Inside", "allowed_ips": ["127.0.0.0/8"]})).await;
    let from = async |forwarded: &[u8]| {
        let answer = key.request("GET", "/v1/me").header("x-forwarded-for", forwarded).send().await;
        (answer.status, answer.json()["error"]["code"].clone())
    };
    let outside = (403, Value::from("INSUFFICIENT_PERMISSIONS"));
    assert_eq!(from(b"203.0.113.9").await, outside);
    assert_eq!(from(b"\xff, 203.0.113.9").await, outside, "a byte that is no text hides nothing");
    assert_eq!(from(b"127.0.0.1, 203.0.113.9").await, outside, "the left is the client's own claim");
    assert_eq!(from(b"203.0.113.9, 127.0.0.1").await, outside, "a trusted hop is passed over");
    assert_eq!(from(b"127.0.0.9").await.0, 200);
    assert_eq!(from(b"::ffff:127.0.0.9").await.0, 200, "IPv4 in IPv6 is IPv4");
    assert_eq!(from(b"::ffff:203.0.113.9").await, outside);
    assert_eq!(from(b"::1").await, outside, "no block of IPv4 holds it");
    let blocks = json!(["::ffff:10.0.0.0/104", "2001:db8::/33", "192.0.2.4/30"]);
    let key = world.key("blocks", json!({"name": "Blocks", "allowed_ips": blocks})).await;
    let from = async |address: &str| key.request("GET", "/v1/me").header("x-forwarded-for", address).send().await;
    for address in ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "2001:db8:7fff::1", "192.0.2.4", "192.0.2.7"] {
        assert_eq!(from(address).await.status, 200, "{address}");
    }
    for address in ["9.255.255.255", "11.0.0.0", "2001:db8:8000::1", "2001:db7::1", "192.0.2.3", "192.0.2.8", "::"] {
        assert_eq!(from(address).await.status, 403, "{address}");
    }
    world.end().await;
}
