use store::{BotChange, IntegrationChange, NewConversation, PageRequest, StoreError};

use crate::databases::{FIRST, by, logged, new_bot, new_integration, on_each};

#[tokio::test]
async fn a_new_bot_echoes() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let made = live.create_bot(new_bot("helper"), by("create_bot")).await.unwrap();
        assert_eq!(format!("{:?}", live.bot(made.id).await.unwrap()), format!("{made:?}"));
        let integrations = live.integrations(made.id).await.unwrap();
        assert_eq!(integrations.len(), 1);
        let echo = &integrations[0];
        assert_eq!((echo.kind.as_str(), echo.weight, echo.fallback, echo.timeout_seconds), ("echo", 1, false, 30));
        assert_eq!(logged(&live).await, ["create_bot"]);
    })
    .await;
}

#[tokio::test]
async fn a_bot_is_listed_changed_and_deleted_with_its_integrations() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let mut ids = Vec::new();
        for name in ["a", "b", "c"] {
            world.advance(1);
            ids.push(live.create_bot(new_bot(name), by("create")).await.unwrap().id);
        }
        let page = live.bots(PageRequest { page: 1, per_page: 2 }).await.unwrap();
        assert_eq!((page.rows[0].id, page.rows[1].id, page.rows.len(), page.total), (ids[2], ids[1], 2, 3));

        let now = world.advance(1);
        let change = BotChange { greeting: Some(None), context_messages: Some(3), ..Default::default() };
        let changed = live.update_bot(ids[0], change, by("update")).await.unwrap();
        assert_eq!(format!("{:?}", live.bot(ids[0]).await.unwrap()), format!("{changed:?}"));
        assert_eq!((changed.name.as_str(), changed.greeting.as_deref(), changed.context_messages), ("a", None, 3));
        assert_eq!((changed.updated_at, changed.architecture.as_str()), (now, "text"));

        let echo = live.integrations(ids[0]).await.unwrap()[0].id;
        live.delete_bot(ids[0], by("delete")).await.unwrap();
        assert!(matches!(live.bot(ids[0]).await, Err(StoreError::NotFound)));
        assert!(matches!(live.integration(echo).await, Err(StoreError::NotFound)));
        assert!(matches!(live.delete_bot(ids[0], by("delete")).await, Err(StoreError::NotFound)));
        assert_eq!(live.bots(FIRST).await.unwrap().total, 2);
    })
    .await;
}

#[tokio::test]
async fn a_deleted_bots_conversations_stay_readable() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let bot = live.create_bot(new_bot("a"), by("create")).await.unwrap().id;
        let new = NewConversation {
            channel_id: None,
            bot,
            channel: "session".to_owned(),
            key: None,
            user_identifier: None,
            metadata: None,
        };
        let conversation = live.create_conversation(new.clone()).await.unwrap().id;
        live.append_message(conversation, "user", "hello", "complete", None).await.unwrap();
        live.delete_bot(bot, by("delete")).await.unwrap();
        assert_eq!(live.conversation(conversation).await.unwrap().bot, bot);
        assert_eq!(live.messages(conversation, FIRST).await.unwrap().total, 1);
        assert!(matches!(live.create_conversation(new).await, Err(StoreError::NotFound)), "and no new one begins");
    })
    .await;
}

#[tokio::test]
async fn an_integration_comes_back_as_it_was_made_and_changed() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let bot = live.create_bot(new_bot("a"), by("create")).await.unwrap().id;
        let made = live.create_integration(new_integration(bot, 1), by("create_integration")).await.unwrap();
        assert_eq!(format!("{:?}", live.integration(made.id).await.unwrap()), format!("{made:?}"));
        assert_eq!((made.headers_sealed.clone(), made.fallback), (Some(vec![0, 255, 1]), true));
        assert_eq!(live.integrations(bot).await.unwrap()[1].id, made.id, "the oldest first");

        let change = IntegrationChange { weight: Some(0), fallback: Some(false), ..Default::default() };
        let changed = live.update_integration(made.id, change, by("update")).await.unwrap();
        assert_eq!(format!("{:?}", live.integration(made.id).await.unwrap()), format!("{changed:?}"));
        assert_eq!(changed.headers_sealed, made.headers_sealed, "headers stay when they are not named");
        let change = IntegrationChange { headers: Some((None, vec![])), ..Default::default() };
        let changed = live.update_integration(made.id, change, by("update")).await.unwrap();
        assert_eq!((changed.headers_sealed, changed.header_names.len(), changed.weight), (None, 0, 0));

        live.delete_integration(made.id, by("delete")).await.unwrap();
        assert!(matches!(live.delete_integration(made.id, by("delete")).await, Err(StoreError::NotFound)));
        assert_eq!(live.integrations(bot).await.unwrap().len(), 1);
    })
    .await;
}
