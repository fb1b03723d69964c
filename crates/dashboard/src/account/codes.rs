//! Codes of an authenticator app: setting it up, recovery codes, and doing without again.
//!
//! What is shown once is the answer to what made it: no address leads to it.

use access::Role;
use api::App;
use askama::Template;
use gate::{Ask, Call, Operation, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::json;

use super::{CONFIRM_FIRST, guarded, qr};
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    show::{One, Trouble},
};

const BEGIN: Operation<Form, Raw> = form(
    "/_/account/codes",
    "begin_totp_page",
    "Begin with an authenticator app: shows its secret once.",
    Role::Member,
);
const CONFIRM: Operation<Form, Raw> =
    guarded("/_/account/codes/confirm", "confirm_totp_page", "Prove that the app works: shows recovery codes once.");
const RENEW: Operation<Form, Raw> = form(
    "/_/account/codes/recovery",
    "renew_recovery_codes_page",
    "Make other recovery codes, shown once.",
    Role::Member,
);
const END: Operation<Form, Raw> =
    form("/_/account/codes/end", "end_totp_page", "Ask for no codes any more.", Role::Member);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(BEGIN, begin);
    routes.mount(CONFIRM, confirm);
    routes.mount(RENEW, renew);
    routes.mount(END, end);
}

#[derive(Deserialize)]
struct Setup {
    secret: String,
    otpauth_url: String,
}

#[derive(Deserialize)]
struct Codes {
    recovery_codes: Vec<String>,
}

#[derive(Template)]
#[template(path = "account/app.html")]
struct AppPage {
    frame: Frame,
    /// Shown the first time alone.
    setup: Option<Setup>,
    picture: String,
    trouble: Trouble,
}

#[derive(Template)]
#[template(path = "account/recovery.html")]
struct RecoveryPage {
    frame: Frame,
    codes: Vec<String>,
    is_new: bool,
}

/// Whoever has to prove first who it is, does that and comes back: nothing was typed in that could be lost.
fn confirmed_first(problem: Problem) -> Result<Raw, Problem> {
    if problem.code() == "CONFIRMATION_REQUIRED" { Ok(Raw::see_other(CONFIRM_FIRST)) } else { Err(problem) }
}

async fn begin(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let setup = match desk.get::<One<Setup>>(Ask::to("begin_totp")).await {
        Ok(made) => made.data,
        Err(problem) => return confirmed_first(problem),
    };
    let (frame, picture) = (desk.frame("Set up an app", "show_account_page"), qr::svg(&setup.otpauth_url));
    desk.render(&AppPage { frame, setup: Some(setup), picture, trouble: Trouble::default() })
}

async fn confirm(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let ask = Ask::to("confirm_totp").body(&json!({"code": call.input.text("code")}));
    match desk.get::<One<Codes>>(ask).await {
        Ok(made) => shown(&desk, made.data, true),
        Err(problem) => {
            let (frame, trouble) = (desk.frame("Set up an app", "show_account_page"), Trouble::of(&problem));
            let page = desk.render(&AppPage { frame, setup: None, picture: String::new(), trouble })?;
            Ok(page.with_status(problem.outcome()))
        }
    }
}

async fn renew(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    match desk.get::<One<Codes>>(Ask::to("renew_recovery_codes")).await {
        Ok(made) => shown(&desk, made.data, false),
        Err(problem) => confirmed_first(problem),
    }
}

async fn end(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    match call.ask(Ask::to("end_totp")).await {
        Ok(_) => Ok(Raw::see_other("/_/account?done=codes-ended")),
        Err(problem) => confirmed_first(problem),
    }
}

fn shown(desk: &Desk<'_>, codes: Codes, is_new: bool) -> Result<Raw, Problem> {
    let frame = desk.frame("Recovery codes", "show_account_page");
    desk.render(&RecoveryPage { frame, codes: codes.recovery_codes, is_new })
}
