use ambient::{BotId, KeyId, MessageId, Millis, Ulid};
use store::{ConversationRecord, NewConversation, PageRequest, StoreError, Workspace};

use crate::databases::{FIRST, World, by, logged, new_bot, on_each};

fn with(bot: BotId) -> NewConversation {
    NewConversation {
        channel_id: None,
        bot,
        channel: "session".to_owned(),
        key: None,
        user_identifier: None,
        metadata: None,
    }
}

async fn begun(world: &World) -> (Workspace, ConversationRecord) {
    let (live, _) = world.tenant("ours").await;
    let bot = live.create_bot(new_bot("a"), by("create")).await.unwrap().id;
    let conversation = live.create_conversation(with(bot)).await.unwrap();
    (live, conversation)
}

#[tokio::test]
async fn a_conversation_comes_back_as_it_was_opened() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let bot = live.create_bot(new_bot("a"), by("create")).await.unwrap().id;
        let new = NewConversation {
            channel_id: None,
            key: Some(KeyId(Ulid(1))),
            user_identifier: Some("user-1".to_owned()),
            metadata: Some(serde_json::json!({"plan": "pro"})),
            ..with(bot)
        };
        let made = live.create_conversation(new).await.unwrap();
        assert_eq!(format!("{:?}", live.conversation(made.id).await.unwrap()), format!("{made:?}"));
    })
    .await;
}

#[tokio::test]
async fn conversations_are_listed_by_bot_and_newest_first() {
    on_each(async |world| {
        let (live, first) = begun(world).await;
        world.advance(1);
        let other = live.create_bot(new_bot("b"), by("create")).await.unwrap().id;
        let second = live.create_conversation(with(other)).await.unwrap();
        world.advance(1);
        let third = live.create_conversation(with(first.bot)).await.unwrap();
        let ids = |page: store::Page<ConversationRecord>| {
            (page.rows.iter().map(|row| row.id).collect::<Vec<_>>(), page.total)
        };
        let all = live.conversations(FIRST, None).await.unwrap();
        assert_eq!(ids(all), (vec![third.id, second.id, first.id], 3));
        let second_page = live.conversations(PageRequest { page: 2, per_page: 1 }, Some(first.bot)).await.unwrap();
        assert_eq!(ids(second_page), (vec![first.id], 2));
    })
    .await;
}

#[tokio::test]
async fn messages_have_places_without_gaps_also_when_they_come_at_once() {
    on_each(async |world| {
        let (live, conversation) = begun(world).await;
        let say = |text: &'static str| live.append_message(conversation.id, "user", text, "complete", Some(2));
        let said = tokio::join!(say("a"), say("b"), say("c"), say("d"));
        let mut places: Vec<u64> =
            [said.0, said.1, said.2, said.3].into_iter().map(|message| message.unwrap().position).collect();
        places.sort_unstable();
        assert_eq!(places, [1, 2, 3, 4]);
        let now = world.advance(7);
        let last = live.append_message(conversation.id, "assistant", "e", "partial", None).await.unwrap();
        let read = live.conversation(conversation.id).await.unwrap();
        assert_eq!((read.message_count, read.updated_at), (5, now));
        let page = live.messages(conversation.id, PageRequest { page: 2, per_page: 3 }).await.unwrap();
        assert_eq!((page.rows.len(), page.total, page.rows[0].position), (2, 5, 4));
        assert_eq!(format!("{:?}", page.rows[1]), format!("{last:?}"));
        assert_eq!((last.role.as_str(), last.status.as_str(), last.token_count), ("assistant", "partial", None));
    })
    .await;
}

