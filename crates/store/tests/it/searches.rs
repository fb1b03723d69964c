//! Words that are looked for in conversations.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ambient::{Clock, ConversationId, Millis, SeededRandom};
use store::{ConversationFilter, FoundConversations, NewConversation, Store, Workspace};

use crate::databases::{START, World, by, new_bot, on_each, run};

/// Conversations, each with so many messages; the first of them says something else.
async fn talked(world: &World, of: &Workspace, count: u64, (messages, first): (u64, &str)) -> Vec<ConversationId> {
    let bot = of.create_bot(new_bot("a"), by("create")).await.unwrap().id;
    let mut ids = Vec::new();
    for _ in 0..count {
        world.advance(1);
        let new = NewConversation {
            channel_id: None,
            bot,
            channel: "session".to_owned(),
            key: None,
            user_identifier: None,
            metadata: None,
        };
        ids.push(of.create_conversation(new).await.unwrap().id);
    }
    let (workspace, environment) = (of.tenant().workspace, of.tenant().environment.as_str());
    let sql = format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {messages})
        INSERT INTO messages (workspace_id, environment, conversation_id, position, id, role, content, status, created_at)
        SELECT workspace_id, environment, id, n, id || '_' || n, 'user', CASE n WHEN 1 THEN '{first}' ELSE 'word' END,
            'complete', 0
        FROM n CROSS JOIN conversations
        WHERE workspace_id = '{workspace}' AND environment = '{environment}' AND message_count = 0"
    );
    run(&world.url, &sql).await;
    let sql = format!("UPDATE conversations SET message_count = {messages} WHERE workspace_id = '{workspace}'");
    run(&world.url, &sql).await;
    ids.reverse();
    ids
}

async fn search(of: &Workspace, words: &str, before: Option<ConversationId>) -> FoundConversations {
    let filter = ConversationFilter { before, ..ConversationFilter::default() };
    of.search_conversations(words, &filter, 100).await.unwrap()
}

fn ids(found: &FoundConversations) -> Vec<ConversationId> {
    found.rows.iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn words_are_looked_for_in_the_newest_500_messages() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        let all = talked(world, &live, 2, (500, "GRÜSSE, 50% of_f")).await;
        let (others, _) = world.tenant("theirs").await;
        talked(world, &others, 1, (501, "Grüsse")).await;
        for words in ["grüsse", "Grüsse, 50%", "50% OF_F", "of_f", "%", "word"] {
            let found = search(&live, words, None).await;
            assert_eq!((ids(&found), found.next, found.is_cut), (all.clone(), None, false), "{words}");
            assert!(ids(&search(&test, words, None).await).is_empty());
        }
        // What the database finds of them is not all of them.
        for words in ["prüsse", "grüsse%", "of!f", "ofxf", "!"] {
            assert!(ids(&search(&live, words, None).await).is_empty(), "{words}");
        }
        assert!(ids(&search(&others, "grüsse", None).await).is_empty(), "it is the 501st");
        assert_eq!(ids(&search(&others, "WORD", None).await).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_search_ends_after_1000_conversations_or_10000_messages_and_goes_on_there() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        let all = talked(world, &live, 1_001, (1, "other")).await;
        let first = search(&live, "nothing", None).await;
        assert_eq!((first.rows.len(), first.next, first.is_cut), (0, Some(all[999]), true));
        let rest = search(&live, "other", first.next).await;
        assert_eq!((ids(&rest), rest.next, rest.is_cut), (vec![all[1_000]], None, false));
        let all = talked(world, &test, 21, (500, "other")).await;
        let first = search(&test, "other", None).await;
        assert_eq!((ids(&first), first.next, first.is_cut), (all[..20].to_vec(), Some(all[19]), true));
        assert_eq!(ids(&search(&test, "other", first.next).await), all[20..]);
    })
    .await;
}

/// Each look at it takes 6 ms.
struct Impatient(AtomicU64);

impl Clock for Impatient {
    fn now(&self) -> Millis {
        START
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(6, Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_search_that_takes_long_looks_at_some_and_goes_on_behind_them() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let all = talked(world, &live, 110, (3, "other")).await;
        let random = Arc::new(SeededRandom::new(2));
        let slow = Store::open(&world.url, Arc::new(Impatient(AtomicU64::new(0))), random).await.unwrap();
        let slow_live = slow.workspace(live.tenant());
        let (mut found, mut next, mut calls) = (Vec::new(), None, 0);
        loop {
            let part = search(&slow_live, "other", next).await;
            assert_eq!(part.is_cut, part.next.is_some());
            assert!(part.is_cut || part.rows.len() <= 25, "10 ms are two groups, and the first is always looked at");
            found.extend(ids(&part));
            (next, calls) = (part.next, calls + 1);
            if next.is_none() {
                break;
            }
        }
        assert_eq!((found, calls), (all, 5), "all of them, once, 25 at a time");
        slow.close().await;
    })
    .await;
}
