//! `chatelaine workspaces`: more workspaces on one installation, for its operator, while no server uses the database.

use access::{Actor, Role};
use serde_json::json;
use store::{AuditEntry, NewInvitation, NewWorkspace};

use crate::{
    Ambient, Config,
    cli::{
        Failure, Kind, Terminal,
        args::{Workspaces, WorkspacesAction},
        keys::show::plain,
    },
    config::Environment,
    rest::AtRest,
};

pub(super) fn run(arguments: &Workspaces, environment: &Environment, terminal: &Terminal) -> Result<(), Failure> {
    let config = Config::load(&arguments.installation.flags(), environment)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let rest = open(&config).await?;
        let outcome = match &arguments.action {
            WorkspacesAction::List => list(&rest, arguments.json, terminal).await,
            WorkspacesAction::Create { name, email } => {
                create(&rest, &config, (name, email), arguments.json, terminal).await
            }
        };
        rest.close().await;
        outcome
    })
}

/// The database, which must be there.
pub(super) async fn open(config: &Config) -> Result<AtRest, Failure> {
    let absent = || {
        let sentence = format!("there is no database in {}; name it as the server does", config.data.display());
        Failure::new(Kind::NotFound, "NOT_FOUND", sentence)
    };
    AtRest::open(config, &Ambient::system()).await?.ok_or_else(absent)
}

/// Where the server of this configuration is reached.
pub(super) fn public_url(config: &Config) -> String {
    config.public_url.clone().unwrap_or_else(|| format!("http://{}", config.listen))
}

async fn list(rest: &AtRest, json: bool, terminal: &Terminal) -> Result<(), Failure> {
    for (workspace, members) in rest.store.workspaces().await.map_err(anyhow::Error::from)? {
        if json {
            let line = json!({"id": workspace.id, "name": workspace.name, "members": members,
                "created_at": workspace.created_at});
            terminal.out(line.to_string());
        } else {
            let word = if members == 1 { "member " } else { "members" };
            terminal.out(format!("{}  {members:>4} {word}  {}", workspace.id, plain(&workspace.name)));
        }
    }
    Ok(())
}

/// Prints the owner's link and nothing else: the operator never knows the owner's password.
async fn create(
    rest: &AtRest,
    config: &Config,
    (name, email): (&str, &str),
    json: bool,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(Failure::usage("--name: 1 to 100 characters"));
    }
    if !api::invitations::is_address(email) {
        return Err(Failure::usage("--email: an address, such as ada@example.com"));
    }
    let ambient = Ambient::system();
    let (token, digest) = api::invitations::mint_token(&rest.secrets, &*ambient.random).map_err(anyhow::Error::from)?;
    let actor = Actor::system();
    let audit = AuditEntry { actor: &actor, action: "create_workspace", detail: None };
    let owner = NewInvitation { email: email.to_owned(), role: Role::Owner, digest };
    let new = NewWorkspace { name: name.to_owned() };
    let (workspace, _) = rest.store.create_workspace_for(new, owner, audit).await.map_err(anyhow::Error::from)?;
    let link = api::invitations::link(&public_url(config), &token);
    if json {
        terminal.out(json!({"id": workspace.id, "name": workspace.name, "token": token, "url": link}).to_string());
        return Ok(());
    }
    terminal.err(format!(
        "{} is made. Its owner joins with this link, once, within seven days, when the server runs again; or with the\n\
         token behind `#`, by POST /v1/invitations/accept {{\"token\":\"...\",\"name\":\"...\",\"password\":\"...\"}}",
        workspace.id
    ));
    terminal.out(link);
    Ok(())
}
