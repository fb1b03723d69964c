use std::{sync::Arc, time::Duration};

use access::Tenant;
use ambient::{Clock, ConversationId, KeyId, Millis, Random};
use credential::{
    key,
    secret::{Digest, Secrets},
    token::SessionClaims,
};
use store::{Store, StoreError};
use tokio::sync::{Mutex, RwLock};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use crate::keyring::Lookup;
use crate::{
    Bucket, ClusterError, CutReason, Grant, KeyHandle, Opener, SessionEntry, SessionState, Verdict,
    doubt::Doubts,
    entry::KeyEntry,
    grant::{Grants, Stream},
    keyring::{Inserted, Keyring},
    limits::Limits,
    load,
    outcomes::Outcomes,
    peppers::Peppers,
    sessions::Sessions,
    shared::Shared,
    starts::Starts,
    tasks,
    usage::UsageQueue,
};

/// Changes of one workspace happen one after the other; this many workspaces at a time.
const STRIPES: usize = 64;

/// Budgets, a minute each where nothing else is said, and the most that memory holds.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Requests of a workspace that has no budget of its own.
    pub workspace_per_minute: u32,
    /// Sessions opened under one key.
    pub sessions_per_minute: u32,
    /// Messages in one session.
    pub messages_per_minute: u32,
    /// Readings of one session's history.
    pub history_per_minute: u32,
    /// Public requests from one address.
    pub public_per_minute: u32,
    /// Wrong credentials from one address.
    pub failures_per_minute: u32,
    /// Messages in all sessions of one widget key.
    pub widget_messages_per_minute: u32,
    /// Requests to the drop-in surface from one address, in `drop_in_window_ms`.
    pub drop_in_requests: u32,
    /// The window of that budget, in milliseconds, at least 1.
    pub drop_in_window_ms: u64,
    /// What one role asks in one run.
    pub participant_per_minute: u32,
    /// What participants ask from one address, of all runs.
    pub participant_per_address_per_minute: u32,
    /// Public surveys started from one address.
    pub public_starts_per_minute: u32,
    /// Runs that strangers start under one deployment in 24 hours, unless it says otherwise.
    pub public_starts_per_day: u32,
    /// Replies of bots in runs that strangers started under one deployment in 24 hours, unless it says otherwise.
    pub public_replies_per_day: u32,
    /// Runs that one trigger starts.
    pub triggers_per_minute: u32,
    /// Passwords that one address tries.
    pub sign_ins_per_minute: u32,
    /// Passwords that are tried of one account.
    pub sign_ins_per_account_per_minute: u32,
    /// Buckets in memory, a hard cap: half for callers, half for addresses.
    pub max_buckets: usize,
    /// Sessions in memory; beyond it those that rested longest are read again when they are used.
    pub max_sessions: usize,
}

impl Default for ClusterConfig {
    /// The contract's numbers.
    fn default() -> Self {
        Self {
            workspace_per_minute: 600,
            sessions_per_minute: 100,
            messages_per_minute: 60,
            history_per_minute: 100,
            public_per_minute: 60,
            failures_per_minute: 120,
            widget_messages_per_minute: 600,
            drop_in_requests: 30,
            drop_in_window_ms: 60_000,
            participant_per_minute: 60,
            participant_per_address_per_minute: 300,
            public_starts_per_minute: 10,
            public_starts_per_day: 1000,
            public_replies_per_day: 2000,
            triggers_per_minute: 60,
            sign_ins_per_minute: 30,
            sign_ins_per_account_per_minute: 10,
            max_buckets: 100_000,
            max_sessions: 100_000,
        }
    }
}

