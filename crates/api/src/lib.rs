//! The operations and their handlers, by resource, and the encoders of the reply.
//!
//! Each operation is a constant beside its handler and its wire types; [`routes`] mounts them all.
//! Handlers check the input, call `cluster`, `chat` or the caller's workspace, and show the result.
//! What is never here: SQL, a decision about who may call what (that is the operation's access),
//! and a way to change a key that does not go through `cluster`.

mod account;
mod agent_loops;
mod app;
mod audit;
mod bots;
mod channel_messages;
mod channel_settings;
mod channels;
mod connections;
mod contacts;
mod conversation_export;
mod conversations;
mod credits;
mod deployments;
mod encode;
mod executions;
mod explain;
mod input;
mod integrations;
pub mod invitations;
mod key_input;
mod key_list;
mod key_view;
mod keys;
mod leaks;
mod me;
mod members;
mod origins;
mod overview;
mod password;
mod people;
mod places;
mod problem;
mod requests;
mod results;
mod roles;
mod run_stream;
mod runs;
mod second_factor;
mod service_account_keys;
mod service_accounts;
mod sessions;
pub mod setup;
mod sign_in;
mod signing;
mod start;
mod streamed;
mod system;
mod trials;
mod triggers;
mod usage;
mod usage_hours;
mod voice;
mod webhook_calls;
mod webhook_scopes;
mod webhooks;
mod workflows;
mod workspace;
mod workspace_runs;

pub use app::{App, AppParts, AppSettings};
use gate::Routes;
pub use leaks::FetchReporterKeys;
pub use problem::{of_chat as problem_of_chat, of_run as problem_of_run};
pub use second_factor::totp_place;
pub use signing::trigger_place;
pub use start::charge_start;

/// Every operation of the API, mounted.
#[must_use]
pub fn routes(app: App) -> Routes<App> {
    routes_with(app, |_| {})
}

/// The same with the operations of other rooms that belong into the document.
#[must_use]
pub fn routes_with(app: App, mount_others: impl FnOnce(&mut Routes<App>)) -> Routes<App> {
    let mut routes = Routes::new(app);
    me::mount(&mut routes);
    key_list::mount(&mut routes);
    keys::mount(&mut routes);
    origins::mount(&mut routes);
    leaks::mount(&mut routes);
    service_accounts::mount(&mut routes);
    service_account_keys::mount(&mut routes);
    bots::mount(&mut routes);
    integrations::mount(&mut routes);
    channels::mount(&mut routes);
    channel_messages::mount(&mut routes);
    connections::mount(&mut routes);
    sessions::mount(&mut routes);
    voice::mount(&mut routes);
    trials::mount(&mut routes);
    conversations::mount(&mut routes);
    conversation_export::mount(&mut routes);
    contacts::mount(&mut routes);
    credits::mount(&mut routes);
    usage::mount(&mut routes);
    usage_hours::mount(&mut routes);
    workflows::mount(&mut routes);
    deployments::mount(&mut routes);
    results::mount(&mut routes);
    runs::mount(&mut routes);
    run_stream::mount(&mut routes);
    workspace_runs::mount(&mut routes);
    triggers::mount(&mut routes);
    webhook_calls::mount(&mut routes);
    webhooks::mount(&mut routes);
    webhook_scopes::mount(&mut routes);
    workspace::mount(&mut routes);
    roles::mount(&mut routes);
    members::mount(&mut routes);
    invitations::mount(&mut routes);
    sign_in::mount(&mut routes);
    account::mount(&mut routes);
    second_factor::mount(&mut routes);
    audit::mount(&mut routes);
    requests::mount(&mut routes);
    explain::mount(&mut routes);
    overview::mount(&mut routes);
    agent_loops::mount(&mut routes);
    executions::mount(&mut routes);
    setup::mount(&mut routes);
    system::mount(&mut routes);
    mount_others(&mut routes);
    routes.state().describe(&routes);
    routes
}
