//! Deployments: frozen versions of workflows, each with a key of its own. Making and revoking one goes
//! through `cluster`, so that it is in force when it is answered.

use std::collections::BTreeMap;

use access::{Access, Limit, Role, Scope};
use ambient::{DeploymentId, Millis, WorkflowId};
use credential::key::ApiKey;
use gate::{Call, Data, FieldError, List, Nothing, Operation, PageQuery, Problem, Routes, field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{DeploymentRecord, KeySettings, MAX_DEPLOYMENTS, NewDeployment as NewRecord, StoreError};
use workflow::{Definition, InputMapping};

use crate::{
    App, connections, input,
    key_view::expose,
    problem::{must_be_newest, of_run},
    workflows::{MAX_NAME, check_definition},
};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::DeploymentsRead);
const WRITE: Access = Access::closed(Limit::Write).member(Role::Admin).key(Scope::DeploymentsWrite).audited();

pub(crate) const CREATE_DEPLOYMENT: Operation<NewDeployment, Data<DeploymentWithKey>> = Operation::post(
    "/v1/workflows/{id}/deployments",
    "create_deployment",
    "Deploy a workflow as it is now; the key of the deployment is shown once.",
    WRITE,
)
.creates()
.dangerous();
pub(crate) const LIST_DEPLOYMENTS: Operation<DeploymentQuery, List<Deployment>> =
    Operation::get("/v1/deployments", "list_deployments", "List deployments, the newest first.", READ);
pub(crate) const GET_DEPLOYMENT: Operation<Nothing, Data<Deployment>> =
    Operation::get("/v1/deployments/{id}", "get_deployment", "Read a deployment, also a revoked one.", READ);
pub(crate) const REVOKE_DEPLOYMENT: Operation<Revoke, Data<DeploymentReceipt>> = Operation::post(
    "/v1/deployments/{id}/revoke",
    "revoke_deployment",
    "Revoke a deployment for good, with its key, its tokens and open sockets; answered when no node accepts them.",
    WRITE,
);

/// The most of a daily ceiling.
const MAX_DAILY: u32 = 1_000_000;
/// The most runs of a minute.
const MAX_PER_MINUTE: u32 = 100_000;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(CREATE_DEPLOYMENT, create_deployment);
    routes.mount(LIST_DEPLOYMENTS, list_deployments);
    routes.mount(GET_DEPLOYMENT, get_deployment);
    routes.mount(REVOKE_DEPLOYMENT, revoke_deployment);
}

/// How a workflow is deployed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDeployment {
    /// What people call it, 1 to 100 characters; the workflow's name by default.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    name: Option<String>,
    /// Whether strangers may start runs by a public link; the workflow must have one participant.
    #[serde(default)]
    survey_mode: bool,
    /// Runs that may be started in 24 hours, 1 to 1,000,000; without it strangers alone are bounded, by the
    /// installation's default.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000))]
    daily_runs: Option<u32>,
    /// Replies of bots in 24 hours, 1 to 1,000,000; without it runs of strangers have the installation's default.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000))]
    daily_replies: Option<u32>,
    /// Runs that may be started in a minute by whomever, 1 to 100,000; no limit of its own without it.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100_000))]
    runs_per_minute: Option<u32>,
    /// How triggers fill the workflow's inputs: an input and its template over `body` and `query`, such as
    /// `{{body.customer.email}}`. Without it, members of the body that are declared inputs are taken.
    #[serde(default)]
    input_mapping: Option<BTreeMap<String, String>>,
    /// Whether a stranger's browser solves a challenge before it starts a run; `off` by default. Only with
    /// `survey_mode`.
    #[serde(default)]
    challenge: Challenge,
}

/// Whether strangers work before they start a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Challenge {
    /// Never.
    #[default]
    Off,
    /// When many start, the more the harder.
    Auto,
    /// Always.
    On,
}

