use std::{error::Error, fmt};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderValue, StatusCode, header};
use schemars::{Schema, SchemaGenerator};

use crate::Output;

/// A file that is written while it is sent. When its stream fails the connection is cut without the end that
/// HTTP asks for, so that nobody takes a part of the file for the whole.
pub struct Download {
    content_type: HeaderValue,
    file_name: String,
    body: Body,
}

impl Download {
    /// A file of a media type (the whole `Content-Type`) under a name of letters, digits, `.`, `_` and `-`;
    /// other characters of it become `_`.
    pub fn new<E: Into<Box<dyn Error + Send + Sync>> + 'static>(
        content_type: &'static str,
        file_name: &str,
        parts: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Self {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let file_name = file_name.chars().map(|letter| if plain(letter) { letter } else { '_' }).collect();
        Self { content_type: HeaderValue::from_static(content_type), file_name, body: Body::from_stream(parts) }
    }

    /// The file that another operation has answered with.
    pub(crate) fn passed_on(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let named = parts.headers.get(header::CONTENT_DISPOSITION).and_then(|value| value.to_str().ok());
        let file_name = named.and_then(|value| value.split('"').nth(1)).unwrap_or("file").to_owned();
        let plain = HeaderValue::from_static("application/octet-stream");
        let content_type = parts.headers.get(header::CONTENT_TYPE).cloned().unwrap_or(plain);
        Self { content_type, file_name, body }
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("file_name", &self.file_name).finish_non_exhaustive()
    }
}

impl Output for Download {
    const MEDIA_TYPE: Option<&'static str> = Some("*/*");
    const IS_FILE: bool = true;

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    fn into_response(self, status: StatusCode) -> Response {
        let mut response = Response::new(self.body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, self.content_type);
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{}\"", self.file_name)) {
            headers.insert(header::CONTENT_DISPOSITION, value);
        }
        // nginx buffers a streamed answer unless it is told not to.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_stream_that_fails_fails_the_body() {
        let parts = [Ok(Bytes::from_static(b"a,b\r\n")), Err("the database went away")];
        let response = Download::new("text/csv", "x.csv", stream::iter(parts)).into_response(StatusCode::OK);
        let mut body = response.into_body();
        assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
        assert!(body.frame().await.is_some_and(|frame| frame.is_err()), "an end would look like the whole");
    }

    #[test]
    fn what_is_passed_on_is_the_same_file() {
        let parts = || stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from_static(b"a,b"))]);
        let first = Download::new("text/csv", "x.csv", parts()).into_response(StatusCode::OK);
        let second = Download::passed_on(first).into_response(StatusCode::OK);
        assert_eq!(second.headers()[header::CONTENT_DISPOSITION], "attachment; filename=\"x.csv\"");
        assert_eq!(second.headers()[header::CONTENT_TYPE], "text/csv");
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        let parts = stream::empty::<Result<Bytes, std::convert::Infallible>>();
        let response = Download::new("text/csv", "a\";\r\n é.csv", parts).into_response(StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_DISPOSITION], "attachment; filename=\"a______.csv\"");
    }
}
