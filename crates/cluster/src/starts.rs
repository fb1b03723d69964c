//! Starts of runs: what a day has cost a deployment, how fast strangers come, and which solutions of
//! challenges were used.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use access::Tenant;
use ambient::{DeploymentId, Millis};
use parking_lot::Mutex;
use store::DeploymentRecord;

use crate::{Bucket, Cluster, ClusterError, Verdict};

const MINUTE_S: u64 = 60;
const DAY: Duration = Duration::from_hours(24);
const DAY_MS: i64 = 24 * 3_600_000;
/// Deployments whose pace is remembered, at most; of more than that the pace is nothing.
const MAX_PACES: usize = 10_000;
/// Solutions that are remembered, at most; more than that are refused until some have expired.
const MAX_SPENT: usize = 100_000;

/// What happened in the last 24 hours under a deployment's ceilings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Day {
    Runs,
    Replies,
}

pub(crate) struct Starts {
    /// When this process began, by both clocks.
    began: (Millis, Duration),
    /// Days that were read from the database.
    read: Mutex<HashSet<(Day, DeploymentId)>>,
    paces: Mutex<HashMap<DeploymentId, Pace>>,
    spent: Mutex<Spent>,
}

/// How many came in this minute and in the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    minute: u64,
    here: u32,
    before: u32,
}

impl Pace {
    fn at(self, minute: u64) -> Self {
        match minute.saturating_sub(self.minute) {
            0 => self,
            1 => Self { minute, here: 0, before: self.here },
            _ => Self { minute, ..Self::default() },
        }
    }
}

#[derive(Default)]
struct Spent {
    until: HashMap<u128, Millis>,
    /// Not before.
    search_at: Millis,
}

impl Spent {
    fn spend(&mut self, id: u128, expires_at: Millis, now: Millis) -> bool {
        if now >= self.search_at {
            self.search_at = now.plus(1000);
            self.until.retain(|_, until| *until > now);
        }
        self.until.len() < MAX_SPENT && self.until.insert(id, expires_at).is_none()
    }
}

impl Starts {
    pub(crate) fn new(began: (Millis, Duration)) -> Self {
        Self { began, read: Mutex::default(), paces: Mutex::default(), spent: Mutex::default() }
    }

    /// Whether there may be more in the database than memory knows of: what was before this process.
    fn is_unread(&self, day: Day, deployment: DeploymentId, now: Duration) -> bool {
        let mut read = self.read.lock();
        if now.saturating_sub(self.began.1) >= DAY {
            *read = HashSet::new();
            return false;
        }
        !read.contains(&(day, deployment))
    }

    fn note(&self, deployment: DeploymentId, now: Duration) {
        let minute = now.as_secs() / MINUTE_S;
        let mut paces = self.paces.lock();
        if paces.len() >= MAX_PACES && !paces.contains_key(&deployment) {
            paces.retain(|_, pace| minute.saturating_sub(pace.minute) <= 1);
            if paces.len() >= MAX_PACES {
                return;
            }
        }
        let pace = paces.entry(deployment).or_default();
        *pace = pace.at(minute);
        pace.here = pace.here.saturating_add(1);
    }

    fn pace(&self, deployment: DeploymentId, now: Duration) -> u32 {
        let Some(pace) = self.paces.lock().get(&deployment).map(|pace| pace.at(now.as_secs() / MINUTE_S)) else {
            return 0;
        };
        // As if those of the minute before had come evenly.
        let left = MINUTE_S - now.as_secs() % MINUTE_S;
        let before = u64::from(pace.before) * left / MINUTE_S;
        pace.here.saturating_add(u32::try_from(before).unwrap_or(u32::MAX))
    }
}

/// What a start would meet at this moment.
#[derive(Clone, Copy, Debug)]
pub struct StartOutlook {
    /// What [`Cluster::charge_start`] would say.
    pub verdict: Verdict,
    /// Whole quarters of the day that are used, 0 to 4; 0 where no ceiling is.
    pub day_quarters: u8,
}

