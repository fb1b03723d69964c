//! Credentials against independent implementations, published vectors and arbitrary bytes.

mod arbitrary;
mod harness;
mod hmac;
mod webhook;
