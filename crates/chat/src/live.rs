//! What goes on in the conversations of this moment: replies under way, those of the last minute, and who
//! listens. A conversation in which nothing happens has no entry.

use std::{
    collections::{HashMap, VecDeque},
    ops::Deref,
    sync::{Arc, Weak},
    time::Duration,
};

use ambient::{Clock, ConversationId};
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Notify, futures::Notified, watch},
};

use crate::log::ReplyLog;

/// How long a finished reply can be read again.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(60);
/// The most that finished replies take in memory, all together.
const KEPT_BYTES: usize = 32 * 1024 * 1024;
/// The most replies of one conversation.
const KEPT_REPLIES: usize = 4;
/// The most that listen to one conversation.
pub(crate) const MAX_FOLLOWERS: usize = 8;
/// How often what is too old is looked for while nothing else happens.
const SWEEP: Duration = Duration::from_secs(10);
const SHARDS: usize = 64;

/// All of it. Clones share.
#[derive(Clone)]
pub(crate) struct Registry(Arc<Inner>);

struct Inner {
    shards: Box<[Mutex<HashMap<ConversationId, Slot>>]>,
    kept: Mutex<Kept>,
    clock: Arc<dyn Clock>,
}

struct Slot {
    live: Arc<Live>,
    /// Those with a [`Place`].
    users: usize,
}

/// Finished replies, the oldest end first.
#[derive(Default)]
struct Kept {
    replies: VecDeque<KeptReply>,
    bytes: usize,
    is_swept: bool,
}

struct KeptReply {
    ended: Duration,
    bytes: usize,
    conversation: ConversationId,
    log: Weak<ReplyLog>,
}

/// One conversation.
pub(crate) struct Live {
    replies: Mutex<Replies>,
    changed: Notify,
    followers: watch::Sender<usize>,
}

#[derive(Default)]
struct Replies {
    /// The oldest first.
    logs: VecDeque<Arc<ReplyLog>>,
    begun: u64,
}

/// Holds a conversation's entry for as long as somebody needs it.
pub(crate) struct Place {
    registry: Registry,
    conversation: ConversationId,
    live: Arc<Live>,
}

/// One who listens; dropping it says that he left.
pub(crate) struct Follower(Arc<Live>);

impl Registry {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self(Arc::new(Inner { shards, kept: Mutex::default(), clock }))
    }

    pub(crate) fn enter(&self, conversation: ConversationId) -> Place {
        self.0.sweep();
        let mut slots = self.0.shard(conversation).lock();
        let slot = slots.entry(conversation).or_insert_with(|| Slot { live: Arc::new(Live::new()), users: 0 });
        slot.users += 1;
        Place { registry: self.clone(), conversation, live: Arc::clone(&slot.live) }
    }

    /// Keeps what is finished for a while.
    fn keep(&self, conversation: ConversationId, log: &Arc<ReplyLog>) {
        let (ended, bytes) = (self.0.clock.elapsed(), log.bytes());
        let mut kept = self.0.kept.lock();
        kept.replies.push_back(KeptReply { ended, bytes, conversation, log: Arc::downgrade(log) });
        kept.bytes += bytes;
        let begin = !std::mem::replace(&mut kept.is_swept, true);
        drop(kept);
        self.0.sweep();
        if let (true, Ok(runtime)) = (begin, Handle::try_current()) {
            runtime.spawn(sweep_on(Arc::downgrade(&self.0)));
        }
    }

    #[cfg(test)]
    fn conversations(&self) -> usize {
        self.0.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// Sweeps until nothing is kept, or the registry has gone.
async fn sweep_on(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(inner) = inner.upgrade() else { return };
        inner.sweep();
        let mut kept = inner.kept.lock();
        if kept.replies.is_empty() {
            kept.is_swept = false;
            return;
        }
    }
}

impl Inner {
    fn shard(&self, conversation: ConversationId) -> &Mutex<HashMap<ConversationId, Slot>> {
        &self.shards[(conversation.0.0 % SHARDS as u128) as usize]
    }

    /// Lets go of what is too old, and of the oldest where there is too much.
    fn sweep(&self) {
        let now = self.clock.elapsed();
        loop {
            let mut kept = self.kept.lock();
            let is_due = |reply: &KeptReply| now.saturating_sub(reply.ended) >= KEPT_FOR;
            let too_much = kept.bytes > KEPT_BYTES;
            let Some(reply) = kept.replies.pop_front_if(|reply| too_much || is_due(reply)) else { return };
            kept.bytes -= reply.bytes;
            drop(kept);
            let Some(log) = reply.log.upgrade() else { continue };
            let mut slots = self.shard(reply.conversation).lock();
            if let Some(slot) = slots.get(&reply.conversation) {
                slot.live.forget(&log);
            }
            Self::tidy(&mut slots, reply.conversation);
        }
    }

