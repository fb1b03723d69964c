//! Surveys that anybody may start (seed S0): a stranger gets a run, and a token of its only role.

use access::{Access, Limit, Tenant};
use ambient::{DeploymentId, KeyId, RunId, Ulid};
use api::{App, problem_of_run};
use credential::token::{PARTICIPANT_S, ParticipantClaims};
use gate::{Bare, Call, Nothing, Operation, Problem, Routes};
use runs::RunError;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use store::DeploymentRecord;

pub(crate) const START_SURVEY: Operation<Nothing, Bare<StartedSurvey>> = Operation::post(
    "/api/public/surveys/{deployment_id}/start",
    "start_public_survey",
    "Start a run of a public survey, and get the token of its participant; it lives for an hour.",
    Access::closed(Limit::PublicStart).public().open_to_pages(),
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(START_SURVEY, start_survey);
}

/// A survey that was started.
#[derive(Clone, Serialize, JsonSchema)]
pub(crate) struct StartedSurvey {
    /// The run.
    run_id: RunId,
    /// Good for 3600 seconds, and no longer than the deployment.
    participant_token: String,
}

/// A survey that strangers may start at this moment.
struct Survey {
    tenant: Tenant,
    deployment: DeploymentRecord,
    role: String,
    /// Of the deployment's key.
    epoch: u32,
}

/// `None` is one answer for whatever is no such survey: absent, not public, revoked, of several roles or
/// none, or one that needs inputs, which no stranger gives.
async fn open_survey(app: &App, id: DeploymentId) -> Result<Option<Survey>, Problem> {
    let found = app.store().deployment_by_id(id).await?;
    let Some((tenant, deployment)) = found.filter(|(_, one)| one.survey_mode && one.revoked_at.is_none()) else {
        return Ok(None);
    };
    let Some(key) = app.cluster().find_key(KeyId(id.0)).await? else { return Ok(None) };
    let definition = app.runs().definition(tenant, id).await.map_err(problem_of_run)?;
    let [only] = definition.participants() else { return Ok(None) };
    if definition.check_input(&Value::Null).is_err() {
        return Ok(None);
    }
    Ok(Some(Survey { tenant, role: only.name.clone(), epoch: key.epoch(), deployment }))
}

async fn start_survey(app: App, call: Call<Nothing>) -> Result<Bare<StartedSurvey>, Problem> {
    // What is no id is looked for as well: how long it takes tells nothing.
    let id = call.id("deployment_id").unwrap_or(DeploymentId(Ulid(0)));
    let Some(Survey { tenant, deployment, role, epoch }) = open_survey(&app, id).await? else {
        return Err(Problem::not_found());
    };
    let verdict = app.cluster().charge_deployment_day(id, deployment.daily_runs);
    if !verdict.allowed {
        return Err(Problem::limited(verdict));
    }
    let run = match app.runs().start(tenant, &deployment, Value::Null, "public").await {
        Err(RunError::Revoked) => return Err(Problem::not_found()),
        started => started.map_err(problem_of_run)?,
    };
    let now = call.request.now;
    let claims = ParticipantClaims {
        run: run.id,
        role,
        deployment: id,
        workspace: tenant.workspace,
        environment: tenant.environment,
        key: KeyId(id.0),
        epoch,
        issued_at: now,
        expires_at: now.plus(PARTICIPANT_S * 1000),
    };
    let participant_token = app.tokens().sign_participant(&claims).map_err(Problem::unavailable)?;
    Ok(Bare(StartedSurvey { run_id: run.id, participant_token }))
}
