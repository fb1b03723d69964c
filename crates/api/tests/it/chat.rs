use serde_json::json;

use crate::world::{Answer, World};

async fn open(world: &World) -> Answer {
    let bot = world.make_bot().await;
    world.owner().post("/v1/chat/sessions", json!({"agent_id": bot, "user_identifier": "u1"})).await.ok(201)
}

#[tokio::test]
async fn a_session_is_opened_answered_read_and_ended() {
    let world = World::new().await;
    let opened = open(&world).await;
    let (id, token) = (opened.text_at("/conversation_id"), opened.text_at("/session_token"));
    assert_eq!((opened.text_at("/agent_name"), opened.text_at("/greeting")), ("Ada".to_owned(), "Hello!".to_owned()));
    assert_eq!(opened.text_at("/agent_model"), "echo");
    let me = world.with(&token).get("/v1/me").await.ok(200);
    assert_eq!((me.text_at("/data/type"), me.text_at("/data/conversation_id")), ("session".to_owned(), id.clone()));
    let path = format!("/v1/chat/sessions/{id}");
    let reply = world.with(&token).post(&format!("{path}/messages"), json!({"message": "one two"})).await.ok(200);
    assert_eq!(reply.headers["content-type"], "text/event-stream; charset=utf-8");
    let events: Vec<&str> = reply.text.split_terminator("\n\n").collect();
    assert_eq!(events[0], "id: 2-1\ndata: {\"type\":\"stream_start\",\"agent_name\":\"Ada\"}");
    let (number, last) = events.last().unwrap().split_once('\n').unwrap();
    assert_eq!(number, format!("id: 2-{}", events.len()));
    assert!(
        last.starts_with("data: {\"type\":\"stream_end\",\"usage\":{\"input_tokens\":")
            && last.ends_with("\"end_session\":false}"),
        "{last}"
    );
    let history = world.with(&token).get(&format!("{path}/messages?limit=2")).await.ok(200);
    assert_eq!((history.at("/count"), history.text_at("/messages/0/content")), (json!(2), "one two".to_owned()));
    assert!(history.text_at("/messages/0/timestamp").ends_with('Z') && history.at("/messages/0/token_count") == 2);
    assert_eq!(world.with(&token).get(&format!("{path}/messages?limit=0")).await.status, 400);
    assert_eq!(world.with(&token).post(&format!("{path}/end"), json!({})).await.ok(200).at("/success"), true);
    assert_eq!(world.with(&token).get(&format!("{path}/messages")).await.code(), (401, "INVALID_TOKEN".to_owned()));
    assert_eq!(world.log().await[0], "end_chat_session");
}

#[tokio::test]
async fn a_token_is_for_its_own_conversation_and_nothing_else() {
    let world = World::new().await;
    let (mine, other) = (open(&world).await, open(&world).await);
    let token = mine.text_at("/session_token");
    for id in [other.text_at("/conversation_id"), "nonsense".to_owned()] {
        let path = format!("/v1/chat/sessions/{id}");
        let answers = [
            world.with(&token).get(&format!("{path}/messages")).await,
            world.with(&token).post(&format!("{path}/messages"), json!({"message": "hi"})).await,
            world.with(&token).post(&format!("{path}/end"), json!({})).await,
        ];
        for answer in answers {
            assert_eq!(answer.code(), (403, "CONVERSATION_MISMATCH".to_owned()));
        }
    }
    assert_eq!(world.with(&token).get("/v1/bots").await.code(), (403, "WRONG_CREDENTIAL".to_owned()));
    let path = format!("/v1/chat/sessions/{}/messages", mine.text_at("/conversation_id"));
    assert_eq!(world.owner().get(&path).await.code(), (403, "WRONG_CREDENTIAL".to_owned()), "a key is no token");
}

