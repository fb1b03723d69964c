//! The list of service accounts, and a new one.

use access::Role;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, PageQuery, Problem, Raw, Routes};
use serde::Deserialize;

use super::{Account, Fields, new_account};
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Pager, Trouble},
};

const SHOW_ACCOUNTS: Operation<PageQuery, Raw> =
    page("/_/service-accounts", "show_service_accounts_page", "The list of service accounts.", Role::Member);
const SHOW_NEW_ACCOUNT: Operation<Nothing, Raw> = page(
    "/_/service-accounts/new",
    "show_new_service_account_page",
    "The form for a new service account.",
    Role::Admin,
);
const CREATE_ACCOUNT: Operation<Form, Raw> =
    form("/_/service-accounts", "create_service_account_page", "Make a service account.", Role::Admin);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_ACCOUNTS, show_accounts);
    routes.mount(SHOW_NEW_ACCOUNT, show_new_account);
    routes.mount(CREATE_ACCOUNT, create_account);
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

#[derive(Template)]
#[template(path = "service_accounts/list.html")]
struct AccountsPage {
    frame: Frame,
    accounts: Vec<Account>,
    pager: Pager,
    may_create: bool,
}

#[derive(Template)]
#[template(path = "service_accounts/new.html")]
struct NewAccountPage {
    frame: Frame,
    fields: Fields,
    trouble: Trouble,
}

async fn show_accounts(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let ask = Ask::to("list_service_accounts");
    let (accounts, pager) = desk.list(ask, call.input.page, "/_/service-accounts", &[]).await?;
    let page = AccountsPage {
        frame: desk.frame("Service accounts", "show_service_accounts_page"),
        accounts,
        pager,
        may_create: desk.may("create_service_account"),
    };
    desk.render(&page)
}

async fn show_new_account(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let frame = desk.frame("New service account", "show_service_accounts_page");
    desk.render(&NewAccountPage { frame, fields: Fields::new(), trouble: Trouble::default() })
}

async fn create_account(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let ask = Ask::to("create_service_account").body(&new_account(&call.input)).once(call.input.text("once"));
    match desk.get::<One<Made>>(ask).await {
        Ok(made) => Ok(Raw::see_other(&format!("/_/service-accounts/{}?done=created", made.data.id))),
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            let frame = desk.frame("New service account", "show_service_accounts_page");
            let page = NewAccountPage { frame, fields: Fields::sent(&call.input), trouble };
            Ok(desk.render(&page)?.with_status(status))
        }
    }
}
