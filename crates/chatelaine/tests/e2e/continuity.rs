//! A page loses its connection, is opened twice, stops a reply, stays for longer than its token.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Backend, Event, Events, Persona, Upstream, World, eventually, now, text_of};

const SECOND: Duration = Duration::from_secs(1);

on_both! {
    a_reply_is_resumed_without_a_loss_or_a_double;
    a_retry_at_the_same_time_is_one_message_and_one_question;
    a_key_with_another_text_is_refused;
    lines_have_the_same_events;
    a_page_follows_the_replies_of_another_until_it_is_cut;
    a_stopped_reply_keeps_what_was_said;
    a_renewed_token_works_beside_the_old_one_and_ends_with_the_session;
    no_other_credential_follows_cancels_or_renews;
    a_client_that_may_come_back_is_waited_for_ten_seconds;
    nine_pages_do_not_follow;
}

on_each! {
    after_a_restart_a_retry_gets_the_stored_answer;
}

async fn say(session: &Persona, key: &str, after: Option<&str>, message: &str) -> Events {
    let mut request = session.request("POST", &session.messages()).header("idempotency-key", key);
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    request.json(&json!({"message": message})).stream().await
}

fn events(session: &Persona) -> String {
    format!("/v1/chat/sessions/{}/events", session.id())
}

async fn follow(session: &Persona, after: Option<&str>) -> Events {
    let mut request = session.request("GET", &events(session));
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    request.stream().await
}

async fn act(session: &Persona, what: &str) -> testkit::Answer {
    session.request("POST", &format!("/v1/chat/sessions/{}/{what}", session.id())).send().await
}

/// A session with a bot that answers with the message, a word every 20 ms.
async fn steady(world: &World) -> (Upstream, Persona) {
    let options = testkit::upstream::Options { delay: Duration::from_millis(20), ..Default::default() };
    let upstream = Upstream::start_with(options).await.unwrap();
    let bot = world.bot_on(&upstream, "echo-words").await;
    let session = world.open_session("session", &world.secret(), &bot).await;
    (upstream, session)
}

async fn take(events: &mut Events, count: usize) -> Vec<Event> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(events.next().await.unwrap());
    }
    all
}

const MESSAGE: &str = "one two three four five six seven eight nine ten";

async fn a_reply_is_resumed_without_a_loss_or_a_double(world: &World) {
    let (upstream, session) = steady(world).await;
    let mut seen = take(&mut say(&session, "k-1", None, MESSAGE).await, 4).await;
    // The connection broke; the page comes back, twice more.
    for _ in 0..2 {
        let after = seen.last().unwrap().id.clone();
        seen.extend(take(&mut say(&session, "k-1", Some(&after), MESSAGE).await, 2).await);
    }
    let after = seen.last().unwrap().id.clone();
    seen.extend(say(&session, "k-1", Some(&after), MESSAGE).await.rest().await);
    let ids: Vec<_> = seen.iter().map(|event| event.id.clone()).collect();
    let wanted: Vec<_> = (1..=seen.len()).map(|number| format!("1-{number}")).collect();
    assert_eq!((text_of(&seen).trim(), ids), (MESSAGE, wanted));
    assert_eq!(seen.last().unwrap().kind(), "stream_end");
    // The end has been seen too: there is nothing more, and nothing is asked.
    let after = seen.last().unwrap().id.clone();
    assert!(say(&session, "k-1", Some(&after), MESSAGE).await.rest().await.is_empty());
    let unknown = say(&session, "k-1", Some("9-9"), MESSAGE).await.rest().await;
    assert_eq!((unknown[0].kind(), unknown[1].kind(), text_of(&unknown).trim()), ("gap", "stream_start", MESSAGE));
    assert_eq!((upstream.requests().len(), session.history().await.len()), (1, 2));
}

async fn a_retry_at_the_same_time_is_one_message_and_one_question(world: &World) {
    let (upstream, session) = steady(world).await;
    let six = (0..6).map(|_| async { say(&session, "k-1", None, MESSAGE).await.rest().await });
    for reply in futures_util::future::join_all(six).await {
        assert_eq!((text_of(&reply).trim(), reply.last().unwrap().kind()), (MESSAGE, "stream_end"));
    }
    assert_eq!((upstream.requests().len(), session.history().await.len()), (1, 2));
}

