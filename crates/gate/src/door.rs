//! The gate's look at a token that did not come in a header: a socket's first message, its renewal, the
//! cookie of a page of ours.

use std::{fmt, net::IpAddr, sync::Arc};

use access::{Caller, ParticipantCaller, Refusal};
use ambient::RequestId;
use cluster::Bucket;
use credential::token::{TokenKind, Tokens};
use http::HeaderMap;

use crate::{Problem, SocketTasks, authenticate::Surroundings, credentials, flow::Inner, trace::Trace};

/// Checks tokens for one request or socket, as the gate does, and charges what they ask. Clones share.
#[derive(Clone)]
pub struct TokenDoor {
    gate: Arc<Inner>,
    address: IpAddr,
    request: RequestId,
}

impl TokenDoor {
    pub(crate) const fn new(gate: Arc<Inner>, address: IpAddr, request: RequestId) -> Self {
        Self { gate, address, request }
    }

    /// What stands behind it.
    pub(crate) fn gate(&self) -> &Arc<Inner> {
        &self.gate
    }

    pub(crate) fn tasks(&self) -> SocketTasks {
        self.gate.sockets.clone()
    }

    /// Who holds this participant token, at this moment. It proves nothing about the run: that it is there
    /// and not over is for the caller to find out.
    ///
    /// # Errors
    /// 401 as for a header; 429 for an address that keeps guessing; 503 for our own faults.
    pub async fn authenticate_participant(&self, token: &str) -> Result<ParticipantCaller, Problem> {
        let headers = HeaderMap::new();
        let now = self.gate.clock.now();
        let trace = Trace::default();
        let around =
            Surroundings { headers: &headers, address: self.address, now, request: self.request, trace: &trace };
        let is_participant =
            credentials::text(token.as_bytes()).and_then(Tokens::kind_of) == Some(TokenKind::Participant);
        if !is_participant {
            return Err(self.gate.failed(around, Refusal::InvalidToken));
        }
        let identity = self.gate.authenticate_participant(token, around).await?;
        match identity.caller {
            Caller::Participant(caller) => Ok(caller),
            _ => Err(Refusal::InvalidToken.into()),
        }
    }

    /// Charges one thing that a participant asks outside a request of its own: a message in a socket.
    ///
    /// # Errors
    /// 429.
    pub fn charge(&self, caller: &ParticipantCaller) -> Result<(), Problem> {
        let workspace = self.gate.cluster.budgets_of(caller.tenant.workspace);
        // The address pays too: a stranger may start run after run, and the workspace's budget is everybody's.
        let buckets = [
            Some(Bucket::Browsers(&workspace)),
            Some(Bucket::Participant(caller.run, &caller.role)),
            Some(Bucket::ParticipantsOf(self.address)),
        ];
        let verdict = self.gate.cluster.charge(&buckets, self.gate.clock.elapsed());
        if verdict.allowed { Ok(()) } else { Err(Problem::limited(verdict)) }
    }

    /// Charges the address of who came without a good token, where the operation itself costs nothing.
    ///
    /// # Errors
    /// 429.
    pub fn charge_stranger(&self) -> Result<(), Problem> {
        let verdict = self.gate.cluster.charge(&[Some(Bucket::Address(self.address))], self.gate.clock.elapsed());
        if verdict.allowed { Ok(()) } else { Err(Problem::limited(verdict)) }
    }

    /// Whether wrong credentials have come from the caller's address as often as they may.
    #[must_use]
    pub fn has_failed_too_often(&self) -> bool {
        self.gate.has_failed_too_often(self.address)
    }

    /// Charges the address a wrong credential that only a handler could tell.
    ///
    /// # Errors
    /// 429.
    pub fn charge_failure(&self) -> Result<(), Problem> {
        let verdict = self.gate.cluster.charge(&[Some(Bucket::FailuresOf(self.address))], self.gate.clock.elapsed());
        if verdict.allowed { Ok(()) } else { Err(Problem::limited(verdict)) }
    }
}

impl fmt::Debug for TokenDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenDoor").field("request", &self.request).finish_non_exhaustive()
    }
}
