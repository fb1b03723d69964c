//! Whoever makes a change was let in before its request was read, which may be long ago. Here it is
//! asked once more, in the workspace's turn: a change of the maker itself is either seen, or comes later.

use std::sync::Arc;

use access::{Actor, ActorKind, KeyKind, Scope, ScopeSet};
use ambient::KeyId;

use crate::{Cluster, ClusterError, cluster::Inner};

/// What a holder of such a key can do, in scopes: a widget key has none, and opens chat sessions.
pub(crate) const fn powers(kind: KeyKind, scopes: ScopeSet) -> ScopeSet {
    match kind {
        KeyKind::Widget => ScopeSet::NONE.with(Scope::ChatWrite),
        KeyKind::Secret | KeyKind::Deployment => scopes,
    }
}

/// What the maker of a change may hand out at this moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maker(ScopeSet);

impl Maker {
    /// The maker may still do what `needed` names. Asks about API keys alone: members and the
    /// operator are their own.
    pub(crate) async fn check(inner: &Arc<Inner>, actor: &Actor, needed: Scope) -> Result<Self, ClusterError> {
        if actor.kind != ActorKind::ApiKey {
            return Ok(Self(ScopeSet::ADMIN));
        }
        let id: KeyId = actor.id.parse().map_err(|_| ClusterError::MakerGone)?;
        let key = Cluster(Arc::clone(inner)).find_key(id).await?.ok_or(ClusterError::MakerGone)?;
        let scopes = key.scopes();
        if actor.epoch == Some(key.epoch()) && scopes.allows(needed) {
            Ok(Self(scopes))
        } else {
            Err(ClusterError::MakerGone)
        }
    }

    /// Whether the maker may still hand out `wanted`.
    pub(crate) fn must_cover(self, wanted: ScopeSet) -> Result<(), ClusterError> {
        if self.0.covers(wanted) { Ok(()) } else { Err(ClusterError::MakerGone) }
    }
}
