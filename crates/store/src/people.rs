//! People, before it is known whose they are: who signs in, who comes with an invitation.

use std::{fmt, net::IpAddr, str::FromStr};

use access::{Actor, ActorKind, Role, Scope, ScopeSet, Tenant};
use ambient::{InvitationId, MemberId, MemberSessionId, Millis, WorkspaceId};
use credential::{key::Environment, secret::Digest};

use crate::{
    catalogue::{installation, members as sql},
    change::NewWorkspace,
    error::StoreError,
    record::{AuditEntry, MemberRecord, WorkspaceRecord},
    row::Row,
    store::{Store, workspace_record},
    tx::Tx,
};

/// How long a person may rest before the browser is signed out, in milliseconds (contract, section 2).
pub const SIGN_IN_IDLE_MS: i64 = 30 * 60 * 1000;
/// How long a browser stays signed in at most, in milliseconds.
pub const SIGN_IN_LIFE_MS: i64 = 12 * 60 * 60 * 1000;
/// How long an invitation works, in milliseconds.
pub const INVITATION_LIFE_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// How long a link works that sets a member's password anew, in milliseconds.
pub const PASSWORD_RESET_LIFE_MS: i64 = 24 * 60 * 60 * 1000;
/// By whom such a link is: its operator's, at the command line.
pub(crate) const PASSWORD_RESET: &str = "system:password_reset";
/// People of one workspace.
pub const MAX_MEMBERS: u64 = 1000;
/// Invitations of one workspace that wait for an answer.
pub const MAX_INVITATIONS: u64 = 100;
/// What has ended is remembered this long, in milliseconds: from where somebody signed in, who was invited.
const REMEMBER_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// What happens to a key that is reported as leaked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeakPolicy {
    /// It stops at once.
    #[default]
    Revoke,
    /// It gets another secret; the old one works until the grace is over.
    Rotate,
    /// Nothing but an event.
    Notify,
}

impl LeakPolicy {
    /// Every policy, the strictest first.
    pub const ALL: [Self; 3] = [Self::Revoke, Self::Rotate, Self::Notify];

    /// The text form, as stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Rotate => "rotate",
            Self::Notify => "notify",
        }
    }
}

/// The text names no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown leak policy; policies are revoke, rotate and notify")]
pub struct UnknownLeakPolicy;

impl FromStr for LeakPolicy {
    type Err = UnknownLeakPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownLeakPolicy> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or(UnknownLeakPolicy)
    }
}

/// Who an unended sign-in is of.
#[derive(Clone, Copy, Debug)]
pub struct SignIn {
    /// The browser.
    pub id: MemberSessionId,
    /// Where.
    pub workspace: WorkspaceId,
    /// The person.
    pub member: MemberId,
    /// What the person may do at this moment.
    pub role: Role,
    /// When it was last used, to a minute.
    pub seen_at: Millis,
    /// When it ends at the latest.
    pub expires_at: Millis,
    /// When the person last proved, in this browser, who it is.
    pub confirmed_at: Millis,
}

impl SignIn {
    /// Whether it still counts.
    #[must_use]
    pub fn is_live(&self, now: Millis) -> bool {
        now < self.expires_at && now.since(self.seen_at) < SIGN_IN_IDLE_MS
    }
}

/// A browser to be signed in.
#[derive(Clone)]
pub struct NewSignIn {
    /// Who.
    pub member: MemberId,
    /// Of the cookie's text.
    pub digest: Digest,
    /// From where.
    pub address: Option<IpAddr>,
    /// What the browser calls itself.
    pub user_agent: Option<String>,
    /// What the same browser was signed in as until now, and is no longer.
    pub replaces: Option<SignIn>,
}

impl fmt::Debug for NewSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSignIn").field("member", &self.member).finish_non_exhaustive()
    }
}

/// Somebody is asked to join.
#[derive(Clone, Debug)]
pub struct InvitationRecord {
    /// Its id.
    pub id: InvitationId,
    /// Where.
    pub workspace: WorkspaceId,
    /// Whom; lower case.
    pub email: String,
    /// What the person will be.
    pub role: Role,
    /// Who asks, as [`Actor`] prints itself.
    pub invited_by: String,
    /// When.
    pub created_at: Millis,
    /// Until when it can be accepted.
    pub expires_at: Millis,
    /// When it was accepted.
    pub accepted_at: Option<Millis>,
    /// When it was taken back.
    pub revoked_at: Option<Millis>,
}

