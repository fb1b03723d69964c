//! Whether whoever asked for a file, or sends one, still may: that takes longer than a request is looked at.

use std::time::Duration;

use access::{Access, Caller, MemberCaller, Refusal};
use cluster::{Grant, Opener};
use gate::{Call, Problem};
use store::StoreError;
use tokio::time::sleep;

use crate::App;

/// How long it may go unnoticed that a person is removed, signed out or given a lesser role.
const LOOK_EVERY: Duration = Duration::from_secs(1);

enum Holder {
    Key(Grant),
    Member(MemberCaller),
    Other,
}

/// The leave of a request, for as long as its file is on its way.
pub(crate) struct Leave {
    app: App,
    access: Access,
    holder: Holder,
    /// Whoever waits for a file does nothing else meanwhile.
    is_busy: bool,
    looked: Option<Duration>,
}

impl Leave {
    /// # Errors
    /// 401 when the key, or what it needs, has gone since the request was admitted.
    pub(crate) fn take<I>(app: &App, call: &Call<I>) -> Result<Self, Problem> {
        let access = call.request.access();
        let holder = match &call.caller {
            Caller::Key(key) => {
                let opener = Opener { key: key.key, epoch: key.epoch, origin: key.origin.clone() };
                let grant = app.cluster().hold_needing(&opener, access.required_scope());
                Holder::Key(grant.ok_or(Refusal::InvalidApiKey)?)
            }
            Caller::Member(member) => Holder::Member(*member),
            _ => Holder::Other,
        };
        Ok(Self { app: app.clone(), access, holder, is_busy: true, looked: None })
    }

    /// The same of what goes on by itself, with nobody before it perhaps: a person's time at rest counts.
    pub(crate) fn unattended(self) -> Self {
        Self { is_busy: false, ..self }
    }

    /// Asks now.
    ///
    /// # Errors
    /// 401 and 403 when it has ended, 503 when nobody can say.
    pub(crate) async fn check(&self) -> Result<(), Problem> {
        match &self.holder {
            Holder::Key(grant) if grant.reason().is_some() => Err(Refusal::InvalidApiKey.into()),
            Holder::Key(_) | Holder::Other => Ok(()),
            Holder::Member(member) => self.check_member(*member).await,
        }
    }

    async fn check_member(&self, member: MemberCaller) -> Result<(), Problem> {
        let data = self.app.store().workspace(member.tenant);
        let record = match data.member(member.member).await {
            Err(StoreError::NotFound) => return Err(Refusal::InvalidToken.into()),
            found => found?,
        };
        if !data.is_signed_in(member.member, member.session, self.is_busy).await? {
            return Err(Refusal::InvalidToken.into());
        }
        Ok(self.access.decide(&Caller::Member(MemberCaller { role: record.role, ..member }))?)
    }

    /// Asks, unless it was asked a moment ago.
    ///
    /// # Errors
    /// As [`Leave::check`].
    pub(crate) async fn look(&mut self) -> Result<(), Problem> {
        if self.looked.is_some_and(|looked| self.app.clock().elapsed().saturating_sub(looked) < LOOK_EVERY) {
            return Ok(());
        }
        self.check().await?;
        self.looked = Some(self.app.clock().elapsed());
        Ok(())
    }

    /// Waits until a key's leave ends; a person's is asked for by [`Leave::look`].
    pub(crate) async fn revoked(&self) {
        match &self.holder {
            Holder::Key(grant) => {
                let _ = grant.cancelled().await;
            }
            Holder::Member(_) | Holder::Other => std::future::pending().await,
        }
    }

    /// Waits until it ends, and says how.
    pub(crate) async fn ended(&self) -> Problem {
        let looking = async {
            loop {
                sleep(LOOK_EVERY).await;
                if let Err(problem) = self.check().await {
                    return problem;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.revoked() => Refusal::InvalidApiKey.into(),
            problem = looking => problem,
        }
    }
}
