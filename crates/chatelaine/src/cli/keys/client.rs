use std::path::Path;

use outbound::{ApiClient, Method, OutboundError};
use serde_json::Value;

use crate::{
    cli::{Failure, Kind, Terminal, args::Client as Arguments},
    config::{Concealed, Environment},
};

const LOCAL: &str = "http://127.0.0.1:8787";

/// One server, one credential.
pub(in crate::cli) struct Client {
    http: ApiClient,
    url: String,
    key: Concealed,
}

impl Client {
    pub(in crate::cli) fn new(
        arguments: &Arguments,
        environment: &Environment,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        let url = arguments.url.as_deref().or(environment.url()).unwrap_or(LOCAL);
        let url = check_url("--url", url, terminal)?;
        let key = match &arguments.key_file {
            Some(path) => read_key(path)?,
            None => environment.api_key().ok_or_else(|| {
                Failure::usage(
                    "no credential: put a key with the scope of what you ask for (keys: api-keys:read or api-keys:write; \
                     explain: audit:read) into CHATELAINE_API_KEY, or name the file that holds it with --key-file",
                )
            })?,
        };
        let http = ApiClient::new().map_err(|error| Failure::new(Kind::Failure, "FAILED", error.to_string()))?;
        Ok(Self { http, url, key })
    }

    /// The answer's JSON; an empty answer is null.
    pub(in crate::cli) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        let body = body.map(|body| body.to_string().into_bytes());
        let url = format!("{}{path}", self.url);
        let sent = self.http.send(method, &url, Some(self.key.expose().trim()), body).await;
        let (status, bytes) = sent.map_err(|error| self.not_reached(&error))?;
        let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if (200..300).contains(&status) { Ok(value) } else { Err(refusal(status, &value)) }
    }

    fn not_reached(&self, error: &OutboundError) -> Failure {
        let url = &self.url;
        Failure::new(
            Kind::Network,
            "NOT_REACHED",
            format!("{url}: {error}. Is the server running? Try: curl {url}/healthz"),
        )
    }
}

pub(super) fn read_key(path: &Path) -> Result<Concealed, Failure> {
    std::fs::read_to_string(path)
        .map(|text| Concealed::new(text.trim().to_owned()))
        .map_err(|error| Failure::usage(format!("--key-file {}: {error}", path.display())))
}

/// The address of a server, as `flag` names it, without a slash at its end.
pub(in crate::cli) fn check_url(flag: &str, text: &str, terminal: &Terminal) -> Result<String, Failure> {
    let wrong = || Failure::usage(format!("{flag} must be the address of a server, such as https://chat.example.com"));
    let url = url::Url::parse(text).map_err(|_| wrong())?;
    let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")).ok_or_else(wrong)?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(wrong());
    }
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if url.scheme() == "http" && !local {
        terminal.err("warning: the key travels unencrypted over http; use https");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The server's own words, and an exit code that scripts can rely on.
fn refusal(status: u16, answer: &Value) -> Failure {
    let error = &answer["error"];
    let code = error["code"].as_str().unwrap_or("UNEXPECTED_ANSWER");
    let mut message =
        error["message"].as_str().map_or_else(|| format!("the server answered {status}"), super::show::plain);
    if let Some(scope) = error["required_scope"].as_str() {
        message.push_str(&format!("; the key lacks the scope {scope}"));
    }
    if let Some(id) = error["request_id"].as_str() {
        message.push_str(&format!(" ({code}, {id})"));
    }
    let kind = match status {
        401 | 403 => Kind::Refused,
        404 => Kind::NotFound,
        409 => Kind::Conflict,
        422 => Kind::Usage,
        429 => Kind::RateLimited,
        _ => Kind::Failure,
    };
    Failure::new(kind, code, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::terminal::tests::Captured;

    #[test]
    fn each_refusal_has_its_exit_code_and_the_servers_words() {
        for (status, kind) in [
            (400, Kind::Failure),
            (401, Kind::Refused),
            (403, Kind::Refused),
            (404, Kind::NotFound),
            (409, Kind::Conflict),
            (422, Kind::Usage),
            (429, Kind::RateLimited),
            (503, Kind::Failure),
        ] {
            assert_eq!(refusal(status, &Value::Null).kind, kind, "{status}");
        }
        let answer =
            json!({"error": {"code": "INSUFFICIENT_PERMISSIONS", "message": "No", "required_scope": "bots:write"}});
        let failure = refusal(403, &answer);
        assert!(failure.code == "INSUFFICIENT_PERMISSIONS" && failure.message.contains("bots:write"));
    }

    #[test]
    fn http_to_another_machine_is_warned_about() {
        let said = |url: &str| {
            let err = Captured::default();
            let terminal = Terminal::of_streams(std::io::empty(), std::io::sink(), err.clone());
            check_url("--url", url, &terminal).unwrap();
            !err.text().is_empty()
        };
        assert!(said("http://chat.example.com") && said("http://10.0.0.1:8787"));
        assert!(
            !said("https://chat.example.com")
                && !said("http://127.0.0.1:1")
                && !said("http://[::1]:1")
                && !said("http://localhost:1")
        );
    }
}
