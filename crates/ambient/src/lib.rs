//! Time, randomness and identity, passed as arguments.
//!
//! Everything that decides something takes a [`Clock`] or a [`Random`]; the globals are banned in
//! `clippy.toml`, so that a test can say what time it is and what the dice show. What is never
//! here: anything about credentials, tenants or the network.

mod clock;
mod id;
mod random;

pub use clock::{Clock, ManualClock, Millis, SystemClock, TimeError};
pub use id::{
    AgentLoopId, AttemptId, AuditId, BotId, ChannelId, ConnectionId, ContactId, ConversationId, CreditEntryId,
    CreditHoldId, DeploymentId, EventId, ExecutionId, IdError, ImportId, IntegrationId, InvitationId, KeyId, LeakId,
    MemberId, MemberSessionId, MessageId, ParticipantId, RequestId, RunId, ServiceAccountId, TriggerId, Ulid,
    WebhookId, WorkflowId, WorkspaceId,
};
pub use random::{OsRandom, Random, RandomError, SeededRandom};
