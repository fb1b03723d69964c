//! What a key is not to do by way of others, and what is left of one whose secret was replaced or has leaked.

use serde_json::{Value, json};
use testkit::{Answer, PASSWORD, Persona, World, id_of};

on_both! {
    a_key_that_replaced_its_own_leaked_secret_is_revoked;
    a_key_that_another_replaced_for_it_is_revoked_when_it_made_that_other;
    a_workspace_that_rotates_lets_a_secret_that_the_leaked_one_made_end;
    a_secret_in_its_grace_rotates_nothing;
    a_secret_in_its_grace_leaves_nothing_behind_that_works_longer;
    what_a_leaked_secret_has_invited_is_taken_back;
    a_key_changes_and_removes_nobody_whom_it_could_not_have_made;
    what_happens_to_leaked_keys_is_for_owners_to_say;
    an_address_that_is_none_is_an_unknown_one;
}

async fn report(world: &World, token: &str) {
    let found = json!([{"token": token, "url": "https://github.com/a/b/blob/c/.env", "source": "commit"}]);
    let _ = world.client().post("/v1/leaks", &found).send().await.expect(202);
}

async fn last_action(world: &World) -> Value {
    world.secret().get("/v1/leaks").await.expect(200).data()[0]["action"].clone()
}

/// What `key` is after `by` has rotated it.
async fn rotated(by: &Persona, key: &Persona, grace_seconds: u32) -> Persona {
    let path = format!("/v1/api-keys/{}/rotate", key.id());
    let answer = by.post(&path, &json!({"grace_seconds": grace_seconds})).await.expect(200).data();
    key.with("rotated", answer["key"].as_str().unwrap())
}

async fn invite(by: &Persona, email: &str) -> Answer {
    by.post("/v1/invitations", &json!({"email": email, "role": "admin"})).await
}

async fn accept(world: &World, token: &Value) -> Answer {
    let body = json!({"token": token, "name": "Somebody", "password": PASSWORD});
    world.client().post("/v1/invitations/accept", &body).send().await
}

async fn a_key_that_replaced_its_own_leaked_secret_is_revoked(world: &World) {
    let leaked = world.key("leaked", json!({"name": "L", "scopes": ["api-keys:write", "bots:read"]})).await;
    let thief = rotated(&leaked, &leaked, 3600).await;
    let _ = thief.get("/v1/bots").await.expect(200);
    report(world, leaked.credential()).await;
    for secret in [&leaked, &thief] {
        let _ = secret.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    }
    assert_eq!(last_action(world).await, "revoked");
}

async fn a_key_that_another_replaced_for_it_is_revoked_when_it_made_that_other(world: &World) {
    let leaked = world.key("leaked", json!({"name": "L", "scopes": ["api-keys:write", "bots:read"]})).await;
    let child = leaked.post("/v1/api-keys", &json!({"name": "Child"})).await.expect(201).data();
    let thief = rotated(&world.holder("child", &child), &leaked, 3600).await;
    report(world, leaked.credential()).await;
    let _ = thief.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    // A person has not needed the secret that leaked.
    let (owner, leaked) = (world.member("owner", "owner").await, world.key("second", json!({"name": "S"})).await);
    let new = rotated(&owner, &leaked, 3600).await;
    report(world, leaked.credential()).await;
    let _ = leaked.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    let _ = new.get("/v1/me").await.expect(200);
    assert_eq!(last_action(world).await, "secret_ended");
}

async fn a_workspace_that_rotates_lets_a_secret_that_the_leaked_one_made_end(world: &World) {
    let policy = json!({"leak_policy": "rotate", "leak_grace_seconds": 3600});
    let _ = world.secret().patch("/v1/workspace", &policy).await.expect(200);
    let leaked = world.key("leaked", json!({"name": "L", "scopes": ["api-keys:write"]})).await;
    let thief = rotated(&leaked, &leaked, 3600).await;
    report(world, leaked.credential()).await;
    assert_eq!(last_action(world).await, "grace_started");
    let _ = leaked.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    let ends = thief.get("/v1/me").await.expect(200).data()["expires_at"].clone();
    let shown = world.secret().get(&format!("/v1/api-keys/{}", leaked.id())).await.expect(200).data();
    assert_eq!((shown["secrets"].as_array().unwrap().len(), &shown["secrets"][1]["expires_at"]), (2, &ends));
    let path = format!("/v1/api-keys/{}/rotate", leaked.id());
    let _ = thief.post(&path, &json!({})).await.refused(409, "CONFLICT");
    let _ = rotated(&world.secret(), &leaked, 3600).await.get("/v1/me").await.expect(200);
}

async fn a_secret_in_its_grace_rotates_nothing(world: &World) {
    let old = world.key("old", json!({"name": "O", "scopes": ["admin"]})).await;
    let other = world.key("other", json!({"name": "Other"})).await;
    let new = rotated(&world.secret(), &old, 3600).await;
    for key in [&old, &other] {
        let path = format!("/v1/api-keys/{}/rotate", key.id());
        let _ = old.post(&path, &json!({})).await.refused(409, "CONFLICT");
    }
    let _ = other.get("/v1/me").await.expect(200);
    let _ = rotated(&new, &new, 3600).await.get("/v1/me").await.expect(200);
}

