//! What tests are made of: servers in the process, and a model that does what it is told.
//!
//! What is never here: anything that the product needs.

pub mod upstream;