/// Keys, sessions, streams and budgets of this node. Cloning shares them.
#[derive(Clone)]
pub struct Cluster(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) parser: Arc<key::Parser>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) keyring: Keyring,
    pub(crate) peppers: Peppers,
    pub(crate) grants: Arc<Grants>,
    pub(crate) sessions: Sessions,
    pub(crate) usage: UsageQueue,
    pub(crate) outcomes: Outcomes,
    /// Held for writing while uses are on their way to the store, and neither here nor there.
    pub(crate) flushing: RwLock<()>,
    pub(crate) doubts: Doubts,
    pub(crate) shared: Shared,
    /// Changes on their way: they outlive the request that asked for them.
    pub(crate) changes: TaskTracker,
    pub(crate) stripes: Box<[Mutex<()>]>,
    pub(crate) stopping: CancellationToken,
    pub(crate) starts: Starts,
    limits: Limits,
    /// Every key of the installation is in memory: nobody else writes to this database.
    complete: bool,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("keys", &self.keys()).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Loads every live key and starts the tasks that write last use, look for survivors and sweep
    /// the store. [`Cluster::stop`] ends them, and so does dropping the last clone.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(
        store: Store,
        secrets: Arc<Secrets>,
        parser: Arc<key::Parser>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        config: ClusterConfig,
    ) -> Result<Self, ClusterError> {
        let complete = store.backend() == "sqlite";
        Self::assemble(store, secrets, parser, (clock, random), config, complete).await
    }

    async fn assemble(
        store: Store,
        secrets: Arc<Secrets>,
        parser: Arc<key::Parser>,
        (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
        config: ClusterConfig,
        complete: bool,
    ) -> Result<Self, ClusterError> {
        let keyring = Keyring::default();
        let peppers = Peppers::load(&store, &secrets, clock.now()).await?;
        load::load(&keyring, &store, (&secrets, &peppers), clock.now()).await?;
        let starts = Starts::new((clock.now(), clock.elapsed()));
        let cluster = Self(Arc::new(Inner {
            store,
            secrets,
            parser,
            clock,
            random,
            keyring,
            peppers,
            grants: Arc::default(),
            sessions: Sessions::new(config.max_sessions),
            usage: UsageQueue::default(),
            outcomes: Outcomes::default(),
            flushing: RwLock::default(),
            doubts: Doubts::default(),
            shared: Shared::Memory,
            changes: TaskTracker::new(),
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            stopping: CancellationToken::new(),
            starts,
            limits: Limits::new(&config),
            complete,
        }));
        tasks::spawn(&cluster);
        Ok(cluster)
    }

    /// Cuts the streams that are left, waits for changes on their way, writes last uses, ends the
    /// tasks. Takes as long as the store does.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        self.cut_all(CutReason::Shutdown);
        self.0.changes.close();
        self.0.changes.wait().await;
        self.0.flush(true).await;
        self.0.flush_outcomes().await;
    }

    // ---- the check ----

    /// Who is this? One look at memory.
    #[must_use]
    pub fn lookup(&self, digest: &Digest, now: Millis) -> Lookup {
        self.0.keyring.lookup(digest, now)
    }

    /// The key behind a token, if it works at this moment; compare its epoch with the token's.
    #[must_use]
    pub fn key_by_id(&self, id: KeyId) -> Option<KeyHandle> {
        let entry = self.0.keyring.get(id)?;
        entry.is_live(self.0.clock.now()).then_some(KeyHandle { entry, is_previous: false })
    }

    /// The second look, after `None`: a key that another node made.
    ///
    /// # Errors
    /// When the store cannot be asked: 503, never 401.
    pub async fn find_key(&self, id: KeyId) -> Result<Option<KeyHandle>, ClusterError> {
        if self.0.keyring.get(id).is_none()
            && !self.0.is_final()
            && let Some(live) = self.0.store.find_key(id).await?
        {
            self.0.keyring.insert(&live);
        }
        Ok(self.key_by_id(id))
    }

    // ---- sessions ----

    /// Takes note of a session that was just opened, so that its first message costs no read.
    pub fn open_session(&self, entry: SessionEntry) {
        self.0.sessions.open(entry, self.0.clock.now());
    }

    /// May the session of this verified token go on? Counts as a use of it. The token's key, epoch
    /// and origin are for the caller to check.
    ///
    /// # Errors
    /// When the store cannot be asked: 503, never 401.
    pub async fn session(&self, claims: &SessionClaims, now: Millis) -> Result<SessionState, ClusterError> {
        let inner = &self.0;
        let (id, key) = (claims.conversation, claims.key);
        let tenant = Tenant { workspace: claims.workspace, environment: claims.environment };
        if let Some(state) = inner.sessions.visit(id, tenant, key, now) {
            return Ok(state);
        }
        match inner.store.workspace(tenant).conversation(id).await {
            // Remembered of this token alone: under its own tenant and key the session may well live.
            Ok(stored) if stored.key != Some(key) => inner.sessions.bury(id, tenant, key, now),
            Err(StoreError::NotFound) => inner.sessions.bury(id, tenant, key, now),
            Ok(stored)
                if stored.ended_at.is_none() && now.since(stored.updated_at) < crate::sessions::SESSION_IDLE_MS =>
            {
                let origin = claims.origin.as_deref().map(Arc::from);
                let entry = SessionEntry { conversation: id, tenant, key, epoch: claims.epoch, origin };
                inner.sessions.open(entry, now);
            }
            Ok(_) => inner.sessions.end(id, now),
            Err(error) => return Err(error.into()),
        }
        Ok(inner.sessions.visit(id, tenant, key, now).unwrap_or(SessionState::Ended))
    }

    /// A live session, as it was opened; `None` when it has ended or is not in memory.
    #[must_use]
    pub fn session_entry(&self, conversation: ConversationId) -> Option<SessionEntry> {
        self.0.sessions.live(conversation)
    }

    /// Forgets a session whose conversation was deleted and cuts its streams; says how many.
    pub fn drop_session(&self, conversation: ConversationId) -> u64 {
        self.0.sessions.end(conversation, self.0.clock.now());
        self.0.grants.cut_session(conversation, CutReason::Ended)
    }

    // ---- grants ----

    /// A stream's place in the tree. `None` when the key, its epoch, the session or its origin has
    /// gone since the request was admitted; a session must have been opened or looked at before.
    #[must_use]
    pub fn hold(&self, key: KeyId, session: Option<ConversationId>) -> Option<Grant> {
        let inner = &self.0;
        let (epoch, origin) = match session {
            Some(session) => {
                let bound = inner.sessions.bound(session)?;
                (bound.epoch, bound.origin)
            }
            None => (inner.keyring.get(key)?.epoch(), None),
        };
        let grant = inner.grants.enter(key, epoch, session, origin);
        // Checked after entering: a change that comes later finds the stream in the tree, and one
        // that came earlier is seen here.
        let entry = inner.keyring.get(key);
        let ended = session.is_some_and(|session| inner.sessions.bound(session).is_none());
        let objection = objection(entry.as_deref(), grant.stream(), inner.clock.now(), true);
        (!ended && objection.is_none()).then_some(grant)
    }

    /// The place of a stream that no session token opened: with an opener it ends when the key or the leave
    /// of its page does, and with its conversation or the server it ends in any case. `None` when the key,
    /// its epoch or the origin has gone since the request was admitted.
    #[must_use]
    pub fn hold_conversation(&self, conversation: ConversationId, opener: Option<&Opener>) -> Option<Grant> {
        let inner = &self.0;
        let Some(opener) = opener else { return Some(inner.grants.enter(None::<KeyId>, 0, Some(conversation), None)) };
        let grant = inner.grants.enter(opener.key, opener.epoch, Some(conversation), opener.origin.clone());
        let entry = inner.keyring.get(opener.key);
        objection(entry.as_deref(), grant.stream(), inner.clock.now(), true).is_none().then_some(grant)
    }

    /// How many streams are open.
    #[must_use]
    pub fn open_streams(&self) -> u64 {
        self.0.grants.open()
    }

    /// What a key holds on this node: open streams, and sessions that were used lately.
    #[must_use]
    pub fn held_by(&self, key: KeyId, now: Millis) -> (u64, u64) {
        (self.0.grants.of_key(key), self.0.sessions.of_key(key, now))
    }

    /// Cuts every stream; says how many.
    pub fn cut_all(&self, reason: CutReason) -> u64 {
        self.0.grants.cut_all(reason)
    }

    /// Cuts the streams whose key is expired, disabled, revoked, narrowed or gone; says how many. Runs every
    /// second; whatever cut was missed, it ends here.
    pub fn cut_survivors(&self) -> u64 {
        let now = self.0.clock.now();
        self.0.grants.keys().into_iter().map(|key| self.0.cut_key_survivors(key, now, false)).sum()
    }

    // ---- limits ----

    /// Charges one request to every bucket, or to none. `now` is [`Clock::elapsed`]. A refusal is the
    /// answer of the bucket that refuses, else of the one nearest to it.
    #[must_use]
    pub fn charge<'a, B: Into<Option<Bucket<'a>>> + Copy>(&'a self, buckets: &[B], now: Duration) -> Verdict {
        self.0.limits.charge(buckets, now)
    }

    /// Whether the bucket would refuse at `now`, which is [`Clock::elapsed`]. Charges nothing.
    #[must_use]
    pub fn is_exhausted(&self, bucket: Bucket<'_>, now: Duration) -> bool {
        self.0.limits.is_exhausted(bucket, now)
    }

    /// Whether one more guess of a secret of somebody's may be made today (UTC).
    ///
    /// # Errors
    /// The seconds until it may, after a hundred wrong ones.
    pub fn check_guesses(&self, of: &str, now: Millis) -> Result<(), u32> {
        self.0.limits.guesses.check(of, now)
    }

    /// Counts a wrong one.
    pub fn note_wrong_guess(&self, of: &str, now: Millis) {
        self.0.limits.guesses.note(of, now);
    }

    // ---- figures ----

    /// How many keys are in memory.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.0.keyring.len()
    }

    /// How many sessions are in memory.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.0.sessions.len()
    }

    /// How many keyed budgets are in memory.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.0.limits.buckets()
    }

    /// Bytes of tables and entries per key in memory, by what each allocation asks for; 0 when empty.
    #[must_use]
    pub fn approximate_bytes_per_key(&self) -> usize {
        self.0.keyring.bytes().checked_div(self.keys()).unwrap_or(0)
    }
}

