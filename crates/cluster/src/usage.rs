//! Last use and counts: atomics in the entry, written to the store in batches.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use ambient::Millis;
use parking_lot::Mutex;
use store::SecretUse;

use crate::entry::{KeyEntry, KeyHandle};

/// How long a secret's uses are gathered before they are written again.
const GATHER: Duration = Duration::from_secs(60);
/// The most rows that one flush writes. With more than 24,000 different keys used a minute the
/// stored figures lag behind; nothing else suffers.
const MAX_ROWS: usize = 2_000;
/// Rows per transaction, so that a flush never holds SQLite's one writer for long.
const CHUNK: usize = 500;

/// A day, in milliseconds.
pub(crate) const DAY: i64 = 86_400_000;
/// An hour, in milliseconds.
const HOUR: i64 = 3_600_000;

/// What happened to one secret since it was last written. 32 bytes: it is in every entry.
#[derive(Default)]
pub(crate) struct Usage {
    /// The address as IPv6, in halves; the check tells when two writers crossed.
    high: AtomicU64,
    low: AtomicU64,
    /// Unix seconds; good until 2106.
    last: AtomicU32,
    uses: AtomicU32,
    refused: AtomicU32,
    check: AtomicU16,
    queued: AtomicBool,
}

/// What happened, as it was read. Without a use, when and from where says nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uses {
    pub(crate) count: u32,
    refused: u32,
    pub(crate) last: Millis,
    pub(crate) address: Option<IpAddr>,
}

impl Uses {
    /// The hour that they count for: that of the last use, so a use within a minute of its end may count for the
    /// hour after, and the day after.
    const fn hour(&self, now: Millis) -> i64 {
        let of = if self.count > 0 { self.last.0 } else { now.0 };
        of.div_euclid(HOUR)
    }

    /// The day that they count for.
    pub(crate) const fn day(&self, now: Millis) -> i64 {
        self.hour(now).div_euclid(24)
    }
}

impl Usage {
    /// Counts a use; true when the entry has to be put on the queue.
    fn record(&self, address: Option<IpAddr>, now: Millis) -> bool {
        self.stamp(address, now);
        self.uses.fetch_add(1, Ordering::AcqRel);
        self.must_queue()
    }

    /// Counts a request that was refused; true likewise.
    fn refuse(&self) -> bool {
        self.refused.fetch_add(1, Ordering::AcqRel);
        self.must_queue()
    }

    /// Takes over what another has counted of the same secret; true likewise.
    fn add(&self, uses: Uses) -> bool {
        let own = Millis::from_seconds(i64::from(self.last.load(Ordering::Relaxed)));
        if uses.count > 0 && own <= uses.last {
            self.stamp(uses.address, uses.last);
        }
        self.uses.fetch_add(uses.count, Ordering::AcqRel);
        self.refused.fetch_add(uses.refused, Ordering::AcqRel);
        self.must_queue()
    }

    fn stamp(&self, address: Option<IpAddr>, now: Millis) {
        let bits = address.map_or(0, |address| match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits(),
        });
        let (high, low) = halves(bits);
        self.high.store(high, Ordering::Relaxed);
        self.low.store(low, Ordering::Relaxed);
        self.check.store(check(high, low), Ordering::Relaxed);
        self.last.store(u32::try_from(now.seconds()).unwrap_or(0), Ordering::Relaxed);
    }

    fn must_queue(&self) -> bool {
        // Reading first keeps a hot key's line shared between the cores that look at it.
        !self.queued.load(Ordering::Acquire) && !self.queued.swap(true, Ordering::AcqRel)
    }

    fn take(&self) -> Option<Uses> {
        let (count, refused) = (self.uses.swap(0, Ordering::AcqRel), self.refused.swap(0, Ordering::AcqRel));
        self.read(count, refused)
    }

    /// What is not written yet.
    pub(crate) fn peek(&self) -> Option<Uses> {
        self.read(self.uses.load(Ordering::Acquire), self.refused.load(Ordering::Acquire))
    }

    fn read(&self, count: u32, refused: u32) -> Option<Uses> {
        let (high, low) = (self.high.load(Ordering::Relaxed), self.low.load(Ordering::Relaxed));
        let whole = self.check.load(Ordering::Relaxed) == check(high, low);
        let address = Ipv6Addr::from_bits((u128::from(high) << 64) | u128::from(low));
        let address = (whole && !address.is_unspecified()).then(|| IpAddr::V6(address).to_canonical());
        let last = Millis::from_seconds(i64::from(self.last.load(Ordering::Relaxed)));
        (count > 0 || refused > 0).then_some(Uses { count, refused, last, address })
    }

    /// Puts back what could not be written. The latest address and time are still there.
    fn give_back(&self, uses: Uses) {
        self.uses.fetch_add(uses.count, Ordering::AcqRel);
        self.refused.fetch_add(uses.refused, Ordering::AcqRel);
    }

    /// Leaves the queue; false when a use came in between, which must stay queued.
    fn leave(&self) -> bool {
        self.queued.store(false, Ordering::Release);
        let is_idle = self.uses.load(Ordering::Acquire) == 0 && self.refused.load(Ordering::Acquire) == 0;
        is_idle || self.queued.swap(true, Ordering::AcqRel)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn halves(bits: u128) -> (u64, u64) {
    ((bits >> 64) as u64, bits as u64)
}

#[expect(clippy::cast_possible_truncation, reason = "sixteen bits of a mixture are enough to see that two crossed")]
fn check(high: u64, low: u64) -> u16 {
    (high.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) ^ low).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(16)
        as u16
}

