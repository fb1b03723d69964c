//! The chat surface of an existing widget (seed S4), kept wire-compatible: its routes, bodies, error
//! texts and NDJSON lines. Whoever runs the original swaps the process and nothing else.
//!
//! What is never here: a conversation of its own kind. It asks `chat` as every other surface does.

mod admin;
mod chatting;
mod lines;
mod message;
mod text;

use ambient::BotId;
use api::App;
use gate::Routes;

/// Whose conversations those of the environment's key are, in their names.
const STATIC: &str = "static";

/// Adds the surface to the table. `bot` answers under the environment's widget key.
pub fn mount(routes: &mut Routes<App>, bot: Option<BotId>) {
    chatting::mount(routes, bot);
    admin::mount(routes);
}
