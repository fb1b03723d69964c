//! A page asks the API: another operation of the table, in the name of whoever asked for the page, without a
//! second request.

use std::{collections::BTreeMap, fmt::Display};

use access::{Caller, MemberCaller, Tenant};
use axum::response::Response;
use bytes::Bytes;
use credential::key::Environment;
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Call, Download, Meta, Method, Problem, RequestContext, Upload,
    flow::{Admitted, Inner, Mounted},
    idempotency::{self, Claimed},
    member,
};

/// Every operation by its name.
pub(crate) type Table = BTreeMap<&'static str, &'static Mounted>;

/// One question to an operation of the API.
#[derive(Clone, Debug)]
pub struct Ask {
    operation: &'static str,
    path: Vec<(&'static str, String)>,
    query: String,
    body: Bytes,
    file: Option<Bytes>,
    once: Option<String>,
    environment: Option<Environment>,
}

impl Ask {
    /// To the operation with this name, `list_api_keys`.
    #[must_use]
    pub fn to(operation: &'static str) -> Self {
        let (path, query, body) = (Vec::new(), String::new(), Bytes::new());
        Self { operation, path, query, body, file: None, once: None, environment: None }
    }

    /// With `value` for `{name}` in its path.
    #[must_use]
    pub fn at(mut self, name: &'static str, value: impl Display) -> Self {
        self.path.push((name, value.to_string()));
        self
    }

    /// With a parameter of its query.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        let mut pairs = url::form_urlencoded::Serializer::new(std::mem::take(&mut self.query));
        self.query = pairs.append_pair(name, &value.to_string()).finish();
        self
    }

    /// The same where there is a value, and it says something.
    #[must_use]
    pub fn query_if(self, name: &str, value: Option<impl Display>) -> Self {
        match value.map(|value| value.to_string()).filter(|text| !text.is_empty()) {
            Some(text) => self.query(name, text),
            None => self,
        }
    }

    /// With a body.
    #[must_use]
    pub fn body(self, body: &Value) -> Self {
        Self { body: Bytes::from(body.to_string()), ..self }
    }

    /// With a file, which is in memory, of an operation that takes one.
    #[must_use]
    pub fn file(self, bytes: impl Into<Bytes>) -> Self {
        Self { file: Some(bytes.into()), ..self }
    }

    /// What it makes is made once for this nonce of a form, however often the form is sent
    /// (as with `Idempotency-Key`); an empty one says nothing.
    #[must_use]
    pub fn once(self, nonce: &str) -> Self {
        Self { once: Some(nonce.to_owned()).filter(|text| !text.is_empty()), ..self }
    }

    /// A person looks at this half of the data.
    #[must_use]
    pub fn seen_in(self, environment: Environment) -> Self {
        Self { environment: Some(environment), ..self }
    }

    fn nonce(&self) -> Result<Option<String>, Problem> {
        self.once.as_deref().map_or(Ok(()), idempotency::check_key)?;
        Ok(self.once.clone())
    }

    /// As the person who asks sees it.
    fn caller(&self, caller: &Caller) -> Caller {
        match (caller, self.environment) {
            (Caller::Member(member), Some(environment)) => {
                let tenant = Tenant { environment, ..member.tenant };
                Caller::Member(MemberCaller { tenant, ..*member })
            }
            _ => caller.clone(),
        }
    }

    /// Where it would be asked from outside. What is no segment of a path names nothing.
    fn uri(&self, pattern: &str) -> Result<Uri, Problem> {
        let mut path = pattern.to_owned();
        for (name, value) in &self.path {
            let is_segment = !value.is_empty()
                && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.~:".contains(&byte))
                && value.len() <= 255;
            if !is_segment {
                return Err(Problem::not_found());
            }
            path = path.replace(&format!("{{{name}}}"), value);
        }
        let text = if self.query.is_empty() { path } else { format!("{path}?{}", self.query) };
        text.parse().map_err(Problem::unavailable)
    }
}

/// What the operation answered; a refusal is a [`Problem`] instead.
#[derive(Debug)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

impl Answered {
    /// The body, read.
    ///
    /// # Errors
    /// 503 when it is not what the page takes it for.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(Problem::unavailable)
    }
}

impl<I> Call<I> {
    /// Asks another operation in the name of this caller.
    ///
    /// # Errors
    /// Those of the operation; 403 when it does not admit this caller; 503 for one that is none of the table's, or
    /// takes no JSON, and for a change that a mere read asks for.
    pub async fn ask(&self, ask: Ask) -> Result<Answered, Problem> {
        self.request.ask(&self.caller, ask).await
    }
}

impl RequestContext {
    /// As [`Call::ask`], in the name of `caller`, whom the gate has admitted.
    ///
    /// # Errors
    /// As there.
    pub async fn ask(&self, caller: &Caller, ask: Ask) -> Result<Answered, Problem> {
        read(self.respond_to(caller, ask).await?).await
    }

