//! How a person looks at the dashboard, kept in two cookies of this browser: which half of the data, and in which
//! colours. Neither gives a right.

use access::Role;
use api::App;
use gate::{Call, Operation, Problem, Raw, Routes};

use crate::{
    Form,
    desk::{ENVIRONMENT_COOKIE, THEME_COOKIE},
    form, layout,
};

const CHANGE_VIEW: Operation<Form, Raw> = form(
    "/_/view",
    "change_view_page",
    "Look at the live data or at the test data, in light or in dark colours.",
    Role::Member,
);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(CHANGE_VIEW, change_view);
}

/// One form says one of the two.
async fn change_view(app: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (name, value) = match (call.input.text("environment"), call.input.text("theme")) {
        (chosen @ ("live" | "test"), _) => (ENVIRONMENT_COOKIE, chosen),
        (_, chosen @ ("light" | "dark" | "auto")) => (THEME_COOKIE, chosen),
        _ => return Err(Problem::invalid_request("Choose `live` or `test`, or `light`, `dark` or `auto`")),
    };
    let secure = if app.settings().public_url.starts_with("https://") { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/_/; Max-Age=31536000; HttpOnly; SameSite=Lax{secure}");
    Ok(Raw::see_other(layout::local(call.input.text("next"))).computed_header("set-cookie", &cookie))
}
