//! The secret of an endpoint, as it is shown once and as it is stored.

use std::fmt::{self, Display};

use ambient::Random;
use zeroize::Zeroizing;

use super::WebhookSecret;
use crate::{Secrets, seal::SealError};

/// A secret that was just made.
pub struct MintedSecret {
    /// `whsec_…`, shown once.
    pub shown: Zeroizing<String>,
    /// For the database.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for MintedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MintedSecret(…)")
    }
}

/// Where the sealed secret of an endpoint belongs: moved to another row or another workspace, it does not open.
/// `id` is the endpoint's, also of one that a channel or an agent loop owns.
#[must_use]
pub fn secret_place(workspace: &dyn Display, environment: &dyn Display, id: &dyn Display) -> Vec<u8> {
    format!("webhook.secret:{workspace}:{environment}:{id}").into_bytes()
}

/// Draws a secret and seals it for [`secret_place`].
///
/// # Errors
/// [`SealError::Random`] when the random source fails.
pub fn mint_sealed(secrets: &Secrets, place: &[u8], random: &dyn Random) -> Result<MintedSecret, SealError> {
    let shown = WebhookSecret::generate(random).map_err(|_| SealError::Random)?.to_text();
    let sealed = secrets.sealer().seal(place, shown.as_bytes(), random)?;
    Ok(MintedSecret { shown, sealed })
}

/// Opens what [`mint_sealed`] has sealed.
///
/// # Errors
/// When it was sealed elsewhere, or with a secret that is gone.
pub fn open_sealed(secrets: &Secrets, place: &[u8], sealed: &[u8]) -> Result<WebhookSecret, SealError> {
    let opened = secrets.sealer().open(place, sealed)?;
    let text = std::str::from_utf8(&opened).map_err(|_| SealError::Malformed)?;
    WebhookSecret::parse(text).map_err(|_| SealError::Malformed)
}
