use std::time::Duration;

use chat::{ChatError, ReplyErrorCode, ReplyEvent, SendOptions, Usage};
use store::BotChange;
use tokio::time::timeout;

use crate::world::{World, next, read, text_of};

fn end(input_tokens: u64, output_tokens: u64) -> ReplyEvent {
    ReplyEvent::End { usage: Usage { input_tokens, output_tokens }, end_session: false }
}

fn code(events: &[ReplyEvent]) -> Option<ReplyErrorCode> {
    match events.last() {
        Some(ReplyEvent::Error { code, .. }) => Some(*code),
        _ => None,
    }
}

#[tokio::test]
async fn a_new_bot_echoes_word_by_word() {
    let world = World::new().await;
    let session = world.session().await;
    let events = world.ask(&session, "hello there").await;
    assert_eq!(events[0], ReplyEvent::Start { agent_name: "Ada".to_owned() });
    assert_eq!(
        events[1..5].iter().map(|e| text_of(std::slice::from_ref(e))).collect::<Vec<_>>(),
        ["You ", "said: ", "hello ", "there"]
    );
    assert_eq!(events[5..], [end(2, 4)]);
}

#[tokio::test]
async fn a_model_streams_and_its_usage_is_kept() {
    let world = World::with_model("words").await;
    let session = world.session().await;
    let events = world.ask(&session, "hi").await;
    assert_eq!(text_of(&events), "Hello from the model");
    assert_eq!(events.len(), 6, "each token is an event of its own: {events:?}");
    assert_eq!(events[5], end(7, 4));
    let history = world.history(&session).await;
    let kept: Vec<_> = history.iter().map(|m| (&*m.role, &*m.content, &*m.status, m.token_count)).collect();
    assert_eq!(kept, [("user", "hi", "complete", Some(1)), ("assistant", "Hello from the model", "complete", Some(4))]);
}

#[tokio::test]
async fn the_answer_is_stored_before_its_end_is_told() {
    let world = World::with_model("words").await;
    let session = world.session().await;
    let mut reply = world.send(&session, "hi").await;
    while !matches!(next(&mut reply).await, ReplyEvent::End { .. }) {}
    assert_eq!(world.history(&session).await.len(), 2);
}

#[tokio::test]
async fn an_answer_that_cannot_be_stored_has_no_end() {
    let world = World::with_model("gated").await;
    let session = world.session().await;
    let mut reply = world.send(&session, "hi").await;
    next(&mut reply).await;
    let data = world.store.workspace(world.tenant);
    data.delete_conversation(session.conversation, crate::world::audit()).await.unwrap();
    world.upstream.open_gate();
    assert_eq!(code(&read(reply).await), Some(ReplyErrorCode::Ended));
}

#[tokio::test]
async fn a_token_goes_out_while_the_next_is_not_there_yet() {
    let world = World::with_model("gated").await;
    let session = world.session().await;
    let mut reply = world.send(&session, "hi").await;
    let mut text = String::new();
    while text != "one two three " {
        text += &text_of(&[next(&mut reply).await]);
    }
    assert!(timeout(Duration::from_millis(30), next(&mut reply)).await.is_err(), "the upstream has not gone on");
    world.upstream.open_gate();
    assert_eq!(read(reply).await, [end(1, 3)], "without usage, words count");
}

#[tokio::test]
async fn words_are_counted_where_the_upstream_does_not() {
    let world = World::with_model("no-usage").await;
    world.change_bot(BotChange { instructions: Some(Some("Be brief.".to_owned())), ..BotChange::default() }).await;
    let session = world.session().await;
    assert_eq!(world.ask(&session, "one two three").await.last(), Some(&end(5, 4)));
}

