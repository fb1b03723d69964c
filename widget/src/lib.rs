//! What a customer's page loads: the chat widget's script, the page for its frame, and `/demo`.
//!
//! The script's parts are plain JavaScript, joined as they are: no build step, no dependency. What is
//! never here: a rule about who may chat; the gate has them all.

mod frame;
mod page;
mod script;

use std::future::ready;

use access::{Access, Limit};
use api::App;
use gate::{Call, Nothing, Operation, Raw, Routes};

use crate::script::Script;

/// Files are the same for everyone, and cost no look at anything.
const FILE: Access = Access::closed(Limit::Unlimited).public();
const PAGE: Access = Access::closed(Limit::Public).public();

const SCRIPT: Operation<Nothing, Raw> =
    Operation::get("/widget/chat-widget.js", "get_widget_script", "The chat widget, for a page's script tag.", FILE);
const PINNED: Operation<Nothing, Raw> = Operation::get(
    "/widget/{file}",
    "get_pinned_widget_script",
    "The chat widget of exactly this version: `chat-widget-{hash}.js`, kept by browsers for good.",
    FILE,
);
const RUN_SCRIPT: Operation<Nothing, Raw> = Operation::get(
    "/widget/chat-run.js",
    "get_widget_run_script",
    "The module that the chat widget imports where it shows a run.",
    FILE,
);
const FRAME_SCRIPT: Operation<Nothing, Raw> =
    Operation::get("/widget/frame.js", "get_widget_frame_script", "The script of the frame's page.", FILE);
const FRAME: Operation<Nothing, Raw> = Operation::get(
    "/widget/frame/{key_id}",
    "show_widget_frame",
    "The chat as a page for an iframe, on the pages that the widget key lists.",
    PAGE,
);
const DEMO: Operation<Nothing, Raw> =
    Operation::get("/demo", "show_demo_page", "A page that embeds the chat as a customer would.", PAGE);
const DEMO_SCRIPT: Operation<Nothing, Raw> =
    Operation::get("/widget/demo.js", "get_demo_script", "The demo page's script.", FILE);
const DEMO_STYLE: Operation<Nothing, Raw> =
    Operation::get("/widget/demo.css", "get_demo_style", "The demo page's style.", FILE);

fn file(content_type: &'static str, text: &'static str) -> Raw {
    Raw::new(content_type, text).header("cache-control", "public, max-age=300")
}

/// Adds the script and the pages to the table.
pub fn mount(routes: &mut Routes<App>) {
    let script = Script::build();
    let demo = page::demo(&routes.state().settings().public_url, &script);
    let pinned = script.clone();
    let run = Script::build_run();
    routes.mount(SCRIPT, move |_, call: Call<Nothing>| ready(Ok(script.newest(&call.request))));
    routes.mount(PINNED, move |_, call: Call<Nothing>| ready(pinned.pinned(&call.request)));
    routes.mount(RUN_SCRIPT, move |_, call: Call<Nothing>| ready(Ok(run.newest(&call.request))));
    routes.mount(FRAME_SCRIPT, |_, _: Call<Nothing>| ready(Ok(file("text/javascript; charset=utf-8", frame::SCRIPT))));
    routes.mount(FRAME, frame::show_widget_frame);
    routes.mount(DEMO, move |_, _: Call<Nothing>| ready(Ok(page::show(&demo))));
    routes.mount(DEMO_SCRIPT, |_, _: Call<Nothing>| ready(Ok(file("text/javascript; charset=utf-8", page::SCRIPT))));
    routes.mount(DEMO_STYLE, |_, _: Call<Nothing>| ready(Ok(file("text/css; charset=utf-8", page::STYLE))));
}
