//! Comparing two secrets without telling how far they agree, or how long either is.

use ambient::{Random, RandomError};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::mac::Keyed;

/// Compares by MAC: both sides are hashed with a key that only this process knows, then 32 bytes
/// are compared in constant time. The caller can steer neither MAC, and both have one length.
pub struct Comparer(Keyed);

impl Comparer {
    /// A comparer with a fresh key of 32 bytes. One per process is enough.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn new(random: &dyn Random) -> Result<Self, RandomError> {
        let mut key = Zeroizing::new([0_u8; 32]);
        random.fill(&mut *key)?;
        Ok(Self(Keyed::new(&*key)))
    }

    /// Whether `a` and `b` are the same bytes.
    #[must_use]
    pub fn same(&self, a: &[u8], b: &[u8]) -> bool {
        self.0.mac(&[a]).ct_eq(&self.0.mac(&[b])).into()
    }
}

/// One expected secret, kept as its MAC: what is presented is hashed too, so that the answer's time
/// depends on nothing but the length that the caller chose.
pub struct StaticKey {
    keyed: Keyed,
    mac: [u8; 32],
}

impl StaticKey {
    /// Expects `text`.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn new(text: &[u8], random: &dyn Random) -> Result<Self, RandomError> {
        let Comparer(keyed) = Comparer::new(random)?;
        let mac = keyed.mac(&[text]);
        Ok(Self { keyed, mac })
    }

    /// Whether `presented` is the expected text.
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.keyed.mac(&[presented]).ct_eq(&self.mac).into()
    }
}

impl std::fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StaticKey(…)")
    }
}

impl std::fmt::Debug for Comparer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Comparer(…)")
    }
}

#[cfg(test)]
mod tests {
    use ambient::SeededRandom;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_prefix_a_longer_text_and_an_empty_one_differ() {
        let compare = Comparer::new(&SeededRandom::new(1)).unwrap();
        assert!(compare.same(b"a key of some length", b"a key of some length"));
        assert!(compare.same(b"", b""));
        for other in [&b""[..], b"a", b"a key of some lengt", b"a key of some length ", b"A key of some length"] {
            assert!(!compare.same(b"a key of some length", other));
        }
    }

    #[test]
    fn each_comparer_has_its_own_key() {
        let [a, b] = [1, 2].map(|seed| Comparer::new(&SeededRandom::new(seed)).unwrap().0.mac(&[b"x"]));
        assert_ne!(a, b, "else a caller could compute both sides beforehand");
    }

    proptest! {
        #[test]
        fn agrees_with_plain_equality(a: Vec<u8>, b: Vec<u8>) {
            let compare = Comparer::new(&SeededRandom::new(3)).unwrap();
            prop_assert_eq!(compare.same(&a, &b), a == b);
            prop_assert!(compare.same(&a, &a));
            let key = StaticKey::new(&a, &SeededRandom::new(4)).unwrap();
            prop_assert!(key.matches(&a) && key.matches(&b) == (a == b));
        }
    }
}
