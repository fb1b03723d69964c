//! What a customer wants an integration to be, checked as a whole.

use outbound::Client;
use store::IntegrationRecord;

use crate::{
    ChatError, Headers,
    choice::{ECHO, WEBHOOK},
};

const MAX_NAME: usize = 100;
const MAX_MODEL: usize = 200;
const MAX_TIMEOUT_SECONDS: u32 = 300;
const MAX_WEIGHT: u32 = 1000;

/// A new integration. What is absent has a default: `timeout_seconds` 30, `weight` 1, no fallback,
/// the kind as the name.
#[derive(Clone, Debug, Default)]
pub struct NewIntegration {
    /// What people call it, at most 100 characters.
    pub name: Option<String>,
    /// `echo`, `openai` or `webhook`.
    pub kind: String,
    /// The base URL of an `openai` integration; what a `webhook` integration calls.
    pub url: Option<String>,
    /// What the upstream of an `openai` integration calls its model, at most 200 characters.
    pub model: Option<String>,
    /// Sent with each request.
    pub headers: Headers,
    /// 1 to 300: until the head of the answer, and between two parts of it.
    pub timeout_seconds: Option<u32>,
    /// 0 to 1000; 0 is off.
    pub weight: Option<u32>,
    /// Whether it is asked when the chosen one fails.
    pub fallback: Option<bool>,
}

/// A change of an integration; `None` leaves a member as it is.
#[derive(Clone, Debug, Default)]
pub struct IntegrationUpdate {
    /// See [`NewIntegration::name`].
    pub name: Option<String>,
    /// See [`NewIntegration::kind`]; turned to `echo`, it loses URL, model and headers, and to `webhook`, its
    /// model.
    pub kind: Option<String>,
    /// See [`NewIntegration::url`]. Another host, and the headers must be sent again.
    pub url: Option<Option<String>>,
    /// See [`NewIntegration::model`].
    pub model: Option<Option<String>>,
    /// All headers anew; a value of [`crate::HEADER_MASK`] stays what it was.
    pub headers: Option<Headers>,
    /// See [`NewIntegration::timeout_seconds`].
    pub timeout_seconds: Option<u32>,
    /// See [`NewIntegration::weight`].
    pub weight: Option<u32>,
    /// See [`NewIntegration::fallback`].
    pub fallback: Option<bool>,
}

/// Every setting of an integration, after defaults and changes.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) url: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) headers: Headers,
    pub(crate) timeout_seconds: u32,
    pub(crate) weight: u32,
    pub(crate) fallback: bool,
}

impl Draft {
    pub(crate) fn new(new: NewIntegration) -> Self {
        Self {
            name: new.name.unwrap_or_else(|| new.kind.clone()),
            kind: new.kind,
            url: new.url,
            model: new.model,
            headers: new.headers,
            timeout_seconds: new.timeout_seconds.unwrap_or(30),
            weight: new.weight.unwrap_or(1),
            fallback: new.fallback.unwrap_or(false),
        }
    }

    /// `old` with `change` applied; `headers` are the old ones, opened.
    pub(crate) fn change(
        old: &IntegrationRecord,
        headers: Headers,
        change: IntegrationUpdate,
        client: &Client,
    ) -> Result<Self, ChatError> {
        let kind = change.kind.unwrap_or_else(|| old.kind.clone());
        let becomes_echo = kind == ECHO && old.kind != ECHO;
        let (url, model, headers) =
            if becomes_echo { (None, None, Headers::default()) } else { (old.url.clone(), old.model.clone(), headers) };
        let model = model.filter(|_| kind != WEBHOOK);
        let new_url = change.url.unwrap_or_else(|| url.clone());
        let sends_all = change.headers.as_ref().is_some_and(Headers::are_all_new);
        // Who may edit an integration need not know its secrets: a new address must not get them.
        if !headers.is_empty() && !sends_all && !is_same_host(client, url.as_deref(), new_url.as_deref()) {
            return Err(ChatError::invalid("headers", "Send the headers again when the address changes"));
        }
        Ok(Self {
            name: change.name.unwrap_or_else(|| old.name.clone()),
            kind,
            url: new_url,
            model: change.model.unwrap_or(model),
            headers: match change.headers {
                Some(new) => new.keep_masked(&headers)?,
                None => headers,
            },
            timeout_seconds: change.timeout_seconds.unwrap_or(old.timeout_seconds),
            weight: change.weight.unwrap_or(old.weight),
            fallback: change.fallback.unwrap_or(old.fallback),
        })
    }

