//! People: who joins, who may change whom, and that it is in force at once.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, Millis, SystemClock};
use serde_json::{Value, json};
use testkit::{Answer, Backend, Options, PASSWORD, Persona, World, id_of};

on_both! {
    a_person_is_invited_joins_and_signs_in;
    a_later_invitation_stops_the_earlier_one_and_a_revoked_one_is_worth_nothing;
    nobody_invites_above_himself;
    what_the_inviter_has_lost_is_not_handed_on;
    a_key_that_was_narrowed_since_has_invited_nobody;
    the_link_of_an_invitation_leads_to_a_page;
    owners_are_changed_by_owners_alone;
    a_workspace_keeps_its_last_owner;
    two_owners_who_demote_each_other_leave_one;
    a_role_acts_at_once_and_so_does_a_removal;
    an_address_of_another_workspace_is_invited_like_any_other;
    open_invitations_are_bounded;
    the_workspace_is_renamed_and_says_what_happens_to_leaked_keys;
    what_is_no_address_role_or_password_is_refused;
}

on_each! {
    an_invitation_works_for_seven_days;
    a_key_that_has_ended_since_has_invited_nobody;
}

async fn invite(by: &Persona, email: &str, role: &str) -> Answer {
    by.post("/v1/invitations", &json!({"email": email, "role": role})).await
}

async fn accept(world: &World, token: &Value) -> Answer {
    let body = json!({"token": token, "name": "Somebody", "password": PASSWORD});
    world.client().post("/v1/invitations/accept", &body).send().await
}

#[track_caller]
fn lacks_role(answer: Answer, role: &str) {
    assert_eq!(answer.refused(403, "INSUFFICIENT_PERMISSIONS").json()["error"]["required_role"], role);
}

#[track_caller]
fn lacks_scope(answer: Answer, scope: &str) {
    assert_eq!(answer.refused(403, "INSUFFICIENT_PERMISSIONS").json()["error"]["required_scope"], scope);
}

/// The owner that every test workspace begins with, whom nobody can sign in as.
async fn first_owner(world: &World) -> String {
    let list = world.secret().get("/v1/members").await.expect(200).data();
    let of = |row: &Value| row["email"] == "owner@acme.example";
    list.as_array().unwrap().iter().find(|row| of(row)).unwrap()["id"].as_str().unwrap().to_owned()
}

async fn a_person_is_invited_joins_and_signs_in(world: &World) {
    let made = invite(&world.secret(), "Ada@People.example", "admin").await.expect(201);
    let invitation = made.data();
    let token = invitation["token"].as_str().unwrap();
    assert_eq!(token.len(), 43, "256 bits");
    assert_eq!(invitation["url"], format!("{}/invitations#{token}", world.server().url()));
    assert_eq!((&invitation["email"], &invitation["status"]), (&json!("ada@people.example"), &json!("pending")));
    let list = world.secret().get("/v1/invitations").await.expect(200);
    assert!(!list.text().contains(token), "shown once");
    let joined = accept(world, &invitation["token"]).await.expect(201).data();
    assert_eq!((&joined["role"], &joined["name"]), (&json!("admin"), &json!("Somebody")));
    let _ = accept(world, &invitation["token"]).await.refused(404, "NOT_FOUND");
    let ada = world.sign_in("ada@people.example").await;
    let me = ada.get("/v1/me").await.expect(200).data();
    assert_eq!((&me["type"], &me["id"], &me["role"]), (&json!("member"), &joined["id"], &json!("admin")));
    assert_eq!((&me["email"], &me["name"]), (&json!("ada@people.example"), &json!("Somebody")));
    let list = ada.get("/v1/invitations").await.expect(200).data();
    assert_eq!(list[0]["status"], "accepted");
    let shown = ada.get(&format!("/v1/members/{}", ada.id())).await.expect(200);
    assert!(!shown.text().contains("argon2") && shown.data()["last_seen_at"].is_string(), "{}", shown.text());
    let newest = world.secret().get("/v1/audit-log?action=accept_invitation").await.expect(200).data();
    assert_eq!(newest[0]["actor"]["id"], joined["id"], "{newest}");
}

