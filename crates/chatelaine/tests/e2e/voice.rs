//! Voice sessions: a room, a token for it that LiveKit's own SDKs accept, and nothing else.

use std::process::Stdio;

use serde_json::{Value, json};
use testkit::{Backend, LIVEKIT_API_KEY, LIVEKIT_API_SECRET, ORIGIN, Options, Persona, World, id_of};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::harness::in_a_world;

on_both! {
    a_room_is_opened_with_a_token_that_opens_nothing_here;
    only_a_bot_that_speaks_is_spoken_to;
    a_widget_key_opens_a_room_from_its_page_alone;
    a_voice_session_has_its_price;
}

on_each! {
    without_livekit_there_is_no_voice;
}

const PATH: &str = "/v1/chat/voice-sessions";

async fn speaking_bot(by: &Persona) -> String {
    id_of(&by.post("/v1/bots", &json!({"name": "Ada", "architecture": "realtime"})).await.expect(201))
}

async fn conversations(by: &Persona) -> u64 {
    by.get("/v1/conversations").await.expect(200).json()["meta"]["total"].as_u64().unwrap()
}

async fn a_room_is_opened_with_a_token_that_opens_nothing_here(world: &World) {
    let owner = world.secret();
    let bot = speaking_bot(&owner).await;
    let opened = owner.post(PATH, &json!({"agent_id": bot, "theme": "dark"})).await.expect(201).json();
    let names: Vec<_> = opened.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["room_name", "token", "livekit_url", "agent_name"]);
    assert_eq!((&opened["livekit_url"], &opened["agent_name"]), (&json!("wss://voice.example.com"), &json!("Ada")));
    let room = opened["room_name"].as_str().unwrap();
    let shown = owner.get(&format!("/v1/conversations/{room}")).await.expect(200).data();
    assert_eq!((&shown["channel"], &shown["bot_id"]), (&json!("voice"), &json!(bot)));

    let holder = world.anonymous().with("voice", opened["token"].as_str().unwrap());
    for path in ["/v1/me", "/v1/bots", "/v1/conversations", &format!("/v1/chat/sessions/{room}/messages")] {
        assert_eq!(holder.get(path).await.status, 401, "{path}");
    }
    for path in ["/v1/chat/sessions", PATH, &format!("/v1/chat/sessions/{room}/messages")] {
        assert_eq!(holder.post(path, &json!({"agent_id": bot, "message": "hello"})).await.status, 401, "{path}");
    }
    assert_eq!(conversations(&owner).await, 1);
    let another = owner.post(PATH, &json!({"bot_id": bot})).await.expect(201).json();
    assert_ne!(another["room_name"], opened["room_name"], "each has a room of its own");
}

