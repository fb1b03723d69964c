//! What metered workspaces pay, and that nobody else does.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Client, Persona, Process, Upstream, World, eventually, text_of};

use crate::harness::{BINARY, block_on};

on_both! {
    without_credits_nothing_is_asked_and_nothing_is_stored;
    a_reply_is_charged_by_its_usage_and_stands_in_the_ledger;
    replies_at_once_never_overdraw;
    a_reply_that_fails_costs_nothing;
    a_reply_that_is_left_costs_what_was_said;
    who_leaves_before_the_first_word_pays_for_the_prompt;
    credits_are_granted_by_whoever_may_do_everything_alone;
    a_grant_and_a_change_are_checked;
}

/// What the account shows: free, held, charged.
async fn balance(by: &Persona) -> (u64, u64, u64) {
    let shown = by.get("/v1/credits").await.expect(200).data();
    let number = |name: &str| shown[name].as_u64().unwrap();
    assert_eq!(number("granted"), number("free") + number("held") + number("charged"), "{shown}");
    (number("free"), number("held"), number("charged"))
}

/// Waits for the account to show this.
async fn settles_at(by: &Persona, expected: (u64, u64, u64)) {
    let is_so = eventually(Duration::from_secs(5), async || balance(by).await == expected).await;
    assert!(is_so, "{:?} instead of {expected:?}", balance(by).await);
}

async fn meter(by: &Persona, amount: u64) {
    if amount > 0 {
        let _ = by.post("/v1/credits/grants", &json!({"amount": amount})).await.expect(201);
    }
    let _ = by.patch("/v1/credits", &json!({"metered": true})).await.expect(200);
}

async fn without_credits_nothing_is_asked_and_nothing_is_stored(world: &World) {
    let (upstream, owner) = (Upstream::start().await, world.secret());
    let bot = world.bot_on(&upstream, "echo-words").await;
    let session = world.open_session("session", &owner, &bot).await;
    let _ = session.say("before").await.rest().await;
    assert_eq!(owner.get("/v1/credits").await.expect(200).data()["metered"], false);
    meter(&owner, 0).await;
    let asked = upstream.requests().len();
    let refused = session.post(&session.messages(), &json!({"message": "hello"})).await;
    let _ = refused.refused(402, "INSUFFICIENT_CREDITS");
    let widget = world.widget().await;
    let from_page = world.open_session("widget_session", &widget, &bot).await;
    let refused = from_page.post(&from_page.messages(), &json!({"message": "hello"})).await;
    let _ = refused.refused(402, "INSUFFICIENT_CREDITS");

    let body = json!({"sessionId": "visitor-1", "message": "hello", "agentId": bot});
    for path in ["/v1/chat", "/v1/chat/stream"] {
        let request = world.client().post(path, &body).header("x-api-key", widget.credential());
        let answer = request.origin("https://example.com").send().await;
        assert_eq!((answer.status, answer.text().as_str()), (402, r#"{"error":"Insufficient credits"}"#), "{path}");
    }
    assert_eq!(upstream.requests().len(), asked, "no model was asked");
    assert_eq!(session.history().await.len(), 2, "and nothing was stored");
    assert!(from_page.history().await.is_empty());

    let test = world.test_secret().await;
    let test_bot = world.bot_of(&test).await;
    let events = world.open_session("test", &test, &test_bot).await.say("for nothing").await.rest().await;
    assert!(text_of(&events).contains("for nothing"), "test data costs nothing");
    let other = world.other_workspace_secret();
    let other_bot = world.bot_of(&other).await;
    let events = world.open_session("other", &other, &other_bot).await.say("for nothing").await.rest().await;
    assert!(text_of(&events).contains("for nothing"), "nor does another workspace");
    assert_eq!(balance(&owner).await, (0, 0, 0));

    let _ = owner.patch("/v1/credits", &json!({"metered": false})).await.expect(200);
    let events = session.say("again").await.rest().await;
    assert!(text_of(&events).contains("again"));
}

async fn a_reply_is_charged_by_its_usage_and_stands_in_the_ledger(world: &World) {
    let (upstream, owner) = (Upstream::start().await, world.secret());
    let bot = world.bot_on(&upstream, "echo-words").await;
    meter(&owner, 100).await;
    let session = world.open_session("session", &owner, &bot).await;
    let events = session.say(&"word ".repeat(1800)).await.rest().await;
    let usage = &events.last().unwrap().data["usage"];
    let tokens = usage["input_tokens"].as_u64().unwrap() + usage["output_tokens"].as_u64().unwrap();
    let cost = tokens.div_ceil(1000);
    assert!(cost > 3, "{usage}");
    settles_at(&owner, (100 - cost, 0, cost)).await;
    let _ = session.say("hi").await.rest().await;
    let entries = owner.get("/v1/credits/entries").await.expect(200).json();
    let second = entries["data"][0]["amount"].as_i64().unwrap().unsigned_abs();
    settles_at(&owner, (100 - cost - second, 0, cost + second)).await;
    assert_eq!(entries["meta"]["total"], 3);
    let rows = entries["data"].as_array().unwrap();
    let kinds: Vec<_> = rows.iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["charge", "charge", "grant"], "the newest first");
    assert_eq!(
        (&rows[1]["amount"], &rows[1]["conversation_id"]),
        (&json!(-i64::try_from(cost).unwrap()), &json!(session.id()))
    );
    let first = rows[2]["id"].as_str().unwrap();
    let onwards = owner.get(&format!("/v1/credits/entries?after={first}&per_page=1")).await.expect(200).json();
    assert_eq!((&onwards["data"][0], &onwards["meta"]["total"]), (&rows[1], &json!(3)));
}

async fn replies_at_once_never_overdraw(world: &World) {
    let (upstream, owner) = (Upstream::start().await, world.secret());
    let bot = world.bot_on(&upstream, "echo-words").await;
    meter(&owner, 25).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let session = world.open_session("session", &owner, &bot).await;
        tasks.spawn(async move {
            let mut answered = 0;
            for _ in 0..4 {
                let answer = session.post(&session.messages(), &json!({"message": "hello"})).await;
                assert!([200, 402].contains(&answer.status), "{} {}", answer.status, answer.text());
                answered += u64::from(answer.status == 200);
            }
            answered
        });
    }
    let answered: u64 = tasks.join_all().await.into_iter().sum();
    assert!((1..=25).contains(&answered), "{answered}");
    settles_at(&owner, (25 - answered, 0, answered)).await;
    assert_eq!(upstream.requests().len() as u64, answered, "whoever was refused asked no model");
}

