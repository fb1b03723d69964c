//! Workflows: designs with people in them, before they are deployed. What a definition may be is
//! `workflow`'s; here its faults get their places in the body, and the bots that it names are looked for.

use std::collections::BTreeSet;

use access::{Access, Limit, Role, Scope};
use ambient::{BotId, ConnectionId, Millis, WorkflowId};
use bytes::Bytes;
use gate::{Call, Data, Empty, FieldError, List, Nothing, Operation, PageQuery, Problem, Raw, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::{NewWorkflow as NewRecord, StoreError, WorkflowChange, WorkflowRecord, WorkflowVersionRecord, Workspace};
use workflow::Definition;

use crate::{App, input};

/// There is no scope of workflows: who may deploy designs what is deployed.
const READ: Access = Access::closed(Limit::Read).member(Role::Member).key(Scope::DeploymentsRead);
const WRITE: Access = Access::closed(Limit::Write).member(Role::Admin).key(Scope::DeploymentsWrite).audited();

pub(crate) const LIST_WORKFLOWS: Operation<PageQuery, List<Workflow>> = Operation::get(
    "/v1/workflows",
    "list_workflows",
    "List workflows without their definitions, the newest first.",
    READ,
);
pub(crate) const CREATE_WORKFLOW: Operation<NewWorkflow, Data<Workflow>> = Operation::post(
    "/v1/workflows",
    "create_workflow",
    "Create a workflow; each fault of its definition is answered with its place.",
    WRITE,
)
.creates();
pub(crate) const GET_WORKFLOW: Operation<Nothing, Data<Workflow>> =
    Operation::get("/v1/workflows/{id}", "get_workflow", "Read a workflow with its definition.", READ);
pub(crate) const UPDATE_WORKFLOW: Operation<WorkflowPatch, Data<Workflow>> = Operation::patch(
    "/v1/workflows/{id}",
    "update_workflow",
    "Change a workflow; another definition is another version, and deployments keep theirs.",
    WRITE,
);
pub(crate) const DELETE_WORKFLOW: Operation<Nothing, Empty> = Operation::delete(
    "/v1/workflows/{id}",
    "delete_workflow",
    "Delete a workflow whose deployments are all revoked; they and their runs stay readable.",
    WRITE,
)
.answers_nothing();
pub(crate) const LIST_WORKFLOW_VERSIONS: Operation<PageQuery, List<WorkflowVersion>> = Operation::get(
    "/v1/workflows/{id}/versions",
    "list_workflow_versions",
    "List what a workflow was, without the definitions, the newest first; the last 100 versions are kept.",
    READ,
);
pub(crate) const GET_WORKFLOW_VERSION: Operation<Nothing, Data<WorkflowVersion>> = Operation::get(
    "/v1/workflows/{id}/versions/{version}",
    "get_workflow_version",
    "Read a version of a workflow with its definition.",
    READ,
);
pub(crate) const GET_WORKFLOW_SCHEMA: Operation<Nothing, Raw> = Operation::get(
    "/api/v1/schema/workflow",
    "get_workflow_schema",
    "The JSON Schema of a workflow's definition.",
    Access::closed(Limit::Unlimited).public(),
);

/// What people call a workflow or a deployment: at most this many characters.
pub(crate) const MAX_NAME: usize = 100;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_WORKFLOWS, list_workflows);
    routes.mount(CREATE_WORKFLOW, create_workflow);
    routes.mount(GET_WORKFLOW, get_workflow);
    routes.mount(UPDATE_WORKFLOW, update_workflow);
    routes.mount(DELETE_WORKFLOW, delete_workflow);
    routes.mount(LIST_WORKFLOW_VERSIONS, list_workflow_versions);
    routes.mount(GET_WORKFLOW_VERSION, get_workflow_version);
    // Whoever asks costs a copy of a pointer.
    let schema = Bytes::from(workflow::schema().to_string());
    routes.mount(GET_WORKFLOW_SCHEMA, move |_, _| {
        let schema = schema.clone();
        async move { Ok(Raw::new("application/schema+json", schema)) }
    });
}

/// A workflow to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWorkflow {
    /// What people call it, 1 to 100 characters.
    #[schemars(length(min = 1, max = 100))]
    name: String,
    /// The design, as `GET /api/v1/schema/workflow` describes it.
    #[schemars(with = "serde_json::Map<String, Value>")]
    definition: Value,
}

/// What is to be different about a workflow; what is absent stays as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkflowPatch {
    /// What people call it, 1 to 100 characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    name: Option<String>,
    /// The whole design, as `GET /api/v1/schema/workflow` describes it.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    definition: Option<Value>,
}

/// A `null` is a definition that is none, not an absent one.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A design that can still be changed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Workflow {
    /// Its id.
    id: WorkflowId,
    /// What people call it.
    name: String,
    /// From 1; moves when the definition changes.
    version: u64,
    /// The design; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, Value>>")]
    definition: Option<Value>,
    /// When it was made.
    created_at: Millis,
    /// When it last changed.
    updated_at: Millis,
}

