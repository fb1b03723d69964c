use credential::{Environment, Family};
use serde_json::json;

use super::*;

const NOW: Millis = Millis(1_800_000_000_000);

fn all(text: &str, format: KeyFormat) -> Vec<Verdict> {
    read(text, format, &Parser::default(), NOW).unwrap().into_iter().map(|(_, verdict)| verdict).collect()
}

fn one(value: &Value, format: KeyFormat) -> Row {
    match all(&value.to_string(), format).pop() {
        Some(Verdict::Import(row)) => *row,
        Some(Verdict::LeaveOut(why) | Verdict::Refuse(why)) => panic!("{why}"),
        None => panic!("nothing"),
    }
}

fn why(value: &Value, format: KeyFormat) -> (bool, String) {
    match all(&value.to_string(), format).pop() {
        Some(Verdict::LeaveOut(why)) => (true, why),
        Some(Verdict::Refuse(why)) => (false, why),
        _ => panic!("it is imported"),
    }
}

#[test]
fn the_same_key_has_one_digest_in_every_encoding() {
    let key = "legacy-key-0123456789";
    let wanted = Digest::of_import(key);
    let hex = "ac6c9e907e7d1e81b12322c1f3ce43e8048307e86dbb0c372a272c3b8abc8e6b";
    assert_eq!(wanted.to_hex(), hex, "what `sha256sum` says of it");
    let hex = hex.to_owned();
    let base64 = data_encoding_of(&wanted);
    for (text, format) in [
        (hex.clone(), KeyFormat::Sha256Hex),
        (hex.to_uppercase(), KeyFormat::Sha256Hex),
        (base64.clone(), KeyFormat::Sha256Base64),
        (base64.trim_end_matches('=').to_owned(), KeyFormat::Sha256Base64),
        (base64.replace('+', "-").replace('/', "_"), KeyFormat::Sha256Base64url),
        (base64.replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned(), KeyFormat::Sha256Base64url),
    ] {
        for line in [text.clone(), format!("{text} CI key"), format!("# a list\n\n{text},CI key\n")] {
            let verdicts = all(&line, format);
            let [Verdict::Import(row)] = verdicts.as_slice() else { panic!("{line}") };
            assert!(row.digest == wanted && (row.name.is_empty() || row.name == "CI key"), "{line}");
        }
    }
}

fn data_encoding_of(digest: &Digest) -> String {
    // Base64 by hand, so that the reader is not checked with itself.
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for part in digest.0.chunks(3) {
        let mut bits = 0_u32;
        (0..3).for_each(|at| bits = (bits << 8) | u32::from(part.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = if at <= part.len() { char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]) } else { '=' };
            out.push(digit);
        }
    }
    out
}

#[test]
fn a_raw_key_is_refused_and_not_repeated() {
    let ours = Parser::default().mint(Family::Secret, Environment::Live, &ambient::SeededRandom::new(1)).unwrap();
    for key in [ours.expose(), "sk-1234567890abcdefghijkl", "wk0123456789abcdef0123456789abcdef"] {
        for format in [KeyFormat::Sha256Hex, KeyFormat::Sha256Base64, KeyFormat::Sha256Base64url] {
            let verdicts = all(key, format);
            let [Verdict::Refuse(why)] = verdicts.as_slice() else { panic!("{key}") };
            assert!(why.contains("raw keys are never imported") && !why.contains(key), "{why}");
        }
        for (field, format) in
            [("hash", KeyFormat::Unkey), ("token", KeyFormat::Litellm), ("key", KeyFormat::BetterAuth)]
        {
            let (left_out, why) = why(&json!({ field: key }), format);
            assert!(!left_out && !why.contains(key), "{why}");
        }
        assert!(
            !read(&format!("{{\"a\": {key}"), KeyFormat::Unkey, &Parser::default(), NOW).err().unwrap().contains(key)
        );
    }
}

#[test]
fn unkey_s_migration_and_its_table_are_read() {
    let digest = Digest::of_import("unkey_0123456789");
    let hash = data_encoding_of(&digest);
    let row = one(
        &json!({"keys": [{
            "hash": {"value": hash, "variant": "sha256_base64"}, "start": "unkey_01", "name": "Web", "ownerId": "u1",
            "meta": {"plan": "pro"}, "expires": 1_900_000_000_000_i64, "remaining": 7, "permissions": ["a"],
            "ratelimit": {"limit": 10, "duration": 1000},
        }]}),
        KeyFormat::Unkey,
    );
    assert!(row.digest == digest && row.name == "Web" && row.owner.as_deref() == Some("u1"));
    assert_eq!((row.expires_at, row.rate_limit), (Some(Millis(1_900_000_000_000)), Some(600)));
    assert_eq!((row.metadata, row.display.as_deref()), (Some(json!({"plan": "pro"})), Some("unkey_01****")));
    let notes = row.notes.join("; ");
    assert!(notes.contains("7 uses") && notes.contains("permissions") && notes.contains("600 a minute"), "{notes}");
    let table =
        json!({"hash": hash, "enabled": 1, "owner_id": "u2", "meta": "{\"a\":1}", "expires": "2030-01-01 00:00:00"});
    let row = one(&table, KeyFormat::Unkey);
    assert!(row.owner.as_deref() == Some("u2") && row.metadata == Some(json!({"a": 1})));
    assert_eq!(row.expires_at.unwrap().to_string(), "2030-01-01T00:00:00.000Z");
    let second = json!({"hash": hash, "externalId": "u3", "credits": {"remaining": 3},
        "ratelimits": [{"limit": 5, "duration": 60000, "autoApply": true}, {"limit": 1, "duration": 1}]});
    let row = one(&second, KeyFormat::Unkey);
    assert!(row.rate_limit == Some(5) && row.notes.join(";").contains("3 uses"), "{:?}", row.notes);
    let (left_out, why) = why(&json!({"hash": {"value": hash, "variant": "argon2"}}), KeyFormat::Unkey);
    assert!(!left_out && why.contains("sha256_base64"));
}

