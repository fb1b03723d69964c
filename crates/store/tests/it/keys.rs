use access::{Scope, ScopeSet};
use ambient::{Clock, KeyId, Millis, Ulid};
use store::{ForeignPepper, KeyChange, KeyFilter, KeyRecord, KeySettings, PageRequest, SecretRecord, StoreError};

use crate::databases::{FIRST, START, by, digest, logged, new_key, on_each, run, secret};

#[tokio::test]
async fn a_key_comes_back_as_it_was_made() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let mut new = new_key(1);
        new.name = "naïve \u{1f} 'key'".to_owned();
        new.expires_at = Some(START.plus(1000));
        new.settings = KeySettings {
            allowed_domains: vec!["example.com".to_owned()],
            deny_localhost: true,
            allowed_ips: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            rate_limit: Some(7),
            rotate_after: Some(Millis(5)),
            metadata: Some(serde_json::json!({"a": [1, null]})),
            ..KeySettings::default()
        };
        let settings = new.settings.clone();
        let made = live.create_key(new, by("create_api_key")).await.unwrap();
        let read = live.key(made.id).await.unwrap();
        assert_eq!(format!("{read:?}"), format!("{made:?}"));
        assert_eq!(read.settings, settings);
        assert_eq!((read.created_by, read.version, read.epoch), (access::Actor::system().to_string(), 1, 0));
        assert_eq!(read.secrets[0].digest, digest(1));
        assert_eq!(logged(&live).await, ["create_api_key"]);
    })
    .await;
}

#[tokio::test]
async fn one_digest_is_one_key() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        live.create_key(new_key(1), by("create")).await.unwrap();
        let again = live.create_key(new_key(1), by("create")).await;
        assert!(matches!(again, Err(StoreError::Conflict("secret"))), "{again:?}");
        assert_eq!(live.keys(FIRST, KeyFilter::default()).await.unwrap().total, 1, "not even half of it is kept");
    })
    .await;
}

#[tokio::test]
async fn many_keys_are_made_all_or_none() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let clash = live.import_keys(vec![new_key(1), new_key(2), new_key(1)], by("import")).await;
        assert!(matches!(clash, Err(StoreError::Conflict("secret"))), "{clash:?}");
        assert_eq!(live.keys(FIRST, KeyFilter::default()).await.unwrap().total, 0);
        assert_eq!(live.import_keys(vec![new_key(1), new_key(2)], by("import")).await.unwrap(), 2);
        assert_eq!(live.keys(FIRST, KeyFilter::default()).await.unwrap().total, 2);
        assert_eq!(logged(&live).await, ["import"]);
    })
    .await;
}

#[tokio::test]
async fn keys_are_taken_over_all_or_none_and_their_pepper_goes_with_the_last() {
    const PEPPER: &str = "0123456789abcdef";
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let (other, _) = world.tenant("theirs").await;
        let made = live.create_key(new_key(1), by("create")).await.unwrap();
        let record = |id, n| KeyRecord {
            id: KeyId(Ulid(id)),
            secrets: vec![SecretRecord { pepper_id: PEPPER.to_owned(), ..secret(n) }],
            ..made.clone()
        };
        let pepper = [ForeignPepper { id: PEPPER.to_owned(), sealed: vec![1, 2, 255] }];
        let peppers = async || world.store.foreign_peppers().await.unwrap();
        let clash = live.take_over_keys(&[record(1, 2), record(2, 1)], &pepper, by("take")).await;
        assert!(matches!(clash, Err(StoreError::Conflict("secret"))), "{clash:?}");
        let foreign = other.take_over_keys(&[record(1, 2)], &pepper, by("take")).await;
        assert!(matches!(foreign, Err(StoreError::Conflict(_))), "{foreign:?}");
        live.take_over_keys(&[], &pepper, by("take")).await.unwrap();
        assert_eq!((live.keys(FIRST, KeyFilter::default()).await.unwrap().total, peppers().await.len()), (1, 0));

        live.take_over_keys(&[record(1, 2), record(2, 3)], &pepper, by("take")).await.unwrap();
        assert_eq!(live.key(KeyId(Ulid(2))).await.unwrap().secrets[0].pepper_id, PEPPER);
        assert_eq!((peppers().await[0].id.as_str(), &peppers().await[0].sealed), (PEPPER, &pepper[0].sealed));
        assert_eq!(logged(&live).await, ["create", "take"]);
        let now = world.clock.now();
        world.store.renew_digest(&digest(2), &digest(4), "ours").await.unwrap();
        assert!(!world.store.drop_spent_pepper(PEPPER, now).await.unwrap(), "one waits for its first use");
        live.revoke_key(KeyId(Ulid(2)), now, by("revoke")).await.unwrap();
        assert!(world.store.drop_spent_pepper(PEPPER, now).await.unwrap() && peppers().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn pages_are_newest_first_and_know_the_total() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        for n in 1..=5 {
            world.advance(1);
            live.create_key(new_key(n), by("create")).await.unwrap();
        }
        let page = live.keys(PageRequest { page: 2, per_page: 2 }, KeyFilter::default()).await.unwrap();
        let names: Vec<_> = page.rows.iter().map(|key| key.name.as_str()).collect();
        assert_eq!((names, page.total), (vec!["key 3", "key 2"], 5));
        assert!(page.rows.iter().all(|key| key.secrets.len() == 1));
        let beyond = live.keys(PageRequest { page: 9, per_page: 2 }, KeyFilter::default()).await.unwrap();
        assert_eq!((beyond.rows.len(), beyond.total), (0, 5));
    })
    .await;
}

