//! The pages of a run: what it asks, and the answer.

use access::ParticipantCaller;
use ambient::DeploymentId;
use api::{App, problem_of_run};
use gate::{Call, Nothing, Problem, Raw};
use http::StatusCode;
use runs::{ParticipantView, RunError};
use store::RunRecord;
use workflow::{Event, FieldFault, OpenStep, StepKind};

use super::{
    Form,
    answers::{Texts, value_of},
    cookie::{self, Visitor},
    layout::Page,
    start::run_path,
    steps::Showing,
};
use crate::survey::survey_id;

/// Of the timeline, as much of its end as a page looks at.
const MAX_EVENTS: u64 = 1000;
/// How much of it is read at once.
const BATCH: u32 = 500;

pub(super) async fn show_survey_run_page(app: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let id = survey_id(&call);
    let by = match admit(&app, &call, id).await? {
        Ok(by) => by,
        Err(instead) => return Ok(instead),
    };
    let view = view(&app, &by).await?;
    let page = show(&app, &by, &view, None).await?;
    if view.status.is_final() {
        let run = app.store().workspace(by.tenant).run(by.run).await?;
        let finished_at = run.finished_at.unwrap_or(run.updated_at);
        return Ok(cookie::part(&app, &call.request, page, id, finished_at));
    }
    Ok(cookie::renew(&app, page, &by, call.request.now).await)
}

pub(super) async fn answer_survey_run_page(app: App, call: Call<Form>) -> Result<Raw, Problem> {
    let id = survey_id(&call);
    let by = match admit(&app, &call, id).await? {
        Ok(by) => by,
        Err(instead) => return Ok(instead),
    };
    let (form, now) = (&Texts::of(call.input), call.request.now);
    let view = view(&app, &by).await?;
    let step = view.steps.iter().find(|step| form.first("step") == Some(&step.step));
    let page = match step {
        // Answered before, in another tab or by a second press of the button: what is asked now?
        None => Raw::see_other(&run_path(id)),
        Some(step) => match take(&app, &by, step, form).await {
            Ok(RunRecord { finished_at: Some(finished_at), .. }) => {
                return Ok(cookie::part(&app, &call.request, Raw::see_other(&run_path(id)), id, finished_at));
            }
            Ok(_) | Err(RunError::AlreadyAnswered | RunError::Ended | RunError::NotFound) => {
                Raw::see_other(&run_path(id))
            }
            Err(RunError::Invalid(faults)) => refuse(&app, &by, form, &faults).await?,
            Err(RunError::Busy) => {
                let message = "The last message has no answer yet. Please wait for it.".to_owned();
                refuse(&app, &by, form, &[FieldFault { field: "text".to_owned(), message }]).await?
            }
            Err(error) => return Err(problem_of_run(error)),
        },
    };
    Ok(cookie::renew(&app, page, &by, now).await)
}

/// Who takes part, charged for the request; or the page for who does not, whose address is.
async fn admit<I>(app: &App, call: &Call<I>, id: DeploymentId) -> Result<Result<ParticipantCaller, Raw>, Problem> {
    let visitor = cookie::visitor(app, call, id).await?;
    if !matches!(visitor, Visitor::Participant(_)) {
        call.request.door().charge_stranger()?;
    }
    let by = match visitor {
        Visitor::Participant(by) => by,
        // There it is said whether there is such a survey.
        Visitor::Stranger => return Ok(Err(cookie::forget(app, Raw::see_other(&format!("/s/{id}")), id))),
        Visitor::Late => return Ok(Err(cookie::forget(app, late(id), id))),
    };
    call.request.door().charge(&by)?;
    Ok(Ok(by))
}

/// The page for who comes back too late.
fn late(id: DeploymentId) -> Raw {
    let mut page = Page::saying(
        "You were away for too long",
        "To protect your answers, this page forgets who you are after an hour. What you had sent was kept.",
    );
    page.body.raw("<p><a class=\"main\"").attribute("href", &format!("/s/{id}")).raw(">Start again</a></p>\n");
    page.render().with_status(StatusCode::GONE)
}

async fn view(app: &App, by: &ParticipantCaller) -> Result<ParticipantView, Problem> {
    app.runs().view(by.tenant, by.run, &by.role).await.map_err(problem_of_run)
}

/// What is for the participant, in order, from the end of the timeline.
async fn events(app: &App, by: &ParticipantCaller, last: u64) -> Result<Vec<Event>, Problem> {
    let (mut after, mut out) = (last.saturating_sub(MAX_EVENTS), Vec::new());
    while after < last {
        let read = app.runs().events(by.tenant, by.run, after, BATCH).await.map_err(problem_of_run)?;
        let Some(end) = read.last() else { break };
        after = end.seq;
        out.extend(read.into_iter().filter(|event| event.is_for(&by.role)));
    }
    Ok(out)
}

async fn show(
    app: &App,
    by: &ParticipantCaller,
    view: &ParticipantView,
    refused: Option<(&Texts, &[FieldFault])>,
) -> Result<Raw, Problem> {
    let events = events(app, by, view.last_seq).await?;
    let name = match &view.title {
        Some(title) if !title.trim().is_empty() => title.clone(),
        _ => app.store().workspace(by.tenant).deployment(by.deployment).await?.name,
    };
    let sent = refused.and_then(|(form, _)| form.first("step"));
    let step = view.steps.iter().find(|step| sent.is_none_or(|sent| step.step == sent));
    let (survey, status) = (by.deployment, view.status);
    Ok(Showing { survey, title: &name, status, step, events: &events, refused }.page().render())
}

async fn refuse(app: &App, by: &ParticipantCaller, form: &Texts, faults: &[FieldFault]) -> Result<Raw, Problem> {
    let view = view(app, by).await?;
    Ok(show(app, by, &view, Some((form, faults))).await?.with_status(StatusCode::UNPROCESSABLE_ENTITY))
}

async fn take(app: &App, by: &ParticipantCaller, step: &OpenStep, form: &Texts) -> Result<RunRecord, RunError> {
    let (runs, at) = (app.runs(), &step.step);
    match (step.kind, form.first("action")) {
        (StepKind::Agent, Some("done")) => runs.done(by.tenant, by.run, &by.role, at).await,
        (StepKind::Agent, _) => {
            let text = form.first("text").unwrap_or_default();
            runs.say(by.tenant, by.run, &by.role, at, text).await
        }
        _ => runs.answer(by.tenant, by.run, &by.role, at, value_of(step, form)).await,
    }
}
