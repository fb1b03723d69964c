//! What a metered workspace pays for: credits are held while a reply is made and settled by its usage.

use std::{fmt, sync::Arc};

use access::Tenant;
use ambient::{Clock, ConversationId};
use store::Store;
use tokio_util::task::TaskTracker;

use crate::{ChatError, Usage};

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

/// The credits of all workspaces. Clones share.
#[derive(Clone)]
pub struct Credits(Arc<Inner>);

#[expect(dead_code, reason = "filled in next")]
struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    prices: Prices,
    tasks: TaskTracker,
}

impl fmt::Debug for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credits").finish_non_exhaustive()
    }
}

/// Credits that are held for one reply. Dropped without [`Hold::settle`], they are free again.
pub(crate) struct Hold {}

impl Credits {
    /// Puts it together; `tasks` runs what is released when nobody waits for it.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>, prices: Prices, tasks: TaskTracker) -> Self {
        Self(Arc::new(Inner { store, clock, prices, tasks }))
    }

    /// Holds what a reply may cost. Nothing is held of test data and of a workspace that is not metered.
    ///
    /// # Errors
    /// [`ChatError::NoCredits`] when a metered workspace has none left.
    #[expect(clippy::unused_async, dead_code, reason = "filled in next")]
    pub(crate) async fn reserve(&self, _tenant: Tenant, _conversation: ConversationId) -> Result<Hold, ChatError> {
        Ok(Hold {})
    }
}

impl Hold {
    /// Charges what the reply cost, and frees the rest.
    #[expect(clippy::unused_async, dead_code, reason = "filled in next")]
    pub(crate) async fn settle(self, _usage: Usage) {}
}
