//! The tree of what is going on: key → session → stream.
//!
//! A stream enters first and is then checked, a change takes effect first and then cuts: whichever
//! comes second sees the other, so no stream outlives what opened it.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use access::Scope;
use ambient::{ConversationId, KeyId, RunId};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

const SHARDS: usize = 64;

/// How many sockets one role of a run has at a time.
const SEATS: usize = 8;

/// Why a stream was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CutReason {
    /// The key was revoked, rotated without grace, or no longer allows what the stream needs.
    Revoked = 1,
    /// The key's time is over.
    Expired,
    /// The session was ended.
    Ended,
    /// The key's service account was disabled.
    Disabled,
    /// The session's origin is no longer on the key's list.
    OriginRemoved,
    /// The server stops.
    Shutdown,
    /// A newer socket of the same role took its place.
    Replaced,
}

impl CutReason {
    const ALL: [Self; 7] = [
        Self::Revoked,
        Self::Expired,
        Self::Ended,
        Self::Disabled,
        Self::OriginRemoved,
        Self::Shutdown,
        Self::Replaced,
    ];

    /// The stable name, as the last event of a stream says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Ended => "ended",
            Self::Disabled => "disabled",
            Self::OriginRemoved => "origin_removed",
            Self::Shutdown => "shutdown",
            Self::Replaced => "replaced",
        }
    }
}

impl fmt::Display for CutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What opens a stream without a session: a key, as it was when the request was admitted.
#[derive(Clone, Debug)]
pub struct Opener {
    /// The key.
    pub key: KeyId,
    /// Its epoch.
    pub epoch: u32,
    /// The page that it was sent from, where the key has a list of pages.
    pub origin: Option<Arc<str>>,
}

/// An open stream.
pub(crate) struct Stream {
    number: u64,
    /// `None`: nobody's key opened it, and only its conversation or the server ends it.
    pub(crate) key: Option<KeyId>,
    /// The key's epoch under which it was opened.
    pub(crate) epoch: u32,
    pub(crate) session: Option<ConversationId>,
    pub(crate) origin: Option<Arc<str>>,
    /// What its key must allow for as long as it is open.
    pub(crate) needed: Option<Scope>,
    token: CancellationToken,
    /// 0 while it is open. Set before the token, so that whoever wakes can say why.
    reason: AtomicU8,
}

impl Stream {
    /// True for the one who cut it.
    fn cut(&self, reason: CutReason) -> bool {
        let first = self.reason.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire).is_ok();
        self.token.cancel();
        first
    }

    fn reason(&self) -> Option<CutReason> {
        let reason = self.reason.load(Ordering::Acquire);
        CutReason::ALL.into_iter().find(|known| *known as u8 == reason)
    }
}

type ByKey = HashMap<KeyId, HashMap<u64, Arc<Stream>>>;
type BySession = HashMap<ConversationId, Vec<Arc<Stream>>>;
/// By age.
type BySeat = HashMap<u64, Vec<Arc<Stream>>>;

pub(crate) struct Grants {
    by_key: Box<[Mutex<ByKey>]>,
    by_session: Box<[Mutex<BySession>]>,
    by_seat: Box<[Mutex<BySeat>]>,
    /// Of roles: seeded by the process, so that nobody names one that meets another.
    hasher: RandomState,
    open: AtomicU64,
    numbers: AtomicU64,
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            by_key: (0..SHARDS).map(|_| Mutex::default()).collect(),
            by_session: (0..SHARDS).map(|_| Mutex::default()).collect(),
            by_seat: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            open: AtomicU64::new(0),
            numbers: AtomicU64::new(1),
        }
    }
}

/// Which shard: the last bits of an id are random.
fn shard(bits: u128) -> usize {
    (bits % SHARDS as u128) as usize
}

/// A stream's place in the tree. Dropping it leaves the tree.
pub struct Grant {
    stream: Arc<Stream>,
    grants: Arc<Grants>,
    /// Of which run and role it is one of the sockets; 0 for none.
    seat: u64,
}

impl Grant {
    /// Waits until the stream must end, and says why. May be called again after a time-out.
    pub async fn cancelled(&self) -> CutReason {
        self.stream.token.cancelled().await;
        // Only a caller that cancels the public token itself leaves no reason.
        self.reason().unwrap_or(CutReason::Ended)
    }

