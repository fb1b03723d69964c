//! Connections: headers with the secrets of tools, sealed at rest, opened for a call of the one origin that
//! they are for, and shown to nobody again.

use std::fmt;

use access::Tenant;
use ambient::ConnectionId;
use chat::{ChatError, Headers};
use outbound::{HeaderName, HeaderValue, Url};
use serde_json::Value;
use store::{AuditEntry, ConnectionDraft, ConnectionRecord, SealedValue, StoreError};
use workflow::FieldFault;

use crate::{
    RunError,
    hidden::Secrets,
    runs::{Inner, Runs},
};

/// A connection to be made.
#[derive(Clone, Debug)]
pub struct NewConnection {
    /// What people call it.
    pub name: String,
    /// Where its headers may go: scheme, host and port, `https://api.example.com`.
    pub origin: String,
    /// At least one.
    pub headers: Headers,
}

/// A change of a connection; `None` leaves a member as it is.
#[derive(Clone, Debug, Default)]
pub struct ConnectionUpdate {
    /// What people call it.
    pub name: Option<String>,
    /// Another origin, and all headers must be sent again.
    pub origin: Option<String>,
    /// All headers anew; a value of [`chat::HEADER_MASK`] stays what it was.
    pub headers: Option<Headers>,
}

/// Headers for one call.
pub struct Opened(Vec<(HeaderName, HeaderValue)>);

impl Runs {
    /// Makes a connection. The origin is checked, the headers are sealed.
    ///
    /// # Errors
    /// [`RunError::Invalid`] for a field.
    pub async fn create_connection(
        &self,
        tenant: Tenant,
        new: NewConnection,
        audit: AuditEntry<'_>,
    ) -> Result<ConnectionRecord, RunError> {
        let parts = &self.0.parts;
        let data = parts.store.workspace(tenant);
        let draft = self.0.draft(tenant, data.new_id()?, new)?;
        Ok(data.create_connection(draft, audit).await?)
    }

    /// Changes a connection; calls from now on use what it says then.
    ///
    /// # Errors
    /// [`RunError::NotFound`], [`RunError::Invalid`] for a field.
    pub async fn update_connection(
        &self,
        tenant: Tenant,
        id: ConnectionId,
        change: ConnectionUpdate,
        audit: AuditEntry<'_>,
    ) -> Result<ConnectionRecord, RunError> {
        let data = self.0.parts.store.workspace(tenant);
        let old = data.connection(id).await?;
        let origin = match change.origin {
            Some(origin) => self.0.check_origin(&origin)?,
            None => old.origin.clone(),
        };
        // Who may edit a connection need not know its secrets: another origin must not get them.
        if origin != old.origin && !change.headers.as_ref().is_some_and(Headers::are_all_new) {
            return Err(invalid("headers", "must all be sent again when the origin changes"));
        }
        let name = change.name.unwrap_or_else(|| old.name.clone());
        let draft = match change.headers {
            // They stay sealed as they are, and need not be opened.
            None => {
                let ConnectionRecord { header_names, headers_sealed, .. } = old;
                ConnectionDraft { id, name, origin, header_names, headers_sealed }
            }
            Some(headers) if headers.are_all_new() => {
                self.0.draft(tenant, id, NewConnection { name, origin, headers })?
            }
            Some(headers) => {
                let known = self.0.open(tenant, &old).map_err(|cause| {
                    tracing::error!(connection = %id, cause, "the headers of a connection cannot be opened");
                    of_headers(Headers::unreadable())
                })?;
                let headers = headers.keep_masked(&known).map_err(of_headers)?;
                self.0.draft(tenant, id, NewConnection { name, origin, headers })?
            }
        };
        Ok(data.update_connection(draft, audit).await?)
    }
}

