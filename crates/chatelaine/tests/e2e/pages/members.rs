//! Members, invitations and roles, on pages.

use serde_json::json;
use testkit::{PASSWORD, World};

use super::{leads_to, page, says, submit};

on_both! {
    somebody_is_invited_by_a_link_that_is_shown_once;
    a_member_is_renamed_promoted_and_removed;
    nobody_is_made_more_than_the_one_who_does_it;
    a_member_sees_people_and_changes_none;
    the_table_of_roles_is_the_table_of_operations;
    nobody_sees_another_workspace_s_people;
}

async fn somebody_is_invited_by_a_link_that_is_shown_once(world: &World) {
    let ada = world.member("ada", "admin").await;
    assert!(says(&page(&ada, "/_/members").await.expect(200), "ada you"));
    let form = page(&ada, "/_/invitations/new").await.expect(200);
    assert!(form.text().contains("value=\"admin\"") && !form.text().contains("value=\"owner\""), "{}", form.text());
    let wrong = submit(&ada, "/_/invitations", &[("email", "no <b>"), ("role", "admin")]).await.expect(422);
    assert!(wrong.text().contains("id=\"e-email\"") && wrong.text().contains("value=\"no &#60;b&#62;\""));
    assert!(wrong.text().contains("value=\"admin\" selected"));
    let fields = [("email", "new@people.example"), ("role", "member"), ("once", "n1")];
    let made = submit(&ada, "/_/invitations", &fields).await.expect(200);
    assert!(made.text().contains("data-shown-once") && made.header("cache-control") == "no-store");
    let token = made.text().split("/invitations#").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let list = page(&ada, "/_/invitations").await.expect(200);
    assert!(says(&list, "new@people.example member pending ada") && !list.text().contains(&token), "{}", list.text());
    let body = json!({"token": token, "name": "New", "password": PASSWORD});
    let _ = world.client().post("/v1/invitations/accept", &body).send().await.expect(201);
    assert!(says(&page(&ada, "/_/invitations").await, "accepted"));
    assert!(says(&page(&ada, "/_/members").await, "New new@people.example member"));
    let _ = submit(&ada, "/_/invitations", &fields[..2]).await.expect(409);

    let _ = submit(&ada, "/_/invitations", &[("email", "b@people.example"), ("role", "member")]).await.expect(200);
    let open = ada.get("/v1/invitations").await.expect(200).data()[0]["id"].as_str().unwrap().to_owned();
    let back = submit(&ada, &format!("/_/invitations/{open}/revoke"), &[]).await;
    assert_eq!(leads_to(&back), "/_/invitations?done=taken-back");
    assert!(says(&page(&ada, "/_/invitations").await, "b@people.example member revoked"));
}

async fn a_member_is_renamed_promoted_and_removed(world: &World) {
    let (owner, bob) = (world.member("an_owner", "owner").await, world.member("bob", "member").await);
    let path = format!("/_/members/{}", bob.id());
    let shown = page(&owner, &path).await.expect(200);
    assert!(shown.text().contains("value=\"owner\"") && says(&shown, "bob@people.example"), "{}", shown.text());
    let saved = submit(&owner, &path, &[("name", "Robert"), ("role", "admin")]).await;
    assert_eq!(leads_to(&saved), format!("{path}?done=saved"));
    let member = owner.get(&path.replace("/_/", "/v1/")).await.expect(200).data();
    assert_eq!((&member["name"], &member["role"]), (&json!("Robert"), &json!("admin")));
    let log = page(&owner, &format!("/_/audit-log?target={}&action=update_member", bob.id())).await.expect(200);
    assert!(says(&log, "role: member became admin"), "{}", log.text());
    let long = "n".repeat(101);
    let wrong = submit(&owner, &path, &[("name", &long), ("role", "admin")]).await.expect(422);
    assert!(wrong.text().contains("id=\"e-name\""), "{}", wrong.text());
    assert_eq!(leads_to(&submit(&owner, &format!("{path}/remove"), &[]).await), "/_/members?done=removed");
    let _ = page(&owner, &path).await.expect(404);
    let _ = bob.get("/v1/me").await.expect(401);
}

