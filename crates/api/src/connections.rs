//! Connections: the secrets that workflows' tools send along. Their rules (origins, headers) are `runs`'.

use std::collections::BTreeMap;

use ::runs::{ConnectionUpdate, NewConnection as NewRecord};
use access::{Access, Limit, Role, Scope};
use ambient::{ConnectionId, Millis};
use chat::{HEADER_MASK, Headers};
use gate::{Call, Data, Empty, List, Nothing, Operation, PageQuery, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{ConnectionRecord, StoreError};

use crate::{App, input, integrations::HeaderInput, problem::of_run};

/// Whoever uses connections may know which there are.
pub(crate) const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::IntegrationsRead);
const WRITE: Access = Access::closed(Limit::Write).member(Role::Admin).key(Scope::IntegrationsWrite).audited();

pub(crate) const LIST_CONNECTIONS: Operation<PageQuery, List<Connection>> = Operation::get(
    "/v1/connections",
    "list_connections",
    "List the connections that tools of workflows may use, the newest first.",
    READ,
);
pub(crate) const CREATE_CONNECTION: Operation<NewConnection, Data<Connection>> = Operation::post(
    "/v1/connections",
    "create_connection",
    "Make a connection: headers that tools send to one origin; their values are sealed and never shown.",
    WRITE,
)
.creates()
.dangerous();
pub(crate) const GET_CONNECTION: Operation<Nothing, Data<Connection>> =
    Operation::get("/v1/connections/{id}", "get_connection", "Read a connection, without the values.", READ);
pub(crate) const UPDATE_CONNECTION: Operation<ConnectionPatch, Data<Connection>> = Operation::patch(
    "/v1/connections/{id}",
    "update_connection",
    "Change a connection, for every call from now on. With another origin all headers must be sent again.",
    WRITE,
)
.dangerous();
pub(crate) const DELETE_CONNECTION: Operation<Nothing, Empty> = Operation::delete(
    "/v1/connections/{id}",
    "delete_connection",
    "Delete a connection; not while an agent loop or a deployment that is not revoked names it.",
    WRITE,
)
.answers_nothing();

/// The most characters of a name.
const MAX_NAME: usize = 100;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_CONNECTIONS, list_connections);
    routes.mount(CREATE_CONNECTION, create_connection);
    routes.mount(GET_CONNECTION, get_connection);
    routes.mount(UPDATE_CONNECTION, update_connection);
    routes.mount(DELETE_CONNECTION, delete_connection);
}

/// A connection to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewConnection {
    /// What people call it, 1 to 100 characters.
    #[schemars(length(min = 1, max = 100))]
    name: String,
    /// Where the headers may go, and nowhere else: `https://api.example.com`, with a port if it is not the usual one.
    origin: String,
    /// Sent with each call of a tool, such as `Authorization`: 1 to 20. They win over the tool's own.
    headers: HeaderInput,
}

/// What is to be different about a connection; what is absent stays as it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionPatch {
    /// What people call it, 1 to 100 characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    name: Option<String>,
    /// Where the headers may go; with another origin they must all be sent again.
    #[serde(default)]
    origin: Option<String>,
    /// All headers anew; a value that is sent back masked stays.
    #[serde(default)]
    headers: Option<HeaderInput>,
}

/// Headers with secrets for calls of tools to one origin.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Connection {
    /// Its id: a tool names it as `connection`.
    id: ConnectionId,
    /// What people call it.
    name: String,
    /// Where the headers may go.
    origin: String,
    /// Their names; values are masked.
    headers: BTreeMap<String, &'static str>,
    /// When it was made.
    created_at: Millis,
    /// When it last changed.
    updated_at: Millis,
}