async fn the_link_of_an_invitation_leads_to_a_page(world: &World) {
    let link = invite(&world.secret(), "ada@people.example", "member").await.expect(201).data()["url"].clone();
    let path = link.as_str().unwrap().strip_prefix(world.server().url()).unwrap().split('#').next().unwrap();
    let page = world.client().get(path).send().await.expect(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!((page.header("referrer-policy"), page.header("x-frame-options")), ("no-referrer", "DENY"));
    let text = page.text();
    let files: Vec<&str> = text.split('"').filter(|part| part.starts_with("/static/")).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let _ = world.client().get(file).send().await.expect(200);
    }
}

async fn a_later_invitation_stops_the_earlier_one_and_a_revoked_one_is_worth_nothing(world: &World) {
    let owner = world.secret();
    let first = invite(&owner, "ada@people.example", "admin").await.expect(201).data();
    let second = invite(&owner, "ADA@people.example", "member").await.expect(201).data();
    let _ = accept(world, &first["token"]).await.refused(404, "NOT_FOUND");
    let path = format!("/v1/invitations/{}", second["id"].as_str().unwrap());
    let _ = world.other_workspace_secret().delete(&path).await.refused(404, "NOT_FOUND");
    let _ = owner.delete(&path).await.expect(204);
    let _ = owner.delete(&path).await.refused(404, "NOT_FOUND");
    let gone = accept(world, &second["token"]).await.refused(404, "NOT_FOUND");
    let never = accept(world, &json!("x".repeat(43))).await.refused(404, "NOT_FOUND");
    assert_eq!(gone.body_without_id(), never.body_without_id());
    let third = invite(&owner, "ada@people.example", "member").await.expect(201).data();
    let (one, two) = tokio::join!(accept(world, &third["token"]), accept(world, &third["token"]));
    let mut both = [one.status, two.status];
    both.sort_unstable();
    assert_eq!(both, [201, 404], "single use, also at the same moment");
}

