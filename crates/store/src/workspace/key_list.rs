use access::KeyKind;
use ambient::{KeyId, Millis, ServiceAccountId};
use credential::key::Environment;

use super::{Workspace, limits};
use crate::{
    catalogue::{Bound, Statement, key_list as list, keys as sql},
    error::StoreError,
    keyring::key_records,
    record::{KeyRecord, MAX_TOTAL, Page, PageRequest},
};

/// From this long before its end a key is `expiring`: 30 days, in milliseconds.
pub const EXPIRING_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// How a key stands, the first that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
    /// Its service account is disabled, or gone.
    Disabled,
    /// It works, and stops within [`EXPIRING_MS`].
    Expiring,
    /// It works.
    Active,
}

impl KeyStatus {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::Expiring => "expiring",
            Self::Active => "active",
        }
    }
}

/// In which order keys are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyOrder {
    /// The newest first.
    #[default]
    Created,
    /// By name, whatever its case.
    Name,
    /// What was used last first, what never was last.
    LastUsed,
    /// What ends first first, what never ends last.
    Expires,
}

/// Which keys of a list, and in which order; what is not said is not asked.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// Only those of this account.
    pub service_account: Option<ServiceAccountId>,
    /// Only those whose names begin so, whatever their case, the one with this id, or whose secret is shown like this.
    pub words: Option<String>,
    /// Only those of this kind.
    pub kind: Option<KeyKind>,
    /// Only those that stand so.
    pub status: Option<KeyStatus>,
    /// In this order.
    pub order: KeyOrder,
    /// The other way round.
    pub reversed: bool,
}

impl KeyFilter {
    fn is_of_account_alone(&self) -> bool {
        let Self { service_account: _, words, kind, status, order, reversed } = self;
        words.is_none() && kind.is_none() && status.is_none() && *order == KeyOrder::Created && !reversed
    }

    fn statement(&self) -> &'static Statement {
        match (self.order, self.reversed) {
            (KeyOrder::Created, false) => &list::KEYS_BY_AGE,
            (KeyOrder::Created, true) => &list::KEYS_BY_AGE_REVERSED,
            (KeyOrder::Name, false) => &list::KEYS_BY_NAME,
            (KeyOrder::Name, true) => &list::KEYS_BY_NAME_REVERSED,
            (KeyOrder::LastUsed, false) => &list::KEYS_BY_USE,
            (KeyOrder::LastUsed, true) => &list::KEYS_BY_USE_REVERSED,
            (KeyOrder::Expires, false) => &list::KEYS_BY_EXPIRY,
            (KeyOrder::Expires, true) => &list::KEYS_BY_EXPIRY_REVERSED,
        }
    }

    /// The words, where some are asked.
    fn words(&self) -> Option<&str> {
        self.words.as_deref().map(str::trim).filter(|words| !words.is_empty())
    }

    /// What is rare about the keys that are meant, besides their names.
    fn lead(&self, environment: Environment) -> Option<Lead> {
        if self.service_account.is_some() {
            return Some(OWNED);
        }
        Some(match (self.status, self.kind) {
            (Some(KeyStatus::Revoked), _) => REVOKED,
            (Some(KeyStatus::Expired | KeyStatus::Expiring), _) => ENDING,
            (Some(KeyStatus::Disabled), _) => DISABLED,
            (_, Some(_)) => OF_KIND,
            _ if environment == Environment::Test => OF_TEST,
            // Where keys are made for a day, few of them still work.
            (Some(KeyStatus::Active), _) => ENDING,
            _ => return None,
        })
    }

    /// By what is sorted, and whether downwards.
    const fn sorting(&self) -> (&'static str, bool) {
        match self.order {
            KeyOrder::Created => ("", !self.reversed),
            KeyOrder::Name => ("name", self.reversed),
            KeyOrder::LastUsed => ("last_used", !self.reversed),
            KeyOrder::Expires => ("expires", self.reversed),
        }
    }

    fn bind(&self, bound: Bound, now: Millis) -> Bound {
        let words = self.words();
        let bound = bound.time(now).text(self.kind.map_or("", KeyKind::as_str));
        let bound = bound.text(self.service_account.map(|id| id.to_string()).unwrap_or_default());
        let from = words.map(folded).unwrap_or_default();
        let to = format!("{from}{}", char::MAX);
        let bound = bound.text(from).text(to);
        let bound = bound.text(words.map(str::to_lowercase).unwrap_or_default()).text(words.unwrap_or_default());
        bound.text(self.status.map_or("", KeyStatus::as_str)).time(now.plus(EXPIRING_MS))
    }
}

