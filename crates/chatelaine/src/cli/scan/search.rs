//! Looks for keys in bytes of any kind and any length, in constant memory.

use std::io::{ErrorKind, Read};

use credential::{
    Form, Parser,
    key::{BODY, TRIGGER_PREFIX, is_trigger},
};
use zeroize::Zeroizing;

/// What is read at once.
const CHUNK: usize = 1024 * 1024;
/// What webhook secrets begin with.
const WEBHOOK: &str = "whsec_";
/// The body of a webhook secret: base64 of 24 to 64 bytes.
const WEBHOOK_BODY: std::ops::RangeInclusive<usize> = 32..=88;
/// Longer than twice the longest of them, prefix included: as UTF-16 they have two bytes a character.
const LONGEST: usize = 256;

/// A key in a file.
pub(super) struct Found {
    /// The whole text: shown to nobody.
    pub(super) text: Zeroizing<String>,
    pub(super) kind: What,
    pub(super) line: u64,
    /// In bytes, from 1.
    pub(super) column: u64,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Key(credential::Family, Option<credential::Environment>),
    Trigger,
    WebhookSecret,
}

/// A search for the keys of one installation.
pub(super) struct Search {
    parser: Parser,
    /// The longest first.
    prefixes: Vec<String>,
}

/// The place in the stream at which the buffer begins.
struct Place {
    line: u64,
    column: u64,
}

impl Place {
    fn advance(&mut self, bytes: &[u8]) {
        let lines = memchr::memchr_iter(b'\n', bytes).count() as u64;
        if lines == 0 {
            self.column += bytes.len() as u64;
        } else {
            self.line += lines;
            self.column = (bytes.len() - memchr::memrchr(b'\n', bytes).unwrap_or(0)) as u64;
        }
    }
}

impl Search {
    pub(super) fn new(parser: Parser) -> Self {
        let of = parser.prefixes();
        let mut prefixes: Vec<String> = [
            &of.secret_live,
            &of.secret_test,
            &of.service_account_live,
            &of.service_account_test,
            &of.deployment,
            &of.widget,
        ]
        .into_iter()
        .cloned()
        .chain([TRIGGER_PREFIX.to_owned(), WEBHOOK.to_owned()])
        .collect();
        prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
        Self { parser, prefixes }
    }

    /// Tells `found` of each key in `input`, and `read` of each piece's length; gives back how many bytes there were.
    pub(super) fn run(
        &self,
        mut input: impl Read,
        mut found: impl FnMut(Found),
        mut read: impl FnMut(usize),
    ) -> std::io::Result<u64> {
        let mut buffer = Zeroizing::new(vec![0_u8; CHUNK + 3 * LONGEST]);
        // Prefixes are looked for from `next` on; what is before it is kept, because a prefix ends there.
        let (mut filled, mut next, mut total) = (0, 0, 0_u64);
        let mut place = Place { line: 1, column: 1 };
        // What went wrong behind the last byte: what came before it is searched all the same.
        let mut broken = None;
        loop {
            let ended = match input.read(&mut buffer[filled..]) {
                Ok(0) => true,
                Ok(count) => {
                    filled += count;
                    total += count as u64;
                    read(count);
                    false
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    broken = Some(error);
                    true
                }
            };
            if !ended && filled < buffer.len() {
                continue;
            }
            let bytes = &buffer[..filled];
            // Of what begins later, the end may not be here yet.
            let until = if ended { filled } else { filled - LONGEST };
            // Each key's place is counted on from the one before.
            let (mut here, mut counted) = (Place { ..place }, 0);
            for at in memchr::memchr_iter(b'_', &bytes[next..until]).map(|at| next + at) {
                if let Some((start, text, kind)) = self.at(bytes, at) {
                    if start < counted {
                        (here, counted) = (Place { ..place }, 0);
                    }
                    here.advance(&bytes[counted..start]);
                    counted = start;
                    found(Found { text, kind, line: here.line, column: here.column });
                }
            }
            if ended {
                return broken.map_or(Ok(total), Err);
            }
            let kept = until.saturating_sub(LONGEST);
            place.advance(&bytes[..kept]);
            buffer.copy_within(kept..filled, 0);
            filled -= kept;
            next = until - kept;
        }
    }

    /// What has the last character of its prefix at `at`: as bytes, or as UTF-16 of either order.
    fn at(&self, bytes: &[u8], at: usize) -> Option<(usize, Zeroizing<String>, What)> {
        [1, 2].into_iter().find_map(|step| {
            self.prefixes.iter().find_map(|prefix| {
                let start = at.checked_sub((prefix.len() - 1) * step)?;
                // Before anything is made of it: a file may be nothing but underscores.
                let mut units = bytes[start..].iter().step_by(step);
                if !prefix.bytes().all(|byte| units.next() == Some(&byte)) {
                    return None;
                }
                let text = characters(&bytes[start..], step, prefix.len() + *WEBHOOK_BODY.end() + 2);
                if !text.starts_with(prefix) {
                    return None;
                }
                self.judge(prefix, &text).map(|(text, kind)| (start, text, kind))
            })
        })
    }

    fn judge(&self, prefix: &str, text: &str) -> Option<(Zeroizing<String>, What)> {
        if prefix == WEBHOOK {
            let is_digit = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
            let rest = &text[prefix.len()..];
            let length = rest.chars().take_while(is_digit).count();
            let padding = rest[length..].chars().take_while(|c| *c == '=').count().min(2);
            let whole = &text[..prefix.len() + length + padding];
            let is_secret = WEBHOOK_BODY.contains(&length) && credential::WebhookSecret::parse(whole).is_ok();
            return is_secret.then(|| (Zeroizing::new(whole.to_owned()), What::WebhookSecret));
        }
        let whole = text.get(..prefix.len() + BODY)?;
        let kind = if prefix == TRIGGER_PREFIX && is_trigger(whole) {
            What::Trigger
        } else {
            match self.parser.parse(whole) {
                Ok(Form::Generated { family, environment, .. }) => What::Key(family, environment),
                Ok(Form::Imported { .. }) | Err(_) => return None,
            }
        };
        Some((Zeroizing::new(whole.to_owned()), kind))
    }
}

