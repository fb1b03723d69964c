use access::Tenant;
use ambient::{AgentLoopId, ConnectionId, ExecutionId, WebhookId};
use serde_json::Value;

use super::{EventKind, Workspace, deployments::tenant, limits};
use crate::{
    agent_loops::{
        AgentLoopDraft, AgentLoopRecord, CallbackDraft, ExecutionEnd, ExecutionRecord, ExecutionStepRecord,
        NewExecution, NewExecutionStep,
    },
    catalogue::agent_loops as sql,
    error::StoreError,
    record::{AuditEntry, Page, PageRequest},
    row::Row,
    store::Store,
    tx::Tx,
};

/// What the audit log calls them.
const KIND: &str = "agent_loop";
const EXECUTION: &str = "execution";

/// The most agent loops of one environment of a workspace; a few more when they are made at the same moment.
pub const MAX_AGENT_LOOPS: u64 = 500;

/// The most executions of one environment of a workspace that are not over; a few more when they are started at
/// the same moment.
pub const MAX_OPEN_EXECUTIONS: u64 = 1000;

impl Workspace {
    /// Makes an agent loop.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bot; [`StoreError::Conflict`] `agent_loops` when there are
    /// [`MAX_AGENT_LOOPS`].
    pub async fn create_agent_loop(
        &self,
        draft: AgentLoopDraft,
        audit: AuditEntry<'_>,
    ) -> Result<AgentLoopRecord, StoreError> {
        // Made by an attempt before, it gets this one's secret.
        if self.made_before(draft.id, self.agent_loop(draft.id)).await?.is_some() {
            return self.update_agent_loop(draft, audit).await;
        }
        let mut tx = self.store.begin().await?;
        if tx.total(self.own(&sql::AGENT_LOOP_COUNT)).await? >= MAX_AGENT_LOOPS {
            return Err(StoreError::Conflict("agent_loops"));
        }
        let AgentLoopDraft { id, bot, name, description, prompt, tools, max_iterations, timeout_seconds, callback } =
            draft;
        let webhook = self.place_callback(&mut tx, id, None, callback).await?;
        let insert = self.own(&sql::INSERT_AGENT_LOOP).id(id).id(bot).text(name).maybe_text(description.as_deref());
        let insert = insert.text(prompt).text(tools).count(max_iterations).count(timeout_seconds);
        tx.execute(insert.maybe_id(webhook).time(self.store.now())).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        let made = self.read_loop(&mut tx, id).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// An agent loop.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn agent_loop(&self, id: AgentLoopId) -> Result<AgentLoopRecord, StoreError> {
        self.one(self.own(&sql::AGENT_LOOP).id(id), loop_record).await
    }

