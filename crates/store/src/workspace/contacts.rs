use std::collections::{BTreeSet, HashMap};

use ambient::{ContactId, Millis};
use serde_json::{Map, Value, json};

use super::{EventKind, Workspace};
use crate::{
    catalogue::{Bound, Statement, contacts as sql},
    contacts::{Archived, ContactChange, ContactFilter, ContactRecord, MAX_TAGS_ASKED, NewContact},
    error::StoreError,
    record::{AuditEntry, Page, PageRequest},
    row::Row,
    tx::Tx,
};

/// What the audit log calls them.
const KIND: &str = "contact";

/// What is searched is cut here: an index has room for so much.
const MAX_SEARCH_BYTES: usize = 2000;

/// More contacts than this with a tag are not looked at one by one for a search: it is faster through them all.
const MANY: u64 = 5000;

/// How many contacts one statement reads.
const AT_ONCE: usize = 10;

impl Workspace {
    /// Makes a contact.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `external_id`.
    pub async fn create_contact(&self, new: NewContact, audit: AuditEntry<'_>) -> Result<ContactRecord, StoreError> {
        let id: ContactId = self.new_id()?;
        if let Some(made) = self.made_before(id, self.contact(id)).await? {
            return Ok(made);
        }
        let contact = record_of(id, new, self.store.now());
        let mut tx = self.store.begin().await?;
        tx.execute(self.insert_contact(&sql::INSERT_CONTACT, &contact)).await?;
        self.insert_tags(&mut tx, id, &contact.tags).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        self.event(&mut tx, EventKind::ContactCreated, &shown(&contact)).await?;
        tx.commit().await?;
        Ok(contact)
    }

