use std::{
    fmt,
    net::IpAddr,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use access::{KeyCaller, KeyKind, Scope, ScopeSet, Tenant};
use ambient::{KeyId, Millis, ServiceAccountId};
use credential::{
    key::{Environment, Family},
    origin::AllowedOrigins,
    secret::Digest,
};
use ipnet::IpNet;
use parking_lot::RwLock;
use store::LiveKey;

use crate::{usage::Usage, workspace_entry::WorkspaceEntry};

/// What a service account holds at this moment. Its keys share it, so that a change to it is a
/// change to all of them at once.
pub(crate) struct AccountEntry {
    pub(crate) id: ServiceAccountId,
    state: RwLock<AccountState>,
}

#[derive(Clone, Copy)]
pub(crate) struct AccountState {
    pub(crate) scopes: ScopeSet,
    pub(crate) disabled: bool,
}

impl AccountEntry {
    pub(crate) fn new(id: ServiceAccountId, state: AccountState) -> Self {
        Self { id, state: RwLock::new(state) }
    }

    pub(crate) fn state(&self) -> AccountState {
        *self.state.read()
    }

    pub(crate) fn set(&self, state: AccountState) {
        *self.state.write() = state;
    }
}

/// One digest under which a key is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Secret {
    pub(crate) digest: Digest,
    /// `None` is the newest.
    pub(crate) grace_ends: Option<Millis>,
}

pub(crate) struct Previous {
    pub(crate) digest: Digest,
    pub(crate) grace_ends: Millis,
    pub(crate) usage: Usage,
}

/// What few keys have, so that the others do not pay for it.
pub(crate) struct Extra {
    origins: Option<AllowedOrigins>,
    deny_localhost: bool,
    allowed_ips: Box<[IpNet]>,
    rate_limit: Option<u32>,
    daily_sessions: Option<u32>,
    daily_messages: Option<u32>,
    daily_requests: Option<u32>,
    pub(crate) cell: AtomicU64,
    pub(crate) sessions_today: AtomicU64,
    pub(crate) messages_today: AtomicU64,
    /// A day and how many; 0 until it was read what was counted before this process.
    pub(crate) requests_today: AtomicU64,
    pub(crate) previous: Option<Previous>,
}

/// A key as the gate sees it. Never changed, only replaced: two requests that hold the same entry
/// see the same key.
pub struct KeyEntry {
    id: KeyId,
    digest: Digest,
    version: u64,
    scopes: ScopeSet,
    /// `i64::MAX` is never: eight bytes less than an `Option`.
    expires_at: i64,
    workspace: Arc<WorkspaceEntry>,
    account: Option<Arc<AccountEntry>>,
    extra: Option<Box<Extra>>,
    pub(crate) usage: Usage,
    /// The minute since the epoch in which an exposure was last reported.
    exposed: AtomicU32,
    epoch: u32,
    kind: KeyKind,
    family: Family,
    environment: Environment,
    allow_origin_header: bool,
}

impl KeyEntry {
    /// The key; stays through rotations.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whose data it sees.
    #[must_use]
    pub fn tenant(&self) -> Tenant {
        Tenant { workspace: self.workspace.id(), environment: self.environment }
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// What its text begins with.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// What it may do at this moment, cut to what its service account may.
    #[must_use]
    pub fn scopes(&self) -> ScopeSet {
        self.account.as_ref().map_or(self.scopes, |account| self.scopes.intersect(account.state().scopes))
    }

    /// Whether the sessions that it opened may go on at this moment. Opening sessions is what a
    /// widget key is for; any other needs `chat:write`, which it or its account may have lost since.
    #[must_use]
    pub fn may_chat(&self) -> bool {
        self.kind == KeyKind::Widget || self.scopes().allows(Scope::ChatWrite)
    }

    /// The service account that owns it.
    #[must_use]
    pub fn service_account(&self) -> Option<ServiceAccountId> {
        self.account.as_ref().map(|account| account.id)
    }

    /// When it stops; `None` is never.
    #[must_use]
    pub fn expires_at(&self) -> Option<Millis> {
        (self.expires_at != i64::MAX).then_some(Millis(self.expires_at))
    }

    /// Whether it has stopped by `now`.
    #[must_use]
    pub fn is_expired(&self, now: Millis) -> bool {
        now.0 >= self.expires_at
    }

    /// Whether it works at `now`, given that it is not revoked: not expired, its account not disabled.
    #[must_use]
    pub fn is_live(&self, now: Millis) -> bool {
        !self.is_expired(now) && !self.is_disabled()
    }

    /// Tokens minted now carry it; a later epoch ends them.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The origins that a widget key lists. `None` allows no origin but `localhost`.
    #[must_use]
    pub fn allowed_origins(&self) -> Option<&AllowedOrigins> {
        self.extra.as_ref()?.origins.as_ref()
    }

    /// Whether `localhost` passes the origin rule.
    #[must_use]
    pub fn allow_localhost(&self) -> bool {
        !self.extra.as_ref().is_some_and(|extra| extra.deny_localhost)
    }

    /// Whether a page of this `Origin` may use it, or a token that it minted. A key that lists no
    /// origins allows none.
    #[must_use]
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.allowed_origins().is_some_and(|origins| origins.allows(origin, self.allow_localhost()))
    }

