//! The gate: one table of operations, one way in.
//!
//! An [`Operation`] is one value: method, path, types and access. [`Routes::mount`] is the only way
//! to add a route, and from the table come the check of every request, the OpenAPI document and
//! the access matrix. What is never here: SQL, what an operation does, how a reply is encoded.

mod ask;
mod authenticate;
mod body;
mod call;
mod cors;
mod credentials;
mod decisions;
mod door;
mod download;
mod drop_in;
mod enter;
mod flow;
mod idempotency;
mod member;
mod metrics;
mod openapi;
mod operation;
mod output;
mod places;
mod problem;
mod reason;
mod rehearsal;
mod remember;
mod request_ids;
mod request_log;
mod routes;
mod sent;
mod socket;
mod trace;
mod upgrade;
mod upload;

pub use ask::{Answered, Ask};
pub use body::{Nothing, field, patch};
pub use call::{Call, RequestContext};
pub use cors::OwnPages;
pub use decisions::{Agent, Decision, Numbered, Why};
pub use door::TokenDoor;
pub use download::Download;
pub use drop_in::{CorsOrigins, DropInConfig};
pub use flow::{Gate, GateConfig, GateParts, Peer};
pub use member::{SIGN_IN_PURPOSE, SignInCookie};
pub use metrics::Metrics;
pub use openapi::document as openapi_document;
pub use operation::{Meta, Method, Operation, Refused, RefusedRequest, Surface};
pub use output::{Bare, Data, Empty, EventStream, List, ListMeta, LogQuery, Outcome, Output, PageQuery, Raw};
pub use places::SocketPlaces;
pub use problem::{FieldError, Problem};
pub use reason::{Check, Reason};
pub use rehearsal::{Rehearsal, Rehearsed, secret_ends};
pub use remember::{Recalled, Recent};
pub use request_log::{LogLine, LogSink, RequestLog};
pub use routes::Routes;
pub use sent::Sent;
pub use socket::{Gone, Socket, SocketConfig};
pub use upgrade::{SocketTasks, Upgraded};
pub use upload::{Upload, UploadRule};
