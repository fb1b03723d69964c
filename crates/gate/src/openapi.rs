//! OpenAPI 3.1 from the table: it cannot describe what is not mounted, nor miss what is.

use std::collections::BTreeSet;

use access::{Access, Role};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::{Method, Routes, Surface, routes::Row};

/// The document of every operation that `routes` holds.
///
/// `required_scopes` and `allowed_roles` of each operation are in `x-required-scopes` and
/// `x-allowed-roles` (seed S3 asks for both on every endpoint's page).
#[must_use]
pub fn document<S: Clone + Send + Sync + 'static>(routes: &Routes<S>, version: &str, server: &str) -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let mut paths = Map::new();
    for row in &routes.rows {
        let input = (row.input)(&mut generator).map(schemars::Schema::to_value);
        let output = (row.output)(&mut generator).map(schemars::Schema::to_value);
        let definitions = generator.definitions();
        let operation = operation(row, input, output, definitions);
        let path = paths.entry(row.meta.path).or_insert_with(|| json!({}));
        path[row.meta.method.as_str().to_ascii_lowercase()] = operation;
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Error".to_owned(), error_schema());
    schemas.insert("DropInError".to_owned(), drop_in_error_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Chatelaine",
            "version": version,
            "description": "Credentials for every audience of a chat or AI product, and the conversation behind them.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearerAuth": {"type": "http", "scheme": "bearer", "description": "An API key or a token"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key"},
                "cookieAuth": {
                    "type": "apiKey", "in": "cookie", "name": crate::SignInCookie::of(server).name(),
                    "description": "A person who is signed in; sees live data, or with `X-Environment: test` test data. \
                        What changes something must come from a page of this server",
                },
                "widgetApiKey": {
                    "type": "apiKey", "in": "header", "name": "X-Widget-Api-Key",
                    "description": "`WIDGET_API_KEY` or a widget key, where `X-API-Key` is not sent",
                },
                "adminApiKey": {
                    "type": "apiKey", "in": "header", "name": "X-Admin-Api-Key", "description": "`ADMIN_API_KEY`",
                },
            },
        },
    })
}

fn operation(row: &Row, input: Option<Value>, output: Option<Value>, definitions: &Map<String, Value>) -> Value {
    let meta = &row.meta;
    let mut parameters: Vec<Value> = meta
        .path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}}))
        .collect();
    let mut out = json!({
        "operationId": meta.id,
        "summary": meta.summary,
        "tags": [tag(meta.path)],
        "x-required-scopes": meta.access.required_scope().map(|scope| vec![scope.as_str()]).unwrap_or_default(),
        "x-allowed-roles": allowed_roles(&meta.access),
        "x-admits": admits(&meta.access),
    });
    if meta.dangerous {
        out["x-confirmation-minutes"] = json!(15);
        let but = meta.switch.map_or_else(String::new, |field| {
            format!(" A body of `{{\"{field}\": false}}` and nothing else asks for none: turning off must not wait.")
        });
        out["description"] = json!(format!(
            "A person must have said the password, or a code, within the last 15 minutes (`POST /v1/me/confirm`); \
             else 403 `CONFIRMATION_REQUIRED`.{but}"
        ));
    }
    out["security"] = match meta.surface {
        _ if meta.access.is_public() => json!([]),
        // Or nothing yet.
        _ if meta.access.admits_first_message() => json!([{"bearerAuth": []}, {}]),
        Surface::House if meta.access.required_role().is_some() && meta.access.required_scope().is_none() => {
            json!([{"cookieAuth": []}])
        }
        Surface::House if meta.access.admits_members() => {
            json!([{"bearerAuth": []}, {"apiKey": []}, {"cookieAuth": []}])
        }
        Surface::House => json!([{"bearerAuth": []}, {"apiKey": []}]),
        Surface::DropIn if meta.access.admits_static_admin() => json!([{"adminApiKey": []}]),
        Surface::DropIn => json!([{"apiKey": []}, {"widgetApiKey": []}]),
    };
    if meta.raw {
        let types = json!({"application/json": {}, "application/x-www-form-urlencoded": {}});
        out["requestBody"] = json!({ "content": types });
        // A list that is read as it was signed: no form can be one.
        let list = input.as_ref().filter(|schema| target(schema, definitions)["type"] == "array");
        if let Some(schema) = list {
            out["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": schema}}});
        }
    }
    let after = output.as_ref().and_then(|output| pattern_of_rows(output, definitions));
    out["responses"] = responses(row, output);
    if let Some(rule) = &meta.upload {
        let kinds = rule.media_types.iter().map(|kind| ((*kind).to_owned(), json!({})));
        out["requestBody"] = json!({"required": true, "content": kinds.collect::<Map<_, _>>()});
        parameters.extend(input.iter().flat_map(|schema| properties(schema, definitions)).map(query_parameter));
    }
    if meta.method.has_body() {
        if let Some(schema) =
            input.filter(|_| meta.upload.is_none()).filter(|schema| !properties(schema, definitions).is_empty())
        {
            let media_type = if meta.form { "application/x-www-form-urlencoded" } else { "application/json" };
            let required = is_required(&schema, definitions);
            out["requestBody"] = json!({"required": required, "content": {media_type: {"schema": schema}}});
        } else if meta.form {
            // Which fields a form has is for the run to say.
            let schema = json!({"type": "object"});
            out["requestBody"] =
                json!({"required": true, "content": {"application/x-www-form-urlencoded": {"schema": schema}}});
        }
        if meta.creates {
            parameters.push(json!({
                "name": "Idempotency-Key", "in": "header", "required": false,
                "description": "The same key and body get the same answer for 24 h",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
            }));
        }
    } else if let Some(schema) = input {
        for (name, mut schema) in properties(&schema, definitions) {
            if let (true, Some(pattern)) = (name == "after", &after) {
                schema["pattern"] = json!(pattern);
            }
            parameters.push(query_parameter((name, schema)));
        }
    }
    if !parameters.is_empty() {
        out["parameters"] = Value::Array(parameters);
    }
    out
}

