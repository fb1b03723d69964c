use std::net::IpAddr;

use store::SecretRecord;

use crate::house::{House, house};

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

async fn stored(house: &House, id: ambient::KeyId) -> Vec<SecretRecord> {
    house.store.workspace(house.tenant).key(id).await.unwrap().secrets
}

#[tokio::test]
async fn uses_are_written_at_once_then_gathered_for_a_minute() {
    let house = house().await;
    let (id, text) = house.key().await;
    let handle = house.find(&text);
    house.cluster.touch(&handle, address("192.0.2.1"), house.now());
    house.cluster.touch(&handle, address("192.0.2.2"), house.now());
    house.cluster.flush_uses(false).await;
    let secret = stored(&house, id).await.remove(0);
    assert_eq!((secret.uses, secret.last_used_at, secret.last_used_ip), (2, Some(house.now()), address("192.0.2.2")));

    let writes = house.store.writes();
    house.advance_ms(59_000);
    house.cluster.touch(&handle, address("192.0.2.3"), house.now());
    house.cluster.flush_uses(false).await;
    assert_eq!(house.store.writes(), writes, "not a minute yet");
    house.advance_ms(1_000);
    house.cluster.flush_uses(false).await;
    let secret = stored(&house, id).await.remove(0);
    assert_eq!((secret.uses, secret.last_used_ip), (3, address("192.0.2.3")));

    let writes = house.store.writes();
    house.advance_ms(60_000);
    house.cluster.flush_uses(false).await;
    assert_eq!(house.store.writes(), writes, "nothing to say");
    house.cluster.touch(&handle, None, house.now());
    house.cluster.flush_uses(false).await;
    assert_eq!(stored(&house, id).await[0].uses, 4, "and after a rest at once again");
}

#[tokio::test]
async fn each_secret_counts_its_own_uses() {
    let house = house().await;
    let (id, old) = house.key().await;
    let (_, new) = house.cluster.rotate_key(house.tenant, id, 10_000, house.audit()).await.unwrap();
    house.cluster.touch(&house.find(&old), None, house.now());
    for _ in 0..3 {
        house.cluster.touch(&house.find(&new), None, house.now());
    }
    house.cluster.flush_uses(true).await;
    let uses: Vec<u64> = stored(&house, id).await.iter().map(|secret| secret.uses).collect();
    assert_eq!(uses, [3, 1], "the newest first");
}

#[tokio::test]
async fn stopping_writes_what_is_left() {
    let house = house().await;
    let (id, text) = house.key().await;
    house.cluster.flush_uses(true).await;
    house.cluster.touch(&house.find(&text), None, house.now());
    house.cluster.flush_uses(false).await;
    house.cluster.touch(&house.find(&text), None, house.now());
    house.cluster.stop().await;
    assert_eq!(stored(&house, id).await[0].uses, 2);
}

#[tokio::test]
async fn a_use_before_an_update_is_not_lost() {
    let house = house().await;
    let (id, text) = house.key().await;
    house.cluster.touch(&house.find(&text), None, house.now());
    let change = store::KeyChange { name: Some("Renamed".into()), ..store::KeyChange::default() };
    house.cluster.update_key(house.tenant, id, change, house.audit()).await.unwrap();
    house.cluster.touch(&house.find(&text), None, house.now());
    house.cluster.flush_uses(false).await;
    assert_eq!(stored(&house, id).await[0].uses, 2);
}