    /// A contact.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn contact(&self, id: ContactId) -> Result<ContactRecord, StoreError> {
        let mut contact = self.one(self.own(&sql::CONTACT).id(id), contact_record).await?;
        let rows = self.store.rows(self.own(&sql::TAGS_OF_CONTACT).id(id)).await?;
        contact.tags = rows.iter().map(|row| row.string("tag")).collect::<Result<_, _>>()?;
        Ok(contact)
    }

    /// A page of contacts, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn contacts(&self, filter: &ContactFilter, page: PageRequest) -> Result<Page<ContactRecord>, StoreError> {
        if filter.finds_nothing() {
            return Ok(Page::counted(Vec::new(), 0));
        }
        let plan = self.contact_plan(filter).await?;
        let rows = super::limits(self.planned(plan.page, &plan), page);
        let ids = self.page(rows, self.planned_count(&plan), |row| row.id("id")).await?;
        Ok(ids.with_rows(self.contacts_by_id(&ids.rows).await?))
    }

    /// How many contacts there are.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn contact_count(&self, filter: &ContactFilter) -> Result<u64, StoreError> {
        if filter.finds_nothing() {
            return Ok(0);
        }
        let plan = self.contact_plan(filter).await?;
        self.store.total(self.planned_count(&plan)).await
    }

    /// Changes a contact.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `external_id`, or `nameless` when nothing would be left
    /// that says who it is.
    pub async fn update_contact(
        &self,
        id: ContactId,
        change: ContactChange,
        audit: AuditEntry<'_>,
    ) -> Result<ContactRecord, StoreError> {
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        let row = tx.row(self.own(&sql::LOCK_CONTACT).id(id)).await?;
        let mut contact = contact_record(&row.ok_or(StoreError::NotFound)?)?;
        contact.tags = self.tags_in(&mut tx, id).await?;
        contact.name = change.name.unwrap_or(contact.name);
        contact.email = change.email.unwrap_or(contact.email);
        contact.phone = change.phone.unwrap_or(contact.phone);
        contact.external_id = change.external_id.unwrap_or(contact.external_id);
        contact.custom_fields = change.custom_fields.unwrap_or(contact.custom_fields);
        contact.archived_at = match change.archived {
            None => contact.archived_at,
            Some(false) => None,
            Some(true) => contact.archived_at.or(Some(now)),
        };
        if is_nameless(&contact) {
            return Err(StoreError::Conflict("nameless"));
        }
        contact.updated_at = now;
        tx.change(self.update_statement(&contact)).await?;
        if let Some(tags) = change.tags {
            contact.tags = tags.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
            tx.execute(self.own(&sql::DELETE_CONTACT_TAGS).id(id)).await?;
            self.insert_tags(&mut tx, id, &contact.tags).await?;
        }
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        Ok(contact)
    }

    /// Deletes a contact with all that is known of it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_contact(&self, id: ContactId, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.change(self.own(&sql::DELETE_CONTACT).id(id)).await?;
        self.forget_events(&mut tx, id).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await
    }

    pub(super) fn insert_contact(&self, statement: &Statement, contact: &ContactRecord) -> Bound {
        self.fields(self.own(statement).id(contact.id), contact).time(contact.created_at)
    }

    pub(super) fn update_statement(&self, contact: &ContactRecord) -> Bound {
        let update = self.fields(self.own(&sql::UPDATE_CONTACT).id(contact.id), contact);
        update.time(contact.updated_at).maybe_time(contact.archived_at)
    }

    #[expect(clippy::unused_self, reason = "it goes on with a statement of this tenant's")]
    fn fields(&self, bound: Bound, contact: &ContactRecord) -> Bound {
        let bound = bound.maybe_text(contact.name.as_deref()).maybe_text(contact.email.as_deref());
        let bound = bound.maybe_text(contact.phone.as_deref()).maybe_text(contact.external_id.as_deref());
        bound.text(Value::from(contact.custom_fields.clone()).to_string()).text(search_text(contact))
    }

    pub(super) async fn insert_tags(&self, tx: &mut Tx, id: ContactId, tags: &[String]) -> Result<(), StoreError> {
        for tag in tags {
            tx.execute(self.own(&sql::INSERT_CONTACT_TAG).text(tag).id(id)).await?;
        }
        Ok(())
    }

    pub(super) async fn tags_in(&self, tx: &mut Tx, id: ContactId) -> Result<Vec<String>, StoreError> {
        let rows = tx.rows(self.own(&sql::TAGS_OF_CONTACT).id(id)).await?;
        rows.iter().map(|row| row.string("tag")).collect()
    }

    /// In the order of the ids; without those that have gone meanwhile.
    pub(super) async fn contacts_by_id(&self, ids: &[ContactId]) -> Result<Vec<ContactRecord>, StoreError> {
        let mut contacts = Vec::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            let ten = |statement| {
                let texts = some.iter().map(ToString::to_string).chain(std::iter::repeat(String::new()));
                texts.take(AT_ONCE).fold(self.own(statement), Bound::text)
            };
            let (mut tags, mut found): (HashMap<ContactId, Vec<String>>, HashMap<_, _>) = Default::default();
            for row in self.store.rows(ten(&sql::TAGS_OF_CONTACTS)).await? {
                tags.entry(row.id("contact_id")?).or_default().push(row.string("tag")?);
            }
            for row in self.store.rows(ten(&sql::CONTACTS_BY_ID)).await? {
                let contact = contact_record(&row)?;
                found.insert(contact.id, contact);
            }
            for id in some {
                if let Some(contact) = found.remove(id) {
                    contacts.push(ContactRecord { tags: tags.remove(id).unwrap_or_default(), ..contact });
                }
            }
        }
        Ok(contacts)
    }

    /// How a filter is answered: begun with what finds the fewest.
    pub(super) async fn contact_plan(&self, filter: &ContactFilter) -> Result<ContactPlan, StoreError> {
        let mut filter = filter.clone();
        filter.tags.truncate(MAX_TAGS_ASKED);
        filter.tags.sort();
        filter.tags.dedup();
        let by = if filter.external_id.is_some() {
            By::ExternalId
        } else if filter.email.is_some() {
            By::Email
        } else if filter.tags.is_empty() {
            By::All
        } else if filter.tags.len() > 1 || filter.part().is_some() {
            let mut tags = Vec::with_capacity(filter.tags.len());
            for tag in filter.tags {
                tags.push((self.store.total(self.tag_count(Archived::Any, &tag)).await?, tag));
            }
            tags.sort();
            let fewest = tags.first().map_or(0, |(count, _)| *count);
            filter.tags = tags.into_iter().map(|(_, tag)| tag).collect();
            if fewest > MANY && filter.part().is_some() { By::Search } else { By::Tags }
        } else {
            By::Tags
        };
        let (page, count, after) = match by {
            By::All => (&sql::CONTACTS, &sql::CONTACT_COUNT, &sql::CONTACTS_AFTER),
            By::Search => (&sql::CONTACTS_OF_SEARCH, &sql::CONTACT_COUNT_OF_SEARCH, &sql::CONTACTS_OF_SEARCH_AFTER),
            By::Tags => (&sql::CONTACTS_OF_TAGS, &sql::CONTACT_COUNT_OF_TAGS, &sql::CONTACTS_OF_TAGS_AFTER),
            By::Email => (&sql::CONTACTS_OF_EMAIL, &sql::CONTACT_COUNT_OF_EMAIL, &sql::CONTACTS_OF_EMAIL_AFTER),
            By::ExternalId => {
                (&sql::CONTACTS_OF_EXTERNAL_ID, &sql::CONTACT_COUNT_OF_EXTERNAL_ID, &sql::CONTACTS_OF_EXTERNAL_ID_AFTER)
            }
        };
        Ok(ContactPlan { filter, by, page, count, after })
    }

    fn tag_count(&self, archived: Archived, tag: &str) -> Bound {
        self.own(&sql::CONTACT_COUNT_OF_TAG).text(archived.as_str()).text(tag)
    }

    fn planned_count(&self, plan: &ContactPlan) -> Bound {
        match (plan.by, plan.filter.tags.as_slice()) {
            (By::Tags, [tag]) if plan.filter.part().is_none() => self.tag_count(plan.filter.archived, tag),
            _ => self.planned(plan.count, plan),
        }
    }

    pub(super) fn planned(&self, statement: &Statement, ContactPlan { filter, by, .. }: &ContactPlan) -> Bound {
        let bound = self.own(statement).text(filter.archived.as_str()).text(filter.part().unwrap_or_default());
        if *by == By::All {
            return bound;
        }
        let tags = filter.tags.iter().map(String::as_str).chain(std::iter::repeat("")).take(MAX_TAGS_ASKED);
        let bound = tags.fold(bound, Bound::text);
        if *by == By::Tags {
            return bound;
        }
        bound.text(filter.email.as_deref().unwrap_or_default()).text(filter.external_id.as_deref().unwrap_or_default())
    }
}

