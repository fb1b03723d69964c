//! From a row to a contact, or to all that is wrong with it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use store::{ImportError, MAX_TAGS, NewContact};

use crate::{
    fields,
    options::Target,
    splitter::{RawRow, RowState},
};

/// The contact of a row, with `tags` besides its own.
pub(crate) fn read_row(row: &RawRow, columns: &[Target], tags: &[String]) -> Result<NewContact, Vec<ImportError>> {
    let wrong = |field: &str, message: String| ImportError { line: row.line, field: field.to_owned(), message };
    let cells = row.fields();
    match row.state {
        RowState::TooLong => {
            let text = "is over 64 KiB, or has over 1,024 fields; is a quote not closed?";
            return Err(vec![wrong("", text.to_owned())]);
        }
        RowState::Unclosed => return Err(vec![wrong("", "has a quote that is not closed".to_owned())]),
        RowState::Whole if cells.len() != columns.len() => {
            let text = format!("has {} fields, and the first row has {}", cells.len(), columns.len());
            return Err(vec![wrong("", text)]);
        }
        RowState::Whole => {}
    }
    let (mut contact, mut errors) = (NewContact::default(), Vec::new());
    let mut labels: BTreeSet<String> = tags.iter().cloned().collect();
    let mut custom = Map::new();
    for (cell, column) in cells.into_iter().zip(columns) {
        let field = match column {
            Target::Ignore => continue,
            Target::Name => "name",
            Target::Email => "email",
            Target::Phone => "phone",
            Target::ExternalId => "external_id",
            Target::Tags => "tags",
            Target::Custom(name) => &format!("custom_fields.{name}"),
        };
        let text = match std::str::from_utf8(cell) {
            Err(_) => Err("is not UTF-8".to_owned()),
            Ok(text) if text.contains('\0') => Err("must not contain the character U+0000".to_owned()),
            Ok(text) => Ok(text),
        };
        let text = match text {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => text,
            Err(message) => {
                errors.push(wrong(field, message));
                continue;
            }
        };
        let read = match column {
            Target::Name => fields::name(text).map(|name| contact.name = Some(name)),
            Target::Email => fields::email(text).map(|email| contact.email = Some(email)),
            Target::Phone => fields::phone(text).map(|phone| contact.phone = Some(phone)),
            Target::ExternalId => fields::external_id(text).map(|id| contact.external_id = Some(id)),
            Target::Tags => read_tags(text).map(|own| labels.extend(own)),
            Target::Custom(name) => {
                custom.insert(name.clone(), Value::from(text.trim()));
                Ok(())
            }
            Target::Ignore => Ok(()),
        };
        if let Err(message) = read {
            errors.push(wrong(field, message));
        }
    }
    if let Err(message) = fields::check_custom(&custom) {
        errors.push(wrong("custom_fields", message));
    }
    if labels.len() > MAX_TAGS {
        errors.push(wrong("tags", format!("must be at most {MAX_TAGS}, with those of the whole import")));
    }
    let who = [&contact.name, &contact.email, &contact.phone, &contact.external_id];
    if errors.is_empty() && who.into_iter().all(Option::is_none) {
        errors.push(wrong("", "has no name, email, phone and external id: one of them is needed".to_owned()));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    contact.tags = labels.into_iter().collect();
    contact.custom_fields = custom;
    Ok(contact)
}

fn read_tags(text: &str) -> Result<Vec<String>, String> {
    text.split([',', ';', '|']).filter(|tag| !tag.trim().is_empty()).map(fields::tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        options::Delimiter,
        splitter::{Lines, Splitter},
    };

    fn read(text: &[u8]) -> Result<NewContact, Vec<(u64, String, String)>> {
        let mut splitter = Splitter::new(Delimiter::Comma, 0, Lines::new());
        let row = splitter.read(text).1.or_else(|| splitter.read(&[]).1).unwrap();
        let custom = |name: &str| Target::Custom(name.to_owned());
        let columns = [Target::Name, Target::Email, Target::Tags, custom("city"), Target::Ignore];
        let named = |error: ImportError| (error.line, error.field, error.message);
        read_row(&row, &columns, &["all".to_owned()]).map_err(|errors| errors.into_iter().map(named).collect())
    }

    #[test]
    fn a_row_is_a_contact() {
        let contact = read("\n Ada ,ada@example.com,\"b; a|b,\",\"Lon\ndon\",x".as_bytes()).unwrap();
        assert_eq!((contact.name.as_deref(), contact.email.as_deref()), (Some("Ada"), Some("ada@example.com")));
        assert_eq!(contact.tags, ["a", "all", "b"]);
        assert_eq!(Value::from(contact.custom_fields), serde_json::json!({"city": "Lon\ndon"}));
        assert!(read(b",a@b,,,").unwrap().custom_fields.is_empty(), "an empty cell says nothing");
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        let fields = |text: &[u8]| {
            let errors = read(text).unwrap_err();
            errors.into_iter().map(|(line, field, _)| format!("{line}{field}")).collect::<Vec<_>>()
        };
        assert_eq!(fields(b"\n\nA\xff,nobody,,a\0b,"), ["3name", "3email", "3custom_fields.city"]);
        assert_eq!(fields(b"Ada,a@b,,"), ["1"], "too few");
        assert_eq!(fields(b"Ada,a@b,,,,"), ["1"], "too many");
        assert_eq!(fields(b",,a,b,c"), ["1"], "nobody");
        assert_eq!(fields(format!("Ada,,{},,", "x".repeat(51)).as_bytes()), ["1tags"]);
        let many: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        assert_eq!(fields(format!("Ada,,{},,", many.join(";")).as_bytes()), ["1tags"]);
        assert_eq!(fields(format!("Ada,,,{},", "x".repeat(17_000)).as_bytes()), ["1custom_fields"]);
        assert!(read(b"Ada,,,,\xff").is_ok(), "what is ignored is not looked at");
    }
}
