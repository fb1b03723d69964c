//! The installation's one secret, and everything that is derived from it.

use std::fmt;

use ambient::{Random, RandomError};
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{mac::Keyed, seal::Sealer, transfer::Pepper};

/// The fewest bytes a secret may have.
pub const MIN_BYTES: usize = 32;

const SALT: &[u8] = b"chatelaine";
/// The label of the key of [`Secrets::digest`].
const PEPPER: &str = "pepper:apikey:v1";
const KEY_DIGEST_DOMAIN: &[u8] = b"apikey:v1\0";

/// The root that pepper, token keys and encryption keys are derived from. Losing it loses every key.
pub struct RootSecret(Zeroizing<Vec<u8>>);

/// The secret is too weak to start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    /// Fewer than [`MIN_BYTES`] bytes.
    #[error("the secret is shorter than 32 bytes; `openssl rand -base64 32` makes a good one")]
    Short,
    /// One pattern over and over, a plain sequence, or fewer than eight different bytes.
    #[error("the secret is a simple pattern; `openssl rand -base64 32` makes a good one")]
    Pattern,
    /// A placeholder such as those in documentation.
    #[error("the secret is an example from documentation; `openssl rand -base64 32` makes a good one")]
    Example,
}

impl RootSecret {
    /// Takes raw bytes, 32 or more.
    ///
    /// # Errors
    /// When they are too few, a pattern or a known placeholder.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WeakSecret> {
        if bytes.len() < MIN_BYTES {
            return Err(WeakSecret::Short);
        }
        if is_placeholder(bytes) {
            return Err(WeakSecret::Example);
        }
        if is_pattern(bytes) {
            return Err(WeakSecret::Pattern);
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    /// Takes text: hex, base64 or base64url that decodes to 32 bytes or more, else the text's own
    /// bytes when they are 32 or more. White space around it is ignored.
    ///
    /// # Errors
    /// As [`RootSecret::from_bytes`].
    pub fn parse(text: &str) -> Result<Self, WeakSecret> {
        let text = text.trim().as_bytes();
        if is_placeholder(text) {
            return Err(WeakSecret::Example);
        }
        for encoding in [&HEXLOWER_PERMISSIVE, &BASE64, &BASE64_NOPAD, &BASE64URL, &BASE64URL_NOPAD] {
            if let Ok(bytes) = encoding.decode(text).map(Zeroizing::new)
                && bytes.len() >= MIN_BYTES
            {
                return Self::from_bytes(&bytes);
            }
        }
        Self::from_bytes(text)
    }

    /// Draws 32 random bytes.
    ///
    /// # Errors
    /// When the random source fails, or gives a pattern, which is the same failure.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new([0_u8; MIN_BYTES]);
        random.fill(&mut *bytes)?;
        Self::from_bytes(&*bytes).map_err(|_| RandomError)
    }

    /// What goes into the secret file: base64url without padding, as [`RootSecret::parse`] reads it.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for RootSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootSecret(…)")
    }
}

/// Words that stand in documentation where a secret should be. 32 random bytes hold one of them
/// with a probability below 2⁻⁴⁰.
fn is_placeholder(bytes: &[u8]) -> bool {
    const WORDS: [&str; 9] = [
        "changeme",
        "change-me",
        "change_me",
        "replace-me",
        "replace_me",
        "your-secret",
        "your_secret",
        "supersecret",
        "example",
    ];
    let lower = Zeroizing::new(bytes.to_ascii_lowercase());
    WORDS.iter().any(|word| lower.windows(word.len()).any(|window| window == word.as_bytes()))
}

fn is_pattern(bytes: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in bytes {
        seen[usize::from(*byte)] = true;
    }
    let few = seen.iter().filter(|s| **s).count() < 8;
    let step = bytes[1].wrapping_sub(bytes[0]);
    let sequence = bytes.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step);
    let repeated = (1..=bytes.len() / 2).any(|period| bytes.iter().zip(&bytes[period..]).all(|(a, b)| a == b));
    few || sequence || repeated
}

/// HMAC-SHA-256 of a credential with a key that is not in the database. `==` is plain: the caller
/// cannot steer a digest towards another one; [`Digest::ct_eq`] is there for where it is free.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Plain SHA-256 of a key that was made elsewhere: what other products store of theirs.
    #[must_use]
    pub fn of_import(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Equality in constant time.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Reads 64 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }

    /// Reads base64, with padding or without.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        BASE64_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok()?.try_into().ok().map(Self)
    }

    /// Reads base64url, with padding or without.
    #[must_use]
    pub fn from_base64url(text: &str) -> Option<Self> {
        BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok()?.try_into().ok().map(Self)
    }

    /// 64 lower-case hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// In place of a pepper's name, where a digest is an imported one: plain SHA-256, until the key is used.
pub const IMPORTED: &str = "sha256";

/// What is derived from the current secret and, during a rotation, from the previous one.
///
/// HKDF-SHA-256 (RFC 5869) with one label per purpose: no two purposes share a key.
pub struct Secrets {
    current: Derived,
    previous: Option<Derived>,
    sealer: Sealer,
}

