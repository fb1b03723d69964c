//! `chatelaine import keys`: takes hashes of keys that were made elsewhere, all or none.

mod formats;
mod row;
mod transfer;

use std::{collections::HashMap, path::Path};

use access::{Actor, KeyKind, ScopeSet, Tenant};
use ambient::{Millis, WorkspaceId};
use credential::{Digest, Family, Parser, key::Environment as KeyEnvironment, secret::IMPORTED};
use serde_json::json;
use store::{AuditEntry, KeySettings, NewKey, SecretRecord, StoreError};
use zeroize::Zeroizing;

use crate::{
    Ambient, Config,
    cli::{
        Failure, Kind, Terminal,
        args::{Environment as Named, Import, ImportAction, ImportKeys, KeyFormat},
        keys::show::plain,
    },
    config::Environment,
    rest::AtRest,
};
use row::{Row, Verdict};

/// The largest list, in bytes.
const MAX_BYTES: usize = 256 * 1024 * 1024;

pub(super) fn run(arguments: Import, environment: &Environment, terminal: &Terminal) -> Result<(), Failure> {
    let ImportAction::Keys(arguments) = arguments.action;
    let config = Config::load(&arguments.installation.flags(), environment)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if arguments.format == KeyFormat::Chatelaine {
            transfer::import(&arguments, environment, &config, terminal).await
        } else {
            import(&arguments, &config, terminal).await
        }
    })
}

async fn import(arguments: &ImportKeys, config: &Config, terminal: &Terminal) -> Result<(), Failure> {
    let scopes = scopes(&arguments.scopes)?;
    let parser = Parser::new(config.keys.prefixes.clone()).map_err(|error| Failure::usage(error.to_string()))?;
    let text = read(&arguments.file, terminal)?;
    let ambient = Ambient::system();
    let now = ambient.clock.now();
    let rows = formats::read(&text, arguments.format, &parser, now);
    let rows = rows.map_err(|why| Failure::new(Kind::Failure, "VALIDATION_FAILED", why))?;
    drop(text);
    let rest = AtRest::open(config, &ambient).await?.ok_or_else(|| absent(config))?;
    let outcome = into(&rest, arguments, scopes, (rows, now), terminal).await;
    rest.close().await;
    outcome
}

pub(super) fn absent(config: &Config) -> Failure {
    let sentence = format!("there is no database in {}; name it as the server does", config.data.display());
    Failure::new(Kind::NotFound, "NOT_FOUND", sentence)
}

fn scopes(words: &[String]) -> Result<ScopeSet, Failure> {
    let mut all = ScopeSet::NONE;
    for word in words {
        let scope =
            word.parse().map_err(|_| Failure::usage(format!("--scope: there is no scope `{}`", plain(word))))?;
        all = all.with(scope);
    }
    Ok(all)
}

fn read(file: &Path, terminal: &Terminal) -> Result<Zeroizing<String>, Failure> {
    let mut bytes = read_bytes(file, MAX_BYTES, terminal)?;
    let text = String::from_utf8(std::mem::take(&mut *bytes));
    text.map(Into::into).map_err(|_| Failure::new(Kind::Failure, "FAILED", "the list is not UTF-8"))
}

fn read_bytes(file: &Path, most: usize, terminal: &Terminal) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if file == Path::new("-") {
        return Ok(terminal.read_all(most)?.into_bytes().into());
    }
    let name = plain(&file.display().to_string());
    let told = |error: &std::io::Error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Failure };
        Failure::new(kind, if kind == Kind::NotFound { "NOT_FOUND" } else { "FAILED" }, format!("{name}: {error}"))
    };
    let length = std::fs::metadata(file).map_err(|error| told(&error))?.len();
    if length > most as u64 {
        return Err(Failure::new(
            Kind::Failure,
            "FAILED",
            format!("{name} is larger than 256 MiB: import it in parts"),
        ));
    }
    std::fs::read(file).map(Into::into).map_err(|error| told(&error))
}

