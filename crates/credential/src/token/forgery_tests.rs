//! Tokens made by hand, each wrong in one way (RFC 8725 and the invalid classes of Wycheproof's
//! `json_web_signature_test.json`, constructed anew: no registry ships that file). Most are signed
//! with the right key, so that only the one check can refuse them.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::{tests::*, *};
use crate::mac::Keyed;

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

fn kid() -> String {
    Secrets::new(&root(1), None).id().to_owned()
}

/// The real key of a kind: what only this installation has.
fn key(label: &str) -> [u8; 32] {
    *Secrets::new(&root(1), None).generations().0.key(label)
}

const SESSION: &str = "token:session:hs256:v1";
const PARTICIPANT: &str = "token:participant:hs256:v1";

/// Signs raw texts: what a leaked key, or a bug in the signer, could produce.
fn forge(header: &str, payload: &str, label: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let signature = encode(Keyed::new(&key(label)).mac(&[message.as_bytes()]));
    format!("{message}.{signature}")
}

fn header() -> Value {
    json!({"typ": "chatsession+jwt", "alg": "HS256", "kid": kid()})
}

fn payload() -> Value {
    let token = tokens(Algorithm::Hs256).sign_session(&session()).unwrap();
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

fn participant_parts() -> (String, Value) {
    let token = tokens(Algorithm::Hs256).sign_participant(&participant()).unwrap();
    let part = BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    (with(header(), "typ", Some(json!("participant+jwt"))), serde_json::from_slice(&part).unwrap())
}

/// `value` with one member set, or removed by `None`.
fn with(mut value: Value, name: &str, member: Option<Value>) -> String {
    let object = value.as_object_mut().unwrap();
    match member {
        Some(member) => object.insert(name.into(), member),
        None => object.remove(name),
    };
    value.to_string()
}

fn refusal(token: &str) -> Option<TokenError> {
    tokens(Algorithm::Hs256).verify_session(token, NOW).err()
}

fn with_header(name: &str, member: Option<Value>) -> Option<TokenError> {
    refusal(&forge(&with(header(), name, member), &payload().to_string(), SESSION))
}

fn with_claim(name: &str, member: Option<Value>) -> Option<TokenError> {
    refusal(&forge(&header().to_string(), &with(payload(), name, member), SESSION))
}

#[test]
fn the_forge_itself_makes_good_tokens() {
    let token = forge(&header().to_string(), &payload().to_string(), SESSION);
    assert_eq!(tokens(Algorithm::Hs256).verify_session(&token, NOW), Ok(session()), "else nothing here proves much");
}

#[test]
fn j1_only_the_configured_algorithm_is_accepted() {
    for algorithm in ["none", "None", "nOnE", "noNE", "hs256", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA", ""]
    {
        assert_eq!(with_header("alg", Some(json!(algorithm))), Some(TokenError::Algorithm), "{algorithm}");
    }
    for member in [None, Some(json!(["HS256"])), Some(json!(256)), Some(Value::Null), Some(json!({"HS256": true}))] {
        assert_eq!(with_header("alg", member.clone()), Some(TokenError::Malformed), "{member:?}");
    }
}

#[test]
fn j1_an_unsigned_token_is_refused() {
    let payload = encode(payload().to_string());
    for algorithm in ["none", "HS256"] {
        let header = encode(with(header(), "alg", Some(json!(algorithm))));
        for signature in ["", "A", "AA", &encode([0; 32]), &encode("")] {
            assert!(refusal(&format!("{header}.{payload}.{signature}")).is_some(), "{algorithm} {signature}");
        }
        assert_eq!(refusal(&format!("{header}.{payload}")), Some(TokenError::Malformed));
    }
}

/// The classic confusion: the published Ed25519 key used as an HMAC secret.
#[test]
fn j1_a_public_key_is_no_hmac_secret() {
    let tokens = tokens(Algorithm::EdDsa);
    let x = tokens.jwks(TokenKind::Session)["keys"][0]["x"].as_str().unwrap().to_owned();
    let public = BASE64URL_NOPAD.decode(x.as_bytes()).unwrap();
    for algorithm in ["HS256", "EdDSA"] {
        let message =
            format!("{}.{}", encode(with(header(), "alg", Some(json!(algorithm)))), encode(payload().to_string()));
        for secret in [public.as_slice(), x.as_bytes()] {
            let signature = encode(Keyed::new(secret).mac(&[message.as_bytes()]));
            assert!(tokens.verify_session(&format!("{message}.{signature}"), NOW).is_err(), "{algorithm}");
        }
    }
}

#[test]
fn j2_only_the_compact_form_is_read() {
    let token = forge(&header().to_string(), &payload().to_string(), SESSION);
    let parts: Vec<&str> = token.split('.').collect();
    let [head, body, signature] = parts[..] else { panic!() };
    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        format!("{head}.{body}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{head}..{body}.{signature}"),
        format!("{token}.{signature}.{signature}"),
        format!(".{body}.{signature}"),
        format!("{head}..{signature}"),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}\0"),
        format!("{token}="),
        format!("{head}=.{body}.{signature}"),
        format!("{head}.{body}==.{signature}"),
        token.replace('.', " "),
        format!("Bearer {token}"),
        format!("\"{token}\""),
        json!({"protected": head, "payload": body, "signature": signature}).to_string(),
        json!({"payload": body, "signatures": [{"protected": head, "signature": signature}]}).to_string(),
        format!("{head}.{body}.{signature}é"),
        format!("{head}.{body}.{}", data_encoding::BASE64.encode(&[0xFB; 32])),
    ] {
        assert_eq!(refusal(&text), Some(TokenError::Malformed), "{text}");
    }
}

