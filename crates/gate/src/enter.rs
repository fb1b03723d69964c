//! The way in: identify, decide, charge. What somebody asks whether it would be let in goes the same way.

use access::{Caller, Limit, Refusal, Tenant};
use ambient::Ulid;
use cluster::Verdict;
use http::{HeaderMap, HeaderValue, header};

use crate::{
    LogLine, Meta, Problem, Reason, Surface,
    authenticate::{Identity, Surroundings},
    flow::Inner,
    member, upgrade,
};

/// What the log, the metrics and the list of decisions learn on the way.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) caller: Option<(&'static str, &'static str, Option<Ulid>)>,
    pub(crate) tenant: Option<Tenant>,
    pub(crate) verdict: Option<Verdict>,
    /// The page's origin, once it may read the answer.
    pub(crate) origin: Option<HeaderValue>,
}

/// The token in the path of a trigger's operation; empty elsewhere.
fn trigger_token<'a>(meta: &Meta, path: &'a str) -> &'a str {
    let is_token = |(pattern, segment): (&str, &'a str)| (pattern == "{token}").then_some(segment);
    meta.path.split('/').zip(path.split('/')).find_map(is_token).unwrap_or_default()
}

impl Meta {
    /// Probes and documents tell everyone the same; a monitor's stray header is not looked at.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.access.limit(), Limit::Unlimited) && self.access.is_public()
    }
}

impl Inner {
    /// Who is let in, at `path`. A refusal leaves what was found out until then in `seen`.
    pub(crate) async fn enter(
        &self,
        meta: &Meta,
        path: &str,
        around: Surroundings<'_>,
        seen: &mut Seen,
    ) -> Result<Identity, Problem> {
        let headers: &HeaderMap = around.headers;
        // Before the first refusal: a page must be able to read why it was refused, and how long to wait.
        if meta.surface == Surface::DropIn {
            seen.origin = self.drop_in_reader(headers);
            seen.verdict = self.charge_drop_in(meta.access.limit(), around)?;
        } else if meta.access.is_open_to_pages() {
            seen.origin = Some(HeaderValue::from_static("*"));
        } else if meta.is_for_browsers() {
            seen.origin = headers.get(header::ORIGIN).cloned();
        }
        let mut identity = if meta.is_open() { Identity::stranger() } else { self.identify(meta, around).await? };
        seen.caller = LogLine::caller_of(&identity.caller);
        seen.tenant = identity.caller.tenant();
        self.admit(&meta.access, &mut identity, around).inspect_err(|_| self.note_refusal(&identity, around))?;
        // Where the body decides whether it is dangerous, it is asked once that is read.
        if meta.switch.is_none() || around.trace.is_rehearsal {
            member::check_confirmed(meta, &identity.caller, around.now, b"")?;
        }
        if meta.is_socket() && !upgrade::allows_origin(headers) {
            return Err(self.failed(around.noting(Reason::OriginNotListed), Refusal::OriginNotAllowed));
        }
        // A form crosses origins without asking first, and with its cookies; and nobody is signed in by a page of
        // somebody else.
        if !member::is_sent_by_us(meta, headers, &self.config.own_pages) {
            let said = "This comes from a page of another site; our own pages alone may send it";
            let problem = Problem::from(Refusal::OriginNotAllowed).saying(said);
            return Err(self.failed_as(around.noting(Reason::OtherPage), problem));
        }
        if meta.surface == Surface::House {
            let charged = self.charge(meta.access.limit(), &identity, around, trigger_token(meta, path));
            seen.verdict = charged.inspect_err(|_| self.note_refusal(&identity, around))?;
        }
        if let (Caller::Key(_), Some(key)) = (&identity.caller, &identity.key) {
            if meta.surface == Surface::DropIn {
                // Its own list let the page in, and `CORS_ORIGIN` does not matter.
                seen.origin = headers.get(header::ORIGIN).cloned();
                let second = self.charge(meta.access.limit(), &identity, around, "");
                let second = second.inspect_err(|_| self.note_refusal(&identity, around))?;
                seen.verdict = seen.verdict.into_iter().chain(second).min_by_key(|verdict| verdict.remaining);
            }
            if !around.trace.is_rehearsal {
                self.cluster.touch(key, Some(around.address), around.now);
            }
        } else if let Caller::Static(caller) = identity.caller {
            let second = self.charge_static(caller, around)?;
            seen.verdict = seen.verdict.into_iter().chain(second).min_by_key(|verdict| verdict.remaining);
        }
        Ok(identity)
    }

    pub(crate) async fn identify(&self, meta: &Meta, around: Surroundings<'_>) -> Result<Identity, Problem> {
        match meta.surface {
            Surface::House => self.authenticate(around, meta).await,
            Surface::DropIn => self.authenticate_drop_in(&meta.access, around).await,
        }
    }

    /// The key was right, and was refused: its owners see how often.
    fn note_refusal(&self, identity: &Identity, around: Surroundings<'_>) {
        if let (Caller::Key(_), Some(key)) = (&identity.caller, &identity.key) {
            self.count_refusal(key, around);
        }
    }
}
