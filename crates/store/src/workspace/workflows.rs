use ambient::WorkflowId;

use super::{Workspace, limits};
use crate::{
    catalogue::workflows as sql,
    error::StoreError,
    participation::{MAX_VERSIONS, NewWorkflow, WorkflowChange, WorkflowRecord, WorkflowVersionRecord},
    record::{AuditEntry, Page, PageRequest},
    row::Row,
    tx::Tx,
};

/// What the audit log calls them.
const KIND: &str = "workflow";

impl Workspace {
    /// Makes a workflow.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn create_workflow(&self, new: NewWorkflow, audit: AuditEntry<'_>) -> Result<WorkflowRecord, StoreError> {
        let now = self.store.now();
        let id = self.new_id()?;
        if let Some(made) = self.made_before(id, self.workflow(id)).await? {
            return Ok(made);
        }
        let workflow = WorkflowRecord {
            id,
            name: new.name,
            definition: new.definition,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.store.begin().await?;
        let insert = self.own(&sql::INSERT_WORKFLOW).id(workflow.id).text(&workflow.name);
        tx.execute(insert.text(&workflow.definition).time(now)).await?;
        self.keep_version(&mut tx, &workflow).await?;
        self.insert_audit(&mut tx, &audit, KIND, &workflow.id).await?;
        tx.commit().await?;
        Ok(workflow)
    }

    /// A workflow.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn workflow(&self, id: WorkflowId) -> Result<WorkflowRecord, StoreError> {
        self.one(self.own(&sql::WORKFLOW).id(id), workflow_record).await
    }

    /// A page of workflows, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn workflows(&self, page: PageRequest) -> Result<Page<WorkflowRecord>, StoreError> {
        self.page(limits(self.own(&sql::WORKFLOWS), page), self.own(&sql::WORKFLOW_COUNT), workflow_record).await
    }

    /// Changes a workflow. Its deployments stay what they are.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn update_workflow(
        &self,
        id: WorkflowId,
        change: WorkflowChange,
        audit: AuditEntry<'_>,
    ) -> Result<WorkflowRecord, StoreError> {
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        let mut workflow = self.lock_workflow(&mut tx, id).await?;
        workflow.name = change.name.unwrap_or(workflow.name);
        workflow.updated_at = now;
        if let Some(definition) = change.definition.filter(|definition| *definition != workflow.definition) {
            workflow.definition = definition;
            workflow.version += 1;
            self.keep_version(&mut tx, &workflow).await?;
        }
        let update = self.own(&sql::UPDATE_WORKFLOW).id(id).text(&workflow.name).text(&workflow.definition);
        tx.change(update.count(workflow.version).time(now)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        Ok(workflow)
    }

    /// Deletes a workflow. Its revoked deployments and their runs stay readable.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `deployed` while a deployment of it is not revoked.
    pub async fn delete_workflow(&self, id: WorkflowId, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        self.lock_workflow(&mut tx, id).await?;
        if tx.execute(self.own(&sql::DELETE_WORKFLOW).id(id)).await? == 0 {
            return Err(StoreError::Conflict("deployed"));
        }
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await
    }

    /// A version of a workflow; the last hundred are kept.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn workflow_version(&self, id: WorkflowId, version: u64) -> Result<WorkflowVersionRecord, StoreError> {
        self.one(self.own(&sql::WORKFLOW_VERSION).id(id).count(version), version_record).await
    }

    /// A page of a workflow's versions without their definitions, the newest first; none when there is no such
    /// workflow.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn workflow_versions(
        &self,
        id: WorkflowId,
        page: PageRequest,
    ) -> Result<Page<WorkflowVersionRecord>, StoreError> {
        let rows = limits(self.own(&sql::WORKFLOW_VERSIONS), page).id(id);
        self.page(rows, self.own(&sql::WORKFLOW_VERSION_COUNT).id(id), version_record).await
    }

    async fn keep_version(&self, tx: &mut Tx, workflow: &WorkflowRecord) -> Result<(), StoreError> {
        let insert = self.own(&sql::INSERT_WORKFLOW_VERSION).id(workflow.id).count(workflow.version);
        tx.execute(insert.text(&workflow.definition).time(workflow.updated_at)).await?;
        let forget = self.own(&sql::FORGET_WORKFLOW_VERSIONS).id(workflow.id);
        tx.execute(forget.count(workflow.version.saturating_sub(MAX_VERSIONS))).await?;
        Ok(())
    }

    /// Holds a workflow as it is.
    pub(super) async fn lock_workflow(&self, tx: &mut Tx, id: WorkflowId) -> Result<WorkflowRecord, StoreError> {
        let row = tx.row(self.own(&sql::LOCK_WORKFLOW).id(id)).await?;
        workflow_record(&row.ok_or(StoreError::NotFound)?)
    }
}

fn version_record(row: &Row) -> Result<WorkflowVersionRecord, StoreError> {
    Ok(WorkflowVersionRecord {
        version: row.count("version")?,
        definition: row.string("definition")?,
        created_at: row.time("created_at")?,
    })
}

fn workflow_record(row: &Row) -> Result<WorkflowRecord, StoreError> {
    Ok(WorkflowRecord {
        id: row.id("id")?,
        name: row.string("name")?,
        definition: row.string("definition")?,
        version: row.count("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}
