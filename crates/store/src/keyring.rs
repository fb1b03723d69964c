//! What the keyring loads: keys of every workspace. Only `cluster` calls these.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    net::IpAddr,
    str::FromStr,
};

use access::{KeyKind, ScopeSet};
use ambient::{KeyId, Millis, WorkspaceId};
use credential::{
    key::{Environment, Family},
    secret::Digest,
};
use sqlx::AnyPool;

use crate::{
    catalogue::{
        Statement,
        keyring::{self as sql, UNIT},
        usage,
    },
    error::StoreError,
    record::{KeyRecord, KeySettings, LiveKey, SecretRecord, SecretUse},
    row::{Row, digest},
    store::Store,
    tx::Tx,
    workspace::{USAGE_HOURS, month_of},
};

/// Keys that are read at once.
const PART: u32 = 2000;
/// Parts that the database reads while one is taken apart.
const PARTS_AHEAD: usize = 2;

/// A day, in milliseconds.
const DAY: i64 = 86_400_000;
/// How long the usage of keys is kept.
const USAGE_DAYS: i64 = 400;
/// An hour, in milliseconds.
const HOUR: i64 = 3_600_000;

const KINDS: [KeyKind; 3] = [KeyKind::Secret, KeyKind::Widget, KeyKind::Deployment];
const FAMILIES: [Family; 4] = [Family::Secret, Family::ServiceAccount, Family::Deployment, Family::Widget];

pub(crate) fn kind(text: &str) -> Option<KeyKind> {
    KINDS.into_iter().find(|kind| kind.as_str() == text)
}

pub(crate) fn family(text: &str) -> Option<Family> {
    FAMILIES.into_iter().find(|family| family.as_str() == text)
}

impl Store {
    /// Every key that is not revoked, one secret that works at `now` at a time: a key in its grace comes
    /// twice. Expired keys come, because whoever holds one is told so, and keys of a disabled account,
    /// marked. Only a few thousand are held in memory at once.
    ///
    /// # Errors
    /// When the database cannot be used, or a row cannot be read.
    pub async fn load_live_keys(&self, now: Millis, each: impl FnMut(LiveKey)) -> Result<(), StoreError> {
        let pool = self.pools().loader();
        let done = self.load_from(&pool, now, each).await;
        self.pools().close_loader(pool).await;
        done
    }

    async fn load_from(&self, pool: &AnyPool, now: Millis, mut each: impl FnMut(LiveKey)) -> Result<(), StoreError> {
        let corrupt = || StoreError::Corrupt(sql::LOAD_LIVE_KEYS.name.to_owned());
        let mut reader = PackedReader::default();
        let (mut ahead, mut end) = (VecDeque::new(), Some(String::new()));
        loop {
            while let Some(after) = end.as_ref().filter(|_| ahead.len() < PARTS_AHEAD) {
                let last = self.rows_from(pool, sql::END_OF_PART.bound().text(after).count(PART)).await?;
                let last = last.first().ok_or_else(corrupt)?.maybe_string("last")?;
                if let Some(last) = &last {
                    ahead.push_back(tokio::spawn(self.clone().load_part(
                        pool.clone(),
                        now,
                        after.clone(),
                        last.clone(),
                    )));
                }
                end = last;
            }
            let Some(part) = ahead.pop_front() else { return Ok(()) };
            let packed = part.await.map_err(StoreError::unavailable)??;
            let mut rest = packed.as_str();
            while !rest.is_empty() {
                each(reader.read(&mut rest).ok_or_else(corrupt)?);
            }
        }
    }

    /// The live keys after an id, up to and with another, packed.
    async fn load_part(self, pool: AnyPool, now: Millis, after: String, last: String) -> Result<String, StoreError> {
        let part = sql::LOAD_LIVE_KEYS.bound().time(now).text(after).text(last);
        let rows = self.rows_from(&pool, part).await?;
        Ok(rows.first().map(|row| row.maybe_string("packed")).transpose()?.flatten().unwrap_or_default())
    }

