use access::Tenant;
use ambient::{ConversationId, CreditEntryId, CreditHoldId, Millis, Ulid, WorkspaceId};
use credential::key::Environment;
use serde_json::json;

use super::{EventKind, Workspace, limits};
use crate::{
    catalogue::{Bound, Statement, credits as sql},
    error::StoreError,
    record::{AuditEntry, Page, PageRequest},
    row::Row,
    store::Store,
    tx::Tx,
};

/// What the audit log calls an account; its id is the workspace's.
const KIND: &str = "credit_account";
/// Few credits are this part of the last grant.
const LOW: u64 = 10;
/// How many expired holds are read at a time.
const BATCH: u32 = 100;

/// What a workspace has. `free` and `held` are what is left of `granted` after `charged`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreditAccount {
    /// May be held or charged.
    pub free: u64,
    /// Held for replies under way.
    pub held: u64,
    /// Ever granted.
    pub granted: u64,
    /// Ever charged.
    pub charged: u64,
    /// Since when it is metered; `None` is not.
    pub metered_at: Option<Millis>,
}

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditEntry {
    /// Sorts by time.
    pub id: CreditEntryId,
    /// `grant` or `charge`.
    pub kind: String,
    /// Positive for a grant, negative for a charge.
    pub amount: i64,
    /// What was charged for.
    pub conversation: Option<ConversationId>,
    /// The giver's words; of a charge the hold that it settled.
    pub note: Option<String>,
    /// When.
    pub created_at: Millis,
}

/// What is to be held.
#[derive(Clone, Copy, Debug)]
pub struct CreditReserve {
    /// This much, if it is there.
    pub most: u64,
    /// Else what is there, but not less than this.
    pub least: u64,
    /// For whom.
    pub conversation: Option<ConversationId>,
    /// When it is free again if nobody settles it.
    pub expires_at: Millis,
}

/// Credits that are held. Not free, and not charged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditHold {
    /// Its id.
    pub id: CreditHoldId,
    /// How many.
    pub amount: u64,
    /// What the charge is written to.
    pub conversation: Option<ConversationId>,
}

/// How a reservation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// Nothing is counted here: no account, not metered, or test data.
    Unmetered,
    /// Less is free than the least that was asked for.
    Short,
    /// Held until it is settled, released or too old.
    Held(CreditHold),
}

struct Balance {
    free: u64,
    held: u64,
    metered_at: Option<Millis>,
}

