//! Keys of another Chatelaine: with their ids, scopes and limits, and with what its digests are checked with.

use std::collections::{BTreeMap, HashSet};

use access::{Actor, KeyKind, Tenant};
use ambient::{Millis, WorkspaceId};
use credential::transfer::MAX_FOREIGN;
use credential::{Digest, Family, Parser, Pepper, Transfer, key::Environment as KeyEnvironment, secret::IMPORTED};
use serde_json::json;
use store::{AuditEntry, ForeignPepper, KeyRecord, KeySettings, SecretRecord, StoreError};

use super::{MAX_BYTES, Outcome, Report, absent, marks, read_bytes, workspace};
use crate::{
    Ambient, Config,
    cli::{
        Failure, Kind, Terminal,
        args::ImportKeys,
        transfer::{self, ExportedKey, ExportedSecret, Header},
    },
    config::Environment,
    rest::AtRest,
};

/// A key has two secrets at most; one more is in its grace at most while it is rotated again.
const MAX_SECRETS: usize = 8;

pub(super) async fn import(
    arguments: &ImportKeys,
    environment: &Environment,
    config: &Config,
    terminal: &Terminal,
) -> Result<(), Failure> {
    if !arguments.scopes.is_empty() || arguments.environment.is_some() {
        let told = "--scope and --environment: the file says of each key what it may do and whose data it sees";
        return Err(Failure::usage(told));
    }
    let transfer = transfer::secret(environment)?;
    let parser = Parser::new(config.keys.prefixes.clone()).map_err(|error| Failure::usage(error.to_string()))?;
    let file = read_bytes(&arguments.file, MAX_BYTES, terminal)?;
    let (header, keys) = transfer::read(&transfer, &file)?;
    drop(file);
    let ambient = Ambient::system();
    let rest = AtRest::open(config, &ambient).await?.ok_or_else(|| absent(config))?;
    let outcome = into(&rest, arguments, (&transfer, header, keys), (&parser, &ambient), terminal).await;
    rest.close().await;
    outcome
}

async fn into(
    rest: &AtRest,
    arguments: &ImportKeys,
    (transfer, header, keys): (&Transfer, Header, Vec<ExportedKey>),
    (parser, ambient): (&Parser, &Ambient),
    terminal: &Terminal,
) -> Result<(), Failure> {
    transfer::must_not_be_own(transfer, rest)?;
    let workspace = workspace(rest, arguments.workspace.as_deref()).await?;
    let peppers = Peppers::open(rest, transfer, &header).await?;
    let marks = rest.store.import_marks().await.map_err(anyhow::Error::from)?;
    let taker = Taker { rest, parser, peppers: &peppers, marks: &marks, workspace, now: ambient.clock.now() };
    let mut report = Report::default();
    let (mut taken, mut left_out, mut refused, mut is_conflict) = (Vec::new(), 0, 0, false);
    for (key, number) in keys.into_iter().zip(1..) {
        match taker.take(key).await? {
            Taken::Key(key) => {
                report.note(number, Outcome::Accepted, Vec::new());
                taken.push(*key);
            }
            Taken::LeftOut(why) => {
                left_out += 1;
                report.note(number, Outcome::LeftOut, vec![why]);
            }
            Taken::Refused { why, conflict } => {
                refused += 1;
                is_conflict |= conflict;
                report.note(number, Outcome::Refused, vec![why]);
            }
        }
    }
    let figures = format!("{} to import, {left_out} left out, {refused} refused", taken.len());
    if refused > 0 {
        report.tell(terminal, arguments.json, "would_import");
        let (kind, code) =
            if is_conflict { (Kind::Conflict, "CONFLICT") } else { (Kind::Failure, "VALIDATION_FAILED") };
        return Err(Failure::new(kind, code, format!("nothing was imported: {figures}")));
    }
    let new = peppers.to_keep(&taken)?;
    if arguments.dry_run {
        report.tell(terminal, arguments.json, "would_import");
        terminal.err(format!("Nothing was changed (--dry-run): {figures}."));
        return Ok(());
    }
    let sealed: Result<Vec<ForeignPepper>, _> = new
        .into_iter()
        .map(|pepper| {
            let sealed = pepper.seal(rest.secrets.sealer(), &*ambient.random)?;
            Ok::<_, credential::seal::SealError>(ForeignPepper { id: pepper.id().to_owned(), sealed })
        })
        .collect();
    let actor = Actor::system();
    let detail = json!({"keys": taken.len(), "format": "chatelaine", "file": header.id});
    let audit = AuditEntry { actor: &actor, action: "import_api_keys", detail: Some(detail) };
    let data = rest.store.workspace(Tenant { workspace, environment: KeyEnvironment::Live });
    let sealed = sealed.map_err(anyhow::Error::from)?;
    data.take_over_keys(&taken, &sealed, audit).await.map_err(|error| match error {
        StoreError::Conflict(_) => {
            Failure::new(Kind::Conflict, "CONFLICT", "a key is there already; nothing was imported")
        }
        error => anyhow::Error::from(error).into(),
    })?;
    report.tell(terminal, arguments.json, "imported");
    let word = if taken.len() == 1 { "key" } else { "keys" };
    terminal.err(format!("Imported {} {word} into {workspace}; {left_out} left out.", taken.len()));
    Ok(())
}

