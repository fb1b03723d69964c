use access::{KeyKind, Scope};
use ambient::Ulid;
use credential::key::{Environment, Family};
use store::{KeyRecord, KeySettings, SecretRecord};

use super::*;

const NOW: Millis = Millis(1_000_000);

fn digest(seed: u128) -> Digest {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&seed.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).to_le_bytes());
    bytes[16..].copy_from_slice(&seed.to_le_bytes());
    Digest(bytes)
}

fn secret(digest: Digest, expires_at: Option<Millis>) -> SecretRecord {
    SecretRecord {
        digest,
        pepper_id: "p".into(),
        display: "sk_live_aaaa…bbbb".into(),
        created_at: NOW,
        expires_at,
        last_used_at: None,
        last_used_ip: None,
        uses: 0,
    }
}

fn live(number: u128, version: u64, secrets: Vec<SecretRecord>) -> LiveKey {
    let key = KeyRecord {
        id: KeyId(Ulid(number << 40 | number)),
        workspace: WorkspaceId(Ulid(1)),
        environment: Environment::Live,
        kind: KeyKind::Secret,
        family: Family::Secret,
        name: "k".into(),
        scopes: ScopeSet::ADMIN,
        settings: KeySettings::default(),
        service_account: None,
        created_by: "system:".into(),
        created_at: NOW,
        updated_at: NOW,
        expires_at: None,
        revoked_at: None,
        epoch: 0,
        version,
        secrets,
    };
    LiveKey { key, service_account_scopes: None, disabled: false, workspace_rate_limit: None }
}

fn one(number: u128, version: u64) -> LiveKey {
    live(number, version, vec![secret(digest(number), None)])
}

fn is_found(keyring: &Keyring, digest: &Digest) -> bool {
    matches!(keyring.lookup(digest, NOW), Lookup::Found(_))
}

#[test]
fn a_slow_reader_does_not_put_a_revoked_key_back() {
    let keyring = Keyring::default();
    let read_before = one(7, 1);
    keyring.insert(&read_before);
    keyring.revoke(read_before.key.id, NOW);
    assert_eq!(keyring.insert(&read_before), Inserted::Gone);
    assert!(matches!(keyring.lookup(&digest(7), NOW), Lookup::Miss));
    assert_eq!(keyring.insert(&one(7, 99)), Inserted::Gone, "no version brings it back");
    assert!(keyring.get(read_before.key.id).is_none());
    keyring.prune(NOW.plus(REMEMBER_MS - 1));
    assert_eq!(keyring.insert(&read_before), Inserted::Gone, "remembered for an hour");
}

#[test]
fn a_slow_reader_does_not_put_an_older_version_back() {
    let keyring = Keyring::default();
    let mut narrow = one(7, 2);
    narrow.key.scopes = ScopeSet::NONE.with(Scope::BotsRead);
    assert_eq!(keyring.insert(&narrow), Inserted::Yes);
    assert_eq!(keyring.insert(&one(7, 1)), Inserted::Older);
    assert_eq!(keyring.insert(&one(7, 2)), Inserted::Older);
    assert_eq!(keyring.get(narrow.key.id).unwrap().scopes(), ScopeSet::NONE.with(Scope::BotsRead));
    assert_eq!(keyring.insert(&one(7, 3)), Inserted::Yes);
}

#[test]
fn a_slow_reader_does_not_bring_a_disabled_account_back() {
    let keyring = Keyring::default();
    let account = ServiceAccountId(Ulid(5));
    let mut owned = one(7, 1);
    owned.key.service_account = Some(account);
    owned.service_account_scopes = Some(ScopeSet::ADMIN);
    keyring.set_account(account, AccountState { scopes: ScopeSet::NONE, disabled: true });
    keyring.insert(&owned);
    assert!(matches!(keyring.lookup(&digest(7), NOW), Lookup::Refused));
    keyring.set_account(account, AccountState { scopes: ScopeSet::NONE.with(Scope::BotsRead), disabled: false });
    let Lookup::Found(handle) = keyring.lookup(&digest(7), NOW) else { panic!("not found") };
    assert_eq!(handle.scopes(), ScopeSet::NONE.with(Scope::BotsRead), "cut to the account's");
}

