//! Fills a SQLite data directory with live keys, and writes every K-th plaintext into a file for the load generator.
//!
//! `seed_keys --data DIR --keys N --out FILE [--every K]`

use std::{
    fs::{File, OpenOptions, create_dir_all},
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::Arc,
};

use access::{Actor, KeyKind, ScopeSet, Tenant};
use ambient::{Clock, OsRandom, SystemClock};
use anyhow::Context;
use bench::Options;
use credential::{
    key::{Environment, Family, Parser, Prefixes},
    secret::{RootSecret, Secrets},
};
use store::{AuditEntry, KeySettings, NewKey, NewMember, NewWorkspace, SecretRecord, Store};

/// Keys in one transaction.
const BATCH: u64 = 20_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::from_args(&["data", "keys", "out", "every"])?;
    let (data, count): (PathBuf, u64) = (options.require("data")?, options.require("keys")?);
    let (out, every): (PathBuf, u64) = (options.require("out")?, options.get("every", 1)?);

    create_dir_all(&data)?;
    let root = RootSecret::generate(&OsRandom)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(data.join("secret"))?;
    file.write_all(root.to_text().as_bytes())?;
    let secrets = Secrets::new(&root, None);
    let parser = Parser::new(Prefixes::default())?;

    let clock = Arc::new(SystemClock::new());
    let url = format!("sqlite://{}", data.join("chatelaine.db").display());
    let store = Store::open(&url, clock.clone(), Arc::new(OsRandom)).await.context("the database")?;
    store.set_meta_if_absent("secret_id", secrets.id()).await?;
    let actor = Actor::system();
    let audit = |action| AuditEntry { actor: &actor, action, detail: None };
    let owner = NewMember {
        email: "owner@bench.example".to_owned(),
        name: String::new(),
        // No password has this hash: nobody signs in to a benchmark.
        password_hash: "none".to_owned(),
    };
    let (workspace, _) =
        store.create_workspace(NewWorkspace { name: "Bench".to_owned() }, owner, None, audit("seed_keys")).await?;
    let tenant = Tenant { workspace: workspace.id, environment: Environment::Live };

    let mut plaintexts = BufWriter::new(File::create(&out)?);
    let mut made = 0;
    while made < count {
        let mut batch = Vec::new();
        for number in made..count.min(made + BATCH) {
            let key = parser.mint(Family::Secret, Environment::Live, &OsRandom)?;
            if number % every == 0 {
                writeln!(plaintexts, "{}", key.expose())?;
            }
            batch.push(new_key(&parser, &secrets, key.expose(), number, clock.now()));
        }
        made += store.workspace(tenant).import_keys(batch, audit("seed_keys")).await?;
    }
    plaintexts.flush()?;
    store.close().await;
    Ok(())
}

fn new_key(parser: &Parser, secrets: &Secrets, text: &str, number: u64, now: ambient::Millis) -> NewKey {
    NewKey {
        environment: Environment::Live,
        kind: KeyKind::Secret,
        family: Family::Secret,
        name: format!("seed {number}"),
        scopes: ScopeSet::ADMIN,
        settings: KeySettings::default(),
        service_account: None,
        expires_at: Some(now.plus(365 * 86_400_000)),
        secret: SecretRecord {
            digest: secrets.digest(text),
            pepper_id: secrets.id().to_owned(),
            display: parser.display(text),
            created_at: now,
            expires_at: None,
            last_used_at: None,
            last_used_ip: None,
            uses: 0,
        },
    }
}
