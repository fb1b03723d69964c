//! Keys on their way from one installation to another: a file that both sign with a secret of their own, and the
//! key that the origin's digests were made with.

use ambient::Random;
use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    mac::Keyed,
    seal::{SealError, Sealer},
    secret::{Derived, Digest, RootSecret, Secrets, digests_of_keys},
};

/// What is signed begins with this; a file of another version has another signature.
const SIGN_DOMAIN: &[u8] = b"chatelaine-keys-1\0";
const SIGNATURE: &str = "{\"signature\":\"hmac-sha256:";
/// An HMAC-SHA-256 in base64url.
const SIGNATURE_LENGTH: usize = 43;
const SIGNATURE_END: &str = "\"}\n";

/// The most peppers of other installations that one keeps: each costs an unknown key one more HMAC.
pub const MAX_FOREIGN: usize = 4;

/// The key of an installation's digests of API keys: it checks keys, and makes nothing else.
#[derive(Clone)]
pub struct Pepper {
    id: String,
    key: Zeroizing<[u8; 32]>,
    digests: Keyed,
}

impl Pepper {
    /// `id`: 16 lower-case hex digits; `key`: 32 bytes. `None` when they are not.
    #[must_use]
    pub fn new(id: &str, key: &[u8]) -> Option<Self> {
        let is_id = id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let key: [u8; 32] = key.try_into().ok()?;
        is_id.then(|| Self { id: id.to_owned(), digests: digests_of_keys(&key), key: Zeroizing::new(key) })
    }

    /// Names the secret it was derived from.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What its installation stores for an API key.
    #[must_use]
    pub fn digest(&self, key: &str) -> Digest {
        Digest(self.digests.mac(&[key.as_bytes()]))
    }

    /// Whether it is the same key under the same name.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.id == other.id && bool::from(self.key.as_slice().ct_eq(other.key.as_slice()))
    }

    /// Seals it for the database of the installation that has taken it over.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn seal(&self, sealer: &Sealer, random: &dyn Random) -> Result<Vec<u8>, SealError> {
        sealer.seal(&foreign_place(&self.id), &*self.key, random)
    }

    /// Opens what [`Pepper::seal`] made.
    ///
    /// # Errors
    /// As [`Sealer::open`].
    pub fn open(sealer: &Sealer, id: &str, sealed: &[u8]) -> Result<Self, SealError> {
        Self::new(id, &sealer.open(&foreign_place(id), sealed)?).ok_or(SealError::Malformed)
    }
}

impl std::fmt::Debug for Pepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pepper({}, …)", self.id)
    }
}

fn foreign_place(id: &str) -> Vec<u8> {
    format!("foreign-pepper/{id}").into_bytes()
}

/// What two installations sign and seal keys with, from a secret that both were given for this.
pub struct Transfer {
    id: String,
    sign: Keyed,
    sealer: Sealer,
}

impl Transfer {
    /// Derives both keys; neither is one that an installation derives from its own secret.
    #[must_use]
    #[expect(clippy::expect_used, reason = "AES-256 takes any key of 32 bytes")]
    pub fn new(secret: &RootSecret) -> Self {
        let derived = Derived::new(secret);
        let sign = Keyed::new(&*derived.key("transfer:sign:v1")).with_prefix(SIGN_DOMAIN);
        let sealer = Sealer::new((derived.id_bytes(), &derived.key("transfer:seal:v1")), None);
        Self { id: derived.id().to_owned(), sign, sealer: sealer.expect("32 bytes are a key") }
    }

    /// Whether it is the installation's own secret, now or before: that one is given to nobody.
    #[must_use]
    pub fn is_of(&self, secrets: &Secrets) -> bool {
        self.id == secrets.id() || Some(self.id.as_str()) == secrets.previous_id()
    }

    /// The file: `body`, which ends with a line break, and a line that signs its every byte.
    #[must_use]
    pub fn sign(&self, body: &str) -> String {
        [body, &self.last_line(body.as_bytes())].concat()
    }

    fn last_line(&self, body: &[u8]) -> String {
        [SIGNATURE, &BASE64URL_NOPAD.encode(&self.sign.mac(&[body])), SIGNATURE_END].concat()
    }

    /// What stands above the signature; `None` when one byte of the file is not as it was signed with this secret.
    #[must_use]
    pub fn open<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        let length = SIGNATURE.len() + SIGNATURE_LENGTH + SIGNATURE_END.len();
        let (body, line) = file.split_at_checked(file.len().checked_sub(length)?)?;
        bool::from(self.last_line(body).as_bytes().ct_eq(line)).then_some(body)
    }

    /// Seals a pepper for the file of this id.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn seal(&self, file: &str, pepper: &Pepper, random: &dyn Random) -> Result<String, SealError> {
        Ok(BASE64URL_NOPAD.encode(&self.sealer.seal(&file_place(file, pepper.id()), &*pepper.key, random)?))
    }

    /// Opens what [`Transfer::seal`] made.
    ///
    /// # Errors
    /// As [`Sealer::open`].
    pub fn open_pepper(&self, file: &str, id: &str, sealed: &str) -> Result<Pepper, SealError> {
        let sealed = BASE64URL_NOPAD.decode(sealed.as_bytes()).map_err(|_| SealError::Malformed)?;
        Pepper::new(id, &self.sealer.open(&file_place(file, id), &sealed)?).ok_or(SealError::Malformed)
    }
}

impl std::fmt::Debug for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transfer(…)")
    }
}

fn file_place(file: &str, id: &str) -> Vec<u8> {
    format!("chatelaine-keys-1/{file}/{id}").into_bytes()
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
