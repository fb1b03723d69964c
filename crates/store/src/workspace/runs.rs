use access::Tenant;
use ambient::{DeploymentId, Millis, RunId, Ulid};

use super::{EventKind, Workspace, deployments::tenant, keys::json, limits};
use crate::{
    catalogue::runs as sql,
    error::StoreError,
    participation::{EffectRecord, NewEffect, NewRun, RunEventRecord, RunFilter, RunRecord, TurnRecord},
    record::{Page, PageRequest},
    row::Row,
    store::Store,
    tx::Tx,
};

/// What a run is before its first turn.
const PENDING: &str = "pending";
/// What it is while a person or a timer is waited for.
const WAITING: &str = "waiting";

impl Workspace {
    /// Starts a run, `pending`, with what is to be done for it first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the deployment; [`StoreError::Conflict`] `revoked`: no run begins after that.
    pub async fn create_run(&self, new: NewRun, effects: Vec<NewEffect>) -> Result<RunRecord, StoreError> {
        let now = self.store.now();
        let id = self.new_id()?;
        if let Some(made) = self.made_before(id, self.run(id)).await? {
            return Ok(made);
        }
        let mut tx = self.store.begin().await?;
        self.lock_deployment(&mut tx, new.deployment).await?;
        let run = self.insert_run(&mut tx, id, new, effects, now).await?;
        tx.commit().await?;
        Ok(run)
    }

    /// Under the lock of its deployment.
    pub(super) async fn insert_run(
        &self,
        tx: &mut Tx,
        id: RunId,
        new: NewRun,
        effects: Vec<NewEffect>,
        now: Millis,
    ) -> Result<RunRecord, StoreError> {
        let run = RunRecord {
            id,
            deployment: new.deployment,
            origin: new.origin,
            status: PENDING.to_owned(),
            input: new.input,
            state: new.state,
            current_step: None,
            version: 0,
            seq: 0,
            created_at: now,
            updated_at: now,
            finished_at: None,
        };
        let insert = self.own(&sql::INSERT_RUN).id(run.id).id(run.deployment).text(&run.origin).text(&run.status);
        tx.execute(insert.text(&run.input).text(&run.state).time(now)).await?;
        self.insert_effects(tx, run.id, effects, now).await?;
        self.event(tx, EventKind::RunStarted, &run.told()).await?;
        Ok(run)
    }

