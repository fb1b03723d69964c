//! Lists of keys: which ones, in which order, and as they stand at this moment.

use std::collections::HashSet;

use access::{Access, KeyKind, Limit, Role, Scope};
use ambient::ServiceAccountId;
use credential::key::Environment;
use gate::{Call, List, Operation, PageQuery, Problem, Routes};
use schemars::JsonSchema;
use serde::Deserialize;
use store::{KeyFilter, KeyOrder, KeyRecord, StoreError};

use crate::{
    App,
    key_view::{KeyStatus, KeyView},
};

pub(crate) const LIST_API_KEYS: Operation<KeysQuery, List<KeyView>> = Operation::get(
    "/v1/api-keys",
    "list_api_keys",
    "List API keys, the newest first unless asked otherwise.",
    Access::closed(Limit::Read).member(Role::Member).key(Scope::ApiKeysRead),
);

/// The longest text that is searched for.
const MAX_WORDS: usize = 100;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(LIST_API_KEYS, list_api_keys);
}

/// Which keys, and in which order.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct KeysQuery {
    /// Those whose names begin like this, whatever its case, the one with this id, or whose secret is shown like this:
    /// `sk_live_ab12…yz89`. At most 100 characters.
    #[schemars(length(max = 100))]
    q: Option<String>,
    /// Those of this kind.
    kind: Option<KeyKind>,
    /// Those that stand so.
    status: Option<KeyStatus>,
    /// Those of this service account.
    service_account_id: Option<ServiceAccountId>,
    /// By what they are sorted: `created`, the newest first; `name`; `last_used`, the latest first; `expires`, the next
    /// first.
    sort: Option<KeySort>,
    /// Whether it is sorted the other way round.
    reverse: Option<bool>,
    /// Which page, from 1 to 1,000,000.
    #[schemars(range(min = 1, max = 1_000_000))]
    page: Option<u32>,
    /// How many rows: 20 by default, 100 at most.
    #[schemars(range(min = 1, max = 100))]
    per_page: Option<u32>,
}

/// By what a list of keys is sorted.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeySort {
    /// When they were made, the newest first.
    Created,
    /// What they are called, whatever its case.
    Name,
    /// When they were last used, the latest first; those that never were come last.
    LastUsed,
    /// When they stop, the next first; those that never do come last.
    Expires,
}

impl From<KeySort> for KeyOrder {
    fn from(sort: KeySort) -> Self {
        match sort {
            KeySort::Created => Self::Created,
            KeySort::Name => Self::Name,
            KeySort::LastUsed => Self::LastUsed,
            KeySort::Expires => Self::Expires,
        }
    }
}

impl KeysQuery {
    fn filter(&self) -> Result<KeyFilter, Problem> {
        if self.q.as_ref().is_some_and(|words| words.chars().count() > MAX_WORDS) {
            return Err(Problem::invalid_request(format!("The query parameter `q` is at most {MAX_WORDS} characters")));
        }
        Ok(KeyFilter {
            service_account: self.service_account_id,
            words: self.q.clone().filter(|words| !words.trim().is_empty()),
            kind: self.kind,
            status: self.status.map(Into::into),
            order: self.sort.map(Into::into).unwrap_or_default(),
            reversed: self.reverse.unwrap_or_default(),
        })
    }
}

async fn list_api_keys(app: App, call: Call<KeysQuery>) -> Result<List<KeyView>, Problem> {
    let KeysQuery { page, per_page, .. } = call.input;
    list_keys(&app, &call, &PageQuery { page, per_page }, call.input.filter()?).await
}

/// A page of keys as they stand.
pub(crate) async fn list_keys<T>(
    app: &App,
    call: &Call<T>,
    page: &PageQuery,
    filter: KeyFilter,
) -> Result<List<KeyView>, Problem> {
    let request = page.request()?;
    let fresh = app.cluster().fresh_uses().await;
    let mut page = app.workspace(call)?.keys(request, filter).await?;
    page.rows.iter_mut().for_each(|record| fresh.add_to(record));
    drop(fresh);
    let disabled = disabled_accounts(app, &page.rows).await?;
    let now = call.request.now;
    Ok(List::of(page, request, |record| {
        let is_disabled = record.service_account.is_some_and(|account| disabled.contains(&account));
        KeyView::of(record, is_disabled, now)
    }))
}

/// Which accounts of these keys are disabled, or gone.
pub(crate) async fn disabled_accounts(app: &App, records: &[KeyRecord]) -> Result<HashSet<ServiceAccountId>, Problem> {
    let mut seen = HashSet::new();
    let mut disabled = HashSet::new();
    for record in records {
        if let Some(id) = record.service_account
            && seen.insert(id)
            && account_of(app, record, id).await?.is_none_or(|account| account.disabled_at.is_some())
        {
            disabled.insert(id);
        }
    }
    Ok(disabled)
}

/// The account of a key that the caller sees, also where it does not see the account itself: a live
/// account may have a test key.
pub(crate) async fn account_of(
    app: &App,
    record: &KeyRecord,
    id: ServiceAccountId,
) -> Result<Option<store::ServiceAccountRecord>, Problem> {
    let tenant = access::Tenant { workspace: record.workspace, environment: Environment::Live };
    match app.store().workspace(tenant).service_account(id).await {
        Ok(account) => Ok(Some(account)),
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
