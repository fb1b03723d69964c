use ambient::SeededRandom;
use cluster::Lookup;
use credential::secret::Secrets;
use store::ForeignPepper;

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

/// As if the house's keys had come from another installation, whose secret is `root(1)`.
async fn taken_over() -> (crate::house::House, [(ambient::KeyId, credential::ApiKey); 2]) {
    let house = house().await;
    let keys = [house.key().await, house.key().await];
    let (own, origin) = (Secrets::new(&root(2), None), Secrets::new(&root(1), None));
    let pepper = origin.pepper(origin.id()).unwrap();
    let sealed = pepper.seal(own.sealer(), &SeededRandom::new(1)).unwrap();
    house.store.reseal_foreign_pepper(&ForeignPepper { id: origin.id().to_owned(), sealed }).await.unwrap();
    (house.restart(own).await, keys)
}

#[tokio::test]
async fn a_key_of_another_installation_works_and_is_renewed_until_its_pepper_goes() {
    let (house, [(id, one), (_, two)]) = taken_over().await;
    for text in [&one, &two] {
        assert_eq!(house.store.foreign_peppers().await.unwrap().len(), 1, "one of them was not used");
        assert!(matches!(house.look(text), Lookup::Miss));
        let found = house.cluster.lookup_slow(text.expose(), house.now()).await.unwrap();
        assert!(matches!(found, Lookup::Found(_)));
        assert!(house.works(text), "from now on at the first look");
        house.cluster.drop_spent_peppers().await.unwrap();
    }
    let stored = house.store.find_key(id).await.unwrap().unwrap();
    assert_eq!(stored.key.secrets[0].pepper_id, house.secrets.id());
    assert!(house.store.foreign_peppers().await.unwrap().is_empty());
    let house = house.restart(Secrets::new(&root(2), None)).await;
    assert!(house.works(&one) && house.works(&two));
}

#[tokio::test]
async fn where_keys_were_taken_over_an_unknown_one_still_costs_no_read() {
    let (house, [(_, one), _]) = taken_over().await;
    let unknown = one.expose().replace("sk_live_", "sk_live_x");
    let reads = house.settled_reads().await;
    for _ in 0..5 {
        assert!(matches!(house.cluster.lookup_slow(&unknown, house.now()).await.unwrap(), Lookup::Miss));
    }
    assert!(matches!(house.cluster.lookup_slow(one.expose(), house.now()).await.unwrap(), Lookup::Found(_)));
    assert_eq!(house.store.reads(), reads);
}

#[tokio::test]
async fn a_pepper_goes_when_the_last_key_that_needs_it_is_revoked_or_expires() {
    let (house, [(one, text), (two, _)]) = taken_over().await;
    house.cluster.revoke_key(house.tenant, one, house.audit()).await.unwrap();
    assert!(matches!(house.cluster.lookup_slow(text.expose(), house.now()).await.unwrap(), Lookup::Miss));
    house.cluster.drop_spent_peppers().await.unwrap();
    assert_eq!(house.store.foreign_peppers().await.unwrap().len(), 1);
    let ends = store::KeyChange { expires_at: Some(Some(house.now().plus(1000))), ..store::KeyChange::default() };
    house.store.workspace(house.tenant).update_key(two, ends, house.audit()).await.unwrap();
    house.advance_ms(1000);
    house.cluster.drop_spent_peppers().await.unwrap();
    assert!(house.store.foreign_peppers().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_pepper_that_cannot_be_opened_lets_nothing_in() {
    let (house, [(_, text), _]) = taken_over().await;
    let house = house.restart(Secrets::new(&root(3), None)).await;
    assert!(matches!(house.cluster.lookup_slow(text.expose(), house.now()).await.unwrap(), Lookup::Miss));
    assert_eq!(house.store.foreign_peppers().await.unwrap().len(), 1);
}
