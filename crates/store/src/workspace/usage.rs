use ambient::KeyId;

use super::{Workspace, limits};
use crate::{
    catalogue::{
        Statement,
        usage::{self as sql, KEYS_OF_HOURS},
    },
    error::StoreError,
    record::{Page, PageRequest},
    row::Row,
};

/// What is summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageGroup {
    /// Nothing: each key on each day, the newest day first.
    #[default]
    Neither,
    /// The days of each key, the most used key first.
    Key,
    /// The keys of each day, the newest day first.
    Day,
}

/// Which days, the last one included, and of which key.
#[derive(Clone, Copy, Debug)]
pub struct UsageFilter {
    /// Whole days since 1970-01-01, UTC.
    pub from: i64,
    /// The last of them.
    pub to: i64,
    /// Of this key alone.
    pub key: Option<KeyId>,
}

/// How often a key was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageRecord {
    /// On which day; `None` where days are summed up.
    pub day: Option<i64>,
    /// Which key; `None` where keys are summed up.
    pub key: Option<KeyId>,
    /// Requests that were let in.
    pub requests: u64,
    /// Requests that were refused although the key was right.
    pub refused: u64,
}

/// How long the usage of keys is kept by the hour: 8 days.
pub const USAGE_HOURS: i64 = 8 * 24;

/// How often a key was used in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourRecord {
    /// Which key.
    pub key: KeyId,
    /// Whole hours since 1970-01-01T00, UTC.
    pub hour: i64,
    /// Requests that were let in.
    pub requests: u64,
    /// Requests that were refused although the key was right.
    pub refused: u64,
}

impl Workspace {
    /// How often each of these keys was used in the hours from one to another, in no order; hours without a request
    /// and keys that this tenant does not see are missing, and so is what is not written yet: a minute at most.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn usage_hours(&self, keys: &[KeyId], from: i64, to: i64) -> Result<Vec<HourRecord>, StoreError> {
        let mut hours = Vec::new();
        for chunk in keys.chunks(KEYS_OF_HOURS) {
            let mut bound = self.seen(&sql::HOURS).count(from).count(to);
            for index in 0..KEYS_OF_HOURS {
                bound = bound.text(chunk.get(index).map(ToString::to_string).unwrap_or_default());
            }
            for row in self.store.rows(bound).await? {
                hours.push(HourRecord {
                    key: row.id("key_id")?,
                    hour: row.count("hour")?,
                    requests: row.count("requests")?,
                    refused: row.count("refused")?,
                });
            }
        }
        Ok(hours)
    }

    /// How often keys of this environment were used, by day. What is not written yet is missing: a minute at most.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn usage(
        &self,
        filter: UsageFilter,
        group: UsageGroup,
        page: PageRequest,
    ) -> Result<Page<UsageRecord>, StoreError> {
        let [rows, of_key, total, total_of_key] = match group {
            UsageGroup::Neither => [&sql::USAGE, &sql::USAGE_OF_KEY, &sql::USAGE_COUNT, &sql::USAGE_COUNT_OF_KEY],
            UsageGroup::Key => [
                &sql::USAGE_BY_KEY,
                &sql::USAGE_BY_KEY_OF_KEY,
                &sql::USAGE_BY_KEY_COUNT,
                &sql::USAGE_BY_KEY_COUNT_OF_KEY,
            ],
            UsageGroup::Day => [
                &sql::USAGE_BY_DAY,
                &sql::USAGE_BY_DAY_OF_KEY,
                &sql::USAGE_BY_DAY_COUNT,
                &sql::USAGE_BY_DAY_COUNT_OF_KEY,
            ],
        };
        let days = |statement: &Statement| self.own(statement).count(filter.from).count(filter.to);
        let (rows, total) = match filter.key {
            None => (limits(days(rows), page), days(total)),
            Some(key) => (limits(days(of_key), page).id(key), days(total_of_key).id(key)),
        };
        let rows = self.store.rows(rows).await?;
        let counted = match rows.first() {
            Some(first) if group != UsageGroup::Neither => first.count("total")?,
            _ => self.store.total(total).await?,
        };
        let rows = rows.iter().map(|row| usage_record(row, group)).collect::<Result<_, _>>()?;
        Ok(Page::counted(rows, counted))
    }

    /// How many requests of a key were let in on a day, as far as it is written.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn requests_of_day(&self, key: KeyId, day: i64) -> Result<u64, StoreError> {
        self.store.total(sql::REQUESTS_OF_DAY.bound().id(self.tenant.workspace).id(key).count(day)).await
    }
}

fn usage_record(row: &Row, group: UsageGroup) -> Result<UsageRecord, StoreError> {
    Ok(UsageRecord {
        day: if group == UsageGroup::Key { None } else { Some(row.count("day")?) },
        key: if group == UsageGroup::Day { None } else { Some(row.id("key_id")?) },
        requests: row.count("requests")?,
        refused: row.count("refused")?,
    })
}
