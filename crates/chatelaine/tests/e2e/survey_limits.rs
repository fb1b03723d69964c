//! How often runs start: by address, by deployment and minute, by deployment and day.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, Millis, SystemClock};
use serde_json::{Value, json};
use testkit::{Answer, Backend, Options, Persona, World, eventually, id_of};

use crate::workflows::survey;

on_each! {
    strangers_start_so_many_by_address_and_a_network_is_one;
    a_deployment_s_minute_is_everybody_s;
    a_deployment_s_day_goes_on_after_a_restart;
    the_installation_s_day_bounds_strangers_alone;
    the_installation_s_day_bounds_replies_to_strangers_alone;
}

async fn world_with(backend: Backend, change: impl FnOnce(&mut Options)) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Millis::from_seconds(SystemClock::new().now().seconds())));
    let mut options = Options { clock: clock.clone(), ..Options::default() };
    change(&mut options);
    (World::with(backend, options).await, clock)
}

/// The id and the holder of the key of a new survey.
async fn deploy(world: &World, settings: Value) -> (String, Persona) {
    deploy_as(world, &survey(), settings).await
}

async fn deploy_as(world: &World, definition: &Value, mut settings: Value) -> (String, Persona) {
    settings["survey_mode"] = json!(true);
    let workflow = json!({"name": "Survey", "definition": definition});
    let workflow = id_of(&world.secret().post("/v1/workflows", &workflow).await.expect(201));
    let made = world.secret().post(&format!("/v1/workflows/{workflow}/deployments"), &settings).await.expect(201);
    let key = made.data()["key"].as_str().unwrap().to_owned();
    (id_of(&made), world.anonymous().with("deployment", key))
}

async fn start(world: &World, survey: &str) -> Answer {
    world.anonymous().post(&format!("/api/public/surveys/{survey}/start"), &json!({})).await
}

async fn by_key(key: &Persona) -> Answer {
    key.post("/api/v1/runs", &json!({})).await
}

#[track_caller]
fn refused(answer: Answer, policy: &str) {
    let answer = answer.refused(429, "RATE_LIMITED");
    assert!(answer.header("ratelimit").starts_with(&format!("\"{policy}\"")), "{:?}", answer.headers);
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|wait| wait >= 1), "{:?}", answer.headers);
}

async fn strangers_start_so_many_by_address_and_a_network_is_one(backend: Backend) {
    let change = |options: &mut Options| {
        options.limits.public_starts_per_minute = 2;
        options.trusted_proxies = vec!["127.0.0.1/32".to_owned()];
    };
    let (world, clock) = world_with(backend, change).await;
    let (survey, _) = deploy(&world, json!({})).await;
    let path = format!("/api/public/surveys/{survey}/start");
    let from =
        async |address: &str| world.client().post(&path, &json!({})).header("x-forwarded-for", address).send().await;
    for address in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9"] {
        let _ = from(address).await.expect(200);
    }
    refused(from("2001:db8:1:2:abcd::3").await, "public-starts");
    let _ = from("2001:db8:1:3::1").await.expect(200);
    for address in ["192.0.2.1", "::ffff:192.0.2.1"] {
        let _ = from(address).await.expect(200);
    }
    refused(from("192.0.2.1").await, "public-starts");
    let _ = from("192.0.2.2").await.expect(200);
    clock.advance(Duration::from_secs(30));
    let _ = from("192.0.2.1").await.expect(200);
    refused(from("192.0.2.1").await, "public-starts");
    world.end().await;
}

async fn a_deployment_s_minute_is_everybody_s(backend: Backend) {
    let (world, clock) = world_with(backend, |_| ()).await;
    let (survey, key) = deploy(&world, json!({"runs_per_minute": 2, "daily_runs": 100})).await;
    let (other, _) = deploy(&world, json!({})).await;
    let _ = start(&world, &survey).await.expect(200);
    let _ = by_key(&key).await.expect(202);
    refused(start(&world, &survey).await, "deployment-minute");
    refused(by_key(&key).await, "deployment-minute");
    let _ = start(&world, &other).await.expect(200);
    clock.advance(Duration::from_secs(30));
    let _ = by_key(&key).await.expect(202);
    refused(start(&world, &survey).await, "deployment-minute");
    world.end().await;
}

