//! Passwords of people: which are accepted (NIST SP 800-63B-4: length, and no known ones), and how
//! they are stored (Argon2id; the parameters are OWASP's).

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use gate::Problem;
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization;

/// Characters at least, where a password is all there is (NIST SP 800-63B-4, 3.1.1.2).
const MIN_CHARACTERS: usize = 15;
/// Bytes at most: hashing is not to be made expensive from outside.
const MAX_BYTES: usize = 1024;
/// KiB, passes and lanes.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// Who may wait for a core to hash on; more are turned away.
const MAX_WAITING: usize = 32;

/// What attackers try first among those that are long enough.
const COMMON: &[&str] = &[
    "administrator123",
    "administratorpassword",
    "changemechangeme",
    "correcthorsebatterystaple",
    "correct horse battery staple",
    "iloveyouiloveyou",
    "letmeinletmeinletmein",
    "mypasswordispassword",
    "password12345678",
    "password123456789",
    "passwordpassword",
    "passwordpassword1",
    "qwertyuiopasdfgh",
    "qwertyuiopasdfghjkl",
    "qwertyuiopasdfghjklzxcvbnm",
    "thisismypassword",
    "welcome123456789",
];

/// Why a password is refused; one sentence for its owner, or nothing.
pub(crate) fn refusal(password: &str, email: &str) -> Option<&'static str> {
    if password.len() > MAX_BYTES {
        return Some("must be at most 1024 bytes");
    }
    let password = normalised(password);
    let folded = password.to_lowercase();
    if password.chars().count() < MIN_CHARACTERS {
        Some("must be 15 characters or more; a few words are easy to remember")
    } else if folded.trim() == email.trim().to_lowercase() {
        Some("must not be the address")
    } else if repeats(&folded) {
        Some("must not repeat one short piece")
    } else if is_sequence(&folded) || COMMON.contains(&folded.as_str()) {
        Some("is one of those that are tried first")
    } else {
        None
    }
}

/// One form of what different keyboards send for the same letters (NIST SP 800-63B-4, 3.1.1.2: NFKC).
fn normalised(password: &str) -> String {
    password.nfkc().collect()
}

/// Whether it is one piece of 1 to 4 characters, again and again.
fn repeats(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    (1..=4).any(|period| chars.iter().zip(chars.iter().skip(period)).all(|(a, b)| a == b))
}

/// Whether each character is the successor of the one before: `abcdef…`, `1234567890123…`.
fn is_sequence(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1) || (pair[0], pair[1]) == (b'9', b'0'))
}

/// The hash of a password that nobody knows, at [`COST`]: what a guess is compared with where there is no account.
pub(crate) const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$Y2hhdGVsYWluZS1ub2JvZHk$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";

/// Hashes on at most as many threads as there are cores.
pub(crate) struct Passwords {
    cores: Semaphore,
    places: Semaphore,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { cores: Semaphore::new(cores), places: Semaphore::new(cores + MAX_WAITING) }
    }

    /// The PHC string of a password, Argon2id under `salt`.
    ///
    /// # Errors
    /// 429 when too many wait; 503 when it cannot be done.
    pub(crate) async fn hash(&self, password: String, salt: [u8; 16]) -> Result<String, Problem> {
        let _place = self.places.try_acquire().map_err(|_| Problem::rate_limited(1))?;
        let _core = self.cores.acquire().await.map_err(Problem::unavailable)?;
        let hashed = tokio::task::spawn_blocking(move || hash_now(normalised(&password).as_bytes(), &salt)).await;
        hashed.map_err(Problem::unavailable)?.map_err(|error| Problem::unavailable(error.to_string()))
    }

    /// Whether it is the password of this PHC string. What is too long to be anybody's, and a string that is none,
    /// take as long.
    ///
    /// # Errors
    /// As [`Passwords::hash`].
    pub(crate) async fn verify(&self, password: String, hash: String) -> Result<bool, Problem> {
        let _place = self.places.try_acquire().map_err(|_| Problem::rate_limited(1))?;
        let _core = self.cores.acquire().await.map_err(Problem::unavailable)?;
        let verified = tokio::task::spawn_blocking(move || verify_now(&password, &hash)).await;
        verified.map_err(Problem::unavailable)
    }
}

