//! How often keys were used: by key, by day, or both.

use std::collections::{BTreeSet, HashMap};

use access::{Access, Limit, Role, Scope};
use ambient::{KeyId, Millis};
use gate::{Call, List, Operation, PageQuery, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{UsageFilter, UsageGroup, UsageRecord};

use crate::App;

pub(crate) const GET_USAGE: Operation<UsageQuery, List<UsageRow>> = Operation::get(
    "/v1/usage",
    "get_usage",
    "Show how often keys were used, by key and day (UTC). The last minute may be missing; a crash loses at most that.",
    Access::closed(Limit::Read).member(Role::Member).key(Scope::UsageRead),
);

const DAY: i64 = 86_400_000;
/// The days that are shown when nobody says which.
const USUAL_DAYS: i64 = 30;
/// As long as usage is kept.
const MOST_DAYS: i64 = 400;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(GET_USAGE, get_usage);
}

/// Which days and keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct UsageQuery {
    /// The first day, `2026-01-31`; 29 days before the last one by default.
    #[schemars(regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), extend("format" = "date"))]
    from: Option<String>,
    /// The last day, included; today by default. At most 400 days from the first.
    #[schemars(regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), extend("format" = "date"))]
    to: Option<String>,
    /// Of this key alone.
    key_id: Option<KeyId>,
    /// What a row is: `key` sums up its days, `day` the keys; by default each key on each day. Of one day or one month,
    /// from its first day to its last, `key` is as fast with very many keys.
    group: Option<Group>,
    /// Which page, from 1 to 1,000,000.
    #[schemars(range(min = 1, max = 1_000_000))]
    page: Option<u32>,
    /// How many rows: 20 by default, 100 at most.
    #[schemars(range(min = 1, max = 100))]
    per_page: Option<u32>,
}

/// What a row of usage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Group {
    /// A key, the most used one first.
    Key,
    /// A day, the newest first.
    Day,
}

/// How often.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct UsageRow {
    /// On which day, UTC; `null` where days are summed up.
    day: Option<String>,
    /// Which key; `null` where keys are summed up.
    key_id: Option<KeyId>,
    /// What the key is called, for whoever may list keys; `null` for others, where keys are summed up, and of a key that
    /// is not there.
    key_name: Option<String>,
    /// Requests that were let in.
    requests: u64,
    /// Requests that were refused although the key was right: its scopes, its budgets, where it came from.
    refused: u64,
}

impl UsageRow {
    fn new(record: UsageRecord, names: &HashMap<KeyId, String>) -> Self {
        let UsageRecord { day, key, requests, refused } = record;
        let key_name = key.and_then(|key| names.get(&key).cloned());
        Self { day: day.map(written), key_id: key, key_name, requests, refused }
    }
}

/// Days as they are written: `2026-01-31`.
fn written(day: i64) -> String {
    Millis(day.saturating_mul(DAY)).to_string().chars().take_while(|c| *c != 'T').collect()
}

fn read_day(text: &str) -> Option<i64> {
    let at: Millis = format!("{text}T00:00:00Z").parse().ok()?;
    let day = at.0.div_euclid(DAY);
    (written(day) == text).then_some(day)
}

impl UsageQuery {
    fn filter(&self, now: Millis) -> Result<UsageFilter, Problem> {
        let read = |name: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => read_day(text)
                .map(Some)
                .ok_or_else(|| Problem::invalid_request(format!("The query parameter `{name}` is a day, 2026-01-31"))),
        };
        let to = read("to", &self.to)?.unwrap_or_else(|| now.0.div_euclid(DAY));
        let from = read("from", &self.from)?.unwrap_or(to - USUAL_DAYS + 1);
        if from > to || to - from >= MOST_DAYS {
            return Err(Problem::invalid_request(format!(
                "The query parameter `from` is a day before `to`, or the same, and {MOST_DAYS} days are the most"
            )));
        }
        Ok(UsageFilter { from, to, key: self.key_id })
    }
}

async fn get_usage(app: App, call: Call<UsageQuery>) -> Result<List<UsageRow>, Problem> {
    let UsageQuery { page, per_page, .. } = call.input;
    let request = PageQuery { page, per_page }.request()?;
    let filter = call.input.filter(call.request.now)?;
    let group = match call.input.group {
        None => UsageGroup::Neither,
        Some(Group::Key) => UsageGroup::Key,
        Some(Group::Day) => UsageGroup::Day,
    };
    let data = app.workspace(&call)?;
    let found = data.usage(filter, group, request).await?;
    let mut names = HashMap::new();
    if call.request.may(&call.caller, "list_api_keys") {
        let keys: BTreeSet<KeyId> = found.rows.iter().filter_map(|row| row.key).collect();
        names.extend(data.names_of_keys(&Vec::from_iter(keys)).await?);
    }
    Ok(List::of(found, request, |record| UsageRow::new(record, &names)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01, and a minute.
    const NOW: Millis = Millis(1_767_225_660_000);

    fn days(from: Option<&str>, to: Option<&str>) -> Option<(String, String)> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let query = UsageQuery { from: own(from), to: own(to), ..UsageQuery::default() };
        query.filter(NOW).ok().map(|filter| (written(filter.from), written(filter.to)))
    }

    #[test]
    fn days_are_thirty_until_today_unless_somebody_says_which() {
        let shown = |from: &str, to: &str| Some((from.to_owned(), to.to_owned()));
        assert_eq!(days(None, None), shown("2025-12-03", "2026-01-01"));
        assert_eq!(days(None, Some("2024-02-29")), shown("2024-01-31", "2024-02-29"));
        assert_eq!(days(Some("2025-11-28"), None), shown("2025-11-28", "2026-01-01"), "400 days are the most");
        assert_eq!(days(Some("2024-11-28"), Some("2026-01-01")), shown("2024-11-28", "2026-01-01"));
        assert_eq!(days(Some("2024-11-27"), Some("2026-01-01")), None);
        assert_eq!(days(Some("2026-01-02"), None), None, "the other way round");
        for wrong in ["2026-02-29", "2026-1-1", "2026-01-01T00:00:00Z", "today", "", "2026-01-01 "] {
            assert_eq!(days(Some(wrong), None), None, "{wrong:?}");
        }
    }
}
