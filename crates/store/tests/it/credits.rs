use std::{collections::BTreeMap, sync::Arc};

use access::Tenant;
use ambient::{ConversationId, CreditEntryId, CreditHoldId, Millis, Ulid};
use credential::key::Environment;
use proptest::prelude::*;
use store::{CreditAccount, CreditHold, CreditReserve, PageRequest, Reserved, Store, StoreError, Workspace};
use tokio::task::JoinSet;

use crate::databases::{FIRST, START, World, by, logged, on_each};

/// Longer than any test.
const LEASE: i64 = 1000;

fn wanted(most: u64, least: u64, now: Millis) -> CreditReserve {
    CreditReserve { most, least, conversation: None, expires_at: now.plus(LEASE) }
}

async fn reserve(live: &Workspace, most: u64) -> Option<CreditHold> {
    match live.reserve_credits(wanted(most, 1, START)).await.unwrap() {
        Reserved::Held(hold) => Some(hold),
        Reserved::Short => None,
        Reserved::Unmetered => unreachable!("metered"),
    }
}

async fn metered(world: &World, name: &str, amount: u32) -> (Workspace, Workspace) {
    let (live, test) = world.tenant(name).await;
    live.grant_credits(amount, None, by("grant_credits")).await.unwrap();
    live.set_metered(true, by("update_credits")).await.unwrap();
    (live, test)
}

async fn balance(live: &Workspace) -> (u64, u64, u64) {
    let CreditAccount { free, held, charged, .. } = live.credit_account().await.unwrap();
    (free, held, charged)
}

async fn sum_of_entries(live: &Workspace) -> i64 {
    let mut sum = 0;
    for page in 1.. {
        let part = live.credit_entries(PageRequest { page, per_page: 100 }).await.unwrap();
        sum += part.rows.iter().map(|entry| entry.amount).sum::<i64>();
        if part.rows.len() < 100 {
            break;
        }
    }
    sum
}

#[tokio::test]
async fn nothing_is_counted_until_somebody_says_so_and_test_data_never_is() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        assert_eq!(live.credit_account().await.unwrap(), CreditAccount::default());
        assert_eq!(live.reserve_credits(wanted(1, 1, START)).await.unwrap(), Reserved::Unmetered);
        live.grant_credits(5, Some("hello".to_owned()), by("grant_credits")).await.unwrap();
        assert_eq!(
            live.reserve_credits(wanted(1, 1, START)).await.unwrap(),
            Reserved::Unmetered,
            "a gift counts nothing"
        );
        let account = live.set_metered(true, by("update_credits")).await.unwrap();
        assert_eq!((account.free, account.granted, account.metered_at), (5, 5, Some(START)));
        assert_eq!(test.reserve_credits(wanted(1, 1, START)).await.unwrap(), Reserved::Unmetered);
        assert_eq!(test.credit_account().await.unwrap(), account, "one account for both");
        let refused = test.grant_credits(5, None, by("grant_credits")).await;
        assert!(matches!(refused, Err(StoreError::Conflict("environment"))));
        assert!(matches!(test.set_metered(false, by("x")).await, Err(StoreError::Conflict("environment"))));
        world.advance(5);
        assert_eq!(
            live.set_metered(true, by("update_credits")).await.unwrap().metered_at,
            Some(START),
            "the first time counts"
        );
        let hold = reserve(&live, 2).await.unwrap();
        assert_eq!(live.set_metered(false, by("update_credits")).await.unwrap().metered_at, None);
        assert_eq!(live.reserve_credits(wanted(1, 1, START)).await.unwrap(), Reserved::Unmetered);
        assert_eq!(live.settle_credits(&hold, 1).await.unwrap(), 1, "what was held is still settled");
        assert_eq!(logged(&live).await, ["grant_credits", "update_credits", "update_credits", "update_credits"]);
    })
    .await;
}

#[tokio::test]
async fn a_hold_is_charged_first_then_what_is_free_and_never_more() {
    on_each(async |world| {
        let (live, _) = metered(world, "ours", 20).await;
        let (a, b) = (reserve(&live, 10).await.unwrap(), reserve(&live, 15).await.unwrap());
        assert_eq!((a.amount, b.amount, balance(&live).await), (10, 10, (0, 20, 0)), "what is free, when it is less");
        assert_eq!(live.reserve_credits(wanted(1, 1, START)).await.unwrap(), Reserved::Short);
        assert_eq!(live.settle_credits(&a, 4).await.unwrap(), 4);
        assert_eq!(balance(&live).await, (6, 10, 4));
        assert_eq!(live.reserve_credits(wanted(7, 7, START)).await.unwrap(), Reserved::Short, "the least is not there");
        assert_eq!(live.settle_credits(&b, 100).await.unwrap(), 16, "its own ten and the free six");
        assert_eq!(balance(&live).await, (0, 0, 20));
        assert_eq!(live.settle_credits(&a, 4).await.unwrap(), 0, "twice is once");
        assert_eq!(sum_of_entries(&live).await, 0);
    })
    .await;
}

