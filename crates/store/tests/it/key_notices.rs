//! What is told of keys: that they were made, rotated, revoked, exposed, and that their end is near.

use ambient::{Millis, Ulid, WebhookId};
use serde_json::{Value, json};
use sqlx::{Connection, Row};
use store::{KeyChange, KeyFilter, KeySettings, NewWebhook, ServiceAccountChange, Workspace};

use crate::databases::{
    FIRST, START, World, by, connect, deployed, new_account, new_key, on_each, run, secret, test_key,
};

const DAY: i64 = 86_400_000;

/// An endpoint of the tenant that hears everything.
async fn listen(tenant: &Workspace, n: u128) {
    let new = NewWebhook {
        id: WebhookId(Ulid((u128::from(u32::MAX) << 90) + n)),
        url: "https://example.com/hook".to_owned(),
        events: None,
        description: None,
        secret_sealed: vec![1],
        is_active: true,
    };
    tenant.create_webhook(new, by("create_webhook")).await.unwrap();
}

/// What was told since the last call: kind, environment and data, in its order.
async fn told(world: &World) -> Vec<(String, String, Value)> {
    dated(world).await.into_iter().map(|(_, told)| told).collect()
}

/// The same, and on which day of the world.
async fn dated(world: &World) -> Vec<(i64, (String, String, Value))> {
    let mut connection = connect(&world.url).await;
    let all = "SELECT kind, environment, data, created_at FROM webhook_events ORDER BY created_at, kind, id";
    let rows = sqlx::query(all).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    run(&world.url, "DELETE FROM webhook_events").await;
    let day = |at: i64| Millis(at).since(START) / DAY;
    rows.iter()
        .map(|row| (day(row.get(3)), (row.get(0), row.get(1), serde_json::from_str(row.get(2)).unwrap())))
        .collect()
}

async fn kinds(world: &World) -> Vec<String> {
    told(world).await.into_iter().map(|(kind, ..)| kind).collect()
}

async fn give(world: &World) {
    while world.store.give_key_notices(world.clock_now()).await.unwrap() {}
}

impl World {
    fn clock_now(&self) -> Millis {
        use ambient::Clock;
        self.clock.now()
    }
}

/// Goes on with four looks a day, and says on which days what was told of whom.
async fn live_through(world: &World, days: u64) -> Vec<(i64, String, String, i64)> {
    for _ in 0..days * 4 {
        world.advance(6 * 3_600_000);
        give(world).await;
    }
    let seen = dated(world).await.into_iter();
    let shown = |(day, (kind, _, data)): (i64, (String, String, Value))| {
        (day, kind, data["name"].as_str().unwrap().to_owned(), data["days_left"].as_i64().unwrap_or(-1))
    };
    seen.map(shown).collect()
}

#[tokio::test]
async fn a_year_brings_each_warning_once_at_its_time() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        listen(&live, 1).await;
        listen(&test, 2).await;
        let ends = |n: u8, days: i64| store::NewKey { expires_at: Some(START.plus(days * DAY)), ..new_key(n) };
        live.create_key(ends(1, 365), by("create")).await.unwrap();
        live.create_key(ends(2, 10), by("create")).await.unwrap();
        live.create_key(ends(3, 1), by("create")).await.unwrap();
        live.create_key(new_key(4), by("create")).await.unwrap();
        let revoked = live.create_key(ends(5, 100), by("create")).await.unwrap().id;
        live.revoke_key(revoked, START, by("revoke")).await.unwrap();
        let settings = KeySettings { rotate_after: Some(START.plus(90 * DAY)), ..KeySettings::default() };
        live.create_key(store::NewKey { settings, ..new_key(6) }, by("create")).await.unwrap();
        live.create_key(store::NewKey { expires_at: Some(START.plus(40 * DAY)), ..test_key(7) }, by("create"))
            .await
            .unwrap();
        told(world).await;

        let expiring = |day, name: &str, left| (day, "api_key.expiring".to_owned(), name.to_owned(), left);
        let seen = live_through(world, 366).await;
        let expected = [
            expiring(3, "key 2", 7),
            expiring(9, "key 2", 1),
            expiring(10, "key 7", 30),
            expiring(33, "key 7", 7),
            expiring(39, "key 7", 1),
            (90, "api_key.rotation_due".to_owned(), "key 6".to_owned(), -1),
            expiring(335, "key 1", 30),
            expiring(358, "key 1", 7),
            expiring(364, "key 1", 1),
        ];
        assert_eq!(seen, expected);
    })
    .await;
}

