//! From what was presented to who is calling.

use std::net::IpAddr;

use access::{Access, Caller, KeyKind, Limit, ParticipantCaller, Refusal, SessionCaller};
use ambient::{KeyId, Millis, RequestId};
use cluster::{Bucket, KeyHandle, Lookup, SessionState};
use credential::{
    key::{Form, KeyError, is_trigger},
    secret::Digest,
    token::{TokenError, TokenKind, Tokens},
};
use http::HeaderMap;
use store::AuditEntry;

use crate::{
    Meta, Problem, Reason, cors,
    credentials::{Presented, presented},
    flow::Inner,
    member::{Cookie, cookie},
    trace::Trace,
};

/// Who is calling, and the record in memory that says so.
pub(crate) struct Identity {
    pub(crate) caller: Caller,
    pub(crate) key: Option<KeyHandle>,
}

impl Identity {
    pub(crate) const fn stranger() -> Self {
        Self { caller: Caller::Anonymous, key: None }
    }
}

/// What one request shows besides its credential.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) address: IpAddr,
    pub(crate) now: Millis,
    pub(crate) request: RequestId,
    pub(crate) trace: &'a Trace,
}

impl Surroundings<'_> {
    /// The true reason of the refusal that follows.
    pub(crate) fn noting(self, reason: Reason) -> Self {
        self.trace.note(reason);
        self
    }

    /// A browser sends at least one of these, and a page cannot take them back.
    fn is_from_browser(self) -> bool {
        self.headers.contains_key("origin") || self.headers.contains_key("sec-fetch-site")
    }

    /// What a page of somebody else sends through our frame is not from ours.
    fn is_from_our_page(self, gate: &Inner) -> bool {
        cors::is_for_our_page(self.headers, &gate.config.own_pages)
    }
}

impl Inner {
    /// Who is calling? Without a credential, a stranger.
    ///
    /// # Errors
    /// 400 and 401 for the client's faults; 503 for ours, never 401; 429 for an address that
    /// keeps guessing.
    pub(crate) async fn authenticate(&self, around: Surroundings<'_>, meta: &Meta) -> Result<Identity, Problem> {
        let presented = presented(around.headers, meta.is_socket())?;
        // Browsers send cookies along unasked. Where people are not admitted at all, a page's token counts alone;
        // where they are, neither of two credentials silently beats the other.
        let has_cookie = || cookie(around.headers, self.sign_in_cookie.name()) != Cookie::None;
        if !matches!(presented, Presented::None) && meta.access.admits_members() && has_cookie() {
            around.trace.note(Reason::CookieAndCredential);
            return Err(Refusal::MultipleCredentials.into());
        }
        let text = match presented {
            Presented::None if meta.access.admits_strangers() => return Ok(Identity::stranger()),
            Presented::None => {
                return Ok(self.authenticate_member(meta, around).await?.unwrap_or_else(Identity::stranger));
            }
            Presented::Malformed => {
                return Err(self.failed(around.noting(Reason::CredentialMalformed), Refusal::InvalidApiKey));
            }
            Presented::One(text) => text,
        };
        if let Some(kind) = Tokens::kind_of(text) {
            return self.authenticate_token(kind, text, around).await;
        }
        self.authenticate_key(text, around).await
    }

