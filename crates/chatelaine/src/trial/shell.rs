//! The words of which lines for `sh` are made.

use std::path::Path;

pub(super) fn bearer(key: &str) -> String {
    format!("-H 'Authorization: Bearer {key}'")
}

pub(super) fn json() -> &'static str {
    "-H 'Content-Type: application/json'"
}

/// One member of the JSON in the shell's `$variable`, without any tool but sed.
pub(super) fn member(variable: &str, name: &str) -> String {
    format!(r#"$(printf %s "${variable}" | {})"#, reading(name))
}

/// The text of the member of this name in the JSON that comes in.
pub(super) fn reading(name: &str) -> String {
    format!(r#"sed 's/.*"{name}":"\([^"]*\)".*/\1/'"#)
}

/// Asks again and again, for 9 seconds at most, until the answer has this text in it.
pub(super) fn until(request: &str, text: &str) -> String {
    format!("for I in 1 2 3 4 5 6 7 8 9; do {request} | grep -q '{text}' && break; sleep 1; done")
}

pub(super) fn quoted(program: &Path) -> String {
    let text = program.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn sh(script: &str) -> String {
        let output = Command::new("sh").args(["-c", script]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn a_member_is_taken_out_of_json_by_the_shell() {
        let json = r#"{"a":"x","session_token":"ey.J-_","b":null}"#;
        assert_eq!(sh(&format!("S='{json}'; echo {}", member("S", "session_token"))), "ey.J-_\n");
        assert_eq!(sh(&format!("echo '{json}' | {}", reading("a"))), "x\n");
    }

    #[test]
    fn what_is_there_is_not_waited_for() {
        let script = until("echo \"$I. asked\"", "1. asked");
        assert_eq!(sh(&format!("{script}; echo $I")), "1\n");
        // The second time it is there.
        let script = until("echo \"$I. asked\"", "2. asked").replace("sleep 1", "echo again");
        assert_eq!(sh(&format!("{script}; echo $I")), "again\n2\n");
    }

    #[test]
    fn a_path_with_spaces_or_quotes_stays_one_word() {
        let script = format!("printf %s {}", quoted(Path::new("/a b/o'neil$HOME")));
        assert_eq!(sh(&script), "/a b/o'neil$HOME");
        assert_eq!(quoted(Path::new("/usr/bin/chatelaine")), "/usr/bin/chatelaine");
    }
}
