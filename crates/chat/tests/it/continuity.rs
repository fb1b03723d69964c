//! A connection breaks and comes back: nothing is lost, nothing is doubled, nothing is asked twice.

use std::time::Duration;

use access::SessionCaller;
use chat::{ChatError, EventId, Numbered, Reply, ReplyErrorCode, ReplyEvent, SayTo, SendOptions, Usage};
use tokio::time::timeout;

use crate::world::{World, audit, next, next_numbered, read, read_numbered, text_of};

fn keyed(after: Option<EventId>) -> SendOptions {
    SendOptions { client_key: Some("k-1".to_owned()), after }
}

async fn send(world: &World, session: &SessionCaller, options: SendOptions) -> Reply {
    world.chat.send(session, "hi".to_owned(), options).await.unwrap()
}

fn events(numbered: &[Numbered]) -> Vec<ReplyEvent> {
    numbered.iter().map(|numbered| numbered.event.clone()).collect()
}

fn text(numbered: &[Numbered]) -> String {
    text_of(&events(numbered))
}

fn code(events: &[ReplyEvent]) -> Option<ReplyErrorCode> {
    match events.last() {
        Some(ReplyEvent::Error { code, .. }) => Some(*code),
        _ => None,
    }
}

#[tokio::test]
async fn a_reply_that_is_resumed_loses_nothing_and_doubles_nothing() {
    let world = World::with_model("gated").await;
    let session = world.session().await;
    let mut reply = send(&world, &session, keyed(None)).await;
    let mut seen = vec![next_numbered(&mut reply).await, next_numbered(&mut reply).await];
    drop(reply);
    let resumed = send(&world, &session, keyed(Some(seen[1].id))).await;
    world.upstream.open_gate();
    seen.extend(read_numbered(resumed).await);
    assert_eq!(text(&seen), "one two three ");
    let ids: Vec<_> = seen.iter().map(|numbered| numbered.id.to_string()).collect();
    assert_eq!(ids, ["1-1", "1-2", "1-3", "1-4", "1-5"]);
    assert!(matches!(seen[4].event, ReplyEvent::End { .. }));
    assert_eq!((world.upstream.take_requests().len(), world.history(&session).await.len()), (1, 2));
    // And after its end, from any place, and from before its beginning.
    for seen_before in 0..5 {
        let after = EventId { position: 1, number: seen_before };
        let rest = read_numbered(send(&world, &session, keyed(Some(after))).await).await;
        assert_eq!(rest, seen[usize::try_from(seen_before).unwrap()..]);
    }
    assert_eq!(read_numbered(send(&world, &session, keyed(None)).await).await, seen);
    assert!(world.upstream.take_requests().is_empty() && world.history(&session).await.len() == 2);
}

#[tokio::test]
async fn two_sends_at_once_are_one_message_and_one_question() {
    let world = World::with_model("words").await;
    let session = world.session().await;
    let eight = (0..8).map(|_| async { read_numbered(send(&world, &session, keyed(None)).await).await });
    let replies = futures_util::future::join_all(eight).await;
    for reply in &replies {
        assert_eq!((text(reply).as_str(), reply[0].id.to_string().as_str()), ("Hello from the model", "1-1"));
    }
    assert_eq!((world.upstream.take_requests().len(), world.history(&session).await.len()), (1, 2));
}

#[tokio::test]
async fn a_key_belongs_to_its_text_for_ever() {
    let mut world = World::with_model("words").await;
    let session = world.session().await;
    read(send(&world, &session, keyed(None)).await).await;
    for _ in 0..2 {
        let refused = world.chat.send(&session, "other".to_owned(), keyed(None)).await;
        assert!(matches!(refused, Err(ChatError::Reused)), "{refused:?}");
        world.forget();
    }
    let other = SendOptions { client_key: Some("k-2".to_owned()), after: None };
    read(world.chat.send(&session, "other".to_owned(), other).await.unwrap()).await;
    assert_eq!(world.history(&session).await.len(), 4);
    for wrong in [String::new(), "k".repeat(256), "a\0".to_owned()] {
        let refused = send_with(&world, &session, &wrong).await;
        assert!(matches!(refused, Err(ChatError::Invalid { field: "Idempotency-Key", .. })), "{refused:?}");
    }
}

