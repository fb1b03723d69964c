//! What the check of one request learns on its way, besides its answer.

use access::Tenant;
use ambient::{KeyId, MemberId, WorkspaceId};
use cluster::KeyHandle;
use credential::secret::Digest;
use parking_lot::Mutex;
use store::SignIn;

use crate::Reason;

/// A key that was recognised, whatever became of the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) key: KeyId,
    pub(crate) kind: &'static str,
    pub(crate) tenant: Tenant,
}

/// A person whose cookie was good, whatever became of the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    pub(crate) member: MemberId,
    pub(crate) workspace: WorkspaceId,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Noted {
    pub(crate) reason: Option<Reason>,
    pub(crate) known: Option<Known>,
    pub(crate) person: Option<Person>,
    /// The key that a token names which was signed here.
    pub(crate) parent: Option<KeyId>,
    /// Of a well-formed key that memory does not know: its owner is looked for when somebody asks.
    pub(crate) digest: Option<Digest>,
}

/// Written where something is refused, and nowhere else.
#[derive(Default)]
pub(crate) struct Trace {
    noted: Mutex<Noted>,
    /// Nothing is charged, counted, noted or renewed: somebody asks what would be.
    pub(crate) is_rehearsal: bool,
}

impl Trace {
    pub(crate) fn rehearsal() -> Self {
        Self { is_rehearsal: true, ..Self::default() }
    }

    /// The first thing that is noted stays: what comes later follows from it.
    pub(crate) fn note(&self, reason: Reason) {
        self.noted.lock().reason.get_or_insert(reason);
    }

    pub(crate) fn note_key(&self, key: &KeyHandle) {
        let known = Known { key: key.id(), kind: key.kind().as_str(), tenant: key.tenant() };
        self.noted.lock().known = Some(known);
    }

    pub(crate) fn note_member(&self, sign_in: &SignIn) {
        self.noted.lock().person = Some(Person { member: sign_in.member, workspace: sign_in.workspace });
    }

    pub(crate) fn note_parent(&self, key: KeyId) {
        self.noted.lock().parent = Some(key);
    }

    pub(crate) fn note_digest(&self, digest: Digest) {
        self.noted.lock().digest = Some(digest);
    }

    pub(crate) fn noted(&self) -> Noted {
        *self.noted.lock()
    }
}
