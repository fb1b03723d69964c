//! Those who listen to a session, stop its replies, and renew its token.

use std::time::Duration;

use ambient::Millis;
use chat::{ChatError, EventId, Follow, Numbered, ReplyErrorCode, ReplyEvent, SayTo, SendOptions};
use tokio::time::timeout;

use crate::world::{World, audit, next, next_numbered, read, text_of};

async fn is_silent(follow: &mut Follow) -> bool {
    timeout(Duration::from_millis(50), next(follow)).await.is_err()
}

/// Up to the end of a reply.
async fn hear(follow: &mut Follow) -> Vec<Numbered> {
    let mut all = Vec::new();
    loop {
        let numbered = next_numbered(follow).await;
        let is_last = numbered.event.is_last();
        all.push(numbered);
        if is_last {
            return all;
        }
    }
}

fn text(heard: &[Numbered]) -> String {
    text_of(&heard.iter().map(|numbered| numbered.event.clone()).collect::<Vec<_>>())
}

fn is_code(event: &ReplyEvent, want: ReplyErrorCode) -> bool {
    matches!(event, ReplyEvent::Error { code, .. } if *code == want)
}

#[tokio::test]
async fn who_follows_hears_every_reply_from_now_on() {
    let world = World::with_model("words").await;
    let session = world.session().await;
    world.ask(&session, "before").await;
    let mut follow = world.chat.follow(&session, None).await.unwrap();
    assert!(is_silent(&mut follow).await, "what is over is in the history");
    for position in [3, 5] {
        world.ask(&session, "hi").await;
        let heard = hear(&mut follow).await;
        assert_eq!((text(&heard).as_str(), heard[0].id), ("Hello from the model", EventId { position, number: 1 }));
        assert!(matches!(heard[5].event, ReplyEvent::End { .. }));
    }
    assert!(is_silent(&mut follow).await);
}

#[tokio::test]
async fn who_comes_in_the_middle_hears_the_reply_under_way_from_its_beginning() {
    let world = World::with_model("gated").await;
    let session = world.session().await;
    let mut reply = world.send(&session, "hi").await;
    while text_of(&[next(&mut reply).await]) != "three " {}
    let mut follow = world.chat.follow(&session, None).await.unwrap();
    world.upstream.open_gate();
    assert_eq!(text(&hear(&mut follow).await), "one two three ");
    read(reply).await;
}

#[tokio::test]
async fn who_comes_back_goes_on_where_he_was_over_several_replies() {
    let world = World::with_model("words").await;
    let session = world.session().await;
    let mut follow = world.chat.follow(&session, None).await.unwrap();
    world.ask(&session, "a").await;
    let mut heard = vec![next_numbered(&mut follow).await, next_numbered(&mut follow).await];
    drop(follow);
    world.ask(&session, "b").await;
    let mut follow = world.chat.follow(&session, Some(heard[1].id)).await.unwrap();
    heard.extend(hear(&mut follow).await);
    heard.extend(hear(&mut follow).await);
    assert_eq!(text(&heard), "Hello from the modelHello from the model");
    assert!(heard.windows(2).all(|pair| pair[0].id < pair[1].id) && heard.len() == 12, "{heard:?}");
    assert!(is_silent(&mut follow).await);
}

#[tokio::test]
async fn what_is_no_longer_kept_is_a_gap_and_what_comes_next_is_not_lost() {
    let mut world = World::with_model("words").await;
    let session = world.session().await;
    world.ask(&session, "a").await;
    world.forget();
    for after in [EventId { position: 1, number: 3 }, EventId::UNKNOWN, EventId { position: 0, number: 0 }] {
        let mut follow = world.chat.follow(&session, Some(after)).await.unwrap();
        let gap = next_numbered(&mut follow).await;
        assert_eq!(gap, Numbered { id: EventId { position: 2, number: 0 }, event: ReplyEvent::Gap });
        assert!(is_silent(&mut follow).await);
    }
    // Its id is the very end: whoever has read the history misses nothing after it.
    let end = Some(EventId { position: 2, number: 0 });
    assert!(is_silent(&mut world.chat.follow(&session, end).await.unwrap()).await);
    world.ask(&session, "b").await;
    let heard = hear(&mut world.chat.follow(&session, end).await.unwrap()).await;
    assert_eq!((text(&heard).as_str(), heard[0].id.position), ("Hello from the model", 3));
}

