//! MCP servers, spoken to by the protocol's own SDK over our guarded client: the SDK never makes a connection.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use access::Tenant;
use futures_util::{StreamExt, stream};
use outbound::{Bytes, Client, HeaderName, HeaderValue, Method, OutboundError, Request, Response, Url, check_header};
use parking_lot::Mutex;
use rmcp::{
    ErrorData, RoleClient, ServiceError,
    model::{
        CallToolRequestParams, ClientJsonRpcMessage, ClientRequest, PaginatedRequestParams, ProtocolVersion,
        ServerJsonRpcMessage,
    },
    service::{ClientLifecycleMode, RunningService, serve_client_with_lifecycle},
    transport::{
        StreamableHttpClientTransport,
        streamable_http_client::{
            SseError, StreamableHttpClient, StreamableHttpClientTransportConfig, StreamableHttpError,
            StreamableHttpPostResponse,
        },
    },
};
use runs::Opened;
use serde_json::{Map, Value};
use sse_stream::{Sse, SseStream};
use tokio::time::timeout;

use crate::{
    LoopError,
    cut::Outcome,
    http::{IDEMPOTENCY_KEY, hidden, of_connection, read_arguments, sentence},
    loops::Inner,
    tool::McpTool,
    toolbox::NoTools,
};

/// How long a server may take until it has said which tools it has.
const OPEN_PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of one answer of a server.
const MAX_ANSWER: usize = 1024 * 1024;
/// The most pages of its list of tools that are read.
const MAX_PAGES: usize = 4;
const MAX_DESCRIPTION: usize = 1024;
const SESSION_HEADER: HeaderName = HeaderName::from_static("mcp-session-id");

/// A server that is spoken to. Dropping it ends that.
pub(crate) struct Server {
    service: RunningService<RoleClient, ()>,
    /// Of the call that is made; a server is asked one thing at a time.
    key: Arc<Mutex<Option<String>>>,
    opened: Option<Opened>,
    patience: Duration,
}

/// A tool that a server has.
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) parameters: Map<String, Value>,
}

impl Server {
    /// Says hello and asks for the tools.
    pub(crate) async fn open(inner: &Inner, tenant: Tenant, tool: &McpTool) -> Result<(Self, Vec<Found>), NoTools> {
        let url = inner.parts.outbound.check_url(&tool.url).map_err(|_| NoTools::Failed("mcp_address_refused"))?;
        let opened = match tool.connection {
            None => None,
            Some(id) => match inner.parts.runs.open_connection(tenant, &id.to_string(), &url).await {
                Err(error) => return Err(NoTools::Unavailable(LoopError::unavailable(error))),
                Ok(Err(code)) => {
                    tracing::info!(reason = of_connection(code), "an MCP server is not asked");
                    return Err(NoTools::Failed("mcp_connection"));
                }
                Ok(Ok(opened)) => Some(opened),
            },
        };
        let mut own = Vec::new();
        if let Some(opened) = &opened {
            opened.join(&mut own);
        }
        let key = Arc::new(Mutex::new(None));
        let patience = Duration::from_secs(tool.timeout_seconds.into());
        let client = inner.parts.outbound.clone();
        let guarded = Guarded { client, own: Arc::new(own), patience, key: Arc::clone(&key) };
        let config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
            .max_concurrent_requests(1)
            .max_sse_event_size(MAX_ANSWER)
            .max_json_response_size(MAX_ANSWER)
            // What may have been done is not done again behind our back.
            .reinit_on_expired_session(false);
        let transport = StreamableHttpClientTransport::with_client(guarded, config);
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::LATEST],
            legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
        };
        let opening = async {
            let service = serve_client_with_lifecycle((), transport, lifecycle).await.map_err(|_| ())?;
            let found = list(&service).await.map_err(|_| ())?;
            Ok::<_, ()>((service, found))
        };
        match timeout(OPEN_PATIENCE, opening).await {
            Ok(Ok((service, found))) => Ok((Self { service, key, opened, patience }, found)),
            Ok(Err(())) | Err(_) => Err(NoTools::Failed("mcp_unavailable")),
        }
    }

    /// What came of a call.
    pub(crate) async fn call(&self, name: &str, arguments: &str, key: &str) -> Outcome {
        let arguments = match read_arguments(arguments) {
            Ok(arguments) => arguments,
            Err(sentence) => return Outcome::error(sentence),
        };
        let mut params = CallToolRequestParams::new(name.to_owned());
        params.arguments = Some(arguments);
        *self.key.lock() = Some(key.to_owned());
        let called = timeout(self.patience, self.service.call_tool(params)).await;
        *self.key.lock() = None;
        let (text, is_error) = match called {
            Err(_) => (sentence(&OutboundError::Timeout), true),
            // What the server says is for the model; what the way there says may name it.
            Ok(Err(ServiceError::McpError(error))) => (error.message.into_owned(), true),
            Ok(Err(_)) => ("No answer: the server could not be spoken to.".to_owned(), true),
            Ok(Ok(result)) => (text_of(&result), result.is_error == Some(true)),
        };
        let text = match &self.opened {
            Some(opened) => hidden(opened, text),
            None => text,
        };
        Outcome::of(text, is_error)
    }
}

async fn list(service: &RunningService<RoleClient, ()>) -> Result<Vec<Found>, ServiceError> {
    let (mut found, mut cursor) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let page = service.list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor))).await?;
        found.extend(page.tools.into_iter().map(|tool| Found {
            name: tool.name.into_owned(),
            description: tool.description.unwrap_or_default().chars().take(MAX_DESCRIPTION).collect(),
            parameters: tool.input_schema.as_ref().clone(),
        }));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(found)
}

