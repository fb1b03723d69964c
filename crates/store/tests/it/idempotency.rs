use ambient::{Clock, Millis};
use credential::secret::Digest;
use store::{Attempt, Idempotent, KeyFilter, StoreError, Workspace, in_this_attempt};

use crate::databases::{FIRST, by, digest, new_bot, new_key, on_each};

const DAY: u64 = 24 * 60 * 60 * 1000;

async fn begin(workspace: &Workspace, body: Digest, now: Millis) -> Idempotent {
    workspace.begin_idempotent("key_1", "create_bot", "abc", &body, now).await.unwrap()
}

async fn fresh(workspace: &Workspace, body: Digest, now: Millis) -> Attempt {
    match begin(workspace, body, now).await {
        Idempotent::Fresh(attempt) => attempt,
        other => unreachable!("{other:?}"),
    }
}

async fn finish(workspace: &Workspace, attempt: &Attempt, body: &[u8]) -> Result<(), StoreError> {
    workspace.finish_idempotent(attempt, 201, body).await
}

async fn bots(workspace: &Workspace) -> u64 {
    workspace.bots(FIRST).await.unwrap().total
}

#[tokio::test]
async fn the_same_request_is_answered_the_same() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let now = world.clock.now();
        let attempt = fresh(&live, digest(1), now).await;
        assert!(matches!(begin(&live, digest(1), now).await, Idempotent::Running));
        assert!(matches!(begin(&live, digest(2), now).await, Idempotent::OtherBody));
        finish(&live, &attempt, &[0, 1, 255]).await.unwrap();
        let replay = begin(&live, digest(1), world.advance(DAY)).await;
        assert!(matches!(&replay, Idempotent::Replay { status: 201, body } if body == &[0, 1, 255]), "{replay:?}");
        assert!(matches!(begin(&live, digest(2), now).await, Idempotent::OtherBody));
    })
    .await;
}

#[tokio::test]
async fn another_caller_operation_key_tenant_or_environment_is_another_request() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        let (theirs, _) = world.tenant("theirs").await;
        let (now, body) = (world.clock.now(), digest(1));
        begin(&live, body, now).await;
        let others = [
            begin(&test, body, now).await,
            begin(&theirs, body, now).await,
            live.begin_idempotent("key_2", "create_bot", "abc", &body, now).await.unwrap(),
            live.begin_idempotent("key_1", "create_key", "abc", &body, now).await.unwrap(),
            live.begin_idempotent("key_1", "create_bot", "abd", &body, now).await.unwrap(),
        ];
        assert!(others.iter().all(|other| matches!(other, Idempotent::Fresh(_))), "{others:?}");
    })
    .await;
}

#[tokio::test]
async fn of_two_at_once_one_runs() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let mut now = world.clock.now();
        for _ in 0..5 {
            let (a, b) = tokio::join!(begin(&live, digest(1), now), begin(&live, digest(1), now));
            let fresh = [&a, &b].into_iter().filter(|one| matches!(one, Idempotent::Fresh(_))).count();
            assert_eq!(fresh, 1, "{a:?} {b:?}: also when both find an abandoned one");
            now = world.advance(60_001);
        }
    })
    .await;
}

#[tokio::test]
async fn an_attempt_that_was_given_up_may_be_repeated_and_comes_back_too_late() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let first = fresh(&live, digest(1), world.clock.now()).await;
        live.abandon_idempotent(&first).await.unwrap();
        let first = fresh(&live, digest(2), world.clock.now()).await;

        assert!(matches!(begin(&live, digest(2), world.advance(60_000)).await, Idempotent::Running));
        let now = world.advance(1);
        let second = fresh(&live, digest(3), now).await;
        finish(&live, &first, b"late").await.unwrap();
        live.abandon_idempotent(&first).await.unwrap();
        assert!(matches!(begin(&live, digest(3), now).await, Idempotent::Running), "the late one changed nothing");
        finish(&live, &second, b"right").await.unwrap();
        live.abandon_idempotent(&second).await.unwrap();
        let replay = begin(&live, digest(3), now).await;
        assert!(matches!(&replay, Idempotent::Replay { body, .. } if body == b"right"), "{replay:?}");
    })
    .await;
}

