//! How often keys were used by the hour: what the bars beside a key show.

use std::collections::HashMap;

use access::{Access, Limit, Role, Scope};
use ambient::{KeyId, Millis};
use gate::{Call, Data, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::USAGE_HOURS;

use crate::App;

pub(crate) const GET_USAGE_HOURS: Operation<HoursQuery, Data<UsageHours>> = Operation::get(
    "/v1/usage/hours",
    "get_usage_hours",
    "Show how often keys were used in each of the last hours, this one included. The last minute may be missing.",
    Access::closed(Limit::Read).member(Role::Member).key(Scope::UsageRead),
);

const HOUR: i64 = 3_600_000;
/// The hours that are shown when nobody says how many.
const USUAL_HOURS: u32 = 36;
/// Keys that are asked for at once: as many as a page has.
const MOST_KEYS: usize = 100;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(GET_USAGE_HOURS, get_usage_hours);
}

/// Of which keys, and how many hours.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct HoursQuery {
    /// The keys' ids, at most 100, with commas between them.
    #[schemars(regex(pattern = r"^key_[0-7][0-9a-hjkmnp-tv-z]{25}(,key_[0-7][0-9a-hjkmnp-tv-z]{25}){0,99}$"))]
    key_ids: Option<String>,
    /// How many hours, 1 to 192: 36 by default.
    #[schemars(range(min = 1, max = 192))]
    hours: Option<u32>,
}

/// Use by the hour.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct UsageHours {
    /// When the first of the hours began.
    from: Millis,
    /// How many there are; the last one is this hour.
    hours: u32,
    /// The keys, in the order in which they were asked for. One that is not there, or not yours, was not used.
    keys: Vec<KeyHours>,
}

/// One key's use by the hour.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct KeyHours {
    /// Which key.
    key_id: KeyId,
    /// Requests that were let in, hour by hour.
    requests: Vec<u64>,
    /// Requests that were refused although the key was right, hour by hour.
    refused: Vec<u64>,
}

impl HoursQuery {
    fn keys(&self) -> Result<Vec<KeyId>, Problem> {
        let refuse = || {
            Problem::invalid_request(format!(
                "The query parameter `key_ids` is at most {MOST_KEYS} ids of keys with commas between them"
            ))
        };
        let Some(ids) = &self.key_ids else { return Ok(Vec::new()) };
        let keys: Result<Vec<KeyId>, _> = ids.split(',').map(|id| id.trim().parse()).collect();
        keys.ok().filter(|keys| keys.len() <= MOST_KEYS).ok_or_else(refuse)
    }

    fn hours(&self) -> Result<u32, Problem> {
        let hours = self.hours.unwrap_or(USUAL_HOURS);
        if !(1..=USAGE_HOURS).contains(&i64::from(hours)) {
            return Err(Problem::invalid_request(format!("The query parameter `hours` is 1 to {USAGE_HOURS}")));
        }
        Ok(hours)
    }
}

async fn get_usage_hours(app: App, call: Call<HoursQuery>) -> Result<Data<UsageHours>, Problem> {
    let (ids, hours) = (call.input.keys()?, call.input.hours()?);
    let last = call.request.now.0.div_euclid(HOUR);
    let first = last - i64::from(hours) + 1;
    let length = usize::try_from(hours).unwrap_or_default();
    let mut found: HashMap<KeyId, KeyHours> = HashMap::new();
    for row in app.workspace(&call)?.usage_hours(&ids, first, last).await? {
        let key = found.entry(row.key).or_insert_with(|| KeyHours::unused(row.key, length));
        let at = usize::try_from(row.hour - first).unwrap_or(usize::MAX);
        if let (Some(requests), Some(refused)) = (key.requests.get_mut(at), key.refused.get_mut(at)) {
            (*requests, *refused) = (row.requests, row.refused);
        }
    }
    let keys = ids.iter().map(|id| found.get(id).cloned().unwrap_or_else(|| KeyHours::unused(*id, length))).collect();
    Ok(Data::new(UsageHours { from: Millis(first.saturating_mul(HOUR)), hours, keys }))
}

impl KeyHours {
    fn unused(key_id: KeyId, hours: usize) -> Self {
        Self { key_id, requests: vec![0; hours], refused: vec![0; hours] }
    }
}

#[cfg(test)]
mod tests {
    use ambient::Ulid;

    use super::*;

    #[test]
    fn keys_are_named_once_each_with_commas_and_a_hundred_are_the_most() {
        let ids = |n: usize| vec![KeyId(Ulid(7)).to_string(); n].join(",");
        let read = |key_ids: String| HoursQuery { key_ids: Some(key_ids), hours: None }.keys();
        assert!(HoursQuery::default().keys().unwrap().is_empty());
        assert_eq!(read(ids(1)).unwrap(), [KeyId(Ulid(7))]);
        assert_eq!(read(ids(100)).unwrap().len(), 100);
        for wrong in [String::new(), ids(101), "key_1".to_owned(), format!("{},", ids(1)), "bot_1".to_owned()] {
            assert_eq!(read(wrong).unwrap_err().status().as_u16(), 400);
        }
    }

    #[test]
    fn hours_are_36_and_no_more_than_are_kept() {
        let read = |hours| HoursQuery { hours, ..HoursQuery::default() }.hours().ok();
        assert_eq!((read(None), read(Some(1)), read(Some(192))), (Some(36), Some(1), Some(192)));
        assert_eq!((read(Some(0)), read(Some(193))), (None, None));
    }
}