/// Which deployments are listed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct DeploymentQuery {
    /// Which page, from 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    page: Option<u32>,
    /// How many rows: 20 by default, 100 at most.
    #[schemars(range(min = 1, max = 100))]
    per_page: Option<u32>,
    /// Of this workflow alone.
    workflow_id: Option<WorkflowId>,
}

/// A frozen version of a workflow.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Deployment {
    /// Its id.
    id: DeploymentId,
    /// What it was made from, which may be gone.
    workflow_id: WorkflowId,
    /// Which version of it.
    version: u64,
    /// What people call it.
    name: String,
    /// Whether strangers may start runs by a public link.
    survey_mode: bool,
    /// Runs that may be started in 24 hours; with `null` strangers have the installation's default.
    daily_runs: Option<u32>,
    /// Replies of bots in 24 hours; with `null` runs of strangers have the installation's default.
    daily_replies: Option<u32>,
    /// Runs that may be started in a minute; `null` is no limit of its own.
    runs_per_minute: Option<u32>,
    /// How triggers fill the workflow's inputs; with `null` from members of the body.
    input_mapping: Option<BTreeMap<String, String>>,
    /// Whether strangers solve a challenge before they start a run.
    challenge: Challenge,
    /// Its key: the prefix, first 4 and last 4 characters.
    display: String,
    /// When it was made.
    created_at: Millis,
    /// When it last changed: nothing but its end does.
    updated_at: Millis,
    /// When it was revoked.
    revoked_at: Option<Millis>,
}

/// A deployment that was just made. This is the only time that `key` is shown.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeploymentWithKey {
    #[serde(flatten)]
    deployment: Deployment,
    /// The key that starts runs of it: keep it now, it is never shown again.
    #[serde(serialize_with = "expose")]
    #[schemars(with = "String")]
    key: ApiKey,
}

/// What becomes of runs that are not over when their deployment is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OpenRuns {
    /// What needs no person goes on to its end.
    Finish,
    /// They end as `cancelled`.
    Cancel,
}

/// How a deployment is revoked.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoke {
    /// What becomes of runs that are not over: `finish` or `cancel`. There is no default.
    runs: OpenRuns,
}

/// What a revocation did.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct DeploymentReceipt {
    /// The deployment.
    id: DeploymentId,
    /// When it was revoked; the first time counts.
    revoked_at: Millis,
    /// Milliseconds until no node accepted its key any more.
    took_ms: f64,
    /// Nodes that have confirmed.
    nodes_confirmed: u32,
    /// Open streams and sockets that were ended.
    streams_closed: u64,
    /// Runs that were cancelled because of it.
    runs_cancelled: u64,
}

impl From<DeploymentRecord> for Deployment {
    fn from(record: DeploymentRecord) -> Self {
        Self {
            id: record.id,
            workflow_id: record.workflow,
            version: record.version,
            name: record.name,
            survey_mode: record.survey_mode,
            daily_runs: record.daily_runs,
            daily_replies: record.daily_replies,
            runs_per_minute: record.runs_per_minute,
            // They were written by this file.
            input_mapping: record.input_mapping.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            challenge: Challenge::parse(&record.challenge),
            display: record.display,
            created_at: record.created_at,
            updated_at: record.revoked_at.unwrap_or(record.created_at),
            revoked_at: record.revoked_at,
        }
    }
}

impl Challenge {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::On => "on",
        }
    }

    /// A word of a later version asks for the most that this one knows.
    fn parse(text: &str) -> Self {
        [Self::Off, Self::Auto].into_iter().find(|one| one.as_str() == text).unwrap_or(Self::On)
    }
}