#[tokio::test]
async fn a_warning_says_which_key_ends_when_and_is_heard_in_the_keys_environment() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        listen(&test, 2).await;
        let end = START.plus(31 * DAY);
        let settings =
            KeySettings { owner: Some("ada".to_owned()), purpose: Some("CI".to_owned()), ..KeySettings::default() };
        let new = store::NewKey { expires_at: Some(end), settings, ..test_key(1) };
        let made = live.create_key(new, by("create")).await.unwrap();
        let created = told(world).await.remove(0);
        assert_eq!((created.0.as_str(), created.1.as_str()), ("api_key.created", "test"), "made by a live tenant");
        world.advance(DAY as u64 + 60_000);
        give(world).await;
        let (kind, environment, data) = told(world).await.remove(0);
        assert_eq!((kind.as_str(), environment.as_str()), ("api_key.expiring", "test"));
        let expected = json!({
            "id": made.id, "name": "key 1", "display": "sk_live_0001…0001", "kind": "secret", "environment": "test",
            "service_account_id": null, "owner": "ada", "purpose": "CI", "by": {"kind": "system", "id": ""},
            "request_id": null, "expires_at": end, "days_left": 30,
        });
        assert_eq!(data, expected);
        give(world).await;
        assert!(told(world).await.is_empty(), "once");
    })
    .await;
}

#[tokio::test]
async fn another_end_is_warned_of_anew_and_the_same_one_is_not() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        listen(&live, 1).await;
        let end = START.plus(8 * DAY);
        let id = live.create_key(store::NewKey { expires_at: Some(end), ..new_key(1) }, by("create")).await.unwrap().id;
        let set_end = async |end: Option<Millis>| {
            let change = KeyChange { expires_at: Some(end), ..KeyChange::default() };
            live.update_key(id, change, by("update")).await.unwrap();
        };
        told(world).await;
        world.advance(DAY as u64);
        give(world).await;
        assert_eq!(kinds(world).await, ["api_key.expiring"], "7 days");
        set_end(Some(START.plus(20 * DAY))).await;
        set_end(Some(end)).await;
        give(world).await;
        assert!(kinds(world).await.is_empty(), "about this end it was said");
        set_end(Some(START.plus(20 * DAY))).await;
        let seen: Vec<_> = live_through(world, 20).await.into_iter().map(|(day, _, _, left)| (day, left)).collect();
        assert_eq!(seen, [(13, 7), (19, 1)], "the 30 days of the new end were over when it was set");
    })
    .await;
}

#[tokio::test]
async fn what_nobody_was_there_to_say_is_said_once_and_as_it_is_then() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        listen(&live, 1).await;
        let ends = |n: u8, days: i64| store::NewKey { expires_at: Some(START.plus(days * DAY)), ..new_key(n) };
        for (n, days) in [(1, 40), (2, 36), (3, 35)] {
            live.create_key(ends(n, days), by("create")).await.unwrap();
        }
        told(world).await;
        world.advance(35 * DAY as u64);
        give(world).await;
        let mut said: Vec<_> = told(world)
            .await
            .into_iter()
            .map(|(_, _, data)| (data["name"].as_str().unwrap().to_owned(), data["days_left"].as_i64().unwrap()))
            .collect();
        said.sort();
        assert_eq!(said, [("key 1".to_owned(), 5), ("key 2".to_owned(), 1)], "key 3 has ended");
    })
    .await;
}

