//! API keys as text: `<prefix><32 random base62><6 base62 of their CRC32>`, 190 random bits.
//!
//! The checksum (GitHub's format) lets a parser and a secret scanner drop typing errors and guesses
//! before any look-up. It is no secret, and a good one is no part of being authenticated.

mod family;
mod mint;
mod parse;
mod prefix;
mod rules;

pub use family::{Environment, Family, UnknownEnvironment};
pub use mint::{ApiKey, mint_trigger};
pub use parse::{Form, KeyError, is_trigger};
pub use prefix::{PrefixError, Prefixes};
pub use rules::{Scanner, rules};

/// Random characters of a generated key.
pub const RANDOM: usize = 32;
/// Characters of the checksum.
pub const CHECKSUM: usize = 6;
/// Characters after the prefix.
pub const BODY: usize = RANDOM + CHECKSUM;
/// What the token of a trigger begins with, so that whoever looks for leaked secrets finds it.
pub const TRIGGER_PREFIX: &str = "cht_";
/// How long an imported key may be, in bytes.
pub const IMPORTED: std::ops::RangeInclusive<usize> = 16..=512;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// CRC32 (IEEE) of `random` as six base62 digits, most significant first.
fn checksum(random: &[u8]) -> [u8; CHECKSUM] {
    let mut rest = crc32fast::hash(random);
    let mut out = [b'0'; CHECKSUM];
    for slot in out.iter_mut().rev() {
        *slot = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    out
}

/// Makes, reads and shows keys, for one set of prefixes. Build it once.
#[derive(Clone, Debug)]
pub struct Parser {
    prefixes: Prefixes,
    /// Longest first, so that the first match is the longest.
    table: Vec<(String, Family, Option<Environment>)>,
}

impl Parser {
    /// Prepares the table.
    ///
    /// # Errors
    /// As [`Prefixes::validate`].
    pub fn new(prefixes: Prefixes) -> Result<Self, PrefixError> {
        prefixes.validate()?;
        Ok(Self::prepare(prefixes))
    }

    fn prepare(prefixes: Prefixes) -> Self {
        let mut table: Vec<_> =
            prefixes.all().into_iter().map(|(_, text, family, env)| (text.to_owned(), family, env)).collect();
        table.sort_by_key(|(prefix, ..)| std::cmp::Reverse(prefix.len()));
        Self { prefixes, table }
    }

    /// The prefixes in force.
    #[must_use]
    pub fn prefixes(&self) -> &Prefixes {
        &self.prefixes
    }
}

impl Default for Parser {
    /// The default prefixes.
    fn default() -> Self {
        Self::prepare(Prefixes::default())
    }
}

#[cfg(test)]
mod tests;