    pub(crate) async fn authenticate_key(&self, text: &str, around: Surroundings<'_>) -> Result<Identity, Problem> {
        let form = self.parser.parse(text).map_err(|error| {
            // A bad checksum costs no look-up at all.
            let reason = match error {
                KeyError::Length => Reason::KeyLength,
                KeyError::Alphabet => Reason::KeyAlphabet,
                KeyError::Checksum => Reason::KeyChecksum,
                KeyError::Syntax => Reason::KeySyntax,
            };
            self.failed(around.noting(reason), Refusal::InvalidApiKey)
        })?;
        let text = match form {
            Form::Generated { text, .. } | Form::Imported { text } => text,
        };
        let digest = self.secrets.digest(text);
        let found = match self.cluster.lookup(&digest, around.now) {
            Lookup::Miss if self.is_guessing(around) => {
                return Err(self.failed(around.noting(Reason::KeyUnknown), Refusal::InvalidApiKey));
            }
            Lookup::Miss if around.trace.is_rehearsal => self.cluster.find_slow(text, around.now).await?.1,
            Lookup::Miss => self.cluster.lookup_slow(text, around.now).await?,
            found => found,
        };
        let refusal = match found {
            Lookup::Found(key) => return self.admit_key(key, around).await,
            Lookup::Expired => Refusal::ApiKeyExpired,
            Lookup::Refused | Lookup::Miss => Refusal::InvalidApiKey,
        };
        self.note_dead(digest, around);
        Err(self.failed(around, refusal))
    }

    /// Why a key that is refused is: what memory knows of it. Whose it was is looked for when somebody asks.
    fn note_dead(&self, digest: Digest, around: Surroundings<'_>) {
        let Some((key, is_disabled)) = self.cluster.known(&digest) else {
            around.trace.note_digest(digest);
            return around.trace.note(Reason::KeyUnknown);
        };
        around.trace.note_key(&key);
        let is_over = key.caller(None).secret_ends.is_some_and(|ends| ends <= around.now);
        around.trace.note(if is_over {
            Reason::SecretReplaced
        } else if is_disabled {
            Reason::AccountDisabled
        } else {
            Reason::KeyExpired
        });
    }

    async fn admit_key(&self, key: KeyHandle, around: Surroundings<'_>) -> Result<Identity, Problem> {
        if self.is_exposed(&key, around) {
            self.report_exposed(&key, around);
            self.count_refusal(&key, around);
            around.trace.note_key(&key);
            return Err(self.failed(around.noting(Reason::SecretInBrowser), Refusal::SecretKeyInBrowser));
        }
        if !key.allows_address(around.address) {
            self.count_refusal(&key, around);
            around.trace.note_key(&key);
            let said = format!("This API key is not allowed from {}", around.address);
            let problem = Problem::from(Refusal::AddressNotAllowed).saying(said);
            return Err(self.failed_as(around.noting(Reason::AddressNotListed), problem));
        }
        if key.has_unread_day() {
            self.cluster.resume_requests(&key, around.now).await?;
        }
        let caller = Caller::Key(key.caller(None));
        Ok(Identity { caller, key: Some(key) })
    }

    /// The audience firewall: a server's key, from somebody's page.
    pub(crate) fn is_exposed(&self, key: &KeyHandle, around: Surroundings<'_>) -> bool {
        key.kind() != KeyKind::Widget
            && !key.allow_origin_header()
            && around.is_from_browser()
            && !around.is_from_our_page(self)
    }

    async fn authenticate_token(
        &self,
        kind: TokenKind,
        text: &str,
        around: Surroundings<'_>,
    ) -> Result<Identity, Problem> {
        match kind {
            TokenKind::Session => self.authenticate_session(text, around).await,
            TokenKind::Participant => self.authenticate_participant(text, around).await,
        }
    }

    /// One run, one role: good while the deployment's key is, whose number the deployment has.
    pub(crate) async fn authenticate_participant(
        &self,
        text: &str,
        around: Surroundings<'_>,
    ) -> Result<Identity, Problem> {
        let claims =
            self.tokens.verify_participant(text, around.now).map_err(|error| self.bad_token(&error, around))?;
        let tenant = access::Tenant { workspace: claims.workspace, environment: claims.environment };
        let parent = self.parent(claims.key, around).await?;
        let is_of_parent = parent.tenant() == tenant
            && parent.epoch() == claims.epoch
            && parent.kind() == KeyKind::Deployment
            && parent.id().0 == claims.deployment.0;
        if !is_of_parent {
            around.trace.note_key(&parent);
            return Err(self.failed(around.noting(Reason::TokenStale), Refusal::InvalidToken));
        }
        let caller = Caller::Participant(ParticipantCaller {
            run: claims.run,
            role: claims.role.into(),
            deployment: claims.deployment,
            tenant,
            key: claims.key,
            epoch: claims.epoch,
            expires_at: claims.expires_at,
        });
        Ok(Identity { caller, key: Some(parent) })
    }

