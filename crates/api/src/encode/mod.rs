//! Encoders of the one reply stream: a new door is a new encoder.

pub(crate) mod sse;
