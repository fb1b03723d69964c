use ambient::Millis;
use serde_json::json;

use crate::world::{Answer, World};

/// When the secret before a rotation stops.
fn ends(rotated: &Answer) -> Millis {
    rotated.text_at("/data/previous_expires_at").parse().unwrap()
}

/// When a rotation made its secret.
fn made(rotated: &Answer) -> Millis {
    rotated.text_at("/data/secrets/0/created_at").parse().unwrap()
}

#[tokio::test]
async fn a_made_key_works_and_is_shown_once() {
    let world = World::new().await;
    let body =
        json!({"name": "Server", "scopes": ["bots:read"], "owner": "ada", "rate_limit": 50, "metadata": {"a": 1}});
    let made = world.owner().post("/v1/api-keys", body).await.ok(201);
    let (id, key) = (made.text_at("/data/id"), made.text_at("/data/key"));
    assert!(key.starts_with("sk_live_"));
    assert_eq!(world.with(&key).get("/v1/me").await.ok(200).at("/data/scopes"), json!(["bots:read"]));
    let read = world.owner().get(&format!("/v1/api-keys/{id}")).await.ok(200);
    assert!(!read.text.contains(&key) && read.at("/data/key").is_null());
    assert_eq!((read.at("/data/owner"), read.at("/data/metadata")), (json!("ada"), json!({"a": 1})));
    assert_eq!(
        (read.at("/data/status"), read.at("/data/secrets/0/uses")),
        (json!("active"), json!(1)),
        "with the use a moment ago"
    );
    assert!(read.text_at("/data/created_by").starts_with("api_key:key_"));
    let listed = world.owner().get("/v1/api-keys?per_page=1").await.ok(200);
    assert_eq!(listed.at("/meta"), json!({"page": 1, "per_page": 1, "total": 2}));
    assert!(!listed.text.contains(&key));
}

#[tokio::test]
async fn a_key_without_scopes_has_its_makers_and_never_more() {
    let world = World::new().await;
    let (_, narrow) =
        world.make_key(json!({"name": "n", "scopes": ["bots:read", "api-keys:write", "api-keys:read"]})).await;
    let made = world.with(&narrow).post("/v1/api-keys", json!({"name": "same"})).await.ok(201);
    assert_eq!(made.at("/data/scopes"), json!(["bots:read", "api-keys:read", "api-keys:write"]), "written out");
    let none = world.with(&narrow).post("/v1/api-keys", json!({"name": "none", "scopes": []})).await.ok(201);
    let none = none.text_at("/data/key");
    assert_eq!(world.with(&none).get("/v1/bots").await.code(), (403, "INSUFFICIENT_PERMISSIONS".to_owned()));
    let wider =
        world.with(&narrow).post("/v1/api-keys", json!({"name": "w", "scopes": ["bots:read", "bots:write"]})).await;
    assert_eq!((wider.status, wider.at("/error/required_scope")), (403, json!("bots:write")));
    let admin = world.with(&narrow).post("/v1/api-keys", json!({"name": "w", "scopes": ["admin"]})).await;
    assert_eq!((admin.status, admin.at("/error/required_scope")), (403, json!("admin")));
    let widget = json!({"name": "w", "kind": "widget", "allowed_domains": ["a.example"]});
    let widget = world.with(&narrow).post("/v1/api-keys", widget).await;
    assert_eq!((widget.status, widget.at("/error/required_scope")), (403, json!("chat:write")));
}

