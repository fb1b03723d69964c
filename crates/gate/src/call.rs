use std::{fmt, net::IpAddr, str::FromStr};

use access::{Access, Actor, Caller, Tenant};
use ambient::{Millis, RequestId};
use http::{HeaderMap, HeaderValue, Uri, header};
use store::AuditEntry;

use crate::{Meta, Method, OwnPages, Problem, Sent, TokenDoor, Upload, cors, idempotency, member, upgrade::Handshake};

/// What the gate knows of a request besides who it is and what it asks.
#[derive(Clone)]
pub struct RequestContext {
    /// Names the request in the answer, the log and the audit.
    pub id: RequestId,
    /// When it arrived.
    pub now: Millis,
    /// The client, behind trusted proxies.
    pub address: IpAddr,
    /// The page that asks; for a page in our own frame, the one that embeds it.
    pub origin: Option<String>,
    /// The last event that the client saw (`Last-Event-ID`): at most 128 visible ASCII characters, and
    /// anything else counts as none.
    pub last_event_id: Option<String>,
    /// The `Idempotency-Key` of a `POST`, without quotes.
    pub idempotency_key: Option<String>,
    /// What the client calls itself (`User-Agent`): at most 256 visible ASCII characters, and anything else counts
    /// as none.
    pub user_agent: Option<String>,
    /// Whether `Accept` names `application/x-ndjson`.
    pub wants_ndjson: bool,
    /// Whether a page that is not of this server's origin made the browser ask (`Sec-Fetch-Site`).
    pub is_led_from_elsewhere: bool,
    /// Whether `Accept-Encoding` names `gzip`.
    pub accepts_gzip: bool,
    /// Which bytes the client has (`If-None-Match`).
    pub if_none_match: Option<String>,
    /// The request as it was sent, of an operation that takes what others sign.
    pub sent: Option<Sent>,
    /// The file, of an operation that takes one.
    pub upload: Option<Upload>,
    pub(crate) uri: Uri,
    pub(crate) cookies: Vec<HeaderValue>,
    pub(crate) handshake: Option<Handshake>,
    pub(crate) door: TokenDoor,
    pub(crate) operation: &'static Meta,
}

/// Without the path, which may be a secret: that of a trigger is.
impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext")
            .field("id", &self.id)
            .field("operation", &self.operation.id)
            .finish_non_exhaustive()
    }
}

/// An admitted request. A handler gets it from the gate and from nowhere else.
#[derive(Debug)]
pub struct Call<I> {
    /// Who is calling.
    pub caller: Caller,
    /// What is asked.
    pub input: I,
    /// The rest.
    pub request: RequestContext,
}

impl<I> Call<I> {
    /// Whose data the caller may reach.
    ///
    /// # Errors
    /// 401 for a stranger, whom the gate lets through on public operations alone.
    pub fn tenant(&self) -> Result<Tenant, Problem> {
        self.caller.tenant().ok_or_else(|| access::Refusal::MissingCredential.into())
    }

    /// The identifier at `{name}` in the path. One that is not well-formed names nothing.
    ///
    /// # Errors
    /// 404.
    pub fn id<T: FromStr>(&self, name: &str) -> Result<T, Problem> {
        self.request.param(name).and_then(|text| text.parse().ok()).ok_or_else(Problem::not_found)
    }

    /// Whether the caller may do what takes a proof of who it is: a person who gave one within the last 15 minutes, or
    /// nobody who could be asked. For what is dangerous to some of what an operation touches;
    /// [`crate::Operation::dangerous`] is for what always is.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        member::is_confirmed(&self.caller, self.request.now)
    }

    /// Who did it, for the audit record.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::of(&self.caller, Some(self.request.address), self.request.id)
    }

    /// The audit record of this operation, by `actor`.
    #[must_use]
    pub fn audit<'a>(&self, actor: &'a Actor, detail: Option<serde_json::Value>) -> AuditEntry<'a> {
        AuditEntry { actor, action: self.request.operation.id, detail }
    }
}

/// When, who and from where, as the gate found out.
pub(crate) struct Found<'a> {
    pub(crate) id: RequestId,
    pub(crate) now: Millis,
    pub(crate) address: IpAddr,
    pub(crate) own_pages: &'a OwnPages,
    pub(crate) handshake: Option<Handshake>,
    pub(crate) door: TokenDoor,
}

