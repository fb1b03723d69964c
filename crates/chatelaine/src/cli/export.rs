//! `chatelaine export keys`: keys for another installation, without any key.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{ErrorKind, Write as _},
    path::Path,
};

use access::{Actor, KeyKind, Tenant};
use ambient::{KeyId, Millis, Ulid, WorkspaceId};
use credential::{Pepper, RootSecret, Transfer, key::Environment as KeyEnvironment, secret::IMPORTED};
use serde_json::json;
use store::{AuditEntry, KeySettings, LiveKey, SecretRecord};

use crate::{
    Ambient, Config,
    cli::{
        Failure, Kind, Terminal,
        args::{Export, ExportAction, ExportKeys},
        import::{absent, workspace},
        keys::show::plain,
        transfer::{self, ExportedKey, ExportedSecret, FORMAT, Header, SealedPepper},
    },
    config::Environment,
    rest::AtRest,
};

pub(super) fn run(arguments: Export, environment: &Environment, terminal: &Terminal) -> Result<(), Failure> {
    let ExportAction::Keys(arguments) = arguments.action;
    let ambient = Ambient::system();
    let Some(out) = arguments.out.as_deref() else {
        let secret = RootSecret::generate(&*ambient.random).map_err(anyhow::Error::from)?;
        terminal.err("Give it to both installations as CHATELAINE_TRANSFER_SECRET, and to nobody once the keys moved.");
        terminal.out(&*secret.to_text());
        return Ok(());
    };
    let transfer = transfer::secret(environment)?;
    let config = Config::load(&arguments.installation.flags(), environment)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let rest = AtRest::open(&config, &ambient).await?.ok_or_else(|| absent(&config))?;
        let outcome = export(&rest, &arguments, out, (&transfer, &ambient), terminal).await;
        rest.close().await;
        outcome
    })
}

async fn export(
    rest: &AtRest,
    arguments: &ExportKeys,
    out: &Path,
    (transfer, ambient): (&Transfer, &Ambient),
    terminal: &Terminal,
) -> Result<(), Failure> {
    transfer::must_not_be_own(transfer, rest)?;
    let workspace = workspace(rest, arguments.workspace.as_deref()).await?;
    let now = ambient.clock.now();
    let foreign = transfer::foreign(rest).await?;
    let pepper_of =
        |id: &str| rest.secrets.pepper(id).or_else(|| foreign.iter().find(|pepper| pepper.id() == id).cloned());
    let mut peppers: BTreeMap<String, Pepper> = BTreeMap::new();
    let (mut keys, mut left_out) = (Vec::new(), 0_u64);
    for live in live_keys(rest, workspace, now).await? {
        let ids: BTreeSet<&str> = live.key.secrets.iter().map(|secret| secret.pepper_id.as_str()).collect();
        let needed: Option<Vec<Pepper>> = ids.into_iter().filter(|id| *id != IMPORTED).map(pepper_of).collect();
        let why = if needed.is_none() { Some("was made under a secret that is gone") } else { unfit(&live, now) };
        if let Some(why) = why {
            left_out += 1;
            say(terminal, arguments.json, &live, why);
            continue;
        }
        peppers.extend(needed.into_iter().flatten().map(|pepper| (pepper.id().to_owned(), pepper)));
        keys.push(exported(live)?);
    }
    let id = Ulid::mint(&*ambient.clock, &*ambient.random).map_err(anyhow::Error::from)?.to_string();
    let sealed = peppers.values().map(|pepper| {
        let sealed = transfer.seal(&id, pepper, &*ambient.random)?;
        Ok(SealedPepper { id: pepper.id().to_owned(), sealed })
    });
    let sealed: Result<Vec<SealedPepper>, credential::seal::SealError> = sealed.collect();
    let header = Header {
        format: FORMAT.to_owned(),
        id: id.clone(),
        created_at: now,
        workspace: workspace.to_string(),
        peppers: sealed.map_err(anyhow::Error::from)?,
    };
    let text = transfer::write(transfer, &header, &keys)?;
    let mut file = create(out)?;
    let written = async {
        // First: no file without its record.
        let actor = Actor::system();
        let detail = json!({"keys": keys.len(), "format": FORMAT, "file": id});
        let audit = AuditEntry { actor: &actor, action: "export_api_keys", detail: Some(detail) };
        let data = rest.store.workspace(Tenant { workspace, environment: KeyEnvironment::Live });
        data.write_audit(audit, "workspace", &workspace.to_string()).await.map_err(anyhow::Error::from)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok::<(), Failure>(())
    };
    if let Err(failure) = written.await {
        let _ = std::fs::remove_file(out);
        return Err(failure);
    }
    terminal.err(format!(
        "Exported {} keys of {workspace}; {left_out} left out. They work here on: revoke what moves for good.",
        keys.len()
    ));
    Ok(())
}