impl Workspace {
    /// What the workspace has; zeros and not metered where nobody ever granted or metered.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn credit_account(&self) -> Result<CreditAccount, StoreError> {
        let row = self.store.row(self.of_all(&sql::CREDIT_ACCOUNT)).await?;
        row.map_or_else(|| Ok(CreditAccount::default()), |row| account(&row))
    }

    /// Gives credits. Does not turn metering on.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `environment` for a test tenant.
    pub async fn grant_credits(
        &self,
        amount: u32,
        note: Option<String>,
        audit: AuditEntry<'_>,
    ) -> Result<CreditEntry, StoreError> {
        self.may_change_account()?;
        let mut tx = self.store.begin().await?;
        let balance = self.open_credits(&mut tx).await?;
        self.set_balance(&mut tx, balance.free.saturating_add(amount.into()), balance.held).await?;
        let entry = CreditEntry {
            id: self.next_entry()?,
            kind: "grant".to_owned(),
            amount: amount.into(),
            conversation: None,
            note,
            created_at: self.store.now(),
        };
        self.insert_entry(&mut tx, &entry).await?;
        self.insert_audit(&mut tx, &audit, KIND, &self.tenant.workspace).await?;
        tx.commit().await?;
        Ok(entry)
    }

    /// Begins or ends counting. What is held stays held, and is settled as it would have been.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `environment` for a test tenant.
    pub async fn set_metered(&self, metered: bool, audit: AuditEntry<'_>) -> Result<CreditAccount, StoreError> {
        self.may_change_account()?;
        let mut tx = self.store.begin().await?;
        let since = self.open_credits(&mut tx).await?.metered_at;
        let metered_at = metered.then(|| since.unwrap_or_else(|| self.store.now()));
        tx.change(self.of_all(&sql::SET_METERED).maybe_time(metered_at)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &self.tenant.workspace).await?;
        let row = tx.row(self.of_all(&sql::CREDIT_ACCOUNT)).await?.ok_or(StoreError::NotFound)?;
        tx.commit().await?;
        account(&row)
    }

    /// Holds credits, so that nobody else spends them.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn reserve_credits(&self, wanted: CreditReserve) -> Result<Reserved, StoreError> {
        if self.tenant.environment == Environment::Test {
            return Ok(Reserved::Unmetered);
        }
        let mut tx = self.store.begin().await?;
        let Some(balance) = self.lock_credits(&mut tx).await? else { return Ok(Reserved::Unmetered) };
        if balance.metered_at.is_none() {
            return Ok(Reserved::Unmetered);
        }
        let amount = wanted.most.min(balance.free);
        if amount < wanted.least {
            return Ok(Reserved::Short);
        }
        let id = CreditHoldId::mint(self.store.clock(), self.store.random())?;
        let hold = CreditHold { id, amount, conversation: wanted.conversation };
        self.set_balance(&mut tx, balance.free - amount, balance.held + amount).await?;
        let insert = self.of_all(&sql::INSERT_CREDIT_HOLD).id(id).count(amount).maybe_id(hold.conversation);
        tx.execute(insert.time(self.store.now()).time(wanted.expires_at)).await?;
        tx.commit().await?;
        Ok(Reserved::Held(hold))
    }

    /// Charges what was used, from the hold first and then from what is free, never more than there is;
    /// answers how much that was. Twice is once. A hold that grew too old charges what is free.
    ///
    /// # Errors
    /// When the database cannot be used: nothing was charged then.
    pub async fn settle_credits(&self, hold: &CreditHold, cost: u64) -> Result<u64, StoreError> {
        let mut tx = self.store.begin().await?;
        let balance = self.lock_credits(&mut tx).await?.ok_or(StoreError::NotFound)?;
        let held = self.take_hold(&mut tx, hold.id).await?;
        if held.is_none() && self.is_settled(&mut tx, hold.id).await? {
            return Ok(0);
        }
        let amount = held.unwrap_or(0);
        let there = balance.free + amount;
        let charged = cost.min(there);
        self.set_balance(&mut tx, there - charged, balance.held.saturating_sub(amount)).await?;
        // Also of nothing: what is not written could be charged again.
        let entry = CreditEntry {
            id: self.next_entry()?,
            kind: "charge".to_owned(),
            amount: i64::try_from(charged).map_or(i64::MIN, |charged| -charged),
            conversation: hold.conversation,
            note: Some(hold.id.to_string()),
            created_at: self.store.now(),
        };
        self.insert_entry(&mut tx, &entry).await?;
        let left = balance.free + balance.held;
        self.tell_of_charge(&mut tx, left, left - charged).await?;
        tx.commit().await?;
        Ok(charged)
    }

    /// Frees what is held; whether there was a hold of that id.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn release_credits(&self, hold: CreditHoldId) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let Some(balance) = self.lock_credits(&mut tx).await? else { return Ok(false) };
        let Some(amount) = self.take_hold(&mut tx, hold).await? else { return Ok(false) };
        self.set_balance(&mut tx, balance.free + amount, balance.held.saturating_sub(amount)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Says once that few credits are left, or none: when what is left, held or free, falls to a tenth of the last
    /// grant, or to nothing. After another grant it may be said again.
    async fn tell_of_charge(&self, tx: &mut Tx, before: u64, left: u64) -> Result<(), StoreError> {
        if before == left {
            return Ok(());
        }
        let granted = tx.row(self.of_all(&sql::LAST_CREDIT_GRANT)).await?;
        let granted: u64 = granted.map_or(Ok(0), |row| row.count("amount"))?;
        let threshold = granted / LOW;
        let data = json!({
            "workspace_id": self.tenant.workspace,
            "left": left,
            "threshold": threshold,
            "last_grant": granted,
        });
        // Of one charge that does both, the worse.
        if left == 0 {
            self.event(tx, EventKind::CreditsDepleted, &data).await
        } else if before > threshold && left <= threshold {
            self.event(tx, EventKind::CreditsLow, &data).await
        } else {
            Ok(())
        }
    }

    /// A page of the ledger, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn credit_entries(&self, page: PageRequest) -> Result<Page<CreditEntry>, StoreError> {
        let (rows, total) = (self.of_all(&sql::CREDIT_ENTRIES), self.of_all(&sql::CREDIT_ENTRY_COUNT));
        self.page(limits(rows, page), total, entry).await
    }

    /// What was written after a line, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn credit_entries_after(&self, after: CreditEntryId, limit: u32) -> Result<Vec<CreditEntry>, StoreError> {
        let bound = self.of_all(&sql::CREDIT_ENTRIES_AFTER).count(limit).id(after);
        self.store.rows(bound).await?.iter().map(entry).collect()
    }

    /// `$1` is the workspace: both its environments.
    fn of_all(&self, statement: &Statement) -> Bound {
        statement.bound().id(self.tenant.workspace)
    }

    /// Test credentials never touch what was paid for.
    fn may_change_account(&self) -> Result<(), StoreError> {
        self.may_make(Environment::Live)
    }

    async fn open_credits(&self, tx: &mut Tx) -> Result<Balance, StoreError> {
        tx.execute(self.of_all(&sql::OPEN_CREDIT_ACCOUNT).time(self.store.now())).await?;
        self.lock_credits(tx).await?.ok_or(StoreError::NotFound)
    }

    async fn lock_credits(&self, tx: &mut Tx) -> Result<Option<Balance>, StoreError> {
        let row = tx.row(self.of_all(&sql::LOCK_CREDIT_ACCOUNT).time(self.store.now())).await?;
        row.map(|row| balance(&row)).transpose()
    }

    async fn set_balance(&self, tx: &mut Tx, free: u64, held: u64) -> Result<(), StoreError> {
        tx.change(self.of_all(&sql::SET_CREDIT_BALANCE).count(free).count(held)).await
    }

    async fn take_hold(&self, tx: &mut Tx, hold: CreditHoldId) -> Result<Option<u64>, StoreError> {
        tx.row(self.of_all(&sql::DELETE_CREDIT_HOLD).id(hold)).await?.map(|row| row.count("amount")).transpose()
    }

    async fn is_settled(&self, tx: &mut Tx, hold: CreditHoldId) -> Result<bool, StoreError> {
        // Ids sort by their millisecond, and only within one by chance.
        let since = CreditEntryId(Ulid(hold.0.0 >> 80 << 80));
        Ok(tx.row(self.of_all(&sql::CREDIT_CHARGE_OF_HOLD).id(since).id(hold)).await?.is_some())
    }

    async fn insert_entry(&self, tx: &mut Tx, entry: &CreditEntry) -> Result<(), StoreError> {
        let insert = self.of_all(&sql::INSERT_CREDIT_ENTRY).id(entry.id).text(&entry.kind).count(entry.amount);
        let insert = insert.maybe_id(entry.conversation).maybe_text(entry.note.as_deref());
        tx.execute(insert.time(entry.created_at)).await.map(|_| ())
    }

    /// Asked for under the account's lock: whoever reads on from a line misses none.
    fn next_entry(&self) -> Result<CreditEntryId, StoreError> {
        self.store.next_audit_id().map(|id| CreditEntryId(id.0))
    }
}

