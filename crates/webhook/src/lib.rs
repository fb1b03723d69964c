//! Delivers events: claims what is due, signs, sends, backs off, gives up.
//!
//! What is due stands in the database and nowhere else, so a crash repeats an attempt and loses no event. Every
//! attempt is signed anew, goes through `outbound`'s guard, and is written down with what it came to. What is never
//! here: the decision what is an event and who hears it (that is written in the transaction of what happened), HTTP
//! answers, SQL.

mod attempt;
mod body;
mod desk;
mod schedule;
mod sender;
mod signed;
mod writer;

pub use schedule::{DELAYS, MAX_ATTEMPTS};
pub use sender::{Webhooks, WebhooksParts};
