//! What the surface of an existing widget server does differently (seed S4): which headers carry its
//! credentials, in which order a request is looked at, and what its errors say.

use access::{Access, Caller, Limit, Refusal, StaticCaller, StaticKind, Tenant};
use cluster::{Bucket, Lookup, Verdict};
use credential::{
    compare::StaticKey,
    key::{Family, Form},
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::{
    Problem, Reason,
    authenticate::{Identity, Surroundings},
    cors, credentials,
    flow::Inner,
};

/// Which pages may use the keys of the environment (`CORS_ORIGIN`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    /// `*`
    Any,
    /// These origins, as browsers write them.
    Listed(Vec<String>),
}

/// The keys of the operator's environment, and what they reach.
#[derive(Debug)]
pub struct DropInConfig {
    /// `WIDGET_API_KEY`: chats.
    pub widget: Option<StaticKey>,
    /// `ADMIN_API_KEY`: reads the conversations.
    pub admin: Option<StaticKey>,
    /// Whose data both reach.
    pub tenant: Tenant,
    /// Which pages may use them.
    pub origins: CorsOrigins,
}

impl DropInConfig {
    const fn identity(&self, kind: StaticKind) -> Identity {
        Identity { caller: Caller::Static(StaticCaller { kind, tenant: self.tenant }), key: None }
    }
}

/// What a header holds.
#[derive(Debug, PartialEq, Eq)]
enum Sent<'a> {
    Nothing,
    One(&'a [u8]),
    /// Several: no key.
    Several,
}

