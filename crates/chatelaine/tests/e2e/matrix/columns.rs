//! The columns: who sends, and what the table then promises.

use std::time::Duration;

use access::{
    Access, Caller, KeyCaller, KeyKind, Limit, Refusal, Role, Scope, ScopeSet, SessionCaller, StaticCaller, StaticKind,
};
use ambient::{Clock, DeploymentId, KeyId, Millis, OsRandom, RunId, SystemClock, Ulid};
use credential::{
    key::{Environment, Family},
    token::{ParticipantClaims, SessionClaims},
};
use gate::{Meta, Surface};
use serde_json::json;
use testkit::{ADMIN_API_KEY, Persona, WIDGET_API_KEY, World};

use super::{part::Part, people::PEOPLE};

/// How a credential stands, besides what it may.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// It proves nothing: 401 wherever it is looked at.
    Worthless,
    /// Two on one request: 400 wherever they are looked at.
    Twice,
    /// A server key with a browser's `Origin`.
    InBrowser,
    /// A good widget key, on a page that is not on its list.
    OnForeignPage(Caller),
    /// Good, on an object of its own.
    Own(Caller),
    /// Good, on an object that it does not see.
    Elsewhere(Caller),
    /// A good session token, on another conversation.
    OtherConversation(Caller),
    /// A person's cookie. Where strangers come it is not looked at.
    Person(Caller),
    /// A key of the environment: it proves nothing outside the drop-in surface.
    Static(Caller),
}

/// What the table and the standing promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The same bytes as for an id that never was.
    NotFound,
    /// A list of nothing.
    Empty,
    /// A word of the page.
    Word(&'static str),
}

impl Expected {
    /// As the test sees it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::NotFound => "404",
            Self::Empty => "ok",
            Self::Word(word) => word,
        }
    }

    /// As the page shows it.
    pub(crate) const fn shown(self) -> &'static str {
        match self {
            Self::Empty => "none",
            other => other.word(),
        }
    }
}

/// A column of the matrix.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// For the legend.
    pub(crate) about: &'static str,
    pub(crate) by: Persona,
    /// A second credential, in `X-API-Key`.
    pub(crate) second: Option<String>,
    /// Calls a session's operations with that session's own token.
    pub(crate) uses_own_session: bool,
    standing: Standing,
}

/// Lists of what belongs to something: empty for who does not see it, whether it exists or not.
const LISTS_ELSEWHERE: [&str; 1] = ["list_bot_conversations"];

/// Operations that name something in the body.
const NAMES_IN_BODY: [&str; 4] =
    ["create_chat_session", "create_voice_session", "export_conversation_form", "export_conversation_json"];

/// Operations that name something in the body, as a field that may be wrong.
const FIELD_IN_BODY: [&str; 1] = ["create_agent_loop"];

/// Operations on the run that the token names.
const NAMED_BY_TOKEN: [&str; 4] =
    ["get_participant_run", "list_participant_events", "renew_participant_token", "follow_participant_run"];

/// Operations on what pays for live data: no test key has to do with it.
const LIVE_ONLY: [&str; 2] = ["update_credits", "grant_credits"];

fn is_unlooked(access: &Access) -> bool {
    access.is_public() && access.limit() == Limit::Unlimited
}

fn names_something(operation: &Meta) -> bool {
    operation.path.contains('{') || NAMES_IN_BODY.contains(&operation.id) || NAMED_BY_TOKEN.contains(&operation.id)
}

pub(crate) fn decided(access: &Access, caller: &Caller) -> Expected {
    Expected::Word(match access.decide(caller) {
        Ok(()) => "ok",
        Err(Refusal::MissingCredential) => "401",
        Err(Refusal::MissingScope(_)) => "scope",
        Err(Refusal::MissingRole(_)) => "role",
        Err(Refusal::WrongCredential) => "kind",
        Err(other) => panic!("no decision answers {other:?}"),
    })
}

impl Column {
    /// What this column's credential gets from `operation`.
    pub(crate) fn expected(&self, operation: &Meta) -> Expected {
        match self.expected_of_anybody(operation) {
            // The form of a page of ours, sent from somebody else's.
            Expected::Word("ok") if (operation.form || operation.own_pages) && self.is_on_foreign_page() => {
                Expected::Word("page")
            }
            // A form that signs somebody in, of which nobody says where it is from.
            Expected::Word("ok") if operation.form && operation.own_pages && self.by.origin().is_none() => {
                Expected::Word("page")
            }
            expected => expected,
        }
    }

    fn is_on_foreign_page(&self) -> bool {
        self.by.origin().is_some() && !matches!(self.standing, Standing::Person(_))
    }

