use std::str::FromStr;

use ambient::Millis;
use credential::secret::Digest;
use data_encoding::BASE64URL_NOPAD;
use serde::de::DeserializeOwned;
use sqlx::{Any, Decode, Row as _, Type, any::AnyRow};

use crate::error::StoreError;

/// A row that is read by column name. What does not fit is [`StoreError::Corrupt`], which names the
/// statement and the column and never the content.
pub(crate) struct Row {
    statement: &'static str,
    row: AnyRow,
}

impl Row {
    pub(crate) const fn new(statement: &'static str, row: AnyRow) -> Self {
        Self { statement, row }
    }

    fn corrupt(&self, column: &str) -> StoreError {
        StoreError::Corrupt(format!("{}: {column}", self.statement))
    }

    fn get<'r, T: Decode<'r, Any> + Type<Any>>(&'r self, column: &str) -> Result<T, StoreError> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    pub(crate) fn text(&self, column: &str) -> Result<&str, StoreError> {
        self.get(column)
    }

    pub(crate) fn maybe_text(&self, column: &str) -> Result<Option<&str>, StoreError> {
        self.get(column)
    }

    pub(crate) fn string(&self, column: &str) -> Result<String, StoreError> {
        self.text(column).map(str::to_owned)
    }

    pub(crate) fn maybe_string(&self, column: &str) -> Result<Option<String>, StoreError> {
        Ok(self.maybe_text(column)?.map(str::to_owned))
    }

    /// An identifier, or anything else that is read from its text.
    pub(crate) fn id<T: FromStr>(&self, column: &str) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|_| self.corrupt(column))
    }

    pub(crate) fn maybe_id<T: FromStr>(&self, column: &str) -> Result<Option<T>, StoreError> {
        self.maybe_text(column)?.map(str::parse).transpose().map_err(|_| self.corrupt(column))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(self.text(column)?).map_err(|_| self.corrupt(column))
    }

    pub(crate) fn maybe_json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, StoreError> {
        self.maybe_text(column)?.map(serde_json::from_str).transpose().map_err(|_| self.corrupt(column))
    }

    pub(crate) fn time(&self, column: &str) -> Result<Millis, StoreError> {
        self.get(column).map(Millis)
    }

    pub(crate) fn maybe_time(&self, column: &str) -> Result<Option<Millis>, StoreError> {
        Ok(self.get::<Option<i64>>(column)?.map(Millis))
    }

    pub(crate) fn count<T: TryFrom<i64>>(&self, column: &str) -> Result<T, StoreError> {
        T::try_from(self.get(column)?).map_err(|_| self.corrupt(column))
    }

    pub(crate) fn maybe_count<T: TryFrom<i64>>(&self, column: &str) -> Result<Option<T>, StoreError> {
        self.get::<Option<i64>>(column)?.map(T::try_from).transpose().map_err(|_| self.corrupt(column))
    }

    pub(crate) fn maybe_blob(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(column)
    }

    pub(crate) fn digest(&self, column: &str) -> Result<Digest, StoreError> {
        digest(self.text(column)?).ok_or_else(|| self.corrupt(column))
    }

    /// A value that is stored under a fixed word.
    pub(crate) fn word<T: Copy>(&self, column: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
        read(self.text(column)?).ok_or_else(|| self.corrupt(column))
    }
}

/// A digest from its stored text.
pub(crate) fn digest(text: &str) -> Option<Digest> {
    let mut bytes = [0; 32];
    let fits = BASE64URL_NOPAD.decode_len(text.len()) == Ok(bytes.len());
    (fits && BASE64URL_NOPAD.decode_mut(text.as_bytes(), &mut bytes).is_ok()).then_some(Digest(bytes))
}