/// Texts as they are, anything else as JSON; what is structured, where there is nothing else.
fn text_of(result: &rmcp::model::CallToolResult) -> String {
    let blocks = serde_json::to_value(&result.content).unwrap_or_default();
    let texts: Vec<String> = blocks
        .as_array()
        .into_iter()
        .flatten()
        .map(|block| match block["type"].as_str() {
            Some("text") => block["text"].as_str().unwrap_or_default().to_owned(),
            _ => block.to_string(),
        })
        .collect();
    match (&result.structured_content, texts.is_empty()) {
        (Some(value), true) => value.to_string(),
        _ => texts.join("\n"),
    }
}

/// The SDK's way out.
#[derive(Clone)]
struct Guarded {
    client: Client,
    /// Of the connection.
    own: Arc<Vec<(HeaderName, HeaderValue)>>,
    patience: Duration,
    key: Arc<Mutex<Option<String>>>,
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}

type Wrong = StreamableHttpError<OutboundError>;

impl Guarded {
    async fn send(
        &self,
        method: Method,
        uri: &str,
        session: Option<&str>,
        given: HashMap<HeaderName, HeaderValue>,
        body: Bytes,
    ) -> Result<Response, Wrong> {
        let url: Url = self.client.check_url(uri).map_err(|refusal| Wrong::Client(refusal.into()))?;
        let mut headers: Vec<_> = given.into_iter().collect();
        if let Some(session) = session {
            headers.extend(HeaderValue::from_str(session).ok().map(|session| (SESSION_HEADER, session)));
        }
        headers.retain(|(name, _)| self.own.iter().all(|(own, _)| own != name));
        headers.extend(self.own.iter().cloned());
        if let Some(key) = &*self.key.lock() {
            headers.extend(check_header(IDEMPOTENCY_KEY, key));
        }
        let request = Request { url, headers, body, timeout: self.patience };
        self.client.call(method, request).await.map_err(Wrong::Client)
    }
}

impl StreamableHttpClient for Guarded {
    type Error = OutboundError;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Wrong> {
        let body = Bytes::from(serde_json::to_vec(&message)?);
        let response = self.send(Method::POST, &uri, session.as_deref(), headers, body).await?;
        let status = response.status;
        let waits = matches!(message, ClientJsonRpcMessage::Request(_));
        let head = |name: &str| response.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let kind = head("content-type").unwrap_or_default().to_ascii_lowercase();
        let next = head("mcp-session-id");
        match status {
            202 | 204 => Ok(StreamableHttpPostResponse::Accepted),
            200..300 if kind.starts_with("text/event-stream") => {
                Ok(StreamableHttpPostResponse::Sse(SseStream::from_bytes_stream(pieces(response)).boxed(), next))
            }
            200..300 if kind.starts_with("application/json") && waits => {
                let body = response.bytes(MAX_ANSWER).await.map_err(Wrong::Client)?;
                Ok(StreamableHttpPostResponse::Json(serde_json::from_slice(&body)?, next))
            }
            200..300 if !waits => Ok(StreamableHttpPostResponse::Accepted),
            200..300 => Err(Wrong::UnexpectedContentType(Some(kind))),
            404 if session.is_some() => Err(Wrong::SessionExpired),
            // A server of an older revision knows no discovery, and says so in its own way.
            400 | 402 | 404..=499 if session.is_none() => match of_older(&message, response).await {
                Some(answer) => Ok(answer),
                None => Err(Wrong::UnexpectedServerResponse(format!("HTTP {status}").into())),
            },
            _ => Err(Wrong::UnexpectedServerResponse(format!("HTTP {status}").into())),
        }
    }

    async fn get_stream(
        &self,
        _: Arc<str>,
        _: Option<Arc<str>>,
        _: Option<String>,
        _: Option<String>,
        _: HashMap<HeaderName, HeaderValue>,
    ) -> Result<stream::BoxStream<'static, Result<Sse, SseError>>, Wrong> {
        // What a server would say unasked is nothing that a loop waits for.
        Err(Wrong::ServerDoesNotSupportSse)
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        _: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Wrong> {
        self.send(Method::DELETE, &uri, Some(&session), headers, Bytes::new()).await.map(|_| ())
    }
}

async fn of_older(message: &ClientJsonRpcMessage, response: Response) -> Option<StreamableHttpPostResponse> {
    let ClientJsonRpcMessage::Request(request) = message else { return None };
    let body = response.bytes(MAX_ANSWER).await.unwrap_or_default();
    let said = serde_json::from_slice(&body).ok();
    let error = match (said, &request.request) {
        (Some(ServerJsonRpcMessage::Error(said)), _) => said.error,
        (_, ClientRequest::DiscoverRequest(_)) => ErrorData::invalid_request("server/discover is not known", None),
        _ => return None,
    };
    Some(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::error(error, Some(request.id.clone())), None))
}

/// The body, as far as one answer may go.
fn pieces(response: Response) -> impl futures_util::Stream<Item = Result<Bytes, OutboundError>> + Send + 'static {
    stream::unfold(Some((response, 0)), |state| async move {
        let (mut response, read) = state?;
        match response.chunk().await {
            Ok(None) => None,
            Ok(Some(chunk)) if read + chunk.len() > MAX_ANSWER => Some((Err(OutboundError::TooLarge), None)),
            Ok(Some(chunk)) => {
                let read = read + chunk.len();
                Some((Ok(chunk), Some((response, read))))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
}