    fn bad_token(&self, error: &TokenError, around: Surroundings<'_>) -> Problem {
        let (refusal, reason) = match error {
            TokenError::Expired => (Refusal::TokenExpired, Reason::TokenExpired),
            TokenError::Signature => (Refusal::InvalidToken, Reason::TokenForged),
            TokenError::Kind => (Refusal::InvalidToken, Reason::TokenOther),
            _ => (Refusal::InvalidToken, Reason::TokenMalformed),
        };
        self.failed(around.noting(reason), refusal)
    }

    /// The key that a verified token names, if it works at this moment.
    async fn parent(&self, key: KeyId, around: Surroundings<'_>) -> Result<KeyHandle, Problem> {
        if let Some(key) = self.cluster.key_by_id(key) {
            return Ok(key);
        }
        around.trace.note_parent(key);
        if self.is_guessing(around) {
            return Err(self.failed(around.noting(Reason::TokenParent), Refusal::InvalidToken));
        }
        let found = self.cluster.find_key(key).await?;
        found.ok_or_else(|| self.failed(around.noting(Reason::TokenParent), Refusal::InvalidToken))
    }

    async fn authenticate_session(&self, text: &str, around: Surroundings<'_>) -> Result<Identity, Problem> {
        let claims = self.tokens.verify_session(text, around.now).map_err(|error| self.bad_token(&error, around))?;
        let tenant = access::Tenant { workspace: claims.workspace, environment: claims.environment };
        let parent = self.parent(claims.key, around).await?;
        let is_of_parent = parent.tenant() == tenant && parent.epoch() == claims.epoch;
        if !is_of_parent || !parent.may_chat() {
            around.trace.note_key(&parent);
            let reason = if is_of_parent { Reason::TokenParentNarrowed } else { Reason::TokenStale };
            return Err(self.failed(around.noting(reason), Refusal::InvalidToken));
        }
        if let Some(bound) = &claims.origin {
            let page = cors::page_origin(around.headers, &self.config.own_pages);
            if page != Some(bound) || !parent.allows_origin(bound) {
                around.trace.note_key(&parent);
                let reason = if page == Some(bound) { Reason::OriginNotListed } else { Reason::SessionOrigin };
                return Err(self.failed(around.noting(reason), Refusal::OriginNotAllowed));
            }
        }
        let state = if around.trace.is_rehearsal {
            self.cluster.peek_session(&claims, around.now).await?
        } else {
            self.cluster.session(&claims, around.now).await?
        };
        if state == SessionState::Ended {
            around.trace.note_key(&parent);
            return Err(self.failed(around.noting(Reason::SessionEnded), Refusal::InvalidToken));
        }
        let caller = Caller::Session(SessionCaller {
            conversation: claims.conversation,
            tenant,
            key: claims.key,
            epoch: claims.epoch,
            expires_at: claims.expires_at,
        });
        Ok(Identity { caller, key: Some(parent) })
    }

    /// May it be done, from there? The origin rule runs on the real request, before any side effect. A
    /// refusal costs the address, not the workspace.
    pub(crate) fn admit(
        &self,
        access: &Access,
        identity: &mut Identity,
        around: Surroundings<'_>,
    ) -> Result<(), Problem> {
        let admitted = access.decide(&identity.caller).and_then(|()| self.check_origin(identity, around));
        admitted.map_err(|refusal| match refusal {
            Refusal::MissingCredential => refusal.into(),
            _ => self.failed(around, refusal),
        })
    }