#[tokio::test]
async fn a_widget_key_opens_sessions_from_its_pages_alone() {
    let world = World::new().await;
    let bot = world.make_bot().await;
    let (_, widget) = world.make_key(json!({"name": "w", "kind": "widget", "allowed_domains": "shop.example"})).await;
    assert!(widget.starts_with("tk_widget_"));
    let body = json!({"agent_id": bot});
    let widget = world.with(&widget);
    let opened = widget.on_page("https://www.shop.example").post("/v1/chat/sessions", body.clone()).await.ok(201);
    let page = widget.on_page("https://evil.example");
    assert_eq!(page.post("/v1/chat/sessions", body.clone()).await.code(), (403, "ORIGIN_NOT_ALLOWED".to_owned()));
    assert_eq!(widget.post("/v1/chat/sessions", body).await.code(), (403, "ORIGIN_NOT_ALLOWED".to_owned()));
    assert_eq!(world.owner().get("/v1/conversations").await.ok(200).at("/meta/total"), 1, "no session for the others");
    let path = format!("/v1/chat/sessions/{}/messages", opened.text_at("/conversation_id"));
    let token = opened.text_at("/session_token");
    let stolen = world.with(&token).on_page("https://evil.example").get(&path).await;
    assert_eq!(stolen.code(), (403, "ORIGIN_NOT_ALLOWED".to_owned()));
    world.with(&token).on_page("https://www.shop.example").get(&path).await.ok(200);
}

#[tokio::test]
async fn a_session_with_an_unseen_bot_is_404() {
    let world = World::new().await;
    let bot = world.make_bot().await;
    let (_, test) = world.make_key(json!({"name": "t", "environment": "test"})).await;
    let unseen = world.with(&test).post("/v1/chat/sessions", json!({"agent_id": bot})).await;
    let malformed = world.owner().post("/v1/chat/sessions", json!({"agent_id": "nobody"})).await;
    assert_eq!((unseen.code(), malformed.code()), ((404, "NOT_FOUND".to_owned()), (404, "NOT_FOUND".to_owned())));
    assert_eq!(world.owner().post("/v1/chat/sessions", json!({})).await.status, 422);
}

#[tokio::test]
async fn a_conversation_is_read_and_deleted_with_its_session() {
    let world = World::new().await;
    let opened = open(&world).await;
    let (id, token) = (opened.text_at("/conversation_id"), opened.text_at("/session_token"));
    let send = format!("/v1/chat/sessions/{id}/messages");
    world.with(&token).post(&send, json!({"message": "hi"})).await.ok(200);
    let listed = world.owner().get("/v1/conversations").await.ok(200);
    assert_eq!((listed.text_at("/data/0/id"), listed.at("/data/0/message_count")), (id.clone(), json!(3)));
    assert_eq!(
        (listed.text_at("/data/0/status"), listed.text_at("/data/0/user_identifier")),
        ("open".to_owned(), "u1".to_owned())
    );
    let bot = listed.text_at("/data/0/bot_id");
    assert_eq!(world.owner().get(&format!("/v1/bots/{bot}/conversations")).await.ok(200).at("/meta/total"), 1);
    let other = world.make_bot().await;
    assert_eq!(world.owner().get(&format!("/v1/conversations?bot_id={other}")).await.ok(200).at("/meta/total"), 0);
    let messages = world.owner().get(&format!("/v1/conversations/{id}/messages")).await.ok(200);
    let roles: Vec<_> =
        messages.at("/data").as_array().unwrap().iter().map(|message| message["role"].clone()).collect();
    assert_eq!(roles, ["assistant", "user", "assistant"]);
    let after = messages.text_at("/data/0/id");
    let rest = world.owner().get(&format!("/v1/conversations/{id}/messages?after={after}")).await.ok(200);
    assert_eq!((rest.at("/data/0/position"), rest.at("/meta/total")), (json!(2), json!(3)));
    world.owner().delete(&format!("/v1/conversations/{id}")).await.ok(204);
    assert_eq!(world.owner().get(&format!("/v1/conversations/{id}")).await.status, 404);
    assert_eq!(world.with(&token).get(&send).await.status, 401, "its token is dead");
}
