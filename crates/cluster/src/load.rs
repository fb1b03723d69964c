use ambient::Millis;
use credential::secret::{IMPORTED, Secrets};
use store::{LiveKey, Store, StoreError};

use crate::{keyring::Keyring, peppers::Peppers};

/// Reads every live key into memory. A key's secrets may come one by one and in any order.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn load(
    keyring: &Keyring,
    store: &Store,
    (secrets, peppers): (&Secrets, &Peppers),
    now: Millis,
) -> Result<(), StoreError> {
    let mut in_grace: Vec<LiveKey> = Vec::new();
    let mut foreign = 0_u64;
    store
        .load_live_keys(now, |live| {
            let ours = |id: &str| id == secrets.id() || Some(id) == secrets.previous_id();
            let known = |id: &str| ours(id) || id == IMPORTED || peppers.has(id);
            foreign += u64::from(live.key.secrets.iter().any(|secret| !known(&secret.pepper_id)));
            if live.key.secrets.iter().any(|secret| secret.expires_at.is_none()) {
                keyring.insert(&live);
            } else {
                in_grace.push(live);
            }
        })
        .await?;
    in_grace.iter().for_each(|live| keyring.add_previous(live));
    if foreign > 0 {
        tracing::warn!(
            keys = foreign,
            "keys were made under another secret than the configured ones; they cannot work"
        );
    }
    Ok(())
}
