//! A database at rest: opened for a command, while no server uses it.

use ambient::{Clock, Random};
use credential::Secrets;
use store::Store;

use crate::{Ambient, Config, DataDir, StartError, lease::Lease, secret};

/// What a command works with; [`AtRest::close`] gives it up.
pub(crate) struct AtRest {
    pub(crate) store: Store,
    pub(crate) secrets: Secrets,
    lease: Option<Lease>,
    /// The lock goes last.
    _data: Option<DataDir>,
}

impl AtRest {
    /// Takes the database that a server would take, with its lock or lease. `None` when there is none yet: a
    /// command makes neither directory nor secret.
    pub(crate) async fn open(config: &Config, ambient: &Ambient) -> Result<Option<Self>, StartError> {
        let (data, url) = match &config.database_url {
            Some(url) if config.is_postgres() => (None, url.expose().to_owned()),
            given => {
                if !config.data.exists() {
                    return Ok(None);
                }
                let data = DataDir::open(&config.data)?;
                let (own, used) = data.database();
                if given.is_none() && !used {
                    return Ok(None);
                }
                (Some(data), given.as_ref().map_or(own, |url| url.expose().to_owned()))
            }
        };
        let loaded = secret::load(config, data.as_ref().map(|data| (data, true)), &*ambient.random)?;
        let (clock, random): (&dyn Clock, &dyn Random) = (&*ambient.clock, &*ambient.random);
        let store = Store::open(&url, ambient.clock.clone(), ambient.random.clone()).await?;
        secret::check(&store, &loaded.secrets).await?;
        let lease = match data {
            Some(_) => None,
            None => Some(Lease::take(&store, clock, random).await?),
        };
        Ok(Some(Self { store, secrets: loaded.secrets, lease, _data: data }))
    }

    pub(crate) async fn close(self) {
        if let Some(lease) = self.lease {
            lease.release().await;
        }
        self.store.close().await;
    }
}
