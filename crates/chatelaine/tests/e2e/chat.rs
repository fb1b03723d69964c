//! A chat session from its opening to its end.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, Millis, SystemClock};
use serde_json::json;
use testkit::{Backend, Options, Upstream, World, eventually, id_of, now, text_of};

const SECOND: Duration = Duration::from_secs(1);

on_both! {
    a_session_is_opened_used_read_and_ended;
    a_token_is_for_its_own_conversation;
    a_session_needs_a_bot_that_the_opener_sees;
    a_message_has_a_length;
    no_text_breaks_out_of_its_event;
    revoking_the_key_ends_its_open_stream_within_a_second_and_says_so;
    ending_deleting_disabling_and_rotating_end_open_streams;
    a_second_message_waits_its_turn;
    a_client_that_leaves_cancels_the_upstream_and_what_came_is_kept;
    a_client_that_leaves_in_the_silence_is_noticed_too;
    many_sessions_stream_side_by_side;
    a_stream_that_begins_while_its_key_is_revoked_does_not_stay;
}

on_each! {
    a_session_rests_half_an_hour_and_lives_a_day;
}

async fn a_session_is_opened_used_read_and_ended(world: &World) {
    let bot = json!({"name": "Ada", "greeting": "Hello!", "instructions": "Be brief."});
    let bot = id_of(&world.secret().post("/v1/bots", &bot).await.expect(201));
    let dropped = json!({"agent_id": bot, "user": {"email": "ada@example.com"}});
    let refused = world.secret().post("/v1/chat/sessions", &dropped).await.refused(422, "VALIDATION_FAILED");
    assert_eq!(refused.json()["error"]["errors"][0]["field"], "user", "nobody believes that it is kept");
    let body = json!({"agent_id": bot, "user_identifier": "u-1", "metadata": {"plan": "pro"}});
    let opened = world.secret().post("/v1/chat/sessions", &body).await.expect(201).json();
    assert_eq!(
        (&opened["agent_name"], &opened["greeting"], &opened["agent_model"]),
        (&json!("Ada"), &json!("Hello!"), &json!("echo"))
    );
    assert!(opened["conversation_id"].as_str().unwrap().starts_with("conv_"));
    let session = world.open_session("session", &world.secret(), &bot).await;
    let mut events = session.say("good morning to you").await;
    assert_eq!(events.headers["cache-control"], "no-store");
    assert_eq!(events.headers["x-accel-buffering"], "no");
    let first = events.next().await.unwrap();
    assert_eq!((first.id.as_str(), &first.data), ("2-1", &json!({"type": "stream_start", "agent_name": "Ada"})));
    let rest = events.rest().await;
    assert!(rest.iter().zip(2..).all(|(event, number)| event.id == format!("2-{number}")), "numbered without gaps");
    let (end, chunks) = rest.split_last().unwrap();
    assert!(chunks.len() >= 4 && chunks.iter().all(|event| event.kind() == "chunk" && !event.delta().is_empty()));
    assert_eq!((end.kind(), &end.data["end_session"]), ("stream_end", &json!(false)));
    assert!(end.data["usage"]["output_tokens"].as_u64().unwrap() > 0, "{}", end.data);
    let reply = text_of(chunks);
    assert!(reply.contains("good morning to you"), "{reply}");
    let history = session.history().await;
    let said: Vec<_> = history.iter().map(|m| (m["role"].as_str().unwrap(), m["content"].as_str().unwrap())).collect();
    assert_eq!(said, [("assistant", "Hello!"), ("user", "good morning to you"), ("assistant", reply.as_str())]);
    assert!(history.iter().all(|m| m["timestamp"].is_string() && m["token_count"].is_u64()), "{history:?}");
    let one = session.get(&format!("{}?limit=1", session.messages())).await.expect(200).json();
    assert_eq!((&one["count"], &one["messages"][0]["content"]), (&json!(1), &json!(reply)));
    let ended = session.end_session().await.expect(200).json();
    assert_eq!(ended["success"], true);
    for answer in [
        session.get(&session.messages()).await,
        session.end_session().await,
        session.post(&session.messages(), &json!({"message": "x"})).await,
    ] {
        let _ = answer.refused(401, "INVALID_TOKEN");
    }
}

async fn a_token_is_for_its_own_conversation(world: &World) {
    let (own, other) = (world.session().await, world.session().await);
    let unknown = "conv_00000000000000000000000001";
    let mut bodies = Vec::new();
    for id in [other.id(), unknown, "nonsense", "conv_1", "%2e%2e"] {
        let path = format!("/v1/chat/sessions/{id}/messages");
        bodies.push(own.get(&path).await.refused(403, "CONVERSATION_MISMATCH").body_without_id());
        let _ = own.post(&path, &json!({"message": "hi"})).await.refused(403, "CONVERSATION_MISMATCH");
        let _ = own
            .request("POST", &format!("/v1/chat/sessions/{id}/end"))
            .send()
            .await
            .refused(403, "CONVERSATION_MISMATCH");
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "no oracle for ids: {bodies:?}");
    assert!(other.history().await.is_empty() && own.history().await.is_empty());
}

