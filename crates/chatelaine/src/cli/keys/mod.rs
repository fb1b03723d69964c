//! `chatelaine keys`: a client of a running server, with the rights of the key it is given.

mod client;
mod inspect;
pub(super) mod show;

use ambient::{Clock as _, KeyId, Millis, SystemClock};
use outbound::Method;
use serde_json::{Map, Value, json};

use crate::{
    cli::{
        Failure, Terminal,
        args::{Client as ClientArguments, Create, Keys, KeysAction, Kind},
        duration::parse_seconds,
    },
    config::Environment,
};
pub(super) use client::{Client, check_url};

pub(super) fn run(keys: Keys, environment: &Environment, terminal: &Terminal) -> Result<(), Failure> {
    let Keys { action, client: arguments } = keys;
    if let KeysAction::Inspect { config } = action {
        return inspect::run(config, &arguments, environment, terminal);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::new(&arguments, environment, terminal)?;
        match action {
            KeysAction::List => list(&client, &arguments, terminal).await,
            KeysAction::Create(create) => make(&client, &arguments, create, terminal).await,
            KeysAction::Rotate { id, grace } => rotate(&client, &arguments, &id, grace, terminal).await,
            KeysAction::Revoke { id, yes } => revoke(&client, &arguments, &id, yes, terminal).await,
            KeysAction::Inspect { .. } => Ok(()),
        }
    })
}

async fn list(client: &Client, arguments: &ClientArguments, terminal: &Terminal) -> Result<(), Failure> {
    let mut all = Vec::new();
    for page in 1.. {
        let answer = client.call(Method::GET, &format!("/v1/api-keys?page={page}&per_page=100"), None).await?;
        let total = answer["meta"]["total"].as_u64().unwrap_or(0);
        let Some(rows) = answer["data"].as_array().filter(|rows| !rows.is_empty()) else { break };
        all.extend(rows.iter().cloned());
        if all.len() as u64 >= total {
            break;
        }
    }
    if arguments.json {
        terminal.out(json!({ "data": all }).to_string());
    } else {
        show::table(&all, terminal);
    }
    Ok(())
}

async fn make(
    client: &Client,
    arguments: &ClientArguments,
    create: Create,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let body = new_key(create, SystemClock::new().now())?;
    let answer = client.call(Method::POST, "/v1/api-keys", Some(body)).await?;
    show::secret(&answer, arguments.json, terminal);
    Ok(())
}

/// What is not said is left to the server, but for what the key may do: the server would take all that the key in
/// use may.
fn new_key(create: Create, now: Millis) -> Result<Value, Failure> {
    if create.scopes.is_empty() && matches!(create.kind, Kind::Secret) {
        return Err(Failure::usage(
            "what may the key do? Say it with --scope, such as --scope chat:write,bots:read, or --scope admin for \
             everything",
        ));
    }
    let mut body = Map::new();
    body.insert("name".into(), create.name.into());
    body.insert("kind".into(), create.kind.as_str().into());
    if !create.scopes.is_empty() {
        body.insert("scopes".into(), create.scopes.into());
    }
    if let Some(environment) = create.environment {
        body.insert("environment".into(), environment.as_str().into());
    }
    if !create.domains.is_empty() {
        body.insert("allowed_domains".into(), create.domains.into());
    }
    if let Some(text) = create.expires {
        body.insert("expires_at".into(), expiry(&text, now)?);
    }
    Ok(Value::Object(body))
}

fn expiry(text: &str, now: Millis) -> Result<Value, Failure> {
    if text == "never" {
        return Ok(Value::Null);
    }
    if let Ok(time) = text.parse::<Millis>() {
        return Ok(time.to_string().into());
    }
    let seconds = parse_seconds(text).map_err(|wrong| {
        Failure::usage(format!("--expires: {wrong}, nor a time such as 2027-01-31T00:00:00Z, nor never"))
    })?;
    Ok(now.plus(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000)).to_string().into())
}

