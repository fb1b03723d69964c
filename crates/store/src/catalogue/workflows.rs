//! Workflows and their deployments: strictly of one environment, `$2`.

use super::{Statement, counted, statements};

macro_rules! workflow_columns {
    () => {
        "id, name, definition, version, created_at, updated_at"
    };
}

macro_rules! deployment_columns {
    () => {
        "id, workflow_id, name, version, survey_mode, daily_runs, daily_replies, runs_per_minute, input_mapping, challenge,
            created_at, revoked_at"
    };
}

/// What may be shown of the deployment's key, whose id has the same number.
macro_rules! display {
    ($which:literal) => {
        concat!(
            "(SELECT display FROM api_key_secrets WHERE ",
            $which,
            "key_id = 'key_' || SUBSTR(deployments.id, 5) ORDER BY created_at DESC LIMIT 1) AS display"
        )
    };
}

macro_rules! deployments_where {
    ($definition:literal, $which:literal) => {
        concat!(
            "SELECT ",
            deployment_columns!(),
            ", ",
            $definition,
            " AS definition, ",
            display!("workspace_id = $1 AND "),
            " FROM deployments WHERE workspace_id = $1 AND environment = $2 ",
            $which
        )
    };
}

statements! {
    INSERT_WORKFLOW "insert_workflow"
        "INSERT INTO workflows (workspace_id, environment, id, name, definition, version, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, 1, $6, $6)";
    WORKFLOW "workflow" concat!(
        "SELECT ", workflow_columns!(), " FROM workflows WHERE workspace_id = $1 AND environment = $2 AND id = $3"
    );
    /// Without definitions: a page of them could fill memory.
    WORKFLOWS "workflows"
        "SELECT id, name, '' AS definition, version, created_at, updated_at FROM workflows
        WHERE workspace_id = $1 AND environment = $2 ORDER BY id DESC LIMIT $3 OFFSET $4";
    WORKFLOW_COUNT "workflow_count" counted!("FROM workflows WHERE workspace_id = $1 AND environment = $2");
    INSERT_WORKFLOW_VERSION "insert_workflow_version"
        "INSERT INTO workflow_versions (workspace_id, environment, workflow_id, version, definition, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)";
    FORGET_WORKFLOW_VERSIONS "forget_workflow_versions"
        "DELETE FROM workflow_versions
        WHERE workspace_id = $1 AND environment = $2 AND workflow_id = $3 AND version <= $4";
    WORKFLOW_VERSION "workflow_version"
        "SELECT version, definition, created_at FROM workflow_versions
        WHERE workspace_id = $1 AND environment = $2 AND workflow_id = $3 AND version = $4";
    /// Without definitions: a page of them could fill memory.
    WORKFLOW_VERSIONS "workflow_versions"
        "SELECT version, '' AS definition, created_at FROM workflow_versions
        WHERE workspace_id = $1 AND environment = $2 AND workflow_id = $5 ORDER BY version DESC LIMIT $3 OFFSET $4";
    WORKFLOW_VERSION_COUNT "workflow_version_count"
        counted!("FROM workflow_versions WHERE workspace_id = $1 AND environment = $2 AND workflow_id = $3");
    /// First in every change of a workflow, and while it is deployed.
    LOCK_WORKFLOW "lock_workflow" concat!(
        "UPDATE workflows SET updated_at = updated_at
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 RETURNING ", workflow_columns!()
    );
    UPDATE_WORKFLOW "update_workflow"
        "UPDATE workflows SET name = $4, definition = $5, version = $6, updated_at = $7
        WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    /// Deletes nothing while the workflow is deployed. Under its lock: nobody deploys it meanwhile.
    DELETE_WORKFLOW "delete_workflow"
        "DELETE FROM workflows WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND NOT EXISTS (
            SELECT 1 FROM deployments
            WHERE workspace_id = $1 AND environment = $2 AND workflow_id = $3 AND revoked_at IS NULL)";

    INSERT_DEPLOYMENT "insert_deployment"
        "INSERT INTO deployments (workspace_id, environment, id, workflow_id, name, version, definition, survey_mode,
            daily_runs, daily_replies, created_at, runs_per_minute, input_mapping, challenge, revoked_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, NULL)";
    DEPLOYMENT "deployment" deployments_where!("definition", "AND id = $3");
    /// Without definitions: a page of them could fill memory.
    DEPLOYMENTS "deployments" deployments_where!("''", "ORDER BY id DESC LIMIT $3 OFFSET $4");
    DEPLOYMENTS_OF_WORKFLOW "deployments_of_workflow"
        deployments_where!("''", "AND workflow_id = $5 ORDER BY id DESC LIMIT $3 OFFSET $4");
    DEPLOYMENT_COUNT "deployment_count"
        counted!("FROM deployments WHERE workspace_id = $1 AND environment = $2");
    DEPLOYMENT_COUNT_OF_WORKFLOW "deployment_count_of_workflow"
        counted!("FROM deployments WHERE workspace_id = $1 AND environment = $2 AND workflow_id = $3");
    LIVE_DEPLOYMENT_COUNT "live_deployment_count"
        "SELECT COUNT(*) AS total FROM deployments
        WHERE workspace_id = $1 AND environment = $2 AND revoked_at IS NULL";
    /// A stranger names a deployment before anybody knows whose it is.
    DEPLOYMENT_BY_ID "deployment_by_id" concat!(
        "SELECT workspace_id, environment, definition, ", deployment_columns!(), ", ", display!(""),
        " FROM deployments WHERE id = $1"
    );
    /// Holds a deployment that is not revoked, so that no run begins after its revocation.
    LOCK_DEPLOYMENT "lock_deployment"
        "UPDATE deployments SET revoked_at = NULL
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND revoked_at IS NULL";
    REVOKE_DEPLOYMENT "revoke_deployment"
        "UPDATE deployments SET revoked_at = $4
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND revoked_at IS NULL";
}
