//! The forms of the two pages that a link with a token leads to, for browsers without scripts: what a script of ours
//! asks the API, these ask.

use access::{Access, Limit};
use api::App;
use askama::Template;
use gate::{Answered, Ask, Call, Operation, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Form,
    account::with_cookies,
    layout,
    show::{One, Trouble},
};

const SET_UP: Operation<Form, Raw> = Operation::post(
    "/setup",
    "complete_setup_page",
    "Make the first workspace and its owner, who is signed in; shows the first key once.",
    Access::closed(Limit::SignIn).public(),
)
.form()
.for_own_pages()
.page(layout::refusal);
const JOIN: Operation<Form, Raw> = Operation::post(
    "/invitations",
    "accept_invitation_page",
    "Join a workspace, or choose a new password, and go on signed in.",
    Access::closed(Limit::SignIn).public(),
)
.form()
.for_own_pages()
.page(layout::refusal);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SET_UP, set_up);
    routes.mount(JOIN, join);
}

/// The form once more, with what was wrong; a token and passwords are typed in again.
#[derive(Template)]
#[template(path = "entrance/setup.html")]
struct SetupPage {
    workspace_name: String,
    name: String,
    email: String,
    trouble: Trouble,
}

#[derive(Template)]
#[template(path = "entrance/made.html")]
struct MadePage {
    key: String,
}

#[derive(Template)]
#[template(path = "entrance/invitation.html")]
struct InvitationPage {
    name: String,
    trouble: Trouble,
}

#[derive(Deserialize)]
struct Made {
    key: String,
}

#[derive(Deserialize)]
struct Joined {
    email: String,
}

/// What is wrong, in the words of these pages: a token that opens nothing is not absent, but no longer good.
fn trouble_of(problem: &Problem, token: &str) -> Trouble {
    let mut trouble = Trouble::of(problem);
    if problem.status() == 404 {
        token.clone_into(&mut trouble.message);
    }
    trouble
}

/// The cookie of who has just said the password.
async fn signed_in<I>(call: &Call<I>, email: &str, password: &str) -> Option<Answered> {
    call.ask(Ask::to("sign_in").body(&json!({"email": email, "password": password}))).await.ok()
}

async fn set_up(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let form = &call.input;
    let body = json!({
        "token": form.text("token"),
        "workspace_name": form.text("workspace_name"),
        "name": form.some("name"),
        "email": form.text("email"),
        "password": form.raw("password"),
    });
    match call.ask(Ask::to("complete_setup").body(&body)).await {
        Ok(answered) => {
            let page = layout::html(&MadePage { key: answered.json::<Made>()?.key })?;
            Ok(match signed_in(&call, form.text("email"), form.raw("password")).await {
                Some(answered) => with_cookies(page, &answered),
                None => page,
            })
        }
        Err(problem) => {
            let old = "This token is wrong, used, or over 30 minutes old. Is there an owner already? Then sign in. \
                       Else restart the server: it prints a new link while there is no workspace.";
            let page = layout::html(&SetupPage {
                workspace_name: form.text("workspace_name").to_owned(),
                name: form.text("name").to_owned(),
                email: form.text("email").to_owned(),
                trouble: trouble_of(&problem, old),
            })?;
            Ok(page.with_status(problem.outcome()))
        }
    }
}

async fn join(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let form = &call.input;
    let joined = if form.raw("password") == form.raw("again") {
        let body = json!({"token": form.text("token"), "name": form.text("name"), "password": form.raw("password")});
        call.ask(Ask::to("accept_invitation").body(&body)).await
    } else {
        Err(Problem::invalid_field("again", "is not the same password"))
    };
    match joined {
        Ok(answered) => {
            let email = answered.json::<One<Joined>>()?.data.email;
            let there = Raw::see_other("/_/");
            Ok(match signed_in(&call, &email, form.raw("password")).await {
                Some(answered) => with_cookies(there, &answered),
                None => there,
            })
        }
        Err(problem) => {
            let old = "This link is wrong, used, taken back, or too old. Ask whoever invited you for a new one.";
            let page = InvitationPage { name: form.text("name").to_owned(), trouble: trouble_of(&problem, old) };
            Ok(layout::html(&page)?.with_status(problem.outcome()))
        }
    }
}
