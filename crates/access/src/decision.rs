use crate::{Caller, KeyKind, Refusal, Role, Scope, StaticKind};

/// Which budget a request is charged to, besides its workspace's. Numbers are configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Reading: the workspace's and the key's own budget.
    Read,
    /// Changing: the same.
    Write,
    /// Opening a chat session: per key.
    SessionCreate,
    /// Sending a message: per session.
    Message,
    /// Reading a session's history: per session.
    History,
    /// What else a session asks, such as to end: per session, and never refused by a key's day.
    Session,
    /// Open to strangers: per address.
    Public,
    /// The drop-in surface: per address, in a window of its own.
    DropIn,
    /// What a participant asks: per run and role.
    Participant,
    /// Starting a public survey: per address. Its deployment's day is the handler's to charge, once it is known.
    PublicStart,
    /// Signing in, and what else takes a password from strangers: per address. An account's own budget is the
    /// handler's to charge.
    SignIn,
    /// Starting a run by a trigger: per `{token}` of the path; an unknown one costs its address.
    Trigger,
    /// Messages of a channel: the handler charges the channel and its workspace once the signature is verified, and
    /// the address when it is wrong.
    Signed,
    /// Probes and documents: never refused, so that a monitor is not.
    Unlimited,
}

/// Whom an operation admits. [`Access::closed`] admits nobody, and each word opens one door.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    limit: Limit,
    scope: Option<Scope>,
    role: Option<Role>,
    widget: bool,
    deployment: bool,
    session: bool,
    participant: bool,
    first_message: bool,
    pages: bool,
    static_widget: bool,
    static_admin: bool,
    any_credential: bool,
    public: bool,
    audited: bool,
}

impl Access {
    /// Admits nobody. The rate class cannot be left out.
    #[must_use]
    pub const fn closed(limit: Limit) -> Self {
        Self {
            limit,
            scope: None,
            role: None,
            widget: false,
            deployment: false,
            session: false,
            participant: false,
            first_message: false,
            pages: false,
            static_widget: false,
            static_admin: false,
            any_credential: false,
            public: false,
            audited: false,
        }
    }

    /// Admits secret keys with this scope.
    #[must_use]
    pub const fn key(self, scope: Scope) -> Self {
        Self { scope: Some(scope), ..self }
    }

    /// Admits members of this role and above, signed in.
    #[must_use]
    pub const fn member(self, role: Role) -> Self {
        Self { role: Some(role), ..self }
    }

    /// Admits widget keys, from the origins that they list.
    #[must_use]
    pub const fn widget(self) -> Self {
        Self { widget: true, ..self }
    }

    /// Admits deployment keys.
    #[must_use]
    pub const fn deployment(self) -> Self {
        Self { deployment: true, ..self }
    }

    /// Admits session tokens.
    #[must_use]
    pub const fn session(self) -> Self {
        Self { session: true, ..self }
    }

    /// Admits participant tokens.
    #[must_use]
    pub const fn participant(self) -> Self {
        Self { participant: true, ..self }
    }

    /// Admits who sends no credential yet: a socket, whose first message must bring it.
    #[must_use]
    pub const fn first_message(self) -> Self {
        Self { first_message: true, ..self }
    }

    /// Lets every page read the answers, whatever its origin: what strangers may do, a page of strangers may.
    #[must_use]
    pub const fn open_to_pages(self) -> Self {
        Self { pages: true, ..self }
    }

    /// Admits the environment's widget key.
    #[must_use]
    pub const fn static_widget(self) -> Self {
        Self { static_widget: true, ..self }
    }

    /// Admits the environment's admin key.
    #[must_use]
    pub const fn static_admin(self) -> Self {
        Self { static_admin: true, ..self }
    }

    /// Admits whoever proves who it is.
    #[must_use]
    pub const fn any_credential(self) -> Self {
        Self { any_credential: true, ..self }
    }

    /// Admits strangers. A credential that is presented must still be good.
    #[must_use]
    pub const fn public(self) -> Self {
        Self { public: true, ..self }
    }

