//! The hosted page of a survey: served whole by the server, usable without JavaScript, and nicer with it.
//!
//! What is never here: the token in a page or an address (it is in a cookie that no script reads), inline
//! script or style, and words of people that were not escaped ([`html::Html`]).

mod answers;
mod cookie;
mod fields;
mod html;
mod layout;
mod run;
mod start;
mod steps;

use std::sync::OnceLock;

use access::{Access, Limit};
use api::App;
use data_encoding::HEXLOWER;
use gate::{Call, Nothing, Operation, Problem, Raw, Routes};
use sha2::{Digest, Sha256};

/// Pairs of a form; a name may come more than once.
pub(super) type Form = Vec<(String, String)>;

pub(crate) const SHOW_SURVEY: Operation<Nothing, Raw> = Operation::get(
    "/s/{deployment_id}",
    "show_survey_page",
    "The hosted page of a public survey.",
    Access::closed(Limit::Public).public(),
)
.page(layout::refusal);
pub(crate) const START_SURVEY_PAGE: Operation<Form, Raw> = Operation::post(
    "/s/{deployment_id}",
    "start_survey_page",
    "Start a run from the hosted page; who takes part is kept in a cookie.",
    Access::closed(Limit::PublicStart).public(),
)
.form()
.page(layout::refusal);
/// Whom the cookie names is charged by the handler, and so is the address of whoever has no good one.
const BY_COOKIE: Access = Access::closed(Limit::Unlimited).public();
pub(crate) const SHOW_SURVEY_RUN: Operation<Nothing, Raw> = Operation::get(
    "/s/{deployment_id}/run",
    "show_survey_run_page",
    "What the survey's run asks now, for the participant in the cookie.",
    BY_COOKIE,
)
.page(layout::refusal);
pub(crate) const ANSWER_SURVEY_RUN: Operation<Form, Raw> = Operation::post(
    "/s/{deployment_id}/run",
    "answer_survey_run_page",
    "Answer what the survey's run asks, for the participant in the cookie.",
    BY_COOKIE,
)
.form()
.page(layout::refusal);

const FILE: Access = Access::closed(Limit::Unlimited).public();
const STYLE: Operation<Nothing, Raw> =
    Operation::get("/s/survey.css", "get_survey_style", "The survey page's style.", FILE);
const SCRIPT: Operation<Nothing, Raw> =
    Operation::get("/s/survey.js", "get_survey_script", "The survey page's script.", FILE);

const STYLE_TEXT: &str = include_str!("survey.css");
/// What solves challenges goes before what asks for it.
const SCRIPT_TEXT: &str = concat!(include_str!("challenge.js"), include_str!("survey.js"));

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_SURVEY, start::show_survey_page);
    routes.mount(START_SURVEY_PAGE, start::start_survey_page);
    routes.mount(SHOW_SURVEY_RUN, run::show_survey_run_page);
    routes.mount(ANSWER_SURVEY_RUN, run::answer_survey_run_page);
    routes.mount(STYLE, get_survey_style);
    routes.mount(SCRIPT, get_survey_script);
}

async fn get_survey_style(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    static TAG: OnceLock<String> = OnceLock::new();
    Ok(file("text/css; charset=utf-8", STYLE_TEXT, &TAG, &call))
}

async fn get_survey_script(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    static TAG: OnceLock<String> = OnceLock::new();
    Ok(file("text/javascript; charset=utf-8", SCRIPT_TEXT, &TAG, &call))
}

/// The same for everyone, and asked for again after five minutes.
fn file(content_type: &'static str, text: &'static str, tag: &OnceLock<String>, call: &Call<Nothing>) -> Raw {
    let tag = tag.get_or_init(|| HEXLOWER.encode(&Sha256::digest(text)[..8]));
    Raw::new(content_type, text)
        .header("cache-control", "public, max-age=300")
        .tagged(tag, call.request.if_none_match.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_evaluates_nothing_and_keeps_nothing() {
        let own = include_str!("survey.js");
        for refused in
            ["innerHTML =", "outerHTML", "insertAdjacentHTML", "eval(", "document.write", "Storage", "cookie"]
        {
            assert!(!own.contains(refused), "{refused}");
        }
        let bytes: usize = own.lines().filter(|line| !line.trim_start().starts_with("//")).map(str::len).sum();
        assert!(bytes <= 4096, "{bytes}");
    }

    #[test]
    fn the_style_asks_for_nothing_from_elsewhere() {
        for refused in ["url(", "@import", "@font-face"] {
            assert!(!STYLE_TEXT.contains(refused), "{refused}");
        }
    }
}
