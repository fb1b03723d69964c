//! Who is calling. A test says `world.widget()` and not how a header is spelled.

use serde_json::Value;

use crate::{Answer, Client, Request};

/// Somebody with a credential, or without.
#[derive(Clone, Debug)]
pub struct Persona {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) id: String,
    pub(crate) credential: Option<String>,
    /// `name=value`, of a person who is signed in.
    pub(crate) cookie: Option<String>,
    pub(crate) origin: Option<String>,
}

impl Persona {
    /// What the access matrix calls it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The key's id, or the conversation's for a session; empty for a stranger.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The plaintext credential; empty for a stranger.
    #[must_use]
    pub fn credential(&self) -> &str {
        self.credential.as_deref().unwrap_or_default()
    }

    /// The cookie of a person who is signed in, as `name=value`; empty for everybody else.
    #[must_use]
    pub fn cookie(&self) -> &str {
        self.cookie.as_deref().unwrap_or_default()
    }

    /// The same browser after an answer that has set another cookie.
    #[must_use]
    pub fn after(&self, answer: &Answer) -> Self {
        let cookie = answer.header("set-cookie").split(';').next().map(str::to_owned);
        Self { cookie: cookie.filter(|text| text.contains('=')), ..self.clone() }
    }

    /// Whose page it is on; `None` for a server.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The same credential from a page on this origin; `None` is from a server.
    #[must_use]
    pub fn at(&self, origin: Option<&str>) -> Self {
        Self { origin: origin.map(str::to_owned), ..self.clone() }
    }

    /// The same persona with another credential, at the same origin.
    #[must_use]
    pub fn with(&self, name: &'static str, credential: impl Into<String>) -> Self {
        Self { name, credential: Some(credential.into()), ..self.clone() }
    }

    /// The same persona at another server.
    #[must_use]
    pub fn on(&self, client: Client) -> Self {
        Self { client, ..self.clone() }
    }

    /// A request with the credential and the origin in it.
    pub fn request(&self, method: &str, target: &str) -> Request {
        let mut request = self.client.request(method, target);
        if let Some(credential) = &self.credential {
            request = request.bearer(credential);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(origin) = &self.origin {
            request = request.origin(origin);
        }
        request
    }

    /// `GET`, answered.
    pub async fn get(&self, target: &str) -> Answer {
        self.request("GET", target).send().await
    }

    /// `POST`, answered.
    pub async fn post(&self, target: &str, body: &Value) -> Answer {
        self.request("POST", target).json(body).send().await
    }

    /// `PATCH`, answered.
    pub async fn patch(&self, target: &str, body: &Value) -> Answer {
        self.request("PATCH", target).json(body).send().await
    }

    /// `DELETE`, answered.
    pub async fn delete(&self, target: &str) -> Answer {
        self.request("DELETE", target).send().await
    }
}