/// A secret with uses to write.
struct Used {
    entry: Arc<KeyEntry>,
    is_previous: bool,
}

impl Used {
    fn usage(&self) -> Option<&Usage> {
        if self.is_previous { self.entry.previous().map(|p| &p.usage) } else { Some(&self.entry.usage) }
    }

    fn take(&self, now: Millis) -> Option<(SecretUse, Uses)> {
        let digest = if self.is_previous { self.entry.previous()?.digest } else { *self.entry.digest() };
        let uses = self.usage()?.take()?;
        let row = SecretUse {
            tenant: self.entry.tenant(),
            key: self.entry.id(),
            digest,
            last_used_at: uses.last,
            last_used_ip: uses.address,
            uses: u64::from(uses.count),
            refused: u64::from(uses.refused),
            hour: uses.hour(now),
        };
        Some((row, uses))
    }
}

/// Secrets with uses to write: those used for the first time in a while at once, the others when a
/// minute has passed since they were written.
#[derive(Default)]
pub(crate) struct UsageQueue {
    fresh: Mutex<Vec<Used>>,
    /// In the order of their time, because each waits equally long.
    gathering: Mutex<VecDeque<(Duration, Used)>>,
}

/// A piece of a flush, to be written in one transaction and then settled.
pub(crate) struct Batch {
    used: Vec<(Used, Uses)>,
    pub(crate) rows: Vec<SecretUse>,
}

impl UsageQueue {
    pub(crate) fn touch(&self, handle: &KeyHandle, address: Option<IpAddr>, now: Millis) {
        if usage_of(handle).record(address, now) {
            self.queue(&handle.entry, handle.is_previous);
        }
    }

    /// Counts a request that was refused although its key was right.
    pub(crate) fn refuse(&self, handle: &KeyHandle) {
        if usage_of(handle).refuse() {
            self.queue(&handle.entry, handle.is_previous);
        }
    }

    /// Lets an entry count on where the one that it replaces has stopped.
    pub(crate) fn carry_over(&self, old: &KeyEntry, new: &Arc<KeyEntry>) {
        for secret in new.secrets() {
            let (Some((from, _)), Some((to, is_previous))) =
                (old.usage_of(&secret.digest), new.usage_of(&secret.digest))
            else {
                continue;
            };
            if from.take().is_some_and(|uses| to.add(uses)) {
                self.queue(new, is_previous);
            }
        }
    }

    fn queue(&self, entry: &Arc<KeyEntry>, is_previous: bool) {
        self.fresh.lock().push(Used { entry: Arc::clone(entry), is_previous });
    }