async fn a_reply_that_fails_costs_nothing(world: &World) {
    let (upstream, owner) = (Upstream::start().await, world.secret());
    let bot = world.bot_on(&upstream, "status-500").await;
    meter(&owner, 25).await;
    let events = world.open_session("session", &owner, &bot).await.say("hello").await.rest().await;
    assert_eq!(events.last().unwrap().kind(), "error");
    settles_at(&owner, (25, 0, 0)).await;
}

async fn a_reply_that_is_left_costs_what_was_said(world: &World) {
    let (upstream, owner) = (Upstream::start().await, world.secret());
    let bot = world.bot_on(&upstream, "slow").await;
    meter(&owner, 25).await;
    let mut events = world.open_session("session", &owner, &bot).await.say("hello").await;
    let _ = events.until("chunk").await;
    assert_eq!(balance(&owner).await, (15, 10, 0), "held while it is said");
    drop(events);
    settles_at(&owner, (24, 0, 1)).await;
}

async fn who_leaves_before_the_first_word_pays_for_the_prompt(world: &World) {
    let (upstream, owner) = (Upstream::start().await, world.secret());
    let bot = world.bot_on(&upstream, "hang").await;
    meter(&owner, 25).await;
    let session = world.open_session("session", &owner, &bot).await;
    let left = session.say(&"word ".repeat(1800)).await;
    assert!(eventually(Duration::from_secs(5), async || upstream.requests().len() == 1).await);
    drop(left);
    settles_at(&owner, (23, 0, 2)).await;
    let stopped = session.say("again").await;
    assert!(eventually(Duration::from_secs(5), async || upstream.requests().len() == 2).await);
    let _ = session.request("POST", &format!("/v1/chat/sessions/{}/cancel", session.id())).send().await.expect(200);
    drop(stopped);
    settles_at(&owner, (21, 0, 4)).await;
    let ended = session.say("and again").await;
    assert!(eventually(Duration::from_secs(5), async || upstream.requests().len() == 3).await);
    let _ = session.request("POST", &format!("/v1/chat/sessions/{}/end", session.id())).send().await.expect(200);
    drop(ended);
    settles_at(&owner, (19, 0, 6)).await;
}

