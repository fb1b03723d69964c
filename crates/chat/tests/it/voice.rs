use std::time::Duration;

use chat::ChatError;
use store::NewBot;
use tokio::time::sleep;

use crate::world::{World, audit};

#[tokio::test]
async fn no_voice_token_leaves_after_its_key_was_revoked_and_nothing_is_paid() {
    let world = World::new().await;
    let data = world.store.workspace(world.tenant);
    let (description, greeting, instructions) = (None, None, None);
    let (name, architecture) = ("Ada".to_owned(), "realtime".to_owned());
    let new = NewBot { name, description, greeting, instructions, architecture, context_messages: 10 };
    let bot = data.create_bot(new, audit()).await.unwrap().id;
    world.chat.credits().grant(world.tenant, 25, None, audit()).await.unwrap();
    let _ = world.chat.credits().set_metered(world.tenant, true, audit()).await.unwrap();
    // A request that the gate let in a moment before.
    let opener = world.caller();
    let opened = world.chat.open_voice(&opener, bot).await.unwrap();
    assert_eq!(opened.token.split('.').count(), 3);
    let of_another_epoch = access::KeyCaller { epoch: opener.epoch + 1, ..opener.clone() };
    assert!(matches!(world.chat.open_voice(&of_another_epoch, bot).await, Err(ChatError::Revoked)));
    let _ = world.cluster.revoke_key(world.tenant, world.key, audit()).await.unwrap();
    assert!(matches!(world.chat.open_voice(&opener, bot).await, Err(ChatError::Revoked)));
    for _ in 0..100 {
        let account = data.credit_account().await.unwrap();
        if (account.free, account.held, account.charged) == (15, 0, 10) {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", data.credit_account().await);
}
