use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use access::{Role, Tenant};
use ambient::{AuditId, Clock, MemberId, Millis, Random, Ulid, WorkspaceId};
use credential::key::Environment;
use sqlx::AnyPool;
use tokio::sync::Notify;

use crate::{
    catalogue::{Bound, installation as sql},
    change::{NewKey, NewMember, NewWorkspace},
    dialect::Dialect,
    error::StoreError,
    migration,
    open::{self, Pools},
    record::{AuditEntry, KeyRecord, MemberRecord, WorkspaceRecord},
    row::Row,
    tx::Tx,
    workspace::Workspace,
};

/// Under this name the installation keeps the workspace that has no owner yet.
const UNOWNED: &str = "unowned_workspace";

/// The answers to repeated requests are kept this long, in milliseconds.
pub(crate) const IDEMPOTENCY_TTL: i64 = 24 * 60 * 60 * 1000;

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    dialect: Dialect,
    pools: Pools,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// The newest audit record's id: within a millisecond the next one is its successor.
    newest_audit: Mutex<Ulid>,
    reads: AtomicU64,
    writes: AtomicU64,
    /// Rings when an event was written.
    events: Arc<Notify>,
}

impl fmt::Debug for Store {
    /// Without the address: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.backend())
    }
}

impl Store {
    /// Connects, and brings the schema up to date. `url` is `sqlite:///absolute/path.db` (the file is
    /// made, readable by its owner alone; its directory must exist) or `postgres://…`.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] for another address or a too old SQLite, [`StoreError::Newer`]
    /// for a database that a newer binary has used.
    pub async fn open(url: &str, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Self, StoreError> {
        let dialect = Dialect::of(url).ok_or_else(|| {
            StoreError::Unsupported("the database's address must begin with sqlite:// or postgres://".to_owned())
        })?;
        let pools = open::connect(url, dialect).await?;
        migration::migrate(&pools.writer, dialect, &*clock).await?;
        let (reads, writes) = (AtomicU64::new(0), AtomicU64::new(0));
        let (newest_audit, events) = (Mutex::new(Ulid(0)), Arc::default());
        Ok(Self { inner: Arc::new(Inner { dialect, pools, clock, random, newest_audit, reads, writes, events }) })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.row(sql::PING.bound()).await.map(|_| ())
    }

    /// Waits for what is running and closes the connections.
    pub async fn close(&self) {
        self.inner.pools.reader.close().await;
        self.inner.pools.writer.close().await;
        self.inner.pools.lease.close().await;
    }

    /// Statements that read, since the start; so that a test can show that there was none.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.inner.reads.load(Ordering::Relaxed)
    }

    /// Transactions that write, since the start.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.inner.writes.load(Ordering::Relaxed)
    }

    /// `sqlite` or `postgresql`.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.inner.dialect.name()
    }

    /// The only way to a tenant's data.
    #[must_use]
    pub fn workspace(&self, tenant: Tenant) -> Workspace {
        Workspace::new(self.clone(), tenant)
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    pub(crate) fn random(&self) -> &dyn Random {
        &*self.inner.random
    }

    /// An id for an audit record, above all that this process has given: asked for inside the
    /// transaction, so that on SQLite the order of ids is the order of commits.
    pub(crate) fn next_audit_id(&self) -> Result<AuditId, StoreError> {
        let minted = Ulid::mint(self.clock(), self.random())?;
        let mut newest = self.inner.newest_audit.lock().unwrap_or_else(PoisonError::into_inner);
        *newest = minted.max(Ulid(newest.0.saturating_add(1)));
        Ok(AuditId(*newest))
    }

    pub(crate) fn now(&self) -> Millis {
        self.inner.clock.now()
    }

    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        self.inner.writes.fetch_add(1, Ordering::Relaxed);
        let begun = self.inner.pools.writer.begin_with(self.inner.dialect.begin()).await;
        let begun = begun.map_err(|error| StoreError::from_statement("begin", &error))?;
        Ok(Tx::new(begun, Arc::clone(&self.inner.events)))
    }

    /// A transaction of one statement; the answer is how many rows it changed.
    pub(crate) async fn execute(&self, bound: Bound) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let changed = tx.execute(bound).await?;
        tx.commit().await?;
        Ok(changed)
    }

    pub(crate) async fn rows(&self, bound: Bound) -> Result<Vec<Row>, StoreError> {
        self.rows_from(&self.inner.pools.reader, bound).await
    }

    /// Reads through connections of the caller's choice.
    pub(crate) async fn rows_from(&self, pool: &AnyPool, bound: Bound) -> Result<Vec<Row>, StoreError> {
        self.inner.reads.fetch_add(1, Ordering::Relaxed);
        let rows = bound.query.fetch_all(pool).await;
        let rows = rows.map_err(|error| StoreError::from_statement(bound.name, &error))?;
        Ok(rows.into_iter().map(|row| Row::new(bound.name, row)).collect())
    }

    pub(crate) async fn row(&self, bound: Bound) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(bound).await?.into_iter().next())
    }

    /// The `total` of a statement that counts.
    pub(crate) async fn total(&self, bound: Bound) -> Result<u64, StoreError> {
        self.row(bound).await?.ok_or(StoreError::NotFound)?.count("total")
    }

    pub(crate) fn pools(&self) -> &Pools {
        &self.inner.pools
    }

    pub(crate) fn event_bell(&self) -> &Notify {
        &self.inner.events
    }
}

