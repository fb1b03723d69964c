//! What we sign is what we read, for each kind, algorithm and generation of the secret.

use ambient::{ConversationId, DeploymentId, KeyId, Millis, RunId, SeededRandom, Ulid, WorkspaceId};
use proptest::prelude::*;

use super::*;
use crate::{key::Environment, secret::RootSecret};

pub(super) const ISSUER: &str = "https://chat.example.com";
pub(super) const NOW: Millis = Millis(1_700_000_000_000);

pub(super) fn root(seed: u64) -> RootSecret {
    RootSecret::generate(&SeededRandom::new(seed)).unwrap()
}

pub(super) fn tokens(algorithm: Algorithm) -> Tokens {
    Tokens::new(&Secrets::new(&root(1), None), algorithm, ISSUER).unwrap()
}

pub(super) fn session() -> SessionClaims {
    SessionClaims {
        conversation: ConversationId(Ulid(1)),
        workspace: WorkspaceId(Ulid(2)),
        environment: Environment::Live,
        key: KeyId(Ulid(3)),
        epoch: 7,
        origin: Some("https://shop.example.com".into()),
        issued_at: NOW,
        expires_at: NOW.plus(SESSION_MAX_S * 1000),
    }
}

pub(super) fn participant() -> ParticipantClaims {
    ParticipantClaims {
        run: RunId(Ulid(4)),
        role: "customer".into(),
        deployment: DeploymentId(Ulid(5)),
        workspace: WorkspaceId(Ulid(2)),
        environment: Environment::Test,
        key: KeyId(Ulid(3)),
        epoch: 7,
        issued_at: NOW,
        expires_at: NOW.plus(PARTICIPANT_S * 1000),
    }
}

const BOTH: [Algorithm; 2] = [Algorithm::Hs256, Algorithm::EdDsa];

#[test]
fn what_is_signed_is_read_in_both_algorithms() {
    for algorithm in BOTH {
        let tokens = tokens(algorithm);
        let token = tokens.sign_session(&session()).unwrap();
        assert_eq!(tokens.verify_session(&token, NOW), Ok(session()));
        assert_eq!(Tokens::kind_of(&token), Some(TokenKind::Session));
        let bare = SessionClaims { origin: None, ..session() };
        assert_eq!(tokens.verify_session(&tokens.sign_session(&bare).unwrap(), NOW), Ok(bare));
        let token = tokens.sign_participant(&participant()).unwrap();
        assert_eq!(tokens.verify_participant(&token, NOW), Ok(participant()));
        assert_eq!(Tokens::kind_of(&token), Some(TokenKind::Participant));
    }
}