impl Runs {
    /// The headers that a call of `url` takes along, or the code of why it is not made: `connection_unavailable`, or
    /// `connection_origin` where the connection is for another one.
    ///
    /// # Errors
    /// [`RunError::Unavailable`].
    pub async fn open_connection(
        &self,
        tenant: Tenant,
        id: &str,
        url: &Url,
    ) -> Result<Result<Opened, &'static str>, RunError> {
        self.0.open_connection(tenant, id, url).await
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

impl Inner {
    /// The headers that a call of `url` takes along, or the code of why it is not made.
    pub(crate) async fn open_connection(
        &self,
        tenant: Tenant,
        id: &str,
        url: &Url,
    ) -> Result<Result<Opened, &'static str>, RunError> {
        let Ok(id) = id.parse::<ConnectionId>() else { return Ok(Err("connection_unavailable")) };
        let connection = match self.parts.store.workspace(tenant).connection(id).await {
            Err(StoreError::NotFound) => return Ok(Err("connection_unavailable")),
            found => found?,
        };
        // Whole: neither another port nor plain http is where they may go.
        if url.origin().ascii_serialization() != connection.origin {
            return Ok(Err("connection_origin"));
        }
        let opened = self.open(tenant, &connection).and_then(|headers| Ok(headers.to_wire()?));
        Ok(opened.map(Opened).map_err(|cause| {
            tracing::error!(connection = %id, cause, "the headers of a connection cannot be opened");
            "connection_unavailable"
        }))
    }

    fn draft(&self, tenant: Tenant, id: ConnectionId, new: NewConnection) -> Result<ConnectionDraft, RunError> {
        let origin = self.check_origin(&new.origin)?;
        new.headers.to_wire().map_err(of_headers)?;
        let (sealer, place) = (self.parts.secrets.sealer(), place(tenant, &id, &origin));
        let sealed = new.headers.seal(sealer, &place, &*self.parts.random).map_err(of_headers)?;
        let Some(headers_sealed) = sealed else { return Err(invalid("headers", "must be at least one")) };
        let header_names = new.headers.names();
        Ok(ConnectionDraft { id, name: new.name, origin, header_names, headers_sealed })
    }

    fn open(&self, tenant: Tenant, connection: &ConnectionRecord) -> Result<Headers, chat::Cause> {
        let place = place(tenant, &connection.id, &connection.origin);
        Headers::open(self.parts.secrets.sealer(), &place, Some(&connection.headers_sealed))
    }

    /// In its canonical form, and nothing but an origin.
    fn check_origin(&self, text: &str) -> Result<String, RunError> {
        let url = self.parts.outbound.check_url(text).map_err(|refusal| invalid("origin", refusal.to_string()))?;
        if url.path() != "/" || url.query().is_some() || text.ends_with('?') {
            return Err(invalid("origin", "must be a scheme and a host alone, such as https://api.example.com"));
        }
        Ok(url.origin().ascii_serialization())
    }
}

impl Opened {
    /// Puts them in the place of headers of the same names.
    pub fn join(&self, headers: &mut Vec<(HeaderName, HeaderValue)>) {
        headers.retain(|(name, _)| self.0.iter().all(|(own, _)| own != name));
        headers.extend(self.0.iter().cloned());
    }

    /// A tool may answer with what it was sent, and its answer is kept: the secrets are taken out of it.
    pub fn hide(&self, answer: &mut Value) {
        Secrets::of(self.0.iter().filter_map(|(_, value)| value.to_str().ok())).hide(answer);
    }
}

/// Where sealed headers belong: in another row, for another tenant or another origin they do not open.
fn place(tenant: Tenant, id: &dyn fmt::Display, origin: &str) -> Vec<u8> {
    format!("connection.headers:{}:{}:{id}:{origin}", tenant.workspace, tenant.environment.as_str()).into_bytes()
}

/// Where the sealed headers of a connection belong.
#[must_use]
pub fn connection_place(value: &SealedValue) -> Vec<u8> {
    place(value.tenant, &value.id, &value.origin)
}

fn invalid(field: &str, message: impl Into<String>) -> RunError {
    RunError::Invalid(vec![FieldFault { field: field.to_owned(), message: message.into() }])
}

fn of_headers(error: ChatError) -> RunError {
    match error {
        ChatError::Invalid { field, message } => invalid(field, message),
        other => RunError::unavailable(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(headers: &[(&'static str, &'static str)]) -> Opened {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Opened(headers.iter().map(pair).collect())
    }

    #[test]
    fn a_connection_s_headers_take_the_place_of_others() {
        let mut headers = opened(&[("x-token", "of the tool"), ("x-other", "kept")]).0;
        opened(&[("x-token", "of the connection"), ("authorization", "Bearer a")]).join(&mut headers);
        let names: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let expected = [("x-other", "kept"), ("x-token", "of the connection"), ("authorization", "Bearer a")];
        assert_eq!(names, expected);
    }
}
