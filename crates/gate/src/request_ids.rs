//! The ids of requests: unique, and of no use for counting how many came in between.

use std::sync::atomic::{AtomicU64, Ordering};

use ambient::{Millis, RequestId, Ulid};

const HALF: u64 = (1 << 40) - 1;
const ROUNDS: u32 = 6;

/// A counter, turned into 80 bits by a permutation that two secret keys choose (a Feistel network whose rounds
/// multiply and shift): no two ids of a process are the same within a millisecond, and none costs a system call.
///
/// Whoever has an id, or two, cannot read a count or a neighbour's id from it. It is no cipher, and holds against
/// nobody who collects ids to break it: an id is a name, proves nothing, and opens nothing.
pub(crate) struct RequestIds {
    keys: [u64; 2],
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) const fn new(seed: [u8; 16]) -> Self {
        let seed = u128::from_le_bytes(seed);
        #[expect(clippy::cast_possible_truncation, reason = "each key is one half of the seed")]
        Self { keys: [seed as u64, (seed >> 64) as u64], count: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self, now: Millis) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let time = u128::try_from(now.0).unwrap_or(0);
        RequestId(Ulid((time << 80) | self.permuted(count)))
    }

    fn permuted(&self, count: u64) -> u128 {
        let (mut left, mut right) = (count >> 40, count & HALF);
        for round in 0..ROUNDS {
            let key = self.keys[round as usize % 2].rotate_left(round * 11);
            (left, right) = (right, left ^ stirred(right, key));
        }
        u128::from(left) << 40 | u128::from(right)
    }
}

/// 40 bits that depend on all of both.
const fn stirred(half: u64, key: u64) -> u64 {
    let mut mixed = (half ^ key).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 29) ^ key.rotate_left(32)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 32)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 24
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_neighbours_tell_nothing_of_what_came_between() {
        const IDS: usize = 50_000;
        for seed in [[0; 16], [7; 16], *b"0123456789abcdef"] {
            let ids = RequestIds::new(seed);
            let made: Vec<u128> = (0..IDS).map(|_| ids.next(Millis(1)).0.0 & ((1 << 80) - 1)).collect();
            assert_eq!(made.iter().collect::<HashSet<_>>().len(), IDS);
            // The same step twice would say that as many requests came in between.
            let steps: HashSet<u128> = made.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
            assert_eq!(steps.len(), IDS - 1);
            let turned: u32 = made.windows(2).map(|pair| (pair[0] ^ pair[1]).count_ones()).sum();
            let mean = f64::from(turned) / (IDS - 1) as f64;
            assert!((39.5..40.5).contains(&mean), "a neighbour differs in half of the 80 bits: {mean}");
        }
    }

    #[test]
    fn each_key_changes_the_ids() {
        let of = |at: usize| {
            let mut seed = [3; 16];
            seed[at] ^= 1;
            RequestIds::new(seed).permuted(1)
        };
        let all: HashSet<u128> = (0..16).map(of).collect();
        assert_eq!(all.len(), 16);
    }

    #[test]
    fn an_id_says_when() {
        let id = RequestIds::new([1; 16]).next(Millis(1_700_000_000_000));
        assert_eq!(id.0.0 >> 80, 1_700_000_000_000);
    }
}
