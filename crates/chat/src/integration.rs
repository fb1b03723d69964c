use access::Tenant;
use ambient::{BotId, IntegrationId, Millis};
use store::{AuditEntry, IntegrationChange, IntegrationRecord, SealedSecret};
use zeroize::Zeroizing;

use crate::{
    Chat, ChatError, IntegrationUpdate, NewIntegration,
    chat::ChatParts,
    choice::WEBHOOK,
    draft::Draft,
    headers::{Headers, place},
    signing::{new_secret, secret_place},
};

/// The most integrations of one bot: every session and every reply reads them all.
const MAX_INTEGRATIONS: usize = 20;

impl Chat {
    /// Adds an integration to a bot. The URL is checked, the headers are sealed.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] without the bot, [`ChatError::Invalid`] for a field, [`ChatError::Full`]
    /// when the bot has 20. Who calls this for one bot at a time never gets more.
    pub async fn create_integration(
        &self,
        tenant: Tenant,
        bot: BotId,
        new: NewIntegration,
        audit: AuditEntry<'_>,
    ) -> Result<IntegrationRecord, ChatError> {
        let ChatParts { store, outbound, .. } = &*self.parts;
        let draft = Draft::new(new).check(outbound)?;
        let data = store.workspace(tenant);
        if data.integrations(bot).await?.len() >= MAX_INTEGRATIONS {
            return Err(ChatError::Full("A bot has at most 20 integrations; delete one first"));
        }
        let id: IntegrationId = data.new_id()?;
        let new = store::NewIntegration {
            id,
            bot,
            headers_sealed: self.seal(tenant, id, &draft.headers)?,
            header_names: draft.headers.names(),
            secret_sealed: if draft.kind == WEBHOOK { Some(self.new_secret(tenant, id)?) } else { None },
            name: draft.name,
            kind: draft.kind,
            url: draft.url,
            model: draft.model,
            timeout_seconds: draft.timeout_seconds,
            weight: draft.weight,
            fallback: draft.fallback,
        };
        Ok(data.create_integration(new, audit).await?)
    }

    /// Changes an integration; the whole is checked again.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] without it, [`ChatError::Invalid`] for a field.
    pub async fn update_integration(
        &self,
        tenant: Tenant,
        id: IntegrationId,
        change: IntegrationUpdate,
        audit: AuditEntry<'_>,
    ) -> Result<IntegrationRecord, ChatError> {
        let ChatParts { store, outbound, secrets, .. } = &*self.parts;
        let data = store.workspace(tenant);
        let old = data.integration(id).await?;
        let sends_headers = change.headers.is_some();
        let headers = match &change.headers {
            // They stay sealed as they are, and count by their names alone.
            None => old.header_names.iter().map(|name| (name.as_str(), "")).collect(),
            Some(new) if new.are_all_new() => Headers::default(),
            Some(_) => {
                let known = Headers::open(secrets.sealer(), &place(tenant, id), old.headers_sealed.as_deref());
                known.map_err(|cause| {
                    tracing::error!(integration = %id, cause, "the headers of an integration cannot be opened");
                    Headers::unreadable()
                })?
            }
        };
        let draft = Draft::change(&old, headers, change, outbound)?.check(outbound)?;
        // Address and headers are written together: of two changes at once the later one wins whole,
        // and a secret never meets an address that it was not meant for.
        let aims = sends_headers || draft.url != old.url || draft.kind != old.kind;
        let headers = match (aims, sends_headers) {
            (false, _) => None,
            (true, false) if !draft.headers.is_empty() => Some((old.headers_sealed, old.header_names)),
            (true, _) => Some((self.seal(tenant, id, &draft.headers)?, draft.headers.names())),
        };
        let secret = match (old.kind.as_str(), draft.kind.as_str()) {
            (WEBHOOK, WEBHOOK) => None,
            (_, WEBHOOK) => {
                let current = Some(self.new_secret(tenant, id)?);
                Some(SealedSecret { current, ..SealedSecret::default() })
            }
            (WEBHOOK, _) => Some(SealedSecret::default()),
            _ => None,
        };
        let change = IntegrationChange {
            secret,
            name: (draft.name != old.name).then_some(draft.name),
            kind: aims.then_some(draft.kind),
            url: aims.then_some(draft.url),
            model: (aims || draft.model != old.model).then_some(draft.model),
            headers,
            timeout_seconds: (draft.timeout_seconds != old.timeout_seconds).then_some(draft.timeout_seconds),
            weight: (draft.weight != old.weight).then_some(draft.weight),
            fallback: (draft.fallback != old.fallback).then_some(draft.fallback),
        };
        Ok(data.update_integration(id, change, audit).await?)
    }

    /// Gives a `webhook` integration a new secret; the one before signs too until then, if at all.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] without it, [`ChatError::Conflict`] when it is of another kind.
    pub async fn rotate_integration_secret(
        &self,
        tenant: Tenant,
        id: IntegrationId,
        previous_until: Option<Millis>,
        audit: AuditEntry<'_>,
    ) -> Result<IntegrationRecord, ChatError> {
        let data = self.parts.store.workspace(tenant);
        let old = data.integration(id).await?;
        if old.kind != WEBHOOK {
            return Err(ChatError::Conflict("only a webhook integration has a secret"));
        }
        let secret = Some(old.secret.rotate(self.new_secret(tenant, id)?, previous_until));
        Ok(data.update_integration(id, IntegrationChange { secret, ..IntegrationChange::default() }, audit).await?)
    }

    /// The secret of a `webhook` integration, to be shown once, when it is new.
    ///
    /// # Errors
    /// [`ChatError::Unavailable`] when it has none, or it cannot be opened.
    pub fn integration_secret(
        &self,
        tenant: Tenant,
        integration: &IntegrationRecord,
    ) -> Result<Zeroizing<String>, ChatError> {
        let sealed = integration.secret.current.as_deref();
        let sealed = sealed.ok_or_else(|| ChatError::unavailable("the integration has no secret"))?;
        let plain = self.parts.secrets.sealer().open(&secret_place(tenant, integration.id), sealed)?;
        let text = std::str::from_utf8(&plain).map_err(ChatError::unavailable)?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// An address that customers' messages are to be sent to, in its canonical form.
    ///
    /// # Errors
    /// One sentence that says why this server does not call it.
    pub fn check_url(&self, url: &str) -> Result<String, String> {
        self.parts.outbound.check_url(url).map(String::from).map_err(|refusal| refusal.to_string())
    }

    fn new_secret(&self, tenant: Tenant, id: IntegrationId) -> Result<Vec<u8>, ChatError> {
        let ChatParts { secrets, random, .. } = &*self.parts;
        Ok(new_secret(secrets.sealer(), &secret_place(tenant, id), &**random)?.0)
    }

    fn seal(&self, tenant: Tenant, id: IntegrationId, headers: &Headers) -> Result<Option<Vec<u8>>, ChatError> {
        headers.seal(self.parts.secrets.sealer(), &place(tenant, id), &*self.parts.random)
    }
}