    fn expected_of_anybody(&self, operation: &Meta) -> Expected {
        let access = &operation.access;
        if is_unlooked(access) {
            return Expected::Word("ok");
        }
        if operation.surface == Surface::DropIn {
            return self.expected_of_drop_in(access);
        }
        match &self.standing {
            Standing::Static(_) | Standing::Worthless => Expected::Word("401"),
            Standing::Twice => Expected::Word("400"),
            Standing::InBrowser => Expected::Word("leak"),
            Standing::Person(_) if access.admits_strangers() => decided(access, &Caller::Anonymous),
            Standing::Own(caller) | Standing::Person(caller) => decided(access, caller),
            Standing::OnForeignPage(caller) => match decided(access, caller) {
                Expected::Word("ok") => Expected::Word("page"),
                refused => refused,
            },
            Standing::Elsewhere(caller) => match decided(access, caller) {
                Expected::Word("ok")
                    if self.name == "test" && (LIVE_ONLY.contains(&operation.id) || PEOPLE.contains(&operation.id)) =>
                {
                    Expected::Word("kind")
                }
                Expected::Word("ok") if access.is_public() => Expected::Word("ok"),
                Expected::Word("ok") if FIELD_IN_BODY.contains(&operation.id) => Expected::Word("field"),
                Expected::Word("ok") if LISTS_ELSEWHERE.contains(&operation.id) => Expected::Empty,
                Expected::Word("ok") if names_something(operation) => Expected::NotFound,
                decided => decided,
            },
            Standing::OtherConversation(caller) => match decided(access, caller) {
                Expected::Word("ok") if operation.path.contains('{') && !access.is_public() => Expected::Word("other"),
                decided => decided,
            },
        }
    }
}

impl Column {
    /// The drop-in surface knows its keys and widget keys; everything else is one and the same 401.
    fn expected_of_drop_in(&self, access: &Access) -> Expected {
        let admitted = |caller| decided(access, caller) == Expected::Word("ok");
        Expected::Word(match &self.standing {
            Standing::Own(caller) | Standing::Static(caller) if admitted(caller) => "ok",
            Standing::OnForeignPage(caller) if admitted(caller) => "page",
            _ => "401",
        })
    }
}

pub(super) struct Maker<'a> {
    pub(super) world: &'a World,
    columns: Vec<Column>,
}