    /// A run.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn run(&self, id: RunId) -> Result<RunRecord, StoreError> {
        self.one(self.own(&sql::RUN).id(id), run_record).await
    }

    /// A page of runs without their inputs and states, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn runs<'f>(
        &self,
        page: PageRequest,
        filter: impl Into<RunFilter<'f>>,
    ) -> Result<Page<RunRecord>, StoreError> {
        let RunFilter { deployment, status } = filter.into();
        let (rows, total) = match (deployment, status) {
            (None, None) => (limits(self.own(&sql::RUNS), page), self.own(&sql::RUN_COUNT)),
            (None, Some(status)) => (
                limits(self.own(&sql::RUNS_OF_STATUS), page).text(status),
                self.own(&sql::RUN_COUNT_OF_STATUS).text(status),
            ),
            (Some(deployment), Some(status)) => (
                limits(self.own(&sql::RUNS_OF_DEPLOYMENT_AND_STATUS), page).id(deployment).text(status),
                self.own(&sql::RUN_COUNT_OF_DEPLOYMENT_AND_STATUS).id(deployment).text(status),
            ),
            (Some(deployment), None) => (
                limits(self.own(&sql::RUNS_OF_DEPLOYMENT), page).id(deployment),
                self.own(&sql::RUN_COUNT_OF_DEPLOYMENT).id(deployment),
            ),
        };
        self.page(rows, total, run_record).await
    }

    /// Runs of a deployment after one of them that are not over, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn open_runs(
        &self,
        deployment: DeploymentId,
        after: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunId>, StoreError> {
        let bound = self.own(&sql::OPEN_RUNS).id(deployment).id(after.unwrap_or(FIRST)).count(limit);
        self.store.rows(bound).await?.iter().map(|row| row.id("id")).collect()
    }

    /// Writes a turn of a run, all or nothing: the new state, what happened and what is to be done.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `version` when the run has had another turn since
    /// `expected_version`, or is over, `seq` when the events do not follow the run's last one without a gap,
    /// `effect` when there is one of that id.
    pub async fn save_turn(&self, id: RunId, expected_version: u64, turn: TurnRecord) -> Result<RunRecord, StoreError> {
        let now = self.store.now();
        let finished_at = turn.is_final().then_some(now);
        let mut tx = self.store.begin().await?;
        // Where the turn is taken, the run is what it is here: the version says so.
        let before = tx.row(self.own(&sql::RUN_STANDING).id(id)).await?;
        let take = self.own(&sql::TAKE_TURN).id(id).count(expected_version).text(&turn.status).text(&turn.state);
        let take = take.maybe_text(turn.current_step.as_deref()).count(turn.events.len());
        let Some(row) = tx.row(take.time(now).maybe_time(finished_at)).await? else {
            return Err(before.map_or(StoreError::NotFound, |_| StoreError::Conflict("version")));
        };
        let run = RunRecord {
            id,
            deployment: row.id("deployment_id")?,
            origin: row.string("origin")?,
            status: turn.status,
            input: row.string("input")?,
            state: turn.state,
            current_step: turn.current_step,
            version: row.count("version")?,
            seq: row.count("seq")?,
            created_at: row.time("created_at")?,
            updated_at: now,
            finished_at,
        };
        // Counted back from the run's own number: whatever the caller thought, there is no gap.
        for (event, back) in turn.events.iter().zip((0..turn.events.len() as u64).rev()) {
            if Some(event.seq) != run.seq.checked_sub(back) {
                return Err(StoreError::Conflict("seq"));
            }
            let roles = event.roles.as_ref().map(json).transpose()?;
            let insert = self.own(&sql::INSERT_RUN_EVENT).id(id).count(event.seq).text(&event.kind);
            tx.execute(insert.maybe_text(roles.as_deref()).text(&event.data).time(event.at)).await?;
        }
        if finished_at.is_some() {
            tx.execute(self.own(&sql::FORGET_RUN_EFFECTS).id(id)).await?;
        } else {
            for effect in turn.resolved {
                tx.execute(self.own(&sql::RESOLVE_RUN_EFFECT).id(id).text(effect)).await?;
            }
        }
        self.insert_effects(&mut tx, id, turn.effects, now).await?;
        if let Some(kind) = told_of(before.as_ref(), &run)? {
            self.event(&mut tx, kind, &run.told()).await?;
        }
        tx.commit().await?;
        Ok(run)
    }

    /// What happened in a run after a number, in order; nothing when there is no such run.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn run_events(&self, id: RunId, after: u64, limit: u32) -> Result<Vec<RunEventRecord>, StoreError> {
        let rows = self.store.rows(self.own(&sql::RUN_EVENTS).id(id).count(after).count(limit)).await?;
        rows.iter().map(event_record).collect()
    }

    /// What is still to be done for a run, the earliest first; nothing when there is no such run.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn effects_of(&self, id: RunId) -> Result<Vec<EffectRecord>, StoreError> {
        self.store.rows(self.own(&sql::RUN_EFFECTS).id(id)).await?.iter().map(effect_record).collect()
    }

    /// Puts off what is to be done for a run, until `due_at`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is done.
    pub async fn postpone_effect(
        &self,
        id: RunId,
        effect: &str,
        due_at: Millis,
        attempts: u32,
    ) -> Result<(), StoreError> {
        let update = self.own(&sql::POSTPONE_RUN_EFFECT).id(id).text(effect).time(due_at).count(attempts);
        match self.store.execute(update).await? {
            0 => Err(StoreError::NotFound),
            _ => Ok(()),
        }
    }

    /// Since when a role of a run is somebody's: now, if it was nobody's.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the run.
    pub async fn bind_participant(&self, id: RunId, role: &str) -> Result<Millis, StoreError> {
        let bound_at = || self.own(&sql::BOUND_AT).id(id).text(role);
        if let Some(row) = self.store.row(bound_at()).await? {
            return row.time("bound_at");
        }
        let mut tx = self.store.begin().await?;
        // The foreign key carries workspace and environment: another tenant's run is not there.
        tx.execute(self.own(&sql::BIND_PARTICIPANT).id(id).text(role).time(self.store.now())).await?;
        let row = tx.row(bound_at()).await?.ok_or(StoreError::NotFound)?;
        tx.commit().await?;
        row.time("bound_at")
    }

    async fn insert_effects(
        &self,
        tx: &mut Tx,
        id: RunId,
        effects: Vec<NewEffect>,
        now: Millis,
    ) -> Result<(), StoreError> {
        for NewEffect { id: effect, kind, payload, due_at } in effects {
            let insert = self.own(&sql::INSERT_RUN_EFFECT).id(id).text(effect).text(kind).text(payload);
            tx.execute(insert.time(due_at).time(now)).await?;
        }
        Ok(())
    }
}