    fn tidy(slots: &mut HashMap<ConversationId, Slot>, conversation: ConversationId) {
        let is_empty = |slot: &Slot| slot.users == 0 && slot.live.replies.lock().logs.is_empty();
        if slots.get(&conversation).is_some_and(is_empty) {
            slots.remove(&conversation);
        }
    }
}

impl Place {
    /// Enters a reply that begins. An earlier answer to the same message is forgotten.
    pub(crate) fn begin(&self, mut log: ReplyLog) -> Arc<ReplyLog> {
        let mut replies = self.live.replies.lock();
        replies.begun += 1;
        log.sequence = replies.begun;
        let log = Arc::new(log);
        replies.logs.retain(|other| other.position != log.position);
        replies.logs.push_back(Arc::clone(&log));
        while replies.logs.len() > KEPT_REPLIES && replies.logs.front().is_some_and(|oldest| oldest.is_over()) {
            replies.logs.pop_front();
        }
        drop(replies);
        self.live.changed.notify_waiters();
        log
    }

    /// A reply that has ended can be read again for a while.
    pub(crate) fn finish(&self, log: &Arc<ReplyLog>) {
        self.registry.keep(self.conversation, log);
    }
}

impl Deref for Place {
    type Target = Arc<Live>;

    fn deref(&self) -> &Arc<Live> {
        &self.live
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut slots = self.registry.0.shard(self.conversation).lock();
        if let Some(slot) = slots.get_mut(&self.conversation) {
            slot.users -= 1;
        }
        Inner::tidy(&mut slots, self.conversation);
    }
}

impl Live {
    fn new() -> Self {
        Self { replies: Mutex::default(), changed: Notify::new(), followers: watch::Sender::new(0) }
    }

    /// Wakes when a reply begins. Enable it, look, then wait.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    fn find(&self, wanted: impl Fn(&ReplyLog) -> bool) -> Option<Arc<ReplyLog>> {
        self.replies.lock().logs.iter().find(|log| wanted(log)).cloned()
    }

    /// The reply to the message that its sender called so.
    pub(crate) fn by_key(&self, key: &str) -> Option<Arc<ReplyLog>> {
        self.find(|log| log.client_key.as_deref() == Some(key))
    }

    pub(crate) fn at(&self, position: u64) -> Option<Arc<ReplyLog>> {
        self.find(|log| log.position == position)
    }

    /// The first that began after that many.
    pub(crate) fn after(&self, sequence: u64) -> Option<Arc<ReplyLog>> {
        self.find(|log| log.sequence > sequence)
    }

    /// The one under way.
    pub(crate) fn current(&self) -> Option<Arc<ReplyLog>> {
        self.find(|log| !log.is_over())
    }

    /// How many have begun.
    pub(crate) fn begun(&self) -> u64 {
        self.replies.lock().begun
    }

    pub(crate) fn forget(&self, log: &Arc<ReplyLog>) {
        self.replies.lock().logs.retain(|other| !Arc::ptr_eq(other, log));
    }

    /// Listens; `None` when enough do.
    pub(crate) fn follow(self: &Arc<Self>) -> Option<Follower> {
        let entered = self.followers.send_if_modified(|followers| {
            let has_room = *followers < MAX_FOLLOWERS;
            *followers += usize::from(has_room);
            has_room
        });
        entered.then(|| Follower(Arc::clone(self)))
    }

    /// Waits until nobody has read `log` or listened for as long as `grace`.
    pub(crate) async fn abandoned(&self, log: &ReplyLog, grace: Duration) {
        let (mut readers, mut followers) = (log.readers(), self.followers.subscribe());
        loop {
            while *readers.borrow_and_update() + *followers.borrow_and_update() > 0 {
                either(&mut readers, &mut followers).await;
            }
            let back = async {
                while *readers.borrow_and_update() + *followers.borrow_and_update() == 0 {
                    either(&mut readers, &mut followers).await;
                }
            };
            if grace.is_zero() || tokio::time::timeout(grace, back).await.is_err() {
                return;
            }
        }
    }
}

/// Their senders outlive them: an error never comes.
async fn either(one: &mut watch::Receiver<usize>, other: &mut watch::Receiver<usize>) {
    tokio::select! {
        _ = one.changed() => {}
        _ = other.changed() => {}
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.followers.send_modify(|followers| *followers -= 1);
    }
}

#[cfg(test)]
mod tests {
    use ambient::{ManualClock, Millis, Ulid};
    use tokio::time::timeout;

    use super::*;
    use crate::{ReplyErrorCode, ReplyEvent};

