//! A turn: read, fold, write. One at a time for each run of this node; another node's is noticed by the version.

use access::Tenant;
use ambient::RunId;
use store::{NewEffect, NewRunEvent, RunRecord, StoreError, TurnRecord};
use tokio::sync::Mutex;
use workflow::{Effect, EffectKind, Incoming, Rejection, RunState, RunStatus, Turn, advance, start};

use crate::{
    RunError,
    runs::{BEGIN, Inner, read_state},
};

/// Runs share this many locks; two that share one wait for each other, no more.
const LOCKS: usize = 256;
/// How often a turn is folded anew because somebody else had one in between.
const RACES: usize = 20;

/// The turns of this node.
pub(crate) struct Locks([Mutex<()>; LOCKS]);

impl Default for Locks {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl Locks {
    fn of(&self, run: RunId) -> &Mutex<()> {
        // The low bits of an id are random.
        &self.0[usize::try_from(run.0.0 % LOCKS as u128).unwrap_or(0)]
    }
}

/// What a turn is about.
pub(crate) enum Step {
    Begin,
    Take(Incoming),
}

/// Why there was no turn.
pub(crate) enum Refusal {
    Rejected(Rejection),
    Failed(RunError),
}

impl From<Refusal> for RunError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Rejected(rejection) => rejection.into(),
            Refusal::Failed(error) => error,
        }
    }
}

impl From<RunError> for Refusal {
    fn from(error: RunError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl Inner {
    /// Has a turn and tells of it: to who follows, to the effects that it ended, to who begins new ones.
    pub(crate) async fn turn(&self, tenant: Tenant, id: RunId, step: &Step) -> Result<RunRecord, Refusal> {
        let data = self.parts.store.workspace(tenant);
        let _turn = self.locks.of(id).lock().await;
        for _ in 0..RACES {
            let run = data.run(id).await?;
            let before = read_state(&run)?;
            let definition = self.definition(tenant, run.deployment).await?;
            let turn = match step {
                Step::Begin if before.status() != RunStatus::Pending => Err(Rejection::Stale),
                Step::Begin => {
                    let input = serde_json::from_str(&run.input).map_err(RunError::unavailable)?;
                    start(&definition, &input, self.now())
                }
                Step::Take(incoming) => advance(&definition, &before, incoming.clone(), self.now()),
            };
            let Turn { state, events, effects } = turn.map_err(Refusal::Rejected)?;
            let resolved = resolved(step, &before, &state);
            let record = TurnRecord {
                status: state.status().as_str().to_owned(),
                state: serde_json::to_string(&state).map_err(RunError::unavailable)?,
                current_step: state.current_step_id().map(str::to_owned),
                events: events.into_iter().map(event).collect(),
                effects: effects.into_iter().map(|effect| self.effect(effect)).collect(),
                resolved: resolved.clone(),
            };
            let is_more = !record.effects.is_empty();
            let saved = match data.save_turn(id, run.version, record).await {
                Err(StoreError::Conflict("version")) => continue,
                saved => saved?,
            };
            self.bells.ring(id, saved.seq);
            self.desk.cut(id, &resolved);
            if is_more {
                self.desk.wake();
            }
            return Ok(saved);
        }
        Err(RunError::unavailable("somebody else had every turn").into())
    }

    /// The state has all of it; the row says only that there is something to do, and when.
    fn effect(&self, effect: Effect) -> NewEffect {
        let (kind, due_at) = match effect.kind {
            EffectKind::AskBot { .. } => ("ask_bot", self.now()),
            EffectKind::CallTool(_) => ("call_tool", self.now()),
            EffectKind::SetTimer { at } => ("set_timer", at),
        };
        NewEffect { id: effect.id, kind: kind.to_owned(), payload: "{}".to_owned(), due_at }
    }
}

/// What was open before the turn and is no more.
fn resolved(step: &Step, before: &RunState, after: &RunState) -> Vec<String> {
    let open = after.open_effects();
    let ended = before.open_effects().into_iter().map(|effect| effect.id);
    let ended = ended.filter(|id| open.iter().all(|effect| effect.id != *id));
    ended.chain(matches!(step, Step::Begin).then(|| BEGIN.to_owned())).collect()
}

fn event(event: workflow::Event) -> NewRunEvent {
    NewRunEvent {
        seq: event.seq,
        kind: event.kind.as_str().to_owned(),
        roles: event.roles,
        data: event.data.to_string(),
        at: event.at,
    }
}