impl Maker<'_> {
    pub(super) fn add(&mut self, name: &'static str, about: &'static str, by: Persona, standing: Standing) {
        self.columns.push(Column { name, about, by, second: None, uses_own_session: false, standing });
    }

    fn worthless(&mut self, name: &'static str, about: &'static str, credential: impl Into<String>) {
        let by = self.world.anonymous().with(name, credential);
        self.add(name, about, by, Standing::Worthless);
    }

    pub(super) fn key(&self, kind: KeyKind, scopes: ScopeSet) -> Caller {
        Caller::Key(KeyCaller {
            key: KeyId(Ulid(1)),
            tenant: self.world.tenant(),
            kind,
            scopes,
            service_account: None,
            expires_at: None,
            secret_ends: None,
            epoch: 0,
            origin: None,
        })
    }

    async fn credentials_that_prove_nothing(&mut self) {
        let world = self.world;
        let owner = world.secret();
        self.worthless("malformed", "no key at all", "sk_live_short");
        let key = owner.credential();
        let last = if key.ends_with('0') { '1' } else { '0' };
        self.worthless("checksum", "a key with one letter changed", format!("{}{last}", &key[..key.len() - 1]));
        let parser = world.server().running().parser();
        let unknown = parser.mint(Family::Secret, Environment::Live, &OsRandom).unwrap();
        self.worthless("unknown", "a well-formed key that nobody was given", unknown.expose());
        let soon = SystemClock::new().now().plus(300);
        let expired = world.key("expired", json!({"name": "E", "expires_at": soon.to_string()})).await;
        let revoked = world.key("revoked", json!({"name": "R"})).await;
        let session = world.open_session("cut", &revoked, &world.bot().await).await;
        let _ = owner.delete(&format!("/v1/api-keys/{}", revoked.id())).await.expect(200);
        let rotated = world.key("rotated", json!({"name": "O"})).await;
        let _ = owner
            .post(&format!("/v1/api-keys/{}/rotate", rotated.id()), &json!({"grace_seconds": 0}))
            .await
            .expect(200);
        let (account, disabled) = world.account("disabled", "admin").await;
        let _ = owner.patch(&format!("/v1/service-accounts/{account}"), &json!({"is_active": false})).await.expect(200);
        tokio::time::sleep(Duration::from_millis(350)).await;
        self.worthless("expired", "a key past its end", expired.credential());
        self.worthless("revoked", "a revoked key", revoked.credential());
        self.worthless("rotated", "the old secret of a key rotated without grace", rotated.credential());
        self.worthless("disabled", "a key of a disabled service account", disabled.credential());
        self.worthless("cut", "a session token whose key was revoked", session.credential());
    }

    async fn tokens_that_prove_nothing(&mut self) {
        let world = self.world;
        let ended = world.session().await;
        let _ = ended.end_session().await.expect(200);
        self.worthless("ended", "the token of a session that was ended", ended.credential());
        let (tokens, now) = (world.server().running().tokens(), SystemClock::new().now());
        let tenant = world.tenant();
        let key: KeyId = world.secret().id().parse().unwrap();
        let stale = SessionClaims {
            conversation: world.session().await.id().parse().unwrap(),
            workspace: tenant.workspace,
            environment: tenant.environment,
            key,
            epoch: 0,
            origin: None,
            issued_at: now.plus(-90_000_000),
            expires_at: now.plus(-3_600_000),
        };
        self.worthless("stale", "a session token past its end", tokens.sign_session(&stale).unwrap());
        let (gone, live) = (world.deployment().await, world.deployment().await);
        let cut = world.participant(&gone, RunId(Ulid(1)), "customer");
        let _ = world.secret().delete(&format!("/v1/api-keys/{}", gone.id())).await.expect(200);
        self.worthless("depl_cut", "the key of a deployment that was revoked", gone.credential());
        self.worthless("part_cut", "a participant token of that deployment", cut.credential());
        let claims = world.participant_claims(&live, RunId(Ulid(1)), "customer");
        let (issued_at, expires_at) = (now.plus(-7_200_000), now.plus(-3_600_000));
        let stale = tokens.sign_participant(&ParticipantClaims { issued_at, expires_at, ..claims.clone() }).unwrap();
        self.worthless("part_stale", "a participant token past its end", stale);
        let misfit = tokens.sign_participant(&ParticipantClaims { key, deployment: DeploymentId(key.0), ..claims });
        self.worthless("part_misfit", "a participant token under a key that is no deployment's", misfit.unwrap());
    }

    async fn good_credentials(&mut self) {
        let world = self.world;
        let reads = ScopeSet::NONE.with(Scope::BotsRead).with(Scope::ConversationsRead);
        let secret = |maker: &Self, scopes| maker.key(KeyKind::Secret, scopes);
        let (all, owner) = (secret(self, ScopeSet::ADMIN), world.secret());
        self.add(
            "browser",
            "the secret key with a browser's Origin",
            owner.at(Some("https://example.com")),
            Standing::InBrowser,
        );
        let widget = world.widget().await;
        let caller = self.key(KeyKind::Widget, ScopeSet::NONE);
        self.add(
            "foreign",
            "a widget key on a page that it does not list",
            widget.at(Some("https://notexample.com")),
            Standing::OnForeignPage(caller.clone()),
        );
        self.add("widget", "a widget key on its page", widget, Standing::Own(caller));
        let session = Caller::Session(SessionCaller {
            conversation: world.session().await.id().parse().unwrap(),
            tenant: world.tenant(),
            key: KeyId(Ulid(1)),
            epoch: 0,
            expires_at: Millis(i64::MAX),
        });
        let token = world.session().await;
        self.add(
            "elsewhere",
            "a session token on another session",
            token.clone(),
            Standing::OtherConversation(session.clone()),
        );
        self.add("session", "a session token on its own session", token, Standing::Own(session));
        self.columns.last_mut().unwrap().uses_own_session = true;
        self.add(
            "reads",
            "a secret key with bots:read conversations:read",
            world.restricted().await,
            Standing::Own(secret(self, reads)),
        );
        let member = world.member_account().await;
        self.add(
            "svc_member",
            "a key of a service account, role member",
            member,
            Standing::Own(secret(self, Role::Member.scopes())),
        );
        let admin = world.service_account().await;
        self.add(
            "svc_admin",
            "a key of a service account, role admin",
            admin,
            Standing::Own(secret(self, Role::Admin.scopes())),
        );
        let test = world.test_secret().await;
        self.add("test", "a test key with the scope admin, on live data", test, Standing::Elsewhere(all.clone()));
        let other = world.other_workspace_secret();
        self.add(
            "other_ws",
            "another workspace's secret key with the scope admin",
            other,
            Standing::Elsewhere(all.clone()),
        );
        self.add("secret", "a secret key with the scope admin", owner, Standing::Own(all));
    }

    fn keys_of_the_environment(&mut self) {
        let keys = [
            ("env_widget", "WIDGET_API_KEY of the environment", WIDGET_API_KEY, StaticKind::Widget),
            ("env_admin", "ADMIN_API_KEY of the environment", ADMIN_API_KEY, StaticKind::Admin),
        ];
        for (name, about, text, kind) in keys {
            let caller = Caller::Static(StaticCaller { kind, tenant: self.world.tenant() });
            self.add(name, about, self.world.anonymous().with(name, text), Standing::Static(caller));
        }
    }
}

/// All columns that can be sent.
pub(crate) async fn columns(world: &World, part: &Part) -> Vec<Column> {
    let mut maker = Maker { world, columns: Vec::new() };
    maker.add("absent", "no credential", world.anonymous(), Standing::Own(Caller::Anonymous));
    maker.add("twice", "two credentials", world.secret(), Standing::Twice);
    maker.columns[1].second = Some(world.secret().credential().to_owned());
    maker.credentials_that_prove_nothing().await;
    maker.tokens_that_prove_nothing().await;
    maker.good_credentials().await;
    maker.who_takes_part(part).await;
    maker.keys_of_the_environment();
    maker.people().await;
    maker.columns
}
