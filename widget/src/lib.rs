//! What a customer's page loads: the chat widget's script, the page for its frame, and `/demo`.
//!
//! The script's parts are plain JavaScript, joined as they are: no build step, no dependency.

use api::App;
use gate::Routes;

/// Adds the script and the pages to the table.
pub fn mount(_: &mut Routes<App>) {}
