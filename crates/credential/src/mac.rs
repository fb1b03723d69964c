//! HMAC-SHA-256 (RFC 2104) for every other module here.

use hkdf::HmacImpl;
use hmac::Hmac;
use sha2::Sha256;

/// A key with its two padded blocks already hashed; cloning it is cheaper than keying again.
#[derive(Clone)]
pub(crate) struct Keyed(Hmac<Sha256>);

impl Keyed {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(HmacImpl::new_from_slice(key))
    }

    /// This state with `prefix` absorbed, so that each MAC begins with it.
    pub(crate) fn with_prefix(mut self, prefix: &[u8]) -> Self {
        HmacImpl::update(&mut self.0, prefix);
        self
    }

    /// The MAC of the parts laid end to end. Parts are not delimited: the caller makes that unambiguous.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut state = self.0.clone();
        for part in parts {
            HmacImpl::update(&mut state, part);
        }
        HmacImpl::finalize(state).into()
    }
}
