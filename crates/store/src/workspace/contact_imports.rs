use std::collections::BTreeSet;

use access::Tenant;
use ambient::{ContactId, ImportId, Millis};
use serde_json::Value;

use super::{
    Workspace,
    contacts::{contact_record, record_of},
    limits,
};
use crate::{
    catalogue::{contact_imports as sql, contacts},
    contacts::{ContactRecord, ImportBatch, ImportDone, ImportError, ImportMatch, ImportRecord, NewContact},
    error::StoreError,
    record::{AuditEntry, Page, PageRequest},
    row::Row,
    store::Store,
    tx::Tx,
    workspace::tenant,
};

/// What the audit log calls them.
const KIND: &str = "contact_import";

/// Imports of a workspace that are not over yet.
pub const MAX_OPEN_IMPORTS: u64 = 50;
/// Their files together, in bytes; one more may begin while there are fewer.
pub const MAX_OPEN_BYTES: u64 = 256 * 1024 * 1024;
/// Imports that are over, of one environment: the older ones go.
pub const MAX_KEPT_IMPORTS: u64 = 100;
/// Custom fields of a contact.
pub const MAX_CUSTOM_FIELDS: usize = 100;
/// The same as JSON, in bytes.
pub const MAX_CUSTOM_BYTES: usize = 16 * 1024;
/// Labels of a contact.
pub const MAX_TAGS: usize = 50;

/// What a good row came to.
enum Outcome {
    Created,
    Updated,
    Skipped,
    Wrong(&'static str, &'static str),
}

impl Workspace {
    /// Begins to take a file. Where an attempt before this one has begun, its parts go and the file is taken anew;
    /// where it has come to the end, the answer is not uploading any more.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `full` when too many imports, or too much of them, are open.
    pub async fn begin_import(&self, options: &Value, created_by: &str) -> Result<ImportRecord, StoreError> {
        let id: ImportId = self.new_id()?;
        if let Some(made) = self.made_before(id, self.import(id)).await? {
            if made.is_uploading() {
                self.store.execute(self.own(&sql::DELETE_IMPORT_PARTS).id(id)).await?;
            }
            return Ok(made);
        }
        let insert = self.own(&sql::INSERT_IMPORT).id(id).text(options.to_string()).text(created_by);
        let insert = insert.time(self.store.now()).count(MAX_OPEN_IMPORTS).count(MAX_OPEN_BYTES);
        let mut tx = self.store.begin().await?;
        tx.execute(self.own(&sql::DELETE_OLD_IMPORTS).count(MAX_KEPT_IMPORTS)).await?;
        if tx.execute(insert).await? == 0 {
            return Err(StoreError::Conflict("full"));
        }
        tx.commit().await?;
        self.import(id).await
    }

    /// Keeps the next part of a file, which begins at `position`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the import is not uploading any more.
    pub async fn add_import_part(&self, id: ImportId, position: u64, content: Vec<u8>) -> Result<(), StoreError> {
        let bytes = position.saturating_add(u64::try_from(content.len()).unwrap_or(u64::MAX));
        let mut tx = self.store.begin().await?;
        tx.change(self.own(&sql::GROW_IMPORT).id(id).count(bytes).time(self.store.now())).await?;
        tx.execute(self.own(&sql::INSERT_IMPORT_PART).id(id).count(position).blob(content)).await?;
        tx.commit().await
    }

    /// The file is whole: from here on it is worked at.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the import is not uploading any more.
    pub async fn finish_upload(&self, id: ImportId, audit: AuditEntry<'_>) -> Result<ImportRecord, StoreError> {
        let mut tx = self.store.begin().await?;
        tx.change(self.own(&sql::IMPORT_UPLOADED).id(id).time(self.store.now())).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        self.import(id).await
    }