/// What digests can be checked with here.
struct Peppers {
    ours: Vec<String>,
    kept: Vec<Pepper>,
    brought: BTreeMap<String, Pepper>,
}

impl Peppers {
    async fn open(rest: &AtRest, transfer: &Transfer, header: &Header) -> Result<Self, Failure> {
        let kept = transfer::foreign(rest).await?;
        let ours = [Some(rest.secrets.id()), rest.secrets.previous_id()].into_iter().flatten();
        let ours: Vec<String> = ours.map(str::to_owned).collect();
        let mut brought = BTreeMap::new();
        for pepper in &header.peppers {
            let opened = transfer.open_pepper(&header.id, &pepper.id, &pepper.sealed);
            let opened = opened.map_err(|error| anyhow::anyhow!("what the keys are checked with: {error}"))?;
            let known = rest.secrets.pepper(opened.id());
            let known = known.or_else(|| kept.iter().find(|kept| kept.id() == opened.id()).cloned());
            if known.is_some_and(|known| !known.is(&opened)) {
                let told = "the file's keys are checked with another key than this installation has under its name";
                return Err(Failure::new(Kind::Conflict, "CONFLICT", told));
            }
            brought.insert(pepper.id.clone(), opened);
        }
        Ok(Self { ours, kept, brought })
    }

    fn knows(&self, id: &str) -> bool {
        id == IMPORTED || self.ours.iter().any(|own| own == id) || self.brought.contains_key(id)
    }

    /// Those that the keys need and that are not here.
    fn to_keep(&self, keys: &[KeyRecord]) -> Result<Vec<&Pepper>, Failure> {
        let used: HashSet<&str> =
            keys.iter().flat_map(|key| &key.secrets).map(|secret| secret.pepper_id.as_str()).collect();
        let is_new = |id: &str| !self.ours.iter().any(|own| own == id) && !self.kept.iter().any(|kept| kept.id() == id);
        let new: Vec<&Pepper> =
            self.brought.values().filter(|pepper| used.contains(pepper.id()) && is_new(pepper.id())).collect();
        if self.kept.len() + new.len() > MAX_FOREIGN {
            let told = format!(
                "keys of more than {MAX_FOREIGN} other secrets would wait for their first use: start the server once, \
                 which lets go of those whose keys were all used, or revoke keys that are not used any more"
            );
            return Err(Failure::new(Kind::Conflict, "CONFLICT", told));
        }
        Ok(new)
    }
}

/// What becomes of a key.
enum Taken {
    Key(Box<KeyRecord>),
    LeftOut(String),
    Refused {
        why: String,
        /// Its id or a secret of it is somebody else's.
        conflict: bool,
    },
}

impl Taken {
    fn refused(why: String) -> Self {
        Self::Refused { why, conflict: false }
    }

    fn conflict(why: String) -> Self {
        Self::Refused { why, conflict: true }
    }
}

struct Taker<'a> {
    rest: &'a AtRest,
    parser: &'a Parser,
    peppers: &'a Peppers,
    marks: &'a HashSet<String>,
    workspace: WorkspaceId,
    now: Millis,
}