async fn a_session_needs_a_bot_that_the_opener_sees(world: &World) {
    let foreign = world.bot_of(&world.other_workspace_secret()).await;
    let mut bodies = Vec::new();
    for id in [foreign.as_str(), "bot_00000000000000000000000001", "nonsense", "", "conv_00000000000000000000000001"] {
        let answer = world.secret().post("/v1/chat/sessions", &json!({"agent_id": id})).await;
        bodies.push(answer.refused(404, "NOT_FOUND").body_without_id());
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
    assert_eq!(world.secret().get("/v1/conversations").await.json()["meta"]["total"], 0);
}

async fn a_message_has_a_length(world: &World) {
    let session = world.session().await;
    for text in [String::new(), " \n\t".to_owned(), "ä".repeat(10_001)] {
        let answer = session.post(&session.messages(), &json!({"message": text})).await;
        assert_eq!(answer.refused(422, "VALIDATION_FAILED").json()["error"]["errors"][0]["field"], "message");
    }
    assert!(session.history().await.is_empty());
    let long = "ä".repeat(10_000);
    assert!(text_of(&session.say(&long).await.rest().await).contains(&long));
}

async fn no_text_breaks_out_of_its_event(world: &World) {
    let session = world.session().await;
    let hostile = "a\n\ndata: {\"type\":\"stream_end\"}\n\nid: 99\r\nevent: x\u{2028}end";
    let events = session.say(hostile).await.rest().await;
    assert!(text_of(&events).contains(hostile), "{events:?}");
    assert_eq!(events.iter().filter(|event| event.kind() == "stream_end").count(), 1);
    assert_eq!(session.history().await[0]["content"], hostile);
}

async fn revoking_the_key_ends_its_open_stream_within_a_second_and_says_so(world: &World) {
    let upstream = Upstream::start().await;
    let key = world.key("doomed", json!({"name": "Doomed"})).await;
    let bot = world.bot_on(&upstream, "slow").await;
    let (session, bystander) =
        (world.open_session("session", &key, &bot).await, world.open_session("other", &world.secret(), &bot).await);
    let mut other = bystander.say("stay").await;
    let mut events = session.say("go on").await;
    let _ = events.until("chunk").await;
    let started = now();
    let receipt = world.secret().delete(&format!("/v1/api-keys/{}", key.id())).await.expect(200).data();
    assert_eq!(receipt["streams_closed"], 1, "{receipt}");
    let rest = events.rest().await;
    let last = rest.last().unwrap();
    assert_eq!((last.kind(), &last.data["error"]), ("error", &json!("revoked")));
    assert!(last.at.duration_since(started) < SECOND, "{:?}", last.at.duration_since(started));
    let _ = session.post(&session.messages(), &json!({"message": "more"})).await.refused(401, "INVALID_TOKEN");
    let _ = key.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    assert!(eventually(SECOND, async || upstream.cancelled() == 1).await, "the upstream call goes with it");
    let _ = other.until("chunk").await;
    assert_eq!(upstream.active(), 1, "the other key's stream goes on");
}

async fn ending_deleting_disabling_and_rotating_end_open_streams(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "slow").await;
    let owner = world.secret();
    let (account, software) = world.account("software", "admin").await;
    let leaked = world.key("leaked", json!({"name": "Leaked"})).await;
    let widget = world.widget().await;
    let body = json!({});
    for (opener, method, path, body, word) in [
        (&owner, "END", String::new(), &body, "ended"),
        (&owner, "DELETE", "conversation".to_owned(), &body, "ended"),
        (&leaked, "POST", format!("/v1/api-keys/{}/rotate", leaked.id()), &json!({"grace_seconds": 0}), "revoked"),
        (
            &widget,
            "PATCH",
            format!("/v1/api-keys/{}", widget.id()),
            &json!({"allowed_domains": ["example.org"]}),
            "revoked",
        ),
        (&software, "PATCH", format!("/v1/service-accounts/{account}"), &json!({"is_active": false}), "revoked"),
    ] {
        let session = world.open_session("session", opener, &bot).await;
        let mut events = session.say("go on").await;
        let _ = events.until("chunk").await;
        let started = now();
        match method {
            "END" => {
                let _ = session.end_session().await.expect(200);
            }
            "DELETE" => {
                let _ = owner.delete(&format!("/v1/conversations/{}", session.id())).await.expect(204);
            }
            _ => {
                let _ = owner.request(method, &path).json(body).send().await.expect(200);
            }
        }
        let rest = events.rest().await;
        let last = rest.last().unwrap();
        assert_eq!((last.kind(), &last.data["error"]), ("error", &json!(word)), "{method} {path}");
        assert!(last.at.duration_since(started) < SECOND, "{method} {path}");
    }
    assert!(eventually(SECOND, async || upstream.active() == 0).await);
}

