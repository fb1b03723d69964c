use std::marker::PhantomData;

use access::Access;
use schemars::{Schema, SchemaGenerator};

use crate::{Problem, Raw, Upgraded, UploadRule};

/// The methods that operations use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads; changes nothing.
    Get,
    /// Creates or acts.
    Post,
    /// Changes what is named, leaves the rest.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// The text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether the input is the body; else it is the query.
    pub(crate) const fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Patch)
    }

    /// Whether it may change something: it is then run to its end even when the client leaves.
    pub(crate) const fn changes(self) -> bool {
        !matches!(self, Self::Get)
    }
}

/// Which clients an operation speaks to: what it reads a credential from, and what its errors look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Surface {
    /// The house's own: one credential, one envelope.
    House,
    /// Clients of an existing widget server (seed S4): its header names, its error bodies.
    DropIn,
}

/// An operation without its types: a row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// How it is called.
    pub method: Method,
    /// Where: `/v1/api-keys/{id}`.
    pub path: &'static str,
    /// Its name, `create_api_key`: the same in the document, the log, the metrics and the audit.
    pub id: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Whom it admits.
    pub access: Access,
    /// The status of success.
    pub status: u16,
    /// Whether it creates something, and so honours `Idempotency-Key`.
    pub creates: bool,
    /// Which clients it speaks to.
    pub surface: Surface,
    /// Whether its body is the form of a page of ours, instead of JSON.
    pub form: bool,
    /// Whether a browser may send it from a page of ours alone.
    pub own_pages: bool,
    /// Whether its handler is given the request as it was sent, in [`crate::RequestContext::sent`].
    pub raw: bool,
    /// Which files it takes, if it takes one: its handler reads it, from [`crate::RequestContext::upload`].
    pub upload: Option<UploadRule>,
    /// Whether a person must have proved who it is within the last 15 minutes.
    pub dangerous: bool,
    /// The field of its body that turns something off where it is `false`: alone, that takes no proof.
    pub switch: Option<&'static str>,
    /// How a refusal is said to who reads HTML, where a person is at the other end.
    pub refusal: Option<Refused>,
}

/// The page that says a problem.
pub type Refused = fn(&Problem, RefusedRequest<'_>) -> Raw;

/// What was refused, for the page that says so.
#[derive(Clone, Copy, Debug)]
pub struct RefusedRequest<'a> {
    /// The request's id.
    pub id: ambient::RequestId,
    /// Whether it was to be read: it is then what a person has in the browser's line for addresses.
    pub is_read: bool,
    /// Where, with its query.
    pub uri: &'a http::Uri,
}

impl Meta {
    /// Whether it is a WebSocket.
    #[must_use]
    pub const fn is_socket(&self) -> bool {
        self.status == 101
    }

    /// Whether this body turns something off, and does nothing else.
    pub(crate) fn only_turns_off(&self, body: &[u8]) -> bool {
        let Some(field) = self.switch else { return false };
        match serde_json::from_slice(body) {
            Ok(serde_json::Value::Object(members)) => {
                members.len() == 1 && members.get(field) == Some(&serde_json::Value::Bool(false))
            }
            _ => false,
        }
    }

    /// Whether a page on another origin may read its answers.
    pub(crate) const fn is_for_browsers(&self) -> bool {
        self.access.is_for_browsers() || matches!(self.surface, Surface::DropIn)
    }
}

/// One operation as one value; its types are the document's and the handler's.
pub struct Operation<I, O> {
    meta: Meta,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> Clone for Operation<I, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I, O> Copy for Operation<I, O> {}

impl<I, O> Operation<I, O> {
    const fn new(method: Method, path: &'static str, id: &'static str, summary: &'static str, access: Access) -> Self {
        let (creates, surface, form, raw, refusal) = (false, Surface::House, false, false, None);
        let (own_pages, dangerous, switch) = (false, false, None);
        let (status, upload) = (200, None);
        let meta = Meta {
            method,
            path,
            id,
            summary,
            access,
            status,
            creates,
            surface,
            form,
            own_pages,
            raw,
            upload,
            dangerous,
            switch,
            refusal,
        };
        Self { meta, types: PhantomData }
    }

    /// An operation that reads.
    #[must_use]
    pub const fn get(path: &'static str, id: &'static str, summary: &'static str, access: Access) -> Self {
        Self::new(Method::Get, path, id, summary, access)
    }

