//! Home, the list of requests, and Explain.

use serde_json::json;
use testkit::{Persona, World};

use super::{leads_to, page, says, submit};
use crate::webhooks::new_attempt;

on_both! {
    home_says_what_to_do_next_and_what_wants_attention;
    requests_are_for_admins_and_say_what_happened;
    what_is_pasted_is_explained_and_not_sent_back;
}

async fn home_says_what_to_do_next_and_what_wants_attention(world: &World) {
    let owner = world.member("olga", "owner").await;
    let home = page(&owner, "/_/").await.expect(200);
    assert!(says(&home, "There is no bot yet") && says(&home, "Make a bot"), "{}", home.text());
    let _ = world.session().await;
    let soon = world.server().running().app().clock().now().plus(3 * 86_400_000);
    let key = world.key("ending", json!({"name": "Ending <soon>", "expires_at": soon})).await;
    let _ = world.restricted().await.get("/v1/contacts").await.expect(403);
    let home = page(&owner, "/_/").await.expect(200);
    assert!(
        says(&home, "Ending <soon>") && home.text().contains(&format!("/_/api-keys/{}", key.id())),
        "{}",
        home.text()
    );
    assert!(says(&home, "INSUFFICIENT_PERMISSIONS 1") && says(&home, "Refused 1"), "{}", home.text());
    assert!(home.text().contains("role=\"img\"") && !home.text().contains("style="));
    assert!(!says(&home, "What to do next"));
    assert!(says(&home, "Let in") && !says(&home, "Failing webhooks"), "{}", home.text());
    let (endpoint, _) = new_attempt(world).await;
    let home = page(&owner, "/_/").await.expect(200);
    assert!(says(&home, "Failing webhooks") && home.text().contains(&format!("/_/webhooks/{endpoint}")));
    let failing =
        async |by: &Persona| by.get("/v1/overview").await.expect(200).data()["attention"]["failing_webhooks"].take();
    let own = failing(&owner).await;
    assert_eq!(
        (&own[0]["id"], &own[0]["host"], &own[1]),
        (&json!(endpoint), &json!("127.0.0.1"), &json!(null)),
        "{own}"
    );
    assert_eq!(failing(&world.other_workspace_secret()).await, json!([]));
    assert_eq!(failing(&world.test_secret().await).await, json!([]));
    let _ = world.secret().patch(&format!("/v1/webhooks/{endpoint}"), &json!({"is_active": false})).await.expect(200);
    assert_eq!(failing(&owner).await, json!([]), "it is told among those that are off");
    let home = page(&owner, "/_/").await.expect(200);
    assert!(says(&home, "Disabled webhooks") && says(&home, "turned off,"), "{}", home.text());
}

async fn requests_are_for_admins_and_say_what_happened(world: &World) {
    let (admin, member) = (world.member("ada", "admin").await, world.member("mia", "member").await);
    let empty = page(&admin, "/_/requests?code=NONE").await.expect(200);
    assert!(says(&empty, "No recent request matches."));
    let reader = world.restricted().await;
    let refused = reader.get("/v1/contacts").await.expect(403);
    let shown = page(&admin, "/_/requests?outcome=refused").await.expect(200);
    assert!(says(&shown, "GET /v1/contacts") && says(&shown, "403 INSUFFICIENT_PERMISSIONS"), "{}", shown.text());
    assert!(says(&shown, "lacks the scope") && shown.text().contains(refused.header("x-request-id")));
    assert!(shown.text().contains("<noscript>") && shown.text().contains("src=\"/static/requests.js\""));
    // By name, with its page, and to the second.
    assert!(says(&shown, "secret Restricted"), "{}", shown.text());
    let time =
        shown.text().split("<time datetime=").nth(1).and_then(|rest| rest.split(['>', '<']).nth(1)).unwrap().to_owned();
    assert_eq!(time.matches(':').count(), 2, "{time}");
    let _ = page(&member, "/_/requests").await.expect(403);
    let _ = member.get("/v1/bots").await.expect(200);
    let shown = page(&admin, "/_/requests").await.expect(200);
    let person = format!("member <a href=\"/_/members/{}\">", member.id());
    assert!(shown.text().contains(&person), "{}", shown.text());
    assert!(!page(&member, "/_/").await.text().contains("/_/requests"), "nor does a menu lead there");
    assert!(leads_to(&page(&world.anonymous(), "/_/requests").await).starts_with("/_/sign-in"));
    let script = world.client().get("/static/requests.js").send().await.expect(200);
    assert!(script.header("content-type").starts_with("text/javascript"));
}

