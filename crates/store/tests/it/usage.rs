use std::{collections::BTreeMap, sync::Arc};

use ambient::{Clock, KeyId, ManualClock, Millis, SeededRandom, Ulid};
use sqlx::Row;
use store::{PageRequest, SecretUse, Store, UsageFilter, UsageGroup, UsageRecord, Workspace};

use crate::databases::{FIRST, START, World, by, connect, digest, new_key, on_each, secret, test_key};

const TODAY: i64 = START.0 / 86_400_000;
const ALL: UsageFilter = UsageFilter { from: 0, to: i64::MAX, key: None };

fn report(of: &Workspace, key: KeyId, n: u8, (uses, refused): (u64, u64), day: i64) -> SecretUse {
    SecretUse {
        tenant: of.tenant(),
        key,
        digest: digest(n),
        last_used_at: Millis(day * 86_400_000 + 5),
        last_used_ip: None,
        uses,
        refused,
        hour: day * 24,
    }
}

async fn usage(of: &Workspace, filter: UsageFilter, group: UsageGroup) -> Vec<(Option<i64>, Option<KeyId>, u64, u64)> {
    let page = of.usage(filter, group, FIRST).await.unwrap();
    assert_eq!(page.total, page.rows.len() as u64);
    page.rows.into_iter().map(|UsageRecord { day, key, requests, refused }| (day, key, requests, refused)).collect()
}

/// Two live keys and a test key of one workspace, and a key of another.
async fn keys(world: &World) -> ([Workspace; 3], [KeyId; 4]) {
    let (live, test) = world.tenant("ours").await;
    let (theirs, _) = world.tenant("theirs").await;
    let ids = [
        live.create_key(new_key(1), by("create")).await.unwrap().id,
        live.create_key(new_key(2), by("create")).await.unwrap().id,
        live.create_key(test_key(3), by("create")).await.unwrap().id,
        theirs.create_key(new_key(4), by("create")).await.unwrap().id,
    ];
    ([live, test, theirs], ids)
}

#[tokio::test]
async fn requests_add_up_by_key_and_day_and_are_summed_up_either_way() {
    on_each(async |world| {
        let ([live, test, theirs], [one, two, of_test, other]) = keys(world).await;
        world
            .store
            .record_uses(&[
                report(&live, one, 1, (2, 0), TODAY),
                report(&live, one, 1, (3, 1), TODAY),
                report(&live, one, 1, (1, 0), TODAY - 1),
                report(&live, two, 2, (0, 4), TODAY),
                report(&test, of_test, 3, (7, 0), TODAY),
                report(&theirs, other, 4, (9, 0), TODAY),
            ])
            .await
            .unwrap();
        world.store.record_uses(&[report(&live, one, 1, (10, 1), TODAY)]).await.unwrap();
        let today = Some(TODAY);
        let mut both = usage(&live, ALL, UsageGroup::Neither).await;
        both.sort();
        let mut expected = [(Some(TODAY - 1), Some(one), 1, 0), (today, Some(one), 15, 2), (today, Some(two), 0, 4)];
        expected.sort();
        assert_eq!(both, expected);
        assert_eq!(usage(&live, ALL, UsageGroup::Key).await, [(None, Some(one), 16, 2), (None, Some(two), 0, 4)]);
        assert_eq!(
            usage(&live, ALL, UsageGroup::Day).await,
            [(today, None, 15, 6), (Some(TODAY - 1), None, 1, 0)],
            "the newest first"
        );
        let of_one = UsageFilter { from: TODAY, to: TODAY, key: Some(one) };
        assert_eq!(usage(&live, of_one, UsageGroup::Neither).await, [(today, Some(one), 15, 2)]);
        let before = UsageFilter { from: TODAY - 9, to: TODAY - 1, key: None };
        assert_eq!(usage(&live, before, UsageGroup::Key).await, [(None, Some(one), 1, 0)]);
        assert_eq!(usage(&test, ALL, UsageGroup::Key).await, [(None, Some(of_test), 7, 0)]);
        let foreign = UsageFilter { key: Some(other), ..ALL };
        assert!(usage(&live, foreign, UsageGroup::Neither).await.is_empty());
        assert_eq!(live.requests_of_day(one, TODAY).await.unwrap(), 15);
        assert_eq!(live.requests_of_day(other, TODAY).await.unwrap(), 0);
        let second = live.usage(ALL, UsageGroup::Neither, PageRequest { page: 2, per_page: 2 }).await.unwrap();
        assert_eq!((second.rows.len(), second.total), (1, 3));
    })
    .await;
}

