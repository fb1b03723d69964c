//! Calls of HTTP tools: through the guarded client, without redirects, bounded in time and size.

use std::time::Duration;

use access::Tenant;
use outbound::{Bytes, OutboundError, Request, Response, check_header};
use runs::Opened;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::{
    LoopError,
    cut::{MAX_RESULT, Outcome},
    fill,
    loops::Inner,
    tool::HttpTool,
};

/// Tells a tool which calls are the same one, made again.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Read beyond what is kept, so that a secret at the edge is found whole before it is cut.
const SLACK: usize = 16 * 1024;

impl Inner {
    /// What came of a call; `key` is the same for the same call made again.
    ///
    /// # Errors
    /// When it is to be tried again: our own outage.
    pub(crate) async fn call_http(
        &self,
        tenant: Tenant,
        tool: &HttpTool,
        arguments: &str,
        key: &str,
    ) -> Result<Outcome, LoopError> {
        let (url, body) = match prepare(tool, arguments) {
            Ok(prepared) => prepared,
            Err(sentence) => return Ok(Outcome::error(sentence)),
        };
        let url = match self.parts.outbound.check_url(url.as_str()) {
            Ok(url) => url,
            Err(refusal) => return Ok(Outcome::error(refusal.to_string())),
        };
        let opened = match tool.connection {
            None => None,
            Some(id) => match self.parts.runs.open_connection(tenant, &id.to_string(), &url).await {
                Err(error) => return Err(LoopError::unavailable(error)),
                Ok(Err(code)) => return Ok(Outcome::error(of_connection(code))),
                Ok(Ok(opened)) => Some(opened),
            },
        };
        let mut headers = Vec::new();
        for (name, value) in &tool.headers {
            let Ok(header) = check_header(name, value) else {
                return Ok(Outcome::error(format!("The header {name} cannot be sent.")));
            };
            headers.push(header);
        }
        if let Some(opened) = &opened {
            opened.join(&mut headers);
        }
        if headers.iter().all(|(name, _)| name.as_str() != IDEMPOTENCY_KEY) {
            headers.extend(check_header(IDEMPOTENCY_KEY, key));
        }
        let limit = Duration::from_secs(tool.timeout_seconds.into());
        let request = Request { url, headers, body, timeout: limit };
        let asking = async {
            let response = self.parts.outbound.call(tool.method.to_wire(), request).await?;
            let status = response.status;
            Ok::<_, OutboundError>((status, read(response).await?))
        };
        Ok(match timeout(limit, asking).await {
            Err(_) => Outcome::error(sentence(&OutboundError::Timeout)),
            Ok(Err(error)) => Outcome::error(sentence(&error)),
            Ok(Ok((status, body))) => of_answer(status, &body, opened.as_ref()),
        })
    }
}

fn prepare(tool: &HttpTool, arguments: &str) -> Result<(outbound::Url, Bytes), String> {
    let mut arguments = read_arguments(arguments)?;
    let mut url = fill::fill(&tool.url, &mut arguments)?;
    let declared = tool.parameters.as_ref().and_then(|schema| schema.get("properties")?.as_object());
    if let Some(name) = arguments.keys().find(|name| declared.is_some_and(|names| !names.contains_key(*name))) {
        return Err(format!("The tool has no argument `{name}`."));
    }
    if tool.method.has_body() {
        return Ok((url, Bytes::from(Value::Object(arguments).to_string())));
    }
    // A receiver that takes the last of two would be told something else than the tool's owner has written.
    if let Some((name, _)) = url.query_pairs().find(|(name, _)| arguments.contains_key(name.as_ref())) {
        return Err(format!("The argument `{name}` is not for you to choose."));
    }
    if !arguments.is_empty() {
        let mut query = url.query_pairs_mut();
        for (name, value) in &arguments {
            match value {
                Value::Null => {}
                Value::String(text) => _ = query.append_pair(name, text),
                other => _ = query.append_pair(name, &other.to_string()),
            }
        }
    }
    Ok((url, Bytes::new()))
}

/// An object; none where the model wrote nothing.
pub(crate) fn read_arguments(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        _ if text.trim().is_empty() => Ok(Map::new()),
        _ => Err("The arguments are not a JSON object.".to_owned()),
    }
}

/// As far as it is kept. What comes then is not waited for.
async fn read(mut response: Response) -> Result<Vec<u8>, OutboundError> {
    let mut all = Vec::new();
    while all.len() <= MAX_RESULT + SLACK {
        let Some(chunk) = response.chunk().await? else { break };
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

fn of_answer(status: u16, body: &[u8], opened: Option<&Opened>) -> Outcome {
    let text = String::from_utf8_lossy(body).into_owned();
    let text = match opened {
        Some(opened) => hidden(opened, text),
        None => text,
    };
    match status {
        200..300 => Outcome::of(text, false),
        300..400 => Outcome::error(format!("HTTP {status}: redirects are not followed.")),
        _ => Outcome::error(format!("HTTP {status}: {text}")),
    }
}

/// A tool may answer with what it was sent, and its answer is kept: the secrets are taken out of it.
pub(crate) fn hidden(opened: &Opened, text: String) -> String {
    // JSON can write each character in other ways: it is looked at as it is read.
    if let Ok(read @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(&text) {
        let mut shown = read.clone();
        opened.hide(&mut shown);
        if shown != read {
            return shown.to_string();
        }
    }
    let mut value = Value::String(text);
    opened.hide(&mut value);
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

pub(crate) fn of_connection(code: &str) -> &'static str {
    match code {
        "connection_origin" => "The connection of this tool is for another origin.",
        _ => "The connection of this tool cannot be used.",
    }
}

/// For the model: our texts hold no address and no secret.
pub(crate) fn sentence(error: &OutboundError) -> String {
    format!("No answer: {error}.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(method: &str) -> HttpTool {
        serde_json::from_value(json!({"name": "a", "method": method, "url": "https://a.example/{id}?v=1"})).unwrap()
    }

    #[test]
    fn arguments_without_a_place_go_into_query_or_body() {
        let arguments = json!({"id": "x y", "n": 2, "tags": ["a"], "none": null}).to_string();
        let (url, body) = prepare(&tool("GET"), &arguments).unwrap();
        assert_eq!(url.as_str(), "https://a.example/x%20y?v=1&n=2&tags=%5B%22a%22%5D");
        assert!(body.is_empty());
        let (url, body) = prepare(&tool("POST"), &arguments).unwrap();
        assert_eq!(url.as_str(), "https://a.example/x%20y?v=1");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, json!({"n": 2, "tags": ["a"], "none": null}));
        assert!(prepare(&tool("GET"), "[1]").is_err());
        assert!(prepare(&tool("GET"), r#"{"id":"x","v":"2"}"#).unwrap_err().contains("`v`"), "fixed by the owner");
        let mut declared = tool("POST");
        declared.parameters = json!({"type": "object", "properties": {"id": {}, "n": {}}}).as_object().cloned();
        assert!(prepare(&declared, r#"{"id":"x","n":1}"#).is_ok());
        assert!(prepare(&declared, r#"{"id":"x","admin":true}"#).unwrap_err().contains("`admin`"));
        assert!(prepare(&tool("GET"), "").unwrap_err().contains("missing"));
    }

    #[test]
    fn what_is_no_success_is_an_error() {
        let of = |status| of_answer(status, b"{\"a\":1}", None);
        assert_eq!(of(200), Outcome::of("{\"a\":1}".to_owned(), false));
        assert_eq!(of(404), Outcome::error("HTTP 404: {\"a\":1}"));
        assert!(of(302).is_error && !of(302).content.contains("\"a\""));
    }
}