    /// For work that takes a token. Cancel a child of it, never itself.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.stream.token.clone()
    }

    /// Makes it one of the 8 sockets that a role has in a run at a time. The one that has been longest goes for
    /// it: a phone that lost its connection comes back before the server knows that it had gone.
    pub fn sit(&mut self, run: RunId, role: &str) {
        if self.seat == 0 {
            self.seat = self.grants.hasher.hash_one((run, role)).max(1);
            self.grants.sit(&self.stream, self.seat);
        }
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Why the stream was cut; `None` while it may go on.
    #[must_use]
    pub fn reason(&self) -> Option<CutReason> {
        self.stream.reason()
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("key", &self.stream.key).field("session", &self.stream.session).finish()
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.grants.leave(&self.stream, self.seat);
    }
}

impl Grants {
    /// Enters the tree. The caller then checks that what opened the stream still holds.
    pub(crate) fn enter(
        self: &Arc<Self>,
        key: impl Into<Option<KeyId>>,
        epoch: u32,
        session: Option<ConversationId>,
        origin: Option<Arc<str>>,
    ) -> Grant {
        self.enter_needing(None, key, epoch, session, origin)
    }

    /// The same, of a stream whose key must go on to allow this.
    pub(crate) fn enter_needing(
        self: &Arc<Self>,
        needed: Option<Scope>,
        key: impl Into<Option<KeyId>>,
        epoch: u32,
        session: Option<ConversationId>,
        origin: Option<Arc<str>>,
    ) -> Grant {
        let (number, key) = (self.numbers.fetch_add(1, Ordering::Relaxed), key.into());
        let (token, reason) = (CancellationToken::new(), AtomicU8::new(0));
        let stream = Arc::new(Stream { number, key, epoch, session, origin, needed, token, reason });
        if let Some(key) = key {
            self.by_key[shard(key.0.0)].lock().entry(key).or_default().insert(number, Arc::clone(&stream));
        }
        if let Some(session) = session {
            self.by_session[shard(session.0.0)].lock().entry(session).or_default().push(Arc::clone(&stream));
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Grant { stream, grants: Arc::clone(self), seat: 0 }
    }

    fn sit(&self, stream: &Arc<Stream>, seat: u64) {
        let mut seats = self.by_seat[shard(seat.into())].lock();
        let seated = seats.entry(seat).or_default();
        seated.push(Arc::clone(stream));
        let longest = (seated.len() > SEATS).then(|| seated.remove(0));
        drop(seats);
        if let Some(longest) = longest {
            longest.cut(CutReason::Replaced);
        }
    }

    fn leave(&self, stream: &Arc<Stream>, seat: u64) {
        if seat != 0 {
            let mut seats = self.by_seat[shard(seat.into())].lock();
            if let Some(seated) = seats.get_mut(&seat) {
                seated.retain(|other| other.number != stream.number);
                if seated.is_empty() {
                    seats.remove(&seat);
                }
            }
        }
        if let Some(key) = stream.key {
            let mut keys = self.by_key[shard(key.0.0)].lock();
            if let Some(streams) = keys.get_mut(&key) {
                streams.remove(&stream.number);
                if streams.is_empty() {
                    keys.remove(&key);
                }
            }
        }
        if let Some(session) = stream.session {
            let mut sessions = self.by_session[shard(session.0.0)].lock();
            if let Some(streams) = sessions.get_mut(&session) {
                streams.retain(|other| other.number != stream.number);
                if streams.is_empty() {
                    sessions.remove(&session);
                }
            }
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// How many streams of a key are open.
    pub(crate) fn of_key(&self, key: KeyId) -> u64 {
        let is_open = |stream: &&Arc<Stream>| stream.reason().is_none();
        self.by_key[shard(key.0.0)]
            .lock()
            .get(&key)
            .map_or(0, |streams| streams.values().filter(is_open).count() as u64)
    }

    /// Cuts the streams of a key for which `judge` has a reason, and says how many. Cancelling wakes
    /// their tasks, so it happens outside the lock.
    pub(crate) fn cut_key(&self, key: KeyId, judge: impl Fn(&Stream) -> Option<CutReason>) -> u64 {
        let streams: Vec<_> = match self.by_key[shard(key.0.0)].lock().get(&key) {
            Some(streams) => streams.values().filter_map(|stream| Some((Arc::clone(stream), judge(stream)?))).collect(),
            None => return 0,
        };
        streams.iter().map(|(stream, reason)| u64::from(stream.cut(*reason))).sum()
    }

    pub(crate) fn cut_session(&self, session: ConversationId, reason: CutReason) -> u64 {
        let streams = self.by_session[shard(session.0.0)].lock().get(&session).cloned().unwrap_or_default();
        streams.iter().map(|stream| u64::from(stream.cut(reason))).sum()
    }

    pub(crate) fn cut_all(&self, reason: CutReason) -> u64 {
        let of_keys: u64 = self.keys().into_iter().map(|key| self.cut_key(key, |_| Some(reason))).sum();
        let is_left = |stream: &&Arc<Stream>| stream.key.is_none();
        let of_nobody =
            |shard: &Mutex<BySession>| -> Vec<_> { shard.lock().values().flatten().filter(is_left).cloned().collect() };
        let of_nobody: Vec<_> = self.by_session.iter().flat_map(of_nobody).collect();
        of_keys + of_nobody.iter().map(|stream| u64::from(stream.cut(reason))).sum::<u64>()
    }

    /// The keys that have open streams.
    pub(crate) fn keys(&self) -> Vec<KeyId> {
        self.by_key.iter().flat_map(|shard| shard.lock().keys().copied().collect::<Vec<_>>()).collect()
    }
}

#[cfg(test)]
mod tests {
    use ambient::Ulid;

    use super::*;

    const KEY: KeyId = KeyId(Ulid(7));
    const SESSION: ConversationId = ConversationId(Ulid(9));

    #[tokio::test]
    async fn a_cut_says_why_counts_each_stream_once_and_spares_the_others() {
        let grants = Arc::new(Grants::default());
        let mine: Vec<_> = (0..3).map(|_| grants.enter(KEY, 0, Some(SESSION), None)).collect();
        let other = grants.enter(KeyId(Ulid(8)), 0, None, None);
        assert_eq!((grants.open(), grants.of_key(KEY)), (4, 3));
        assert_eq!(grants.cut_session(SESSION, CutReason::Ended), 3);
        assert_eq!(grants.of_key(KEY), 0, "they are there until their tasks end, and count no more");
        assert_eq!(grants.cut_key(KEY, |_| Some(CutReason::Revoked)), 0, "they are cut already");
        assert_eq!(mine[0].cancelled().await, CutReason::Ended, "the first reason stays");
        assert!(other.reason().is_none() && !other.token().is_cancelled());
    }

    #[test]
    fn a_dropped_grant_leaves_nothing_behind() {
        let grants = Arc::new(Grants::default());
        drop(grants.enter(KEY, 0, Some(SESSION), None));
        assert_eq!(grants.open(), 0);
        assert!(grants.keys().is_empty());
        assert!(grants.by_session.iter().all(|shard| shard.lock().is_empty()));
        assert_eq!(grants.cut_key(KEY, |_| Some(CutReason::Revoked)), 0);
    }

    #[test]
    fn a_stream_of_nobody_s_key_ends_with_its_conversation_or_the_server() {
        let grants = Arc::new(Grants::default());
        let (one, two) =
            (grants.enter(None::<KeyId>, 0, Some(SESSION), None), grants.enter(None::<KeyId>, 0, Some(SESSION), None));
        assert_eq!(grants.cut_session(ConversationId(Ulid(10)), CutReason::Ended), 0);
        assert_eq!((grants.cut_session(SESSION, CutReason::Ended), one.reason()), (2, Some(CutReason::Ended)));
        drop((one, two));
        let three = grants.enter(None::<KeyId>, 0, Some(SESSION), None);
        assert_eq!((grants.cut_all(CutReason::Shutdown), three.reason()), (1, Some(CutReason::Shutdown)));
        drop(three);
        assert!(grants.open() == 0 && grants.by_session.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn the_ninth_socket_of_a_role_takes_the_place_of_the_first() {
        let grants = Arc::new(Grants::default());
        let sit = |run: u128, role: &str| {
            let mut grant = grants.enter(KEY, 0, None, None);
            grant.sit(RunId(Ulid(run)), role);
            grant
        };
        let mut mine: Vec<_> = (0..SEATS).map(|_| sit(5, "customer")).collect();
        let others = [sit(5, "reviewer"), sit(6, "customer")];
        assert!(mine.iter().all(|grant| grant.reason().is_none()));
        mine.push(sit(5, "customer"));
        let reasons = |grants: &[Grant]| grants.iter().map(Grant::reason).collect::<Vec<_>>();
        let (gone, kept) = (Some(CutReason::Replaced), None);
        assert_eq!(reasons(&mine), [[gone].as_slice(), &[kept; SEATS]].concat());
        assert_eq!(reasons(&others), [kept; 2], "another role, and the same of another run");
        drop(mine.drain(..3));
        mine.extend([sit(5, "customer"), sit(5, "customer")]);
        assert_eq!(reasons(&mine), [kept; SEATS], "who has gone made room");
        drop((mine, others));
        assert!(grants.open() == 0 && grants.by_seat.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn every_reason_survives_the_way_through_its_number() {
        for reason in CutReason::ALL {
            let grants = Arc::new(Grants::default());
            let grant = grants.enter(KEY, 0, None, None);
            assert_eq!((grants.cut_all(reason), grant.reason()), (1, Some(reason)));
        }
    }
}
