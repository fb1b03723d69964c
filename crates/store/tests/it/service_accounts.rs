use access::{Role, Scope, ScopeSet};
use ambient::Millis;
use store::{KeyFilter, PageRequest, ServiceAccountChange, StoreError};

use crate::databases::{FIRST, by, logged, new_account, new_key, on_each};

#[tokio::test]
async fn an_account_comes_back_as_it_was_made_and_changed() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let mut new = new_account("deployer");
        new.description = Some("ships".to_owned());
        let made = live.create_service_account(new, by("create")).await.unwrap();
        assert_eq!(format!("{:?}", live.service_account(made.id).await.unwrap()), format!("{made:?}"));

        let now = world.advance(3);
        let change = ServiceAccountChange {
            description: Some(None),
            role: Some(Role::Admin),
            scopes: Some(ScopeSet::NONE.with(Scope::BotsWrite)),
            ..Default::default()
        };
        let changed = live.update_service_account(made.id, change, by("update")).await.unwrap();
        assert_eq!(format!("{:?}", live.service_account(made.id).await.unwrap()), format!("{changed:?}"));
        assert_eq!((changed.name.as_str(), changed.description.as_deref()), ("deployer", None));
        assert_eq!((changed.role, changed.updated_at, changed.created_at), (Role::Admin, now, made.created_at));
    })
    .await;
}

#[tokio::test]
async fn disabling_twice_keeps_the_first_time_and_enabling_ends_it() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let id = live.create_service_account(new_account("a"), by("create")).await.unwrap().id;
        let at = |time| ServiceAccountChange { disabled_at: Some(time), ..Default::default() };
        live.update_service_account(id, at(Some(Millis(1))), by("x")).await.unwrap();
        live.update_service_account(id, at(Some(Millis(2))), by("x")).await.unwrap();
        assert_eq!(live.service_account(id).await.unwrap().disabled_at, Some(Millis(1)));
        live.update_service_account(id, at(None), by("x")).await.unwrap();
        assert_eq!(live.service_account(id).await.unwrap().disabled_at, None);
    })
    .await;
}

#[tokio::test]
async fn a_changed_account_moves_its_keys_versions_and_no_others() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let account = live.create_service_account(new_account("a"), by("create")).await.unwrap().id;
        let mut owned = new_key(1);
        owned.service_account = Some(account);
        let owned = live.create_key(owned, by("create")).await.unwrap().id;
        let free = live.create_key(new_key(2), by("create")).await.unwrap().id;
        live.update_service_account(account, ServiceAccountChange::default(), by("update")).await.unwrap();
        assert_eq!(live.key(owned).await.unwrap().version, 2);
        assert_eq!(live.key(free).await.unwrap().version, 1);
    })
    .await;
}

#[tokio::test]
async fn deleting_an_account_revokes_its_keys_and_no_others() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let account = live.create_service_account(new_account("a"), by("create")).await.unwrap().id;
        let mut ids = Vec::new();
        for n in 1..=3 {
            world.advance(1);
            let mut key = new_key(n);
            key.service_account = Some(account);
            ids.push(live.create_key(key, by("create")).await.unwrap().id);
        }
        let free = live.create_key(new_key(9), by("create")).await.unwrap().id;
        let early = live.revoke_key(ids[0], world.advance(1), by("revoke")).await.unwrap();

        let filter = KeyFilter { service_account: Some(account), ..KeyFilter::default() };
        let page = live.keys(PageRequest { page: 1, per_page: 2 }, filter).await.unwrap();
        let listed: Vec<_> = page.rows.iter().map(|key| key.id).collect();
        assert_eq!((listed, page.total), (vec![ids[2], ids[1]], 3));
        assert_eq!(live.keys_of_service_account(account).await.unwrap().len(), 3);

        let now = world.advance(1);
        let mut revoked = live.delete_service_account(account, by("delete")).await.unwrap();
        revoked.sort();
        assert_eq!(revoked, ids[1..], "those that were not revoked before");
        for id in &revoked {
            let key = live.key(*id).await.unwrap();
            assert_eq!((key.revoked_at, key.version, key.service_account), (Some(now), 2, Some(account)));
        }
        assert_eq!(live.key(ids[0]).await.unwrap().revoked_at, early.revoked_at);
        assert_eq!(live.key(free).await.unwrap().revoked_at, None);
        assert!(matches!(live.service_account(account).await, Err(StoreError::NotFound)));
        let again = live.delete_service_account(account, by("delete")).await;
        assert!(matches!(again, Err(StoreError::NotFound)), "{again:?}");
        assert_eq!(live.service_accounts(FIRST).await.unwrap().total, 0);
        assert_eq!(logged(&live).await.iter().filter(|action| *action == "delete").count(), 3, "it and two keys");
    })
    .await;
}

#[tokio::test]
async fn no_key_survives_its_account() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        for n in 0..10 {
            let account = live.create_service_account(new_account("a"), by("create")).await.unwrap().id;
            let mut key = new_key(n);
            key.service_account = Some(account);
            let (made, deleted) =
                tokio::join!(live.create_key(key, by("create")), live.delete_service_account(account, by("delete")));
            deleted.unwrap();
            match made {
                Ok(key) => assert!(live.key(key.id).await.unwrap().revoked_at.is_some(), "made first, revoked with it"),
                Err(error) => assert!(matches!(error, StoreError::NotFound), "{error:?}"),
            }
        }
    })
    .await;
}
