//! Standard Webhooks: the published and the recomputed vectors, the rules, and the reference
//! library as a second opinion.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not see as tests")]

use ambient::{Clock, Millis, SeededRandom, SystemClock};
use credential::webhook::{
    ID_HEADER, MAX_SIGNATURES, PLAIN_SIGNATURE_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, WebhookError, WebhookSecret,
    WebhookSecretError, sign, sign_plain, verify, verify_plain,
};
use data_encoding::{BASE64, BASE64_NOPAD};
use proptest::prelude::*;

const S32: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const TS: i64 = 1_700_000_000;
const NOW: Millis = Millis(TS * 1000);

fn secret(text: &str) -> WebhookSecret {
    WebhookSecret::parse(text).unwrap()
}

/// Verifies `x` under [`S32`] and the id `msg_1`.
fn check(timestamp: &str, signature: &str, now: Millis) -> Result<(), WebhookError> {
    verify(&[secret(S32)], "msg_1", timestamp, signature, b"x", now)
}

fn good() -> String {
    sign(&secret(S32), "msg_1", TS, b"x").unwrap()
}

#[test]
fn vectors() {
    let rows: [(&str, &str, i64, &[u8], &str); 5] = [
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            br#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            S32,
            "msg_test0001",
            TS,
            br#"{"type":"run.completed","data":{"id":"run_1"}}"#,
            "v1,U96c3C8NnVschXEr6iK0B26cOFP2MvtANb9laIMbHrk=",
        ),
        (S32, "msg_test0001", TS, b"\xFF\xFE\0binary", "v1,iqJYT0Z+Uvfb8s04w3l4uibWi1ecb2mVgioPvZ2Y8po="),
        (S32, "msg_test0001", TS, b"", "v1,aQbmjL/cc0ZVqf+lMY0dy46tN9mvVrg5fIq743ANQAI="),
    ];
    for (key, id, timestamp, body, expected) in rows {
        assert_eq!(sign(&secret(key), id, timestamp, body).as_deref(), Ok(expected), "{id}");
        let now = Millis::from_seconds(timestamp);
        let text = timestamp.to_string();
        assert_eq!(verify(&[secret(key)], id, &text, expected, body, now), Ok(()));
        let altered = [body, b" "].concat();
        assert_eq!(verify(&[secret(key)], id, &text, expected, &altered, now), Err(WebhookError::Signature));
    }
}