#[tokio::test]
async fn a_message_with_a_key_is_stored_once_in_its_conversation() {
    on_each(async |world| {
        let (live, conversation) = begun(world).await;
        let say = |text: &'static str| live.append_message_once(conversation.id, text, Some(1), "k-1");
        let said = tokio::join!(say("a"), say("b"));
        let (stored, refused) = match said {
            (Ok(stored), Err(refused)) | (Err(refused), Ok(stored)) => (stored, refused),
            both => panic!("{both:?}"),
        };
        assert!(matches!(refused, StoreError::Conflict("client_key")), "{refused:?}");
        assert_eq!(live.conversation(conversation.id).await.unwrap().message_count, 1, "no place is lost");
        let found = live.message_by_client_key(conversation.id, "k-1").await.unwrap().unwrap();
        assert_eq!((found.id, found.role.as_str(), found.content), (stored.id, "user", stored.content));
        assert!(live.message_by_client_key(conversation.id, "k-2").await.unwrap().is_none());
        let other = NewConversation {
            channel_id: None,
            bot: conversation.bot,
            channel: "session".to_owned(),
            key: None,
            user_identifier: None,
            metadata: None,
        };
        let other = live.create_conversation(other).await.unwrap();
        assert!(live.message_by_client_key(other.id, "k-1").await.unwrap().is_none());
        live.append_message_once(other.id, "a", None, "k-1").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_last_messages_and_those_after_one_come_oldest_first() {
    on_each(async |world| {
        let (live, conversation) = begun(world).await;
        let mut ids = Vec::new();
        for text in ["a", "b", "c", "d"] {
            ids.push(live.append_message(conversation.id, "user", text, "complete", None).await.unwrap().id);
        }
        let texts = |rows: Vec<store::MessageRecord>| rows.into_iter().map(|row| row.content).collect::<String>();
        assert_eq!(texts(live.last_messages(conversation.id, 2).await.unwrap()), "cd");
        assert_eq!(texts(live.last_messages(conversation.id, 50).await.unwrap()), "abcd");
        assert_eq!(texts(live.messages_after(conversation.id, ids[0], 2).await.unwrap()), "bc");
        assert_eq!(texts(live.messages_after(conversation.id, ids[3], 2).await.unwrap()), "");
        let unknown = live.messages_after(conversation.id, MessageId(Ulid(1)), 2).await;
        assert!(matches!(unknown, Err(StoreError::NotFound)), "{unknown:?}");
    })
    .await;
}

#[tokio::test]
async fn the_last_messages_are_a_mebibyte_at_most_and_the_newest_of_them() {
    on_each(async |world| {
        let (live, conversation) = begun(world).await;
        // Half a mebibyte each, in characters of two bytes.
        let long = "ä".repeat(256 * 1024);
        for text in [&long, "a", &long, "b", "c", &long] {
            live.append_message(conversation.id, "assistant", text, "complete", None).await.unwrap();
        }
        let places = async |limit| -> Vec<u64> {
            live.last_messages(conversation.id, limit).await.unwrap().iter().map(|row| row.position).collect()
        };
        assert_eq!(places(100).await, [4, 5, 6], "with the third it would be two bytes more");
        assert_eq!(places(2).await, [5, 6]);
        let last = "b".repeat(1024 * 1024);
        live.append_message(conversation.id, "assistant", &last, "complete", None).await.unwrap();
        assert_eq!(places(100).await, [7]);
    })
    .await;
}

#[tokio::test]
async fn an_ended_conversation_takes_no_question_and_keeps_the_reply_that_was_running() {
    on_each(async |world| {
        let (live, conversation) = begun(world).await;
        live.append_message(conversation.id, "user", "a", "complete", None).await.unwrap();
        let now = world.advance(1);
        assert!(live.end_conversation(conversation.id, now, by("end")).await.unwrap());
        assert!(!live.end_conversation(conversation.id, now.plus(5), by("end")).await.unwrap());
        assert_eq!(live.audit(FIRST, Some("end")).await.unwrap().total, 1, "logged once");
        let read = live.conversation(conversation.id).await.unwrap();
        assert_eq!((read.ended_at, read.updated_at), (Some(now), now));
        let refused = live.append_message(conversation.id, "user", "b", "complete", None).await;
        assert!(matches!(refused, Err(StoreError::Conflict("ended"))), "{refused:?}");
        let reply = live.append_message(conversation.id, "assistant", "c", "partial", None).await.unwrap();
        assert_eq!(reply.position, 2, "the refused question took no place");
    })
    .await;
}

#[tokio::test]
async fn touching_moves_the_time_and_nothing_else() {
    on_each(async |world| {
        let (live, conversation) = begun(world).await;
        live.touch_conversation(conversation.id, Millis(9)).await.unwrap();
        let read = live.conversation(conversation.id).await.unwrap();
        assert_eq!((read.updated_at, read.created_at, read.ended_at), (Millis(9), conversation.created_at, None));
    })
    .await;
}

#[tokio::test]
async fn deleting_a_conversation_deletes_its_messages() {
    on_each(async |world| {
        let (live, conversation) = begun(world).await;
        live.append_message(conversation.id, "user", "a", "complete", None).await.unwrap();
        live.delete_conversation(conversation.id, by("delete_conversation")).await.unwrap();
        assert!(matches!(live.conversation(conversation.id).await, Err(StoreError::NotFound)));
        assert!(live.last_messages(conversation.id, 10).await.unwrap().is_empty());
        let again = live.delete_conversation(conversation.id, by("delete_conversation")).await;
        assert!(matches!(again, Err(StoreError::NotFound)), "{again:?}");
        assert_eq!(logged(&live).await.iter().filter(|action| *action == "delete_conversation").count(), 1);
    })
    .await;
}
