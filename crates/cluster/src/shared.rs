/// The side that other nodes see. Closed, so that a new one is met by every `match`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shared {
    /// One node: what is done in memory is done everywhere.
    Memory,
}

impl Shared {
    /// Tells the other nodes that a key changed, and answers how many nodes, this one included, have
    /// confirmed that they no longer act on what was before.
    #[expect(clippy::unused_async, reason = "the side of several nodes waits for their answers")]
    pub(crate) async fn confirm(self) -> u32 {
        match self {
            Self::Memory => 1,
        }
    }
}
