//! Comma-separated values (RFC 4180) that a spreadsheet reads as data and not as formulas.

use bytes::Bytes;
use serde_json::Value;
use workflow::Question;

use super::rows::{Column, ResultRow};

/// The columns before the answers.
const RUN_COLUMNS: [&str; 5] = ["run_id", "status", "origin", "started_at", "finished_at"];

/// UTF-8's signature: with it some spreadsheets read the rest as UTF-8.
pub(crate) const BOM: &str = "\u{feff}";

/// What a spreadsheet may take for the beginning of a formula, also in full width (OWASP, CSV injection).
const FORMULA: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}'];
/// The full-width form of `@`.
const FULL_WIDTH_AT: char = '\u{ff20}';

/// The first line: ids, or with `label` the questions' words.
pub(super) fn header(columns: &[Column], questions: &[Question], label: bool, bom: bool) -> Bytes {
    let mut line = String::from(if bom { BOM } else { "" });
    let mut cells = RUN_COLUMNS.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for column in columns {
        cells.push(match questions.get(column.question).filter(|_| label) {
            Some(question) if column.rounds.is_empty() => without_templates(&question.prompt),
            Some(question) => {
                let rounds: Vec<_> = column.rounds.iter().map(u32::to_string).collect();
                format!("{} ({})", without_templates(&question.prompt), rounds.join("."))
            }
            None => column.id.clone(),
        });
    }
    write_line(&mut line, cells.iter().map(|cell| text(cell)));
    line.into()
}

/// What a template stands for is another text in each run.
fn without_templates(prompt: &str) -> String {
    let mut parts = prompt.split("{{");
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        words.push('…');
        words.push_str(part.split_once("}}").map_or("", |(_, after)| after));
    }
    words
}

/// One line for each row.
pub(super) fn lines(columns: &[Column], rows: &[ResultRow]) -> Bytes {
    let mut out = String::new();
    for row in rows {
        let finished_at = row.finished_at.map(|at| at.to_string()).unwrap_or_default();
        let about = [row.run_id.to_string(), row.status.clone(), row.origin.clone(), row.started_at.to_string()];
        let about = about.iter().chain([&finished_at]).map(|cell| text(cell)).collect::<Vec<_>>();
        let answers = columns.iter().map(|column| row.answers.get(&column.id).map(value).unwrap_or_default());
        write_line(&mut out, about.into_iter().chain(answers));
    }
    out.into()
}

/// One line of cells, each as [`text`] writes it.
pub(crate) fn write_line(out: &mut String, cells: impl Iterator<Item = String>) {
    for (number, cell) in cells.enumerate() {
        if number > 0 {
            out.push(',');
        }
        out.push_str(&cell);
    }
    out.push_str("\r\n");
}

/// Numbers are numbers, also negative ones; lists are JSON.
fn value(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(words) => text(words),
        Value::Array(_) | Value::Object(_) => text(&value.to_string()),
    }
}

/// A cell of text: with a `'` before what could be a formula, in quotes where it must be.
pub(crate) fn text(words: &str) -> String {
    let risky = words.starts_with(FORMULA) || words.starts_with(FULL_WIDTH_AT);
    let guard = if risky { "'" } else { "" };
    // Semicolons and tabs separate where a spreadsheet guesses; blanks at the ends would be lost.
    let quotes = words.contains(['"', ',', ';', '\t', '\r', '\n']) || words.trim().len() != words.len();
    if quotes { format!("\"{guard}{}\"", words.replace('"', "\"\"")) } else { format!("{guard}{words}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::results::rows::{columns, tests::questions};

    /// The cells of a document, by RFC 4180.
    pub(super) fn parse(document: &str) -> Vec<Vec<String>> {
        let (mut lines, mut line, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
        let mut letters = document.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '"' if quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => line.push(std::mem::take(&mut cell)),
                '\r' if !quoted && letters.peek() == Some(&'\n') => {
                    letters.next();
                    line.push(std::mem::take(&mut cell));
                    lines.push(std::mem::take(&mut line));
                }
                other => cell.push(other),
            }
        }
        assert!(cell.is_empty() && line.is_empty() && !quoted, "it does not end with a line: {document:?}");
        lines
    }

    #[test]
    fn a_heading_has_no_template() {
        for (given, expected) in
            [("How likely?", "How likely?"), ("You gave {{score}} of 10, {{input.name}}", "You gave … of 10, …")]
        {
            assert_eq!(without_templates(given), expected);
        }
    }

    #[test]
    fn a_text_is_never_a_formula() {
        for (given, expected) in [
            ("=1+1", "'=1+1"),
            ("+49 30 1", "'+49 30 1"),
            ("-5", "'-5"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("\n=1", "\"'\n=1\""),
            ("＝1", "'＝1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠A", "'＠A"),
            ("=cmd|' /C calc'!A0,\"x\"", "\"'=cmd|' /C calc'!A0,\"\"x\"\"\""),
            ("a=1", "a=1"),
            ("1-2", "1-2"),
            ("'=1", "'=1"),
            ("", ""),
        ] {
            assert_eq!(text(given), expected, "{given:?}");
        }
    }

    #[test]
    fn numbers_stay_numbers_and_lists_are_json() {
        for (given, expected) in [
            (json!(-5), "-5"),
            (json!(-1.5), "-1.5"),
            (json!(0), "0"),
            (json!(true), "true"),
            (json!(null), ""),
            (json!("-5"), "'-5"),
            (json!(["a", "b"]), "\"[\"\"a\"\",\"\"b\"\"]\""),
            (json!([]), "[]"),
        ] {
            assert_eq!(value(&given), expected, "{given}");
        }
    }

    #[test]
    fn what_is_written_is_read_by_the_rfc() {
        let questions = questions(json!([
            {"type": "Input", "id": "a", "prompt": "One, \"two\""}, {"type": "Input", "id": "b", "prompt": "=B"},
        ]));
        let columns = columns(&questions, &Default::default());
        let row = |a: &str| ResultRow {
            run_id: ambient::RunId(ambient::Ulid(1)),
            status: "completed".to_owned(),
            origin: "api".to_owned(),
            started_at: ambient::Millis(0),
            finished_at: Some(ambient::Millis(1)),
            answers: [("a".to_owned(), json!(a))].into(),
        };
        let words = ["plain", "a,b", "say \"hi\"", "two\r\nlines", " blank ", "ünï"];
        let rows: Vec<_> = words.iter().map(|word| row(word)).collect();
        let body = lines(&columns, &rows);
        let parsed = parse(std::str::from_utf8(&body).unwrap());
        assert_eq!(parsed.iter().map(|line| line[5].as_str()).collect::<Vec<_>>(), words);
        assert!(parsed.iter().all(|line| line.len() == 7 && line[6].is_empty() && line[4].ends_with('Z')));

        let plain = header(&columns, &questions, false, false);
        assert_eq!(plain, "run_id,status,origin,started_at,finished_at,a,b\r\n");
        let labelled = header(&columns, &questions, true, true);
        let labelled = std::str::from_utf8(&labelled).unwrap().strip_prefix('\u{feff}').unwrap().to_owned();
        assert_eq!(parse(&labelled)[0][5..], ["One, \"two\"", "'=B"]);
    }
}
