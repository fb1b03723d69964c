//! Every live key in memory, found by digest and by id.
//!
//! Changes hold the shard of the key's id from beginning to end, and take the shards of its digests
//! inside; look-ups take one shard of digests for reading and nothing else. What an unknown key is
//! compared with is the full 256-bit digest, never a part of it.

use std::{collections::HashMap, sync::Arc};

use access::ScopeSet;
use ambient::{KeyId, Millis, ServiceAccountId, WorkspaceId};
use credential::secret::Digest;
use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockWriteGuard};
use store::LiveKey;

use crate::{
    entry::{AccountEntry, AccountState, KeyEntry, KeyHandle, Secret},
    workspace_entry::WorkspaceEntry,
};

/// A power of two; one lock each.
const SHARDS: usize = 64;
/// How long a revoked key is remembered, so that a slow reader cannot put it back. No read of the
/// store is that slow.
const REMEMBER_MS: i64 = 60 * 60 * 1000;

/// What the keyring says to a digest.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// It works.
    Found(KeyHandle),
    /// The key has expired; whoever holds the whole key may be told.
    Expired,
    /// Known, and does not work: revoked, disabled, or its grace is over. For the caller this is the
    /// same as [`Lookup::Miss`]; it needs no second look.
    Refused,
    /// Not in memory. [`crate::Cluster::lookup_slow`] knows more.
    Miss,
}

#[derive(Default)]
struct DigestShard {
    /// By the newest digest.
    current: HashTable<Arc<KeyEntry>>,
    /// By the digest whose grace runs. Small, and mostly empty.
    previous: HashTable<Arc<KeyEntry>>,
}

#[derive(Default)]
struct IdShard {
    keys: HashTable<Arc<KeyEntry>>,
    /// Revoked keys, and when they were.
    revoked: HashMap<KeyId, Millis>,
}

/// What became of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is in force.
    Yes,
    /// Memory knows better: the same version or a later one.
    Older,
    /// The key is revoked, or has no secret that works.
    Gone,
}

pub(crate) struct Keyring {
    digests: Box<[RwLock<DigestShard>]>,
    ids: Box<[RwLock<IdShard>]>,
    workspaces: RwLock<HashMap<WorkspaceId, Arc<WorkspaceEntry>>>,
    /// Accounts of resident keys, and every account that has changed since the start: a slow reader
    /// finds the change here, whatever it has read.
    accounts: RwLock<HashMap<ServiceAccountId, Arc<AccountEntry>>>,
}

/// The digest is a keyed hash already, and the caller cannot steer it: its own bytes will do.
fn digest_hash(digest: &Digest) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest.0[8..16]);
    u64::from_le_bytes(bytes)
}

fn digest_shard(digest: &Digest) -> usize {
    usize::from(digest.0[0]) % SHARDS
}

/// The last 80 bits of an id are random; which of them choose shard and bucket do not overlap much.
#[expect(clippy::cast_possible_truncation, reason = "64 of the random bits are wanted")]
fn id_hash(id: KeyId) -> u64 {
    id.0.0 as u64
}

fn id_shard(id: KeyId) -> usize {
    usize::try_from((id.0.0 >> 64) % SHARDS as u128).unwrap_or(0)
}

fn current_hash(entry: &Arc<KeyEntry>) -> u64 {
    digest_hash(entry.digest())
}

fn previous_hash(entry: &Arc<KeyEntry>) -> u64 {
    entry.previous().map_or(0, |previous| digest_hash(&previous.digest))
}

fn id_of_entry(entry: &Arc<KeyEntry>) -> u64 {
    id_hash(entry.id())
}

impl Default for Keyring {
    fn default() -> Self {
        Self {
            digests: (0..SHARDS).map(|_| RwLock::default()).collect(),
            ids: (0..SHARDS).map(|_| RwLock::default()).collect(),
            workspaces: RwLock::default(),
            accounts: RwLock::default(),
        }
    }
}

impl Keyring {
    pub(crate) fn lookup(&self, digest: &Digest, now: Millis) -> Lookup {
        let found = {
            let shard = self.digests[digest_shard(digest)].read();
            let hash = digest_hash(digest);
            let current = shard.current.find(hash, |entry| entry.digest() == digest);
            current.map(|entry| KeyHandle { entry: Arc::clone(entry), is_previous: false }).or_else(|| {
                let is = |entry: &Arc<KeyEntry>| entry.previous().is_some_and(|previous| previous.digest == *digest);
                let entry = shard.previous.find(hash, is)?;
                Some(KeyHandle { entry: Arc::clone(entry), is_previous: true })
            })
        };
        let Some(handle) = found else { return Lookup::Miss };
        let over = handle.is_previous && handle.previous().is_none_or(|previous| now >= previous.grace_ends);
        if over || handle.is_disabled() {
            Lookup::Refused
        } else if handle.is_expired(now) {
            Lookup::Expired
        } else {
            Lookup::Found(handle)
        }
    }

