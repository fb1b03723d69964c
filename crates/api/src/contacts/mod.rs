//! Contacts: the customer's customers.

mod export;
mod import;
mod query;
mod view;

use access::{Access, Limit, Role, Scope};
use ambient::ContactId;
use gate::{Call, Data, Empty, List, Nothing, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use store::StoreError;

use crate::App;
use query::{ContactQuery, FilterQuery};
use view::{Contact, ContactPatch, NewContact};

const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::ContactsRead);
const WRITE: Access = Access::closed(Limit::Write).member(Role::Admin).key(Scope::ContactsWrite).audited();

pub(crate) const LIST_CONTACTS: Operation<ContactQuery, List<Contact>> =
    Operation::get("/v1/contacts", "list_contacts", "List contacts, the newest first.", READ);
pub(crate) const COUNT_CONTACTS: Operation<FilterQuery, Data<Count>> =
    Operation::get("/v1/contacts/count", "count_contacts", "Count contacts.", READ);
pub(crate) const CREATE_CONTACT: Operation<NewContact, Data<Contact>> = Operation::post(
    "/v1/contacts",
    "create_contact",
    "Create a contact; it has a name, an email address, a phone number or an external id.",
    WRITE,
)
.creates();
pub(crate) const GET_CONTACT: Operation<Nothing, Data<Contact>> =
    Operation::get("/v1/contacts/{id}", "get_contact", "Read a contact.", READ);
pub(crate) const UPDATE_CONTACT: Operation<ContactPatch, Data<Contact>> =
    Operation::patch("/v1/contacts/{id}", "update_contact", "Change a contact, archive it or take it back.", WRITE);
pub(crate) const DELETE_CONTACT: Operation<Nothing, Empty> =
    Operation::delete("/v1/contacts/{id}", "delete_contact", "Delete a contact; nothing of it is kept.", WRITE)
        .answers_nothing();

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_CONTACTS, list_contacts);
    routes.mount(CREATE_CONTACT, create_contact);
    routes.mount(COUNT_CONTACTS, count_contacts);
    export::mount(routes);
    import::mount(routes);
    routes.mount(GET_CONTACT, get_contact);
    routes.mount(UPDATE_CONTACT, update_contact);
    routes.mount(DELETE_CONTACT, delete_contact);
}

/// How many there are.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct Count {
    /// Contacts.
    count: u64,
}

async fn list_contacts(app: App, call: Call<ContactQuery>) -> Result<List<Contact>, Problem> {
    let request = call.input.page.request()?;
    let filter = call.input.filter.filter()?;
    let data = app.workspace(&call)?;
    let place = app.contact_searches().take(data.tenant().workspace).await?;
    let found = place.held_for(async move { data.contacts(&filter, request).await }).await??;
    Ok(List::of(found, request, Contact::from))
}

async fn count_contacts(app: App, call: Call<FilterQuery>) -> Result<Data<Count>, Problem> {
    let filter = call.input.filter()?;
    let data = app.workspace(&call)?;
    let place = app.contact_searches().take(data.tenant().workspace).await?;
    let count = place.held_for(async move { data.contact_count(&filter).await }).await??;
    Ok(Data::new(Count { count }))
}

async fn create_contact(app: App, call: Call<NewContact>) -> Result<Data<Contact>, Problem> {
    let (data, actor) = (app.workspace(&call)?, call.actor());
    // What a contact is called is its own, and gone when it is deleted: the log knows its id alone.
    let audit = call.audit(&actor, None);
    let new = call.input.checked()?;
    Ok(Data::new(data.create_contact(new, audit).await.map_err(refusal)?.into()))
}

async fn get_contact(app: App, call: Call<Nothing>) -> Result<Data<Contact>, Problem> {
    Ok(Data::new(app.workspace(&call)?.contact(call.id("id")?).await?.into()))
}

async fn update_contact(app: App, call: Call<ContactPatch>) -> Result<Data<Contact>, Problem> {
    let id = call.id::<ContactId>("id")?;
    let (data, actor) = (app.workspace(&call)?, call.actor());
    let audit = call.audit(&actor, Some(json!({ "fields": call.input.names() })));
    let change = call.input.checked()?;
    Ok(Data::new(data.update_contact(id, change, audit).await.map_err(refusal)?.into()))
}

async fn delete_contact(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let actor = call.actor();
    app.workspace(&call)?.delete_contact(call.id("id")?, call.audit(&actor, None)).await?;
    Ok(Empty)
}

fn refusal(error: StoreError) -> Problem {
    match error {
        StoreError::Conflict("external_id") => Problem::conflict("Another contact has this `external_id`"),
        StoreError::Conflict("nameless") => {
            Problem::invalid_field("name", "must stay, or an email address, a phone number or an external id must")
        }
        other => other.into(),
    }
}
