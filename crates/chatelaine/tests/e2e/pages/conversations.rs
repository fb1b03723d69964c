//! Conversations, on pages.

use serde_json::json;
use testkit::{Persona, World};

use super::{leads_to, page, says, submit};

on_both! {
    conversations_are_listed_filtered_and_found;
    a_thread_is_plain_text_with_its_newest_part_first;
    a_conversation_leaves_as_a_file_of_the_half_that_is_looked_at;
    an_admin_deletes_a_conversation;
    nobody_reads_another_workspace_s_conversations;
}

async fn talk(world: &World, user: &str, words: &[&str]) -> Persona {
    let bot = world.bot().await;
    let body = json!({"agent_id": bot, "user_identifier": user});
    let opened = world.secret().post("/v1/chat/sessions", &body).await.expect(201).json();
    let token = opened["session_token"].as_str().unwrap();
    let session = world.open_session("session", &world.secret(), &bot).await.with("session", token);
    let id = opened["conversation_id"].as_str().unwrap();
    for text in words {
        let path = format!("/v1/chat/sessions/{id}/messages");
        let _ = session.request("POST", &path).json(&json!({ "message": text })).stream().await.rest().await;
    }
    let _ = world.secret().delete(&format!("/v1/conversations/{}", session.id())).await.expect(204);
    session
}

/// The ids of the conversations that a page leads to.
fn listed(text: &str) -> Vec<String> {
    let links = text.split("href=\"/_/conversations/conv_").skip(1);
    links.map(|rest| format!("conv_{}", rest.split(['"', '?', '/']).next().unwrap())).collect()
}

async fn conversations_are_listed_filtered_and_found(world: &World) {
    let bob = world.member("bob", "member").await;
    assert!(says(&page(&bob, "/_/conversations").await.expect(200), "Nobody has talked to a bot yet."));
    let _ = talk(world, "ada", &["where are my <b>shoes"]).await;
    let _ = talk(world, "grace", &["hats"]).await;
    let all = page(&bob, "/_/conversations").await.expect(200);
    assert_eq!(listed(&all.text()).len(), 2);
    assert!(says(&all, "ada") && says(&all, "grace") && says(&all, "Widget or own page"));
    for (query, found) in [
        ("q=shoes", 1),
        ("q=grace", 1),
        ("user=ada", 1),
        ("channel=voice", 0),
        ("channel=session&status=open", 2),
        ("status=ended", 0),
        ("from=2020-01-01&to=2020-01-02", 0),
        ("from=2020-01-01&bot_id=&q=&channel=", 2),
    ] {
        let answer = page(&bob, &format!("/_/conversations?{query}")).await.expect(200);
        assert_eq!(listed(&answer.text()).len(), found, "{query}");
        assert_eq!(says(&answer, "Nothing found."), found == 0, "{query}");
    }
    let shown = page(&bob, "/_/conversations?q=%22%3E%3Cscript%3E").await.expect(200);
    assert!(!shown.text().contains("\"><script>"), "{}", shown.text());
    // The API says what is wrong, and the form stays.
    let wrong = page(&bob, "/_/conversations?from=yesterday&user=kept").await.expect(400);
    assert!(says(&wrong, "`from`") && wrong.text().contains("value=\"kept\""), "{}", wrong.text());
}

