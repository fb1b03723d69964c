//! The form of a contact.

use access::Role;
use ambient::ContactId;
use api::App;
use askama::Template;
use gate::{Ask, Call, Nothing, Operation, Problem, Raw, Routes};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Contact;
use crate::{
    Form,
    desk::Desk,
    form,
    frame::Frame,
    page,
    show::{One, Trouble},
};

const SHOW_NEW: Operation<Nothing, Raw> =
    page("/_/contacts/new", "show_new_contact_page", "The form of a new contact.", Role::Admin);
const CREATE: Operation<Form, Raw> = form("/_/contacts", "create_contact_page", "Create a contact.", Role::Admin);
const SHOW_EDIT: Operation<Nothing, Raw> =
    page("/_/contacts/{id}/edit", "show_edit_contact_page", "The form of a contact.", Role::Admin);
const UPDATE: Operation<Form, Raw> = form("/_/contacts/{id}", "update_contact_page", "Change a contact.", Role::Admin);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_NEW, show_new);
    routes.mount(CREATE, create);
    routes.mount(SHOW_EDIT, show_edit);
    routes.mount(UPDATE, update);
}

/// What is in the fields.
#[derive(Default)]
struct Fields {
    name: String,
    email: String,
    phone: String,
    external_id: String,
    tags: String,
    custom_fields: String,
}

impl Fields {
    fn of(contact: &Contact) -> Self {
        let custom = if contact.custom_fields.is_empty() {
            String::new()
        } else {
            serde_json::to_string_pretty(&contact.custom_fields).unwrap_or_default()
        };
        Self {
            name: contact.name.text().to_owned(),
            email: contact.email.text().to_owned(),
            phone: contact.phone.text().to_owned(),
            external_id: contact.external_id.text().to_owned(),
            tags: contact.tags.join(", "),
            custom_fields: custom,
        }
    }

    fn sent(form: &Form) -> Self {
        let own = |name| form.text(name).to_owned();
        Self {
            name: own("name"),
            email: own("email"),
            phone: own("phone"),
            external_id: own("external_id"),
            tags: own("tags"),
            custom_fields: own("custom_fields"),
        }
    }
}

/// What the form says, for the API; a field that is empty is none.
fn body(form: &Form, is_new: bool) -> Result<Value, Problem> {
    let mut body = Map::new();
    for name in ["name", "email", "phone", "external_id"] {
        match form.some(name) {
            Some(text) => body.insert(name.to_owned(), json!(text)),
            None if is_new => None,
            None => body.insert(name.to_owned(), Value::Null),
        };
    }
    body.insert("tags".to_owned(), json!(form.lines("tags")));
    let custom = match form.some("custom_fields") {
        None => Map::new(),
        Some(text) => serde_json::from_str::<Map<String, Value>>(text).map_err(|_| {
            Problem::invalid_field("custom_fields", "must be a JSON object, such as {\"plan\": \"pro\"}")
        })?,
    };
    body.insert("custom_fields".to_owned(), Value::Object(custom));
    Ok(Value::Object(body))
}

#[derive(Template)]
#[template(path = "contacts/form.html")]
struct FormPage {
    frame: Frame,
    action: String,
    back: String,
    fields: Fields,
    trouble: Trouble,
    is_new: bool,
}

fn new_page(desk: &Desk<'_>, fields: Fields, trouble: Trouble) -> Result<Raw, Problem> {
    let (frame, action) = (desk.frame("New contact", "show_contacts_page"), "/_/contacts".to_owned());
    let (back, status) = (action.clone(), trouble.status);
    Ok(desk.render(&FormPage { frame, action, back, fields, trouble, is_new: true })?.with_status(status))
}

fn edit_page(desk: &Desk<'_>, id: ContactId, fields: Fields, trouble: Trouble) -> Result<Raw, Problem> {
    let (frame, action) = (desk.frame("Change a contact", "show_contacts_page"), format!("/_/contacts/{id}"));
    let (back, status) = (action.clone(), trouble.status);
    Ok(desk.render(&FormPage { frame, action, back, fields, trouble, is_new: false })?.with_status(status))
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

async fn show_new(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    new_page(&Desk::open(&call).await?, Fields::default(), Trouble::default())
}

async fn create(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let made = match body(&call.input, true) {
        Ok(body) => {
            let ask = Ask::to("create_contact").body(&body).once(call.input.text("once"));
            desk.get::<One<Made>>(ask).await
        }
        Err(problem) => Err(problem),
    };
    match made {
        Ok(made) => Ok(Raw::see_other(&format!("/_/contacts/{}?done=created", made.data.id))),
        Err(problem) => new_page(&desk, Fields::sent(&call.input), Trouble::again(problem)?),
    }
}

async fn show_edit(_: App, call: Call<Nothing>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<ContactId>("id")?);
    let contact = desk.get::<One<Contact>>(Ask::to("get_contact").at("id", id)).await?.data;
    edit_page(&desk, id, Fields::of(&contact), Trouble::default())
}

async fn update(_: App, call: Call<Form>) -> Result<Raw, Problem> {
    let (desk, id) = (Desk::open(&call).await?, call.id::<ContactId>("id")?);
    let changed = match body(&call.input, false) {
        Ok(body) => desk.ask(Ask::to("update_contact").at("id", id).body(&body)).await,
        Err(problem) => Err(problem),
    };
    match changed {
        Ok(_) => Ok(Raw::see_other(&format!("/_/contacts/{id}?done=saved"))),
        Err(problem) => edit_page(&desk, id, Fields::sent(&call.input), Trouble::again(problem)?),
    }
}
