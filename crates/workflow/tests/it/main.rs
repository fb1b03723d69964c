//! The crate from outside: what is refused, what the examples do, and what holds for every run.

mod drive;
mod examples;
mod generate;
mod limits;
mod properties;
mod refusals;
mod schema;
