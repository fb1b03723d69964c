//! A participant talks with an agent: a message, and the end of the talk. Answers come as events.

use access::{Access, Limit};
use api::{App, problem_of_run};
use gate::{Bare, Call, Nothing, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::taking_part::{View, participant, view};

const ACCESS: Access = Access::closed(Limit::Participant).participant();

pub(crate) const SAY_IN_STEP: Operation<Words, Bare<View>> = Operation::post(
    "/api/participant/steps/{step_id}/messages",
    "say_in_participant_step",
    "Say something to the agent of an open step; its answer comes as an event.",
    ACCESS,
);
pub(crate) const END_STEP: Operation<Nothing, Bare<View>> = Operation::post(
    "/api/participant/steps/{step_id}/done",
    "end_participant_step",
    "End the dialogue of an open step, where the participant may.",
    ACCESS,
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SAY_IN_STEP, say_in_step);
    routes.mount(END_STEP, end_step);
}

/// What is said.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    /// 1 to 4000 characters.
    text: String,
}

async fn say_in_step(app: App, call: Call<Words>) -> Result<Bare<View>, Problem> {
    let by = participant(&call)?;
    let step = call.request.param("step_id").unwrap_or_default();
    app.runs().say(by.tenant, by.run, &by.role, step, &call.input.text).await.map_err(problem_of_run)?;
    view(&app, by).await.map(Bare)
}

async fn end_step(app: App, call: Call<Nothing>) -> Result<Bare<View>, Problem> {
    let by = participant(&call)?;
    let step = call.request.param("step_id").unwrap_or_default();
    app.runs().done(by.tenant, by.run, &by.role, step).await.map_err(problem_of_run)?;
    view(&app, by).await.map(Bare)
}
