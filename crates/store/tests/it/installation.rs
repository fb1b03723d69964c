use access::Role;
use store::{NewMember, NewWorkspace, StoreError};

use crate::databases::{by, on_each};

fn owner(email: &str) -> NewMember {
    NewMember { email: email.to_owned(), name: String::new(), password_hash: "$argon2id$v=19$secret".to_owned() }
}

fn named(name: &str) -> NewWorkspace {
    NewWorkspace { name: name.to_owned() }
}

#[tokio::test]
async fn a_value_is_set_replaced_and_set_once() {
    on_each(async |world| {
        let store = &world.store;
        assert_eq!(store.meta("a").await.unwrap(), None);
        assert!(store.set_meta_if_absent("a", "1").await.unwrap());
        assert!(!store.set_meta_if_absent("a", "2").await.unwrap());
        assert_eq!(store.meta("a").await.unwrap().as_deref(), Some("1"));
        store.set_meta("a", "3").await.unwrap();
        assert_eq!(store.meta("a").await.unwrap().as_deref(), Some("3"));
    })
    .await;
}

#[tokio::test]
async fn a_setup_token_makes_one_workspace() {
    on_each(async |world| {
        let store = &world.store;
        store.set_meta("setup", "digest").await.unwrap();
        let make = |name: &'static str| {
            store.create_workspace(named(name), owner(&format!("{name}@example.com")), Some("setup"), by("setup"))
        };
        let (a, b) = tokio::join!(make("a"), make("b"));
        assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1, "{a:?} {b:?}");
        assert!(matches!(a.and(b), Err(StoreError::NotFound)));
        assert_eq!((store.workspace_count().await.unwrap(), store.meta("setup").await.unwrap()), (1, None));
    })
    .await;
}

#[tokio::test]
async fn a_setup_that_fails_keeps_its_token() {
    on_each(async |world| {
        let store = &world.store;
        world.workspace("first").await;
        store.set_meta("setup", "digest").await.unwrap();
        let again = store.create_workspace(named("b"), owner("FIRST@Example.com"), Some("setup"), by("setup")).await;
        assert!(matches!(again, Err(StoreError::Conflict("email"))), "an address is one person in any case: {again:?}");
        assert!(store.meta("setup").await.unwrap().is_some());
        assert_eq!(store.workspace_count().await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_oldest_workspace_is_the_default_and_its_first_member_owns_it() {
    on_each(async |world| {
        let store = &world.store;
        assert!(store.default_workspace().await.unwrap().is_none());
        let (first, member) = store.create_workspace(named("first"), owner("A@b.c"), None, by("setup")).await.unwrap();
        world.advance(1);
        world.workspace("second").await;
        let default = store.default_workspace().await.unwrap().unwrap();
        assert_eq!((default.id, default.name.as_str()), (first.id, "first"));
        assert_eq!((member.role, member.email.as_str(), member.workspace), (Role::Owner, "a@b.c", first.id));
        let said = format!("{member:?} {:?}", owner("a@b.c"));
        assert!(!said.contains("argon2") && !said.contains("a@b.c"), "{said}");
    })
    .await;
}
