use std::time::Duration;

use serde_json::{Value, json};
use store::IntegrationChange;
use testkit::{Backend, ORIGIN, Upstream, WIDGET_API_KEY, World, eventually};

use super::{CHAT, LEGACY, LIST, STREAM, message, read, refused, said, send, total, with_model, world};

on_each! {
    the_answer_comes_whole_or_line_by_line_in_one_conversation;
    an_admin_reads_conversations_as_the_original_shows_them;
    the_model_reads_so_many_messages_as_the_setting_says;
    a_model_that_fails_is_a_500_or_the_last_line;
    a_model_that_says_nothing_is_spoken_for;
    a_client_that_leaves_stops_the_model;
    two_first_messages_at_once_are_one_conversation;
    a_message_that_is_sent_twice_under_a_name_is_kept_once;
    an_answer_that_is_made_again_is_whole_wherever_it_is_resumed;
    conversations_outlive_a_restart;
}

async fn the_answer_comes_whole_or_line_by_line_in_one_conversation(backend: Backend) {
    let upstream = Upstream::start().await;
    let world = with_model(backend, &upstream, "echo-words").await;
    let client = world.client();
    let answer = send(&client, CHAT, "visitor", "one two").send().await.expect(200);
    let id = answer.json()["conversationId"].as_str().unwrap().to_owned();
    said(&answer, 200, &format!(r#"{{"conversationId":"{id}","message":"one two"}}"#));
    for path in [STREAM, LEGACY] {
        let lines = send(&client, path, "visitor", "Hi \"you\" ").lines().await;
        assert_eq!(lines.headers["content-type"], "application/x-ndjson; charset=utf-8");
        assert_eq!(lines.headers["x-accel-buffering"], "no");
        assert!(lines.headers["cache-control"].to_str().unwrap().contains("no-store"));
        let expected = [
            format!(r#"{{"type":"start","conversationId":"{id}"}}"#),
            r#"{"type":"token","token":"Hi "}"#.to_owned(),
            r#"{"type":"token","token":"\"you\" "}"#.to_owned(),
            format!(r#"{{"type":"done","message":"Hi \"you\"","conversationId":"{id}"}}"#),
        ];
        assert_eq!(lines.rest().await, expected, "{path}");
    }
    let request = &upstream.requests()[0];
    assert_eq!(
        (request.header("authorization"), &request.body["model"]),
        ("Bearer sk-model-key", &json!("echo-words"))
    );
    assert_eq!((request.body["messages"][0]["role"].clone(), &request.body["stream"]), (json!("system"), &json!(true)));
    world.end().await;
}

async fn an_admin_reads_conversations_as_the_original_shows_them(backend: Backend) {
    let world = world(backend, |_| {}).await;
    let client = world.client();
    let mut ids = Vec::new();
    for (session, text) in [("a", "first"), ("b", "second"), ("a", "third")] {
        let answer = send(&client, CHAT, session, text).send().await.expect(200);
        ids.push(answer.json()["conversationId"].as_str().unwrap().to_owned());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let list = read(&client, LIST).send().await.expect(200).json();
    let shown: Vec<&Value> = list["conversations"].as_array().unwrap().iter().collect();
    assert_eq!((list["total"].as_u64(), shown.len()), (Some(2), 2));
    assert_eq!(
        (&shown[0]["_id"], &shown[0]["sessionId"], &shown[0]["lastMessage"]),
        (&json!(ids[0]), &json!("a"), &json!("You said: third"))
    );
    assert_eq!((&shown[1]["_id"], &shown[1]["lastMessage"]), (&json!(ids[1]), &json!("You said: second")));
    let (created, updated) = (shown[0]["createdAt"].as_i64().unwrap(), shown[0]["updatedAt"].as_i64().unwrap());
    assert!(created > 1_600_000_000_000 && updated > created && shown[0]["_creationTime"] == created);
    assert_eq!(shown[0].as_object().unwrap().len(), 6);
    let one = read(&client, &format!("{LIST}?limit=1")).send().await.expect(200).json();
    assert_eq!((one["conversations"].as_array().unwrap().len(), &one["total"]), (1, &json!(2)));
    let thread = read(&client, &format!("{LIST}/{}", ids[0])).send().await.expect(200).json();
    assert_eq!(&thread["conversation"], shown[0]);
    let said: Vec<_> =
        thread["messages"].as_array().unwrap().iter().map(|m| (m["role"].as_str(), m["content"].as_str())).collect();
    let both = |text, answer| [(Some("user"), Some(text)), (Some("assistant"), Some(answer))];
    assert_eq!(said, [both("first", "You said: first"), both("third", "You said: third")].concat());
    let message = thread["messages"][0].as_object().unwrap();
    assert!(
        message["_id"].as_str().unwrap().starts_with("msg_") && message["createdAt"].is_i64() && message.len() == 4
    );
    world.end().await;
}

async fn the_model_reads_so_many_messages_as_the_setting_says(backend: Backend) {
    let upstream = Upstream::start().await;
    let world = world(backend, |settings| {
        super::aim(settings, &upstream, "echo-words");
        settings.max_history_messages = 3;
    })
    .await;
    for text in ["alpha", "beta", "gamma"] {
        let _ = send(&world.client(), CHAT, "s", text).send().await.expect(200);
    }
    let _ = send(&world.client(), CHAT, "another", "delta").send().await.expect(200);
    let seen = |number: usize| -> Vec<String> {
        let messages = upstream.requests()[number].body["messages"].clone();
        messages.as_array().unwrap()[1..].iter().map(|m| m["content"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(seen(2), ["beta", "beta", "gamma"]);
    assert_eq!(seen(3), ["delta"], "nobody reads another visitor's words");
    world.end().await;
}

/// Lets the model of the drop-in surface wait for a second only.
async fn hurry(world: &World) {
    let store = world.store();
    let bot = store.meta("dropin_bot").await.unwrap().unwrap().parse().unwrap();
    let tenant = access::Tenant {
        workspace: store.default_workspace().await.unwrap().unwrap().id,
        environment: credential::Environment::Live,
    };
    let data = store.workspace(tenant);
    for integration in data.integrations(bot).await.unwrap() {
        let actor = access::Actor::system();
        let audit = store::AuditEntry { actor: &actor, action: "test", detail: None };
        let change = IntegrationChange { timeout_seconds: Some(1), ..IntegrationChange::default() };
        data.update_integration(integration.id, change, audit).await.unwrap();
    }
}

async fn a_model_that_fails_is_a_500_or_the_last_line(backend: Backend) {
    let upstream = Upstream::start().await;
    for model in ["status-500", "status-401", "hang", "garbage", "midway-error", "cut"] {
        let world = with_model(backend, &upstream, model).await;
        hurry(&world).await;
        let client = world.client();
        refused(&send(&client, CHAT, "s", "hi").send().await, 500, "Internal server error");
        let lines = send(&client, STREAM, "s", "hi").lines().await.rest().await;
        assert!(lines[0].starts_with(r#"{"type":"start","#), "{model}: {lines:?}");
        assert_eq!(lines.last().unwrap(), r#"{"type":"error","error":"Internal server error"}"#, "{model}");
        let words = if matches!(model, "midway-error" | "cut") { 3 } else { 0 };
        assert_eq!(lines.len(), 2 + words, "{model}: {lines:?}");
        assert_eq!(total(&client).await, 1, "what the visitor said is kept");
        world.end().await;
    }
}

async fn a_model_that_says_nothing_is_spoken_for(backend: Backend) {
    let options = testkit::upstream::Options { tokens: Some(0), ..Default::default() };
    let upstream = Upstream::start_with(options).await.unwrap();
    let world = with_model(backend, &upstream, "echo-words").await;
    let answer = send(&world.client(), CHAT, "s", "hi").send().await.expect(200);
    assert_eq!(answer.json()["message"], "I could not generate a response right now.");
    let mut lines = send(&world.client(), STREAM, "s", "hi").lines().await;
    assert_eq!(lines.until("done").await["message"], "I could not generate a response right now.");
    world.end().await;
}

async fn a_client_that_leaves_stops_the_model(backend: Backend) {
    let upstream = Upstream::start().await;
    let world = with_model(backend, &upstream, "slow").await;
    let client = world.client();
    let mut lines = send(&client, STREAM, "s", "hi").lines().await;
    let _ = lines.until("token").await;
    drop(lines);
    assert!(eventually(Duration::from_secs(5), async || upstream.cancelled() == 1).await, "the stream's model runs on");
    let asking = tokio::spawn(send(&client, CHAT, "s", "hi").send());
    assert!(eventually(Duration::from_secs(5), async || upstream.active() == 1).await);
    asking.abort();
    assert!(eventually(Duration::from_secs(5), async || upstream.cancelled() == 2).await, "the other's model runs on");
    world.end().await;
}

async fn two_first_messages_at_once_are_one_conversation(backend: Backend) {
    let world = world(backend, |_| {}).await;
    let client = world.client();
    let post = |text: &str| send(&client, CHAT, "new", text).send();
    let (a, b, c, d) = tokio::join!(post("a"), post("b"), post("c"), post("d"));
    let ids: Vec<_> = [a, b, c, d].map(|answer| answer.expect(200).json()["conversationId"].clone()).to_vec();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(total(&client).await, 1);
    let thread = read(&client, &format!("{LIST}/{}", ids[0].as_str().unwrap())).send().await.json();
    assert_eq!(thread["messages"].as_array().unwrap().len(), 8, "each has its answer");
    world.end().await;
}

async fn a_message_that_is_sent_twice_under_a_name_is_kept_once(backend: Backend) {
    let upstream = Upstream::start().await;
    let world = with_model(backend, &upstream, "echo-words").await;
    let client = world.client();
    let request = || send(&client, STREAM, "s", "one two three").header("idempotency-key", "message-1");
    let first = request().lines().await.rest().await;
    let again = request().lines().await.rest().await;
    assert_eq!(first, again);
    let ids: Vec<String> = first.iter().map(|line| id_of(line)).collect();
    assert_eq!(ids, ["1-1", "1-2", "1-3", "1-4", "1-5"]);
    let resumed = request().header("last-event-id", &ids[2]).lines().await.rest().await;
    assert_eq!(resumed, first[3..], "not a word is lost or doubled, and the end is whole");
    let whole = send(&client, CHAT, "s", "one two three").header("idempotency-key", "message-1").send().await;
    assert_eq!(whole.expect(200).json()["message"], "one two three");
    let other = send(&client, CHAT, "s", "another text").header("idempotency-key", "message-1").send().await;
    refused(&other, 400, "Invalid request payload");
    assert_eq!(upstream.requests().len(), 1);
    let list = read(&client, LIST).send().await.json();
    let id = list["conversations"][0]["_id"].as_str().unwrap().to_owned();
    let thread = read(&client, &format!("{LIST}/{id}")).send().await.json();
    assert_eq!(thread["messages"].as_array().unwrap().len(), 2);
    // Without a name nothing is resumed: `Last-Event-ID` is not looked at, and the lines are the original's.
    let bare = send(&client, STREAM, "s", "four").header("last-event-id", "1-3").lines().await.rest().await;
    assert_eq!((bare.len(), bare[1].as_str()), (3, r#"{"type":"token","token":"four"}"#));
    world.end().await;
}

async fn an_answer_that_is_made_again_is_whole_wherever_it_is_resumed(backend: Backend) {
    let upstream = Upstream::start().await;
    let world = World::new(backend).await;
    let (broken, sound) = (world.bot_on(&upstream, "cut").await, world.bot_on(&upstream, "echo-words").await);
    let widget = world.widget().await;
    let ask = async |bot: &str, after: Option<&str>| {
        let body = json!({"sessionId": "s", "message": "one two three four five", "agentId": bot});
        let request = world.client().post(STREAM, &body).header("x-widget-api-key", widget.credential()).origin(ORIGIN);
        let request = request.header("idempotency-key", "message-1");
        let request = if let Some(after) = after { request.header("last-event-id", after) } else { request };
        request.lines().await.rest().await
    };
    let failed = ask(&broken, None).await;
    assert!(failed.last().unwrap().contains(r#""type":"error""#), "{failed:?}");
    let made_again = ask(&sound, Some(&id_of(failed.last().unwrap()))).await;
    let whole = r#""message":"one two three four five""#;
    assert!(made_again[0].contains(r#""type":"gap""#) && made_again.last().unwrap().contains(whole), "{made_again:?}");
    let resumed = ask(&sound, Some(&id_of(&made_again[4]))).await;
    assert_eq!(resumed, made_again[5..], "the parts of the first are not taken for the answer");
    assert_eq!(upstream.requests().len(), 2);
    world.end().await;
}

fn id_of(line: &str) -> String {
    serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap_or_default().to_owned()
}

async fn conversations_outlive_a_restart(backend: Backend) {
    let upstream = Upstream::start().await;
    let world = with_model(backend, &upstream, "echo-words").await;
    let before = send(&world.client(), CHAT, "s", "before").send().await.expect(200).json();
    let world = world.restart().await;
    let after = send(&world.client(), CHAT, "s", "after").send().await.expect(200).json();
    assert_eq!(before["conversationId"], after["conversationId"]);
    let messages = upstream.requests()[1].body["messages"].clone();
    assert_eq!(messages.as_array().unwrap().len(), 4, "instructions and three messages: {messages}");
    assert_eq!(total(&world.client()).await, 1);
    let request = world.client().post(CHAT, &message("s", "hi")).header("x-widget-api-key", WIDGET_API_KEY);
    let _ = request.send().await.expect(200);
    world.end().await;
}
