//! The binary's room: command line, configuration, wiring, accept loop.
//!
//! [`Server::start`] puts the rooms together, for `main` and for the tests alike. What is never
//! here: a decision about who may do what, SQL, or what an operation does.

pub mod cli;
pub mod config;
mod data_dir;
mod dropin;
mod error;
mod leaks;
mod lease;
mod listener;
mod reseal;
mod rest;
mod secret;
mod server;
mod trial;
mod wiring;

pub use config::Config;
pub use data_dir::DataDir;
pub use error::StartError;
pub use server::{Ambient, Running, Server};
pub use trial::{Line, Trial, TrialKeys, TrialOwner, TrialWorkflow, try_lines};
