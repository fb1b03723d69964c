//! The contract of the store, kept on SQLite and on PostgreSQL alike.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::print_stdout, reason = "says on which database a test failed")]

mod audit;
mod bots;
mod catalogue;
mod contacts;
mod conversations;
mod credits;
mod databases;
mod dropin;
mod events;
mod idempotency;
mod installation;
mod key_list;
mod key_notices;
mod keyring;
mod keys;
mod lease;
mod long_lists;
mod opening;
mod people;
mod runs;
mod searches;
mod service_accounts;
mod tenants;
mod triggers;
mod usage;
mod webhooks;
mod workflows;
