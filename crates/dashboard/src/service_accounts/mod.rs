//! Service accounts: software that acts without a person, and its keys.

mod account;
mod keys;
mod list;

use api::App;
use gate::Routes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Form,
    keys::{ScopeGroup, scope_groups},
    show::When,
};

pub(crate) fn mount(routes: &mut Routes<App>) {
    list::mount(routes);
    account::mount(routes);
    keys::mount(routes);
}

/// A service account, as the API shows it.
#[derive(Clone, Debug, Deserialize)]
struct Account {
    id: String,
    environment: String,
    name: String,
    description: Option<String>,
    role: String,
    scopes: Vec<String>,
    is_active: bool,
    created_at: When,
    updated_at: When,
}

/// What the form of an account holds.
#[derive(Clone, Debug, Default)]
struct Fields {
    name: String,
    description: String,
    role: String,
    groups: Vec<ScopeGroup>,
}

impl Fields {
    fn new() -> Self {
        let none: [&str; 0] = [];
        Self { role: "member".to_owned(), groups: scope_groups(&none), ..Self::default() }
    }

    fn of(account: &Account) -> Self {
        Self {
            name: account.name.clone(),
            description: account.description.clone().unwrap_or_default(),
            role: account.role.clone(),
            groups: scope_groups(&account.scopes),
        }
    }

    fn sent(form: &Form) -> Self {
        Self {
            name: form.raw("name").to_owned(),
            description: form.raw("description").to_owned(),
            role: form.text("role").to_owned(),
            groups: scope_groups(&form.all("scopes")),
        }
    }
}

/// A new account holds all that its role may, unless scopes were ticked.
fn new_account(form: &Form) -> Value {
    let mut body = json!({
        "name": form.text("name"),
        "description": form.some("description"),
        "role": form.text("role"),
    });
    let scopes = form.all("scopes");
    if !scopes.is_empty() {
        body["scopes"] = json!(scopes);
    }
    body
}

/// What is to be different; what was not changed is not sent. Where the role alone is changed, the API cuts the scopes
/// to it.
fn changes(form: &Form, account: &Account) -> Value {
    let mut body = json!({});
    if form.text("name") != account.name {
        body["name"] = json!(form.text("name"));
    }
    if form.some("description") != account.description.as_deref() {
        body["description"] = json!(form.some("description"));
    }
    if form.text("role") != account.role {
        body["role"] = json!(form.text("role"));
    }
    if form.all("scopes") != account.scopes {
        body["scopes"] = json!(form.all("scopes"));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(pairs: &[(&str, &str)]) -> Form {
        serde_json::from_value(json!(pairs)).unwrap()
    }

    #[test]
    fn an_account_holds_its_role_unless_scopes_were_ticked() {
        let sent = [("name", " crm "), ("role", "admin"), ("description", "")];
        assert_eq!(new_account(&form(&sent)), json!({"name": "crm", "description": null, "role": "admin"}));
        let ticked = [sent[0], sent[1], ("scopes", "bots:read")];
        assert_eq!(new_account(&form(&ticked))["scopes"], json!(["bots:read"]));
    }

    #[test]
    fn only_what_was_changed_is_sent() {
        let account: Account = serde_json::from_value(json!({
            "id": "svc_1", "environment": "live", "name": "crm", "description": null, "role": "admin",
            "scopes": ["bots:read"], "is_active": true, "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
        }))
        .unwrap();
        let same = [("name", "crm"), ("description", " "), ("role", "admin"), ("scopes", "bots:read")];
        assert_eq!(changes(&form(&same), &account), json!({}));
        let other = [("name", "crm"), ("description", "syncs"), ("role", "member")];
        let expected = json!({"description": "syncs", "role": "member", "scopes": []});
        assert_eq!(changes(&form(&other), &account), expected);
    }
}
