use ambient::{ContactId, Millis};

use super::{Workspace, contacts::ContactPlan};
use crate::{
    contacts::{ContactFilter, ContactRecord},
    error::StoreError,
};

/// Contacts that are read at a time; each has 30 kB at most.
const AT_A_TIME: u32 = 100;

/// The contacts that a filter finds, the oldest first: what is made after it began is not in it, and what is changed
/// or deleted meanwhile is as it is when its turn comes.
#[derive(Debug)]
pub struct ContactExport {
    data: Workspace,
    /// None when there is nothing more.
    plan: Option<ContactPlan>,
    after: String,
    as_of: Millis,
}

impl Workspace {
    /// Begins an export.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn export_contacts(&self, filter: &ContactFilter) -> Result<ContactExport, StoreError> {
        let plan = if filter.finds_nothing() { None } else { Some(self.contact_plan(filter).await?) };
        Ok(ContactExport { data: self.clone(), plan, after: String::new(), as_of: self.store.now() })
    }
}

impl ContactExport {
    /// What comes next; nothing at the end.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn next(&mut self) -> Result<Vec<ContactRecord>, StoreError> {
        while let Some(plan) = &self.plan {
            let next = self.data.planned(plan.after, plan).text(&self.after).count(AT_A_TIME);
            let rows = self.data.store.rows(next).await?;
            let ids = rows.iter().map(|row| row.id("id")).collect::<Result<Vec<ContactId>, _>>()?;
            match ids.last() {
                // An id begins with its time: nothing older comes behind it.
                Some(last) if i64::try_from(last.0.0 >> 80).is_ok_and(|at| at <= self.as_of.0) => {
                    self.after = last.to_string();
                }
                _ => self.plan = None,
            }
            let mut contacts = self.data.contacts_by_id(&ids).await?;
            contacts.retain(|contact| contact.created_at <= self.as_of);
            if !contacts.is_empty() {
                return Ok(contacts);
            }
        }
        Ok(Vec::new())
    }
}
