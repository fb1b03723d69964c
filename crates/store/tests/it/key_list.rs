use access::KeyKind;
use ambient::KeyId;
use credential::key::Family;
use sqlx::{Connection, Row};
use store::{
    EXPIRING_MS, KeyChange, KeyFilter, KeyOrder, KeyRecord, KeyStatus, NewKey, PageRequest, SecretUse,
    ServiceAccountChange, Workspace,
};

use crate::databases::{
    FIRST, START, World, by, connect, digest, new_account, new_key, on_each, run, secret, test_key,
};

async fn listed(of: &Workspace, filter: KeyFilter) -> Vec<String> {
    let page = of.keys(FIRST, filter.clone()).await.unwrap();
    assert_eq!(page.total, page.rows.len() as u64, "{filter:?}");
    let second = of.keys(PageRequest { page: 2, per_page: 1 }, filter).await.unwrap();
    assert_eq!(second.rows.first().map(|key| key.id), page.rows.get(1).map(|key| key.id));
    page.rows.into_iter().map(|key| key.name).collect()
}

fn named(n: u8, name: &str) -> NewKey {
    NewKey { name: name.to_owned(), ..new_key(n) }
}

/// Later than what was made before.
async fn made(world: &World, of: &Workspace, new: NewKey) -> KeyRecord {
    world.advance(1);
    of.create_key(new, by("create")).await.unwrap()
}

async fn used(world: &World, of: &Workspace, key: KeyId, n: u8, at: i64) {
    let report = SecretUse {
        tenant: of.tenant(),
        key,
        digest: digest(n),
        last_used_at: START.plus(at),
        last_used_ip: None,
        uses: 1,
        refused: 0,
        hour: 0,
    };
    world.store.record_uses(&[report]).await.unwrap();
}

#[tokio::test]
async fn keys_are_sorted_either_way_by_age_name_end_and_last_use() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        let (theirs, _) = world.tenant("theirs").await;
        theirs.create_key(named(9, "theirs"), by("create")).await.unwrap();
        let ends = |n, name: &str, at: i64| NewKey { expires_at: Some(START.plus(at)), ..named(n, name) };
        let mut ids = Vec::new();
        for new in [
            ends(1, "Ärger", 9_000),
            named(2, "beta"),
            ends(3, "Alpha", 5_000),
            NewKey { name: "Zeta".into(), ..test_key(4) },
        ] {
            world.advance(1);
            ids.push(live.create_key(new, by("create")).await.unwrap().id);
        }
        let expires_at = world.advance(0).plus(60_000);
        used(world, &live, ids[1], 2, 50_000).await;
        live.rotate_key(ids[1], secret(5), expires_at, false, by("rotate")).await.unwrap();
        used(world, &live, ids[1], 5, 30_000).await;
        used(world, &live, ids[0], 1, 40_000).await;
        let order = |order, reversed| KeyFilter { order, reversed, ..KeyFilter::default() };
        for (by, expected) in [
            (KeyOrder::Created, ["Zeta", "Alpha", "beta", "Ärger"]),
            (KeyOrder::Name, ["Alpha", "beta", "Zeta", "Ärger"]),
            (KeyOrder::Expires, ["Alpha", "Ärger", "beta", "Zeta"]),
            (KeyOrder::LastUsed, ["beta", "Ärger", "Zeta", "Alpha"]),
        ] {
            assert_eq!(listed(&live, order(by, false)).await, expected, "{by:?}");
            let mut backwards = expected;
            backwards.reverse();
            assert_eq!(listed(&live, order(by, true)).await, backwards, "{by:?} backwards");
            for (reversed, expected) in [(false, expected), (true, backwards)] {
                let few = KeyFilter { kind: Some(KeyKind::Secret), ..order(by, reversed) };
                assert_eq!(listed(&live, few).await, expected, "{by:?}, found and then sorted");
            }
            assert_eq!(listed(&test, order(by, false)).await, ["Zeta"], "a test tenant sees the test key");
        }
        let page = live.keys(FIRST, order(KeyOrder::LastUsed, false)).await.unwrap();
        assert_eq!(page.rows[0].secrets.len(), 2, "the newest and the one in its grace");
    })
    .await;
}

