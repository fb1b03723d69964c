//! Imports: a file is taken in parts, and worked at when it is whole.

use std::{collections::BTreeMap, time::Duration};

use ::contacts::{Delimiter, ImportOptions, LINE_PATTERN, MatchBy, OnMatch, TARGET_PATTERN, Target};
use ambient::{ImportId, Millis};
use gate::{Call, Data, List, Nothing, Operation, PageQuery, Problem, Routes, Upload, UploadRule};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use store::{ImportError, ImportRecord, PageRequest, StoreError, Workspace};
use tokio::time::timeout;

use super::{READ, WRITE};
use crate::{App, streamed::Leave};

/// The largest file, in bytes.
const MAX_FILE: usize = 64 * 1024 * 1024;
/// How much of it is stored at once.
const PART: usize = 256 * 1024;
/// How long a file may take to arrive.
const DEADLINE: Duration = Duration::from_secs(10 * 60);
/// The errors that an import shows by itself.
const FIRST_ERRORS: u32 = 100;
/// The most columns that a mapping names.
const MAX_MAPPED: usize = 200;
/// The longest name of one.
const MAX_COLUMN: usize = 200;

pub(crate) const IMPORT_CONTACTS: Operation<ImportQuery, Data<Import>> = Operation::post(
    "/v1/contacts/import",
    "import_contacts",
    "Import contacts from a file of comma-separated values in UTF-8, at most 64 MiB, whose first row names the columns.",
    WRITE,
)
.accepts()
.uploads(UploadRule { media_types: &["text/csv", "application/octet-stream"], limit: MAX_FILE, deadline: DEADLINE });
pub(crate) const LIST_IMPORTS: Operation<PageQuery, List<Import>> =
    Operation::get("/v1/contacts/imports", "list_contact_imports", "List imports, the newest first.", READ);
pub(crate) const GET_IMPORT: Operation<Nothing, Data<Import>> = Operation::get(
    "/v1/contacts/imports/{id}",
    "get_contact_import",
    "Read how far an import is, and the first 100 of what is wrong in its file.",
    READ,
);
pub(crate) const LIST_IMPORT_ERRORS: Operation<PageQuery, List<RowError>> = Operation::get(
    "/v1/contacts/imports/{id}/errors",
    "list_contact_import_errors",
    "List what is wrong in the file of an import, in the file's order; the first 10,000 are kept.",
    READ,
);
pub(crate) const CANCEL_IMPORT: Operation<Nothing, Data<Import>> = Operation::post(
    "/v1/contacts/imports/{id}/cancel",
    "cancel_contact_import",
    "Stop an import where it is: what is done stays.",
    WRITE,
);

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(IMPORT_CONTACTS, import_contacts);
    routes.mount(LIST_IMPORTS, list_contact_imports);
    routes.mount(GET_IMPORT, get_contact_import);
    routes.mount(LIST_IMPORT_ERRORS, list_contact_import_errors);
    routes.mount(CANCEL_IMPORT, cancel_contact_import);
}

/// How a file is read.
#[derive(Clone, Debug, Default, JsonSchema)]
pub(crate) struct ImportQuery {
    /// Which field a column is, where its name does not say it: `{"Kunde":"name","Ort":"custom:city","x":"ignore"}`.
    /// A column that is neither mapped nor named as a field is a custom field.
    #[schemars(schema_with = "mapping")]
    mapping: Option<String>,
    /// By what a row finds the contact that it is about; `external_id` by default.
    r#match: Option<MatchBy>,
    /// Whether a contact that is found is changed; `update` by default.
    on_match: Option<OnMatch>,
    /// A label for every contact; repeat it for more, or put commas between several.
    #[schemars(length(max = 10), inner(length(min = 1, max = 50), regex(pattern = LINE_PATTERN)))]
    tags: Vec<String>,
    /// What is between two fields; found out by default.
    delimiter: Option<Delimiter>,
}

fn mapping(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {
            "type": "object",
            "maxProperties": MAX_MAPPED,
            "propertyNames": {"minLength": 1, "maxLength": MAX_COLUMN},
            "additionalProperties": {"type": "string", "pattern": TARGET_PATTERN},
        },
    })
}

// By hand, because a label may be there several times, and serde reads a name once.
impl<'de> Deserialize<'de> for ImportQuery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn word<T: de::DeserializeOwned, E: de::Error>(
            name: &str,
            slot: &mut Option<T>,
            value: String,
        ) -> Result<(), E> {
            let read = serde_json::from_value(value.into()).map_err(|error| E::custom(format!("`{name}`: {error}")))?;
            if slot.replace(read).is_some() { Err(E::custom(format!("`{name}` is there twice"))) } else { Ok(()) }
        }
        let mut query = Self::default();
        for (name, value) in Vec::<(String, String)>::deserialize(deserializer)? {
            match name.as_str() {
                "mapping" => word(&name, &mut query.mapping, value)?,
                "match" => word(&name, &mut query.r#match, value)?,
                "on_match" => word(&name, &mut query.on_match, value)?,
                "delimiter" => word(&name, &mut query.delimiter, value)?,
                "tags" => query.tags.push(value),
                _ => {}
            }
        }
        Ok(query)
    }
}

