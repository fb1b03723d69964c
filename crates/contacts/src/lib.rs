//! What a contact may look like, and the import of many from a file of comma-separated values.
//!
//! An import is a job: [`Imports`] finds it in the database, goes through its file part by part, and stores a few
//! hundred rows at a time together with how far that is. What is never here: a request, an answer, SQL.

mod columns;
mod fields;
mod job;
mod jobs;
mod options;
mod rows;
mod splitter;

pub use fields::{
    EMAIL_PATTERN, LINE_PATTERN, MAX_CUSTOM_NAME, MAX_EMAIL, MAX_EXTERNAL_ID, MAX_NAME, MAX_PHONE, MAX_TAG,
    PHONE_PATTERN, check_custom, email, external_id, name, phone, tag,
};
pub use jobs::{Imports, ImportsParts};
pub use options::{Delimiter, ImportOptions, MatchBy, OnMatch, TARGET_PATTERN, Target};
