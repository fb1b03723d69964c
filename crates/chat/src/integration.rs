use access::Tenant;
use ambient::{BotId, IntegrationId};
use store::{AuditEntry, IntegrationChange, IntegrationRecord};

use crate::{
    Chat, ChatError, IntegrationUpdate, NewIntegration,
    chat::ChatParts,
    draft::Draft,
    headers::{Headers, place},
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
        let change = IntegrationChange {
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

    fn seal(&self, tenant: Tenant, id: IntegrationId, headers: &Headers) -> Result<Option<Vec<u8>>, ChatError> {
        headers.seal(self.parts.secrets.sealer(), &place(tenant, id), &*self.parts.random)
    }
}