/// 32 bytes leave two bits of the last character unused: each signature would have four spellings.
#[test]
fn j2_one_token_has_one_spelling() {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let token = forge(&header().to_string(), &payload().to_string(), SESSION);
    let last = DIGITS.iter().position(|d| *d == token.as_bytes()[token.len() - 1]).unwrap();
    assert_eq!(last % 4, 0);
    for spelling in 1..4 {
        let text = format!("{}{}", &token[..token.len() - 1], char::from(DIGITS[last + spelling]));
        assert_eq!(refusal(&text), Some(TokenError::Signature));
    }
}

#[test]
fn cut_lengthened_and_altered_signatures_are_refused() {
    let token = forge(&header().to_string(), &payload().to_string(), SESSION);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let right = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    for length in 1..right.len() {
        assert_eq!(refusal(&format!("{message}.{}", encode(&right[..length]))), Some(TokenError::Signature));
    }
    assert_eq!(refusal(&format!("{message}.{}", encode([&right[..], &[0]].concat()))), Some(TokenError::Signature));
    for bit in 0..256 {
        let mut wrong = right.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(refusal(&format!("{message}.{}", encode(wrong))), Some(TokenError::Signature));
    }
}

#[test]
fn j4_issuer_and_audience_are_required_and_exact() {
    for name in ["iss", "aud"] {
        let right = payload()[name].clone();
        for member in [
            None,
            Some(Value::Null),
            Some(json!("")),
            Some(json!([])),
            Some(json!(["https://other.example.com"])),
            Some(json!([right.clone(), "another"])),
            Some(json!([right.clone()])),
            Some(json!(7)),
            Some(json!(right.as_str().unwrap().to_uppercase())),
            Some(json!(format!("{}/", right.as_str().unwrap()))),
        ] {
            assert_eq!(with_claim(name, member.clone()), Some(TokenError::Claims), "{name} {member:?}");
        }
    }
}

#[test]
fn j5_typ_is_exact() {
    for typ in ["JWT", "jwt", "participant+jwt", "dashboard+jwt", "application/chatsession+jwt", "CHATSESSION+JWT", ""]
    {
        assert_eq!(with_header("typ", Some(json!(typ))), Some(TokenError::Kind), "{typ}");
    }
    for member in [None, Some(Value::Null), Some(json!(["chatsession+jwt"]))] {
        assert_eq!(with_header("typ", member), Some(TokenError::Malformed));
    }
}

/// Each test leaves exactly one of the three walls standing, so deleting any one check fails here.
#[test]
fn j6_typ_alone_keeps_the_kinds_apart() {
    let foreign = with(header(), "typ", Some(json!("participant+jwt")));
    assert_eq!(refusal(&forge(&foreign, &payload().to_string(), SESSION)), Some(TokenError::Kind));
}

#[test]
fn j6_the_key_alone_keeps_the_kinds_apart() {
    assert_ne!(key(SESSION), key(PARTICIPANT));
    let token = forge(&header().to_string(), &payload().to_string(), PARTICIPANT);
    assert_eq!(refusal(&token), Some(TokenError::Signature));
}

#[test]
fn j6_the_audience_alone_keeps_the_kinds_apart() {
    assert_eq!(with_claim("aud", Some(json!("chatelaine:participant"))), Some(TokenError::Claims));
}