    /// The key that has a secret of this digest, in whatever state both are.
    pub(crate) fn find(&self, digest: &Digest) -> Option<Arc<KeyEntry>> {
        let shard = self.digests[digest_shard(digest)].read();
        let hash = digest_hash(digest);
        let is_previous = |entry: &Arc<KeyEntry>| entry.previous().is_some_and(|previous| previous.digest == *digest);
        let current = shard.current.find(hash, |entry| entry.digest() == digest);
        current.or_else(|| shard.previous.find(hash, is_previous)).cloned()
    }

    /// The key, in whatever state it is.
    pub(crate) fn get(&self, id: KeyId) -> Option<Arc<KeyEntry>> {
        let shard = self.ids[id_shard(id)].read();
        shard.keys.find(id_hash(id), |entry| entry.id() == id).cloned()
    }

    /// Puts in what was read, unless memory knows better.
    pub(crate) fn insert(&self, live: &LiveKey) -> Inserted {
        let secrets: Vec<Secret> =
            live.key.secrets.iter().map(|s| Secret { digest: s.digest, grace_ends: s.expires_at }).collect();
        let id = live.key.id;
        if let Some(at) = live.key.revoked_at {
            self.revoke(id, at);
            return Inserted::Gone;
        }
        let workspace = self.workspace_of(live);
        let account = self.account_of(live);
        let mut shard = self.ids[id_shard(id)].write();
        if shard.revoked.contains_key(&id) {
            return Inserted::Gone;
        }
        let old = shard.keys.find(id_hash(id), |entry| entry.id() == id).cloned();
        if old.as_ref().is_some_and(|old| old.version() >= live.key.version) {
            return Inserted::Older;
        }
        let Some(entry) = KeyEntry::new(live, &secrets, workspace, account) else { return Inserted::Gone };
        self.replace(&mut shard, old.as_ref(), Arc::new(entry));
        Inserted::Yes
    }

    /// Adds a secret in its grace to a key that is in memory; for the load, which may meet a key's
    /// secrets one by one.
    pub(crate) fn add_previous(&self, live: &LiveKey) {
        let id = live.key.id;
        let mut shard = self.ids[id_shard(id)].write();
        let Some(old) = shard.keys.find(id_hash(id), |entry| entry.id() == id).cloned() else { return };
        let mut secrets = old.secrets();
        secrets.extend(live.key.secrets.iter().map(|s| Secret { digest: s.digest, grace_ends: s.expires_at }));
        let entry = KeyEntry::new(live, &secrets, Arc::clone(old.workspace()), old.account().cloned());
        if let Some(entry) = entry {
            self.replace(&mut shard, Some(&old), Arc::new(entry));
        }
    }

    /// Lets a key be found under `new` where it was found under `old`.
    pub(crate) fn renew(&self, id: KeyId, old: &Digest, new: Digest) {
        let mut shard = self.ids[id_shard(id)].write();
        let Some(entry) = shard.keys.find(id_hash(id), |entry| entry.id() == id).cloned() else { return };
        let renewed = Arc::new(entry.with_digest(old, new));
        self.replace(&mut shard, Some(&entry), renewed);
    }

    /// Takes a key out for good: no slow reader puts it back.
    pub(crate) fn revoke(&self, id: KeyId, at: Millis) {
        let mut shard = self.ids[id_shard(id)].write();
        shard.revoked.insert(id, at);
        self.take_out(&mut shard, id);
    }

    /// Takes a key out until it is read again: for when memory may be behind the store.
    pub(crate) fn forget(&self, id: KeyId) {
        let mut shard = self.ids[id_shard(id)].write();
        self.take_out(&mut shard, id);
    }

    fn take_out(&self, shard: &mut RwLockWriteGuard<'_, IdShard>, id: KeyId) {
        if let Ok(found) = shard.keys.find_entry(id_hash(id), |entry| entry.id() == id) {
            let (entry, _) = found.remove();
            self.unlink(&entry);
        }
    }

    /// The new digests first, then the old ones: a key that lives is found at every moment.
    fn replace(&self, shard: &mut RwLockWriteGuard<'_, IdShard>, old: Option<&Arc<KeyEntry>>, new: Arc<KeyEntry>) {
        if let Some(old) = old {
            new.inherit(old);
        }
        self.link(&new);
        if let Some(old) = old {
            self.unlink(old);
        }
        let hash = id_hash(new.id());
        if let Some(slot) = shard.keys.find_mut(hash, |entry| entry.id() == new.id()) {
            *slot = new;
        } else {
            shard.keys.insert_unique(hash, new, id_of_entry);
        }
    }