/// What a workflow was, or is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct WorkflowVersion {
    /// From 1.
    version: u64,
    /// The design; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, Value>>")]
    definition: Option<Value>,
    /// Since when the workflow was this.
    created_at: Millis,
}

impl From<WorkflowVersionRecord> for WorkflowVersion {
    fn from(record: WorkflowVersionRecord) -> Self {
        Self { version: record.version, definition: None, created_at: record.created_at }
    }
}

impl Workflow {
    fn listed(record: WorkflowRecord) -> Self {
        let WorkflowRecord { id, name, version, created_at, updated_at, .. } = record;
        Self { id, name, version, definition: None, created_at, updated_at }
    }

    fn whole(record: WorkflowRecord) -> Result<Self, Problem> {
        let definition = serde_json::from_str(&record.definition).map_err(Problem::unavailable)?;
        Ok(Self { definition: Some(definition), ..Self::listed(record) })
    }
}

/// Reads a definition that may be run in this workspace.
///
/// # Errors
/// 422 with every fault; its field is a JSON pointer (RFC 6901) into the body.
pub(crate) async fn check_definition(data: &Workspace, value: &Value) -> Result<Definition, Problem> {
    let definition = Definition::parse(value).map_err(|faults| {
        let named = |fault: workflow::Fault| match fault.node {
            Some(node) => FieldError::new(pointer(&fault.path), format!("in the node `{node}`: {}", fault.message)),
            None => FieldError::new(pointer(&fault.path), fault.message),
        };
        Problem::validation(faults.into_iter().map(named).collect())
    })?;
    let mut missing = Missing::default();
    for bot in definition.bots() {
        let found = match bot.parse::<BotId>() {
            Ok(id) => data.bot(id).await.map(|_| ()),
            Err(_) => Err(StoreError::NotFound),
        };
        if is_missing(found)? {
            missing.bots.insert(bot);
        }
    }
    for connection in definition.connections() {
        let found = match connection.parse::<ConnectionId>() {
            Ok(id) => data.connection(id).await.map(|_| ()),
            Err(_) => Err(StoreError::NotFound),
        };
        if is_missing(found)? {
            missing.connections.insert(connection);
        }
    }
    let mut errors = Vec::new();
    missing.find(value, &mut String::new(), &mut errors);
    input::done(errors)?;
    Ok(definition)
}