impl NewDeployment {
    fn check(&self, definition: &Definition) -> Result<(), Problem> {
        let mut errors = Vec::new();
        if let Some(name) = &self.name {
            input::name(&mut errors, name, MAX_NAME);
        }
        for (name, ceiling) in [("daily_runs", self.daily_runs), ("daily_replies", self.daily_replies)] {
            if let Some(ceiling) = ceiling {
                field::range(&mut errors, name, u64::from(ceiling), 1, u64::from(MAX_DAILY));
            }
        }
        if let Some(limit) = self.runs_per_minute {
            field::range(&mut errors, "runs_per_minute", u64::from(limit), 1, u64::from(MAX_PER_MINUTE));
        }
        if let Some(Err(faults)) = self.input_mapping.as_ref().map(|one| InputMapping::parse(definition, one)) {
            let named = |fault: workflow::FieldFault| (format!("input_mapping.{}", fault.field), fault.message);
            errors.extend(faults.into_iter().map(named).map(|(field, message)| FieldError::new(field, message)));
        }
        if self.challenge != Challenge::Off && !self.survey_mode {
            errors.push(FieldError::new("challenge", "needs `survey_mode`: it is for strangers who start runs"));
        }
        // A stranger gets a token of a role: there must be no choice of it.
        if self.survey_mode && definition.participants().len() != 1 {
            let message = "needs a workflow with exactly one participant, whom each stranger then is";
            errors.push(FieldError::new("survey_mode", message));
        }
        input::done(errors)
    }
}

async fn create_deployment(app: App, call: Call<NewDeployment>) -> Result<Data<DeploymentWithKey>, Problem> {
    let (tenant, data) = (call.tenant()?, app.workspace(&call)?);
    let workflow = data.workflow(call.id("id")?).await?;
    // Its key has no end.
    must_be_newest(&call.caller)?;
    // It was right when it was saved; its bots may have gone since.
    let definition = serde_json::from_str(&workflow.definition).map_err(Problem::unavailable)?;
    let definition = check_definition(&data, &definition).await?;
    // A definition sends a connection's secrets wherever its author lets it, with any method and path.
    if definition.connections().next().is_some() {
        connections::READ.decide(&call.caller)?;
    }
    call.input.check(&definition)?;
    let id: DeploymentId = data.new_id()?;
    let actor = call.actor();
    let NewDeployment { name, survey_mode, daily_runs, daily_replies, runs_per_minute, input_mapping, challenge } =
        call.input.clone();
    let input_mapping = input_mapping.filter(|one| !one.is_empty());
    let input_mapping =
        input_mapping.map(|one| serde_json::to_string(&one)).transpose().map_err(Problem::unavailable)?;
    let name = name.unwrap_or(workflow.name);
    let detail = json!({"name": name, "workflow_id": workflow.id, "survey_mode": survey_mode});
    let new = NewRecord {
        id,
        workflow: workflow.id,
        version: workflow.version,
        name,
        survey_mode,
        daily_runs,
        daily_replies,
        runs_per_minute,
        input_mapping,
        challenge: challenge.as_str().to_owned(),
        settings: KeySettings::default(),
    };
    match app.cluster().create_deployment(tenant, new, call.audit(&actor, Some(detail))).await {
        Err(cluster::ClusterError::Store(StoreError::Conflict("version"))) => {
            Err(Problem::conflict("The workflow was changed at this moment; look at it and deploy again"))
        }
        Err(cluster::ClusterError::Store(StoreError::Conflict("deployments"))) => Err(Problem::conflict(format!(
            "A workspace has at most {MAX_DEPLOYMENTS} deployments in each environment that are not revoked; \
             revoke one first"
        ))),
        made => {
            let (record, _, key) = made?;
            Ok(Data::new(DeploymentWithKey { deployment: record.into(), key }))
        }
    }
}

async fn list_deployments(app: App, call: Call<DeploymentQuery>) -> Result<List<Deployment>, Problem> {
    let DeploymentQuery { page, per_page, workflow_id } = call.input;
    let request = PageQuery { page, per_page }.request()?;
    let page = app.workspace(&call)?.deployments(request, workflow_id).await?;
    Ok(List::of(page, request, Deployment::from))
}

async fn get_deployment(app: App, call: Call<Nothing>) -> Result<Data<Deployment>, Problem> {
    Ok(Data::new(app.workspace(&call)?.deployment(call.id("id")?).await?.into()))
}

