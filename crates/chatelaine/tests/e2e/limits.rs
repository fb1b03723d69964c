//! Budgets: what they count, what a refusal says, and who pays for a wrong key.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, Millis, SystemClock};
use serde_json::json;
use testkit::{Answer, Backend, Options, World};

/// A world whose clock stands still, with one budget that is small.
pub(crate) async fn world_with(backend: Backend, change: impl FnOnce(&mut Options)) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Millis::from_seconds(SystemClock::new().now().seconds())));
    let mut options = Options { clock: clock.clone(), ..Options::default() };
    change(&mut options);
    (World::with(backend, options).await, clock)
}

/// The numbers of `RateLimit: "name";r=1;t=2`.
fn members(field: &str) -> (String, Vec<(String, u64)>) {
    let mut parts = field.split(';');
    let name = parts.next().unwrap().trim_matches('"').to_owned();
    let numbers = parts.map(|part| part.split_once('=').map(|(k, v)| (k.to_owned(), v.parse().unwrap())).unwrap());
    (name, numbers.collect())
}

/// Its policy, remaining requests and quota.
#[track_caller]
fn budget(answer: &Answer) -> (String, u64, u64) {
    let (name, now) = members(answer.header("ratelimit"));
    let (policy, quota) = members(answer.header("ratelimit-policy"));
    assert_eq!(name, policy);
    let ([r, t], [q, w]) = (&now[..], &quota[..]) else { panic!("{now:?} {quota:?}") };
    assert_eq!((r.0.as_str(), t.0.as_str(), q.0.as_str(), w.0.as_str()), ("r", "t", "q", "w"));
    assert_eq!(w.1, 60);
    (name, r.1, q.1)
}

#[track_caller]
fn refused(answer: Answer, policy: &str) {
    let answer = answer.refused(429, "RATE_LIMITED");
    let (name, remaining, _) = budget(&answer);
    assert_eq!((name.as_str(), remaining), (policy, 0), "{:?}", answer.headers);
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    let (_, now) = members(answer.header("ratelimit"));
    assert!((1..=60).contains(&wait) && wait >= now[1].1.min(wait), "{:?}", answer.headers);
}

on_each! {
    a_workspace_has_a_budget_that_comes_back;
    a_refused_request_charges_nothing_and_does_nothing;
    a_key_may_have_a_budget_of_its_own;
    sessions_messages_and_history_have_budgets_of_their_own;
    a_wrong_key_costs_its_address_and_never_a_workspace;
    strangers_have_a_budget_by_address_and_probes_have_none;
}

async fn a_workspace_has_a_budget_that_comes_back(backend: Backend) {
    let (world, clock) = world_with(backend, |options| options.limits.workspace_per_minute = 6).await;
    let (key, other) = (world.secret(), world.other_workspace_secret());
    let mut remaining = Vec::new();
    let mut answer = key.get("/v1/me").await;
    while answer.status == 200 {
        let (name, left, quota) = budget(&answer);
        assert_eq!((name.as_str(), quota), ("workspace", 6));
        remaining.push(left);
        answer = key.get("/v1/me").await;
    }
    assert_eq!(remaining, [5, 4, 3, 2, 1, 0]);
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    refused(answer, "workspace");
    let _ = other.get("/v1/me").await.expect(200);
    clock.advance(Duration::from_secs(wait));
    let _ = key.get("/v1/me").await.expect(200);
    refused(key.get("/v1/me").await, "workspace");
    clock.advance(Duration::from_secs(60));
    for _ in 0..6 {
        let _ = key.get("/v1/me").await.expect(200);
    }
    refused(key.get("/v1/me").await, "workspace");
    world.end().await;
}

async fn a_refused_request_charges_nothing_and_does_nothing(backend: Backend) {
    let (world, clock) = world_with(backend, |options| options.limits.workspace_per_minute = 3).await;
    let key = world.secret();
    for _ in 0..3 {
        let _ = key.get("/v1/me").await.expect(200);
    }
    for _ in 0..10 {
        refused(key.post("/v1/bots", &json!({"name": "No"})).await, "workspace");
    }
    clock.advance(Duration::from_secs(20));
    assert_eq!(key.get("/v1/bots").await.expect(200).json()["meta"]["total"], 0);
    world.end().await;
}