    /// Leaves an audit record each time it succeeds; a test holds the handlers to it.
    #[must_use]
    pub const fn audited(self) -> Self {
        Self { audited: true, ..self }
    }

    /// The rate class.
    #[must_use]
    pub const fn limit(&self) -> Limit {
        self.limit
    }

    /// The scope that opens it to secret keys.
    #[must_use]
    pub const fn required_scope(&self) -> Option<Scope> {
        self.scope
    }

    /// The least role that opens it to members.
    #[must_use]
    pub const fn required_role(&self) -> Option<Role> {
        self.role
    }

    /// Whether it leaves an audit record.
    #[must_use]
    pub const fn is_audited(&self) -> bool {
        self.audited
    }

    /// Whether strangers are admitted.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        self.public
    }

    /// Whether any good credential is enough.
    #[must_use]
    pub const fn admits_any_credential(&self) -> bool {
        self.any_credential
    }

    /// Whether session tokens are admitted by name.
    #[must_use]
    pub const fn admits_sessions(&self) -> bool {
        self.session
    }

    /// Whether participant tokens are admitted by name.
    #[must_use]
    pub const fn admits_participants(&self) -> bool {
        self.participant
    }

    /// Whether deployment keys are admitted by name.
    #[must_use]
    pub const fn admits_deployments(&self) -> bool {
        self.deployment
    }

    /// Whether the credential may come with a socket's first message.
    #[must_use]
    pub const fn admits_first_message(&self) -> bool {
        self.first_message
    }

    /// Whether every page may read the answers.
    #[must_use]
    pub const fn is_open_to_pages(&self) -> bool {
        self.pages
    }

    /// Whether strangers get past the gate: to what is open to all, or to a socket whose first message proves who
    /// it is. A browser's cookie is not looked at there.
    #[must_use]
    pub const fn admits_strangers(&self) -> bool {
        self.public || self.first_message
    }

    /// Whether people are admitted, of some role or as anybody who proves who it is.
    #[must_use]
    pub const fn admits_members(&self) -> bool {
        self.role.is_some() || self.any_credential
    }

    /// Whether widget keys are admitted by name.
    #[must_use]
    pub const fn admits_widgets(&self) -> bool {
        self.widget
    }

    /// Whether the environment's widget key is admitted.
    #[must_use]
    pub const fn admits_static_widget(&self) -> bool {
        self.static_widget
    }

    /// Whether the environment's admin key is admitted.
    #[must_use]
    pub const fn admits_static_admin(&self) -> bool {
        self.static_admin
    }

    /// Whether a page on another origin may call it: where widget keys, tokens or the keys of
    /// the environment do, so that a preflight is answered and the answer names the origin.
    #[must_use]
    pub const fn is_for_browsers(&self) -> bool {
        self.widget || self.session || self.participant || self.pages || self.static_widget || self.static_admin
    }

    /// May `caller` do this?
    ///
    /// # Errors
    /// The reason why not.
    pub fn decide(&self, caller: &Caller) -> Result<(), Refusal> {
        let credential_is_enough = self.any_credential || self.public;
        match caller {
            Caller::Anonymous if self.public || self.first_message => Ok(()),
            Caller::Anonymous => Err(Refusal::MissingCredential),
            // The operator's two keys open the doors that name them, also where any other credential will do.
            Caller::Static(key) => match key.kind {
                StaticKind::Widget if self.static_widget => Ok(()),
                StaticKind::Admin if self.static_admin => Ok(()),
                _ => Err(Refusal::WrongCredential),
            },
            // One run, one role, and nothing besides: not even who it is, which its holder knows.
            Caller::Participant(_) if self.participant || self.public => Ok(()),
            Caller::Participant(_) => Err(Refusal::WrongCredential),
            _ if credential_is_enough => Ok(()),
            Caller::Key(key) => match (key.kind, self.scope) {
                (KeyKind::Secret, Some(scope)) if key.scopes.allows(scope) => Ok(()),
                (KeyKind::Secret, Some(scope)) => Err(Refusal::MissingScope(scope)),
                (KeyKind::Widget, _) if self.widget => Ok(()),
                (KeyKind::Deployment, _) if self.deployment => Ok(()),
                _ => Err(Refusal::WrongCredential),
            },
            Caller::Session(_) if self.session => Ok(()),
            Caller::Member(member) => match self.role {
                Some(role) if member.role >= role => Ok(()),
                Some(role) => Err(Refusal::MissingRole(role)),
                None => Err(Refusal::WrongCredential),
            },
            Caller::Session(_) => Err(Refusal::WrongCredential),
        }
    }
}