#[test]
fn litellm_s_table_is_read() {
    let digest = Digest::of_import("sk-0123456789abcdef");
    let row = json!({"token": digest.to_hex(), "key_name": "sk-...cdef", "key_alias": "Batch", "expires": "2030-01-01T00:00:00.5",
        "user_id": "ada", "rpm_limit": 30, "models": ["gpt"], "spend": 1.5, "metadata": {}, "blocked": null});
    let row = one(&row, KeyFormat::Litellm);
    assert!(row.digest == digest && row.name == "Batch" && row.owner.as_deref() == Some("ada"));
    assert_eq!((row.rate_limit, row.metadata), (Some(30), None));
    assert_eq!(row.expires_at.unwrap().to_string(), "2030-01-01T00:00:00.500Z");
    assert!(row.notes.join(";").contains("models"), "{:?}", row.notes);
    let (left_out, _) = why(&json!({"token": digest.to_hex(), "blocked": true}), KeyFormat::Litellm);
    assert!(left_out);
}

#[test]
fn better_auth_s_table_is_read() {
    let digest = Digest::of_import("proj_0123456789");
    let key = data_encoding_of(&digest).replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned();
    let row = json!({"id": "x", "name": "Site", "start": "proj_0", "prefix": "proj_", "key": key, "userId": "u",
        "enabled": true, "rateLimitEnabled": true, "rateLimitTimeWindow": 86_400_000, "rateLimitMax": 10,
        "remaining": null, "expiresAt": "2030-01-01T00:00:00.000Z", "permissions": null, "metadata": "{\"a\":2}"});
    let text = format!("{row}\n{row}\n");
    assert_eq!(all(&text, KeyFormat::BetterAuth).len(), 2, "a line for each");
    let row = one(&row, KeyFormat::BetterAuth);
    assert!(row.digest == digest && row.rate_limit == Some(1) && row.metadata == Some(json!({"a": 2})));
    let off = json!({"key": key, "rateLimitEnabled": false, "rateLimitMax": 10});
    assert_eq!(one(&off, KeyFormat::BetterAuth).rate_limit, None);
}

#[test]
fn what_does_not_work_there_is_left_out() {
    let hash = data_encoding_of(&Digest::of_import("unkey_0123456789"));
    for (field, value) in [
        ("enabled", json!(false)),
        ("enabled", json!(0)),
        ("remaining", json!(0)),
        ("credits", json!({"remaining": 0})),
        ("expires", json!(1_700_000_000)),
        ("expires", json!("2020-01-01T00:00:00Z")),
        ("deleted_at_m", json!(5)),
    ] {
        assert!(why(&json!({"hash": hash, field: value}), KeyFormat::Unkey).0, "{field}");
    }
    let (left_out, text) = why(&json!({"hash": hash, "expires": "soon"}), KeyFormat::Unkey);
    assert!(!left_out && text.contains("no time"), "{text}");
}

#[test]
fn a_key_that_begins_like_ours_is_refused_because_it_could_never_be_used() {
    let hash = data_encoding_of(&Digest::of_import("sk_live_0123456789"));
    let (left_out, text) = why(&json!({"hash": hash, "start": "sk_live_0"}), KeyFormat::Unkey);
    assert!(!left_out && text.contains("[keys.prefixes]"), "{text}");
}

#[test]
fn a_key_in_clear_beside_its_hash_is_refused_and_not_repeated() {
    let (key, random) = ("legacy-key-0123456789", ambient::SeededRandom::new(5));
    let hash = Digest::of_import(key).to_hex();
    let verdicts = all(&format!("{hash},{key}"), KeyFormat::Sha256Hex);
    assert!(matches!(verdicts.as_slice(), [Verdict::Refuse(why)] if !why.contains(key)));
    let ours = Parser::default().mint(Family::Secret, Environment::Live, &random).unwrap();
    let verdicts = all(&format!("{hash} {}", ours.expose()), KeyFormat::Sha256Hex);
    assert!(matches!(verdicts.as_slice(), [Verdict::Refuse(_)]));
    let base64 = data_encoding_of(&Digest::of_import(key));
    for extra in [json!({"ownerId": key}), json!({"meta": {"a": [{"note": format!("was {key} once")}]}})] {
        let mut row = json!({"hash": {"value": base64, "variant": "sha256_base64"}, "name": "ci"});
        row.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let (left_out, words) = why(&row, KeyFormat::Unkey);
        assert!(!left_out && words.contains("in clear") && !words.contains(key), "{words}");
    }
}
