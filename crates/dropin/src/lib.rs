//! The chat surface of an existing widget (seed S4), kept wire-compatible: its routes, bodies, error
//! texts and NDJSON lines. Whoever runs the original swaps the process and nothing else.
//!
//! What is never here: a conversation of its own kind. It asks `chat` as every other surface does.

use api::App;
use gate::Routes;

/// Adds the surface to the table.
pub fn mount(_: &mut Routes<App>) {}