#[tokio::test]
async fn nobody_takes_over_a_wider_key() {
    let world = World::new().await;
    let (_, narrow) = world.make_key(json!({"name": "n", "scopes": ["api-keys:write", "api-keys:read"]})).await;
    let (wide, text) = world.make_key(json!({"name": "wide", "scopes": ["bots:write"]})).await;
    let path = format!("/v1/api-keys/{wide}");
    let rotated = world.with(&narrow).post(&format!("{path}/rotate"), json!({})).await;
    assert_eq!((rotated.status, rotated.at("/error/required_scope")), (403, json!("bots:write")));
    let patched = world.with(&narrow).patch(&path, json!({"name": "mine"})).await;
    assert_eq!(patched.status, 403);
    let widened =
        world.with(&narrow).post("/v1/api-keys", json!({"name": "k", "scopes": []})).await.ok(201).text_at("/data/id");
    let widened =
        world.with(&narrow).patch(&format!("/v1/api-keys/{widened}"), json!({"scopes": ["bots:write"]})).await;
    assert_eq!((widened.status, widened.at("/error/required_scope")), (403, json!("bots:write")));
    world.with(&text).get("/v1/me").await.ok(200);
    world.with(&narrow).delete(&path).await.ok(200);
    assert_eq!(world.with(&text).get("/v1/me").await.code(), (401, "INVALID_API_KEY".to_owned()), "a leak is stopped");
}

#[tokio::test]
async fn a_rotated_keys_secrets_both_work_until_the_grace_ends() {
    let world = World::new().await;
    let (id, old) = world.make_key(json!({"name": "r"})).await;
    let path = format!("/v1/api-keys/{id}");
    let rotated = world.owner().post(&format!("{path}/rotate"), json!({"grace_seconds": 60})).await.ok(200);
    let new = rotated.text_at("/data/key");
    assert_eq!(rotated.text_at("/data/id"), id);
    assert_eq!(ends(&rotated), rotated.text_at("/data/secrets/1/expires_at").parse().unwrap());
    assert_eq!(ends(&rotated), made(&rotated).plus(60_000));
    assert_eq!(rotated.at("/data/secrets").as_array().unwrap().len(), 2);
    world.with(&old).get("/v1/me").await.ok(200);
    world.with(&new).get("/v1/me").await.ok(200);
    world.advance(60);
    assert_eq!(world.with(&old).get("/v1/me").await.status, 401);
    world.with(&new).get("/v1/me").await.ok(200);
    let at_once = world.owner().post(&format!("{path}/rotate"), json!({"grace_seconds": 0})).await.ok(200);
    assert_eq!(ends(&at_once), made(&at_once));
    assert_eq!(world.with(&new).get("/v1/me").await.status, 401);
    let long = world.owner().post(&format!("{path}/rotate"), json!({"grace_seconds": 2_592_001})).await;
    assert_eq!(long.wrong_fields(), (422, vec!["grace_seconds".to_owned()]));
}

#[tokio::test]
async fn a_revoked_key_stays_readable_and_dead() {
    let world = World::new().await;
    let (id, key) = world.make_key(json!({"name": "r"})).await;
    let path = format!("/v1/api-keys/{id}");
    let receipt = world.owner().delete(&path).await.ok(200);
    assert_eq!((receipt.text_at("/data/id"), receipt.at("/data/nodes_confirmed")), (id.clone(), json!(1)));
    assert!(receipt.at("/data/took_ms").is_number() && receipt.at("/data/streams_closed") == 0);
    assert_eq!(world.with(&key).get("/v1/me").await.status, 401);
    world.advance(5);
    let again = world.owner().delete(&path).await.ok(200);
    assert_eq!(again.at("/data/revoked_at"), receipt.at("/data/revoked_at"), "the first time counts");
    assert_eq!(world.owner().get(&path).await.ok(200).text_at("/data/status"), "revoked");
    assert_eq!(world.owner().post(&format!("{path}/rotate"), json!({})).await.code(), (409, "CONFLICT".to_owned()));
    assert_eq!(world.owner().patch(&path, json!({"name": "x"})).await.code(), (409, "CONFLICT".to_owned()));
    assert_eq!(world.log().await[..2], ["revoke_api_key", "create_api_key"], "once");
}

