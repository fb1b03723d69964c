//! A tenant's data. Every statement here names the workspace first. Bots, integrations, conversations,
//! messages, workflows, deployments and runs are those of the tenant's environment alone; of keys, service accounts and the audit
//! log a live tenant sees both environments', a test tenant only the test ones.

mod agent_loops;
mod audit;
mod bots;
mod ceilings;
mod channels;
mod connections;
mod contact_export;
mod contact_imports;
mod contacts;
mod conversation_export;
mod conversation_search;
mod conversations;
mod credits;
mod deliveries;
mod deployments;
mod dropin;
mod events;
mod idempotency;
mod integrations;
mod invitations;
mod key_events;
mod key_list;
mod keys;
mod leaks;
mod members;
mod messages;
mod outcomes;
mod overview;
mod passwords;
mod results;
mod runs;
mod second_factor;
mod service_accounts;
mod triggers;
mod usage;
mod webhooks;
mod workflows;

use access::Tenant;
use credential::key::Environment;

use crate::{
    catalogue::{Bound, Statement, installation},
    error::StoreError,
    record::{Page, PageRequest, WorkspaceRecord},
    row::Row,
    store::{Store, workspace_record},
};

pub use agent_loops::{MAX_AGENT_LOOPS, MAX_OPEN_EXECUTIONS};
pub use audit::AuditFilter;
pub use channels::MAX_CHANNELS;
pub use connections::{ConnectionDraft, ConnectionRecord};
pub use contact_export::ContactExport;
pub use contact_imports::{
    MAX_CUSTOM_BYTES, MAX_CUSTOM_FIELDS, MAX_KEPT_IMPORTS, MAX_OPEN_BYTES, MAX_OPEN_IMPORTS, MAX_TAGS,
};
pub use conversation_export::{ConversationExport, Exported};
pub use conversation_search::{ConversationFilter, FoundConversations};
pub use credits::{CreditAccount, CreditEntry, CreditHold, CreditReserve, Reserved};
pub use deployments::MAX_DEPLOYMENTS;
pub(crate) use deployments::tenant;
pub use events::EventKind;
pub use idempotency::Idempotent;
pub use key_list::{EXPIRING_MS, KeyFilter, KeyOrder, KeyStatus};
pub use leaks::{LeakAction, LeakRecord, NewLeak};
pub use members::{MemberChange, SignInRecord, WorkspaceChange};
pub use outcomes::OutcomeCount;
pub use overview::{Attention, HourCount, WebhookAtRest};
pub use second_factor::SecondFactor;
pub use triggers::{MAX_TRIGGERS, MAX_TRIGGERS_OF_WORKSPACE};
pub(crate) use usage::month_of;
pub use usage::{HourRecord, USAGE_HOURS, UsageFilter, UsageGroup, UsageRecord};
pub use webhooks::MAX_WEBHOOKS;

/// One tenant's view of the store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workspace {
    store: Store,
    tenant: Tenant,
}

impl Workspace {
    pub(crate) const fn new(store: Store, tenant: Tenant) -> Self {
        Self { store, tenant }
    }

    /// Whose view this is.
    #[must_use]
    pub const fn tenant(&self) -> Tenant {
        self.tenant
    }

    /// The workspace itself.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is gone.
    pub async fn record(&self) -> Result<WorkspaceRecord, StoreError> {
        let row = self.store.row(installation::WORKSPACE.bound().id(self.tenant.workspace)).await?;
        workspace_record(&row.ok_or(StoreError::NotFound)?)
    }

    /// `$1` is the workspace, `$2` the environment.
    fn own(&self, statement: &Statement) -> Bound {
        statement.bound().id(self.tenant.workspace).text(self.tenant.environment.as_str())
    }

    /// `$1` is the workspace, `$2` and `$3` the environments that this tenant sees of keys and accounts.
    fn seen(&self, statement: &Statement) -> Bound {
        self.own(statement).text(Environment::Test.as_str())
    }

    /// Whether a key or an account of `environment` may be made here.
    fn may_make(&self, environment: Environment) -> Result<(), StoreError> {
        match (self.tenant.environment, environment) {
            (Environment::Test, Environment::Live) => Err(StoreError::Conflict("environment")),
            _ => Ok(()),
        }
    }

    async fn one<T>(&self, bound: Bound, read: impl Fn(&Row) -> Result<T, StoreError>) -> Result<T, StoreError> {
        read(&self.store.row(bound).await?.ok_or(StoreError::NotFound)?)
    }

    async fn page<T>(
        &self,
        rows: Bound,
        total: Bound,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let rows = self.store.rows(rows).await?.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Page::counted(rows, self.store.total(total).await?))
    }
}

/// `LIMIT` and `OFFSET` of a page.
fn limits(bound: Bound, page: PageRequest) -> Bound {
    let offset = u64::from(page.page.saturating_sub(1)) * u64::from(page.per_page);
    bound.count(page.per_page).count(offset)
}