impl Taker<'_> {
    async fn take(&self, key: ExportedKey) -> Result<Taken, Failure> {
        let id = key.id;
        match self.rest.store.find_key(id).await.map_err(anyhow::Error::from)? {
            Some(known) if known.key.workspace == self.workspace => {
                return Ok(Taken::LeftOut(format!("{id} is there already; nothing of it is changed")));
            }
            Some(_) => return Ok(Taken::conflict(format!("{id} is a key of another workspace"))),
            None => {}
        }
        let family = match key.kind {
            KeyKind::Secret => Family::Secret,
            KeyKind::Widget => Family::Widget,
            KeyKind::Deployment => {
                return Ok(Taken::refused(format!("{id} runs a deployment of another installation")));
            }
        };
        let Some(mut settings) = key.settings() else {
            return Ok(Taken::refused(format!("{id} has a setting that this version does not know")));
        };
        settings.imported = None;
        if key.expires_at.is_some_and(|at| at <= self.now) {
            return Ok(Taken::LeftOut(format!("{id} has expired")));
        }
        let mut secrets = Vec::new();
        for secret in key.secrets.iter().filter(|secret| secret.expires_at.is_none_or(|at| at > self.now)) {
            match self.secret(secret, (key.kind, key.environment), &mut settings) {
                Ok(secret) => secrets.push(secret),
                Err(why) => return Ok(Taken::refused(format!("{id} {why}"))),
            }
        }
        if secrets.is_empty() {
            return Ok(Taken::LeftOut(format!("{id} has no secret that works")));
        }
        if secrets.len() > MAX_SECRETS {
            return Ok(Taken::refused(format!("{id} has more secrets than a key has")));
        }
        for secret in &secrets {
            if self.rest.store.find_key_by_digest(&secret.digest).await.map_err(anyhow::Error::from)?.is_some() {
                return Ok(Taken::conflict(format!("{id} has a secret that another key has here")));
            }
        }
        Ok(Taken::Key(Box::new(KeyRecord {
            id,
            workspace: self.workspace,
            environment: key.environment,
            kind: key.kind,
            family,
            name: key.name,
            scopes: key.scopes,
            settings,
            service_account: None,
            created_by: Actor::system().to_string(),
            created_at: key.created_at,
            updated_at: self.now,
            expires_at: key.expires_at,
            revoked_at: None,
            epoch: 0,
            version: 1,
            secrets,
        })))
    }

    fn secret(
        &self,
        secret: &ExportedSecret,
        (kind, environment): (KeyKind, KeyEnvironment),
        settings: &mut KeySettings,
    ) -> Result<SecretRecord, String> {
        let digest = Digest::from_hex(&secret.digest).ok_or("has a digest that is none")?;
        if !self.peppers.knows(&secret.pepper) {
            return Err("was made under a secret that the file does not bring along".to_owned());
        }
        if secret.pepper == IMPORTED {
            let mut marks = marks(self.rest, &digest);
            if marks.iter().any(|mark| self.marks.contains(mark)) {
                return Err("was imported before by its hash, also if it was revoked since".to_owned());
            }
            settings.imported = (!marks.is_empty()).then(|| marks.swap_remove(0));
        } else {
            self.must_be_read(&secret.display, kind, environment)?;
        }
        Ok(SecretRecord {
            digest,
            pepper_id: secret.pepper.clone(),
            display: secret.display.clone(),
            created_at: secret.created_at,
            expires_at: secret.expires_at,
            last_used_at: None,
            last_used_ip: None,
            uses: 0,
        })
    }

    /// A key that begins like ones of ours must be of their form, or it would be taken for a mistyped one.
    fn must_be_read(&self, display: &str, kind: KeyKind, environment: KeyEnvironment) -> Result<(), String> {
        let prefixes = self.parser.prefixes();
        let of = |family| prefixes.of(family, environment);
        let families: &[Family] = match kind {
            KeyKind::Widget => &[Family::Widget],
            _ => &[Family::Secret, Family::ServiceAccount],
        };
        let mut all = vec![of(Family::Deployment), of(Family::Widget)];
        for environment in [KeyEnvironment::Live, KeyEnvironment::Test] {
            all.extend([Family::Secret, Family::ServiceAccount].map(|family| prefixes.of(family, environment)));
        }
        let begins = all.into_iter().filter(|prefix| display.starts_with(prefix)).max_by_key(|prefix| prefix.len());
        let Some(prefix) = begins else { return Ok(()) };
        // Four characters of it are shown; of a secret that nobody has seen, none.
        let shown = display.split('…').next().unwrap_or_default().len() - prefix.len();
        if families.iter().any(|family| of(*family) == prefix) && (shown == 4 || shown == 0) {
            return Ok(());
        }
        Err(format!(
            "begins with `{prefix}`, which is how other keys of this installation begin: change that in \
             [keys.prefixes] first"
        ))
    }
}
