//! The guarded client against real sockets.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod answers;
mod environment;
mod names;
mod server;