#[test]
fn the_header_is_typ_alg_and_kid() {
    let tokens = tokens(Algorithm::EdDsa);
    let token = tokens.sign_session(&session()).unwrap();
    let header = data_encoding::BASE64URL_NOPAD.decode(token.split('.').next().unwrap().as_bytes()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    let kid = Secrets::new(&root(1), None).id().to_owned();
    assert_eq!(header, serde_json::json!({"typ": "chatsession+jwt", "alg": "EdDSA", "kid": kid}));
}

#[test]
fn a_token_never_passes_for_the_other_kind() {
    for algorithm in BOTH {
        let tokens = tokens(algorithm);
        let session = tokens.sign_session(&session()).unwrap();
        let participant = tokens.sign_participant(&participant()).unwrap();
        assert_eq!(tokens.verify_participant(&session, NOW), Err(TokenError::Kind));
        assert_eq!(tokens.verify_session(&participant, NOW), Err(TokenError::Kind));
    }
}

#[test]
fn a_token_never_passes_under_the_other_algorithm() {
    let [hs256, eddsa] = BOTH.map(tokens);
    let token = hs256.sign_session(&session()).unwrap();
    assert_eq!(eddsa.verify_session(&token, NOW), Err(TokenError::Algorithm));
    let token = eddsa.sign_session(&session()).unwrap();
    assert_eq!(hs256.verify_session(&token, NOW), Err(TokenError::Algorithm));
}

#[test]
fn during_a_rotation_the_previous_secret_verifies_and_the_current_one_signs() {
    for algorithm in BOTH {
        let make = |now: u64, then: Option<u64>| {
            let then = then.map(root);
            Tokens::new(&Secrets::new(&root(now), then.as_ref()), algorithm, ISSUER).unwrap()
        };
        let (before, during, after) = (make(1, None), make(2, Some(1)), make(2, None));
        let old = before.sign_session(&session()).unwrap();
        assert_eq!(during.verify_session(&old, NOW), Ok(session()));
        assert_eq!(after.verify_session(&old, NOW), Err(TokenError::Signature));
        let new = during.sign_session(&session()).unwrap();
        assert_eq!(after.verify_session(&new, NOW), Ok(session()));
        assert_eq!(before.verify_session(&new, NOW), Err(TokenError::Signature));
    }
}

#[test]
fn the_owner_of_a_token_that_is_over_is_known_and_that_of_a_forged_one_is_not() {
    let long_ago = SessionClaims { issued_at: Millis(1000), expires_at: Millis(61_000), ..session() };
    for algorithm in BOTH {
        let tokens = tokens(algorithm);
        let over = tokens.sign_session(&long_ago).unwrap();
        assert_eq!(tokens.verify_session(&over, NOW), Err(TokenError::Expired));
        assert_eq!(tokens.owner_of(&over), Some((WorkspaceId(Ulid(2)), Environment::Live)));
        let run = tokens.sign_participant(&participant()).unwrap();
        assert_eq!(tokens.owner_of(&run), Some((WorkspaceId(Ulid(2)), Environment::Test)));
        let forged = Tokens::new(&Secrets::new(&root(9), None), algorithm, ISSUER).unwrap();
        assert_eq!(tokens.owner_of(&forged.sign_session(&long_ago).unwrap()), None);
        assert_eq!(tokens.owner_of("sk_live_key"), None);
    }
}

#[test]
fn another_installations_tokens_are_refused() {
    for algorithm in BOTH {
        let other = Tokens::new(&Secrets::new(&root(9), None), algorithm, ISSUER).unwrap();
        let token = other.sign_session(&session()).unwrap();
        assert_eq!(tokens(algorithm).verify_session(&token, NOW), Err(TokenError::Signature));
        let named = Tokens::new(&Secrets::new(&root(1), None), algorithm, "https://other.example.com").unwrap();
        let token = named.sign_session(&session()).unwrap();
        assert_eq!(tokens(algorithm).verify_session(&token, NOW), Err(TokenError::Claims), "iss");
    }
}

#[test]
fn leeway_is_five_seconds_on_both_sides() {
    let tokens = tokens(Algorithm::Hs256);
    let token = tokens.sign_participant(&participant()).unwrap();
    let end = participant().expires_at;
    let at = |now: Millis| tokens.verify_participant(&token, now).err();
    assert_eq!(at(NOW.plus(-5_000)), None);
    assert_eq!(at(NOW.plus(-5_001)), Some(TokenError::NotYetValid));
    assert_eq!(at(end.plus(4_999)), None);
    assert_eq!(at(end.plus(5_000)), Some(TokenError::Expired));
    assert_eq!(at(end.plus(6_000)), Some(TokenError::Expired));
    assert_eq!(at(Millis(i64::MAX)), Some(TokenError::Expired));
    assert_eq!(at(Millis(i64::MIN)), Some(TokenError::NotYetValid));
}

#[test]
fn a_life_that_no_verifier_accepts_is_not_signed() {
    let tokens = tokens(Algorithm::Hs256);
    for seconds in [i64::MIN / 2000, -1, 0, SESSION_MAX_S + 1, i64::MAX / 2000] {
        let claims = SessionClaims { expires_at: NOW.plus(seconds * 1000), ..session() };
        assert_eq!(tokens.sign_session(&claims), Err(SignError::Lifetime), "{seconds}");
    }
    for seconds in [0, PARTICIPANT_S - 1, PARTICIPANT_S + 1, SESSION_MAX_S] {
        let claims = ParticipantClaims { expires_at: NOW.plus(seconds * 1000), ..participant() };
        assert_eq!(tokens.sign_participant(&claims), Err(SignError::Lifetime), "{seconds}");
    }
    let past = SessionClaims { issued_at: Millis(-1), expires_at: Millis(1000), ..session() };
    assert_eq!(tokens.sign_session(&past), Err(SignError::Lifetime));
}

#[test]
fn a_token_that_would_be_refused_for_its_size_is_not_signed() {
    let tokens = tokens(Algorithm::Hs256);
    let long = SessionClaims { origin: Some("x".repeat(MAX_BYTES)), ..session() };
    assert_eq!(tokens.sign_session(&long), Err(SignError::Size));
    let nobody = ParticipantClaims { role: String::new(), ..participant() };
    assert_eq!(tokens.sign_participant(&nobody), Err(SignError::Size));
}

#[test]
fn an_issuer_that_could_not_be_compared_is_refused() {
    let secrets = Secrets::new(&root(1), None);
    for issuer in ["", " ", "with space", "new\nline", "é", &"x".repeat(256)] {
        assert_eq!(Tokens::new(&secrets, Algorithm::Hs256, issuer).err(), Some(TokensError::Issuer), "{issuer:?}");
    }
}

#[test]
fn kind_of_is_silent_about_everything_else() {
    let token = tokens(Algorithm::Hs256).sign_session(&session()).unwrap();
    for text in ["", ".", "..", "a.b.c", "sk_live_0123", "e30.e30.e30", &token[..20], &token.replace('.', "")] {
        assert_eq!(Tokens::kind_of(text), None, "{text}");
    }
}

#[test]
fn the_jwk_set_verifies_tokens_elsewhere_and_hs256_publishes_nothing() {
    let secrets = Secrets::new(&root(2), Some(&root(1)));
    let tokens = Tokens::new(&secrets, Algorithm::EdDsa, ISSUER).unwrap();
    let set = tokens.jwks(TokenKind::Session);
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(set).unwrap();
    assert_eq!(set.keys.len(), 2, "current and previous");
    let jwk = set.find(secrets.id()).unwrap();
    let token = tokens.sign_session(&session()).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(jwk).unwrap();
    let algorithm = jsonwebtoken::Algorithm::EdDSA;
    assert!(jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, algorithm).unwrap());
    assert_ne!(tokens.jwks(TokenKind::Session), tokens.jwks(TokenKind::Participant), "a key for each kind");
    let none = serde_json::json!({"keys": []});
    assert_eq!(Tokens::new(&secrets, Algorithm::Hs256, ISSUER).unwrap().jwks(TokenKind::Session), none);
}