#[tokio::test]
async fn keys_are_found_by_name_id_and_how_they_are_shown() {
    on_each(async |world| {
        let (live, test) = world.tenant("ours").await;
        let one = made(world, &live, named(1, "Website ÄPFEL 50%")).await;
        let two = made(world, &live, named(2, "CRM sync")).await;
        made(world, &live, NewKey { name: "CRM test".into(), ..test_key(3) }).await;
        let words = |words: &str| KeyFilter { words: Some(words.to_owned()), ..KeyFilter::default() };
        for (asked, expected) in [
            (" website äpfel ", vec!["Website ÄPFEL 50%"]),
            ("crm", vec!["CRM test", "CRM sync"]),
            ("crm s", vec!["CRM sync"]),
            ("äpfel", vec![]),
            ("%", vec![]),
            ("key_", vec![]),
            ("", vec!["CRM test", "CRM sync", "Website ÄPFEL 50%"]),
            (&two.id.to_string(), vec!["CRM sync"]),
            (&two.id.to_string().to_uppercase(), vec!["CRM sync"]),
            (&one.secrets[0].display.clone(), vec!["Website ÄPFEL 50%"]),
        ] {
            assert_eq!(listed(&live, words(asked)).await, expected, "{asked:?}");
        }
        assert_eq!(listed(&test, words("crm")).await, ["CRM test"]);
        let change = KeyChange { name: Some("Shop".to_owned()), ..KeyChange::default() };
        live.update_key(one.id, change, by("update")).await.unwrap();
        assert_eq!(listed(&live, words("shop")).await, ["Shop"]);
        assert!(listed(&live, words("web")).await.is_empty(), "its name of before");
        let (theirs, _) = world.tenant("theirs").await;
        assert!(listed(&theirs, words(&two.id.to_string())).await.is_empty());
        assert!(listed(&theirs, words(&two.secrets[0].display)).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn keys_are_filtered_by_kind_account_and_how_they_stand() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let owner = live.create_service_account(new_account("a"), by("create")).await.unwrap().id;
        let ends = |n, name: &str, at: i64| NewKey { expires_at: Some(START.plus(at)), ..named(n, name) };
        made(world, &live, ends(1, "over", 10)).await;
        made(world, &live, ends(2, "near", EXPIRING_MS)).await;
        made(world, &live, ends(3, "far", EXPIRING_MS + 60_000)).await;
        let gone = made(world, &live, ends(4, "gone", 10)).await.id;
        let widget = NewKey { kind: KeyKind::Widget, family: Family::Widget, ..named(5, "widget") };
        made(world, &live, widget).await;
        made(world, &live, NewKey { service_account: Some(owner), ..named(6, "owned") }).await;
        live.revoke_key(gone, world.advance(0), by("revoke")).await.unwrap();
        world.advance(10);
        let of = |status| KeyFilter { status: Some(status), ..KeyFilter::default() };
        assert_eq!(listed(&live, of(KeyStatus::Revoked)).await, ["gone"]);
        assert_eq!(listed(&live, of(KeyStatus::Expired)).await, ["over"]);
        assert_eq!(listed(&live, of(KeyStatus::Expiring)).await, ["near"]);
        assert_eq!(listed(&live, of(KeyStatus::Active)).await, ["owned", "widget", "far"]);
        assert!(listed(&live, of(KeyStatus::Disabled)).await.is_empty());
        let disable =
            ServiceAccountChange { disabled_at: Some(Some(world.advance(0))), ..ServiceAccountChange::default() };
        live.update_service_account(owner, disable, by("update")).await.unwrap();
        assert_eq!(listed(&live, of(KeyStatus::Disabled)).await, ["owned"]);
        let kind = KeyFilter { kind: Some(KeyKind::Widget), ..KeyFilter::default() };
        assert_eq!(listed(&live, kind).await, ["widget"]);
        let owned = KeyFilter { service_account: Some(owner), ..KeyFilter::default() };
        assert_eq!(listed(&live, owned.clone()).await, ["owned"]);
        assert_eq!(listed(&live, KeyFilter { order: KeyOrder::Name, ..owned.clone() }).await, ["owned"]);
        assert!(listed(&live, KeyFilter { status: Some(KeyStatus::Active), ..owned }).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_is_rare_among_very_many_names_that_begin_alike_is_found() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let owner = live.create_service_account(new_account("a"), by("create")).await.unwrap().id;
        let one = made(world, &live, named(1, "Seed one")).await.id;
        run(
            &world.url,
            &format!(
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1001)
                INSERT INTO api_keys (workspace_id, id, environment, kind, family, name, scopes, settings, created_by,
                    created_at, updated_at, epoch, version, folded_name)
                SELECT workspace_id, 'key_0000000000000000' || (1000000000 + n), environment, kind, family,
                    'Seed ' || n, scopes, settings, created_by, created_at, updated_at, 0, 1, 'seed ' || n
                FROM api_keys CROSS JOIN n WHERE id = '{one}'"
            ),
        )
        .await;
        let two = made(world, &live, named(2, "Seed two")).await.id;
        let other = made(world, &live, named(3, "Other")).await.id;
        made(world, &live, NewKey { expires_at: Some(START.plus(10)), ..named(4, "Seed over") }).await;
        made(world, &live, NewKey { service_account: Some(owner), ..named(5, "Seed owned") }).await;
        made(world, &live, NewKey { kind: KeyKind::Widget, family: Family::Widget, ..named(6, "Seed widget") }).await;
        for id in [one, two, other] {
            live.revoke_key(id, world.advance(0), by("revoke")).await.unwrap();
        }
        world.advance(10);
        let seed = KeyFilter { words: Some("seed".to_owned()), ..KeyFilter::default() };
        let of = |status| KeyFilter { status: Some(status), ..seed.clone() };
        assert_eq!(listed(&live, of(KeyStatus::Revoked)).await, ["Seed two", "Seed one"]);
        let backwards = KeyFilter { reversed: true, ..of(KeyStatus::Revoked) };
        assert_eq!(listed(&live, backwards).await, ["Seed one", "Seed two"]);
        let by_name = KeyFilter { order: KeyOrder::Name, ..of(KeyStatus::Revoked) };
        assert_eq!(listed(&live, by_name).await, ["Seed one", "Seed two"]);
        assert_eq!(listed(&live, of(KeyStatus::Expired)).await, ["Seed over"]);
        assert!(listed(&live, of(KeyStatus::Disabled)).await.is_empty());
        let kind = KeyFilter { kind: Some(KeyKind::Widget), ..seed.clone() };
        assert_eq!(listed(&live, kind).await, ["Seed widget"]);
        let owned = KeyFilter { service_account: Some(owner), ..seed.clone() };
        assert_eq!(listed(&live, owned).await, ["Seed owned"]);
        assert_eq!(live.keys(FIRST, seed).await.unwrap().total, 1_006);
    })
    .await;
}

/// The first step of each list's plan walks an index in its order, and reads nothing besides.
#[tokio::test]
async fn lists_of_keys_walk_their_indexes() {
    on_each(async |world| {
        if world.store.backend() != "sqlite" {
            return;
        }
        let mut connection = connect(&world.url).await;
        for (name, index) in [
            ("found_key_count", "COVERING INDEX api_keys_by_"),
            ("named_key_count", "COVERING INDEX api_keys_by_name (workspace_id=? AND folded_name>? AND folded_name<?)"),
            ("named_keys", "INDEX api_keys_by_name (workspace_id=? AND folded_name>? AND folded_name<?)"),
            ("named_keys_reversed", "INDEX api_keys_by_name (workspace_id=? AND folded_name>? AND folded_name<?)"),
            ("exact_key_count", "(workspace_id=? AND id=? AND environment=?)"),
            ("exact_keys", "(workspace_id=? AND id=? AND environment=?)"),
            ("owned_key_count", "INDEX api_keys_by_service_account (workspace_id=? AND service_account_id=?)"),
            ("owned_keys", "INDEX api_keys_by_service_account (workspace_id=? AND service_account_id=?)"),
            ("revoked_key_count", "COVERING INDEX api_keys_revoked"),
            ("revoked_keys", "INDEX api_keys_revoked"),
            ("ending_key_count", "INDEX api_keys_by_expiry (workspace_id=? AND <expr>>? AND <expr><?)"),
            ("ending_keys", "INDEX api_keys_by_expiry (workspace_id=? AND <expr>>? AND <expr><?)"),
            ("disabled_key_count", "INDEX api_keys_by_service_account (workspace_id=? AND service_account_id=?)"),
            ("disabled_keys", "INDEX api_keys_by_service_account (workspace_id=? AND service_account_id=?)"),
            ("key_count_of_kind", "COVERING INDEX api_keys_by_kind (workspace_id=? AND kind=?)"),
            ("keys_of_kind", "INDEX api_keys_by_kind (workspace_id=? AND kind=?)"),
            ("key_count_of_test", "COVERING INDEX api_keys_of_test"),
            ("keys_of_test", "INDEX api_keys_of_test"),
            ("owned_keys_by_age", "INDEX api_keys_by_service_account (workspace_id=? AND service_account_id=?)"),
            (
                "owned_keys_by_age_reversed",
                "INDEX api_keys_by_service_account (workspace_id=? AND service_account_id=?)",
            ),
            ("revoked_keys_by_age", "COVERING INDEX api_keys_revoked"),
            ("revoked_keys_by_age_reversed", "COVERING INDEX api_keys_revoked"),
            ("keys_of_kind_by_age", "INDEX api_keys_by_kind (workspace_id=? AND kind=?)"),
            ("keys_of_kind_by_age_reversed", "INDEX api_keys_by_kind (workspace_id=? AND kind=?)"),
            ("keys_of_test_by_age", "COVERING INDEX api_keys_of_test"),
            ("keys_of_test_by_age_reversed", "COVERING INDEX api_keys_of_test"),
            ("keys_by_age", "COVERING INDEX api_keys_by_workspace"),
            ("keys_by_age_reversed", "COVERING INDEX api_keys_by_workspace"),
            ("keys_by_name", "COVERING INDEX api_keys_by_name"),
            ("keys_by_name_reversed", "COVERING INDEX api_keys_by_name"),
            ("keys_by_expiry", "INDEX api_keys_by_expiry"),
            ("keys_by_expiry_reversed", "INDEX api_keys_by_expiry"),
            ("keys_by_use", "INDEX api_key_secrets_by_use"),
            ("keys_by_use_reversed", "INDEX api_key_secrets_by_use"),
        ] {
            let sql = store::catalogue::all().into_iter().find(|statement| statement.name == name).unwrap().sql;
            let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
            let plan: Vec<String> =
                plan.fetch_all(&mut connection).await.unwrap().iter().map(|row| row.get("detail")).collect();
            let walk = plan.iter().position(|step| step.contains(index));
            assert!(walk.is_some_and(|walk| walk <= 2), "{name}: {plan:#?}");
            let sorts = plan.iter().filter(|step| step.contains("TEMP B-TREE FOR ORDER BY")).count();
            assert!(
                sorts <= if name.contains("_by_age") || name.starts_with("keys_by") { 1 } else { 2 },
                "{name} sorts more than its page: {plan:#?}"
            );
        }
        connection.close().await.unwrap();
    })
    .await;
}
