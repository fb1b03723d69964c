//! How many WebSockets there may be, in all and of one address: what is open all day must not keep out who
//! comes for a moment.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::Problem;

/// The places of open sockets. Clones share; the default has no end.
#[derive(Clone)]
pub struct SocketPlaces(Arc<Places>);

struct Places {
    most: usize,
    per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    of_address: HashMap<IpAddr, usize>,
}

/// A socket's place; dropped with it.
pub(crate) struct SocketPlace {
    places: SocketPlaces,
    source: IpAddr,
}

impl Default for SocketPlaces {
    fn default() -> Self {
        Self::new(usize::MAX, 0)
    }
}

impl SocketPlaces {
    /// `most` in all, and `per_address` of one address (IPv6: of one /64), 0 for any number.
    #[must_use]
    pub fn new(most: usize, per_address: u32) -> Self {
        let per_address = match usize::try_from(per_address).unwrap_or(usize::MAX) {
            0 => usize::MAX,
            wanted => wanted,
        };
        Self(Arc::new(Places { most, per_address, taken: Mutex::default() }))
    }

    /// A place for a socket of this client.
    ///
    /// # Errors
    /// 429 when its address has as many as it may, 503 when all are taken.
    pub(crate) fn take(&self, address: IpAddr) -> Result<SocketPlace, Problem> {
        let source = match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        };
        let mut taken = self.0.taken.lock();
        let count = taken.of_address.get(&source).copied().unwrap_or(0);
        if count >= self.0.per_address {
            return Err(Problem::too_many_sockets());
        }
        if taken.all >= self.0.most {
            return Err(Problem::unavailable("there is no place for another WebSocket; raise the limit of open files"));
        }
        taken.all += 1;
        taken.of_address.insert(source, count + 1);
        Ok(SocketPlace { places: self.clone(), source })
    }
}

impl Drop for SocketPlace {
    fn drop(&mut self) {
        let mut taken = self.places.0.taken.lock();
        taken.all -= 1;
        if let Some(count) = taken.of_address.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                taken.of_address.remove(&self.source);
            }
        }
    }
}

impl fmt::Debug for SocketPlaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketPlaces").field("most", &self.0.most).field("taken", &self.0.taken.lock().all).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_all_have_theirs_until_they_go() {
        let places = SocketPlaces::new(4, 2);
        let take = |text: &str| places.take(text.parse().unwrap());
        let refused = |text: &str| take(text).err().map(|problem| (problem.status().as_u16(), problem.code()));
        let (limited, full) = (Some((429, "RATE_LIMITED")), Some((503, "UNAVAILABLE")));
        let mine = [take("192.0.2.1").unwrap(), take("::ffff:192.0.2.1").unwrap()];
        assert_eq!(refused("192.0.2.1"), limited, "mapped is the same address");
        let others = [take("2001:db8::1").unwrap(), take("2001:db8::ffff:1").unwrap()];
        assert_eq!((refused("2001:db8::2"), refused("2001:db8:0:1::1")), (limited, full), "one network is one");
        drop(mine);
        let again = take("192.0.2.1").unwrap();
        drop((others, again));
        let taken = places.0.taken.lock();
        assert!(taken.all == 0 && taken.of_address.is_empty(), "nothing is kept of who has gone");
    }

    #[test]
    fn without_a_number_nobody_is_counted_out() {
        let places = SocketPlaces::default();
        let taken: Vec<_> = (0..2000).map(|_| places.take(IpAddr::from([192, 0, 2, 1])).unwrap()).collect();
        assert_eq!(places.0.taken.lock().all, taken.len());
    }
}
