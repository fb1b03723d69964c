//! The workspace itself: its people, its credits and usage, what was done in it, and its settings.

mod audit;
mod credits;
mod invitations;
mod members;
mod roles;
mod settings;
mod usage;

use api::App;
use gate::Routes;

pub(crate) fn mount(routes: &mut Routes<App>) {
    members::mount(routes);
    invitations::mount(routes);
    roles::mount(routes);
    usage::mount(routes);
    credits::mount(routes);
    audit::mount(routes);
    settings::mount(routes);
}