#[test]
fn j7_times_are_whole_seconds_or_nothing() {
    for name in ["exp", "iat", "nbf"] {
        for wrong in [
            json!("1700000000"),
            json!(1_700_000_000.5),
            json!(1_700_000_000.0),
            json!(-1),
            json!(1e300),
            Value::Null,
            json!(9_223_372_036_854_775_808_u64),
            json!(u64::MAX),
            json!(i64::MIN),
            json!([1_700_000_000]),
            json!({}),
            json!(true),
        ] {
            assert_eq!(with_claim(name, Some(wrong.clone())), Some(TokenError::Claims), "{name} {wrong}");
        }
    }
    assert_eq!(with_claim("exp", None), Some(TokenError::Claims));
    assert_eq!(with_claim("iat", None), Some(TokenError::Claims));
}

#[test]
fn j7_nbf_and_iat_are_checked_when_the_signature_is_right() {
    let now = NOW.seconds();
    assert_eq!(with_claim("nbf", Some(json!(now + 5))), None);
    assert_eq!(with_claim("nbf", Some(json!(now + 6))), Some(TokenError::NotYetValid));
    assert_eq!(with_claim("nbf", Some(json!(4_102_444_800_i64))), Some(TokenError::NotYetValid), "the year 2100");
    assert_eq!(with_claim("iat", Some(json!(now + 6))), Some(TokenError::NotYetValid));
    assert_eq!(with_claim("nbf", Some(json!(now - 60))), None);
    let mut early = payload();
    early["nbf"] = json!(now - 60);
    let token = forge(&header().to_string(), &with(early, "iat", Some(json!(now + 6))), SESSION);
    assert_eq!(refusal(&token), Some(TokenError::NotYetValid), "the later of the two counts");
    let mut ancient = payload();
    ancient["exp"] = json!(3000);
    let token = forge(&header().to_string(), &with(ancient, "iat", Some(json!(-10))), SESSION);
    assert_eq!(refusal(&token), Some(TokenError::Claims), "negative, and only then expired");
}

#[test]
fn j8_kid_names_one_of_two_secrets_and_nothing_else() {
    let id = kid();
    for wrong in [
        "",
        "../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "http://127.0.0.1:1/keys",
        &id[..15],
        &format!("{id}0"),
        &format!("{id}\0"),
        &id.to_uppercase().replace(char::is_numeric, "F"),
        &"a".repeat(1000),
    ] {
        let refusal = with_header("kid", Some(json!(wrong)));
        assert!(matches!(refusal, Some(TokenError::Signature | TokenError::Malformed)), "{wrong} {refusal:?}");
    }
    for member in [None, Some(Value::Null), Some(json!(1)), Some(json!([id]))] {
        assert_eq!(with_header("kid", member), Some(TokenError::Malformed));
    }
}

#[test]
fn j8_keys_and_addresses_in_the_header_are_refused() {
    for (name, member) in [
        ("jku", json!("http://127.0.0.1:1/jwks.json")),
        ("x5u", json!("http://127.0.0.1:1/cert.pem")),
        ("jwk", json!({"kty": "oct", "k": "AAAA"})),
        ("x5c", json!(["AAAA"])),
        ("x5t", json!("AAAA")),
        ("cty", json!("JWT")),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("nonce", json!("x")),
    ] {
        assert_eq!(with_header(name, Some(member)), Some(TokenError::Malformed), "{name}");
    }
}

#[test]
fn j9_critical_extensions_are_refused() {
    for (name, member) in [
        ("crit", json!(["zz"])),
        ("crit", json!([])),
        ("crit", json!(["exp"])),
        ("crit", Value::Null),
        ("b64", json!(false)),
        ("b64", json!(true)),
    ] {
        assert_eq!(with_header(name, Some(member.clone())), Some(TokenError::Malformed), "{name} {member}");
    }
}

#[test]
fn j10_a_signed_token_still_has_a_limited_life() {
    let now = NOW.seconds();
    for (life, refused) in [(SESSION_MAX_S, None), (SESSION_MAX_S + 1, Some(TokenError::Claims))] {
        assert_eq!(with_claim("exp", Some(json!(now + life))), refused, "{life}");
    }
    for exp in [now, now - 1, 0, i64::MAX] {
        assert_eq!(with_claim("exp", Some(json!(exp))), Some(TokenError::Claims), "{exp}");
    }
}