async fn a_key_with_another_text_is_refused(world: &World) {
    let session = world.session().await;
    let _ = say(&session, "k-1", None, "one").await.rest().await;
    let request = session.request("POST", &session.messages()).header("idempotency-key", "k-1");
    let refused = request.json(&json!({"message": "two"})).send().await.refused(422, "VALIDATION_FAILED");
    assert_eq!(refused.json()["error"]["errors"][0]["field"], "Idempotency-Key");
    // The same word in another conversation is another key.
    let other = world.session().await;
    assert!(text_of(&say(&other, "k-1", None, "two").await.rest().await).contains("two"));
    assert_eq!(session.history().await.len(), 2);
}

async fn lines_have_the_same_events(world: &World) {
    let session = world.session().await;
    let request = session.request("POST", &session.messages()).header("accept", "application/x-ndjson");
    let lines = request.header("idempotency-key", "k-1").json(&json!({"message": "hi"})).lines().await;
    assert_eq!(lines.headers["x-accel-buffering"], "no");
    let lines: Vec<Value> = lines.rest().await.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events = say(&session, "k-1", None, "hi").await.rest().await;
    assert_eq!(lines.len(), events.len());
    for (mut line, event) in lines.into_iter().zip(events) {
        assert_eq!((line["id"].take(), event.data["type"].clone()), (json!(event.id), line["type"].clone()));
        line.as_object_mut().unwrap().remove("id");
        assert_eq!(line, event.data);
    }
    let mut follow =
        session.request("GET", &self::events(&session)).header("accept", "application/x-ndjson").lines().await;
    let _ = session.say("again").await.rest().await;
    assert_eq!(follow.until("stream_start").await["id"], "3-1");
}

async fn a_page_follows_the_replies_of_another_until_it_is_cut(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "slow").await;
    let key = world.key("doomed", json!({"name": "Doomed"})).await;
    let session = world.open_session("session", &key, &bot).await;
    let mut page = follow(&session, None).await;
    assert_eq!(page.headers["content-type"], "text/event-stream; charset=utf-8");
    let posted = session.say("go on").await;
    let first = page.next().await.unwrap();
    assert_eq!((first.kind(), first.id.as_str()), ("stream_start", "1-1"));
    drop(posted);
    let mut back = follow(&session, Some(&page.until("chunk").await.id)).await;
    assert_eq!(back.next().await.unwrap().id, "1-3", "another page follows from where this one was");
    assert_eq!(upstream.cancelled(), 0, "the reply goes on: it is listened to");
    let started = now();
    let receipt = world.secret().delete(&format!("/v1/api-keys/{}", key.id())).await.expect(200).data();
    assert_eq!(receipt["streams_closed"], 3, "the reply and both pages: {receipt}");
    for page in [page, back] {
        let rest = page.rest().await;
        let last = rest.last().unwrap();
        assert_eq!((last.kind(), &last.data["error"]), ("error", &json!("revoked")));
        assert!(last.at.duration_since(started) < SECOND);
    }
    let _ = session.get(&events(&session)).await.refused(401, "INVALID_TOKEN");
    assert!(eventually(SECOND, async || upstream.cancelled() == 1).await);
}

async fn a_stopped_reply_keeps_what_was_said(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "slow").await;
    let session = world.open_session("session", &world.secret(), &bot).await;
    assert_eq!(act(&session, "cancel").await.expect(200).json(), json!({"cancelled": false}));
    let mut reply = session.say("go on").await;
    let mut seen = vec![reply.until("chunk").await];
    assert_eq!(act(&session, "cancel").await.expect(200).json(), json!({"cancelled": true}));
    seen.extend(reply.rest().await);
    let last = seen.last().unwrap();
    assert_eq!((last.kind(), &last.data["error"]), ("error", &json!("cancelled")));
    let path = format!("/v1/conversations/{}/messages", session.id());
    let kept = world.secret().get(&path).await.data();
    assert_eq!((&kept[1]["status"], &kept[1]["content"]), (&json!("partial"), &json!(text_of(&seen))));
    assert!(eventually(SECOND, async || upstream.cancelled() == 1).await);
    let mut next = session.say("and on").await;
    assert_eq!(next.next().await.unwrap().kind(), "stream_start", "the next message is answered at once");
}