#[tokio::test]
async fn a_disabled_accounts_key_is_not_spoken_of_until_it_works_again() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        listen(&live, 1).await;
        let account = live.create_service_account(new_account("a"), by("create")).await.unwrap().id;
        let end = START.plus(31 * DAY);
        let new = store::NewKey { service_account: Some(account), expires_at: Some(end), ..new_key(1) };
        live.create_key(new, by("create")).await.unwrap();
        told(world).await;
        let set = async |disabled_at| {
            let change = ServiceAccountChange { disabled_at: Some(disabled_at), ..Default::default() };
            live.update_service_account(account, change, by("update")).await.unwrap();
        };
        set(Some(START)).await;
        assert!(live_through(world, 10).await.is_empty());
        set(None).await;
        let seen: Vec<_> = live_through(world, 20).await.into_iter().map(|(day, _, _, left)| (day, left)).collect();
        assert_eq!(seen, [(24, 7), (30, 1)]);
    })
    .await;
}

#[tokio::test]
async fn a_reminder_that_is_set_later_does_not_make_a_warning_late_and_an_overdue_one_comes_at_once() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        listen(&live, 1).await;
        let end = START.plus(8 * DAY);
        let id = live.create_key(store::NewKey { expires_at: Some(end), ..new_key(1) }, by("create")).await.unwrap().id;
        told(world).await;
        let remind = async |at: Millis| {
            let settings = KeySettings { rotate_after: Some(at), ..KeySettings::default() };
            let change = KeyChange { settings: Some(settings), ..KeyChange::default() };
            live.update_key(id, change, by("update")).await.unwrap();
        };
        world.advance(DAY as u64 + 1);
        remind(START.plus(5 * DAY)).await;
        give(world).await;
        assert_eq!(kinds(world).await, ["api_key.expiring"], "it was due when the reminder was set");
        remind(START).await;
        give(world).await;
        assert_eq!(kinds(world).await, ["api_key.rotation_due"]);
        remind(START).await;
        give(world).await;
        assert!(kinds(world).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn keys_of_before_are_looked_at_once_and_found_by_the_index() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        listen(&live, 1).await;
        let end = START.plus(40 * DAY);
        for n in 0..120 {
            live.create_key(store::NewKey { expires_at: Some(end), ..new_key(n) }, by("create")).await.unwrap();
        }
        told(world).await;
        if world.store.backend() == "sqlite" {
            let mut connection = connect(&world.url).await;
            let due = store::catalogue::all().into_iter().find(|statement| statement.name == "due_notices").unwrap();
            let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", due.sql)));
            let plan = plan.bind(0_i64).bind(1_i64).fetch_all(&mut connection).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
            assert!(plan[0].contains("USING INDEX api_keys_by_notice"), "{plan:?}");
            connection.close().await.unwrap();
        }
        run(&world.url, "UPDATE api_keys SET notice_at = 0").await;
        give(world).await;
        assert!(kinds(world).await.is_empty());
        let writes = world.store.writes();
        give(world).await;
        assert!(world.store.writes() - writes <= 1, "nothing is left to do");
        world.advance(10 * DAY as u64);
        assert!(world.store.give_key_notices(world.clock_now()).await.unwrap(), "a few at a time");
        give(world).await;
        assert_eq!(kinds(world).await.len(), 120);
    })
    .await;
}

#[tokio::test]
async fn a_key_that_cannot_be_read_keeps_no_other_waiting() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        listen(&live, 1).await;
        let ends = |n: u8| store::NewKey { expires_at: Some(START.plus(31 * DAY)), ..new_key(n) };
        let broken = live.create_key(ends(1), by("create")).await.unwrap().id;
        live.create_key(ends(2), by("create")).await.unwrap();
        told(world).await;
        run(&world.url, &format!("UPDATE api_keys SET kind = 'hush' WHERE id = '{broken}'")).await;
        world.advance(DAY as u64);
        give(world).await;
        let said = told(world).await;
        assert_eq!((said.len(), &said[0].2["name"]), (1, &json!("key 2")));
    })
    .await;
}

