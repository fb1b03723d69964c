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

    /// What is rarest about the keys that are meant: how they are counted, and found either way round.
    fn lead(&self, environment: Environment) -> Option<[&'static Statement; 3]> {
        let is_exact = |words: &str| words.contains('…') || words.to_lowercase().parse::<KeyId>().is_ok();
        Some(match (self.words(), self.status, self.kind) {
            (Some(words), ..) if is_exact(words) => {
                [&list::EXACT_KEY_COUNT, &list::EXACT_KEYS, &list::EXACT_KEYS_REVERSED]
            }
            _ if self.service_account.is_some() => {
                [&list::OWNED_KEY_COUNT, &list::OWNED_KEYS, &list::OWNED_KEYS_REVERSED]
            }
            (Some(_), ..) => [&list::NAMED_KEY_COUNT, &list::NAMED_KEYS, &list::NAMED_KEYS_REVERSED],
            (_, Some(KeyStatus::Revoked), _) => {
                [&list::REVOKED_KEY_COUNT, &list::REVOKED_KEYS, &list::REVOKED_KEYS_REVERSED]
            }
            (_, Some(KeyStatus::Expired | KeyStatus::Expiring), _) => {
                [&list::ENDING_KEY_COUNT, &list::ENDING_KEYS, &list::ENDING_KEYS_REVERSED]
            }
            (_, Some(KeyStatus::Disabled), _) => {
                [&list::DISABLED_KEY_COUNT, &list::DISABLED_KEYS, &list::DISABLED_KEYS_REVERSED]
            }
            (.., Some(_)) => [&list::KEY_COUNT_OF_KIND, &list::KEYS_OF_KIND, &list::KEYS_OF_KIND_REVERSED],
            _ if environment == Environment::Test => {
                [&list::KEY_COUNT_OF_TEST, &list::KEYS_OF_TEST, &list::KEYS_OF_TEST_REVERSED]
            }
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
            _ => match filter.lead(self.tenant.environment) {
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

    /// Few are sorted; of very many the order of an index is walked, in which the next one is never far.
    async fn found_keys(
        &self,
        [count, upwards, downwards]: [&'static Statement; 3],
        page: PageRequest,
        filter: &KeyFilter,
        now: Millis,
    ) -> Result<(Bound, u64), StoreError> {
        let total = self.store.total(filter.bind(self.seen(count), now)).await?;
        if total > MAX_TOTAL {
            return Ok((limits(filter.bind(self.seen(filter.statement()), now), page), total));
        }
        let (by, is_down) = filter.sorting();
        let statement = if is_down { downwards } else { upwards };
        Ok((limits(filter.bind(self.seen(statement), now).text(by), page), total))
    }
}
