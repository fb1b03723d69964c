use std::time::Duration;

use access::Actor;
use ambient::{ManualClock, Millis, SeededRandom, Ulid};
use store::{NewMember, NewWorkspace};

use super::*;

static SYSTEM: Actor = Actor::system();

fn by(action: &str) -> AuditEntry<'_> {
    AuditEntry { actor: &SYSTEM, action, detail: None }
}

struct World {
    credits: Credits,
    store: Store,
    clock: Arc<ManualClock>,
    tasks: TaskTracker,
    tenant: Tenant,
    _directory: tempfile::TempDir,
}

const CONVERSATION: ConversationId = ConversationId(Ulid(1));

impl World {
    async fn new(prices: Prices) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (clock, tasks) = (Arc::new(ManualClock::new(Millis(1_767_225_600_000))), TaskTracker::new());
        let url = format!("sqlite://{}/chatelaine.db", directory.path().display());
        let store = Store::open(&url, clock.clone(), Arc::new(SeededRandom::new(1))).await.unwrap();
        let owner =
            NewMember { email: "owner@example.com".to_owned(), name: String::new(), password_hash: "x".to_owned() };
        let made = store.create_workspace(NewWorkspace { name: "w".to_owned() }, owner, None, by("setup")).await;
        let tenant = Tenant { workspace: made.unwrap().0.id, environment: Environment::Live };
        let credits = Credits::new(store.clone(), clock.clone(), prices, tasks.clone());
        Self { credits, store, clock, tasks, tenant, _directory: directory }
    }

    async fn metered(amount: u32) -> Self {
        let world = Self::new(Prices::default()).await;
        world.credits.grant(world.tenant, amount, None, by("grant_credits")).await.unwrap();
        world.credits.set_metered(world.tenant, true, by("update_credits")).await.unwrap();
        world
    }

    async fn reserve(&self) -> Result<Hold, ChatError> {
        self.credits.reserve(self.tenant, CONVERSATION).await
    }

    async fn balance(&self) -> (u64, u64, u64) {
        let account = self.store.workspace(self.tenant).credit_account().await.unwrap();
        (account.free, account.held, account.charged)
    }

    /// Waits for what was spawned.
    async fn settled(&self) -> (u64, u64, u64) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
        self.balance().await
    }
}

fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage { input_tokens, output_tokens }
}

#[test]
fn a_reply_costs_its_tokens_rounded_up_and_at_least_one() {
    let prices = Prices { per_1k_input: 2, per_1k_output: 5, ..Prices::default() };
    for (usage, cost) in [
        (usage(0, 0), 1),
        (usage(500, 0), 1),
        (usage(501, 0), 2),
        (usage(1000, 1000), 7),
        (usage(1001, 1000), 8),
        (usage(u64::MAX, u64::MAX), u64::MAX.div_ceil(1000)),
    ] {
        assert_eq!(prices.of(usage), cost, "{usage:?}");
    }
}

#[tokio::test]
async fn a_workspace_that_is_not_metered_is_looked_up_once() {
    let world = World::new(Prices::default()).await;
    let before = (world.store.reads(), world.store.writes());
    let test = Tenant { environment: Environment::Test, ..world.tenant };
    assert!(world.credits.reserve(test, CONVERSATION).await.unwrap().0.is_none());
    assert_eq!((world.store.reads(), world.store.writes()), before, "test data is never looked up");
    assert!(world.reserve().await.unwrap().0.is_none());
    let before = (world.store.reads(), world.store.writes());
    for _ in 0..3 {
        world.reserve().await.unwrap().settle(usage(9, 9)).await;
    }
    assert_eq!((world.store.reads(), world.store.writes()), before);
}

#[tokio::test]
async fn metering_counts_from_the_next_reply_on_and_ends_likewise() {
    let world = World::new(Prices::default()).await;
    assert!(world.reserve().await.unwrap().0.is_none());
    world.credits.set_metered(world.tenant, true, by("update_credits")).await.unwrap();
    assert!(matches!(world.reserve().await, Err(ChatError::NoCredits)));
    let test = Tenant { environment: Environment::Test, ..world.tenant };
    assert!(world.credits.reserve(test, CONVERSATION).await.is_ok(), "test data costs nothing");
    assert!(matches!(world.reserve().await, Err(ChatError::NoCredits)), "and says nothing about live data");
    world.credits.grant(world.tenant, 1, None, by("grant_credits")).await.unwrap();
    let last = world.reserve().await.unwrap();
    assert_eq!(world.balance().await, (0, 1, 0), "what is left, when it is less");
    assert!(matches!(world.reserve().await, Err(ChatError::NoCredits)));
    world.credits.set_metered(world.tenant, false, by("update_credits")).await.unwrap();
    assert!(world.reserve().await.unwrap().0.is_none());
    last.settle(usage(1, 1)).await;
    assert_eq!(world.balance().await, (0, 0, 1));
}

#[tokio::test]
async fn a_look_that_began_before_a_change_is_not_kept() {
    let world = World::new(Prices::default()).await;
    let changes = world.credits.0.known.lock().changes;
    world.credits.set_metered(world.tenant, true, by("update_credits")).await.unwrap();
    world.credits.remember(world.tenant.workspace, changes);
    assert!(matches!(world.reserve().await, Err(ChatError::NoCredits)));
}

#[tokio::test]
async fn a_hold_is_settled_or_free_again() {
    let world = World::metered(30).await;
    let (settled, dropped) = (world.reserve().await.unwrap(), world.reserve().await.unwrap());
    assert_eq!(world.balance().await, (10, 20, 0));
    settled.settle(usage(1500, 1501)).await;
    assert_eq!(world.balance().await, (16, 10, 4));
    drop(dropped);
    assert_eq!(world.settled().await, (26, 0, 4));
}

#[tokio::test]
async fn what_a_crash_left_held_is_free_when_it_grew_too_old() {
    let world = World::metered(30).await;
    std::mem::forget(world.reserve().await.unwrap());
    let lease = Duration::from_secs(u64::from(Prices::default().hold_seconds));
    world.clock.advance(lease - Duration::from_millis(1));
    assert_eq!(world.store.release_expired_credits(world.clock.now()).await.unwrap(), 0);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.store.release_expired_credits(world.clock.now()).await.unwrap(), 1);
    assert_eq!(world.balance().await, (30, 0, 0));
}

#[tokio::test]
async fn a_voice_session_is_paid_in_full_or_not_opened() {
    let world = World::metered(15).await;
    let before = world.store.writes();
    world.credits.reserve_voice(world.tenant).await.unwrap().pay(CONVERSATION).await.unwrap();
    assert_eq!(world.settled().await, (5, 0, 10));
    assert_eq!(world.store.writes(), before + 2, "held and paid, and not released besides");
    assert!(matches!(world.credits.reserve_voice(world.tenant).await, Err(ChatError::NoCredits)));
    let free = World::new(Prices { per_voice_session: 0, ..Prices::default() }).await;
    free.credits.set_metered(free.tenant, true, by("update_credits")).await.unwrap();
    assert!(free.credits.reserve_voice(free.tenant).await.unwrap().0.is_none(), "it costs nothing");
}