impl Store {
    /// Frees what was held until `now` at most, of every workspace; how many holds.
    ///
    /// # Errors
    /// When the database cannot be used; what was freed before stays free.
    pub async fn release_expired_credits(&self, now: Millis) -> Result<u64, StoreError> {
        let mut released = 0;
        loop {
            let rows = self.rows(sql::EXPIRED_CREDIT_HOLDS.bound().time(now).count(BATCH)).await?;
            let before = released;
            for row in &rows {
                let (workspace, hold) = (row.id::<WorkspaceId>("workspace_id")?, row.id("id")?);
                let tenant = Tenant { workspace, environment: Environment::Live };
                released += u64::from(self.workspace(tenant).release_credits(hold).await?);
            }
            // A batch of which nothing could be freed would come again for ever.
            if rows.len() < BATCH as usize || released == before {
                return Ok(released);
            }
        }
    }
}

fn balance(row: &Row) -> Result<Balance, StoreError> {
    Ok(Balance { free: row.count("free")?, held: row.count("held")?, metered_at: row.maybe_time("metered_at")? })
}

fn account(row: &Row) -> Result<CreditAccount, StoreError> {
    let (Balance { free, held, metered_at }, granted) = (balance(row)?, row.count::<u64>("granted")?);
    // The ledger's sum is what is left, so what is missing from the grants was charged.
    Ok(CreditAccount { free, held, granted, charged: granted.saturating_sub(free + held), metered_at })
}

fn entry(row: &Row) -> Result<CreditEntry, StoreError> {
    Ok(CreditEntry {
        id: row.id("id")?,
        kind: row.string("kind")?,
        amount: row.count("amount")?,
        conversation: row.maybe_id("conversation_id")?,
        note: row.maybe_string("note")?,
        created_at: row.time("created_at")?,
    })
}
