//! Asks a server whether a key still works, with the key itself: it goes to that server and nowhere else.

use outbound::{ApiClient, Method};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::search::{Found, What};
use crate::cli::{Failure, Kind, Terminal, keys::check_url};

/// How a key stands with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It works.
    Live,
    /// It does not.
    Dead(String),
    /// Nobody knows, and why.
    Unknown(String),
}

impl Standing {
    pub(super) fn words(&self) -> (Option<&'static str>, Option<String>) {
        match self {
            Self::Live => (Some("live"), None),
            Self::Dead(why) => (Some("dead"), Some(why.clone())),
            Self::Unknown(why) => (Some("unknown"), Some(why.clone())),
        }
    }
}

pub(super) struct Asker {
    http: ApiClient,
    url: String,
    runtime: Runtime,
}

impl Asker {
    pub(super) fn new(url: &str, terminal: &Terminal) -> Result<Self, Failure> {
        let url = check_url("--server", url, terminal)?;
        let http = ApiClient::new().map_err(|error| Failure::new(Kind::Failure, "FAILED", error.to_string()))?;
        Ok(Self { http, url, runtime: Builder::new_current_thread().enable_all().build()? })
    }

    /// `GET /v1/me`: the server says who the key is, that it was let in and may not, or that it knows no such key.
    pub(super) fn ask(&self, found: &Found) -> Standing {
        if matches!(found.kind, What::Trigger | What::WebhookSecret) {
            return Standing::Unknown("it cannot be asked about".to_owned());
        }
        let url = format!("{}/v1/me", self.url);
        let sent = self.runtime.block_on(self.http.send(Method::GET, &url, Some(&found.text), None));
        let (status, body) = match sent {
            Ok(answer) => answer,
            Err(error) => return Standing::Unknown(format!("the server was not reached: {error}")),
        };
        let answer: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        judge(status, answer["error"]["code"].as_str().unwrap_or_default())
    }
}

fn judge(status: u16, code: &str) -> Standing {
    match (status, code) {
        // 403 with a code of ours: it is known, and another place or another operation would have let it in.
        (200, _) | (403, "ORIGIN_NOT_ALLOWED" | "WRONG_CREDENTIAL" | "INSUFFICIENT_PERMISSIONS") => Standing::Live,
        (401, "API_KEY_EXPIRED") => Standing::Dead("expired".to_owned()),
        (401, "INVALID_API_KEY") => Standing::Dead("unknown there, or revoked".to_owned()),
        (429, _) => Standing::Unknown("the server asks to wait".to_owned()),
        _ => Standing::Unknown(format!("the server answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_s_own_failure_never_makes_a_key_dead() {
        assert_eq!(judge(200, ""), Standing::Live);
        assert_eq!(judge(403, "ORIGIN_NOT_ALLOWED"), Standing::Live);
        assert!(matches!(judge(401, "API_KEY_EXPIRED"), Standing::Dead(why) if why == "expired"));
        assert!(matches!(judge(401, "INVALID_API_KEY"), Standing::Dead(_)));
        for (status, code) in [(429, "RATE_LIMITED"), (503, "UNAVAILABLE"), (404, ""), (401, ""), (302, ""), (403, "")]
        {
            assert!(matches!(judge(status, code), Standing::Unknown(_)), "{status}");
        }
    }
}
