//! Tools as their owners write them.

use std::collections::{BTreeMap, HashSet};

use ambient::ConnectionId;
use outbound::{Client, Method, check_header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fill;

/// The most tools of one loop.
pub const MAX_TOOLS: usize = 32;
/// The most bytes of all of them, as JSON.
const MAX_BYTES: usize = 128 * 1024;
const MAX_DESCRIPTION: usize = 1024;
const MAX_PARAMETERS: usize = 16 * 1024;
const MAX_URL: usize = 2048;
const MAX_HEADERS: usize = 16;
const MAX_ALLOWED: usize = 64;
const MAX_ALLOWED_NAME: usize = 128;

/// Something that a bot may call.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Tool {
    /// A request to one address.
    Http(HttpTool),
    /// The tools of an MCP server, over streamable HTTP.
    Mcp(McpTool),
}

/// A request to one address. The model reads it as `http__` and its name.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpTool {
    /// What the model calls it: letters, digits, `_` and `-`.
    #[schemars(length(min = 1, max = 48), regex(pattern = r"^[A-Za-z0-9_-]{1,48}$"))]
    pub name: String,
    /// What it does, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// What its arguments are: a JSON Schema of an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
    /// How it is called; `GET` by default. Arguments without a place in the address go into the query of `GET` and
    /// `DELETE`, and into the JSON body of the others.
    #[serde(default)]
    pub method: HttpMethod,
    /// Where it is, with places such as `{city}` that arguments fill.
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,
    /// Headers that are no secrets; those belong into a connection.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub headers: BTreeMap<String, String>,
    /// Whose headers go along: a connection of the address's origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionId>,
    /// How long one call may take, in seconds.
    #[serde(default = "call_seconds")]
    #[schemars(range(min = 1, max = 120))]
    pub timeout_seconds: u32,
}

/// The tools of an MCP server. The model reads each as `mcp1__` and its name, with the number of the server.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpTool {
    /// Where the server is.
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,
    /// Whose headers go along: a connection of the server's origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionId>,
    /// Which of its tools may be called; all of them by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    pub allow: Option<Vec<String>>,
    /// How long one call may take, in seconds.
    #[serde(default = "call_seconds")]
    #[schemars(range(min = 1, max = 120))]
    pub timeout_seconds: u32,
}

/// How an address is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// Reads.
    #[default]
    Get,
    /// Makes something.
    Post,
    /// Replaces something.
    Put,
    /// Changes something.
    Patch,
    /// Deletes something.
    Delete,
}

impl HttpMethod {
    pub(crate) const fn to_wire(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }

    /// Whether arguments go into a body.
    pub(crate) const fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

const fn call_seconds() -> u32 {
    30
}

impl Tool {
    /// Whose headers go along.
    #[must_use]
    pub fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Http(tool) => tool.connection,
            Self::Mcp(tool) => tool.connection,
        }
    }
}

type Faults = Vec<(String, String)>;

/// What is wrong with tools, as field and sentence.
pub(crate) fn check(tools: &[Tool], client: &Client) -> Faults {
    let mut faults = Faults::new();
    if tools.len() > MAX_TOOLS {
        return vec![("tools".to_owned(), "must be at most 32".to_owned())];
    }
    let size = serde_json::to_string(tools).map_or(usize::MAX, |text| text.len());
    if size > MAX_BYTES {
        return vec![("tools".to_owned(), "must be at most 128 KiB, written as JSON".to_owned())];
    }
    let mut names = HashSet::new();
    for (n, tool) in tools.iter().enumerate() {
        let mut add = |field: &str, sentence: String| faults.push((format!("tools[{n}].{field}"), sentence));
        match tool {
            Tool::Http(tool) => {
                check_http(tool, client, &mut add);
                if !names.insert(tool.name.clone()) {
                    add("name", "is the name of another tool".to_owned());
                }
            }
            Tool::Mcp(tool) => check_mcp(tool, client, &mut add),
        }
    }
    faults
}

