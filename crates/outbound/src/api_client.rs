use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, header::CONTENT_TYPE};

use crate::{OutboundError, client::base};

const TIMEOUT: Duration = Duration::from_secs(30);
const LIMIT: usize = 16 * 1024 * 1024;

/// The command line's client. Its operator names the server, so no address is refused; redirects
/// are not followed, so that the credential goes nowhere else.
#[derive(Clone, Debug)]
pub struct ApiClient(reqwest::Client);

impl ApiClient {
    /// A client without any state.
    ///
    /// # Errors
    /// [`OutboundError::Setup`] when TLS cannot be set up.
    pub fn new() -> Result<Self, OutboundError> {
        let builder = || base().timeout(TIMEOUT);
        builder()
            .build()
            .or_else(|_| builder().tls_certs_only([]).build())
            .map(Self)
            .map_err(|e| OutboundError::Setup(e.into()))
    }

    /// Sends `json` as it is and gives back status and body (at most 16 MiB, within 30 s).
    ///
    /// # Errors
    /// See [`OutboundError`]; a 4xx or 5xx is an answer, not an error.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        bearer: Option<&str>,
        json: Option<Vec<u8>>,
    ) -> Result<(u16, Bytes), OutboundError> {
        let mut request = self.0.request(method, url);
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        if let Some(json) = json {
            request = request.header(CONTENT_TYPE, "application/json").body(json);
        }
        let mut response = request.send().await.map_err(OutboundError::from_client)?;
        let mut all = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(OutboundError::from_client)? {
            if chunk.len() > LIMIT - all.len() {
                return Err(OutboundError::TooLarge);
            }
            all.extend_from_slice(&chunk);
        }
        Ok((response.status().as_u16(), all.freeze()))
    }
}