    /// A page of agent loops, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn agent_loops(&self, page: PageRequest) -> Result<Page<AgentLoopRecord>, StoreError> {
        self.page(limits(self.own(&sql::AGENT_LOOPS), page), self.own(&sql::AGENT_LOOP_COUNT), loop_record).await
    }

    /// Makes an agent loop what the draft says. Executions that were started before stay what they are.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also for the bot.
    pub async fn update_agent_loop(
        &self,
        draft: AgentLoopDraft,
        audit: AuditEntry<'_>,
    ) -> Result<AgentLoopRecord, StoreError> {
        let mut tx = self.store.begin().await?;
        let AgentLoopDraft { id, bot, name, description, prompt, tools, max_iterations, timeout_seconds, callback } =
            draft;
        let old = self.read_loop(&mut tx, id).await?.webhook;
        let webhook = self.place_callback(&mut tx, id, old, callback).await?;
        let update = self.own(&sql::UPDATE_AGENT_LOOP).id(id).id(bot).text(name).maybe_text(description.as_deref());
        let update = update.text(prompt).text(tools).count(max_iterations).count(timeout_seconds);
        tx.change(update.maybe_id(webhook).time(self.store.now())).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        let changed = self.read_loop(&mut tx, id).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// The endpoint that a loop has from now on.
    async fn place_callback(
        &self,
        tx: &mut Tx,
        of: AgentLoopId,
        old: Option<WebhookId>,
        callback: CallbackDraft,
    ) -> Result<Option<WebhookId>, StoreError> {
        match (callback, old) {
            (CallbackDraft::Keep, old) => Ok(old),
            (CallbackDraft::Nobody, Some(old)) => {
                self.delete_owned_webhook(tx, old).await?;
                Ok(None)
            }
            (CallbackDraft::Nobody, None) => Ok(None),
            (CallbackDraft::To { id, url, secret_sealed }, Some(old)) if id == old => {
                self.update_owned_webhook(tx, id, &url).await?;
                // Who knew the secret of the old address does not sign for the new one.
                self.rotate_owned_webhook(tx, id, secret_sealed, None).await?;
                Ok(old.into())
            }
            (CallbackDraft::To { id, url, secret_sealed }, old) => {
                if let Some(old) = old {
                    self.delete_owned_webhook(tx, old).await?;
                }
                self.insert_owned_webhook(tx, id, &of.to_string(), &url, secret_sealed).await?;
                Ok(Some(id))
            }
        }
    }

    async fn read_loop(&self, tx: &mut Tx, id: AgentLoopId) -> Result<AgentLoopRecord, StoreError> {
        loop_record(&tx.row(self.own(&sql::AGENT_LOOP).id(id)).await?.ok_or(StoreError::NotFound)?)
    }

    /// Deletes an agent loop with its executions.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_agent_loop(&self, id: AgentLoopId, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        if let Some(webhook) = self.read_loop(&mut tx, id).await?.webhook {
            self.delete_owned_webhook(&mut tx, webhook).await?;
        }
        tx.change(self.own(&sql::DELETE_AGENT_LOOP).id(id)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await
    }

    /// How many agent loops have a tool with this connection.
    pub(super) async fn agent_loops_of(&self, tx: &mut Tx, connection: ConnectionId) -> Result<u64, StoreError> {
        tx.total(self.own(&sql::AGENT_LOOPS_OF_CONNECTION).id(connection)).await
    }

    /// Starts an execution, `pending`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the loop; [`StoreError::Conflict`] `executions` when [`MAX_OPEN_EXECUTIONS`]
    /// are not over.
    pub async fn create_execution(
        &self,
        new: NewExecution,
        audit: AuditEntry<'_>,
    ) -> Result<ExecutionRecord, StoreError> {
        let id: ExecutionId = self.new_id()?;
        if let Some(made) = self.made_before(id, self.execution(id)).await? {
            return Ok(made);
        }
        let mut tx = self.store.begin().await?;
        if tx.total(self.own(&sql::OPEN_EXECUTION_COUNT)).await? >= MAX_OPEN_EXECUTIONS {
            return Err(StoreError::Conflict("executions"));
        }
        let insert = self.own(&sql::INSERT_EXECUTION).id(id).id(new.agent_loop).text("pending").text(new.input);
        let insert = insert.maybe_text(new.metadata.as_deref()).text(new.state).text(new.started_by);
        tx.execute(insert.time(self.store.now())).await?;
        self.insert_audit(&mut tx, &audit, EXECUTION, &id).await?;
        let row = tx.row(self.own(&sql::EXECUTION).id(id)).await?;
        let started = execution_record(&row.ok_or(StoreError::NotFound)?)?;
        tx.commit().await?;
        Ok(started)
    }

    /// An execution.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn execution(&self, id: ExecutionId) -> Result<ExecutionRecord, StoreError> {
        self.one(self.own(&sql::EXECUTION).id(id), execution_record).await
    }

    /// A page of a loop's executions without what they were given, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn executions(&self, of: AgentLoopId, page: PageRequest) -> Result<Page<ExecutionRecord>, StoreError> {
        let rows = limits(self.own(&sql::EXECUTIONS_OF_LOOP), page).id(of);
        self.page(rows, self.own(&sql::EXECUTION_COUNT).id(of), execution_record).await
    }

    /// Executions of a loop that are not over, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn open_executions(&self, of: AgentLoopId, limit: u32) -> Result<Vec<ExecutionId>, StoreError> {
        let rows = self.own(&sql::OPEN_EXECUTIONS_OF_LOOP).id(of).count(limit);
        self.store.rows(rows).await?.iter().map(|row| row.id("id")).collect()
    }

    /// What an execution did, in order; nothing when there is no such execution.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn execution_steps(&self, of: ExecutionId, limit: u32) -> Result<Vec<ExecutionStepRecord>, StoreError> {
        let rows = self.own(&sql::EXECUTION_STEPS).id(of).count(limit);
        self.store.rows(rows).await?.iter().map(step_record).collect()
    }

    /// Writes steps of an execution, all or none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `ended` when it is over or gone, `duplicate` for a step that is there.
    pub async fn save_execution_steps(&self, id: ExecutionId, steps: Vec<NewExecutionStep>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        self.insert_steps(&mut tx, id, steps).await?;
        tx.commit().await
    }

    async fn insert_steps(&self, tx: &mut Tx, id: ExecutionId, steps: Vec<NewExecutionStep>) -> Result<(), StoreError> {
        let now = self.store.now();
        for step in steps {
            let advance = self.own(&sql::ADVANCE_EXECUTION).id(id).count(step.iterations);
            if tx.execute(advance.count(step.input_tokens).count(step.output_tokens).time(now)).await? == 0 {
                return Err(StoreError::Conflict("ended"));
            }
            let insert = self.own(&sql::INSERT_EXECUTION_STEP).id(id).count(step.position).text(step.kind);
            tx.execute(insert.text(step.data).count(step.took_ms).time(now)).await?;
        }
        Ok(())
    }

    /// Says that an execution has begun, and when; once more changes nothing but its `updated_at`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `ended` when it is over or gone.
    pub async fn begin_execution(&self, id: ExecutionId) -> Result<(), StoreError> {
        let advance = self.own(&sql::ADVANCE_EXECUTION).id(id).count(0).count(0).count(0);
        match self.store.execute(advance.time(self.store.now())).await? {
            0 => Err(StoreError::Conflict("ended")),
            _ => Ok(()),
        }
    }

    /// Ends an execution, after its last steps, and tells whoever wants to know: `tell` writes what they read.
    /// `audit`: of a call that ends it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `ended` when it is over.
    pub async fn finish_execution(
        &self,
        id: ExecutionId,
        steps: Vec<NewExecutionStep>,
        end: ExecutionEnd,
        tell: fn(&ExecutionRecord) -> Value,
        audit: Option<AuditEntry<'_>>,
    ) -> Result<ExecutionRecord, StoreError> {
        let mut tx = self.store.begin().await?;
        self.insert_steps(&mut tx, id, steps).await?;
        let finish = self.own(&sql::FINISH_EXECUTION).id(id).text(end.status).maybe_text(end.output.as_deref());
        let row = tx.row(finish.maybe_text(end.reason.as_deref()).time(self.store.now())).await?;
        let Some(row) = row else {
            return Err(match tx.row(self.own(&sql::EXECUTION).id(id)).await? {
                Some(_) => StoreError::Conflict("ended"),
                None => StoreError::NotFound,
            });
        };
        let record = execution_record(&row)?;
        let told = tell(&record);
        self.event(&mut tx, EventKind::AgentLoopFinished, &told).await?;
        if let Some(webhook) = self.read_loop(&mut tx, record.agent_loop).await?.webhook {
            self.event_for(&mut tx, webhook, EventKind::AgentLoopFinished.as_str(), &told).await?;
        }
        if let Some(audit) = audit {
            self.insert_audit(&mut tx, &audit, EXECUTION, &id).await?;
        }
        tx.commit().await?;
        Ok(record)
    }
}

