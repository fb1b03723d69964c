//! A budget of a day: counted, and whole again at midnight UTC.
//!
//! A cell holds the day and how many requests it has had, so that both change in one step. 0 is a cell that
//! nobody has written yet.

use std::sync::atomic::{AtomicU64, Ordering};

use ambient::Millis;

use super::gcra::Answer;

const DAY_S: i64 = 86_400;

/// A day and how long it still is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    /// Since 1970-01-01, and 1 more: never 0.
    number: u32,
    left_s: u32,
}

/// What a cell holds on the day of `now` after `used` requests.
pub(crate) fn counted(now: Millis, used: u64) -> u64 {
    pack(Day::of(now).number, u32::try_from(used).unwrap_or(u32::MAX))
}

const fn pack(day: u32, used: u32) -> u64 {
    ((day as u64) << 32) | used as u64
}

impl Day {
    pub(super) fn of(now: Millis) -> Self {
        let seconds = now.seconds();
        let left_s = DAY_S - seconds.rem_euclid(DAY_S);
        Self {
            number: u32::try_from(seconds.div_euclid(DAY_S) + 1).unwrap_or(1),
            left_s: u32::try_from(left_s).unwrap_or(1),
        }
    }

    /// One request, when the cell holds `cell`. A clock that was set back stays on the later day.
    pub(super) fn decide(self, quota: u32, cell: u64) -> Answer {
        let (day, used) = match u32::try_from(cell >> 32).unwrap_or(0) {
            day if day < self.number => (self.number, 0),
            day => (day, u32::try_from(cell & u64::from(u32::MAX)).unwrap_or(u32::MAX)),
        };
        let allowed = used < quota;
        let next = if allowed { pack(day, used + 1) } else { cell };
        let wait = if allowed { 0 } else { self.left_s };
        Answer {
            allowed,
            remaining: quota.saturating_sub(used.saturating_add(1)),
            reset_s: self.left_s,
            retry_after_s: wait,
            next,
        }
    }

    /// Decides and, if allowed, counts: in one step.
    pub(super) fn charge(self, quota: u32, cell: &AtomicU64) -> Answer {
        let mut seen = cell.load(Ordering::Relaxed);
        loop {
            let answer = self.decide(quota, seen);
            if !answer.allowed {
                return answer;
            }
            match cell.compare_exchange_weak(seen, answer.next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return answer,
                Err(other) => seen = other,
            }
        }
    }

    /// Undoes a charge of this very moment.
    pub(super) fn refund(cell: &AtomicU64) {
        let undo = |seen: u64| (seen & u64::from(u32::MAX) > 0).then(|| seen - 1);
        let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, undo);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Millis = Millis(1_767_225_600_000 + 43_200_000);

    #[test]
    fn a_day_has_so_many_and_the_next_begins_at_midnight() {
        let (cell, day) = (AtomicU64::new(0), Day::of(NOON));
        assert_eq!(day.charge(2, &cell).remaining, 1);
        assert_eq!(day.charge(2, &cell).remaining, 0);
        let refused = day.charge(2, &cell);
        assert_eq!((refused.allowed, refused.retry_after_s), (false, 43_200));
        let last = Day::of(NOON.plus(43_199_999)).charge(2, &cell);
        assert_eq!((last.allowed, last.retry_after_s), (false, 1), "never 0");
        let midnight = Day::of(NOON.plus(43_200_000)).charge(2, &cell);
        assert_eq!((midnight.allowed, midnight.remaining, midnight.reset_s), (true, 1, 86_400));
        assert!(day.charge(2, &cell).allowed, "a clock that was set back counts on");
        assert!(!day.charge(2, &cell).allowed);
    }

    #[test]
    fn what_was_counted_before_counts_and_a_refund_gives_one_back() {
        let (cell, day) = (AtomicU64::new(counted(NOON, 2)), Day::of(NOON));
        assert!(!day.decide(2, cell.load(Ordering::Relaxed)).allowed);
        Day::refund(&cell);
        assert!(day.charge(2, &cell).allowed && !day.charge(2, &cell).allowed);
        assert!(day.charge(3, &cell).allowed, "a ceiling that was raised");
        let fresh = AtomicU64::new(0);
        Day::refund(&fresh);
        assert_eq!(fresh.load(Ordering::Relaxed), 0);
        assert_eq!(counted(NOON, u64::MAX) & u64::from(u32::MAX), u64::from(u32::MAX));
    }
}