#[tokio::test]
async fn many_keys_at_once_are_all_counted_and_refusals_are_no_uses() {
    on_each(async |world| {
        let (live, _) = world.tenant("ours").await;
        let id = |n: u128| KeyId(Ulid((u128::from(u32::MAX) << 90) + n));
        let reports: Vec<_> = (0..40).map(|n| report(&live, id(n), 200, (1, 0), TODAY)).collect();
        world.store.record_uses(&reports).await.unwrap();
        assert_eq!(usage(&live, ALL, UsageGroup::Day).await, [(Some(TODAY), None, 40, 0)]);
        let key = live.create_key(new_key(1), by("create")).await.unwrap().id;
        live.rotate_key(key, secret(2), START.plus(9), false, by("rotate")).await.unwrap();
        world
            .store
            .record_uses(&[report(&live, key, 1, (2, 0), TODAY), report(&live, key, 2, (0, 3), TODAY)])
            .await
            .unwrap();
        let of_key = UsageFilter { key: Some(key), ..ALL };
        assert_eq!(usage(&live, of_key, UsageGroup::Key).await, [(None, Some(key), 2, 3)], "of both secrets");
        let secrets = live.key(key).await.unwrap().secrets;
        assert_eq!((secrets[0].uses, secrets[0].last_used_at, secrets[1].uses), (0, None, 2));
    })
    .await;
}

#[tokio::test]
async fn usage_is_kept_for_400_days() {
    on_each(async |world| {
        let ([live, ..], [one, ..]) = keys(world).await;
        let reports = [report(&live, one, 1, (1, 0), TODAY - 400), report(&live, one, 1, (1, 0), TODAY - 401)];
        world.store.record_uses(&reports).await.unwrap();
        world.store.sweep(START).await.unwrap();
        assert_eq!(usage(&live, ALL, UsageGroup::Day).await, [(Some(TODAY - 400), None, 1, 0)]);
    })
    .await;
}

#[tokio::test]
async fn hours_are_counted_beside_the_days_and_forgotten_after_eight() {
    on_each(async |world| {
        let ([live, test, theirs], [one, two, of_test, other]) = keys(world).await;
        let at = |of: &Workspace, key, n, counts, hour| SecretUse { hour, ..report(of, key, n, counts, 0) };
        let hour = TODAY * 24 + 7;
        let uses = [
            at(&live, one, 1, (2, 0), hour),
            at(&live, one, 1, (3, 1), hour),
            at(&live, one, 1, (1, 0), hour - 1),
            at(&live, two, 2, (0, 4), hour),
            at(&test, of_test, 3, (7, 0), hour),
            at(&theirs, other, 4, (9, 0), hour),
        ];
        world.store.record_uses(&uses).await.unwrap();
        world.store.record_uses(&[at(&live, one, 1, (10, 0), hour)]).await.unwrap();
        let hours = async |of: &Workspace, keys: &[KeyId], from| {
            let mut found = of.usage_hours(keys, from, hour).await.unwrap();
            found.sort_by_key(|found| (found.key, found.hour));
            found.into_iter().map(|found| (found.key, found.hour, found.requests, found.refused)).collect::<Vec<_>>()
        };
        let many: Vec<KeyId> = (1..=30).map(|n| KeyId(Ulid(n))).chain([one, two, other]).collect();
        let mut expected = [(one, hour - 1, 1, 0), (one, hour, 15, 1), (two, hour, 0, 4)];
        expected.sort();
        assert_eq!(hours(&live, &many, hour - 1).await, expected);
        assert_eq!(hours(&live, &[one], hour).await, [(one, hour, 15, 1)]);
        assert_eq!(hours(&live, &[of_test], hour).await, [(of_test, hour, 7, 0)], "a live tenant sees test keys");
        assert!(hours(&test, &[one, two, other], 0).await.is_empty() && hours(&live, &[], 0).await.is_empty());
        let day = UsageFilter { from: TODAY, to: TODAY, key: Some(one) };
        assert_eq!(usage(&live, day, UsageGroup::Neither).await, [(Some(TODAY), Some(one), 16, 1)]);
        world.store.sweep(Millis((hour + 192) * 3_600_000)).await.unwrap();
        assert_eq!(hours(&live, &[one], 0).await, [(one, hour, 15, 1)], "the hour before is forgotten");
    })
    .await;
}

/// What the days of each key say, summed up.
async fn added<T: Ord>(of: &Workspace, filter: UsageFilter, by: impl Fn(&UsageRecord) -> T) -> BTreeMap<T, (u64, u64)> {
    let mut sums = BTreeMap::new();
    for page in 1.. {
        let found = of.usage(filter, UsageGroup::Neither, PageRequest { page, per_page: 100 }).await.unwrap();
        for row in &found.rows {
            let (requests, refused) = sums.entry(by(row)).or_insert((0, 0));
            *requests += row.requests;
            *refused += row.refused;
        }
        if found.rows.len() < 100 {
            break;
        }
    }
    sums
}

