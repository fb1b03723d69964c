//! Conversations over a real database, and a model server that does what its model's name says.

mod cuts;
mod integrations;
mod replies;
mod sessions;
mod upstream;
mod world;
