//! A new key.

use access::Role;
use api::App;
use askama::Template;
use credential::key::Environment;
use gate::{Ask, Call, Nothing, Operation, Problem, Raw, Routes};
use http::StatusCode;

use super::{
    Checked, KeyFields, MadeKey, Owner, ShownOncePage, check_origin, new_key,
    shown_once::{Shown, snippets},
};
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Trouble, When},
};

const SHOW_NEW_API_KEY: Operation<Nothing, Raw> =
    page("/_/api-keys/new", "show_new_api_key_page", "The form for a new API key.", Role::Owner);
const CREATE_API_KEY: Operation<Form, Raw> =
    form("/_/api-keys", "create_api_key_page", "Make an API key; its secret is shown once.", Role::Owner);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_NEW_API_KEY, show_new_api_key);
    routes.mount(CREATE_API_KEY, create_api_key);
}

#[derive(Template)]
#[template(path = "keys/new.html")]
struct NewKeyPage {
    frame: Frame,
    fields: KeyFields,
    checked: Option<Checked>,
    trouble: Trouble,
}

impl NewKeyPage {
    fn of(desk: &Desk<'_>, fields: KeyFields) -> Self {
        let frame = desk.frame("New API key", "show_api_keys_page");
        Self { frame, fields, checked: None, trouble: Trouble::default() }
    }
}

async fn show_new_api_key(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let page = NewKeyPage::of(&desk, KeyFields::new(desk.environment == Environment::Test));
    desk.render(&page)
}

async fn create_api_key(app: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let mut page = NewKeyPage::of(&desk, KeyFields::sent(&call.input));
    if call.input.flag("check") {
        match check_origin(&desk, &call.input).await? {
            Ok(checked) => page.checked = Some(checked),
            Err(trouble) => page.trouble = trouble,
        }
        return Ok(desk.render(&page)?.with_status(StatusCode::OK));
    }
    let body = new_key(&call.input, Owner::Workspace, When(call.request.now));
    let ask = Ask::to("create_api_key").body(&body).once(call.input.text("once"));
    match desk.get::<One<MadeKey>>(ask).await {
        Ok(made) => show_once(&app, &desk, made.data).await,
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            page.trouble = trouble;
            Ok(desk.render(&page)?.with_status(status))
        }
    }
}

/// The secret, the one time.
pub(crate) async fn show_once(app: &App, desk: &Desk<'_>, made: MadeKey) -> Result<Raw, Problem> {
    let shown = if made.view.is_widget() { Shown::newest(desk, &made.view).await } else { None };
    let snippets = snippets(&made, shown.as_ref(), &app.settings().public_url);
    let title = format!("{} was made", made.view.name);
    desk.render(&ShownOncePage { frame: desk.frame(title, "show_api_keys_page"), made, snippets })
}
