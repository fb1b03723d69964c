//! Carries out what is due: finds it in the database, and has nothing that the database has not.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use access::Tenant;
use ambient::RunId;
use parking_lot::Mutex;
use store::{EffectRecord, StoreError};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use workflow::{Incoming, Rejection};

use crate::{
    RunError,
    runs::{BEGIN, Inner},
    turn::{Refusal, Step},
};

/// Bots and tools that are at work at once.
const MAX_CALLS: usize = 64;
/// Those of one workspace: the rest is for the others.
const MAX_CALLS_OF_TENANT: usize = 32;
/// Turns that begin runs and fire timers, at once: they wait for the database alone.
const MAX_TURNS: usize = 16;
/// How much is looked at, besides what is under way.
const SCAN: usize = 1024;
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
    calls_of: HashMap<Tenant, usize>,
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
            let own = places.calls_of.get(&tenant).copied().unwrap_or(0);
            if places.calls >= MAX_CALLS || own >= MAX_CALLS_OF_TENANT {
                return Admission::Full;
            }
            places.calls += 1;
            places.calls_of.insert(tenant, own + 1);
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
            if let Some(own) = places.calls_of.get_mut(&self.tenant) {
                *own -= 1;
                if *own == 0 {
                    places.calls_of.remove(&self.tenant);
                }
            }
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

/// Works until it is stopped, or the last [`crate::Runs`] is gone.
pub(crate) fn spawn(inner: &Arc<Inner>) {
    let (weak, stopping, desk) = (Arc::downgrade(inner), inner.stopping.clone(), inner.desk.clone());
    tokio::spawn(async move { stopping.run_until_cancelled(work(weak, desk)).await });
}

async fn work(inner: Weak<Inner>, desk: Desk) {
    loop {
        let Some(inner) = inner.upgrade() else { return };
        let pause = inner.begin_due().await.unwrap_or_else(|error| {
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
    async fn begin_due(self: &Arc<Self>) -> Result<Duration, StoreError> {
        loop {
            let now = self.now();
            let limit = self.desk.busy() + SCAN;
            let due = self.parts.store.due_effects(now, u32::try_from(limit).unwrap_or(u32::MAX)).await?;
            let (mut is_left, mut has_begun) = (false, false);
            let is_all = due.len() < limit;
            // Before the look for a place: one that becomes free from here on rings.
            self.desk.0.has_left.store(true, Relaxed);
            for (tenant, run, effect) in due {
                match self.desk.admit(tenant, run, &effect) {
                    Admission::Begin(place) => {
                        has_begun = true;
                        self.parts.drain.spawn(Arc::clone(self).carry_out(place, effect));
                    }
                    Admission::UnderWay => {}
                    Admission::Full => is_left = true,
                }
            }
            if has_begun && !is_all {
                continue;
            }
            if !is_left && is_all {
                self.desk.0.has_left.store(false, Relaxed);
            }
            let next = self.parts.store.next_effect_after(now).await?;
            let pause = next.and_then(|next| u64::try_from(next.since(self.now())).ok()).map(Duration::from_millis);
            return Ok(match next {
                None => LOOK_EVERY,
                Some(_) => pause.unwrap_or_default().clamp(Duration::from_millis(1), LOOK_EVERY),
            });
        }
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
    use ambient::{Millis, Ulid, WorkspaceId};
    use credential::Environment;

    use super::*;

    fn effect(id: usize, kind: &str) -> EffectRecord {
        let (id, kind, payload) = (id.to_string(), kind.to_owned(), String::new());
        EffectRecord { id, kind, payload, due_at: Millis(0), attempts: 0, created_at: Millis(0) }
    }

    fn admit(desk: &Desk, workspace: u128, kind: &str, count: usize) -> Vec<Place> {
        let tenant = Tenant { workspace: WorkspaceId(Ulid(workspace)), environment: Environment::Live };
        let admit = |id| match desk.admit(tenant, RunId(Ulid(workspace)), &effect(id, kind)) {
            Admission::Begin(place) => Some(place),
            Admission::UnderWay | Admission::Full => None,
        };
        (0..count).filter_map(admit).collect()
    }

    #[test]
    fn one_workspace_leaves_room_for_the_others_and_for_turns() {
        let desk = Desk::default();
        let first = admit(&desk, 1, "ask_bot", 100);
        assert_eq!(first.len(), MAX_CALLS_OF_TENANT);
        let others = [admit(&desk, 2, "call_tool", 100), admit(&desk, 3, "ask_bot", 100)];
        assert_eq!(others.map(|places| places.len()), [MAX_CALLS - MAX_CALLS_OF_TENANT, 0]);
        assert_eq!(admit(&desk, 1, "set_timer", 0).len(), 0);
        assert_eq!(admit(&desk, 4, BEGIN, 100).len(), MAX_TURNS);
        drop(first);
        assert_eq!(admit(&desk, 1, "ask_bot", 1).len(), 1, "what is over makes room");
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
