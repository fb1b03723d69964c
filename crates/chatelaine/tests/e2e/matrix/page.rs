//! The page that people read: `docs/access-matrix.txt`.

use std::{fmt::Write as _, path::Path};

use gate::Meta;

use super::columns::Column;

const HEAD: &str = "\
The access matrix: who gets in where
====================================

Made by the end-to-end tests from the table of operations. Each cell is sent over HTTP to a whole
server, on SQLite and on PostgreSQL: as a bearer, and to the operations of the drop-in surface also in
the headers that they read, X-Api-Key or X-Admin-Api-Key; people send their cookie, from a page of the
server's own. After a change:
UPDATE_MATRIX=1 cargo nextest run -p chatelaine matrix, then read the difference.

Cells
  ok      admitted, and it succeeds (a WebSocket: 400, because what is sent is no handshake; a message of
          a channel: 401 INVALID_SIGNATURE, because it has no signature)
  .       401: proves nothing (or, where nothing was sent: something is needed)
  400     more than one credential
  scope   403 INSUFFICIENT_PERMISSIONS: the key lacks the scope, which the answer names
  role    403 INSUFFICIENT_PERMISSIONS: the person lacks the role
  kind    403 WRONG_CREDENTIAL: this kind of credential is not admitted
  page    403 ORIGIN_NOT_ALLOWED: the widget key does not list this page
  leak    403 SECRET_KEY_IN_BROWSER: the audience firewall, with an audit record
  other   403 CONVERSATION_MISMATCH: the token is for another conversation
  404     not visible to this credential: the same bytes as for what never was
  none    an empty list, as for what never was
  field   422: what a field names is not visible to this credential, as for what never was
";

/// The whole page.
pub(crate) fn render(table: &[Meta], columns: &[Column]) -> String {
    let mut page = String::from(HEAD);
    page.push_str("\nColumns\n");
    for column in columns {
        let _ = writeln!(page, "  {:<12}{}", column.name, column.about);
    }
    page.push('\n');
    let heading: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let widths: Vec<usize> = heading.iter().map(|name| name.len().max(5) + 1).collect();
    line(&mut page, "operation", &heading, &widths, "audited  scope, method and path");
    for operation in table {
        let cells = columns.iter().map(|column| column.expected(operation).shown());
        let cells: Vec<&str> = cells.map(|cell| if cell == "401" { "." } else { cell }).collect();
        let audited = if operation.access.is_audited() { "audited" } else { "-" };
        let scope = operation.access.required_scope().map_or("-", access::Scope::as_str);
        let tail = format!("{audited:<9}{scope} {} {}", operation.method.as_str(), operation.path);
        line(&mut page, operation.id, &cells, &widths, &tail);
    }
    page
}

fn line(page: &mut String, name: &str, cells: &[&str], widths: &[usize], tail: &str) {
    let _ = write!(page, "{name:<30}");
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(page, "{cell:<width$}");
    }
    let _ = writeln!(page, "{tail}");
}

/// Holds the page in the repository to the table; `UPDATE_MATRIX=1` writes it.
#[expect(clippy::disallowed_methods, reason = "the test rig's own variable, not a setting")]
pub(crate) fn compare(table: &[Meta], columns: &[Column]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/access-matrix.txt");
    let page = render(table, columns);
    assert!(page.is_ascii());
    if std::env::var_os("UPDATE_MATRIX").is_some() {
        std::fs::write(&path, &page).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let changed: Vec<String> =
        page.lines().filter(|line| !kept.lines().any(|other| other == *line)).map(str::to_owned).collect();
    assert!(
        kept == page,
        "docs/access-matrix.txt is not what the table says. If that is meant: UPDATE_MATRIX=1, and read the \
         difference.\n{}",
        changed.join("\n")
    );
}