async fn send_with(world: &World, session: &SessionCaller, key: &str) -> Result<Reply, ChatError> {
    let options = SendOptions { client_key: Some(key.to_owned()), after: None };
    world.chat.send(session, "hi".to_owned(), options).await
}

#[tokio::test]
async fn after_a_restart_the_answer_comes_from_the_history() {
    let mut world = World::with_model("words").await;
    let session = world.session().await;
    let first = read_numbered(send(&world, &session, keyed(None)).await).await;
    world.forget();
    let again = read_numbered(send(&world, &session, keyed(None)).await).await;
    let end = ReplyEvent::End { usage: Usage { input_tokens: 1, output_tokens: 4 }, end_session: false };
    let start = ReplyEvent::Start { agent_name: "Ada".to_owned() };
    assert_eq!(events(&again), [start, ReplyEvent::Delta("Hello from the model".to_owned()), end]);
    // What was seen of the first cannot be matched with it: it begins anew, and says so.
    world.forget();
    let resumed = read_numbered(send(&world, &session, keyed(Some(first[2].id))).await).await;
    assert_eq!((&resumed[0].event, &resumed[1..]), (&ReplyEvent::Gap, &again[..]));
    assert_eq!((world.upstream.take_requests().len(), world.history(&session).await.len()), (1, 2));
}

#[tokio::test]
async fn a_message_whose_answer_never_came_is_answered_anew_and_not_stored_twice() {
    let mut world = World::new().await;
    let cut = world.add_model("cut", 1, false, 5).await;
    let session = world.session().await;
    let first = read_numbered(send(&world, &session, keyed(None)).await).await;
    assert_eq!(code(&events(&first)), Some(ReplyErrorCode::UpstreamUnavailable));
    // Who has not seen the failure hears of it; who has, or has seen nothing, asks anew.
    let rest = read_numbered(send(&world, &session, keyed(Some(first[1].id))).await).await;
    assert_eq!(rest, first[2..]);
    let data = world.store.workspace(world.tenant);
    data.delete_integration(cut, audit()).await.unwrap();
    world.add_model("words", 1, false, 5).await;
    let last = first.last().unwrap().id;
    let anew = read_numbered(send(&world, &session, keyed(Some(last))).await).await;
    assert_eq!((&anew[0].event, text(&anew).as_str()), (&ReplyEvent::Gap, "Hello from the model"));
    assert!(anew[1..].iter().all(|event| event.id.number > 1000), "numbers of its own: {anew:?}");
    let said: Vec<_> = world.history(&session).await.into_iter().map(|m| (m.role, m.status)).collect();
    let said: Vec<_> = said.iter().map(|(role, status)| (&**role, &**status)).collect();
    assert_eq!(said, [("user", "complete"), ("assistant", "partial"), ("assistant", "complete")]);
    let asked = world.upstream.take_requests().pop().unwrap();
    assert_eq!(asked.body["messages"].as_array().unwrap().len(), 1, "the part of an answer is not in the prompt");
    world.forget();
    assert_eq!(text(&read_numbered(send(&world, &session, keyed(None)).await).await), "Hello from the model");
    assert!(world.upstream.take_requests().is_empty());
}

#[tokio::test]
async fn once_the_conversation_has_gone_on_an_unanswered_message_stays_so() {
    let mut world = World::with_model("cut").await;
    let session = world.session().await;
    read(send(&world, &session, keyed(None)).await).await;
    world.ask(&session, "another").await;
    world.forget();
    world.upstream.take_requests();
    let told = read(send(&world, &session, keyed(None)).await).await;
    assert_eq!((code(&told), text_of(&told).as_str()), (Some(ReplyErrorCode::Superseded), "one two three "));
    assert!(world.upstream.take_requests().is_empty());
}

