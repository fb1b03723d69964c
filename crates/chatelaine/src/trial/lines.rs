use std::path::Path;

use super::Trial;

/// One command that works when it is pasted into a shell, and what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it shows, in a few words.
    pub title: &'static str,
    /// One line for `sh`; it holds a credential.
    pub command: String,
}

/// What `chatelaine try` prints; `program` is the path of this binary. In this order, as often as
/// one likes: no line needs another, or spoils it.
#[must_use]
pub fn try_lines(trial: &Trial, program: &Path) -> Vec<Line> {
    let (url, keys) = (&trial.url, &trial.keys);
    let secret = bearer(&keys.secret);
    let line = |title, command| Line { title, command };
    vec![
        line("Is it alive?", format!("curl -sS -w '\\n' {url}/healthz")),
        line("Who am I? (the secret key: for servers only)", format!("curl -sS -w '\\n' {url}/v1/me {secret}")),
        line(
            "Create a bot",
            format!("curl -sS -w '\\n' {url}/v1/bots {secret} {} -d '{{\"name\":\"My first bot\"}}'", json()),
        ),
        line("Open a session and stream a reply", conversation(trial, &secret, "", "Hello from a server")),
        line(
            "The same from a page on example.com, with the widget key",
            conversation(trial, &bearer(&keys.widget), " -H 'Origin: https://example.com'", "Hello from a browser"),
        ),
        line(
            "A key without the scope is refused, and told which: 403",
            format!(
                "curl -sS -w '\\n%{{http_code}}\\n' {url}/v1/bots {} {} -d '{{\"name\":\"Not with this key\"}}'",
                bearer(&keys.restricted),
                json()
            ),
        ),
        line(
            "A secret key in a browser is refused, and written to the audit log: 403",
            format!("curl -sS -w '\\n%{{http_code}}\\n' {url}/v1/me {secret} -H 'Origin: https://example.com'"),
        ),
        line(
            "List the keys, as the service account",
            format!("curl -sS -w '\\n' {url}/v1/api-keys {}", bearer(&keys.service_account)),
        ),
        line(
            "The same at the command line",
            format!("CHATELAINE_API_KEY={} {} keys list --url {url}", keys.service_account, quoted(program)),
        ),
        line(
            "Make a key and rotate it: both secrets work for an hour",
            with_new_key(
                trial,
                "To be rotated",
                &format!(
                    "curl -sS -w '\\n' {url}/v1/api-keys/$ID/rotate {secret} {} -d '{{\"grace_seconds\":3600}}'",
                    json()
                ),
            ),
        ),
        line(
            "Make a key and revoke it: the next request with it is refused",
            with_new_key(
                trial,
                "To be revoked",
                &format!("curl -sS -w '\\n' -X DELETE {url}/v1/api-keys/$ID {secret}"),
            ),
        ),
        line(
            "What happened so far: the audit log",
            format!("curl -sS -w '\\n' '{url}/v1/audit-log?per_page=5' {secret}"),
        ),
        line(
            "Every operation, as OpenAPI 3.1",
            format!("curl -sS -o /dev/null -w '%{{http_code}} %{{size_download}} bytes\\n' {url}/openapi.json"),
        ),
    ]
}

fn bearer(key: &str) -> String {
    format!("-H 'Authorization: Bearer {key}'")
}

fn json() -> &'static str {
    "-H 'Content-Type: application/json'"
}

/// One member of the JSON in the shell's `$variable`, without any tool but sed.
fn member(variable: &str, name: &str) -> String {
    format!(r#"$(printf %s "${variable}" | sed 's/.*"{name}":"\([^"]*\)".*/\1/')"#)
}

/// Two requests in one line; the second takes the token out of the first one's answer.
fn conversation(trial: &Trial, credential: &str, origin: &str, message: &str) -> String {
    let (url, bot, json) = (&trial.url, trial.bot_id, json());
    format!(
        "S=$(curl -sS {url}/v1/chat/sessions {credential}{origin} {json} -d '{{\"agent_id\":\"{bot}\"}}') && \
         curl -sSN \"{url}/v1/chat/sessions/{}/messages\" -H \"Authorization: Bearer {}\"{origin} {json} \
         -d '{{\"message\":\"{message}\"}}'",
        member("S", "conversation_id"),
        member("S", "session_token"),
    )
}

fn with_new_key(trial: &Trial, name: &str, then: &str) -> String {
    format!(
        "K=$(curl -sS {}/v1/api-keys {} {} -d '{{\"name\":\"{name}\"}}') && ID={} && {then}",
        trial.url,
        bearer(&trial.keys.secret),
        json(),
        r#"$(printf %s "$K" | sed 's/.*"id":"\(key_[^"]*\)".*/\1/')"#,
    )
}

fn quoted(program: &Path) -> String {
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
    use crate::TrialKeys;

    fn trial() -> Trial {
        let keys = TrialKeys {
            secret: "sk_live_a".into(),
            service_account: "fln_live_a".into(),
            widget: "tk_widget_a".into(),
            deployment: None,
            restricted: "sk_live_b".into(),
        };
        Trial {
            url: "http://127.0.0.1:8787".into(),
            workspace_id: "ws_00000000000000000000000001".parse().unwrap(),
            owner: None,
            bot_id: "bot_00000000000000000000000002".parse().unwrap(),
            service_account_id: "svc_00000000000000000000000003".parse().unwrap(),
            workflow_id: None,
            deployment_id: None,
            demo_url: "http://127.0.0.1:8787/demo#key=tk_widget_a&agent=bot_b".into(),
            embed: "<script></script>".into(),
            keys,
        }
    }

    #[test]
    fn each_is_one_line_of_valid_shell() {
        let lines = try_lines(&trial(), Path::new("/opt/o'neil/chatelaine"));
        assert!(lines.len() > 10);
        for Line { title, command } in lines {
            assert!(!command.contains('\n') && !title.contains('\n'), "{command}");
            assert!(!command.contains('!'), "an interactive shell would expand it: {command}");
            let parsed = Command::new("sh").args(["-n", "-c", &command]).output().unwrap();
            assert!(parsed.status.success(), "{command}: {}", String::from_utf8_lossy(&parsed.stderr));
        }
    }

    #[test]
    fn a_member_is_taken_out_of_json_by_the_shell() {
        let script = format!(
            "S='{{\"a\":\"x\",\"session_token\":\"ey.J-_\",\"b\":null}}'; echo {}",
            member("S", "session_token")
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "ey.J-_\n");
    }

    #[test]
    fn a_path_with_spaces_or_quotes_stays_one_word() {
        let script = format!("printf %s {}", quoted(Path::new("/a b/o'neil$HOME")));
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "/a b/o'neil$HOME");
        assert_eq!(quoted(Path::new("/usr/bin/chatelaine")), "/usr/bin/chatelaine");
    }
}
