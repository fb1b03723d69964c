//! How many connections there may be, in all and of one address.
//!
//! Without a bound one client takes every file descriptor, and the server is dead to everybody.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::timeout};

use super::{activity::Activity, descriptors};

/// Descriptors that are no connections: the database's, files. At least this many, and a sixteenth of all.
const RESERVED: usize = 64;

/// How many calls to upstreams may be under way at once: five sixteenths of the descriptors, so that
/// replies under way never keep out whoever comes to revoke their key.
pub(crate) fn calls_of_process() -> usize {
    calls_within(descriptors::allowed())
}

/// How many WebSockets may be open at once: three quarters of the connections. None of them is ever asked to
/// leave, so the rest is for whoever comes with a request.
pub(crate) fn sockets_of_process() -> usize {
    sockets_within(descriptors::allowed())
}

fn sockets_within(descriptors: usize) -> usize {
    let total = connections_within(descriptors);
    (total - total / 4).max(1)
}

fn connections_within(descriptors: usize) -> usize {
    let others = RESERVED.max(descriptors / 16) + calls_within(descriptors);
    descriptors.saturating_sub(others).max(1)
}

const fn calls_within(descriptors: usize) -> usize {
    descriptors / 16 * 5
}

/// 127.0.0.0/8.
const LOOPBACK: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8));

/// How often the same thing is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// How many connections there may be.
#[derive(Clone, Debug)]
pub(crate) struct Caps {
    /// In all.
    total: usize,
    /// Of one address (IPv6: of one /64); 0 is any number.
    per_address: usize,
    /// Who is not counted by address.
    exempt: Vec<IpNet>,
}

impl Caps {
    /// As many as this process may have, raised as far as it may raise it. This machine and the proxies
    /// are not counted by address.
    pub(crate) fn of_process(per_address: u32, proxies: &[IpNet]) -> Self {
        let this_machine = [IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST)), LOOPBACK];
        Self::within(descriptors::allowed(), per_address, [&this_machine, proxies].concat())
    }

    #[cfg(test)]
    pub(super) fn of(total: usize, per_address: usize) -> Self {
        Self { total, per_address, exempt: Vec::new() }
    }

    fn within(descriptors: usize, per_address: u32, exempt: Vec<IpNet>) -> Self {
        let total = connections_within(descriptors);
        let per_address = match usize::try_from(per_address).unwrap_or(usize::MAX) {
            0 => 0,
            // One address never fills the house, however small the house is.
            wanted => wanted.min((total / 2).max(1)),
        };
        Self { total, per_address, exempt }
    }

    /// Under what an address is counted; `None` when it is not.
    fn source(&self, address: IpAddr) -> Option<IpAddr> {
        let address = address.to_canonical();
        if self.per_address == 0 || self.exempt.iter().any(|net| net.contains(&address)) {
            return None;
        }
        Some(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        })
    }
}

/// Counts connections, and knows which of them nobody would miss.
pub(super) struct Admission {
    caps: Caps,
    open: Mutex<Open>,
    /// Told when a connection has gone.
    gone: Notify,
}

#[derive(Default)]
struct Open {
    /// By age.
    connections: BTreeMap<u64, Arc<Activity>>,
    next: u64,
    of_address: HashMap<IpAddr, usize>,
}

/// A connection's place; dropped with it.
pub(super) struct Place {
    admission: Arc<Admission>,
    number: u64,
    source: Option<IpAddr>,
}

/// Why a connection got no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// All places are taken.
    Full,
    /// Its address has as many as it may.
    TooMany,
}

impl Admission {
    pub(super) fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self { caps, open: Mutex::default(), gone: Notify::new() })
    }

    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, activity: &Arc<Activity>) -> Result<Place, Refused> {
        let source = self.caps.source(address);
        let mut open = self.open.lock();
        let count = source.and_then(|source| open.of_address.get(&source)).copied().unwrap_or(0);
        if source.is_some() && count >= self.caps.per_address {
            return Err(Refused::TooMany);
        }
        if open.connections.len() >= self.caps.total {
            return Err(Refused::Full);
        }
        if let Some(source) = source {
            open.of_address.insert(source, count + 1);
        }
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, activity.clone());
        Ok(Place { admission: self.clone(), number, source })
    }

    /// Tells the connection that has waited longest for a request to close; whether there is one.
    pub(super) fn evict(&self) -> bool {
        let open = self.open.lock();
        let idle = open.connections.values().filter_map(|activity| Some((activity.idle()?, activity)));
        // Of those that are alike the first, which is the oldest.
        match idle.rev().max_by_key(|(looks, _)| *looks) {
            Some((_, activity)) => {
                activity.ask_to_leave();
                true
            }
            None => false,
        }
    }

    /// Where all places are taken: asks who waits longest to leave, and returns when somebody has left,
    /// or after `patience`. Whether there was anybody to ask.
    pub(super) async fn make_room(&self, patience: Duration) -> bool {
        let mut gone = pin!(self.gone.notified());
        gone.as_mut().enable();
        // One may have gone since the caller looked: then nobody has to.
        let is_full = self.open.lock().connections.len() >= self.caps.total;
        let evicted = is_full && self.evict();
        if is_full {
            let _ = timeout(patience, gone).await;
        }
        evicted
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock();
        open.connections.remove(&self.number);
        if let Some(source) = self.source
            && let Some(count) = open.of_address.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                open.of_address.remove(&source);
            }
        }
        drop(open);
        self.admission.gone.notify_waiters();
    }
}

