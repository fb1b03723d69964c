//! One-time codes of an authenticator app (RFC 6238: HMAC-SHA-1, six digits, steps of 30 seconds), and codes for
//! who has lost the app.

use std::fmt;

use ambient::{Millis, Random, RandomError};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::{ConditionallySelectable, ConstantTimeEq};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::Digest;

/// Seconds of a step.
const STEP_SECONDS: i64 = 30;
/// Bytes of a secret: as long as what HMAC-SHA-1 makes (RFC 4226, R6).
const SECRET: usize = 20;
/// Bytes of a recovery code: 80 bits, which nobody guesses.
const RECOVERY: usize = 10;

/// What app and server share.
#[derive(Clone)]
pub struct TotpSecret(Zeroizing<[u8; SECRET]>);

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(…)")
    }
}

impl TotpSecret {
    /// A new one.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new([0; SECRET]);
        random.fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// From what [`TotpSecret::expose`] gave; `None` for anything else.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// The bytes, to be sealed.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// What a person types into an app: base32 without padding.
    #[must_use]
    pub fn to_text(&self) -> String {
        BASE32_NOPAD.encode(self.0.as_slice())
    }

    /// What an app reads from a picture: `otpauth://totp/…`, for the account `email` here.
    #[must_use]
    pub fn to_url(&self, email: &str) -> String {
        // In a path a blank is `%20`, and never `+`.
        let account: String = byte_serialize(email.as_bytes()).collect::<String>().replace('+', "%20");
        let secret = self.to_text();
        format!(
            "otpauth://totp/Chatelaine:{account}?secret={secret}&issuer=Chatelaine&algorithm=SHA1&digits=6&period=30"
        )
    }

    /// The step whose code this is, of the one at `now` and its two neighbours: clocks differ. Each step is good
    /// once: the caller remembers it, and takes none that is not later (RFC 6238, 5.2).
    #[must_use]
    pub fn step_of(&self, code: &str, now: Millis) -> Option<i64> {
        let present = now.seconds().div_euclid(STEP_SECONDS);
        let mut found = -1_i64;
        // All three, whichever it is, so that the time says nothing.
        for step in [present - 1, present, present + 1] {
            let right = self.code(step).as_bytes().ct_eq(code.as_bytes());
            found = i64::conditional_select(&found, &step, right);
        }
        (found >= 0).then_some(found)
    }

    /// What is kept of a recovery code, which is read as [`TypedCode::Recovery`]. The app's secret is the key: what
    /// has been sealed anew still knows its codes.
    #[must_use]
    pub fn recovery_digest(&self, code: &str) -> Digest {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_slice()) else { return Digest([0; 32]) };
        mac.update(b"recovery code\0");
        mac.update(code.as_bytes());
        Digest(mac.finalize().into_bytes().into())
    }

    /// The code of a step: six digits.
    #[must_use]
    pub fn code(&self, step: i64) -> Zeroizing<String> {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(self.0.as_slice()) else { return Zeroizing::default() };
        mac.update(&step.to_be_bytes());
        let hash = mac.finalize().into_bytes();
        let at = usize::from(hash[19] & 0xf);
        let number = u32::from_be_bytes([hash[at] & 0x7f, hash[at + 1], hash[at + 2], hash[at + 3]]);
        Zeroizing::new(format!("{:06}", number % 1_000_000))
    }
}

/// Draws a recovery code: `abcd-efgh-ijkl-mnop`.
///
/// # Errors
/// When the random source fails.
pub fn recovery_code(random: &dyn Random) -> Result<Zeroizing<String>, RandomError> {
    let mut bytes = Zeroizing::new([0; RECOVERY]);
    random.fill(bytes.as_mut_slice())?;
    let text = Zeroizing::new(BASE32_NOPAD.encode(bytes.as_slice()).to_ascii_lowercase());
    let mut code = Zeroizing::new(String::with_capacity(19));
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at % 4 == 0 {
            code.push('-');
        }
        code.push(letter);
    }
    Ok(code)
}

