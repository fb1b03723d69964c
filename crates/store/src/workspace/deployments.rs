use access::{KeyKind, ScopeSet, Tenant};
use ambient::{DeploymentId, KeyId, Millis, WorkflowId};
use credential::key::{Environment, Family};
use serde_json::Map;

use super::{EventKind, Workspace, limits};
use crate::{
    catalogue::workflows as sql,
    change::NewKey,
    error::StoreError,
    participation::{DeploymentRecord, NewDeployment},
    record::{AuditEntry, KeyRecord, KeySettings, Page, PageRequest, SecretRecord},
    row::Row,
    store::Store,
    tx::Tx,
};

/// What the audit log calls them.
const KIND: &str = "deployment";

/// The most deployments of one environment of a workspace that are not revoked; a few more when they are made at
/// the same moment.
pub const MAX_DEPLOYMENTS: u64 = 1000;

impl Workspace {
    /// Freezes a version of a workflow under a key of its own, of this tenant's environment.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the workflow; [`StoreError::Conflict`] `version` when it has changed
    /// since its maker looked, `secret` when the digest is known, `deployments` when there are [`MAX_DEPLOYMENTS`].
    pub async fn create_deployment(
        &self,
        new: NewDeployment,
        secret: SecretRecord,
        audit: AuditEntry<'_>,
    ) -> Result<(DeploymentRecord, KeyRecord), StoreError> {
        let now = self.store.now();
        let key = |name: &str, settings: KeySettings, secret| NewKey {
            environment: self.tenant.environment,
            kind: KeyKind::Deployment,
            family: Family::Deployment,
            name: name.to_owned(),
            scopes: ScopeSet::NONE,
            settings,
            service_account: None,
            expires_at: None,
            secret,
        };
        if let Some(made) = self.made_before(new.id, self.deployment(new.id)).await? {
            let wanted = self.key_record(key(&new.name, new.settings, secret.clone()), &audit)?;
            let wanted = KeyRecord { id: made.key(), ..wanted };
            let key = self.replace_lost_secret(&wanted, secret, &audit).await?;
            let display = key.secrets.first().map_or(made.display, |secret| secret.display.clone());
            return Ok((DeploymentRecord { display, ..made }, key));
        }
        let mut tx = self.store.begin().await?;
        let workflow = self.lock_workflow(&mut tx, new.workflow).await?;
        if workflow.version != new.version {
            return Err(StoreError::Conflict("version"));
        }
        if tx.total(self.own(&sql::LIVE_DEPLOYMENT_COUNT)).await? >= MAX_DEPLOYMENTS {
            return Err(StoreError::Conflict("deployments"));
        }
        let deployment = DeploymentRecord {
            id: new.id,
            workflow: new.workflow,
            name: new.name,
            version: workflow.version,
            definition: workflow.definition,
            survey_mode: new.survey_mode,
            daily_runs: new.daily_runs,
            daily_replies: new.daily_replies,
            runs_per_minute: new.runs_per_minute,
            input_mapping: new.input_mapping,
            challenge: new.challenge,
            display: secret.display.clone(),
            created_at: now,
            revoked_at: None,
        };
        let key = key(&deployment.name, new.settings, secret);
        let key = KeyRecord { id: deployment.key(), ..self.key_record(key, &audit)? };
        self.insert_whole_key(&mut tx, &key).await?;
        let insert = self.own(&sql::INSERT_DEPLOYMENT).id(deployment.id).id(deployment.workflow);
        let insert = insert.text(&deployment.name).count(deployment.version).text(&deployment.definition);
        let insert = insert.count(deployment.survey_mode).maybe_count(deployment.daily_runs);
        let insert = insert.maybe_count(deployment.daily_replies).time(now).maybe_count(deployment.runs_per_minute);
        let insert = insert.maybe_text(deployment.input_mapping.as_deref()).text(&deployment.challenge);
        tx.execute(insert).await?;
        self.insert_audit(&mut tx, &audit, KIND, &deployment.id).await?;
        self.key_event(&mut tx, EventKind::ApiKeyCreated, &key, &audit, Map::new()).await?;
        tx.commit().await?;
        Ok((deployment, key))
    }

