//! `chatelaine explain`: asks a running server what a credential is, and why it was or would be refused.

use outbound::Method;
use serde_json::{Map, Value, json};

use crate::{
    cli::{Failure, Terminal, args::Explain, keys::Client},
    config::Environment,
};

pub(super) fn run(explain: &Explain, environment: &Environment, terminal: &Terminal) -> Result<(), Failure> {
    let body = body_of(explain, terminal)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::new(&explain.client, environment, terminal)?;
        let answer = client.call(Method::POST, "/v1/access/explain", Some(body)).await?;
        if explain.client.json {
            terminal.out(answer.to_string());
        } else {
            terminal.out(told(&answer["data"]));
        }
        Ok(())
    })
}

/// A request's id stands alone; what is to be explained is never an argument, where other users of the machine see it.
fn body_of(explain: &Explain, terminal: &Terminal) -> Result<Value, Failure> {
    if let Some(id) = &explain.request {
        return Ok(json!({ "request_id": id }));
    }
    let mut body = Map::new();
    if !explain.stranger {
        if terminal.in_is_terminal {
            terminal.err("Paste the key or token that is to be explained, then Enter:");
        }
        let text = terminal.read_line()?;
        if text.trim().is_empty() {
            return Err(Failure::usage(
                "no credential on standard input; say --stranger to ask about a request without one",
            ));
        }
        body.insert("credential".into(), text.trim().into());
    }
    body.insert("method".into(), explain.method.clone().into());
    body.insert("path".into(), explain.path.clone().into());
    for (name, value) in [("origin", &explain.origin), ("address", &explain.address)] {
        if let Some(value) = value {
            body.insert(name.into(), value.clone().into());
        }
    }
    Ok(Value::Object(body))
}

/// The answer for people.
fn told(found: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = Vec::new();
    let answer = match found["allowed"].as_bool() {
        Some(true) => "let in".to_owned(),
        _ => format!("refused, {} {}", found["status"], text(&found["code"])),
    };
    lines.push(("answer", answer));
    lines.push(("reason", text(&found["reason"])));
    lines.push(("", text(&found["message"])));
    lines.push(("what to do", text(&found["advice"])));
    let key = &found["credential"]["key"];
    if key.is_object() {
        let name = format!(
            "{} {} ({}, {})",
            text(&key["name"]),
            text(&key["display"]),
            text(&key["kind"]),
            text(&key["environment"])
        );
        lines.push(("key", name));
        lines.push(("id", text(&key["id"])));
        lines.push(("state", text(&key["state"])));
        let scopes = key["scopes"].as_array().map(|all| all.iter().map(text).collect::<Vec<_>>().join(", "));
        lines.push(("scopes", scopes.unwrap_or_default()));
    }
    for step in found["checks"].as_array().into_iter().flatten() {
        lines.push(("step", format!("{:<11} {}", text(&step["name"]), text(&step["outcome"]).replace('_', " "))));
    }
    let lines = lines.into_iter().filter(|(_, value)| !value.is_empty());
    lines.map(|(name, value)| format!("{name:<11} {value}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn asked(arguments: &[&str], input: &str) -> Result<Value, Failure> {
        let all = ["chatelaine", "explain"].iter().chain(arguments);
        let Command::Explain(explain) = Cli::try_parse_from(all).unwrap().command else { panic!("another command") };
        let terminal = Terminal::of_streams(std::io::Cursor::new(input.to_owned()), std::io::sink(), std::io::sink());
        body_of(&explain, &terminal)
    }

    #[test]
    fn what_is_explained_comes_from_standard_input_and_a_request_stands_alone() {
        let body =
            asked(&["--method", "POST", "--path", "/v1/bots", "--origin", "https://a.example"], "sk_x\n").unwrap();
        let wanted = json!({"credential": "sk_x", "method": "POST", "path": "/v1/bots", "origin": "https://a.example"});
        assert_eq!(body, wanted);
        assert_eq!(asked(&["--request", "req_1"], "").unwrap(), json!({"request_id": "req_1"}));
        assert_eq!(asked(&["--stranger"], "").unwrap(), json!({"method": "GET", "path": "/v1/me"}));
        assert!(asked(&[], "\n").is_err());
        assert!(Cli::try_parse_from(["chatelaine", "explain", "sk_live_x"]).is_err(), "never an argument");
    }

    #[test]
    fn the_answer_is_told_in_lines() {
        let found = json!({"allowed": false, "status": 401, "code": "INVALID_API_KEY", "reason": "key_revoked",
            "message": "The key is revoked.", "advice": null, "credential": null,
            "checks": [{"name": "state", "outcome": "failed"}, {"name": "place", "outcome": "not_reached"}]});
        let text = told(&found);
        assert!(text.starts_with("answer      refused, 401 INVALID_API_KEY\nreason      key_revoked\n"), "{text}");
        assert!(text.ends_with("step        place       not reached"), "{text}");
    }
}