fn say(terminal: &Terminal, json: bool, live: &LiveKey, why: &str) {
    if json {
        terminal.out(json!({"id": live.key.id, "outcome": "left_out", "notes": [why]}).to_string());
    } else {
        terminal.out(format!("{} ({}): left out: {why}", live.key.id, plain(&live.key.name)));
    }
}

/// Every key of a workspace that is not revoked, with all of its secrets that work, in the order of their ids.
async fn live_keys(rest: &AtRest, workspace: WorkspaceId, now: Millis) -> Result<Vec<LiveKey>, Failure> {
    let mut all: BTreeMap<KeyId, LiveKey> = BTreeMap::new();
    let each = |live: LiveKey| {
        if live.key.workspace != workspace {
            return;
        }
        match all.get_mut(&live.key.id) {
            Some(known) => known.key.secrets.extend(live.key.secrets),
            None => drop(all.insert(live.key.id, live)),
        }
    };
    rest.store.load_live_keys(now, each).await.map_err(anyhow::Error::from)?;
    let mut all: Vec<LiveKey> = all.into_values().collect();
    for live in &mut all {
        live.key.secrets.sort_by_key(|secret| (secret.expires_at.is_some(), -secret.created_at.0));
    }
    Ok(all)
}

/// Why a key does not go along.
fn unfit(live: &LiveKey, now: Millis) -> Option<&'static str> {
    if live.key.kind == KeyKind::Deployment {
        Some("runs a deployment, which stays here")
    } else if live.key.expires_at.is_some_and(|at| at <= now) {
        Some("has expired")
    } else if live.disabled {
        Some("its service account is disabled")
    } else {
        None
    }
}

/// The key of a service account goes without it, and may do what both may.
fn exported(live: LiveKey) -> Result<ExportedKey, Failure> {
    let key = live.key;
    let scopes = live.service_account_scopes.map_or(key.scopes, |account| key.scopes.intersect(account));
    // Under which mark it was imported here says nothing elsewhere.
    let settings = KeySettings { imported: None, ..key.settings };
    Ok(ExportedKey {
        id: key.id,
        environment: key.environment,
        kind: key.kind,
        name: key.name,
        scopes,
        settings: serde_json::to_value(settings).map_err(anyhow::Error::from)?,
        created_at: key.created_at,
        expires_at: key.expires_at,
        secrets: key.secrets.iter().map(secret).collect(),
    })
}

fn secret(secret: &SecretRecord) -> ExportedSecret {
    ExportedSecret {
        digest: secret.digest.to_hex(),
        pepper: secret.pepper_id.clone(),
        display: secret.display.clone(),
        created_at: secret.created_at,
        expires_at: secret.expires_at,
    }
}

/// A new file that its owner alone may read.
fn create(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| {
        let (kind, code) = match error.kind() {
            ErrorKind::AlreadyExists => (Kind::Conflict, "CONFLICT"),
            ErrorKind::NotFound => (Kind::NotFound, "NOT_FOUND"),
            _ => (Kind::Failure, "FAILED"),
        };
        Failure::new(kind, code, format!("{}: {error}", plain(&path.display().to_string())))
    })
}
