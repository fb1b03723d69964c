//! What handlers answer with; each knows its bytes and its schema.

use std::collections::BTreeMap;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderValue, StatusCode, header};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use store::{Page, PageRequest};

/// An answer: its bytes, and its place in the document.
pub trait Output: Send + 'static {
    /// The media type of the answer.
    const MEDIA_TYPE: Option<&'static str>;

    /// Whether it is a file that is written for whoever asks, and recorded: `HEAD` asks for none.
    const IS_FILE: bool = false;

    /// The answer's schema.
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;

    /// The answer, with the operation's status of success.
    fn into_response(self, status: StatusCode) -> Response;
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    let mut response = Response::new(Body::from(serde_json::to_vec(value).unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// One object of the management resources: `{"data":{…}}`.
#[derive(Debug, Serialize)]
pub struct Data<T> {
    /// The object.
    pub data: T,
}

impl<T> Data<T> {
    /// Wraps it.
    pub const fn new(data: T) -> Self {
        Self { data }
    }
}

impl<T: Serialize + JsonSchema + Send + 'static> Output for Data<T> {
    const MEDIA_TYPE: Option<&'static str> = Some("application/json");

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        let inner = generator.subschema_for::<T>();
        Some(json_schema!({"type": "object", "required": ["data"], "properties": {"data": inner}}))
    }

    fn into_response(self, status: StatusCode) -> Response {
        json(status, &self)
    }
}

/// An object as the seeds show it, without a wrapper: the chat, run and token calls.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Bare<T>(pub T);

impl<T: Serialize + JsonSchema + Send + 'static> Output for Bare<T> {
    const MEDIA_TYPE: Option<&'static str> = Some("application/json");

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn into_response(self, status: StatusCode) -> Response {
        json(status, &self)
    }
}

/// Where in a list this page is.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct ListMeta {
    /// Which page, from 1.
    pub page: u32,
    /// How many a page holds.
    pub per_page: u32,
    /// How many there are in all; counting ends at 10,000.
    pub total: u64,
    /// `true` where there are more than `total`, and absent elsewhere.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub capped: bool,
}

impl ListMeta {
    /// Of this page, which was asked for so.
    #[must_use]
    pub const fn of<R>(page: &Page<R>, request: PageRequest) -> Self {
        Self { page: request.page, per_page: request.per_page, total: page.total, capped: page.is_capped }
    }
}

/// A page of a list: `{"data":[…],"meta":{…}}`.
#[derive(Debug, Serialize)]
pub struct List<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where this page is.
    pub meta: ListMeta,
}

impl<T> List<T> {
    /// A page of rows, each shown by `show`.
    pub fn of<R>(page: Page<R>, request: PageRequest, show: impl FnMut(R) -> T) -> Self {
        let meta = ListMeta::of(&page, request);
        Self { data: page.rows.into_iter().map(show).collect(), meta }
    }
}

impl<T: Serialize + JsonSchema + Send + 'static> Output for List<T> {
    const MEDIA_TYPE: Option<&'static str> = Some("application/json");

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        let (inner, meta) = (generator.subschema_for::<T>(), generator.subschema_for::<ListMeta>());
        Some(json_schema!({
            "type": "object",
            "required": ["data", "meta"],
            "properties": {"data": {"type": "array", "items": inner}, "meta": meta},
        }))
    }

    fn into_response(self, status: StatusCode) -> Response {
        json(status, &self)
    }
}

/// Which page of a list is asked for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub struct PageQuery {
    /// Which page, from 1 to 1,000,000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub page: Option<u32>,
    /// How many rows: 20 by default, 100 at most.
    #[schemars(range(min = 1, max = 100))]
    pub per_page: Option<u32>,
}

/// Which rows of a list that only grows are asked for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub struct LogQuery {
    /// Which page, from 1 to 1,000,000; not with `after`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub page: Option<u32>,
    /// How many rows: 20 by default, 100 at most.
    #[schemars(range(min = 1, max = 100))]
    pub per_page: Option<u32>,
    /// The rows after this id.
    pub after: Option<String>,
}

impl LogQuery {
    /// As [`PageQuery::request`].
    ///
    /// # Errors
    /// As there.
    pub fn request(&self) -> Result<PageRequest, crate::Problem> {
        PageQuery { page: self.page, per_page: self.per_page }.request()
    }
}

impl PageQuery {
    /// The page, checked.
    ///
    /// # Errors
    /// 400 for a page outside 1 to 1,000,000 or a size outside 1 to 100.
    pub fn request(&self) -> Result<PageRequest, crate::Problem> {
        let (page, per_page) = (self.page.unwrap_or(1), self.per_page.unwrap_or(20));
        if !(1..=1_000_000).contains(&page) {
            return Err(crate::Problem::invalid_request("The query parameter `page` is 1 to 1,000,000"));
        }
        if !(1..=100).contains(&per_page) {
            return Err(crate::Problem::invalid_request("The query parameter `per_page` is 1 to 100"));
        }
        Ok(PageRequest { page, per_page })
    }
}