    /// Where its chat may be in a frame, as sources of a content policy, none of them where it lists no
    /// page; `None` for a key of another kind than widget.
    #[must_use]
    pub fn frame_sources(&self) -> Option<Vec<String>> {
        let sources = || self.allowed_origins().map(|origins| origins.frame_sources(self.allow_localhost()));
        (self.kind == KeyKind::Widget).then(|| sources().unwrap_or_default())
    }

    /// A reverse proxy forwards `Origin`: the audience firewall lets it pass.
    #[must_use]
    pub fn allow_origin_header(&self) -> bool {
        self.allow_origin_header
    }

    /// The client must come from one of these; empty is anywhere.
    #[must_use]
    pub fn allowed_ips(&self) -> &[IpNet] {
        self.extra.as_ref().map_or(&[], |extra| &extra.allowed_ips)
    }

    /// Whether a client at `address` may use it.
    #[must_use]
    pub fn allows_address(&self, address: IpAddr) -> bool {
        let (ranges, address) = (self.allowed_ips(), address.to_canonical());
        ranges.is_empty() || ranges.iter().any(|range| range.contains(&address))
    }

    /// True once a minute: whoever gets it reports that the key was seen in a browser.
    #[must_use]
    pub fn claim_exposure_report(&self, now: Millis) -> bool {
        let minute = u32::try_from(now.seconds() / 60).unwrap_or(0);
        self.exposed.swap(minute, Ordering::Relaxed) != minute
    }

    /// Requests a minute under it; `None` is no budget of its own.
    #[must_use]
    pub fn rate_limit(&self) -> Option<u32> {
        self.extra.as_ref()?.rate_limit
    }

    /// Sessions that it opens in 24 hours; `None` is no ceiling.
    #[must_use]
    pub fn daily_sessions(&self) -> Option<u32> {
        self.extra.as_ref()?.daily_sessions
    }

    /// Messages in all of its sessions in 24 hours; `None` is no ceiling.
    #[must_use]
    pub fn daily_messages(&self) -> Option<u32> {
        self.extra.as_ref()?.daily_messages
    }

    /// Requests with it on one day, UTC; `None` is no ceiling.
    #[must_use]
    pub fn daily_requests(&self) -> Option<u32> {
        self.extra.as_ref()?.daily_requests
    }

    /// Whether it has a ceiling of the day, and nobody has read yet how much of it is gone.
    #[must_use]
    pub fn has_unread_day(&self) -> bool {
        let extra = self.extra.as_ref().filter(|extra| extra.daily_requests.is_some());
        extra.is_some_and(|extra| extra.requests_today.load(Ordering::Relaxed) == 0)
    }

    /// The budget that it draws on.
    #[must_use]
    pub fn workspace(&self) -> &Arc<WorkspaceEntry> {
        &self.workspace
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(crate) fn extra(&self) -> Option<&Extra> {
        self.extra.as_deref()
    }

    pub(crate) fn previous(&self) -> Option<&Previous> {
        self.extra.as_ref()?.previous.as_ref()
    }

    pub(crate) fn account(&self) -> Option<&Arc<AccountEntry>> {
        self.account.as_ref()
    }

    /// Where the uses of a secret are counted, and whether it is the previous one.
    pub(crate) fn usage_of(&self, digest: &Digest) -> Option<(&Usage, bool)> {
        if self.digest == *digest {
            return Some((&self.usage, false));
        }
        let previous = self.previous().filter(|previous| previous.digest == *digest)?;
        Some((&previous.usage, true))
    }

    /// Its account does not let it work.
    pub(crate) fn is_disabled(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.state().disabled)
    }

