//! Runs of a deployment, by its key (seed S0): start, look, cancel, and let people in. A run of another
//! deployment is not there.

use access::{Access, Caller, KeyCaller, KeyKind, Limit, Refusal, Tenant};
use ambient::{DeploymentId, KeyId, Millis, RunId};
use credential::token::{PARTICIPANT_S, ParticipantClaims};
use gate::{Bare, Call, FieldError, Nothing, Operation, Problem, Routes, field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::RunRecord;
use workflow::{Ending, Event, EventKind, RunState};

use crate::{App, charge_start, input, problem::of_run};

pub(crate) const READ: Access = Access::closed(Limit::Read).deployment();
const WRITE: Access = Access::closed(Limit::Write).deployment();

pub(crate) const CREATE_RUN: Operation<NewRun, Bare<StartedRun>> = Operation::post(
    "/api/v1/runs",
    "create_run",
    "Start a run of the key's own deployment; it goes on after the answer.",
    WRITE,
)
.accepts();
pub(crate) const GET_RUN: Operation<Nothing, Bare<RunView>> =
    Operation::get("/api/v1/runs/{id}", "get_run", "Read how a run stands, and the results of its steps.", READ);
pub(crate) const LIST_RUN_EVENTS: Operation<TimelineQuery, Bare<Timeline>> = Operation::get(
    "/api/v1/runs/{id}/events",
    "list_run_events",
    "Read a run's timeline: everybody's events, in order, their numbers without a gap.",
    READ,
);
pub(crate) const LIST_RUN_MESSAGES: Operation<TimelineQuery, Bare<Messages>> = Operation::get(
    "/api/v1/runs/{id}/messages",
    "list_run_messages",
    "Read what the workflow, its agents and its participants said in a run, in order.",
    READ,
);
pub(crate) const CANCEL_RUN: Operation<Cancel, Bare<RunView>> =
    Operation::post("/api/v1/runs/{id}/cancel", "cancel_run", "End a run; what it has under way is cut.", WRITE);
pub(crate) const CREATE_PARTICIPANT_TOKEN: Operation<NewToken, Bare<ParticipantToken>> = Operation::post(
    "/api/v1/runs/{id}/tokens",
    "create_participant_token",
    "Mint a token for one role of a run, for a browser; it lives for an hour.",
    WRITE,
)
.creates();

/// How many lines of a timeline are read at once.
const MAX_LINES: u32 = 100;
/// The most characters of a reason.
const MAX_REASON: usize = 200;
/// What the operators read where nobody said why.
const NO_REASON: &str = "The deployment's key cancelled it";

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(CREATE_RUN, create_run);
    routes.mount(GET_RUN, get_run);
    routes.mount(LIST_RUN_EVENTS, list_run_events);
    routes.mount(LIST_RUN_MESSAGES, list_run_messages);
    routes.mount(CANCEL_RUN, cancel_run);
    routes.mount(CREATE_PARTICIPANT_TOKEN, create_participant_token);
}

/// A run to be started. Other fields are ignored: the key says which workflow, and which version of it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct NewRun {
    /// What the workflow's `inputs` declare.
    #[serde(default)]
    #[schemars(with = "Option<Map<String, Value>>")]
    input: Value,
}

/// A run that was started.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct StartedRun {
    /// The run.
    run_id: RunId,
    /// `pending`.
    status: String,
}

/// How a run stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct RunView {
    /// Its id.
    id: RunId,
    /// What it is a run of.
    deployment_id: DeploymentId,
    /// `pending`, `running`, `waiting`, `completed`, `failed` or `cancelled`.
    status: String,
    /// What started it: `api`, `public`, `webhook` or `cron`.
    origin: String,
    /// What it was started with.
    input: Map<String, Value>,
    /// The results of its steps by their ids; in a loop those of the last round.
    state: Map<String, Value>,
    /// What is waited for.
    current_step_id: Option<String>,
    /// Why it failed or was cancelled.
    ending: Option<Ending>,
    /// The number of its last event.
    last_seq: u64,
    /// When it was started.
    created_at: Millis,
    /// When it last went on.
    updated_at: Millis,
    /// When it was over.
    finished_at: Option<Millis>,
}

/// Which lines of a timeline are asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct TimelineQuery {
    /// Those after this number; from the first without it.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    after: Option<u64>,
    /// How many, 1 to 100; 100 by default.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
}

/// A part of a run's timeline. When `next_after` is `last_seq`, there is no more yet.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Timeline {
    /// In order.
    pub(crate) events: Vec<Event>,
    /// `after` of the next call.
    pub(crate) next_after: u64,
    /// The number of the run's last event.
    pub(crate) last_seq: u64,
}

/// What was said in a part of a run. When `next_after` is `last_seq`, there is no more yet.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Messages {
    /// In order.
    messages: Vec<Message>,
    /// `after` of the next call.
    next_after: u64,
    /// The number of the run's last event.
    last_seq: u64,
}