/// What a reference names; another schema is itself.
fn target<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    name.and_then(|name| definitions.get(name)).unwrap_or(schema)
}

/// The members of an object schema, also behind a reference.
fn properties(schema: &Value, definitions: &Map<String, Value>) -> Map<String, Value> {
    target(schema, definitions)["properties"].as_object().cloned().unwrap_or_default()
}

/// Whether nothing at all would be refused.
fn is_required(schema: &Value, definitions: &Map<String, Value>) -> bool {
    target(schema, definitions)["required"].as_array().is_some_and(|names| !names.is_empty())
}

/// What the ids of a list's rows look like: `after` is one of them.
fn pattern_of_rows(output: &Value, definitions: &Map<String, Value>) -> Option<String> {
    let rows = properties(output, definitions).remove("data")?;
    let id = properties(rows.get("items")?, definitions).remove("id")?;
    id["pattern"].as_str().map(str::to_owned)
}

/// A text that holds JSON is described by what is in it.
fn query_parameter((name, mut schema): (String, Value)) -> Value {
    without_null(&mut schema);
    match schema.get_mut("contentSchema").map(Value::take) {
        Some(inner) => {
            json!({"name": name, "in": "query", "required": false, "description": schema["description"],
                "content": {"application/json": {"schema": inner}}})
        }
        None => json!({"name": name, "in": "query", "required": false, "schema": schema}),
    }
}

/// A query has no null: what is optional is absent.
fn without_null(schema: &mut Value) {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    if let Some(choices) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        choices.retain(|choice| choice["type"] != "null");
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|value| !value.is_null());
    }
}

fn responses(row: &Row, output: Option<Value>) -> Value {
    let meta = &row.meta;
    let mut out = Map::new();
    let mut success = json!({"description": "Success"});
    let media_type = match (meta.surface, row.media_type) {
        // The same stream, as lines.
        (Surface::DropIn, Some("text/event-stream")) => Some("application/x-ndjson"),
        (_, media_type) => media_type,
    };
    if let Some(media_type) = media_type {
        success["content"] =
            json!({ media_type: output.map_or_else(|| json!({}), |schema| json!({"schema": schema})) });
    }
    out.insert(meta.status.to_string(), success);
    let error = match meta.surface {
        Surface::House => "#/components/schemas/Error",
        Surface::DropIn => "#/components/schemas/DropInError",
    };
    let mut refusals = BTreeSet::from([400]);
    // What is open to all still refuses a credential that is none.
    if !(meta.access.is_public() && meta.access.limit() == access::Limit::Unlimited) {
        refusals.extend([401, 403]);
    }
    // What a body names may be absent, too.
    if meta.path.contains('{') || meta.method.has_body() {
        refusals.insert(404);
    }
    if meta.method.has_body() {
        refusals.extend([408, 413]);
    }
    match meta.surface {
        Surface::House if meta.method.has_body() => refusals.extend([415, 422]),
        Surface::DropIn if meta.method.has_body() => refusals.extend([402, 500]),
        Surface::House | Surface::DropIn => {}
    }
    if meta.method != Method::Get {
        refusals.insert(409);
    }
    if meta.access.limit() != access::Limit::Unlimited {
        refusals.insert(429);
    }
    refusals.insert(503);
    for status in refusals {
        let description = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        out.insert(
            status.to_string(),
            json!({
                "description": description.unwrap_or("Refused"),
                "content": {"application/json": {"schema": {"$ref": error}}},
            }),
        );
    }
    Value::Object(out)
}

fn allowed_roles(access: &Access) -> Vec<&'static str> {
    let Some(least) = access.required_role() else { return Vec::new() };
    Role::ALL.into_iter().filter(|role| *role >= least).map(Role::as_str).collect()
}

fn admits(access: &Access) -> Vec<&'static str> {
    let doors = [
        (access.is_public(), "anyone"),
        (access.admits_any_credential(), "any_credential"),
        (access.required_scope().is_some(), "secret_key"),
        (access.admits_widgets(), "widget_key"),
        (access.admits_deployments(), "deployment_key"),
        (access.admits_sessions(), "session_token"),
        (access.admits_participants(), "participant_token"),
        (access.admits_first_message(), "first_message"),
        (access.admits_static_widget(), "static_widget_key"),
        (access.admits_static_admin(), "static_admin_key"),
        (access.required_role().is_some(), "member"),
    ];
    doors.into_iter().filter_map(|(open, name)| open.then_some(name)).collect()
}

/// The first word of the path after the version.
fn tag(path: &str) -> &str {
    path.trim_start_matches("/api")
        .trim_start_matches("/v1")
        .trim_start_matches('/')
        .split('/')
        .next()
        .filter(|tag| !tag.is_empty())
        .unwrap_or("system")
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["code", "message", "request_id"],
            "properties": {
                "code": {"type": "string", "description": "Stable; programs decide by it"},
                "message": {"type": "string"},
                "required_scope": {"type": "string"},
                "required_role": {"type": "string"},
                "request_id": {"type": "string"},
                "challenge": {"type": "object", "description": "With `CHALLENGE_REQUIRED`: what is to be solved"},
                "errors": {"type": "array", "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                }},
            },
        }},
    })
}

fn drop_in_error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string", "description": "What clients of this surface know"}},
    })
}