    /// Checks everything and writes the URL in its canonical form.
    pub(crate) fn check(mut self, client: &Client) -> Result<Self, ChatError> {
        check_length("name", &self.name, MAX_NAME)?;
        if !(1..=MAX_TIMEOUT_SECONDS).contains(&self.timeout_seconds) {
            return Err(ChatError::invalid("timeout_seconds", "It must be between 1 and 300"));
        }
        if self.weight > MAX_WEIGHT {
            return Err(ChatError::invalid("weight", "It must be between 0 and 1000"));
        }
        match self.kind.as_str() {
            ECHO => self.check_echo()?,
            "openai" => self.check_openai(client)?,
            WEBHOOK => self.check_webhook(client)?,
            _ => return Err(ChatError::invalid("kind", "It must be echo, openai or webhook")),
        }
        Ok(self)
    }

    fn check_echo(&self) -> Result<(), ChatError> {
        let field = if self.url.is_some() {
            "url"
        } else if self.model.is_some() {
            "model"
        } else if !self.headers.is_empty() {
            "headers"
        } else {
            return Ok(());
        };
        Err(ChatError::invalid(field, "An echo integration calls nobody and has none"))
    }

    fn check_openai(&mut self, client: &Client) -> Result<(), ChatError> {
        let Some(url) = self.url.as_deref() else {
            return Err(ChatError::invalid(
                "url",
                "An openai integration needs a base URL, such as https://api.openai.com/v1",
            ));
        };
        let url = client.check_url(url).map_err(|refusal| ChatError::invalid("url", refusal.to_string()))?;
        if url.path().trim_end_matches('/').ends_with("/chat/completions") {
            return Err(ChatError::invalid("url", "Leave /chat/completions away: the base URL ends in /v1"));
        }
        self.url = Some(url.into());
        match self.model.as_deref() {
            Some(model) => check_length("model", model, MAX_MODEL)?,
            None => return Err(ChatError::invalid("model", "An openai integration needs a model")),
        }
        self.check_headers()
    }

    fn check_webhook(&mut self, client: &Client) -> Result<(), ChatError> {
        let url = self.url.as_deref();
        let url = url.ok_or_else(|| ChatError::invalid("url", "A webhook integration needs the URL that answers"))?;
        let url = client.check_url(url).map_err(|refusal| ChatError::invalid("url", refusal.to_string()))?;
        self.url = Some(url.into());
        if self.model.is_some() {
            return Err(ChatError::invalid("model", "A webhook integration has none"));
        }
        self.check_headers()
    }

    fn check_headers(&self) -> Result<(), ChatError> {
        if !self.headers.are_all_new() {
            return Err(ChatError::invalid("headers", "Send the value of each header"));
        }
        self.headers.to_wire().map(drop)
    }
}

fn check_length(field: &'static str, text: &str, most: usize) -> Result<(), ChatError> {
    if text.trim().is_empty() || text.chars().count() > most {
        return Err(ChatError::invalid(field, format!("It must have between 1 and {most} characters")));
    }
    Ok(())
}

fn is_same_host(client: &Client, old: Option<&str>, new: Option<&str>) -> bool {
    if old == new {
        return true;
    }
    let origin = |url: Option<&str>| url.and_then(|url| client.check_url(url).ok()).map(|url| url.origin());
    matches!((origin(old), origin(new)), (Some(old), Some(new)) if old == new)
}
