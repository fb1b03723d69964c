//! The one HTTP client.
//!
//! Tenants name the addresses that [`Client`] calls, so it resolves, classifies every address, and
//! connects to exactly what it classified: no second lookup, no redirect, no proxy, no cookie, no
//! compression. What is never here: a way around the [`Policy`], or what the answers mean.
//! [`ApiClient`] is the command line's: it calls the server that its operator names.

mod address;
mod api_client;
mod client;
mod error;
mod header;
mod policy;
mod resolve;

pub use api_client::ApiClient;
pub use bytes::Bytes;
pub use client::{Client, Request, Response};
pub use error::{Cause, OutboundError};
pub use header::{HeaderRefusal, check_header};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method};
pub use ipnet::IpNet;
pub use policy::{Policy, UrlRefusal};
pub use resolve::{Looking, Lookup, SystemLookup};
pub use url::Url;
