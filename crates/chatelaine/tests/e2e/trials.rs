//! A person tries a bot out: a conversation and a stream without a key.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Backend, Events, Persona, Upstream, World, id_of, text_of};

use crate::limits::world_with;

on_both! {
    a_person_tries_a_bot_out_and_the_answer_streams;
    a_trial_is_its_person_s_own;
    a_trial_sees_what_the_person_looks_at;
    a_trial_is_paid_for;
    a_person_who_is_removed_hears_no_more;
}

on_each! {
    a_trial_has_the_budget_of_a_conversation_and_people_have_one_of_their_own;
}

async fn open(person: &Persona, bot: &str) -> String {
    let opened = person.post(&format!("/v1/bots/{bot}/trials"), &json!({})).await.expect(201).data();
    opened["conversation_id"].as_str().unwrap().to_owned()
}

fn path(trial: &str) -> String {
    format!("/v1/trials/{trial}/messages")
}

async fn say(person: &Persona, trial: &str, text: &str) -> Events {
    person.request("POST", &path(trial)).json(&json!({ "message": text })).stream().await
}

async fn a_person_tries_a_bot_out_and_the_answer_streams(world: &World) {
    let ada = world.member("ada", "member").await;
    let bot = id_of(&world.secret().post("/v1/bots", &json!({"name": "Bot", "greeting": "Hello!"})).await.expect(201));
    let opened = ada.post(&format!("/v1/bots/{bot}/trials"), &json!({})).await.expect(201).data();
    assert_eq!((&opened["agent_name"], &opened["greeting"]), (&json!("Bot"), &json!("Hello!")));
    let trial = opened["conversation_id"].as_str().unwrap();
    let events = say(&ada, trial, "good morning").await.rest().await;
    assert_eq!(events.last().unwrap().kind(), "stream_end");
    assert!(text_of(&events).contains("good morning"));
    let shown = ada.get(&format!("/v1/conversations/{trial}")).await.expect(200).data();
    assert_eq!((&shown["channel"], &shown["message_count"]), (&json!("trial"), &json!(3)));
    assert_eq!(shown["user_identifier"], format!("member:{}", ada.id()));
    // Sent again under its name it is neither stored nor asked again.
    for _ in 0..2 {
        let again = ada.request("POST", &path(trial)).header("idempotency-key", "k").json(&json!({"message": "once"}));
        assert_eq!(again.stream().await.rest().await.last().unwrap().kind(), "stream_end");
    }
    let shown = ada.get(&format!("/v1/conversations/{trial}")).await.expect(200).data();
    assert_eq!(shown["message_count"], 5);
    let _ = ada.post(&path(trial), &json!({"message": " "})).await.refused(422, "VALIDATION_FAILED");
    let absent = "/v1/bots/bot_00000000000000000000000001/trials";
    let _ = ada.post(absent, &json!({})).await.refused(404, "NOT_FOUND");
}

async fn a_trial_is_its_person_s_own(world: &World) {
    let (ada, bob) = (world.member("ada", "member").await, world.member("bob", "owner").await);
    let stranger = world.member_of(&world.other_workspace_secret(), "eve", "owner").await;
    let trial = open(&ada, &world.bot().await).await;
    let hello = json!({"message": "hello"});
    for other in [&bob, &stranger] {
        let _ = other.post(&path(&trial), &hello).await.refused(404, "NOT_FOUND");
    }
    // No conversation of a user is taken part in like this, not even one that calls its user like the person.
    let called = json!({"agent_id": world.bot().await, "user_identifier": format!("member:{}", ada.id())});
    let session = world.secret().post("/v1/chat/sessions", &called).await.expect(201).json();
    let _ = ada.post(&path(session["conversation_id"].as_str().unwrap()), &hello).await.refused(404, "NOT_FOUND");
    let _ = world.secret().post(&path(&trial), &hello).await.refused(403, "WRONG_CREDENTIAL");
}

async fn a_trial_sees_what_the_person_looks_at(world: &World) {
    let ada = world.member("ada", "member").await;
    let test = world.bot_of(&world.test_secret().await).await;
    let trials = format!("/v1/bots/{test}/trials");
    let _ = ada.post(&trials, &json!({})).await.refused(404, "NOT_FOUND");
    let opened = ada.request("POST", &trials).header("x-environment", "test").json(&json!({})).send().await.expect(201);
    let trial = opened.data()["conversation_id"].as_str().unwrap().to_owned();
    let _ = ada.post(&path(&trial), &json!({"message": "hello"})).await.refused(404, "NOT_FOUND");
    let said = ada.request("POST", &path(&trial)).header("x-environment", "test").json(&json!({"message": "hello"}));
    assert_eq!(said.stream().await.rest().await.last().unwrap().kind(), "stream_end");
}

async fn a_trial_is_paid_for(world: &World) {
    let ada = world.member("ada", "member").await;
    let trial = open(&ada, &world.bot().await).await;
    let _ = world.secret().patch("/v1/credits", &json!({"metered": true})).await.expect(200);
    let refused = ada.post(&path(&trial), &json!({"message": "hello"})).await.refused(402, "INSUFFICIENT_CREDITS");
    assert_eq!(refused.json()["error"]["code"], "INSUFFICIENT_CREDITS");
    let _ = world.secret().post("/v1/credits/grants", &json!({"amount": 100})).await.expect(201);
    let _ = say(&ada, &trial, "hello").await.rest().await;
    let credits: Value = world.secret().get("/v1/credits").await.expect(200).data();
    assert!(credits["charged"].as_u64().unwrap() > 0, "{credits}");
}

async fn a_trial_has_the_budget_of_a_conversation_and_people_have_one_of_their_own(backend: Backend) {
    let (world, _clock) = world_with(backend, |options| options.limits.messages_per_minute = 2).await;
    let (ada, bob) = (world.member("ada", "member").await, world.member("bob", "owner").await);
    let trial = open(&ada, &world.bot().await).await;
    let hello = json!({"message": "hello"});
    for _ in 0..3 {
        let _ = bob.post(&path(&trial), &hello).await.refused(404, "NOT_FOUND");
    }
    for _ in 0..2 {
        let _ = say(&ada, &trial, "hello").await.rest().await;
    }
    let refused = ada.post(&path(&trial), &hello).await.refused(429, "RATE_LIMITED");
    assert!(refused.header("ratelimit").starts_with("\"messages\""), "{:?}", refused.headers);
    let shown = ada.get("/v1/bots").await.expect(200);
    assert!(shown.header("ratelimit").starts_with("\"workspace-people\""), "{:?}", shown.headers);
}

async fn a_person_who_is_removed_hears_no_more(world: &World) {
    let upstream = Upstream::start().await;
    let bot = world.bot_on(&upstream, "slow").await;
    let ada = world.member("ada", "member").await;
    let trial = open(&ada, &bot).await;
    let mut events = say(&ada, &trial, "hello").await;
    let _ = events.until("stream_start").await;
    let _ = world.secret().delete(&format!("/v1/members/{}", ada.id())).await.expect(204);
    let ended = tokio::time::timeout(Duration::from_secs(5), events.until("error")).await.expect("an end");
    assert_eq!(ended.data["error"], "ended");
}
