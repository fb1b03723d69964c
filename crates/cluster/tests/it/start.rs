use cluster::Lookup;
use credential::secret::Secrets;

use crate::house::{house, root};

#[tokio::test]
async fn after_a_restart_every_key_works_as_before() {
    let house = house().await;
    let (id, old) = house.key().await;
    let (_, new) = house.cluster.rotate_key(house.tenant, id, 1000, house.audit()).await.unwrap();
    let (revoked, dead) = house.key().await;
    house.cluster.revoke_key(house.tenant, revoked, house.audit()).await.unwrap();
    let (widget, widget_text) = house.widget().await;
    let house = house.restart(Secrets::new(&root(1), None)).await;
    assert_eq!(house.cluster.keys(), 2);
    assert!(house.works(&old) && house.works(&new), "both secrets of a key in its grace");
    assert!(matches!(house.look(&dead), Lookup::Miss));
    assert!(house.find(&widget_text).allows_origin("https://shop.one.com"));
    assert!(house.cluster.key_by_id(widget).is_some());
    house.advance_ms(1000);
    assert!(!house.works(&old) && house.works(&new), "the grace ends all the same");
}

#[tokio::test]
async fn keys_made_under_the_previous_secret_work_and_are_renewed_on_use() {
    let house = house().await;
    let (id, text) = house.key().await;
    let house = house.restart(Secrets::new(&root(2), Some(&root(1)))).await;
    assert!(matches!(house.look(&text), Lookup::Miss));
    let found = house.cluster.lookup_slow(text.expose(), house.now()).await.unwrap();
    assert!(matches!(found, Lookup::Found(handle) if handle.id() == id));
    assert!(house.works(&text), "from now on at the first look");
    let house = house.restart(Secrets::new(&root(2), None)).await;
    assert!(house.works(&text), "and without the previous secret");
}

#[tokio::test]
async fn keys_made_under_a_secret_that_is_gone_do_not_work() {
    let house = house().await;
    let (_, text) = house.key().await;
    let house = house.restart(Secrets::new(&root(3), Some(&root(2)))).await;
    assert!(matches!(house.cluster.lookup_slow(text.expose(), house.now()).await.unwrap(), Lookup::Miss));
}

#[tokio::test]
async fn a_revoked_key_is_not_renewed_into_life() {
    let house = house().await;
    let (id, text) = house.key().await;
    let house = house.restart(Secrets::new(&root(2), Some(&root(1)))).await;
    house.cluster.revoke_key(house.tenant, id, house.audit()).await.unwrap();
    assert!(matches!(house.cluster.lookup_slow(text.expose(), house.now()).await.unwrap(), Lookup::Miss));
    assert!(!house.works(&text));
}
