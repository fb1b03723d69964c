//! What was decided of late, in memory: for people who look at their requests, and ask why one was refused.
//!
//! Bounded three times: 1,000 requests that were let in and 1,000 that were refused of a workspace, 512 workspaces,
//! and 32,768 requests in all, some 8 MB and some hundred bytes more for each refusal. Of strangers, whose workspace
//! nobody knows, the last 4,096 refusals are kept. Nothing of it is written anywhere.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use access::{Role, Scope, Tenant};
use ambient::{KeyId, Millis, RequestId, Ulid, WorkspaceId};
use credential::{key::Environment, secret::Digest};
use parking_lot::Mutex;

use crate::Reason;

const SHARDS: usize = 16;
/// Workspaces of a shard.
const TRAILS: usize = 32;
/// Requests of a shard, of all its workspaces.
const HELD: usize = 2048;
/// Requests of a workspace, of those let in and of those refused: a flood of one leaves the other.
const OF_TRAIL: usize = 1000;
/// Refusals of strangers.
const STRANGERS: usize = 4096;

/// What sent a request, by what it calls itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// A browser, or what calls itself one.
    Browser,
    /// Another program.
    Program,
    /// It did not say.
    Silent,
}

impl Agent {
    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Program => "program",
            Self::Silent => "silent",
        }
    }
}

/// What explains a refusal. Nothing of it is a secret.
#[derive(Clone, Debug)]
pub struct Why {
    /// The true reason.
    pub reason: Reason,
    /// The scope that was lacking.
    pub scope: Option<Scope>,
    /// The role that was lacking.
    pub role: Option<Role>,
    /// The budget that was used up.
    pub policy: Option<&'static str>,
    /// In how many seconds there would be room, at that moment.
    pub retry_after: Option<u32>,
    /// The first fields that were wrong.
    pub fields: Vec<String>,
    /// The first id in the path.
    pub target: Option<String>,
    /// The page's origin, as it was sent.
    pub origin: Option<String>,
    /// What the answer said, where those words are always the same.
    pub said: Option<&'static str>,
    /// By what its owner may be found.
    pub(crate) claim: Option<Claim>,
}

/// What was presented, of which memory does not know whose it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Claim {
    /// A key, by its digest.
    Digest(Digest),
    /// A token, by the key that made it.
    Parent(KeyId),
}

impl Why {
    /// A reason and nothing else.
    pub(crate) const fn of(reason: Reason) -> Self {
        let (scope, role, policy, retry_after, target, origin, said) = (None, None, None, None, None, None, None);
        Self { reason, scope, role, policy, retry_after, fields: Vec::new(), target, origin, said, claim: None }
    }
}

/// One answered request.
#[derive(Clone, Debug)]
pub struct Decision {
    /// When it arrived.
    pub time: Millis,
    /// The request.
    pub id: RequestId,
    /// Its method.
    pub method: &'static str,
    /// The operation's id, `not_found` or `method_not_allowed`.
    pub operation: &'static str,
    /// The operation's path, with the names of its parameters; `-` where there is no operation.
    pub path: &'static str,
    /// The answer's status.
    pub status: u16,
    /// Until the answer's head, in microseconds.
    pub micros: u32,
    /// The code of a refusal.
    pub code: Option<&'static str>,
    /// What kind of credential, and which.
    pub caller: Option<(&'static str, &'static str, Option<Ulid>)>,
    /// Whose data.
    pub environment: Option<Environment>,
    /// The client.
    pub address: IpAddr,
    /// What sent it.
    pub agent: Agent,
    /// Of a refusal.
    pub why: Option<Arc<Why>>,
}

impl Decision {
    /// The key that asked, or was presented.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        let (_, prefix, id) = self.caller?;
        id.filter(|_| prefix == KeyId::PREFIX).map(KeyId)
    }
}

/// A decision, and its place among those of its workspace.
#[derive(Clone, Debug)]
pub struct Numbered {
    /// Later ones have greater numbers; some are left out.
    pub number: u64,
    /// The decision.
    pub decision: Decision,
}

#[derive(Default)]
struct Trail {
    let_in: VecDeque<Numbered>,
    refused: VecDeque<Numbered>,
    next: u64,
    /// When it was last written to, by the shard's count.
    touched: u64,
}

impl Trail {
    fn len(&self) -> usize {
        self.let_in.len() + self.refused.len()
    }

    /// Makes room for one more: of what there is more of.
    fn drop_oldest(&mut self) {
        let longer = if self.let_in.len() >= self.refused.len() { &mut self.let_in } else { &mut self.refused };
        longer.pop_front();
    }
}

#[derive(Default)]
struct Shard {
    trails: HashMap<WorkspaceId, Trail>,
    held: usize,
    writes: u64,
}

