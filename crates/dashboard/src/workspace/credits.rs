//! Credits: what is left, what was given and charged.

use access::Role;
use api::App;
use askama::Template;
use gate::{Ask, Call, Operation, PageQuery, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, OrDash, Pager, Trouble, When},
};

const SHOW_CREDITS: Operation<PageQuery, Raw> =
    page("/_/credits", "show_credits_page", "What the workspace has left, and what it was given.", Role::Member);
const GRANT: Operation<Form, Raw> =
    form("/_/credits/grants", "grant_credits_page", "Give the workspace credits.", Role::Owner);
const METER: Operation<Form, Raw> =
    form("/_/credits/metering", "update_credits_page", "Begin or end metering.", Role::Owner);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_CREDITS, show_credits);
    routes.mount(GRANT, grant);
    routes.mount(METER, meter);
}

/// What there is, as the API says.
#[derive(Clone, Debug, Deserialize)]
struct Credits {
    metered: bool,
    free: u64,
    held: u64,
    granted: u64,
    charged: u64,
}

/// A line of the ledger.
#[derive(Clone, Debug, Deserialize)]
struct Entry {
    id: String,
    kind: String,
    amount: i64,
    conversation_id: Option<String>,
    note: OrDash,
    created_at: When,
}

#[derive(Template)]
#[template(path = "workspace/credits.html")]
struct CreditsPage<'a> {
    frame: Frame,
    credits: Credits,
    entries: Vec<Entry>,
    pager: Pager,
    form: &'a Form,
    may_grant: bool,
    may_meter: bool,
    trouble: Trouble,
}

async fn credits_page(desk: &Desk<'_>, page: Option<u32>, form: &Form, trouble: Trouble) -> Result<Raw, Problem> {
    let credits = desk.get::<One<Credits>>(Ask::to("get_credits")).await?.data;
    let (entries, pager) = desk.list(Ask::to("list_credit_entries"), page, "/_/credits", &[]).await?;
    let (frame, status) = (desk.frame("Credits", "show_credits_page"), trouble.status);
    // Test data costs nothing: nothing is given or metered there.
    let is_live = !frame.is_test;
    let page = CreditsPage {
        frame,
        credits,
        entries,
        pager,
        form,
        may_grant: is_live && desk.may("grant_credits"),
        may_meter: is_live && desk.may("update_credits"),
        trouble,
    };
    Ok(desk.render(&page)?.with_status(status))
}

async fn show_credits(_: App, call: Call<PageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    credits_page(&desk, call.input.page, &Form::default(), Trouble::default()).await
}

async fn grant(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, form) = (Desk::open(&call).await?, &call.input);
    let body = json!({"amount": form.number("amount"), "note": form.some("note")});
    match desk.ask(Ask::to("grant_credits").body(&body).once(form.text("once"))).await {
        Ok(_) => Ok(Raw::see_other("/_/credits?done=granted")),
        Err(problem) => credits_page(&desk, None, form, Trouble::again(problem)?).await,
    }
}

async fn meter(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, metered) = (Desk::open(&call).await?, call.input.flag("metered"));
    match desk.ask(Ask::to("update_credits").body(&json!({ "metered": metered }))).await {
        Ok(_) => Ok(Raw::see_other(&format!("/_/credits?done={}", if metered { "metered" } else { "unmetered" }))),
        Err(problem) => credits_page(&desk, None, &call.input, Trouble::again(problem)?).await,
    }
}
