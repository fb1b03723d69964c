//! Contacts as a file, written while it is sent.

use access::Access;
use bytes::Bytes;
use gate::{Call, Download, Operation, Problem, Routes};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::json;
use store::ContactExport;

use super::{READ, query::FilterQuery, view::Contact};
use crate::{
    App,
    results::{csv, day, flag},
    streamed::{FilePlace, Parts, write_json_line},
};

/// All that is known of people leaves at once: it is recorded.
const EXPORT: Access = READ.audited();

pub(crate) const EXPORT_CONTACTS: Operation<ContactExportQuery, Download> = Operation::get(
    "/v1/contacts/export",
    "export_contacts",
    "Export the contacts that a filter finds, the oldest first: NDJSON or CSV.",
    EXPORT,
)
.dangerous();

pub(super) fn mount(routes: &mut Routes<App>) {
    routes.mount(EXPORT_CONTACTS, export_contacts);
}

/// The columns of comma-separated values.
const COLUMNS: [&str; 10] =
    ["id", "name", "email", "phone", "external_id", "tags", "custom_fields", "created_at", "updated_at", "archived_at"];

/// How contacts are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ContactFormat {
    /// A JSON object on each line; the last of them is `{"type":"end"}`.
    #[default]
    Ndjson,
    /// Comma-separated values (RFC 4180) with a first line of names; custom fields are a JSON object.
    Csv,
}

/// Which contacts are exported, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContactExportQuery {
    filter: FilterQuery,
    format: Option<ContactFormat>,
    bom: Option<u8>,
}

/// What it is in a document.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the document alone knows it")]
struct Both {
    /// `ndjson` by default.
    format: Option<ContactFormat>,
    /// Of CSV: `1` begins with the signature of UTF-8, which some spreadsheets need.
    #[schemars(range(max = 1))]
    bom: Option<u8>,
    #[schemars(flatten)]
    filter: FilterQuery,
}

impl JsonSchema for ContactExportQuery {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ContactExportQuery".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Both::json_schema(generator)
    }
}

impl<'de> Deserialize<'de> for ContactExportQuery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = |text: &str| <D::Error as de::Error>::custom(text);
        let mut query = Self::default();
        for (name, value) in Vec::<(String, String)>::deserialize(deserializer)? {
            match name.as_str() {
                "format" if query.format.is_some() => return Err(wrong("`format` is there twice")),
                "format" => {
                    query.format = Some(match value.as_str() {
                        "ndjson" => ContactFormat::Ndjson,
                        "csv" => ContactFormat::Csv,
                        _ => return Err(wrong("`format` is `ndjson` or `csv`")),
                    });
                }
                "bom" if query.bom.is_some() => return Err(wrong("`bom` is there twice")),
                "bom" => query.bom = Some(value.parse().map_err(|_| wrong("`bom` is 0 or 1"))?),
                _ => {
                    query.filter.read::<D::Error>(&name, value)?;
                }
            }
        }
        Ok(query)
    }
}

/// A line of NDJSON.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Contact(Box<Contact>),
    /// All that there was came before it.
    End {
        contacts: u64,
    },
    /// There would have been more.
    Error {
        code: &'a str,
    },
}

/// A file of contacts.
struct Writing {
    source: ContactExport,
    format: ContactFormat,
    /// What comes first, once.
    head: String,
    contacts: u64,
    is_over: bool,
}

impl Parts for Writing {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        if !self.head.is_empty() {
            return Ok(Some(std::mem::take(&mut self.head).into()));
        }
        if self.is_over {
            return Ok(None);
        }
        let (contacts, mut out) = (self.source.next().await?, Vec::new());
        self.is_over = contacts.is_empty();
        match self.format {
            ContactFormat::Ndjson if self.is_over => write_json_line(&mut out, &Line::End { contacts: self.contacts }),
            ContactFormat::Csv if self.is_over => return Ok(None),
            ContactFormat::Ndjson | ContactFormat::Csv => {}
        }
        for contact in contacts {
            self.contacts += 1;
            match self.format {
                ContactFormat::Ndjson => write_json_line(&mut out, &Line::Contact(Box::new(contact.into()))),
                ContactFormat::Csv => out.extend(cells(contact.into()).into_bytes()),
            }
        }
        Ok(Some(out.into()))
    }

    fn error(&self, code: &str) -> Option<Bytes> {
        let mut out = Vec::new();
        write_json_line(&mut out, &Line::Error { code });
        (self.format == ContactFormat::Ndjson).then(|| out.into())
    }
}

fn header(bom: bool) -> String {
    let mut line = String::from(if bom { csv::BOM } else { "" });
    csv::write_line(&mut line, COLUMNS.iter().map(|name| csv::text(name)));
    line
}

fn cells(contact: Contact) -> String {
    let mut line = String::new();
    let cells = contact.cells();
    csv::write_line(&mut line, cells.iter().map(|cell| csv::text(cell)));
    line
}

async fn export_contacts(app: App, call: Call<ContactExportQuery>) -> Result<Download, Problem> {
    let (filter, bom) = (call.input.filter.filter()?, flag("bom", call.input.bom)?);
    let format = call.input.format.unwrap_or_default();
    let place = FilePlace::take(&app, &call).await?;
    let data = app.workspace(&call)?;
    let source = data.export_contacts(&filter).await?;
    let workspace = call.tenant()?.workspace;
    // What was asked for may be somebody's name or address: the log knows by what it was asked alone.
    let detail = json!({"format": format, "filters": call.input.filter.names()});
    let actor = call.actor();
    // Recorded before the first byte: what is cut later has left in part.
    data.write_audit(call.audit(&actor, Some(detail)), "workspace", &workspace.to_string()).await?;
    let (head, content_type, ending) = match format {
        ContactFormat::Ndjson => (String::new(), "application/x-ndjson; charset=utf-8", "ndjson"),
        ContactFormat::Csv => (header(bom), "text/csv; charset=utf-8; header=present", "csv"),
    };
    let name = format!("contacts-{workspace}-{}.{ending}", day(call.request.now));
    Ok(place.file(Writing { source, format, head, contacts: 0, is_over: false }, content_type, &name))
}