#[cfg(test)]
mod tests {
    use ambient::{ConversationId, DeploymentId, KeyId, MemberId, MemberSessionId, Millis, RunId, Ulid, WorkspaceId};
    use credential::key::Environment;

    use super::*;
    use crate::{KeyCaller, MemberCaller, ParticipantCaller, ScopeSet, SessionCaller, StaticCaller, Tenant};

    const TENANT: Tenant = Tenant { workspace: WorkspaceId(Ulid(1)), environment: Environment::Live };

    fn key(kind: KeyKind, scopes: ScopeSet) -> Caller {
        Caller::Key(KeyCaller {
            key: KeyId(Ulid(2)),
            tenant: TENANT,
            kind,
            scopes,
            service_account: None,
            expires_at: None,
            secret_ends: None,
            epoch: 0,
            origin: None,
        })
    }

    fn session() -> Caller {
        Caller::Session(SessionCaller {
            conversation: ConversationId(Ulid(3)),
            tenant: TENANT,
            key: KeyId(Ulid(2)),
            epoch: 0,
            expires_at: Millis(i64::MAX),
        })
    }

    fn participant() -> Caller {
        Caller::Participant(ParticipantCaller {
            run: RunId(Ulid(5)),
            role: "customer".into(),
            deployment: DeploymentId(Ulid(2)),
            tenant: TENANT,
            key: KeyId(Ulid(2)),
            epoch: 0,
            expires_at: Millis(i64::MAX),
        })
    }

    fn static_key(kind: StaticKind) -> Caller {
        Caller::Static(StaticCaller { kind, tenant: TENANT })
    }

    fn member(role: Role) -> Caller {
        Caller::Member(MemberCaller {
            member: MemberId(Ulid(4)),
            tenant: TENANT,
            role,
            session: MemberSessionId(Ulid(6)),
            confirmed_at: Millis(0),
        })
    }

    #[test]
    fn closed_admits_nobody() {
        let closed = Access::closed(Limit::Read);
        assert_eq!(closed.decide(&Caller::Anonymous), Err(Refusal::MissingCredential));
        for caller in [
            key(KeyKind::Secret, ScopeSet::ADMIN),
            key(KeyKind::Widget, ScopeSet::ADMIN),
            key(KeyKind::Deployment, ScopeSet::ADMIN),
            session(),
            participant(),
            member(Role::Owner),
            static_key(StaticKind::Widget),
            static_key(StaticKind::Admin),
        ] {
            assert_eq!(closed.decide(&caller), Err(Refusal::WrongCredential), "{caller:?}");
        }
    }

    #[test]
    fn a_scope_opens_to_secret_keys_that_hold_it() {
        let access = Access::closed(Limit::Write).key(Scope::BotsWrite);
        let holds = |scopes| access.decide(&key(KeyKind::Secret, scopes));
        assert_eq!(holds(ScopeSet::NONE.with(Scope::BotsWrite)), Ok(()));
        assert_eq!(holds(ScopeSet::ADMIN), Ok(()));
        assert_eq!(holds(ScopeSet::NONE.with(Scope::BotsRead)), Err(Refusal::MissingScope(Scope::BotsWrite)));
        assert_eq!(holds(ScopeSet::NONE), Err(Refusal::MissingScope(Scope::BotsWrite)));
        assert_eq!(access.decide(&key(KeyKind::Widget, ScopeSet::ADMIN)), Err(Refusal::WrongCredential));
    }

