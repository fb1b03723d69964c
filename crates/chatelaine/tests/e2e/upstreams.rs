//! Replies from an OpenAI-compatible upstream: token by token, and what happens when it fails.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Backend, Upstream, World, id_of, text_of};

async fn upstream_with_delay(millis: u64) -> Upstream {
    let options = testkit::upstream::Options { delay: Duration::from_millis(millis), ..Default::default() };
    Upstream::start_with(options).await.unwrap()
}

on_both! {
    a_reply_streams_token_by_token;
    the_model_sees_the_instructions_and_the_last_messages;
    a_failing_upstream_is_replaced_before_the_first_word;
    without_a_replacement_the_last_event_names_the_failure;
    a_bot_with_nothing_switched_on_says_so;
    an_answer_without_end_is_cut;
    headers_are_sent_and_masked_and_sealed;
    a_new_address_does_not_get_the_old_headers;
    addresses_inside_are_refused_when_saved;
}

async fn a_reply_streams_token_by_token(world: &World) {
    let upstream = upstream_with_delay(40).await;
    let bot = world.bot_on(&upstream, "echo-words").await;
    assert_eq!(world.secret().get(&format!("/v1/bots/{bot}")).await.data()["model"], "echo-words");
    let session = world.open_session("session", &world.secret(), &bot).await;
    let events = session.say("one two three four five").await.rest().await;
    let chunks: Vec<_> = events.iter().filter(|event| event.kind() == "chunk").collect();
    assert_eq!(
        chunks.iter().map(|event| event.delta()).collect::<Vec<_>>(),
        ["one ", "two ", "three ", "four ", "five"]
    );
    for pair in chunks.windows(2) {
        assert!(pair[1].at.duration_since(pair[0].at) > Duration::from_millis(10), "they came together");
    }
    let late = chunks[0].at.duration_since(upstream.first_token_sent_at()[0]);
    assert!(late < Duration::from_millis(250), "the first token was {late:?} late");
    let usage = &events.last().unwrap().data["usage"];
    assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(5), &json!(5)));
    let request = &upstream.requests()[0];
    assert_eq!((&request.body["model"], &request.body["stream"]), (&json!("echo-words"), &json!(true)));
    assert_eq!(session.history().await[1]["content"], "one two three four five");
}

async fn the_model_sees_the_instructions_and_the_last_messages(world: &World) {
    let upstream = Upstream::start().await;
    let body = json!({"name": "Bot", "instructions": "You are terse.", "context_messages": 3});
    let bot = id_of(&world.secret().post("/v1/bots", &body).await.expect(201));
    world.switch_off(&bot).await;
    world.add_integration(&bot, &upstream, "echo-words", json!({})).await;
    let session = world.open_session("session", &world.secret(), &bot).await;
    for word in ["alpha", "beta", "gamma"] {
        let _ = session.say(word).await.rest().await;
    }
    let messages = upstream.requests()[2].body["messages"].clone();
    let shown: Vec<_> = messages
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["role"].as_str().unwrap(), m["content"].as_str().unwrap()))
        .collect();
    assert_eq!(shown, [("system", "You are terse."), ("user", "beta"), ("assistant", "beta"), ("user", "gamma")]);
}

async fn a_failing_upstream_is_replaced_before_the_first_word(world: &World) {
    let upstream = Upstream::start().await;
    for model in ["status-500", "status-429", "status-401", "hang", "garbage"] {
        let bot = world.bot().await;
        world.switch_off(&bot).await;
        world.add_integration(&bot, &upstream, model, json!({"timeout_seconds": 1})).await;
        world.add_integration(&bot, &upstream, "echo-words", json!({"weight": 0, "fallback": true})).await;
        let session = world.open_session("session", &world.secret(), &bot).await;
        let events = session.say("still here").await.rest().await;
        assert_eq!((text_of(&events).as_str(), events.last().unwrap().kind()), ("still here", "stream_end"), "{model}");
    }
}

async fn without_a_replacement_the_last_event_names_the_failure(world: &World) {
    let upstream = Upstream::start().await;
    for (model, word, text) in [
        ("status-500", "upstream_refused", ""),
        ("hang", "upstream_timeout", ""),
        ("midway-error", "upstream_", "word0 word1 word2 "),
        ("cut", "upstream_unavailable", "word0 word1 word2 "),
    ] {
        let bot = world.bot().await;
        world.switch_off(&bot).await;
        world.add_integration(&bot, &upstream, model, json!({"timeout_seconds": 1})).await;
        let session = world.open_session("session", &world.secret(), &bot).await;
        let events = session.say("hello").await.rest().await;
        let last = events.last().unwrap();
        assert_eq!(last.kind(), "error", "{model}");
        assert!(last.data["error"].as_str().unwrap().starts_with(word), "{model}: {}", last.data);
        assert_eq!(text_of(&events), text, "{model}");
        let shown = last.data.to_string();
        assert!(
            !shown.contains("127.0.0.1") && !shown.contains("failed midway") && !shown.contains("asked to fail"),
            "{shown}"
        );
        assert_eq!(session.history().await[0]["content"], "hello", "what was said is kept");
    }
}

