//! What is sealed with the installation's secret, of every tenant, so that a new secret seals it anew.

use std::fmt;

use access::Tenant;

use crate::{
    catalogue::{Statement, sealed as sql},
    error::StoreError,
    row::Row,
    store::Store,
    workspace::tenant,
};

/// Where sealed values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// Headers of tools' connections.
    Connections,
    /// Headers of bots' integrations.
    Integrations,
    /// Secrets that sign what `webhook` integrations are asked.
    IntegrationSecrets,
    /// Those before them.
    PreviousIntegrationSecrets,
    /// Secrets that senders of channels' messages sign with.
    ChannelSecrets,
    /// Those before them.
    PreviousChannelSecrets,
    /// Secrets that senders of webhooks sign with.
    Triggers,
    /// Secrets that sign what is sent to endpoints.
    Webhooks,
    /// And those before them, while both sign.
    PreviousWebhooks,
    /// What people's authenticator apps share with us.
    Totp,
}

impl Sealed {
    /// Each of them.
    pub const ALL: [Self; 10] = [
        Self::Connections,
        Self::Integrations,
        Self::IntegrationSecrets,
        Self::PreviousIntegrationSecrets,
        Self::ChannelSecrets,
        Self::PreviousChannelSecrets,
        Self::Triggers,
        Self::Webhooks,
        Self::PreviousWebhooks,
        Self::Totp,
    ];

    const fn statements(self) -> (&'static Statement, &'static Statement) {
        match self {
            Self::Connections => (&sql::SEALED_CONNECTIONS, &sql::RESEAL_CONNECTION),
            Self::Integrations => (&sql::SEALED_INTEGRATIONS, &sql::RESEAL_INTEGRATION),
            Self::IntegrationSecrets => (&sql::SEALED_INTEGRATION_SECRETS, &sql::RESEAL_INTEGRATION_SECRET),
            Self::PreviousIntegrationSecrets => {
                (&sql::SEALED_PREVIOUS_INTEGRATION_SECRETS, &sql::RESEAL_PREVIOUS_INTEGRATION_SECRET)
            }
            Self::ChannelSecrets => (&sql::SEALED_CHANNEL_SECRETS, &sql::RESEAL_CHANNEL_SECRET),
            Self::PreviousChannelSecrets => {
                (&sql::SEALED_PREVIOUS_CHANNEL_SECRETS, &sql::RESEAL_PREVIOUS_CHANNEL_SECRET)
            }
            Self::Triggers => (&sql::SEALED_TRIGGERS, &sql::RESEAL_TRIGGER),
            Self::Webhooks => (&sql::SEALED_WEBHOOKS, &sql::RESEAL_WEBHOOK),
            Self::PreviousWebhooks => (&sql::SEALED_PREVIOUS_WEBHOOKS, &sql::RESEAL_PREVIOUS_WEBHOOK),
            Self::Totp => (&sql::SEALED_TOTP, &sql::RESEAL_TOTP),
        }
    }
}

/// A sealed value, and what its place is made of.
#[derive(Clone)]
pub struct SealedValue {
    /// Whose.
    pub tenant: Tenant,
    /// Of the connection, integration or trigger.
    pub id: String,
    /// Of a connection; else empty.
    pub origin: String,
    /// The value.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for SealedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedValue").field("tenant", &self.tenant).field("id", &self.id).finish_non_exhaustive()
    }
}

impl Store {
    /// Sealed values of every tenant behind one of them, at most so many.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn sealed_values(
        &self,
        of: Sealed,
        after: Option<&SealedValue>,
        limit: u32,
    ) -> Result<Vec<SealedValue>, StoreError> {
        let start = of.statements().0.bound();
        let start = match after {
            None => start.text("").text("").text(""),
            Some(last) => start.id(last.tenant.workspace).id(last.tenant.environment).text(&last.id),
        };
        self.rows(start.count(limit)).await?.iter().map(sealed_value).collect()
    }

    /// Puts a newly sealed value in the place of one, unless that has changed since it was read.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn reseal(&self, of: Sealed, old: &SealedValue, sealed: Vec<u8>) -> Result<(), StoreError> {
        let update = of.statements().1.bound().id(old.tenant.workspace).id(old.tenant.environment).text(&old.id);
        self.execute(update.blob(old.sealed.clone()).blob(sealed)).await.map(|_| ())
    }
}

fn sealed_value(row: &Row) -> Result<SealedValue, StoreError> {
    Ok(SealedValue {
        tenant: tenant(row)?,
        id: row.string("id")?,
        origin: row.string("origin")?,
        sealed: row.maybe_blob("sealed")?.unwrap_or_default(),
    })
}
