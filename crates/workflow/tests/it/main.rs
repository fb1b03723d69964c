//! The crate from outside: what is refused, what the examples do, and what holds for every run.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

mod anything;
mod docs;
mod drive;
mod examples;
mod generate;
mod limits;
mod properties;
mod refusals;
mod schema;
