//! `Idempotency-Key`: the same request twice does one thing, and answers the same.

use serde_json::{Value, json};
use testkit::{Answer, Persona, World};

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
