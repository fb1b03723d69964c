//! What people without accounts use: one run, seen and answered as one role, and surveys that anybody
//! may start.
//!
//! What is never here: a run's rules (those are `workflow`'s), and a look at a run that the token does
//! not name.

mod challenge;
mod dialogue;
mod frames;
mod page;
mod renew;
mod socket;
mod survey;
mod taking_part;

use api::App;
use gate::Routes;

/// Adds the surface to the table.
pub fn mount(routes: &mut Routes<App>) {
    dialogue::mount(routes);
    taking_part::mount(routes);
    socket::mount(routes);
    renew::mount(routes);
    survey::mount(routes);
    page::mount(routes);
}