/// What is rare about keys: how those that have it are counted, and found either way round, sorted or, where an index
/// has them in the order of their age, by that.
struct Lead {
    count: &'static Statement,
    sorted: [&'static Statement; 2],
    by_age: Option<[&'static Statement; 2]>,
}

const EXACT: Lead =
    Lead { count: &list::EXACT_KEY_COUNT, sorted: [&list::EXACT_KEYS, &list::EXACT_KEYS_REVERSED], by_age: None };
const NAMED: Lead =
    Lead { count: &list::NAMED_KEY_COUNT, sorted: [&list::NAMED_KEYS, &list::NAMED_KEYS_REVERSED], by_age: None };
const OWNED: Lead = Lead {
    count: &list::OWNED_KEY_COUNT,
    sorted: [&list::OWNED_KEYS, &list::OWNED_KEYS_REVERSED],
    by_age: Some([&list::OWNED_KEYS_BY_AGE_REVERSED, &list::OWNED_KEYS_BY_AGE]),
};
const REVOKED: Lead = Lead {
    count: &list::REVOKED_KEY_COUNT,
    sorted: [&list::REVOKED_KEYS, &list::REVOKED_KEYS_REVERSED],
    by_age: Some([&list::REVOKED_KEYS_BY_AGE_REVERSED, &list::REVOKED_KEYS_BY_AGE]),
};
const ENDING: Lead =
    Lead { count: &list::ENDING_KEY_COUNT, sorted: [&list::ENDING_KEYS, &list::ENDING_KEYS_REVERSED], by_age: None };
const DISABLED: Lead = Lead {
    count: &list::DISABLED_KEY_COUNT,
    sorted: [&list::DISABLED_KEYS, &list::DISABLED_KEYS_REVERSED],
    by_age: None,
};
const OF_KIND: Lead = Lead {
    count: &list::KEY_COUNT_OF_KIND,
    sorted: [&list::KEYS_OF_KIND, &list::KEYS_OF_KIND_REVERSED],
    by_age: Some([&list::KEYS_OF_KIND_BY_AGE_REVERSED, &list::KEYS_OF_KIND_BY_AGE]),
};
const OF_TEST: Lead = Lead {
    count: &list::KEY_COUNT_OF_TEST,
    sorted: [&list::KEYS_OF_TEST, &list::KEYS_OF_TEST_REVERSED],
    by_age: Some([&list::KEYS_OF_TEST_BY_AGE_REVERSED, &list::KEYS_OF_TEST_BY_AGE]),
};

/// So many names that begin alike are looked through without a question what else is rare.
const FEW: u64 = 1_000;

/// A name as names are sorted and searched.
pub(super) fn folded(name: &str) -> String {
    name.to_lowercase()
}

impl Workspace {
    /// A page of keys, the newest first unless the filter says otherwise.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn keys(&self, page: PageRequest, filter: KeyFilter) -> Result<Page<KeyRecord>, StoreError> {
        let now = self.store.now();
        let (rows, total) = match filter.service_account {
            Some(account) if filter.is_of_account_alone() => (
                limits(self.seen(&sql::KEYS_PAGE_OF_ACCOUNT).time(now), page).id(account),
                self.store.total(self.seen(&sql::KEY_COUNT_OF_ACCOUNT).id(account)).await?,
            ),
            _ => match self.lead(&filter, now).await? {
                Some(lead) => self.found_keys(lead, page, &filter, now).await?,
                None if filter.is_of_account_alone() => {
                    (limits(self.seen(&sql::KEYS).time(now), page), self.store.total(self.seen(&sql::KEY_COUNT)).await?)
                }
                None => (
                    limits(filter.bind(self.seen(filter.statement()), now), page),
                    self.store.total(filter.bind(self.seen(&list::FOUND_KEY_COUNT), now)).await?,
                ),
            },
        };
        let rows = key_records(&self.store.rows(rows).await?)?;
        Ok(Page::counted(rows, total))
    }

    /// What is rarest about the keys that are meant. Among many whose names begin alike, that may be something else.
    async fn lead(&self, filter: &KeyFilter, now: Millis) -> Result<Option<Lead>, StoreError> {
        let Some(words) = filter.words() else { return Ok(filter.lead(self.tenant.environment)) };
        if words.contains('…') || words.to_lowercase().parse::<KeyId>().is_ok() {
            return Ok(Some(EXACT));
        }
        let Some(other) = filter.lead(self.tenant.environment) else { return Ok(Some(NAMED)) };
        let names = KeyFilter { words: filter.words.clone(), ..KeyFilter::default() };
        let named = self.store.total(names.bind(self.seen(NAMED.count), now)).await?;
        if named <= FEW {
            return Ok(Some(NAMED));
        }
        let others = KeyFilter { words: None, ..filter.clone() };
        let others = self.store.total(others.bind(self.seen(other.count), now)).await?;
        Ok(Some(if others < named { other } else { NAMED }))
    }

    /// Few are sorted; of very many the order of an index is walked, in which the next one is never far.
    async fn found_keys(
        &self,
        lead: Lead,
        page: PageRequest,
        filter: &KeyFilter,
        now: Millis,
    ) -> Result<(Bound, u64), StoreError> {
        let total = self.store.total(filter.bind(self.seen(lead.count), now)).await?;
        let (by, is_down) = filter.sorting();
        let of = |[upwards, downwards]: [&'static Statement; 2]| if is_down { downwards } else { upwards };
        let in_order = match lead.by_age {
            _ if total > MAX_TOTAL => Some(filter.statement()),
            Some(statements) if filter.order == KeyOrder::Created => Some(of(statements)),
            _ => None,
        };
        let rows = match in_order {
            Some(statement) => limits(filter.bind(self.seen(statement), now), page),
            None => limits(filter.bind(self.seen(of(lead.sorted)), now).text(by), page),
        };
        Ok((rows, total))
    }
}
