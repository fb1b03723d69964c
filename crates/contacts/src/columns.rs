//! From the first row of a file to what its columns are.

use std::collections::BTreeSet;

use crate::{
    fields::MAX_CUSTOM_NAME,
    options::{Delimiter, ImportOptions, Target},
};

/// The most columns of a file.
const MAX_COLUMNS: usize = 200;

/// How much of a file is looked at for what is between its fields.
const LOOK: usize = 64 * 1024;

/// What a file cannot be read without; said to whoever sent it.
pub(crate) type Fault = String;

/// The delimiter that stands most often in the first line, outside of quotes.
pub(crate) fn find_delimiter(beginning: &[u8]) -> Delimiter {
    let (mut counts, mut quoted) = ([0_usize; 3], false);
    for byte in beginning.iter().take(LOOK) {
        match byte {
            b'"' => quoted = !quoted,
            b'\r' | b'\n' if !quoted && counts != [0; 3] => break,
            other if !quoted => {
                for (count, delimiter) in counts.iter_mut().zip(Delimiter::ALL) {
                    *count += usize::from(*other == delimiter.byte());
                }
            }
            _ => {}
        }
    }
    let mut best = (Delimiter::Comma, 0);
    for (delimiter, count) in Delimiter::ALL.into_iter().zip(counts) {
        if count > best.1 {
            best = (delimiter, count);
        }
    }
    best.0
}

/// What each column is.
pub(crate) fn read_header(fields: &[&[u8]], options: &ImportOptions) -> Result<Vec<Target>, Fault> {
    if fields.len() > MAX_COLUMNS {
        return Err(format!("The file has {} columns, and {MAX_COLUMNS} are the most", fields.len()));
    }
    let mut names = Vec::with_capacity(fields.len());
    for field in fields {
        match std::str::from_utf8(field) {
            Ok(name) if !name.contains('\0') => names.push(name.trim()),
            _ => return Err("The file is not CSV in UTF-8: its first row cannot be read".to_owned()),
        }
    }
    if let Some(absent) = options.mapping.keys().find(|column| !names.contains(&column.trim())) {
        return Err(format!("`mapping` names a column that the file does not have: {absent}"));
    }
    let (mut targets, mut seen) = (Vec::with_capacity(names.len()), BTreeSet::new());
    for name in names {
        let mapped = options.mapping.iter().find(|(column, _)| column.trim() == name);
        let target = match mapped {
            Some((_, target)) => {
                target.parse().map_err(|()| format!("`mapping` names no field of a contact: {target}"))?
            }
            None => target_of(name)?,
        };
        if target != Target::Ignore && !seen.insert(target.clone()) {
            return Err(format!("Two columns are the same field of a contact, the second of them: {name}"));
        }
        targets.push(target);
    }
    let who = [Target::Name, Target::Email, Target::Phone, Target::ExternalId];
    if !who.iter().any(|target| seen.contains(target)) {
        let text = "No column says who a contact is: name one `name`, `email`, `phone` or `external_id`, or say by \
                    `mapping` which is";
        return Err(text.to_owned());
    }
    Ok(targets)
}

/// By its name: one of a contact's fields, else a custom field. A column without a name is ignored.
fn target_of(name: &str) -> Result<Target, Fault> {
    let plain: String = name.to_lowercase().chars().map(|c| if c == ' ' || c == '-' { '_' } else { c }).collect();
    let target = match plain.as_str() {
        "" => Target::Ignore,
        "name" | "full_name" => Target::Name,
        "email" | "e_mail" | "email_address" => Target::Email,
        "phone" | "phone_number" => Target::Phone,
        "external_id" => Target::ExternalId,
        "tags" => Target::Tags,
        _ => {
            let name = name.strip_prefix("custom:").unwrap_or(name);
            if !(1..=MAX_CUSTOM_NAME).contains(&name.chars().count()) {
                return Err(format!("A column's name is 1 to {MAX_CUSTOM_NAME} characters; one has more, or none"));
            }
            Target::Custom(name.to_owned())
        }
    };
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[&str], options: &ImportOptions) -> Result<Vec<Target>, Fault> {
        read_header(&fields.iter().map(|field| field.as_bytes()).collect::<Vec<_>>(), options)
    }

    #[test]
    fn the_delimiter_is_what_the_first_line_has_most_of() {
        for (text, found) in [
            ("a,b;c,d\n;;;;", Delimiter::Comma),
            ("a;b;c\n,,,,", Delimiter::Semicolon),
            ("a\tb\n", Delimiter::Tab),
            ("\"a;b;c\",d\n", Delimiter::Comma),
            ("\n\nname;x\n", Delimiter::Semicolon),
            ("email", Delimiter::Comma),
            ("", Delimiter::Comma),
        ] {
            assert_eq!(find_delimiter(text.as_bytes()), found, "{text:?}");
        }
    }

    #[test]
    fn a_column_is_what_its_name_or_the_mapping_says() {
        let custom = |name: &str| Target::Custom(name.to_owned());
        let none = ImportOptions::default();
        assert_eq!(
            read(&["E-Mail", " Full Name ", "custom:city", "Plan", "", "External-ID"], &none).unwrap(),
            [Target::Email, Target::Name, custom("city"), custom("Plan"), Target::Ignore, Target::ExternalId]
        );
        let mapping = [("Kunde", "name"), ("email", "ignore"), ("x", "custom:X y")];
        let mapping = mapping.map(|(column, field)| (column.to_owned(), field.to_owned())).into();
        let options = ImportOptions { mapping, ..none };
        assert_eq!(read(&["Kunde", "email", "x"], &options).unwrap(), [Target::Name, Target::Ignore, custom("X y")]);
    }

    #[test]
    fn a_file_that_cannot_be_read_says_why() {
        let none = ImportOptions::default();
        let fault = |fields: &[&str], options: &ImportOptions| read(fields, options).unwrap_err();
        assert!(fault(&["city", "plan"], &none).contains("No column"));
        assert!(fault(&["email", "Email"], &none).contains("same field"));
        assert!(fault(&["email", &"x".repeat(101)], &none).contains("1 to 100"));
        assert!(read_header(&[b"email\xff"], &none).unwrap_err().contains("UTF-8"));
        assert!(fault(&["a"; 201], &none).contains("201 columns"));
        let mapping = [("other".to_owned(), "name".to_owned())].into();
        assert!(fault(&["email"], &ImportOptions { mapping, ..none }).contains("does not have: other"));
    }
}