#[test]
fn a_key_whose_account_is_gone_does_not_work() {
    let keyring = Keyring::default();
    let mut orphan = one(7, 1);
    orphan.key.service_account = Some(ServiceAccountId(Ulid(5)));
    keyring.insert(&orphan);
    assert!(matches!(keyring.lookup(&digest(7), NOW), Lookup::Refused));
}

#[test]
fn the_whole_digest_is_compared() {
    let keyring = Keyring::default();
    keyring.insert(&one(7, 1));
    for byte in 0..32 {
        let mut near = digest(7);
        near.0[byte] ^= 1;
        assert!(matches!(keyring.lookup(&near, NOW), Lookup::Miss), "byte {byte}");
    }
}

#[test]
fn both_secrets_work_until_the_grace_ends() {
    let keyring = Keyring::default();
    keyring.insert(&one(7, 1));
    let ends = NOW.plus(1000);
    keyring.insert(&live(7, 2, vec![secret(digest(8), None), secret(digest(7), Some(ends))]));
    assert!(is_found(&keyring, &digest(7)) && is_found(&keyring, &digest(8)));
    let Lookup::Found(old) = keyring.lookup(&digest(7), ends.plus(-1)) else { panic!("not found") };
    assert!(old.is_previous);
    assert!(matches!(keyring.lookup(&digest(7), ends), Lookup::Refused));
    let Lookup::Found(newest) = keyring.lookup(&digest(8), ends) else { panic!("not found") };
    let (by_old, by_newest) = (old.caller(None), newest.caller(None));
    assert_eq!((by_old.secret_ends, by_old.expires_at), (Some(ends), Some(ends)), "who calls stops with the secret");
    assert_eq!((by_newest.secret_ends, by_newest.expires_at), (None, newest.expires_at()));
    keyring.revoke(old.id(), ends);
    assert!(matches!(keyring.lookup(&digest(7), NOW), Lookup::Miss), "both go");
    assert!(matches!(keyring.lookup(&digest(8), NOW), Lookup::Miss));
}

#[test]
fn secrets_that_come_one_by_one_are_one_key() {
    let keyring = Keyring::default();
    keyring.insert(&live(7, 2, vec![secret(digest(8), None)]));
    keyring.add_previous(&live(7, 2, vec![secret(digest(7), Some(NOW.plus(10)))]));
    assert!(is_found(&keyring, &digest(7)) && is_found(&keyring, &digest(8)));
    assert_eq!(keyring.len(), 1);
    assert!(matches!(keyring.lookup(&digest(7), NOW.plus(10)), Lookup::Refused));
}

#[test]
fn a_secret_in_its_grace_alone_is_no_key() {
    let keyring = Keyring::default();
    keyring.add_previous(&live(7, 2, vec![secret(digest(7), Some(NOW.plus(10)))]));
    assert_eq!(keyring.insert(&live(7, 2, vec![secret(digest(7), Some(NOW.plus(10)))])), Inserted::Gone);
    assert!(matches!(keyring.lookup(&digest(7), NOW), Lookup::Miss));
}

#[test]
fn an_expired_key_says_so_to_whoever_holds_it() {
    let keyring = Keyring::default();
    let mut short = one(7, 1);
    short.key.expires_at = Some(NOW.plus(5));
    keyring.insert(&short);
    assert!(matches!(keyring.lookup(&digest(7), NOW.plus(4)), Lookup::Found(_)));
    assert!(matches!(keyring.lookup(&digest(7), NOW.plus(5)), Lookup::Expired));
}

#[test]
fn a_renewed_digest_replaces_the_old_one() {
    let keyring = Keyring::default();
    let key = live(7, 2, vec![secret(digest(8), None), secret(digest(7), Some(NOW.plus(10)))]);
    keyring.insert(&key);
    keyring.renew(key.key.id, &digest(7), digest(70));
    keyring.renew(key.key.id, &digest(8), digest(80));
    assert!(is_found(&keyring, &digest(70)) && is_found(&keyring, &digest(80)));
    assert!(!is_found(&keyring, &digest(7)) && !is_found(&keyring, &digest(8)));
    assert_eq!(keyring.insert(&key), Inserted::Older, "a slow reader does not undo it");
}