    #[test]
    fn each_door_opens_alone() {
        let doors: [(Access, Caller); 7] = [
            (Access::closed(Limit::Read).widget(), key(KeyKind::Widget, ScopeSet::NONE)),
            (Access::closed(Limit::Read).deployment(), key(KeyKind::Deployment, ScopeSet::NONE)),
            (Access::closed(Limit::Read).session(), session()),
            (Access::closed(Limit::Participant).participant(), participant()),
            (Access::closed(Limit::Read).member(Role::Member), member(Role::Member)),
            (Access::closed(Limit::DropIn).static_widget(), static_key(StaticKind::Widget)),
            (Access::closed(Limit::DropIn).static_admin(), static_key(StaticKind::Admin)),
        ];
        for (i, (access, _)) in doors.iter().enumerate() {
            for (j, (_, caller)) in doors.iter().enumerate() {
                assert_eq!(access.decide(caller).is_ok(), i == j, "{access:?} {caller:?}");
            }
        }
    }

    #[test]
    fn a_role_opens_to_itself_and_above() {
        let access = Access::closed(Limit::Write).member(Role::Admin);
        assert_eq!(access.decide(&member(Role::Member)), Err(Refusal::MissingRole(Role::Admin)));
        assert_eq!(access.decide(&member(Role::Admin)), Ok(()));
        assert_eq!(access.decide(&member(Role::Owner)), Ok(()));
    }

    #[test]
    fn any_credential_is_not_none() {
        let access = Access::closed(Limit::Read).any_credential();
        assert_eq!(access.decide(&session()), Ok(()));
        assert_eq!(access.decide(&Caller::Anonymous), Err(Refusal::MissingCredential));
        assert_eq!(Access::closed(Limit::Public).public().decide(&Caller::Anonymous), Ok(()));
    }

    #[test]
    fn a_participant_opens_nothing_but_what_names_participants_and_what_is_open_to_strangers() {
        let refused = Err(Refusal::WrongCredential);
        assert_eq!(Access::closed(Limit::Read).any_credential().decide(&participant()), refused);
        assert_eq!(Access::closed(Limit::Write).key(Scope::Admin).member(Role::Member).decide(&participant()), refused);
        assert_eq!(Access::closed(Limit::Public).public().decide(&participant()), Ok(()));
    }

    #[test]
    fn a_first_message_admits_who_sends_nothing_yet_and_no_other_credential() {
        let access = Access::closed(Limit::Participant).participant().first_message();
        assert_eq!((access.decide(&Caller::Anonymous), access.decide(&participant())), (Ok(()), Ok(())));
        for caller in [session(), key(KeyKind::Secret, ScopeSet::ADMIN), key(KeyKind::Deployment, ScopeSet::NONE)] {
            assert_eq!(access.decide(&caller), Err(Refusal::WrongCredential), "{caller:?}");
        }
    }

    #[test]
    fn pages_read_what_is_open_to_them_and_that_admits_nobody() {
        let access = Access::closed(Limit::PublicStart).open_to_pages();
        assert!(access.is_for_browsers() && access.decide(&Caller::Anonymous).is_err());
        assert!(Access::closed(Limit::Participant).participant().is_for_browsers());
        assert!(!Access::closed(Limit::Write).deployment().is_for_browsers(), "a server's key is on no page");
    }

    #[test]
    fn a_key_of_the_environment_opens_no_door_that_does_not_name_it() {
        for kind in [StaticKind::Widget, StaticKind::Admin] {
            for access in [Access::closed(Limit::Read).any_credential(), Access::closed(Limit::Public).public()] {
                assert_eq!(access.decide(&static_key(kind)), Err(Refusal::WrongCredential), "{kind:?}");
            }
        }
        for access in [Access::closed(Limit::DropIn).static_widget(), Access::closed(Limit::DropIn).static_admin()] {
            assert!(access.is_for_browsers());
        }
    }
}