    /// An operation that acts; see [`Operation::creates`].
    #[must_use]
    pub const fn post(path: &'static str, id: &'static str, summary: &'static str, access: Access) -> Self {
        Self::new(Method::Post, path, id, summary, access)
    }

    /// An operation that changes what is named.
    #[must_use]
    pub const fn patch(path: &'static str, id: &'static str, summary: &'static str, access: Access) -> Self {
        Self::new(Method::Patch, path, id, summary, access)
    }

    /// An operation that removes.
    #[must_use]
    pub const fn delete(path: &'static str, id: &'static str, summary: &'static str, access: Access) -> Self {
        Self::new(Method::Delete, path, id, summary, access)
    }

    /// Answers 201 and honours `Idempotency-Key`.
    #[must_use]
    pub const fn creates(self) -> Self {
        Self { meta: Meta { status: 201, creates: true, ..self.meta }, ..self }
    }

    /// Answers 202 and honours `Idempotency-Key`: what it begins goes on after the answer.
    #[must_use]
    pub const fn accepts(self) -> Self {
        Self { meta: Meta { status: 202, creates: true, ..self.meta }, ..self }
    }

    /// Speaks to the clients of an existing widget server.
    #[must_use]
    pub const fn drop_in(self) -> Self {
        Self { meta: Meta { surface: Surface::DropIn, ..self.meta }, ..self }
    }

    /// Takes JSON or a form, whose sender may have signed it: the handler reads it, and `I` is for nothing
    /// but `{}`. It also knows which event came before: no answer is kept for `Idempotency-Key`.
    #[must_use]
    pub const fn raw(self) -> Self {
        Self { meta: Meta { raw: true, creates: false, ..self.meta }, ..self }
    }

    /// Takes the form of a page of ours (`application/x-www-form-urlencoded`), and nothing that another
    /// page sends.
    #[must_use]
    pub const fn form(self) -> Self {
        Self { meta: Meta { form: true, ..self.meta }, ..self }
    }

    /// Takes nothing that another's page sends, as it would with a form: who signs in does so on purpose. Of a form,
    /// nothing that does not say from where it comes.
    #[must_use]
    pub const fn for_own_pages(self) -> Self {
        Self { meta: Meta { own_pages: true, ..self.meta }, ..self }
    }

    /// Does what a browser that somebody left open is not to do: a person must have said the password, or a code,
    /// within the last 15 minutes; else 403 `CONFIRMATION_REQUIRED`.
    #[must_use]
    pub const fn dangerous(self) -> Self {
        Self { meta: Meta { dangerous: true, ..self.meta }, ..self }
    }

    /// As [`Operation::dangerous`], but for a body of nothing else than `false` in this field: whoever turns something
    /// off must not wait.
    #[must_use]
    pub const fn dangerous_but_to_turn_off(self, field: &'static str) -> Self {
        Self { meta: Meta { dangerous: true, switch: Some(field), ..self.meta }, ..self }
    }

    /// Takes a file, and its input from the query.
    #[must_use]
    pub const fn uploads(self, rule: UploadRule) -> Self {
        Self { meta: Meta { upload: Some(rule), ..self.meta }, ..self }
    }

    /// Is a page: a refusal is one too, where `Accept` names `text/html`, as browsers' does.
    #[must_use]
    pub const fn page(self, refusal: Refused) -> Self {
        Self { meta: Meta { refusal: Some(refusal), ..self.meta }, ..self }
    }

    /// Answers 204 without a body.
    #[must_use]
    pub const fn answers_nothing(self) -> Self {
        Self { meta: Meta { status: 204, ..self.meta }, ..self }
    }

    /// The row of the table.
    #[must_use]
    pub const fn meta(&self) -> Meta {
        self.meta
    }
}

impl<I> Operation<I, Upgraded> {
    /// A WebSocket. Its credential may also be a subprotocol, `chatelaine.bearer.<credential>`.
    #[must_use]
    pub const fn socket(path: &'static str, id: &'static str, summary: &'static str, access: Access) -> Self {
        let mut operation = Self::get(path, id, summary, access);
        operation.meta.status = 101;
        operation
    }
}

/// How the document learns a type without the table knowing it.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Option<Schema>;