async fn into(
    rest: &AtRest,
    arguments: &ImportKeys,
    scopes: ScopeSet,
    (rows, now): (Vec<(u64, Verdict)>, Millis),
    terminal: &Terminal,
) -> Result<(), Failure> {
    let environment = match arguments.environment {
        Some(Named::Test) => KeyEnvironment::Test,
        Some(Named::Live) | None => KeyEnvironment::Live,
    };
    let workspace = workspace(rest, arguments.workspace.as_deref()).await?;
    let tenant = Tenant { workspace, environment };
    let mut report = Report::default();
    let known = rest.store.import_marks().await.map_err(anyhow::Error::from)?;
    let (mut seen, mut keys) = (HashMap::new(), Vec::new());
    for (number, verdict) in rows {
        let row = match verdict {
            Verdict::Import(row) => row,
            Verdict::LeaveOut(why) => {
                report.note(number, Outcome::LeftOut, vec![why]);
                continue;
            }
            Verdict::Refuse(why) => {
                report.note(number, Outcome::Refused, vec![why]);
                continue;
            }
        };
        if let Some(first) = seen.insert(row.digest, number) {
            report.note(number, Outcome::Refused, vec![format!("is the same key as number {first}")]);
            continue;
        }
        let marks = marks(rest, &row.digest);
        let stored = rest.store.find_key_by_digest(&row.digest).await.map_err(anyhow::Error::from)?;
        if stored.is_some() || marks.iter().any(|mark| known.contains(mark)) {
            let why = "was imported before, also if it was revoked since".to_owned();
            report.note(number, Outcome::Refused, vec![why]);
            continue;
        }
        report.note(number, Outcome::Accepted, row.notes.clone());
        keys.push(new_key(*row, number, marks, environment, scopes, now));
    }
    let of = |outcome| report.0.iter().filter(|(_, each, _)| *each == outcome).count();
    let (imported, left_out, refused) = (of(Outcome::Accepted), of(Outcome::LeftOut), of(Outcome::Refused));
    let figures = format!("{imported} to import, {left_out} left out, {refused} refused");
    if refused > 0 {
        report.tell(terminal, arguments.json, "would_import");
        let message = format!("nothing was imported: {figures}");
        return Err(Failure::new(Kind::Failure, "VALIDATION_FAILED", message));
    }
    if arguments.dry_run {
        report.tell(terminal, arguments.json, "would_import");
        terminal.err(format!("Nothing was changed (--dry-run): {figures}."));
        return Ok(());
    }
    let actor = Actor::system();
    let detail = json!({"keys": keys.len(), "format": arguments.format.as_str()});
    let audit = AuditEntry { actor: &actor, action: "import_api_keys", detail: Some(detail) };
    let made = rest.store.workspace(tenant).import_keys(keys, audit).await.map_err(|error| match error {
        StoreError::Conflict(_) => {
            Failure::new(Kind::Conflict, "CONFLICT", "a key is there already; nothing was imported")
        }
        error => anyhow::Error::from(error).into(),
    })?;
    report.tell(terminal, arguments.json, "imported");
    let word = if made == 1 { "key" } else { "keys" };
    terminal.err(format!("Imported {made} {word} into {workspace} ({environment}); {left_out} left out."));
    if scopes == ScopeSet::NONE {
        terminal.err("They may do nothing yet: no --scope was given.");
    }
    Ok(())
}

pub(super) async fn workspace(rest: &AtRest, named: Option<&str>) -> Result<WorkspaceId, Failure> {
    let absent = || Failure::new(Kind::NotFound, "NOT_FOUND", "there is no such workspace");
    if let Some(text) = named {
        let id = text.parse().map_err(|_| Failure::usage("--workspace is an id such as ws_…"))?;
        let data = rest.store.workspace(Tenant { workspace: id, environment: KeyEnvironment::Live });
        return match data.record().await {
            Ok(record) => Ok(record.id),
            Err(StoreError::NotFound) => Err(absent()),
            Err(error) => Err(anyhow::Error::from(error).into()),
        };
    }
    if rest.store.workspace_count().await.map_err(anyhow::Error::from)? > 1 {
        return Err(Failure::usage("there is more than one workspace: say which with --workspace"));
    }
    let only = rest.store.default_workspace().await.map_err(anyhow::Error::from)?;
    only.map(|record| record.id).ok_or_else(absent)
}

/// By which an imported key is known again when its digest is another one: under either secret.
fn marks(rest: &AtRest, digest: &Digest) -> Vec<String> {
    let previous = rest.secrets.previous_digest_for(IMPORTED, &digest.0);
    let marks = std::iter::once(rest.secrets.digest_for(IMPORTED, &digest.0)).chain(previous);
    marks.map(|mark| mark.to_hex()).collect()
}

fn new_key(
    row: Row,
    number: u64,
    marks: Vec<String>,
    environment: KeyEnvironment,
    scopes: ScopeSet,
    now: Millis,
) -> NewKey {
    let Row { digest, name, display, expires_at, rate_limit, owner, metadata, notes: _ } = row;
    let imported = marks.into_iter().next();
    NewKey {
        environment,
        kind: KeyKind::Secret,
        family: Family::Secret,
        name: if name.is_empty() { format!("Imported {number}") } else { name },
        scopes,
        settings: KeySettings { rate_limit, owner, metadata, imported, ..KeySettings::default() },
        service_account: None,
        expires_at,
        secret: SecretRecord {
            digest,
            pepper_id: IMPORTED.to_owned(),
            display: display.unwrap_or_else(|| "imported".to_owned()),
            created_at: now,
            expires_at: None,
            last_used_at: None,
            last_used_ip: None,
            uses: 0,
        },
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Accepted,
    LeftOut,
    Refused,
}

/// What becomes of each, by its number: the text of the list is not repeated.
#[derive(Default)]
struct Report(Vec<(u64, Outcome, Vec<String>)>);

impl Report {
    fn note(&mut self, number: u64, outcome: Outcome, why: Vec<String>) {
        self.0.push((number, outcome, why));
    }

    /// A line for each; `accepted` says what became of those that may come in.
    fn tell(&self, terminal: &Terminal, is_json: bool, accepted: &str) {
        for (number, outcome, why) in &self.0 {
            let outcome = match outcome {
                Outcome::Accepted => accepted,
                Outcome::LeftOut => "left_out",
                Outcome::Refused => "refused",
            };
            if is_json {
                terminal.out(json!({"number": number, "outcome": outcome, "notes": why}).to_string());
                continue;
            }
            let word = outcome.replace('_', " ");
            let why = if why.is_empty() { String::new() } else { format!(": {}", plain(&why.join("; "))) };
            terminal.out(format!("{number}: {word}{why}"));
        }
    }
}