#[test]
fn debug_of_the_keys_says_nothing() {
    assert_eq!(format!("{:?}", tokens(Algorithm::Hs256)), format!("Tokens {{ issuer: {ISSUER:?}, .. }}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn session_claims_come_back(conversation: u128, workspace: u128, key: u128, epoch: u32, test: bool,
        origin in proptest::option::of("\\PC{0,60}"), issued in 0..4_000_000_000_i64, life in 1..=SESSION_MAX_S,
        eddsa: bool) {
        let claims = SessionClaims {
            conversation: ConversationId(Ulid(conversation)),
            workspace: WorkspaceId(Ulid(workspace)),
            environment: if test { Environment::Test } else { Environment::Live },
            key: KeyId(Ulid(key)),
            epoch,
            origin,
            issued_at: Millis::from_seconds(issued),
            expires_at: Millis::from_seconds(issued + life),
        };
        let tokens = tokens(if eddsa { Algorithm::EdDsa } else { Algorithm::Hs256 });
        let token = tokens.sign_session(&claims).unwrap();
        prop_assert_eq!(tokens.verify_session(&token, claims.issued_at), Ok(claims));
    }

    #[test]
    fn any_changed_character_is_refused(at: usize, with in "[A-Za-z0-9_.-]", eddsa: bool) {
        let tokens = tokens(if eddsa { Algorithm::EdDsa } else { Algorithm::Hs256 });
        let token = tokens.sign_session(&session()).unwrap();
        let at = at % token.len();
        let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
        if changed != token {
            prop_assert!(tokens.verify_session(&changed, NOW).is_err());
        }
    }
}
