//! Wrong guesses of a day: whoever has made a hundred waits for the next one (NIST SP 800-63B-4, 3.2.2).

use std::{collections::HashMap, hash::RandomState};

use ambient::Millis;
use parking_lot::Mutex;

/// Wrong guesses of one thing in a day, UTC.
const MOST: u32 = 100;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Counted by what is guessed at, in this process. Never more things than it is told: when there are, those with the
/// fewest guesses are forgotten first, so that a flood of names does not set a count free that is nearly full.
pub(crate) struct Guesses {
    capacity: usize,
    hasher: RandomState,
    day: Mutex<Day>,
}

#[derive(Default)]
struct Day {
    number: i64,
    counts: HashMap<u64, u32>,
}

impl Guesses {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(2), hasher: RandomState::new(), day: Mutex::default() }
    }

    /// Whether one more may be made; else the seconds until it may.
    pub(crate) fn check(&self, of: &str, now: Millis) -> Result<(), u32> {
        let (number, counts) = (now.0.div_euclid(DAY_MS), self.day.lock());
        let is_spent = counts.number == number && counts.counts.get(&self.key(of)).is_some_and(|count| *count >= MOST);
        let rest = (DAY_MS - now.0.rem_euclid(DAY_MS)).div_euclid(1000).max(1);
        if is_spent { Err(u32::try_from(rest).unwrap_or(u32::MAX)) } else { Ok(()) }
    }

    /// Counts a wrong one.
    pub(crate) fn note(&self, of: &str, now: Millis) {
        let (number, key) = (now.0.div_euclid(DAY_MS), self.key(of));
        let mut day = self.day.lock();
        if day.number != number {
            *day = Day { number, counts: HashMap::new() };
        }
        let counts = &mut day.counts;
        if counts.len() >= self.capacity && !counts.contains_key(&key) {
            let fewest = counts.values().copied().min().unwrap_or(0);
            counts.retain(|_, count| *count > fewest);
        }
        let count = counts.entry(key).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// Seeded by the process: what is guessed at is chosen by who guesses.
    fn key(&self, of: &str) -> u64 {
        std::hash::BuildHasher::hash_one(&self.hasher, of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hundred_and_first_guess_waits_for_midnight() {
        let guesses = Guesses::new(1000);
        let noon = Millis(DAY_MS * 20_000 + DAY_MS / 2);
        for _ in 0..MOST {
            assert_eq!(guesses.check("ada", noon), Ok(()));
            guesses.note("ada", noon);
        }
        assert_eq!(guesses.check("ada", noon), Err(12 * 60 * 60));
        assert_eq!(guesses.check("bob", noon), Ok(()));
        let midnight = Millis(DAY_MS * 20_001);
        assert_eq!(guesses.check("ada", midnight.plus(-1)), Err(1));
        assert_eq!(guesses.check("ada", midnight), Ok(()));
        guesses.note("bob", midnight);
        assert_eq!(guesses.check("ada", midnight), Ok(()));
    }

    #[test]
    fn a_flood_of_names_frees_nobody_who_is_nearly_locked() {
        let (guesses, now) = (Guesses::new(50), Millis(DAY_MS));
        for _ in 0..MOST {
            guesses.note("ada", now);
        }
        for number in 0..10_000 {
            guesses.note(&format!("nobody {number}"), now);
            assert!(guesses.day.lock().counts.len() <= 50);
        }
        assert!(guesses.check("ada", now).is_err());
    }
}
