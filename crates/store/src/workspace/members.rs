use std::fmt::Display;

use access::{ActorKind, Role};
use ambient::{MemberId, MemberSessionId, Millis};
use credential::secret::Digest;

use super::{Workspace, limits};
use crate::{
    catalogue::members as sql,
    error::StoreError,
    people::{LeakPolicy, NewSignIn, SIGN_IN_IDLE_MS, SIGN_IN_LIFE_MS, member_record},
    record::{AuditEntry, MemberRecord, Page, PageRequest, WorkspaceRecord},
    row::Row,
    tx::Tx,
};

/// What the audit log calls them.
const KIND: &str = "member";

/// Sign-ins of one person, ended ones too; the oldest make room.
const MAX_SIGN_INS: u32 = 20;

/// What is to be different about a member; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct MemberChange {
    /// What people call the person.
    pub name: Option<String>,
    /// What the person may do.
    pub role: Option<Role>,
}

/// What is to be different about a workspace; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct WorkspaceChange {
    /// What people call it.
    pub name: Option<String>,
    /// What happens to a key that is reported as leaked.
    pub leak_policy: Option<LeakPolicy>,
    /// How long a leaked key's old secret works, where it is rotated.
    pub leak_grace_seconds: Option<u32>,
}

/// A browser in which a person is signed in.
#[derive(Clone, Debug)]
pub struct SignInRecord {
    /// Its id.
    pub id: MemberSessionId,
    /// From where.
    pub address: Option<String>,
    /// What the browser calls itself.
    pub user_agent: Option<String>,
    /// Since when.
    pub created_at: Millis,
    /// When it was last used, to a minute.
    pub seen_at: Millis,
    /// When it ends at the latest.
    pub expires_at: Millis,
}

impl Workspace {
    /// Changes the workspace itself.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is gone.
    pub async fn update(&self, change: WorkspaceChange, audit: AuditEntry<'_>) -> Result<WorkspaceRecord, StoreError> {
        let id = self.tenant.workspace;
        let mut tx = self.store.begin().await?;
        tx.change(sql::LOCK_PEOPLE.bound().id(id)).await?;
        let row = tx.row(crate::catalogue::installation::WORKSPACE.bound().id(id)).await?;
        let mut workspace = crate::store::workspace_record(&row.ok_or(StoreError::NotFound)?)?;
        workspace.name = change.name.unwrap_or(workspace.name);
        workspace.leak_policy = change.leak_policy.unwrap_or(workspace.leak_policy);
        workspace.leak_grace_seconds = change.leak_grace_seconds.unwrap_or(workspace.leak_grace_seconds);
        let update = sql::UPDATE_WORKSPACE.bound().id(id).text(&workspace.name).text(workspace.leak_policy.as_str());
        tx.change(update.count(workspace.leak_grace_seconds)).await?;
        self.insert_audit(&mut tx, &audit, "workspace", &id).await?;
        tx.commit().await?;
        Ok(workspace)
    }