async fn only_a_bot_that_speaks_is_spoken_to(world: &World) {
    let owner = world.secret();
    let refused = owner.post(PATH, &json!({"agent_id": world.bot().await})).await.refused(422, "VALIDATION_FAILED");
    let error = &refused.json()["error"]["errors"][0];
    assert_eq!(error["field"], "agent_id");
    assert!(error["message"].as_str().unwrap().contains("answers in text"), "{error}");
    let bot = speaking_bot(&owner).await;
    for by in [world.other_workspace_secret(), world.test_secret().await] {
        let _ = by.post(PATH, &json!({"agent_id": bot})).await.refused(404, "NOT_FOUND");
    }
    let _ = owner.post(PATH, &json!({"agent_id": "nonsense"})).await.refused(404, "NOT_FOUND");
    let _ = owner.post(PATH, &json!({})).await.refused(422, "VALIDATION_FAILED");
    let _ =
        world.restricted().await.post(PATH, &json!({"agent_id": bot})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    assert_eq!(conversations(&owner).await, 0, "nothing was opened");
}

async fn a_widget_key_opens_a_room_from_its_page_alone(world: &World) {
    let (owner, widget) = (world.secret(), world.widget().await);
    let bot = speaking_bot(&owner).await;
    for page in [Some("https://evil-example.com"), Some("null"), None] {
        let _ = widget.at(page).post(PATH, &json!({"agent_id": bot})).await.refused(403, "ORIGIN_NOT_ALLOWED");
    }
    assert_eq!(conversations(&owner).await, 0, "nothing was opened");
    let opened = widget.post(PATH, &json!({"agent_id": bot})).await.expect(201);
    assert_eq!(opened.header("access-control-allow-origin"), ORIGIN);
    let room = opened.json()["room_name"].as_str().unwrap().to_owned();
    let session = world.session().await;
    let _ = session.post(PATH, &json!({"agent_id": bot})).await.refused(403, "WRONG_CREDENTIAL");
    let _ = owner.delete(&format!("/v1/api-keys/{}", widget.id())).await.expect(200);
    assert_eq!(widget.post(PATH, &json!({"agent_id": bot})).await.status, 401);
    let _ = owner.get(&format!("/v1/conversations/{room}")).await.expect(200);
}

async fn a_voice_session_has_its_price(world: &World) {
    let owner = world.secret();
    let bot = speaking_bot(&owner).await;
    let _ = owner.post("/v1/credits/grants", &json!({"amount": 19})).await.expect(201);
    let _ = owner.patch("/v1/credits", &json!({"metered": true})).await.expect(200);
    let once = || owner.request("POST", PATH).header("idempotency-key", "once").json(&json!({"agent_id": bot}));
    let (first, second) = (once().send().await.expect(201).json(), once().send().await.expect(201).json());
    assert_eq!(first, second);
    let _ = owner.post(PATH, &json!({"agent_id": bot})).await.refused(402, "INSUFFICIENT_CREDITS");
    assert_eq!(conversations(&owner).await, 1, "of the refused one there is no trace");
    let shown = owner.get("/v1/credits").await.expect(200).data();
    assert_eq!((&shown["free"], &shown["held"], &shown["charged"]), (&json!(9), &json!(0), &json!(10)));
    let entry = owner.get("/v1/credits/entries?per_page=1").await.expect(200).data()[0].take();
    assert_eq!((&entry["amount"], &entry["conversation_id"]), (&json!(-10), &first["room_name"]));
    let test = world.test_secret().await;
    let _ = test.post(PATH, &json!({"agent_id": speaking_bot(&test).await})).await.expect(201);
}

async fn without_livekit_there_is_no_voice(backend: Backend) {
    let world = World::with(backend, Options { livekit: None, ..Options::default() }).await;
    let owner = world.secret();
    let bot = speaking_bot(&owner).await;
    let _ = owner.post(PATH, &json!({"agent_id": bot})).await.refused(503, "NOT_CONFIGURED");
    assert_eq!(conversations(&owner).await, 0);
    world.end().await;
}

/// What LiveKit's own SDK says of a token: its claims, or nothing when it does not accept it.
async fn verified(program: &str, script: &str, token: &str, secret: &str) -> Option<Value> {
    let script = format!("{}/../../scripts/verify/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(program);
    let child = child.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("run scripts/test: it installs what verifies tokens");
    let asked = json!({"token": token, "api_key": LIVEKIT_API_KEY, "api_secret": secret});
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).await.unwrap();
    let ended = child.wait_with_output().await.unwrap();
    if ended.status.success() { Some(serde_json::from_slice(&ended.stdout).unwrap()) } else { None }
}

#[expect(clippy::disallowed_methods, reason = "where the SDKs are is no configuration of the server")]
pub(crate) fn tool(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("run scripts/test, or set {name}"))
}

#[test]
fn livekits_own_sdks_accept_a_token_and_no_other() {
    let _ = tool("CHATELAINE_TEST_NODE_MODULES");
    let python = tool("CHATELAINE_TEST_PYTHON");
    in_a_world(Backend::Sqlite, async |world: &World| {
        let owner = world.secret();
        let bot = speaking_bot(&owner).await;
        let opened = owner.post(PATH, &json!({"agent_id": bot})).await.expect(201).json();
        let (room, token) = (opened["room_name"].as_str().unwrap(), opened["token"].as_str().unwrap());
        let claims = verified("node", "livekit-token.mjs", token, LIVEKIT_API_SECRET).await.expect("accepted");
        assert_eq!((&claims["iss"], &claims["video"]["room"]), (&json!(LIVEKIT_API_KEY), &json!(room)));
        assert_eq!((&claims["video"]["roomJoin"], &claims["video"]["canPublish"]), (&json!(true), &json!(true)));
        assert_eq!(claims["sub"], json!(format!("user_{room}")));
        let metadata: Value = serde_json::from_str(claims["metadata"].as_str().unwrap()).unwrap();
        assert_eq!(metadata, json!({"conversation_id": room, "agent_id": bot}));
        let life = claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap();
        assert!((3600..=3610).contains(&life), "an hour: {life} s");

        let claims = verified(&python, "livekit-token.py", token, LIVEKIT_API_SECRET).await.expect("accepted");
        assert_eq!((&claims["video"]["room"], &claims["video"]["room_join"]), (&json!(room), &json!(true)));
        assert_eq!(claims["sub"], json!(format!("user_{room}")));

        let session = world.session().await;
        for (token, secret) in
            [(token, "another-secret-than-the-one-it-was-signed-with"), (session.credential(), LIVEKIT_API_SECRET)]
        {
            assert!(verified("node", "livekit-token.mjs", token, secret).await.is_none(), "node");
            assert!(verified(&python, "livekit-token.py", token, secret).await.is_none(), "Python");
        }
    });
}