#[tokio::test]
async fn a_reply_that_can_be_resumed_goes_on_for_its_grace_and_no_longer() {
    let mut world = World::with_model("slow").await;
    world.chat = world.chat.clone().with_resume_grace(Duration::from_millis(300));
    let session = world.session().await;
    let mut reply = send(&world, &session, keyed(None)).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(next_numbered(&mut reply).await);
    }
    drop(reply);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.upstream.cancelled(), 0);
    let mut back = send(&world, &session, keyed(Some(seen[2].id))).await;
    seen.push(next_numbered(&mut back).await);
    assert_eq!(seen[3].id.number, 4);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(world.upstream.cancelled(), 0, "it is read");
    drop(back);
    timeout(Duration::from_secs(2), world.upstream.wait_for_cancelled(1)).await.unwrap();
    let history = world.wait_for_messages(&session, 2).await;
    assert_eq!(history[1].status, "partial");
    let mut anew = send(&world, &session, keyed(Some(seen[3].id))).await;
    assert_eq!(next(&mut anew).await, ReplyEvent::Gap, "it is another answer");
    assert!(matches!(next(&mut anew).await, ReplyEvent::Start { .. }));
}

#[tokio::test]
async fn without_a_key_the_last_event_of_a_client_says_nothing_about_its_new_message() {
    let world = World::with_model("words").await;
    let session = world.session().await;
    let options = SendOptions { client_key: None, after: Some(EventId::UNKNOWN) };
    let reply = read(world.chat.send(&session, "hi".to_owned(), options).await.unwrap()).await;
    assert!(matches!(reply[0], ReplyEvent::Start { .. }) && reply.len() == 6, "{reply:?}");
}

#[tokio::test]
async fn a_revocation_also_cuts_those_who_came_back() {
    let world = World::with_model("slow").await;
    let session = world.session().await;
    let first = send(&world, &session, keyed(None)).await;
    let mut second = send(&world, &session, keyed(None)).await;
    while text_of(&[next(&mut second).await]).is_empty() {}
    world.cluster.revoke_key(world.tenant, world.key, audit()).await.unwrap();
    for reply in [first, second] {
        let events = timeout(Duration::from_secs(1), read(reply)).await.expect("within a second");
        assert_eq!((events.len(), code(&events)), (1, Some(ReplyErrorCode::Revoked)), "not one more word: {events:?}");
    }
}

#[tokio::test]
async fn a_revocation_cuts_who_has_not_read_a_finished_reply() {
    let world = World::with_model("words").await;
    let session = world.session().await;
    let reply = send(&world, &session, keyed(None)).await;
    world.wait_for_messages(&session, 2).await;
    let replayed = send(&world, &session, keyed(None)).await;
    world.cluster.revoke_key(world.tenant, world.key, audit()).await.unwrap();
    for reply in [reply, replayed] {
        let events = read(reply).await;
        assert_eq!((events.len(), code(&events)), (1, Some(ReplyErrorCode::Revoked)), "{events:?}");
    }
}

#[tokio::test]
async fn a_conversation_without_a_session_is_answered_for_as_long_as_its_key_lives() {
    let world = World::with_model("slow").await;
    let conversation = world.session().await.conversation;
    let to = |opener| SayTo { tenant: world.tenant, conversation, opener, context_messages: Some(1) };
    let say = |opener| world.chat.say(to(opener), "hi".to_owned(), SendOptions::default());
    let mut reply = say(Some(world.opener(world.key))).await.unwrap();
    next(&mut reply).await;
    world.cluster.revoke_key(world.tenant, world.key, audit()).await.unwrap();
    assert_eq!(code(&read(reply).await), Some(ReplyErrorCode::Revoked));
    assert!(matches!(say(Some(world.opener(world.key))).await, Err(ChatError::Revoked)));
    let mut reply = say(None).await.unwrap();
    next(&mut reply).await;
    world.chat.delete_conversation(world.tenant, conversation, audit()).await.unwrap();
    assert_eq!(code(&read(reply).await), Some(ReplyErrorCode::Ended));
}

#[tokio::test]
async fn the_caller_says_how_much_the_model_reads() {
    let world = World::with_model("words").await;
    let session = world.session().await;
    world.ask(&session, "first").await;
    let to = SayTo {
        tenant: world.tenant,
        conversation: session.conversation,
        opener: Some(world.opener(world.key)),
        context_messages: Some(1),
    };
    read(world.chat.say(to, "second".to_owned(), SendOptions::default()).await.unwrap()).await;
    let asked = world.upstream.take_requests().pop().unwrap();
    assert_eq!(asked.body["messages"].as_array().unwrap().len(), 1);
}
