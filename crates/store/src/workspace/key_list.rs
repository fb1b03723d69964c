use access::KeyKind;
use ambient::{Millis, ServiceAccountId};

use super::{Workspace, limits};
use crate::{
    catalogue::{Bound, Statement, key_list as list, keys as sql},
    error::StoreError,
    keyring::key_records,
    record::{KeyRecord, Page, PageRequest},
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
    /// Only those with these words in their names, whatever their case, the one with this id, or whose secret is
    /// shown like this.
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

    fn bind(&self, bound: Bound, now: Millis) -> Bound {
        let words = self.words.as_deref().map(str::trim).filter(|words| !words.is_empty());
        let bound = bound.time(now).text(self.kind.map_or("", KeyKind::as_str));
        let bound = bound.text(self.service_account.map(|id| id.to_string()).unwrap_or_default());
        let bound = bound.text(words.map(|words| pattern(&folded(words))).unwrap_or_default());
        let bound = bound.text(words.map(str::to_lowercase).unwrap_or_default()).text(words.unwrap_or_default());
        bound.text(self.status.map_or("", KeyStatus::as_str)).time(now.plus(EXPIRING_MS))
    }
}

/// A name as names are sorted and searched.
pub(super) fn folded(name: &str) -> String {
    name.to_lowercase()
}

fn pattern(words: &str) -> String {
    let mut pattern = String::from("%");
    for letter in words.chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

impl Workspace {
    /// A page of keys, the newest first unless the filter says otherwise.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn keys(&self, page: PageRequest, filter: KeyFilter) -> Result<Page<KeyRecord>, StoreError> {
        let now = self.store.now();
        let (rows, total) = match filter.service_account {
            None if filter.is_of_account_alone() => {
                (limits(self.seen(&sql::KEYS).time(now), page), self.seen(&sql::KEY_COUNT))
            }
            Some(account) if filter.is_of_account_alone() => (
                limits(self.seen(&sql::KEYS_PAGE_OF_ACCOUNT).time(now), page).id(account),
                self.seen(&sql::KEY_COUNT_OF_ACCOUNT).id(account),
            ),
            _ => (
                limits(filter.bind(self.seen(filter.statement()), now), page),
                filter.bind(self.seen(&list::FOUND_KEY_COUNT), now),
            ),
        };
        let rows = key_records(&self.store.rows(rows).await?)?;
        Ok(Page::counted(rows, self.store.total(total).await?))
    }
}
