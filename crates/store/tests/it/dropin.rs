use ambient::{BotId, KeyId, Ulid};
use store::{NamedConversation, NewWorkspace, StoreError, Workspace};

use crate::databases::{World, by, new_bot, on_each};

async fn begun(world: &World) -> (Workspace, BotId) {
    let (live, _) = world.tenant("ours").await;
    let bot = live.create_bot(new_bot("a"), by("create")).await.unwrap().id;
    (live, bot)
}

#[tokio::test]
async fn a_name_is_one_conversation_also_when_two_ask_at_once() {
    on_each(async |world| {
        let (live, bot) = begun(world).await;
        let ask = || live.conversation_by_name("static", "visitor", bot, None);
        let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
        let ids = [a.unwrap(), b.unwrap(), c.unwrap(), d.unwrap()];
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(live.named_conversations("static", 10).await.unwrap().total, 1);
        assert!(live.has_named("static", "visitor").await.unwrap());
        for (owner, name) in
            [("static", "visitors"), ("static", "visito"), ("key_1", "visitor"), ("", "static:visitor")]
        {
            assert!(!live.has_named(owner, name).await.unwrap(), "{owner} {name}");
        }
        let other = live.conversation_by_name("key_1", "visitor", bot, Some(KeyId(Ulid(1)))).await.unwrap();
        assert_ne!(other, ids[0], "the names of two owners are two names");
        assert_eq!(live.conversation(other).await.unwrap().key, Some(KeyId(Ulid(1))));
    })
    .await;
}

#[tokio::test]
async fn a_name_outlives_its_conversation_its_end_and_its_bot() {
    on_each(async |world| {
        let (live, bot) = begun(world).await;
        let first = live.conversation_by_name("static", "v", bot, None).await.unwrap();
        live.delete_conversation(first, by("delete")).await.unwrap();
        let second = live.conversation_by_name("static", "v", bot, None).await.unwrap();
        assert_ne!(first, second, "a deleted conversation does not come back");
        live.end_conversation(second, world.advance(1), by("end")).await.unwrap();
        assert_eq!(live.conversation_by_name("static", "v", bot, None).await.unwrap(), second);
        live.append_message(second, "user", "again", "complete", None).await.unwrap();
        let heir = live.create_bot(new_bot("b"), by("create")).await.unwrap().id;
        live.delete_bot(bot, by("delete")).await.unwrap();
        assert!(matches!(live.conversation_by_name("static", "new", bot, None).await, Err(StoreError::NotFound)));
        assert_eq!(live.conversation_by_name("static", "v", heir, None).await.unwrap(), second);
        assert_eq!(live.conversation(second).await.unwrap().bot, heir);
        assert!(matches!(live.conversation_by_name("static", "v", bot, None).await, Err(StoreError::NotFound)));
    })
    .await;
}

#[tokio::test]
async fn another_tenant_has_names_and_bots_of_its_own() {
    on_each(async |world| {
        let (ours, bot) = begun(world).await;
        let (theirs, test) = world.tenant("theirs").await;
        let id = ours.conversation_by_name("static", "v", bot, None).await.unwrap();
        for tenant in [theirs, test] {
            assert!(matches!(tenant.conversation_by_name("static", "v", bot, None).await, Err(StoreError::NotFound)));
            assert!(matches!(tenant.named_conversation("static", id).await, Err(StoreError::NotFound)));
            assert_eq!(tenant.named_conversations("static", 10).await.unwrap().total, 0);
            assert_eq!(tenant.oldest_bot().await.unwrap(), None);
        }
        world.advance(1);
        ours.create_bot(new_bot("b"), by("create")).await.unwrap();
        assert_eq!(ours.oldest_bot().await.unwrap(), Some(bot));
    })
    .await;
}

#[tokio::test]
async fn named_conversations_are_those_of_the_owner_and_the_last_updated_comes_first() {
    on_each(async |world| {
        let (live, bot) = begun(world).await;
        let mut ids = Vec::new();
        for name in ["a", "b:c", "~"] {
            world.advance(1);
            ids.push(live.conversation_by_name("static", name, bot, None).await.unwrap());
        }
        for owner in ["static2", "stati", "statics", "key_1"] {
            live.conversation_by_name(owner, "a", bot, None).await.unwrap();
        }
        world.advance(1);
        live.append_message(ids[0], "user", "one", "complete", None).await.unwrap();
        world.advance(1);
        live.append_message(ids[0], "assistant", &"ü".repeat(501), "complete", None).await.unwrap();
        let page = live.named_conversations("static", 2).await.unwrap();
        let names: Vec<_> = page.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!((names, page.total), (vec!["a", "~"], 3));
        assert_eq!((page.rows[0].last_message.clone(), page.rows[1].last_message.as_str()), ("ü".repeat(500), ""));
        assert_eq!(page.rows[0].updated_at, page.rows[0].created_at.plus(4));
        let one: NamedConversation = live.named_conversation("static", ids[1]).await.unwrap();
        assert_eq!((one.id, one.name.as_str()), (ids[1], "b:c"));
        assert!(matches!(live.named_conversation("key_1", ids[1]).await, Err(StoreError::NotFound)));
    })
    .await;
}

#[tokio::test]
async fn a_workspace_without_an_owner_is_taken_over_once() {
    on_each(async |world| {
        let store = &world.store;
        let named = |name: &str| NewWorkspace { name: name.to_owned() };
        let unowned = store.create_unowned_workspace(named("Default"), by("start")).await.unwrap();
        assert_eq!((store.workspace_count().await.unwrap(), store.member_count().await.unwrap()), (1, 0));
        for (name, same) in [("Acme", true), ("Later", false)] {
            world.advance(1);
            store.set_meta("setup", "digest").await.unwrap();
            let owner = store::NewMember {
                email: format!("{name}@example.com"),
                name: String::new(),
                password_hash: "x".to_owned(),
            };
            let (workspace, _) = store.create_workspace(named(name), owner, Some("setup"), by("setup")).await.unwrap();
            assert_eq!((workspace.id == unowned.id, workspace.created_at == unowned.created_at || !same), (same, true));
        }
        assert_eq!(store.default_workspace().await.unwrap().unwrap().name, "Acme");
        assert_eq!((store.workspace_count().await.unwrap(), store.member_count().await.unwrap()), (2, 2));
    })
    .await;
}
