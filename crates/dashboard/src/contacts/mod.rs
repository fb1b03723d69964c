//! Contacts: found, made, changed, put away, deleted; and imported from a file.

mod edit;
mod imports;

use access::{Access, Limit, Role};
use ambient::ContactId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Download, Nothing, Operation, Problem, Raw, Routes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    layout, page,
    show::{One, OrDash, Pager, Trouble, When, address},
};

const SHOW_CONTACTS: Operation<ContactsQuery, Raw> =
    page("/_/contacts", "show_contacts_page", "The list of contacts.", Role::Member);
const EXPORT_CONTACTS: Operation<ContactsQuery, Download> = Operation::get(
    "/_/contacts/export",
    "export_contacts_page",
    "The contacts of a list as a file.",
    Access::closed(Limit::Read).member(Role::Member),
)
.page(layout::refusal);
const SHOW_CONTACT: Operation<Nothing, Raw> = page("/_/contacts/{id}", "show_contact_page", "A contact.", Role::Member);
const ARCHIVE_CONTACT: Operation<Form, Raw> =
    form("/_/contacts/{id}/archive", "archive_contact_page", "Archive a contact, or take it back.", Role::Admin);
const DELETE_CONTACT: Operation<Form, Raw> =
    form("/_/contacts/{id}/delete", "delete_contact_page", "Delete a contact.", Role::Admin);

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_CONTACTS, show_contacts);
    routes.mount(EXPORT_CONTACTS, export_contacts);
    edit::mount(routes);
    imports::mount(routes);
    routes.mount(SHOW_CONTACT, show_contact);
    routes.mount(ARCHIVE_CONTACT, archive_contact);
    routes.mount(DELETE_CONTACT, delete_contact);
}

/// Which contacts are shown.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct ContactsQuery {
    /// Which page, from 1.
    page: Option<u32>,
    /// A part of a name, an address, a number or an external id.
    search: Option<String>,
    /// A label.
    tag: Option<String>,
    /// `true` for archived ones alone, `any` for them as well.
    archived: Option<String>,
    /// Of a file: `csv` or `ndjson`.
    format: Option<String>,
}

impl ContactsQuery {
    fn parameters(&self) -> [(&'static str, &str); 3] {
        [
            ("search", self.search.as_deref().unwrap_or_default()),
            ("tag", self.tag.as_deref().unwrap_or_default()),
            ("archived", self.archived.as_deref().unwrap_or_default()),
        ]
    }

    fn ask(&self, operation: &'static str) -> Ask {
        let named = self.parameters().into_iter();
        named.fold(Ask::to(operation), |ask, (name, value)| ask.query_if(name, Some(value)))
    }
}

/// A contact, as the API says.
#[derive(Clone, Debug, Deserialize)]
struct Contact {
    id: String,
    name: OrDash,
    email: OrDash,
    phone: OrDash,
    external_id: OrDash,
    tags: Vec<String>,
    custom_fields: Map<String, Value>,
    created_at: When,
    updated_at: When,
    archived_at: Option<When>,
}

impl Contact {
    /// What it is called: one of these it has.
    fn shown(&self) -> &str {
        let names = [&self.name, &self.email, &self.phone, &self.external_id];
        names.into_iter().find_map(|name| name.0.as_deref()).unwrap_or(&self.id)
    }

    /// Each label, and the list of those that have it.
    fn labels(&self) -> Vec<(&str, String)> {
        self.tags.iter().map(|tag| (tag.as_str(), address("/_/contacts", &[("tag", tag)]))).collect()
    }

    /// Custom fields as texts.
    fn custom(&self) -> Vec<(&str, String)> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.custom_fields.iter().map(|(name, value)| (name.as_str(), text(value))).collect()
    }
}

#[derive(Template)]
#[template(path = "contacts/list.html")]
struct ListPage<'a> {
    frame: Frame,
    search: &'a str,
    tag: &'a str,
    archived: &'a str,
    contacts: Vec<Contact>,
    pager: Pager,
    csv: String,
    ndjson: String,
    may_write: bool,
}

async fn show_contacts(_: App, call: Call<ContactsQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let parameters = call.input.parameters();
    let ask = call.input.ask("list_contacts");
    let (contacts, pager) = desk.list(ask, call.input.page, "/_/contacts", &parameters).await?;
    let frame = desk.frame("Contacts", "show_contacts_page");
    let file = |format| {
        let [search, tag, archived] = parameters;
        address("/_/contacts/export", &[search, tag, archived, ("format", format), ("seen", frame.half())])
    };
    let [(_, search), (_, tag), (_, archived)] = parameters;
    desk.render(&ListPage {
        csv: file("csv"),
        ndjson: file("ndjson"),
        frame,
        search,
        tag,
        archived,
        contacts,
        pager,
        may_write: desk.may("create_contact"),
    })
}

async fn export_contacts(_: App, call: Call<ContactsQuery>) -> Result<Download, Problem> {
    let desk = Desk::open(&call).await?;
    desk.file(call.input.ask("export_contacts").query_if("format", call.input.format.as_deref())).await
}

#[derive(Template)]
#[template(path = "contacts/contact.html")]
struct ContactPage {
    frame: Frame,
    contact: Contact,
    may_write: bool,
    may_audit: bool,
    trouble: Trouble,
}

async fn contact_page<I>(desk: &Desk<'_>, call: &Call<I>, trouble: Trouble) -> Result<Raw, Problem> {
    let id = call.id::<ContactId>("id")?;
    let contact = desk.get::<One<Contact>>(Ask::to("get_contact").at("id", id)).await?.data;
    let status = trouble.status;
    let page = ContactPage {
        frame: desk.frame(contact.shown(), "show_contacts_page"),
        may_write: desk.may("update_contact"),
        may_audit: desk.may("list_audit_log"),
        contact,
        trouble,
    };
    Ok(desk.render(&page)?.with_status(status))
}

async fn show_contact(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    contact_page(&desk, &call, Trouble::default()).await
}

async fn archive_contact(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<ContactId>("id")?);
    let archived = call.input.flag("archived");
    let ask = Ask::to("update_contact").at("id", id).body(&json!({ "archived": archived }));
    match desk.ask(ask).await {
        Ok(_) => {
            let done = if archived { "archived" } else { "restored" };
            Ok(Raw::see_other(&format!("/_/contacts/{id}?done={done}")))
        }
        Err(problem) => contact_page(&desk, &call, Trouble::again(problem)?).await,
    }
}

async fn delete_contact(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<ContactId>("id")?);
    desk.ask(Ask::to("delete_contact").at("id", id)).await?;
    Ok(Raw::see_other("/_/contacts?done=deleted"))
}
