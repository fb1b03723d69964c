//! `chatelaine members`: what only the operator does with people, while no server uses the database.

use access::Actor;
use serde_json::json;
use store::{AuditEntry, StoreError};

use crate::{
    Ambient, Config,
    cli::{
        Failure, Kind, Terminal,
        args::{Members, MembersAction},
        workspaces::{open, public_url},
    },
    config::Environment,
    rest::AtRest,
};

pub(super) fn run(arguments: &Members, environment: &Environment, terminal: &Terminal) -> Result<(), Failure> {
    let config = Config::load(&arguments.installation.flags(), environment)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let MembersAction::ResetPassword { email } = &arguments.action;
    runtime.block_on(async {
        let rest = open(&config).await?;
        let outcome = reset_password(&rest, &config, email.trim(), arguments.json, terminal).await;
        rest.close().await;
        outcome
    })
}

/// Prints the link and nothing else: the operator never knows the password. Until the link is used, the old one
/// works.
async fn reset_password(
    rest: &AtRest,
    config: &Config,
    email: &str,
    json: bool,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let ambient = Ambient::system();
    let (token, digest) = api::invitations::mint_token(&rest.secrets, &*ambient.random).map_err(anyhow::Error::from)?;
    let actor = Actor::system();
    let audit = AuditEntry { actor: &actor, action: "reset_password", detail: None };
    let made = match rest.store.invite_to_reset(email, digest, audit).await {
        Ok(made) => made,
        Err(StoreError::NotFound) => {
            return Err(Failure::new(Kind::NotFound, "NOT_FOUND", "nobody has this address"));
        }
        Err(error) => return Err(anyhow::Error::from(error).into()),
    };
    let link = api::invitations::link(&public_url(config), &token);
    if json {
        terminal.out(json!({"email": made.email, "token": token, "url": link}).to_string());
        return Ok(());
    }
    terminal.err(format!(
        "With this link {} chooses a new password, once, within a day, when the server runs again. All browsers are\n\
         signed out then, and codes of an app are asked for no more; until then nothing changes.",
        made.email
    ));
    terminal.out(link);
    Ok(())
}
