//! Schedules that start runs, on the clocks of a place.

use std::{sync::Arc, time::Duration};

use ambient::ManualClock;
use serde_json::json;
use testkit::{Backend, Options, World, eventually};

use crate::{
    triggers::{deploy, design, make, runs},
    workflows::survey,
};

on_each! {
    a_schedule_keeps_to_the_clocks_of_its_place;
    a_schedule_that_was_missed_starts_one_run_and_says_what_stopped_it;
    a_schedule_whose_key_has_expired_is_skipped_until_it_has_more_time;
    a_workspace_s_budget_bounds_its_schedules;
}

/// A world whose time a test moves.
async fn at(backend: Backend, time: &str) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(time.parse().unwrap()));
    let options = Options { clock: clock.clone(), ..Options::default() };
    (World::with(backend, options).await, clock)
}

fn advance(world: &World, clock: &ManualClock, minutes: u64) {
    clock.advance(Duration::from_secs(minutes * 60));
    world.server().running().app().runs().wake();
}

/// Waits until there are so many runs, and a little longer: there are no more.
async fn has_runs(world: &World, deployment: &str, count: usize) {
    let came = eventually(Duration::from_secs(10), async || runs(world, deployment).await.len() >= count);
    assert!(came.await, "{:?}", runs(world, deployment).await);
    world.server().running().app().runs().wake();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(runs(world, deployment).await.len(), count);
}

async fn a_schedule_keeps_to_the_clocks_of_its_place(backend: Backend) {
    // The night in which Berlin's clocks go from 02:00 to 03:00, at 01:00 UTC.
    let (world, clock) = at(backend, "2026-03-28T12:00:00Z").await;
    let deployment = deploy(&world, &design(), json!({})).await;
    let body = json!({
        "kind": "cron", "name": "Nights", "schedule": "30 2 * * *", "timezone": "Europe/Berlin",
        "input": {"customer": "Ada"},
    });
    let made = make(&world, &deployment, body).await;
    let times = ["2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z", "2026-03-31T00:30:00.000Z"];
    assert_eq!(made["next_times"], json!(times));
    advance(&world, &clock, 12 * 60 + 59);
    has_runs(&world, &deployment, 0).await;
    advance(&world, &clock, 1);
    has_runs(&world, &deployment, 1).await;
    advance(&world, &clock, 23 * 60 + 29);
    has_runs(&world, &deployment, 1).await;
    advance(&world, &clock, 1);
    has_runs(&world, &deployment, 2).await;
    assert!(runs(&world, &deployment).await.iter().all(|run| *run == ("cron".to_owned(), json!({"customer": "Ada"}))));
    let shown = world.secret().get(&format!("/v1/triggers/{}", made["id"].as_str().unwrap())).await.expect(200).data();
    assert_eq!((&shown["last_at"], &shown["last_error"]), (&json!(times[1]), &json!(null)));
    assert_eq!(shown["next_times"][0], times[2]);
    world.end().await;
}

async fn a_schedule_that_was_missed_starts_one_run_and_says_what_stopped_it(backend: Backend) {
    let (world, clock) = at(backend, "2026-11-22T12:00:30Z").await;
    let deployment = deploy(&world, &survey(), json!({"daily_runs": 2})).await;
    let made = make(&world, &deployment, json!({"kind": "cron", "name": "Often", "schedule": "*/5 * * * *"})).await;
    let path = format!("/v1/triggers/{}", made["id"].as_str().unwrap());
    // Nobody looks for an hour.
    clock.advance(Duration::from_secs(3600));
    let world = world.restart().await;
    has_runs(&world, &deployment, 1).await;
    let shown = world.secret().get(&path).await.expect(200).data();
    assert_eq!(shown["next_times"][0], "2026-11-22T13:05:00.000Z", "{shown}");
    advance(&world, &clock, 5);
    has_runs(&world, &deployment, 2).await;
    // The day is spent.
    advance(&world, &clock, 5);
    let look = async || world.secret().get(&path).await.expect(200).data();
    let said = eventually(Duration::from_secs(10), async || look().await["last_error"].is_string());
    assert!(said.await, "{}", look().await);
    let shown = look().await;
    assert!(shown["last_error"].as_str().unwrap().contains("2 runs"), "{shown}");
    assert_eq!(shown["next_times"][0], "2026-11-22T13:15:00.000Z");
    has_runs(&world, &deployment, 2).await;

    let revoke = format!("/v1/deployments/{deployment}/revoke");
    let _ = world.secret().post(&revoke, &json!({"runs": "cancel"})).await.expect(200);
    advance(&world, &clock, 5);
    let off = eventually(Duration::from_secs(10), async || look().await["enabled"] == false);
    assert!(off.await, "{}", look().await);
    let shown = look().await;
    assert_eq!((&shown["next_times"], &shown["last_error"]), (&json!([]), &json!("The deployment was revoked.")));
    has_runs(&world, &deployment, 2).await;
    world.end().await;
}