#[tokio::test]
async fn what_happens_to_a_key_is_told_with_it_and_by_whom() {
    on_each(async |world| {
        let (live, _, deployment) = deployed(world, "ours").await;
        listen(&live, 1).await;
        let id = live.create_key(new_key(11), by("create")).await.unwrap().id;
        let made = told(world).await.remove(0);
        assert_eq!((made.0.as_str(), &made.2["id"]), ("api_key.created", &json!(id)));
        live.rotate_key(id, secret(12), START.plus(5), false, by("rotate")).await.unwrap();
        let rotated = told(world).await.remove(0);
        assert_eq!(rotated.0, "api_key.rotated");
        assert_eq!(rotated.2["display"], "sk_live_0012…0012", "the new one");
        assert_eq!(rotated.2["previous_expires_at"], json!(START.plus(5)));
        let detail = Some(json!({"origin": "https://shop.example"}));
        live.record_exposure(id, store::AuditEntry { detail, ..by("api_key.exposed") }).await.unwrap();
        let exposed = told(world).await.remove(0);
        assert_eq!((exposed.0.as_str(), &exposed.2["origin"]), ("api_key.exposed", &json!("https://shop.example")));
        assert_eq!(live.audit(FIRST, Some("api_key.exposed")).await.unwrap().total, 1);
        live.revoke_key(id, START, by("revoke")).await.unwrap();
        live.revoke_key(id, START, by("revoke")).await.unwrap();
        assert_eq!(kinds(world).await, ["api_key.revoked"], "once");
        live.revoke_deployment(deployment, START, by("revoke_deployment")).await.unwrap();
        let of_deployment = told(world).await.remove(0);
        assert_eq!((of_deployment.0.as_str(), &of_deployment.2["kind"]), ("api_key.revoked", &json!("deployment")));
        let account = live.create_service_account(new_account("a"), by("create")).await.unwrap().id;
        for n in 21..24 {
            let new = store::NewKey { service_account: Some(account), ..new_key(n) };
            live.create_key(new, by("create")).await.unwrap();
        }
        told(world).await;
        live.delete_service_account(account, by("delete")).await.unwrap();
        let gone = told(world).await;
        assert_eq!(gone.len(), 3, "one for each key");
        assert!(
            gone.iter()
                .all(|(kind, _, data)| kind == "api_key.revoked" && data["service_account_id"] == json!(account))
        );
        let refused = live.rotate_key(id, secret(13), START, false, by("rotate")).await;
        assert!(refused.is_err() && kinds(world).await.is_empty(), "what is not done is not told");
    })
    .await;
}

#[tokio::test]
async fn a_grace_ends_when_somebody_ends_it() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        let id = live.create_key(new_key(1), by("create")).await.unwrap().id;
        live.rotate_key(id, secret(2), START.plus(1000), false, by("rotate")).await.unwrap();
        world.advance(10);
        assert!(test.end_key_grace(id, by("end")).await.is_err(), "a live key is not of the test data");
        let ended = live.end_key_grace(id, by("end")).await.unwrap();
        assert_eq!((ended.secrets.len(), ended.secrets[0].digest.0[0], ended.version), (1, 2, 3));
        let again = live.end_key_grace(id, by("end")).await.unwrap();
        assert_eq!((again.secrets.len(), again.version), (1, 3), "nothing is left to change");
        let logged = crate::databases::logged(&live).await;
        assert_eq!(logged.iter().filter(|action| *action == "end").count(), 1);
        assert_eq!(live.keys(FIRST, KeyFilter::default()).await.unwrap().total, 1);
        live.revoke_key(id, START, by("revoke")).await.unwrap();
        assert!(matches!(live.end_key_grace(id, by("end")).await, Err(store::StoreError::Conflict("revoked"))));
    })
    .await;
}
