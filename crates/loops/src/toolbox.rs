//! The tools of one execution, under the names that a model reads, and the way from a name to its call.

use std::collections::HashMap;

use access::Tenant;
use chat::ToolCall;
use serde_json::{Map, Value, json};

use crate::{
    LoopError,
    cut::Outcome,
    loops::Inner,
    tool::{HttpTool, Tool},
};

/// The longest name that models take.
#[cfg_attr(not(feature = "mcp"), expect(dead_code, reason = "names of HTTP tools are checked when they are saved"))]
const MAX_NAME: usize = 64;
/// The most tools that a model is told of.
#[cfg(feature = "mcp")]
const MAX_TOLD: usize = 128;
/// The most bytes of what it is told of them.
#[cfg(feature = "mcp")]
const MAX_TOLD_BYTES: usize = 256 * 1024;

enum Handle {
    Http(HttpTool),
    #[cfg(feature = "mcp")]
    Mcp {
        server: usize,
        name: String,
    },
}

/// Open as long as its execution goes on.
#[derive(Default)]
pub(crate) struct Toolbox {
    handles: HashMap<String, Handle>,
    told: Vec<Value>,
    #[cfg(feature = "mcp")]
    servers: Vec<crate::mcp::Server>,
}

/// Why an execution cannot begin: a stable code, or our own outage.
pub(crate) enum NoTools {
    #[cfg_attr(not(feature = "mcp"), expect(dead_code, reason = "HTTP tools are there when they are called"))]
    Failed(&'static str),
    Unavailable(LoopError),
}

impl Toolbox {
    /// As OpenAI's tools.
    pub(crate) fn told(&self) -> &[Value] {
        &self.told
    }

    fn add(&mut self, name: String, description: &str, parameters: &Value, handle: Handle) {
        let function = json!({"name": name, "description": description, "parameters": parameters});
        self.told.push(json!({"type": "function", "function": function}));
        self.handles.insert(name, handle);
    }
}

impl Inner {
    /// Opens tools: servers are asked what they have.
    #[cfg_attr(not(feature = "mcp"), expect(clippy::unused_async, reason = "MCP servers are asked"))]
    pub(crate) async fn open_tools(&self, tenant: Tenant, tools: &[Tool]) -> Result<Toolbox, NoTools> {
        let mut toolbox = Toolbox::default();
        for tool in tools {
            match tool {
                Tool::Http(tool) => {
                    let nothing = || json!({"type": "object", "properties": {}});
                    let parameters = tool.parameters.clone().map_or_else(nothing, object);
                    let description = tool.description.as_deref().unwrap_or_default();
                    toolbox.add(format!("http__{}", tool.name), description, &parameters, Handle::Http(tool.clone()));
                }
                #[cfg(feature = "mcp")]
                Tool::Mcp(tool) => self.open_server(tenant, tool, &mut toolbox).await?,
                #[cfg(not(feature = "mcp"))]
                Tool::Mcp(_) => {
                    let cause = format!("{} has a tool that this build knows not", tenant.workspace);
                    return Err(NoTools::Unavailable(LoopError::unavailable(cause)));
                }
            }
        }
        Ok(toolbox)
    }

    #[cfg(feature = "mcp")]
    async fn open_server(
        &self,
        tenant: Tenant,
        tool: &crate::tool::McpTool,
        toolbox: &mut Toolbox,
    ) -> Result<(), NoTools> {
        let (server, found) = crate::mcp::Server::open(self, tenant, tool).await?;
        let index = toolbox.servers.len();
        toolbox.servers.push(server);
        let is_allowed = |name: &str| tool.allow.as_ref().is_none_or(|allow| allow.iter().any(|one| one == name));
        for one in found.into_iter().filter(|one| is_allowed(&one.name)) {
            if toolbox.told.len() >= MAX_TOLD {
                return Err(NoTools::Failed("mcp_too_many_tools"));
            }
            let name = unique(&toolbox.handles, &format!("mcp{}__{}", index + 1, one.name));
            let handle = Handle::Mcp { server: index, name: one.name };
            toolbox.add(name, &one.description, &object(one.parameters), handle);
        }
        let size: usize = toolbox.told.iter().map(|tool| tool.to_string().len()).sum();
        if size > MAX_TOLD_BYTES { Err(NoTools::Failed("mcp_too_many_tools")) } else { Ok(()) }
    }

    /// What came of a call; `key` is the same for the same call made again.
    ///
    /// # Errors
    /// When it is to be tried again: our own outage.
    pub(crate) async fn call_tool(
        &self,
        tenant: Tenant,
        toolbox: &Toolbox,
        call: &ToolCall,
        key: &str,
    ) -> Result<Outcome, LoopError> {
        match toolbox.handles.get(&call.name) {
            None => Ok(Outcome::error("There is no such tool.")),
            Some(Handle::Http(tool)) => self.call_http(tenant, tool, &call.arguments, key).await,
            #[cfg(feature = "mcp")]
            Some(Handle::Mcp { server, name }) => match toolbox.servers.get(*server) {
                None => Ok(Outcome::error("There is no such tool.")),
                Some(server) => Ok(server.call(name, &call.arguments, key).await),
            },
        }
    }
}

fn object(schema: Map<String, Value>) -> Value {
    let mut schema = schema;
    schema.entry("type").or_insert_with(|| "object".into());
    Value::Object(schema)
}

/// Of letters, digits, `_` and `-`, at most 64, and nobody else's.
#[cfg(feature = "mcp")]
fn unique(taken: &HashMap<String, Handle>, name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = name.chars().map(fits).take(MAX_NAME).collect();
    if !taken.contains_key(&name) {
        return name;
    }
    let numbered = |n: usize| {
        let number = format!("_{n}");
        let rest: String = name.chars().take(MAX_NAME - number.len()).collect();
        rest + &number
    };
    (2..).map(numbered).find(|name| !taken.contains_key(name)).unwrap_or(name)
}

#[cfg(all(test, feature = "mcp"))]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_models_take_and_each_is_one_tool_s() {
        let mut taken = HashMap::new();
        for want in ["mcp1__a_b", "mcp1__a_b_2", "mcp1__a_b_3"] {
            let name = unique(&taken, "mcp1__a.b");
            assert_eq!(name, want);
            taken.insert(name, Handle::Mcp { server: 0, name: String::new() });
        }
        let long = unique(&taken, &"ü".repeat(100));
        assert_eq!(long, "_".repeat(64));
        taken.insert(long, Handle::Mcp { server: 0, name: String::new() });
        assert_eq!(unique(&taken, &"_".repeat(100)).len(), 64);
    }
}
