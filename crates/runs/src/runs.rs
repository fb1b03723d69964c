use std::{collections::HashMap, fmt, sync::Arc};

use access::Tenant;
use ambient::{Clock, DeploymentId, Millis, Random, RunId};
use chat::Chat;
use cluster::Cluster;
use credential::Secrets;
use parking_lot::Mutex;
use serde_json::Value;
use store::{DeploymentRecord, Fired, NewEffect, NewRun, RunRecord, Store, TriggerFire};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use workflow::{Definition, Event, Incoming, RunState};

use crate::{
    ParticipantView, RunError, RunFollower,
    executor::{self, Desk},
    follow::{Bells, read},
    schedule,
    turn::{Locks, Step},
};

/// The first thing to be done for every run: its first turn.
pub(crate) const BEGIN: &str = "begin";
/// Definitions in memory, at most; beyond it they are read anew.
const MAX_DEFINITIONS: usize = 256;
/// Runs that are looked for at once when a deployment's are cancelled.
const CANCEL_BATCH: u32 = 100;

/// What [`Runs`] is made of.
pub struct RunsParts {
    /// Where runs are kept.
    pub store: Store,
    /// Budgets.
    pub cluster: Cluster,
    /// Asks bots.
    pub chat: Chat,
    /// Calls tools.
    pub outbound: outbound::Client,
    /// Seals what tools' connections hold.
    pub secrets: Arc<Secrets>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For ids.
    pub random: Arc<dyn Random>,
    /// Turns run on it to their end, whoever asked for them.
    pub drain: TaskTracker,
}

/// Runs of workflows. Clones share everything; when the last one goes, no effect begins any more.
#[derive(Clone)]
pub struct Runs(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) parts: RunsParts,
    pub(crate) locks: Locks,
    pub(crate) bells: Bells,
    pub(crate) desk: Desk,
    /// A schedule was changed, or the clock.
    pub(crate) alarm: Arc<Notify>,
    pub(crate) stopping: CancellationToken,
    definitions: Mutex<HashMap<(Tenant, DeploymentId), Arc<Definition>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runs").finish_non_exhaustive()
    }
}

impl Runs {
    /// Puts it together; no effect is carried out before [`Runs::resume`].
    #[must_use]
    pub fn new(parts: RunsParts) -> Self {
        Self(Arc::new(Inner {
            parts,
            locks: Locks::default(),
            bells: Bells::default(),
            desk: Desk::default(),
            alarm: Arc::default(),
            stopping: CancellationToken::new(),
            definitions: Mutex::default(),
        }))
    }

    /// Begins to carry out what is due, what a crash left, and what schedules ask for. Once.
    pub fn resume(&self) {
        executor::spawn(&self.0);
        schedule::spawn(&self.0);
    }

    /// Looks for what is due now, without waiting for its time. For a clock that jumped, and for a schedule that
    /// was made or changed.
    pub fn wake(&self) {
        self.0.desk.wake();
        self.0.alarm.notify_one();
    }

    /// Cuts the effects under way and begins no more. They are carried out anew by whoever resumes.
    pub fn stop(&self) {
        self.0.stopping.cancel();
    }

    /// Starts a run of a deployment; it is stored and `pending` when this returns. `origin` is `api`,
    /// `public`, `webhook` or `cron`.
    ///
    /// # Errors
    /// [`RunError::Invalid`] when the input does not fit, [`RunError::Revoked`] for a revoked deployment.
    pub async fn start(
        &self,
        tenant: Tenant,
        deployment: &DeploymentRecord,
        input: Value,
        origin: &str,
    ) -> Result<RunRecord, RunError> {
        let (new, begin) = self.0.pending(tenant, deployment, &input, origin)?;
        let run = self.0.parts.store.workspace(tenant).create_run(new, vec![begin]).await?;
        self.0.desk.wake();
        Ok(run)
    }

    /// Starts a run as [`Runs::start`] does, once for each event that a trigger brings.
    ///
    /// # Errors
    /// As [`Runs::start`]; [`RunError::NotFound`] when the trigger is off, gone, or not due then.
    pub async fn start_by_trigger(
        &self,
        tenant: Tenant,
        deployment: &DeploymentRecord,
        input: &Value,
        origin: &str,
        fire: &TriggerFire,
    ) -> Result<Fired, RunError> {
        self.0.start_by_trigger(tenant, deployment, input, origin, fire).await
    }