impl ImportQuery {
    fn options(self) -> Result<ImportOptions, Problem> {
        let wrong = |name: &str, what: &str| Problem::invalid_request(format!("The query parameter `{name}` {what}"));
        let mapping: BTreeMap<String, String> = match &self.mapping {
            None => BTreeMap::new(),
            Some(text) => serde_json::from_str(text)
                .map_err(|_| wrong("mapping", "is a JSON object: from names of columns to fields of a contact"))?,
        };
        let is_name = |column: &String| (1..=MAX_COLUMN).contains(&column.chars().count());
        if mapping.len() > MAX_MAPPED || !mapping.keys().all(is_name) {
            return Err(wrong("mapping", "names at most 200 columns, by 1 to 200 characters"));
        }
        if let Some(unknown) = mapping.values().find(|target| target.parse::<Target>().is_err()) {
            return Err(wrong("mapping", &format!("names no field of a contact: {unknown}")));
        }
        let parts = self.tags.iter().flat_map(|tags| tags.split(',')).filter(|tag| !tag.trim().is_empty());
        let tags = parts.map(::contacts::tag).collect::<Result<Vec<_>, _>>().map_err(|what| wrong("tags", &what))?;
        if self.tags.len() > 10 || tags.len() > store::MAX_TAGS {
            return Err(wrong("tags", "is there 10 times at most, with 50 labels"));
        }
        Ok(ImportOptions {
            mapping,
            match_by: self.r#match.unwrap_or_default(),
            on_match: self.on_match.unwrap_or_default(),
            tags,
            delimiter: self.delimiter,
        })
    }
}

/// An import of contacts.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Import {
    /// Its id.
    id: ImportId,
    /// `pending`, `running`, `completed`, `failed` or `cancelled`.
    status: String,
    /// How much is done, from 0 to 1.
    progress: f64,
    /// How long the file is, in bytes.
    bytes: u64,
    /// How many rows it has behind the first, once they are counted.
    rows_total: Option<u64>,
    /// How many are done.
    rows_done: u64,
    /// How many contacts were made.
    created: u64,
    /// How many contacts were changed.
    updated: u64,
    /// How many rows found a contact that is left alone.
    skipped: u64,
    /// How many rows were wrong.
    failed: u64,
    /// Why it failed as a whole.
    error: Option<String>,
    /// The first 100 of what was wrong; not in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<RowError>>,
    /// Who sent the file.
    created_by: String,
    /// When.
    created_at: Millis,
    /// When something last happened.
    updated_at: Millis,
    /// When it was over.
    finished_at: Option<Millis>,
}

impl From<ImportRecord> for Import {
    fn from(record: ImportRecord) -> Self {
        let progress = match record.status.as_str() {
            "completed" => 1.0,
            _ => ratio(record.position, record.bytes),
        };
        Self {
            id: record.id,
            status: record.status,
            progress,
            bytes: record.bytes,
            rows_total: record.rows_total,
            rows_done: record.rows_done,
            created: record.created,
            updated: record.updated,
            skipped: record.rows_done.saturating_sub(record.created + record.updated + record.failed),
            failed: record.failed,
            error: record.error,
            errors: None,
            created_by: record.created_by,
            created_at: record.created_at,
            updated_at: record.updated_at,
            finished_at: record.finished_at,
        }
    }
}

/// In thousandths.
fn ratio(part: u64, whole: u64) -> f64 {
    let thousandths = part.saturating_mul(1000).checked_div(whole).unwrap_or(0).min(1000);
    u16::try_from(thousandths).map_or(0.0, f64::from) / 1000.0
}

/// What is wrong with a row.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct RowError {
    /// The line of the file on which the row begins, from 1: that of the names of columns is the first.
    line: u64,
    /// The field of a contact; empty for the row as a whole.
    field: String,
    /// What.
    message: String,
}

impl From<ImportError> for RowError {
    fn from(error: ImportError) -> Self {
        Self { line: error.line, field: error.field, message: error.message }
    }
}

