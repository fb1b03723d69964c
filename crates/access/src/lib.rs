//! Who may do what: callers, roles, scopes, and the decision.
//!
//! Pure. The gate says who is calling ([`Caller`]), an operation says whom it admits ([`Access`]),
//! and [`Access::decide`] answers. What is never here: I/O, HTTP, storage, a clock.

mod caller;
mod decision;
mod refusal;
mod role;
mod scope;

pub use caller::{
    Actor, ActorKind, Caller, KeyCaller, KeyKind, MemberCaller, ParticipantCaller, SessionCaller, StaticCaller,
    StaticKind, Tenant,
};
pub use decision::{Access, Limit};
pub use refusal::Refusal;
pub use role::{Role, UnknownRole};
pub use scope::{Scope, ScopeSet, UnknownScope};
