use serde_json::Value;

use crate::cli::Terminal;

const COLUMNS: [(&str, &str); 7] = [
    ("ID", "id"),
    ("NAME", "name"),
    ("KIND", "kind"),
    ("ENV", "environment"),
    ("STATUS", "status"),
    ("KEY", "display"),
    ("EXPIRES", "expires_at"),
];

/// The keys as a table.
pub(super) fn table(keys: &[Value], terminal: &Terminal) {
    let cell = |key: &Value, name: &str| match &key[name] {
        Value::String(text) => plain(text),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let mut rows = vec![COLUMNS.map(|(title, _)| title.to_owned())];
    rows.extend(keys.iter().map(|key| COLUMNS.map(|(_, name)| cell(key, name))));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        terminal.out(cells.join("  ").trim_end());
    }
}

/// A new secret alone on stdout, so that `KEY=$(chatelaine keys create ci --scope bots:read)` works; the rest on stderr.
pub(super) fn secret(answer: &Value, json: bool, terminal: &Terminal) {
    if json {
        terminal.out(answer.to_string());
        return;
    }
    let key = &answer["data"];
    let text = |name: &str| key[name].as_str().map_or_else(|| "never".to_owned(), plain);
    terminal.err(format!(
        "{} ({}), {} {}, expires {}",
        text("id"),
        text("name"),
        text("environment"),
        text("kind"),
        text("expires_at")
    ));
    terminal.err("Its secret is shown now and never again:");
    terminal.out(key["key"].as_str().unwrap_or_default());
}

/// Text from a server, or of a stranger's file, without what could steer a terminal.
pub(in crate::cli) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\r\nc\u{9b}d"), "a[2Jbcd");
    }
}
