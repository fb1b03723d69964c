use access::Tenant;
use ambient::{BotId, Ulid};
use chat::{ChatError, OpenSession};
use credential::Environment;
use serde_json::json;
use store::BotChange;

use crate::world::World;

#[tokio::test]
async fn a_session_greets_and_its_token_is_bound() {
    let world = World::with_model("words").await;
    world.change_bot(BotChange { greeting: Some(Some("Hello!".to_owned())), ..BotChange::default() }).await;
    let mut opener = world.caller();
    opener.epoch = 3;
    opener.origin = Some("https://shop.example".into());
    let request = OpenSession {
        channel: None,
        bot: world.bot,
        user_identifier: Some("u-1".to_owned()),
        metadata: Some(json!({"a": 1})),
    };
    let opened = world.chat.open_session(&opener, request).await.unwrap();
    assert_eq!(
        (&*opened.agent_name, opened.greeting.as_deref(), &*opened.agent_model),
        ("Ada", Some("Hello!"), "words")
    );
    let claims = world.tokens.verify_session(&opened.token, world.clock.now()).unwrap();
    assert_eq!((claims.conversation, claims.key, claims.epoch), (opened.conversation, world.key, 3));
    assert_eq!(claims.origin.as_deref(), Some("https://shop.example"));
    assert_eq!((claims.workspace, claims.environment), (world.tenant.workspace, Environment::Live));
    assert_eq!(claims.expires_at.since(claims.issued_at), 24 * 3600 * 1000);
    let data = world.store.workspace(world.tenant);
    let messages = data.last_messages(opened.conversation, 10).await.unwrap();
    assert_eq!((messages.len(), &*messages[0].role, &*messages[0].content), (1, "assistant", "Hello!"));
    let stored = data.conversation(opened.conversation).await.unwrap();
    assert_eq!((stored.user_identifier.as_deref(), stored.key), (Some("u-1"), Some(world.key)));
    assert!(!format!("{opened:?}").contains(&opened.token));
}

#[tokio::test]
async fn a_bot_without_a_greeting_says_nothing_first() {
    let world = World::new().await;
    let opened = world.open().await.unwrap();
    assert_eq!((opened.greeting, &*opened.agent_model), (None, "echo"));
    assert!(world.history(&world.session().await).await.is_empty());
}

#[tokio::test]
async fn a_bot_of_nobody_or_of_the_other_environment_is_not_found() {
    let world = World::new().await;
    let request = |bot| OpenSession { channel: None, bot, user_identifier: None, metadata: None };
    let nobody = world.chat.open_session(&world.caller(), request(BotId(Ulid(1)))).await;
    assert!(matches!(nobody, Err(ChatError::NotFound)));
    let mut test_key = world.caller();
    test_key.tenant = Tenant { environment: Environment::Test, ..world.tenant };
    assert!(matches!(world.chat.open_session(&test_key, request(world.bot)).await, Err(ChatError::NotFound)));
}

#[tokio::test]
async fn what_comes_with_a_session_is_checked() {
    let world = World::new().await;
    let request =
        |user: Option<String>, metadata| OpenSession { channel: None, bot: world.bot, user_identifier: user, metadata };
    for (request, field) in [
        (request(Some("u".repeat(256)), None), "user_identifier"),
        (request(None, Some(json!([1]))), "metadata"),
        (request(None, Some(json!({"a": "x".repeat(4096)}))), "metadata"),
    ] {
        let error = world.chat.open_session(&world.caller(), request).await.unwrap_err();
        assert!(matches!(error, ChatError::Invalid { field: found, .. } if found == field), "{error:?}");
    }
}

#[tokio::test]
async fn history_is_the_newest_oldest_first() {
    let world = World::new().await;
    let session = world.session().await;
    for text in ["a", "b", "c"] {
        world.ask(&session, text).await;
    }
    let said: Vec<_> = world.chat.history(&session, 3).await.unwrap().into_iter().map(|m| m.content).collect();
    assert_eq!(said, ["You said: b", "c", "You said: c"]);
    assert_eq!(world.chat.history(&session, 0).await.unwrap().len(), 1, "a limit is at least one");
}
