//! Budgets: GCRA (ITU-T I.371) on the monotonic clock.
//!
//! A budget of `q` in a window of `w` seconds, most often a minute, starts full, refills evenly, and
//! allows `q` at once: over any `s` seconds at most `q + q·s/w`. Frequent budgets are a cell inside the entry they belong to;
//! the others are in a table that never holds more than it is told.

mod day;
mod gcra;
mod guesses;
mod table;

pub(crate) use day::counted;

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ambient::{ChannelId, ConversationId, DeploymentId, KeyId, Millis, RunId, WorkspaceId};

use crate::{
    Cluster, ClusterConfig, KeyHandle, WorkspaceEntry,
    limits::{
        day::Day,
        gcra::{Answer, Rate},
        guesses::Guesses,
        table::{Class, Subject, Table},
    },
};

/// A budget that a request draws on.
#[derive(Clone, Copy, Debug)]
pub enum Bucket<'a> {
    /// The workspace's, shared by its servers.
    Workspace(&'a WorkspaceEntry),
    /// The workspace's for browsers, as large as the other: what is public by nature, a widget key or
    /// a visitor's token, cannot use up what the servers need.
    Browsers(&'a WorkspaceEntry),
    /// The workspace's for the people who are signed in, as large as the others.
    People(&'a WorkspaceEntry),
    /// The key's own; a key without one is not limited by it.
    Key(&'a KeyHandle),
    /// Opening sessions under a key.
    SessionsOfKey(KeyId),
    /// Sending messages in a session.
    MessagesOf(ConversationId),
    /// Reading a session's history.
    HistoryOf(ConversationId),
    /// Public operations, from an address.
    Address(IpAddr),
    /// Wrong credentials, from an address.
    FailuresOf(IpAddr),
    /// The drop-in surface, from an address; the one budget whose window the operator sets.
    DropIn(IpAddr),
    /// Sessions opened under a widget key in 24 hours; a key without a ceiling is not limited by it.
    DailySessionsOf(&'a KeyHandle),
    /// Messages in all sessions of a widget key in 24 hours; likewise.
    DailyMessagesOf(&'a KeyHandle),
    /// Requests with a key on the day, UTC, of a moment; a key without a ceiling is not limited by it. Read what
    /// is gone of it first: [`Cluster::resume_requests`].
    RequestsOfDay(&'a KeyHandle, Millis),
    /// Messages a minute in all sessions of a widget key.
    MessagesOfKey(KeyId),
    /// Messages a minute that come in through a channel.
    MessagesOfChannel(ChannelId),
    /// What a participant asks: of one run, by one role.
    Participant(RunId, &'a str),
    /// What participants ask, of all runs, from an address.
    ParticipantsOf(IpAddr),
    /// Starts of public surveys, from an address.
    PublicStarts(IpAddr),
    /// Runs that start under a deployment in 24 hours; the quota is the deployment's own, if it has one.
    RunsOfDeployment(DeploymentId, Option<u32>),
    /// Runs that start under a deployment in a minute.
    RunsOfDeploymentMinute(DeploymentId, u32),
    /// Replies of bots in runs of a deployment in 24 hours; the quota is the deployment's own, if it has one.
    RepliesOfDeployment(DeploymentId, Option<u32>),
    /// Runs that a trigger's token starts, known or not.
    Trigger(&'a str),
    /// Passwords tried, from an address.
    SignIns(IpAddr),
    /// Passwords tried of an account, by its address and what else tells its owner from a stranger.
    SignInsOf(&'a str),
}

impl Bucket<'_> {
    /// Whether it belongs to a workspace, or to one of its keys. The others belong to an address, or to a text that
    /// anybody may send: what is left of them tells what somebody else did.
    #[must_use]
    pub const fn has_owner(&self) -> bool {
        !matches!(
            self,
            Self::Address(_)
                | Self::FailuresOf(_)
                | Self::DropIn(_)
                | Self::ParticipantsOf(_)
                | Self::PublicStarts(_)
                | Self::Trigger(_)
                | Self::SignIns(_)
                | Self::SignInsOf(_)
        )
    }
}

impl Cluster {
    /// The budgets of a workspace, for a caller whose credential is none of its keys.
    #[must_use]
    pub fn budgets_of(&self, workspace: WorkspaceId) -> Arc<WorkspaceEntry> {
        self.0.keyring.workspace(workspace)
    }
}

/// What a budget says: of several, the one nearest to refusing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the request may go on. If not, nothing was charged anywhere.
    pub allowed: bool,
    /// Which budget this is about; empty when there was none to ask.
    pub policy: &'static str,
    /// Requests per window.
    pub quota: u32,
    /// The window, in seconds.
    pub window_s: u32,
    /// Requests that would be allowed at this moment.
    pub remaining: u32,
    /// Seconds until the budget is full again; when refused, until there is room for one.
    pub reset_s: u32,
    /// Seconds to wait before the next attempt: at least 1 and never less than `reset_s` when
    /// refused, else 0.
    pub retry_after_s: u32,
}

impl Verdict {
    pub(crate) const UNLIMITED: Self = Self {
        allowed: true,
        policy: "",
        quota: u32::MAX,
        window_s: 60,
        remaining: u32::MAX,
        reset_s: 0,
        retry_after_s: 0,
    };

    /// The one to report of two: a refusal, then the smaller rest, then the longer wait.
    pub(crate) fn tighter(self, other: Self) -> Self {
        let rank = |v: &Self| (v.allowed, v.remaining, u32::MAX - v.retry_after_s, u32::MAX - v.reset_s);
        if rank(&other) < rank(&self) { other } else { self }
    }
}

/// Where a budget is kept, and how much it is.
struct Place<'a> {
    policy: &'static str,
    rate: Rate,
    cell: Cell<'a>,
}

enum Cell<'a> {
    Inline(&'a std::sync::atomic::AtomicU64),
    Day(&'a std::sync::atomic::AtomicU64, Day),
    Table(&'a Table, Class, Subject),
}

impl Place<'_> {
    fn peek(&self, now: u64) -> Answer {
        match self.cell {
            Cell::Inline(cell) => self.rate.decide(cell.load(Ordering::Relaxed), now),
            Cell::Day(cell, day) => day.decide(self.rate.quota(), cell.load(Ordering::Relaxed)),
            Cell::Table(table, class, subject) => self.rate.decide(table.read(class, subject), now),
        }
    }

    fn charge(&self, now: u64) -> Answer {
        match self.cell {
            Cell::Inline(cell) => self.rate.charge(cell, now),
            Cell::Day(cell, day) => day.charge(self.rate.quota(), cell),
            Cell::Table(table, class, subject) => table.charge(class, subject, &self.rate, now),
        }
    }

    fn refund(&self) {
        match self.cell {
            Cell::Inline(cell) => self.rate.refund(cell),
            Cell::Day(cell, _) => Day::refund(cell),
            Cell::Table(table, class, subject) => table.refund(class, subject, &self.rate),
        }
    }

    fn verdict(&self, answer: Answer) -> Verdict {
        Verdict {
            allowed: answer.allowed,
            policy: self.policy,
            quota: self.rate.quota(),
            window_s: self.rate.window_s(),
            remaining: answer.remaining,
            reset_s: answer.reset_s,
            retry_after_s: answer.retry_after_s,
        }
    }
}

pub(crate) struct Limits {
    pub(crate) guesses: Guesses,
    workspace: u32,
    sessions: Rate,
    messages: Rate,
    history: Rate,
    public: Rate,
    failures: Rate,
    drop_in: Rate,
    key_messages: Rate,
    participants: Rate,
    participant_addresses: Rate,
    public_starts: Rate,
    public_starts_of_day: u32,
    public_replies_of_day: u32,
    triggers: Rate,
    sign_ins: Rate,
    account_sign_ins: Rate,
    hasher: RandomState,
    /// Of callers who proved who they are.
    known: Table,
    /// Of addresses. A table of its own, so that a flood of addresses crowds out no session.
    strangers: Table,
}

impl Limits {
    pub(crate) fn new(config: &ClusterConfig) -> Self {
        let half = config.max_buckets / 2;
        Self {
            guesses: Guesses::new(half),
            workspace: config.workspace_per_minute,
            sessions: Rate::per_minute(config.sessions_per_minute),
            messages: Rate::per_minute(config.messages_per_minute),
            history: Rate::per_minute(config.history_per_minute),
            public: Rate::per_minute(config.public_per_minute),
            failures: Rate::per_minute(config.failures_per_minute),
            drop_in: Rate::per_window(config.drop_in_requests, config.drop_in_window_ms),
            key_messages: Rate::per_minute(config.widget_messages_per_minute),
            participants: Rate::per_minute(config.participant_per_minute),
            participant_addresses: Rate::per_minute(config.participant_per_address_per_minute),
            public_starts: Rate::per_minute(config.public_starts_per_minute),
            public_starts_of_day: config.public_starts_per_day,
            public_replies_of_day: config.public_replies_per_day,
            triggers: Rate::per_minute(config.triggers_per_minute),
            sign_ins: Rate::per_minute(config.sign_ins_per_minute),
            account_sign_ins: Rate::per_minute(config.sign_ins_per_account_per_minute),
            hasher: RandomState::new(),
            known: Table::new(half),
            strangers: Table::new(half),
        }
    }

    /// Of a text that somebody else chose: seeded by the process, so that nobody aims at another's budget.
    fn hashed(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    fn place<'a>(&'a self, bucket: Bucket<'a>) -> Option<Place<'a>> {
        let known =
            |policy, rate, class, id: u128| Place { policy, rate, cell: Cell::Table(&self.known, class, Subject(id)) };
        let stranger = |policy, rate, class, address| Place {
            policy,
            rate,
            cell: Cell::Table(&self.strangers, class, Subject::of_address(address)),
        };
        Some(match bucket {
            Bucket::Workspace(entry) => Place {
                policy: "workspace",
                rate: Rate::per_minute(entry.own().unwrap_or(self.workspace)),
                cell: Cell::Inline(&entry.cell),
            },
            Bucket::Browsers(entry) => Place {
                policy: "workspace-browsers",
                rate: Rate::per_minute(entry.own().unwrap_or(self.workspace)),
                cell: Cell::Inline(&entry.browsers),
            },
            Bucket::People(entry) => Place {
                policy: "workspace-people",
                rate: Rate::per_minute(entry.own().unwrap_or(self.workspace)),
                cell: Cell::Inline(&entry.people),
            },
            Bucket::Key(handle) => {
                let rate = Rate::per_minute(handle.rate_limit()?);
                Place { policy: "key", rate, cell: Cell::Inline(&handle.entry.extra()?.cell) }
            }
            Bucket::SessionsOfKey(key) => known("sessions", self.sessions, Class::Sessions, key.0.0),
            Bucket::MessagesOf(session) => known("messages", self.messages, Class::Messages, session.0.0),
            Bucket::HistoryOf(session) => known("history", self.history, Class::History, session.0.0),
            Bucket::Address(address) => stranger("address", self.public, Class::Address, address),
            Bucket::FailuresOf(address) => stranger("failures", self.failures, Class::Failures, address),
            Bucket::DropIn(address) => stranger("drop-in", self.drop_in, Class::DropIn, address),
            Bucket::DailySessionsOf(handle) => Place {
                policy: "daily-sessions",
                rate: Rate::per_day(handle.daily_sessions()?),
                cell: Cell::Inline(&handle.entry.extra()?.sessions_today),
            },
            Bucket::DailyMessagesOf(handle) => Place {
                policy: "daily-messages",
                rate: Rate::per_day(handle.daily_messages()?),
                cell: Cell::Inline(&handle.entry.extra()?.messages_today),
            },
            Bucket::RequestsOfDay(handle, now) => Place {
                policy: "daily-requests",
                rate: Rate::per_day(handle.daily_requests()?),
                cell: Cell::Day(&handle.entry.extra()?.requests_today, Day::of(now)),
            },
            Bucket::Participant(run, role) => {
                let id = run.0.0 ^ u128::from(self.hashed(role));
                known("participant", self.participants, Class::Participants, id)
            }
            Bucket::ParticipantsOf(address) => {
                stranger("participant-address", self.participant_addresses, Class::ParticipantAddresses, address)
            }
            Bucket::PublicStarts(address) => {
                stranger("public-starts", self.public_starts, Class::PublicStarts, address)
            }
            Bucket::RunsOfDeployment(deployment, quota) => {
                let rate = Rate::per_day(quota.unwrap_or(self.public_starts_of_day));
                known("deployment-day", rate, Class::DeploymentDays, deployment.0.0)
            }
            Bucket::RunsOfDeploymentMinute(deployment, quota) => {
                known("deployment-minute", Rate::per_minute(quota), Class::DeploymentMinutes, deployment.0.0)
            }
            Bucket::RepliesOfDeployment(deployment, quota) => {
                let rate = Rate::per_day(quota.unwrap_or(self.public_replies_of_day));
                known("deployment-replies", rate, Class::DeploymentReplies, deployment.0.0)
            }
            // Among the strangers: whoever makes tokens up crowds out no caller.
            Bucket::Trigger(token) => Place {
                policy: "trigger",
                rate: self.triggers,
                cell: Cell::Table(&self.strangers, Class::Triggers, Subject(u128::from(self.hashed(token)))),
            },
            Bucket::SignIns(address) => stranger("sign-ins", self.sign_ins, Class::SignIns, address),
            // Whether there is such an account or not.
            Bucket::SignInsOf(account) => Place {
                policy: "account-sign-ins",
                rate: self.account_sign_ins,
                cell: Cell::Table(&self.strangers, Class::SignInsOfAccount, Subject(u128::from(self.hashed(account)))),
            },
            // As of a widget key: both bring messages of many users.
            Bucket::MessagesOfChannel(channel) => {
                known("channel-messages", self.key_messages, Class::KeyMessages, channel.0.0)
            }
            Bucket::MessagesOfKey(key) => known("key-messages", self.key_messages, Class::KeyMessages, key.0.0),
        })
    }

    /// Charges one request to every bucket, or to none. `now` is [`ambient::Clock::elapsed`].
    pub(crate) fn charge<'a, B>(&'a self, buckets: &[B], now: Duration) -> Verdict
    where
        B: Into<Option<Bucket<'a>>> + Copy,
    {
        let now = nanos(now);
        let find = |bucket: &B| (*bucket).into().and_then(|bucket| self.place(bucket));
        // Looking first: a refused request then writes nothing, and costs nobody a false refusal.
        let mut refused = Verdict::UNLIMITED;
        for place in buckets.iter().filter_map(find) {
            let answer = place.peek(now);
            if !answer.allowed {
                refused = refused.tighter(place.verdict(answer));
            }
        }
        if !refused.allowed {
            return refused;
        }
        let mut verdict = Verdict::UNLIMITED;
        for (at, bucket) in buckets.iter().enumerate() {
            let Some(place) = find(bucket) else { continue };
            let answer = place.charge(now);
            if !answer.allowed {
                // Somebody else took the last one in between: give back what this request took.
                buckets[..at].iter().filter_map(find).for_each(|place| place.refund());
                return place.verdict(answer);
            }
            verdict = verdict.tighter(place.verdict(answer));
        }
        verdict
    }

    /// What [`Limits::charge`] would say. Charges nothing.
    pub(crate) fn look<'a, B>(&'a self, buckets: &[B], now: Duration) -> Verdict
    where
        B: Into<Option<Bucket<'a>>> + Copy,
    {
        let places = buckets.iter().filter_map(|bucket| (*bucket).into().and_then(|bucket| self.place(bucket)));
        let verdicts = places.map(|place| place.verdict(place.peek(nanos(now))));
        verdicts.fold(Verdict::UNLIMITED, Verdict::tighter)
    }

    /// Goes on with a budget of which `used` are gone at this moment. What is gone already stays gone.
    pub(crate) fn resume(&self, bucket: Bucket<'_>, used: u64, now: Duration) {
        if let Some(Place { rate, cell: Cell::Table(table, class, subject), .. }) = self.place(bucket) {
            table.raise(class, subject, rate.with_used(used, nanos(now)));
        }
    }

    /// What the bucket would say to one request. Charges nothing.
    pub(crate) fn peek(&self, bucket: Bucket<'_>, now: Duration) -> Verdict {
        self.place(bucket).map_or(Verdict::UNLIMITED, |place| place.verdict(place.peek(nanos(now))))
    }

    /// Whether the bucket would refuse. Charges nothing.
    pub(crate) fn is_exhausted(&self, bucket: Bucket<'_>, now: Duration) -> bool {
        !self.peek(bucket, now).allowed
    }

    /// How many buckets are in the tables.
    pub(crate) fn buckets(&self) -> usize {
        self.known.len() + self.strangers.len()
    }
}

/// Good for 584 years of uptime.
fn nanos(now: Duration) -> u64 {
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests;
