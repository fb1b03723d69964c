//! Usage: how often keys were used, by day and by key.

use access::Role;
use api::App;
use askama::Template;
use gate::{Ask, Call, Operation, Problem, Raw, Routes};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    desk::Desk,
    frame::Frame,
    page,
    show::{Paged, Pager},
};

const SHOW_USAGE: Operation<UsageQuery, Raw> =
    page("/_/usage", "show_usage_page", "How often keys were used, by day and by key.", Role::Member);

/// The days that are shown when nobody says which, and the most of them.
const USUAL_DAYS: i32 = 30;
const MOST_DAYS: i32 = 400;

/// As many days of keys are added up for a page.
const MOST_ADDED: u64 = 5_000;

/// The chart, in its own units.
const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 160.0;

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(SHOW_USAGE, show_usage);
}

/// Which days and keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct UsageQuery {
    /// Which page of keys, from 1.
    page: Option<u32>,
    /// The first day, `2026-01-31`.
    from: Option<String>,
    /// The last day, included.
    to: Option<String>,
    /// Of this key alone.
    key_id: Option<String>,
}

impl UsageQuery {
    fn key(&self) -> &str {
        self.key_id.as_deref().unwrap_or_default().trim()
    }

    /// What is no day, or too many of them, is today and the 29 before it.
    fn days(&self, today: Date) -> (Date, Date) {
        let read = |text: &Option<String>| text.as_deref().and_then(|text| text.trim().parse::<Date>().ok());
        let to = read(&self.to).unwrap_or(today);
        let usual = to.checked_sub(jiff::Span::new().days(USUAL_DAYS - 1)).unwrap_or(to);
        let from = read(&self.from).filter(|from| (0..MOST_DAYS).contains(&between(*from, to)));
        (from.unwrap_or(usual), to)
    }
}

/// Days from one to the other.
fn between(from: Date, to: Date) -> i32 {
    from.until(to).map_or(-1, |span| span.get_days())
}

/// A row, as the API says.
#[derive(Clone, Debug, Deserialize)]
struct Row {
    day: Option<String>,
    key_id: Option<String>,
    key_name: Option<String>,
    requests: u64,
    refused: u64,
}

/// A key with its name.
struct KeyRow {
    id: String,
    name: String,
    requests: u64,
    refused: u64,
}

/// A day's bar: what was let in, and on top what was refused.
#[derive(Debug, PartialEq)]
struct Bar {
    x: String,
    width: String,
    y: String,
    height: String,
    bad_y: String,
    bad_height: String,
    said: String,
}

fn float(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// A bar for each day that has something.
fn bars(rows: &[Row], from: Date, to: Date) -> Vec<Bar> {
    let most = rows.iter().map(|row| row.requests + row.refused).max().unwrap_or(0).max(1);
    let slot = WIDTH / f64::from(between(from, to) + 1);
    let tall = |number: u64| float(number) / float(most) * HEIGHT;
    let bar = |row: &Row| {
        let day = row.day.as_deref()?;
        let (good, bad) = (tall(row.requests), tall(row.refused));
        Some(Bar {
            x: format!("{:.1}", slot * f64::from(between(from, day.parse().ok()?)) + slot * 0.1),
            width: format!("{:.1}", slot * 0.8),
            y: format!("{:.1}", HEIGHT - good),
            height: format!("{good:.1}"),
            bad_y: format!("{:.1}", HEIGHT - good - bad),
            bad_height: format!("{bad:.1}"),
            said: format!("{day}: {} requests, {} refused", row.requests, row.refused),
        })
    };
    rows.iter().filter_map(bar).collect()
}

#[derive(Template)]
#[template(path = "workspace/usage.html")]
struct UsagePage<'a> {
    frame: Frame,
    from: String,
    to: String,
    key: &'a str,
    days: Vec<Row>,
    bars: Vec<Bar>,
    requests: u64,
    refused: u64,
    keys: Vec<KeyRow>,
    /// The days that keys are added up for, where they are others: there are too many of both.
    month: Option<(Date, Date)>,
    pager: Pager,
}

/// The month in which something happened last.
fn last_month(days: &[Row], to: Date) -> (Date, Date) {
    let last = days.first().and_then(|row| row.day.as_deref()?.parse().ok()).unwrap_or(to);
    (last.first_of_month(), last.last_of_month())
}