    /// The key that has a secret of this digest, in any state but deleted: a revoked or an expired one
    /// comes as that. With it come its other secrets that still work.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn find_key_by_digest(&self, digest: &Digest) -> Result<Option<LiveKey>, StoreError> {
        live_key(&self.rows(sql::LIVE_KEY_BY_DIGEST.bound().digest(digest).time(self.now())).await?)
    }

    /// The key of this id, in any state but deleted.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn find_key(&self, id: KeyId) -> Result<Option<LiveKey>, StoreError> {
        live_key(&self.rows(sql::LIVE_KEY_BY_ID.bound().id(id).time(self.now())).await?)
    }

    /// Adds uses to what is stored of secrets, and to the days of their keys, all or none. Secrets that are gone are
    /// passed over; their keys' days are not.
    ///
    /// # Errors
    /// When the database cannot be used; then none was added.
    pub async fn record_uses(&self, uses: &[SecretUse]) -> Result<(), StoreError> {
        // One row for each secret, and in the same order on every node.
        let mut rows: BTreeMap<[u8; 32], SecretUse> = BTreeMap::new();
        for secret_use in uses.iter().filter(|secret_use| secret_use.uses > 0) {
            let row = rows.entry(secret_use.digest.0).or_insert_with(|| SecretUse { uses: 0, ..secret_use.clone() });
            let uses = row.uses.saturating_add(secret_use.uses);
            if row.last_used_at < secret_use.last_used_at {
                row.clone_from(secret_use);
            }
            row.uses = uses;
        }
        let rows: Vec<SecretUse> = rows.into_values().collect();
        let mut tx = self.begin().await?;
        for chunk in rows.chunks(sql::USED_ROWS) {
            let mut update = sql::RECORD_USES.bound();
            for row in chunk {
                update = update.digest(&row.digest).time(row.last_used_at).maybe_id(row.last_used_ip).count(row.uses);
            }
            for _ in chunk.len()..sql::USED_ROWS {
                update = update.text("").count(0).maybe_id(None::<IpAddr>).count(0);
            }
            tx.execute(update).await?;
        }
        count_requests(&mut tx, uses).await?;
        tx.commit().await
    }

    /// Forgets what keys were used for more than 400 days ago, months when their first day was, and by the hour more
    /// than 8; how many days, months and hours.
    pub(crate) async fn sweep_usage(&self, now: Millis) -> Result<u64, StoreError> {
        let mut swept = self.execute(usage::SWEEP_HOURS.bound().count(now.0.div_euclid(HOUR) - USAGE_HOURS)).await?;
        for statement in [&usage::SWEEP_MONTHS, &usage::SWEEP_DAYS, &usage::SWEEP_USAGE] {
            swept += self.execute(statement.bound().count(first_day_kept(now))).await?;
        }
        Ok(swept)
    }

    /// By what imported keys are known again; see [`KeySettings::imported`].
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn import_marks(&self) -> Result<HashSet<String>, StoreError> {
        let mut marks = HashSet::new();
        for row in self.rows(sql::IMPORT_MARKS.bound()).await? {
            marks.extend(row.json::<KeySettings>("settings")?.imported);
        }
        Ok(marks)
    }

    /// Stores a secret's digest under the present pepper in place of that under the previous one.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn renew_digest(&self, old: &Digest, new: &Digest, pepper_id: &str) -> Result<(), StoreError> {
        self.execute(sql::RENEW_DIGEST.bound().digest(old).digest(new).text(pepper_id)).await.map(|_| ())
    }
}

/// Days before this one are forgotten.
pub(crate) const fn first_day_kept(now: Millis) -> i64 {
    now.0.div_euclid(DAY) - USAGE_DAYS
}

