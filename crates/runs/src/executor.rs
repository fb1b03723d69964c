//! Carries out what is due: finds it in the database, and has nothing that the database has not.

use std::{
    collections::HashMap,
    mem::take,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use access::Tenant;
use ambient::{Millis, RunId};
use parking_lot::Mutex;
use store::{EffectRecord, StoreError};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use workflow::{Incoming, Rejection};

use crate::{
    RunError,
    runs::{BEGIN, Inner},
    shares::Shares,
    turn::{Refusal, Step},
};

/// Bots and tools that are at work at once.
const MAX_CALLS: usize = 64;
/// Those of one workspace: the rest is for the others.
const MAX_CALLS_OF_WORKSPACE: usize = 32;
/// Among them those of its `test`: the rest is for its `live`.
const MAX_CALLS_OF_TEST: usize = 16;
/// Turns that begin runs and fire timers, at once: they wait for the database alone.
const MAX_TURNS: usize = 16;
/// How much is looked at, besides what is under way. Where more is due, each tenant's is looked at.
const SCAN: usize = 1024;
/// And then how much of each, calls and turns: more than can be under way, so that something is found.
const SCAN_OF_EACH: u32 = 512;
/// And of all of them.
const SCAN_OF_ALL: u32 = 16 * 1024;
/// For how long that is good, because it costs as much as there is due: so often the time that it took, in bounds.
const GOOD_FOR: u32 = 4;
const GOOD_FOR_AT_LEAST: Duration = Duration::from_millis(10);
const GOOD_FOR_AT_MOST: Duration = Duration::from_secs(2);
/// The longest time without a look.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After a failure of the database.
const RETRY: Duration = Duration::from_secs(1);
/// Before what failed on our side is tried again: doubled for every attempt, up to 64 times.
const BACKOFF_MS: i64 = 1000;
/// Something that nobody waits for is looked at again so late.
const STRANDED_MS: i64 = 24 * 3600 * 1000;

/// What is under way, and the bell for whoever begins it. Clones share.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<Sheet>);

#[derive(Default)]
struct Sheet {
    bell: Notify,
    /// Something found no place; the next that is over rings.
    has_left: AtomicBool,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    under_way: HashMap<(RunId, String), CancellationToken>,
    turns: usize,
    calls: usize,
    calls_of: Shares,
}

/// What is due, and of whom.
type Due = (Tenant, RunId, EffectRecord);

/// What is due and has no place yet.
#[derive(Default)]
struct Waiting {
    due: Vec<Due>,
    /// There is more than this.
    has_more: bool,
    /// While there is something in it, it is good until then, on [`ambient::Clock::elapsed`]. What is no longer
    /// due does no harm.
    good_until: Duration,
}

/// Whether something may begin.
enum Admission {
    Begin(Place),
    UnderWay,
    Full,
}

/// The place of what is under way; dropping it makes room.
struct Place {
    desk: Desk,
    tenant: Tenant,
    key: (RunId, String),
    is_call: bool,
    cut: CancellationToken,
}

impl Desk {
    /// There is something to begin.
    pub(crate) fn wake(&self) {
        self.0.bell.notify_one();
    }

    /// Nobody waits for these any more.
    pub(crate) fn cut(&self, run: RunId, effects: &[String]) {
        let places = self.0.places.lock();
        for effect in effects {
            if let Some(token) = places.under_way.get(&(run, effect.clone())) {
                token.cancel();
            }
        }
    }

    fn busy(&self) -> usize {
        self.0.places.lock().under_way.len()
    }

    fn admit(&self, tenant: Tenant, run: RunId, effect: &EffectRecord) -> Admission {
        let key = (run, effect.id.clone());
        let is_call = is_call(&effect.kind);
        let mut places = self.0.places.lock();
        if places.under_way.contains_key(&key) {
            return Admission::UnderWay;
        }
        if is_call {
            let is_full = places.calls >= MAX_CALLS;
            if is_full || !places.calls_of.take(tenant, MAX_CALLS_OF_WORKSPACE, MAX_CALLS_OF_TEST) {
                return Admission::Full;
            }
            places.calls += 1;
        } else if places.turns >= MAX_TURNS {
            return Admission::Full;
        } else {
            places.turns += 1;
        }
        let cut = CancellationToken::new();
        places.under_way.insert(key.clone(), cut.clone());
        Admission::Begin(Place { desk: self.clone(), tenant, key, is_call, cut })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.desk.0.places.lock();
        places.under_way.remove(&self.key);
        if self.is_call {
            places.calls -= 1;
            places.calls_of.give_back(self.tenant);
        } else {
            places.turns -= 1;
        }
        drop(places);
        if self.desk.0.has_left.swap(false, Relaxed) {
            self.desk.wake();
        }
    }
}

/// Calls take as long as whoever is called; the rest takes as long as the database.
fn is_call(kind: &str) -> bool {
    kind == "ask_bot" || kind == "call_tool"
}

/// The first of each tenant, then the second of each, and so on; calls and turns by themselves.
fn in_turns(due: Vec<Due>) -> Vec<Due> {
    let mut seen: HashMap<(Tenant, bool), usize> = HashMap::new();
    let place = |due: Due| {
        let place = seen.entry((due.0, is_call(&due.2.kind))).or_default();
        *place += 1;
        (*place, due)
    };
    let mut due: Vec<_> = due.into_iter().map(place).collect();
    due.sort_by_key(|(place, _)| *place);
    due.into_iter().map(|(_, due)| due).collect()
}

/// Works until it is stopped, or the last [`crate::Runs`] is gone.
pub(crate) fn spawn(inner: &Arc<Inner>) {
    let (weak, stopping, desk) = (Arc::downgrade(inner), inner.stopping.clone(), inner.desk.clone());
    tokio::spawn(async move { stopping.run_until_cancelled(work(weak, desk)).await });
}

async fn work(inner: Weak<Inner>, desk: Desk) {
    let mut waiting = Waiting::default();
    loop {
        let Some(inner) = inner.upgrade() else { return };
        let pause = inner.begin_due(&mut waiting).await.unwrap_or_else(|error| {
            tracing::warn!(cause = %error, "what is due for runs could not be read");
            RETRY
        });
        drop(inner);
        tokio::select! {
            () = desk.0.bell.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

impl Inner {
    /// Begins what is due and finds a place; says how long to wait for more.
    async fn begin_due(self: &Arc<Self>, waiting: &mut Waiting) -> Result<Duration, StoreError> {
        loop {
            let now = self.now();
            if waiting.due.is_empty() || self.parts.clock.elapsed() >= waiting.good_until {
                *waiting = self.read_due(now).await?;
            }
            let mut has_begun = false;
            // Before the look for a place: one that becomes free from here on rings.
            self.desk.0.has_left.store(true, Relaxed);
            for (tenant, run, effect) in take(&mut waiting.due) {
                match self.desk.admit(tenant, run, &effect) {
                    Admission::Begin(place) => {
                        has_begun = true;
                        self.parts.drain.spawn(Arc::clone(self).carry_out(place, effect));
                    }
                    Admission::UnderWay => {}
                    Admission::Full => waiting.due.push((tenant, run, effect)),
                }
            }
            let is_left = !waiting.due.is_empty();
            if has_begun && waiting.has_more && !is_left {
                continue;
            }
            if !is_left && !waiting.has_more {
                self.desk.0.has_left.store(false, Relaxed);
            }
            let look_every = match is_left && waiting.has_more {
                true => waiting.good_until.saturating_sub(self.parts.clock.elapsed()).max(GOOD_FOR_AT_LEAST),
                false => LOOK_EVERY,
            };
            let next = self.parts.store.next_effect_after(now).await?;
            let pause = next.and_then(|next| u64::try_from(next.since(self.now())).ok()).map(Duration::from_millis);
            return Ok(match next {
                None => look_every,
                Some(_) => pause.unwrap_or_default().clamp(Duration::from_millis(1), look_every),
            });
        }
    }

    /// What is due of everybody: however much is due of one, some of each other is in it.
    async fn read_due(&self, now: Millis) -> Result<Waiting, StoreError> {
        let limit = self.desk.busy() + SCAN;
        let due = self.parts.store.due_effects(now, u32::try_from(limit).unwrap_or(u32::MAX)).await?;
        if due.len() < limit {
            return Ok(Waiting { due: in_turns(due), ..Waiting::default() });
        }
        let before = self.parts.clock.elapsed();
        let due = self.parts.store.due_effects_of_each(now, SCAN_OF_EACH, SCAN_OF_ALL).await?;
        let after = self.parts.clock.elapsed();
        let good_for = (after.saturating_sub(before) * GOOD_FOR).clamp(GOOD_FOR_AT_LEAST, GOOD_FOR_AT_MOST);
        Ok(Waiting { due, has_more: true, good_until: after + good_for })
    }

    async fn carry_out(self: Arc<Self>, place: Place, effect: EffectRecord) {
        let (tenant, run) = (place.tenant, place.key.0);
        let outcome = tokio::select! {
            biased;
            // Whoever resumes finds it.
            () = self.stopping.cancelled() => return,
            outcome = self.outcome_of(&place, &effect) => outcome,
        };
        let turn = match outcome {
            Ok(Some(step)) => self.turn(tenant, run, &step).await,
            Ok(None) => Err(Refusal::Rejected(Rejection::Stale)),
            Err(error) => Err(Refusal::Failed(error)),
        };
        match turn {
            Ok(_) => {}
            // Another turn ended it, and its row with it. Should the row be there, it does no harm.
            Err(Refusal::Rejected(Rejection::Stale | Rejection::Ended) | Refusal::Failed(RunError::NotFound)) => {
                self.postpone(&place, &effect, STRANDED_MS).await;
            }
            Err(Refusal::Rejected(rejection)) => {
                tracing::error!(%run, effect = effect.id, cause = %rejection, "a run cannot go on");
                let reason = format!("The run cannot go on: {rejection}.");
                if self.turn(tenant, run, &Step::Take(Incoming::Fail { reason })).await.is_err() {
                    self.postpone(&place, &effect, backoff(effect.attempts)).await;
                }
            }
            Err(Refusal::Failed(error)) => {
                let cause: &dyn std::error::Error = &error;
                let cause = cause.source().map_or_else(|| error.to_string(), ToString::to_string);
                tracing::warn!(%run, effect = effect.id, %cause, "a step of a run is tried again");
                self.postpone(&place, &effect, backoff(effect.attempts)).await;
            }
        }
    }

    /// What an effect brings; nothing when nobody waits for it.
    async fn outcome_of(&self, place: &Place, effect: &EffectRecord) -> Result<Option<Step>, RunError> {
        match effect.kind.as_str() {
            BEGIN => Ok(Some(Step::Begin)),
            "set_timer" => Ok(Some(Step::Take(Incoming::TimerFired { effect: effect.id.clone() }))),
            _ => {
                let called = self.call(place.tenant, place.key.0, &effect.id, &place.cut);
                Ok(called.await?.map(Step::Take))
            }
        }
    }

    async fn postpone(&self, place: &Place, effect: &EffectRecord, by: i64) {
        let data = self.parts.store.workspace(place.tenant);
        let attempts = effect.attempts.saturating_add(1);
        match data.postpone_effect(place.key.0, &effect.id, self.now().plus(by), attempts).await {
            Ok(()) => {}
            Err(StoreError::NotFound) => return,
            // It stays due. Not at once again: the database has just failed.
            Err(_) => sleep(RETRY).await,
        }
        // Whoever waits knows nothing of the new time.
        self.desk.wake();
    }
}

fn backoff(attempts: u32) -> i64 {
    BACKOFF_MS << attempts.min(6)
}

#[cfg(test)]
mod tests {
    use ambient::{Ulid, WorkspaceId};
    use credential::Environment;

    use super::*;

    fn effect(id: usize, kind: &str) -> EffectRecord {
        let (id, kind, payload) = (id.to_string(), kind.to_owned(), String::new());
        EffectRecord { id, kind, payload, due_at: Millis(0), attempts: 0, created_at: Millis(0) }
    }

    fn tenant(workspace: u128, environment: Environment) -> Tenant {
        Tenant { workspace: WorkspaceId(Ulid(workspace)), environment }
    }

    fn admit(desk: &Desk, workspace: u128, kind: &str, count: usize) -> Vec<Place> {
        admit_in(desk, tenant(workspace, Environment::Live), kind, count)
    }

    fn admit_in(desk: &Desk, tenant: Tenant, kind: &str, count: usize) -> Vec<Place> {
        let run = match tenant.environment {
            Environment::Live => RunId(Ulid(tenant.workspace.0.0)),
            Environment::Test => RunId(Ulid(tenant.workspace.0.0 << 64)),
        };
        let admit = |id| match desk.admit(tenant, run, &effect(id, kind)) {
            Admission::Begin(place) => Some(place),
            Admission::UnderWay | Admission::Full => None,
        };
        (0..count).filter_map(admit).collect()
    }

    #[test]
    fn one_workspace_leaves_room_for_the_others_and_for_turns() {
        let desk = Desk::default();
        let first = admit(&desk, 1, "ask_bot", 100);
        assert_eq!(first.len(), MAX_CALLS_OF_WORKSPACE);
        let others = [admit(&desk, 2, "call_tool", 100), admit(&desk, 3, "ask_bot", 100)];
        assert_eq!(others.map(|places| places.len()), [MAX_CALLS - MAX_CALLS_OF_WORKSPACE, 0]);
        assert_eq!(admit(&desk, 1, "set_timer", 0).len(), 0);
        assert_eq!(admit(&desk, 4, BEGIN, 100).len(), MAX_TURNS);
        drop(first);
        assert_eq!(admit(&desk, 1, "ask_bot", 1).len(), 1, "what is over makes room");
    }

    #[test]
    fn live_and_test_of_a_workspace_share_its_places_and_test_has_the_smaller_part() {
        let desk = Desk::default();
        let test = admit_in(&desk, tenant(1, Environment::Test), "ask_bot", 100);
        assert_eq!(test.len(), MAX_CALLS_OF_TEST);
        let live = admit(&desk, 1, "ask_bot", 100);
        assert_eq!(live.len(), MAX_CALLS_OF_WORKSPACE - MAX_CALLS_OF_TEST);
        drop(test);
        let more = admit_in(&desk, tenant(1, Environment::Test), "ask_bot", 100);
        assert_eq!(more.len(), MAX_CALLS_OF_TEST, "what is over makes room");
        drop((live, more));
        assert!(desk.0.places.lock().calls_of.is_empty(), "what is over is forgotten");
    }

    #[test]
    fn tenants_take_turns() {
        let (ours, theirs) = (tenant(1, Environment::Live), tenant(2, Environment::Live));
        let due = [(ours, "ask_bot"), (ours, "call_tool"), (ours, BEGIN), (ours, "ask_bot"), (theirs, "ask_bot")];
        let due = due.iter().enumerate().map(|(id, (tenant, kind))| (*tenant, RunId(Ulid(1)), effect(id, kind)));
        let order: Vec<_> = in_turns(due.collect()).into_iter().map(|(_, _, effect)| effect.id).collect();
        assert_eq!(order, ["0", "2", "4", "1", "3"]);
    }

    #[test]
    fn what_is_under_way_does_not_begin_again_before_it_is_over() {
        let desk = Desk::default();
        let place = admit(&desk, 1, "ask_bot", 1);
        assert!(admit(&desk, 1, "ask_bot", 1).is_empty());
        assert_eq!(desk.busy(), 1);
        desk.cut(RunId(Ulid(1)), &["0".to_owned()]);
        assert!(place[0].cut.is_cancelled());
        drop(place);
        assert_eq!(admit(&desk, 1, "ask_bot", 1).len(), 1);
    }

    #[test]
    fn pauses_grow_to_about_a_minute() {
        assert_eq!([0, 1, 6, 7, u32::MAX].map(backoff), [1000, 2000, 64_000, 64_000, 64_000]);
    }
}
