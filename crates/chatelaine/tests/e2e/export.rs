//! Conversations leave as files.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, SystemClock};
use serde_json::{Value, json};
use testkit::{Backend, Options, Persona, World};

on_both! {
    a_conversation_leaves_as_json_and_as_markdown;
    a_form_and_a_json_body_name_a_conversation;
    a_workspace_leaves_line_by_line;
    a_workspace_leaves_as_cells_that_are_no_formulas;
    a_file_has_what_is_asked_for_and_nothing_of_others;
    what_comes_after_the_beginning_is_not_in_it;
    a_revoked_keys_file_is_cut;
    a_narrowed_keys_file_is_cut;
    a_removed_persons_file_is_cut;
    a_client_that_goes_away_ends_the_work;
}

on_each! {
    a_persons_file_outlasts_a_rest_and_no_sign_out_and_no_day;
}

/// A conversation with what its bot echoes.
async fn said(world: &World, by: &Persona, words: &[&str]) -> Persona {
    let session = world.open_session("said", by, &world.bot_of(by).await).await;
    for text in words {
        let _ = session.say(text).await.rest().await;
    }
    session
}

fn lines(text: &str) -> Vec<Value> {
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn contents(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter(|line| line["type"] == "message").map(|line| line["content"].as_str().unwrap()).collect()
}

async fn a_conversation_leaves_as_json_and_as_markdown(world: &World) {
    let by = world.secret();
    let session = said(world, &by, &["Hi <b>", "Two\n## user"]).await;
    let path = format!("/v1/conversations/{}/export", session.id());
    let file = by.get(&path).await.expect(200);
    assert_eq!(file.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(file.header("content-disposition"), format!("attachment; filename=\"{}.json\"", session.id()));
    let value = file.json();
    let shown = by.get(&format!("/v1/conversations/{}", session.id())).await.expect(200).data();
    let messages = by.get(&format!("/v1/conversations/{}/messages", session.id())).await.expect(200).data();
    assert_eq!((&value["conversation"], &value["messages"]), (&shown, &messages), "what the API shows");
    let file = by.get(&format!("{path}?format=markdown")).await.expect(200);
    assert_eq!(file.header("content-type"), "text/markdown; charset=utf-8");
    let text = file.text();
    assert!(text.starts_with(&format!("# Conversation {}\n", session.id())) && !text.contains("<b>"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("## ")).count(), 4, "{text}");
    let _ = by.get(&format!("{path}?format=pdf")).await.refused(400, "INVALID_REQUEST");
    for other in [world.other_workspace_secret(), world.test_secret().await] {
        let _ = other.get(&path).await.refused(404, "NOT_FOUND");
    }
}

async fn a_form_and_a_json_body_name_a_conversation(world: &World) {
    let by = world.secret();
    let session = said(world, &by, &["Hi"]).await;
    let expected = by.get(&format!("/v1/conversations/{}/export", session.id())).await.expect(200).text();
    let form = async |body: String| {
        let request = by.request("POST", "/api/export/conversation");
        request.body("application/x-www-form-urlencoded", body).send().await
    };
    let json = "/api/export/conversation/json";
    assert_eq!(form(format!("conversation_id={}", session.id())).await.expect(200).text(), expected);
    assert_eq!(by.post(json, &json!({"conversation_id": session.id()})).await.expect(200).text(), expected);
    let markdown = form(format!("conversation_id={}&format=markdown", session.id())).await.expect(200).text();
    let body = json!({"conversation_id": session.id(), "format": "markdown"});
    assert_eq!(by.post(json, &body).await.expect(200).text(), markdown);

    for body in ["", "conversation_id=msg_1", "format=json"] {
        let refused = form(body.to_owned()).await.refused(422, "VALIDATION_FAILED");
        assert!(refused.text().contains("conversation_id"), "{}", refused.text());
    }
    let named = format!("conversation_id={}&format=pdf", session.id());
    assert!(form(named).await.refused(422, "VALIDATION_FAILED").text().contains("format"));
    let _ = by.post(json, &json!({"conversation_id": session.id(), "more": 1})).await.refused(422, "VALIDATION_FAILED");
    let _ = by.post("/api/export/conversation", &json!({})).await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    let theirs = json!({"conversation_id": session.id()});
    let _ = world.other_workspace_secret().post(json, &theirs).await.refused(404, "NOT_FOUND");
    let reader = world.key("reader", json!({"name": "Reader", "scopes": ["conversations:read"]})).await;
    let _ = reader.post(json, &theirs).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let _ = reader.get("/v1/export/conversations").await.refused(403, "INSUFFICIENT_PERMISSIONS");
}

async fn a_workspace_leaves_line_by_line(world: &World) {
    let by = world.secret();
    let first = said(world, &by, &["one", "two"]).await;
    let empty = world.open_session("empty", &by, &world.bot().await).await;
    let last = said(world, &by, &["three"]).await;
    let file = by.get("/v1/export/conversations").await.expect(200);
    assert_eq!(file.header("content-type"), "application/x-ndjson; charset=utf-8");
    assert!(file.header("content-disposition").contains("attachment; filename=\"conversations-ws_"));
    let lines = lines(&file.text());
    let kinds: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    let (c, m) = ("conversation", "message");
    assert_eq!(kinds, [c, m, m, m, m, c, c, m, m, "end"]);
    let opened: Vec<_> =
        lines.iter().filter(|line| line["type"] == c).map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(opened, [first.id(), empty.id(), last.id()], "the oldest first, also without a message");
    for (line, session) in [(1, &first), (4, &first), (7, &last)] {
        assert_eq!(lines[line]["conversation_id"], session.id());
    }
    assert_eq!(lines[9], json!({"type": "end", "conversations": 3, "messages": 6}));
    let log = by.get("/v1/audit-log?action=export_conversations").await.expect(200).data();
    assert_eq!((log.as_array().unwrap().len(), &log[0]["detail"]["format"]), (1, &json!("ndjson")));
}

async fn a_workspace_leaves_as_cells_that_are_no_formulas(world: &World) {
    let by = world.secret();
    let session = said(world, &by, &["=1+1"]).await;
    let text = by.get("/v1/export/conversations?format=csv").await.expect(200).text();
    let rows: Vec<_> = text.split("\r\n").collect();
    assert!(rows[0].starts_with("conversation_id,bot_id,channel,user_identifier,"), "{text}");
    assert!(rows[1].starts_with(session.id()) && rows[1].ends_with(",'=1+1"), "{text}");
    assert_eq!((rows.len(), rows[3]), (4, ""), "a line for the words, one for the echo, and the end of the last");
    let signed = by.get("/v1/export/conversations?format=csv&bom=1").await.expect(200);
    assert!(signed.body.starts_with(b"\xef\xbb\xbfconversation_id"));
    let _ = by.get("/v1/export/conversations?bom=2").await.refused(400, "INVALID_REQUEST");
}

async fn a_file_has_what_is_asked_for_and_nothing_of_others(world: &World) {
    let by = world.secret();
    let mine = said(world, &by, &["mine"]).await;
    let (theirs, test) = (world.other_workspace_secret(), world.test_secret().await);
    let _ = (said(world, &theirs, &["theirs"]).await, said(world, &test, &["test"]).await);
    let _ = said(world, &by, &["mine too"]).await;
    let export = async |by: &Persona, query: &str| {
        let file = by.get(&format!("/v1/export/conversations?{query}")).await.expect(200).text();
        contents(&lines(&file)).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(export(&by, "").await.len(), 4);
    assert!(export(&theirs, "").await.iter().all(|text| text.contains("theirs")));
    assert!(export(&test, "").await.iter().all(|text| text.contains("test")));
    let bot = by.get(&format!("/v1/conversations/{}", mine.id())).await.expect(200).data()["bot_id"].clone();
    let of_bot = export(&by, &format!("bot_id={}", bot.as_str().unwrap())).await;
    assert!(of_bot.len() == 2 && of_bot[0] == "mine", "{of_bot:?}");
    assert!(export(&by, "to=2020-01-01").await.is_empty());
    assert_eq!(export(&by, "from=2020-01-01").await.len(), 4);
    let _ = by.get("/v1/export/conversations?from=then").await.refused(400, "INVALID_REQUEST");
}

/// Rows past the server: so many messages of one conversation.
async fn fill(world: &World, conversation: &str, count: u32, size: usize) {
    let text = "x".repeat(size);
    let insert = format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
        INSERT INTO messages (workspace_id, environment, conversation_id, position, id, role, content, status, created_at)
        SELECT workspace_id, environment, id, n, id || n, 'user', '{text}', 'complete', created_at
        FROM conversations JOIN n ON 1 = 1 WHERE id = '{conversation}'"
    )
    .replace("id || n", "'msg_0000000000000000' || (1000000000 + n)");
    assert_eq!(world.server().database().execute(&insert).await, u64::from(count));
    let counted = format!("UPDATE conversations SET message_count = {count} WHERE id = '{conversation}'");
    assert_eq!(world.server().database().execute(&counted).await, 1);
}

async fn what_comes_after_the_beginning_is_not_in_it(world: &World) {
    let by = world.secret();
    let session = world.open_session("long", &by, &world.bot().await).await;
    // More than a part, and more than sockets hold.
    fill(world, session.id(), 4_000, 4_000).await;
    let mut file = by.request("GET", "/v1/export/conversations").lines().await;
    let first: Value = serde_json::from_str(&file.next().await.unwrap()).unwrap();
    assert_eq!(first["id"], session.id());
    let _ = session.say("later").await.rest().await;
    let _ = said(world, &by, &["later too"]).await;
    let rest = file.rest().await;
    let last: Value = serde_json::from_str(rest.last().unwrap()).unwrap();
    assert_eq!(last, json!({"type": "end", "conversations": 1, "messages": 4_000}));
    assert_eq!(rest.len(), 4_001, "and no other line");
}

async fn a_revoked_keys_file_is_cut(world: &World) {
    let by = world.secret();
    let session = world.open_session("long", &by, &world.bot().await).await;
    fill(world, session.id(), 8_000, 4_000).await;
    let exporter = world.key("exporter", json!({"name": "Exporter", "scopes": ["export:read"]})).await;
    let mut file = exporter.request("GET", "/v1/export/conversations").lines().await;
    let _ = file.next().await.unwrap();
    let _ = by.delete(&format!("/v1/api-keys/{}", exporter.id())).await.expect(200);
    let rest = file.rest().await;
    let last = rest.last().unwrap();
    assert!(rest.len() < 8_000 && last.contains("revoked"), "{} lines, and then {last}", rest.len());
}

/// Begins to read, lets `change` happen, and reads on when it must be known.
async fn cut_by(world: &World, reader: &Persona, change: impl Future<Output = ()>) {
    let session = world.open_session("long", &world.secret(), &world.bot().await).await;
    fill(world, session.id(), 8_000, 4_000).await;
    let mut file = reader.request("GET", "/v1/export/conversations").lines().await;
    let _ = file.next().await.unwrap();
    change.await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rest = file.rest().await;
    let last = rest.last().unwrap();
    assert!(rest.len() < 8_000 && last.contains("revoked"), "{} lines, and then {last}", rest.len());
}

async fn a_narrowed_keys_file_is_cut(world: &World) {
    let exporter = world.key("exporter", json!({"name": "Exporter", "scopes": ["export:read"]})).await;
    let narrow = async {
        let less = json!({"scopes": ["bots:read"]});
        let _ = world.secret().patch(&format!("/v1/api-keys/{}", exporter.id()), &less).await.expect(200);
    };
    cut_by(world, &exporter, narrow).await;
}

async fn a_removed_persons_file_is_cut(world: &World) {
    let person = world.member("exporting", "member").await;
    let remove = async {
        let _ = world.secret().delete(&format!("/v1/members/{}", person.id())).await.expect(204);
    };
    cut_by(world, &person, remove).await;
}

async fn a_persons_file_outlasts_a_rest_and_no_sign_out_and_no_day(backend: Backend) {
    let clock = Arc::new(ManualClock::new(SystemClock::new().now()));
    let world = World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await;
    let session = world.open_session("long", &world.secret(), &world.bot().await).await;
    fill(&world, session.id(), 4_000, 4_000).await;
    let open = async |by: &Persona| {
        let mut file = by.request("GET", "/v1/export/conversations").lines().await;
        let _ = file.next().await.unwrap();
        file
    };
    let person = world.member("exporting", "member").await;
    let file = open(&person).await;
    clock.advance(Duration::from_secs(31 * 60));
    let rest = file.rest().await;
    assert!(rest.last().unwrap().contains("\"end\""), "{:?}", rest.last());
    let _ = person.get("/v1/me").await.refused(401, "INVALID_TOKEN");

    let again = async || world.sign_in("exporting@people.example").await;
    let person = again().await;
    let file = open(&person).await;
    let _ = person.post("/v1/sign-out", &json!({})).await.expect(204);
    clock.advance(Duration::from_secs(2));
    let rest = file.rest().await;
    assert!(rest.last().unwrap().contains("revoked"), "signed out: {:?}", rest.last());

    let file = open(&again().await).await;
    clock.advance(Duration::from_secs(12 * 3600));
    let rest = file.rest().await;
    assert!(rest.last().unwrap().contains("revoked"), "twelve hours: {:?}", rest.last());
    world.end().await;
}

async fn a_client_that_goes_away_ends_the_work(world: &World) {
    let by = world.secret();
    let session = world.open_session("long", &by, &world.bot().await).await;
    fill(world, session.id(), 20_000, 4_000).await;
    let mut file = by.request("GET", "/v1/export/conversations").lines().await;
    let _ = file.next().await.unwrap();
    drop(file);
    let mut reads = world.store().reads();
    let settled = testkit::eventually(Duration::from_secs(10), async || {
        let (before, now) = (std::mem::replace(&mut reads, world.store().reads()), world.store().reads());
        now == before
    });
    assert!(settled.await, "it reads on for nobody");
    // All of its places are free again, two at once.
    let whole = async || by.get("/v1/export/conversations").await.expect(200).body.len();
    let (one, other) = futures_util::future::join(whole(), whole()).await;
    assert!(one == other && one > 80_000_000, "{one} {other}");
}
