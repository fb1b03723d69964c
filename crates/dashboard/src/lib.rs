//! Pages for people, as the server writes them: the landing page, setting up, joining, and the dashboard.
//!
//! A page is an operation like any other, and asks the API's own operations in the name of who asks for it
//! ([`desk::Desk`]); so who may do what, what is checked and what is audited is said once. What is never here:
//! statements, inline script or style, anything from elsewhere, a secret in an address.

mod account;
mod bots;
mod chart;
mod contacts;
mod conversations;
mod deployments;
mod desk;
mod doers;
mod entrance;
mod explain;
mod files;
mod form;
mod frame;
mod home;
mod joining;
mod keys;
mod layout;
mod loops;
mod requests;
mod runs;
mod seen;
mod service_accounts;
mod show;
mod view;
mod webhooks;
mod workflows;
mod workspace;

use access::{Access, Limit, Role};
use api::App;
use gate::{Operation, Raw, Routes};

pub(crate) use crate::form::Form;

/// A page that people of this role read.
const fn page<I>(path: &'static str, id: &'static str, summary: &'static str, role: Role) -> Operation<I, Raw> {
    Operation::get(path, id, summary, Access::closed(Limit::Read).member(role)).page(layout::refusal)
}

/// A form that people of this role send.
const fn form(path: &'static str, id: &'static str, summary: &'static str, role: Role) -> Operation<Form, Raw> {
    Operation::post(path, id, summary, Access::closed(Limit::Write).member(role)).form().page(layout::refusal)
}

/// Adds the pages to the table.
pub fn mount(routes: &mut Routes<App>) {
    routes.refuse_below("/_/", layout::refusal);
    account::mount(routes);
    bots::mount(routes);
    contacts::mount(routes);
    conversations::mount(routes);
    entrance::mount(routes);
    explain::mount(routes);
    files::mount(routes);
    home::mount(routes);
    joining::mount(routes);
    keys::mount(routes);
    service_accounts::mount(routes);
    loops::mount(routes);
    requests::mount(routes);
    view::mount(routes);
    workflows::mount(routes);
    deployments::mount(routes);
    runs::mount(routes);
    webhooks::mount(routes);
    workspace::mount(routes);
}