    /// A deployment, in any state.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn deployment(&self, id: DeploymentId) -> Result<DeploymentRecord, StoreError> {
        self.one(self.own(&sql::DEPLOYMENT).id(id), deployment_record).await
    }

    /// A page of deployments without their definitions, the newest first; of one workflow, if asked.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn deployments(
        &self,
        page: PageRequest,
        workflow: Option<WorkflowId>,
    ) -> Result<Page<DeploymentRecord>, StoreError> {
        let (rows, total) = match workflow {
            None => (limits(self.own(&sql::DEPLOYMENTS), page), self.own(&sql::DEPLOYMENT_COUNT)),
            Some(workflow) => (
                limits(self.own(&sql::DEPLOYMENTS_OF_WORKFLOW), page).id(workflow),
                self.own(&sql::DEPLOYMENT_COUNT_OF_WORKFLOW).id(workflow),
            ),
        };
        self.page(rows, total, deployment_record).await
    }

    /// Revokes a deployment and its key, for good. One that is revoked already is answered as it is, and
    /// nothing is logged. Its runs go on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn revoke_deployment(
        &self,
        id: DeploymentId,
        now: Millis,
        audit: AuditEntry<'_>,
    ) -> Result<(DeploymentRecord, KeyRecord), StoreError> {
        let mut tx = self.store.begin().await?;
        // The key first, as in `revoke_key`: two who revoke wait for each other in the same order.
        let revoked = self.mark_key_revoked(&mut tx, KeyId(id.0), now).await?;
        if tx.execute(self.own(&sql::REVOKE_DEPLOYMENT).id(id).time(now)).await? > 0 {
            self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        }
        let deployment = tx.row(self.own(&sql::DEPLOYMENT).id(id)).await?.ok_or(StoreError::NotFound)?;
        let deployment = deployment_record(&deployment)?;
        let key = self.read_key(&mut tx, deployment.key()).await?;
        if revoked {
            self.key_event(&mut tx, EventKind::ApiKeyRevoked, &key, &audit, Map::new()).await?;
        }
        tx.commit().await?;
        Ok((deployment, key))
    }

    /// What belongs to a key that is revoked by its own id.
    pub(super) async fn revoke_deployment_of(
        &self,
        tx: &mut Tx,
        key: &KeyRecord,
        now: Millis,
    ) -> Result<(), StoreError> {
        if key.kind == KeyKind::Deployment {
            let of_key = self.store.workspace(Tenant { environment: key.environment, ..self.tenant });
            tx.execute(of_key.own(&sql::REVOKE_DEPLOYMENT).id(DeploymentId(key.id.0)).time(now)).await?;
        }
        Ok(())
    }

    /// Holds a deployment, so that it is not revoked before the transaction is over.
    pub(super) async fn lock_deployment(&self, tx: &mut Tx, id: DeploymentId) -> Result<(), StoreError> {
        if tx.execute(self.own(&sql::LOCK_DEPLOYMENT).id(id)).await? > 0 {
            return Ok(());
        }
        match tx.row(self.own(&sql::DEPLOYMENT).id(id)).await? {
            Some(_) => Err(StoreError::Conflict("revoked")),
            None => Err(StoreError::NotFound),
        }
    }
}

impl Store {
    /// A deployment, in any state, and whose it is: strangers know its id alone.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn deployment_by_id(&self, id: DeploymentId) -> Result<Option<(Tenant, DeploymentRecord)>, StoreError> {
        let row = self.row(sql::DEPLOYMENT_BY_ID.bound().id(id)).await?;
        row.map(|row| Ok((tenant(&row)?, deployment_record(&row)?))).transpose()
    }
}

/// Whose row this is.
pub(crate) fn tenant(row: &Row) -> Result<Tenant, StoreError> {
    let environment: Environment = row.id("environment")?;
    Ok(Tenant { workspace: row.id("workspace_id")?, environment })
}

fn deployment_record(row: &Row) -> Result<DeploymentRecord, StoreError> {
    Ok(DeploymentRecord {
        id: row.id("id")?,
        workflow: row.id("workflow_id")?,
        name: row.string("name")?,
        version: row.count("version")?,
        definition: row.string("definition")?,
        survey_mode: row.count::<i64>("survey_mode")? != 0,
        daily_runs: row.maybe_count("daily_runs")?,
        daily_replies: row.maybe_count("daily_replies")?,
        runs_per_minute: row.maybe_count("runs_per_minute")?,
        input_mapping: row.maybe_string("input_mapping")?,
        challenge: row.string("challenge")?,
        display: row.string("display")?,
        created_at: row.time("created_at")?,
        revoked_at: row.maybe_time("revoked_at")?,
    })
}