#[tokio::test]
async fn a_change_moves_the_version_and_leaves_the_rest() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let made = live.create_key(new_key(1), by("create")).await.unwrap();
        let now = world.advance(5);
        let change = KeyChange { scopes: Some(ScopeSet::NONE.with(Scope::ChatWrite)), ..KeyChange::default() };
        let changed = live.update_key(made.id, change, by("update")).await.unwrap();
        assert_eq!((changed.version, changed.updated_at, changed.name.as_str()), (2, now, "key 1"));
        let change = KeyChange { expires_at: Some(Some(START.plus(9))), ..KeyChange::default() };
        live.update_key(made.id, change, by("update")).await.unwrap();
        let change = KeyChange { name: Some("other".to_owned()), ..KeyChange::default() };
        live.update_key(made.id, change, by("update")).await.unwrap();
        let read = live.key(made.id).await.unwrap();
        assert_eq!((read.version, read.expires_at, read.name.as_str()), (4, Some(START.plus(9)), "other"));
        assert!(read.scopes.allows(Scope::ChatWrite) && !read.scopes.allows(Scope::BotsRead));
        let change = KeyChange { expires_at: Some(None), ..KeyChange::default() };
        assert_eq!(live.update_key(made.id, change, by("update")).await.unwrap().expires_at, None);
    })
    .await;
}

#[tokio::test]
async fn two_changes_at_once_both_happen() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let id = live.create_key(new_key(1), by("create")).await.unwrap().id;
        for round in 0..10 {
            let name = KeyChange { name: Some(format!("n{round}")), ..KeyChange::default() };
            let expiry = KeyChange { expires_at: Some(Some(Millis(round))), ..KeyChange::default() };
            let (a, b) = tokio::join!(live.update_key(id, name, by("a")), live.update_key(id, expiry, by("b")));
            assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
            let key = live.key(id).await.unwrap();
            assert_eq!((key.name, key.expires_at), (format!("n{round}"), Some(Millis(round))));
        }
        assert_eq!(live.key(id).await.unwrap().version, 21);
    })
    .await;
}

#[tokio::test]
async fn rotation_keeps_the_key_and_gives_the_old_secret_its_grace() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let id = live.create_key(new_key(1), by("create")).await.unwrap().id;
        let now = world.advance(10);
        let mut next = secret(2);
        next.created_at = now;
        let rotated = live.rotate_key(id, next, now.plus(1000), false, by("rotate")).await.unwrap();
        let shown = |key: &KeyRecord| -> Vec<_> {
            key.secrets.iter().map(|secret| (secret.digest.0[0], secret.expires_at)).collect()
        };
        assert_eq!(shown(&rotated), [(2, None), (1, Some(now.plus(1000)))]);
        assert_eq!((rotated.id, rotated.version, rotated.epoch), (id, 2, 0));

        // A second rotation within the grace: never more than two secrets.
        let now = world.advance(10);
        let rotated = live.rotate_key(id, secret(3), now.plus(500), false, by("rotate")).await.unwrap();
        assert_eq!(shown(&rotated), [(3, None), (2, Some(now.plus(500)))]);

        // After the grace there is one.
        world.advance(500);
        assert_eq!(shown(&live.key(id).await.unwrap()), [(3, None)]);

        // At once, and with it the tokens.
        let now = world.advance(1);
        let rotated = live.rotate_key(id, secret(4), now, true, by("rotate")).await.unwrap();
        assert_eq!((shown(&rotated), rotated.epoch, rotated.version), (vec![(4, None)], 1, 4));
        assert_eq!(logged(&live).await, ["create", "rotate", "rotate", "rotate"]);
    })
    .await;
}

#[tokio::test]
async fn revoking_is_for_good_and_logged_once() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let id = live.create_key(new_key(1), by("create")).await.unwrap().id;
        let first = world.advance(1);
        let revoked = live.revoke_key(id, first, by("revoke")).await.unwrap();
        assert_eq!((revoked.revoked_at, revoked.version), (Some(first), 2));
        let again = live.revoke_key(id, world.advance(1), by("revoke")).await.unwrap();
        assert_eq!((again.revoked_at, again.version), (Some(first), 2));
        let rotated = live.rotate_key(id, secret(2), START, false, by("rotate")).await;
        assert!(matches!(rotated, Err(StoreError::Conflict("revoked"))), "{rotated:?}");
        let updated = live.update_key(id, KeyChange::default(), by("update")).await;
        assert!(matches!(updated, Err(StoreError::Conflict("revoked"))), "{updated:?}");
        assert_eq!(live.key(id).await.unwrap().version, 2, "a refused change leaves the version");
        assert_eq!(logged(&live).await, ["create", "revoke"]);
    })
    .await;
}

#[tokio::test]
async fn a_change_that_cannot_be_logged_does_not_happen() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let id = live.create_key(new_key(1), by("create")).await.unwrap().id;
        run(&world.url, "ALTER TABLE audit_log RENAME TO elsewhere").await;
        assert!(live.revoke_key(id, world.clock.now(), by("revoke")).await.is_err());
        assert!(live.rotate_key(id, secret(2), START, true, by("rotate")).await.is_err());
        assert!(live.create_key(new_key(3), by("create")).await.is_err());
        let key = live.key(id).await.unwrap();
        assert_eq!((key.revoked_at, key.version, key.secrets.len()), (None, 1, 1));
        assert_eq!(live.keys(FIRST, KeyFilter::default()).await.unwrap().total, 1);
    })
    .await;
}
