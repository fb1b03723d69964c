//! Text as JavaScript counts and trims it: what clients of the original are used to.

/// How long JavaScript says that it is.
pub(crate) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The first `most` UTF-16 units. Half a character is left out, where JavaScript would cut through it.
pub(crate) fn first_units(text: &str, most: usize) -> &str {
    let mut counted = 0;
    for (index, letter) in text.char_indices() {
        counted += letter.len_utf16();
        if counted > most {
            return &text[..index];
        }
    }
    text
}

/// Without the blanks at both ends (ECMA-262, `String.prototype.trim`): the byte order mark is one of them,
/// U+0085 is none.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|letter: char| (letter.is_whitespace() && letter != '\u{85}') || letter == '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_astral_character_is_two_units_and_is_never_cut_through() {
        assert_eq!((units("a"), units("ü"), units("😀"), units("")), (1, 1, 2, 0));
        assert_eq!(first_units("ab😀c", 5), "ab😀c");
        assert_eq!(first_units("ab😀c", 4), "ab😀");
        assert_eq!(first_units("ab😀c", 3), "ab");
        assert_eq!(first_units("ab", 0), "");
    }

    #[test]
    fn blanks_are_javascripts() {
        assert_eq!(trim("\u{feff}\u{a0}\u{2028} a b \t\r\n\u{3000}"), "a b");
        assert_eq!(trim("\u{85}a\u{200b}"), "\u{85}a\u{200b}");
        assert_eq!(trim(" \n "), "");
    }
}