#[tokio::test]
async fn a_gap_in_the_middle_of_a_reply_is_followed_by_the_whole_of_it() {
    let world = World::with_model("gated").await;
    let session = world.session().await;
    let mut reply = world.send(&session, "hi").await;
    while text_of(&[next(&mut reply).await]) != "three " {}
    let mut follow = world.chat.follow(&session, Some(EventId { position: 1, number: 99 })).await.unwrap();
    assert_eq!(next_numbered(&mut follow).await.id, EventId { position: 1, number: 0 });
    world.upstream.open_gate();
    let heard = hear(&mut follow).await;
    assert!(matches!(heard[0].event, ReplyEvent::Start { .. }) && text(&heard) == "one two three ");
    read(reply).await;
}

#[tokio::test]
async fn a_reply_goes_on_while_somebody_follows() {
    let world = World::with_model("slow").await;
    let session = world.session().await;
    let mut follow = world.chat.follow(&session, None).await.unwrap();
    let mut reply = world.send(&session, "hi").await;
    next(&mut reply).await;
    drop(reply);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.upstream.cancelled(), 0);
    assert!(matches!(next(&mut follow).await, ReplyEvent::Start { .. }));
    drop(follow);
    world.upstream.wait_for_cancelled(1).await;
}

#[tokio::test]
async fn a_revocation_and_an_end_reach_those_who_follow() {
    for (model, ends) in [("slow", true), ("slow", false), ("words", true), ("words", false)] {
        let world = World::with_model(model).await;
        let session = world.session().await;
        let mut follow = world.chat.follow(&session, None).await.unwrap();
        let _reply = world.send(&session, "hi").await;
        for _ in 0..3 {
            next(&mut follow).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let want = if ends {
            world.chat.end(&session, audit()).await.unwrap();
            ReplyErrorCode::Ended
        } else {
            let receipt = world.cluster.revoke_key(world.tenant, world.key, audit()).await.unwrap();
            assert_eq!(receipt.streams_closed, 2, "who follows is counted");
            ReplyErrorCode::Revoked
        };
        let rest = timeout(Duration::from_secs(1), read(follow)).await.expect("within a second");
        assert!(rest.len() == 1 && is_code(&rest[0], want), "{model}: not one more word, but why: {rest:?}");
        assert!(world.chat.follow(&session, None).await.is_err());
    }
}

#[tokio::test]
async fn who_follows_stays_when_only_the_reply_was_cut() {
    let world = World::with_model("slow").await;
    let session = world.session().await;
    let other = world.another_key().await;
    let mut follow = world.chat.follow(&session, None).await.unwrap();
    let opener = Some(world.opener(other));
    let to = SayTo { tenant: world.tenant, conversation: session.conversation, opener, context_messages: None };
    let _reply = world.chat.say(to, "hi".to_owned(), SendOptions::default()).await.unwrap();
    while text_of(&[next(&mut follow).await]).is_empty() {}
    world.cluster.revoke_key(world.tenant, other, audit()).await.unwrap();
    assert!(is_code(&hear(&mut follow).await.last().unwrap().event, ReplyErrorCode::Revoked));
    let mut reply = world.send(&session, "again").await;
    next(&mut reply).await;
    assert!(matches!(next(&mut follow).await, ReplyEvent::Start { .. }));
}

#[tokio::test]
async fn a_reply_that_is_no_longer_kept_is_a_gap_also_where_the_next_one_is() {
    let mut world = World::with_model("status-500").await;
    let session = world.session().await;
    world.ask(&session, "a").await;
    world.forget();
    world.ask(&session, "b").await;
    let place = |number| Some(EventId { position: 1, number });
    let mut follow = world.chat.follow(&session, place(1)).await.unwrap();
    assert_eq!(next(&mut follow).await, ReplyEvent::Gap);
    // The moment before an answer is before the next message too, if nothing was answered.
    let heard = hear(&mut world.chat.follow(&session, place(0)).await.unwrap()).await;
    assert_eq!(heard[0].id, EventId { position: 2, number: 1 });
}

#[tokio::test]
async fn the_end_of_the_token_ends_the_listening() {
    let world = World::with_model("words").await;
    let mut session = world.session().await;
    session.expires_at = world.clock.now().plus(100);
    let follow = world.chat.follow(&session, None).await.unwrap();
    let rest = timeout(Duration::from_secs(1), read(follow)).await.expect("soon");
    assert!(rest.len() == 1 && is_code(&rest[0], ReplyErrorCode::Expired), "{rest:?}");
}

#[tokio::test]
async fn a_ninth_does_not_follow() {
    let world = World::with_model("words").await;
    let session = world.session().await;
    let mut eight = Vec::new();
    for _ in 0..8 {
        eight.push(world.chat.follow(&session, None).await.unwrap());
    }
    assert!(matches!(world.chat.follow(&session, None).await, Err(ChatError::Busy)));
    eight.pop();
    assert!(world.chat.follow(&session, None).await.is_ok());
    assert_eq!(world.cluster.open_streams(), 7, "who left holds nothing");
}

#[tokio::test]
async fn a_reply_can_be_stopped_and_what_was_said_is_kept() {
    let world = World::with_model("slow").await;
    let session = world.session().await;
    assert!(!world.chat.cancel(&session).await, "there is none");
    let mut follow = world.chat.follow(&session, None).await.unwrap();
    let mut reply = world.send(&session, "hi").await;
    while text_of(&[next(&mut reply).await]).is_empty() {}
    assert!(world.chat.cancel(&session).await);
    let history = world.history(&session).await;
    assert_eq!((&*history[1].role, &*history[1].status), ("assistant", "partial"), "stored by now");
    let (rest, heard) = (read(reply).await, hear(&mut follow).await);
    assert!(is_code(rest.last().unwrap(), ReplyErrorCode::Cancelled));
    assert!(is_code(&heard.last().unwrap().event, ReplyErrorCode::Cancelled));
    assert_eq!(text(&heard), history[1].content, "who follows has heard what is kept");
    world.upstream.wait_for_cancelled(1).await;
    assert!(!world.chat.cancel(&session).await);
    assert!(is_silent(&mut follow).await, "and goes on listening");
    let reply = world.chat.send(&session, "again".to_owned(), SendOptions::default()).await.unwrap();
    drop(reply);
}

#[tokio::test]
async fn a_renewed_token_is_the_same_session_and_dies_with_it() {
    let world = World::new().await;
    let mut opener = world.caller();
    opener.origin = Some("https://shop.example".into());
    let request = chat::OpenSession { channel: None, bot: world.bot, user_identifier: None, metadata: None };
    let opened = world.chat.open_session(&opener, request).await.unwrap();
    assert_eq!(opened.expires_in, 24 * 3600);
    let session = access::SessionCaller {
        conversation: opened.conversation,
        tenant: world.tenant,
        key: world.key,
        epoch: 0,
        expires_at: Millis(i64::MAX),
    };
    // Tokens count in seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (token, expires_in) = world.chat.renew(&session).unwrap();
    assert!(token != opened.token && expires_in == 24 * 3600);
    let claims = |token: &str| world.tokens.verify_session(token, world.clock.now()).unwrap();
    let (old, new) = (claims(&opened.token), claims(&token));
    assert!(new.expires_at > old.expires_at);
    assert_eq!((new.conversation, new.key, new.epoch), (old.conversation, old.key, old.epoch));
    assert_eq!((new.origin.as_deref(), new.workspace), (Some("https://shop.example"), old.workspace));
    let stale = access::SessionCaller { epoch: 1, ..session.clone() };
    assert!(matches!(world.chat.renew(&stale), Err(ChatError::Revoked)));
    world.chat.end(&session, audit()).await.unwrap();
    assert!(matches!(world.chat.renew(&session), Err(ChatError::Ended)));
}

#[tokio::test]
async fn no_token_outlives_its_key() {
    let world = World::new().await;
    let mut opener = world.caller();
    opener.expires_at = Some(world.clock.now().plus(60_000));
    let request = chat::OpenSession { channel: None, bot: world.bot, user_identifier: None, metadata: None };
    let opened = world.chat.open_session(&opener, request).await.unwrap();
    assert!((58..=60).contains(&opened.expires_in), "{}", opened.expires_in);
}