async fn revoke_deployment(app: App, call: Call<Revoke>) -> Result<Data<DeploymentReceipt>, Problem> {
    let (tenant, id) = (call.tenant()?, call.id::<DeploymentId>("id")?);
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({ "runs": call.input.runs })));
    let receipt = app.cluster().revoke_deployment(tenant, id, audit).await?;
    // No run begins any more. Should this fail, the call may be made again.
    let runs_cancelled = match call.input.runs {
        OpenRuns::Finish => 0,
        OpenRuns::Cancel => {
            app.runs().cancel_of_deployment(tenant, id, "The deployment was revoked").await.map_err(of_run)?
        }
    };
    let cluster::Receipt { revoked_at, took_ms, nodes_confirmed, streams_closed, .. } = receipt;
    Ok(Data::new(DeploymentReceipt { id, revoked_at, took_ms, nodes_confirmed, streams_closed, runs_cancelled }))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn definition(participants: &[&str]) -> Definition {
        let participants: Vec<Value> = participants.iter().map(|name| json!({ "name": name })).collect();
        let children = json!([{"type": "Message", "id": "hello", "text": "Hello"}]);
        let root = json!({"type": "Workflow", "id": "root", "participants": participants, "children": children});
        Definition::parse(&root).unwrap()
    }

    fn refused(body: Value, participants: &[&str]) -> String {
        let new: NewDeployment = serde_json::from_value(body).unwrap();
        new.check(&definition(participants)).map_or_else(|problem| format!("{problem:?}"), |()| "taken".to_owned())
    }

    #[test]
    fn a_survey_needs_exactly_one_participant() {
        let survey = json!({"survey_mode": true});
        assert!(refused(survey.clone(), &["a", "b"]).contains("survey_mode"));
        assert!(refused(survey.clone(), &[]).contains("survey_mode"));
        assert_eq!(refused(survey, &["a"]), "taken");
        assert_eq!(refused(json!({}), &["a", "b"]), "taken");
    }

    #[test]
    fn a_ceiling_is_1_to_a_million() {
        for name in ["daily_runs", "daily_replies"] {
            for wrong in [0, 1_000_001] {
                assert!(refused(json!({name: wrong}), &["a"]).contains(name), "{name} {wrong}");
            }
            assert_eq!(refused(json!({name: 1_000_000}), &["a"]), "taken");
            assert_eq!(refused(json!({name: null}), &["a"]), "taken");
        }
        assert!(refused(json!({"name": " "}), &["a"]).contains("name"));
        for wrong in [0, 100_001] {
            assert!(refused(json!({"runs_per_minute": wrong}), &["a"]).contains("runs_per_minute"), "{wrong}");
        }
        assert_eq!(refused(json!({"runs_per_minute": 100_000}), &["a"]), "taken");
    }

    #[test]
    fn a_challenge_is_for_strangers_and_a_mapping_fills_what_is_declared() {
        assert!(refused(json!({"challenge": "on"}), &["a"]).contains("survey_mode"));
        assert_eq!(refused(json!({"challenge": "auto", "survey_mode": true}), &["a"]), "taken");
        assert!(serde_json::from_value::<NewDeployment>(json!({"challenge": "hard"})).is_err());
        for one in [Challenge::Off, Challenge::Auto, Challenge::On] {
            assert_eq!(Challenge::parse(one.as_str()), one);
        }
        assert!(refused(json!({"input_mapping": {"nobody": "{{body.a}}"}}), &["a"]).contains("input_mapping.nobody"));
    }

    #[test]
    fn what_becomes_of_runs_must_be_said() {
        for body in [json!({}), json!({"runs": "kill"}), json!({"runs": null}), json!({"runs": "finish", "x": 1})] {
            assert!(serde_json::from_value::<Revoke>(body.clone()).is_err(), "{body}");
        }
    }
}