impl Store {
    /// What is to be done by `now` for runs of every tenant, the earliest first; payloads are left out.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn due_effects(&self, now: Millis, limit: u32) -> Result<Vec<(Tenant, RunId, EffectRecord)>, StoreError> {
        self.rows(sql::DUE_RUN_EFFECTS.bound().time(now).count(limit)).await?.iter().map(due_effect).collect()
    }

    /// As [`Store::due_effects`], of each tenant the earliest `of_each` calls (`ask_bot`, `call_tool`) and as many
    /// of what is no call; the tenants take turns. It costs as much as there is due.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn due_effects_of_each(
        &self,
        now: Millis,
        of_each: u32,
        limit: u32,
    ) -> Result<Vec<(Tenant, RunId, EffectRecord)>, StoreError> {
        let due = sql::DUE_RUN_EFFECTS_OF_EACH.bound().time(now).count(of_each).count(limit);
        self.rows(due).await?.iter().map(due_effect).collect()
    }

    /// When the next thing is to be done after `now`, for a run of any tenant.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn next_effect_after(&self, now: Millis) -> Result<Option<Millis>, StoreError> {
        let row = self.row(sql::NEXT_RUN_EFFECT.bound().time(now)).await?;
        row.map(|row| row.maybe_time("due_at")).transpose().map(Option::flatten)
    }
}

/// Before every run.
const FIRST: RunId = RunId(Ulid(0));

/// What a turn is told as. A run that waits begins to wait again when it waits for something else.
fn told_of(before: Option<&Row>, run: &RunRecord) -> Result<Option<EventKind>, StoreError> {
    Ok(match run.status.as_str() {
        "completed" => Some(EventKind::RunCompleted),
        "failed" => Some(EventKind::RunFailed),
        WAITING => {
            let Some(before) = before else { return Ok(None) };
            let waited = before.text("status")? == WAITING;
            let is_same = before.maybe_text("current_step")? == run.current_step.as_deref();
            (!waited || !is_same).then_some(EventKind::RunWaiting)
        }
        _ => None,
    })
}

pub(super) fn run_record(row: &Row) -> Result<RunRecord, StoreError> {
    Ok(RunRecord {
        id: row.id("id")?,
        deployment: row.id("deployment_id")?,
        origin: row.string("origin")?,
        status: row.string("status")?,
        input: row.string("input")?,
        state: row.string("state")?,
        current_step: row.maybe_string("current_step")?,
        version: row.count("version")?,
        seq: row.count("seq")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        finished_at: row.maybe_time("finished_at")?,
    })
}

fn event_record(row: &Row) -> Result<RunEventRecord, StoreError> {
    Ok(RunEventRecord {
        seq: row.count("seq")?,
        kind: row.string("kind")?,
        roles: row.maybe_json("roles")?,
        data: row.string("data")?,
        at: row.time("created_at")?,
    })
}

fn due_effect(row: &Row) -> Result<(Tenant, RunId, EffectRecord), StoreError> {
    Ok((tenant(row)?, row.id("run_id")?, effect_record(row)?))
}

fn effect_record(row: &Row) -> Result<EffectRecord, StoreError> {
    Ok(EffectRecord {
        id: row.string("id")?,
        kind: row.string("kind")?,
        payload: row.string("payload")?,
        due_at: row.time("due_at")?,
        attempts: row.count("attempts")?,
        created_at: row.time("created_at")?,
    })
}
