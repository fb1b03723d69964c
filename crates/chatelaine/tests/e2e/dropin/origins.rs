use std::time::Duration;

use serde_json::json;
use testkit::{Backend, ORIGIN, Persona, Upstream, WIDGET_API_KEY, World, now};

use chatelaine::config::CorsOrigin;

use super::{CHAT, LIST, STREAM, message, read, refused, send, total, world};

on_each! {
    a_page_that_is_not_listed_is_refused_before_anything_happens;
    every_page_reads_its_answer_where_no_origin_is_listed;
    a_preflight_is_answered_without_a_key;
    a_widget_key_works_here_on_its_own_pages_alone;
    visitors_of_two_keys_never_share_a_conversation;
    a_keys_ceiling_of_sessions_holds_here_too;
    a_widget_key_names_who_answers;
    a_key_that_is_revoked_ends_its_streams;
    a_domain_that_is_removed_ends_the_streams_of_its_pages;
}

const EVIL: &str = "https://evil-example.com";

async fn a_page_that_is_not_listed_is_refused_before_anything_happens(backend: Backend) {
    let listed = CorsOrigin::Listed(vec![ORIGIN.to_owned()]);
    let world = world(backend, |settings| settings.cors_origin = listed).await;
    let client = world.client();
    for origin in [EVIL, "https://sub.example.com", "http://example.com", "null", "https://example.com.evil.com"] {
        let answer = send(&client, CHAT, "s", "hi").origin(origin).send().await;
        refused(&answer, 403, "Origin not allowed");
        let reads = answer.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(reads, Some(origin).filter(|origin| *origin != "null"), "it is told why, and nothing else");
        refused(&read(&client, LIST).origin(origin).send().await, 403, "Origin not allowed");
    }
    assert_eq!(total(&client).await, 0, "nothing was made");
    let answer = send(&client, CHAT, "s", "hi").origin(ORIGIN).send().await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
    assert!(answer.header("vary").to_ascii_lowercase().contains("origin"));
    let answer = client.post(CHAT, &message("s", "hi")).origin(ORIGIN).send().await;
    refused(&answer, 401, "Unauthorized");
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN, "a page reads why it was refused");
    let _ = send(&client, CHAT, "s", "hi").send().await.expect(200);
    world.end().await;
}

async fn every_page_reads_its_answer_where_no_origin_is_listed(backend: Backend) {
    let world = world(backend, |_| {}).await;
    let client = world.client();
    let wrong = client.post(CHAT, &message("s", "hi")).header("x-api-key", "wrong");
    for (request, status) in [(send(&client, CHAT, "s", "hi"), 200), (wrong, 401), (read(&client, LIST), 200)] {
        let answer = request.origin(EVIL).send().await.expect(status);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    }
    world.end().await;
}

async fn a_preflight_is_answered_without_a_key(backend: Backend) {
    let world = world(backend, |_| {}).await;
    for (path, method, header) in [
        (CHAT, "POST", "x-api-key"),
        (STREAM, "POST", "x-widget-api-key"),
        ("/chat", "POST", "content-type"),
        (LIST, "GET", "x-admin-api-key"),
    ] {
        let request = world.client().request("OPTIONS", path).origin(ORIGIN);
        let request = request.header("access-control-request-method", method);
        let answer = request.header("access-control-request-headers", header).send().await.expect(204);
        assert!(answer.header("access-control-allow-headers").contains(header), "{path} {:?}", answer.headers);
        assert!(answer.header("access-control-allow-methods").contains(method), "{path}");
    }
    world.end().await;
}

fn say(widget: &Persona, world: &World, path: &str, body: &serde_json::Value) -> testkit::Request {
    world.client().post(path, body).header("x-widget-api-key", widget.credential())
}

async fn a_widget_key_works_here_on_its_own_pages_alone(backend: Backend) {
    // CORS_ORIGIN has no say over it, nor is there need of a static key.
    let listed = CorsOrigin::Listed(vec!["https://elsewhere.example".to_owned()]);
    for world in [world(backend, |settings| settings.cors_origin = listed).await, World::new(backend).await] {
        let widget = world.widget().await;
        let say = || say(&widget, &world, CHAT, &message("s", "hi"));
        let conversations = async || world.secret().get("/v1/conversations").await.json()["meta"]["total"].clone();
        refused(&say().origin(ORIGIN).send().await, 503, "No bot is configured");
        let _ = world.bot().await;
        for request in [say().origin(EVIL), say().origin("null"), say()] {
            refused(&request.send().await, 403, "Origin not allowed");
        }
        assert_eq!(conversations().await, 0, "nothing was made");
        let answer = say().origin(ORIGIN).send().await.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
        assert_eq!(answer.json()["message"], "You said: hi");
        assert_eq!(conversations().await, 1);
        let _ = world.secret().delete(&format!("/v1/api-keys/{}", widget.id())).await;
        refused(&say().origin(ORIGIN).send().await, 401, "Unauthorized");
        world.end().await;
    }
}