fn is_missing(found: Result<(), StoreError>) -> Result<bool, Problem> {
    match found {
        Ok(()) => Ok(false),
        Err(StoreError::NotFound) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn pointer(path: &str) -> String {
    format!("/definition{path}")
}

/// What a definition names and the workspace has not.
#[derive(Default)]
struct Missing<'a> {
    bots: BTreeSet<&'a str>,
    connections: BTreeSet<&'a str>,
}

impl Missing<'_> {
    /// What a node of this type names and is not there: its member, and what is wrong with it.
    fn of(&self, members: &Map<String, Value>) -> Option<(&'static str, &'static str)> {
        let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "Agent" if self.bots.contains(text("bot")) => {
                Some(("bot", "there is no such bot; name the id of one, `bot_…`"))
            }
            "Tool" if self.connections.contains(text("connection")) => {
                Some(("connection", "there is no such connection; name the id of one, `conn_…`"))
            }
            _ => None,
        }
    }

    /// Says of each node where it names what is not there. The definition was read: it is not deep, and a
    /// member beside a node's `type` is what it seems.
    fn find(&self, value: &Value, path: &mut String, errors: &mut Vec<FieldError>) {
        if self.bots.is_empty() && self.connections.is_empty() {
            return;
        }
        let here = path.len();
        match value {
            Value::Object(members) => {
                if let Some((member, wrong)) = self.of(members) {
                    let node = members.get("id").and_then(Value::as_str).unwrap_or_default();
                    let message = format!("in the node `{node}`: {wrong}");
                    errors.push(FieldError::new(pointer(&format!("{path}/{member}")), message));
                }
                for (name, inner) in members {
                    path.push('/');
                    path.push_str(&name.replace('~', "~0").replace('/', "~1"));
                    self.find(inner, path, errors);
                    path.truncate(here);
                }
            }
            Value::Array(values) => {
                for (n, inner) in values.iter().enumerate() {
                    path.push_str(&format!("/{n}"));
                    self.find(inner, path, errors);
                    path.truncate(here);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

async fn list_workflows(app: App, call: Call<PageQuery>) -> Result<List<Workflow>, Problem> {
    let request = call.input.request()?;
    let page = app.workspace(&call)?.workflows(request).await?;
    Ok(List::of(page, request, Workflow::listed))
}

async fn create_workflow(app: App, call: Call<NewWorkflow>) -> Result<Data<Workflow>, Problem> {
    let mut errors = Vec::new();
    input::name(&mut errors, &call.input.name, MAX_NAME);
    input::done(errors)?;
    let data = app.workspace(&call)?;
    check_definition(&data, &call.input.definition).await?;
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({ "name": call.input.name })));
    let new = NewRecord { name: call.input.name, definition: call.input.definition.to_string() };
    Ok(Data::new(Workflow::whole(data.create_workflow(new, audit).await?)?))
}

async fn get_workflow(app: App, call: Call<Nothing>) -> Result<Data<Workflow>, Problem> {
    let record = app.workspace(&call)?.workflow(call.id("id")?).await?;
    Ok(Data::new(Workflow::whole(record)?))
}

async fn update_workflow(app: App, call: Call<WorkflowPatch>) -> Result<Data<Workflow>, Problem> {
    let id = call.id::<WorkflowId>("id")?;
    let mut errors = Vec::new();
    if let Some(name) = &call.input.name {
        input::name(&mut errors, name, MAX_NAME);
    }
    input::done(errors)?;
    let data = app.workspace(&call)?;
    if let Some(definition) = &call.input.definition {
        // What is not there is not there, whatever is wrong with the rest.
        data.workflow(id).await?;
        check_definition(&data, definition).await?;
    }
    let sent = [("name", call.input.name.is_some()), ("definition", call.input.definition.is_some())];
    let fields: Vec<_> = sent.into_iter().filter_map(|(name, sent)| sent.then_some(name)).collect();
    let actor = call.actor();
    let audit = call.audit(&actor, Some(json!({ "fields": fields })));
    let WorkflowPatch { name, definition } = call.input;
    let change = WorkflowChange { name, definition: definition.map(|definition| definition.to_string()) };
    Ok(Data::new(Workflow::whole(data.update_workflow(id, change, audit).await?)?))
}

async fn list_workflow_versions(app: App, call: Call<PageQuery>) -> Result<List<WorkflowVersion>, Problem> {
    let (id, request) = (call.id("id")?, call.input.request()?);
    let data = app.workspace(&call)?;
    data.workflow(id).await?;
    let page = data.workflow_versions(id, request).await?;
    Ok(List::of(page, request, WorkflowVersion::from))
}

async fn get_workflow_version(app: App, call: Call<Nothing>) -> Result<Data<WorkflowVersion>, Problem> {
    let version: u32 = call.id("version")?;
    let record = app.workspace(&call)?.workflow_version(call.id("id")?, version.into()).await?;
    let definition = serde_json::from_str(&record.definition).map_err(Problem::unavailable)?;
    Ok(Data::new(WorkflowVersion { definition: Some(definition), ..WorkflowVersion::from(record) }))
}

async fn delete_workflow(app: App, call: Call<Nothing>) -> Result<Empty, Problem> {
    let (id, actor) = (call.id("id")?, call.actor());
    match app.workspace(&call)?.delete_workflow(id, call.audit(&actor, None)).await {
        Err(StoreError::Conflict("deployed")) => {
            Err(Problem::conflict("The workflow is deployed; revoke its deployments first"))
        }
        done => Ok(done.map(|()| Empty)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_what_it_names_is_found_by_its_place() {
        let definition = json!({
            "type": "Workflow", "id": "root", "children": [
                {"type": "Message", "id": "hello", "bot": "bot_gone", "connection": "conn_gone"},
                {"type": "Conditional", "id": "fork", "branches": [{"children": [
                    {"type": "Agent", "id": "helper", "bot": "bot_gone"},
                    {"type": "Agent", "id": "other", "bot": "bot_here"},
                    {"type": "Tool", "id": "call", "connection": "conn_gone"},
                    {"type": "Tool", "id": "plain"},
                ]}]},
            ],
        });
        let missing = Missing { bots: BTreeSet::from(["bot_gone"]), connections: BTreeSet::from(["conn_gone"]) };
        let mut errors = Vec::new();
        missing.find(&definition, &mut String::new(), &mut errors);
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        let branch = "/definition/children/1/branches/0/children";
        assert_eq!(fields, [format!("{branch}/0/bot"), format!("{branch}/2/connection")]);
        assert!(errors[0].message.contains("`helper`") && errors[1].message.contains("`call`"), "{errors:?}");
    }

    #[test]
    fn a_null_definition_is_no_absent_one() {
        let patch: WorkflowPatch = serde_json::from_value(json!({"definition": null})).unwrap();
        assert_eq!(patch.definition, Some(Value::Null));
        let patch: WorkflowPatch = serde_json::from_value(json!({})).unwrap();
        assert_eq!(patch.definition, None);
        assert!(serde_json::from_value::<NewWorkflow>(json!({"name": "a", "definition": {}, "version": 2})).is_err());
    }
}