pub(crate) struct Derived {
    id: String,
    root: Hkdf<Sha256>,
    key_digest: Keyed,
    purpose: Keyed,
}

impl Derived {
    pub(crate) fn new(root: &RootSecret) -> Self {
        let root = Hkdf::<Sha256>::new(Some(SALT), &root.0);
        let id = HEXLOWER.encode(&expand(&root, "id:v1")[..8]);
        let key_digest = digests_of_keys(&expand(&root, PEPPER));
        let purpose = Keyed::new(&*expand(&root, "pepper:purpose:v1"));
        Self { id, root, key_digest, purpose }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The 32-byte key of this secret for `label`.
    pub(crate) fn key(&self, label: &str) -> Zeroizing<[u8; 32]> {
        expand(&self.root, label)
    }

    fn digest(&self, key: &str) -> Digest {
        Digest(self.key_digest.mac(&[key.as_bytes()]))
    }

    /// The length before the purpose keeps ("a", "bc") and ("ab", "c") apart.
    fn digest_for(&self, purpose: &str, text: &[u8]) -> Digest {
        Digest(self.purpose.mac(&[&(purpose.len() as u64).to_be_bytes(), purpose.as_bytes(), text]))
    }

    /// What [`Derived::id`] prints.
    pub(crate) fn id_bytes(&self) -> [u8; 8] {
        let mut id = [0; 8];
        id.copy_from_slice(&expand(&self.root, "id:v1")[..8]);
        id
    }

    fn sealing(&self) -> ([u8; 8], Zeroizing<[u8; 32]>) {
        (self.id_bytes(), self.key("seal:v1"))
    }
}

pub(crate) fn digests_of_keys(pepper: &[u8; 32]) -> Keyed {
    Keyed::new(pepper).with_prefix(KEY_DIGEST_DOMAIN)
}

#[expect(clippy::expect_used, reason = "HKDF-SHA-256 gives up to 8160 bytes; 32 always fit")]
fn expand(root: &Hkdf<Sha256>, label: &str) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0_u8; 32]);
    root.expand(label.as_bytes(), &mut *key).expect("32 bytes fit");
    key
}

impl Secrets {
    /// Derives everything. A `previous` that equals `current` is no rotation and is dropped.
    #[must_use]
    #[expect(clippy::expect_used, reason = "AES-256 takes any key of 32 bytes")]
    pub fn new(current: &RootSecret, previous: Option<&RootSecret>) -> Self {
        let current = Derived::new(current);
        let previous = previous.map(Derived::new).filter(|previous| previous.id != current.id);
        let (now, then) = (current.sealing(), previous.as_ref().map(Derived::sealing));
        let sealer = Sealer::new((now.0, &now.1), then.as_ref().map(|(id, key)| (*id, &**key)));
        Self { current, previous, sealer: sealer.expect("32 bytes are a key") }
    }

    /// Names the current secret: 16 hex digits. Not secret; stored beside what it made.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.current.id
    }

    /// Names the previous secret, while there is one.
    #[must_use]
    pub fn previous_id(&self) -> Option<&str> {
        self.previous.as_ref().map(|previous| previous.id.as_str())
    }

    /// What is stored for an API key: HMAC-SHA-256 of `"apikey:v1\0"` and the whole key.
    #[must_use]
    pub fn digest(&self, key: &str) -> Digest {
        self.current.digest(key)
    }

    /// [`Secrets::digest`] with the previous secret, for keys not yet renewed.
    #[must_use]
    pub fn previous_digest(&self, key: &str) -> Option<Digest> {
        self.previous.as_ref().map(|previous| previous.digest(key))
    }

    /// The key of [`Secrets::digest`] or [`Secrets::previous_digest`], by the name of its secret, for another
    /// installation that takes keys over.
    #[must_use]
    pub fn pepper(&self, id: &str) -> Option<Pepper> {
        let of = [Some(&self.current), self.previous.as_ref()].into_iter().flatten().find(|of| of.id == id)?;
        Pepper::new(id, &*of.key(PEPPER))
    }

    /// A digest for something that is not an API key; each `purpose` is a domain of its own.
    #[must_use]
    pub fn digest_for(&self, purpose: &str, text: &[u8]) -> Digest {
        self.current.digest_for(purpose, text)
    }

    /// [`Secrets::digest_for`] with the previous secret.
    #[must_use]
    pub fn previous_digest_for(&self, purpose: &str, text: &[u8]) -> Option<Digest> {
        self.previous.as_ref().map(|previous| previous.digest_for(purpose, text))
    }

    /// Encryption at rest.
    #[must_use]
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// The current secret, then the previous one, for the token keys.
    pub(crate) fn generations(&self) -> (&Derived, Option<&Derived>) {
        (&self.current, self.previous.as_ref())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("id", &self.id()).field("previous_id", &self.previous_id()).finish()
    }
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