impl Store {
    /// Executions of every tenant that are not over: of each tenant the oldest `of_each`; the tenants take turns.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn open_executions(&self, of_each: u32, limit: u32) -> Result<Vec<(Tenant, ExecutionId)>, StoreError> {
        let rows = self.rows(sql::OPEN_EXECUTIONS.bound().count(of_each).count(limit)).await?;
        rows.iter().map(|row| Ok((tenant(row)?, row.id("id")?))).collect()
    }
}

fn loop_record(row: &Row) -> Result<AgentLoopRecord, StoreError> {
    Ok(AgentLoopRecord {
        id: row.id("id")?,
        bot: row.id("bot_id")?,
        name: row.string("name")?,
        description: row.maybe_string("description")?,
        prompt: row.string("prompt")?,
        tools: row.string("tools")?,
        max_iterations: row.count("max_iterations")?,
        timeout_seconds: row.count("timeout_seconds")?,
        webhook: row.maybe_id("webhook_id")?,
        callback_url: row.maybe_string("callback_url")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

fn execution_record(row: &Row) -> Result<ExecutionRecord, StoreError> {
    Ok(ExecutionRecord {
        id: row.id("id")?,
        agent_loop: row.id("loop_id")?,
        status: row.string("status")?,
        input: row.string("input")?,
        metadata: row.maybe_string("metadata")?,
        state: row.string("state")?,
        output: row.maybe_string("output")?,
        reason: row.maybe_string("error")?,
        iterations: row.count("iterations")?,
        input_tokens: row.count("input_tokens")?,
        output_tokens: row.count("output_tokens")?,
        started_by: row.string("started_by")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        started_at: row.maybe_time("started_at")?,
        finished_at: row.maybe_time("finished_at")?,
    })
}

fn step_record(row: &Row) -> Result<ExecutionStepRecord, StoreError> {
    Ok(ExecutionStepRecord {
        position: row.count("position")?,
        kind: row.string("kind")?,
        data: row.string("data")?,
        took_ms: row.count("took_ms")?,
        at: row.time("created_at")?,
    })
}
