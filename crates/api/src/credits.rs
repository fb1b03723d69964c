//! Credits: what a workspace has, was given and was charged. They pay for live data alone.

use access::{Access, Limit, Refusal, Role, Scope, Tenant};
use ambient::{ConversationId, CreditEntryId, Millis};
use credential::Environment;
use gate::{Call, Data, FieldError, List, ListMeta, LogQuery, Nothing, Operation, Problem, Routes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{CreditAccount, PageRequest};

use crate::{App, conversations::after, input, problem::of_chat};

pub(crate) const GET_CREDITS: Operation<Nothing, Data<Credits>> = Operation::get(
    "/v1/credits",
    "get_credits",
    "Show what the workspace has left, and whether it is metered.",
    Access::closed(Limit::Read).member(Role::Member).key(Scope::UsageRead),
);
pub(crate) const UPDATE_CREDITS: Operation<CreditsPatch, Data<Credits>> = Operation::patch(
    "/v1/credits",
    "update_credits",
    "Begin or end metering: a metered workspace without credits gets no more replies.",
    Access::closed(Limit::Write).member(Role::Owner).key(Scope::Admin).audited(),
)
.dangerous();
pub(crate) const GRANT_CREDITS: Operation<NewGrant, Data<Entry>> = Operation::post(
    "/v1/credits/grants",
    "grant_credits",
    "Give the workspace credits; does not turn metering on.",
    // Whoever may spend is not whoever may grant: no scope but `admin` opens it.
    Access::closed(Limit::Write).member(Role::Owner).key(Scope::Admin).audited(),
)
.creates()
.dangerous();
pub(crate) const LIST_CREDIT_ENTRIES: Operation<LogQuery, List<Entry>> = Operation::get(
    "/v1/credits/entries",
    "list_credit_entries",
    "List what was granted and charged, the newest first; `after` reads on from an entry, the oldest first.",
    Access::closed(Limit::Read).member(Role::Member).key(Scope::UsageRead),
);

/// The most that is granted at a time.
const MAX_GRANT: u64 = 1_000_000_000;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(GET_CREDITS, get_credits);
    routes.mount(UPDATE_CREDITS, update_credits);
    routes.mount(GRANT_CREDITS, grant_credits);
    routes.mount(LIST_CREDIT_ENTRIES, list_credit_entries);
}

/// What a workspace has: of `granted`, what is not `charged` is `free` or `held`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Credits {
    /// Whether replies are counted; else nothing here changes.
    metered: bool,
    /// May be used.
    free: u64,
    /// Held for replies under way.
    held: u64,
    /// Ever granted.
    granted: u64,
    /// Ever charged.
    charged: u64,
}

/// What is to be different.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreditsPatch {
    /// Whether replies are counted.
    metered: bool,
}

/// Credits to be given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGrant {
    /// How many, 1 to 1,000,000,000.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    amount: u64,
    /// Why, at most 200 characters.
    #[serde(default)]
    note: Option<String>,
}

/// A line of the ledger.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Entry {
    /// Its id; sorts by time.
    id: CreditEntryId,
    /// `grant` or `charge`.
    kind: String,
    /// Positive for a grant, negative for a charge.
    amount: i64,
    /// What was charged for.
    conversation_id: Option<ConversationId>,
    /// The giver's words; of a charge the hold that it settled.
    note: Option<String>,
    /// When.
    created_at: Millis,
}

impl From<CreditAccount> for Credits {
    fn from(account: CreditAccount) -> Self {
        let CreditAccount { free, held, granted, charged, metered_at } = account;
        Self { metered: metered_at.is_some(), free, held, granted, charged }
    }
}

impl From<store::CreditEntry> for Entry {
    fn from(entry: store::CreditEntry) -> Self {
        Self {
            id: entry.id,
            kind: entry.kind,
            amount: entry.amount,
            conversation_id: entry.conversation,
            note: entry.note,
            created_at: entry.created_at,
        }
    }
}

impl NewGrant {
    fn check(&self) -> Result<u32, Problem> {
        let mut errors = Vec::new();
        input::optional_text(&mut errors, "note", self.note.as_ref(), 200);
        let amount = u32::try_from(self.amount).ok().filter(|_| (1..=MAX_GRANT).contains(&self.amount));
        if amount.is_none() {
            errors.push(FieldError::new("amount", format!("must be 1 to {MAX_GRANT}, and is {}", self.amount)));
        }
        input::done(errors)?;
        Ok(amount.unwrap_or_default())
    }
}

/// Test data costs nothing, so a test key has nothing to do with what was paid.
fn payer(tenant: Tenant) -> Result<Tenant, Problem> {
    match tenant.environment {
        Environment::Live => Ok(tenant),
        Environment::Test => Err(Refusal::WrongCredential.into()),
    }
}

async fn get_credits(app: App, call: Call<Nothing>) -> Result<Data<Credits>, Problem> {
    Ok(Data::new(app.workspace(&call)?.credit_account().await?.into()))
}

async fn update_credits(app: App, call: Call<CreditsPatch>) -> Result<Data<Credits>, Problem> {
    let (tenant, actor) = (payer(call.tenant()?)?, call.actor());
    let CreditsPatch { metered } = call.input;
    let before = app.workspace(&call)?.credit_account().await?.metered_at.is_some();
    let changes = input::Changes::default().of("metered", &before, Some(&metered)).into_value();
    let audit = call.audit(&actor, Some(serde_json::json!({"metered": metered, "changes": changes})));
    let account = app.chat().credits().set_metered(tenant, metered, audit).await.map_err(of_chat)?;
    Ok(Data::new(account.into()))
}

async fn grant_credits(app: App, call: Call<NewGrant>) -> Result<Data<Entry>, Problem> {
    let amount = call.input.check()?;
    let (tenant, actor) = (payer(call.tenant()?)?, call.actor());
    let audit = call.audit(&actor, Some(serde_json::json!({ "amount": amount })));
    let granted = app.chat().credits().grant(tenant, amount, call.input.note.clone(), audit).await;
    Ok(Data::new(granted.map_err(of_chat)?.into()))
}

async fn list_credit_entries(app: App, call: Call<LogQuery>) -> Result<List<Entry>, Problem> {
    let request = call.input.request()?;
    let data = app.workspace(&call)?;
    let Some(after) = after(&call.input)? else {
        return Ok(List::of(data.credit_entries(request).await?, request, Entry::from));
    };
    let rows = data.credit_entries_after(after, request.per_page).await?;
    let one = data.credit_entries(PageRequest { page: 1, per_page: 1 }).await?;
    let meta = ListMeta::of(&one, request);
    Ok(List { data: rows.into_iter().map(Entry::from).collect(), meta })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_1_to_a_billion() {
        let check = |amount| NewGrant { amount, note: None }.check();
        assert_eq!((check(1).unwrap(), check(MAX_GRANT).unwrap()), (1, 1_000_000_000));
        for wrong in [0, MAX_GRANT + 1, u64::from(u32::MAX) + 2, u64::MAX] {
            assert_eq!(check(wrong).unwrap_err().status().as_u16(), 422, "{wrong}");
        }
        let long = NewGrant { amount: 1, note: Some("x".repeat(201)) };
        assert_eq!(long.check().unwrap_err().status().as_u16(), 422);
    }
}
