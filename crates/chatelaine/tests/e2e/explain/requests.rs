//! The list of requests of late, their stream, and the first page's numbers.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Persona, World, eventually};

on_both! {
    requests_are_listed_newest_first_and_filtered;
    a_refusal_of_a_key_that_nobody_remembers_belongs_to_its_workspace;
    nobody_sees_another_s_requests;
    what_comes_is_told_and_ends_with_the_leave;
    the_overview_counts_and_names_what_wants_attention;
}

async fn list(by: &Persona, query: &str) -> Vec<Value> {
    by.get(&format!("/v1/requests?per_page=100&{query}")).await.expect(200).data().as_array().unwrap().clone()
}

async fn requests_are_listed_newest_first_and_filtered(world: &World) {
    let (by, reader) = (world.secret(), world.restricted().await);
    let let_in = reader.get("/v1/bots").await.expect(200);
    let refused = reader.post("/v1/bots", &json!({"name": "B"})).await.expect(403);
    let missing = reader.get("/v1/bots/bot_00000000000000000000000000").await.expect(404);
    let of_key = list(&by, &format!("key_id={}", reader.id())).await;
    let ids: Vec<_> = of_key.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&missing, &refused, &let_in].map(|answer| answer.header("x-request-id")));
    let row = &of_key[1];
    assert_eq!(
        (&row["method"], &row["path"], &row["operation"]),
        (&json!("POST"), &json!("/v1/bots"), &json!("create_bot"))
    );
    assert_eq!((&row["status"], &row["code"]), (&json!(403), &json!("INSUFFICIENT_PERMISSIONS")));
    assert_eq!(row["credential"], json!({"kind": "secret", "id": reader.id()}));
    assert_eq!((&row["reason"], &row["environment"]), (&json!("scope_missing"), &json!("live")));
    assert_eq!(row["ip"], "127.0.0.1");
    let codes = |rows: Vec<Value>| rows.iter().map(|row| row["code"].clone()).collect::<Vec<_>>();
    assert_eq!(codes(list(&by, "outcome=refused").await), [json!("NOT_FOUND"), json!("INSUFFICIENT_PERMISSIONS")]);
    assert_eq!(codes(list(&by, "code=NOT_FOUND").await), [json!("NOT_FOUND")]);
    assert_eq!(codes(list(&by, "status=403").await), [json!("INSUFFICIENT_PERMISSIONS")]);
    assert!(list(&by, "outcome=let_in").await.iter().all(|row| row["code"].is_null()));
    let after = list(&by, &format!("after={}&key_id={}", let_in.header("x-request-id"), reader.id())).await;
    assert_eq!(after[0]["id"], refused.header("x-request-id"), "the oldest first");
    let paged = by.get(&format!("/v1/requests?per_page=1&page=2&key_id={}", reader.id())).await.expect(200).json();
    assert_eq!((&paged["data"][0]["id"], &paged["meta"]["total"]), (&json!(refused.header("x-request-id")), &json!(3)));
    let _ = by.get("/v1/requests?outcome=maybe").await.refused(400, "INVALID_REQUEST");
}

async fn a_refusal_of_a_key_that_nobody_remembers_belongs_to_its_workspace(world: &World) {
    let by = world.secret();
    let gone = world.key("gone", json!({"name": "Gone"})).await;
    let _ = by.delete(&format!("/v1/api-keys/{}", gone.id())).await.expect(200);
    let refused = gone.get("/v1/bots").await.expect(401);
    let rows = list(&by, "code=INVALID_API_KEY").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((&rows[0]["id"], &rows[0]["reason"]), (&json!(refused.header("x-request-id")), &json!("key_revoked")));
    assert_eq!(rows[0]["credential"]["id"], gone.id());
    assert!(list(&world.other_workspace_secret(), "code=INVALID_API_KEY").await.is_empty());
}

async fn nobody_sees_another_s_requests(world: &World) {
    let (by, other) = (world.secret(), world.other_workspace_secret());
    let _ = other.get("/v1/contacts").await.expect(200);
    assert!(list(&by, "").await.iter().all(|row| row["operation"] != "list_contacts"));
    assert!(list(&other, "").await.iter().any(|row| row["operation"] == "list_contacts"));
    let test = world.test_secret().await;
    let _ = by.get("/v1/workflows").await.expect(200);
    assert!(list(&test, "").await.iter().all(|row| row["environment"] == "test"));
    let (admin, member) = (world.member("ada", "admin").await, world.member("mia", "member").await);
    let _ = member.get("/v1/requests").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = admin.get("/_/requests").await.expect(200);
    let pages = |row: &Value| row["path"].as_str().unwrap().starts_with("/_/");
    assert!(!list(&admin, "outcome=let_in").await.iter().any(pages), "who looks at pages is no traffic");
    assert!(!list(&admin, "").await.is_empty());
    let _ = world.restricted().await.get("/v1/requests").await.refused(403, "INSUFFICIENT_PERMISSIONS");
}