/// Of the quota without the request that the verdict is about.
fn quarters(day: Verdict) -> u8 {
    if !day.allowed {
        return 4;
    }
    let (quota, left) = (u64::from(day.quota), u64::from(day.remaining) + 1);
    u8::try_from(quota.saturating_sub(left) * 4 / quota.max(1)).unwrap_or(4)
}

impl Cluster {
    /// Charges a deployment for a run that is about to start: its day and its minute, or neither. A ceiling
    /// that was set bounds everybody, the installation's default of a day bounds strangers alone. The day
    /// goes on after a restart: what was started in the 24 hours before it counts.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn charge_start(
        &self,
        tenant: Tenant,
        deployment: &DeploymentRecord,
        is_stranger: bool,
    ) -> Result<Verdict, ClusterError> {
        let buckets = self.start_buckets(tenant, deployment, is_stranger).await?;
        Ok(self.charge(&buckets, self.0.clock.elapsed()))
    }

    /// What [`Cluster::charge_start`] would meet. Charges nothing, so that nobody pays for a start that is refused.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start_outlook(
        &self,
        tenant: Tenant,
        deployment: &DeploymentRecord,
        is_stranger: bool,
    ) -> Result<StartOutlook, ClusterError> {
        let [day, minute] = self.start_buckets(tenant, deployment, is_stranger).await?;
        let look = |bucket: Bucket<'static>| self.0.limits().peek(bucket, self.0.clock.elapsed());
        let (day, minute) = (day.map(look), minute.map(look));
        let verdict = [day, minute].into_iter().flatten().fold(Verdict::UNLIMITED, Verdict::tighter);
        Ok(StartOutlook { verdict, day_quarters: day.map_or(0, quarters) })
    }

    /// The day and the minute of a deployment's starts. The day goes on where the database says.
    async fn start_buckets(
        &self,
        tenant: Tenant,
        deployment: &DeploymentRecord,
        is_stranger: bool,
    ) -> Result<[Option<Bucket<'static>>; 2], ClusterError> {
        let (id, quota) = (deployment.id, deployment.daily_runs);
        let day = (quota.is_some() || is_stranger).then_some(Bucket::RunsOfDeployment(id, quota));
        if let Some(bucket) = day
            && self.0.starts.is_unread(Day::Runs, id, self.0.clock.elapsed())
        {
            let origin = if quota.is_some() { None } else { Some("public") };
            let data = self.0.store.workspace(tenant);
            let used = data.count_runs_since(id, self.0.clock.now().plus(-DAY_MS), origin).await?;
            self.resume_day(Day::Runs, id, bucket, used);
        }
        let minute = deployment.runs_per_minute.map(|quota| Bucket::RunsOfDeploymentMinute(id, quota));
        Ok([day, minute])
    }

    /// Charges a deployment for a reply of a bot. As with starts, a ceiling that was set bounds all runs, the
    /// installation's default those of strangers alone. `kind` is that of the events that tell of replies: those
    /// of the 24 hours before a restart count.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn charge_reply(
        &self,
        tenant: Tenant,
        deployment: &DeploymentRecord,
        is_stranger: bool,
        kind: &str,
    ) -> Result<Verdict, ClusterError> {
        let (id, quota) = (deployment.id, deployment.daily_replies);
        let bucket = (quota.is_some() || is_stranger).then_some(Bucket::RepliesOfDeployment(id, quota));
        if let Some(bucket) = bucket
            && self.0.starts.is_unread(Day::Replies, id, self.0.clock.elapsed())
        {
            let origin = if quota.is_some() { None } else { Some("public") };
            let data = self.0.store.workspace(tenant);
            let used = data.count_events_since(id, self.0.clock.now().plus(-DAY_MS), kind, origin).await?;
            self.resume_day(Day::Replies, id, bucket, used);
        }
        Ok(self.charge(&[bucket], self.0.clock.elapsed()))
    }

    /// Once, and before the first charge: of several who have read, the first one tells.
    fn resume_day(&self, day: Day, id: DeploymentId, bucket: Bucket<'_>, used: u64) {
        let mut read = self.0.starts.read.lock();
        if read.insert((day, id)) {
            self.0.limits().resume(bucket, used, self.0.clock.elapsed());
        }
    }

    /// Takes note of a stranger's start, for [`Cluster::public_pace`].
    pub fn note_public_start(&self, deployment: DeploymentId) {
        self.0.starts.note(deployment, self.0.clock.elapsed());
    }

    /// How many strangers have started runs of a deployment in the last minute, about.
    #[must_use]
    pub fn public_pace(&self, deployment: DeploymentId) -> u32 {
        self.0.starts.pace(deployment, self.0.clock.elapsed())
    }

    /// Uses a solution of a challenge up. `false` when it was used before, has expired, was asked for before
    /// this process began (it may have been used then), or when memory holds no more.
    #[must_use]
    pub fn spend(&self, id: u128, asked_at: Millis, expires_at: Millis) -> bool {
        let now = self.0.clock.now();
        asked_at >= self.0.starts.began.0 && now < expires_at && self.0.starts.spent.lock().spend(id, expires_at, now)
    }
}

