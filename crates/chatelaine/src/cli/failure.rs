use std::process::ExitCode;

use crate::{StartError, cli::Terminal, config::ConfigError};

/// Why a command did not do what it was asked; decides the exit code, which scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something went wrong.
    Failure = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// 401 or 403: the credential may not.
    Refused = 4,
    /// The state of things forbids it.
    Conflict = 5,
    /// Too many requests.
    RateLimited = 6,
    /// The server could not be reached.
    Network = 7,
}

/// A failed command: what, why, and what to do next, in one or two sentences.
#[derive(Debug)]
pub struct Failure {
    /// Which exit code.
    pub kind: Kind,
    /// The server's stable code, or ours.
    pub code: String,
    /// For the person.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, code: &str, message: impl Into<String>) -> Self {
        Self { kind, code: code.to_owned(), message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, "USAGE", message)
    }

    /// Says it on `err`, as JSON when the caller reads JSON.
    pub(crate) fn report(&self, terminal: &Terminal, json: bool) -> ExitCode {
        if json {
            let envelope = serde_json::json!({"error": {"code": self.code, "message": self.message}});
            terminal.err(envelope.to_string());
        } else {
            terminal.err(format!("error: {}", self.message));
        }
        ExitCode::from(self.kind as u8)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Kind::Usage, "CONFIGURATION", error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::new(Kind::Failure, "NOT_STARTED", error.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Kind::Failure, "FAILED", format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Kind::Failure, "FAILED", error.to_string())
    }
}