#[tokio::test]
async fn the_model_sees_the_instructions_and_the_window() {
    let world = World::with_model("words").await;
    world
        .change_bot(BotChange {
            instructions: Some(Some("Be brief.".to_owned())),
            context_messages: Some(3),
            ..BotChange::default()
        })
        .await;
    let session = world.session().await;
    for text in ["first", "second", "third"] {
        world.ask(&session, text).await;
    }
    let requests = world.upstream.take_requests();
    let said: Vec<_> = requests[2].body["messages"].as_array().unwrap().iter().collect();
    let said: Vec<_> = said.iter().map(|m| (m["role"].as_str().unwrap(), m["content"].as_str().unwrap())).collect();
    let answer = ("assistant", "Hello from the model");
    assert_eq!(said, [("system", "Be brief."), ("user", "second"), answer, ("user", "third")]);
    assert_eq!(requests[2].path, "/v1/chat/completions");
    assert_eq!(requests[0].headers["authorization"], "Bearer sk-upstream-secret");
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    let world = World::with_model("json").await;
    let events = world.ask(&world.session().await, "hi").await;
    assert_eq!((text_of(&events).as_str(), events.last()), ("in one piece", Some(&end(1, 3))));
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let world = World::with_model("keep-alive").await;
    let session = world.session().await;
    for _ in 0..3 {
        assert_eq!(text_of(&world.ask(&session, "hi").await), "again");
        // Its end comes a little after the answer's.
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(world.upstream.connections(), 1);
}

#[tokio::test]
async fn each_way_to_fail_has_its_code_and_says_nothing_of_the_upstream() {
    for (model, want, kept) in [
        ("status-500", ReplyErrorCode::UpstreamRefused, None),
        ("status-429", ReplyErrorCode::UpstreamRefused, None),
        ("status-302", ReplyErrorCode::UpstreamRefused, None),
        ("hang", ReplyErrorCode::UpstreamTimeout, None),
        ("garbage", ReplyErrorCode::UpstreamUnavailable, None),
        ("midway-error", ReplyErrorCode::UpstreamRefused, Some("one two three ")),
        ("cut", ReplyErrorCode::UpstreamUnavailable, Some("one two three ")),
    ] {
        let world = World::new().await;
        world.add_model(model, 1, false, 1).await;
        let session = world.session().await;
        let events = world.ask(&session, "hi").await;
        assert_eq!(code(&events), Some(want), "{model}");
        let shown = format!("{events:?}");
        assert!(!shown.contains("127.0.0.1") && !shown.contains("sk-upstream"), "{model}: {shown}");
        let history = world.history(&session).await;
        let partial = history.get(1).map(|message| (&*message.content, &*message.status));
        assert_eq!(partial, kept.map(|text| (text, "partial")), "{model}");
    }
}

#[tokio::test]
async fn an_answer_has_a_limit() {
    let world = World::with_model("huge").await;
    let session = world.session().await;
    let events = world.ask(&session, "hi").await;
    assert_eq!(code(&events), Some(ReplyErrorCode::UpstreamUnavailable));
    let kept = &world.history(&session).await[1];
    assert!(kept.content.len() <= 1024 * 1024 && kept.content.len() > 900_000 && kept.status == "partial");
    world.upstream.wait_for_cancelled(1).await;
}

#[tokio::test]
async fn fallbacks_are_asked_in_order_until_one_answers() {
    let world = World::new().await;
    world.add_model("hang", 1, false, 1).await;
    world.add_model("status-500", 0, true, 5).await;
    world.add_model("words", 0, true, 5).await;
    let session = world.session().await;
    let events = world.ask(&session, "hi").await;
    assert_eq!(text_of(&events), "Hello from the model");
    assert_eq!(events.iter().filter(|event| matches!(event, ReplyEvent::Start { .. })).count(), 1);
    let asked: Vec<_> = world.upstream.take_requests().iter().map(|r| r.body["model"].clone()).collect();
    assert_eq!(asked, ["hang", "status-500", "words"]);
    world.upstream.wait_for_cancelled(1).await;
}

#[tokio::test]
async fn after_the_first_word_no_other_integration_is_asked() {
    let world = World::new().await;
    world.add_model("cut", 1, false, 5).await;
    world.add_model("words", 0, true, 5).await;
    let events = world.ask(&world.session().await, "hi").await;
    assert_eq!(code(&events), Some(ReplyErrorCode::UpstreamUnavailable));
    assert_eq!(text_of(&events), "one two three ");
}

#[tokio::test]
async fn a_bot_with_nothing_on_says_so() {
    let world = World::new().await;
    let data = world.store.workspace(world.tenant);
    for integration in data.integrations(world.bot).await.unwrap() {
        data.delete_integration(integration.id, crate::world::audit()).await.unwrap();
    }
    let events = world.ask(&world.session().await, "hi").await;
    assert_eq!(code(&events), Some(ReplyErrorCode::NotConfigured));
}

#[tokio::test]
async fn a_second_message_waits_for_its_turn_and_a_tenth_is_refused() {
    let world = World::with_model("gated").await;
    let session = world.session().await;
    let first = world.send(&session, "first").await;
    let waiting = tokio::spawn({
        let (chat, session) = (world.chat.clone(), session.clone());
        async move { chat.send(&session, "second".to_owned(), SendOptions::default()).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    assert_eq!(world.history(&session).await.len(), 1, "the second is not stored while it waits");
    let mut line: Vec<_> =
        (0..7).map(|_| Box::pin(world.chat.send(&session, "more".to_owned(), SendOptions::default()))).collect();
    for place in &mut line {
        assert!(timeout(Duration::from_millis(5), place).await.is_err());
    }
    assert!(matches!(
        world.chat.send(&session, "too many".to_owned(), SendOptions::default()).await,
        Err(ChatError::Busy)
    ));
    drop(line);
    world.upstream.open_gate();
    assert!(matches!(read(first).await.last(), Some(ReplyEvent::End { .. })));
    let second = waiting.await.unwrap();
    world.upstream.open_gate();
    assert!(matches!(read(second).await.last(), Some(ReplyEvent::End { .. })));
    let said: Vec<_> = world.history(&session).await.into_iter().map(|message| message.content).collect();
    assert_eq!(said, ["first", "one two three ", "second", "one two three "]);
}

#[tokio::test]
async fn a_reader_who_does_not_read_holds_nobody_up_and_gets_it_all_later() {
    let world = World::with_model("long").await;
    let session = world.session().await;
    let reply = world.send(&session, "hi").await;
    let history = world.wait_for_messages(&session, 2).await;
    assert_eq!((&*history[1].status, history[1].content.len()), ("complete", 40_000));
    let events = read(reply).await;
    assert_eq!(text_of(&events), history[1].content);
    assert!(events.len() < 100, "in larger pieces: {}", events.len());
}

#[tokio::test]
async fn messages_are_checked() {
    let world = World::new().await;
    let session = world.session().await;
    for text in [String::new(), " \n".to_owned(), "é".repeat(10_001)] {
        let error = world.chat.send(&session, text, SendOptions::default()).await.unwrap_err();
        assert!(matches!(error, ChatError::Invalid { field: "message", .. }), "{error:?}");
    }
    assert!(world.chat.send(&session, "é".repeat(10_000), SendOptions::default()).await.is_ok());
}