impl Shard {
    fn push(&mut self, workspace: WorkspaceId, decision: Decision) {
        self.writes += 1;
        if self.trails.len() >= TRAILS && !self.trails.contains_key(&workspace) {
            self.forget_the_quietest();
        }
        let trail = self.trails.entry(workspace).or_default();
        trail.touched = self.writes;
        trail.next += 1;
        let numbered = Numbered { number: trail.next, decision };
        let queue = if numbered.decision.code.is_some() { &mut trail.refused } else { &mut trail.let_in };
        queue.push_back(numbered);
        if queue.len() > OF_TRAIL {
            queue.pop_front();
        } else {
            self.held += 1;
        }
        if self.held > HELD
            && let Some(longest) = self.trails.values_mut().max_by_key(|trail| trail.len())
        {
            longest.drop_oldest();
            self.held -= 1;
        }
    }

    fn forget_the_quietest(&mut self) {
        let quietest = self.trails.iter().min_by_key(|(_, trail)| trail.touched).map(|(id, _)| *id);
        if let Some(trail) = quietest.and_then(|id| self.trails.remove(&id)) {
            self.held -= trail.len();
        }
    }
}

/// See the module.
pub(crate) struct Decisions {
    shards: Box<[Mutex<Shard>]>,
    strangers: Mutex<VecDeque<Decision>>,
}

impl Default for Decisions {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), strangers: Mutex::default() }
    }
}

impl Decisions {
    /// The last bits of an id are random.
    fn shard(&self, workspace: WorkspaceId) -> &Mutex<Shard> {
        &self.shards[usize::try_from(workspace.0.0 % SHARDS as u128).unwrap_or(0)]
    }

    /// Notes one of a workspace.
    pub(crate) fn push(&self, workspace: WorkspaceId, decision: Decision) {
        self.shard(workspace).lock().push(workspace, decision);
    }

    /// Notes a refusal of whoever did not say, or prove, who it is.
    pub(crate) fn push_stranger(&self, decision: Decision) {
        let mut strangers = self.strangers.lock();
        if strangers.len() >= STRANGERS {
            strangers.pop_front();
        }
        strangers.push_back(decision);
    }

    /// Those of a tenant that `wanted` takes, the newest first.
    pub(crate) fn list(&self, tenant: Tenant, wanted: impl Fn(&Decision) -> bool) -> Vec<Numbered> {
        let mut found = self.select(tenant, |numbered| wanted(&numbered.decision));
        found.sort_unstable_by_key(|numbered| std::cmp::Reverse(numbered.number));
        found
    }

    /// Those of a tenant after a number, the oldest first.
    pub(crate) fn after(&self, tenant: Tenant, number: u64) -> Vec<Numbered> {
        let mut found = self.select(tenant, |numbered| numbered.number > number);
        found.sort_unstable_by_key(|numbered| numbered.number);
        found
    }

    /// The number of a workspace's newest.
    pub(crate) fn newest(&self, workspace: WorkspaceId) -> u64 {
        self.shard(workspace).lock().trails.get(&workspace).map_or(0, |trail| trail.next)
    }

    fn select(&self, tenant: Tenant, wanted: impl Fn(&Numbered) -> bool) -> Vec<Numbered> {
        let shard = self.shard(tenant.workspace).lock();
        let Some(trail) = shard.trails.get(&tenant.workspace) else { return Vec::new() };
        // Of a refused person nobody knows which half was meant: a test key is not to see what people do.
        let of = |decision: &Decision| decision.environment.unwrap_or(Environment::Live);
        let own = |one: &&Numbered| of(&one.decision) == tenant.environment && wanted(one);
        trail.let_in.iter().chain(&trail.refused).filter(own).cloned().collect()
    }

    /// The one with this id: of the workspace, whatever the environment.
    pub(crate) fn find(&self, workspace: WorkspaceId, id: RequestId) -> Option<Decision> {
        let shard = self.shard(workspace).lock();
        let trail = shard.trails.get(&workspace)?;
        let found = trail.refused.iter().chain(&trail.let_in).find(|numbered| numbered.decision.id == id);
        found.map(|numbered| numbered.decision.clone())
    }

    /// The stranger's with this id.
    pub(crate) fn find_stranger(&self, id: RequestId) -> Option<Decision> {
        self.strangers.lock().iter().rev().find(|decision| decision.id == id).cloned()
    }

    /// Takes up to `most` strangers out whose key has not been looked for yet, the newest first; those that turn
    /// out to be nobody's are given back.
    pub(crate) fn take_unknown(&self, most: usize) -> Vec<Decision> {
        let mut strangers = self.strangers.lock();
        let is_open = |decision: &Decision| decision.why.as_ref().is_some_and(|why| why.claim.is_some());
        let at: Vec<usize> = (0..strangers.len()).rev().filter(|at| is_open(&strangers[*at])).take(most).collect();
        // From the back: what is taken out moves nothing that is still to be taken.
        at.into_iter().filter_map(|at| strangers.remove(at)).collect()
    }

