//! `Idempotency-Key`: the same request twice does one thing, and answers the same.

use serde_json::{Value, json};
use testkit::{Answer, Persona, World, id_of};

async fn create(by: &Persona, key: &str, body: &Value) -> Answer {
    by.request("POST", "/v1/bots").header("idempotency-key", key).json(body).send().await
}

on_both! {
    the_same_key_and_body_get_the_same_answer;
    another_body_under_the_same_key_is_refused;
    one_callers_key_means_nothing_to_another;
    a_refusal_is_not_kept;
    a_created_keys_secret_is_replayed_to_its_maker_and_stored_nowhere;
    two_at_once_do_one_thing;
    a_key_that_is_no_key_is_refused;
    a_crash_between_the_commit_and_the_record_makes_nothing_twice;
    a_key_whose_maker_never_saw_it_gets_another_secret;
    a_key_that_is_not_what_would_be_made_now_is_not_handed_out;
    what_cannot_be_answered_again_is_said_to_be_done;
}

async fn the_same_key_and_body_get_the_same_answer(world: &World) {
    let (by, body) = (world.secret(), json!({"name": "Once"}));
    let first = create(&by, "order-17", &body).await.expect(201);
    assert!(first.header("idempotent-replayed").is_empty());
    for spelled in ["order-17", "\"order-17\""] {
        let again = create(&by, spelled, &body).await.expect(201);
        assert_eq!((again.body, again.headers["idempotent-replayed"].to_str().unwrap()), (first.body.clone(), "true"));
    }
    assert_eq!(by.get("/v1/bots").await.json()["meta"]["total"], 1);
    let other = create(&by, "order-18", &body).await.expect(201);
    assert_ne!(other.body, first.body);
}

async fn another_body_under_the_same_key_is_refused(world: &World) {
    let by = world.secret();
    let _ = create(&by, "k", &json!({"name": "One"})).await.expect(201);
    let answer = create(&by, "k", &json!({"name": "Two"})).await.refused(422, "VALIDATION_FAILED");
    assert!(answer.text().contains("Idempotency-Key"), "{}", answer.text());
    assert_eq!(by.get("/v1/bots").await.json()["meta"]["total"], 1);
}

async fn one_callers_key_means_nothing_to_another(world: &World) {
    let body = json!({"name": "Bot"});
    let first = create(&world.secret(), "k", &body).await.expect(201);
    let second = world.key("second", json!({"name": "Second"})).await;
    for by in [world.other_workspace_secret(), second] {
        let answer = create(&by, "k", &body).await.expect(201);
        assert_ne!(answer.body, first.body);
        assert!(answer.header("idempotent-replayed").is_empty());
    }
}

async fn a_refusal_is_not_kept(world: &World) {
    let by = world.secret();
    let _ = create(&by, "k", &json!({"name": ""})).await.refused(422, "VALIDATION_FAILED");
    let _ = create(&by, "k", &json!({"name": "Corrected"})).await.expect(201);
}

async fn a_created_keys_secret_is_replayed_to_its_maker_and_stored_nowhere(world: &World) {
    let body = json!({"name": "Key"});
    let send = || world.secret().request("POST", "/v1/api-keys").header("idempotency-key", "k").json(&body).send();
    let (first, second) = (send().await.expect(201), send().await.expect(201));
    assert_eq!(first.body, second.body);
    let key = first.data()["key"].as_str().unwrap().to_owned();
    let stored = world.server().database().bytes().await;
    assert!(!stored.windows(key.len()).any(|window| window == key.as_bytes()));
}

