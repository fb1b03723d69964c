//! What a metered workspace pays for: credits are held while a reply is made and settled by its usage.

use std::{collections::HashSet, fmt, sync::Arc};

use access::Tenant;
use ambient::{Clock, ConversationId, WorkspaceId};
use credential::Environment;
use parking_lot::Mutex;
use store::{AuditEntry, CreditAccount, CreditEntry, CreditHold, CreditReserve, Reserved, Store};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::{Chat, ChatError, Usage};

/// What things cost, in credits.
#[derive(Clone, Copy, Debug)]
pub struct Prices {
    /// Held while a reply is made; less, when less is left.
    pub reserve_per_reply: u32,
    /// For 1,000 tokens of the prompt.
    pub per_1k_input: u32,
    /// For 1,000 tokens of the answer.
    pub per_1k_output: u32,
    /// For a voice session, when it is opened.
    pub per_voice_session: u32,
    /// How long credits are held at most, in seconds: longer than any reply takes.
    pub hold_seconds: u32,
}

impl Default for Prices {
    fn default() -> Self {
        Self { reserve_per_reply: 10, per_1k_input: 1, per_1k_output: 1, per_voice_session: 10, hold_seconds: 15 * 60 }
    }
}

impl Prices {
    /// What a reply costs: the tokens' price, rounded up, and at least one.
    fn of(&self, usage: Usage) -> u64 {
        let input = usage.input_tokens.saturating_mul(self.per_1k_input.into());
        let output = usage.output_tokens.saturating_mul(self.per_1k_output.into());
        input.saturating_add(output).div_ceil(1000).max(1)
    }
}

/// The credits of all workspaces. Clones share.
#[derive(Clone)]
pub struct Credits(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    prices: Prices,
    tasks: TaskTracker,
    known: Mutex<Known>,
}

/// Workspaces that were looked up and are not metered: their replies cost no statement more.
#[derive(Default)]
struct Known {
    unmetered: HashSet<WorkspaceId>,
    /// Moves on with each change of an account: a look that began before it is not kept.
    changes: u64,
}

impl fmt::Debug for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credits").finish_non_exhaustive()
    }
}

/// Credits that are held for one reply; none, where nothing is counted. Dropped without
/// [`Hold::settle`], they are free again; in a crash they are when they grow too old.
#[must_use = "dropped, it frees what is held"]
pub(crate) struct Hold(Option<Held>);

struct Held {
    credits: Credits,
    tenant: Tenant,
    hold: CreditHold,
}

