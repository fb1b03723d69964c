//! One service account: its settings, its keys, and its end.

use access::Role;
use ambient::ServiceAccountId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Operation, PageQuery, Problem, Raw, Routes};
use serde_json::json;

use super::{Account, Fields, changes};
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    keys::Key,
    page,
    show::{One, Pager, Trouble},
};

const SHOW_ACCOUNT: Operation<PageQuery, Raw> = page(
    "/_/service-accounts/{id}",
    "show_service_account_page",
    "A service account, its settings and its keys.",
    Role::Member,
);
const UPDATE_ACCOUNT: Operation<Form, Raw> = form(
    "/_/service-accounts/{id}",
    "update_service_account_page",
    "Change, disable or enable a service account.",
    Role::Admin,
);
const SHOW_DELETION: Operation<PageQuery, Raw> = page(
    "/_/service-accounts/{id}/delete",
    "show_service_account_deletion_page",
    "What deleting a service account would end.",
    Role::Admin,
);
const DELETE_ACCOUNT: Operation<Form, Raw> = form(
    "/_/service-accounts/{id}/delete",
    "delete_service_account_page",
    "Delete a service account and revoke its keys.",
    Role::Admin,
);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_ACCOUNT, show_account);
    routes.mount(UPDATE_ACCOUNT, update_account);
    routes.mount(SHOW_DELETION, show_deletion);
    routes.mount(DELETE_ACCOUNT, delete_account);
}

#[derive(Template)]
#[template(path = "service_accounts/account.html")]
struct AccountPage {
    frame: Frame,
    account: Account,
    keys: Vec<Key>,
    pager: Pager,
    fields: Fields,
    trouble: Trouble,
    may_change: bool,
    may_create_keys: bool,
}

#[derive(Template)]
#[template(path = "service_accounts/delete.html")]
struct DeletePage {
    frame: Frame,
    account: Account,
    keys: Vec<Key>,
    total: u64,
    trouble: Trouble,
}

/// An account of this workspace.
pub(super) async fn find_account(desk: &Desk<'_>, id: ServiceAccountId) -> Result<Account, Problem> {
    Ok(desk.get::<One<Account>>(Ask::to("get_service_account").at("id", id)).await?.data)
}

async fn keys_of(desk: &Desk<'_>, id: ServiceAccountId, page: Option<u32>) -> Result<(Vec<Key>, Pager), Problem> {
    let ask = Ask::to("list_service_account_keys").at("id", id);
    desk.list(ask, page, &format!("/_/service-accounts/{id}"), &[]).await
}

async fn account_page(
    desk: &Desk<'_>,
    account: Account,
    page: Option<u32>,
    fields: Option<(Fields, Trouble)>,
) -> Result<AccountPage, Problem> {
    let id = account.id.parse().map_err(Problem::unavailable)?;
    let (keys, pager) = keys_of(desk, id, page).await?;
    let (fields, trouble) = fields.unwrap_or_else(|| (Fields::of(&account), Trouble::default()));
    Ok(AccountPage {
        frame: desk.frame(account.name.clone(), "show_service_accounts_page"),
        keys,
        pager,
        fields,
        trouble,
        may_change: desk.may("update_service_account"),
        may_create_keys: desk.may("create_service_account_key"),
        account,
    })
}

async fn show_account(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let account = find_account(&desk, call.id("id")?).await?;
    desk.render(&account_page(&desk, account, call.input.page, None).await?)
}

async fn update_account(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let id = call.id::<ServiceAccountId>("id")?;
    let account = find_account(&desk, id).await?;
    let switched = call.input.some("is_active").map(|wanted| wanted == "true");
    let body = match switched {
        Some(is_active) => json!({ "is_active": is_active }),
        None => changes(&call.input, &account),
    };
    match desk.ask(Ask::to("update_service_account").at("id", id).body(&body)).await {
        Ok(_) => {
            let done = match switched {
                Some(true) => "enabled",
                Some(false) => "disabled",
                None => "saved",
            };
            Ok(Raw::see_other(&format!("/_/service-accounts/{id}?done={done}")))
        }
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            let fields = if switched.is_some() { Fields::of(&account) } else { Fields::sent(&call.input) };
            let page = account_page(&desk, account, None, Some((fields, trouble))).await?;
            Ok(desk.render(&page)?.with_status(status))
        }
    }
}

async fn deletion_page(desk: &Desk<'_>, id: ServiceAccountId, trouble: Trouble) -> Result<DeletePage, Problem> {
    let account = find_account(desk, id).await?;
    let (keys, pager) = keys_of(desk, id, None).await?;
    let frame = desk.frame(format!("Delete {}", account.name), "show_service_accounts_page");
    Ok(DeletePage { frame, account, keys, total: pager.meta.total, trouble })
}

async fn show_deletion(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    desk.render(&deletion_page(&desk, call.id("id")?, Trouble::default()).await?)
}

async fn delete_account(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let id = call.id::<ServiceAccountId>("id")?;
    match desk.ask(Ask::to("delete_service_account").at("id", id)).await {
        Ok(_) => Ok(Raw::see_other("/_/service-accounts?done=deleted")),
        Err(problem) => {
            // Also for an admin, who may not while it has keys that work: the page says so.
            let is_refused = problem.status().as_u16() == 403 && problem.code() == "INSUFFICIENT_PERMISSIONS";
            let trouble = if is_refused { Trouble::of(&problem) } else { Trouble::again(problem)? };
            let status = trouble.status;
            Ok(desk.render(&deletion_page(&desk, id, trouble).await?)?.with_status(status))
        }
    }
}
