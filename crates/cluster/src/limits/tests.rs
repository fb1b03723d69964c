use std::{net::Ipv4Addr, sync::Arc};

use ambient::{Ulid, WorkspaceId};
use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn config() -> ClusterConfig {
    ClusterConfig { max_buckets: 3200, ..ClusterConfig::default() }
}

fn workspace(own: Option<u32>) -> WorkspaceEntry {
    WorkspaceEntry::new(WorkspaceId(Ulid(1)), own)
}

fn at(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

const SESSION: ConversationId = ConversationId(Ulid(9));

#[test]
fn browsers_cannot_use_up_what_the_servers_need() {
    let (limits, entry) = (Limits::new(&ClusterConfig::default()), workspace(Some(3)));
    for _ in 0..3 {
        assert!(limits.charge(&[Bucket::Browsers(&entry)], at(0)).allowed);
    }
    assert!(!limits.charge(&[Bucket::Browsers(&entry)], at(0)).allowed);
    assert_eq!(limits.charge(&[Bucket::Workspace(&entry)], at(0)).remaining, 2);
    assert_eq!(limits.charge(&[Bucket::People(&entry)], at(0)).remaining, 2);
}

#[test]
fn a_minute_of_hammering_gives_the_burst_and_the_refill_and_no_more() {
    for quota in [1, 2, 7, 60, 600, 999, 1_000_000] {
        let rate = Rate::per_minute(quota);
        let mut cell = 0;
        let mut burst = 0;
        while rate.charge_locked(&mut cell, 0).allowed {
            burst += 1;
        }
        assert_eq!(burst, quota, "a full budget, whatever the rounding");
        if quota <= 999 {
            let allowed = (1..=60_000_u64).filter(|ms| rate.charge_locked(&mut cell, ms * 1_000_000).allowed).count();
            assert_eq!(allowed, quota as usize, "one refill a minute");
        }
    }
}

#[test]
fn the_numbers_of_a_verdict_are_exact() {
    let (limits, entry) = (Limits::new(&config()), workspace(Some(60)));
    let first = limits.charge(&[Bucket::Workspace(&entry)], at(0));
    let expected = Verdict {
        allowed: true,
        policy: "workspace",
        quota: 60,
        window_s: 60,
        remaining: 59,
        reset_s: 1,
        retry_after_s: 0,
    };
    assert_eq!(first, expected);
    for left in (0..59).rev() {
        assert_eq!(limits.charge(&[Bucket::Workspace(&entry)], at(0)).remaining, left);
    }
    let refused = limits.charge(&[Bucket::Workspace(&entry)], at(0));
    assert_eq!(refused, Verdict { allowed: false, remaining: 0, reset_s: 1, retry_after_s: 1, ..expected });
    assert!(limits.is_exhausted(Bucket::Workspace(&entry), at(SECOND - 1)));
    assert!(!limits.is_exhausted(Bucket::Workspace(&entry), at(SECOND)));
    let last = limits.charge(&[Bucket::Workspace(&entry)], at(SECOND));
    assert_eq!((last.allowed, last.remaining, last.reset_s), (true, 0, 60));
}

#[test]
fn a_budget_of_nothing_allows_nothing() {
    let rate = Rate::per_minute(0);
    let answer = rate.decide(0, 1_000 * SECOND);
    assert!(!answer.allowed && answer.retry_after_s == 60);
    assert_eq!(Rate::per_day(0).decide(0, SECOND).retry_after_s, 86_400);
}

#[test]
fn a_refused_request_charges_nothing_anywhere() {
    let (limits, entry) = (Limits::new(&config()), workspace(Some(2)));
    let both = [Bucket::MessagesOf(SESSION), Bucket::Workspace(&entry)];
    assert!(limits.charge(&both, at(0)).allowed && limits.charge(&both, at(0)).allowed);
    for _ in 0..100 {
        let refused = limits.charge(&both, at(0));
        assert_eq!((refused.allowed, refused.policy), (false, "workspace"));
    }
    let alone = limits.charge(&[Bucket::MessagesOf(SESSION)], at(0));
    assert_eq!(alone.remaining, 60 - 3, "two that went through and this one");
}

#[test]
fn what_was_charged_before_a_lost_race_is_given_back() {
    // Twice the same bucket with room for one: at the second charge it is as if another had been faster.
    let (limits, entry) = (Limits::new(&config()), workspace(Some(1)));
    let race = [Bucket::MessagesOf(SESSION), Bucket::Workspace(&entry), Bucket::Workspace(&entry)];
    assert!(!limits.charge(&race, at(0)).allowed);
    let after = limits.charge(&[Bucket::MessagesOf(SESSION), Bucket::Workspace(&entry)], at(0));
    assert!(after.allowed, "the workspace's one is still there");
    assert_eq!(limits.charge(&[Bucket::MessagesOf(SESSION)], at(0)).remaining, 60 - 2);
}

#[test]
fn the_bucket_nearest_to_refusing_answers() {
    let (limits, entry) = (Limits::new(&config()), workspace(None));
    let verdict = limits.charge(&[Bucket::Workspace(&entry), Bucket::HistoryOf(SESSION)], at(0));
    assert_eq!((verdict.policy, verdict.quota, verdict.remaining), ("history", 100, 99));
    let optional = [None, Some(Bucket::Workspace(&entry)), None];
    assert_eq!(limits.charge(&optional, at(0)).policy, "workspace");
    let none: [Bucket<'_>; 0] = [];
    assert!(limits.charge(&none, at(0)).allowed);
}

#[test]
fn each_class_and_subject_has_its_own_budget() {
    let limits = Limits::new(&ClusterConfig { messages_per_minute: 1, history_per_minute: 1, ..config() });
    assert!(limits.charge(&[Bucket::MessagesOf(SESSION)], at(0)).allowed);
    assert!(!limits.charge(&[Bucket::MessagesOf(SESSION)], at(0)).allowed);
    assert!(limits.charge(&[Bucket::HistoryOf(SESSION)], at(0)).allowed);
    assert!(limits.charge(&[Bucket::MessagesOf(ConversationId(Ulid(10)))], at(0)).allowed);
}

#[test]
fn one_customer_is_one_address() {
    let limits = Limits::new(&ClusterConfig { public_per_minute: 1, failures_per_minute: 1, ..config() });
    let take = |text: &str| limits.charge(&[Bucket::Address(text.parse().unwrap())], at(0)).allowed;
    assert!(take("2001:db8:1:2::1"));
    assert!(!take("2001:db8:1:2:ffff:ffff:ffff:ffff"), "the same /64");
    assert!(take("2001:db8:1:3::1"), "the next /64");
    assert!(take("192.0.2.1"));
    assert!(!take("::ffff:192.0.2.1"), "IPv4 in IPv6 is IPv4");
    assert!(take("192.0.2.2"));
    assert!(take("::192.0.2.2"), "and this is not");
    let address = "192.0.2.1".parse().unwrap();
    assert!(limits.charge(&[Bucket::FailuresOf(address)], at(0)).allowed, "a class of its own");
}

#[test]
fn a_flood_of_addresses_keeps_to_the_cap_shares_one_budget_and_touches_no_session() {
    let limits = Limits::new(&config());
    assert!(limits.charge(&[Bucket::MessagesOf(SESSION)], at(0)).allowed);
    let mut allowed = 0;
    for number in 0..200_000_u32 {
        let address = IpAddr::V4(Ipv4Addr::from_bits(number.wrapping_mul(2_654_435_761)));
        allowed += u32::from(limits.charge(&[Bucket::Address(address)], at(u64::from(number))).allowed);
        assert!(limits.buckets() <= 1600 + 1);
    }
    assert!(allowed <= 1600 + 60, "those that found room, and one shared budget: {allowed}");
    assert_ne!(limits.strangers.overflow(Class::Address), 0);
    let late = IpAddr::V4(Ipv4Addr::from_bits(7));
    assert!(limits.is_exhausted(Bucket::Address(late), at(200_000)), "a look says the same as a charge");
    assert!(limits.charge(&[Bucket::MessagesOf(ConversationId(Ulid(77)))], at(200_000)).allowed);
    // A minute later the flood's budgets are full again, and make room.
    assert!(limits.charge(&[Bucket::Address(late)], at(120 * SECOND)).allowed);
    assert!(limits.buckets() < 1600);
}

#[test]
fn the_drop_in_surface_has_the_window_that_the_operator_sets() {
    let settings = ClusterConfig { drop_in_requests: 2, drop_in_window_ms: 900_000, ..config() };
    let limits = Limits::new(&settings);
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let take = |seconds: u64| limits.charge(&[Bucket::DropIn(address)], at(seconds * SECOND));
    let first = take(0);
    assert_eq!((first.policy, first.quota, first.window_s, first.remaining), ("drop-in", 2, 900, 1));
    assert!(take(0).allowed);
    let refused = take(0);
    assert_eq!((refused.allowed, refused.window_s, refused.retry_after_s), (false, 900, 450));
    assert!(!take(449).allowed && take(450).allowed && !take(450).allowed);
    assert!(limits.charge(&[Bucket::Address(address)], at(0)).allowed, "a class of its own");
    let short = Limits::new(&ClusterConfig { drop_in_window_ms: 1500, ..settings });
    assert_eq!(short.charge(&[Bucket::DropIn(address)], at(0)).window_s, 2, "whole seconds, rounded up");
    let tiny = Limits::new(&ClusterConfig { drop_in_requests: u32::MAX, drop_in_window_ms: 0, ..config() });
    assert!(tiny.charge(&[Bucket::DropIn(address)], at(0)).allowed, "nothing is divided by nothing");
    let endless = Limits::new(&ClusterConfig { drop_in_requests: 1, drop_in_window_ms: u64::MAX, ..config() });
    assert!(endless.charge(&[Bucket::DropIn(address)], at(SECOND)).allowed);
    assert!(!endless.charge(&[Bucket::DropIn(address)], at(SECOND)).allowed, "and nothing overflows");
}

#[test]
fn a_day_goes_on_with_what_was_used_before_and_gives_nothing_back() {
    let limits = Limits::new(&config());
    let of = |id: u128| Bucket::RunsOfDeployment(DeploymentId(Ulid(id)), Some(10));
    let remaining = |id: u128| limits.charge(&[of(id)], at(SECOND)).remaining;
    limits.resume(of(1), 7, at(SECOND));
    assert_eq!([remaining(1), remaining(1), remaining(1)], [2, 1, 0]);
    limits.resume(of(1), 0, at(SECOND));
    assert!(!limits.charge(&[of(1)], at(SECOND)).allowed);
    limits.resume(of(2), u64::MAX, at(SECOND));
    let refused = limits.charge(&[of(2)], at(SECOND));
    assert_eq!((refused.allowed, refused.retry_after_s), (false, 8640), "one a tenth of a day, not later");
    assert_eq!(remaining(3), 9);
}

#[test]
fn a_deployment_has_a_minute_beside_its_day() {
    let limits = Limits::new(&config());
    let id = DeploymentId(Ulid(1));
    let both = [Bucket::RunsOfDeployment(id, Some(100)), Bucket::RunsOfDeploymentMinute(id, 2)];
    assert!(limits.charge(&both, at(0)).allowed && limits.charge(&both, at(0)).allowed);
    let refused = limits.charge(&both, at(0));
    assert_eq!((refused.allowed, refused.policy), (false, "deployment-minute"));
    assert_eq!(limits.charge(&[both[0]], at(0)).remaining, 97, "the refused one cost the day nothing");
}

#[test]
fn all_sessions_of_a_widget_key_share_a_budget() {
    let limits = Limits::new(&ClusterConfig { widget_messages_per_minute: 3, ..config() });
    let key = KeyId(Ulid(5));
    let say = |session: u128| {
        limits.charge(&[Bucket::MessagesOf(ConversationId(Ulid(session))), Bucket::MessagesOfKey(key)], at(0))
    };
    assert!((1..=3).all(|session| say(session).allowed));
    let refused = say(4);
    assert_eq!((refused.allowed, refused.policy, refused.window_s), (false, "key-messages", 60));
    let alone = limits.charge(&[Bucket::MessagesOf(ConversationId(Ulid(4)))], at(0));
    assert_eq!(alone.remaining, 59, "the refused message cost its session nothing");
    assert!(limits.charge(&[Bucket::MessagesOfKey(KeyId(Ulid(6)))], at(0)).allowed);
}

#[test]
fn racing_requests_share_a_budget_exactly() {
    let (limits, entry) = (Arc::new(Limits::new(&config())), Arc::new(workspace(Some(1000))));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (limits, entry) = (Arc::clone(&limits), Arc::clone(&entry));
            std::thread::spawn(move || {
                let buckets = [Bucket::Workspace(&entry), Bucket::MessagesOf(SESSION)];
                (0..1000).filter(|_| limits.charge(&buckets, at(0)).allowed).count()
            })
        })
        .collect();
    let allowed: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(allowed, 60);
    let left = limits.charge(&[Bucket::Workspace(&entry)], at(0));
    assert_eq!(left.remaining, 1000 - 61, "what the sixty took and this one, and nothing of the refused");
}