/// What belongs to the installation as a whole.
impl Store {
    /// A value of the installation, by name.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn meta(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.row(sql::META.bound().text(name)).await?.map(|row| row.string("value")).transpose()
    }

    /// Stores a value of the installation.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn set_meta(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.execute(sql::SET_META.bound().text(name).text(value)).await.map(|_| ())
    }

    /// Stores a value unless there is one; whether it did.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn set_meta_if_absent(&self, name: &str, value: &str) -> Result<bool, StoreError> {
        Ok(self.execute(sql::SET_META_IF_ABSENT.bound().text(name).text(value)).await? > 0)
    }

    /// How many workspaces there are.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn workspace_count(&self) -> Result<u64, StoreError> {
        self.total(sql::WORKSPACE_COUNT.bound()).await
    }

    /// How many people there are. Without any, the installation waits for its first owner.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn member_count(&self) -> Result<u64, StoreError> {
        self.total(sql::MEMBER_COUNT.bound()).await
    }

    /// Makes a workspace that nobody owns yet: the first setup takes it over.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn create_unowned_workspace(
        &self,
        workspace: NewWorkspace,
        audit: AuditEntry<'_>,
    ) -> Result<WorkspaceRecord, StoreError> {
        let id = WorkspaceId::mint(self.clock(), self.random())?;
        let workspace = WorkspaceRecord::new(id, workspace.name, self.now());
        let mut tx = self.begin().await?;
        tx.execute(sql::INSERT_WORKSPACE.bound().id(id).text(&workspace.name).time(workspace.created_at)).await?;
        tx.execute(sql::SET_META.bound().text(UNOWNED).id(id)).await?;
        let data = self.workspace(Tenant { workspace: id, environment: Environment::Live });
        data.insert_audit(&mut tx, &audit, "workspace", &id).await?;
        tx.commit().await?;
        Ok(workspace)
    }

    /// The oldest workspace: the one that the command line means.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn default_workspace(&self) -> Result<Option<WorkspaceRecord>, StoreError> {
        self.row(sql::OLDEST_WORKSPACE.bound()).await?.map(|row| workspace_record(&row)).transpose()
    }

    /// Makes a workspace and its owner. With `consume_setup`, the value of that name goes in the same
    /// transaction: a setup token works once, also when two people use it at the same time. It also takes
    /// over the workspace that nobody owns yet, if there is one, and gives it the new name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is nothing to consume, [`StoreError::Conflict`] `email`.
    pub async fn create_workspace(
        &self,
        workspace: NewWorkspace,
        owner: NewMember,
        consume_setup: Option<&str>,
        audit: AuditEntry<'_>,
    ) -> Result<(WorkspaceRecord, MemberRecord), StoreError> {
        let (workspace, owner, _) = self.found(workspace, owner, consume_setup, None, audit).await?;
        Ok((workspace, owner))
    }

    /// [`Store::create_workspace`] and a live key of it, all or nothing: nobody is left with a
    /// workspace that he cannot enter.
    ///
    /// # Errors
    /// The same.
    pub async fn create_workspace_with_key(
        &self,
        workspace: NewWorkspace,
        owner: NewMember,
        consume_setup: Option<&str>,
        first_key: NewKey,
        audit: AuditEntry<'_>,
    ) -> Result<(WorkspaceRecord, MemberRecord, KeyRecord), StoreError> {
        match self.found(workspace, owner, consume_setup, Some(first_key), audit).await? {
            (workspace, owner, Some(key)) => Ok((workspace, owner, key)),
            (_, _, None) => Err(StoreError::NotFound),
        }
    }

    async fn found(
        &self,
        workspace: NewWorkspace,
        owner: NewMember,
        consume_setup: Option<&str>,
        first_key: Option<NewKey>,
        audit: AuditEntry<'_>,
    ) -> Result<(WorkspaceRecord, MemberRecord, Option<KeyRecord>), StoreError> {
        let now = self.now();
        let mut tx = self.begin().await?;
        let mut unowned = None;
        if let Some(name) = consume_setup {
            tx.change(sql::DELETE_META.bound().text(name)).await?;
            unowned = tx.row(sql::TAKE_META.bound().text(UNOWNED)).await?;
        }
        let workspace = match unowned {
            Some(row) => {
                let id = row.id("value")?;
                let row = tx.row(sql::RENAME_WORKSPACE.bound().id(id).text(&workspace.name)).await?;
                let created_at = row.ok_or(StoreError::NotFound)?.time("created_at")?;
                WorkspaceRecord::new(id, workspace.name, created_at)
            }
            None => {
                let id = WorkspaceId::mint(self.clock(), self.random())?;
                tx.execute(sql::INSERT_WORKSPACE.bound().id(id).text(&workspace.name).time(now)).await?;
                WorkspaceRecord::new(id, workspace.name, now)
            }
        };
        let id = workspace.id;
        let member = MemberRecord {
            id: MemberId::mint(self.clock(), self.random())?,
            workspace: id,
            email: owner.email.to_lowercase(),
            name: owner.name,
            role: Role::Owner,
            password_hash: owner.password_hash,
            created_at: now,
            updated_at: None,
            last_seen_at: None,
        };
        let insert = sql::INSERT_MEMBER.bound().id(id).id(member.id).text(&member.email).id(member.role);
        tx.execute(insert.text(&member.name).text(&member.password_hash).time(now)).await?;
        let tenant = Tenant { workspace: id, environment: Environment::Live };
        let data = self.workspace(tenant);
        let first_key = match first_key {
            Some(new) => Some(data.insert_new_key(&mut tx, new, &audit).await?),
            None => None,
        };
        data.insert_audit(&mut tx, &audit, "workspace", &id).await?;
        tx.commit().await?;
        Ok((workspace, member, first_key))
    }

    /// Forgets the answers to requests that are older than 24 hours, triggers' events that are older than three
    /// days, events that were told and the attempts to tell them after 30 days, outcomes after 32, and the usage of
    /// keys after 400; how many.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn sweep(&self, now: Millis) -> Result<u64, StoreError> {
        self.sweep_people(now).await?;
        let answers = self.execute(sql::SWEEP_IDEMPOTENCY.bound().time(now.plus(-IDEMPOTENCY_TTL))).await?;
        Ok(answers
            + self.sweep_trigger_deliveries(now).await?
            + self.sweep_channel_messages(now).await?
            + self.sweep_events(now).await?
            + self.sweep_usage(now).await?
            + self.sweep_outcomes(now).await?)
    }
}

pub(crate) fn workspace_record(row: &Row) -> Result<WorkspaceRecord, StoreError> {
    Ok(WorkspaceRecord {
        id: row.id("id")?,
        name: row.string("name")?,
        rate_limit: row.maybe_count("rate_limit")?,
        leak_policy: row.id("leak_policy")?,
        leak_grace_seconds: row.count("leak_grace_seconds")?,
        created_at: row.time("created_at")?,
    })
}