async fn what_comes_is_told_and_ends_with_the_leave(world: &World) {
    let watcher = world.key("watcher", json!({"name": "W", "scopes": ["audit:read"]})).await;
    let mut events = watcher.request("GET", "/v1/requests/stream").stream().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let refused = world.restricted().await.get("/v1/contacts").await.expect(403);
    let told = loop {
        let event = events.next().await.unwrap();
        if event.data["operation"] == "list_contacts" {
            break event.data;
        }
    };
    assert_eq!((&told["type"], &told["id"]), (&json!("request"), &json!(refused.header("x-request-id"))));
    assert_eq!(told["reason"], "scope_missing");
    let _ = world.secret().delete(&format!("/v1/api-keys/{}", watcher.id())).await.expect(200);
    let last = events.rest().await;
    assert_eq!(last.last().unwrap().data, json!({"type": "error", "code": "revoked"}));
    let wrong = world.test_secret().await;
    let _ = wrong.get("/v1/requests/stream?environment=live").await.refused(400, "INVALID_REQUEST");
}

async fn the_overview_counts_and_names_what_wants_attention(world: &World) {
    let by = world.secret();
    let empty = by.get("/v1/overview").await.expect(200).data();
    assert_eq!(empty["has"], json!({"keys": true, "bots": false, "conversations": false}));
    assert_eq!(empty["hours"].as_array().unwrap().len(), 24);
    let reader = world.restricted().await;
    for _ in 0..3 {
        let _ = reader.get("/v1/contacts").await.expect(403);
    }
    let _ = world.session().await;
    let soon = world.server().running().app().clock().now().plus(3 * 86_400_000);
    let ending = world.key("ending", json!({"name": "Ending", "expires_at": soon})).await;
    let _ = world.secret().at(Some("https://a.example")).get("/v1/bots").await.expect(403);
    let spent = world.key("spent", json!({"name": "Spent", "scopes": ["bots:read"], "rate_limit": 1})).await;
    let _ = spent.get("/v1/bots").await.expect(200);
    let _ = spent.get("/v1/bots").await.expect(429);
    let sum = |shown: &Value, of: &str| -> u64 {
        shown["hours"].as_array().unwrap().iter().map(|hour| hour[of].as_u64().unwrap()).sum()
    };
    let shown = by.get("/v1/overview").await.expect(200).data();
    assert_eq!((sum(&shown, "refused"), sum(&shown, "conversations")), (5, 1), "{shown}");
    assert!(sum(&shown, "requests") >= 4);
    assert_eq!(shown["refusals"][0], json!({"code": "INSUFFICIENT_PERMISSIONS", "requests": 3}));
    let names = |shown: &Value, of: &str| {
        shown["attention"][of].as_array().unwrap().iter().map(|key| key["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&shown, "expiring"), [json!("Ending")], "{} {shown}", ending.id());
    assert_eq!(names(&shown, "over_budget"), [json!("Spent")]);
    assert!(names(&shown, "unused").is_empty() && names(&shown, "leaked").is_empty());
    let is_exposed =
        eventually(Duration::from_secs(5), async || !names(&by.get("/v1/overview").await.data(), "exposed").is_empty());
    assert!(is_exposed.await, "a server's key was on a page");
    // Whoever may not list keys or endpoints learns nothing of them by this way.
    let numbers = world.key("numbers", json!({"name": "N", "scopes": ["usage:read"]})).await;
    let shown = numbers.get("/v1/overview").await.expect(200).data();
    for (kind, rows) in shown["attention"].as_object().unwrap() {
        assert_eq!(rows, &json!([]), "{kind}");
    }
    let other = world.other_workspace_secret().get("/v1/overview").await.expect(200).data();
    assert_eq!(sum(&other, "refused"), 0);
    // What is written and what is not yet is counted once.
    world.server().running().app().cluster().flush_uses(true).await;
    let before = sum(&by.get("/v1/overview").await.expect(200).data(), "refused");
    assert_eq!(before, 5);
}