/// A code as a person types it.
#[derive(Clone, PartialEq, Eq)]
pub enum TypedCode {
    /// Six digits, of an app.
    OneTime(Zeroizing<String>),
    /// A recovery code, without what stands between its letters.
    Recovery(Zeroizing<String>),
}

impl fmt::Debug for TypedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedCode(…)")
    }
}

impl TypedCode {
    /// Reads it, whatever blanks and hyphens are in it; `None` when it is neither.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bare = text.chars().filter(|letter| !letter.is_whitespace() && *letter != '-').take(32);
        let bare = Zeroizing::new(bare.collect::<String>().to_ascii_lowercase());
        if bare.len() == 6 && bare.bytes().all(|byte| byte.is_ascii_digit()) {
            Some(Self::OneTime(bare))
        } else if bare.len() == 16
            && bare.bytes().all(|byte| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte))
        {
            Some(Self::Recovery(bare))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use ambient::SeededRandom;

    use super::*;

    fn rfc() -> TotpSecret {
        TotpSecret::read(b"12345678901234567890").unwrap()
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B, SHA1; of its eight digits the last six.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(rfc().code(seconds / STEP_SECONDS).as_str(), code, "{seconds}");
            assert_eq!(rfc().step_of(code, Millis::from_seconds(seconds)), Some(seconds / STEP_SECONDS));
        }
    }

    #[test]
    fn a_code_is_good_for_its_step_and_the_two_beside_it() {
        let secret = TotpSecret::generate(&SeededRandom::new(7)).unwrap();
        let at = |step: i64| Millis::from_seconds(step * STEP_SECONDS);
        let code = secret.code(1000);
        for (step, found) in [(998, None), (999, Some(1000)), (1000, Some(1000)), (1001, Some(1000)), (1002, None)] {
            assert_eq!(secret.step_of(&code, at(step)), found, "{step}");
        }
        for wrong in ["", "12345", "1234567", "abcdef", &code[1..], &format!("{}0", code.as_str())] {
            assert_eq!(secret.step_of(wrong, at(1000)), None, "{wrong}");
        }
    }

    #[test]
    fn an_app_is_told_all_that_it_needs_and_a_log_nothing() {
        let secret = rfc();
        let url = secret.to_url("ada+x@example.com");
        assert_eq!(
            url,
            "otpauth://totp/Chatelaine:ada%2Bx%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Chatelaine\
             &algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(TotpSecret::read(secret.expose()).unwrap().to_text(), secret.to_text());
        assert!(TotpSecret::read(b"short").is_none());
        assert_eq!(format!("{secret:?} {:?}", TypedCode::read("123456")), "TotpSecret(…) Some(TypedCode(…))");
    }

    #[test]
    fn a_recovery_code_is_read_as_it_is_shown_and_as_people_type() {
        let code = recovery_code(&SeededRandom::new(7)).unwrap();
        assert_eq!(code.len(), 19, "{}", code.as_str());
        let read = TypedCode::read(&code).unwrap();
        let typed = code.replace('-', " ").to_uppercase();
        assert!(TypedCode::read(&format!(" {typed} ")).unwrap() == read && matches!(read, TypedCode::Recovery(_)));
        let (ours, other) = (rfc(), TotpSecret::generate(&SeededRandom::new(9)).unwrap());
        assert_eq!(ours.recovery_digest("abc"), rfc().recovery_digest("abc"));
        assert_ne!(ours.recovery_digest("abc"), ours.recovery_digest("abd"));
        assert_ne!(ours.recovery_digest("abc"), other.recovery_digest("abc"));
        assert!(TypedCode::read("123 456").unwrap() == TypedCode::OneTime(Zeroizing::new("123456".to_owned())));
        for neither in ["", "12345", "1234567", "12345a", "abcd-efgh-ijkl-mno1", &"a".repeat(15), &"a".repeat(64)] {
            assert!(TypedCode::read(neither).is_none(), "{neither}");
        }
    }
}