async fn a_bot_with_nothing_switched_on_says_so(world: &World) {
    let bot = world.bot().await;
    world.switch_off(&bot).await;
    let session = world.open_session("session", &world.secret(), &bot).await;
    let events = session.say("hello").await.rest().await;
    assert_eq!(events.last().unwrap().data["error"], "not_configured");
}

async fn an_answer_without_end_is_cut(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "huge").await;
    let session = world.open_session("session", &world.secret(), &bot).await;
    let events = session.say("hello").await.rest().await;
    assert!(text_of(&events).len() <= 2 << 20, "{}", text_of(&events).len());
    assert_eq!(events.last().unwrap().kind(), "error");
}

async fn headers_are_sent_and_masked_and_sealed(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot().await;
    world.switch_off(&bot).await;
    let secret = "up-5ecret-token-0123456789";
    let extra = json!({"headers": {"Authorization": format!("Bearer {secret}"), "X-Team": "core-team-name"}});
    let id = world.add_integration(&bot, &upstream, "echo-words", extra).await;
    let session = world.open_session("session", &world.secret(), &bot).await;
    let _ = session.say("hello").await.rest().await;
    let request = &upstream.requests()[0];
    assert_eq!(
        (request.header("authorization"), request.header("x-team")),
        (format!("Bearer {secret}").as_str(), "core-team-name")
    );
    let shown = [
        world.secret().get(&format!("/v1/integrations/{id}")).await.expect(200).text(),
        world.secret().get(&format!("/v1/bots/{bot}/integrations")).await.expect(200).text(),
        world.secret().patch(&format!("/v1/integrations/{id}"), &json!({"name": "Renamed"})).await.expect(200).text(),
        world.secret().get("/v1/audit-log").await.expect(200).text(),
    ];
    assert!(shown.iter().all(|text| !text.contains(secret) && !text.contains("core-team-name")), "{shown:?}");
    assert!(shown[0].contains("••••"), "{}", shown[0]);
    let stored = world.server().database().bytes().await;
    let holds = |needle: &str| stored.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(holds(&id) && !holds(secret) && !holds("core-team-name"), "sealed at rest");
    let _ = session.say("again").await.rest().await;
    assert_eq!(upstream.requests()[1].header("authorization"), format!("Bearer {secret}"), "a change keeps them");
}

async fn a_new_address_does_not_get_the_old_headers(world: &World) {
    let (upstream, other) = (Upstream::start().await, Upstream::start().await);
    let bot = world.bot().await;
    world.switch_off(&bot).await;
    let extra = json!({"headers": {"authorization": "Bearer up-5ecret-token"}});
    let id = world.add_integration(&bot, &upstream, "echo-words", extra).await;
    let _ = world.secret().patch(&format!("/v1/integrations/{id}"), &json!({"url": other.url()})).await;
    let session = world.open_session("session", &world.secret(), &bot).await;
    let _ = session.say("hello").await.rest().await;
    assert!(
        other.requests().iter().all(|request| request.header("authorization").is_empty()),
        "the secret went elsewhere"
    );
}

async fn addresses_inside_are_refused_when_saved(world: &World) {
    let bot = world.bot().await;
    for url in [
        "http://10.0.0.5/v1",
        "https://10.0.0.5/v1",
        "http://169.254.169.254/latest",
        "https://192.168.1.1/v1",
        "http://[fd00::1]/v1",
        "https://[::ffff:10.0.0.1]/v1",
        "https://0x0a000001/v1",
        "https://167772161/v1",
        "ftp://example.com/v1",
        "file:///etc/passwd",
        "https://user:pw@example.com/v1",
        "https://example.com/v1#x",
        "nonsense",
        "",
        "https://0.0.0.0/v1",
    ] {
        let body = json!({"name": "Inside", "kind": "openai", "url": url, "model": "m"});
        let answer =
            world.secret().post(&format!("/v1/bots/{bot}/integrations"), &body).await.refused(422, "VALIDATION_FAILED");
        assert_eq!(answer.json()["error"]["errors"][0]["field"], "url", "{url}: {}", answer.text());
    }
    let list: Value = world.secret().get(&format!("/v1/bots/{bot}/integrations")).await.data();
    assert_eq!(list.as_array().unwrap().len(), 1, "the echo that every bot begins with");
}

on_each! {
    without_the_operators_word_this_machine_is_out_of_reach;
}

async fn without_the_operators_word_this_machine_is_out_of_reach(backend: Backend) {
    let options = testkit::Options { allow_loopback: false, ..Default::default() };
    let world = World::with(backend, options).await;
    let (upstream, bot) = (Upstream::start().await, world.bot().await);
    for url in [
        upstream.url(),
        upstream.url().replace("127.0.0.1", "localhost"),
        format!("{}/v1", world.server().url()),
        "https://metadata.internal/v1".to_owned(),
        "https://intranet/v1".to_owned(),
    ] {
        let body = json!({"name": "Here", "kind": "openai", "url": url, "model": "m"});
        let answer = world.secret().post(&format!("/v1/bots/{bot}/integrations"), &body).await;
        let _ = answer.refused(422, "VALIDATION_FAILED");
    }
    assert!(upstream.requests().is_empty());
    world.end().await;
}
