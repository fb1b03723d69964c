//! Drives runs: turns of the engine against the database, and what they ask for outside.
//!
//! [`Runs`] starts runs, takes participants' answers in and carries effects out. A turn is one
//! transaction; effects are kept beside it, so that after a crash [`Runs::resume`] finds what is left
//! to do. A call may be made twice, its outcome counts once. What is never here: HTTP answers, SQL, a
//! decision about who may do what; callers come in checked.

mod call;
mod connections;
mod cron;
mod error;
mod executor;
mod follow;
mod hidden;
mod runs;
mod schedule;
mod shares;
mod turn;
mod view;

pub use connections::{ConnectionUpdate, NewConnection, Opened, connection_place};
pub use cron::{Schedule, ScheduleError};
pub use error::{Cause, RunError};
pub use follow::RunFollower;
pub use runs::{Runs, RunsParts};
pub use shares::Shares;
pub use view::ParticipantView;
