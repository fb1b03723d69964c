//! Runs from their first turn to their last, on SQLite and on PostgreSQL alike.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![expect(clippy::print_stdout, reason = "says on which database a test failed")]

mod crashes;
mod effects;
mod examples;
mod following;
mod outside;
mod world;
