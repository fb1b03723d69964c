//! Contacts among many: found through their indexes, counted exactly, and exported whole.

use ambient::ContactId;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use store::{Archived, ContactChange, ContactFilter, NewContact, Workspace, catalogue};

use crate::databases::{FIRST, World, by, connect, on_each, run};

/// So many contacts `person n` past the store, labelled `all`, and one in a thousand of them `rare`.
async fn fill(world: &World, tenant: &Workspace, count: u32) {
    let (workspace, environment) = (tenant.tenant().workspace, tenant.tenant().environment.as_str());
    let numbers = format!("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})");
    let id = "'con_0000000000000000' || (1000000000 + n)";
    let contacts = format!(
        "{numbers} INSERT INTO contacts
            (workspace_id, environment, id, name, email, custom_fields, search, created_at, updated_at)
        SELECT '{workspace}', '{environment}', {id}, 'person ' || n, 'P' || n || '@example.com', '{{}}',
            'person ' || n, 1, 1 FROM n"
    );
    let tags = |tag: &str, every: u32| {
        format!(
            "{numbers} INSERT INTO contact_tags (workspace_id, environment, tag, contact_id)
            SELECT '{workspace}', '{environment}', '{tag}', {id} FROM n WHERE n % {every} = 0"
        )
    };
    for sql in [contacts, tags("all", 1), tags("rare", 1000)] {
        run(&world.url, &sql).await;
    }
}

/// How the database goes about a statement of the catalogue.
pub(crate) async fn plan(world: &World, name: &str, arguments: &[&str]) -> String {
    let statement = catalogue::all().into_iter().find(|statement| statement.name == name).unwrap();
    // From the last, because `$1` begins `$10`.
    let filled = arguments
        .iter()
        .enumerate()
        .rev()
        .fold(statement.sql.to_owned(), |sql, (index, argument)| sql.replace(&format!("${}", index + 1), argument));
    let (explain, column) = match world.store.backend() {
        "sqlite" => ("EXPLAIN QUERY PLAN", "detail"),
        _ => ("EXPLAIN", "QUERY PLAN"),
    };
    let mut connection = connect(&world.url).await;
    let rows = connection.fetch_all(AssertSqlSafe(format!("{explain} {filled}"))).await.unwrap();
    connection.close().await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(column)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn an_address_and_a_label_are_found_through_their_indexes() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        fill(world, &live, 20_000).await;
        let workspace = format!("'{}'", live.tenant().workspace);
        let filter = |tags: [&'static str; 2], email: &'static str| {
            let asked = [workspace.as_str(), "'live'", "'false'", "''", tags[0], tags[1], "''", "''", "''"];
            let named = if email.is_empty() { Vec::new() } else { vec![email, "''"] };
            asked.into_iter().chain(named).collect::<Vec<_>>()
        };
        let is_sqlite = world.store.backend() == "sqlite";
        let through = |plan: &str, sqlite: &str, postgres: &str| {
            let index = if is_sqlite { sqlite } else { postgres };
            // All contacts, or those of the whole environment, one after the other.
            let all = ["SCAN contacts", "Seq Scan", "contacts_by_search (workspace_id=? AND environment=?)"];
            assert!(plan.contains(index) && !all.iter().any(|all| plan.contains(all)), "{plan}");
        };

        let email = || filter(["''", "''"], "'p7@example.com'");
        for (name, last) in [
            ("contacts_of_email", &["20", "0"][..]),
            ("contact_count_of_email", &[]),
            ("contacts_of_email_after", &["''", "20"]),
        ] {
            let found = plan(world, name, &[&email()[..], last].concat()).await;
            through(&found, "USING INDEX contacts_by_email (", "Index Scan using contacts_by_email ");
        }

        if !is_sqlite {
            run(&world.url, "ANALYZE contacts; ANALYZE contact_tags").await;
        }
        for tags in [["'rare'", "''"], ["'rare'", "'all'"]] {
            for (name, last) in [
                ("contacts_of_tags", &["20", "0"][..]),
                ("contact_count_of_tags", &[]),
                ("contacts_of_tags_after", &["''", "20"]),
            ] {
                let found = plan(world, name, &[&filter(tags, "")[..], last].concat()).await;
                let index = "SEARCH tagged USING COVERING INDEX sqlite_autoindex_contact_tags_1 (";
                through(&found, &format!("{index}workspace_id=? AND environment=? AND tag=?"), "contact_tags_pkey on");
            }
        }
        let found = plan(world, "contact_count_of_tag", &[&workspace, "'live'", "'false'", "'rare'"]).await;
        through(&found, "COVERING INDEX contacts_archived (", "using contacts_archived on");
        through(&found, "COVERING INDEX sqlite_autoindex_contact_tags_1 (", "contact_tags_pkey on");
    })
    .await;
}