#[tokio::test]
async fn a_test_key_sees_and_makes_test_keys_alone() {
    let world = World::new().await;
    let (live, _) = world.make_key(json!({"name": "live"})).await;
    let (_, test) = world.make_key(json!({"name": "test", "environment": "test"})).await;
    assert!(test.starts_with("sk_test_"));
    let made = world.with(&test).post("/v1/api-keys", json!({"name": "t2"})).await.ok(201);
    assert_eq!(
        (made.text_at("/data/environment"), made.text_at("/data/key").starts_with("sk_test_")),
        ("test".to_owned(), true)
    );
    let refused = world.with(&test).post("/v1/api-keys", json!({"name": "l", "environment": "live"})).await;
    assert_eq!(refused.wrong_fields(), (422, vec!["environment".to_owned()]));
    assert_eq!(world.with(&test).get("/v1/api-keys").await.ok(200).at("/meta/total"), 2);
    let path = format!("/v1/api-keys/{live}");
    let unseen = [
        world.with(&test).get(&path).await,
        world.with(&test).delete(&path).await,
        world.with(&test).patch(&path, json!({"name": "x"})).await,
        world.with(&test).post(&format!("{path}/rotate"), json!({})).await,
    ];
    for answer in unseen {
        assert_eq!(answer.code(), (404, "NOT_FOUND".to_owned()));
    }
}

#[tokio::test]
async fn a_change_is_in_force_at_once_and_logged_by_field() {
    let world = World::new().await;
    let (id, key) = world.make_key(json!({"name": "c", "scopes": ["bots:read"], "purpose": "p"})).await;
    let path = format!("/v1/api-keys/{id}");
    world.with(&key).get("/v1/bots").await.ok(200);
    let end = "2024-01-01T00:00:00.000Z";
    let changed = world.owner().patch(&path, json!({"scopes": [], "purpose": null, "expires_at": end})).await.ok(200);
    assert!(changed.at("/data/purpose").is_null() && changed.at("/data/expires_at") == end);
    assert_eq!(world.with(&key).get("/v1/bots").await.status, 403);
    let event = world.owner().get("/v1/audit-log?per_page=1").await.ok(200).at("/data/0");
    assert_eq!(
        (&event["action"], &event["detail"]),
        (&json!("update_api_key"), &json!({"fields": ["scopes", "expires_at", "purpose"]}))
    );
    assert_eq!((&event["target"]["kind"], &event["target"]["id"]), (&json!("api_key"), &json!(id)));
    world.owner().patch(&path, json!({"allowed_ips": ["203.0.113.0/24"]})).await.ok(200);
    assert_eq!(world.with(&key).get("/v1/me").await.status, 403, "not from here any more");
}

#[tokio::test]
async fn an_expired_key_says_so_and_gets_no_new_secret() {
    let world = World::new().await;
    let (id, key) = world.make_key(json!({"name": "e", "expires_at": "2023-11-14T22:14:20Z"})).await;
    let path = format!("/v1/api-keys/{id}");
    assert_eq!(world.owner().get(&path).await.ok(200).text_at("/data/status"), "expiring");
    world.advance(60);
    assert_eq!(world.with(&key).get("/v1/me").await.code(), (401, "API_KEY_EXPIRED".to_owned()));
    assert_eq!(world.owner().get(&path).await.ok(200).text_at("/data/status"), "expired");
    assert_eq!(world.owner().post(&format!("{path}/rotate"), json!({})).await.status, 409);
    world.owner().patch(&path, json!({"expires_at": "2024-01-01T00:00:00Z"})).await.ok(200);
    world.with(&key).get("/v1/me").await.ok(200);
}

