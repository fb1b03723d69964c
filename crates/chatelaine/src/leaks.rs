//! Where the keys come from that reports of leaks are signed with.

use std::time::Duration;

use api::FetchReporterKeys;
use outbound::{Client, Method, Request};

/// The largest list of keys, in bytes; GitHub's has some hundreds.
const MAX_LIST: usize = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// Fetches the list at `url`, under the operator's rules for calls.
pub(crate) fn fetch_from(outbound: Client, url: String) -> FetchReporterKeys {
    Box::new(move || {
        let (outbound, url) = (outbound.clone(), url.clone());
        Box::pin(async move {
            let url = outbound.check_url(&url).map_err(|refusal| refusal.to_string())?;
            let request = Request { url, headers: Vec::new(), body: bytes::Bytes::new(), timeout: PATIENCE };
            let answer = outbound.call(Method::GET, request).await.map_err(|error| error.to_string())?;
            if answer.status != 200 {
                return Err(format!("the answer is {}", answer.status));
            }
            answer.bytes(MAX_LIST).await.map_err(|error| error.to_string())
        })
    })
}