fn tagged(tags: &[&str]) -> ContactFilter {
    ContactFilter { tags: tags.iter().map(|tag| (*tag).to_owned()).collect(), ..ContactFilter::default() }
}

async fn found(live: &Workspace, filter: &ContactFilter) -> u64 {
    let page = live.contacts(filter, FIRST).await.unwrap();
    let mut export = live.export_contacts(filter).await.unwrap();
    let mut exported = Vec::new();
    loop {
        let next = export.next().await.unwrap();
        if next.is_empty() {
            break;
        }
        exported.extend(next.iter().map(|contact| contact.id));
    }
    assert!(exported.is_sorted_by(|a, b| a < b), "each once, the oldest first");
    let newest: Vec<_> = exported.iter().rev().take(FIRST.per_page as usize).copied().collect();
    assert_eq!(page.rows.iter().map(|contact| contact.id).collect::<Vec<_>>(), newest, "{filter:?}");
    let counted = live.contact_count(filter).await.unwrap();
    assert_eq!((page.total, counted), (exported.len() as u64, exported.len() as u64), "{filter:?}");
    counted
}

#[tokio::test]
async fn labels_are_counted_exactly_however_they_are_asked_for() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        fill(world, &live, 5_500).await;
        let first = live.contacts(&tagged(&["rare"]), FIRST).await.unwrap().rows.pop().unwrap().id;
        let archive = ContactChange { archived: Some(true), ..ContactChange::default() };
        live.update_contact(first, archive, by("update_contact")).await.unwrap();
        let with = |tags: &[&str], search: &str, archived: Archived| ContactFilter {
            search: Some(search.to_owned()),
            archived,
            ..tagged(tags)
        };
        let expected = [
            (&["all"][..], "", [5_499, 1, 5_500]),
            (&["rare"], "", [4, 1, 5]),
            (&["all", "rare", "all"], "", [4, 1, 5]),
            (&["all"], "PERSON 1000", [0, 1, 1]),
            (&["all", "rare"], "person 2000", [1, 0, 1]),
            (&["rare"], "person", [4, 1, 5]),
            (&["all"], "person 99", [11, 0, 11]),
            (&["none"], "", [0, 0, 0]),
            (&["all", "none"], "person", [0, 0, 0]),
        ];
        for (tags, search, counts) in expected {
            for (archived, count) in [Archived::No, Archived::Only, Archived::Any].into_iter().zip(counts) {
                assert_eq!(found(&live, &with(tags, search, archived)).await, count, "{tags:?} {search} {archived:?}");
            }
        }
        let email = ContactFilter { email: Some("p7@EXAMPLE.com".to_owned()), ..tagged(&["all"]) };
        assert_eq!(found(&live, &email).await, 1);
        assert_eq!(found(&live, &ContactFilter { tags: vec!["rare".to_owned()], ..email }).await, 0);
    })
    .await;
}

#[tokio::test]
async fn an_export_ends_where_it_began() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        fill(world, &live, 150).await;
        let new = |name: &str| NewContact { name: Some(name.to_owned()), ..NewContact::default() };
        let last = live.create_contact(new("last"), by("create_contact")).await.unwrap().id;
        let mut export = live.export_contacts(&ContactFilter::default()).await.unwrap();
        let mut ids: Vec<ContactId> = export.next().await.unwrap().iter().map(|contact| contact.id).collect();
        world.advance(1);
        live.create_contact(new("late"), by("create_contact")).await.unwrap();
        loop {
            let next = export.next().await.unwrap();
            if next.is_empty() {
                break;
            }
            ids.extend(next.iter().map(|contact| contact.id));
        }
        assert_eq!((ids.len(), ids.last()), (151, Some(&last)));
        assert!(export.next().await.unwrap().is_empty(), "and it stays there");
    })
    .await;
}