    /// A participant answers an input or a form.
    ///
    /// # Errors
    /// [`RunError::NotFound`] for a step that is not open for this role, [`RunError::Invalid`],
    /// [`RunError::AlreadyAnswered`], [`RunError::Ended`].
    pub async fn answer(
        &self,
        tenant: Tenant,
        run: RunId,
        role: &str,
        step: &str,
        value: Value,
    ) -> Result<RunRecord, RunError> {
        self.take(tenant, run, Incoming::Answer { step: step.to_owned(), role: role.to_owned(), value }).await
    }

    /// A participant says something to an agent; the answer comes as an event.
    ///
    /// # Errors
    /// As [`Runs::answer`]; [`RunError::Busy`] while the agent owes answers.
    pub async fn say(
        &self,
        tenant: Tenant,
        run: RunId,
        role: &str,
        step: &str,
        text: &str,
    ) -> Result<RunRecord, RunError> {
        let (step, role, text) = (step.to_owned(), role.to_owned(), text.to_owned());
        self.take(tenant, run, Incoming::Say { step, role, text }).await
    }

    /// A participant ends the dialogue with an agent.
    ///
    /// # Errors
    /// As [`Runs::answer`].
    pub async fn done(&self, tenant: Tenant, run: RunId, role: &str, step: &str) -> Result<RunRecord, RunError> {
        self.take(tenant, run, Incoming::Done { step: step.to_owned(), role: role.to_owned() }).await
    }

    /// Ends a run; what it has under way is cut. `reason` is for operators.
    ///
    /// # Errors
    /// [`RunError::NotFound`], [`RunError::Ended`].
    pub async fn cancel(&self, tenant: Tenant, run: RunId, reason: &str) -> Result<RunRecord, RunError> {
        self.take(tenant, run, Incoming::Cancel { reason: reason.to_owned() }).await
    }