fn hash_now(password: &[u8], salt: &[u8]) -> Result<String, argon2::password_hash::Error> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(argon2::password_hash::Error::from)?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(hasher.hash_password_with_salt(password, salt)?.to_string())
}

fn verify_now(password: &str, hash: &str) -> bool {
    let fits = password.len() <= MAX_BYTES;
    let password = if fits { normalised(password) } else { String::new() };
    // What is no hash is of an account without a password: nothing opens it.
    let is_hash = PasswordHash::new(hash).is_ok();
    let parsed = PasswordHash::new(if is_hash { hash } else { NOBODYS });
    let matches = parsed.is_ok_and(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok());
    matches && is_hash && fits
}

#[cfg(test)]
mod tests {

    use super::*;

    #[tokio::test]
    async fn a_hash_is_argon2id_with_our_cost_and_knows_its_password() {
        let hash = Passwords::new().hash("a few easy words".to_owned(), [7; 16]).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let parsed = PasswordHash::new(&hash).unwrap();
        assert!(Argon2::default().verify_password(b"a few easy words", &parsed).is_ok());
        assert!(Argon2::default().verify_password(b"a few easy word", &parsed).is_err());
    }

    #[tokio::test]
    async fn a_password_opens_its_own_hash_alone() {
        let passwords = Passwords::new();
        let hash = passwords.hash("a few easy words".to_owned(), [7; 16]).await.unwrap();
        assert!(PasswordHash::new(NOBODYS).is_ok(), "or a guess without an account would cost nothing");
        for (password, hash, opens) in [
            ("a few easy words", hash.as_str(), true),
            ("a few easy word", &hash, false),
            ("", &hash, false),
            (&"x".repeat(2000), &hash, false),
            ("none", "none", false),
            ("", NOBODYS, false),
        ] {
            assert_eq!(passwords.verify(password.to_owned(), hash.to_owned()).await.unwrap(), opens, "{password}");
        }
    }

    #[tokio::test]
    async fn a_password_is_the_same_from_another_keyboard() {
        let passwords = Passwords::new();
        // One letter, or a letter and its accent; and what is only drawn in another way.
        let (composed, apart) = ("caf\u{e9} au lait, please", "cafe\u{301} au lait, please");
        let hash = passwords.hash(apart.to_owned(), [7; 16]).await.unwrap();
        assert!(passwords.verify(composed.to_owned(), hash.clone()).await.unwrap());
        assert!(passwords.verify("caf\u{e9} au lait\u{ff0c} please".to_owned(), hash.clone()).await.unwrap());
        assert!(!passwords.verify("cafe au lait, please".to_owned(), hash).await.unwrap());
        let wide = "\u{ff50}\u{ff41}\u{ff53}\u{ff53}\u{ff57}\u{ff4f}\u{ff52}\u{ff44}".repeat(2);
        assert!(refusal(&wide, "ada@example.com").is_some(), "passwordpassword");
    }

    #[tokio::test]
    async fn a_crowd_is_turned_away() {
        let passwords = Passwords::new();
        let all = u32::try_from(passwords.places.available_permits()).unwrap();
        let _everyone = passwords.places.acquire_many(all).await.unwrap();
        let refused = passwords.hash("a few easy words".to_owned(), [7; 16]).await.unwrap_err();
        assert_eq!(refused.status().as_u16(), 429);
    }

    #[test]
    fn what_is_short_or_known_is_refused() {
        let email = "ada.lovelace@example.com";
        for refused in [
            "fourteen chars",
            "Ada.Lovelace@Example.com",
            "aaaaaaaaaaaaaaaa",
            "abcabcabcabcabcabc",
            "123456789012345",
            "abcdefghijklmnop",
            "PasswordPassword",
            &"x y".repeat(400),
        ] {
            assert!(refusal(refused, email).is_some(), "{refused}");
        }
        assert!(refusal(&"é".repeat(14), email).is_some(), "characters, not bytes");
        for accepted in ["fifteen letters", "a few easy words", "ada.lovelace@example.com is me"] {
            assert_eq!(refusal(accepted, email), None, "{accepted}");
        }
    }
}
