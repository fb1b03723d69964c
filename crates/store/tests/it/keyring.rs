use std::net::IpAddr;

use access::{Scope, ScopeSet};
use ambient::{Clock, KeyId, Millis, Ulid};
use store::{KeySettings, LiveKey, SecretUse, ServiceAccountChange};

use crate::databases::{START, World, by, digest, new_account, new_key, on_each, run, secret, test_key};

async fn load(world: &World) -> Vec<LiveKey> {
    let mut keys = Vec::new();
    world.store.load_live_keys(world.clock.now(), |key| keys.push(key)).await.unwrap();
    keys.sort_by_key(|live| live.key.secrets[0].digest.0);
    keys
}

#[tokio::test]
async fn the_load_says_the_same_as_a_look_up() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let account = live.create_service_account(new_account("a"), by("create")).await.unwrap().id;
        let mut owned = new_key(1);
        owned.service_account = Some(account);
        owned.name = "a \u{1f} b \u{1f}".to_owned();
        live.create_key(owned, by("create")).await.unwrap();
        let mut full = new_key(2);
        full.expires_at = Some(START.plus(100_000));
        full.settings = KeySettings { owner: Some("me\u{1f}".to_owned()), rate_limit: Some(3), ..Default::default() };
        live.create_key(full, by("create")).await.unwrap();
        live.create_key(test_key(3), by("create")).await.unwrap();
        let (theirs, _) = world.tenant("theirs").await;
        theirs.create_key(new_key(4), by("create")).await.unwrap();
        let used = SecretUse {
            tenant: live.tenant(),
            key: KeyId(Ulid(0)),
            digest: digest(2),
            last_used_at: START.plus(5),
            last_used_ip: Some("2001:db8::1".parse().unwrap()),
            uses: 3,
            refused: 0,
            hour: 0,
        };
        world.store.record_uses(&[used]).await.unwrap();
        run(&world.url, "UPDATE workspaces SET rate_limit = 77 WHERE name = 'theirs'").await;

        let loaded = load(world).await;
        assert_eq!(loaded.len(), 4);
        for (n, key) in (1..).zip(&loaded) {
            let found = world.store.find_key_by_digest(&digest(n)).await.unwrap().unwrap();
            assert_eq!(format!("{key:?}"), format!("{found:?}"));
            let by_id = world.store.find_key(key.key.id).await.unwrap().unwrap();
            assert_eq!(format!("{key:?}"), format!("{by_id:?}"));
        }
        assert_eq!(loaded[0].service_account_scopes, Some(ScopeSet::NONE.with(Scope::ChatWrite)));
        assert_eq!(loaded[0].key.name, "a \u{1f} b \u{1f}");
        assert_eq!(loaded[1].service_account_scopes, None);
        assert_eq!(loaded[1].key.secrets[0].uses, 3);
        assert_eq!((loaded[2].workspace_rate_limit, loaded[3].workspace_rate_limit), (None, Some(77)));
    })
    .await;
}

