//! The first page: what this is, and a button.

use std::time::Duration;

use access::Tenant;
use ambient::{DeploymentId, RunId};
use api::App;
use gate::{Call, Nothing, Problem, Raw};
use tokio::time::timeout;

use super::{
    Form,
    cookie::{self, Visitor},
    html::Html,
    layout::Page,
};
use crate::{
    challenge::{self, Solved},
    survey::{Survey, open_survey, start_run, survey_id},
};

/// How long the start of a run is waited for.
const FIRST_WORDS: Duration = Duration::from_secs(1);

/// The address of the pages that ask.
pub(super) fn run_path(survey: DeploymentId) -> String {
    format!("/s/{survey}/run")
}

pub(super) async fn show_survey_page(app: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let id = survey_id(&call);
    if is_taking_part(&app, &call, id).await? {
        return Ok(Raw::see_other(&run_path(id)));
    }
    let survey = open_survey(&app, id).await?.ok_or_else(Problem::not_found)?;
    let outlook = survey.outlook(&app).await?;
    let work = if challenge::difficulty(&app, &survey.deployment, &outlook) > 0 { Work::Some } else { Work::None };
    Ok(page(&survey, work).render())
}

pub(super) async fn start_survey_page(app: App, call: Call<Form>) -> Result<Raw, Problem> {
    let id = survey_id(&call);
    // A second press of the button is the same start.
    if is_taking_part(&app, &call, id).await? {
        return Ok(Raw::see_other(&run_path(id)));
    }
    let survey = open_survey(&app, id).await?.ok_or_else(Problem::not_found)?;
    let solved = Solved::of_form(&call.input);
    let started = match start_run(&app, &survey, solved.as_ref(), call.request.now).await {
        // It was not needed when the page was shown, or took too long.
        Err(problem) if problem.code() == "CHALLENGE_REQUIRED" => {
            return Ok(page(&survey, Work::Again).render().with_status(problem.status()));
        }
        started => started?,
    };
    wait_for_first_words(&app, survey.tenant, started.run_id).await;
    Ok(cookie::keep(&app, Raw::see_other(&run_path(id)), id, &started.participant_token))
}

/// So that whoever pressed Start is asked something, and not to wait. A run begins in one turn, a moment
/// after it is stored; when that takes longer, the next page waits.
async fn wait_for_first_words(app: &App, tenant: Tenant, run: RunId) {
    let begun = async { app.runs().follow(tenant, run, 0).await?.next().await };
    let _ = timeout(FIRST_WORDS, begun).await;
}

/// Whether the cookie is of a run that is not over.
async fn is_taking_part<I>(app: &App, call: &Call<I>, id: DeploymentId) -> Result<bool, Problem> {
    let Visitor::Participant(by) = cookie::visitor(app, call, id).await? else { return Ok(false) };
    let run = app.store().workspace(by.tenant).run(by.run).await;
    Ok(run.is_ok_and(|run| run.finished_at.is_none()))
}

/// What a start takes of the visitor's machine at this moment; only a script does it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    None,
    Some,
    /// It was not done, or not as it should be.
    Again,
}

fn page(survey: &Survey, work: Work) -> Page {
    let title = name_of(survey);
    let mut body = Html::default();
    body.raw("<h1 dir=\"auto\" tabindex=\"-1\" data-focus>").text(title).raw("</h1>\n");
    body.raw("<p class=\"lead\">You will be asked a few questions, one after the other.</p>\n");
    body.raw("<p class=\"fine\">What you answer is sent step by step. A cookie keeps your place, so you can reload this page or come back to it within the hour.</p>\n");
    if work == Work::Again {
        body.raw(
            "<p class=\"problem\" role=\"alert\">The survey did not start yet. Please press Start once more.</p>\n",
        );
    }
    body.raw("<form method=\"post\"").attribute("action", &format!("/s/{}", survey.deployment.id));
    if work != Work::None {
        let path = format!("/api/public/surveys/{}/challenge", survey.deployment.id);
        body.attribute("data-challenge", &path);
        body.raw("><noscript><p class=\"problem\">At this moment the survey can only be started with JavaScript: so nobody starts it thousands of times. You may try again later without it.</p></noscript");
    }
    body.raw(">\n<div class=\"actions\"><button class=\"main\">Start</button></div>\n</form>\n");
    Page { title: title.to_owned(), banner: None, body, waits: false }
}

/// What people call the survey.
fn name_of(survey: &Survey) -> &str {
    survey.title.as_deref().filter(|title| !title.trim().is_empty()).unwrap_or(&survey.deployment.name)
}
