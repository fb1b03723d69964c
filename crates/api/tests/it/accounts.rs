use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn an_account_holds_what_its_role_and_its_maker_share() {
    let world = World::new().await;
    let made = world.owner().post("/v1/service-accounts", json!({"name": "crm"})).await.ok(201);
    assert_eq!((made.text_at("/data/role"), made.at("/data/is_active")), ("member".to_owned(), json!(true)));
    let scopes = made.at("/data/scopes");
    let scopes: Vec<_> = scopes.as_array().unwrap().iter().map(|scope| scope.as_str().unwrap()).collect();
    assert!(scopes.contains(&"bots:read") && !scopes.contains(&"bots:write"), "{scopes:?}");
    let body = json!({"name": "n", "scopes": ["service-accounts:write", "bots:read"]});
    let (_, narrow) = world.make_key(body).await;
    let narrow_made =
        world.with(&narrow).post("/v1/service-accounts", json!({"name": "n", "role": "admin"})).await.ok(201);
    assert_eq!(narrow_made.at("/data/scopes"), json!(["bots:read", "service-accounts:write"]));
    let wider = json!({"name": "w", "role": "admin", "scopes": ["bots:write"]});
    let wider = world.with(&narrow).post("/v1/service-accounts", wider).await;
    assert_eq!((wider.status, wider.at("/error/required_scope")), (403, json!("bots:write")));
    let beyond = json!({"name": "b", "scopes": ["bots:write"]});
    let beyond = world.owner().post("/v1/service-accounts", beyond).await;
    assert_eq!(beyond.wrong_fields(), (422, vec!["scopes".to_owned()]));
    let owner = world.owner().post("/v1/service-accounts", json!({"name": "o", "role": "owner"})).await;
    assert_eq!(owner.status, 422);
}

#[tokio::test]
async fn an_accounts_keys_do_no_more_than_the_account_at_any_time() {
    let world = World::new().await;
    let body = json!({"name": "crm", "role": "admin", "scopes": ["bots:read", "bots:write"]});
    let account = world.owner().post("/v1/service-accounts", body).await.ok(201).text_at("/data/id");
    let path = format!("/v1/service-accounts/{account}");
    let made = world.owner().post(&format!("{path}/api-keys"), json!({"name": "worker"})).await.ok(201);
    let key = made.text_at("/data/key");
    assert!(key.starts_with("fln_live_"));
    assert_eq!(
        (made.text_at("/data/service_account_id"), made.at("/data/scopes")),
        (account, json!(["bots:read", "bots:write"]))
    );
    let beyond = world.owner().post(&format!("{path}/api-keys"), json!({"name": "b", "scopes": ["chat:read"]})).await;
    assert_eq!(beyond.wrong_fields(), (422, vec!["scopes".to_owned()]));
    let id = made.text_at("/data/id");
    let beyond = world.owner().patch(&format!("/v1/api-keys/{id}"), json!({"scopes": ["chat:read"]})).await;
    assert_eq!(beyond.wrong_fields(), (422, vec!["scopes".to_owned()]));
    world.with(&key).post("/v1/bots", json!({"name": "b"})).await.ok(201);
    let lesser = world.owner().patch(&path, json!({"role": "member"})).await.ok(200);
    assert_eq!(lesser.at("/data/scopes"), json!(["bots:read"]), "a lesser role takes scopes away");
    assert_eq!(world.with(&key).post("/v1/bots", json!({"name": "b"})).await.status, 403);
    assert_eq!(world.with(&key).get("/v1/me").await.ok(200).at("/data/scopes"), json!(["bots:read"]));
}

#[tokio::test]
async fn a_disabled_accounts_keys_stop_and_a_deleted_ones_are_revoked() {
    let world = World::new().await;
    let account = world.owner().post("/v1/service-accounts", json!({"name": "crm"})).await.ok(201).text_at("/data/id");
    let path = format!("/v1/service-accounts/{account}");
    let made = world.owner().post(&format!("{path}/api-keys"), json!({"name": "worker"})).await.ok(201);
    let (id, key) = (made.text_at("/data/id"), made.text_at("/data/key"));
    world.owner().patch(&path, json!({"is_active": false})).await.ok(200);
    assert_eq!(world.with(&key).get("/v1/me").await.status, 401);
    assert_eq!(world.owner().get(&format!("/v1/api-keys/{id}")).await.ok(200).text_at("/data/status"), "disabled");
    assert_eq!(world.owner().get(&format!("{path}/api-keys")).await.ok(200).text_at("/data/0/status"), "disabled");
    world.owner().patch(&path, json!({"is_active": true})).await.ok(200);
    world.with(&key).get("/v1/me").await.ok(200);
    let deleted = world.owner().delete(&path).await.ok(204);
    assert!(deleted.text.is_empty());
    assert_eq!(world.with(&key).get("/v1/me").await.status, 401);
    assert_eq!(world.owner().get(&format!("/v1/api-keys/{id}")).await.ok(200).text_at("/data/status"), "revoked");
    assert_eq!(world.owner().get(&path).await.status, 404);
    assert_eq!(world.owner().get(&format!("{path}/api-keys")).await.status, 404);
}

#[tokio::test]
async fn nobody_sets_to_work_what_holds_more_than_himself() {
    let world = World::new().await;
    let body = json!({"name": "crm", "role": "admin", "scopes": ["bots:read", "bots:write"]});
    let account = world.owner().post("/v1/service-accounts", body).await.ok(201).text_at("/data/id");
    let path = format!("/v1/service-accounts/{account}");
    let (_, narrow) = world.make_key(json!({"name": "n", "scopes": ["service-accounts:write", "bots:read"]})).await;
    world.with(&narrow).patch(&path, json!({"is_active": true, "name": "still"})).await.ok(200);
    world.with(&narrow).patch(&path, json!({"is_active": false})).await.ok(200);
    for body in [json!({"is_active": true}), json!({"role": "admin"}), json!({"is_active": true, "role": "admin"})] {
        let refused = world.with(&narrow).patch(&path, body.clone()).await;
        assert_eq!((refused.status, refused.at("/error/required_scope")), (403, json!("bots:write")), "{body}");
    }
    assert_eq!(world.owner().get(&path).await.ok(200).at("/data/is_active"), json!(false));
    world.with(&narrow).patch(&path, json!({"scopes": ["bots:read"], "is_active": true})).await.ok(200);
}

#[tokio::test]
async fn a_test_account_makes_no_live_key() {
    let world = World::new().await;
    let (_, test) = world.make_key(json!({"name": "t", "environment": "test"})).await;
    let account =
        world.with(&test).post("/v1/service-accounts", json!({"name": "crm"})).await.ok(201).text_at("/data/id");
    let path = format!("/v1/service-accounts/{account}/api-keys");
    let live = world.owner().post(&path, json!({"name": "k", "environment": "live"})).await;
    assert_eq!(live.wrong_fields(), (422, vec!["environment".to_owned()]));
    let made = world.owner().post(&path, json!({"name": "k"})).await.ok(201);
    assert!(made.text_at("/data/key").starts_with("fln_test_"));
}
