//! One run by a participant's token: what is asked, the answer, and the timeline. The token alone says
//! which run and which role.

use std::hash::{DefaultHasher, Hash, Hasher};

use access::{Access, Caller, Limit, ParticipantCaller, Refusal};
use ambient::{Millis, RunId};
use api::{App, problem_of_run};
use gate::{Bare, Call, Nothing, Operation, Problem, Routes};
use runs::ParticipantView;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use workflow::{Event, EventKind, OpenStep, RunStatus};

const ACCESS: Access = Access::closed(Limit::Participant).participant();

pub(crate) const GET_RUN: Operation<Nothing, Bare<View>> = Operation::get(
    "/api/participant/run",
    "get_participant_run",
    "Read how the run stands and which of its steps wait for this participant.",
    ACCESS,
);
pub(crate) const ANSWER_STEP: Operation<Answer, Bare<View>> = Operation::post(
    "/api/participant/steps/{step_id}",
    "answer_participant_step",
    "Answer an open step; a step is answered once.",
    ACCESS,
);
pub(crate) const LIST_EVENTS: Operation<EventsQuery, Bare<Events>> = Operation::get(
    "/api/participant/events",
    "list_participant_events",
    "Read what happened in the run, as far as this participant may see it, in order.",
    ACCESS,
);

/// How many lines of the timeline are looked at in one call, whoever may see them.
const MAX_LINES: u32 = 100;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(GET_RUN, get_run);
    routes.mount(ANSWER_STEP, answer_step);
    routes.mount(LIST_EVENTS, list_events);
}

/// What a participant sees of a run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct View {
    /// The run.
    run_id: RunId,
    /// Where it stands.
    status: RunStatus,
    /// Who looks.
    role: String,
    /// The workflow's title.
    title: Option<String>,
    /// What waits for this participant.
    steps: Vec<OpenStep>,
    /// The number of the run's last event, which another role may see alone.
    pub(crate) last_seq: u64,
}

/// An answer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// For an input its value; for a form an object with the values of its fields by their ids.
    value: Value,
}

/// Which events are asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct EventsQuery {
    /// Those after this number; from the first without it.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    after: Option<u64>,
}

/// A part of the timeline, possibly an empty one. When `next_after` is `last_seq`, there is no more yet.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Events {
    /// In order; numbers of what others alone may see are left out.
    events: Vec<SeenEvent>,
    /// `after` of the next call.
    next_after: u64,
    /// The number of the run's last event.
    last_seq: u64,
}

/// Something that happened. Who else may see it is not said.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct SeenEvent {
    /// Its number in the timeline.
    seq: u64,
    /// When it happened.
    at: Millis,
    /// What happened.
    kind: EventKind,
    /// The facts, by kind.
    data: Value,
}

impl EventsQuery {
    pub(crate) const fn after(number: u64) -> Self {
        Self { after: Some(number) }
    }

    /// Where to begin.
    pub(crate) fn number(self) -> Result<u64, Problem> {
        let after = self.after.unwrap_or(0);
        // Numbers are signed where they are stored; nothing is after the last of them.
        let no_number = |_| Problem::invalid_request("The query parameter `after` is the number of an event");
        i64::try_from(after).map(|_| after).map_err(no_number)
    }
}

impl View {
    /// A mark of all but the number: the same for the same status and steps.
    pub(crate) fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        // What cannot be written is not shown either.
        serde_json::to_string(&(self.status, &self.steps)).unwrap_or_default().hash(&mut hasher);
        hasher.finish()
    }
}

impl From<ParticipantView> for View {
    fn from(view: ParticipantView) -> Self {
        let ParticipantView { run, status, role, title, steps, last_seq } = view;
        Self { run_id: run, status, role, title, steps, last_seq }
    }
}

impl SeenEvent {
    pub(crate) fn of(event: Event, role: &str) -> Option<Self> {
        let is_for = event.is_for(role);
        is_for.then_some(Self { seq: event.seq, at: event.at, kind: event.kind, data: event.data })
    }
}

pub(crate) fn participant<I>(call: &Call<I>) -> Result<&ParticipantCaller, Problem> {
    match &call.caller {
        Caller::Participant(participant) => Ok(participant),
        _ => Err(Refusal::WrongCredential.into()),
    }
}

/// What the participant sees at this moment.
pub(crate) async fn view(app: &App, by: &ParticipantCaller) -> Result<View, Problem> {
    Ok(app.runs().view(by.tenant, by.run, &by.role).await.map_err(problem_of_run)?.into())
}

async fn get_run(app: App, call: Call<Nothing>) -> Result<Bare<View>, Problem> {
    view(&app, participant(&call)?).await.map(Bare)
}

async fn answer_step(app: App, call: Call<Answer>) -> Result<Bare<View>, Problem> {
    let by = participant(&call)?;
    let step = call.request.param("step_id").unwrap_or_default();
    let value = call.input.value.clone();
    app.runs().answer(by.tenant, by.run, &by.role, step, value).await.map_err(problem_of_run)?;
    view(&app, by).await.map(Bare)
}

async fn list_events(app: App, call: Call<EventsQuery>) -> Result<Bare<Events>, Problem> {
    let by = participant(&call)?;
    let after = call.input.number()?;
    let seen = app.runs().view(by.tenant, by.run, &by.role).await.map_err(problem_of_run)?;
    let read = app.runs().events(by.tenant, by.run, after, MAX_LINES).await.map_err(problem_of_run)?;
    let next_after = read.last().map_or(after, |event| event.seq);
    let events = read.into_iter().filter_map(|event| SeenEvent::of(event, &by.role)).collect();
    Ok(Bare(Events { events, next_after, last_seq: seen.last_seq.max(next_after) }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_shown_to_its_roles_and_names_none_of_them() {
        let event = |roles: Option<&[&str]>| Event {
            seq: 3,
            at: Millis(1),
            kind: EventKind::MessagePosted,
            roles: roles.map(|roles| roles.iter().map(|&role| role.to_owned()).collect()),
            data: json!({"step": "a", "text": "Hi"}),
        };
        let shown = SeenEvent::of(event(Some(&["customer", "reviewer"])), "customer").unwrap();
        assert!(!serde_json::to_string(&shown).unwrap().contains("reviewer"));
        assert!(SeenEvent::of(event(None), "customer").is_some());
        assert_eq!(SeenEvent::of(event(Some(&["reviewer"])), "customer"), None);
        assert_eq!(SeenEvent::of(event(Some(&[])), "customer"), None);
    }
}
