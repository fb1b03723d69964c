use std::time::Duration;

use access::SessionCaller;
use chat::{ChatError, Reply, ReplyErrorCode, ReplyEvent, SendOptions};
use tokio::time::timeout;

use crate::world::{World, audit, next, read, text_of};

/// A reply that goes on for ever, with some of its words read.
async fn running(world: &World) -> (SessionCaller, Reply) {
    let session = world.session().await;
    let mut reply = world.send(&session, "hi").await;
    for _ in 0..4 {
        next(&mut reply).await;
    }
    (session, reply)
}

fn is_cut(events: &[ReplyEvent], want: ReplyErrorCode) -> bool {
    matches!(events.last(), Some(ReplyEvent::Error { code, .. }) if *code == want)
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_call_and_the_partial_answer_is_kept() {
    let world = World::with_model("slow").await;
    let (session, reply) = running(&world).await;
    drop(reply);
    world.upstream.wait_for_cancelled(1).await;
    let history = world.wait_for_messages(&session, 2).await;
    assert_eq!((&*history[1].role, &*history[1].status), ("assistant", "partial"));
    assert!(history[1].content.starts_with("tick tick "));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_first_word_cancels_the_call() {
    let world = World::with_model("hang").await;
    let session = world.session().await;
    let mut reply = world.send(&session, "hi").await;
    next(&mut reply).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(reply);
    world.upstream.wait_for_cancelled(1).await;
    assert_eq!(world.history(&session).await.len(), 1, "nothing was said");
}

#[tokio::test]
async fn revoking_the_key_cuts_the_reply() {
    let world = World::with_model("slow").await;
    let (session, reply) = running(&world).await;
    let receipt = world.cluster.revoke_key(world.tenant, world.key, audit()).await.unwrap();
    assert_eq!(receipt.streams_closed, 1);
    let events = timeout(Duration::from_secs(1), read(reply)).await.expect("within a second");
    assert!(is_cut(&events, ReplyErrorCode::Revoked), "{events:?}");
    world.upstream.wait_for_cancelled(1).await;
    assert_eq!(world.wait_for_messages(&session, 2).await[1].status, "partial");
    assert!(matches!(
        world.chat.send(&session, "more".to_owned(), SendOptions::default()).await,
        Err(ChatError::Revoked)
    ));
    assert_eq!(world.history(&session).await.len(), 2, "what was refused is not stored");
}

#[tokio::test]
async fn a_cut_reaches_a_reader_who_does_not_read() {
    let world = World::with_model("flood").await;
    let session = world.session().await;
    let reply = world.send(&session, "hi").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.cluster.revoke_key(world.tenant, world.key, audit()).await.unwrap();
    world.upstream.wait_for_cancelled(1).await;
    world.wait_for_messages(&session, 2).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let events = read(reply).await;
    assert_eq!(text_of(&events), "", "not one more word after a revocation");
    assert!(is_cut(&events, ReplyErrorCode::Revoked));
}

#[tokio::test]
async fn ending_the_session_cuts_the_reply_and_refuses_the_next() {
    let world = World::with_model("slow").await;
    let (session, reply) = running(&world).await;
    world.chat.end(&session, audit()).await.unwrap();
    assert!(is_cut(&read(reply).await, ReplyErrorCode::Ended));
    assert!(matches!(
        world.chat.send(&session, "more".to_owned(), SendOptions::default()).await,
        Err(ChatError::Ended)
    ));
    let conversation = world.store.workspace(world.tenant).conversation(session.conversation).await.unwrap();
    assert!(conversation.ended_at.is_some());
}

#[tokio::test]
async fn deleting_the_conversation_cuts_the_reply_and_leaves_nothing() {
    let world = World::with_model("slow").await;
    let (session, reply) = running(&world).await;
    world.chat.delete_conversation(world.tenant, session.conversation, audit()).await.unwrap();
    assert!(is_cut(&read(reply).await, ReplyErrorCode::Ended));
    world.upstream.wait_for_cancelled(1).await;
    world.drain.close();
    world.drain.wait().await;
    assert!(world.history(&session).await.is_empty());
    let error = world.chat.send(&session, "more".to_owned(), SendOptions::default()).await.unwrap_err();
    assert!(matches!(error, ChatError::NotFound | ChatError::Ended), "{error:?}");
}

#[tokio::test]
async fn who_waits_in_line_is_cut_as_well() {
    let world = World::with_model("slow").await;
    let (session, reply) = running(&world).await;
    let waiting = tokio::spawn({
        let (chat, session) = (world.chat.clone(), session.clone());
        async move { chat.send(&session, "second".to_owned(), SendOptions::default()).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.cluster.revoke_key(world.tenant, world.key, audit()).await.unwrap();
    let refused = timeout(Duration::from_secs(1), waiting).await.unwrap().unwrap();
    assert!(matches!(refused, Err(ChatError::Revoked)));
    read(reply).await;
    let said: Vec<_> = world.wait_for_messages(&session, 2).await.into_iter().map(|m| m.role).collect();
    assert_eq!(said, ["user", "assistant"], "the message that waited is not stored");
}

#[tokio::test]
async fn a_stopping_server_waits_until_what_came_is_stored() {
    let world = World::with_model("slow").await;
    let (session, reply) = running(&world).await;
    drop(reply);
    world.drain.close();
    timeout(Duration::from_secs(2), world.drain.wait()).await.expect("the reply ends");
    assert_eq!(world.history(&session).await.len(), 2);
}