async fn a_secret_in_its_grace_leaves_nothing_behind_that_works_longer(world: &World) {
    let owner = world.secret();
    for scopes in [json!(["admin"]), json!(["api-keys:write"])] {
        let old = world.key("old", json!({"name": "O", "scopes": scopes})).await;
        let new = rotated(&owner, &old, 3600).await;
        let shown = owner.get(&format!("/v1/api-keys/{}", old.id())).await.expect(200).data();
        let ends = &shown["secrets"][1]["expires_at"];
        assert!(ends.is_string(), "{shown}");
        let child = old.post("/v1/api-keys", &json!({"name": "Child"})).await.expect(201).data();
        assert_eq!(&child["expires_at"], ends, "{scopes}");
        let endless = json!({"name": "Child", "expires_at": null});
        let _ = old.post("/v1/api-keys", &endless).await.refused(422, "VALIDATION_FAILED");
        let path = format!("/v1/api-keys/{}", child["id"].as_str().unwrap());
        let _ = old.patch(&path, &json!({"expires_at": null})).await.refused(422, "VALIDATION_FAILED");
        let child = new.post("/v1/api-keys", &json!({"name": "Child"})).await.expect(201).data();
        assert_ne!(&child["expires_at"], ends, "the newest has no such end");
    }
    let old = world.key("old", json!({"name": "O", "scopes": ["admin"]})).await;
    let new = rotated(&owner, &old, 3600).await;
    let workflow = json!({"name": "W", "definition": {"type": "Workflow", "id": "root", "children": []}});
    let workflow = id_of(&owner.post("/v1/workflows", &workflow).await.expect(201));
    let path = format!("/v1/workflows/{workflow}/deployments");
    let _ = old.post(&path, &json!({})).await.refused(409, "CONFLICT");
    let _ = new.post(&path, &json!({})).await.expect(201);
    let _ = invite(&old, "one@people.example").await.refused(409, "CONFLICT");
    let _ = invite(&new, "one@people.example").await.expect(201);
    let member = format!("/v1/members/{}", world.member("a_member", "member").await.id());
    let _ = old.patch(&member, &json!({"role": "owner"})).await.refused(409, "CONFLICT");
    let _ = old.patch(&member, &json!({"name": "Renamed"})).await.expect(200);
}

async fn what_a_leaked_secret_has_invited_is_taken_back(world: &World) {
    let owner = world.secret();
    let leaked = world.key("leaked", json!({"name": "L", "scopes": ["admin"]})).await;
    let asked = invite(&leaked, "one@people.example").await.expect(201).data();
    let new = rotated(&owner, &leaked, 0).await;
    let _ = accept(world, &asked["token"]).await.refused(404, "NOT_FOUND");
    // By an ordinary rotation nobody says that a secret is in wrong hands; by a report of it somebody does.
    let asked = invite(&new, "two@people.example").await.expect(201).data();
    let kept = invite(&new, "three@people.example").await.expect(201).data();
    let newest = rotated(&owner, &new, 3600).await;
    let _ = accept(world, &kept["token"]).await.expect(201);
    report(world, new.credential()).await;
    assert_eq!(last_action(world).await, "secret_ended");
    let _ = newest.get("/v1/me").await.expect(200);
    let _ = accept(world, &asked["token"]).await.refused(404, "NOT_FOUND");
    let listed = owner.get("/v1/invitations").await.expect(200).data();
    assert!(listed.as_array().unwrap().iter().all(|one| one["status"] != "pending"), "{listed}");
}

async fn a_key_changes_and_removes_nobody_whom_it_could_not_have_made(world: &World) {
    let (admin, member) = (world.member("an_admin", "admin").await, world.member("a_member", "member").await);
    let at = |person: &Persona| format!("/v1/members/{}", person.id());
    let narrow = world.key("narrow", json!({"name": "N", "scopes": ["members:write"]})).await;
    let scopes = world.member_account().await.get("/v1/me").await.expect(200).data()["scopes"].clone();
    let mut scopes = scopes.as_array().unwrap().clone();
    scopes.push(json!("members:write"));
    let wider = world.key("wider", json!({"name": "W", "scopes": scopes})).await;
    for (by, whom) in [(&narrow, &admin), (&narrow, &member), (&wider, &admin)] {
        let _ = by.patch(&at(whom), &json!({"name": "Mine"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
        let _ = by.patch(&at(whom), &json!({"role": "member"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
        let _ = by.delete(&at(whom)).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    }
    let _ = narrow.delete("/v1/members/usr_00000000000000000000000000").await.refused(404, "NOT_FOUND");
    let _ = wider.patch(&at(&member), &json!({"name": "Renamed"})).await.expect(200);
    let _ = wider.delete(&at(&member)).await.expect(204);
    let _ = world.secret().delete(&at(&admin)).await.expect(204);
}

async fn what_happens_to_leaked_keys_is_for_owners_to_say(world: &World) {
    let policy = json!({"leak_policy": "notify"});
    let refused = world.member("an_admin", "admin").await.patch("/v1/workspace", &policy).await;
    assert_eq!(refused.refused(403, "INSUFFICIENT_PERMISSIONS").json()["error"]["required_role"], "owner");
    let _ = world.member("an_owner", "owner").await.patch("/v1/workspace", &policy).await.expect(200);
}

async fn an_address_that_is_none_is_an_unknown_one(world: &World) {
    let attempt = async |email: &str| {
        let body = json!({"email": email, "password": "a few other words"});
        world.client().post("/v1/sign-in", &body).send().await.refused(401, "INVALID_CREDENTIALS")
    };
    let unknown = attempt("nobody@people.example").await;
    for email in ["nobody\0@people.example", "\0", ""] {
        assert_eq!(attempt(email).await.body_without_id(), unknown.body_without_id());
    }
}
