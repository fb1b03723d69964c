use ambient::RandomError;
use store::StoreError;

/// Why a look-up or a change did not happen. Only [`StoreError::NotFound`], [`StoreError::Conflict`]
/// and [`ClusterError::MakerGone`] are the caller's; the rest is our own outage, never a 401.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The store said no, or could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key that asked for the change was let in, and has been revoked, rotated without grace,
    /// narrowed or disabled since.
    #[error("the key that asked for this change no longer may")]
    MakerGone,
    /// No key can be made without randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The change was given up half-way: the process is stopping, or a defect. It may have been
    /// committed; memory is brought into line within a second.
    #[error("the change was interrupted")]
    Interrupted,
}

impl ClusterError {
    /// Whether the store may have committed although it reported an error.
    pub(crate) fn is_doubtful(&self) -> bool {
        match self {
            Self::Store(StoreError::NotFound | StoreError::Conflict(_)) | Self::MakerGone | Self::Random(_) => false,
            Self::Store(_) | Self::Interrupted => true,
        }
    }
}