    /// Cancels every run of a deployment that is not over; says how many.
    ///
    /// # Errors
    /// [`RunError::Unavailable`]; what was cancelled before stays so.
    pub async fn cancel_of_deployment(
        &self,
        tenant: Tenant,
        deployment: DeploymentId,
        reason: &str,
    ) -> Result<u64, RunError> {
        let data = self.0.parts.store.workspace(tenant);
        let (mut after, mut cancelled) = (None, 0);
        loop {
            let open = data.open_runs(deployment, after, CANCEL_BATCH).await?;
            let Some(last) = open.last().copied() else { return Ok(cancelled) };
            for run in open {
                match self.cancel(tenant, run, reason).await {
                    Ok(_) => cancelled += 1,
                    Err(RunError::Ended | RunError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
            after = Some(last);
        }
    }

    /// What a role of a run is shown now. The first look makes the role somebody's.
    ///
    /// # Errors
    /// [`RunError::NotFound`] also for a role that the workflow does not declare.
    pub async fn view(&self, tenant: Tenant, run: RunId, role: &str) -> Result<ParticipantView, RunError> {
        let data = self.0.parts.store.workspace(tenant);
        let record = data.run(run).await?;
        let definition = self.0.definition(tenant, record.deployment).await?;
        if !definition.declares_role(role) {
            return Err(RunError::NotFound);
        }
        data.bind_participant(run, role).await?;
        let state = read_state(&record)?;
        Ok(ParticipantView {
            run,
            status: state.status(),
            role: role.to_owned(),
            title: definition.title().map(str::to_owned),
            steps: state.open_steps_for(role),
            last_seq: record.seq,
        })
    }

    /// Events of a run after a number, in order, all roles'; who may see them is in [`Event::is_for`].
    ///
    /// # Errors
    /// [`RunError::NotFound`].
    pub async fn events(&self, tenant: Tenant, run: RunId, after: u64, limit: u32) -> Result<Vec<Event>, RunError> {
        let data = self.0.parts.store.workspace(tenant);
        let events = read(&data, run, after, limit).await?;
        if events.is_empty() {
            data.run(run).await?;
        }
        Ok(events)
    }

    /// Follows a run's timeline after a number: all roles' events.
    ///
    /// # Errors
    /// [`RunError::NotFound`].
    pub async fn follow(&self, tenant: Tenant, run: RunId, after: u64) -> Result<RunFollower, RunError> {
        RunFollower::new(self.0.parts.store.workspace(tenant), run, after, &self.0.bells).await
    }

    /// Where a run stands, for operators.
    ///
    /// # Errors
    /// [`RunError::NotFound`].
    pub async fn state(&self, tenant: Tenant, run: RunId) -> Result<RunState, RunError> {
        read_state(&self.0.parts.store.workspace(tenant).run(run).await?)
    }

    /// The definition that a deployment froze.
    ///
    /// # Errors
    /// [`RunError::NotFound`].
    pub async fn definition(&self, tenant: Tenant, deployment: DeploymentId) -> Result<Arc<Definition>, RunError> {
        self.0.definition(tenant, deployment).await
    }

    /// To its end, also when whoever asked does not wait for it: a turn that is stored is also told.
    async fn take(&self, tenant: Tenant, run: RunId, incoming: Incoming) -> Result<RunRecord, RunError> {
        let inner = Arc::clone(&self.0);
        let turn = async move { inner.turn(tenant, run, &Step::Take(incoming)).await };
        Ok(self.0.parts.drain.spawn(turn).await.map_err(RunError::unavailable)??)
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Millis {
        self.parts.clock.now()
    }

    /// A run before it is stored, and the first thing to be done for it.
    fn pending(
        &self,
        tenant: Tenant,
        deployment: &DeploymentRecord,
        input: &Value,
        origin: &str,
    ) -> Result<(NewRun, NewEffect), RunError> {
        if deployment.revoked_at.is_some() {
            return Err(RunError::Revoked);
        }
        let definition = self.keep(tenant, deployment)?;
        let state = RunState::pending(&definition, input)?;
        let new = NewRun {
            deployment: deployment.id,
            origin: origin.to_owned(),
            input: input.to_string(),
            state: serde_json::to_string(&state).map_err(RunError::unavailable)?,
        };
        let begin =
            NewEffect { id: BEGIN.to_owned(), kind: BEGIN.to_owned(), payload: "{}".to_owned(), due_at: self.now() };
        Ok((new, begin))
    }

    pub(crate) async fn start_by_trigger(
        &self,
        tenant: Tenant,
        deployment: &DeploymentRecord,
        input: &Value,
        origin: &str,
        fire: &TriggerFire,
    ) -> Result<Fired, RunError> {
        let (new, begin) = self.pending(tenant, deployment, input, origin)?;
        let fired = self.parts.store.workspace(tenant).create_triggered_run(new, vec![begin], fire).await?;
        self.desk.wake();
        Ok(fired)
    }

    pub(crate) async fn definition(
        &self,
        tenant: Tenant,
        deployment: DeploymentId,
    ) -> Result<Arc<Definition>, RunError> {
        if let Some(known) = self.definitions.lock().get(&(tenant, deployment)) {
            return Ok(Arc::clone(known));
        }
        self.keep(tenant, &self.parts.store.workspace(tenant).deployment(deployment).await?)
    }

    fn keep(&self, tenant: Tenant, deployment: &DeploymentRecord) -> Result<Arc<Definition>, RunError> {
        if let Some(known) = self.definitions.lock().get(&(tenant, deployment.id)) {
            return Ok(Arc::clone(known));
        }
        let value: Value = serde_json::from_str(&deployment.definition).map_err(RunError::unavailable)?;
        // It was checked when it was saved.
        let definition = Definition::parse(&value).map_err(|faults| {
            RunError::unavailable(format!("the deployment {} has {} faults", deployment.id, faults.len()))
        })?;
        let definition = Arc::new(definition);
        let mut definitions = self.definitions.lock();
        if definitions.len() >= MAX_DEFINITIONS {
            definitions.clear();
        }
        definitions.insert((tenant, deployment.id), Arc::clone(&definition));
        Ok(definition)
    }
}

pub(crate) fn read_state(run: &RunRecord) -> Result<RunState, RunError> {
    serde_json::from_str(&run.state).map_err(RunError::unavailable)
}
