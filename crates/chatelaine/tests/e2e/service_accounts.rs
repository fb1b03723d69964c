//! Service accounts: what their keys may do follows the account, at once.

use serde_json::json;
use testkit::{World, id_of};

on_both! {
    a_role_bounds_what_an_account_and_its_keys_may;
    disabling_stops_every_key_at_once_and_enabling_starts_them;
    narrowing_an_account_narrows_its_keys_at_once;
    lowering_the_role_takes_scopes_away;
    deleting_an_account_revokes_its_keys;
    keys_are_not_revoked_by_way_of_their_account;
    an_account_does_not_hand_out_what_its_maker_lacks;
    the_keys_of_an_account_are_listed_apart;
    a_key_of_an_account_holds_nothing_that_its_maker_lacks;
}

async fn a_role_bounds_what_an_account_and_its_keys_may(world: &World) {
    let owner = world.secret();
    let over = json!({"name": "Over", "role": "member", "scopes": ["bots:write"]});
    let _ = owner.post("/v1/service-accounts", &over).await.refused(422, "VALIDATION_FAILED");
    let over = json!({"name": "Over", "role": "admin", "scopes": ["api-keys:write"]});
    let _ = owner.post("/v1/service-accounts", &over).await.refused(422, "VALIDATION_FAILED");
    let _ = owner
        .post("/v1/service-accounts", &json!({"name": "Over", "role": "owner"}))
        .await
        .refused(422, "VALIDATION_FAILED");
    let (id, admin) = world.account("admin", "admin").await;
    let _ = admin.post("/v1/bots", &json!({"name": "Bot"})).await.expect(201);
    let _ = admin.get("/v1/api-keys").await.expect(200);
    let _ = admin.post("/v1/api-keys", &json!({"name": "Key"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let wide = json!({"name": "Wide", "scopes": ["api-keys:write"]});
    let _ = owner.post(&format!("/v1/service-accounts/{id}/api-keys"), &wide).await.refused(422, "VALIDATION_FAILED");
    let member = world.member_account().await;
    let _ = member.get("/v1/bots").await.expect(200);
    let _ = member.post("/v1/bots", &json!({"name": "Bot"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
}

async fn disabling_stops_every_key_at_once_and_enabling_starts_them(world: &World) {
    let (id, key) = world.account("software", "admin").await;
    let path = format!("/v1/service-accounts/{id}");
    let session = world.open_session("session", &key, &world.bot().await).await;
    let _ = key.get("/v1/bots").await.expect(200);
    let _ = world.secret().patch(&path, &json!({"is_active": false})).await.expect(200);
    let _ = key.get("/v1/bots").await.refused(401, "INVALID_API_KEY");
    let _ = session.get(&session.messages()).await.refused(401, "INVALID_TOKEN");
    let shown = world.secret().get(&format!("/v1/api-keys/{}", key.id())).await.expect(200).data();
    assert_eq!(shown["status"], "disabled");
    let _ = world.secret().patch(&path, &json!({"is_active": true})).await.expect(200);
    let _ = key.get("/v1/bots").await.expect(200);
}

async fn narrowing_an_account_narrows_its_keys_at_once(world: &World) {
    let (id, key) = world.account("software", "admin").await;
    let path = format!("/v1/service-accounts/{id}");
    let _ = key.post("/v1/bots", &json!({"name": "Bot"})).await.expect(201);
    let _ = world.secret().patch(&path, &json!({"scopes": ["bots:read"]})).await.expect(200);
    let _ = key.post("/v1/bots", &json!({"name": "Bot"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = key.get("/v1/bots").await.expect(200);
    let me = key.get("/v1/me").await.expect(200).data();
    assert_eq!(me["scopes"], json!(["bots:read"]));
    let made = key.post("/v1/service-accounts", &json!({"name": "Child"})).await;
    let _ = made.refused(403, "INSUFFICIENT_PERMISSIONS");
}

async fn lowering_the_role_takes_scopes_away(world: &World) {
    let (id, key) = world.account("software", "admin").await;
    let _ = world.secret().patch(&format!("/v1/service-accounts/{id}"), &json!({"role": "member"})).await.expect(200);
    let _ = key.post("/v1/bots", &json!({"name": "Bot"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = key.get("/v1/bots").await.expect(200);
}

async fn deleting_an_account_revokes_its_keys(world: &World) {
    let (id, key) = world.account("software", "admin").await;
    let session = world.open_session("session", &key, &world.bot().await).await;
    let _ = world.secret().delete(&format!("/v1/service-accounts/{id}")).await.expect(204);
    let _ = key.get("/v1/bots").await.refused(401, "INVALID_API_KEY");
    let _ = session.get(&session.messages()).await.refused(401, "INVALID_TOKEN");
    let _ = world.secret().get(&format!("/v1/service-accounts/{id}")).await.refused(404, "NOT_FOUND");
    let shown = world.secret().get(&format!("/v1/api-keys/{}", key.id())).await.expect(200).data();
    assert_eq!(shown["status"], "revoked");
}

async fn keys_are_not_revoked_by_way_of_their_account(world: &World) {
    let (id, key) = world.account("software", "admin").await;
    let path = format!("/v1/service-accounts/{id}");
    let admin = world.member("an_admin", "admin").await;
    let answer = admin.delete(&path).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    assert_eq!(answer.json()["error"]["required_role"], "owner");
    assert!(answer.text().contains("disable it instead"), "{}", answer.text());
    let narrow = world.key("narrow", json!({"name": "N", "scopes": ["service-accounts:write"]})).await;
    let answer = narrow.delete(&path).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    assert_eq!(answer.json()["error"]["required_scope"], "api-keys:write");
    let _ = key.get("/v1/bots").await.expect(200);
    let _ = admin.patch(&path, &json!({"is_active": false})).await.expect(200);
    let _ = admin.delete(&path).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    // With its keys it has lost what only their owners may take.
    let _ = world.secret().delete(&format!("/v1/api-keys/{}", key.id())).await.expect(200);
    let _ = admin.delete(&path).await.expect(204);
    let (id, _) = world.account("second", "admin").await;
    let _ = world.member("an_owner", "owner").await.delete(&format!("/v1/service-accounts/{id}")).await.expect(204);
}

async fn an_account_does_not_hand_out_what_its_maker_lacks(world: &World) {
    let maker = world.key("maker", json!({"name": "Maker", "scopes": ["service-accounts:write", "bots:read"]})).await;
    let wide = json!({"name": "Wide", "role": "admin", "scopes": ["bots:write"]});
    let _ = maker.post("/v1/service-accounts", &wide).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let made = maker.post("/v1/service-accounts", &json!({"name": "Same", "role": "admin"})).await.expect(201);
    assert_eq!(made.data()["scopes"], json!(["bots:read", "service-accounts:write"]));
    let path = format!("/v1/service-accounts/{}", id_of(&made));
    let _ = maker.patch(&path, &json!({"scopes": ["bots:write"]})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
}

async fn a_key_of_an_account_holds_nothing_that_its_maker_lacks(world: &World) {
    let (account, _) = world.account("software", "admin").await;
    let path = format!("/v1/service-accounts/{account}/api-keys");
    let narrow = world.key("narrow", json!({"name": "N", "scopes": ["api-keys:write", "bots:read"]})).await;
    let wider = json!({"name": "K", "scopes": ["bots:read", "bots:write"]});
    let _ = narrow.post(&path, &wider).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    // Where nothing is said it is what both have.
    let made = narrow.post(&path, &json!({"name": "K"})).await.expect(201).data();
    assert_eq!(made["scopes"], json!(["bots:read"]), "{made}");
}

async fn the_keys_of_an_account_are_listed_apart(world: &World) {
    let (id, key) = world.account("software", "member").await;
    let (_, other) = world.account("other", "member").await;
    let list = world.secret().get(&format!("/v1/service-accounts/{id}/api-keys")).await.expect(200);
    assert_eq!(list.json()["meta"]["total"], 1);
    assert!(list.text().contains(key.id()) && !list.text().contains(other.id()));
    assert_eq!(list.data()[0]["service_account_id"], id);
    let foreign = world.other_workspace_secret();
    let _ = foreign.get(&format!("/v1/service-accounts/{id}/api-keys")).await.refused(404, "NOT_FOUND");
    let _ = foreign
        .post(&format!("/v1/service-accounts/{id}/api-keys"), &json!({"name": "Key"}))
        .await
        .refused(404, "NOT_FOUND");
}
