use std::error::Error;

use ambient::RandomError;

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such row for this tenant. Absent and foreign rows are the same.
    #[error("not found")]
    NotFound,
    /// The state of things forbids it; the word says what, such as `email` or `revoked`.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// The database cannot be used now. Never the caller's fault: answered 503.
    #[error("the database cannot be used: {0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// A row that cannot be read; says which column, never its content. Answered 503.
    #[error("a stored row cannot be read: {0}")]
    Corrupt(String),
    /// A newer binary has been here. Going on could destroy what it wrote.
    #[error("the database has schema {found} and this binary knows {known}: run the newer binary, or restore a backup")]
    Newer {
        /// What the database says.
        found: u32,
        /// The newest that this binary knows.
        known: u32,
    },
    /// The address or the database is none that this binary can work with.
    #[error("{0}")]
    Unsupported(String),
}

/// Which rule a unique violation broke, by what both databases put into their message.
const UNIQUE: &[(&str, &str)] = &[
    ("contacts", "external_id"),
    ("email", "email"),
    ("api_key_secrets", "secret"),
    ("client_key", "client_key"),
    ("run_events", "seq"),
    ("run_effects", "effect"),
];

impl StoreError {
    /// What `statement` ran into.
    pub(crate) fn from_statement(statement: &'static str, error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::RowNotFound => Self::NotFound,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::Decode(_) => {
                Self::Corrupt(statement.to_owned())
            }
            sqlx::Error::Database(cause) if cause.is_foreign_key_violation() => Self::NotFound,
            sqlx::Error::Database(cause) if cause.is_unique_violation() => {
                let text = cause.message();
                Self::Conflict(
                    UNIQUE.iter().find(|(part, _)| text.contains(part)).map_or("duplicate", |(_, word)| word),
                )
            }
            _ => Self::unavailable(format!("{statement}: {error}")),
        }
    }

    pub(crate) fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(cause.into())
    }
}

impl From<RandomError> for StoreError {
    fn from(error: RandomError) -> Self {
        Self::unavailable(error)
    }
}