    const A: ConversationId = ConversationId(Ulid(1));
    const SOON: Duration = Duration::from_millis(20);

    fn registry() -> (Registry, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Millis(0)));
        (Registry::new(Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    fn reply(place: &Place, position: u64, text: &str) -> Arc<ReplyLog> {
        let log = place.begin(ReplyLog::new(position, 0, "hi", Some(&format!("k-{position}"))));
        log.say(text);
        log
    }

    fn finish(place: &Place, log: &Arc<ReplyLog>) {
        log.end(ReplyErrorCode::Internal.event());
        place.finish(log);
    }

    #[tokio::test]
    async fn a_finished_reply_is_kept_a_minute_and_an_idle_conversation_not_at_all() {
        let (registry, clock) = registry();
        drop(registry.enter(A));
        assert_eq!(registry.conversations(), 0);
        let place = registry.enter(A);
        let log = reply(&place, 1, "a");
        assert!(place.current().is_some());
        finish(&place, &log);
        assert!(place.current().is_none());
        drop((place, log));
        clock.advance(KEPT_FOR - Duration::from_millis(1));
        assert!(registry.enter(A).by_key("k-1").is_some_and(|log| log.text() == "a"));
        clock.advance(Duration::from_millis(1));
        assert!(registry.enter(A).by_key("k-1").is_none());
        assert_eq!((registry.conversations(), registry.0.kept.lock().bytes), (0, 0));
    }

    #[tokio::test]
    async fn a_conversation_keeps_four_and_all_together_keep_32_mebibytes() {
        let (registry, _) = registry();
        let place = registry.enter(A);
        for position in 1..=6 {
            let log = reply(&place, position, "a");
            finish(&place, &log);
        }
        assert!(place.at(2).is_none() && place.at(3).is_some() && place.at(6).is_some());
        let text = "x".repeat(1024 * 1024);
        for number in 10..60_u128 {
            let place = registry.enter(ConversationId(Ulid(number)));
            let log = reply(&place, 1, &text);
            finish(&place, &log);
        }
        let kept = registry.0.kept.lock().bytes;
        assert!(kept <= KEPT_BYTES && kept > KEPT_BYTES / 2, "{kept}");
        assert!(registry.enter(ConversationId(Ulid(59))).at(1).is_some(), "the newest stays");
        assert!(registry.enter(ConversationId(Ulid(10))).at(1).is_none(), "the oldest goes");
    }

    #[tokio::test]
    async fn another_answer_to_a_message_takes_the_place_of_the_first() {
        let (registry, _) = registry();
        let place = registry.enter(A);
        let first = reply(&place, 1, "a");
        finish(&place, &first);
        let second = reply(&place, 1, "b");
        assert!(place.by_key("k-1").is_some_and(|log| Arc::ptr_eq(&log, &second)));
        assert_eq!((first.sequence, second.sequence, place.begun()), (1, 2, 2));
    }

    #[tokio::test]
    async fn nine_do_not_follow() {
        let (registry, _) = registry();
        let place = registry.enter(A);
        let mut eight: Vec<_> = (0..MAX_FOLLOWERS).map(|_| place.follow().unwrap()).collect();
        assert!(place.follow().is_none());
        eight.pop();
        assert!(place.follow().is_some());
    }

    #[tokio::test]
    async fn a_reply_is_abandoned_when_its_last_reader_has_been_away_for_the_grace() {
        let (registry, _) = registry();
        let place = registry.enter(A);
        let log = reply(&place, 1, "a");
        let (reader, follower) = (log.reader(), place.follow());
        assert!(timeout(SOON, place.abandoned(&log, Duration::ZERO)).await.is_err());
        drop(reader);
        assert!(timeout(SOON, place.abandoned(&log, Duration::ZERO)).await.is_err(), "one listens");
        drop(follower);
        assert!(timeout(SOON, place.abandoned(&log, Duration::ZERO)).await.is_ok());
        let mut waiting = Box::pin(place.abandoned(&log, SOON * 4));
        assert!(timeout(SOON * 2, &mut waiting).await.is_err(), "there is time to come back");
        let reader = log.reader();
        assert!(timeout(SOON * 6, &mut waiting).await.is_err(), "and who is back is not away");
        drop(reader);
        assert!(timeout(SOON * 10, waiting).await.is_ok());
    }

    #[tokio::test]
    async fn who_waits_for_a_reply_hears_that_it_begins() {
        let (registry, _) = registry();
        let place = registry.enter(A);
        let mut changed = Box::pin(place.changed());
        changed.as_mut().enable();
        reply(&place, 1, "a").add(ReplyEvent::Gap);
        assert!(timeout(SOON, changed).await.is_ok());
        assert!(place.after(0).is_some() && place.after(1).is_none());
    }
}