/// Who said something in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Author {
    /// The workflow's own message.
    Workflow,
    /// A bot.
    Agent,
    /// A person.
    Participant,
}

/// Something that was said in a run.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Message {
    /// Its number in the timeline.
    seq: u64,
    /// At which step.
    step: String,
    /// Who said it.
    author: Author,
    /// The words.
    text: String,
    /// Which participants may read it; `null` is all of them.
    roles: Option<Vec<String>>,
    /// When.
    at: Millis,
}

/// How a run is cancelled.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancel {
    /// Why, for operators: at most 200 characters.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub(crate) reason: Option<String>,
}

/// Whom a token is for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// A participant that the workflow declares.
    pub(crate) role: String,
}

/// What lets a browser into one run, as one role.
#[derive(Clone, Serialize, JsonSchema)]
pub(crate) struct ParticipantToken {
    /// Good for 3600 seconds, and no longer than the deployment's key.
    pub(crate) participant_token: String,
}

impl RunView {
    pub(crate) fn of(record: RunRecord) -> Result<Self, Problem> {
        let state: RunState = serde_json::from_str(&record.state).map_err(Problem::unavailable)?;
        Ok(Self {
            id: record.id,
            deployment_id: record.deployment,
            status: record.status,
            origin: record.origin,
            input: state.input().clone(),
            state: state.results().iter().map(|(id, value)| (id.clone(), value.clone())).collect(),
            current_step_id: record.current_step,
            ending: state.ending().cloned(),
            last_seq: record.seq,
            created_at: record.created_at,
            updated_at: record.updated_at,
            finished_at: record.finished_at,
        })
    }
}

impl TimelineQuery {
    pub(crate) fn range(self) -> Result<(u64, u32), Problem> {
        let limit = self.limit.unwrap_or(MAX_LINES);
        if !(1..=MAX_LINES).contains(&limit) {
            return Err(Problem::invalid_request("The query parameter `limit` is 1 to 100"));
        }
        Ok((event_number(self.after)?, limit))
    }
}

/// The number that `after` says; 0 is before the first.
pub(crate) fn event_number(after: Option<u64>) -> Result<u64, Problem> {
    let after = after.unwrap_or(0);
    // Numbers are signed where they are stored; nothing is after the last of them.
    if i64::try_from(after).is_ok() {
        Ok(after)
    } else {
        Err(Problem::invalid_request("The query parameter `after` is the number of an event"))
    }
}

impl Message {
    fn of(event: Event) -> Option<Self> {
        let author = match event.kind {
            EventKind::MessagePosted => Author::Workflow,
            EventKind::AgentSaid => Author::Agent,
            EventKind::ParticipantSaid => Author::Participant,
            _ => return None,
        };
        let text = |name: &str| event.data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (step, text) = (text("step"), text("text"));
        Some(Self { seq: event.seq, step, author, text, roles: event.roles, at: event.at })
    }
}

/// The deployment whose key this is; their ids have the same number.
pub(crate) fn deployment_of<I>(call: &Call<I>) -> Result<(&KeyCaller, DeploymentId), Problem> {
    match &call.caller {
        Caller::Key(key) if key.kind == KeyKind::Deployment => Ok((key, DeploymentId(key.key.0))),
        _ => Err(Refusal::WrongCredential.into()),
    }
}

/// The run that the path names, of the key's own deployment.
pub(crate) async fn own_run<I>(app: &App, call: &Call<I>) -> Result<RunRecord, Problem> {
    let (_, deployment) = deployment_of(call)?;
    let run = app.workspace(call)?.run(call.id("id")?).await?;
    if run.deployment == deployment { Ok(run) } else { Err(Problem::not_found()) }
}

async fn create_run(app: App, call: Call<NewRun>) -> Result<Bare<StartedRun>, Problem> {
    let (tenant, (_, id)) = (call.tenant()?, deployment_of(&call)?);
    let deployment = app.workspace(&call)?.deployment(id).await?;
    let definition = app.runs().definition(tenant, id).await.map_err(of_run)?;
    definition.check_input(&call.input.input).map_err(|faults| {
        let named = |fault: workflow::FieldFault| FieldError::new(format!("input.{}", fault.field), fault.message);
        Problem::validation(faults.into_iter().map(named).collect())
    })?;
    charge_start(&app, tenant, &deployment, "api").await?;
    let run = app.runs().start(tenant, &deployment, call.input.input, "api").await.map_err(of_run)?;
    Ok(Bare(StartedRun { run_id: run.id, status: run.status }))
}

async fn get_run(app: App, call: Call<Nothing>) -> Result<Bare<RunView>, Problem> {
    Ok(Bare(RunView::of(own_run(&app, &call).await?)?))
}