#[tokio::test]
async fn what_is_released_or_too_old_is_free_again() {
    on_each(async |world| {
        let (live, _) = metered(world, "ours", 20).await;
        let (theirs, _) = metered(world, "theirs", 20).await;
        let released = reserve(&live, 5).await.unwrap();
        assert!(!theirs.release_credits(released.id).await.unwrap(), "not theirs to release");
        assert!(live.release_credits(released.id).await.unwrap());
        assert!(!live.release_credits(released.id).await.unwrap(), "once");
        assert_eq!(balance(&live).await, (20, 0, 0));

        let old = reserve(&live, 15).await.unwrap();
        for _ in 0..20 {
            reserve(&theirs, 1).await.unwrap();
        }
        assert_eq!(world.store.release_expired_credits(START.plus(LEASE - 1)).await.unwrap(), 0);
        assert_eq!(world.store.release_expired_credits(START.plus(LEASE)).await.unwrap(), 21, "of every workspace");
        assert_eq!((balance(&live).await, balance(&theirs).await), ((20, 0, 0), (20, 0, 0)));
        world.advance(LEASE.unsigned_abs());
        assert_eq!(live.settle_credits(&old, 3).await.unwrap(), 3, "late, and charged from what is free");
        assert_eq!(live.settle_credits(&old, 3).await.unwrap(), 0, "and once");
        let empty = reserve(&live, 17).await.unwrap();
        let late = CreditHold { id: CreditHoldId(Ulid(1 << 80)), amount: 5, conversation: None };
        assert_eq!(live.settle_credits(&late, 3).await.unwrap(), 0, "nothing is free");
        assert!(live.release_credits(empty.id).await.unwrap());
        assert_eq!(live.settle_credits(&late, 3).await.unwrap(), 0, "settled for nothing is settled");
        assert_eq!(balance(&live).await, (17, 0, 3));
    })
    .await;
}

