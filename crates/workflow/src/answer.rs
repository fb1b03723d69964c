//! Whether an answer fits its field, and what is stored of it.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use crate::{
    fault::FieldFault,
    model::InputType,
    step::{Field, OpenStep, StepKind},
};

/// The value to be stored for a step of inputs, or every fault at once.
pub(crate) fn check_step(step: &OpenStep, value: &Value) -> Result<Value, Vec<FieldFault>> {
    match (&step.field, step.kind) {
        (Some(field), StepKind::Input) => {
            check_field(field, value).map_err(|message| vec![FieldFault::new(&field.id, message)])
        }
        (None, StepKind::Form) => check_fields(step.fields(), value),
        _ => Err(vec![FieldFault::new("value", "Talk with the agent instead of answering this step.")]),
    }
}

/// An object with one value for each field; unknown members are faults.
pub(crate) fn check_fields<'f>(
    fields: impl Iterator<Item = &'f Field>,
    value: &Value,
) -> Result<Value, Vec<FieldFault>> {
    let Some(given) = value.as_object() else {
        return Err(vec![FieldFault::new("value", "Send an object with one member for each field.")]);
    };
    let (mut out, mut faults, mut unknown) = (Map::new(), Vec::new(), given.keys().collect::<Vec<_>>());
    for field in fields {
        unknown.retain(|name| **name != field.id);
        match check_field(field, given.get(&field.id).unwrap_or(&Value::Null)) {
            Ok(value) => drop(out.insert(field.id.clone(), value)),
            Err(message) => faults.push(FieldFault::new(&field.id, message)),
        }
    }
    let name = |name: &String| name.chars().take(64).collect::<String>();
    faults.extend(unknown.into_iter().take(100).map(|one| FieldFault::new(&name(one), "There is no such field.")));
    if faults.is_empty() { Ok(Value::Object(out)) } else { Err(faults) }
}

/// The value to be stored; the error is a sentence for the participant.
pub(crate) fn check_field(field: &Field, value: &Value) -> Result<Value, String> {
    let blank = match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty() && field.input_type == InputType::Multiselect,
        _ => false,
    };
    if blank {
        return if field.required { Err("This needs an answer.".to_owned()) } else { Ok(Value::Null) };
    }
    match field.input_type {
        InputType::Text | InputType::Textarea => text(field, value).map(Value::from),
        InputType::Email => text(field, value).and_then(|text| {
            if is_email(&text) {
                Ok(text.into())
            } else {
                Err("Enter an email address such as name@example.com.".into())
            }
        }),
        InputType::Date => match value.as_str().map(str::trim) {
            Some(text) if is_date(text) => Ok(text.into()),
            _ => Err("Enter a date as YYYY-MM-DD.".to_owned()),
        },
        InputType::Select => match value.as_str() {
            Some(text) if is_option(field, text) => Ok(text.into()),
            _ => Err("Choose one of the options.".to_owned()),
        },
        InputType::Multiselect => options(field, value),
        InputType::Boolean => value.as_bool().map(Value::from).ok_or_else(|| "Answer true or false.".to_owned()),
        InputType::Number => number(field, value, false),
        InputType::Rating | InputType::Nps => number(field, value, true),
    }
}

fn text(field: &Field, value: &Value) -> Result<String, String> {
    let Some(text) = value.as_str().map(str::trim) else { return Err("Enter text.".to_owned()) };
    let lines = field.input_type == InputType::Textarea;
    if text.chars().any(|c| c.is_control() && !(lines && matches!(c, '\n' | '\r' | '\t'))) {
        return Err(if lines { "Take the control characters out." } else { "Enter one line of text." }.to_owned());
    }
    let length = text.chars().count();
    let bound = |bound: Option<u32>| bound.and_then(|n| usize::try_from(n).ok());
    match (bound(field.min_length), bound(field.max_length)) {
        (Some(min), _) if length < min => Err(format!("Enter at least {min} characters.")),
        (_, Some(max)) if length > max => Err(format!("Enter at most {max} characters.")),
        _ => Ok(text.to_owned()),
    }
}

fn is_option(field: &Field, value: &str) -> bool {
    field.options.iter().any(|option| option.value == value)
}

fn options(field: &Field, value: &Value) -> Result<Value, String> {
    let chosen: Option<Vec<&str>> = value.as_array().and_then(|items| items.iter().map(Value::as_str).collect());
    let Some(chosen) = chosen.filter(|chosen| chosen.iter().all(|one| is_option(field, one))) else {
        return Err("Choose among the options.".to_owned());
    };
    if chosen.iter().enumerate().any(|(at, one)| chosen.iter().take(at).any(|before| before == one)) {
        return Err("Choose every option at most once.".to_owned());
    }
    Ok(chosen.into_iter().collect())
}

fn number(field: &Field, value: &Value, whole: bool) -> Result<Value, String> {
    let given = value.as_number().and_then(Number::as_f64).filter(|n| n.is_finite());
    let fits = given.filter(|n| {
        field.min.is_none_or(|min| *n >= min) && field.max.is_none_or(|max| *n <= max) && !(whole && n.fract() != 0.0)
    });
    match fits {
        // 4.0 is the whole number 4, and stored as such.
        Some(n) if whole => Ok(format!("{n:.0}").parse::<i64>().map_or(Value::Null, Value::from)),
        Some(_) => Ok(value.clone()),
        None => {
            let mut sentence = format!("Enter a {}number", if whole { "whole " } else { "" });
            let _ = match (field.min, field.max) {
                (Some(min), Some(max)) => write!(sentence, " from {min} to {max}"),
                (Some(min), None) => write!(sentence, " of at least {min}"),
                (None, Some(max)) => write!(sentence, " of at most {max}"),
                (None, None) => Ok(()),
            };
            sentence.push('.');
            Err(sentence)
        }
    }
}