impl ContactFilter {
    /// No text that is stored holds NUL, and PostgreSQL does not take one.
    pub(super) fn finds_nothing(&self) -> bool {
        let asked = [&self.search, &self.email, &self.external_id];
        asked.into_iter().flatten().chain(&self.tags).any(|text| text.contains('\0'))
    }

    /// None when every text fits.
    fn part(&self) -> Option<String> {
        self.search.as_deref().map(|search| search.trim().to_lowercase()).filter(|part| !part.is_empty())
    }
}

/// What is looked at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    All,
    Search,
    Tags,
    Email,
    ExternalId,
}

/// A filter whose first tag is the rarest, and the statements that answer it.
#[derive(Clone, Debug)]
pub(super) struct ContactPlan {
    filter: ContactFilter,
    by: By,
    page: &'static Statement,
    count: &'static Statement,
    pub(super) after: &'static Statement,
}

fn search_text(contact: &ContactRecord) -> String {
    let parts = [&contact.name, &contact.email, &contact.phone, &contact.external_id];
    let mut text = parts.into_iter().flatten().map(|part| part.to_lowercase()).collect::<Vec<_>>().join("\n");
    text.truncate(text.floor_char_boundary(MAX_SEARCH_BYTES));
    text
}

pub(super) fn record_of(id: ContactId, new: NewContact, now: Millis) -> ContactRecord {
    ContactRecord {
        id,
        name: new.name,
        email: new.email,
        phone: new.phone,
        external_id: new.external_id,
        tags: new.tags.into_iter().collect::<BTreeSet<_>>().into_iter().collect(),
        custom_fields: new.custom_fields,
        created_at: now,
        updated_at: now,
        archived_at: None,
    }
}

fn is_nameless(contact: &ContactRecord) -> bool {
    [&contact.name, &contact.email, &contact.phone, &contact.external_id].into_iter().all(Option::is_none)
}

/// As the API shows it.
fn shown(contact: &ContactRecord) -> Value {
    json!({
        "id": contact.id,
        "name": contact.name,
        "email": contact.email,
        "phone": contact.phone,
        "external_id": contact.external_id,
        "tags": contact.tags,
        "custom_fields": contact.custom_fields,
        "created_at": contact.created_at,
        "updated_at": contact.updated_at,
        "archived_at": contact.archived_at,
    })
}

pub(super) fn contact_record(row: &Row) -> Result<ContactRecord, StoreError> {
    Ok(ContactRecord {
        id: row.id("id")?,
        name: row.maybe_string("name")?,
        email: row.maybe_string("email")?,
        phone: row.maybe_string("phone")?,
        external_id: row.maybe_string("external_id")?,
        tags: Vec::new(),
        custom_fields: row.json::<Map<String, Value>>("custom_fields")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        archived_at: row.maybe_time("archived_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_is_cut_between_letters() {
        let new = NewContact { name: Some("ü".repeat(1999)), ..NewContact::default() };
        let text = search_text(&record_of(ContactId(ambient::Ulid(1)), new, Millis(0)));
        assert_eq!((text.len(), text.chars().count()), (2000, 1000));
    }
}