async fn nobody_is_made_more_than_the_one_who_does_it(world: &World) {
    let (ada, owner) = (world.member("ada", "admin").await, world.member("an_owner", "owner").await);
    let path = format!("/_/members/{}", owner.id());
    assert!(!page(&ada, &path).await.expect(200).text().contains("action=\"/_/members"), "no form for what is refused");
    let refused = submit(&ada, &path, &[("name", "Mine"), ("role", "member")]).await.expect(403);
    assert!(says(&refused, "This takes an owner"), "{}", refused.text());
    let _ = submit(&ada, &format!("{path}/remove"), &[]).await.expect(403);
    let own = format!("/_/members/{}", ada.id());
    let _ = submit(&ada, &own, &[("name", "ada"), ("role", "owner")]).await.expect(403);
    let invited = [("email", "x@people.example"), ("role", "owner")];
    let _ = submit(&ada, "/_/invitations", &invited).await.expect(403);
    // The last owner stays.
    let first = world.secret().get("/v1/members").await.expect(200).data();
    let first = first.as_array().unwrap().iter().find(|row| row["role"] == "owner" && row["id"] != owner.id()).unwrap();
    let first = format!("/_/members/{}", first["id"].as_str().unwrap());
    let _ = leads_to(&submit(&owner, &format!("{first}/remove"), &[]).await);
    let last = submit(&owner, &format!("{path}/remove"), &[]).await.expect(409);
    assert!(says(&last, "A workspace keeps one owner"), "{}", last.text());
}

async fn a_member_sees_people_and_changes_none(world: &World) {
    let (bob, ada) = (world.member("bob", "member").await, world.member("ada", "admin").await);
    assert!(!page(&bob, "/_/members").await.expect(200).text().contains("/_/invitations/new"));
    let path = format!("/_/members/{}", ada.id());
    assert!(!page(&bob, &path).await.expect(200).text().contains("<form method=\"post\" action=\"/_/members"));
    let _ = page(&bob, "/_/invitations").await.expect(200);
    let _ = page(&bob, "/_/invitations/new").await.expect(403);
    for act in [path.as_str(), &format!("{path}/remove"), "/_/invitations", "/_/invitations/inv_1/revoke"] {
        let _ = submit(&bob, act, &[("name", "Mine"), ("email", "x@x.example"), ("role", "member")]).await.expect(403);
    }
}

async fn the_table_of_roles_is_the_table_of_operations(world: &World) {
    let bob = world.member("bob", "member").await;
    let roles = bob.get("/v1/roles").await.expect(200).data();
    let acts = roles["operations"].as_array().unwrap();
    let of = |id: &str| acts.iter().find(|act| act["id"] == id).unwrap_or_else(|| panic!("{id}: {roles}"));
    assert_eq!(
        (&of("create_api_key")["role"], &of("create_api_key")["scope"]),
        (&json!("owner"), &json!("api-keys:write"))
    );
    assert_eq!((&of("list_bots")["role"], &of("create_bot")["role"]), (&json!("member"), &json!("admin")));
    assert!(acts.iter().all(|act| !act["id"].as_str().unwrap().ends_with("_page")));
    let names: Vec<_> = roles["roles"].as_array().unwrap().iter().map(|role| role["role"].clone()).collect();
    assert_eq!(names, ["member", "admin", "owner"]);
    let shown = page(&bob, "/_/roles").await.expect(200);
    assert!(says(&shown, "create_api_key") && says(&shown, "no no yes") && says(&shown, "yes yes yes"));
    assert!(shown.text().contains("gets by <code>recover</code> alone"), "{}", shown.text());
}

async fn nobody_sees_another_workspace_s_people(world: &World) {
    let owner = world.member("an_owner", "owner").await;
    let other = world.other_workspace_secret();
    let theirs = other.get("/v1/members").await.expect(200).data();
    if let Some(id) = theirs[0]["id"].as_str() {
        let path = format!("/_/members/{id}");
        let _ = page(&owner, &path).await.expect(404);
        let _ = submit(&owner, &path, &[("name", "Mine")]).await.expect(404);
        let _ = submit(&owner, &format!("{path}/remove"), &[]).await.expect(404);
    }
    let body = json!({"email": "x@people.example", "role": "member"});
    let made = other.post("/v1/invitations", &body).await.expect(201).data();
    let path = format!("/_/invitations/{}/revoke", made["id"].as_str().unwrap());
    let _ = submit(&owner, &path, &[]).await.expect(404);
    assert!(!says(&page(&owner, "/_/invitations").await, "x@people.example"));
}