async fn two_at_once_do_one_thing(world: &World) {
    let (by, body) = (world.secret(), json!({"name": "Once"}));
    let answers = futures_util::future::join_all((0..8).map(|_| create(&by, "k", &body))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert!(made >= 1 && answers.iter().all(|answer| [201, 409].contains(&answer.status)));
    assert_eq!(by.get("/v1/bots").await.json()["meta"]["total"], 1);
}

async fn a_key_that_is_no_key_is_refused(world: &World) {
    for odd in ["", "\"\"", &"x".repeat(256), "t\u{e4}st"] {
        let _ = create(&world.secret(), odd, &json!({"name": "Bot"})).await.refused(400, "INVALID_REQUEST");
    }
    assert_eq!(world.secret().get("/v1/bots").await.json()["meta"]["total"], 0);
}

/// A workflow without a step.
fn nothing() -> Value {
    json!({"type": "Workflow", "id": "root", "children": []})
}

/// What a kill between the commit of what was made and the record of its answer leaves, a minute later.
async fn lose_the_answers(world: &World) {
    let database = world.server().database();
    let lost = "UPDATE idempotency SET status = NULL, body = NULL, created_at = created_at - 61000";
    assert!(database.execute(lost).await > 0);
}

async fn a_crash_between_the_commit_and_the_record_makes_nothing_twice(world: &World) {
    let (by, bot) = (world.secret(), world.bot().await);
    let workflow = by.post("/v1/workflows", &json!({"name": "W", "definition": nothing()})).await;
    let workflow = id_of(&workflow.expect(201));
    let deployment = world.deployment().await;
    let cases = [
        (&by, "/v1/bots", json!({"name": "Once"}), "/data/id"),
        (&by, "/v1/workflows", json!({"name": "Once", "definition": nothing()}), "/data/id"),
        (&by, "/v1/service-accounts", json!({"name": "Once"}), "/data/id"),
        (&by, "/v1/api-keys", json!({"name": "Once"}), "/data/id"),
        (
            &by,
            "/v1/connections",
            json!({"name": "Once", "origin": "https://example.com", "headers": {"authorization": "Bearer a"}}),
            "/data/id",
        ),
        (&by, &format!("/v1/bots/{bot}/integrations"), json!({"name": "Once", "kind": "echo"}), "/data/id"),
        (&by, &format!("/v1/workflows/{workflow}/deployments"), json!({}), "/data/id"),
        (&by, "/v1/chat/sessions", json!({"agent_id": bot}), "/conversation_id"),
        (&deployment, "/api/v1/runs", json!({}), "/run_id"),
    ];
    for (by, path, body, id) in &cases {
        let send = || by.request("POST", path).header("idempotency-key", "once").json(body).send();
        let first = send().await;
        assert!([201, 202].contains(&first.status), "{path}: {}", first.text());
        lose_the_answers(world).await;
        let again = send().await;
        assert_eq!(again.status, first.status, "{path}: {}", again.text());
        let (first, again) = (first.json(), again.json());
        assert!(first.pointer(id).is_some_and(Value::is_string), "{path}: {first}");
        assert_eq!(again.pointer(id), first.pointer(id), "{path}");
        // From now on it is an answer like any other.
        let replayed = send().await;
        assert_eq!((replayed.header("idempotent-replayed"), replayed.json()), ("true", again), "{path}");
    }
    // The first of each is the world's or this test's own.
    assert_eq!(by.get("/v1/service-accounts").await.json()["meta"]["total"], 1);
    assert_eq!(by.get("/v1/connections").await.json()["meta"]["total"], 1);
    assert_eq!(by.get("/v1/conversations").await.json()["meta"]["total"], 1);
    assert_eq!(by.get(&format!("/v1/deployments?workflow_id={workflow}")).await.json()["meta"]["total"], 1);
    let audited = by.get("/v1/audit-log?action=create_service_account").await.json();
    assert_eq!(audited["meta"]["total"], 1, "what is done once is recorded once");
}

async fn a_key_whose_maker_never_saw_it_gets_another_secret(world: &World) {
    let body = json!({"name": "Key", "scopes": ["bots:read"]});
    let send = || world.secret().request("POST", "/v1/api-keys").header("idempotency-key", "k").json(&body).send();
    let first = send().await.expect(201).data();
    lose_the_answers(world).await;
    let second = send().await.expect(201).data();
    assert_eq!(first["id"], second["id"]);
    let works = async |made: &Value| world.holder("made", made).get("/v1/bots").await.status;
    assert_eq!((works(&first).await, works(&second).await), (401, 200), "nobody is to have the first");
}

async fn a_key_that_is_not_what_would_be_made_now_is_not_handed_out(world: &World) {
    let owner = world.secret();
    let maker = world.key("maker", json!({"name": "M", "scopes": ["api-keys:write", "bots:read", "bots:write"]})).await;
    let body = json!({"name": "Child"});
    let send = |n: &str| maker.request("POST", "/v1/api-keys").header("idempotency-key", n).json(&body).send();
    let made = ["wider", "longer", "used", "rotated", "revoked", "narrowed"];
    let mut paths = Vec::new();
    for name in made {
        paths.push(format!("/v1/api-keys/{}", id_of(&send(name).await.expect(201))));
    }
    lose_the_answers(world).await;
    let _ = owner.patch(&paths[0], &json!({"scopes": ["admin"]})).await.expect(200);
    let _ = owner.patch(&paths[1], &json!({"expires_at": null})).await.expect(200);
    let id = paths[2].rsplit('/').next().unwrap();
    let used = format!("UPDATE api_key_secrets SET uses = 1 WHERE key_id = '{id}'");
    assert_eq!(world.server().database().execute(&used).await, 1);
    let _ = owner.post(&format!("{}/rotate", paths[3]), &json!({"grace_seconds": 0})).await.expect(200);
    let _ = owner.delete(&paths[4]).await.expect(200);
    for name in &made[..5] {
        let answer = send(name).await.refused(409, "CONFLICT");
        assert!(!answer.text().contains("sk_live_"), "{}", answer.text());
    }
    // The maker itself may do less by now.
    let narrower = json!({"scopes": ["api-keys:write", "bots:read"]});
    let _ = owner.patch(&format!("/v1/api-keys/{}", maker.id()), &narrower).await.expect(200);
    let _ = send("narrowed").await.refused(409, "CONFLICT");
    let workflow = owner.post("/v1/workflows", &json!({"name": "W", "definition": nothing()})).await;
    let path = format!("/v1/workflows/{}/deployments", id_of(&workflow.expect(201)));
    let deploy = || owner.request("POST", &path).header("idempotency-key", "d").json(&json!({})).send();
    let deployment = id_of(&deploy().await.expect(201));
    lose_the_answers(world).await;
    let _ = owner.post(&format!("/v1/deployments/{deployment}/revoke"), &json!({"runs": "finish"})).await.expect(200);
    let _ = deploy().await.refused(409, "CONFLICT");
}

async fn what_cannot_be_answered_again_is_said_to_be_done(world: &World) {
    let by = world.secret();
    let send =
        || by.request("POST", "/v1/credits/grants").header("idempotency-key", "k").json(&json!({"amount": 5})).send();
    let _ = send().await.expect(201);
    lose_the_answers(world).await;
    let answer = send().await.refused(409, "CONFLICT");
    assert!(answer.text().contains("was carried out"), "{}", answer.text());
    assert_eq!(by.get("/v1/credits").await.data()["free"], 5);
}