async fn nobody_invites_above_himself(world: &World) {
    let (admin, member) = (world.member("an_admin", "admin").await, world.member("a_member", "member").await);
    lacks_role(invite(&admin, "x@people.example", "owner").await, "owner");
    let _ = invite(&admin, "x@people.example", "admin").await.expect(201);
    lacks_role(invite(&member, "x@people.example", "member").await, "admin");
    // A key gives no role that can do what the key cannot.
    let narrow = world.key("narrow", json!({"name": "N", "scopes": ["members:write"]})).await;
    let _ = invite(&narrow, "x@people.example", "member").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let reads = world.member_account().await.get("/v1/me").await.expect(200).data()["scopes"].clone();
    let mut scopes = reads.as_array().unwrap().clone();
    scopes.push(json!("members:write"));
    let wider = world.key("wider", json!({"name": "W", "scopes": scopes})).await;
    let _ = invite(&wider, "x@people.example", "member").await.expect(201);
    let _ = invite(&wider, "x@people.example", "admin").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let (_, software) = world.account("software", "admin").await;
    let _ = invite(&software, "x@people.example", "admin").await.expect(201);
    lacks_scope(invite(&software, "x@people.example", "owner").await, "admin");
    let patch = format!("/v1/members/{}", member.id());
    lacks_scope(software.patch(&patch, &json!({"role": "owner"})).await, "admin");
    let _ = narrow.patch(&patch, &json!({"role": "admin"})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    // Nor does test data lead to live data.
    let test = world.test_secret().await;
    let _ = invite(&test, "x@people.example", "member").await.refused(403, "WRONG_CREDENTIAL");
    let _ = test.patch(&patch, &json!({"role": "admin"})).await.refused(403, "WRONG_CREDENTIAL");
}

async fn what_the_inviter_has_lost_is_not_handed_on(world: &World) {
    let owner = world.secret();
    let key = world.key("inviter", json!({"name": "I", "scopes": ["admin"]})).await;
    let by_key = invite(&key, "one@people.example", "owner").await.expect(201).data();
    let _ = owner.delete(&format!("/v1/api-keys/{}", key.id())).await.expect(200);
    let _ = accept(world, &by_key["token"]).await.refused(404, "NOT_FOUND");
    let (account, software) = world.account("software", "admin").await;
    let by_software = invite(&software, "two@people.example", "admin").await.expect(201).data();
    let _ = owner.patch(&format!("/v1/service-accounts/{account}"), &json!({"is_active": false})).await.expect(200);
    let _ = accept(world, &by_software["token"]).await.refused(404, "NOT_FOUND");
    let admin = world.member("an_admin", "admin").await;
    let by_admin = invite(&admin, "three@people.example", "admin").await.expect(201).data();
    let path = format!("/v1/members/{}", admin.id());
    let _ = owner.patch(&path, &json!({"role": "member"})).await.expect(200);
    let _ = accept(world, &by_admin["token"]).await.refused(404, "NOT_FOUND");
    let _ = owner.patch(&path, &json!({"role": "admin"})).await.expect(200);
    let again = invite(&admin, "three@people.example", "admin").await.expect(201).data();
    let _ = owner.delete(&path).await.expect(204);
    let _ = accept(world, &again["token"]).await.refused(404, "NOT_FOUND");
}

async fn a_key_that_was_narrowed_since_has_invited_nobody(world: &World) {
    let owner = world.secret();
    let of_admin = owner.get("/v1/me").await.expect(200).data()["scopes"].clone();
    let key = world.key("inviter", json!({"name": "I", "scopes": of_admin})).await;
    let path = format!("/v1/api-keys/{}", key.id());
    let (high, low) = (
        invite(&key, "one@people.example", "owner").await.expect(201).data(),
        invite(&key, "two@people.example", "member").await.expect(201).data(),
    );
    let members = world.member_account().await.get("/v1/me").await.expect(200).data()["scopes"].clone();
    let mut scopes = members.as_array().unwrap().clone();
    scopes.push(json!("members:write"));
    let _ = owner.patch(&path, &json!({"scopes": scopes})).await.expect(200);
    let _ = accept(world, &high["token"]).await.refused(404, "NOT_FOUND");
    // What it may still give, it has given; until it invites nobody at all any more.
    let _ = accept(world, &low["token"]).await.expect(201);
    let again = invite(&key, "three@people.example", "member").await.expect(201).data();
    let _ = owner.patch(&path, &json!({"scopes": members})).await.expect(200);
    let _ = accept(world, &again["token"]).await.refused(404, "NOT_FOUND");
    // An account's key is cut to what the account may.
    let (account, software) = world.account("software", "admin").await;
    let by_software = invite(&software, "four@people.example", "admin").await.expect(201).data();
    let path = format!("/v1/service-accounts/{account}");
    let _ = owner.patch(&path, &json!({"role": "member"})).await.expect(200);
    let _ = accept(world, &by_software["token"]).await.refused(404, "NOT_FOUND");
    // A higher role alone gives back nothing that a lesser one has taken.
    let _ = owner.patch(&path, &json!({"role": "admin"})).await.expect(200);
    let _ = accept(world, &by_software["token"]).await.refused(404, "NOT_FOUND");
}

async fn owners_are_changed_by_owners_alone(world: &World) {
    let (admin, owner) = (world.member("an_admin", "admin").await, world.member("an_owner", "owner").await);
    let path = format!("/v1/members/{}", first_owner(world).await);
    lacks_role(admin.patch(&path, &json!({"role": "member"})).await, "owner");
    lacks_role(admin.patch(&path, &json!({"name": "Other"})).await, "owner");
    lacks_role(admin.delete(&path).await, "owner");
    lacks_role(admin.patch(&format!("/v1/members/{}", admin.id()), &json!({"role": "owner"})).await, "owner");
    let (_, software) = world.account("software", "admin").await;
    lacks_scope(software.delete(&path).await, "admin");
    let changed = owner.patch(&path, &json!({"role": "admin", "name": "First"})).await.expect(200).data();
    assert_eq!((&changed["role"], &changed["name"]), (&json!("admin"), &json!("First")));
    let _ = admin.delete(&path).await.expect(204);
    let _ = admin.get(&path).await.refused(404, "NOT_FOUND");
}

async fn a_workspace_keeps_its_last_owner(world: &World) {
    let owner = world.member("an_owner", "owner").await;
    let _ = owner.delete(&format!("/v1/members/{}", first_owner(world).await)).await.expect(204);
    let path = format!("/v1/members/{}", owner.id());
    let _ = owner.patch(&path, &json!({"role": "admin"})).await.refused(409, "CONFLICT");
    let _ = owner.delete(&path).await.refused(409, "CONFLICT");
    let _ = world.secret().delete(&path).await.refused(409, "CONFLICT");
    let _ = owner.patch(&path, &json!({"role": "owner", "name": "Still"})).await.expect(200);
    let heir = world.member("an_heir", "owner").await;
    let _ = owner.delete(&path).await.expect(204);
    let _ = heir.get("/v1/members").await.expect(200);
}

async fn two_owners_who_demote_each_other_leave_one(world: &World) {
    let (one, two) = (world.member("one", "owner").await, world.member("two", "owner").await);
    let _ = one.delete(&format!("/v1/members/{}", first_owner(world).await)).await.expect(204);
    for _ in 0..5 {
        let (lesser, at) = (json!({"role": "admin"}), |id: &str| format!("/v1/members/{id}"));
        let (a, b) = (at(two.id()), at(one.id()));
        let (by_one, by_two) = tokio::join!(one.patch(&a, &lesser), two.patch(&b, &lesser));
        let mut both = [by_one.status, by_two.status];
        both.sort_unstable();
        assert!(both[0] == 200 && matches!(both[1], 403 | 409), "{both:?}");
        let list = world.secret().get("/v1/members").await.expect(200).data();
        let owners = list.as_array().unwrap().iter().filter(|row| row["role"] == "owner").count();
        assert_eq!(owners, 1, "{list}");
        for path in [a, b] {
            let _ = world.secret().patch(&path, &json!({"role": "owner"})).await.expect(200);
        }
    }
}

async fn a_role_acts_at_once_and_so_does_a_removal(world: &World) {
    let (owner, person) = (world.secret(), world.member("a_person", "admin").await);
    let path = format!("/v1/members/{}", person.id());
    let _ = person.post("/v1/bots", &json!({"name": "B"})).await.expect(201);
    let _ = owner.patch(&path, &json!({"role": "member"})).await.expect(200);
    lacks_role(person.post("/v1/bots", &json!({"name": "B"})).await, "admin");
    let _ = owner.patch(&path, &json!({"role": "admin"})).await.expect(200);
    let _ = person.post("/v1/bots", &json!({"name": "B"})).await.expect(201);
    lacks_role(person.post("/v1/api-keys", &json!({"name": "K"})).await, "owner");
    let _ = owner.delete(&path).await.expect(204);
    let _ = person.get("/v1/bots").await.refused(401, "INVALID_TOKEN");
    let body = json!({"email": "a-person@people.example", "password": PASSWORD});
    let _ = world.client().post("/v1/sign-in", &body).send().await.refused(401, "INVALID_CREDENTIALS");
    let _ = owner.patch(&path, &json!({"role": "admin"})).await.refused(404, "NOT_FOUND");
}

async fn an_address_of_another_workspace_is_invited_like_any_other(world: &World) {
    let _ = world.member("taken", "member").await;
    let _ = invite(&world.secret(), "taken@people.example", "member").await.refused(409, "CONFLICT");
    let other = world.other_workspace_secret();
    let keys = |answer: &Answer| answer.data().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let (taken, free) = (
        invite(&other, "taken@people.example", "member").await.expect(201),
        invite(&other, "free@people.example", "member").await.expect(201),
    );
    assert_eq!(keys(&taken), keys(&free));
    let _ = accept(world, &taken.data()["token"]).await.refused(409, "CONFLICT");
    let joined = accept(world, &free.data()["token"]).await.expect(201);
    let _ = world.secret().get(&format!("/v1/members/{}", id_of(&joined))).await.refused(404, "NOT_FOUND");
    let path = format!("/v1/members/{}", id_of(&joined));
    let _ = world.secret().patch(&path, &json!({"name": "Mine"})).await.refused(404, "NOT_FOUND");
    let _ = world.secret().delete(&path).await.refused(404, "NOT_FOUND");
}

async fn open_invitations_are_bounded(world: &World) {
    let owner = world.secret();
    for n in 0..store::MAX_INVITATIONS {
        let _ = invite(&owner, &format!("p{n}@people.example"), "member").await.expect(201);
    }
    let _ = invite(&owner, "last@people.example", "member").await.refused(409, "CONFLICT");
    // Replacing one is no further one.
    let again = invite(&owner, "p0@people.example", "member").await.expect(201);
    let _ = owner.delete(&format!("/v1/invitations/{}", id_of(&again))).await.expect(204);
    let _ = invite(&owner, "last@people.example", "member").await.expect(201);
}

async fn the_workspace_is_renamed_and_says_what_happens_to_leaked_keys(world: &World) {
    let owner = world.secret();
    let before = owner.get("/v1/workspace").await.expect(200).data();
    assert_eq!((&before["name"], &before["leak_policy"]), (&json!("Acme"), &json!("revoke")));
    let change = json!({"name": "Acme & Sons", "leak_policy": "rotate", "leak_grace_seconds": 60});
    let after = owner.patch("/v1/workspace", &change).await.expect(200).data();
    for (name, value) in change.as_object().unwrap() {
        assert_eq!(&after[name], value);
    }
    assert_eq!(owner.get("/v1/workspace").await.expect(200).data(), after);
    for wrong in [json!({"name": " "}), json!({"leak_policy": "shrug"}), json!({"leak_grace_seconds": 604_801})] {
        let _ = owner.patch("/v1/workspace", &wrong).await.refused(422, "VALIDATION_FAILED");
    }
    let other = world.other_workspace_secret().get("/v1/workspace").await.expect(200).data();
    assert_eq!(other["name"], "Other");
    let (_, software) = world.account("software", "admin").await;
    lacks_scope(software.patch("/v1/workspace", &json!({"name": "Mine"})).await, "admin");
    let member = world.member("a_member", "member").await;
    let _ = member.get("/v1/workspace").await.expect(200);
    lacks_role(member.patch("/v1/workspace", &json!({"name": "Mine"})).await, "owner");
    let _ =
        world.test_secret().await.patch("/v1/workspace", &json!({"name": "T"})).await.refused(403, "WRONG_CREDENTIAL");
}

async fn what_is_no_address_role_or_password_is_refused(world: &World) {
    let owner = world.secret();
    for (email, role) in [("ada", "member"), ("a b@x.example", "member"), ("ada@x.example", "emperor")] {
        let _ = invite(&owner, email, role).await.refused(422, "VALIDATION_FAILED");
    }
    let more = json!({"email": "a@x.example", "role": "member", "workspace_id": world.other_workspace()});
    let _ = owner.post("/v1/invitations", &more).await.refused(422, "VALIDATION_FAILED");
    let token = invite(&owner, "ada@people.example", "member").await.expect(201).data()["token"].clone();
    for (name, password, field) in [
        (" ", PASSWORD, "name"),
        ("Ada", "short", "password"),
        ("Ada", "passwordpassword", "password"),
        ("Ada", "ada@people.example", "password"),
    ] {
        let body = json!({"token": token, "name": name, "password": password});
        let refused = world.client().post("/v1/invitations/accept", &body).send().await;
        let refused = refused.refused(422, "VALIDATION_FAILED");
        assert_eq!(refused.json()["error"]["errors"][0]["field"], field);
    }
    let wider = json!({"token": token, "name": "Ada", "password": PASSWORD, "role": "owner"});
    let _ = world.client().post("/v1/invitations/accept", &wider).send().await.refused(422, "VALIDATION_FAILED");
    let _ = accept(world, &token).await.expect(201);
}

async fn a_key_that_has_ended_since_has_invited_nobody(backend: Backend) {
    let clock = Arc::new(ManualClock::new(Millis::from_seconds(SystemClock::new().now().seconds())));
    let world = World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await;
    let ends = clock.now().plus(3_600_000);
    let key = world.key("inviter", json!({"name": "I", "scopes": ["admin"], "expires_at": ends})).await;
    let made = invite(&key, "ada@people.example", "member").await.expect(201).data();
    clock.advance(Duration::from_secs(3600));
    let _ = accept(&world, &made["token"]).await.refused(404, "NOT_FOUND");
    world.end().await;
}

async fn an_invitation_works_for_seven_days(backend: Backend) {
    let clock = Arc::new(ManualClock::new(Millis::from_seconds(SystemClock::new().now().seconds())));
    let world = World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await;
    let (early, late) = (
        invite(&world.secret(), "early@people.example", "member").await.expect(201).data(),
        invite(&world.secret(), "late@people.example", "member").await.expect(201).data(),
    );
    clock.advance(Duration::from_secs(7 * 24 * 3600 - 1));
    let _ = accept(&world, &early["token"]).await.expect(201);
    clock.advance(Duration::from_secs(1));
    let _ = accept(&world, &late["token"]).await.refused(404, "NOT_FOUND");
    let list = world.secret().get("/v1/invitations").await.expect(200).data();
    let status = |email: &str| {
        let rows = list.as_array().unwrap();
        rows.iter().find(|row| row["email"] == email).unwrap()["status"].clone()
    };
    assert_eq!((status("late@people.example"), status("early@people.example")), (json!("expired"), json!("accepted")));
    world.end().await;
}
