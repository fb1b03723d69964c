use access::{KeyCaller, Tenant};
use ambient::{Ulid, WorkspaceId};
use credential::key::Family;
use serde_json::json;

use super::*;

const NOW: Millis = Millis(1_700_000_000_000);

fn new_key(body: serde_json::Value) -> NewKey {
    serde_json::from_value(body).unwrap()
}

/// The settings that a body makes, and the fields that are wrong.
fn settings(body: serde_json::Value) -> (KeySettings, Vec<String>) {
    let input = new_key(body);
    let mut errors = Vec::new();
    let settings = input.common().apply(&mut errors, input.kind.into(), KeySettings::default());
    (settings, errors.into_iter().map(|error| error.field).collect())
}

#[test]
fn unknown_fields_and_kinds_are_refused() {
    for body in [
        json!({"name": "a", "id": "key_1"}),
        json!({"name": "a", "workspace_id": "ws_1"}),
        json!({"name": "a", "kind": "deployment"}),
        json!({"name": "a", "service_account_id": "svc_1"}),
        json!({"name": "a", "scopes": ["bots:fly"]}),
        json!({}),
    ] {
        assert!(serde_json::from_value::<NewKey>(body.clone()).is_err(), "{body}");
    }
    assert!(serde_json::from_value::<KeyPatch>(json!({"kind": "widget"})).is_err());
    assert!(serde_json::from_value::<KeyPatch>(json!({"environment": "live"})).is_err());
    assert!(serde_json::from_value::<NewServiceAccountKey>(json!({"name": "a", "kind": "widget"})).is_err());
}

#[test]
fn every_field_that_is_wrong_is_named() {
    let (_, wrong) = settings(json!({
        "name": "a", "allowed_domains": ["a.example"], "allow_localhost": false, "allowed_ips": ["1.2.3.4", "x"],
        "rate_limit": 0, "daily_sessions": 5, "daily_messages": 5, "owner": "o".repeat(201), "purpose": "p".repeat(501), "metadata": {"a": "x".repeat(5000)},
    }));
    let of_widgets = ["allowed_domains", "allow_localhost", "daily_sessions", "daily_messages"];
    assert_eq!(wrong[..4], of_widgets);
    assert_eq!(wrong[4..], ["allowed_ips[1]", "rate_limit", "owner", "purpose", "metadata"]);
    assert_eq!(settings(json!({"name": "a", "rate_limit": 1_000_001})).1, ["rate_limit"]);
    assert_eq!(settings(json!({"name": "a", "rate_limit": 1_000_000})).0.rate_limit, Some(1_000_000));
}