async fn credits_are_granted_by_whoever_may_do_everything_alone(world: &World) {
    let owner = world.secret();
    let scopes = ["usage:read", "usage:write", "api-keys:write", "members:write", "bots:write", "chat:write"];
    let wide = world.key("wide", json!({"name": "Wide", "scopes": scopes})).await;
    let grant = json!({"amount": 5});
    let refused = wide.post("/v1/credits/grants", &grant).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    assert_eq!(refused.json()["error"]["required_scope"], "admin");
    let _ = wide.patch("/v1/credits", &json!({"metered": false})).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let admin = world.service_account().await;
    let _ = admin.post("/v1/credits/grants", &grant).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    let test = world.test_secret().await;
    let _ = test.post("/v1/credits/grants", &grant).await.refused(403, "WRONG_CREDENTIAL");
    let _ = test.patch("/v1/credits", &json!({"metered": false})).await.refused(403, "WRONG_CREDENTIAL");
    for by in [world.widget().await, world.session().await] {
        let _ = by.post("/v1/credits/grants", &grant).await.refused(403, "WRONG_CREDENTIAL");
        let _ = by.get("/v1/credits").await.refused(403, "WRONG_CREDENTIAL");
        let _ = by.get("/v1/credits/entries").await.refused(403, "WRONG_CREDENTIAL");
    }
    let _ = world.restricted().await.get("/v1/credits").await.refused(403, "INSUFFICIENT_PERMISSIONS");
    assert_eq!(balance(&wide).await, (0, 0, 0), "nothing of it happened");

    let granted = owner.post("/v1/credits/grants", &json!({"amount": 5, "note": "thanks"})).await.expect(201).data();
    assert_eq!(
        (&granted["kind"], &granted["amount"], &granted["note"]),
        (&json!("grant"), &json!(5), &json!("thanks"))
    );
    assert_eq!((balance(&wide).await, balance(&test).await), ((5, 0, 0), (5, 0, 0)), "one account for both");
    assert_eq!(balance(&world.other_workspace_secret()).await, (0, 0, 0));
    assert_eq!(owner.get("/v1/credits").await.expect(200).data()["metered"], false, "a gift counts nothing");
}

async fn a_grant_and_a_change_are_checked(world: &World) {
    let owner = world.secret();
    for amount in
        [json!(0), json!(-1), json!(1.5), json!("5"), json!(1_000_000_001_u64), json!(4_294_967_301_u64), Value::Null]
    {
        let answer = owner.post("/v1/credits/grants", &json!({"amount": amount})).await;
        let _ = answer.refused(422, "VALIDATION_FAILED");
    }
    let long = json!({"amount": 1, "note": "x".repeat(201)});
    let _ = owner.post("/v1/credits/grants", &long).await.refused(422, "VALIDATION_FAILED");
    let _ = owner.patch("/v1/credits", &json!({})).await.refused(422, "VALIDATION_FAILED");
    let _ = owner.patch("/v1/credits", &json!({"metered": true, "free": 5})).await.refused(422, "VALIDATION_FAILED");
    let _ = owner.get("/v1/credits/entries?after=nonsense").await.refused(400, "INVALID_REQUEST");
    let send =
        || owner.request("POST", "/v1/credits/grants").header("idempotency-key", "once").json(&json!({"amount": 7}));
    let (first, second) = (send().send().await.expect(201), send().send().await.expect(201));
    assert_eq!(first.data(), second.data());
    assert_eq!(balance(&owner).await, (7, 0, 0), "a grant that is sent twice is given once");
}

#[test]
fn what_a_killed_server_held_is_free_when_it_is_back() {
    block_on(async {
        let scratch = tempfile::tempdir().unwrap();
        let data = scratch.path().join("data");
        let start = async || {
            let arguments = ["try", "--json", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
            let process = Process::start(BINARY, &arguments, &[("CHATELAINE_CREDITS__HOLD_SECONDS", "1")]);
            let made: Value = serde_json::from_str(&process.line(|line| line.starts_with('{')).await).unwrap();
            let client = Client::new(made["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap());
            (process, client, made["keys"]["secret"].as_str().unwrap().to_owned())
        };
        let (process, client, secret) = start().await;
        let upstream = Upstream::start().await;
        let post = async |client: Client, path: &str, body: Value| {
            client.post(path, &body).bearer(&secret).send().await.expect(201).json()
        };
        let bot = post(client, "/v1/bots", json!({"name": "Slow"})).await["data"]["id"].as_str().unwrap().to_owned();
        let model = json!({"name": "slow", "kind": "openai", "url": upstream.url(), "model": "slow"});
        let _ = post(client, &format!("/v1/bots/{bot}/integrations"), model).await;
        let _ = post(client, "/v1/credits/grants", json!({"amount": 12})).await;
        let _ = client
            .request("PATCH", "/v1/credits")
            .bearer(&secret)
            .json(&json!({"metered": true}))
            .send()
            .await
            .expect(200);
        let opened = post(client, "/v1/chat/sessions", json!({"agent_id": bot})).await;
        let (conversation, token) =
            (opened["conversation_id"].as_str().unwrap(), opened["session_token"].as_str().unwrap());
        let path = format!("/v1/chat/sessions/{conversation}/messages");
        let mut events = client.post(&path, &json!({"message": "hello"})).bearer(token).stream().await;
        let _ = events.until("chunk").await;
        let held = client.get("/v1/credits").bearer(&secret).send().await.expect(200).data();
        assert_eq!((&held["free"], &held["held"]), (&json!(2), &json!(10)));
        process.kill().await;

        tokio::time::sleep(Duration::from_millis(1100)).await;
        let (process, client, secret) = start().await;
        let is_free = eventually(Duration::from_secs(5), async || {
            let shown = client.get("/v1/credits").bearer(&secret).send().await.expect(200).data();
            shown["free"] == 12 && shown["held"] == 0 && shown["charged"] == 0
        });
        assert!(is_free.await, "still held");
        process.kill().await;
    });
}
