//! What happened today, and what wants attention.

use access::Role;
use api::App;
use askama::Template;
use gate::{Call, Nothing, Operation, Problem, Raw, Routes};

use crate::{desk::Desk, frame::Frame, page};

const SHOW_HOME: Operation<Nothing, Raw> =
    page("/_/", "show_home_page", "What happened today, and what wants attention.", Role::Member);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_HOME, show_home);
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
}

async fn show_home(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    desk.render(&HomePage { frame: desk.frame("Home", "show_home_page") })
}
