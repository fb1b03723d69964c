use ambient::{SeededRandom, Ulid, WorkspaceId};
use credential::{
    key::{Family, Parser, Prefixes},
    secret::Digest,
};
use store::KeySettings;

use super::*;

const NOW: Millis = Millis(1_700_000_000_000);
const DAY: i64 = 86_400_000;

fn secret(display: &str, last_used: Option<(i64, &str)>) -> SecretRecord {
    SecretRecord {
        digest: Digest([7; 32]),
        pepper_id: "pepper-1".to_owned(),
        display: display.to_owned(),
        created_at: NOW,
        expires_at: None,
        last_used_at: last_used.map(|(at, _)| Millis(at)),
        last_used_ip: last_used.map(|(_, ip)| ip.parse().unwrap()),
        uses: 3,
    }
}

fn record() -> KeyRecord {
    KeyRecord {
        id: KeyId(Ulid(1)),
        workspace: WorkspaceId(Ulid(2)),
        environment: Environment::Live,
        kind: KeyKind::Secret,
        family: Family::Secret,
        name: "Server".to_owned(),
        scopes: ScopeSet::ADMIN,
        settings: KeySettings::default(),
        service_account: None,
        created_by: "member:usr_1".to_owned(),
        created_at: NOW,
        updated_at: NOW,
        expires_at: None,
        revoked_at: None,
        epoch: 0,
        version: 1,
        secrets: vec![
            secret("sk_live_new1…new2", Some((5, "192.0.2.1"))),
            secret("sk_live_old1…old2", Some((9, "192.0.2.2"))),
        ],
    }
}

#[test]
fn the_body_has_the_fields_of_the_contract() {
    let view = serde_json::to_value(KeyView::of(record(), false, NOW)).unwrap();
    for field in [
        "id",
        "name",
        "kind",
        "environment",
        "scopes",
        "allowed_domains",
        "allow_localhost",
        "allowed_ips",
        "expires_at",
        "rate_limit",
        "owner",
        "purpose",
        "rotate_after",
        "metadata",
        "display",
        "status",
        "last_used_at",
        "last_used_ip",
        "created_by",
        "service_account_id",
        "secrets",
        "created_at",
        "updated_at",
        "allow_origin_header",
    ] {
        assert!(view.get(field).is_some(), "{field}");
    }
    for field in ["display", "created_at", "expires_at", "last_used_at", "uses"] {
        assert!(view["secrets"][0].get(field).is_some(), "{field}");
    }
    assert_eq!(view["display"], "sk_live_new1…new2", "that of the newest");
    assert_eq!(view["last_used_ip"], "192.0.2.2", "the latest use of any secret");
    assert_eq!(view["allow_localhost"], serde_json::Value::Null);
}

#[test]
fn nothing_was_used_before_it_was_made() {
    let mut record = record();
    record.secrets[1].last_used_at = Some(Millis(NOW.0 - 700));
    let view = serde_json::to_value(KeyView::of(record, false, NOW)).unwrap();
    let made = serde_json::to_value(NOW).unwrap();
    assert_eq!((&view["last_used_at"], &view["secrets"][1]["last_used_at"]), (&made, &made), "seconds are cut off");
    let mut later = self::record();
    later.secrets[1].last_used_at = Some(NOW.plus(5000));
    let view = serde_json::to_value(KeyView::of(later, false, NOW)).unwrap();
    assert_eq!(view["secrets"][1]["last_used_at"], serde_json::to_value(NOW.plus(5000)).unwrap());
}

#[test]
fn no_view_shows_a_digest_or_where_it_came_from() {
    let text = serde_json::to_string(&KeyView::of(record(), false, NOW)).unwrap();
    assert!(!text.contains("digest") && !text.contains("pepper") && !text.contains("\"key\""), "{text}");
}

#[test]
fn the_secret_is_in_the_answer_and_not_in_debug() {
    let parser = Parser::new(Prefixes::default()).unwrap();
    let key = parser.mint(Family::Secret, Environment::Live, &SeededRandom::new(1)).unwrap();
    let plain = key.expose().to_owned();
    let made = KeyWithSecret { view: KeyView::of(record(), false, NOW), key };
    assert!(!format!("{made:?}").contains(&plain));
    let body = serde_json::to_value(&made).unwrap();
    assert_eq!((body["key"].as_str(), body["name"].as_str()), (Some(plain.as_str()), Some("Server")));
}

#[test]
fn each_status_has_its_time() {
    let status = |expires_in: Option<i64>, revoked, disabled| {
        let mut record = record();
        record.expires_at = expires_in.map(|delta| NOW.plus(delta));
        record.revoked_at = (revoked == "revoked").then_some(NOW);
        KeyView::of(record, disabled, NOW).status
    };
    assert_eq!(status(None, "", false), KeyStatus::Active);
    assert_eq!(status(Some(30 * DAY + 1), "", false), KeyStatus::Active);
    assert_eq!(status(Some(30 * DAY), "", false), KeyStatus::Expiring);
    assert_eq!(status(Some(1), "", true), KeyStatus::Disabled, "it does not work");
    assert_eq!(status(Some(0), "", false), KeyStatus::Expired);
    assert_eq!(status(Some(0), "revoked", true), KeyStatus::Revoked, "for good");
}