#[cfg(test)]
mod tests {
    use ambient::Ulid;

    use super::*;

    const A: DeploymentId = DeploymentId(Ulid(1));

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_pace_is_that_of_the_last_minute() {
        let starts = Starts::new((Millis(0), at(0)));
        for _ in 0..60 {
            starts.note(A, at(30));
        }
        assert_eq!(starts.pace(A, at(59)), 60);
        assert_eq!(starts.pace(A, at(60)), 60, "a new minute forgets nothing at once");
        assert_eq!(starts.pace(A, at(90)), 30);
        starts.note(A, at(90));
        assert_eq!(starts.pace(A, at(119)), 2, "a sixtieth of the sixty, and one");
        assert_eq!(starts.pace(A, at(240)), 0);
        assert_eq!(starts.pace(DeploymentId(Ulid(2)), at(30)), 0);
    }

    #[test]
    fn paces_are_kept_of_so_many_and_old_ones_make_room() {
        let starts = Starts::new((Millis(0), at(0)));
        let id = |n: usize| DeploymentId(Ulid(n as u128));
        for n in 0..=MAX_PACES {
            starts.note(id(n), at(1));
        }
        assert_eq!(starts.pace(id(MAX_PACES), at(1)), 0);
        assert_eq!(starts.paces.lock().len(), MAX_PACES);
        starts.note(id(MAX_PACES), at(121));
        assert_eq!(starts.pace(id(MAX_PACES), at(121)), 1);
        assert_eq!(starts.paces.lock().len(), 1);
    }

    #[test]
    fn a_solution_is_used_once_and_forgotten_after_its_end() {
        let mut spent = Spent::default();
        assert!(spent.spend(1, Millis(5000), Millis(0)));
        assert!(!spent.spend(1, Millis(5000), Millis(4999)));
        assert!(spent.spend(2, Millis(9000), Millis(6000)));
        assert_eq!(spent.until.len(), 1);
    }

    #[test]
    fn solutions_beyond_what_memory_holds_are_refused_until_some_have_expired() {
        let mut spent = Spent::default();
        for id in 0..MAX_SPENT as u128 {
            assert!(spent.spend(id, Millis(5000), Millis(0)));
        }
        assert!(!spent.spend(u128::MAX, Millis(5000), Millis(0)));
        assert!(spent.spend(u128::MAX, Millis(9000), Millis(5000)));
    }

    #[test]
    fn after_a_day_nothing_from_before_is_left_to_read() {
        let starts = Starts::new((Millis(0), at(100)));
        assert!(starts.is_unread(Day::Runs, A, at(100)));
        starts.read.lock().insert((Day::Runs, A));
        assert!(!starts.is_unread(Day::Runs, A, at(101)) && starts.is_unread(Day::Replies, A, at(101)));
        assert!(!starts.is_unread(Day::Replies, A, at(100 + 86_400)));
        assert!(starts.read.lock().is_empty());
    }
}
