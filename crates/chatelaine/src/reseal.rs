//! What the previous secret has sealed is sealed anew at the start, so that the previous one can go.

use access::Tenant;
use ambient::Random;
use credential::{Pepper, Secrets, webhook::secret_place};
use store::{ForeignPepper, Sealed, SealedValue, Store};

use crate::StartError;

/// How many are read at once; each may have 16 KiB.
const BATCH: u32 = 200;

/// What became of sealed values.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resealed {
    /// Sealed with the present secret from now on.
    pub(crate) renewed: u64,
    /// Neither secret opens them.
    pub(crate) unreadable: u64,
}

/// Does nothing where no secret is being rotated. Done whole before anybody is answered: a server that is up
/// has done it.
pub(crate) async fn reseal(store: &Store, secrets: &Secrets, random: &dyn Random) -> Result<(), StartError> {
    if secrets.previous_id().is_none() {
        return Ok(());
    }
    let mut all = Resealed::default();
    for of in Sealed::ALL {
        let some = reseal_all(store, secrets, random, of).await?;
        all.renewed += some.renewed;
        all.unreadable += some.unreadable;
    }
    reseal_peppers(store, secrets, random, &mut all).await?;
    let Resealed { renewed, unreadable } = all;
    tracing::info!(renewed, unreadable, "headers and secrets of customers are sealed with the present secret");
    Ok(())
}

async fn reseal_peppers(
    store: &Store,
    secrets: &Secrets,
    random: &dyn Random,
    done: &mut Resealed,
) -> Result<(), StartError> {
    for ForeignPepper { id, sealed } in store.foreign_peppers().await? {
        match Pepper::open(secrets.sealer(), &id, &sealed) {
            Ok(_) if !secrets.sealer().is_stale(&sealed) => {}
            Ok(pepper) => {
                let sealed = pepper.seal(secrets.sealer(), random)?;
                store.reseal_foreign_pepper(&ForeignPepper { id, sealed }).await?;
                done.renewed += 1;
            }
            Err(cause) => {
                tracing::error!(pepper = id, %cause, "the keys that came with it and were not used yet need new ones");
                done.unreadable += 1;
            }
        }
    }
    Ok(())
}

async fn reseal_all(store: &Store, secrets: &Secrets, random: &dyn Random, of: Sealed) -> Result<Resealed, StartError> {
    let (mut done, mut last) = (Resealed::default(), None);
    loop {
        let values = store.sealed_values(of, last.as_ref(), BATCH).await?;
        for value in &values {
            match secrets.sealer().open(&place(of, value), &value.sealed) {
                Ok(_) if !secrets.sealer().is_stale(&value.sealed) => {}
                Ok(plain) => {
                    let sealed = secrets.sealer().seal(&place(of, value), &plain, random)?;
                    store.reseal(of, value, sealed).await?;
                    done.renewed += 1;
                }
                Err(cause) => {
                    tracing::error!(id = value.id, %cause, "what is sealed here must be sent anew by its owner");
                    done.unreadable += 1;
                }
            }
        }
        match values.into_iter().last() {
            Some(value) => last = Some(value),
            None => return Ok(done),
        }
    }
}

fn place(of: Sealed, value: &SealedValue) -> Vec<u8> {
    match of {
        Sealed::Connections => runs::connection_place(value),
        Sealed::Integrations => chat::integration_place(value),
        Sealed::IntegrationSecrets | Sealed::PreviousIntegrationSecrets => chat::integration_secret_place(value),
        Sealed::ChannelSecrets | Sealed::PreviousChannelSecrets => chat::channel_secret_place(value),
        Sealed::Triggers => api::trigger_place(value),
        Sealed::Totp => api::totp_place(value),
        Sealed::Webhooks | Sealed::PreviousWebhooks => {
            let Tenant { workspace, environment } = value.tenant;
            secret_place(&workspace, &environment, &value.id)
        }
    }
}
