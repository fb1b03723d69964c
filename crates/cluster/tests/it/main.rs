//! The cluster over a real SQLite file, on a clock and a random source that the test holds.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

mod changes;
mod deployments;
mod house;
mod makers;
mod start;
mod streams;
mod uses;
