//! The operations through the gate and the router, on a real database, without a socket.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: clippy knows only the functions marked as tests"
)]

mod accounts;
mod chat;
mod keys;
mod resources;
mod setup;
mod table;
mod world;