/// Success that says nothing: 204.
#[derive(Clone, Copy, Debug)]
pub struct Empty;

impl Output for Empty {
    const MEDIA_TYPE: Option<&'static str> = None;

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    fn into_response(self, _: StatusCode) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }
}

/// Server-sent events: encoded parts, sent as they come.
pub struct EventStream {
    body: Body,
    content_type: &'static str,
}

impl EventStream {
    /// A stream of already encoded events and comments.
    pub fn new(parts: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        let body = Body::from_stream(parts.map(Ok::<_, std::convert::Infallible>));
        Self { body, content_type: "text/event-stream; charset=utf-8" }
    }

    /// A stream of already encoded lines, each a JSON value: `application/x-ndjson`.
    pub fn ndjson(parts: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self { content_type: "application/x-ndjson; charset=utf-8", ..Self::new(parts) }
    }
}

impl Output for EventStream {
    const MEDIA_TYPE: Option<&'static str> = Some("text/event-stream");

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        // Without a type: some take the schema for the whole text, and some for each event.
        Some(json_schema!({"description": "Server-sent events; each `data` line is JSON"}))
    }

    fn into_response(self, status: StatusCode) -> Response {
        let mut response = Response::new(self.body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        // nginx buffers a streamed answer unless it is told not to.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

/// Bytes of another media type: documents, pages, metrics.
#[derive(Clone, Debug)]
pub struct Raw {
    /// The whole `Content-Type`.
    pub content_type: &'static str,
    /// The bytes.
    pub body: Bytes,
    /// Headers besides it.
    pub headers: BTreeMap<&'static str, HeaderValue>,
    /// Whether the client has these bytes already: 304, without them.
    pub not_modified: bool,
    /// Instead of the operation's status of success.
    pub status: Option<StatusCode>,
}

/// How a page that says a [`crate::Problem`] answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Its status.
    pub status: StatusCode,
    /// After how many seconds it may be tried again (`Retry-After`).
    pub retry_after: Option<u32>,
}

impl From<StatusCode> for Outcome {
    fn from(status: StatusCode) -> Self {
        Self { status, retry_after: None }
    }
}

impl Raw {
    /// Bytes of a media type.
    pub fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { content_type, body: body.into(), headers: BTreeMap::new(), not_modified: false, status: None }
    }

    /// 303: what was posted is done, and the next page is at `path`.
    #[must_use]
    pub fn see_other(path: &str) -> Self {
        Self::new("text/plain; charset=utf-8", Bytes::new())
            .computed_header("location", path)
            .with_status(StatusCode::SEE_OTHER)
    }

    /// With another status than the operation's: a page that says what was wrong, and when to try again.
    #[must_use]
    pub fn with_status(self, status: impl Into<Outcome>) -> Self {
        let Outcome { status, retry_after } = status.into();
        let page = Self { status: Some(status), ..self };
        match retry_after {
            Some(seconds) => page.computed_header("retry-after", &seconds.to_string()),
            None => page,
        }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// With one more header whose value is known at run time; one that is no header's value is left out.
    #[must_use]
    pub fn computed_header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// With an `ETag`, which is `tag` in quotes; 304 if the client's `If-None-Match` names it (RFC 9110,
    /// section 13.1.2).
    #[must_use]
    pub fn tagged(self, tag: &str, if_none_match: Option<&str>) -> Self {
        let quoted = format!("\"{tag}\"");
        let names = |list: &str| {
            list.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == quoted)
        };
        let not_modified = if_none_match.is_some_and(names);
        Self { not_modified, ..self.computed_header("etag", &quoted) }
    }
}

impl Output for Raw {
    const MEDIA_TYPE: Option<&'static str> = Some("*/*");

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    fn into_response(self, status: StatusCode) -> Response {
        let (body, status) = if self.not_modified {
            (Bytes::new(), StatusCode::NOT_MODIFIED)
        } else {
            (self.body, self.status.unwrap_or(status))
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_where_counting_ended_and_else_nothing_of_it() {
        let request = PageRequest { page: 2, per_page: 20 };
        let meta = |total, is_capped| {
            let page = Page { rows: vec![()], total, is_capped };
            serde_json::to_string(&List::of(page, request, |()| 1)).unwrap()
        };
        assert_eq!(meta(21, false), r#"{"data":[1],"meta":{"page":2,"per_page":20,"total":21}}"#);
        let many = r#"{"data":[1],"meta":{"page":2,"per_page":20,"total":10000,"capped":true}}"#;
        assert_eq!(meta(store::MAX_TOTAL, true), many);
    }
}
