use access::Role;
use ambient::InvitationId;

use super::{Workspace, limits};
use crate::{
    catalogue::members as sql,
    error::StoreError,
    people::{INVITATION_LIFE_MS, InvitationRecord, MAX_INVITATIONS, NewInvitation, invitation_record},
    record::{AuditEntry, Page, PageRequest},
    tx::Tx,
};

/// What the audit log calls them.
const KIND: &str = "invitation";

impl Workspace {
    /// A page of invitations, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn invitations(&self, page: PageRequest) -> Result<Page<InvitationRecord>, StoreError> {
        let id = self.tenant.workspace;
        let rows = limits(sql::INVITATIONS.bound().id(id), page);
        self.page(rows, sql::INVITATION_TOTAL.bound().id(id), invitation_record).await
    }

    /// Invites somebody, on behalf of one who may do what `held` may. An earlier invitation of the same address
    /// is taken back. Whether the address is a member elsewhere is not looked at.
    ///
    /// # Errors
    /// [`StoreError::Conflict`]: `email` for a member of this workspace, `role` when the role is above `held`,
    /// `invitations` when [`MAX_INVITATIONS`] are open.
    pub async fn invite(
        &self,
        new: NewInvitation,
        held: Role,
        audit: AuditEntry<'_>,
    ) -> Result<InvitationRecord, StoreError> {
        let workspace = self.tenant.workspace;
        let mut tx = self.store.begin().await?;
        tx.change(sql::LOCK_PEOPLE.bound().id(workspace)).await?;
        if new.role > self.still_held(&mut tx, held, &audit).await? {
            return Err(StoreError::Conflict("role"));
        }
        let email = new.email.to_lowercase();
        if tx.total(sql::ADDRESS_TOTAL.bound().id(workspace).text(&email)).await? > 0 {
            return Err(StoreError::Conflict("email"));
        }
        let now = self.store.now();
        tx.execute(sql::REPLACE_INVITATIONS.bound().id(workspace).text(&email).time(now)).await?;
        if tx.total(sql::OPEN_INVITATION_TOTAL.bound().id(workspace).time(now)).await? >= MAX_INVITATIONS {
            return Err(StoreError::Conflict("invitations"));
        }
        let invitation = self.insert_invitation(&mut tx, new, audit.actor.to_string(), INVITATION_LIFE_MS).await?;
        self.insert_audit(&mut tx, &audit, KIND, &invitation.id).await?;
        tx.commit().await?;
        Ok(invitation)
    }

    pub(crate) async fn insert_invitation(
        &self,
        tx: &mut Tx,
        new: NewInvitation,
        invited_by: String,
        life: i64,
    ) -> Result<InvitationRecord, StoreError> {
        let now = self.store.now();
        let invitation = InvitationRecord {
            id: InvitationId::mint(self.store.clock(), self.store.random())?,
            workspace: self.tenant.workspace,
            email: new.email.to_lowercase(),
            role: new.role,
            invited_by,
            created_at: now,
            expires_at: now.plus(life),
            accepted_at: None,
            revoked_at: None,
        };
        let insert = sql::INSERT_INVITATION.bound().id(invitation.workspace).id(invitation.id).text(&invitation.email);
        let insert = insert.id(invitation.role).digest(&new.digest).text(&invitation.invited_by);
        tx.execute(insert.time(now).time(invitation.expires_at)).await?;
        Ok(invitation)
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not open.
    pub async fn revoke_invitation(&self, id: InvitationId, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.change(sql::REVOKE_INVITATION.bound().id(self.tenant.workspace).id(id).time(self.store.now())).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await
    }
}