/// Why a stream may not go on. With `thorough` the origin rule is asked too, which parses.
pub(crate) fn objection(key: Option<&KeyEntry>, stream: &Stream, now: Millis, thorough: bool) -> Option<CutReason> {
    let Some(key) = key else { return Some(CutReason::Revoked) };
    if stream.epoch != key.epoch() {
        Some(CutReason::Revoked)
    } else if key.is_disabled() {
        Some(CutReason::Disabled)
    } else if key.is_expired(now) {
        Some(CutReason::Expired)
    } else if stream.session.is_some() && !key.may_chat()
        || stream.needed.is_some_and(|needed| !key.scopes().allows(needed))
    {
        Some(CutReason::Revoked)
    } else if thorough && stream.origin.as_ref().is_some_and(|origin| !key.allows_origin(origin)) {
        Some(CutReason::OriginRemoved)
    } else {
        None
    }
}

impl Inner {
    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A miss in memory is the last word.
    fn is_final(&self) -> bool {
        self.complete && self.doubts.is_empty()
    }

    /// A key that was made elsewhere and not used here yet. Those are all in memory, unless memory is in doubt:
    /// an unknown text costs no read.
    pub(crate) async fn imported(&self, digest: &Digest, now: Millis) -> Result<Lookup, ClusterError> {
        match self.keyring.lookup(digest, now) {
            Lookup::Miss if !self.doubts.is_empty() => self.read_through(digest, now).await,
            found => Ok(found),
        }
    }

    pub(crate) async fn read_through(&self, digest: &Digest, now: Millis) -> Result<Lookup, ClusterError> {
        if self.is_final() {
            return Ok(self.keyring.lookup(digest, now));
        }
        let Some(live) = self.store.find_key_by_digest(digest).await? else { return Ok(Lookup::Miss) };
        if self.keyring.insert(&live) == Inserted::Gone {
            return Ok(Lookup::Refused);
        }
        Ok(self.keyring.lookup(digest, now))
    }

    pub(crate) fn cut_key_survivors(&self, key: KeyId, now: Millis, thorough: bool) -> u64 {
        let entry = self.keyring.get(key);
        self.grants.cut_key(key, |stream| objection(entry.as_deref(), stream, now, thorough))
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
