//! Chat sessions in memory: which live, which have ended, and when each was last used.

use std::{collections::HashMap, sync::Arc};

use access::Tenant;
use ambient::{ConversationId, KeyId, Millis};
use parking_lot::Mutex;

/// How long a session may rest before it ends, in milliseconds (contract, section 2).
pub const SESSION_IDLE_MS: i64 = 30 * 60 * 1000;
/// How long an end is remembered, in milliseconds. Any reader that began before it is long done.
const REMEMBER_MS: i64 = 10 * 60 * 1000;
const SHARDS: usize = 16;

/// A session that has just been opened.
#[derive(Clone, Debug)]
pub struct SessionEntry {
    /// The conversation; names the session.
    pub conversation: ConversationId,
    /// Whose.
    pub tenant: Tenant,
    /// The key that minted its token.
    pub key: KeyId,
    /// The key's epoch at that moment.
    pub epoch: u32,
    /// The origin that its token is bound to.
    pub origin: Option<Arc<str>>,
}

/// Whether a session may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It may.
    Live,
    /// Ended, deleted, idle for too long, or not what its token says. The token is dead.
    Ended,
}

/// What a stream is bound to by its session.
pub(crate) struct Bound {
    pub(crate) epoch: u32,
    pub(crate) origin: Option<Arc<str>>,
}

enum Session {
    Live { entry: SessionEntry, seen: Millis },
    Ended { at: Millis },
}

impl Session {
    fn stamp(&self) -> Millis {
        match self {
            Self::Live { seen, .. } => *seen,
            Self::Ended { at } => *at,
        }
    }

    fn is_stale(&self, now: Millis) -> bool {
        match self {
            Self::Live { seen, .. } => now.since(*seen) >= SESSION_IDLE_MS,
            Self::Ended { at } => now.since(*at) >= REMEMBER_MS,
        }
    }
}

/// What a verified token names.
type Named = (ConversationId, Tenant, KeyId);

#[derive(Default)]
struct Shard {
    sessions: HashMap<ConversationId, Session>,
    /// Tokens whose conversation is gone or another's, and when each was last seen. By all that the
    /// token names: what is found out about one says nothing about another.
    dead: HashMap<Named, Millis>,
}

pub(crate) struct Sessions {
    shards: Box<[Mutex<Shard>]>,
    per_shard: usize,
}