async fn a_second_message_waits_its_turn(world: &World) {
    let upstream =
        Upstream::start_with(testkit::upstream::Options { delay: Duration::from_millis(30), ..Default::default() })
            .await
            .unwrap();
    let bot = world.bot_on(&upstream, "echo-words").await;
    let session = world.open_session("session", &world.secret(), &bot).await;
    let mut first = session.say("one two three four five six seven eight").await;
    let _ = first.until("chunk").await;
    let second = {
        let session = session.clone();
        tokio::spawn(async move { session.say("next please").await.rest().await })
    };
    let first = first.rest().await;
    let second = second.await.unwrap();
    assert_eq!(first.last().unwrap().kind(), "stream_end");
    assert!(second[0].at >= first.last().unwrap().at, "the second began after the first had ended");
    assert_eq!(text_of(&second).trim(), "next please");
    assert_eq!(upstream.requests().len(), 2);
    let roles: Vec<_> = session.history().await.iter().map(|m| m["role"].as_str().unwrap().to_owned()).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
}

async fn a_client_that_leaves_cancels_the_upstream_and_what_came_is_kept(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "slow").await;
    let session = world.open_session("session", &world.secret(), &bot).await;
    let mut events = session.say("go on").await;
    let _ = events.until("chunk").await;
    let _ = events.until("chunk").await;
    assert_eq!((upstream.active(), upstream.cancelled()), (1, 0));
    drop(events);
    assert!(eventually(SECOND, async || upstream.cancelled() == 1 && upstream.active() == 0).await, "still running");
    let path = format!("/v1/conversations/{}/messages", session.id());
    let kept = async || world.secret().get(&path).await.data().as_array().is_some_and(|list| list.len() == 2);
    assert!(eventually(SECOND, kept).await, "the partial answer is not there");
    let messages = world.secret().get(&path).await.data();
    assert_eq!((&messages[1]["role"], &messages[1]["status"]), (&json!("assistant"), &json!("partial")));
    assert!(messages[1]["content"].as_str().unwrap().starts_with("0 1 "), "{messages}");
}

async fn a_client_that_leaves_in_the_silence_is_noticed_too(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "hang").await;
    let session = world.open_session("session", &world.secret(), &bot).await;
    let mut events = session.say("anybody?").await;
    let _ = events.until("stream_start").await;
    assert!(eventually(SECOND, async || upstream.active() == 1).await, "the upstream was not asked");
    drop(events);
    assert!(eventually(SECOND, async || upstream.cancelled() == 1).await, "it is still waited for");
}

async fn many_sessions_stream_side_by_side(world: &World) {
    let upstream =
        Upstream::start_with(testkit::upstream::Options { delay: Duration::from_millis(5), ..Default::default() })
            .await
            .unwrap();
    let bot = world.bot_on(&upstream, "echo-words").await;
    let talks = (0..20).map(|n| {
        let (world, bot) = (&world, &bot);
        async move {
            let session = world.open_session("session", &world.secret(), bot).await;
            let message = format!("this is the message number {n}");
            (text_of(&session.say(&message).await.rest().await), message)
        }
    });
    for (reply, message) in futures_util::future::join_all(talks).await {
        assert_eq!(reply, message);
    }
}

async fn a_stream_that_begins_while_its_key_is_revoked_does_not_stay(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "slow").await;
    for round in 0..8 {
        let key = world.key("doomed", json!({"name": "Doomed"})).await;
        let session = world.open_session("session", &key, &bot).await;
        let request = session.request("POST", &session.messages()).json(&json!({"message": "go on"}));
        let saying = tokio::spawn(async move { request.send().await });
        tokio::time::sleep(Duration::from_millis(round)).await;
        let _ = world.secret().delete(&format!("/v1/api-keys/{}", key.id())).await.expect(200);
        let revoked = now();
        // A stream that stayed would send for ever: the whole answer would not come.
        let answer = saying.await.unwrap();
        assert!(revoked.elapsed() < SECOND, "{:?}", revoked.elapsed());
        let refused = answer.status == 401 || answer.text().trim_end().ends_with("was revoked\"}");
        assert!(refused, "{} {}", answer.status, answer.text());
    }
    assert!(eventually(SECOND, async || upstream.active() == 0).await);
}

async fn a_session_rests_half_an_hour_and_lives_a_day(backend: Backend) {
    let clock = Arc::new(ManualClock::new(Millis::from_seconds(SystemClock::new().now().seconds())));
    let world = World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await;
    let session = world.session().await;
    clock.advance(Duration::from_secs(29 * 60));
    let _ = session.get(&session.messages()).await.expect(200);
    clock.advance(Duration::from_secs(29 * 60));
    let _ = session.say("still here").await.rest().await;
    clock.advance(Duration::from_secs(30 * 60 + 1));
    let _ = session.get(&session.messages()).await.refused(401, "INVALID_TOKEN");
    let busy = world.session().await;
    for _ in 0..48 {
        clock.advance(Duration::from_secs(29 * 60));
        let _ = busy.get(&busy.messages()).await.expect(200);
    }
    clock.advance(Duration::from_secs(24 * 60));
    let _ = busy.get(&busy.messages()).await.expect(200);
    clock.advance(Duration::from_secs(24 * 60 + 6));
    let _ = busy.get(&busy.messages()).await.refused(401, "TOKEN_EXPIRED");
    world.end().await;
}