    /// What is due by `now`, which is both clocks; everything with `all`. The batches must be given back to
    /// [`UsageQueue::settle`] or their uses are lost.
    pub(crate) fn collect(&self, (wall, now): (Millis, Duration), all: bool) -> Vec<Batch> {
        let limit = if all { usize::MAX } else { MAX_ROWS };
        let mut due: Vec<Used> = Vec::new();
        {
            let mut fresh = self.fresh.lock();
            let taken = fresh.len().min(limit);
            due.extend(fresh.drain(..taken));
        }
        {
            let mut gathering = self.gathering.lock();
            while due.len() < limit && gathering.front().is_some_and(|(at, _)| all || *at <= now) {
                due.extend(gathering.pop_front().map(|(_, used)| used));
            }
        }
        let mut batches = Vec::new();
        let mut batch = Batch { used: Vec::new(), rows: Vec::new() };
        for used in due {
            match used.take(wall) {
                Some((row, uses)) => {
                    batch.rows.push(row);
                    batch.used.push((used, uses));
                    if batch.rows.len() == CHUNK {
                        batches.push(std::mem::replace(&mut batch, Batch { used: Vec::new(), rows: Vec::new() }));
                    }
                }
                // Not used for a whole minute: the next use is written at once again.
                None if used.usage().is_some_and(|usage| !usage.leave()) => self.fresh.lock().push(used),
                None => {}
            }
        }
        if !batch.rows.is_empty() {
            batches.push(batch);
        }
        batches
    }

    /// Says whether a batch was written. What was not is written a minute later.
    pub(crate) fn settle(&self, batch: Batch, now: Duration, written: bool) {
        let mut gathering = self.gathering.lock();
        for (used, uses) in batch.used {
            if !written && let Some(usage) = used.usage() {
                usage.give_back(uses);
            }
            gathering.push_back((now + GATHER, used));
        }
    }
}

fn usage_of(handle: &KeyHandle) -> &Usage {
    match handle.entry.previous() {
        Some(previous) if handle.is_previous => &previous.usage,
        _ => &handle.entry.usage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_counted_and_the_latest_address_stays() {
        let usage = Usage::default();
        assert!(usage.record("192.0.2.1".parse().ok(), Millis(5_000)), "the first asks for the queue");
        assert!(!usage.record("2001:db8::1".parse().ok(), Millis(7_999)), "the second does not");
        let uses = usage.take().unwrap();
        assert_eq!((uses.count, uses.last, uses.address), (2, Millis(7_000), "2001:db8::1".parse().ok()));
        assert!(usage.take().is_none());
        assert!(usage.leave());
        assert!(usage.record("192.0.2.7".parse().ok(), Millis(9_000)), "back on the queue");
        assert_eq!(usage.take().unwrap().address, "192.0.2.7".parse().ok(), "IPv4 stays IPv4");
    }

    #[test]
    fn a_use_between_the_last_look_and_leaving_is_not_lost() {
        let usage = Usage::default();
        usage.record(None, Millis(0));
        assert!(usage.take().is_some());
        usage.record(None, Millis(0));
        assert!(!usage.leave(), "it stays on the queue");
        assert!(!usage.record(None, Millis(0)), "and is there once");
    }

    #[test]
    fn a_refused_request_is_no_use_and_waits_in_the_queue_too() {
        let usage = Usage::default();
        assert!(usage.refuse(), "asks for the queue");
        let uses = usage.peek().unwrap();
        assert_eq!((uses.count, uses.refused, uses.address), (0, 1, None));
        assert_eq!(uses.day(Millis(3 * DAY + 1)), 3, "the day on which it is written");
        assert!(usage.take().is_some() && usage.peek().is_none());
        usage.refuse();
        assert!(!usage.leave(), "it stays on the queue");
    }

    #[test]
    fn what_another_entry_has_counted_is_taken_over_with_its_time() {
        let (old, new) = (Usage::default(), Usage::default());
        old.record("192.0.2.1".parse().ok(), Millis(5_000));
        old.refuse();
        assert!(new.add(old.take().unwrap()), "asks for the queue");
        let uses = new.peek().unwrap();
        assert_eq!((uses.count, uses.refused, uses.last), (1, 1, Millis(5_000)));
        new.record("192.0.2.2".parse().ok(), Millis(9_000));
        old.record("192.0.2.1".parse().ok(), Millis(6_000));
        new.add(old.take().unwrap());
        let uses = new.take().unwrap();
        assert_eq!((uses.count, uses.last, uses.address), (3, Millis(9_000), "192.0.2.2".parse().ok()));
    }

    #[test]
    fn halves_of_two_addresses_are_no_address() {
        let usage = Usage::default();
        usage.record("2001:db8::1".parse().ok(), Millis(0));
        usage.high.store(0x2001_0db9_0000_0000, Ordering::Relaxed);
        assert_eq!(usage.take().unwrap().address, None);
    }

    #[test]
    fn what_is_in_every_entry_stays_small() {
        assert!(size_of::<Usage>() <= 32);
        assert!(size_of::<KeyEntry>() <= 144);
    }
}
