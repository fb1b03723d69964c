use std::sync::atomic::{AtomicU64, Ordering};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

/// A budget: one request every `interval`, `quota` at once. A cell holds the theoretical arrival
/// time, in nanoseconds: when the budget is full again. 0 is a full budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    quota: u32,
    interval: u64,
    /// In nanoseconds.
    window: u64,
}

/// What a cell says at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) allowed: bool,
    /// After this request, if it is allowed.
    pub(super) remaining: u32,
    pub(super) reset_s: u32,
    pub(super) retry_after_s: u32,
    /// What the cell holds afterwards.
    pub(super) next: u64,
}

impl Rate {
    /// `quota` requests a minute; 0 allows none.
    pub(super) const fn per_minute(quota: u32) -> Self {
        Self::per(quota, MINUTE)
    }

    /// `quota` requests in 24 hours.
    pub(super) const fn per_day(quota: u32) -> Self {
        Self::per(quota, DAY)
    }

    /// `quota` requests in `window_ms` milliseconds, which is at least 1.
    pub(super) const fn per_window(quota: u32, window_ms: u64) -> Self {
        let window_ms = if window_ms == 0 { 1 } else { window_ms };
        // A century at most, so that nothing overflows.
        let most = 100 * 366 * (DAY / (SECOND / 1000));
        Self::per(quota, (SECOND / 1000) * if window_ms < most { window_ms } else { most })
    }

    /// An interval is never nothing: a budget of more than one a nanosecond is no budget.
    const fn per(quota: u32, window: u64) -> Self {
        let interval = if quota == 0 { window } else { window / quota as u64 };
        Self { quota, interval: if interval == 0 { 1 } else { interval }, window }
    }

    /// In seconds, rounded up.
    pub(super) fn window_s(self) -> u32 {
        seconds(self.window)
    }

    pub(super) const fn quota(self) -> u32 {
        self.quota
    }

    /// What full means. Not the window but `quota` intervals, so that rounding gives nothing away.
    const fn capacity(self) -> u64 {
        self.interval * self.quota as u64
    }

    /// What a cell holds at `now` when `used` of its budget are gone: all of it at most.
    pub(super) const fn with_used(self, used: u64, now: u64) -> u64 {
        let most = self.quota as u64;
        now + self.interval * if used < most { used } else { most }
    }

    /// One request at `now`, when the cell holds `cell`.
    pub(super) fn decide(self, cell: u64, now: u64) -> Answer {
        let arrival = cell.max(now);
        let next = arrival + self.interval;
        let used = next - now;
        if used <= self.capacity() {
            let remaining = u32::try_from((self.capacity() - used) / self.interval).unwrap_or(u32::MAX);
            Answer { allowed: true, remaining, reset_s: seconds(used), retry_after_s: 0, next }
        } else {
            let wait = if self.quota == 0 { self.window_s() } else { seconds(used - self.capacity()).max(1) };
            Answer { allowed: false, remaining: 0, reset_s: wait, retry_after_s: wait, next: cell }
        }
    }

    /// Decides and, if allowed, charges: in one step, so that racing requests never take the same
    /// unit.
    pub(super) fn charge(self, cell: &AtomicU64, now: u64) -> Answer {
        let mut seen = cell.load(Ordering::Relaxed);
        loop {
            let answer = self.decide(seen, now);
            if !answer.allowed {
                return answer;
            }
            match cell.compare_exchange_weak(seen, answer.next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return answer,
                Err(other) => seen = other,
            }
        }
    }

    /// The same for a cell behind a lock.
    pub(super) fn charge_locked(self, cell: &mut u64, now: u64) -> Answer {
        let answer = self.decide(*cell, now);
        *cell = answer.next;
        answer
    }

    /// Undoes a charge of this very moment.
    pub(super) fn refund(self, cell: &AtomicU64) {
        let mut seen = cell.load(Ordering::Relaxed);
        while let Err(other) =
            cell.compare_exchange_weak(seen, seen.saturating_sub(self.interval), Ordering::Relaxed, Ordering::Relaxed)
        {
            seen = other;
        }
    }

    pub(super) fn refund_locked(self, cell: &mut u64) {
        *cell = cell.saturating_sub(self.interval);
    }
}

/// Rounded up: a caller who waits that long finds it done.
fn seconds(nanos: u64) -> u32 {
    u32::try_from(nanos.div_ceil(SECOND)).unwrap_or(u32::MAX)
}
