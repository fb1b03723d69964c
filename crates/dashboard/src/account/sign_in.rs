//! Signing in and out.
//!
//! Where an account has codes, the form asks for the password again together with the code: between the two steps
//! nothing is kept that would be worth something to whoever finds it.

use access::{Access, Limit, Role};
use api::App;
use askama::Template;
use gate::{Answered, Ask, Call, Nothing, Operation, Problem, Raw, Routes};
use serde_json::json;

use crate::{Form, form, layout, show::Trouble};

const SHOW_SIGN_IN: Operation<Nothing, Raw> = Operation::get(
    "/_/sign-in",
    "show_sign_in_page",
    "The page where people sign in.",
    Access::closed(Limit::Public).public(),
)
.page(layout::refusal);
const SIGN_IN: Operation<Form, Raw> = Operation::post(
    "/_/sign-in",
    "sign_in_page",
    "Sign in, and go on to the page that was asked for.",
    Access::closed(Limit::SignIn).public(),
)
.form()
.for_own_pages()
.page(layout::refusal);
const SIGN_OUT: Operation<Form, Raw> = form("/_/sign-out", "sign_out_page", "Sign this browser out.", Role::Member);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_SIGN_IN, show_sign_in);
    routes.mount(SIGN_IN, sign_in);
    routes.mount(SIGN_OUT, sign_out);
}

#[derive(Template)]
#[template(path = "account/sign_in.html")]
struct SignInPage {
    email: String,
    next: String,
    asks_for_code: bool,
    is_out: bool,
    trouble: Trouble,
}

async fn show_sign_in(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let next = layout::local(&call.request.query("next").unwrap_or_default()).to_owned();
    let is_out = call.request.query("done").as_deref() == Some("signed-out");
    let (email, trouble) = (String::new(), Trouble::default());
    layout::html(&SignInPage { email, next, asks_for_code: false, is_out, trouble })
}

async fn sign_in(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let form = &call.input;
    let (email, next) = (form.text("email").to_owned(), layout::local(form.text("next")).to_owned());
    let credentials = json!({"email": email, "password": form.raw("password"), "code": form.some("code")});
    let problem = match call.ask(Ask::to("sign_in").body(&credentials)).await {
        Ok(answered) => return Ok(with_cookies(Raw::see_other(&next), &answered)),
        Err(problem) if matches!(problem.status().as_u16(), 401 | 422 | 429) => problem,
        Err(problem) => return Err(problem),
    };
    let asks_for_code = problem.code() == "SECOND_FACTOR_REQUIRED" || form.some("code").is_some();
    let mut trouble = Trouble::of(&problem);
    if problem.code() == "SECOND_FACTOR_REQUIRED" {
        "The password is right. Type it once more, and the six digits that your app shows."
            .clone_into(&mut trouble.message);
    }
    let page = layout::html(&SignInPage { email, next, asks_for_code, is_out: false, trouble })?;
    Ok(page.with_status(problem.outcome()))
}

async fn sign_out(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let answered = call.ask(Ask::to("sign_out")).await?;
    Ok(with_cookies(Raw::see_other("/_/sign-in?done=signed-out"), &answered))
}

/// What the API gives the browser to keep.
pub(crate) fn with_cookies(raw: Raw, answered: &Answered) -> Raw {
    let cookies = answered.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
    cookies.fold(raw, |raw, cookie| raw.computed_header("set-cookie", cookie))
}