/// The same, as it is told.
async fn told<T: Ord>(
    of: &Workspace,
    (filter, group): (UsageFilter, UsageGroup),
    by: impl Fn(&UsageRecord) -> T,
) -> BTreeMap<T, (u64, u64)> {
    let found = of.usage(filter, group, FIRST).await.unwrap();
    assert_eq!(found.total, found.rows.len() as u64);
    found.rows.iter().map(|row| (by(row), (row.requests, row.refused))).collect()
}

/// 2025-12-01, 2026-01-01 and 2026-02-01.
const MONTHS: [i64; 3] = [TODAY - 31, TODAY, TODAY + 31];

#[tokio::test]
async fn sums_are_what_the_days_of_keys_add_up_to_also_with_two_who_write() {
    on_each(async |world| {
        let random = Arc::new(SeededRandom::new(2));
        let other = Store::open(&world.url, Arc::new(ManualClock::new(START)), random).await.unwrap();
        let (live, test) = world.tenant("ours").await;
        let id = |n: u128| KeyId(Ulid((u128::from(u32::MAX) << 90) + n));
        let reports = |part: u64| -> Vec<SecretUse> {
            let days = MONTHS.map(|first| [first - 1, first, first + 7]).concat();
            let each = days.into_iter().zip(0_u64..).flat_map(|(day, at)| (0..9_u64).map(move |n| (day, at, n)));
            each.map(|(day, at, n)| {
                let of = if n < 7 { &live } else { &test };
                report(of, id(u128::from(n)), 200, (part + at + n, part), day)
            })
            .collect()
        };
        for part in 0..5 {
            let (ours, theirs) = (reports(part), reports(part + 10));
            let (a, b) = tokio::join!(world.store.record_uses(&ours), other.record_uses(&theirs));
            assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
        }
        other.close().await;
        for (of, keys) in [(&live, 7), (&test, 2)] {
            let by_day = |row: &UsageRecord| row.day;
            assert_eq!(told(of, (ALL, UsageGroup::Day), by_day).await, added(of, ALL, by_day).await);
            let half = UsageFilter { from: TODAY - 1, to: TODAY, key: None };
            assert_eq!(told(of, (half, UsageGroup::Day), by_day).await.len(), 2);
            let by_key = |row: &UsageRecord| row.key;
            // Whole months, one day, and what is neither.
            let spans = [(MONTHS[0], MONTHS[1] - 1), (MONTHS[1], MONTHS[2] - 1), (TODAY, TODAY), (TODAY, TODAY + 31)];
            for (from, to) in spans {
                let span = UsageFilter { from, to, key: None };
                let sums = told(of, (span, UsageGroup::Key), by_key).await;
                assert_eq!(sums, added(of, span, by_key).await, "{from} to {to}");
                assert_eq!(sums.len(), keys);
                let place =
                    async |page| of.usage(span, UsageGroup::Key, PageRequest { page, per_page: 1 }).await.unwrap();
                let (most, next) = (place(1).await, place(2).await);
                assert!(most.rows[0].requests > next.rows[0].requests, "the most used first");
                assert_eq!(Some(&most.rows[0].requests), sums.values().map(|(requests, _)| requests).max());
                assert_eq!((most.total, next.total), (keys as u64, keys as u64));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_month_that_is_not_kept_whole_is_added_up_from_its_days() {
    on_each(async |world| {
        let ([live, ..], [one, ..]) = keys(world).await;
        let (month, last) = (UsageFilter { from: MONTHS[0], to: MONTHS[1] - 1, key: None }, MONTHS[1] - 1);
        let reports = [report(&live, one, 1, (1, 0), MONTHS[0]), report(&live, one, 1, (2, 1), last)];
        world.store.record_uses(&reports).await.unwrap();
        world.advance(u64::try_from((400 - 31) * 86_400_000_i64).unwrap());
        assert_eq!(usage(&live, month, UsageGroup::Key).await, [(None, Some(one), 3, 1)]);
        let whole = world.store.sweep(world.clock.now()).await;
        assert_eq!(usage(&live, month, UsageGroup::Key).await, [(None, Some(one), 3, 1)], "{whole:?}");
        let now = world.advance(86_400_000);
        world.store.sweep(now).await.unwrap();
        assert_eq!(usage(&live, month, UsageGroup::Key).await, [(None, Some(one), 2, 1)]);
        assert_eq!(usage(&live, month, UsageGroup::Day).await, [(Some(last), None, 2, 1)]);
        let months = "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM key_usage_months";
        let months = sqlx::query(months).fetch_one(&mut connect(&world.url).await).await.unwrap().get::<i64, _>("n");
        assert_eq!(months, 0, "it went with its first day");
    })
    .await;
}
