//! What a tool says goes to a model and into the database: it is bounded, and text that both can hold.

/// The most bytes of a result that are kept.
pub(crate) const MAX_RESULT: usize = 64 * 1024;

/// What a tool came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) content: String,
    pub(crate) is_error: bool,
    pub(crate) is_cut: bool,
}

impl Outcome {
    pub(crate) fn of(content: String, is_error: bool) -> Self {
        let (content, is_cut) = cut(content);
        Self { content, is_error, is_cut }
    }

    pub(crate) fn error(content: impl Into<String>) -> Self {
        Self::of(content.into(), true)
    }
}

/// The first [`MAX_RESULT`] bytes with a note, without NUL: PostgreSQL has no room for it in a text.
fn cut(text: String) -> (String, bool) {
    let mut text = if text.contains('\0') { text.replace('\0', "") } else { text };
    if text.len() <= MAX_RESULT {
        return (text, false);
    }
    text.truncate(text.floor_char_boundary(MAX_RESULT));
    text.push_str("\n[cut: only the first 64 KiB of the result are shown]");
    (text, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_result_is_cut_between_characters_and_says_so() {
        let whole = Outcome::of("a\0b".to_owned(), false);
        assert_eq!((whole.content.as_str(), whole.is_cut), ("ab", false));
        assert!(!Outcome::of("x".repeat(MAX_RESULT), false).is_cut);
        let long = Outcome::of(format!("x{}", "ü".repeat(MAX_RESULT)), true);
        assert!(long.is_cut && long.is_error && long.content.ends_with("are shown]"));
        assert!(long.content.len() < MAX_RESULT + 60 && !long.content.contains('\u{fffd}'));
    }
}