impl Sessions {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), per_shard: (capacity / SHARDS).max(1) }
    }

    fn shard(&self, conversation: ConversationId) -> &Mutex<Shard> {
        &self.shards[(conversation.0.0 % SHARDS as u128) as usize]
    }

    /// What memory says, and a sign of life. `None`: the store has to be asked.
    pub(crate) fn visit(
        &self,
        conversation: ConversationId,
        tenant: Tenant,
        key: KeyId,
        now: Millis,
    ) -> Option<SessionState> {
        let mut shard = self.shard(conversation).lock();
        let Shard { sessions, dead } = &mut *shard;
        let Some(session) = sessions.get_mut(&conversation) else {
            *dead.get_mut(&(conversation, tenant, key))? = now;
            return Some(SessionState::Ended);
        };
        let Session::Live { entry, seen } = session else { return Some(SessionState::Ended) };
        if entry.tenant != tenant || entry.key != key {
            return Some(SessionState::Ended);
        }
        if now.since(*seen) >= SESSION_IDLE_MS {
            *session = Session::Ended { at: now };
            return Some(SessionState::Ended);
        }
        *seen = now.max(*seen);
        Some(SessionState::Live)
    }

    /// What [`Sessions::visit`] would say; it counts as no use.
    pub(crate) fn peek(
        &self,
        conversation: ConversationId,
        tenant: Tenant,
        key: KeyId,
        now: Millis,
    ) -> Option<SessionState> {
        let shard = self.shard(conversation).lock();
        let Some(session) = shard.sessions.get(&conversation) else {
            return shard.dead.get(&(conversation, tenant, key)).map(|_| SessionState::Ended);
        };
        let is_live = match session {
            Session::Live { entry, seen } => {
                entry.tenant == tenant && entry.key == key && now.since(*seen) < SESSION_IDLE_MS
            }
            Session::Ended { .. } => false,
        };
        Some(if is_live { SessionState::Live } else { SessionState::Ended })
    }

    /// Puts in what was opened or read. An end that memory knows of stays: the reader was slow.
    pub(crate) fn open(&self, entry: SessionEntry, now: Millis) {
        let conversation = entry.conversation;
        let sessions = &mut self.shard(conversation).lock().sessions;
        if !sessions.contains_key(&conversation) {
            self.make_room(sessions, |session| session.is_stale(now), Session::stamp);
            sessions.insert(conversation, Session::Live { entry, seen: now });
        }
    }

    /// Takes note of a token that opens nothing, so that its next use costs no read.
    pub(crate) fn bury(&self, conversation: ConversationId, tenant: Tenant, key: KeyId, now: Millis) {
        let dead = &mut self.shard(conversation).lock().dead;
        self.make_room(dead, |seen| now.since(*seen) >= REMEMBER_MS, |seen| *seen);
        dead.insert((conversation, tenant, key), now);
    }

    /// Ends it, for every reader from here on.
    pub(crate) fn end(&self, conversation: ConversationId, now: Millis) {
        let sessions = &mut self.shard(conversation).lock().sessions;
        if !sessions.contains_key(&conversation) {
            self.make_room(sessions, |session| session.is_stale(now), Session::stamp);
        }
        sessions.insert(conversation, Session::Ended { at: now });
    }

    /// What a stream of this session is bound to; `None` when it has ended or is not in memory.
    pub(crate) fn bound(&self, conversation: ConversationId) -> Option<Bound> {
        self.live(conversation).map(|SessionEntry { epoch, origin, .. }| Bound { epoch, origin })
    }

    pub(crate) fn live(&self, conversation: ConversationId) -> Option<SessionEntry> {
        match self.shard(conversation).lock().sessions.get(&conversation) {
            Some(Session::Live { entry, .. }) => Some(entry.clone()),
            _ => None,
        }
    }

    /// How many of a key's sessions live. Looks at each session: for people, not for requests.
    pub(crate) fn of_key(&self, key: KeyId, now: Millis) -> u64 {
        let lives = |session: &&Session| {
            matches!(session, Session::Live { entry, .. } if entry.key == key) && !session.is_stale(now)
        };
        self.shards.iter().map(|shard| shard.lock().sessions.values().filter(lives).count() as u64).sum()
    }

    /// Stale ones first; then the eighth that has rested longest, so that the next insertions are free.
    fn make_room<K, V>(&self, map: &mut HashMap<K, V>, is_stale: impl Fn(&V) -> bool, stamp: impl Fn(&V) -> Millis)
    where
        K: Eq + std::hash::Hash,
    {
        if map.len() < self.per_shard {
            return;
        }
        map.retain(|_, value| !is_stale(value));
        if map.len() < self.per_shard {
            return;
        }
        let mut stamps: Vec<i64> = map.values().map(|value| stamp(value).0).collect();
        let (_, oldest, _) = stamps.select_nth_unstable(self.per_shard / 8);
        let oldest = Millis(*oldest);
        map.retain(|_, value| stamp(value) > oldest);
    }

    pub(crate) fn prune(&self, now: Millis) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.sessions.retain(|_, session| !session.is_stale(now));
            shard.dead.retain(|_, seen| now.since(*seen) < REMEMBER_MS);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().sessions.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use ambient::{Ulid, WorkspaceId};
    use credential::key::Environment;

    use super::*;

    const TENANT: Tenant = Tenant { workspace: WorkspaceId(Ulid(1)), environment: Environment::Live };
    const KEY: KeyId = KeyId(Ulid(2));
    const ID: ConversationId = ConversationId(Ulid(3));

    fn entry(conversation: ConversationId) -> SessionEntry {
        SessionEntry { conversation, tenant: TENANT, key: KEY, epoch: 0, origin: None }
    }

    #[test]
    fn a_session_ends_after_thirty_idle_minutes_and_not_before() {
        let sessions = Sessions::new(100);
        sessions.open(entry(ID), Millis(0));
        let almost = Millis(SESSION_IDLE_MS - 1);
        assert_eq!(sessions.visit(ID, TENANT, KEY, almost), Some(SessionState::Live));
        let again = almost.plus(SESSION_IDLE_MS - 1);
        assert_eq!(sessions.visit(ID, TENANT, KEY, again), Some(SessionState::Live), "each use counts");
        assert_eq!(sessions.visit(ID, TENANT, KEY, again.plus(SESSION_IDLE_MS)), Some(SessionState::Ended));
        assert_eq!(sessions.visit(ID, TENANT, KEY, again), Some(SessionState::Ended), "it does not come back");
    }

    #[test]
    fn a_slow_reader_does_not_bring_an_ended_session_back() {
        let sessions = Sessions::new(100);
        sessions.end(ID, Millis(0));
        sessions.open(entry(ID), Millis(1));
        assert_eq!(sessions.visit(ID, TENANT, KEY, Millis(2)), Some(SessionState::Ended));
        assert!(sessions.bound(ID).is_none());
    }

    #[test]
    fn a_token_of_another_key_or_tenant_opens_nothing() {
        let sessions = Sessions::new(100);
        sessions.open(entry(ID), Millis(0));
        let foreign = Tenant { environment: Environment::Test, ..TENANT };
        assert_eq!(sessions.visit(ID, foreign, KEY, Millis(1)), Some(SessionState::Ended));
        assert_eq!(sessions.visit(ID, TENANT, KeyId(Ulid(9)), Millis(1)), Some(SessionState::Ended));
        assert_eq!(sessions.visit(ID, TENANT, KEY, Millis(1)), Some(SessionState::Live), "and ends nothing");
    }

    #[test]
    fn a_dead_token_is_remembered_and_buries_no_other() {
        let sessions = Sessions::new(100);
        let foreign = Tenant { environment: Environment::Test, ..TENANT };
        sessions.bury(ID, foreign, KEY, Millis(0));
        sessions.bury(ID, TENANT, KeyId(Ulid(9)), Millis(0));
        assert_eq!(sessions.visit(ID, foreign, KEY, Millis(1)), Some(SessionState::Ended));
        assert_eq!(sessions.visit(ID, TENANT, KEY, Millis(1)), None, "nothing is known about this one");
        sessions.open(entry(ID), Millis(1));
        assert_eq!(sessions.visit(ID, TENANT, KEY, Millis(2)), Some(SessionState::Live));
        let dead = |sessions: &Sessions| sessions.shards.iter().map(|shard| shard.lock().dead.len()).sum::<usize>();
        sessions.prune(Millis(REMEMBER_MS));
        assert_eq!(dead(&sessions), 1, "the one that was used stays");
        sessions.prune(Millis(REMEMBER_MS + 1));
        assert_eq!(dead(&sessions), 0);
        for number in 0..10_000_u128 {
            sessions.bury(ConversationId(Ulid(number)), TENANT, KEY, Millis(i64::try_from(number).unwrap()));
        }
        assert!(dead(&sessions) <= 100);
        assert_eq!(sessions.visit(ID, TENANT, KEY, Millis(2)), Some(SessionState::Live), "a flood of them ends nobody");
    }

    #[test]
    fn a_flood_keeps_to_the_cap_and_the_newest_stay() {
        let sessions = Sessions::new(1600);
        for number in 0..10_000_u128 {
            let now = Millis(i64::try_from(number).unwrap());
            sessions.open(entry(ConversationId(Ulid(number))), now);
            assert!(sessions.len() <= 1600);
        }
        let newest = ConversationId(Ulid(9_999));
        assert_eq!(sessions.visit(newest, TENANT, KEY, Millis(10_000)), Some(SessionState::Live));
        sessions.prune(Millis(10_000 + SESSION_IDLE_MS));
        assert_eq!(sessions.len(), 0);
    }
}