impl InvitationRecord {
    /// Whether it can be accepted.
    #[must_use]
    pub fn is_open(&self, now: Millis) -> bool {
        self.accepted_at.is_none() && self.revoked_at.is_none() && now < self.expires_at
    }
}

/// An invitation to be made.
#[derive(Clone)]
pub struct NewInvitation {
    /// Whom; stored in lower case.
    pub email: String,
    /// What the person will be.
    pub role: Role,
    /// Of the token in the link.
    pub digest: Digest,
}

impl fmt::Debug for NewInvitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewInvitation").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Store {
    /// Whose sign-in it is, by the digest of the cookie. It may have ended: ask [`SignIn::is_live`].
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn find_sign_in(&self, digest: &Digest) -> Result<Option<SignIn>, StoreError> {
        let row = self.row(sql::SIGN_IN_BY_DIGEST.bound().digest(digest)).await?;
        let read = |row: Row| {
            Ok(SignIn {
                id: row.id("id")?,
                workspace: row.id("workspace_id")?,
                member: row.id("member_id")?,
                role: row.id("role")?,
                seen_at: row.time("seen_at")?,
                expires_at: row.time("expires_at")?,
                confirmed_at: row.time("confirmed_at")?,
            })
        };
        row.map(read).transpose()
    }

    /// Notes that it is used.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn touch_sign_in(&self, sign_in: &SignIn, now: Millis) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(sql::SEEN_SIGN_IN.bound().id(sign_in.workspace).id(sign_in.id).time(now)).await?;
        tx.execute(sql::SEEN_MEMBER.bound().id(sign_in.workspace).id(sign_in.member).time(now)).await?;
        tx.commit().await
    }

    /// The member with this address in any workspace, and whether somebody was signed in to it from `from`.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn member_by_email(&self, email: &str, from: IpAddr) -> Result<Option<(MemberRecord, bool)>, StoreError> {
        let row = self.row(sql::MEMBER_BY_EMAIL.bound().text(email.to_lowercase()).id(from)).await?;
        row.map(|row| Ok((member_record(&row)?, row.count::<u64>("known")? > 0))).transpose()
    }

    /// An invitation by the digest of its token, whatever became of it.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn invitation_by_digest(&self, digest: &Digest) -> Result<Option<InvitationRecord>, StoreError> {
        let row = self.row(sql::INVITATION_BY_DIGEST.bound().digest(digest)).await?;
        row.map(|row| invitation_record(&row)).transpose()
    }

    /// Makes the invited person a member, once. Whoever invited must still be able to: a key that was revoked or
    /// narrowed since, or a person who has gone or was given a lesser role, has invited nobody. With the link of
    /// [`Store::invite_to_reset`], whoever is a member at the address has a new password and name, and is signed
    /// out everywhere.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is no longer open, [`StoreError::Conflict`] `email` when the address is a
    /// member of some workspace, or `members` when there are [`MAX_MEMBERS`].
    pub async fn accept_invitation(
        &self,
        invitation: &InvitationRecord,
        name: &str,
        password_hash: &str,
        audit: AuditEntry<'_>,
    ) -> Result<MemberRecord, StoreError> {
        let (workspace, now) = (invitation.workspace, self.now());
        let member = MemberRecord {
            id: MemberId::mint(self.clock(), self.random())?,
            workspace,
            email: invitation.email.clone(),
            name: name.to_owned(),
            role: invitation.role,
            password_hash: password_hash.to_owned(),
            created_at: now,
            updated_at: None,
            last_seen_at: None,
        };
        let mut tx = self.begin().await?;
        tx.change(sql::LOCK_PEOPLE.bound().id(workspace)).await?;
        tx.change(sql::ACCEPT_INVITATION.bound().id(workspace).id(invitation.id).time(now)).await?;
        if invitation.invited_by == PASSWORD_RESET {
            return self.reset_password(tx, invitation, name, password_hash, audit).await;
        }
        if !self.may_still_invite(&mut tx, invitation).await? {
            return Err(StoreError::NotFound);
        }
        if tx.total(sql::MEMBER_TOTAL.bound().id(workspace)).await? >= MAX_MEMBERS {
            return Err(StoreError::Conflict("members"));
        }
        let insert = sql::INSERT_INVITED.bound().id(workspace).id(member.id).text(&member.email).id(member.role);
        tx.execute(insert.text(name).text(password_hash).time(now)).await?;
        let actor = Actor { kind: ActorKind::Member, id: member.id.to_string(), ..audit.actor.clone() };
        let data = self.workspace(Tenant { workspace, environment: Environment::Live });
        data.insert_audit(&mut tx, &AuditEntry { actor: &actor, ..audit }, "member", &member.id).await?;
        tx.commit().await?;
        Ok(member)
    }

    /// Whether the one who invited may still give that role.
    async fn may_still_invite(&self, tx: &mut Tx, invitation: &InvitationRecord) -> Result<bool, StoreError> {
        let workspace = invitation.workspace;
        match invitation.invited_by.split_once(':') {
            Some(("api_key", key)) => {
                let row = tx.row(sql::INVITING_KEY.bound().id(workspace).text(key).time(self.now())).await?;
                let Some(row) = row else { return Ok(false) };
                let mut scopes: ScopeSet = row.json("scopes")?;
                if row.maybe_text("service_account_id")?.is_some() {
                    // Of an account that is gone or disabled nothing is left.
                    let account = row.maybe_json::<ScopeSet>("account_scopes")?.unwrap_or(ScopeSet::NONE);
                    scopes = scopes.intersect(account);
                }
                Ok(scopes.allows(Scope::MembersWrite) && scopes.covers(invitation.role.scopes()))
            }
            Some(("member", id)) => match tx.row(sql::MEMBER.bound().id(workspace).text(id)).await? {
                Some(row) => Ok(member_record(&row)?.role >= invitation.role.max(Role::Admin)),
                None => Ok(false),
            },
            // The operator, at the command line.
            _ => Ok(true),
        }
    }

    /// Every workspace, the oldest first, with how many people it has.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn workspaces(&self) -> Result<Vec<(WorkspaceRecord, u64)>, StoreError> {
        let rows = self.rows(sql::WORKSPACES.bound()).await?;
        rows.iter().map(|row| Ok((workspace_record(row)?, row.count("members")?))).collect()
    }

    /// Makes a workspace and invites its owner: for the operator, who does not know the owner's password.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn create_workspace_for(
        &self,
        workspace: NewWorkspace,
        owner: NewInvitation,
        audit: AuditEntry<'_>,
    ) -> Result<(WorkspaceRecord, InvitationRecord), StoreError> {
        let id = WorkspaceId::mint(self.clock(), self.random())?;
        let workspace = WorkspaceRecord::new(id, workspace.name, self.now());
        let mut tx = self.begin().await?;
        let insert = installation::INSERT_WORKSPACE.bound().id(id).text(&workspace.name).time(workspace.created_at);
        tx.execute(insert).await?;
        let data = self.workspace(Tenant { workspace: id, environment: Environment::Live });
        let invitation = data.insert_invitation(&mut tx, owner, audit.actor.to_string(), INVITATION_LIFE_MS).await?;
        data.insert_audit(&mut tx, &audit, "workspace", &id).await?;
        tx.commit().await?;
        Ok((workspace, invitation))
    }

    /// Forgets sign-ins and invitations that ended 30 days ago; how many.
    pub(crate) async fn sweep_people(&self, now: Millis) -> Result<u64, StoreError> {
        let before = now.plus(-REMEMBER_MS);
        let sign_ins = self.execute(sql::SWEEP_SIGN_INS.bound().time(before)).await?;
        Ok(sign_ins + self.execute(sql::SWEEP_INVITATIONS.bound().time(before)).await?)
    }
}

pub(crate) fn member_record(row: &Row) -> Result<MemberRecord, StoreError> {
    Ok(MemberRecord {
        id: row.id("id")?,
        workspace: row.id("workspace_id")?,
        email: row.string("email")?,
        name: row.string("name")?,
        role: row.id("role")?,
        password_hash: row.string("password_hash")?,
        created_at: row.time("created_at")?,
        updated_at: row.maybe_time("updated_at")?,
        last_seen_at: row.maybe_time("last_seen_at")?,
    })
}

pub(crate) fn invitation_record(row: &Row) -> Result<InvitationRecord, StoreError> {
    Ok(InvitationRecord {
        id: row.id("id")?,
        workspace: row.id("workspace_id")?,
        email: row.string("email")?,
        role: row.id("role")?,
        invited_by: row.string("invited_by")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        accepted_at: row.maybe_time("accepted_at")?,
        revoked_at: row.maybe_time("revoked_at")?,
    })
}
