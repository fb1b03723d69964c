//! Passwords that change: a person's own, and one that the operator lets somebody choose anew.

use std::net::{IpAddr, Ipv4Addr};

use access::{Actor, ActorKind, Tenant};
use ambient::{MemberId, MemberSessionId};
use credential::{key::Environment, secret::Digest};

use super::Workspace;
use crate::{
    catalogue::members as sql,
    error::StoreError,
    people::{InvitationRecord, NewInvitation, PASSWORD_RESET, PASSWORD_RESET_LIFE_MS, member_record},
    record::{AuditEntry, MemberRecord},
    store::Store,
    tx::Tx,
};

/// What the audit log calls them.
const KIND: &str = "member";

impl Workspace {
    /// Puts a new password in the place of `old`, both as hashes. All browsers but `keep` are signed out, and the
    /// addresses that they were at are strangers' from here on.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `password` when it is no longer `old`.
    pub async fn change_password(
        &self,
        member: MemberId,
        (old, new): (&str, &str),
        keep: MemberSessionId,
        audit: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        let workspace = self.tenant.workspace;
        let mut tx = self.store.begin().await?;
        let change = sql::CHANGE_PASSWORD.bound().id(workspace).id(member).text(old).text(new).time(self.store.now());
        match tx.change(change).await {
            Err(StoreError::NotFound) => return Err(StoreError::Conflict("password")),
            changed => changed?,
        }
        tx.execute(sql::FORGET_OTHER_SIGN_INS.bound().id(workspace).id(member).id(keep)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &member).await?;
        tx.commit().await
    }
}

impl Store {
    /// Makes a link by which the member at this address chooses a new password: for the operator. It works once,
    /// for [`PASSWORD_RESET_LIFE_MS`]; an earlier one stops.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when nobody has the address.
    pub async fn invite_to_reset(
        &self,
        email: &str,
        digest: Digest,
        audit: AuditEntry<'_>,
    ) -> Result<InvitationRecord, StoreError> {
        let found = self.member_by_email(email, IpAddr::V4(Ipv4Addr::UNSPECIFIED)).await?;
        let (member, _) = found.ok_or(StoreError::NotFound)?;
        let workspace = member.workspace;
        let data = self.workspace(Tenant { workspace, environment: Environment::Live });
        let mut tx = self.begin().await?;
        tx.change(sql::LOCK_PEOPLE.bound().id(workspace)).await?;
        tx.execute(sql::REPLACE_INVITATIONS.bound().id(workspace).text(&member.email).time(self.now())).await?;
        let new = NewInvitation { email: member.email, role: member.role, digest };
        let made = data.insert_invitation(&mut tx, new, PASSWORD_RESET.to_owned(), PASSWORD_RESET_LIFE_MS).await?;
        data.insert_audit(&mut tx, &audit, KIND, &member.id).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Uses such a link, in the transaction that has taken it. Whoever is no member any more does not become one.
    pub(crate) async fn reset_password(
        &self,
        mut tx: Tx,
        invitation: &InvitationRecord,
        name: &str,
        password_hash: &str,
        audit: AuditEntry<'_>,
    ) -> Result<MemberRecord, StoreError> {
        let (workspace, now) = (invitation.workspace, self.now());
        let row = tx.row(sql::MEMBER_AT.bound().id(workspace).text(&invitation.email)).await?;
        let mut member = member_record(&row.ok_or(StoreError::NotFound)?)?;
        name.clone_into(&mut member.name);
        password_hash.clone_into(&mut member.password_hash);
        member.updated_at = Some(now);
        let reset = sql::RESET_PASSWORD.bound().id(workspace).id(member.id).text(password_hash).text(name);
        tx.change(reset.time(now)).await?;
        tx.execute(sql::FORGET_OTHER_SIGN_INS.bound().id(workspace).id(member.id).text("")).await?;
        let actor = Actor { kind: ActorKind::Member, id: member.id.to_string(), ..audit.actor.clone() };
        let data = self.workspace(Tenant { workspace, environment: Environment::Live });
        // Who asks the operator has lost the app, too, or may not: what is left of it would lock the person out.
        data.forget_second_factor(&mut tx, member.id).await?;
        data.insert_audit(&mut tx, &AuditEntry { actor: &actor, ..audit }, KIND, &member.id).await?;
        tx.commit().await?;
        Ok(member)
    }
}
