//! Header values of integrations and of tools' connections: secrets of the customer. Sealed at rest, never returned.

use std::{collections::BTreeMap, fmt};

use access::Tenant;
use ambient::{IntegrationId, Random};
use credential::seal::{SealError, Sealer};
use outbound::{HeaderName, HeaderValue, check_header};
use store::SealedValue;
use zeroize::Zeroizing;

use crate::{Cause, ChatError};

/// What is shown in place of a header's value. Sent back in a change, it keeps the value.
pub const HEADER_MASK: &str = "••••••••";

/// Names and values of request headers. `Debug` shows the names alone.
#[derive(Clone, Default)]
pub struct Headers(BTreeMap<String, Zeroizing<String>>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    /// A name that comes twice keeps its last value; names are compared in lower case.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let lower = |(name, value): (N, V)| (name.into().to_ascii_lowercase(), Zeroizing::new(value.into()));
        Self(headers.into_iter().map(lower).collect())
    }
}

impl Headers {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In lower case, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Whether each value is a new one.
    #[must_use]
    pub fn are_all_new(&self) -> bool {
        self.0.values().all(|value| value.as_str() != HEADER_MASK)
    }

    /// Puts the old value where the mask was sent back.
    ///
    /// # Errors
    /// [`ChatError::Invalid`] for a header that has no old value.
    pub fn keep_masked(mut self, old: &Self) -> Result<Self, ChatError> {
        for (name, value) in &mut self.0 {
            if value.as_str() == HEADER_MASK {
                let kept = old.0.get(name).ok_or_else(|| {
                    ChatError::invalid("headers", format!("The header {name} has no value yet; send one"))
                })?;
                *value = kept.clone();
            }
        }
        Ok(self)
    }

    /// As the client sends them.
    ///
    /// # Errors
    /// [`ChatError::Invalid`] for one that the client does not send, or too many.
    pub fn to_wire(&self) -> Result<Vec<(HeaderName, HeaderValue)>, ChatError> {
        let checked = self.0.iter().map(|(name, value)| check_header(name, value));
        let checked: Vec<_> =
            checked.collect::<Result<_, _>>().map_err(|e| ChatError::invalid("headers", e.to_string()))?;
        let size: usize = checked.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if checked.len() > MAX_HEADERS || size > MAX_HEADER_BYTES {
            return Err(ChatError::invalid("headers", "There may be at most 32 headers with 16 KiB together"));
        }
        Ok(checked)
    }

    /// Sealed for a place, see [`Sealer::seal`]; `None` when there are none.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn seal(&self, sealer: &Sealer, place: &[u8], random: &dyn Random) -> Result<Option<Vec<u8>>, ChatError> {
        if self.is_empty() {
            return Ok(None);
        }
        let plain: BTreeMap<&str, &str> = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let plain = Zeroizing::new(serde_json::to_vec(&plain).map_err(ChatError::unavailable)?);
        Ok(Some(sealer.seal(place, &plain, random)?))
    }

    /// What to say where old values are to be kept and cannot be opened.
    #[must_use]
    pub fn unreadable() -> ChatError {
        ChatError::invalid("headers", "The values that are stored cannot be read any more; send each of them anew")
    }

    /// What was sealed for a place.
    ///
    /// # Errors
    /// When it was not sealed for this place, or with another secret.
    pub fn open(sealer: &Sealer, place: &[u8], sealed: Option<&[u8]>) -> Result<Self, Cause> {
        let Some(sealed) = sealed else { return Ok(Self::default()) };
        let plain = sealer.open(place, sealed)?;
        let headers: BTreeMap<String, String> = serde_json::from_slice(&plain).map_err(|_| SealError::Malformed)?;
        Ok(headers.into_iter().collect())
    }
}

/// As `outbound` enforces when sending; told here on save.
const MAX_HEADERS: usize = 32;
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Where sealed headers belong: moved to another row or another workspace, they do not open.
pub(crate) fn place(tenant: Tenant, integration: IntegrationId) -> Vec<u8> {
    place_of(tenant, &integration)
}

fn place_of(tenant: Tenant, integration: &dyn fmt::Display) -> Vec<u8> {
    format!("integration.headers:{}:{integration}", tenant.workspace).into_bytes()
}

/// Where the sealed headers of an integration belong.
#[must_use]
pub fn integration_place(value: &SealedValue) -> Vec<u8> {
    place_of(value.tenant, &value.id)
}

#[cfg(test)]
mod tests {
    use ambient::SeededRandom;
    use credential::{RootSecret, Secrets};

    use super::*;

    fn secrets(seed: u64) -> Secrets {
        Secrets::new(&RootSecret::generate(&SeededRandom::new(seed)).unwrap(), None)
    }

    #[test]
    fn headers_open_in_their_place_alone() {
        let (secrets, random) = (secrets(1), SeededRandom::new(2));
        let headers: Headers = [("Authorization", "Bearer hunter2")].into_iter().collect();
        let sealed = headers.seal(secrets.sealer(), b"a", &random).unwrap().unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"hunter2" || part == b"authori"));
        let opened = Headers::open(secrets.sealer(), b"a", Some(&sealed)).unwrap();
        assert_eq!(opened.to_wire().unwrap()[0].1, "Bearer hunter2");
        assert!(Headers::open(secrets.sealer(), b"b", Some(&sealed)).is_err());
    }

    #[test]
    fn debug_shows_no_value() {
        let headers: Headers = [("Authorization", "Bearer hunter2")].into_iter().collect();
        assert_eq!(format!("{headers:?}"), r#"{"authorization"}"#);
    }

    #[test]
    fn the_mask_keeps_a_value_and_never_becomes_one() {
        let old: Headers = [("x-a", "1"), ("x-b", "2")].into_iter().collect();
        let change: Headers = [("X-A", HEADER_MASK), ("x-b", "3")].into_iter().collect();
        let kept = change.keep_masked(&old).unwrap().to_wire().unwrap();
        assert_eq!((kept[0].1.as_bytes(), kept[1].1.as_bytes()), (&b"1"[..], &b"3"[..]));
        let unknown: Headers = [("x-c", HEADER_MASK)].into_iter().collect();
        assert!(unknown.keep_masked(&old).is_err());
    }
}
