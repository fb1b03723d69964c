use store::Lease;

use crate::databases::on_each;

#[tokio::test]
async fn a_lease_is_taken_once_renewed_by_its_node_and_given_up() {
    on_each(async |world| {
        let store = &world.store;
        assert_eq!(store.lease().await.unwrap(), None);
        let (a, b) = tokio::join!(store.take_lease("a", None), store.take_lease("b", None));
        assert_eq!(usize::from(a.unwrap()) + usize::from(b.unwrap()), 1);
        let first = store.lease().await.unwrap().unwrap();
        let other = if first.node == "a" { "b" } else { "a" };
        assert!(!store.renew_lease(other).await.unwrap());
        assert!(store.renew_lease(&first.node).await.unwrap());
        store.release_lease(other).await.unwrap();
        let renewed = Lease { beat: first.beat + 1, ..first.clone() };
        assert_eq!(store.lease().await.unwrap(), Some(renewed));
        store.release_lease(&first.node).await.unwrap();
        assert_eq!(store.lease().await.unwrap(), None);
        assert!(!store.renew_lease(&first.node).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_lease_is_taken_over_only_as_it_was_seen() {
    on_each(async |world| {
        let store = &world.store;
        assert!(store.take_lease("old", None).await.unwrap());
        let seen = store.lease().await.unwrap();
        assert!(store.renew_lease("old").await.unwrap());
        assert!(!store.take_lease("new", seen.as_ref()).await.unwrap(), "it lives");
        assert!(!store.take_lease("new", None).await.unwrap());
        let seen = store.lease().await.unwrap();
        let (a, b) = tokio::join!(store.take_lease("new", seen.as_ref()), store.take_lease("newer", seen.as_ref()));
        assert_eq!(usize::from(a.unwrap()) + usize::from(b.unwrap()), 1);
        assert!(!store.renew_lease("old").await.unwrap(), "it learns that it is over");
    })
    .await;
}