#[tokio::test]
async fn answers_are_forgotten_after_a_day() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let attempt = fresh(&live, digest(1), world.clock.now()).await;
        finish(&live, &attempt, b"x").await.unwrap();
        assert_eq!(world.store.sweep(world.advance(DAY)).await.unwrap(), 0);
        let later = world.advance(1);
        let attempt = fresh(&live, digest(2), later).await;
        assert!(!attempt.is_again(), "also before the sweep");
        finish(&live, &attempt, b"y").await.unwrap();
        assert_eq!(world.store.sweep(world.advance(DAY + 1)).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn after_a_crash_an_attempt_goes_on_with_what_the_one_before_has_made() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let first = fresh(&live, digest(1), world.clock.now()).await;
        let made = first.run(live.create_bot(new_bot("Once"), by("create_bot"))).await.unwrap();
        assert!(matches!(begin(&live, digest(2), world.advance(60_001)).await, Idempotent::OtherBody));
        let second = fresh(&live, digest(1), world.clock.now()).await;
        assert!(second.is_again() && !first.is_again());
        let again = second.run(live.create_bot(new_bot("Once"), by("create_bot"))).await.unwrap();
        assert_eq!((again.id, bots(&live).await), (made.id, 1));

        // It fails, and the next one begins at once, with the same.
        live.abandon_idempotent(&second).await.unwrap();
        let third = fresh(&live, digest(1), world.clock.now()).await;
        let again = third.run(in_this_attempt(live.create_bot(new_bot("Once"), by("create_bot")))).await.unwrap();
        assert_eq!((again.id, bots(&live).await), (made.id, 1));
        finish(&live, &third, b"x").await.unwrap();
        assert!(matches!(begin(&live, digest(1), world.clock.now()).await, Idempotent::Replay { .. }));
    })
    .await;
}

#[tokio::test]
async fn an_attempt_whose_place_was_taken_commits_nothing() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let slow = fresh(&live, digest(1), world.clock.now()).await;
        let quick = fresh(&live, digest(1), world.advance(60_001)).await;
        assert!(!quick.is_again(), "nothing was done until now");
        let refused = slow.run(live.create_bot(new_bot("Slow"), by("create_bot"))).await;
        assert!(matches!(refused, Err(StoreError::Conflict("another attempt"))) && bots(&live).await == 0);
        quick.run(live.create_bot(new_bot("Quick"), by("create_bot"))).await.unwrap();
        finish(&live, &quick, b"x").await.unwrap();
        let refused = slow.run(live.create_bot(new_bot("Slow"), by("create_bot"))).await;
        assert!(matches!(refused, Err(StoreError::Conflict("another attempt"))) && bots(&live).await == 1);
    })
    .await;
}

#[tokio::test]
async fn what_was_done_without_an_id_is_not_done_again() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let first = fresh(&live, digest(1), world.clock.now()).await;
        first.run(live.grant_credits(5, None, by("grant_credits"))).await.unwrap();
        assert!(matches!(begin(&live, digest(1), world.clock.now()).await, Idempotent::Running));
        assert!(matches!(begin(&live, digest(1), world.advance(60_001)).await, Idempotent::Lost));

        // Who was told that it failed may try again.
        live.abandon_idempotent(&first).await.unwrap();
        assert!(!fresh(&live, digest(2), world.clock.now()).await.is_again());
    })
    .await;
}

#[tokio::test]
async fn a_key_that_nobody_has_seen_gets_another_secret() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let first = fresh(&live, digest(1), world.clock.now()).await;
        let made = first.run(live.create_key(new_key(7), by("create_key"))).await.unwrap();
        let second = fresh(&live, digest(1), world.advance(60_001)).await;
        let again = second.run(live.create_key(new_key(8), by("create_key"))).await.unwrap();
        let total = live.keys(FIRST, KeyFilter::default()).await.unwrap().total;
        assert_eq!((again.id, again.secrets.len(), total), (made.id, 1, 1));
        assert_eq!(again.secrets[0].digest, digest(8), "and the one before is over");
        assert!(again.version > made.version, "so that the keyring takes it");
    })
    .await;
}

#[tokio::test]
async fn debug_does_not_show_a_kept_body() {
    let replay = Idempotent::Replay { status: 201, body: b"sk_live".to_vec() };
    assert_eq!(format!("{replay:?}"), "Replay(201)");
}