    /// The file will not come: nothing is left of it.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn drop_upload(&self, id: ImportId) -> Result<(), StoreError> {
        self.store.execute(self.own(&sql::DELETE_UPLOAD).id(id)).await.map(|_| ())
    }

    /// An import.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn import(&self, id: ImportId) -> Result<ImportRecord, StoreError> {
        self.one(self.own(&sql::IMPORT).id(id), import_record).await
    }

    /// A page of imports whose files are there, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn imports(&self, page: PageRequest) -> Result<Page<ImportRecord>, StoreError> {
        self.page(limits(self.own(&sql::IMPORTS), page), self.own(&sql::IMPORT_COUNT), import_record).await
    }

    /// A page of what was wrong, in the order of the file.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn import_errors(&self, id: ImportId, page: PageRequest) -> Result<Page<ImportError>, StoreError> {
        let rows = limits(self.own(&sql::IMPORT_ERRORS).id(id), page);
        self.page(rows, self.own(&sql::IMPORT_ERROR_COUNT).id(id), import_error).await
    }

    /// The part of the file in which `position` is, and where it begins.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn import_part(&self, id: ImportId, position: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let row = self.store.row(self.own(&sql::IMPORT_PART).id(id).count(position)).await?;
        row.map(|row| Ok((row.count("position")?, row.maybe_blob("content")?.unwrap_or_default()))).transpose()
    }

    /// The rows are counted, and begin at `position`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is over.
    pub async fn start_import(&self, id: ImportId, rows: u64, position: u64) -> Result<(), StoreError> {
        let start = self.own(&sql::START_IMPORT).id(id).count(rows).count(position).time(self.store.now());
        let mut tx = self.store.begin().await?;
        tx.change(start).await?;
        tx.commit().await
    }

    /// Stores rows, what was wrong, and how far that is: all or nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is over, or when the batch does not begin where the last one ended.
    pub async fn import_batch(&self, id: ImportId, batch: ImportBatch) -> Result<ImportDone, StoreError> {
        let now = self.store.now();
        let mut done = ImportDone { failed: batch.failed, ..ImportDone::default() };
        let mut errors = batch.errors;
        let count = batch.failed.saturating_add(u64::try_from(batch.rows.len()).unwrap_or(u64::MAX));
        let mut tx = self.store.begin().await?;
        tx.change(self.own(&sql::LOCK_IMPORT).id(id).count(batch.from).time(now)).await?;
        for (line, row) in batch.rows {
            let may_create = done.created < batch.contact_places;
            let outcome = match self.import_row(&mut tx, row, batch.matching, (batch.updates, may_create), now).await? {
                Outcome::Created => &mut done.created,
                Outcome::Updated => &mut done.updated,
                Outcome::Skipped => continue,
                Outcome::Wrong(field, message) => {
                    errors.push(ImportError { line, field: field.to_owned(), message: message.to_owned() });
                    &mut done.failed
                }
            };
            *outcome += 1;
        }
        errors.sort_by_key(|error| error.line);
        errors.truncate(usize::try_from(batch.error_places).unwrap_or(usize::MAX));
        for error in &errors {
            let insert = self.own(&sql::INSERT_IMPORT_ERROR).id(id).count(error.line).text(&error.field);
            done.errors += tx.execute(insert.text(&error.message)).await?;
        }
        let advance = self.own(&sql::ADVANCE_IMPORT).id(id).count(batch.to).count(count);
        tx.change(advance.count(done.created).count(done.updated).count(done.failed)).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn import_row(
        &self,
        tx: &mut Tx,
        row: NewContact,
        matching: ImportMatch,
        (updates, may_create): (bool, bool),
        now: Millis,
    ) -> Result<Outcome, StoreError> {
        let mut found = match (matching, &row.external_id, &row.email) {
            (ImportMatch::ExternalId, Some(external_id), _) => {
                tx.rows(self.own(&contacts::LOCK_CONTACT_BY_EXTERNAL_ID).text(external_id)).await?
            }
            (ImportMatch::Email, _, Some(email)) => {
                tx.rows(self.own(&contacts::LOCK_CONTACTS_BY_EMAIL).text(email)).await?
            }
            _ => Vec::new(),
        };
        if found.len() > 1 {
            return Ok(Outcome::Wrong("email", "is that of more than one contact"));
        }
        if let Some(found) = found.pop() {
            if !updates {
                return Ok(Outcome::Skipped);
            }
            return self.merge_row(tx, contact_record(&found)?, row, now).await;
        }
        if !may_create {
            return Ok(Outcome::Wrong("", "would be one contact more than there may be"));
        }
        let contact = record_of(ContactId::mint(self.store.clock(), self.store.random())?, row, now);
        if tx.execute(self.insert_contact(&contacts::INSERT_IMPORTED_CONTACT, &contact)).await? == 0 {
            return Ok(Outcome::Wrong("external_id", "is another contact's"));
        }
        self.insert_tags(tx, contact.id, &contact.tags).await?;
        Ok(Outcome::Created)
    }

    /// What the row says takes the place of what was there; what it does not say stays.
    async fn merge_row(
        &self,
        tx: &mut Tx,
        mut contact: ContactRecord,
        row: NewContact,
        now: Millis,
    ) -> Result<Outcome, StoreError> {
        if row.external_id.is_some() && row.external_id != contact.external_id {
            let other = self.own(&contacts::CONTACT_OF_EXTERNAL_ID).maybe_text(row.external_id.as_deref());
            if tx.row(other).await?.is_some() {
                return Ok(Outcome::Wrong("external_id", "is another contact's"));
            }
        }
        contact.name = row.name.or(contact.name);
        contact.email = row.email.or(contact.email);
        contact.phone = row.phone.or(contact.phone);
        contact.external_id = row.external_id.or(contact.external_id);
        contact.custom_fields.extend(row.custom_fields);
        if contact.custom_fields.len() > MAX_CUSTOM_FIELDS {
            return Ok(Outcome::Wrong("custom_fields", "would be more than 100 with those that are there"));
        }
        if serde_json::to_string(&contact.custom_fields).map_or(usize::MAX, |text| text.len()) > MAX_CUSTOM_BYTES {
            return Ok(Outcome::Wrong("custom_fields", "would be over 16 KiB with those that are there"));
        }
        let tags: BTreeSet<String> =
            self.tags_in(tx, contact.id).await?.into_iter().chain(row.tags.iter().cloned()).collect();
        if tags.len() > MAX_TAGS {
            return Ok(Outcome::Wrong("tags", "would be more than 50 with those that are there"));
        }
        contact.updated_at = now;
        tx.change(self.update_statement(&contact)).await?;
        self.insert_tags(tx, contact.id, &row.tags).await?;
        Ok(Outcome::Updated)
    }

    /// Ends an import as `completed` or `failed`, with a sentence why. Its file goes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is over.
    pub async fn end_import(&self, id: ImportId, error: Option<&str>) -> Result<(), StoreError> {
        let status = if error.is_some() { "failed" } else { "completed" };
        let mut tx = self.store.begin().await?;
        tx.change(self.own(&sql::END_IMPORT).id(id).text(status).maybe_text(error).time(self.store.now())).await?;
        tx.execute(self.own(&sql::DELETE_IMPORT_PARTS).id(id)).await?;
        tx.commit().await
    }

    /// Ends an import where it is: what is done stays, the rest of the file goes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `over`.
    pub async fn cancel_import(&self, id: ImportId, audit: AuditEntry<'_>) -> Result<ImportRecord, StoreError> {
        let end = self.own(&sql::END_IMPORT).id(id).text("cancelled").maybe_text(None).time(self.store.now());
        let mut tx = self.store.begin().await?;
        if tx.execute(end).await? == 0 {
            drop(tx);
            let import = self.import(id).await?;
            return Err(if import.is_uploading() { StoreError::NotFound } else { StoreError::Conflict("over") });
        }
        tx.execute(self.own(&sql::DELETE_IMPORT_PARTS).id(id)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        self.import(id).await
    }
}

impl Store {
    /// Imports that wait to be worked at, or are: the oldest of each workspace, at most so many.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn open_imports(&self, limit: u32) -> Result<Vec<(Tenant, ImportId)>, StoreError> {
        let rows = self.rows(sql::OPEN_IMPORTS.bound().count(limit)).await?;
        rows.iter().map(|row| Ok((tenant(row)?, row.id("id")?))).collect()
    }

    /// Forgets files of which nothing has come since `before`.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn forget_stale_uploads(&self, before: Millis) -> Result<(), StoreError> {
        self.execute(sql::DELETE_STALE_UPLOADS.bound().time(before)).await.map(|_| ())
    }
}

fn import_record(row: &Row) -> Result<ImportRecord, StoreError> {
    Ok(ImportRecord {
        id: row.id("id")?,
        status: row.string("status")?,
        options: row.json("options")?,
        bytes: row.count("bytes")?,
        position: row.count("position")?,
        rows_total: row.maybe_count("rows_total")?,
        rows_done: row.count("rows_done")?,
        created: row.count("created")?,
        updated: row.count("updated")?,
        failed: row.count("failed")?,
        error: row.maybe_string("error")?,
        created_by: row.string("created_by")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        finished_at: row.maybe_time("finished_at")?,
    })
}

fn import_error(row: &Row) -> Result<ImportError, StoreError> {
    Ok(ImportError { line: row.count("line")?, field: row.string("field")?, message: row.string("message")? })
}