#[test]
fn a_widget_key_has_domains_and_no_scopes() {
    let widget = |more: serde_json::Value| {
        let mut body = json!({"name": "a", "kind": "widget"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings(body)
    };
    let (made, wrong) = widget(json!({"allowed_domains": "MySite.com, https://shop.example"}));
    assert_eq!((made.allowed_domains.len(), wrong.len()), (2, 0), "{made:?}");
    assert!(made.allowed_domains.contains(&"mysite.com".to_owned()), "stored in canonical spelling: {made:?}");
    assert_eq!(widget(json!({"allowed_domains": ["mysite.com", "co.uk"]})).1, ["allowed_domains[1]"]);
    assert_eq!(widget(json!({"allowed_domains": []})).1, ["allowed_domains"]);
    assert_eq!(widget(json!({"scopes": ["bots:read"]})).1, ["scopes"]);
    assert_eq!(widget(json!({"allow_origin_header": true})).1, ["allow_origin_header"]);
    assert!(widget(json!({"allow_localhost": false})).0.deny_localhost);
    let wrong = ["daily_sessions", "daily_messages"];
    assert_eq!(widget(json!({"daily_sessions": 0, "daily_messages": 10_000_001})).1, wrong);
    let (made, wrong) = widget(json!({"daily_sessions": 1, "daily_messages": 10_000_000}));
    assert_eq!((made.daily_sessions, made.daily_messages, wrong.len()), (Some(1), Some(10_000_000), 0));
    assert_eq!(widget(json!({"daily_sessions": null})).0.daily_sessions, None);
}

#[test]
fn a_domain_that_is_refused_is_named_with_the_reason() {
    let input = new_key(json!({"name": "a", "kind": "widget", "allowed_domains": "mysite.com, github.io"}));
    let mut errors = Vec::new();
    let _ = input.common().apply(&mut errors, KeyKind::Widget, KeySettings::default());
    let message = &errors[0].message;
    assert!(message.starts_with("github.io: ") && message.contains("Anyone can register a name below"), "{message}");
    let wide = new_key(json!({"name": "a", "kind": "widget", "allowed_domains": ["é".repeat(5000)]}));
    let _ = wide.common().apply(&mut errors, KeyKind::Widget, KeySettings::default());
    assert!(errors[1].message.len() < 300, "{}", errors[1].message.len());
}

#[test]
fn an_absent_field_stays_and_null_clears_it() {
    let before = KeySettings {
        rate_limit: Some(5),
        owner: Some("ada".to_owned()),
        metadata: Some(json!({"a": 1})),
        ..KeySettings::default()
    };
    let patch = |body: serde_json::Value| {
        let input: KeyPatch = serde_json::from_value(body).unwrap();
        let mut errors = Vec::new();
        let after = input.common().apply(&mut errors, KeyKind::Secret, before.clone());
        assert!(errors.is_empty());
        (after, input.common().changes_settings())
    };
    assert_eq!(patch(json!({"name": "b", "scopes": [], "expires_at": null})), (before.clone(), false));
    let (after, changes) = patch(json!({"rate_limit": null, "owner": null, "metadata": null}));
    assert_eq!((after, changes), (KeySettings::default(), true));
}

fn by_key(id: u128, expires_at: Option<Millis>) -> Caller {
    Caller::Key(KeyCaller {
        key: KeyId(Ulid(id)),
        tenant: Tenant { workspace: WorkspaceId(Ulid(1)), environment: Environment::Live },
        kind: KeyKind::Secret,
        scopes: ScopeSet::every(),
        service_account: None,
        expires_at,
        secret_ends: None,
        epoch: 0,
        origin: None,
    })
}

#[test]
fn a_key_lives_a_year_or_as_said_or_for_ever() {
    let expiry = |body: serde_json::Value| {
        let mut errors = Vec::new();
        (new_key(body).common().expiry(&mut errors, NOW, &by_key(1, None)), errors.len())
    };
    assert_eq!(expiry(json!({"name": "a"})), (Some(NOW.plus(ONE_YEAR)), 0));
    assert_eq!(expiry(json!({"name": "a", "expires_at": null})), (None, 0));
    assert_eq!(expiry(json!({"name": "a", "expires_at": "2030-01-01T00:00:00Z"})).1, 0);
    assert_eq!(expiry(json!({"name": "a", "expires_at": "2020-01-01T00:00:00Z"})).1, 1);
    assert_eq!(expiry(json!({"name": "a", "expires_at": NOW.to_string()})).1, 1, "now is not the future");
}

#[test]
fn a_key_does_not_outlive_the_one_that_made_it() {
    let expiry = |end: Option<Millis>, wanted: Option<serde_json::Value>| {
        let mut body = json!({"name": "a"});
        if let Some(wanted) = wanted {
            body["expires_at"] = wanted;
        }
        let mut errors = Vec::new();
        let end = new_key(body).common().expiry(&mut errors, NOW, &by_key(1, end));
        (end, errors.into_iter().map(|error| error.field).collect::<Vec<_>>())
    };
    let (soon, far) = (NOW.plus(60_000), NOW.plus(2 * ONE_YEAR));
    assert_eq!(expiry(Some(soon), None), (Some(soon), vec![]), "the maker's own end, silently");
    assert_eq!(expiry(Some(far), None).0, Some(NOW.plus(ONE_YEAR)), "a year is still the most by default");
    assert_eq!(expiry(Some(soon), Some(json!(soon.to_string()))).1, [""; 0], "to the same moment");
    assert_eq!(expiry(Some(soon), Some(json!(soon.plus(1).to_string()))).1, ["expires_at"]);
    assert_eq!(expiry(Some(soon), Some(json!(null))).1, ["expires_at"]);
}

#[test]
fn a_secret_in_its_grace_leaves_nothing_behind_even_with_admin() {
    let soon = NOW.plus(60_000);
    let by = |secret_ends| match by_key(1, secret_ends) {
        Caller::Key(key) => Caller::Key(KeyCaller { scopes: ScopeSet::ADMIN, secret_ends, ..key }),
        other => other,
    };
    assert_eq!((end_of(&by(Some(soon))), end_of(&by(None))), (Some(soon), None));
    assert!(crate::problem::must_be_newest(&by(Some(soon))).is_err());
    assert!(crate::problem::must_be_newest(&by(None)).is_ok());
}

#[test]
fn a_key_tightens_its_own_limits_and_lifts_none() {
    let end = NOW.plus(60_000);
    let settings = KeySettings {
        allowed_ips: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        rate_limit: Some(50),
        daily_requests: Some(500),
        ..KeySettings::default()
    };
    let old = KeyRecord { settings, expires_at: Some(end), ..record(7) };
    let lifted = |by: &Caller, body: serde_json::Value| {
        let input: KeyPatch = serde_json::from_value(body).unwrap();
        let mut errors = Vec::new();
        let after = input.common().apply(&mut errors, KeyKind::Secret, old.settings.clone());
        input.common().check_lifting(&mut errors, by, &old, &after);
        errors.into_iter().map(|error| error.field).collect::<Vec<_>>()
    };
    let (own, other) = (by_key(7, Some(end)), by_key(8, Some(end)));
    for (body, field) in [
        (json!({"expires_at": null}), "expires_at"),
        (json!({"expires_at": end.plus(1).to_string()}), "expires_at"),
        (json!({"allowed_ips": []}), "allowed_ips"),
        (json!({"allowed_ips": ["10.1.0.0/16", "11.0.0.1"]}), "allowed_ips"),
        (json!({"allowed_ips": ["0.0.0.0/0"]}), "allowed_ips"),
        (json!({"allow_origin_header": true}), "allow_origin_header"),
        (json!({"rate_limit": 51}), "rate_limit"),
        (json!({"rate_limit": null}), "rate_limit"),
        (json!({"daily_requests": 501}), "daily_requests"),
        (json!({"daily_requests": null}), "daily_requests"),
    ] {
        assert_eq!(lifted(&own, body.clone()), [field], "{body}");
        let outlives = field == "expires_at";
        assert_eq!(lifted(&other, body.clone()).is_empty(), !outlives, "another key with the same end: {body}");
        assert!(lifted(&by_key(8, None), body.clone()).is_empty(), "another key that stays: {body}");
    }
    for body in [
        json!({"expires_at": end.plus(-1).to_string(), "allowed_ips": ["10.1.0.0/16"], "rate_limit": 49}),
        json!({"expires_at": end.to_string(), "allowed_ips": ["10.0.0.0/8"], "rate_limit": 50}),
        json!({"name": "b", "allow_origin_header": false}),
    ] {
        assert!(lifted(&own, body.clone()).is_empty(), "{body}");
    }
}

/// A key without any limit.
fn record(id: u128) -> KeyRecord {
    KeyRecord {
        id: KeyId(Ulid(id)),
        workspace: WorkspaceId(Ulid(1)),
        environment: Environment::Live,
        kind: KeyKind::Secret,
        family: Family::Secret,
        name: "a".to_owned(),
        scopes: ScopeSet::ADMIN,
        settings: KeySettings::default(),
        service_account: None,
        created_by: String::new(),
        created_at: NOW,
        updated_at: NOW,
        expires_at: None,
        revoked_at: None,
        epoch: 0,
        version: 0,
        secrets: Vec::new(),
    }
}

#[test]
fn test_makes_test_alone() {
    use Environment::{Live, Test};
    let made = |wanted, parents: &[Environment]| {
        let mut errors = Vec::new();
        (environment(&mut errors, wanted, parents), errors.len())
    };
    assert_eq!(made(None, &[Live]), (Live, 0));
    assert_eq!(made(Some(Test), &[Live]), (Test, 0));
    assert_eq!(made(None, &[Test]), (Test, 0));
    assert_eq!(made(Some(Live), &[Test]).1, 1);
    assert_eq!(made(Some(Live), &[Live, Test]).1, 1, "a live key of a test account");
    assert_eq!(made(None, &[Live, Test]), (Test, 0));
}

#[test]
fn the_audit_record_names_what_was_sent() {
    let input: KeyPatch = serde_json::from_value(json!({"metadata": null, "scopes": []})).unwrap();
    assert_eq!(input.common().names(), ["scopes", "metadata"]);
}
