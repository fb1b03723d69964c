//! The gate over a real SQLite file, with operations that only say who called.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod drop_in;
mod frames;
mod participants;
mod sockets;
mod world;
