//! The operations through the gate and the router, on a real database, without a socket.

mod accounts;
mod chat;
mod keys;
mod resources;
mod setup;
mod table;
mod world;