async fn import_contacts(app: App, call: Call<ImportQuery>) -> Result<Data<Import>, Problem> {
    let (data, actor) = (app.workspace(&call)?, call.actor());
    let upload = call.request.upload.clone().ok_or_else(|| Problem::unavailable("an upload without a file"))?;
    let options = call.input.clone().options()?;
    let audit = call.audit(&actor, serde_json::to_value(&options).ok());
    let options = serde_json::to_value(&options).map_err(Problem::unavailable)?;
    let _place = app.uploads().take(data.tenant().workspace).await?;
    // A file may take its time, and meanwhile the key may be revoked, or the person removed.
    let leave = Leave::take(&app, &call)?;
    let begun = data.begin_import(&options, &actor.id).await.map_err(|error| match error {
        StoreError::Conflict("full") => Problem::conflict("The workspace has as many open imports as it may"),
        other => other.into(),
    })?;
    // An attempt before this one has come to its end.
    if !begun.is_uploading() {
        return Ok(Data::new(begun.into()));
    }
    let taken = tokio::select! {
        biased;
        problem = leave.ended() => Err(problem),
        taken = timeout(DEADLINE, take(&data, begun.id, &upload)) => {
            taken.unwrap_or_else(|_| Err(Problem::request_timeout()))
        }
    };
    let allowed = match taken {
        Ok(()) => leave.check().await,
        Err(problem) => Err(problem),
    };
    let finished = match allowed {
        Ok(()) => data.finish_upload(begun.id, audit).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    match finished {
        Ok(import) => {
            app.imports().wake();
            Ok(Data::new(import.into()))
        }
        Err(problem) => {
            data.drop_upload(begun.id).await?;
            Err(problem)
        }
    }
}

async fn take(data: &Workspace, id: ImportId, upload: &Upload) -> Result<(), Problem> {
    let (mut part, mut position) = (Vec::with_capacity(PART), 0);
    loop {
        let bytes = upload.next().await?;
        let is_end = bytes.is_none();
        part.extend_from_slice(&bytes.unwrap_or_default());
        if part.len() >= PART || is_end && !part.is_empty() {
            let length = part.len() as u64;
            data.add_import_part(id, position, std::mem::replace(&mut part, Vec::with_capacity(PART))).await?;
            position += length;
        }
        if is_end {
            return Ok(());
        }
    }
}

async fn list_contact_imports(app: App, call: Call<PageQuery>) -> Result<List<Import>, Problem> {
    let request = call.input.request()?;
    Ok(List::of(app.workspace(&call)?.imports(request).await?, request, Import::from))
}

/// A file that is still on its way is nobody's yet.
async fn find(data: &Workspace, id: ImportId) -> Result<ImportRecord, Problem> {
    let import = data.import(id).await?;
    if import.is_uploading() { Err(Problem::not_found()) } else { Ok(import) }
}

async fn get_contact_import(app: App, call: Call<Nothing>) -> Result<Data<Import>, Problem> {
    let (data, id) = (app.workspace(&call)?, call.id("id")?);
    let import = find(&data, id).await?;
    let errors = data.import_errors(id, PageRequest { page: 1, per_page: FIRST_ERRORS }).await?;
    let errors = Some(errors.rows.into_iter().map(RowError::from).collect());
    Ok(Data::new(Import { errors, ..import.into() }))
}

async fn list_contact_import_errors(app: App, call: Call<PageQuery>) -> Result<List<RowError>, Problem> {
    let (request, data, id) = (call.input.request()?, app.workspace(&call)?, call.id("id")?);
    find(&data, id).await?;
    Ok(List::of(data.import_errors(id, request).await?, request, RowError::from))
}

async fn cancel_contact_import(app: App, call: Call<Nothing>) -> Result<Data<Import>, Problem> {
    let (data, actor) = (app.workspace(&call)?, call.actor());
    let cancelled = data.cancel_import(call.id("id")?, call.audit(&actor, None)).await;
    let import = cancelled.map_err(|error| match error {
        StoreError::Conflict("over") => Problem::conflict("The import is over"),
        other => other.into(),
    })?;
    Ok(Data::new(import.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(query: &[(&str, &str)]) -> Result<ImportOptions, Problem> {
        let query = ImportQuery::deserialize(serde_json::json!(query));
        let query = query.map_err(|error| Problem::invalid_request(error.to_string()))?;
        query.options()
    }

    #[test]
    fn a_query_says_how_a_file_is_read() {
        let mapping = r#"{"Kunde":"name","Ort":"custom:city"}"#;
        let read = options(&[
            ("mapping", mapping),
            ("match", "email"),
            ("on_match", "skip"),
            ("tags", "a, b,"),
            ("tags", "c"),
            ("delimiter", "tab"),
        ]);
        let read = read.unwrap();
        assert_eq!(
            (read.match_by, read.on_match, read.delimiter),
            (MatchBy::Email, OnMatch::Skip, Some(Delimiter::Tab))
        );
        assert_eq!((read.tags.join("|"), read.mapping["Ort"].as_str()), ("a|b|c".to_owned(), "custom:city"));
        assert_eq!(options(&[]).unwrap(), ImportOptions::default());
        for wrong in [
            ("mapping", "x"),
            ("mapping", "[]"),
            ("mapping", r#"{"a":"id"}"#),
            ("mapping", r#"{"a":"custom:"}"#),
            ("mapping", r#"{"":"name"}"#),
            ("match", "name"),
            ("on_match", ""),
            ("delimiter", ","),
            ("tags", "a\u{0}b"),
        ] {
            assert_eq!(options(&[wrong]).unwrap_err().status(), 400, "{wrong:?}");
        }
        assert!(options(&[("match", "none"), ("match", "none")]).is_err());
    }

    #[test]
    fn progress_goes_from_0_to_1() {
        assert_eq!([ratio(0, 0), ratio(0, 9), ratio(1, 2), ratio(9, 9), ratio(10, 9)], [0.0, 0.0, 0.5, 1.0, 1.0]);
    }
}
