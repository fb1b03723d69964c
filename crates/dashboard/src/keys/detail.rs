//! One key: what it is, how it is used, and what can be changed.

use access::Role;
use ambient::KeyId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, Problem, Raw, Routes};
use http::StatusCode;
use serde_json::Value;

use super::{Bars, Checked, Key, KeyFields, bars_of, check_origin, fields::changes};
use crate::{
    Form,
    desk::Desk,
    doers::Doer,
    form,
    frame::Frame,
    page,
    show::{One, Trouble, When},
};

const SHOW_API_KEY: Operation<Nothing, Raw> =
    page("/_/api-keys/{id}", "show_api_key_page", "An API key, how it is used, and its settings.", Role::Member);
const UPDATE_API_KEY: Operation<Form, Raw> =
    form("/_/api-keys/{id}", "update_api_key_page", "Change an API key.", Role::Owner);

/// Hours that are drawn: as many as are kept.
const HOURS: u32 = 192;

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_API_KEY, show_api_key);
    routes.mount(UPDATE_API_KEY, update_api_key);
}

#[derive(Template)]
#[template(path = "keys/detail.html")]
struct KeyPage {
    frame: Frame,
    key: Key,
    maker: Doer,
    bars: Bars,
    since: Option<When>,
    fields: KeyFields,
    checked: Option<Checked>,
    trouble: Trouble,
    may_change: bool,
    may_read_audit: bool,
}

/// A key of this workspace.
pub(super) async fn find_key(desk: &Desk<'_>, id: KeyId) -> Result<Key, Problem> {
    Ok(desk.get::<One<Key>>(Ask::to("get_api_key").at("id", id)).await?.data)
}

async fn key_page(desk: &Desk<'_>, key: Key, fields: KeyFields) -> Result<KeyPage, Problem> {
    let (mut bars, since) = bars_of(desk, &[&key.id], HOURS).await?;
    Ok(KeyPage {
        frame: desk.frame(key.name.clone(), "show_api_keys_page"),
        maker: Doer::of(desk, &key.created_by).await,
        bars: bars.remove(&key.id).unwrap_or_default(),
        since,
        fields,
        checked: None,
        trouble: Trouble::default(),
        may_change: desk.may("update_api_key"),
        may_read_audit: desk.may("list_audit_log"),
        key,
    })
}

async fn show_api_key(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let key = find_key(&desk, call.id("id")?).await?;
    let fields = KeyFields::of(&key);
    desk.render(&key_page(&desk, key, fields).await?)
}

async fn update_api_key(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let id = call.id::<KeyId>("id")?;
    let key = find_key(&desk, id).await?;
    let fields = KeyFields { kind: key.kind.clone(), ..KeyFields::sent(&call.input) };
    if call.input.flag("check") {
        let checked = check_origin(&desk, &call.input).await?;
        let mut page = key_page(&desk, key, fields).await?;
        match checked {
            Ok(checked) => page.checked = Some(checked),
            Err(trouble) => page.trouble = trouble,
        }
        return Ok(desk.render(&page)?.with_status(StatusCode::OK));
    }
    let changes = changes(&call.input, &key, When(call.request.now));
    let done = format!("/_/api-keys/{id}?done=saved");
    if changes.is_empty() {
        return Ok(Raw::see_other(&done));
    }
    match desk.ask(Ask::to("update_api_key").at("id", id).body(&Value::Object(changes))).await {
        Ok(_) => Ok(Raw::see_other(&done)),
        Err(problem) => {
            let trouble = Trouble::again(problem)?;
            let status = trouble.status;
            let page = KeyPage { trouble, ..key_page(&desk, key, fields).await? };
            Ok(desk.render(&page)?.with_status(status))
        }
    }
}