    /// Charges the request; a refused one charges nothing.
    pub(crate) fn charge(
        &self,
        limit: Limit,
        identity: &Identity,
        around: Surroundings<'_>,
        trigger: &str,
    ) -> Result<Option<cluster::Verdict>, Problem> {
        let address = around.address;
        let people = match &identity.caller {
            Caller::Member(member) => Some(self.cluster.budgets_of(member.tenant.workspace)),
            _ => None,
        };
        let mut buckets: [Option<Bucket<'_>>; 7] = [None; 7];
        match limit {
            Limit::Unlimited | Limit::Signed => return Ok(None),
            // Whoever comes with a credential starts no more than who comes without.
            Limit::PublicStart => buckets[5] = Some(Bucket::PublicStarts(address)),
            // On top of what strangers have: hashing a password is what costs.
            Limit::SignIn => buckets[5] = Some(Bucket::SignIns(address)),
            // A right one is never refused for what else comes from there: its sender sends for many.
            Limit::Trigger if !is_trigger(trigger) && self.is_guessing(around) => {
                return Err(self.failed(around, Refusal::InvalidToken));
            }
            Limit::Trigger => buckets[5] = Some(Bucket::Trigger(trigger)),
            _ => {}
        }
        match (&identity.caller, &identity.key) {
            (Caller::Key(caller), Some(key)) => {
                let is_public_by_nature = caller.kind == KeyKind::Widget;
                buckets[0] = Some(if is_public_by_nature {
                    Bucket::Browsers(key.workspace())
                } else {
                    Bucket::Workspace(key.workspace())
                });
                buckets[1] = Some(Bucket::Key(key));
                buckets[6] = Some(Bucket::RequestsOfDay(key, around.now));
                if limit == Limit::SessionCreate {
                    buckets[2] = Some(Bucket::SessionsOfKey(caller.key));
                    buckets[4] = Some(Bucket::DailySessionsOf(key));
                }
                if limit == Limit::DropIn && is_public_by_nature {
                    buckets[2] = Some(Bucket::MessagesOfKey(caller.key));
                    buckets[4] = Some(Bucket::DailyMessagesOf(key));
                }
                // On the drop-in surface the address has paid already.
                if is_public_by_nature && limit != Limit::DropIn {
                    buckets[3] = Some(Bucket::Address(address));
                }
            }
            (Caller::Session(caller), Some(key)) => {
                buckets[0] = Some(Bucket::Browsers(key.workspace()));
                buckets[1] = Some(match limit {
                    Limit::History => Bucket::HistoryOf(caller.conversation),
                    _ => Bucket::MessagesOf(caller.conversation),
                });
                if limit == Limit::Message && key.kind() == KeyKind::Widget {
                    buckets[2] = Some(Bucket::MessagesOfKey(key.id()));
                    buckets[3] = Some(Bucket::DailyMessagesOf(key));
                }
            }
            (Caller::Participant(caller), Some(key)) => {
                buckets[0] = Some(Bucket::Browsers(key.workspace()));
                buckets[1] = Some(Bucket::Participant(caller.run, &caller.role));
                buckets[2] = Some(Bucket::ParticipantsOf(address));
            }
            // People are not to use up what the workspace's servers need, and visitors not what people need.
            (Caller::Member(_), _) => {
                buckets[0] = people.as_deref().map(Bucket::People);
            }
            // Services that send to many triggers have one address, and each trigger its own budget.
            _ if limit == Limit::Trigger => {}
            _ => buckets[0] = Some(Bucket::Address(address)),
        }
        let verdict = self.spend(&buckets, around);
        if verdict.allowed { Ok(Some(verdict)) } else { Err(Problem::limited(verdict)) }
    }

    /// A widget key works from its listed origins alone; a key of the environment, from the pages that the
    /// operator lists.
    fn check_origin(&self, identity: &mut Identity, around: Surroundings<'_>) -> Result<(), Refusal> {
        let headers = around.headers;
        match (&mut identity.caller, &identity.key) {
            (Caller::Static(_), _) if !self.allows_page(headers) => Err(Refusal::OriginNotAllowed),
            (Caller::Key(caller), Some(key)) if caller.kind == KeyKind::Widget => {
                let origin = cors::page_origin(headers, &self.config.own_pages);
                let origin = origin.filter(|origin| key.allows_origin(origin)).ok_or_else(|| {
                    around.trace.note(match origin {
                        None => Reason::OriginMissing,
                        Some("null") => Reason::OriginNull,
                        Some(page) if is_localhost(page) && !key.allow_localhost() => Reason::OriginLocalhost,
                        Some(_) => Reason::OriginNotListed,
                    });
                    Refusal::OriginNotAllowed
                })?;
                caller.origin = Some(origin.into());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn has_failed_too_often(&self, address: IpAddr) -> bool {
        self.cluster.is_exhausted(Bucket::FailuresOf(address), self.clock.elapsed())
    }

    /// The same, where it is no rehearsal: that looks as often as it likes, and has paid for it.
    pub(crate) fn is_guessing(&self, around: Surroundings<'_>) -> bool {
        !around.trace.is_rehearsal && self.has_failed_too_often(around.address)
    }

    /// Charges, or asks what charging would say.
    pub(crate) fn spend(&self, buckets: &[Option<Bucket<'_>>], around: Surroundings<'_>) -> cluster::Verdict {
        let now = self.clock.elapsed();
        if !around.trace.is_rehearsal {
            return self.cluster.charge(buckets, now);
        }
        // Whoever asks is told of budgets of its own, and not how much others have sent from an address.
        let own: Vec<_> = buckets.iter().map(|bucket| bucket.filter(Bucket::has_owner)).collect();
        self.cluster.look(&own, now)
    }

    /// The key was right, and was refused: its owners see how often.
    pub(crate) fn count_refusal(&self, key: &KeyHandle, around: Surroundings<'_>) {
        if !around.trace.is_rehearsal {
            self.cluster.refuse(key);
        }
    }

    /// A wrong credential, and a good one in the wrong place, cost their address, never a workspace.
    pub(crate) fn failed(&self, around: Surroundings<'_>, refusal: Refusal) -> Problem {
        self.failed_as(around, refusal.into())
    }

    /// The same, where more is said of it.
    pub(crate) fn failed_as(&self, around: Surroundings<'_>, problem: Problem) -> Problem {
        if around.trace.is_rehearsal {
            return problem;
        }
        let verdict = self.cluster.charge(&[Some(Bucket::FailuresOf(around.address))], self.clock.elapsed());
        if verdict.allowed { problem } else { Problem::limited(verdict) }
    }

    /// Written to the audit log once a minute for each key: a page that retries is one exposure.
    pub(crate) fn report_exposed(&self, key: &KeyHandle, around: Surroundings<'_>) {
        if around.trace.is_rehearsal || !key.claim_exposure_report(around.now) {
            return;
        }
        let (store, tenant, id) = (self.store.clone(), key.tenant(), key.id());
        let (address, request) = (around.address, around.request);
        let page = cors::page_origin(around.headers, &self.config.own_pages);
        let origin = page.unwrap_or_default().chars().take(255).collect::<String>();
        tokio::spawn(async move {
            let actor = access::Actor {
                epoch: None,
                kind: access::ActorKind::ApiKey,
                id: id.to_string(),
                address: Some(address),
                request: Some(request),
            };
            let entry = AuditEntry {
                actor: &actor,
                action: "api_key.exposed",
                detail: Some(serde_json::json!({ "origin": origin })),
            };
            if let Err(error) = store.workspace(tenant).record_exposure(id, entry).await {
                tracing::error!(%error, key = %id, "an exposed key could not be reported");
            }
        });
    }
}

/// Whether a page is on the visitor's own machine.
fn is_localhost(origin: &str) -> bool {
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    let name = host.strip_prefix('[').map_or_else(|| host.split(':').next(), |rest| rest.split(']').next());
    name.is_some_and(|name| name == "localhost" || name == "127.0.0.1" || name == "::1" || name.ends_with(".localhost"))
}