/// Lets the first of many through, and then one a minute.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    last: Option<Duration>,
}

impl Seldom {
    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        let is_due = self.last.is_none_or(|last| now.saturating_sub(last) >= LOG_EVERY);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::{super::activity::InFlight, *};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admission(total: usize, per_address: usize) -> Arc<Admission> {
        Admission::new(Caps::of(total, per_address))
    }

    #[test]
    fn an_address_has_its_share_and_a_neighbour_has_another() {
        let admission = admission(100, 2);
        let enter = |text: &str| admission.enter(address(text), &Arc::default());
        let places = [enter("192.0.2.1").unwrap(), enter("::ffff:192.0.2.1").unwrap()];
        assert_eq!(enter("192.0.2.1").err(), Some(Refused::TooMany), "mapped is the same address");
        let _others = [enter("192.0.2.2").unwrap(), enter("2001:db8::1").unwrap(), enter("2001:db8::2:3").unwrap()];
        assert_eq!(enter("2001:db8:0:0:ffff::").err(), Some(Refused::TooMany), "of one /64");
        let _next = enter("2001:db8:0:1::1").unwrap();
        drop(places);
        let _again = [enter("192.0.2.1").unwrap(), enter("192.0.2.1").unwrap()];
        assert_eq!(enter("192.0.2.1").err(), Some(Refused::TooMany));
    }

    #[test]
    fn this_machine_and_trusted_proxies_are_not_counted_but_fill_the_house() {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let admission = Admission::new(Caps { total: 8, ..Caps::of_process(1, &proxies) });
        let enter = |text: &str| admission.enter(address(text), &Arc::default());
        let _places =
            ["127.0.0.1", "127.0.0.1", "::1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "10.1.2.3", "::ffff:10.1.2.3"]
                .map(|text| enter(text).unwrap());
        assert_eq!(enter("127.0.0.1").err(), Some(Refused::Full));
    }

    #[test]
    fn nothing_is_kept_of_an_address_that_left() {
        let admission = admission(4, 2);
        drop(admission.enter(address("192.0.2.1"), &Arc::default()).unwrap());
        let open = admission.open.lock();
        assert!(open.of_address.is_empty() && open.connections.is_empty());
    }

    #[test]
    fn the_caps_leave_room_for_everything_else() {
        let caps = |descriptors, per_address| {
            let caps = Caps::within(descriptors, per_address, Vec::new());
            (caps.total, caps.per_address)
        };
        assert_eq!(caps(200, 1024), (76, 38), "one address never fills the house");
        assert_eq!(caps(1024, 100), (640, 100));
        assert_eq!(caps(1024, 0), (640, 0));
        for descriptors in [256, 1024, 20_000, 1 << 20] {
            let taken = caps(descriptors, 0).0 + calls_within(descriptors);
            assert!(taken + RESERVED <= descriptors, "{descriptors}");
        }
        assert_eq!(caps(10, 5), (1, 1));
        assert_eq!(
            [10, 200, 1024, 20_000].map(sockets_within),
            [1, 57, 480, 9_375],
            "and sockets leave room for requests"
        );
        let unlimited = Caps::within(usize::MAX, 1024, Vec::new());
        assert!(unlimited.total > usize::MAX / 2 && unlimited.source(address("192.0.2.1")).is_some());
    }

    #[test]
    fn only_who_waits_for_a_request_is_asked_to_leave() {
        let admission = admission(3, 0);
        let activities: [Arc<Activity>; 3] = std::array::from_fn(|_| Arc::default());
        let places = activities.each_ref().map(|activity| admission.enter(address("192.0.2.1"), activity).unwrap());
        let _busy = InFlight::begin(activities[0].clone());
        let second = InFlight::begin(activities[1].clone());
        activities[2].read();
        assert!(!admission.evict(), "two are answered, and a request just comes in at the third");
        drop(second);
        assert!(admission.evict());
        assert_eq!(activities.each_ref().map(|activity| activity.is_asked_to_leave()), [false, true, false]);
        drop(places);
        assert!(!admission.evict());
    }

    #[test]
    fn the_log_hears_of_it_once_a_minute() {
        let mut seldom = Seldom::default();
        let due: Vec<_> = [0, 1, 59, 60, 61, 120].map(|s| seldom.is_due(Duration::from_secs(s))).into();
        assert_eq!(due, [true, false, false, true, false, true]);
    }
}