async fn a_renewed_token_works_beside_the_old_one_and_ends_with_the_session(world: &World) {
    let session = world.widget_session().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let renewed = act(&session, "renew").await.expect(200).json();
    assert_eq!(renewed["expires_in"], 24 * 3600);
    let new = session.with("renewed", renewed["session_token"].as_str().unwrap());
    assert_ne!(new.credential(), session.credential());
    for token in [&session, &new] {
        let _ = token.get(&token.messages()).await.expect(200);
        let _ = token.at(Some("https://evil.example")).get(&token.messages()).await.refused(403, "ORIGIN_NOT_ALLOWED");
    }
    let _ = new.say("hello").await.rest().await;
    let _ = act(&session, "end").await.expect(200);
    for token in [&session, &new] {
        let _ = token.get(&token.messages()).await.refused(401, "INVALID_TOKEN");
        let _ = act(token, "renew").await.refused(401, "INVALID_TOKEN");
    }
}

async fn no_other_credential_follows_cancels_or_renews(world: &World) {
    let (own, other) = (world.session().await, world.session().await);
    for (method, what) in [("GET", "events"), ("POST", "cancel"), ("POST", "renew")] {
        let path = format!("/v1/chat/sessions/{}/{what}", other.id());
        let _ = own.request(method, &path).send().await.refused(403, "CONVERSATION_MISMATCH");
        let _ = world.client().request(method, &path).send().await.refused(401, "MISSING_CREDENTIAL");
        assert_eq!(world.secret().request(method, &path).send().await.status, 403);
    }
}

async fn a_client_that_may_come_back_is_waited_for_ten_seconds(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "slow").await;
    let session = world.open_session("session", &world.secret(), &bot).await;
    let mut reply = say(&session, "k-1", None, "go on").await;
    let _ = reply.until("chunk").await;
    drop(reply);
    let left = now();
    assert!(!eventually(SECOND * 8, async || upstream.cancelled() > 0).await, "after {:?}", left.elapsed());
    assert!(eventually(SECOND * 5, async || upstream.cancelled() == 1).await);
    assert!(left.elapsed() > Duration::from_millis(9_900), "{:?}", left.elapsed());
}

async fn nine_pages_do_not_follow(world: &World) {
    let session = world.session().await;
    let mut pages = Vec::new();
    for _ in 0..8 {
        pages.push(follow(&session, None).await);
    }
    let refused = session.get(&events(&session)).await.refused(429, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "1");
    pages.clear();
    let path = events(&session);
    let has_room = async || session.request("GET", &path).send_and_leave().await.status == 200;
    assert!(eventually(SECOND, has_room).await, "who has left makes room");
}

async fn after_a_restart_a_retry_gets_the_stored_answer(backend: Backend) {
    let world = World::new(backend).await;
    let (upstream, session) = steady(&world).await;
    let first = say(&session, "k-1", None, MESSAGE).await.rest().await;
    let world = world.restart().await;
    let session = session.on(world.client());
    let again = say(&session, "k-1", None, MESSAGE).await.rest().await;
    assert_eq!(again.iter().map(Event::kind).collect::<Vec<_>>(), ["stream_start", "chunk", "stream_end"]);
    assert_eq!(text_of(&again), text_of(&first));
    assert_eq!(again[2].data["usage"]["output_tokens"], first.last().unwrap().data["usage"]["output_tokens"]);
    let resumed = say(&session, "k-1", Some(&first[3].id), MESSAGE).await.rest().await;
    assert_eq!((resumed[0].kind(), text_of(&resumed)), ("gap", text_of(&first)));
    let mut page = follow(&session, Some(&first[3].id)).await;
    assert_eq!(page.next().await.unwrap().kind(), "gap");
    assert_eq!((upstream.requests().len(), session.history().await.len()), (1, 2));
    world.end().await;
}