/// One `@`, a plain local part of at most 64 characters, a domain of at least two labels (RFC 5321, without quotes).
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let local_fits = (1..=64).contains(&local.len())
        && local.split('.').all(|word| !word.is_empty())
        && local.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c));
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    local_fits && text.len() <= 254 && domain.contains('.') && domain.split('.').all(label_fits)
}

/// A day that exists (proleptic Gregorian calendar, years 0000 to 9999).
fn is_date(text: &str) -> bool {
    let digits = |range| text.get(range).filter(|t: &&str| t.bytes().all(|b| b.is_ascii_digit()));
    let part = |range| digits(range).and_then(|t| t.parse::<u32>().ok());
    let dashes = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
    let (true, Some(year), Some(month), Some(day)) = (dashes, part(0..4), part(5..7), part(8..10)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::SelectOption;

    fn field(input_type: InputType) -> Field {
        let option = |value: &str| SelectOption { value: value.to_owned(), label: value.to_uppercase() };
        let whole = match input_type {
            InputType::Rating => (Some(1.0), Some(5.0)),
            InputType::Nps => (Some(0.0), Some(10.0)),
            _ => (None, None),
        };
        Field {
            id: "f".to_owned(),
            prompt: "?".to_owned(),
            input_type,
            options: vec![option("a"), option("b")],
            required: true,
            min: whole.0,
            max: whole.1,
            min_length: None,
            max_length: Some(20),
        }
    }

    #[test]
    fn each_type_takes_what_it_is_for_and_nothing_else() {
        use InputType::{Boolean, Date, Email, Multiselect, Nps, Number, Rating, Select, Text, Textarea};
        let good = [
            (Text, json!(" hi "), json!("hi")),
            (Textarea, json!("a\nb"), json!("a\nb")),
            (Select, json!("a"), json!("a")),
            (Multiselect, json!(["b", "a"]), json!(["b", "a"])),
            (Rating, json!(5), json!(5)),
            (Rating, json!(4.0), json!(4)),
            (Nps, json!(0), json!(0)),
            (Boolean, json!(false), json!(false)),
            (Number, json!(-1.5), json!(-1.5)),
            (Date, json!("2024-02-29"), json!("2024-02-29")),
            (Email, json!("ada.l+x@example.co"), json!("ada.l+x@example.co")),
        ];
        for (kind, value, stored) in good {
            assert_eq!(check_field(&field(kind), &value), Ok(stored), "{kind:?} {value}");
        }
        let bad = [
            (Text, json!("a\nb")),
            (Text, json!("a\u{0}b")),
            (Text, json!(1)),
            (Text, json!("x".repeat(21))),
            (Textarea, json!("a\u{7}")),
            (Select, json!("A")),
            (Select, json!(["a"])),
            (Multiselect, json!("a")),
            (Multiselect, json!(["a", "a"])),
            (Multiselect, json!(["a", "c"])),
            (Rating, json!(0)),
            (Rating, json!(6)),
            (Rating, json!(1.5)),
            (Rating, json!("5")),
            (Nps, json!(11)),
            (Nps, json!(-1)),
            (Boolean, json!("true")),
            (Number, json!("1")),
            (Date, json!("2023-02-29")),
            (Date, json!("2023-13-01")),
            (Date, json!("2023-04-31")),
            (Date, json!("2023-4-1")),
            (Date, json!("+023-04-01")),
            (Date, json!("2023-00-00")),
            (Email, json!("a@b")),
            (Email, json!("a b@c.de")),
            (Email, json!("a@b@c.de")),
            (Email, json!("a@-b.de")),
            (Email, json!(".a@b.de")),
        ];
        for (kind, value) in bad {
            assert!(check_field(&field(kind), &value).is_err(), "{kind:?} {value}");
        }
    }

    #[test]
    fn only_an_optional_field_may_be_left_out() {
        for value in [json!(null), json!(""), json!("  ")] {
            let mut field = field(InputType::Text);
            assert!(check_field(&field, &value).is_err());
            field.required = false;
            assert_eq!(check_field(&field, &value), Ok(Value::Null));
        }
        assert!(check_field(&field(InputType::Multiselect), &json!([])).is_err());
    }

    #[test]
    fn an_object_reports_every_fault_at_once() {
        let fields = [field(InputType::Nps), Field { id: "g".to_owned(), ..field(InputType::Email) }];
        let faults = check_fields(fields.iter(), &json!({"f": 11, "h": 1})).unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), ["f", "g", "h"]);
        assert_eq!(faults[0].message, "Enter a whole number from 0 to 10.");
        assert!(check_fields(fields.iter(), &json!([])).is_err());
        let good = json!({"f": 1, "g": "a@b.de"});
        assert_eq!(check_fields(fields.iter(), &good), Ok(good));
    }

    #[test]
    fn the_texts_of_a_plain_form_become_values_that_fit() {
        use InputType::{Boolean, Multiselect, Nps, Number, Text};
        let read = |kind, texts: &[&str]| field(kind).read_texts(texts);
        assert_eq!(read(Nps, &["7"]), json!(7));
        assert_eq!(read(Number, &["1.5"]), json!(1.5));
        assert_eq!(read(Number, &["x"]), json!("x"));
        assert_eq!(read(Boolean, &["on"]), json!(true));
        assert_eq!(read(Multiselect, &["a", "", "b"]), json!(["a", "b"]));
        assert_eq!(read(Text, &["7"]), json!("7"));
        assert_eq!(read(Text, &[]), json!(null));
    }
}