impl RequestContext {
    /// Who may ask for it: what goes on after its answer has begun asks again.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.operation.access
    }

    /// Reads what handlers may know of the headers; a credential is none of it.
    pub(crate) fn read(
        found: Found<'_>,
        headers: &HeaderMap,
        uri: Uri,
        operation: &'static Meta,
    ) -> Result<Self, Problem> {
        let is_post = operation.method == Method::Post;
        Ok(Self {
            id: found.id,
            now: found.now,
            address: found.address,
            origin: cors::page_origin(headers, found.own_pages).filter(|text| !text.is_empty()).map(str::to_owned),
            last_event_id: visible(headers, "last-event-id", 128),
            idempotency_key: if is_post { idempotency::read_key(headers)? } else { None },
            user_agent: visible(headers, "user-agent", 256),
            wants_ndjson: lists(headers, header::ACCEPT, "application/x-ndjson"),
            is_led_from_elsewhere: is_led_from_elsewhere(headers),
            accepts_gzip: lists(headers, header::ACCEPT_ENCODING, "gzip"),
            if_none_match: visible(headers, "if-none-match", 1024),
            sent: None,
            upload: None,
            uri,
            cookies: headers.get_all(header::COOKIE).iter().map(sensitive).collect(),
            handshake: found.handshake,
            door: found.door,
            operation,
        })
    }

    /// The value of a cookie; `None` without it, and when it is there twice: who set the second?
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let texts = self.cookies.iter().filter_map(|line| line.to_str().ok());
        let pairs = texts.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(of, _)| *of == name).map(|(_, value)| value);
        values.next().filter(|_| values.next().is_none())
    }

    /// The first value of a parameter of the query, decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.uri.query().unwrap_or("").as_bytes());
        pairs.find(|(of, _)| of == name).map(|(_, value)| value.into_owned())
    }

    /// The address that was asked for, without the host.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
    }

    /// The operation's name, which is its action in the audit log.
    #[must_use]
    pub const fn operation_id(&self) -> &'static str {
        self.operation.id
    }

    /// What checks tokens that did not come in a header.
    #[must_use]
    pub fn door(&self) -> TokenDoor {
        self.door.clone()
    }

    /// The segment of the path at `{name}`, as it was sent.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let pattern = self.operation.path.split('/');
        pattern.zip(self.uri.path().split('/')).find_map(|(pattern, segment)| {
            let inner = pattern.strip_prefix('{')?.strip_suffix('}')?;
            (inner == name).then_some(segment)
        })
    }
}

/// `none` is an address that the person typed or kept; what is no browser says nothing.
fn is_led_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

/// Never in a `Debug`.
fn sensitive(value: &HeaderValue) -> HeaderValue {
    let mut value = value.clone();
    value.set_sensitive(true);
    value
}

/// One header of visible ASCII characters, spaces included, or none.
fn visible(headers: &HeaderMap, name: &str, longest: usize) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    let fits = (1..=longest).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    fits.then(|| text.to_owned())
}

/// Whether a header that lists alternatives names `wanted`, and does not refuse it by `q=0`.
pub(crate) fn lists(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    let texts = headers.get_all(name);
    texts.iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let names = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(wanted));
        let refused = |part: &str| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0))
        };
        names && !parts.any(refused)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            header::HeaderName::from_static(name),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        )])
    }

    #[test]
    fn what_is_no_visible_text_counts_as_none() {
        let read = |value: &str| visible(&headers("last-event-id", value), "last-event-id", 128);
        assert_eq!(read("msg_1-7").as_deref(), Some("msg_1-7"));
        for bad in ["", "é", "a\tb", &"a".repeat(129)] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        assert_eq!(visible(&HeaderMap::new(), "last-event-id", 128), None);
    }

    #[test]
    fn a_page_of_another_origin_leads_from_elsewhere() {
        let led = |site: &str| is_led_from_elsewhere(&headers("sec-fetch-site", site));
        assert!(led("cross-site") && led("same-site") && led("later") && led(""));
        assert!(!led("same-origin") && !led("none") && !is_led_from_elsewhere(&HeaderMap::new()));
    }

    #[test]
    fn an_alternative_is_found_in_a_list_unless_it_is_refused() {
        for yes in
            ["application/x-ndjson", "text/html, Application/X-NDJSON;q=0.9", "a/b;q=0,application/x-ndjson; q=1"]
        {
            assert!(lists(&headers("accept", yes), header::ACCEPT, "application/x-ndjson"), "{yes}");
        }
        for no in [
            "",
            "*/*",
            "application/json",
            "application/x-ndjson;q=0",
            "application/x-ndjson2",
            "x;application/x-ndjson",
        ] {
            assert!(!lists(&headers("accept", no), header::ACCEPT, "application/x-ndjson"), "{no}");
        }
    }
}