    /// Gives one back; its key is nobody's where that is `known`.
    pub(crate) fn give_back(&self, mut decision: Decision, known: bool) {
        if known && let Some(why) = decision.why.as_mut().map(Arc::make_mut) {
            why.claim = None;
        }
        let mut strangers = self.strangers.lock();
        let at = strangers.partition_point(|other| other.time <= decision.time);
        strangers.insert(at, decision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(id: u128, code: Option<&'static str>) -> Decision {
        Decision {
            time: Millis(i64::try_from(id).unwrap()),
            id: RequestId(Ulid(id)),
            method: "GET",
            operation: "get_me",
            path: "/v1/me",
            status: if code.is_some() { 403 } else { 200 },
            micros: 12,
            code,
            caller: Some(("secret", "key_", Some(Ulid(9)))),
            environment: Some(Environment::Live),
            address: IpAddr::from([192, 0, 2, 1]),
            agent: Agent::Program,
            why: None,
        }
    }

    fn of(workspace: u128, environment: Environment) -> Tenant {
        Tenant { workspace: WorkspaceId(Ulid(workspace)), environment }
    }

    #[test]
    fn a_flood_of_successes_leaves_the_refusals() {
        let (all, tenant) = (Decisions::default(), of(1, Environment::Live));
        all.push(tenant.workspace, decision(1, Some("NOT_FOUND")));
        for id in 2..5000 {
            all.push(tenant.workspace, decision(id, None));
        }
        let listed = all.list(tenant, |_| true);
        assert_eq!(listed.len(), OF_TRAIL + 1);
        assert_eq!((listed[0].decision.id, listed[OF_TRAIL].decision.id), (RequestId(Ulid(4999)), RequestId(Ulid(1))));
        assert_eq!(all.after(tenant, 4997).iter().map(|one| one.number).collect::<Vec<_>>(), [4998, 4999]);
    }

    #[test]
    fn one_tenant_sees_nothing_of_another_nor_of_the_other_half_of_its_data() {
        let all = Decisions::default();
        all.push(WorkspaceId(Ulid(1)), decision(1, None));
        all.push(WorkspaceId(Ulid(17)), decision(2, None));
        assert_eq!(all.list(of(1, Environment::Live), |_| true).len(), 1);
        assert!(all.list(of(1, Environment::Test), |_| true).is_empty());
        all.push(WorkspaceId(Ulid(1)), Decision { environment: None, ..decision(3, Some("ORIGIN_NOT_ALLOWED")) });
        assert_eq!(all.list(of(1, Environment::Live), |_| true).len(), 2);
        assert!(all.after(of(1, Environment::Test), 0).is_empty(), "what names no half is of the live one");
        assert!(all.find(WorkspaceId(Ulid(1)), RequestId(Ulid(2))).is_none(), "of the same shard");
        assert!(all.find(WorkspaceId(Ulid(17)), RequestId(Ulid(2))).is_some());
    }

    #[test]
    fn memory_is_bounded_and_the_busiest_pay_for_it() {
        let all = Decisions::default();
        let quiet = of(16, Environment::Live);
        all.push(quiet.workspace, decision(1, None));
        for id in 1..=4000_u128 {
            // Three busy workspaces of the same shard.
            all.push(WorkspaceId(Ulid(32 + id % 3 * 16)), decision(id, Some("NOT_FOUND")));
        }
        let held: usize =
            all.shards.iter().map(|shard| shard.lock().trails.values().map(Trail::len).sum::<usize>()).sum();
        assert_eq!(held, HELD);
        assert_eq!(all.list(quiet, |_| true).len(), 1, "a quiet one keeps what it has");
        for id in 0..2 * TRAILS as u128 {
            all.push(WorkspaceId(Ulid(1000 * 16 + id * 16)), decision(id, None));
        }
        let shard = all.shards[0].lock();
        assert_eq!(shard.trails.len(), TRAILS);
        assert_eq!(shard.held, shard.trails.values().map(Trail::len).sum::<usize>());
        assert!(size_of::<Numbered>() <= 256, "{}", size_of::<Numbered>());
    }

    #[test]
    fn a_stranger_whose_key_is_nobodys_is_not_looked_for_again() {
        let all = Decisions::default();
        let why = |claim| Some(Arc::new(Why { claim, ..Why::of(Reason::KeyUnknown) }));
        for id in 1..=3 {
            let claim = (id != 2).then_some(Claim::Digest(Digest([7; 32])));
            all.push_stranger(Decision { why: why(claim), caller: None, ..decision(id, Some("INVALID_API_KEY")) });
        }
        let mut taken = all.take_unknown(1);
        assert_eq!(taken[0].id, RequestId(Ulid(3)));
        all.give_back(taken.remove(0), true);
        assert_eq!(all.take_unknown(9).iter().map(|one| one.id.0.0).collect::<Vec<_>>(), [1]);
        assert!(all.find_stranger(RequestId(Ulid(3))).is_some());
        for id in 0..5000 {
            all.push_stranger(decision(id, Some("NOT_FOUND")));
        }
        assert_eq!(all.strangers.lock().len(), STRANGERS);
    }
}
