//! A new key of a service account. What else is done with it is done on the key's own page.

use access::Role;
use ambient::ServiceAccountId;
use api::App;
use askama::Template;
use credential::key::Environment;
use gate::{Ask, Call, Nothing, Operation, Problem, Raw, Routes};

use super::{Account, account::find_account};
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    keys::{KeyFields, MadeKey, Owner, new_key, show_once},
    page,
    show::{One, Trouble, When},
};

const SHOW_NEW_KEY: Operation<Nothing, Raw> = page(
    "/_/service-accounts/{id}/api-keys/new",
    "show_new_service_account_key_page",
    "The form for a new API key of a service account.",
    Role::Owner,
);
const CREATE_KEY: Operation<Form, Raw> = form(
    "/_/service-accounts/{id}/api-keys",
    "create_service_account_key_page",
    "Make an API key of a service account; its secret is shown once.",
    Role::Owner,
);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_NEW_KEY, show_new_key);
    routes.mount(CREATE_KEY, create_key);
}

#[derive(Template)]
#[template(path = "service_accounts/new_key.html")]
struct NewKeyPage {
    frame: Frame,
    account: Account,
    fields: KeyFields,
    trouble: Trouble,
}

impl NewKeyPage {
    fn of(desk: &Desk<'_>, account: Account, mut fields: KeyFields, trouble: Trouble) -> Self {
        // It may do no more than its account.
        for group in &mut fields.groups {
            group.scopes.retain(|scope| account.scopes.iter().any(|held| held == scope.value));
        }
        fields.groups.retain(|group| !group.scopes.is_empty());
        Self {
            frame: desk.frame(format!("New key of {}", account.name), "show_service_accounts_page"),
            account,
            fields,
            trouble,
        }
    }
}

async fn show_new_key(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let account = find_account(&desk, call.id("id")?).await?;
    let is_test = desk.environment == Environment::Test || account.environment == "test";
    desk.render(&NewKeyPage::of(&desk, account, KeyFields::new(is_test), Trouble::default()))
}

async fn create_key(app: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let id = call.id::<ServiceAccountId>("id")?;
    let body = new_key(&call.input, Owner::ServiceAccount, When(call.request.now));
    let ask = Ask::to("create_service_account_key").at("id", id).body(&body).once(call.input.text("once"));
    match desk.get::<One<MadeKey>>(ask).await {
        Ok(made) => show_once(&app, &desk, made.data).await,
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            let account = find_account(&desk, id).await?;
            let page = NewKeyPage::of(&desk, account, KeyFields::sent(&call.input), trouble);
            Ok(desk.render(&page)?.with_status(status))
        }
    }
}