    /// As [`Call::ask`], for an operation that answers with a file: it is sent on while it is written.
    ///
    /// # Errors
    /// As there.
    pub async fn ask_for_file(&self, caller: &Caller, ask: Ask) -> Result<Download, Problem> {
        Ok(Download::passed_on(self.respond_to(caller, ask).await?))
    }

    async fn respond_to(&self, caller: &Caller, ask: Ask) -> Result<Response, Problem> {
        let gate = self.door.gate();
        let mounted = gate.operation(ask.operation)?;
        let meta = &mounted.meta;
        let takes_it = meta.upload.is_some() == ask.file.is_some() && !meta.raw && !meta.form && !meta.is_socket();
        // What changes something runs to its end, also when the browser leaves: so must the page that asks for it.
        if !takes_it || (meta.method.changes() && !self.operation.method.changes()) {
            return Err(Problem::unavailable(format!("`{}` is not for pages like this", meta.id)));
        }
        let caller = ask.caller(caller);
        meta.access.decide(&caller)?;
        member::check_confirmed(meta, &caller, self.now, &ask.body)?;
        let uri = ask.uri(meta.path)?;
        let (nonce, creates) = (ask.nonce()?, meta.creates && meta.method == Method::Post);
        let once = nonce.clone().filter(|_| creates);
        let content = ask.file.clone().unwrap_or_else(|| ask.body.clone());
        // Before the claim: a file that is refused must not hold the nonce.
        let upload = meta.upload.as_ref().zip(ask.file).map(|(rule, file)| Upload::of(file, rule)).transpose()?;
        let claim = idempotency::claim(gate, meta, &caller, once, uri.path(), &content).await?;
        let context = RequestContext {
            uri,
            operation: meta,
            idempotency_key: nonce,
            last_event_id: None,
            if_none_match: None,
            accepts_gzip: false,
            wants_ndjson: false,
            handshake: None,
            upload,
            ..self.clone()
        };
        let run = || (mounted.run)(Admitted { caller: caller.clone(), body: ask.body.clone(), context });
        match claim {
            Claimed::Replay(replay) => replay.answer_to(None).await,
            Claimed::No => run().await,
            Claimed::Fresh(claim) => {
                let outcome = claim.attempt.run(run()).await;
                claim.settle(gate, &caller, outcome, None).await
            }
        }
    }

    /// Every operation of the table, by name.
    pub fn operations(&self) -> impl Iterator<Item = &'static Meta> {
        let table = self.door.gate().operations.get();
        table.into_iter().flat_map(|table| table.values()).map(|mounted| &mounted.meta)
    }

    /// Whether this caller may ask for an operation, by the table: what a menu shows.
    #[must_use]
    pub fn may(&self, caller: &Caller, operation: &str) -> bool {
        self.door.gate().operation(operation).is_ok_and(|mounted| mounted.meta.access.decide(caller).is_ok())
    }
}

async fn read(response: Response) -> Result<Answered, Problem> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(Problem::unavailable)?.to_bytes();
    Ok(Answered { status: parts.status, headers: parts.headers, body })
}

impl Inner {
    fn operation(&self, id: &str) -> Result<&'static Mounted, Problem> {
        let found = self.operations.get().and_then(|table| table.get(id)).copied();
        found.ok_or_else(|| Problem::unavailable(format!("there is no operation `{id}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_into_a_path_stays_one_segment() {
        let uri = |value: &str| Ask::to("get").at("id", value).query("q", "a b&c").uri("/v1/things/{id}");
        assert_eq!(uri("key_01").unwrap().to_string(), "/v1/things/key_01?q=a+b%26c");
        for bad in ["", "a/b", "..%2f", "a?b", "a#b", "ä", " ", &"a".repeat(256)] {
            assert_eq!(uri(bad).unwrap_err().status(), 404, "{bad:?}");
        }
    }

    #[test]
    fn a_nonce_is_what_an_idempotency_key_is() {
        let nonce = |text: &str| Ask::to("get").once(text).nonce();
        assert_eq!(nonce("req_1 ~").unwrap().as_deref(), Some("req_1 ~"));
        assert_eq!(nonce(&"a".repeat(255)).unwrap().map(|text| text.len()), Some(255));
        for bad in ["ä", "a\nb", "\u{7f}", &"a".repeat(256)] {
            assert_eq!(nonce(bad).unwrap_err().status(), 400, "{bad:?}");
        }
    }

    #[test]
    fn an_empty_parameter_or_nonce_says_nothing() {
        let ask = Ask::to("get").query_if("q", Some("")).query_if("r", None::<u8>).query_if("s", Some(1)).once("");
        assert_eq!((ask.query.as_str(), ask.once), ("s=1", None));
    }
}
