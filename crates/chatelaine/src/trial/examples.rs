//! The examples that ship with the product, as a trial has them: each is deployed once, and a later start
//! gives its key a new secret, because nobody knows the text of the one before.

use access::{Actor, Tenant};
use ambient::{BotId, DeploymentId, WorkflowId};
use anyhow::Context as _;
use api::App;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{AuditEntry, DeploymentRecord, KeySettings, NewDeployment, NewWorkflow, StoreError};

/// The one that anybody may start.
pub(super) const SURVEY: &str = "nps-survey";
/// One person answers, another decides.
pub(super) const REVIEW: &str = "two-role-review";
/// A bot talks with a person.
pub(super) const INTAKE: &str = "support-intake";

/// How long the secret before works on: the longest that a rotation grants.
const GRACE_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// A workflow of the trial, deployed.
#[derive(Clone, Serialize, Deserialize)]
pub struct TrialWorkflow {
    /// Its name among the examples, such as `nps-survey`.
    pub name: String,
    /// The workflow.
    pub workflow_id: WorkflowId,
    /// Its deployment.
    pub deployment_id: DeploymentId,
    /// The deployment's key, in clear: it starts and reads runs.
    pub key: String,
}

impl std::fmt::Debug for TrialWorkflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrialWorkflow").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Every example, in the order in which they ship; those of an earlier start keep their links and runs.
pub(super) async fn furnish(
    app: &App,
    tenant: Tenant,
    actor: &Actor,
    bot: BotId,
) -> anyhow::Result<Vec<TrialWorkflow>> {
    let mut made = Vec::new();
    for (name, text) in workflow::examples() {
        let mark = format!("try:{name}");
        let found = match app.store().meta(&mark).await? {
            Some(id) => find(app, tenant, &id, bot).await?,
            None => None,
        };
        let (deployment, key) = match found {
            Some(deployment) => {
                let audit = AuditEntry { actor, action: "rotate_api_key", detail: None };
                let (_, key) = app.cluster().rotate_key(tenant, deployment.key(), GRACE_MS, audit).await?;
                (deployment, key)
            }
            None => {
                let definition = with_bot(text, bot).with_context(|| format!("the example {name} is broken"))?;
                let (deployment, key) = deploy(app, tenant, actor, name, &definition).await?;
                app.store().set_meta(&mark, &deployment.id.to_string()).await?;
                (deployment, key)
            }
        };
        made.push(TrialWorkflow {
            name: name.to_owned(),
            workflow_id: deployment.workflow,
            deployment_id: deployment.id,
            key: key.expose().to_owned(),
        });
    }
    Ok(made)
}

/// The deployment of an earlier start, unless it was revoked or its bot is gone.
async fn find(app: &App, tenant: Tenant, id: &str, bot: BotId) -> anyhow::Result<Option<DeploymentRecord>> {
    let Ok(id) = id.parse() else { return Ok(None) };
    match app.store().workspace(tenant).deployment(id).await {
        Ok(found) => {
            let talks = found.definition.contains("\"bot\"");
            let usable = found.revoked_at.is_none() && (!talks || found.definition.contains(&bot.to_string()));
            Ok(usable.then_some(found))
        }
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn deploy(
    app: &App,
    tenant: Tenant,
    actor: &Actor,
    name: &str,
    definition: &Value,
) -> anyhow::Result<(DeploymentRecord, credential::ApiKey)> {
    let audit = |action| AuditEntry { actor, action, detail: None };
    let new = NewWorkflow { name: name.to_owned(), definition: definition.to_string() };
    let workflow = app.store().workspace(tenant).create_workflow(new, audit("create_workflow")).await?;
    let new = NewDeployment {
        id: DeploymentId::mint(app.clock(), app.random())?,
        workflow: workflow.id,
        version: workflow.version,
        name: workflow.name,
        survey_mode: name == SURVEY,
        daily_runs: None,
        daily_replies: None,
        input_mapping: None,
        runs_per_minute: None,
        challenge: "off".to_owned(),
        settings: KeySettings::default(),
    };
    let (deployment, _, key) = app.cluster().create_deployment(tenant, new, audit("create_deployment")).await?;
    Ok((deployment, key))
}

/// The definition with the trial's bot in it. That one repeats what it is told, and so nothing can be read
/// out of its answers: the run goes on without it.
fn with_bot(text: &str, bot: BotId) -> anyhow::Result<Value> {
    let mut definition: Value = serde_json::from_str(text)?;
    let nodes = definition.get_mut("children").and_then(Value::as_array_mut).context("it has no children")?;
    for node in nodes.iter_mut().filter(|node| node["type"] == "Agent") {
        node["bot"] = bot.to_string().into();
        node["optional"] = true.into();
    }
    Ok(definition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_can_run_with_the_bot_of_the_trial() {
        let bot: BotId = "bot_00000000000000000000000002".parse().unwrap();
        let mut names = Vec::new();
        for (name, text) in workflow::examples() {
            let definition = with_bot(text, bot).unwrap();
            assert!(!definition.to_string().contains("bot_example"), "{name}");
            let definition = workflow::Definition::parse(&definition).unwrap();
            assert!(definition.bots().all(|one| one == bot.to_string()), "{name}");
            let strangers = name != SURVEY || definition.participants().len() == 1;
            assert!(strangers, "a survey has one participant");
            names.push(name);
        }
        for name in [SURVEY, REVIEW, INTAKE] {
            assert!(names.contains(&name), "{name}");
        }
    }
}
