use super::{BODY, Environment, Family, IMPORTED, Parser, RANDOM, TRIGGER_PREFIX, checksum};

/// A key that is well formed. That says nothing about whether it exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form<'a> {
    /// Made here: known prefix, right length, alphabet and checksum.
    Generated {
        /// By the prefix.
        family: Family,
        /// By the prefix; `None` where one prefix serves both environments.
        environment: Option<Environment>,
        /// The whole key.
        text: &'a str,
    },
    /// Made elsewhere and imported as a digest.
    Imported {
        /// The whole key.
        text: &'a str,
    },
}

impl<'a> Form<'a> {
    /// The whole key, as digested.
    #[must_use]
    pub fn text(&self) -> &'a str {
        match self {
            Self::Generated { text, .. } | Self::Imported { text } => text,
        }
    }
}

impl std::fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Generated { family, environment, .. } => write!(f, "Generated({family:?}, {environment:?}, …)"),
            Self::Imported { .. } => f.write_str("Imported(…)"),
        }
    }
}

/// Why a text is no key. For the operator and for metrics: the caller always gets the one 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum KeyError {
    /// Too short or too long for its kind.
    #[error("wrong length for a key")]
    Length,
    /// A character after a known prefix is not base62.
    #[error("a character that no key has")]
    Alphabet,
    /// A typing error, or a guess.
    #[error("the checksum does not match")]
    Checksum,
    /// No known prefix, and not `[A-Za-z0-9-._~+/]+=*` (RFC 6750, section 2.1).
    #[error("not the syntax of a bearer credential")]
    Syntax,
}

impl KeyError {
    /// A stable name for metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Alphabet => "alphabet",
            Self::Checksum => "checksum",
            Self::Syntax => "syntax",
        }
    }
}

impl Parser {
    /// Reads a key: longest known prefix, length, alphabet, checksum, in that order. A text with a
    /// known prefix is never an imported key, so that a mistyped key costs no look-up.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse<'a>(&self, text: &'a str) -> Result<Form<'a>, KeyError> {
        for (prefix, family, environment) in &self.table {
            if let Some(body) = text.as_bytes().strip_prefix(prefix.as_bytes()) {
                check_body(body)?;
                return Ok(Form::Generated { family: *family, environment: *environment, text });
            }
        }
        if !IMPORTED.contains(&text.len()) {
            return Err(KeyError::Length);
        }
        if !is_bearer(text.as_bytes()) {
            return Err(KeyError::Syntax);
        }
        Ok(Form::Imported { text })
    }

    /// What may be shown of a key: prefix, first 4 and last 4 of the body. Of anything else two
    /// characters at each end, and never more than a quarter.
    #[must_use]
    pub fn display(&self, text: &str) -> String {
        let prefix = self.table.iter().find(|(prefix, ..)| text.starts_with(prefix.as_str()));
        if let (Some((prefix, ..)), Ok(Form::Generated { .. })) = (prefix, self.parse(text)) {
            let (shown, last) = (prefix.len() + 4, text.len() - 4);
            return format!("{}…{}", &text[..shown], &text[last..]);
        }
        let characters: Vec<char> = text.chars().collect();
        let shown = (characters.len() / 8).min(2);
        let (first, last) = (&characters[..shown], &characters[characters.len() - shown..]);
        first.iter().chain(&['…']).chain(last).collect()
    }
}

/// Whether a text has the form of a trigger's token. That says nothing about whether it exists.
#[must_use]
pub fn is_trigger(text: &str) -> bool {
    text.strip_prefix(TRIGGER_PREFIX).is_some_and(|body| check_body(body.as_bytes()).is_ok())
}

fn check_body(body: &[u8]) -> Result<(), KeyError> {
    let body: &[u8; BODY] = body.try_into().map_err(|_| KeyError::Length)?;
    // Without an early exit the compiler checks sixteen bytes at a time.
    if !body.iter().fold(true, |good, byte| good & byte.is_ascii_alphanumeric()) {
        return Err(KeyError::Alphabet);
    }
    let (random, sum) = body.split_at(RANDOM);
    // Plain comparison: both sides are public, computed from what the caller sent.
    if checksum(random) == sum { Ok(()) } else { Err(KeyError::Checksum) }
}

fn is_bearer(text: &[u8]) -> bool {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let value = &text[..text.len() - padding];
    !value.is_empty() && value.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(b))
}