/// A key's days, hours and months are counted once, also for two secrets of it, then the days of all keys; everything
/// in the same order on every node.
async fn count_requests(tx: &mut Tx, uses: &[SecretUse]) -> Result<(), StoreError> {
    let day = |report: &SecretUse| report.hour.div_euclid(24);
    count_into(tx, &usage::COUNT_REQUESTS, uses, |report| (Some(report.key), day(report))).await?;
    count_into(tx, &usage::COUNT_HOURS, uses, |report| (Some(report.key), report.hour)).await?;
    count_into(tx, &usage::COUNT_MONTHS, uses, |report| (Some(report.key), month_of(day(report)))).await?;
    count_into(tx, &usage::COUNT_DAYS, uses, |report| (None, day(report))).await
}

/// Whose environment, which key, and when.
type Place<'a> = (WorkspaceId, &'a str, Option<KeyId>, i64);

async fn count_into(
    tx: &mut Tx,
    statement: &Statement,
    uses: &[SecretUse],
    place_of: impl Fn(&SecretUse) -> (Option<KeyId>, i64),
) -> Result<(), StoreError> {
    let mut times: BTreeMap<Place<'_>, (u64, u64)> = BTreeMap::new();
    for report in uses {
        let (key, time) = place_of(report);
        let place = (report.tenant.workspace, report.tenant.environment.as_str(), key, time);
        let (requests, refused) = times.entry(place).or_default();
        *requests = requests.saturating_add(report.uses);
        *refused = refused.saturating_add(report.refused);
    }
    let times: Vec<_> = times.into_iter().collect();
    for chunk in times.chunks(usage::COUNTED_ROWS) {
        let mut insert = statement.bound();
        for ((workspace, environment, key, time), (requests, refused)) in chunk {
            insert = insert.id(workspace).text(*environment).text(key.map(|id| id.to_string()).unwrap_or_default());
            insert = insert.count(*time).count(*requests).count(*refused);
        }
        for _ in chunk.len()..usage::COUNTED_ROWS {
            insert = insert.text("").text("").text("").count(0).count(0).count(0);
        }
        tx.execute(insert).await?;
    }
    Ok(())
}

/// One key from its rows.
fn live_key(rows: &[Row]) -> Result<Option<LiveKey>, StoreError> {
    let (Some(first), Some(key)) = (rows.first(), key_records(rows)?.pop()) else { return Ok(None) };
    let owned = key.service_account.is_some();
    let account_gone = first.maybe_text("account_id")?.is_none();
    Ok(Some(LiveKey {
        key,
        service_account_scopes: if owned {
            Some(first.maybe_json("account_scopes")?.unwrap_or_default())
        } else {
            None
        },
        disabled: owned && (account_gone || first.maybe_time("account_disabled_at")?.is_some()),
        workspace_rate_limit: first.maybe_count("workspace_rate_limit")?,
    }))
}

/// Keys from rows of one secret each, in the rows' order; a key's rows stand together.
pub(crate) fn key_records(rows: &[Row]) -> Result<Vec<KeyRecord>, StoreError> {
    let mut keys: Vec<KeyRecord> = Vec::new();
    for row in rows {
        let id = row.id("id")?;
        let secret = secret_record(row)?;
        match keys.last_mut() {
            Some(last) if last.id == id => last.secrets.push(secret),
            _ => keys.push(key_record(row, id, secret)?),
        }
    }
    for key in &mut keys {
        key.secrets.sort_by_key(|secret| (secret.expires_at.is_some(), -secret.created_at.0));
    }
    Ok(keys)
}

fn key_record(row: &Row, id: KeyId, secret: SecretRecord) -> Result<KeyRecord, StoreError> {
    Ok(KeyRecord {
        id,
        workspace: row.id("workspace_id")?,
        environment: row.id("environment")?,
        kind: row.word("kind", kind)?,
        family: row.word("family", family)?,
        name: row.string("name")?,
        scopes: row.json("scopes")?,
        settings: row.json("settings")?,
        service_account: row.maybe_id("service_account_id")?,
        created_by: row.string("created_by")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        expires_at: row.maybe_time("expires_at")?,
        revoked_at: row.maybe_time("revoked_at")?,
        epoch: row.count("epoch")?,
        version: row.count("version")?,
        secrets: vec![secret],
    })
}

