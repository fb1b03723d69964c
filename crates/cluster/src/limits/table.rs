use std::{
    collections::HashMap,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::gcra::{Answer, Rate};

const SHARDS: usize = 16;
/// How often a full shard is searched for budgets that are full again: a search costs microseconds,
/// and a flood must not make every request pay for one.
const SEARCH_EVERY: u64 = 1_000_000_000;

/// What kind of budget. Each kind has one overflow cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Sessions,
    Messages,
    History,
    Address,
    Failures,
    KeyMessages,
    DropIn,
    Participants,
    ParticipantAddresses,
    PublicStarts,
    DeploymentDays,
    DeploymentMinutes,
    DeploymentReplies,
    Triggers,
    SignIns,
    SignInsOfAccount,
}

const CLASSES: usize = 16;

/// Whose budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subject(pub(super) u128);

impl Subject {
    /// An IPv6 network of 64 bits is one subject, because it is one customer; an IPv4 address is one,
    /// however it is written.
    pub(super) fn of_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(u128::from(v4.to_bits())),
            // The lower half is free then, and tells the two families apart.
            IpAddr::V6(v6) => Self((v6.to_bits() & !u128::from(u64::MAX)) | 1 << 63),
        }
    }
}

#[derive(Default)]
struct Shard {
    // Seeded by the process: an address is chosen by whoever sends from it.
    cells: HashMap<(Class, Subject), u64>,
    /// Not before.
    search_at: u64,
}

/// Budgets by subject, never more than it is told. When all places are taken by budgets that have
/// been drawn on within their window, newcomers share one budget per class: a flood of addresses
/// limits itself, and known subjects keep theirs.
pub(super) struct Table {
    shards: Box<[Mutex<Shard>]>,
    overflow: [AtomicU64; CLASSES],
    per_shard: usize,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            overflow: Default::default(),
            per_shard: capacity / SHARDS,
        }
    }

    fn shard(&self, subject: Subject) -> &Mutex<Shard> {
        let Subject(bits) = subject;
        // Fold, because the random part is at one end of an id and in the middle of an address.
        let fold = bits ^ (bits >> 64) ^ (bits >> 32) ^ (bits >> 16) ^ (bits >> 8);
        &self.shards[(fold % SHARDS as u128) as usize]
    }

    /// What the subject's cell holds, or what it would be met with.
    pub(super) fn read(&self, class: Class, subject: Subject) -> u64 {
        let shard = self.shard(subject).lock();
        match shard.cells.get(&(class, subject)) {
            Some(cell) => *cell,
            None if shard.cells.len() >= self.per_shard => self.overflow[class as usize].load(Ordering::Relaxed),
            None => 0,
        }
    }

    pub(super) fn charge(&self, class: Class, subject: Subject, rate: &Rate, now: u64) -> Answer {
        let mut shard = self.shard(subject).lock();
        if let Some(cell) = shard.cells.get_mut(&(class, subject)) {
            return rate.charge_locked(cell, now);
        }
        if shard.cells.len() >= self.per_shard && now >= shard.search_at {
            shard.search_at = now + SEARCH_EVERY;
            shard.cells.retain(|_, full_at| *full_at > now);
        }
        if shard.cells.len() >= self.per_shard {
            drop(shard);
            return rate.charge(&self.overflow[class as usize], now);
        }
        let mut cell = 0;
        let answer = rate.charge_locked(&mut cell, now);
        if answer.allowed {
            shard.cells.insert((class, subject), cell);
        }
        answer
    }

    pub(super) fn refund(&self, class: Class, subject: Subject, rate: &Rate) {
        let mut shard = self.shard(subject).lock();
        match shard.cells.get_mut(&(class, subject)) {
            Some(cell) => rate.refund_locked(cell),
            None => rate.refund(&self.overflow[class as usize]),
        }
    }

    /// Makes a budget full again no sooner than `full_at`, if there is room for it.
    pub(super) fn raise(&self, class: Class, subject: Subject, full_at: u64) {
        let mut shard = self.shard(subject).lock();
        if let Some(cell) = shard.cells.get_mut(&(class, subject)) {
            *cell = full_at.max(*cell);
        } else if shard.cells.len() < self.per_shard {
            shard.cells.insert((class, subject), full_at);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().cells.len()).sum()
    }

    #[cfg(test)]
    pub(super) fn overflow(&self, class: Class) -> u64 {
        self.overflow[class as usize].load(Ordering::Relaxed)
    }
}