impl Credits {
    /// Puts it together; `tasks` runs what is released when nobody waits for it.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>, prices: Prices, tasks: TaskTracker) -> Self {
        Self(Arc::new(Inner { store, clock, prices, tasks, known: Mutex::default() }))
    }

    /// Gives a workspace credits. Does not turn metering on.
    ///
    /// # Errors
    /// [`ChatError::Conflict`] `environment` for a test tenant.
    pub async fn grant(
        &self,
        tenant: Tenant,
        amount: u32,
        note: Option<String>,
        audit: AuditEntry<'_>,
    ) -> Result<CreditEntry, ChatError> {
        let granted = self.0.store.workspace(tenant).grant_credits(amount, note, audit).await;
        self.forget(tenant.workspace);
        Ok(granted?)
    }

    /// Begins or ends counting, from the next reply on.
    ///
    /// # Errors
    /// [`ChatError::Conflict`] `environment` for a test tenant.
    pub async fn set_metered(
        &self,
        tenant: Tenant,
        metered: bool,
        audit: AuditEntry<'_>,
    ) -> Result<CreditAccount, ChatError> {
        let account = self.0.store.workspace(tenant).set_metered(metered, audit).await;
        // Also after an error: a commit whose answer was lost may have happened.
        self.forget(tenant.workspace);
        Ok(account?)
    }

    /// Holds what a reply may cost. Nothing is held of test data and of a workspace that is not metered.
    ///
    /// # Errors
    /// [`ChatError::NoCredits`] when a metered workspace has none left.
    pub(crate) async fn reserve(&self, tenant: Tenant, conversation: ConversationId) -> Result<Hold, ChatError> {
        let most = self.0.prices.reserve_per_reply.max(1);
        self.hold(tenant, Some(conversation), most, 1).await
    }

    /// The same for a question outside any conversation.
    ///
    /// # Errors
    /// As [`Credits::reserve`].
    pub(crate) async fn reserve_question(&self, tenant: Tenant) -> Result<Hold, ChatError> {
        self.hold(tenant, None, self.0.prices.reserve_per_reply.max(1), 1).await
    }

    /// Holds the price of a voice session, all of it; to be paid with [`Hold::pay`].
    ///
    /// # Errors
    /// [`ChatError::NoCredits`] when a metered workspace has less.
    pub(crate) async fn reserve_voice(&self, tenant: Tenant) -> Result<Hold, ChatError> {
        match self.0.prices.per_voice_session {
            0 => Ok(Hold(None)),
            price => self.hold(tenant, None, price, price).await,
        }
    }

    async fn hold(
        &self,
        tenant: Tenant,
        conversation: Option<ConversationId>,
        most: u32,
        least: u32,
    ) -> Result<Hold, ChatError> {
        if tenant.environment == Environment::Test {
            return Ok(Hold(None));
        }
        let changes = {
            let known = self.0.known.lock();
            if known.unmetered.contains(&tenant.workspace) {
                return Ok(Hold(None));
            }
            known.changes
        };
        let lease = i64::from(self.0.prices.hold_seconds) * 1000;
        let wanted = CreditReserve {
            most: most.into(),
            least: least.into(),
            conversation,
            expires_at: self.0.clock.now().plus(lease),
        };
        match self.0.store.workspace(tenant).reserve_credits(wanted).await? {
            Reserved::Held(hold) => Ok(Hold(Some(Held { credits: self.clone(), tenant, hold }))),
            Reserved::Short => Err(ChatError::NoCredits),
            Reserved::Unmetered => {
                self.remember(tenant.workspace, changes);
                Ok(Hold(None))
            }
        }
    }

    /// That a look found a workspace not metered, unless an account changed since the look began.
    fn remember(&self, workspace: WorkspaceId, changes: u64) {
        let mut known = self.0.known.lock();
        if known.changes == changes {
            known.unmetered.insert(workspace);
        }
    }

    fn forget(&self, workspace: WorkspaceId) {
        let mut known = self.0.known.lock();
        known.changes += 1;
        known.unmetered.remove(&workspace);
    }
}

impl Hold {
    /// Charges what the reply cost, and frees the rest. What cannot be charged now is not charged at all:
    /// the user has his answer, and the hold grows old.
    pub(crate) async fn settle(mut self, usage: Usage) {
        let Some(held) = self.0.take() else { return };
        let cost = held.credits.0.prices.of(usage);
        if let Err(error) = held.data().settle_credits(&held.hold, cost).await {
            tracing::error!(hold = %held.hold.id, cost, cause = %error, "a reply was not charged");
        }
    }

    /// Charges all that is held, to a conversation.
    ///
    /// # Errors
    /// [`ChatError::Unavailable`] when it cannot be charged; then it is free again.
    pub(crate) async fn pay(mut self, conversation: ConversationId) -> Result<(), ChatError> {
        let Some(held) = &self.0 else { return Ok(()) };
        let hold = CreditHold { conversation: Some(conversation), ..held.hold };
        held.data().settle_credits(&hold, hold.amount).await?;
        self.0 = None;
        Ok(())
    }
}

impl Held {
    fn data(&self) -> store::Workspace {
        self.credits.0.store.workspace(self.tenant)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(held) = self.0.take() else { return };
        // Without a runtime the hold grows old.
        let Ok(runtime) = Handle::try_current() else { return };
        let tasks = held.credits.0.tasks.clone();
        let release = async move {
            if let Err(error) = held.data().release_credits(held.hold.id).await {
                tracing::warn!(hold = %held.hold.id, cause = %error, "credits stay held until they grow too old");
            }
        };
        tasks.spawn_on(release, &runtime);
    }
}

impl Chat {
    /// What replies cost, and who has paid.
    #[must_use]
    pub fn credits(&self) -> &Credits {
        &self.parts.credits
    }
}

#[cfg(test)]
mod tests;