#[test]
fn one_character_off_is_refused() {
    let key = [secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
    let (id, text, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
    let off = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=";
    assert_eq!(verify(&key, id, text, off, body, Millis(1_614_265_330_000)), Err(WebhookError::Signature));
}

/// Without the rule about full stops these two messages share the signature
/// `v1,uuljkYL/cjNsp+5QXVDnQUdj0fJVSIaxLRKgsLPkHu0=`.
#[test]
fn w9_an_id_with_a_full_stop_is_neither_signed_nor_believed() {
    let shared = "v1,uuljkYL/cjNsp+5QXVDnQUdj0fJVSIaxLRKgsLPkHu0=";
    let key = secret(S32);
    assert_eq!(sign(&key, "msg_a", TS, b"1700000001.x").as_deref(), Ok(shared));
    assert_eq!(sign(&key, "msg_a.1700000000", TS + 1, b"x"), Err(WebhookError::Id));
    let forged = verify(&[key], "msg_a.1700000000", "1700000001", shared, b"x", NOW);
    assert_eq!(forged, Err(WebhookError::Id));
}

#[test]
fn an_id_is_visible_ascii_and_not_empty() {
    for id in ["", " ", "a b", "a\r\nX-Evil: 1", "é", "a\0", &"x".repeat(257)] {
        assert_eq!(sign(&secret(S32), id, TS, b"x"), Err(WebhookError::Id), "{id:?}");
        assert_eq!(verify(&[secret(S32)], id, "1700000000", "v1,x", b"x", NOW), Err(WebhookError::Id), "{id:?}");
    }
    assert!(sign(&secret(S32), &"x".repeat(256), TS, b"x").is_ok());
}

#[test]
fn w1_headers_have_the_standards_names() {
    assert_eq!(
        [ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER],
        ["webhook-id", "webhook-timestamp", "webhook-signature"]
    );
    assert_eq!(PLAIN_SIGNATURE_HEADER, "X-Chatbot-Signature");
}

#[test]
fn w3_a_secret_has_24_to_64_bytes_in_any_of_four_spellings() {
    for (length, expected) in [
        (0, Err(WebhookSecretError::Length)),
        (23, Err(WebhookSecretError::Length)),
        (24, Ok(())),
        (25, Ok(())),
        (32, Ok(())),
        (64, Ok(())),
        (65, Err(WebhookSecretError::Length)),
    ] {
        let bytes: Vec<u8> = (0..length).collect();
        let (padded, bare) = (BASE64.encode(&bytes), BASE64_NOPAD.encode(&bytes));
        for text in [format!("whsec_{padded}"), format!("whsec_{bare}"), padded, bare] {
            let read = WebhookSecret::parse(&text);
            assert_eq!(read.as_ref().map(drop).map_err(|e| *e), expected, "{text}");
            if let Ok(read) = read {
                assert_eq!(*read.to_text(), format!("whsec_{}", BASE64.encode(&bytes)));
            }
        }
    }
    for text in ["whsec_", "whsec_!!!!", "whsk_AAAA", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 ", "é"] {
        assert!(WebhookSecret::parse(text).is_err(), "{text}");
    }
    assert_eq!(format!("{:?}", secret(S32)), "WebhookSecret(…)");
}

#[test]
fn w5_any_match_passes_and_unknown_versions_are_skipped() {
    let good = good();
    let raw = good.strip_prefix("v1,").unwrap();
    let wrong = format!("v1,{}", BASE64.encode(&[0; 32]));
    for header in [
        good.clone(),
        format!("v2,{raw} {good}"),
        format!("v1a,{raw} {good}"),
        format!("{wrong} {good}"),
        format!("{good} {wrong}"),
        format!("  {good}"),
        format!("nonsense , v1 {good}"),
    ] {
        assert_eq!(check("1700000000", &header, NOW), Ok(()), "{header}");
    }
    for header in [format!("v2,{raw}"), format!("v1a,{raw}"), format!("V1,{raw}"), raw.to_owned(), format!("v1 {raw}")]
    {
        assert_eq!(check("1700000000", &header, NOW), Err(WebhookError::Signature), "{header}");
    }
}

#[test]
fn w5_only_the_first_32_signatures_are_looked_at() {
    let wrong = format!("v1,{} ", BASE64.encode(&[0; 32]));
    let at = |position: usize| format!("{}{}", wrong.repeat(position - 1), good());
    assert_eq!(check("1700000000", &at(MAX_SIGNATURES), NOW), Ok(()));
    assert_eq!(check("1700000000", &at(MAX_SIGNATURES + 1), NOW), Err(WebhookError::Signature));
    assert_eq!(check("1700000000", &at(1000), NOW), Err(WebhookError::Signature));
}

/// RUSTSEC-2024-0010: a comparison that stops at the shorter side takes an empty signature.
#[test]
fn empty_short_long_and_prefix_signatures_are_refused() {
    let good = good();
    for length in 0..good.len() {
        assert_eq!(check("1700000000", &good[..length], NOW), Err(WebhookError::Signature), "{length}");
    }
    for header in ["", "v1,", "v1,=", "v1,A", "v1,AA==", " ", &format!("{good}="), &format!("{good}AAAA")] {
        assert_eq!(check("1700000000", header, NOW), Err(WebhookError::Signature), "{header}");
    }
    assert_eq!(check("1700000000", &format!("v1,{}", "A".repeat(1 << 20)), NOW), Err(WebhookError::Signature));
}

#[test]
fn w6_during_a_rotation_both_secrets_verify_and_afterwards_only_the_new_one() {
    let (old, new) = (secret(S32), WebhookSecret::generate(&SeededRandom::new(1)).unwrap());
    let both = [&new, &old].map(|key| sign(key, "msg_1", TS, b"x").unwrap()).join(" ");
    let check = |keys: &[WebhookSecret], header: &str| verify(keys, "msg_1", "1700000000", header, b"x", NOW);
    assert_eq!(check(std::slice::from_ref(&old), &both), Ok(()));
    assert_eq!(check(std::slice::from_ref(&new), &both), Ok(()));
    let old_only = sign(&old, "msg_1", TS, b"x").unwrap();
    assert_eq!(check(&[new.clone(), old], &old_only), Ok(()));
    assert_eq!(check(&[new], &old_only), Err(WebhookError::Signature));
    assert_eq!(check(&[], &both), Err(WebhookError::Signature), "no secret, no belief");
}

#[test]
fn w7_tolerance_is_300_seconds_on_both_sides() {
    let good = good();
    for (offset, expected) in [
        (-301, Err(WebhookError::TooNew)),
        (-300, Ok(())),
        (0, Ok(())),
        (300, Ok(())),
        (301, Err(WebhookError::TooOld)),
    ] {
        assert_eq!(check("1700000000", &good, NOW.plus(offset * 1000)), expected, "{offset}");
    }
}

#[test]
fn timestamps_are_plain_decimal_seconds_and_the_extremes_do_not_panic() {
    for text in [
        "",
        " 1700000000",
        "1700000000 ",
        "+1700000000",
        "01700000000",
        "1.7e9",
        "1700000000.0",
        "0x1",
        "-0",
        "9223372036854775808",
    ] {
        assert_eq!(check(text, &good(), NOW), Err(WebhookError::Timestamp), "{text:?}");
    }
    for now in [NOW, Millis(i64::MIN), Millis(i64::MAX), Millis(0)] {
        for (extreme, refusal) in
            [(i64::MIN, WebhookError::TooOld), (i64::MIN + 1, WebhookError::TooOld), (i64::MAX, WebhookError::TooNew)]
        {
            assert_eq!(check(&extreme.to_string(), &good(), now), Err(refusal), "{extreme}");
        }
    }
}

#[test]
fn id_timestamp_and_body_are_all_signed() {
    let (keys, good) = ([secret(S32)], good());
    assert_eq!(verify(&keys, "msg_2", "1700000000", &good, b"x", NOW), Err(WebhookError::Signature));
    assert_eq!(verify(&keys, "msg_1", "1700000001", &good, b"x", NOW), Err(WebhookError::Signature));
    assert_eq!(verify(&keys, "msg_1", "1700000000", &good, b"y", NOW), Err(WebhookError::Signature));
}

#[test]
fn w13_another_endpoints_secret_does_not_verify() {
    let random = SeededRandom::new(2);
    let [a, b] = [0, 1].map(|_| WebhookSecret::generate(&random).unwrap());
    let signed = sign(&a, "msg_1", TS, b"x").unwrap();
    assert_eq!(verify(&[b], "msg_1", "1700000000", &signed, b"x", NOW), Err(WebhookError::Signature));
}

#[test]
fn plain_signature_vectors() {
    let secret = b"whsecret_plain_0001";
    let compact = "sha256=ab658d550bdf779a75b9b8abd108cc4f4d5f304b8cfc6d56596c1ec1cde99010";
    let spaced = "sha256=cf992cc4726239555bcace3cb855a64f3ee7d857a2df66aa47c6a0c8bcb6d7d2";
    for (body, header) in [(&br#"{"a":1}"#[..], compact), (br#"{"a": 1}"#, spaced)] {
        assert_eq!(sign_plain(secret, body), header);
        assert!(verify_plain(secret, body, header));
        assert!(verify_plain(secret, body, &format!("sha256={}", header[7..].to_uppercase())));
    }
    assert!(!verify_plain(secret, br#"{"a": 1}"#, compact), "raw bytes, never re-serialised JSON");
    assert!(!verify_plain(b"another", br#"{"a":1}"#, compact));
}

#[test]
fn malformed_plain_signatures_are_no_match() {
    let body = b"body";
    let good = sign_plain(b"secret", body);
    for length in 0..good.len() {
        assert!(!verify_plain(b"secret", body, &good[..length]), "{length}");
    }
    let hex = &good["sha256=".len()..];
    for header in [
        hex,
        &format!("SHA256={hex}"),
        &format!("{good}00"),
        &format!(" {good}"),
        &format!("sha256= {hex}"),
        "sha256=é",
    ] {
        assert!(!verify_plain(b"secret", body, header), "{header}");
    }
    assert!(!verify_plain(b"", body, &sign_plain(b"", body)), "anyone can sign with nothing");
}

proptest! {
    #[test]
    fn the_reference_library_signs_the_same(key in proptest::collection::vec(any::<u8>(), 24..=64),
        id in "[!-\\-/-~]{1,40}", timestamp: i64, body in "\\PC{0,200}") {
        let text = format!("whsec_{}", BASE64.encode(&key));
        let theirs = standardwebhooks::Webhook::new(&text).unwrap().sign(&id, timestamp, body.as_bytes()).unwrap();
        prop_assert_eq!(sign(&secret(&text), &id, timestamp, body.as_bytes()), Ok(theirs));
    }

    #[test]
    fn what_is_signed_verifies_and_nothing_altered_does(seed: u64, id in "[!-\\-/-~]{1,40}", timestamp in 0..4_000_000_000_i64,
        body: Vec<u8>, at: usize, bit in 0..8_u8) {
        let keys = [WebhookSecret::generate(&SeededRandom::new(seed)).unwrap()];
        let (signed, text, now) = (sign(&keys[0], &id, timestamp, &body).unwrap(), timestamp.to_string(), Millis::from_seconds(timestamp));
        prop_assert_eq!(verify(&keys, &id, &text, &signed, &body, now), Ok(()));
        let mut altered = body.clone();
        if !altered.is_empty() {
            let at = at % altered.len();
            altered[at] ^= 1 << bit;
            prop_assert_eq!(verify(&keys, &id, &text, &signed, &altered, now), Err(WebhookError::Signature));
        }
    }
}

/// The reference library reads the machine's clock, so this one test does too.
#[test]
fn the_reference_library_believes_our_signature() {
    let seconds = SystemClock::new().now().seconds();
    let key = WebhookSecret::generate(&SeededRandom::new(3)).unwrap();
    let signed = sign(&key, "msg_1", seconds, b"{\"a\":1}").unwrap();
    let mut headers = http::HeaderMap::new();
    headers.insert(ID_HEADER, "msg_1".parse().unwrap());
    headers.insert(TIMESTAMP_HEADER, seconds.to_string().parse().unwrap());
    headers.insert(SIGNATURE_HEADER, signed.parse().unwrap());
    let theirs = standardwebhooks::Webhook::new(&key.to_text()).unwrap();
    theirs.verify(b"{\"a\":1}", &headers).unwrap();
    assert!(theirs.verify(b"{\"a\":2}", &headers).is_err());
}
