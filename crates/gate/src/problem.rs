use std::{borrow::Cow, error::Error, fmt};

use access::{Refusal, Role, Scope};
use ambient::RequestId;
use axum::{body::Body, response::Response};
use credential::key::Environment;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

mod people;

/// What was wrong with one field of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where: `scopes[1]`, or empty for the whole.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl FieldError {
    /// An error of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// An answer that is not success: a stable code and a text for the caller, a cause for the
/// operator. The cause goes to the log and never into the answer.
pub struct Problem(Box<Details>);

struct Details {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    required_scope: Option<Scope>,
    required_role: Option<Role>,
    errors: Vec<FieldError>,
    retry_after: Option<u32>,
    verdict: Option<cluster::Verdict>,
    challenge: Option<Challenge>,
    /// What is to be solved before it is tried again.
    puzzle: Option<serde_json::Value>,
    cause: Option<Box<dyn Error + Send + Sync>>,
    /// Which half of the data the page showed that a form is of, or in which there is nothing.
    shown: Option<Environment>,
    /// Of a list that ends before the page that was asked for.
    last_page: Option<u64>,
    /// What the drop-in surface says, where that does not follow from the status.
    said_as: Option<(StatusCode, &'static str)>,
}

#[derive(Clone, Copy)]
enum Challenge {
    NoCredential,
    InvalidToken,
    Signature,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    required_scope: Option<Scope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    required_role: Option<Role>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<&'a serde_json::Value>,
    request_id: RequestId,
}

mod read;

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Details {
            status,
            code,
            message: message.into(),
            required_scope: None,
            required_role: None,
            errors: Vec::new(),
            retry_after: None,
            verdict: None,
            challenge: None,
            puzzle: None,
            cause: None,
            shown: None,
            last_page: None,
            said_as: None,
        }))
    }

    fn with(mut self, change: impl FnOnce(&mut Details)) -> Self {
        change(&mut self.0);
        self
    }

    /// 400 `INVALID_REQUEST`: malformed JSON, header or parameter.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
    }

    /// 402 `INSUFFICIENT_CREDITS`: a metered workspace with nothing left.
    #[must_use]
    pub fn insufficient_credits() -> Self {
        let message = "The workspace has no credits left; grant some, or turn metering off";
        Self::new(StatusCode::PAYMENT_REQUIRED, "INSUFFICIENT_CREDITS", message)
    }

    /// 403 `CHALLENGE_REQUIRED`: a stranger has some work to do first; `challenge` says which.
    #[must_use]
    pub fn challenge_required(challenge: serde_json::Value) -> Self {
        let message = "Solve the challenge, and send its solution with the request";
        Self::new(StatusCode::FORBIDDEN, "CHALLENGE_REQUIRED", message).with(|details| details.puzzle = Some(challenge))
    }

    /// 404 `NOT_FOUND`: absent, or not visible to this credential; the same bytes but for the
    /// request's id.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing here, or it is not visible to this credential")
    }

    /// The same, of a person who is shown this half of the data: it may be in the other one. Other problems stay as they
    /// are.
    #[must_use]
    pub fn looked_for_in(self, shown: Environment) -> Self {
        if self.0.status == StatusCode::NOT_FOUND { self.with(|details| details.shown = Some(shown)) } else { self }
    }

    /// 405 `METHOD_NOT_ALLOWED`; the router adds `Allow`.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "METHOD_NOT_ALLOWED",
            "This path does not take this method; see the `Allow` header",
        )
    }

    /// 408 `REQUEST_TIMEOUT`: the body did not arrive in time.
    #[must_use]
    pub fn request_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "The request body did not arrive in time")
    }

    /// 409 `CONFLICT`.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, "CONFLICT", message)
    }

    /// 413 `PAYLOAD_TOO_LARGE`.
    #[must_use]
    pub fn payload_too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PAYLOAD_TOO_LARGE",
            format!("The request body is over {} KiB", limit / 1024),
        )
    }

    /// 415 `UNSUPPORTED_MEDIA_TYPE`.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_MEDIA_TYPE",
            "Send JSON, with `Content-Type: application/json`",
        )
    }

    /// 415 `UNSUPPORTED_MEDIA_TYPE`, where a form is taken.
    #[must_use]
    pub(crate) fn not_a_form() -> Self {
        let message = "Send a form, with `Content-Type: application/x-www-form-urlencoded`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
    }

    /// 415 `UNSUPPORTED_MEDIA_TYPE`, where JSON and a form are taken.
    #[must_use]
    pub(crate) fn neither_json_nor_form() -> Self {
        let message =
            "Send JSON or a form, with `Content-Type: application/json` or `application/x-www-form-urlencoded`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
    }

    /// 415 `UNSUPPORTED_MEDIA_TYPE`, where a file is taken.
    pub(crate) fn not_such_a_file(kinds: &[&str]) -> Self {
        let message = format!("Send a file, with `Content-Type: {}`", kinds.join("` or `"));
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
    }

    /// 401 `INVALID_SIGNATURE`: a webhook that its sender must sign, and did not, or long ago.
    pub fn invalid_signature(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "INVALID_SIGNATURE", message)
            .with(|details| details.challenge = Some(Challenge::Signature))
    }

    /// 422 `VALIDATION_FAILED`, with every field that is wrong.
    #[must_use]
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let message = errors.first().map_or_else(
            || "The request is well-formed, and not valid".to_owned(),
            |first| {
                if first.field.is_empty() {
                    first.message.clone()
                } else {
                    format!("{}: {}", first.field, first.message)
                }
            },
        );
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_FAILED", message)
            .with(|details| details.errors = errors)
    }

    /// 422 `VALIDATION_FAILED` for one field.
    pub fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::validation(vec![FieldError::new(field, message)])
    }

    /// 429 `RATE_LIMITED`; `retry_after` in seconds, at least 1.
    #[must_use]
    pub fn rate_limited(retry_after: u32) -> Self {
        let retry_after = retry_after.max(1);
        let message = format!("Too many requests; try again in {retry_after} s");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message)
            .with(|details| details.retry_after = Some(retry_after))
    }

    /// 429 `RATE_LIMITED`: the address has as many WebSockets as it may.
    pub(crate) fn too_many_sockets() -> Self {
        let message = "This address has as many WebSockets as it may; close one, or try again later";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message).with(|details| details.retry_after = Some(30))
    }

    /// 429 with the numbers of the budget that refused.
    #[must_use]
    pub fn limited(verdict: cluster::Verdict) -> Self {
        let spent = match verdict.policy {
            "daily-requests" => Some("`daily_requests`: this key has made all its requests of the day"),
            "daily-sessions" => Some("`daily_sessions`: this key has opened all its sessions of 24 hours"),
            "daily-messages" => Some("`daily_messages`: all messages of 24 hours under this key are sent"),
            "key" => Some("`rate_limit`: this key has made all its requests of the minute"),
            _ => None,
        };
        let problem = Self::rate_limited(verdict.retry_after_s).with(|details| details.verdict = Some(verdict));
        match spent {
            Some(spent) => problem.saying(format!("{spent}; try again in {} s", verdict.retry_after_s.max(1))),
            None => problem,
        }
    }

    /// 503 `UNAVAILABLE`: our own fault, never a 401. The cause is for the log.
    pub fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let message = "The server could not do this now; nothing was changed. Try again";
        let cause = cause.into();
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message).with(|details| {
            details.retry_after = Some(1);
            details.cause = Some(cause);
        })
    }

    /// 503 `UNAVAILABLE`: the model did not answer. The drop-in surface says 500, as its clients expect.
    pub fn model_failed(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::unavailable(cause).said_as(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
    }

    /// 503 `NOT_CONFIGURED`: the operator has not set this up; says what.
    pub fn not_configured(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "NOT_CONFIGURED", message)
    }

    /// 503 `NOT_CONFIGURED`: the operator set no admin key.
    #[must_use]
    pub(crate) fn admin_key_not_configured() -> Self {
        const SENTENCE: &str = "ADMIN_API_KEY is not configured on this deployment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "NOT_CONFIGURED", SENTENCE)
            .said_as(StatusCode::SERVICE_UNAVAILABLE, SENTENCE)
    }

    /// 403 `WRONG_CREDENTIAL`, where more can be said than that this kind is not accepted.
    pub fn wrong_credential(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "WRONG_CREDENTIAL", message)
    }

    /// The same in other words, where more is known.
    #[must_use]
    pub fn saying(self, message: impl Into<Cow<'static, str>>) -> Self {
        self.with(|details| details.message = message.into())
    }

    /// What the drop-in surface says instead of what follows from the status: its clients' own words.
    #[must_use]
    pub fn said_as(self, status: StatusCode, text: &'static str) -> Self {
        self.with(|details| details.said_as = Some((status, text)))
    }

    /// The answer in the envelope of the operation's surface.
    pub(crate) fn into_answer(self, meta: &crate::Meta, request_id: RequestId) -> Response {
        match meta.surface {
            crate::Surface::House => self.into_response(request_id),
            crate::Surface::DropIn => self.into_drop_in_response(!meta.method.has_body()),
        }
    }

    /// The answer to a person: the page, with the status and the headers that programs read.
    pub(crate) fn into_page(self, page: crate::Refused, asked: crate::RefusedRequest<'_>) -> Response {
        let mut response = crate::Output::into_response(page(&self, asked), self.status());
        if let Some(seconds) = self.0.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(verdict) = self.0.verdict {
            crate::flow::show_budget(response.headers_mut(), verdict);
        }
        response
    }

    /// The answer as clients of the drop-in surface know it; `is_query` when the input was the query.
    pub(crate) fn into_drop_in_response(self, is_query: bool) -> Response {
        let details = self.0;
        let (status, text) =
            details.said_as.unwrap_or_else(|| crate::drop_in::said(details.status, details.code, is_query));
        let mut response = Response::new(Body::from(serde_json::json!({ "error": text }).to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        if let Some(seconds) = details.retry_after.filter(|_| status != StatusCode::INTERNAL_SERVER_ERROR) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(verdict) = details.verdict {
            crate::flow::show_budget(headers, verdict);
        }
        if status == StatusCode::UNAUTHORIZED {
            // A 401 names a scheme (RFC 9110, section 11.6.1); here it is no registered one.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey realm=\"chatelaine\""));
        }
        response
    }

    pub(crate) fn into_response(self, request_id: RequestId) -> Response {
        let details = self.0;
        let envelope = Envelope {
            error: Inner {
                code: details.code,
                message: &details.message,
                required_scope: details.required_scope,
                required_role: details.required_role,
                errors: &details.errors,
                challenge: details.puzzle.as_ref(),
                request_id,
            },
        };
        let mut response = Response::new(Body::from(serde_json::to_vec(&envelope).unwrap_or_default()));
        *response.status_mut() = details.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        if let Some(seconds) = details.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(verdict) = details.verdict {
            crate::flow::show_budget(headers, verdict);
        }
        match (details.challenge, details.required_scope) {
            (Some(Challenge::NoCredential), _) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"chatelaine\""));
            }
            (Some(Challenge::InvalidToken), _) => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"chatelaine\", error=\"invalid_token\""),
                );
            }
            (Some(Challenge::Signature), _) => {
                // A 401 names a scheme (RFC 9110, section 11.6.1); here it is no registered one.
                let scheme = HeaderValue::from_static("HMAC-SHA256 realm=\"chatelaine\"");
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            (None, Some(scope)) => {
                let text = format!("Bearer realm=\"chatelaine\", error=\"insufficient_scope\", scope=\"{scope}\"");
                if let Ok(value) = HeaderValue::from_str(&text) {
                    headers.insert(header::WWW_AUTHENTICATE, value);
                }
            }
            (None, None) => {}
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::FORBIDDEN);
        let mut problem = Self::new(status, refusal.code(), refusal.message());
        match refusal {
            Refusal::MissingScope(scope) => problem.0.required_scope = Some(scope),
            Refusal::MissingRole(role) => problem.0.required_role = Some(role),
            Refusal::MissingCredential => problem.0.challenge = Some(Challenge::NoCredential),
            _ if status == StatusCode::UNAUTHORIZED => problem.0.challenge = Some(Challenge::InvalidToken),
            _ => {}
        }
        problem
    }
}

impl From<store::StoreError> for Problem {
    fn from(error: store::StoreError) -> Self {
        match error {
            store::StoreError::NotFound => Self::not_found(),
            store::StoreError::Conflict(what) => {
                Self::conflict(format!("Already there, or no longer possible: {what}"))
            }
            other => Self::unavailable(other),
        }
    }
}

impl From<cluster::ClusterError> for Problem {
    fn from(error: cluster::ClusterError) -> Self {
        match error {
            cluster::ClusterError::Store(error) => error.into(),
            cluster::ClusterError::MakerGone => Refusal::InvalidApiKey.into(),
            other => Self::unavailable(other),
        }
    }
}

impl From<ambient::RandomError> for Problem {
    fn from(error: ambient::RandomError) -> Self {
        Self::unavailable(error)
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Problem")
            .field("status", &self.0.status.as_u16())
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("errors", &self.0.errors)
            .field("cause", &self.0.cause)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl Error for Problem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}
