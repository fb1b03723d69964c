//! What nodes share besides the database: the keyring, grants, budgets, sessions, last use.
//!
//! [`Cluster`] owns it all. A check is one look at memory and never waits; a change commits in the
//! store first, then changes memory, then cuts what no longer holds. What is never here: HTTP, SQL,
//! and a way to change a key that leaves memory behind.

mod changes;
mod cluster;
mod deployments;
mod doubt;
mod entry;
mod error;
mod grant;
mod keyring;
mod leaks;
mod limits;
mod load;
mod look;
mod maker;
mod outcomes;
mod peppers;
mod sessions;
mod shared;
mod starts;
mod tasks;
mod usage;
mod uses;
mod workspace_entry;

pub use changes::{NewKey, Receipt};
pub use cluster::{Cluster, ClusterConfig, Lookup};
pub use entry::{KeyEntry, KeyHandle};
pub use error::ClusterError;
pub use grant::{CutReason, Grant, Opener};
pub use leaks::Leak;
pub use limits::{Bucket, Verdict};
pub use sessions::{SESSION_IDLE_MS, SessionEntry, SessionState};
pub use starts::StartOutlook;
pub use uses::FreshUses;
pub use workspace_entry::WorkspaceEntry;