async fn list_run_events(app: App, call: Call<TimelineQuery>) -> Result<Bare<Timeline>, Problem> {
    let range = call.input.range()?;
    let run = own_run(&app, &call).await?;
    timeline(&app, call.tenant()?, &run, range).await.map(Bare)
}

/// So many of a run's events after a number.
pub(crate) async fn timeline(
    app: &App,
    tenant: Tenant,
    run: &RunRecord,
    (after, limit): (u64, u32),
) -> Result<Timeline, Problem> {
    let events = app.runs().events(tenant, run.id, after, limit).await.map_err(of_run)?;
    let next_after = events.last().map_or(after, |event| event.seq);
    Ok(Timeline { events, next_after, last_seq: run.seq.max(next_after) })
}

async fn list_run_messages(app: App, call: Call<TimelineQuery>) -> Result<Bare<Messages>, Problem> {
    let (after, limit) = call.input.range()?;
    let run = own_run(&app, &call).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut messages, mut next_after) = (Vec::new(), after);
    'timeline: loop {
        let events = app.runs().events(call.tenant()?, run.id, next_after, MAX_LINES).await.map_err(of_run)?;
        if events.is_empty() {
            break;
        }
        for event in events {
            next_after = event.seq;
            messages.extend(Message::of(event));
            if messages.len() == wanted {
                break 'timeline;
            }
        }
    }
    Ok(Bare(Messages { messages, next_after, last_seq: run.seq.max(next_after) }))
}

impl Cancel {
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let mut errors = Vec::new();
        input::optional_text(&mut errors, "reason", self.reason.as_ref(), MAX_REASON);
        input::done(errors)
    }
}

async fn cancel_run(app: App, call: Call<Cancel>) -> Result<Bare<RunView>, Problem> {
    call.input.check()?;
    let run = own_run(&app, &call).await?;
    let reason = call.input.reason.as_deref().unwrap_or(NO_REASON);
    let run = app.runs().cancel(call.tenant()?, run.id, reason).await.map_err(of_run)?;
    Ok(Bare(RunView::of(run)?))
}

async fn create_participant_token(app: App, call: Call<NewToken>) -> Result<Bare<ParticipantToken>, Problem> {
    let (tenant, run) = (call.tenant()?, own_run(&app, &call).await?);
    let (key, _) = deployment_of(&call)?;
    mint_token(&app, tenant, &run, &call.input, (key.key, key.epoch), call.request.now).await.map(Bare)
}

/// A token of a role of a run, under the deployment's key as it is now.
pub(crate) async fn mint_token(
    app: &App,
    tenant: Tenant,
    run: &RunRecord,
    new: &NewToken,
    (key, epoch): (KeyId, u32),
    now: Millis,
) -> Result<ParticipantToken, Problem> {
    let definition = app.runs().definition(tenant, run.deployment).await.map_err(of_run)?;
    let mut errors = Vec::new();
    field::text(&mut errors, "role", &new.role, 1, 64);
    if errors.is_empty() && !definition.declares_role(&new.role) {
        errors.push(FieldError::new("role", "is not a participant that the workflow declares"));
    }
    input::done(errors)?;
    let claims = ParticipantClaims {
        run: run.id,
        role: new.role.clone(),
        deployment: run.deployment,
        workspace: tenant.workspace,
        environment: tenant.environment,
        key,
        epoch,
        issued_at: now,
        expires_at: now.plus(PARTICIPANT_S * 1000),
    };
    let participant_token = app.tokens().sign_participant(&claims).map_err(Problem::unavailable)?;
    Ok(ParticipantToken { participant_token })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_said_is_a_message_and_nothing_else_is() {
        let event = |kind| Event { seq: 3, at: Millis(1), kind, roles: None, data: json!({"step": "a", "text": "Hi"}) };
        let author = |kind| Message::of(event(kind)).map(|message| message.author);
        assert_eq!(author(EventKind::MessagePosted), Some(Author::Workflow));
        assert_eq!(author(EventKind::AgentSaid), Some(Author::Agent));
        assert_eq!(author(EventKind::ParticipantSaid), Some(Author::Participant));
        assert_eq!(author(EventKind::StepAnswered), None);
        let message = Message::of(event(EventKind::AgentSaid)).unwrap();
        assert_eq!((message.seq, message.step.as_str(), message.text.as_str()), (3, "a", "Hi"));
    }

    #[test]
    fn a_part_of_a_timeline_is_1_to_100_lines() {
        let range = |after, limit| TimelineQuery { after, limit }.range();
        assert_eq!(range(None, None).unwrap(), (0, 100));
        assert_eq!(range(Some(7), Some(1)).unwrap(), (7, 1));
        for (after, limit) in [(None, Some(0)), (None, Some(101)), (Some(u64::MAX), None)] {
            assert_eq!(range(after, limit).unwrap_err().status().as_u16(), 400, "{after:?} {limit:?}");
        }
    }
}