async fn a_key_may_have_a_budget_of_its_own(backend: Backend) {
    let (world, _) = world_with(backend, |_| ()).await;
    let key = world.key("narrow", json!({"name": "Narrow", "rate_limit": 2})).await;
    for left in [1, 0] {
        assert_eq!(budget(&key.get("/v1/me").await.expect(200)), ("key".to_owned(), left, 2));
    }
    refused(key.get("/v1/me").await, "key");
    let _ = world.secret().get("/v1/me").await.expect(200);
    let _ = world.secret().patch(&format!("/v1/api-keys/{}", key.id()), &json!({"rate_limit": null})).await.expect(200);
    let _ = key.get("/v1/me").await.expect(200);
    world.end().await;
}

async fn sessions_messages_and_history_have_budgets_of_their_own(backend: Backend) {
    let change = |options: &mut Options| {
        options.limits.sessions_per_minute = 2;
        options.limits.messages_per_minute = 2;
        options.limits.history_per_minute = 3;
    };
    let (world, _) = world_with(backend, change).await;
    let bot = world.bot().await;
    let first = world.open_session("session", &world.secret(), &bot).await;
    let second = world.open_session("session", &world.secret(), &bot).await;
    refused(world.secret().post("/v1/chat/sessions", &json!({"agent_id": bot})).await, "sessions");
    let another = world.key("another", json!({"name": "Another"})).await;
    let _ = another.post("/v1/chat/sessions", &json!({"agent_id": bot})).await.expect(201);
    for _ in 0..2 {
        let _ = first.say("hi").await.rest().await;
    }
    refused(first.post(&first.messages(), &json!({"message": "hi"})).await, "messages");
    let _ = second.say("hi").await.rest().await;
    for _ in 0..3 {
        let _ = first.get(&first.messages()).await.expect(200);
    }
    refused(first.get(&first.messages()).await, "history");
    let _ = second.get(&second.messages()).await.expect(200);
    world.end().await;
}

async fn a_wrong_key_costs_its_address_and_never_a_workspace(backend: Backend) {
    let change = |options: &mut Options| {
        options.limits.failures_per_minute = 5;
        options.limits.workspace_per_minute = 50;
    };
    let (world, clock) = world_with(backend, change).await;
    let key = world.secret();
    let (_, before, _) = budget(&key.get("/v1/me").await.expect(200));
    let wrong = key.with("wrong", "sk_live_00000000000000000000000000000000000000");
    for _ in 0..5 {
        let _ = wrong.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    }
    for _ in 0..3 {
        let answer = wrong.get("/v1/me").await.refused(429, "RATE_LIMITED");
        assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|wait| wait >= 1));
    }
    let (_, after, _) = budget(&key.get("/v1/me").await.expect(200));
    assert_eq!(after, before - 1, "a good key from the same address still works, and paid for itself alone");
    clock.advance(Duration::from_secs(60));
    let _ = wrong.get("/v1/me").await.refused(401, "INVALID_API_KEY");
    world.end().await;
}

async fn strangers_have_a_budget_by_address_and_probes_have_none(backend: Backend) {
    let (world, _) = world_with(backend, |options| options.limits.public_per_minute = 3).await;
    let stranger = world.anonymous();
    let body = json!({"token": "x", "email": "a@b.example", "password": "fifteen characters", "workspace_name": "X"});
    for _ in 0..3 {
        let _ = stranger.post("/v1/setup", &body).await.refused(404, "NOT_FOUND");
    }
    refused(stranger.post("/v1/setup", &body).await, "address");
    for path in ["/healthz", "/health", "/readyz", "/metrics", "/openapi.json"] {
        for _ in 0..5 {
            let answer = stranger.get(path).await.expect(200);
            assert!(answer.header("ratelimit").is_empty(), "{path}");
        }
    }
    let _ = world.secret().get("/v1/me").await.expect(200);
    world.end().await;
}