fn secret_record(row: &Row) -> Result<SecretRecord, StoreError> {
    Ok(SecretRecord {
        digest: row.digest("digest")?,
        pepper_id: row.string("pepper_id")?,
        display: row.string("display")?,
        created_at: row.time("secret_created_at")?,
        expires_at: row.maybe_time("secret_expires_at")?,
        last_used_at: row.maybe_time("last_used_at")?,
        last_used_ip: row.maybe_id("last_used_ip")?,
        uses: row.count("uses")?,
    })
}

/// Reads packed rows. Scopes and settings repeat from key to key, so each text is parsed once.
#[derive(Default)]
struct PackedReader {
    scopes: Cache<ScopeSet>,
    settings: Cache<KeySettings>,
}

impl PackedReader {
    /// Takes one key off `rest`; `None` when it is not what [`sql::LOAD_LIVE_KEYS`] writes.
    fn read(&mut self, rest: &mut &str) -> Option<LiveKey> {
        let mut next = || {
            let (field, after) = rest.split_once(UNIT)?;
            *rest = after;
            Some(field)
        };
        let digest = digest(next()?)?;
        let (id, workspace) = (next()?.parse().ok()?, next()?.parse().ok()?);
        let environment: Environment = next()?.parse().ok()?;
        let (kind, family) = (kind(next()?)?, family(next()?)?);
        let scopes = self.scopes.read(next()?)?;
        let settings = self.settings.read(next()?)?;
        let service_account = maybe(next()?)?;
        let created_by = next()?.to_owned();
        let (created_at, updated_at, expires_at) = (time(next()?)?, time(next()?)?, maybe(next()?)?.map(Millis));
        let (epoch, version) = (next()?.parse().ok()?, next()?.parse().ok()?);
        let secret = SecretRecord {
            digest,
            pepper_id: next()?.to_owned(),
            display: next()?.to_owned(),
            created_at: time(next()?)?,
            expires_at: maybe(next()?)?.map(Millis),
            last_used_at: maybe(next()?)?.map(Millis),
            last_used_ip: maybe(next()?)?,
            uses: next()?.parse().ok()?,
        };
        let (account_scopes, account_disabled, rate_limit) = (next()?, next()?, maybe(next()?)?);
        let length: usize = next()?.parse().ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        *rest = after;
        let owned = service_account.is_some();
        let key = KeyRecord {
            id,
            workspace,
            environment,
            kind,
            family,
            name: name.to_owned(),
            scopes,
            settings,
            service_account,
            created_by,
            created_at,
            updated_at,
            expires_at,
            revoked_at: None,
            epoch,
            version,
            secrets: vec![secret],
        };
        Some(LiveKey {
            key,
            service_account_scopes: match (owned, account_scopes) {
                (false, _) => None,
                (true, "") => Some(ScopeSet::NONE),
                (true, text) => Some(self.scopes.read(text)?),
            },
            disabled: owned && (account_scopes.is_empty() || !account_disabled.is_empty()),
            workspace_rate_limit: rate_limit,
        })
    }
}

fn time(text: &str) -> Option<Millis> {
    text.parse().ok().map(Millis)
}

/// Empty is absent; `None` when it is neither that nor readable.
fn maybe<T: FromStr>(text: &str) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
}

/// Texts that were parsed before. Bounded: texts that never repeat must not fill memory.
struct Cache<T>(HashMap<String, T>);

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone + serde::de::DeserializeOwned> Cache<T> {
    const MOST: usize = 1024;

    fn read(&mut self, text: &str) -> Option<T> {
        if let Some(value) = self.0.get(text) {
            return Some(value.clone());
        }
        let value: T = serde_json::from_str(text).ok()?;
        if self.0.len() < Self::MOST {
            self.0.insert(text.to_owned(), value.clone());
        }
        Some(value)
    }
}