    fn link(&self, entry: &Arc<KeyEntry>) {
        let digest = entry.digest();
        let (hash, same) = (digest_hash(digest), |other: &Arc<KeyEntry>| other.digest() == digest);
        {
            let mut shard = self.digests[digest_shard(digest)].write();
            if let Some(slot) = shard.current.find_mut(hash, same) {
                *slot = Arc::clone(entry);
            } else {
                shard.current.insert_unique(hash, Arc::clone(entry), current_hash);
            }
        }
        if let Some(previous) = entry.previous() {
            let digest = &previous.digest;
            let mut shard = self.digests[digest_shard(digest)].write();
            let same = |other: &Arc<KeyEntry>| other.previous().is_some_and(|p| p.digest == *digest);
            if let Some(slot) = shard.previous.find_mut(digest_hash(digest), same) {
                *slot = Arc::clone(entry);
            } else {
                shard.previous.insert_unique(digest_hash(digest), Arc::clone(entry), previous_hash);
            }
        }
    }

    /// Removes what still points to this very entry.
    fn unlink(&self, entry: &Arc<KeyEntry>) {
        let is = |other: &Arc<KeyEntry>| Arc::ptr_eq(other, entry);
        {
            let mut shard = self.digests[digest_shard(entry.digest())].write();
            if let Ok(found) = shard.current.find_entry(digest_hash(entry.digest()), is) {
                found.remove();
            }
        }
        if let Some(previous) = entry.previous() {
            let mut shard = self.digests[digest_shard(&previous.digest)].write();
            if let Ok(found) = shard.previous.find_entry(digest_hash(&previous.digest), is) {
                found.remove();
            }
        }
    }

    /// The workspace's budget. One that no key has brought along has the default budget.
    pub(crate) fn workspace(&self, id: WorkspaceId) -> Arc<WorkspaceEntry> {
        if let Some(entry) = self.workspaces.read().get(&id) {
            return Arc::clone(entry);
        }
        let mut workspaces = self.workspaces.write();
        Arc::clone(workspaces.entry(id).or_insert_with(|| Arc::new(WorkspaceEntry::new(id, None))))
    }

    fn workspace_of(&self, live: &LiveKey) -> Arc<WorkspaceEntry> {
        let entry = self.workspace(live.key.workspace);
        entry.set_own(live.workspace_rate_limit);
        entry
    }

    /// What memory says of the account counts, not what was read with the key.
    fn account_of(&self, live: &LiveKey) -> Option<Arc<AccountEntry>> {
        let id = live.key.service_account?;
        // A key whose account is gone may do nothing.
        let read = AccountState {
            scopes: live.service_account_scopes.unwrap_or(ScopeSet::NONE),
            disabled: live.disabled || live.service_account_scopes.is_none(),
        };
        if let Some(entry) = self.accounts.read().get(&id) {
            return Some(Arc::clone(entry));
        }
        let mut accounts = self.accounts.write();
        Some(Arc::clone(accounts.entry(id).or_insert_with(|| Arc::new(AccountEntry::new(id, read)))))
    }

    /// Puts a service account's new state in force for all its keys at once.
    pub(crate) fn set_account(&self, id: ServiceAccountId, state: AccountState) {
        let mut accounts = self.accounts.write();
        accounts.entry(id).or_insert_with(|| Arc::new(AccountEntry::new(id, state))).set(state);
    }

    /// How many keys are in memory.
    pub(crate) fn len(&self) -> usize {
        self.ids.iter().map(|shard| shard.read().keys.len()).sum()
    }

    /// Drops what need not be remembered any more.
    pub(crate) fn prune(&self, now: Millis) {
        for shard in &self.ids {
            shard.write().revoked.retain(|_, at| now.since(*at) < REMEMBER_MS);
        }
    }

    /// Bytes of the tables and entries, by what each allocation asks for; without what the
    /// allocator adds, and without rare extras.
    pub(crate) fn bytes(&self) -> usize {
        // Two counters before the value.
        let entry = size_of::<KeyEntry>() + 2 * size_of::<usize>();
        let digests = self.digests.iter().map(|shard| {
            let shard = shard.read();
            shard.current.allocation_size() + shard.previous.allocation_size()
        });
        let ids = self.ids.iter().map(|shard| shard.read().keys.allocation_size());
        digests.sum::<usize>() + ids.sum::<usize>() + self.len() * entry
    }
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