/// The first of the headers that is there. It counts also when it is empty: the servers that these clients
/// know look no further.
fn first_of<'a>(headers: &'a HeaderMap, names: &[&'static str]) -> Sent<'a> {
    for name in names {
        let mut values = headers.get_all(*name).iter();
        match (values.next(), values.next()) {
            (None, _) => {}
            (Some(one), None) => return Sent::One(one.as_bytes()),
            (Some(_), Some(_)) => return Sent::Several,
        }
    }
    Sent::Nothing
}

impl Inner {
    /// Who is calling? The keys of the environment come first, so that nothing is parsed or looked up
    /// before both sides are hashed and compared. Whatever proves nothing is one and the same 401.
    ///
    /// # Errors
    /// 401; 429 for an address that keeps guessing; 503 without an admin key, and for our own faults.
    pub(crate) async fn authenticate_drop_in(
        &self,
        access: &Access,
        around: Surroundings<'_>,
    ) -> Result<Identity, Problem> {
        let config = self.config.drop_in.as_ref();
        if access.admits_static_admin() {
            let Some((config, admin)) = config.and_then(|config| Some((config, config.admin.as_ref()?))) else {
                return Err(Problem::admin_key_not_configured());
            };
            return match first_of(around.headers, &["x-admin-api-key"]) {
                Sent::One(presented) if admin.matches(presented) => Ok(config.identity(StaticKind::Admin)),
                Sent::Nothing => Err(Refusal::MissingCredential.into()),
                Sent::One(_) => Err(self.failed(around.noting(Reason::KeyUnknown), Refusal::InvalidApiKey)),
                Sent::Several => Err(self.failed(around.noting(Reason::CredentialsSeveral), Refusal::InvalidApiKey)),
            };
        }
        let presented = match first_of(around.headers, &["x-api-key", "x-widget-api-key"]) {
            Sent::One(presented) => presented,
            Sent::Nothing => return Err(Refusal::MissingCredential.into()),
            Sent::Several => {
                return Err(self.failed(around.noting(Reason::CredentialsSeveral), Refusal::InvalidApiKey));
            }
        };
        if let Some((config, widget)) = config.and_then(|config| Some((config, config.widget.as_ref()?)))
            && widget.matches(presented)
        {
            return Ok(config.identity(StaticKind::Widget));
        }
        match credentials::text(presented).map(|text| self.parser.parse(text)) {
            Some(Ok(Form::Generated { family: Family::Widget, text, .. })) => self.authenticate_key(text, around).await,
            Some(Ok(Form::Generated { text, .. })) => {
                // A server's key in a page is a leak on this surface too; the answer does not say so.
                if let Lookup::Found(key) = self.cluster.lookup(&self.secrets.digest(text), around.now) {
                    around.trace.note_key(&key);
                    if self.is_exposed(&key, around) {
                        around.trace.note(Reason::SecretInBrowser);
                        self.report_exposed(&key, around);
                    }
                }
                Err(self.failed(around.noting(Reason::WrongKind), Refusal::InvalidApiKey))
            }
            _ => Err(self.failed(around.noting(Reason::KeyUnknown), Refusal::InvalidApiKey)),
        }
    }

    /// Charges the address, before anything is read: a flood costs no hashing.
    pub(crate) fn charge_drop_in(&self, limit: Limit, around: Surroundings<'_>) -> Result<Option<Verdict>, Problem> {
        let bucket = match limit {
            Limit::Unlimited | Limit::Signed => return Ok(None),
            Limit::DropIn => Bucket::DropIn(around.address),
            _ => Bucket::Address(around.address),
        };
        let verdict = self.spend(&[Some(bucket)], around);
        if verdict.allowed { Ok(Some(verdict)) } else { Err(Problem::limited(verdict)) }
    }

    /// The widget key of the environment is in everybody's hands, and addresses are many: together they draw on
    /// what the workspace's browsers may.
    pub(crate) fn charge_static(
        &self,
        caller: StaticCaller,
        around: Surroundings<'_>,
    ) -> Result<Option<Verdict>, Problem> {
        if caller.kind != StaticKind::Widget {
            return Ok(None);
        }
        let workspace = self.cluster.budgets_of(caller.tenant.workspace);
        let verdict = self.spend(&[Some(Bucket::Browsers(&workspace))], around);
        if verdict.allowed { Ok(Some(verdict)) } else { Err(Problem::limited(verdict)) }
    }

    /// May a page use the keys of the environment? What comes from no page may.
    pub(crate) fn allows_page(&self, headers: &HeaderMap) -> bool {
        let own = &self.config.own_pages;
        let listed = match self.config.drop_in.as_ref().map(|config| &config.origins) {
            None | Some(CorsOrigins::Any) => return true,
            Some(CorsOrigins::Listed(listed)) => listed,
        };
        cors::page_origin(headers, own)
            .is_none_or(|origin| listed.iter().chain(&own.origins).any(|allowed| allowed == origin))
    }

    /// Which page may read the answer, a refusal included: what `CORS_ORIGIN` says, until a widget key
    /// with a list of its own is known. A page that is not listed is told so: it gets refusals alone.
    pub(crate) fn drop_in_reader(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        match self.config.drop_in.as_ref().map(|config| &config.origins) {
            None | Some(CorsOrigins::Any) => Some(HeaderValue::from_static("*")),
            Some(CorsOrigins::Listed(_)) => {
                let origin = cors::origin(headers).filter(|origin| *origin != "null")?;
                HeaderValue::from_str(origin).ok()
            }
        }
    }
}

/// What the clients of this surface are told, by the house's status and code. `is_query` tells apart what
/// was wrong with the query from what was wrong with the body.
pub(crate) fn said(status: StatusCode, code: &str, is_query: bool) -> (StatusCode, &'static str) {
    let text = match (status.as_u16(), code) {
        (400 | 415 | 422, _) => {
            return (
                StatusCode::BAD_REQUEST,
                if is_query { "Invalid query parameters" } else { "Invalid request payload" },
            );
        }
        (401, _) => "Unauthorized",
        (402, _) => "Insufficient credits",
        (403, "ORIGIN_NOT_ALLOWED") => "Origin not allowed",
        (403, _) => "Forbidden",
        (404, _) => "Conversation not found",
        (405, _) => "Method not allowed",
        (408, _) => "Request timeout",
        (409, _) => "Conflict",
        (413, _) => "Payload too large",
        (429, _) => "Too many requests",
        _ => return (StatusCode::SERVICE_UNAVAILABLE, "Service unavailable"),
    };
    (status, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_said_in_the_words_that_existing_clients_know() {
        let golden = [
            (400, "INVALID_REQUEST", false, 400, "Invalid request payload"),
            (415, "UNSUPPORTED_MEDIA_TYPE", false, 400, "Invalid request payload"),
            (422, "VALIDATION_FAILED", false, 400, "Invalid request payload"),
            (400, "INVALID_REQUEST", true, 400, "Invalid query parameters"),
            (422, "VALIDATION_FAILED", true, 400, "Invalid query parameters"),
            (401, "MISSING_CREDENTIAL", false, 401, "Unauthorized"),
            (401, "API_KEY_EXPIRED", false, 401, "Unauthorized"),
            (402, "INSUFFICIENT_CREDITS", false, 402, "Insufficient credits"),
            (403, "ORIGIN_NOT_ALLOWED", false, 403, "Origin not allowed"),
            (403, "INSUFFICIENT_PERMISSIONS", false, 403, "Forbidden"),
            (404, "NOT_FOUND", true, 404, "Conversation not found"),
            (405, "METHOD_NOT_ALLOWED", false, 405, "Method not allowed"),
            (408, "REQUEST_TIMEOUT", false, 408, "Request timeout"),
            (409, "CONFLICT", false, 409, "Conflict"),
            (413, "PAYLOAD_TOO_LARGE", false, 413, "Payload too large"),
            (429, "RATE_LIMITED", true, 429, "Too many requests"),
            (503, "UNAVAILABLE", false, 503, "Service unavailable"),
            (503, "NOT_CONFIGURED", true, 503, "Service unavailable"),
        ];
        for (status, code, is_query, then, text) in golden {
            let (said_status, said_text) = said(StatusCode::from_u16(status).unwrap(), code, is_query);
            assert_eq!((said_status.as_u16(), said_text), (then, text), "{status} {code}");
        }
    }

    #[test]
    fn the_first_header_that_is_there_counts_also_when_it_is_empty() {
        let sent = |list: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in list {
                headers.append(*name, HeaderValue::from_static(value));
            }
            match first_of(&headers, &["x-api-key", "x-widget-api-key"]) {
                Sent::Nothing => "nothing".to_owned(),
                Sent::Several => "several".to_owned(),
                Sent::One(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            }
        };
        assert_eq!(sent(&[("authorization", "Bearer a")]), "nothing");
        assert_eq!(sent(&[("x-widget-api-key", "b")]), "b");
        assert_eq!(sent(&[("x-widget-api-key", "b"), ("x-api-key", "a")]), "a");
        assert_eq!(sent(&[("x-widget-api-key", "b"), ("x-api-key", "")]), "");
        assert_eq!(sent(&[("x-api-key", "a"), ("x-api-key", "a")]), "several");
    }
}