async fn a_keys_ceiling_of_sessions_holds_here_too(backend: Backend) {
    let world = World::new(backend).await;
    let bot = world.bot().await;
    let body = json!({"name": "Few", "kind": "widget", "allowed_domains": ["example.com"], "daily_sessions": 2});
    let widget = world.key("few", body).await;
    let open = || widget.at(Some(ORIGIN)).request("POST", "/v1/chat/sessions").json(&json!({"agent_id": bot})).send();
    let ask = async |visitor: &str| say(&widget, &world, CHAT, &message(visitor, "hi")).origin(ORIGIN).send().await;
    let conversations = async || world.secret().get("/v1/conversations").await.json()["meta"]["total"].clone();
    let _ = open().await.expect(201);
    for _ in 0..3 {
        let _ = ask("first").await.expect(200);
    }
    let answer = ask("second").await;
    refused(&answer, 429, "Too many requests");
    assert_eq!(answer.header("ratelimit-policy"), "\"daily-sessions\";q=2;w=86400");
    assert_eq!(conversations().await, 2, "what was refused was not made");
    let _ = open().await.refused(429, "RATE_LIMITED");
    let _ = ask("first").await.expect(200);
    world.end().await;
}

async fn visitors_of_two_keys_never_share_a_conversation(backend: Backend) {
    let world = world(backend, |_| {}).await;
    let _ = world.bot().await;
    let (one, two) = (world.widget().await, world.widget().await);
    let mut ids = Vec::new();
    for widget in [&one, &two] {
        for text in ["mine", "mine again"] {
            let answer = say(widget, &world, CHAT, &message("s", text)).origin(ORIGIN).send().await.expect(200);
            ids.push(answer.json()["conversationId"].clone());
        }
    }
    ids.push(send(&world.client(), CHAT, "s", "mine").send().await.json()["conversationId"].clone());
    assert!(ids[0] == ids[1] && ids[2] == ids[3] && ids[0] != ids[2] && ids[4] != ids[0] && ids[4] != ids[2]);
    let seen = read(&world.client(), LIST).send().await.expect(200).json();
    assert_eq!((&seen["total"], &seen["conversations"][0]["_id"]), (&json!(1), &ids[4]), "only the static key's");
    let thread = read(&world.client(), &format!("{LIST}/{}", ids[0].as_str().unwrap())).send().await;
    refused(&thread, 404, "Conversation not found");
    world.end().await;
}

async fn a_widget_key_names_who_answers(backend: Backend) {
    let world = World::new(backend).await;
    let upstream = Upstream::start().await;
    let (first, second) = (world.bot().await, world.bot_on(&upstream, "echo-words").await);
    let widget = world.widget().await;
    let foreign = world.bot_of(&world.other_workspace_secret()).await;
    let with = |bot: &str| json!({"sessionId": "s", "message": "hi there", "agentId": bot});
    let ask = async |body: serde_json::Value| say(&widget, &world, CHAT, &body).origin(ORIGIN).send().await;
    let answer = ask(message("s", "hi there")).await.expect(200);
    assert_eq!(upstream.requests().len(), 0, "the oldest bot answers");
    let other = ask(with(&second)).await.expect(200);
    assert_eq!(answer.json()["conversationId"], other.json()["conversationId"]);
    assert_eq!(upstream.requests().len(), 1, "and then the one that is named");
    for bot in [foreign.as_str(), "bot_00000000000000000000000000", "x", ""] {
        refused(&ask(with(bot)).await, 400, "Invalid request payload");
    }
    let _ = world.secret().delete(&format!("/v1/bots/{second}")).await;
    let _ = ask(with(&first)).await.expect(200);
    world.end().await;
}

async fn a_key_that_is_revoked_ends_its_streams(backend: Backend) {
    let world = World::new(backend).await;
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "slow").await;
    let widget = world.widget().await;
    let body = json!({"sessionId": "s", "message": "hi", "agentId": bot});
    let mut lines = say(&widget, &world, STREAM, &body).origin(ORIGIN).lines().await;
    let _ = lines.until("token").await;
    let revoked = now();
    let _ = world.secret().delete(&format!("/v1/api-keys/{}", widget.id())).await;
    let mut last = String::new();
    while let Some(line) = lines.next().await {
        last = line;
    }
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    assert_eq!(last, r#"{"type":"error","error":"Unauthorized"}"#);
    // The static key has no such end.
    let request = world.client().post(CHAT, &message("s", "x")).header("x-api-key", WIDGET_API_KEY);
    refused(&request.send().await, 401, "Unauthorized");
    world.end().await;
}

async fn a_domain_that_is_removed_ends_the_streams_of_its_pages(backend: Backend) {
    let world = World::new(backend).await;
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "slow").await;
    let widget = world.widget().await;
    let change = async |domains: &[&str]| {
        let change = json!({"allowed_domains": domains});
        let _ = world.secret().patch(&format!("/v1/api-keys/{}", widget.id()), &change).await.expect(200);
    };
    change(&["example.com", "other.example.net"]).await;
    let mut streams = Vec::new();
    for (session, origin) in [("one", ORIGIN), ("two", "https://other.example.net")] {
        let body = json!({"sessionId": session, "message": "hi", "agentId": bot});
        let mut lines = say(&widget, &world, STREAM, &body).origin(origin).lines().await;
        let _ = lines.until("token").await;
        streams.push(lines);
    }
    let removed = now();
    change(&["other.example.net"]).await;
    let mut last = String::new();
    while let Some(line) = streams[0].next().await {
        last = line;
        assert!(removed.elapsed() < Duration::from_secs(1), "{:?}", removed.elapsed());
    }
    assert_eq!(last, r#"{"type":"error","error":"Unauthorized"}"#);
    let _ = streams[1].until("token").await;
    world.end().await;
}
