//! The form of each field: checked, and brought into the form that is stored. Whatever is around a text goes.

use serde_json::{Map, Value};
use store::{MAX_CUSTOM_BYTES, MAX_CUSTOM_FIELDS};

/// The most characters of a name.
pub const MAX_NAME: usize = 200;
/// Of an address.
pub const MAX_EMAIL: usize = 254;
/// Of a number, as it is written.
pub const MAX_PHONE: usize = 40;
/// Of an external id.
pub const MAX_EXTERNAL_ID: usize = 200;
/// Of a label.
pub const MAX_TAG: usize = 50;
/// Of the name of a custom field.
pub const MAX_CUSTOM_NAME: usize = 100;

/// A line of text that is not blank, for a JSON Schema: what [`name`], [`external_id`] and [`tag`] take.
pub const LINE_PATTERN: &str = r"^\s*[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?\s*$";
/// The same for [`email`].
pub const EMAIL_PATTERN: &str =
    r"^\s*[^\s@\x00-\x1f\x7f-\x9f]{1,64}@[^\s@.\x00-\x1f\x7f-\x9f]+(\.[^\s@.\x00-\x1f\x7f-\x9f]+)*\s*$";
/// The same for [`phone`].
pub const PHONE_PATTERN: &str = r"^[\s().\/-]*\+?([\s().\/-]*[0-9]){3,15}[\s().\/-]*$";

/// What `\s` is where the patterns are read, and what Unicode calls white space.
fn is_space(letter: char) -> bool {
    letter.is_whitespace() || ('\x1c'..='\x1f').contains(&letter)
}

/// A line of text.
fn line(text: &str, max: usize) -> Result<String, String> {
    let length = text.chars().count();
    if length > max {
        return Err(format!("must be 1 to {max} characters, and is {length}"));
    }
    let text = text.trim_matches(is_space);
    if text.is_empty() {
        return Err(format!("must be 1 to {max} characters, not only blanks"));
    }
    if text.chars().any(char::is_control) {
        return Err("must be one line, without control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// What people call a contact.
///
/// # Errors
/// With what is wrong, for the caller.
pub fn name(text: &str) -> Result<String, String> {
    line(text, MAX_NAME)
}

/// The customer's own name for a contact.
///
/// # Errors
/// With what is wrong, for the caller.
pub fn external_id(text: &str) -> Result<String, String> {
    line(text, MAX_EXTERNAL_ID)
}

/// A label.
///
/// # Errors
/// With what is wrong, for the caller.
pub fn tag(text: &str) -> Result<String, String> {
    line(text, MAX_TAG)
}

/// An address that looks like one; whether it is anybody's, only a letter can tell.
///
/// # Errors
/// With what is wrong, for the caller.
pub fn email(text: &str) -> Result<String, String> {
    let wrong = || Err("must be an email address, such as ada@example.com".to_owned());
    if text.chars().count() > MAX_EMAIL {
        return Err(format!("must be at most {MAX_EMAIL} characters"));
    }
    let text = text.trim_matches(is_space);
    let Some((local, domain)) = text.split_once('@') else { return wrong() };
    let is_plain = |part: &str| !part.is_empty() && !part.chars().any(|c| c == '@' || is_space(c) || c.is_control());
    if local.chars().count() <= 64 && is_plain(local) && domain.split('.').all(is_plain) {
        Ok(text.to_owned())
    } else {
        wrong()
    }
}

/// A number in the manner of E.164: digits, perhaps behind a `+`. Blanks, dots, dashes, slashes and parentheses go.
///
/// # Errors
/// With what is wrong, for the caller.
pub fn phone(text: &str) -> Result<String, String> {
    let number: String = text.chars().filter(|letter| !is_space(*letter) && !"().-/".contains(*letter)).collect();
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let is_number = (3..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && text.chars().count() <= MAX_PHONE {
        Ok(number)
    } else {
        Err("must be a phone number of 3 to 15 digits, such as +49 30 123456".to_owned())
    }
}

/// Custom fields: a few plain values under short names.
///
/// # Errors
/// With what is wrong, for the caller.
pub fn check_custom(fields: &Map<String, Value>) -> Result<(), String> {
    if fields.len() > MAX_CUSTOM_FIELDS {
        return Err(format!("must be at most {MAX_CUSTOM_FIELDS} fields"));
    }
    if fields.keys().any(|name| name.is_empty() || name.chars().count() > MAX_CUSTOM_NAME) {
        return Err(format!("must have names of 1 to {MAX_CUSTOM_NAME} characters"));
    }
    if fields.values().any(|value| value.is_array() || value.is_object()) {
        return Err("must hold texts, numbers, booleans and null alone".to_owned());
    }
    if serde_json::to_string(fields).map_or(usize::MAX, |text| text.len()) > MAX_CUSTOM_BYTES {
        return Err("must be at most 16 KiB, written as JSON".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_around_a_text_goes_and_what_is_inside_is_one_line() {
        assert_eq!(name("\u{a0} Ada  Lovelace\n").unwrap(), "Ada  Lovelace");
        for bad in ["", " ", "\n", "a\nb", "a\0", "a\u{85}b", &"x".repeat(201)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert!(name(&"ü".repeat(200)).is_ok() && external_id("7").is_ok());
        assert!(tag(&"x".repeat(50)).is_ok() && tag(&"x".repeat(51)).is_err());
    }

    #[test]
    fn an_address_looks_like_one() {
        for good in ["ada@example.com", " Ada.L+x@EXAMPLE.com ", "a@b", "ä@bücher.example"] {
            assert_eq!(email(good).unwrap(), good.trim());
        }
        let long = format!("{}@example.com", "a".repeat(65));
        for bad in ["", "ada", "@b", "a@", "a@b..c", "a@b.", "a b@c", "a@b@c", "a@b\0", &long] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_number_is_its_digits() {
        for (text, number) in [("+49 (30) 12-34/56", "+4930123456"), ("112", "112"), (" 030.1234 ", "0301234")] {
            assert_eq!(phone(text).unwrap(), number);
        }
        for bad in ["", "12", "1234567890123456", "+", "++123", "12+34", "abc", "１２３"] {
            assert!(phone(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn custom_fields_are_plain_and_few() {
        let of = |text: &str| check_custom(&serde_json::from_str(text).unwrap());
        assert!(of(r#"{"a":"b","n":1.5,"t":true,"z":null}"#).is_ok());
        for bad in [r#"{"a":[]}"#, r#"{"a":{}}"#, r#"{"":1}"#] {
            assert!(of(bad).is_err(), "{bad}");
        }
        let many: Map<_, _> = (0..101).map(|n| (n.to_string(), Value::Null)).collect();
        assert!(check_custom(&many).is_err());
        let large = |size: usize| check_custom(&Map::from_iter([("a".to_owned(), Value::from("x".repeat(size)))]));
        assert!(large(MAX_CUSTOM_BYTES - 8).is_ok() && large(MAX_CUSTOM_BYTES - 7).is_err());
    }
}