async fn show_usage(_: App, call: Call<UsageQuery>) -> Result<Raw, Problem> {
    let desk = Desk::open(&call).await?;
    let now = Timestamp::from_millisecond(call.request.now.0).map_err(Problem::unavailable)?;
    let (from, to) = call.input.days(now.to_zoned(TimeZone::UTC).date());
    let ask_of = |(from, to): (Date, Date)| {
        let key = Some(call.input.key());
        Ask::to("get_usage").query("from", from).query("to", to).query_if("key_id", key)
    };
    let ask = || ask_of((from, to));
    let mut days: Vec<Row> = Vec::new();
    for page in 1..=4_u32 {
        let part: Paged<Row> = desk.get(ask().query("group", "day").query("per_page", 100).query("page", page)).await?;
        days.extend(part.data);
        if page >= u32::try_from(part.meta.last()).unwrap_or(1) {
            break;
        }
    }
    let (first, last) = (from.to_string(), to.to_string());
    let others = [("from", first.as_str()), ("to", last.as_str()), ("key_id", call.input.key())];
    let mut month = None;
    if call.input.key().is_empty() && from != to {
        let each: Paged<Row> = desk.get(ask().query("per_page", 1)).await?;
        month = (each.meta.total > MOST_ADDED).then(|| last_month(&days, to)).filter(|month| *month != (from, to));
    }
    let by_key = ask_of(month.unwrap_or((from, to))).query("group", "key");
    let (rows, pager) = desk.list::<Row>(by_key, call.input.page, "/_/usage", &others).await?;
    let key = |row: Row| {
        let id = row.key_id?;
        Some(KeyRow {
            name: row.key_name.unwrap_or_else(|| id.clone()),
            id,
            requests: row.requests,
            refused: row.refused,
        })
    };
    let keys = rows.into_iter().filter_map(key).collect();
    desk.render(&UsagePage {
        frame: desk.frame("Usage", "show_usage_page"),
        key: call.input.key(),
        bars: bars(&days, from, to),
        requests: days.iter().map(|row| row.requests).sum(),
        refused: days.iter().map(|row| row.refused).sum(),
        days,
        keys,
        month,
        pager,
        from: first,
        to: last,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{desk::Me, show::PagedMeta};

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn thirty_days_are_shown_unless_somebody_names_others() {
        let days = |from: Option<&str>, to: Option<&str>| {
            let (from, to) = (from.map(str::to_owned), to.map(str::to_owned));
            let (from, to) = UsageQuery { from, to, ..UsageQuery::default() }.days(date("2026-01-31"));
            (from.to_string(), to.to_string())
        };
        let shown = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        assert_eq!(days(None, None), shown("2026-01-02", "2026-01-31"));
        assert_eq!(days(Some("2025-12-31"), Some("2026-01-01")), shown("2025-12-31", "2026-01-01"));
        assert_eq!(days(Some("2026-02-01"), None), shown("2026-01-02", "2026-01-31"), "the other way round");
        assert_eq!(days(Some("2024-01-01"), Some("x")), shown("2026-01-02", "2026-01-31"), "too many, and no day");
    }

    #[test]
    fn the_last_month_is_that_of_the_last_use() {
        let row = |day: &str| Row { day: Some(day.to_owned()), key_id: None, key_name: None, requests: 1, refused: 0 };
        let days = [row("2024-02-29"), row("2024-01-31")];
        assert_eq!(last_month(&days, date("2024-05-01")), (date("2024-02-01"), date("2024-02-29")));
        assert_eq!(last_month(&[], date("2024-05-07")), (date("2024-05-01"), date("2024-05-31")));
    }

    #[test]
    fn the_table_of_keys_names_its_month_where_that_is_not_what_was_chosen() {
        let me =
            Me { id: String::new(), email: "ada@people.example".to_owned(), name: String::new(), role: Role::Owner };
        let caption = |month| {
            let page = UsagePage {
                frame: Frame {
                    title: "Usage".to_owned(),
                    menu: Vec::new(),
                    me: me.clone(),
                    workspace: String::new(),
                    is_test: false,
                    theme: "auto",
                    done: None,
                    path: String::new(),
                    nonce: String::new(),
                    now: ambient::Millis(0),
                },
                from: "2026-01-02".to_owned(),
                to: "2026-01-31".to_owned(),
                key: "",
                days: vec![Row {
                    day: Some("2026-01-04".into()),
                    key_id: None,
                    key_name: None,
                    requests: 1,
                    refused: 0,
                }],
                bars: Vec::new(),
                requests: 1,
                refused: 0,
                keys: Vec::new(),
                month,
                pager: Pager::new(PagedMeta { page: 1, per_page: 25, total: 0, capped: false }, "/_/usage", &[]),
            };
            let text = page.render().unwrap();
            text.rsplit_once("<caption>").unwrap().1.split('<').next().unwrap().to_owned()
        };
        assert_eq!(caption(None), "The most used first");
        let month = (date("2026-01-01"), date("2026-01-31"));
        assert_eq!(caption(Some(month)), "The most used first, from 2026-01-01 to 2026-01-31 alone");
    }

    #[test]
    fn a_bar_stands_on_its_day_and_refusals_stand_on_it() {
        let row = |day: &str, requests, refused| Row {
            day: Some(day.to_owned()),
            key_id: None,
            key_name: None,
            requests,
            refused,
        };
        let bars = bars(&[row("2026-01-04", 30, 10), row("2026-01-01", 20, 0)], date("2026-01-01"), date("2026-01-04"));
        assert_eq!((bars[0].x.as_str(), bars[0].width.as_str()), ("620.0", "160.0"));
        assert_eq!((bars[0].y.as_str(), bars[0].height.as_str()), ("40.0", "120.0"));
        assert_eq!((bars[0].bad_y.as_str(), bars[0].bad_height.as_str()), ("0.0", "40.0"));
        assert_eq!((bars[1].x.as_str(), bars[1].y.as_str()), ("20.0", "80.0"));
    }
}
