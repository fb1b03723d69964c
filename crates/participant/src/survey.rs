//! Surveys that anybody may start (seed S0): a stranger gets a run, and a token of its only role.

use access::{Access, Limit, Tenant};
use ambient::{DeploymentId, KeyId, Millis, RunId, Ulid};
use api::{App, charge_start, problem_of_run};
use cluster::StartOutlook;
use credential::token::{PARTICIPANT_S, ParticipantClaims};
use gate::{Bare, Call, Nothing, Operation, Problem, Routes};
use runs::RunError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::DeploymentRecord;

use crate::challenge::{self, Challenge, Solved};

pub(crate) const START_SURVEY: Operation<Start, Bare<StartedSurvey>> = Operation::post(
    "/api/public/surveys/{deployment_id}/start",
    "start_public_survey",
    "Start a run of a public survey, and get the token of its participant; it lives for an hour.",
    Access::closed(Limit::PublicStart).public().open_to_pages(),
);

pub(crate) const GET_CHALLENGE: Operation<Nothing, Bare<Challenge>> = Operation::get(
    "/api/public/surveys/{deployment_id}/challenge",
    "get_survey_challenge",
    "Read what work a start of a public survey asks for at this moment, if any; its solution is good for one start.",
    Access::closed(Limit::Public).public().open_to_pages(),
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(START_SURVEY, start_survey);
    routes.mount(GET_CHALLENGE, get_challenge);
}

/// How a survey is started. Other fields are ignored.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Start {
    /// Where there is a challenge to solve: its solution.
    #[serde(default)]
    challenge: Option<Solved>,
}

/// A survey that was started.
#[derive(Clone, Serialize, JsonSchema)]
pub(crate) struct StartedSurvey {
    /// The run.
    pub(crate) run_id: RunId,
    /// Good for 3600 seconds, and no longer than the deployment.
    pub(crate) participant_token: String,
}

/// A survey that strangers may start at this moment.
pub(crate) struct Survey {
    pub(crate) tenant: Tenant,
    pub(crate) deployment: DeploymentRecord,
    /// The workflow's title.
    pub(crate) title: Option<String>,
    role: String,
    /// Of the deployment's key.
    epoch: u32,
}

impl Survey {
    /// What a stranger's start would meet at this moment.
    pub(crate) async fn outlook(&self, app: &App) -> Result<StartOutlook, Problem> {
        Ok(app.cluster().start_outlook(self.tenant, &self.deployment, true).await?)
    }
}

/// `None` is one answer for whatever is no such survey: absent, not public, revoked, of several roles or
/// none, or one that needs inputs, which no stranger gives.
pub(crate) async fn open_survey(app: &App, id: DeploymentId) -> Result<Option<Survey>, Problem> {
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
    let title = definition.title().map(str::to_owned);
    Ok(Some(Survey { tenant, role: only.name.clone(), title, epoch: key.epoch(), deployment }))
}

async fn start_survey(app: App, call: Call<Start>) -> Result<Bare<StartedSurvey>, Problem> {
    let id = survey_id(&call);
    let survey = open_survey(&app, id).await?.ok_or_else(Problem::not_found)?;
    start_run(&app, &survey, call.input.challenge.as_ref(), call.request.now).await.map(Bare)
}

async fn get_challenge(app: App, call: Call<Nothing>) -> Result<Bare<Challenge>, Problem> {
    let id = survey_id(&call);
    let survey = open_survey(&app, id).await?.ok_or_else(Problem::not_found)?;
    let outlook = survey.outlook(&app).await?;
    challenge::ask(&app, &survey.deployment, &outlook, call.request.now).map(Bare)
}

/// What is no id is looked for as well: how long it takes tells nothing.
pub(crate) fn survey_id<I>(call: &Call<I>) -> DeploymentId {
    call.id("deployment_id").unwrap_or(DeploymentId(Ulid(0)))
}

/// Starts a run for a stranger who has solved what is asked for now, charges the deployment for it, and gives
/// the token of its role.
pub(crate) async fn start_run(
    app: &App,
    survey: &Survey,
    solved: Option<&Solved>,
    now: Millis,
) -> Result<StartedSurvey, Problem> {
    let Survey { tenant, deployment, role, epoch, .. } = survey;
    let (id, tenant) = (deployment.id, *tenant);
    // Before the work: who is refused by a ceiling keeps the solution for later.
    let outlook = survey.outlook(app).await?;
    if !outlook.verdict.allowed {
        return Err(Problem::limited(outlook.verdict));
    }
    challenge::check(app, deployment, &outlook, solved, now)?;
    charge_start(app, tenant, deployment, "public").await?;
    let run = match app.runs().start(tenant, deployment, Value::Null, "public").await {
        Err(RunError::Revoked) => return Err(Problem::not_found()),
        started => started.map_err(problem_of_run)?,
    };
    app.cluster().note_public_start(id);
    let claims = ParticipantClaims {
        run: run.id,
        role: role.clone(),
        deployment: id,
        workspace: tenant.workspace,
        environment: tenant.environment,
        key: KeyId(id.0),
        epoch: *epoch,
        issued_at: now,
        expires_at: now.plus(PARTICIPANT_S * 1000),
    };
    let participant_token = app.tokens().sign_participant(&claims).map_err(Problem::unavailable)?;
    Ok(StartedSurvey { run_id: run.id, participant_token })
}