#[test]
fn j10_a_participant_token_lives_exactly_an_hour() {
    let tokens = tokens(Algorithm::Hs256);
    let (header, payload) = participant_parts();
    for (life, right) in [(3599, false), (3600, true), (3601, false), (86_400, false)] {
        let token = forge(&header, &with(payload.clone(), "exp", Some(json!(NOW.seconds() + life))), PARTICIPANT);
        let read = tokens.verify_participant(&token, NOW);
        assert_eq!(read, if right { Ok(participant()) } else { Err(TokenError::Claims) }, "{life}");
    }
}

/// What revocation needs: the key and its epoch come out as they were signed, and cannot be left out.
#[test]
fn j11_key_epoch_and_tenant_are_required() {
    for name in ["sub", "workspace", "env", "key", "epoch"] {
        assert_eq!(with_claim(name, None), Some(TokenError::Claims), "{name}");
        assert_eq!(with_claim(name, Some(Value::Null)), Some(TokenError::Claims), "{name}");
    }
    assert_eq!(with_claim("epoch", Some(json!(4_294_967_296_u64))), Some(TokenError::Claims));
    assert_eq!(with_claim("sub", Some(json!("run_00000000000000000000000001"))), Some(TokenError::Claims));
    assert_eq!(with_claim("env", Some(json!("LIVE"))), Some(TokenError::Claims));
    assert_eq!(with_claim("origin", Some(Value::Null)), Some(TokenError::Claims));
}

#[test]
fn j12_size_is_checked_before_anything_is_read() {
    assert_eq!(refusal(&"a".repeat(1_000_000)), Some(TokenError::TooLong));
    assert_eq!(refusal(&"{".repeat(MAX_BYTES + 1)), Some(TokenError::TooLong), "before its form");
    assert_eq!(refusal(&"{".repeat(MAX_BYTES)), Some(TokenError::Malformed));
    assert_eq!(Tokens::kind_of(&"a".repeat(1_000_000)), None);
}

#[test]
fn j12_deep_nesting_is_refused() {
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    assert_eq!(refusal(&forge(&deep, &payload().to_string(), SESSION)), Some(TokenError::Malformed));
    assert_eq!(refusal(&forge(&header().to_string(), &deep, SESSION)), Some(TokenError::Claims));
}

#[test]
fn j13_doubled_members_are_refused_everywhere() {
    let (head, body) = (header(), payload());
    for (name, value) in body.as_object().unwrap() {
        for doubled in [
            body.to_string().replacen('{', &format!("{{\"{name}\":{value},"), 1),
            body.to_string().replacen('}', &format!(",\"{name}\":{value}}}"), 1),
        ] {
            let token = forge(&head.to_string(), &doubled, SESSION);
            assert_eq!(refusal(&token), Some(TokenError::Claims), "{doubled}");
        }
    }
    for (name, value) in head.as_object().unwrap() {
        let doubled = head.to_string().replacen('{', &format!("{{\"{name}\":{value},"), 1);
        let token = forge(&doubled, &body.to_string(), SESSION);
        assert_eq!(refusal(&token), Some(TokenError::Malformed), "{doubled}");
    }
}

#[test]
fn unknown_claims_and_other_json_are_refused() {
    for name in ["role", "admin", "scope", "jti"] {
        assert_eq!(with_claim(name, Some(json!("x"))), Some(TokenError::Claims), "{name}");
    }
    let head = header().to_string();
    for body in ["", "null", "[]", "\"x\"", "{}", "{", "{}{}", "\u{feff}{}", "\u{0}"] {
        let token = forge(&head, body, SESSION);
        assert!(matches!(refusal(&token), Some(TokenError::Claims | TokenError::Malformed)), "{body}");
        assert_eq!(refusal(&forge(body, &payload().to_string(), SESSION)), Some(TokenError::Malformed), "{body}");
    }
    let trailing = format!("{} x", payload());
    assert_eq!(refusal(&forge(&head, &trailing, SESSION)), Some(TokenError::Claims));
}

#[test]
fn participant_tokens_are_read_as_strictly() {
    let (header, payload) = participant_parts();
    let read =
        |payload: &str| tokens(Algorithm::Hs256).verify_participant(&forge(&header, payload, PARTICIPANT), NOW).err();
    assert_eq!(read(&payload.to_string()), None);
    for name in ["origin", "admin"] {
        assert_eq!(read(&with(payload.clone(), name, Some(json!("x")))), Some(TokenError::Claims), "{name}");
    }
    for name in payload.as_object().unwrap().keys() {
        assert_eq!(read(&with(payload.clone(), name, None)), Some(TokenError::Claims), "{name}");
    }
    let doubled = payload.to_string().replacen('{', "{\"role\":\"admin\",", 1);
    assert_eq!(read(&doubled), Some(TokenError::Claims), "role twice");
}