async fn a_workspace_s_budget_bounds_its_schedules(backend: Backend) {
    let clock = Arc::new(ManualClock::new("2026-11-22T12:00:30Z".parse().unwrap()));
    let mut options = Options { clock: clock.clone(), ..Options::default() };
    options.limits.workspace_per_minute = 9;
    let world = World::with(backend, options).await;
    let deployment = deploy(&world, &survey(), json!({})).await;
    for name in ["a", "b", "c"] {
        let _ = make(&world, &deployment, json!({"kind": "cron", "name": name, "schedule": "* * * * *"})).await;
    }
    // What is left is used; half of it comes back in half a minute, and two are for the schedules.
    for _ in 0..6 {
        let _ = world.secret().get("/v1/me").await;
    }
    clock.advance(Duration::from_secs(30));
    for _ in 0..2 {
        let _ = world.secret().get("/v1/me").await.expect(200);
    }
    world.server().running().app().runs().wake();
    has_runs(&world, &deployment, 2).await;
    let data = world.store().workspace(world.tenant());
    let skipped = async || {
        let all = data.triggers(deployment.parse().unwrap()).await.unwrap();
        all.into_iter().filter_map(|one| one.last_error).collect::<Vec<_>>()
    };
    let said = eventually(Duration::from_secs(10), async || skipped().await.len() == 1);
    assert!(said.await, "{:?}", skipped().await);
    assert_eq!(skipped().await, ["The workspace had used its budget of a minute."]);
    advance(&world, &clock, 1);
    has_runs(&world, &deployment, 5).await;
    assert!(skipped().await.is_empty(), "{:?}", skipped().await);
    world.end().await;
}

async fn a_schedule_whose_key_has_expired_is_skipped_until_it_has_more_time(backend: Backend) {
    let (world, clock) = at(backend, "2026-11-22T12:00:30Z").await;
    let deployment = deploy(&world, &survey(), json!({})).await;
    let made = make(&world, &deployment, json!({"kind": "cron", "name": "Often", "schedule": "*/5 * * * *"})).await;
    let path = format!("/v1/triggers/{}", made["id"].as_str().unwrap());
    let key = format!("/v1/api-keys/{}", deployment.replace("dep_", "key_"));
    let _ = world.secret().patch(&key, &json!({"expires_at": "2026-11-22T12:07:00Z"})).await.expect(200);
    advance(&world, &clock, 5);
    has_runs(&world, &deployment, 1).await;
    advance(&world, &clock, 5);
    let look = async || world.secret().get(&path).await.expect(200).data();
    let said = eventually(Duration::from_secs(10), async || look().await["last_error"].is_string());
    assert!(said.await, "{}", look().await);
    let shown = look().await;
    assert_eq!((&shown["last_error"], &shown["enabled"]), (&json!("The deployment's key has expired."), &json!(true)));
    assert_eq!(shown["next_times"][0], "2026-11-22T12:15:00.000Z");
    has_runs(&world, &deployment, 1).await;
    let _ = world.secret().patch(&key, &json!({"expires_at": null})).await.expect(200);
    advance(&world, &clock, 5);
    has_runs(&world, &deployment, 2).await;
    assert_eq!(look().await["last_error"], json!(null));
    world.end().await;
}
