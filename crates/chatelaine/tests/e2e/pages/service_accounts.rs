//! Service accounts and their keys on pages.

use serde_json::json;
use testkit::World;

use super::{leads_to, page, says, submit};

on_both! {
    an_admin_makes_changes_disables_and_enables_an_account;
    an_owner_makes_a_key_of_it_and_the_account_s_end_is_the_key_s;
    what_is_wrong_with_an_account_is_shown_again;
    a_member_reads_accounts_and_changes_none;
}

async fn an_admin_makes_changes_disables_and_enables_an_account(world: &World) {
    let ada = world.member("ada", "admin").await;
    assert!(says(&page(&ada, "/_/service-accounts").await.expect(200), "No service accounts yet"));
    let new = page(&ada, "/_/service-accounts/new").await.expect(200);
    assert!(says(&new, "Member: reads, and opens chat sessions") && says(&new, "Cancel runs; they are started with"));
    let fields = [("name", "crm-sync"), ("description", "Syncs <all>"), ("role", "member"), ("once", "n-1")];
    let made = leads_to(&submit(&ada, "/_/service-accounts", &fields).await);
    let path = made.strip_suffix("?done=created").unwrap().to_owned();
    assert_eq!(leads_to(&submit(&ada, "/_/service-accounts", &fields).await), made, "sent twice, made once");
    let shown = page(&ada, &made).await.expect(200);
    assert!(says(&shown, "Syncs <all>") && says(&shown, "It has no key yet") && !shown.text().contains("api-keys/new"));
    let api = path.replace("/_/", "/v1/");
    let account = ada.get(&api).await.expect(200).data();
    assert!(account["scopes"].as_array().unwrap().contains(&json!("bots:read")), "all of its role: {account}");

    let fields = [("name", "crm"), ("description", ""), ("role", "member"), ("scopes", "bots:read")];
    assert_eq!(leads_to(&submit(&ada, &path, &fields).await), format!("{path}?done=saved"));
    let account = ada.get(&api).await.expect(200).data();
    assert_eq!((&account["name"], &account["scopes"]), (&json!("crm"), &json!(["bots:read"])));
    assert!(account["description"].is_null());

    let key = world.secret().post(&format!("{api}/api-keys"), &json!({"name": "One"})).await.expect(201).data();
    let holder = world.holder("one", &key);
    assert_eq!(leads_to(&submit(&ada, &path, &[("is_active", "false")]).await), format!("{path}?done=disabled"));
    assert_ne!(holder.get("/v1/bots").await.status, 200, "its key has stopped");
    let shown = page(&ada, &path).await.expect(200);
    assert!(says(&shown, "Its keys do not work.") && says(&shown, "Enable the account, and the key works again."));
    assert_eq!(leads_to(&submit(&ada, &path, &[("is_active", "true")]).await), format!("{path}?done=enabled"));
    let _ = holder.get("/v1/bots").await.expect(200);
}

async fn an_owner_makes_a_key_of_it_and_the_account_s_end_is_the_key_s(world: &World) {
    let (ada, bob) = (world.member("ada", "owner").await, world.member("bob", "admin").await);
    let (account, _) = world.account("software", "member").await;
    let path = format!("/_/service-accounts/{account}");
    let new = page(&ada, &format!("{path}/api-keys/new")).await.expect(200);
    assert!(
        new.text().contains("value=\"bots:read\"") && !new.text().contains("value=\"api-keys:write\""),
        "its own alone"
    );
    let fields = [("name", "Node 1"), ("environment", "live"), ("expiry", "365"), ("scopes", "bots:read")];
    let made = submit(&ada, &format!("{path}/api-keys"), &fields).await.expect(200);
    assert!(made.text().contains("fln_live_") && made.text().contains("data-shown-once"), "{}", made.text());
    let wide = [("name", "Node 2"), ("environment", "live"), ("expiry", "365"), ("scopes", "bots:write")];
    let again = submit(&ada, &format!("{path}/api-keys"), &wide).await.expect(422);
    assert!(says(&again, "the service account does not hold bots:write"), "{}", again.text());
    assert!(says(&page(&ada, &path).await.expect(200), "Node 1"));
    let _ = submit(&bob, &format!("{path}/api-keys"), &fields).await.expect(403);

    assert!(says(&page(&bob, &format!("{path}/delete")).await.expect(200), "Its keys are revoked with it"));
    let refused = submit(&bob, &format!("{path}/delete"), &[]).await.expect(403);
    assert!(says(&refused, "disable it instead") && says(&refused, "Node 1"), "{}", refused.text());
    assert_eq!(leads_to(&submit(&ada, &format!("{path}/delete"), &[]).await), "/_/service-accounts?done=deleted");
    let _ = page(&ada, &path).await.expect(404);
    assert!(says(&page(&ada, "/_/api-keys?status=revoked").await.expect(200), "Node 1"));
}

async fn what_is_wrong_with_an_account_is_shown_again(world: &World) {
    let ada = world.member("ada", "admin").await;
    let wrong = [("name", ""), ("description", "Typed"), ("role", "member"), ("scopes", "bots:write")];
    let again = submit(&ada, "/_/service-accounts", &wrong).await.expect(422);
    assert!(again.text().contains("id=\"e-name\"") && says(&again, "Typed"), "{}", again.text());
    assert!(again.text().contains("id=\"e-scopes\"") && again.text().contains("value=\"bots:write\" checked"));
    let (account, _) = world.account("software", "member").await;
    let again = submit(&ada, &format!("/_/service-accounts/{account}"), &wrong).await.expect(422);
    assert!(says(&again, "Nothing was changed.") && says(&again, "Typed"));
}

async fn a_member_reads_accounts_and_changes_none(world: &World) {
    let (account, _) = world.account("software", "member").await;
    let bob = world.member("bob", "member").await;
    let path = format!("/_/service-accounts/{account}");
    assert!(!page(&bob, "/_/service-accounts").await.expect(200).text().contains("service-accounts/new"));
    assert!(!page(&bob, &path).await.expect(200).text().contains(&format!("action=\"{path}")));
    for path in ["/_/service-accounts/new".to_owned(), format!("{path}/delete"), format!("{path}/api-keys/new")] {
        assert_eq!(page(&bob, &path).await.status, 403, "{path}");
    }
    for form in ["/_/service-accounts".to_owned(), path.clone(), format!("{path}/delete"), format!("{path}/api-keys")] {
        let answer = submit(&bob, &form, &[("name", "Taken"), ("role", "admin"), ("is_active", "false")]).await;
        assert_eq!(answer.status, 403, "{form}");
    }
    assert_eq!(world.secret().get(&path.replace("/_/", "/v1/")).await.data()["is_active"], true);
    let theirs = world.other_workspace_secret().post("/v1/service-accounts", &json!({"name": "Theirs"})).await;
    let theirs = theirs.expect(201).data();
    let _ = page(&bob, &format!("/_/service-accounts/{}", theirs["id"].as_str().unwrap())).await.expect(404);
}