#[tokio::test]
async fn more_keys_than_are_read_at_once_all_come_and_once() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let many = 2_001_u16;
        let new = |n: u16| {
            let mut new = new_key(0);
            new.secret.digest.0[..2].copy_from_slice(&n.to_be_bytes());
            new
        };
        live.import_keys((0..many).map(new).collect(), by("import")).await.unwrap();
        let numbers: Vec<u16> = (load(world).await.iter())
            .map(|live| u16::from_be_bytes([live.key.secrets[0].digest.0[0], live.key.secrets[0].digest.0[1]]))
            .collect();
        assert_eq!(numbers, (0..many).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn what_is_revoked_or_past_its_grace_is_not_loaded_and_still_found() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let revoked = live.create_key(new_key(1), by("create")).await.unwrap().id;
        live.revoke_key(revoked, START, by("revoke")).await.unwrap();
        let mut expired = new_key(2);
        expired.expires_at = Some(START.plus(10));
        live.create_key(expired, by("create")).await.unwrap();
        let rotated = live.create_key(new_key(3), by("create")).await.unwrap().id;
        live.rotate_key(rotated, secret(4), START.plus(10), false, by("rotate")).await.unwrap();
        let digests =
            |keys: &[LiveKey]| -> Vec<u8> { keys.iter().map(|live| live.key.secrets[0].digest.0[0]).collect() };

        assert_eq!(digests(&load(world).await), [2, 3, 4]);
        world.advance(10);
        let loaded = load(world).await;
        assert_eq!(digests(&loaded), [2, 4], "a grace that ends at a time is over at that time");
        assert_eq!(loaded[0].key.expires_at, Some(START.plus(10)), "whoever holds an expired key is told so");
        assert_eq!(loaded[1].key.secrets.len(), 1);

        let found = world.store.find_key_by_digest(&digest(1)).await.unwrap().unwrap();
        assert_eq!(found.key.revoked_at, Some(START));
        let found = world.store.find_key_by_digest(&digest(2)).await.unwrap().unwrap();
        assert_eq!(found.key.expires_at, Some(START.plus(10)));
        let found = world.store.find_key_by_digest(&digest(3)).await.unwrap().unwrap();
        let secrets: Vec<_> = found.key.secrets.iter().map(|secret| (secret.digest.0[0], secret.expires_at)).collect();
        assert_eq!(
            secrets,
            [(4, None), (3, Some(START.plus(10)))],
            "the ended secret that was asked for, said to be so"
        );
        assert!(world.store.find_key_by_digest(&digest(99)).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_disabled_accounts_keys_are_loaded_and_marked() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let account = live.create_service_account(new_account("a"), by("create")).await.unwrap().id;
        let mut owned = new_key(1);
        owned.service_account = Some(account);
        let owned = live.create_key(owned, by("create")).await.unwrap().id;
        assert!(!load(world).await[0].disabled);
        let change = ServiceAccountChange { disabled_at: Some(Some(START)), ..Default::default() };
        live.update_service_account(account, change, by("disable")).await.unwrap();
        assert!(load(world).await[0].disabled);
        assert!(world.store.find_key(owned).await.unwrap().unwrap().disabled);

        // Nothing makes a key outlive its account; if something did, it would not work.
        run(&world.url, "DELETE FROM service_accounts").await;
        let orphan = world.store.find_key(owned).await.unwrap().unwrap();
        assert_eq!((orphan.disabled, orphan.service_account_scopes), (true, Some(ScopeSet::NONE)));
        let orphan = load(world).await.remove(0);
        assert_eq!((orphan.disabled, orphan.service_account_scopes), (true, Some(ScopeSet::NONE)));
    })
    .await;
}

#[tokio::test]
async fn uses_add_up_and_the_last_one_wins_whatever_the_order() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let id = live.create_key(new_key(1), by("create")).await.unwrap().id;
        let report = |at: i64, ip: &str, uses| SecretUse {
            tenant: live.tenant(),
            key: id,
            digest: digest(1),
            last_used_at: Millis(at),
            last_used_ip: Some(ip.parse().unwrap()),
            uses,
            refused: 0,
            hour: 0,
        };
        let gone = SecretUse { digest: digest(50), ..report(1, "::1", 1) };
        world.store.record_uses(&[gone, report(100, "10.0.0.1", 2)]).await.unwrap();
        world.store.record_uses(&[report(50, "10.0.0.2", 3)]).await.unwrap();
        let secret = live.key(id).await.unwrap().secrets.remove(0);
        assert_eq!((secret.uses, secret.last_used_at), (5, Some(Millis(100))));
        assert_eq!(secret.last_used_ip, Some(IpAddr::from([10, 0, 0, 1])));
        assert_eq!(live.key(id).await.unwrap().version, 1, "a use is no change");
    })
    .await;
}

#[tokio::test]
async fn a_renewed_digest_is_found_and_the_old_one_is_not() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let id = live.create_key(new_key(1), by("create")).await.unwrap().id;
        world.store.renew_digest(&digest(1), &digest(2), "next").await.unwrap();
        assert!(world.store.find_key_by_digest(&digest(1)).await.unwrap().is_none());
        let found = world.store.find_key_by_digest(&digest(2)).await.unwrap().unwrap();
        assert_eq!((found.key.id, found.key.secrets[0].pepper_id.as_str()), (id, "next"));
        world.store.renew_digest(&digest(1), &digest(2), "next").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_said_to_be_corrupt_without_its_content() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let id = live.create_key(new_key(1), by("create")).await.unwrap().id;
        run(&world.url, "UPDATE api_keys SET kind = 'hush'").await;
        let errors = [
            world.store.load_live_keys(START, |_| ()).await.unwrap_err(),
            world.store.find_key(id).await.unwrap_err(),
            live.key(id).await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, store::StoreError::Corrupt(_)), "{error:?}");
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    })
    .await;
}
