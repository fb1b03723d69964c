use ambient::{Clock, Millis};
use credential::secret::Digest;
use store::{Idempotent, StoreError, Workspace};

use crate::databases::{digest, on_each};

const DAY: u64 = 24 * 60 * 60 * 1000;

async fn begin(workspace: &Workspace, body: Digest, now: Millis) -> Idempotent {
    workspace.begin_idempotent("key_1", "create_bot", "abc", &body, now).await.unwrap()
}

async fn finish(workspace: &Workspace, begun: Millis, body: &[u8]) -> Result<(), StoreError> {
    workspace.finish_idempotent("key_1", "create_bot", "abc", begun, 201, body).await
}

#[tokio::test]
async fn the_same_request_is_answered_the_same() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let now = world.clock.now();
        assert!(matches!(begin(&live, digest(1), now).await, Idempotent::Fresh));
        assert!(matches!(begin(&live, digest(1), now).await, Idempotent::Running));
        assert!(matches!(begin(&live, digest(2), now).await, Idempotent::OtherBody));
        finish(&live, now, &[0, 1, 255]).await.unwrap();
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
        assert!(others.iter().all(|other| matches!(other, Idempotent::Fresh)), "{others:?}");
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
            let fresh = [&a, &b].into_iter().filter(|one| matches!(one, Idempotent::Fresh)).count();
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
        let first = world.clock.now();
        begin(&live, digest(1), first).await;
        live.abandon_idempotent("key_1", "create_bot", "abc", first).await.unwrap();
        assert!(matches!(begin(&live, digest(2), first).await, Idempotent::Fresh), "at once, with another body too");

        assert!(matches!(begin(&live, digest(2), world.advance(60_000)).await, Idempotent::Running));
        let second = world.advance(1);
        assert!(matches!(begin(&live, digest(2), second).await, Idempotent::Fresh), "its node is gone");
        finish(&live, first, b"late").await.unwrap();
        live.abandon_idempotent("key_1", "create_bot", "abc", first).await.unwrap();
        assert!(matches!(begin(&live, digest(2), second).await, Idempotent::Running), "the late one changed nothing");
        finish(&live, second, b"right").await.unwrap();
        live.abandon_idempotent("key_1", "create_bot", "abc", second).await.unwrap();
        let replay = begin(&live, digest(2), second).await;
        assert!(matches!(&replay, Idempotent::Replay { body, .. } if body == b"right"), "{replay:?}");
    })
    .await;
}

#[tokio::test]
async fn answers_are_forgotten_after_a_day() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let now = world.clock.now();
        begin(&live, digest(1), now).await;
        finish(&live, now, b"x").await.unwrap();
        assert_eq!(world.store.sweep(world.advance(DAY)).await.unwrap(), 0);
        let later = world.advance(1);
        assert!(matches!(begin(&live, digest(2), later).await, Idempotent::Fresh), "also before the sweep");
        finish(&live, later, b"y").await.unwrap();
        assert_eq!(world.store.sweep(world.advance(DAY + 1)).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn debug_does_not_show_a_kept_body() {
    let replay = Idempotent::Replay { status: 201, body: b"sk_live".to_vec() };
    assert_eq!(format!("{replay:?}"), "Replay(201)");
}
