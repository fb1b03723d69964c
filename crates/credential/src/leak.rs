//! The signature of those who report leaked keys (GitHub's secret scanning partner programme): ECDSA on
//! P-256 over the exact bytes of the report.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use data_encoding::BASE64;
use serde::Deserialize;

/// What a public key on P-256 begins with in its DER form (RFC 5480): the point follows, uncompressed.
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Bytes of an uncompressed point.
const POINT: usize = 65;
/// The most keys of a list that are kept.
const MAX_KEYS: usize = 64;

/// The keys that reports may be signed with at this moment.
#[derive(Clone)]
pub struct ReporterKeys(Vec<(String, [u8; POINT])>);

/// A list of keys that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReporterKeysError {
    /// Not the JSON that is expected.
    #[error("the list of keys is no JSON with `public_keys`, each with `key_identifier`, `key` and `is_current`")]
    Form,
    /// Nothing in it can verify.
    #[error("the list has no current key on P-256")]
    Empty,
}

#[derive(Deserialize)]
struct List {
    public_keys: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    key_identifier: String,
    key: String,
    is_current: bool,
}

impl ReporterKeys {
    /// Reads `{"public_keys":[{"key_identifier","key","is_current"}]}`, with keys in PEM. Those that are not
    /// current, or of another curve, are left out.
    ///
    /// # Errors
    /// When nothing is left.
    pub fn parse(json: &[u8]) -> Result<Self, ReporterKeysError> {
        let list: List = serde_json::from_slice(json).map_err(|_| ReporterKeysError::Form)?;
        let current = list.public_keys.into_iter().filter(|listed| listed.is_current).take(MAX_KEYS);
        let keys: Vec<_> =
            current.filter_map(|listed| Some((listed.key_identifier, point_of_pem(&listed.key)?))).collect();
        if keys.is_empty() { Err(ReporterKeysError::Empty) } else { Ok(Self(keys)) }
    }

    /// Whether a current key has this identifier.
    #[must_use]
    pub fn knows(&self, identifier: &str) -> bool {
        self.0.iter().any(|(known, _)| known == identifier)
    }

    /// Whether the key of this identifier has signed exactly these bytes; `signature` is base64 of its DER form.
    #[must_use]
    pub fn verify(&self, identifier: &str, signature: &str, body: &[u8]) -> bool {
        let Ok(signature) = BASE64.decode(signature.as_bytes()) else { return false };
        let of_key = self.0.iter().filter(|(known, _)| known == identifier);
        of_key
            .into_iter()
            .any(|(_, point)| UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(body, &signature).is_ok())
    }
}

impl fmt::Debug for ReporterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(identifier, _)| identifier)).finish()
    }
}

fn point_of_pem(pem: &str) -> Option<[u8; POINT]> {
    let text = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    let packed: String = text.split_ascii_whitespace().collect();
    let der = BASE64.decode(packed.as_bytes()).ok()?;
    der.strip_prefix(&SPKI_P256)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
    };
    use serde_json::json;

    use super::*;

    fn pair() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
    }

    fn pem(pair: &EcdsaKeyPair) -> String {
        let der = [&SPKI_P256, pair.public_key().as_ref()].concat();
        let text = BASE64.encode(&der);
        format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &text[..64], &text[64..])
    }

    fn list(keys: &[(&str, &str, bool)]) -> Vec<u8> {
        let keys: Vec<_> = keys
            .iter()
            .map(|(id, key, current)| json!({"key_identifier": id, "key": key, "is_current": current, "x": 1}))
            .collect();
        json!({ "public_keys": keys }).to_string().into_bytes()
    }

    fn sign(pair: &EcdsaKeyPair, body: &[u8]) -> String {
        BASE64.encode(pair.sign(&SystemRandom::new(), body).unwrap().as_ref())
    }

    #[test]
    fn a_report_is_believed_when_a_current_key_signed_its_exact_bytes() {
        let (ours, old) = (pair(), pair());
        let keys = ReporterKeys::parse(&list(&[("now", &pem(&ours), true), ("then", &pem(&old), false)])).unwrap();
        let body = br#"[{"token":"x"}]"#;
        let signature = sign(&ours, body);
        assert!(keys.knows("now") && keys.verify("now", &signature, body));
        assert!(!keys.verify("now", &signature, br#"[{"token":"y"}]"#), "another body");
        assert!(!keys.verify("now", &sign(&old, body), body), "another key");
        assert!(!keys.knows("then") && !keys.verify("then", &sign(&old, body), body), "not current any more");
        assert!(!keys.verify("never", &signature, body) && !keys.verify("", &signature, body));
        for wrong in ["", "AAAA", "not base64!", &signature[..signature.len() - 4]] {
            assert!(!keys.verify("now", wrong, body), "{wrong}");
        }
    }

    #[test]
    fn a_list_that_cannot_verify_anything_is_refused() {
        assert_eq!(ReporterKeys::parse(b"{").unwrap_err(), ReporterKeysError::Form);
        assert_eq!(ReporterKeys::parse(b"[]").unwrap_err(), ReporterKeysError::Form);
        assert_eq!(ReporterKeys::parse(&list(&[])).unwrap_err(), ReporterKeysError::Empty);
        let good = pem(&pair());
        for bad in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", &good[..good.len() - 30]] {
            assert_eq!(ReporterKeys::parse(&list(&[("a", bad, true)])).unwrap_err(), ReporterKeysError::Empty, "{bad}");
        }
        assert_eq!(ReporterKeys::parse(&list(&[("a", &good, false)])).unwrap_err(), ReporterKeysError::Empty);
    }
}