#[test]
fn what_a_key_has_spent_survives_its_update() {
    let keyring = Keyring::default();
    let limited = |version| {
        let mut key = one(7, version);
        key.key.settings.rate_limit = Some(10);
        key
    };
    keyring.insert(&limited(1));
    let id = limited(1).key.id;
    keyring.get(id).unwrap().extra().unwrap().cell.store(42, std::sync::atomic::Ordering::Relaxed);
    keyring.insert(&limited(2));
    assert_eq!(keyring.get(id).unwrap().extra().unwrap().cell.load(std::sync::atomic::Ordering::Relaxed), 42);
}

#[test]
fn a_day_goes_on_through_a_change_of_the_key_and_begins_anew_with_another_ceiling() {
    use crate::{Bucket, ClusterConfig, limits::Limits};
    let (keyring, limits) = (Keyring::default(), Limits::new(&ClusterConfig::default()));
    let widget = |version, sessions, messages| {
        let mut key = one(7, version);
        key.key.kind = KeyKind::Widget;
        key.key.settings.daily_sessions = sessions;
        key.key.settings.daily_messages = messages;
        keyring.insert(&key);
        KeyHandle { entry: keyring.get(key.key.id).unwrap(), is_previous: false }
    };
    let second = std::time::Duration::from_secs;
    let first = widget(1, Some(2), Some(1));
    for left in [1, 0] {
        let verdict = limits.charge(&[Bucket::DailySessionsOf(&first)], second(0));
        assert_eq!((verdict.allowed, verdict.policy, verdict.quota), (true, "daily-sessions", 2));
        assert_eq!((verdict.remaining, verdict.window_s), (left, 86_400));
    }
    assert!(limits.charge(&[Bucket::DailyMessagesOf(&first)], second(0)).allowed, "another ceiling");
    let changed = widget(2, Some(2), None);
    let refused = limits.charge(&[Bucket::DailySessionsOf(&changed)], second(60));
    assert_eq!((refused.allowed, refused.window_s, refused.retry_after_s), (false, 86_400, 43_140));
    assert!(
        limits.charge(&[Bucket::DailySessionsOf(&changed)], second(43_200)).allowed,
        "one comes back in half a day"
    );
    for _ in 0..100 {
        assert!(limits.charge(&[Bucket::DailyMessagesOf(&changed)], second(0)).allowed, "no ceiling");
    }
    let raised = widget(3, Some(3), None);
    assert_eq!(limits.charge(&[Bucket::DailySessionsOf(&raised)], second(43_200)).remaining, 2);
}

#[test]
fn an_unreadable_list_of_domains_allows_nothing() {
    let keyring = Keyring::default();
    let mut widget = one(7, 1);
    widget.key.settings.allowed_domains = vec!["*.com".into()];
    keyring.insert(&widget);
    let entry = keyring.get(widget.key.id).unwrap();
    assert!(!entry.allows_origin("https://a.com") && !entry.allows_origin("http://localhost:3000"));
}

#[test]
fn a_key_costs_at_most_200_bytes() {
    let keyring = Keyring::default();
    // The worst load for tables that double: just past a doubling.
    let keys = 64 * 240;
    let (one, workspace) = (one(1, 1), Arc::new(WorkspaceEntry::new(WorkspaceId(Ulid(1)), None)));
    for number in 0..keys {
        let mut key = one.clone();
        let bits = u128::from(number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        key.key.id = KeyId(Ulid(bits));
        let secrets = [Secret { digest: digest(bits), grace_ends: None }];
        let entry = KeyEntry::new(&key, &secrets, Arc::clone(&workspace), None).unwrap();
        keyring.replace(&mut keyring.ids[id_shard(key.key.id)].write(), None, Arc::new(entry));
    }
    let per_key = keyring.bytes() / keyring.len();
    println!("{per_key} bytes a key");
    assert_eq!(keyring.len(), keys);
    assert!(per_key <= 200, "{per_key} bytes a key");
}
