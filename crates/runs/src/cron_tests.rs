use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000;

fn at(text: &str) -> Millis {
    text.parse().unwrap()
}

fn times(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(expression, zone).unwrap();
    schedule.upcoming(at(after), count).iter().map(|time| time.to_string().replace(":00.000Z", "Z")).collect()
}

#[test]
fn the_fields_of_cron_are_read_as_cron_reads_them() {
    let noon = "2026-11-22T12:00:00Z";
    assert_eq!(times("*/20 * * * *", "UTC", noon, 3), ["2026-11-22T12:20Z", "2026-11-22T12:40Z", "2026-11-22T13:00Z"]);
    assert_eq!(times("5,10-12 8 * * *", "UTC", noon, 2), ["2026-11-23T08:05Z", "2026-11-23T08:10Z"]);
    assert_eq!(
        times("0 0 1-31/15 JAN,mar *", "UTC", noon, 3),
        ["2027-01-01T00:00Z", "2027-01-16T00:00Z", "2027-01-31T00:00Z"]
    );
    assert_eq!(
        times("0 9 * * Mon-Fri", "UTC", "2026-11-20T09:00:00Z", 1),
        ["2026-11-23T09:00Z"],
        "over the week's end"
    );
    assert_eq!(times("0 9 * * 7", "UTC", "2026-11-22T09:00:00Z", 1), ["2026-11-29T09:00Z"], "7 is Sunday");
    assert_eq!(times("0 9 * * 5-7", "UTC", "2026-11-21T10:00:00Z", 1), ["2026-11-22T09:00Z"]);
    // The 13th, or any Friday; with a star in one of them, both must be so.
    assert_eq!(
        times("0 0 13 * 5", "UTC", "2026-11-08T00:00:00Z", 3),
        ["2026-11-13T00:00Z", "2026-11-20T00:00Z", "2026-11-27T00:00Z"]
    );
    assert_eq!(times("0 0 */13 * 5", "UTC", "2026-11-08T00:00:00Z", 1), ["2026-11-27T00:00Z"]);
    assert_eq!(times("@daily", "Asia/Kolkata", noon, 1), ["2026-11-22T18:30Z"]);
    assert_eq!(times("@hourly", "UTC", "2026-11-22T12:00:00.001Z", 1), ["2026-11-22T13:00Z"]);
    assert_eq!(times("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1), ["2104-02-29T00:00Z"]);
    for (short, long) in [("@weekly", "0 0 * * 0"), ("@monthly", "0 0 1 * *"), ("@yearly", "0 0 1 1 *")] {
        assert_eq!(times(short, "UTC", noon, 2), times(long, "UTC", noon, 2));
    }
}

#[test]
fn a_time_that_the_clocks_skip_is_due_when_they_do_and_one_that_they_show_twice_once() {
    // Berlin, 29 March 2026: from 02:00 to 03:00, at 01:00 UTC.
    let spring = "2026-03-28T12:00:00Z";
    assert_eq!(times("30 2 * * *", "Europe/Berlin", spring, 2), ["2026-03-29T01:00Z", "2026-03-30T00:30Z"]);
    assert_eq!(
        times("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 3),
        ["2026-03-29T00:30Z", "2026-03-29T01:00Z", "2026-03-29T01:30Z"],
        "those that are skipped are one with the first that is not"
    );
    // 25 October 2026: from 03:00 back to 02:00, at 01:00 UTC.
    let autumn = "2026-10-24T12:00:00Z";
    assert_eq!(times("30 2 * * *", "Europe/Berlin", autumn, 2), ["2026-10-25T00:30Z", "2026-10-26T01:30Z"]);
    assert_eq!(
        times("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 3),
        ["2026-10-25T00:00Z", "2026-10-25T02:00Z", "2026-10-25T03:00Z"]
    );
    // Half an hour, and a whole day.
    assert_eq!(times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 1), ["2026-10-03T15:30Z"]);
    assert_eq!(times("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", 1), ["2011-12-30T10:00Z"]);
}

#[test]
fn what_is_no_schedule_is_refused_with_a_sentence() {
    for wrong in [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "5/10 * * * *",
        "*/60 * * * *",
        "a * * * *",
        "-1 * * * *",
        "+1 * * * *",
        "1, * * * *",
        ", * * * *",
        "* * * * mon#2",
        "0 0 30 2 *",
        "0 0 31 4,6 *",
        "@reboot",
        "é * * * *",
        "1--2 * * * *",
        "* * * jan-13 *",
    ] {
        let Err(error) = Schedule::parse(wrong, "UTC") else { panic!("{wrong} was taken") };
        assert!(matches!(&error, ScheduleError::Expression(text) if text.ends_with('.')), "{wrong}: {error}");
    }
    assert!(Schedule::parse(&" ".repeat(201), "UTC").is_err());
    for wrong in ["", "Europe", "Berlin", "CET-1CEST", "+01:00", "../etc/passwd", "Etc/Unknown"] {
        assert_eq!(Schedule::parse("@daily", wrong).unwrap_err(), ScheduleError::Zone, "{wrong}");
    }
    assert_eq!(Schedule::parse("@daily", "europe/berlin").unwrap().zone(), "Europe/Berlin");
}

/// One field as a list of values, read by nobody but this file, and its text.
fn field(least: u32, most: u32) -> impl Strategy<Value = (String, Vec<u32>)> {
    prop_oneof![
        3 => Just(("*".to_owned(), (least..=most).collect())),
        2 => (least..=most).prop_map(|value| (value.to_string(), vec![value])),
        2 => (1..=most).prop_map(move |step| {
            (format!("*/{step}"), (least..=most).filter(|value| (value - least).is_multiple_of(step)).collect())
        }),
        2 => (least..=most, least..=most, 1..=3_u32).prop_map(|(a, b, step)| {
            let (first, last) = (a.min(b), a.max(b));
            (format!("{first}-{last}/{step}"), (first..=last).filter(|value| (value - first).is_multiple_of(step)).collect())
        }),
        1 => prop::collection::vec(least..=most, 1..4).prop_map(|values| {
            (values.iter().map(u32::to_string).collect::<Vec<_>>().join(","), values)
        }),
    ]
}

/// A field of days that most often names them all: else there is little to find in a few days.
fn days(least: u32, most: u32) -> impl Strategy<Value = (String, Vec<u32>)> {
    prop_oneof![4 => Just(("*".to_owned(), (least..=most).collect())), 1 => field(least, most)]
}

/// A place, and a day or two before its clocks change.
fn change() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(vec![
        ("Europe/Berlin", "2026-03-27T23:00:00Z"),
        ("Europe/Berlin", "2026-10-23T23:00:00Z"),
        ("America/New_York", "2026-03-07T00:00:00Z"),
        ("America/New_York", "2026-10-31T00:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-03T09:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-02T09:00:00Z"),
        ("America/Santiago", "2026-09-05T00:00:00Z"),
        ("Africa/Casablanca", "2026-02-14T00:00:00Z"),
        ("Pacific/Apia", "2011-12-29T00:00:00Z"),
        ("Asia/Kolkata", "2028-02-28T12:00:00Z"),
        ("UTC", "2027-12-31T00:00:00Z"),
    ])
}

/// Walks the clocks of a place minute by minute, and notes when they first show each minute, or skip it.
fn walk(zone: &str, from: Millis, minutes: i64, is_due: impl Fn(DateTime) -> bool) -> Vec<Millis> {
    let zone = TimeZone::get(zone).unwrap();
    let shown = |at: Millis| zone.to_datetime(Timestamp::from_millisecond(at.0).unwrap());
    let step = jiff::Span::new().minutes(1);
    // What was shown in the day before counts as seen.
    let mut seen: HashSet<DateTime> = (1..=1500).map(|back| shown(from.plus(-back * MINUTE))).collect();
    let (mut due, mut before) = (Vec::new(), shown(from.plus(-MINUTE)));
    for minute in 0..minutes {
        let now = from.plus(minute * MINUTE);
        let civil = shown(now);
        let mut fires = seen.insert(civil) && is_due(civil);
        let mut skipped = before.checked_add(step).unwrap();
        while skipped < civil {
            fires |= seen.insert(skipped) && is_due(skipped);
            skipped = skipped.checked_add(step).unwrap();
        }
        if fires {
            due.push(now);
        }
        before = civil;
    }
    due
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_time_is_the_one_that_a_walk_along_the_clocks_finds(
        minute in field(0, 59), hour in field(0, 23), day in days(1, 31), weekday in days(0, 7),
        (zone, start) in change(),
        offset in 0..2000_i64,
    ) {
        let expression = format!("{} {} {} * {}", minute.0, hour.0, day.0, weekday.0);
        let schedule = Schedule::parse(&expression, zone).unwrap();
        let from = at(start).plus(offset * MINUTE);
        let is_either = !day.0.starts_with('*') && !weekday.0.starts_with('*');
        let is_due = |civil: DateTime| {
            let of = |values: &[u32], value: i8| values.iter().any(|one| *one == u32::try_from(value).unwrap());
            let in_week = civil.weekday().to_sunday_zero_offset();
            let is_weekday = of(&weekday.1, in_week) || (in_week == 0 && of(&weekday.1, 7));
            let is_day = of(&day.1, civil.day());
            let is_day = if is_either { is_day || is_weekday } else { is_day && is_weekday };
            is_day && of(&hour.1, civil.hour()) && of(&minute.1, civil.minute())
        };
        let walked = walk(zone, from, 4000, is_due);
        let found = schedule.upcoming(from.plus(-1), walked.len());
        prop_assert_eq!(&found, &walked, "{} in {}", expression, zone);
        // Nothing more within the walk.
        let end = from.plus(4000 * MINUTE);
        let next = schedule.next_after(walked.last().copied().unwrap_or(from.plus(-1)));
        prop_assert!(next.is_none_or(|next| next >= end), "{:?}", next);
    }

    #[test]
    fn whatever_is_written_is_read_or_refused(expression in "[-0-9a-z*/,@ ]{0,30}", zone in "[A-Za-z/_]{0,20}", now: i64) {
        if let Ok(schedule) = Schedule::parse(&expression, &zone) {
            let _ = schedule.upcoming(Millis(now), 2);
        }
        if let Ok(schedule) = Schedule::parse(&expression, "America/New_York") {
            let next = schedule.next_after(Millis(now));
            prop_assert!(next.is_none_or(|next| next > Millis(now)));
        }
    }
}