    /// A page of the people, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn members(&self, page: PageRequest) -> Result<Page<MemberRecord>, StoreError> {
        let id = self.tenant.workspace;
        let rows = limits(sql::MEMBERS.bound().id(id), page);
        self.page(rows, sql::MEMBER_TOTAL.bound().id(id), member_record).await
    }

    /// A person.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn member(&self, id: MemberId) -> Result<MemberRecord, StoreError> {
        self.one(sql::MEMBER.bound().id(self.tenant.workspace).id(id), member_record).await
    }

    /// Changes a person, on behalf of somebody who may do what `held` may; a person's own role is looked up
    /// again. Owners are changed, and made, by owners. A lesser role takes back what the person has invited.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `role` when `held` is too little, `last_owner` when no
    /// owner would be left.
    pub async fn update_member(
        &self,
        id: MemberId,
        change: MemberChange,
        held: Role,
        audit: AuditEntry<'_>,
    ) -> Result<MemberRecord, StoreError> {
        let workspace = self.tenant.workspace;
        let (mut tx, mut member, held) = self.hold_member(id, held, &audit).await?;
        let role = change.role.unwrap_or(member.role);
        if role > held || member.role > held {
            return Err(StoreError::Conflict("role"));
        }
        if role < member.role {
            self.leave_an_owner(&mut tx, &member).await?;
            self.take_back_invitations(&mut tx, ActorKind::Member, &id).await?;
        }
        member.role = role;
        member.name = change.name.unwrap_or(member.name);
        let now = self.store.now();
        member.updated_at = Some(now);
        let update = sql::UPDATE_MEMBER.bound().id(workspace).id(id).text(&member.name).id(member.role).time(now);
        tx.change(update).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        Ok(member)
    }

    /// Changes what a person is called, whoever it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the person is gone.
    pub async fn rename_member(
        &self,
        id: MemberId,
        name: &str,
        audit: AuditEntry<'_>,
    ) -> Result<MemberRecord, StoreError> {
        let workspace = self.tenant.workspace;
        let mut tx = self.store.begin().await?;
        tx.change(sql::RENAME_MEMBER.bound().id(workspace).id(id).text(name).time(self.store.now())).await?;
        let row = tx.row(sql::MEMBER.bound().id(workspace).id(id)).await?;
        let member = member_record(&row.ok_or(StoreError::NotFound)?)?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        Ok(member)
    }

    /// Removes a person, who is signed out everywhere, and takes back what the person has invited.
    ///
    /// # Errors
    /// As [`Workspace::update_member`].
    pub async fn remove_member(&self, id: MemberId, held: Role, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let (mut tx, member, held) = self.hold_member(id, held, &audit).await?;
        if member.role > held {
            return Err(StoreError::Conflict("role"));
        }
        self.leave_an_owner(&mut tx, &member).await?;
        self.take_back_invitations(&mut tx, ActorKind::Member, &id).await?;
        tx.change(sql::DELETE_MEMBER.bound().id(self.tenant.workspace).id(id)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await
    }

    /// Takes the turn among changes to this workspace's people, and looks at one.
    async fn hold_member(
        &self,
        id: MemberId,
        held: Role,
        audit: &AuditEntry<'_>,
    ) -> Result<(Tx, MemberRecord, Role), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.change(sql::LOCK_PEOPLE.bound().id(self.tenant.workspace)).await?;
        let held = self.still_held(&mut tx, held, audit).await?;
        let row = tx.row(sql::MEMBER.bound().id(self.tenant.workspace).id(id)).await?;
        let member = member_record(&row.ok_or(StoreError::NotFound)?)?;
        Ok((tx, member, held))
    }

    /// What the one who changes may do at this moment: a person's role may have changed since the request came.
    pub(super) async fn still_held(&self, tx: &mut Tx, held: Role, audit: &AuditEntry<'_>) -> Result<Role, StoreError> {
        if audit.actor.kind != ActorKind::Member {
            return Ok(held);
        }
        let row = tx.row(sql::MEMBER.bound().id(self.tenant.workspace).text(&audit.actor.id)).await?;
        let role = member_record(&row.ok_or(StoreError::Conflict("role"))?)?.role;
        // What admits to changing people at all.
        if role < Role::Admin { Err(StoreError::Conflict("role")) } else { Ok(role.min(held)) }
    }

    async fn leave_an_owner(&self, tx: &mut Tx, member: &MemberRecord) -> Result<(), StoreError> {
        let owners = tx.total(sql::OWNER_TOTAL.bound().id(self.tenant.workspace)).await?;
        if member.role == Role::Owner && owners <= 1 { Err(StoreError::Conflict("last_owner")) } else { Ok(()) }
    }

    /// What somebody has invited, and nobody has accepted.
    pub(super) async fn take_back_invitations(
        &self,
        tx: &mut Tx,
        kind: ActorKind,
        id: &(impl Display + Sync),
    ) -> Result<(), StoreError> {
        let by = format!("{}:{id}", kind.as_str());
        let revoke = sql::REVOKE_INVITATIONS_BY.bound().id(self.tenant.workspace).text(by).time(self.store.now());
        tx.execute(revoke).await.map(|_| ())
    }

    // ---- sign-ins ----

    /// Signs a browser in, and out of what it was signed in as before.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the person is gone.
    pub async fn open_sign_in(&self, new: NewSignIn, audit: AuditEntry<'_>) -> Result<SignInRecord, StoreError> {
        let (workspace, now) = (self.tenant.workspace, self.store.now());
        let opened = SignInRecord {
            id: MemberSessionId::mint(self.store.clock(), self.store.random())?,
            address: new.address.map(|address| address.to_string()),
            user_agent: new.user_agent,
            created_at: now,
            seen_at: now,
            expires_at: now.plus(SIGN_IN_LIFE_MS),
        };
        let mut tx = self.store.begin().await?;
        if let Some(old) = new.replaces {
            tx.execute(sql::END_SIGN_IN.bound().id(old.workspace).id(old.member).id(old.id).time(now)).await?;
        }
        let insert = sql::INSERT_SIGN_IN.bound().id(workspace).id(opened.id).id(new.member).digest(&new.digest);
        let insert = insert.maybe_text(opened.address.as_deref()).maybe_text(opened.user_agent.as_deref());
        tx.execute(insert.time(now).time(opened.expires_at)).await?;
        tx.execute(sql::SEEN_MEMBER.bound().id(workspace).id(new.member).time(now)).await?;
        tx.execute(sql::FORGET_OLD_SIGN_INS.bound().id(workspace).id(new.member).count(MAX_SIGN_INS)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &new.member).await?;
        tx.commit().await?;
        Ok(opened)
    }

    /// Notes that the person has proved, in this browser, who it is. From here on the cookie with this digest counts,
    /// and the one before no longer; the answer is when it ends at the latest.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not signed in any more.
    pub async fn confirm_sign_in(
        &self,
        member: MemberId,
        id: MemberSessionId,
        digest: &Digest,
        audit: AuditEntry<'_>,
    ) -> Result<Millis, StoreError> {
        let mut tx = self.store.begin().await?;
        let confirm = sql::CONFIRM_SIGN_IN.bound().id(self.tenant.workspace).id(member).id(id);
        let row = tx.row(confirm.time(self.store.now()).digest(digest)).await?;
        let expires_at = row.ok_or(StoreError::NotFound)?.time("expires_at")?;
        self.insert_audit(&mut tx, &audit, "sign_in", &id).await?;
        tx.commit().await?;
        Ok(expires_at)
    }

    /// A page of a person's browsers, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn sign_ins(&self, member: MemberId, page: PageRequest) -> Result<Page<SignInRecord>, StoreError> {
        let now = self.store.now();
        let of = |statement: &crate::catalogue::Statement| {
            statement.bound().id(self.tenant.workspace).id(member).time(now).time(now.plus(-SIGN_IN_IDLE_MS))
        };
        self.page(limits(of(&sql::SIGN_INS), page), of(&sql::SIGN_IN_TOTAL), sign_in_record).await
    }

    /// Whether a browser is still signed in. With `is_busy` its time at rest does not count, only the end of its life
    /// and a sign-out: whoever waits for a file does nothing else.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn is_signed_in(&self, member: MemberId, id: MemberSessionId, is_busy: bool) -> Result<bool, StoreError> {
        let now = self.store.now();
        let rests_since = if is_busy { Millis(0) } else { now.plus(-SIGN_IN_IDLE_MS) };
        let sign_in = sql::SIGN_IN.bound().id(self.tenant.workspace).id(member).id(id).time(now).time(rests_since);
        Ok(self.store.total(sign_in).await? > 0)
    }

    /// Signs a browser out. With `forget`, the address it was at is a stranger's from here on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not signed in, or not this person's.
    pub async fn end_sign_in(
        &self,
        member: MemberId,
        id: MemberSessionId,
        forget: bool,
        audit: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        let (workspace, now) = (self.tenant.workspace, self.store.now());
        let mut tx = self.store.begin().await?;
        tx.change(sql::END_SIGN_IN.bound().id(workspace).id(member).id(id).time(now)).await?;
        if forget {
            tx.execute(sql::FORGET_SIGN_IN.bound().id(workspace).id(member).id(id)).await?;
        }
        self.insert_audit(&mut tx, &audit, "sign_in", &id).await?;
        tx.commit().await
    }
}

fn sign_in_record(row: &Row) -> Result<SignInRecord, StoreError> {
    Ok(SignInRecord {
        id: row.id("id")?,
        address: row.maybe_string("address")?,
        user_agent: row.maybe_string("user_agent")?,
        created_at: row.time("created_at")?,
        seen_at: row.time("seen_at")?,
        expires_at: row.time("expires_at")?,
    })
}