async fn rotate(
    client: &Client,
    arguments: &ClientArguments,
    id: &str,
    grace: u64,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let id = key_id(id)?;
    let body = json!({ "grace_seconds": grace });
    let answer = client.call(Method::POST, &format!("/v1/api-keys/{id}/rotate"), Some(body)).await?;
    show::secret(&answer, arguments.json, terminal);
    if let (false, Some(end)) = (arguments.json, answer["data"]["previous_expires_at"].as_str()) {
        terminal.err(format!("The secret before it works until {end}."));
    }
    Ok(())
}

async fn revoke(
    client: &Client,
    arguments: &ClientArguments,
    id: &str,
    yes: bool,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let id = key_id(id)?;
    if !yes {
        if !terminal.in_is_terminal {
            return Err(Failure::usage("revoking cannot be undone; say --yes where nobody can be asked"));
        }
        let key = client.call(Method::GET, &format!("/v1/api-keys/{id}"), None).await?;
        let name = show::plain(key["data"]["name"].as_str().unwrap_or("?"));
        terminal.err(format!("Revoke {id} ({name})? What uses it stops at once, and this cannot be undone. [y/N]"));
        if !matches!(terminal.read_line()?.as_str(), "y" | "Y" | "yes") {
            return Err(Failure::new(crate::cli::Kind::Failure, "CANCELLED", "nothing was revoked"));
        }
    }
    let answer = client.call(Method::DELETE, &format!("/v1/api-keys/{id}"), None).await?;
    if arguments.json {
        terminal.out(answer.to_string());
    } else {
        let receipt = &answer["data"];
        terminal.err(format!(
            "Revoked {id} at {}: confirmed by {} node(s), {} stream(s) closed.",
            receipt["revoked_at"].as_str().unwrap_or("?"),
            receipt["nodes_confirmed"],
            receipt["streams_closed"]
        ));
    }
    Ok(())
}

/// Checked here, because it becomes part of a path.
fn key_id(text: &str) -> Result<KeyId, Failure> {
    let hint = "is not the id of a key; ids begin with key_ (see `chatelaine keys list`)";
    // The text may be a key pasted by mistake: it is not repeated.
    text.parse().map_err(|_| Failure::usage(format!("the argument {hint}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn create(expires: Option<&str>) -> Create {
        Create {
            name: "ci".into(),
            kind: Kind::Secret,
            scopes: vec!["bots:read".into()],
            environment: None,
            domains: Vec::new(),
            expires: expires.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_not_said_is_left_to_the_server() {
        let body = new_key(create(None), Millis(0)).unwrap();
        assert_eq!(body, json!({"name": "ci", "kind": "secret", "scopes": ["bots:read"]}));
    }

    #[test]
    fn a_key_for_servers_says_what_it_may_do() {
        let made = |kind, scopes: &[&str]| {
            let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
            new_key(Create { kind, scopes, ..create(None) }, Millis(0))
        };
        let refused = made(Kind::Secret, &[]).unwrap_err();
        assert!(refused.kind == cli::Kind::Usage && refused.message.contains("--scope admin"), "{}", refused.message);
        assert_eq!(made(Kind::Secret, &["admin"]).unwrap()["scopes"], json!(["admin"]));
        assert_eq!(made(Kind::Widget, &[]).unwrap().get("scopes"), None, "what these may do is fixed");
    }

    #[test]
    fn a_key_expires_after_a_while_at_a_time_or_never() {
        let at = |text| new_key(create(Some(text)), Millis(0)).map(|body| body["expires_at"].clone());
        assert_eq!(at("90d").unwrap(), "1970-04-01T00:00:00.000Z");
        assert_eq!(at("2030-01-01T01:00:00+01:00").unwrap(), "2030-01-01T00:00:00.000Z");
        assert_eq!(at("never").unwrap(), Value::Null);
        assert_eq!(at("soon").unwrap_err().kind, cli::Kind::Usage);
    }

    #[test]
    fn a_key_pasted_instead_of_its_id_is_not_repeated() {
        let failure = key_id("sk_live_abcdefgh").unwrap_err();
        assert!(failure.kind == cli::Kind::Usage && !failure.message.contains("sk_live"), "{}", failure.message);
        assert!(key_id("../../v1/bots").is_err());
    }
}