async fn a_deployment_s_day_goes_on_after_a_restart(backend: Backend) {
    let (world, clock) = world_with(backend, |_| ()).await;
    let (survey, key) = deploy(&world, json!({"daily_runs": 4})).await;
    for _ in 0..2 {
        let _ = start(&world, &survey).await.expect(200);
    }
    let _ = by_key(&key).await.expect(202);
    let world = world.restart().await;
    let key = key.on(world.client());
    let _ = by_key(&key).await.expect(202);
    refused(start(&world, &survey).await, "deployment-day");
    refused(by_key(&key).await, "deployment-day");
    let world = world.restart().await;
    refused(start(&world, &survey).await, "deployment-day");
    clock.advance(Duration::from_hours(6));
    let _ = start(&world, &survey).await.expect(200);
    refused(start(&world, &survey).await, "deployment-day");
    clock.advance(Duration::from_hours(25));
    let world = world.restart().await;
    for _ in 0..4 {
        let _ = start(&world, &survey).await.expect(200);
    }
    refused(start(&world, &survey).await, "deployment-day");
    world.end().await;
}

async fn the_installation_s_day_bounds_strangers_alone(backend: Backend) {
    let (world, _) = world_with(backend, |options| options.limits.public_starts_per_day = 2).await;
    let (survey, key) = deploy(&world, json!({})).await;
    for _ in 0..3 {
        let _ = by_key(&key).await.expect(202);
    }
    let _ = start(&world, &survey).await.expect(200);
    let world = world.restart().await;
    let _ = start(&world, &survey).await.expect(200);
    refused(start(&world, &survey).await, "deployment-day");
    let _ = by_key(&key.on(world.client())).await.expect(202);
    world.end().await;
}

/// What became of the only question to a bot: `agent.said`, or the code of why it waits.
async fn replied(world: &World, run: &str) -> String {
    let run = run.parse().unwrap();
    let runs = world.server().running().app().runs().clone();
    let mut told = String::new();
    let came = eventually(Duration::from_secs(10), async || {
        let events = runs.events(world.tenant(), run, 0, 100).await.unwrap();
        told = events
            .iter()
            .find_map(|event| match event.kind.as_str() {
                "timer.set" => event.data["code"].as_str().map(str::to_owned),
                "agent.said" => Some("agent.said".to_owned()),
                _ => None,
            })
            .unwrap_or_default();
        !told.is_empty()
    });
    assert!(came.await);
    told
}

async fn the_installation_s_day_bounds_replies_to_strangers_alone(backend: Backend) {
    let (world, clock) = world_with(backend, |options| options.limits.public_replies_per_day = 2).await;
    let mut design = survey();
    design["children"] = json!([{"type": "Agent", "id": "say", "bot": world.bot().await, "prompt": "Say something."}]);
    let (survey, key) = deploy_as(&world, &design, json!({})).await;
    let (roomy, _) = deploy_as(&world, &design, json!({"daily_replies": 4})).await;
    let run_of = |answer: Answer| answer.json()["run_id"].as_str().unwrap().to_owned();
    let stranger =
        async |world: &World, survey: &str| replied(world, &run_of(start(world, survey).await.expect(200))).await;
    for _ in 0..3 {
        assert_eq!(replied(&world, &run_of(by_key(&key).await.expect(202))).await, "agent.said");
        assert_eq!(stranger(&world, &roomy).await, "agent.said", "a deployment's own ceiling stands for the default");
    }
    assert_eq!(stranger(&world, &survey).await, "agent.said");
    let world = world.restart().await;
    assert_eq!(stranger(&world, &survey).await, "agent.said");
    assert_eq!(stranger(&world, &survey).await, "daily_replies");
    let key = key.on(world.client());
    assert_eq!(replied(&world, &run_of(by_key(&key).await.expect(202))).await, "agent.said");
    // Enough for the one that waits, and for one more.
    clock.advance(Duration::from_hours(24));
    assert_eq!(stranger(&world, &survey).await, "agent.said");
    world.end().await;
}
