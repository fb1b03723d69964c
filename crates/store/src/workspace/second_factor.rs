//! One-time codes of a person, and the recovery codes for who has lost the app.

use ambient::{MemberId, MemberSessionId, Millis};
use credential::secret::Digest;

use super::Workspace;
use crate::{
    catalogue::{members::FORGET_OTHER_SIGN_INS, second_factor as sql},
    error::StoreError,
    record::AuditEntry,
    tx::Tx,
};

/// What the audit log calls them.
const KIND: &str = "member";

/// What a person has besides a password.
#[derive(Clone)]
pub struct SecondFactor {
    /// What the app shares with us, sealed; also while it is only begun.
    pub sealed: Option<Vec<u8>>,
    /// Since when it is asked for.
    pub confirmed_at: Option<Millis>,
    /// The last step that was used.
    pub step: i64,
    /// Recovery codes that were not used.
    pub recovery_codes: u32,
}

impl std::fmt::Debug for SecondFactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecondFactor").field("confirmed_at", &self.confirmed_at).finish_non_exhaustive()
    }
}

impl Workspace {
    /// What a person has besides a password.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the person is gone.
    pub async fn second_factor(&self, member: MemberId) -> Result<SecondFactor, StoreError> {
        self.one(sql::SECOND_FACTOR.bound().id(self.tenant.workspace).id(member), |row| {
            Ok(SecondFactor {
                sealed: row.maybe_blob("totp_sealed")?,
                confirmed_at: row.maybe_time("totp_confirmed_at")?,
                step: row.count("totp_step")?,
                recovery_codes: row.count("codes")?,
            })
        })
        .await
    }

    /// Begins with an app; what was begun before and not confirmed is forgotten.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `second_factor` when there is a confirmed one.
    pub async fn begin_totp(&self, member: MemberId, sealed: Vec<u8>, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let begin = sql::BEGIN_TOTP.bound().id(self.tenant.workspace).id(member).blob(sealed);
        tx.change(begin).await.map_err(taken)?;
        self.insert_audit(&mut tx, &audit, KIND, &member).await?;
        tx.commit().await
    }

    /// From here on codes are asked for: one was right for `sealed`, that of `step`. Whoever is signed in without one,
    /// anywhere but in `kept`, is no longer.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `second_factor` when it is not what was begun, or confirmed already.
    pub async fn confirm_totp(
        &self,
        member: MemberId,
        (sealed, step): (Vec<u8>, i64),
        codes: &[Digest],
        kept: MemberSessionId,
        audit: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let confirm = sql::CONFIRM_TOTP.bound().id(self.tenant.workspace).id(member).blob(sealed).count(step);
        tx.change(confirm.time(self.store.now())).await.map_err(taken)?;
        self.write_codes(&mut tx, member, codes).await?;
        tx.execute(FORGET_OTHER_SIGN_INS.bound().id(self.tenant.workspace).id(member).id(kept)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &member).await?;
        tx.commit().await
    }

    /// Puts other recovery codes in the place of all there are.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when no app is confirmed.
    pub async fn renew_recovery_codes(
        &self,
        member: MemberId,
        codes: &[Digest],
        audit: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.change(sql::LOCK_SECOND_FACTOR.bound().id(self.tenant.workspace).id(member)).await?;
        self.write_codes(&mut tx, member, codes).await?;
        self.insert_audit(&mut tx, &audit, KIND, &member).await?;
        tx.commit().await
    }

    /// From here on no code is asked for.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when none was.
    pub async fn end_totp(&self, member: MemberId, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.change(sql::END_TOTP.bound().id(self.tenant.workspace).id(member)).await?;
        self.forget_codes(&mut tx, member).await?;
        self.insert_audit(&mut tx, &audit, KIND, &member).await?;
        tx.commit().await
    }

    /// The same, in a transaction in which more is forgotten; whether there is one or not.
    pub(crate) async fn forget_second_factor(&self, tx: &mut Tx, member: MemberId) -> Result<(), StoreError> {
        tx.execute(sql::END_TOTP.bound().id(self.tenant.workspace).id(member)).await?;
        self.forget_codes(tx, member).await
    }

    /// Uses the code of a step; false when it was used, or a later one.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn use_totp_step(&self, member: MemberId, step: i64) -> Result<bool, StoreError> {
        let used = sql::USE_TOTP_STEP.bound().id(self.tenant.workspace).id(member).count(step);
        Ok(self.store.execute(used).await? > 0)
    }

    /// Uses a recovery code; false when there is none, or it was used.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn use_recovery_code(&self, member: MemberId, code: &Digest) -> Result<bool, StoreError> {
        let used = sql::USE_RECOVERY_CODE.bound().id(self.tenant.workspace).id(member).digest(code);
        Ok(self.store.execute(used.time(self.store.now())).await? > 0)
    }

    async fn write_codes(&self, tx: &mut Tx, member: MemberId, codes: &[Digest]) -> Result<(), StoreError> {
        self.forget_codes(tx, member).await?;
        for code in codes {
            tx.execute(sql::INSERT_RECOVERY_CODE.bound().id(self.tenant.workspace).id(member).digest(code)).await?;
        }
        Ok(())
    }

    async fn forget_codes(&self, tx: &mut Tx, member: MemberId) -> Result<(), StoreError> {
        tx.execute(sql::FORGET_RECOVERY_CODES.bound().id(self.tenant.workspace).id(member)).await.map(|_| ())
    }
}

/// Nothing was changed, for there is one already.
fn taken(error: StoreError) -> StoreError {
    match error {
        StoreError::NotFound => StoreError::Conflict("second_factor"),
        error => error,
    }
}