fn check_http(tool: &HttpTool, client: &Client, add: &mut impl FnMut(&str, String)) {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if tool.name.is_empty() || tool.name.len() > 48 || !tool.name.bytes().all(is_name) {
        add("name", "must be 1 to 48 letters, digits, `_` and `-`".to_owned());
    }
    let description = tool.description.as_deref().unwrap_or_default();
    if description.chars().count() > MAX_DESCRIPTION || description.contains('\0') {
        add("description", "must be at most 1024 characters, without U+0000".to_owned());
    }
    if let Some(parameters) = &tool.parameters {
        let text = serde_json::to_string(parameters).unwrap_or_default();
        if text.len() > MAX_PARAMETERS || text.contains("\\u0000") {
            add("parameters", "must be at most 16 KiB, written as JSON, without U+0000".to_owned());
        }
        if parameters.get("type").is_some_and(|kind| kind != "object") {
            add("parameters", "must be the JSON Schema of an object".to_owned());
        }
    }
    match fill::check(&tool.url) {
        Ok(url) => check_url("url", &url, client, add),
        Err(sentence) => add("url", sentence),
    }
    if tool.headers.len() > MAX_HEADERS {
        add("headers", "must be at most 16".to_owned());
    }
    for (name, value) in &tool.headers {
        // Whoever reads the loop reads them.
        if is_secret(name) {
            add("headers", format!("{name} holds a secret: use a connection"));
        }
        if let Err(refusal) = check_header(name, value) {
            add("headers", refusal.to_string());
        }
    }
    check_seconds(tool.timeout_seconds, add);
}

/// Whether a header of this name is for what nobody else should read.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["authorization", "cookie", "secret", "token", "password", "api-key", "apikey", "api_key"]
        .iter()
        .any(|word| name.contains(word))
}

fn check_mcp(tool: &McpTool, client: &Client, add: &mut impl FnMut(&str, String)) {
    if cfg!(not(feature = "mcp")) {
        add("type", "this server was built without MCP".to_owned());
    }
    check_url("url", &tool.url, client, add);
    if let Some(allow) = &tool.allow {
        let fits = |name: &String| (1..=MAX_ALLOWED_NAME).contains(&name.chars().count()) && !name.contains('\0');
        if allow.is_empty() || allow.len() > MAX_ALLOWED || !allow.iter().all(fits) {
            add("allow", "must be 1 to 64 names of 1 to 128 characters".to_owned());
        }
    }
    check_seconds(tool.timeout_seconds, add);
}

fn check_url(field: &str, url: &str, client: &Client, add: &mut impl FnMut(&str, String)) {
    if url.len() > MAX_URL {
        add(field, "must be at most 2048 bytes".to_owned());
    } else if let Err(refusal) = client.check_url(url) {
        add(field, refusal.to_string());
    }
}

fn check_seconds(seconds: u32, add: &mut impl FnMut(&str, String)) {
    if !(1..=120).contains(&seconds) {
        add("timeout_seconds", "must be 1 to 120".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(tools: Value) -> Vec<String> {
        let tools: Vec<Tool> = serde_json::from_value(tools).unwrap();
        let client = Client::new(outbound::Policy::default()).unwrap();
        check(&tools, &client).into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn each_fault_has_its_place() {
        let right = json!({"type": "http", "name": "look", "url": "https://a.example/{id}"});
        assert!(faults(json!([right])).is_empty());
        let mut wrong = right.clone();
        wrong["url"] = json!("https://10.0.0.1/{id}");
        wrong["headers"] = json!({"host": "b"});
        wrong["timeout_seconds"] = json!(0);
        let want = ["tools[1].url", "tools[1].headers", "tools[1].timeout_seconds", "tools[1].name"];
        assert_eq!(faults(json!([right, wrong])), want);
        assert_eq!(
            faults(json!([{"type": "mcp", "url": "ftp://a.example", "allow": []}])).len(),
            2 + usize::from(cfg!(not(feature = "mcp")))
        );
        assert_eq!(faults(Value::Array(vec![right; 33])), ["tools"]);
    }

    #[test]
    fn unknown_members_are_refused_and_what_was_written_is_read_again() {
        let with = |member: &str| json!({"type": "http", "name": "a", "url": "https://a.example", member: 1});
        assert!(serde_json::from_value::<Tool>(with("retries")).is_err());
        let tool: Tool = serde_json::from_value(with("timeout_seconds")).unwrap();
        let again: Tool = serde_json::from_value(serde_json::to_value(&tool).unwrap()).unwrap();
        assert!(matches!(again, Tool::Http(tool) if tool.timeout_seconds == 1 && tool.method == HttpMethod::Get));
    }
}
