//! Peppers of other installations, whose keys were taken over and not all used yet. Sealed.

use ambient::Millis;
use data_encoding::BASE64URL_NOPAD;

use crate::{
    catalogue::{Bound, installation, keyring as sql},
    error::StoreError,
    row::Row,
    store::Store,
};

/// Before a pepper's id in the name of the installation's value.
const PREFIX: &str = "foreign-pepper:";

/// The key of another installation's digests, sealed with this one's secret.
#[derive(Clone)]
pub struct ForeignPepper {
    /// Which secret it comes from; [`crate::SecretRecord::pepper_id`] of the keys that came with it.
    pub id: String,
    /// As [`credential::Pepper::seal`] made it.
    pub sealed: Vec<u8>,
}

impl std::fmt::Debug for ForeignPepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ForeignPepper({}, …)", self.id)
    }
}

impl ForeignPepper {
    /// The statement that keeps it.
    pub(crate) fn keep(&self) -> Bound {
        let name = format!("{PREFIX}{}", self.id);
        installation::SET_META.bound().text(name).text(BASE64URL_NOPAD.encode(&self.sealed))
    }
}

impl Store {
    /// Every one of them.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn foreign_peppers(&self) -> Result<Vec<ForeignPepper>, StoreError> {
        self.rows(sql::FOREIGN_PEPPERS.bound()).await?.iter().map(foreign_pepper).collect()
    }

    /// Puts one sealed anew in the place of the same.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn reseal_foreign_pepper(&self, pepper: &ForeignPepper) -> Result<(), StoreError> {
        self.execute(pepper.keep()).await.map(|_| ())
    }

    /// Forgets a pepper when no secret under it is left that works at `now`; whether it is forgotten. None comes to
    /// it while a server runs: keys are taken over at rest.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn drop_spent_pepper(&self, id: &str, now: Millis) -> Result<bool, StoreError> {
        if self.total(sql::PEPPER_IN_USE.bound().text(id).time(now)).await? > 0 {
            return Ok(false);
        }
        self.execute(installation::DELETE_META.bound().text(format!("{PREFIX}{id}"))).await?;
        Ok(true)
    }
}

fn foreign_pepper(row: &Row) -> Result<ForeignPepper, StoreError> {
    let corrupt = || StoreError::Corrupt("meta: a foreign pepper".to_owned());
    let id = row.string("name")?.strip_prefix(PREFIX).ok_or_else(corrupt)?.to_owned();
    let sealed = BASE64URL_NOPAD.decode(row.string("value")?.as_bytes()).map_err(|_| corrupt())?;
    Ok(ForeignPepper { id, sealed })
}
