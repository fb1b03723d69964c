//! A deployment's key among the keys: what happens to it there happens to the deployment.

use serde_json::{Value, json};
use testkit::{Answer, Persona, World, id_of};

use crate::workflows::survey;

on_both! {
    revoking_the_key_revokes_the_deployment;
    a_rotation_with_grace_keeps_both_secrets_and_their_tokens;
    a_rotation_without_grace_ends_the_old_secret_and_its_tokens;
    neither_kind_nor_scopes_of_the_key_change;
}

struct Deployed {
    id: String,
    /// Of the key.
    path: String,
    key: Persona,
}

async fn deploy(world: &World) -> Deployed {
    let workflow = json!({"name": "Survey", "definition": survey()});
    let workflow = id_of(&world.secret().post("/v1/workflows", &workflow).await.expect(201));
    let body = json!({"survey_mode": true});
    let made = world.secret().post(&format!("/v1/workflows/{workflow}/deployments"), &body).await.expect(201);
    let (id, key) = (id_of(&made), made.data()["key"].as_str().unwrap().to_owned());
    let path = format!("/v1/api-keys/{}", id.replace("dep_", "key_"));
    Deployed { id, path, key: world.anonymous().with("deployment", key) }
}

/// A run, and a participant of it whose token this key minted.
async fn participant(key: &Persona) -> Persona {
    let run = key.post("/api/v1/runs", &json!({})).await.expect(202).json()["run_id"].as_str().unwrap().to_owned();
    let body = json!({"role": "respondent"});
    let minted = key.post(&format!("/api/v1/runs/{run}/tokens"), &body).await.expect(201).json();
    key.with("participant", minted["participant_token"].as_str().unwrap())
}

async fn look(by: &Persona) -> Answer {
    by.get("/api/participant/run").await
}

async fn revoking_the_key_revokes_the_deployment(world: &World) {
    let Deployed { id, path, key } = deploy(world).await;
    let by = participant(&key).await;
    let _ = look(&by).await.expect(200);
    let receipt = world.secret().delete(&path).await.expect(200).data();
    let _ = key.post("/api/v1/runs", &json!({})).await.refused(401, "INVALID_API_KEY");
    let _ = look(&by).await.refused(401, "INVALID_TOKEN");
    let start = format!("/api/public/surveys/{id}/start");
    let _ = world.anonymous().post(&start, &json!({})).await.refused(404, "NOT_FOUND");
    let _ = world.anonymous().get(&format!("/s/{id}")).await.expect(404);
    let shown = world.secret().get(&format!("/v1/deployments/{id}")).await.expect(200).data();
    assert_eq!(shown["revoked_at"], receipt["revoked_at"], "{shown}");
}

async fn a_rotation_with_grace_keeps_both_secrets_and_their_tokens(world: &World) {
    let Deployed { id, path, key } = deploy(world).await;
    let before = participant(&key).await;
    let rotated = world.secret().post(&format!("{path}/rotate"), &json!({"grace_seconds": 600})).await.expect(200);
    let next = key.with("deployment", rotated.data()["key"].as_str().unwrap());
    assert!(next.credential().starts_with("cf_") && next.credential() != key.credential());
    let after = participant(&next).await;
    for by in [&before, &after, &participant(&key).await] {
        let _ = look(by).await.expect(200);
    }
    let _ = world.anonymous().post(&format!("/api/public/surveys/{id}/start"), &json!({})).await.expect(200);
    let _ = world.secret().delete(&path).await.expect(200);
    for by in [&before, &after] {
        let _ = look(by).await.refused(401, "INVALID_TOKEN");
    }
    for key in [&key, &next] {
        let _ = key.post("/api/v1/runs", &json!({})).await.refused(401, "INVALID_API_KEY");
    }
}

async fn a_rotation_without_grace_ends_the_old_secret_and_its_tokens(world: &World) {
    let Deployed { path, key, .. } = deploy(world).await;
    let before = participant(&key).await;
    let rotated = world.secret().post(&format!("{path}/rotate"), &json!({"grace_seconds": 0})).await.expect(200);
    let next = key.with("deployment", rotated.data()["key"].as_str().unwrap());
    let _ = key.post("/api/v1/runs", &json!({})).await.refused(401, "INVALID_API_KEY");
    let _ = look(&before).await.refused(401, "INVALID_TOKEN");
    let _ = look(&participant(&next).await).await.expect(200);
}

async fn neither_kind_nor_scopes_of_the_key_change(world: &World) {
    let Deployed { path, key, .. } = deploy(world).await;
    let before = world.secret().get(&path).await.expect(200).data();
    assert_eq!((&before["kind"], &before["scopes"]), (&json!("deployment"), &json!([])), "{before}");
    let changes: [Value; 5] = [
        json!({"kind": "secret"}),
        json!({"scopes": ["bots:read"]}),
        json!({"scopes": ["admin"]}),
        json!({"allowed_domains": ["example.com"]}),
        json!({"environment": "test"}),
    ];
    for change in changes {
        let _ = world.secret().patch(&path, &change).await.refused(422, "VALIDATION_FAILED");
    }
    assert_eq!(world.secret().get(&path).await.expect(200).data(), before);
    let narrow = world.key("narrow", json!({"name": "Narrow", "scopes": ["api-keys:write"]})).await;
    for refused in
        [narrow.patch(&path, &json!({"name": "Mine"})).await, narrow.post(&format!("{path}/rotate"), &json!({})).await]
    {
        let refused = refused.refused(403, "INSUFFICIENT_PERMISSIONS").json();
        assert_eq!(refused["error"]["required_scope"], "deployments:write", "who may not deploy gets no such key");
    }
    let made = world.secret().post("/v1/api-keys", &json!({"name": "A", "kind": "deployment"})).await;
    let _ = made.refused(422, "VALIDATION_FAILED");
    let _ = participant(&key).await;
}
