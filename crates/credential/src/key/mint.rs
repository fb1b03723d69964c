use ambient::{Random, RandomError};
use zeroize::Zeroizing;

use super::{BASE62, BODY, Environment, Family, Parser, RANDOM, TRIGGER_PREFIX, checksum};

/// A new key in clear: shown once, then forgotten. No `Display`, no `Serialize`, no `Clone`, so
/// that only [`ApiKey::expose`] lets it out.
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// The plaintext, for the one answer that shows it and for the digest.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// The largest multiple of 62 in a byte: bytes from here on would favour the first digits.
const LIMIT: u8 = 248;
/// A working source needs two draws at most, but for one time in millions.
const DRAWS: usize = 64;

impl Parser {
    /// A new key.
    ///
    /// # Errors
    /// When the random source fails, or gives bytes that no working source would give.
    pub fn mint(&self, family: Family, environment: Environment, random: &dyn Random) -> Result<ApiKey, RandomError> {
        mint(self.prefixes().of(family, environment), random)
    }
}

/// A new token of a trigger, which is a path's last part: [`TRIGGER_PREFIX`] and a body like a key's.
///
/// # Errors
/// As [`Parser::mint`].
pub fn mint_trigger(random: &dyn Random) -> Result<ApiKey, RandomError> {
    mint(TRIGGER_PREFIX, random)
}

fn mint(prefix: &str, random: &dyn Random) -> Result<ApiKey, RandomError> {
    // The full capacity at once: growing would leave a copy of the key in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(prefix.len() + BODY));
    text.push_str(prefix);
    let mut bytes = Zeroizing::new([0_u8; 40]);
    let mut missing = RANDOM;
    for _ in 0..DRAWS {
        random.fill(&mut *bytes)?;
        for byte in bytes.iter().filter(|byte| **byte < LIMIT).take(missing) {
            text.push(char::from(BASE62[usize::from(byte % 62)]));
            missing -= 1;
        }
        if missing == 0 {
            let sum = checksum(&text.as_bytes()[prefix.len()..]);
            sum.iter().for_each(|digit| text.push(char::from(*digit)));
            return Ok(ApiKey(text));
        }
    }
    Err(RandomError)
}
