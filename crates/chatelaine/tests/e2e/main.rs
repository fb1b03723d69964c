//! A whole server, driven from outside: on SQLite and on PostgreSQL, by every kind of caller.
//!
//! Each test makes its own server and database on free ports, and leaves nothing behind.

#[cfg(test)]
#[macro_use]
mod harness;

#[cfg(test)]
mod abuse;
#[cfg(test)]
mod agent_loops;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod audit_files;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod bad_bodies;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod challenge;
#[cfg(test)]
mod channels;
#[cfg(test)]
mod channels_crash;
#[cfg(test)]
mod chat;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod connections_of_tools;
#[cfg(test)]
mod contacts;
#[cfg(test)]
mod continuity;
#[cfg(test)]
mod conversations;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod credits;
#[cfg(test)]
mod csrf;
#[cfg(test)]
mod deployment_keys;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod dropin;
#[cfg(test)]
mod events;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod export;
#[cfg(test)]
mod export_keys;
#[cfg(test)]
mod firewall;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod import_keys;
#[cfg(test)]
mod imports;
#[cfg(test)]
mod key_events;
#[cfg(test)]
mod key_list;
#[cfg(test)]
mod key_rotation;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod keys_cli;
#[cfg(test)]
mod leaks;
#[cfg(test)]
mod lease;
#[cfg(test)]
mod lesser_keys;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod members;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod participant_limits;
#[cfg(test)]
mod participant_socket;
#[cfg(test)]
mod participant_tokens;
#[cfg(test)]
mod participants;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod results;
#[cfg(test)]
mod results_limits;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod scan;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod second_factor;
#[cfg(test)]
mod secrecy;
#[cfg(test)]
mod secret_grace;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod service_accounts;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod survey_limits;
#[cfg(test)]
mod survey_page;
#[cfg(test)]
mod survey_visitors;
#[cfg(test)]
mod system;
#[cfg(test)]
mod trials;
#[cfg(test)]
mod triggers;
#[cfg(test)]
mod try_lines;
#[cfg(test)]
mod upstreams;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod voice;
#[cfg(test)]
mod webhook_integration;
#[cfg(test)]
mod webhook_reach;
#[cfg(test)]
mod webhook_sdks;
#[cfg(test)]
mod webhooks;
#[cfg(test)]
mod widget_files;
#[cfg(test)]
mod widget_keys;
#[cfg(test)]
mod workflows;
#[cfg(test)]
mod workspaces_cli;