async fn what_is_pasted_is_explained_and_not_sent_back(world: &World) {
    let member = world.member("mia", "member").await;
    let empty = page(&member, "/_/explain").await.expect(200);
    assert!(says(&empty, "Nothing that you paste is kept"));
    let reader = world.restricted().await;
    let fields = [("credential", reader.credential()), ("method", "POST"), ("path", "/v1/bots"), ("origin", "")];
    let shown = submit(&member, "/_/explain", &fields).await.expect(200);
    assert!(says(&shown, "It would be refused") && says(&shown, "scope_missing"), "{}", shown.text());
    assert!(says(&shown, "Restricted") && says(&shown, "Keys need bots:write"));
    assert!(!shown.text().contains(reader.credential()), "what was pasted is not sent back");
    let wrong = submit(&member, "/_/explain", &[("path", "bots")]).await.expect(422);
    assert!(says(&wrong, "must begin with") && wrong.text().contains("value=\"bots\""), "{}", wrong.text());
    assert!(says(&wrong, "This cannot be explained.") && !says(&wrong, "Nothing was changed"), "{}", wrong.text());
    let widget = world.widget().await;
    let fields = [("credential", widget.credential()), ("method", "POST"), ("path", "/v1/chat/sessions")];
    let nowhere = submit(&member, "/_/explain", &fields).await.expect(200);
    assert!(says(&nowhere, "You named no page."), "{}", nowhere.text());
    let evil = [fields.as_slice(), &[("origin", "https://evil.example")]].concat();
    assert!(!says(&submit(&member, "/_/explain", &evil).await.expect(200), "You named no page."));
    let revoked = world.key("revoked", json!({"name": "Revoked"})).await;
    let _ = world.secret().delete(&format!("/v1/api-keys/{}", revoked.id())).await.expect(200);
    let fields = [("credential", revoked.credential()), ("path", "/v1/me")];
    let shown = submit(&member, "/_/explain", &fields).await.expect(200);
    assert!(says(&shown, "That was at") && says(&shown, "UTC.") && !says(&shown, "Z."), "{}", shown.text());
    // Requests that were made show addresses: for admins.
    assert!(!says(&empty, "A request that was made") && says(&empty, "an admin of the workspace can look up"));
    assert!(!shown.text().contains("name=\"request_id\""), "{}", shown.text());
    let refused = reader.get("/v1/contacts").await.expect(403);
    let _ = submit(&member, "/_/explain", &[("request_id", refused.header("x-request-id"))]).await.expect(403);
    let admin = world.member("ada", "admin").await;
    assert!(says(&page(&admin, "/_/explain").await.expect(200), "A request that was made"));
    let shown = submit(&admin, "/_/explain", &[("request_id", refused.header("x-request-id"))]).await.expect(200);
    assert!(says(&shown, "It was refused") && says(&shown, "127.0.0.1"), "{}", shown.text());
    let wrong = submit(&admin, "/_/explain", &[("request_id", "req_none")]).await.expect(422);
    assert!(says(&wrong, "Request id: is no request of late"), "{}", wrong.text());
    let theirs = world.other_workspace_secret().get("/v1/bots/none").await.expect(404);
    let _ = submit(&admin, "/_/explain", &[("request_id", theirs.header("x-request-id"))]).await.expect(422);
}
