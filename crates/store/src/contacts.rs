//! Contacts and their imports: what rows say, and what callers want stored.

use ambient::{ContactId, ImportId, Millis};
use serde_json::{Map, Value};

/// A customer's customer.
#[derive(Clone, Debug)]
pub struct ContactRecord {
    /// Its id.
    pub id: ContactId,
    /// What people call it.
    pub name: Option<String>,
    /// Its address, as it was given.
    pub email: Option<String>,
    /// Its number: digits, perhaps behind a `+`.
    pub phone: Option<String>,
    /// The customer's own name for it; unique in its environment.
    pub external_id: Option<String>,
    /// In order, each once.
    pub tags: Vec<String>,
    /// What else the customer knows.
    pub custom_fields: Map<String, Value>,
    /// When it was made.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
    /// Since when it is out of the way.
    pub archived_at: Option<Millis>,
}

/// A contact to be made; its fields are checked and in their stored form.
#[derive(Clone, Debug, Default)]
pub struct NewContact {
    /// What people call it.
    pub name: Option<String>,
    /// Its address.
    pub email: Option<String>,
    /// Its number.
    pub phone: Option<String>,
    /// The customer's own name for it.
    pub external_id: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// What else the customer knows.
    pub custom_fields: Map<String, Value>,
}

/// What is to be different about a contact; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct ContactChange {
    /// What people call it.
    pub name: Option<Option<String>>,
    /// Its address.
    pub email: Option<Option<String>>,
    /// Its number.
    pub phone: Option<Option<String>>,
    /// The customer's own name for it.
    pub external_id: Option<Option<String>>,
    /// All of its labels.
    pub tags: Option<Vec<String>>,
    /// All of them.
    pub custom_fields: Option<Map<String, Value>>,
    /// Whether it is out of the way.
    pub archived: Option<bool>,
}

/// Which contacts.
#[derive(Clone, Debug, Default)]
pub struct ContactFilter {
    /// A part of name, address, number or external id, whatever its case; blank finds all.
    pub search: Option<String>,
    /// All of these labels: at most [`MAX_TAGS_ASKED`], the rest is not looked at.
    pub tags: Vec<String>,
    /// With this address, whatever its case.
    pub email: Option<String>,
    /// The one with this external id.
    pub external_id: Option<String>,
    /// Those in the way, unless said otherwise.
    pub archived: Archived,
}

/// How many labels a filter may name.
pub const MAX_TAGS_ASKED: usize = 5;

/// Whether what is out of the way is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Archived {
    /// No.
    #[default]
    No,
    /// It alone.
    Only,
    /// It as well.
    Any,
}

impl Archived {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::No => "false",
            Self::Only => "true",
            Self::Any => "any",
        }
    }
}

/// An import of contacts.
#[derive(Clone, Debug)]
pub struct ImportRecord {
    /// Its id.
    pub id: ImportId,
    /// `uploading`, `pending`, `running`, `completed`, `failed` or `cancelled`.
    pub status: String,
    /// How the file is read.
    pub options: Value,
    /// How long the file is.
    pub bytes: u64,
    /// How much of it is done.
    pub position: u64,
    /// How many rows it has, once they are counted.
    pub rows_total: Option<u64>,
    /// How many are done.
    pub rows_done: u64,
    /// How many contacts were made.
    pub created: u64,
    /// How many were changed.
    pub updated: u64,
    /// How many rows were wrong.
    pub failed: u64,
    /// Why it failed as a whole.
    pub error: Option<String>,
    /// Who sent the file.
    pub created_by: String,
    /// When.
    pub created_at: Millis,
    /// When something last happened.
    pub updated_at: Millis,
    /// When it was over.
    pub finished_at: Option<Millis>,
}

impl ImportRecord {
    /// Whether its file is still on its way.
    #[must_use]
    pub fn is_uploading(&self) -> bool {
        self.status == "uploading"
    }
}

/// What was wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportError {
    /// The line of the file on which the row begins, from 1.
    pub line: u64,
    /// Which field; empty for the row as a whole.
    pub field: String,
    /// What.
    pub message: String,
}

/// By what a row finds the contact that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMatch {
    /// The external id, where the row has one.
    ExternalId,
    /// The address, where the row has one.
    Email,
    /// Each row is a new contact.
    None,
}

/// Rows to be stored together with how far they are.
#[derive(Clone, Debug)]
pub struct ImportBatch {
    /// Where they begin, in bytes: what was stored before.
    pub from: u64,
    /// Where they end.
    pub to: u64,
    /// Good rows with their lines, in order.
    pub rows: Vec<(u64, NewContact)>,
    /// What was wrong with the others.
    pub errors: Vec<ImportError>,
    /// How many those are.
    pub failed: u64,
    /// By what contacts are found.
    pub matching: ImportMatch,
    /// Whether those that are found are changed, or left alone.
    pub updates: bool,
    /// How many errors may still be stored.
    pub error_places: u64,
    /// How many contacts may still be made.
    pub contact_places: u64,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportDone {
    /// Contacts made.
    pub created: u64,
    /// Contacts changed.
    pub updated: u64,
    /// Rows that were wrong.
    pub failed: u64,
    /// Errors stored.
    pub errors: u64,
}
