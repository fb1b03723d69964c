//! Conversations over a real database, and a model server that does what its model's name says.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

mod continuity;
mod cuts;
mod following;
mod integrations;
mod questions;
mod replies;
mod sessions;
mod upstream;
mod voice;
mod world;