async fn a_thread_is_plain_text_with_its_newest_part_first(world: &World) {
    let bob = world.member("bob", "member").await;
    let words: Vec<String> = (0..40).map(|n| format!("message-{n}-<b>")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let _ = talk(world, "ada", &words).await;
    let id = listed(&page(&bob, "/_/conversations").await.text()).remove(0);
    let path = format!("/_/conversations/{id}");
    let newest = page(&bob, &path).await.expect(200);
    // 80 messages are four pages; the newest part is the last two.
    assert!(says(&newest, "message-39-<b>") && !newest.text().contains("<b>"));
    assert!(
        !says(&newest, "message-20-") && newest.text().contains("?page=2\"") && newest.text().contains("hx-trigger")
    );
    let before = page(&bob, &format!("{path}?page=2")).await.expect(200);
    assert!(says(&before, "message-20-") && !says(&before, "message-39-") && !before.text().contains("hx-trigger"));
    assert!(before.text().contains("?page=1\"") && before.text().contains(&format!("rel=\"next\" href=\"{path}\"")));
}

async fn a_conversation_leaves_as_a_file_of_the_half_that_is_looked_at(world: &World) {
    let bob = world.member("bob", "member").await;
    let test = world.test_secret().await;
    let session = world.open_session("session", &test, &world.bot_of(&test).await).await;
    let _ = session.say("only a test").await.rest().await;
    let path = format!("/_/conversations/{}/export?format=markdown&seen=test", session.id());
    let _ = page(&bob, &path.replace("=test", "=live")).await.expect(404);
    let in_test = |path: &str| bob.request("GET", path).header("cookie", "chatelaine-environment=test").send();
    let file = in_test(&path).await.expect(200);
    assert_eq!(file.header("content-type"), "text/markdown; charset=utf-8");
    assert_eq!(file.header("content-disposition"), format!("attachment; filename=\"test-{}.md\"", session.id()));
    assert!(file.text().contains("only a test"));
    let all = in_test("/_/conversations/export?format=csv&bot_id=&from=&to=&seen=test").await.expect(200);
    assert!(all.header("content-type").starts_with("text/csv") && all.text().contains("only a test"));
    assert!(all.header("content-disposition").contains("\"test-conversations-"));
    let live = page(&bob, "/_/conversations/export?seen=live").await.expect(200);
    assert!(!live.text().contains("only a test"));
    assert!(live.header("content-disposition").contains("\"conversations-"));
    let list = in_test("/_/conversations").await.expect(200).text();
    let form = list.split("action=\"/_/conversations/export\"").nth(1).and_then(|rest| rest.split("</form>").next());
    assert!(form.is_some_and(|form| form.contains("name=\"seen\" value=\"test\"")), "{list}");
    let shown = in_test(&format!("/_/conversations/{}", session.id())).await.expect(200).text();
    assert_eq!(shown.matches("&amp;seen=test\"").count(), 2, "{shown}");
    let log = world.secret().get("/v1/audit-log?action=export_conversations").await.expect(200).data();
    assert_eq!(log[0]["actor"]["id"], bob.id(), "{log}");
}

async fn an_admin_deletes_a_conversation(world: &World) {
    let (ada, bob) = (world.member("ada", "admin").await, world.member("bob", "member").await);
    let _ = talk(world, "ada", &["hello"]).await;
    let id = listed(&page(&bob, "/_/conversations").await.text()).remove(0);
    let path = format!("/_/conversations/{id}");
    assert!(!says(&page(&bob, &path).await.expect(200), "Delete this conversation"));
    let _ = submit(&bob, &format!("{path}/delete"), &[]).await.expect(403);
    assert!(says(&page(&ada, &path).await.expect(200), "Delete this conversation"));
    assert_eq!(leads_to(&submit(&ada, &format!("{path}/delete"), &[]).await), "/_/conversations?done=deleted");
    let _ = page(&bob, &path).await.expect(404);
}

async fn nobody_reads_another_workspace_s_conversations(world: &World) {
    let eve = world.member_of(&world.other_workspace_secret(), "eve", "owner").await;
    let _ = talk(world, "ada", &["hello"]).await;
    let list = world.secret().get("/v1/conversations").await.expect(200).data();
    let path = format!("/_/conversations/{}", list[0]["id"].as_str().unwrap());
    let _ = page(&eve, &path).await.expect(404);
    let _ = page(&eve, &format!("{path}/export?seen=live")).await.expect(404);
    let _ = submit(&eve, &format!("{path}/delete"), &[]).await.expect(404);
    assert!(listed(&page(&eve, "/_/conversations").await.text()).is_empty());
}