impl From<ConnectionRecord> for Connection {
    fn from(record: ConnectionRecord) -> Self {
        Self {
            id: record.id,
            name: record.name,
            origin: record.origin,
            headers: record.header_names.into_iter().map(|name| (name, HEADER_MASK)).collect(),
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

fn check(name: Option<&String>, headers: Option<&HeaderInput>) -> Result<(), Problem> {
    let mut errors = Vec::new();
    if let Some(name) = name {
        input::name(&mut errors, name, MAX_NAME);
    }
    if let Some(headers) = headers {
        headers.check(&mut errors);
    }
    input::done(errors)
}

async fn list_connections(app: App, call: Call<PageQuery>) -> Result<List<Connection>, Problem> {
    let request = call.input.request()?;
    let page = app.workspace(&call)?.connections(request).await?;
    Ok(List::of(page, request, Connection::from))
}

async fn create_connection(app: App, call: Call<NewConnection>) -> Result<Data<Connection>, Problem> {
    let tenant = call.tenant()?;
    check(Some(&call.input.name), Some(&call.input.headers))?;
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({"name": call.input.name, "origin": call.input.origin})));
    let NewConnection { name, origin, headers } = call.input;
    if headers.has_mask() {
        return Err(Problem::invalid_field("headers", "must have their values, not the mask"));
    }
    let new = NewRecord { name, origin, headers: Headers::from(headers) };
    Ok(Data::new(app.runs().create_connection(tenant, new, audit).await.map_err(of_run)?.into()))
}

async fn get_connection(app: App, call: Call<Nothing>) -> Result<Data<Connection>, Problem> {
    Ok(Data::new(app.workspace(&call)?.connection(call.id("id")?).await?.into()))
}

async fn update_connection(app: App, call: Call<ConnectionPatch>) -> Result<Data<Connection>, Problem> {
    let (tenant, id) = (call.tenant()?, call.id::<ConnectionId>("id")?);
    check(call.input.name.as_ref(), call.input.headers.as_ref())?;
    let patch = &call.input;
    let sent =
        [("name", patch.name.is_some()), ("origin", patch.origin.is_some()), ("headers", patch.headers.is_some())];
    let fields: Vec<_> = sent.into_iter().filter_map(|(name, sent)| sent.then_some(name)).collect();
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({ "fields": fields })));
    let ConnectionPatch { name, origin, headers } = call.input;
    let change = ConnectionUpdate { name, origin, headers: headers.map(Headers::from) };
    let _turn = app.turn(id.0).await;
    Ok(Data::new(app.runs().update_connection(tenant, id, change, audit).await.map_err(of_run)?.into()))
}

async fn delete_connection(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let (id, actor) = (call.id("id")?, call.actor());
    match app.workspace(&call)?.delete_connection(id, call.audit(&actor, None)).await {
        Err(StoreError::Conflict("deployed")) => {
            Err(Problem::conflict("A deployment names this connection; revoke the deployment first"))
        }
        Err(StoreError::Conflict("agent_loop")) => {
            Err(Problem::conflict("An agent loop names this connection; take it out of the loop first"))
        }
        done => Ok(done.map(|()| Empty)?),
    }
}

#[cfg(test)]
mod tests {
    use ambient::Ulid;

    use super::*;

    #[test]
    fn values_are_masked_and_stay_out_of_debug() {
        let body = json!({"name": "a", "origin": "https://a.example", "headers": {"Authorization": "Bearer hunter2"}});
        let input: NewConnection = serde_json::from_value(body).unwrap();
        assert!(!format!("{input:?}").contains("hunter2"));
        let record = ConnectionRecord {
            id: ConnectionId(Ulid(1)),
            name: "a".to_owned(),
            origin: "https://a.example".to_owned(),
            header_names: vec!["authorization".to_owned()],
            headers_sealed: b"sealed".to_vec(),
            created_at: Millis(0),
            updated_at: Millis(0),
        };
        assert!(!format!("{record:?}").contains("sealed"));
        let view = serde_json::to_value(Connection::from(record)).unwrap();
        assert_eq!(view["headers"], json!({"authorization": HEADER_MASK}));
    }
}
