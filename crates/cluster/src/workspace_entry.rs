use std::{
    fmt,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use ambient::WorkspaceId;

/// A tenant's budgets, one for its servers, one for browsers and one for its people. One entry per workspace.
pub struct WorkspaceEntry {
    id: WorkspaceId,
    /// Requests a minute; 0 is the installation's default.
    own: AtomicU32,
    pub(crate) cell: AtomicU64,
    pub(crate) browsers: AtomicU64,
    pub(crate) people: AtomicU64,
}

impl WorkspaceEntry {
    pub(crate) fn new(id: WorkspaceId, own: Option<u32>) -> Self {
        let own = AtomicU32::new(own.unwrap_or(0));
        let (cell, browsers, people) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { id, own, cell, browsers, people }
    }

    /// The workspace.
    #[must_use]
    pub fn id(&self) -> WorkspaceId {
        self.id
    }

    pub(crate) fn set_own(&self, own: Option<u32>) {
        self.own.store(own.unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn own(&self) -> Option<u32> {
        Some(self.own.load(Ordering::Relaxed)).filter(|own| *own != 0)
    }
}

impl fmt::Debug for WorkspaceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkspaceEntry({})", self.id)
    }
}
