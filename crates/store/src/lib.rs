//! Every SQL statement, and the only crate that knows the database.
//!
//! One catalogue of statements runs on SQLite and on PostgreSQL. What belongs to a tenant is reached
//! through [`Store::workspace`] alone: each of its statements names the workspace first, so another
//! tenant's row is not found by construction. What is never here: a plaintext secret, a decision
//! about who may do what, a word about HTTP.

mod agent_loops;
mod attempt;
pub mod catalogue;
mod change;
mod channels;
mod contacts;
mod dialect;
mod error;
mod foreign;
mod key_notices;
mod keyring;
mod lease;
mod migration;
mod notice;
mod open;
mod participation;
mod people;
mod record;
mod row;
mod schema;
mod schema_dashboard;
mod schema_workspaces;
mod sealed;
mod store;
mod told;
mod triggers;
mod tx;
mod webhooks;
mod workspace;

pub use agent_loops::{
    AgentLoopDraft, AgentLoopRecord, CallbackDraft, ExecutionEnd, ExecutionRecord, ExecutionStepRecord, NewExecution,
    NewExecutionStep,
};
pub use attempt::{Attempt, in_this_attempt};
pub use change::{
    BotChange, IntegrationChange, KeyChange, NewBot, NewConversation, NewIntegration, NewKey, NewMember,
    NewServiceAccount, NewWorkspace, ServiceAccountChange,
};
pub use channels::{
    ChannelChange, ChannelRecord, ChannelTurn, DueChannelMessage, NewChannel, NewChannelMessage, NewReplyEndpoint,
    TakenMessage,
};
pub use contacts::{
    Archived, ContactChange, ContactFilter, ContactRecord, ImportBatch, ImportDone, ImportError, ImportMatch,
    ImportRecord, MAX_TAGS_ASKED, NewContact,
};
pub use error::StoreError;
pub use foreign::ForeignPepper;
pub use lease::Lease;
pub use participation::{
    DeploymentRecord, EffectRecord, NewDeployment, NewEffect, NewRun, NewRunEvent, NewWorkflow, RunEventRecord,
    RunFilter, RunRange, RunRecord, TurnRecord, WorkflowChange, WorkflowRecord, WorkflowVersionRecord,
};
pub use people::{
    INVITATION_LIFE_MS, InvitationRecord, LeakPolicy, MAX_INVITATIONS, MAX_MEMBERS, NewInvitation, NewSignIn,
    PASSWORD_RESET_LIFE_MS, SIGN_IN_IDLE_MS, SIGN_IN_LIFE_MS, SignIn, UnknownLeakPolicy,
};
pub use record::{
    AuditEntry, AuditRecord, BotRecord, ConversationRecord, IntegrationRecord, KeyRecord, KeySettings, LiveKey,
    MAX_TOTAL, MemberRecord, MessageRecord, NamedConversation, Page, PageRequest, SealedSecret, SecretRecord,
    SecretUse, ServiceAccountRecord, WorkspaceRecord,
};
pub use sealed::{Sealed, SealedValue};
pub use store::Store;
pub use triggers::{Fired, NewTrigger, TriggerChange, TriggerFire, TriggerRecord};
pub use webhooks::{
    AfterAttempt, AttemptOutcome, AttemptRecord, DeliveryJob, DueDelivery, FinishedAttempt, NewWebhook, WebhookChange,
    WebhookRecord,
};
pub use workspace::{Attention, AuditFilter, HourCount, OutcomeCount, WebhookAtRest};
pub use workspace::{
    ConnectionDraft, ConnectionRecord, ContactExport, ConversationExport, ConversationFilter, CreditAccount,
    CreditEntry, CreditHold, CreditReserve, EXPIRING_MS, EventKind, Exported, FoundConversations, HourRecord,
    Idempotent, KeyFilter, KeyOrder, KeyStatus, LeakAction, LeakRecord, MAX_AGENT_LOOPS, MAX_CHANNELS, MAX_DEPLOYMENTS,
    MAX_OPEN_EXECUTIONS, MAX_TRIGGERS, MAX_TRIGGERS_OF_WORKSPACE, MAX_WEBHOOKS, NewLeak, Reserved, USAGE_HOURS,
    UsageFilter, UsageGroup, UsageRecord, Workspace,
};
pub use workspace::{
    MAX_CUSTOM_BYTES, MAX_CUSTOM_FIELDS, MAX_KEPT_IMPORTS, MAX_OPEN_BYTES, MAX_OPEN_IMPORTS, MAX_TAGS,
};
pub use workspace::{MemberChange, SecondFactor, SignInRecord, WorkspaceChange};