    /// Every digest under which it is found.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let current = Secret { digest: self.digest, grace_ends: None };
        let previous = self.previous().map(|p| Secret { digest: p.digest, grace_ends: Some(p.grace_ends) });
        std::iter::once(current).chain(previous).collect()
    }

    /// An entry for `live`, found under `secrets`: the newest, which has no end, and the one whose
    /// grace lasts longest. `None` without a newest: nothing works that has no secret.
    pub(crate) fn new(
        live: &LiveKey,
        secrets: &[Secret],
        workspace: Arc<WorkspaceEntry>,
        account: Option<Arc<AccountEntry>>,
    ) -> Option<Self> {
        let current = secrets.iter().find(|secret| secret.grace_ends.is_none())?;
        let others = secrets.iter().filter(|secret| secret.digest != current.digest);
        let previous = others
            .filter_map(|secret| Some((secret.digest, secret.grace_ends?)))
            .max_by_key(|(_, grace_ends)| *grace_ends)
            .map(|(digest, grace_ends)| Previous { digest, grace_ends, usage: Usage::default() });
        let key = &live.key;
        let settings = &key.settings;
        // An entry that this version cannot read allows nothing: better than allowing too much.
        let origins = (!settings.allowed_domains.is_empty())
            .then(|| AllowedOrigins::parse(&settings.allowed_domains))
            .and_then(|parsed| {
                parsed.inspect_err(|error| tracing::warn!(key = %key.id, %error, "unreadable allowed_domains")).ok()
            });
        let extra = Extra {
            origins,
            deny_localhost: settings.deny_localhost,
            allowed_ips: settings.allowed_ips.as_slice().into(),
            rate_limit: settings.rate_limit,
            daily_sessions: settings.daily_sessions,
            daily_messages: settings.daily_messages,
            daily_requests: settings.daily_requests,
            cell: AtomicU64::new(0),
            sessions_today: AtomicU64::new(0),
            messages_today: AtomicU64::new(0),
            requests_today: AtomicU64::new(0),
            previous,
        };
        Some(Self {
            id: key.id,
            digest: current.digest,
            version: key.version,
            scopes: key.scopes,
            expires_at: key.expires_at.map_or(i64::MAX, |at| at.0),
            workspace,
            account,
            extra: extra.says_something().then(|| Box::new(extra)),
            usage: Usage::default(),
            exposed: AtomicU32::new(0),
            epoch: key.epoch,
            kind: key.kind,
            family: key.family,
            environment: key.environment,
            allow_origin_header: settings.allow_origin_header,
        })
    }

    /// The same key, found under `new` where it was found under `old`. Uses that are not written yet
    /// stay with the entry that counted them.
    pub(crate) fn with_digest(&self, old: &Digest, new: Digest) -> Self {
        let swap = |digest: Digest| if digest == *old { new } else { digest };
        let extra = self.extra.as_ref().map(|extra| {
            Box::new(Extra {
                origins: extra.origins.clone(),
                deny_localhost: extra.deny_localhost,
                allowed_ips: extra.allowed_ips.clone(),
                rate_limit: extra.rate_limit,
                daily_sessions: extra.daily_sessions,
                daily_messages: extra.daily_messages,
                daily_requests: extra.daily_requests,
                cell: copy(&extra.cell),
                sessions_today: copy(&extra.sessions_today),
                messages_today: copy(&extra.messages_today),
                requests_today: copy(&extra.requests_today),
                previous: extra.previous.as_ref().map(|previous| Previous {
                    digest: swap(previous.digest),
                    grace_ends: previous.grace_ends,
                    usage: Usage::default(),
                }),
            })
        });
        Self {
            digest: swap(self.digest),
            extra,
            usage: Usage::default(),
            exposed: AtomicU32::new(self.exposed.load(Ordering::Relaxed)),
            workspace: Arc::clone(&self.workspace),
            account: self.account.clone(),
            ..*self
        }
    }

    /// Takes over what has been spent of the key's own budgets. A ceiling of 24 hours that was changed
    /// begins anew: whoever raises one that is used up wants it to be in force. Requests of a day are counted,
    /// whatever the ceiling is.
    pub(crate) fn inherit(&self, older: &Self) {
        let (Some(own), Some(older)) = (self.extra(), older.extra()) else { return };
        let take = |own: &AtomicU64, older: &AtomicU64| own.store(older.load(Ordering::Relaxed), Ordering::Relaxed);
        take(&own.cell, &older.cell);
        if older.daily_requests.is_some() {
            take(&own.requests_today, &older.requests_today);
        }
        if own.daily_sessions == older.daily_sessions {
            take(&own.sessions_today, &older.sessions_today);
        }
        if own.daily_messages == older.daily_messages {
            take(&own.messages_today, &older.messages_today);
        }
    }
}

fn copy(cell: &AtomicU64) -> AtomicU64 {
    AtomicU64::new(cell.load(Ordering::Relaxed))
}

impl Extra {
    fn says_something(&self) -> bool {
        self.origins.is_some()
            || self.deny_localhost
            || !self.allowed_ips.is_empty()
            || self.rate_limit.is_some()
            || self.daily_sessions.is_some()
            || self.daily_messages.is_some()
            || self.daily_requests.is_some()
            || self.previous.is_some()
    }
}

impl fmt::Debug for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyEntry({})", self.id)
    }
}

/// A key, and which of its secrets was presented. Holds what was true when it was looked up.
#[derive(Clone, Debug)]
pub struct KeyHandle {
    pub(crate) entry: Arc<KeyEntry>,
    /// The secret in its grace, not the newest.
    pub(crate) is_previous: bool,
}

impl KeyHandle {
    /// Who is calling; `origin` is the allowed `Origin` that the request came from.
    #[must_use]
    pub fn caller(&self, origin: Option<Arc<str>>) -> KeyCaller {
        let secret_ends = self.previous().filter(|_| self.is_previous).map(|previous| previous.grace_ends);
        KeyCaller {
            key: self.id(),
            tenant: self.tenant(),
            kind: self.kind(),
            scopes: self.scopes(),
            service_account: self.service_account(),
            expires_at: [self.expires_at(), secret_ends].into_iter().flatten().min(),
            secret_ends,
            epoch: self.epoch(),
            origin,
        }
    }
}

impl Deref for KeyHandle {
    type Target = KeyEntry;

    fn deref(&self) -> &KeyEntry {
        &self.entry
    }
}
