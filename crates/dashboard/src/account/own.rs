//! A person's own account: the name, the password, and the browsers it is signed in with.

use access::Role;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, Problem, Raw, Routes};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::guarded;
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Paged, Trouble, When},
};

const SHOW_ACCOUNT: Operation<Nothing, Raw> = page(
    "/_/account",
    "show_account_page",
    "Your own account: name, password, codes of an app, and your browsers.",
    Role::Member,
);
const RENAME: Operation<Form, Raw> =
    form("/_/account/name", "rename_me_page", "Change what you are called.", Role::Member);
const PASSWORD: Operation<Form, Raw> =
    guarded("/_/account/password", "change_password_page", "Change your own password.");
const REVOKE: Operation<Form, Raw> =
    form("/_/account/sign-ins/{id}/revoke", "revoke_sign_in_page", "Sign one of your browsers out.", Role::Member);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_ACCOUNT, show_account);
    routes.mount(RENAME, rename);
    routes.mount(PASSWORD, change_password);
    routes.mount(REVOKE, revoke);
}

#[derive(Deserialize)]
struct Totp {
    is_enabled: bool,
    enabled_at: Option<When>,
    recovery_codes_left: u32,
}

#[derive(Deserialize)]
struct SignIn {
    id: String,
    is_current: bool,
    address: Option<String>,
    user_agent: Option<String>,
    created_at: When,
    last_seen_at: When,
}

impl SignIn {
    /// What a person may recognise it by.
    fn shown(&self) -> &str {
        self.user_agent.as_deref().unwrap_or("A browser that does not say its name")
    }

    fn from(&self) -> &str {
        self.address.as_deref().unwrap_or("an unknown address")
    }
}

#[derive(Template)]
#[template(path = "account/account.html")]
struct AccountPage {
    frame: Frame,
    name: String,
    totp: Totp,
    sign_ins: Vec<SignIn>,
    renaming: Trouble,
    password: Trouble,
}

async fn show(desk: &Desk<'_>, name: Option<&str>, renaming: Trouble, password: Trouble) -> Result<Raw, Problem> {
    let totp = desk.get::<One<Totp>>(Ask::to("get_totp")).await?.data;
    let sign_ins = desk.get::<Paged<SignIn>>(Ask::to("list_sign_ins").query("per_page", 100)).await?.data;
    let frame = desk.frame("Your account", "show_account_page");
    let name = name.unwrap_or(&desk.me.name).to_owned();
    desk.render(&AccountPage { frame, name, totp, sign_ins, renaming, password })
}

async fn show_account(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    show(&Desk::open(&call).await?, None, Trouble::default(), Trouble::default()).await
}

async fn rename(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, name) = (Desk::open(&call).await?, call.input.text("name"));
    match desk.ask(Ask::to("update_me").body(&json!({"name": name}))).await {
        Ok(_) => Ok(Raw::see_other("/_/account?done=saved")),
        Err(problem) => {
            let page = show(&desk, Some(name), Trouble::of(&problem), Trouble::default()).await?;
            Ok(page.with_status(problem.outcome()))
        }
    }
}

async fn change_password(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, form) = (Desk::open(&call).await?, &call.input);
    let changed = if form.raw("new_password") == form.raw("again") {
        let body = json!({"current_password": form.raw("current_password"), "new_password": form.raw("new_password")});
        desk.ask(Ask::to("change_password").body(&body)).await
    } else {
        Err(Problem::invalid_field("again", "is not the same as the new password"))
    };
    match changed {
        Ok(_) => Ok(Raw::see_other("/_/account?done=password-changed")),
        // Signed out, after too many.
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => Err(problem),
        Err(problem) => {
            let page = show(&desk, None, Trouble::default(), Trouble::of(&problem)).await?;
            Ok(page.with_status(problem.outcome()))
        }
    }
}

async fn revoke(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let id = call.request.param("id").unwrap_or_default().to_owned();
    let _ = call.ask(Ask::to("revoke_sign_in").at("id", id)).await?;
    Ok(Raw::see_other("/_/account?done=signed-out"))
}
