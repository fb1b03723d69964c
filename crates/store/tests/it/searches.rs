//! Words that are looked for in conversations.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ambient::{Clock, ConversationId, Millis, SeededRandom, SystemClock};
use store::{ContactFilter, ConversationFilter, FoundConversations, NewContact, NewConversation, Store, Workspace};

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

#[tokio::test]
async fn letters_that_are_ascii_in_lower_case_are_found_as_such() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        let all = talked(world, &live, 1, (1, "\u{212a}ELVIN in \u{130}ZM\u{130}R, ni\u{307}ce")).await;
        for words in ["kelvin", "Kelvin", "\u{212a}elvin", "izmir", "\u{130}zmir", "i\u{307}zmi", "IZM", "nice", "k"] {
            assert_eq!(ids(&search(&live, words, None).await), all, "{words}");
        }
        talked(world, &test, 1, (1, "Kelvin, Izmir")).await;
        for words in ["\u{212a}elvin", "\u{130}zm\u{130}r", "i\u{307}z"] {
            assert_eq!(search(&test, words, None).await.rows.len(), 1, "{words}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_long_conversation_is_searched_100_messages_at_a_time_and_no_further_than_needed() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let all = talked(world, &live, 1, (450, "Grüsse")).await;
        let statements = async |words: &str| {
            let before = world.store.reads();
            let found = ids(&search(&live, words, None).await);
            (found.len(), world.store.reads() - before)
        };
        assert_eq!(statements("nothing").await, (0, 1 + 5), "the list, and 100 messages five times");
        assert_eq!(statements("word").await, (1, 1 + 1), "it is in the newest of them");
        assert_eq!(statements("grüsse").await, (1, 1 + 5 + 1), "what is found in the first ones is read, and no other");
        assert_eq!(statements(&all[0].to_string()).await, (1, 1));
    })
    .await;
}

/// The quickest of three searches that find nothing.
async fn quickest(search: impl AsyncFn() -> usize) -> Duration {
    let clock = SystemClock::new();
    let mut quickest = Duration::MAX;
    for _ in 0..3 {
        let began = clock.elapsed();
        assert_eq!(search().await, 0);
        quickest = quickest.min(clock.elapsed().saturating_sub(began));
    }
    quickest
}

/// Like each of the texts but for an end, which a database that compares it at each of their characters finds out late.
#[tokio::test]
async fn no_words_take_long_to_look_for() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        talked(world, &live, 1, (100, "other")).await;
        run(&world.url, &format!("UPDATE messages SET content = '{}'", "a".repeat(10_000))).await;
        let plain = quickest(async || search(&live, "b", None).await.rows.len()).await;
        for words in [format!("{}b", "a".repeat(31)), format!("b{}", "a".repeat(199))] {
            let took = quickest(async || search(&live, &words, None).await.rows.len()).await;
            assert!(took < plain * 6, "{took:?} instead of {plain:?}: {words}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_part_of_a_contact_takes_long_to_look_for() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        for _ in 0..5 {
            live.create_contact(NewContact::default(), by("create")).await.unwrap();
        }
        let more = "INSERT INTO contacts (workspace_id, environment, id, custom_fields, search, created_at, updated_at)
            SELECT one.workspace_id, one.environment, one.id || two.id || three.id || four.id, '{}', '', 0, 0
            FROM contacts AS one CROSS JOIN contacts AS two CROSS JOIN contacts AS three CROSS JOIN contacts AS four";
        run(&world.url, more).await;
        run(&world.url, &format!("UPDATE contacts SET search = '{}'", "a".repeat(2_000))).await;
        let count = async |part: &str| {
            let filter = ContactFilter { search: Some(part.to_owned()), ..ContactFilter::default() };
            usize::try_from(live.contact_count(&filter).await.unwrap()).unwrap()
        };
        assert_eq!(count("A").await, 630);
        let plain = quickest(async || count("b").await).await;
        let part = format!("{}b", "a".repeat(199));
        let took = quickest(async || count(&part).await).await;
        assert!(took < plain * 10 + Duration::from_millis(50), "{took:?} instead of {plain:?}");
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
