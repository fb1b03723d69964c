//! Proving again who one is, before what is dangerous.

use access::Role;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, Problem, Raw, Routes};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{guarded, with_cookies};
use crate::{
    Form,
    desk::Desk,
    frame::Frame,
    layout, page,
    show::{One, Trouble},
};

const SHOW_CONFIRM: Operation<Nothing, Raw> =
    page("/_/confirm", "show_confirm_page", "The page where a person proves again who it is.", Role::Member);
const CONFIRM: Operation<Form, Raw> =
    guarded("/_/confirm", "confirm_page", "Prove again who you are, and go on to the page that was asked for.");

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_CONFIRM, show_confirm);
    routes.mount(CONFIRM, confirm);
}

#[derive(Template)]
#[template(path = "account/confirm.html")]
struct ConfirmPage {
    frame: Frame,
    next: String,
    has_codes: bool,
    /// It was done a moment ago, and there is no other page to go on to.
    is_done: bool,
    trouble: Trouble,
}

#[derive(Deserialize)]
struct Totp {
    is_enabled: bool,
}

/// Whoever comes from a form that is open in another tab, is told to go back to it.
const HERE: &str = "/_/confirm?done=confirmed";

async fn show(desk: &Desk<'_>, next: &str, trouble: Trouble) -> Result<Raw, Problem> {
    let has_codes = desk.get::<One<Totp>>(Ask::to("get_totp")).await?.data.is_enabled;
    let next = if next.is_empty() { HERE } else { layout::local(next) }.to_owned();
    let frame = desk.frame("Confirm who you are", "show_confirm_page");
    let is_done = frame.done.is_some() && frame.path == HERE;
    desk.render(&ConfirmPage { frame, next, has_codes, is_done, trouble })
}

async fn show_confirm(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    show(&desk, &call.request.query("next").unwrap_or_default(), Trouble::default()).await
}

async fn confirm(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let (form, next) = (&call.input, call.input.text("next"));
    // Whoever has typed both has typed the code for a reason.
    let proof = match form.some("code") {
        Some(code) => json!({"code": code}),
        None => json!({"password": form.raw("password")}),
    };
    match desk.ask(Ask::to("confirm_me").body(&proof)).await {
        Ok(answered) => {
            let led = Raw::see_other(if next.is_empty() { HERE } else { layout::local(next) });
            Ok(with_cookies(led, &answered))
        }
        // Signed out, after too many.
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => Err(problem),
        Err(problem) => {
            let page = show(&desk, next, Trouble::of(&problem)).await?;
            Ok(page.with_status(problem.outcome()))
        }
    }
}