/// ASCII from the beginning of `bytes`, `step` bytes a character with zeros between; at most so many.
fn characters(bytes: &[u8], step: usize, most: usize) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(most));
    for (nth, unit) in bytes.chunks(step).take(most).enumerate() {
        let zeros = nth == 0 || step == 1 || bytes[nth * step - 1] == 0;
        match unit.first() {
            Some(byte) if byte.is_ascii_graphic() && zeros => text.push(char::from(*byte)),
            _ => break,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use ambient::SeededRandom;
    use credential::{Environment, Family, key::mint_trigger};

    use super::*;

    fn keys() -> Vec<String> {
        let (parser, random) = (Parser::default(), SeededRandom::new(7));
        let mint = |family, environment| parser.mint(family, environment, &random).unwrap().expose().to_owned();
        vec![
            mint(Family::Secret, Environment::Live),
            mint(Family::Secret, Environment::Test),
            mint(Family::ServiceAccount, Environment::Live),
            mint(Family::Deployment, Environment::Live),
            mint(Family::Widget, Environment::Live),
            mint_trigger(&random).unwrap().expose().to_owned(),
            credential::WebhookSecret::generate(&random).unwrap().to_text().to_string(),
        ]
    }

    fn search(input: impl Read) -> Vec<(String, u64, u64)> {
        let mut all = Vec::new();
        let keep = |found: Found| all.push((found.text.to_string(), found.line, found.column));
        Search::new(Parser::default()).run(input, keep, |_| ()).unwrap();
        all
    }

    #[test]
    fn each_kind_is_found_with_its_line_and_column_whatever_is_around_it() {
        for (before, after) in
            [("", ""), ("x", "y"), ("a\nkey=\"", "\";"), ("_", "_"), ("\0\u{ff}", "\0"), ("é ", " é")]
        {
            for key in keys() {
                // Letters after a webhook secret are part of it.
                if key.starts_with("whsec_") && after == "y" {
                    continue;
                }
                let text = format!("{before}{key}{after}");
                let lines = before.matches('\n').count() as u64;
                let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
                assert_eq!(search(text.as_bytes()), [(key, lines + 1, column as u64)], "{text:?}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_a_key_is_none() {
        for key in keys() {
            let last = if key.ends_with('0') { '1' } else { '0' };
            let mistyped = format!("{}{last}", &key[..key.len() - 1]);
            let short = &key[..key.len() - 8];
            for text in [mistyped.as_str(), short, &key.replace('_', "-"), &key.to_uppercase()] {
                let is_secret = key.starts_with("whsec_") && text.starts_with("whsec_");
                assert!(search(text.as_bytes()).is_empty() || is_secret, "{text}");
            }
        }
        assert!(search(&b"sk_live_ sk_live_00000000000000000000000000000000000000 ____ whsec_short"[..]).is_empty());
    }

    #[test]
    fn a_key_is_found_at_every_place_of_a_border_between_two_pieces() {
        let key = &keys()[0];
        for at in (CHUNK - 60..CHUNK + 900).step_by(7) {
            let text = format!("{}{key}{}", "x".repeat(at), "y".repeat(2 * CHUNK));
            assert_eq!(search(text.as_bytes()), [(key.clone(), 1, at as u64 + 1)], "{at}");
        }
    }

    /// Gives one byte at a time.
    struct Trickle<'a>(&'a [u8]);
    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            buffer[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[test]
    fn utf_16_of_either_order_and_readers_that_give_little_are_read() {
        for key in keys() {
            let text = format!("a\n{key} b");
            let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            for bytes in [little, big] {
                let found = search(bytes.as_slice());
                assert_eq!((found.len(), found[0].0.as_str(), found[0].1), (1, key.as_str(), 2));
            }
            assert_eq!(search(Trickle(text.as_bytes())), [(key, 2, 1)]);
        }
    }

    /// Breaks off behind its bytes.
    struct Broken<'a>(&'a [u8]);
    impl Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(std::io::Error::other("cut")),
                count => Ok(count),
            }
        }
    }

    #[test]
    fn what_was_read_before_an_error_is_searched_and_the_error_is_told() {
        let (key, mut all) = (&keys()[0], Vec::new());
        let keep = |found: Found| all.push(found.text.to_string());
        let ended = Search::new(Parser::default()).run(Broken(key.as_bytes()), keep, |_| ());
        assert_eq!((ended.unwrap_err().to_string(), all), ("cut".to_owned(), vec![key.clone()]));
    }

    #[test]
    fn many_keys_have_their_own_lines_and_columns() {
        let key = &keys()[0];
        let text = format!("{key} {key}\n{}{}\n {key}", "x".repeat(3 * CHUNK), "_".repeat(9_999));
        let column = key.len() as u64 + 2;
        let found: Vec<_> = search(text.as_bytes()).into_iter().map(|(_, line, column)| (line, column)).collect();
        assert_eq!(found, [(1, 1), (1, column), (3, 2)]);
    }

    #[test]
    fn two_keys_without_anything_between_are_both_found() {
        let keys = keys();
        let text = format!("{}{}", keys[0], keys[3]);
        let found: Vec<String> = search(text.as_bytes()).into_iter().map(|(text, ..)| text).collect();
        assert_eq!(found, [keys[0].clone(), keys[3].clone()]);
    }
}