proptest! {
    #[test]
    fn no_window_holds_more_than_burst_and_refill(
        quota in 1_u32..50,
        steps in proptest::collection::vec(0_u64..3_000, 1..400),
    ) {
        let rate = Rate::per_minute(quota);
        let (mut cell, mut now) = (0, 0);
        let mut taken = Vec::new();
        for step in steps {
            now += step * 1_000_000;
            let answer = rate.charge_locked(&mut cell, now);
            if answer.allowed {
                taken.push(now);
                prop_assert!(answer.remaining < quota);
            } else {
                let wait = u64::from(answer.retry_after_s) * SECOND;
                prop_assert!(wait > 0 && rate.decide(cell, now + wait).allowed, "waiting as told is enough");
            }
        }
        for (i, from) in taken.iter().enumerate() {
            let within = taken[i..].iter().take_while(|at| **at < from + 60 * SECOND).count();
            prop_assert!(within <= 2 * quota as usize, "{within} in a minute of {quota}");
        }
    }

    #[test]
    fn a_refund_is_as_if_nothing_had_been_taken(quota in 1_u32..1000, before in 0_u64..100 * SECOND, now in 0_u64..100 * SECOND) {
        let rate = Rate::per_minute(quota);
        let mut cell = before;
        if rate.charge_locked(&mut cell, now).allowed {
            rate.refund_locked(&mut cell);
            prop_assert_eq!(cell, before.max(now), "the same budget at this moment");
        }
    }
}
