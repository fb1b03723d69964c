//! What tests are made of: servers in the process, databases that go away, personas, and a model
//! that does what it is told.
//!
//! What is never here: anything that the product needs.

mod bot_server;
mod client;
mod database;
mod events;
mod lines;
mod persona;
mod process;
mod server;
mod socket;
pub mod upstream;
mod world;

use std::time::{Duration, Instant};

pub use bot_server::{BotServer, Received};
pub use client::{Answer, Client, Request};
pub use database::{Backend, TestDatabase, server_url};
pub use events::{Event, Events, text_of};
pub use lines::Lines;
pub use persona::Persona;
pub use process::Process;
pub use server::{
    ADMIN_API_KEY, LIVEKIT_API_KEY, LIVEKIT_API_SECRET, Options, TestServer, WIDGET_API_KEY, drop_in, livekit,
};
pub use socket::{Said, WebSocket};
pub use upstream::Upstream;
pub use world::{DOMAIN, ORIGIN, PASSWORD, World, id_of};

/// The machine's clock, for measuring what a test sees.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a test measures the server from outside")]
pub fn now() -> Instant {
    Instant::now()
}

/// Looks every few milliseconds until `seen` is true; false after `patience`.
pub async fn eventually(patience: Duration, mut seen: impl AsyncFnMut() -> bool) -> bool {
    let start = now();
    loop {
        if seen().await {
            return true;
        }
        if start.elapsed() > patience {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
