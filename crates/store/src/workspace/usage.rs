use ambient::KeyId;

use super::{Workspace, limits};
use crate::{
    catalogue::{
        Statement,
        usage::{self as sql, KEYS_OF_HOURS},
    },
    error::StoreError,
    keyring::first_day_kept,
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

impl UsageFilter {
    /// Whether it is one month, from its first day to its last one.
    fn is_month(&self) -> bool {
        (27..31).contains(&self.to.saturating_sub(self.from))
            && month_of(self.from) == self.from
            && month_of(self.to + 1) == self.to + 1
    }
}

/// The first day of the month that a day is in, both since 1970-01-01. Months are counted from March, in eras of 400
/// years, so that a leap day is the last one of its year.
pub(crate) const fn month_of(day: i64) -> i64 {
    let of_era = (day + 719_468).rem_euclid(146_097);
    let years = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    day - of_year + (153 * ((5 * of_year + 2) / 153) + 2) / 5
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
    /// Days of all keys, and the keys of one day or of one month that is kept whole, are read from their sums.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn usage(
        &self,
        filter: UsageFilter,
        group: UsageGroup,
        page: PageRequest,
    ) -> Result<Page<UsageRecord>, StoreError> {
        let days = |statement: &Statement| self.own(statement).count(filter.from).count(filter.to);
        let of = |statement: &Statement| self.own(statement).count(filter.from);
        let (rows, total, is_summed) = match (group, filter.key) {
            (UsageGroup::Neither, None) => (limits(days(&sql::USAGE), page), days(&sql::USAGE_COUNT), false),
            (UsageGroup::Day, None) => (limits(days(&sql::USAGE_BY_DAY), page), days(&sql::USAGE_BY_DAY_COUNT), false),
            (UsageGroup::Neither | UsageGroup::Day, Some(key)) => {
                (limits(days(&sql::USAGE_OF_KEY), page).id(key), days(&sql::USAGE_COUNT_OF_KEY).id(key), false)
            }
            (UsageGroup::Key, Some(key)) => (
                limits(days(&sql::USAGE_BY_KEY_OF_KEY), page).id(key),
                days(&sql::USAGE_BY_KEY_COUNT_OF_KEY).id(key),
                true,
            ),
            (UsageGroup::Key, None) if filter.from == filter.to => {
                (limits(of(&sql::USAGE_BY_KEY_OF_DAY), page), of(&sql::USAGE_BY_KEY_OF_DAY_COUNT), false)
            }
            (UsageGroup::Key, None) if filter.is_month() && filter.from >= first_day_kept(self.store.now()) => {
                (limits(of(&sql::USAGE_BY_KEY_OF_MONTH), page), of(&sql::USAGE_BY_KEY_OF_MONTH_COUNT), false)
            }
            (UsageGroup::Key, None) => (limits(days(&sql::USAGE_BY_KEY), page), days(&sql::USAGE_BY_KEY_COUNT), true),
        };
        let rows = self.store.rows(rows).await?;
        let counted = match rows.first() {
            Some(first) if is_summed => first.count("total")?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_on_their_first_day() {
        // 1970-01-01, 1970-02-01, 2000-02-01 and -03-01, 2026-01-01 and -12-01, 2100-03-01.
        for (first, days) in [(0, 31), (31, 28), (10_988, 29), (11_017, 31), (20_454, 31), (20_788, 31), (47_541, 31)] {
            for day in first..first + days {
                assert_eq!(month_of(day), first, "{day}");
            }
            assert_ne!(month_of(first - 1), first);
            let of = |from, to| UsageFilter { from, to, key: None }.is_month();
            assert!(of(first, first + days - 1), "{first}");
            assert!(!of(first, first + days) && !of(first, first + days - 2) && !of(first + 1, first + days));
        }
    }
}
