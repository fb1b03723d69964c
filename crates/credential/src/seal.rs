//! Encryption at rest for what must be read back: webhook secrets, headers of integrations.
//!
//! AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits. A sealed value names the secret
//! that sealed it, so that the current and the previous one both open it:
//! `1 ‖ id of the secret (8) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`.

use ambient::Random;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const ID: usize = 8;
const HEAD: usize = 1 + ID;
const TAG: usize = 16;

/// Why a value could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The random source failed: nothing was sealed.
    #[error("the operating system's random source failed")]
    Random,
    /// Not a sealed value, or cut short.
    #[error("not a sealed value")]
    Malformed,
    /// Sealed with a secret that this installation no longer has.
    #[error("sealed with a secret that is neither the current nor the previous one")]
    UnknownSecret,
    /// Changed since it was sealed, or sealed for another context.
    #[error("the sealed value was altered or belongs elsewhere")]
    Forged,
}

/// Seals with the current secret, opens with the current or the previous one. With random nonces
/// one secret is good for 2³² values (SP 800-38D, 8.3); nothing here comes near that.
pub struct Sealer {
    current: Key,
    previous: Option<Key>,
}

struct Key {
    id: [u8; ID],
    key: LessSafeKey,
}

impl Sealer {
    pub(crate) fn new(current: ([u8; ID], &[u8; 32]), previous: Option<([u8; ID], &[u8; 32])>) -> Option<Self> {
        let key = |(id, bytes): ([u8; ID], &[u8; 32])| {
            Some(Key { id, key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).ok()?) })
        };
        Some(Self {
            current: key(current)?,
            previous: match previous {
                Some(previous) => Some(key(previous)?),
                None => None,
            },
        })
    }

    /// Encrypts `plain`. `context` says where the value belongs (a table and a row); it is
    /// authenticated, not stored, and must be the same when opening.
    ///
    /// # Errors
    /// [`SealError::Random`] when the random source fails.
    pub fn seal(&self, context: &[u8], plain: &[u8], random: &dyn Random) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0_u8; NONCE_LEN];
        random.fill(&mut nonce).map_err(|_| SealError::Random)?;
        let mut out = Vec::with_capacity(HEAD + NONCE_LEN + plain.len() + TAG);
        out.push(VERSION);
        out.extend_from_slice(&self.current.id);
        out.extend_from_slice(&nonce);
        let aad = Aad::from([&out[..HEAD], context].concat());
        let mut text = Zeroizing::new(plain.to_vec());
        let tag = self
            .current
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)
            .map_err(|_| SealError::Malformed)?;
        out.extend_from_slice(&text);
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Decrypts what [`Sealer::seal`] made with the same `context`.
    ///
    /// # Errors
    /// [`SealError::Malformed`], [`SealError::UnknownSecret`] or [`SealError::Forged`].
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let key = self.key_of(sealed)?;
        let (head, rest) = sealed.split_at(HEAD);
        let (nonce, text) = rest.split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Malformed)?;
        let mut text = Zeroizing::new(text.to_vec());
        let aad = Aad::from([head, context].concat());
        let length = key.key.open_in_place(nonce, aad, &mut text).map_err(|_| SealError::Forged)?.len();
        text.truncate(length);
        Ok(text)
    }

    /// Whether `sealed` was made with the previous secret, and so wants to be sealed again.
    #[must_use]
    pub fn is_stale(&self, sealed: &[u8]) -> bool {
        self.key_of(sealed).is_ok_and(|key| key.id != self.current.id)
    }

    fn key_of(&self, sealed: &[u8]) -> Result<&Key, SealError> {
        if sealed.len() < HEAD + NONCE_LEN + TAG || sealed[0] != VERSION {
            return Err(SealError::Malformed);
        }
        let id = &sealed[1..HEAD];
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| key.id == id)
            .ok_or(SealError::UnknownSecret)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(…)")
    }
}

#[cfg(test)]
mod tests {
    use ambient::{RandomError, SeededRandom};
    use proptest::prelude::*;

    use super::*;

    fn sealer(current: u8, previous: Option<u8>) -> Sealer {
        let (a, b) = ([current; 32], [previous.unwrap_or(0); 32]);
        Sealer::new(([current; 8], &a), previous.map(|p| ([p; 8], &b))).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_in_its_context_alone(plain: Vec<u8>, context: Vec<u8>, other: Vec<u8>) {
            let sealer = sealer(1, None);
            let sealed = sealer.seal(&context, &plain, &SeededRandom::new(1)).unwrap();
            prop_assert_eq!(&*sealer.open(&context, &sealed).unwrap(), &plain);
            if other != context {
                prop_assert_eq!(sealer.open(&other, &sealed).unwrap_err(), SealError::Forged);
            }
        }

        #[test]
        fn any_changed_bit_is_noticed(plain in proptest::collection::vec(any::<u8>(), 0..40), at: usize, bit in 0..8_u8) {
            let sealer = sealer(1, Some(2));
            let mut sealed = sealer.seal(b"row 1", &plain, &SeededRandom::new(1)).unwrap();
            let at = at % sealed.len();
            sealed[at] ^= 1 << bit;
            prop_assert!(sealer.open(b"row 1", &sealed).is_err());
        }
    }

    #[test]
    fn the_previous_secret_still_opens_and_no_older_one() {
        let random = SeededRandom::new(1);
        let old = sealer(1, None).seal(b"c", b"plain", &random).unwrap();
        let (next, after) = (sealer(2, Some(1)), sealer(3, Some(2)));
        assert_eq!(&*next.open(b"c", &old).unwrap(), b"plain");
        assert!(next.is_stale(&old) && !next.is_stale(&next.seal(b"c", b"plain", &random).unwrap()));
        assert_eq!(after.open(b"c", &old).unwrap_err(), SealError::UnknownSecret);
    }

    #[test]
    fn the_same_text_twice_gives_two_values() {
        let (sealer, random) = (sealer(1, None), SeededRandom::new(1));
        assert_ne!(sealer.seal(b"c", b"plain", &random), sealer.seal(b"c", b"plain", &random));
    }

    #[test]
    fn every_cut_is_refused() {
        let sealer = sealer(1, None);
        let sealed = sealer.seal(b"c", b"plain", &SeededRandom::new(1)).unwrap();
        for length in 0..sealed.len() {
            assert!(sealer.open(b"c", &sealed[..length]).is_err(), "{length} bytes");
        }
        let mut other = sealed;
        other[0] = 2;
        assert_eq!(sealer.open(b"c", &other).unwrap_err(), SealError::Malformed);
    }

    #[test]
    fn nothing_is_sealed_without_randomness() {
        struct Broken;
        impl Random for Broken {
            fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
                Err(RandomError)
            }
        }
        assert_eq!(sealer(1, None).seal(b"c", b"plain", &Broken), Err(SealError::Random));
    }
}