#[tokio::test]
async fn more_holds_than_a_batch_expire_at_once() {
    on_each(async |world| {
        let (live, _) = metered(world, "ours", 300).await;
        for _ in 0..230 {
            reserve(&live, 1).await.unwrap();
        }
        assert_eq!(world.store.release_expired_credits(START.plus(LEASE)).await.unwrap(), 230);
        assert_eq!(balance(&live).await, (300, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn the_ledger_is_read_by_page_and_onwards() {
    on_each(async |world| {
        let (live, test) = metered(world, "ours", 20).await;
        let (theirs, _) = metered(world, "theirs", 1).await;
        let conversation = ConversationId(Ulid(7));
        let wanted = CreditReserve { conversation: Some(conversation), ..wanted(10, 1, START) };
        let Reserved::Held(hold) = live.reserve_credits(wanted).await.unwrap() else { unreachable!("held") };
        let given = live.grant_credits(2, Some("more".to_owned()), by("grant_credits")).await.unwrap();
        live.settle_credits(&hold, 3).await.unwrap();

        let all = live.credit_entries(FIRST).await.unwrap();
        assert_eq!((all.total, all.rows.len()), (3, 3));
        let charge = &all.rows[0];
        assert_eq!((charge.kind.as_str(), charge.amount, charge.conversation), ("charge", -3, Some(conversation)));
        assert_eq!(charge.note, Some(hold.id.to_string()));
        assert_eq!(all.rows[1], given);
        assert_eq!((given.kind.as_str(), given.amount, given.note.as_deref()), ("grant", 2, Some("more")));
        let page = live.credit_entries(PageRequest { page: 3, per_page: 1 }).await.unwrap();
        assert_eq!((page.total, page.rows[0].amount), (3, 20));
        let onwards = live.credit_entries_after(page.rows[0].id, 1).await.unwrap();
        assert_eq!(onwards, [given]);
        assert_eq!(live.credit_entries_after(charge.id, 10).await.unwrap(), []);
        assert_eq!(test.credit_entries(FIRST).await.unwrap().total, 3, "of the workspace");
        assert_eq!(theirs.credit_entries_after(CreditEntryId(Ulid(0)), 10).await.unwrap().len(), 1, "and no other's");
    })
    .await;
}

#[tokio::test]
async fn sixteen_at_once_never_spend_what_is_not_there() {
    on_each(async |world| {
        let (live, _) = metered(world, "ours", 100).await;
        let mut tasks = JoinSet::new();
        for task in 0..16_u64 {
            let live = live.clone();
            tasks.spawn(async move {
                let mut spent = 0;
                for round in 0..6 {
                    let Some(hold) = reserve(&live, 10).await else { continue };
                    match (task + round) % 4 {
                        0 => assert!(live.release_credits(hold.id).await.unwrap()),
                        1 => {
                            let (first, second) =
                                tokio::join!(live.settle_credits(&hold, 3), live.settle_credits(&hold, 3));
                            spent += first.unwrap() + second.unwrap();
                        }
                        _ => spent += live.settle_credits(&hold, 5 + round * 3).await.unwrap(),
                    }
                }
                spent
            });
        }
        let spent: u64 = tasks.join_all().await.into_iter().sum();
        let (free, held, charged) = balance(&live).await;
        assert_eq!((free + spent, held, charged), (100, 0, spent));
        assert_eq!(sum_of_entries(&live).await.unsigned_abs(), free);
    })
    .await;
}

/// What happens to a ledger.
#[derive(Clone, Debug)]
enum Step {
    Grant(u32),
    Reserve(u64, u64),
    /// Of the n-th hold, whether or not it is still there: what it cost.
    Settle(usize, u64),
    Release(usize),
    /// Time passes and old holds are released.
    Sweep(u64),
    /// Everything in memory is lost, and the store is opened again.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (1_u32..40).prop_map(Step::Grant),
        6 => (1_u64..20, 0_u64..12).prop_map(|(most, least)| Step::Reserve(most, least.min(most))),
        5 => (0_usize..12, 0_u64..30).prop_map(|(hold, cost)| Step::Settle(hold, cost)),
        3 => (0_usize..12).prop_map(Step::Release),
        1 => (1_u64..1500).prop_map(Step::Sweep),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..50)
}

/// What the ledger should say, kept as simply as can be.
#[derive(Default)]
struct Model {
    granted: u64,
    charged: u64,
    held: BTreeMap<CreditHoldId, (u64, Millis)>,
    settled: Vec<CreditHoldId>,
}

impl Model {
    fn free(&self) -> u64 {
        self.granted - self.charged - self.held.values().map(|(amount, _)| amount).sum::<u64>()
    }

    fn settle(&mut self, hold: CreditHoldId, cost: u64) -> u64 {
        let there = match self.held.remove(&hold) {
            // A release is not a settlement: what is settled late is charged from what is free.
            None if self.settled.contains(&hold) => 0,
            None | Some(_) => self.free(),
        };
        let charged = cost.min(there);
        self.settled.push(hold);
        self.charged += charged;
        charged
    }
}

async fn play(steps: Vec<Step>) {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::open(format!("sqlite://{}/chatelaine.db", directory.path().display())).await;
    let (mut live, _) = metered(&world, "ours", 20).await;
    let mut model = Model { granted: 20, ..Model::default() };
    let (mut known, mut crashes) = (Vec::<CreditHold>::new(), 1);
    for step in steps {
        let now = ambient::Clock::now(&*world.clock);
        match step {
            Step::Grant(amount) => {
                live.grant_credits(amount, None, by("grant_credits")).await.unwrap();
                model.granted += u64::from(amount);
            }
            Step::Reserve(most, least) => match live.reserve_credits(wanted(most, least, now)).await.unwrap() {
                Reserved::Held(hold) => {
                    assert_eq!(hold.amount, most.min(model.free()));
                    model.held.insert(hold.id, (hold.amount, now.plus(LEASE)));
                    known.push(hold);
                }
                Reserved::Short => assert!(model.free() < least),
                Reserved::Unmetered => unreachable!("metered"),
            },
            Step::Settle(hold, cost) => {
                if let Some(hold) = known.get(hold) {
                    assert_eq!(live.settle_credits(hold, cost).await.unwrap(), model.settle(hold.id, cost));
                }
            }
            Step::Release(hold) => {
                if let Some(hold) = known.get(hold) {
                    let was_held = model.held.remove(&hold.id).is_some();
                    assert_eq!(live.release_credits(hold.id).await.unwrap(), was_held);
                }
            }
            Step::Sweep(millis) => {
                let now = world.advance(millis);
                let before = model.held.len();
                model.held.retain(|_, (_, expires_at)| *expires_at > now);
                let released = world.store.release_expired_credits(now).await.unwrap();
                assert_eq!(released, (before - model.held.len()) as u64);
            }
            Step::Crash => {
                known.clear();
                world.store.close().await;
                crashes += 1;
                let random = Arc::new(ambient::SeededRandom::new(crashes));
                world.store = Store::open(&world.url, world.clock.clone(), random).await.unwrap();
                live = world.store.workspace(Tenant { environment: Environment::Live, ..live.tenant() });
            }
        }
        let held = model.held.values().map(|(amount, _)| amount).sum::<u64>();
        assert_eq!(balance(&live).await, (model.free(), held, model.charged));
        assert_eq!(sum_of_entries(&live).await.unsigned_abs(), model.free() + held);
    }
    let end = world.advance(LEASE.unsigned_abs());
    let left = model.held.len() as u64;
    assert_eq!(world.store.release_expired_credits(end).await.unwrap(), left, "no hold outlives its time");
    assert_eq!(balance(&live).await, (model.granted - model.charged, 0, model.charged));
    world.store.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_ledger_adds_up_whatever_happens(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(play(steps));
    }
}