#[tokio::test]
async fn no_key_lifts_its_own_limits_or_leaves_one_behind_that_lives_longer() {
    let world = World::new().await;
    let scopes = json!(["api-keys:write", "bots:read"]);
    let (maker_id, maker) = world.make_key(json!({"name": "maker", "scopes": scopes})).await;
    let maker = world.with(&maker);
    let maker_end = maker.get("/v1/me").await.ok(200).text_at("/data/expires_at");
    world.advance(1);
    let made = maker.post("/v1/api-keys", json!({"name": "a"})).await.ok(201);
    assert_eq!(made.text_at("/data/expires_at"), maker_end, "its maker ends before the year is over");
    let id = made.text_at("/data/id");
    let outlives = (422, vec!["expires_at".to_owned()]);
    let account = json!({"name": "crm", "scopes": ["bots:read"]});
    let account = world.owner().post("/v1/service-accounts", account).await.ok(201).text_at("/data/id");
    for end in [json!(null), json!("2030-01-01T00:00:00Z")] {
        let body = json!({"name": "b", "expires_at": end});
        assert_eq!(maker.post("/v1/api-keys", body.clone()).await.wrong_fields(), outlives, "{end}");
        let path = format!("/v1/service-accounts/{account}/api-keys");
        assert_eq!(maker.post(&path, body.clone()).await.wrong_fields(), outlives, "of an account, {end}");
        world.owner().post("/v1/api-keys", body).await.ok(201);
        let body = json!({"expires_at": end});
        let path = format!("/v1/api-keys/{id}");
        assert_eq!(maker.patch(&path, body.clone()).await.wrong_fields(), outlives, "of another key, {end}");
        let own = format!("/v1/api-keys/{maker_id}");
        assert_eq!(maker.patch(&own, body).await.wrong_fields(), outlives, "of its own, {end}");
    }
    let (id, key) = world.make_key(json!({"name": "c", "rate_limit": 50})).await;
    let path = format!("/v1/api-keys/{id}");
    let wider = world.with(&key).patch(&path, json!({"rate_limit": null, "allow_origin_header": true})).await;
    assert_eq!(wider.wrong_fields(), (422, vec!["allow_origin_header".to_owned(), "rate_limit".to_owned()]));
    world.with(&key).patch(&path, json!({"rate_limit": 40})).await.ok(200);
    world.owner().patch(&path, json!({"rate_limit": null})).await.ok(200);
}

#[tokio::test]
async fn what_is_not_valid_stores_nothing() {
    let world = World::new().await;
    let wrong = [
        json!({"name": ""}),
        json!({"name": "x".repeat(51)}),
        json!({"name": "a", "kind": "deployment"}),
        json!({"name": "a", "kind": "widget"}),
        json!({"name": "a", "allowed_domains": ["a.example"]}),
        json!({"name": "a", "expires_at": "2020-01-01T00:00:00Z"}),
        json!({"name": "a", "workspace_id": "ws_1"}),
        json!({"name": "a", "scopes": ["bots:fly"]}),
        json!({"name": 7}),
    ];
    for body in wrong {
        let answer = world.owner().post("/v1/api-keys", body.clone()).await;
        assert_eq!(answer.code(), (422, "VALIDATION_FAILED".to_owned()), "{body}");
        assert!(!answer.wrong_fields().1.is_empty(), "{body}: {}", answer.text);
    }
    assert_eq!(world.owner().get("/v1/api-keys").await.ok(200).at("/meta/total"), 1);
}

#[tokio::test]
async fn of_two_changes_at_once_none_is_lost() {
    let world = World::new().await;
    let (id, _) = world.make_key(json!({"name": "c"})).await;
    let path = format!("/v1/api-keys/{id}");
    for round in 0..5 {
        let (owner, purpose) = (json!({"owner": format!("o{round}")}), json!({"purpose": format!("p{round}")}));
        let (a, b) = tokio::join!(world.owner().patch(&path, owner), world.owner().patch(&path, purpose));
        assert_eq!((a.status, b.status), (200, 200));
        let read = world.owner().get(&path).await.ok(200);
        let read = (read.text_at("/data/owner"), read.text_at("/data/purpose"));
        assert_eq!(read, (format!("o{round}"), format!("p{round}")));
    }
}

#[tokio::test]
async fn who_am_i_costs_no_look_at_the_database() {
    let world = World::new().await;
    world.owner().get("/v1/me").await.ok(200);
    let before = (world.app.store().reads(), world.app.store().writes());
    let me = world.owner().get("/v1/me").await.ok(200);
    assert_eq!((world.app.store().reads(), world.app.store().writes()), before);
    assert_eq!((me.text_at("/data/type"), me.text_at("/data/kind")), ("api_key".to_owned(), "secret".to_owned()));
    assert_eq!((me.text_at("/data/environment"), me.at("/data/scopes")), ("live".to_owned(), json!(["admin"])));
}
