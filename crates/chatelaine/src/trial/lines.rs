use std::path::Path;

use super::{
    Trial, TrialWorkflow,
    examples::{INTAKE, REVIEW, SURVEY},
    shell::{bearer, json, member, quoted, reading, until},
};

/// One command that works when it is pasted into a shell, and what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The heading that it stands under.
    pub part: &'static str,
    /// What it shows, in a few words.
    pub title: &'static str,
    /// One line for `sh`; it holds a credential.
    pub command: String,
}

/// What `chatelaine try` prints; `program` is the path of this binary. In this order, as often as
/// one likes: no line needs another, or spoils it.
#[must_use]
pub fn try_lines(trial: &Trial, program: &Path) -> Vec<Line> {
    let parts = [
        ("Is it there?", first_steps(trial)),
        ("A chat", chat(trial)),
        ("A survey, and people with roles", people(trial, program)),
        ("Keys, and what they may not", keys(trial, program)),
        ("What is behind it", behind(trial)),
    ];
    let lines = parts.into_iter().flat_map(|(part, lines)| lines.into_iter().map(move |line| (part, line)));
    lines.map(|(part, (title, command))| Line { part, title, command }).collect()
}

type Titled = (&'static str, String);

fn first_steps(trial: &Trial) -> Vec<Titled> {
    let (url, secret) = (&trial.url, bearer(&trial.keys.secret));
    vec![
        ("Is it alive?", format!("curl -sS -w '\\n' {url}/healthz")),
        ("Who am I? (the secret key: for servers only)", format!("curl -sS -w '\\n' {url}/v1/me {secret}")),
    ]
}

fn chat(trial: &Trial) -> Vec<Titled> {
    let (url, keys) = (&trial.url, &trial.keys);
    let secret = bearer(&keys.secret);
    vec![
        (
            "Create a bot",
            format!("curl -sS -w '\\n' {url}/v1/bots {secret} {} -d '{{\"name\":\"My first bot\"}}'", json()),
        ),
        ("Open a session and stream a reply", conversation(trial, &secret, "", "Hello from a server")),
        (
            "The same from a page on example.com, with the widget key",
            conversation(trial, &bearer(&keys.widget), " -H 'Origin: https://example.com'", "Hello from a browser"),
        ),
    ]
}

fn people(trial: &Trial, program: &Path) -> Vec<Titled> {
    let (url, program) = (&trial.url, quoted(program));
    let mut lines = Vec::new();
    if let Some(survey) = trial.workflow(SURVEY) {
        lines.push((
            "Answer the survey as anybody may, and read the answers with the deployment's key",
            answered(url, survey),
        ));
    }
    let results = format!("{url}/v1/deployments/{}/results", trial.deployment_id);
    lines.push((
        "What was answered in the survey so far, counted; with the secret key",
        format!("curl -sS -w '\\n' {results}/summary {}", bearer(&trial.keys.secret)),
    ));
    if let Some(review) = trial.workflow(REVIEW) {
        lines.push((
            "Start a run with two roles, and mint the token that lets a customer's browser into it",
            format!("{} && curl -sS -w '\\n' {}", start(url, review, "{}"), token_of(url, review, "customer")),
        ));
        lines.push(("The same to its end: the customer asks, the reviewer approves", reviewed(url, review)));
    }
    if let Some(intake) = trial.workflow(INTAKE) {
        lines.push(("Start a run in which a bot talks with a customer, and read what was said", talked(url, intake)));
    }
    lines.push((
        "Check a workflow before it is saved (this one ships with the product)",
        format!("{program} workflow example {REVIEW} | {program} workflow check -"),
    ));
    lines
}

fn keys(trial: &Trial, program: &Path) -> Vec<Titled> {
    let (url, keys) = (&trial.url, &trial.keys);
    let secret = bearer(&keys.secret);
    let rotate =
        format!("curl -sS -w '\\n' {url}/v1/api-keys/$ID/rotate {secret} {} -d '{{\"grace_seconds\":3600}}'", json());
    let revoke = format!("curl -sS -w '\\n' -X DELETE {url}/v1/api-keys/$ID {secret}");
    vec![
        (
            "A key without the scope is refused, and told which: 403",
            format!(
                "curl -sS -w '\\n%{{http_code}}\\n' {url}/v1/bots {} {} -d '{{\"name\":\"Not with this key\"}}'",
                bearer(&keys.restricted),
                json()
            ),
        ),
        (
            "A secret key in a browser is refused, and written to the audit log: 403",
            format!("curl -sS -w '\\n%{{http_code}}\\n' {url}/v1/me {secret} -H 'Origin: https://example.com'"),
        ),
        (
            "List the keys, as the service account",
            format!("curl -sS -w '\\n' {url}/v1/api-keys {}", bearer(&keys.service_account)),
        ),
        (
            "The same at the command line",
            format!("CHATELAINE_API_KEY={} {} keys list --url {url}", keys.service_account, quoted(program)),
        ),
        ("Make a key and rotate it: both secrets work for an hour", with_new_key(trial, "To be rotated", &rotate)),
        (
            "Make a key and revoke it: the next request with it is refused",
            with_new_key(trial, "To be revoked", &revoke),
        ),
    ]
}

fn behind(trial: &Trial) -> Vec<Titled> {
    let (url, secret) = (&trial.url, bearer(&trial.keys.secret));
    vec![
        ("What happened so far: the audit log", format!("curl -sS -w '\\n' '{url}/v1/audit-log?per_page=5' {secret}")),
        (
            "Every operation, as OpenAPI 3.1",
            format!("curl -sS -o /dev/null -w '%{{http_code}} %{{size_download}} bytes\\n' {url}/openapi.json"),
        ),
    ]
}

/// A stranger's run of the survey: two answers, and what the deployment's key reads of it.
fn answered(url: &str, survey: &TrialWorkflow) -> String {
    format!(
        "S=$(curl -sS -X POST {url}/api/public/surveys/{}/start) && P=\"Authorization: Bearer {}\" && {} && {} && {} && \
         curl -sS -w '\\n' {url}/api/v1/runs/{} {}",
        survey.deployment_id,
        member("S", "participant_token"),
        open(url, "P", "score"),
        answer(url, "P", "score", "9"),
        answer(url, "P", "liked", "[\"quality\",\"people\"]"),
        member("S", "run_id"),
        bearer(&survey.key),
    )
}

/// Two people's run: what the customer asks for, and the reviewer's decision.
fn reviewed(url: &str, review: &TrialWorkflow) -> String {
    let token = |role| {
        format!(
            "\"Authorization: Bearer $(curl -sS {} | {})\"",
            token_of(url, review, role),
            reading("participant_token")
        )
    };
    format!(
        "{} && C={} && R={} && {} && {} && {} && curl -sS -w '\\n' {url}/api/v1/runs/$ID {}",
        start(url, review, "{}"),
        token("customer"),
        token("reviewer"),
        open(url, "C", "request.1"),
        answer(url, "C", "request.1", "{\"subject\":\"A chair\",\"details\":\"Mine is broken\",\"amount\":120}"),
        answer(url, "R", "decision.1", "\"approve\""),
        bearer(&review.key),
    )
}

/// A customer's words to the intake's bot, and what the deployment's key reads of the talk.
fn talked(url: &str, intake: &TrialWorkflow) -> String {
    let token = format!("curl -sS {} | {}", token_of(url, intake, "customer"), reading("participant_token"));
    let messages = format!("curl -sS {url}/api/v1/runs/$ID/messages {}", bearer(&intake.key));
    format!(
        "{} && C=\"Authorization: Bearer $({token})\" && {} && \
         curl -sS -o /dev/null {url}/api/participant/steps/intake/messages -H \"$C\" {} -d '{{\"text\":\"My parcel is lost\"}}' && \
         {} && {messages} -w '\\n'",
        start(url, intake, "{\"name\":\"Ada\"}"),
        open(url, "C", "intake"),
        json(),
        until(&messages, "\"author\":\"participant\".*\"author\":\"agent\""),
    )
}

/// Starts a run; its id is in `$ID` then.
fn start(url: &str, workflow: &TrialWorkflow, input: &str) -> String {
    format!(
        "ID=$(curl -sS {url}/api/v1/runs {} {} -d '{{\"input\":{input}}}' | {})",
        bearer(&workflow.key),
        json(),
        reading("run_id")
    )
}

/// What curl asks for a participant's token of the run `$ID`.
fn token_of(url: &str, workflow: &TrialWorkflow, role: &str) -> String {
    format!("{url}/api/v1/runs/$ID/tokens {} {} -d '{{\"role\":\"{role}\"}}'", bearer(&workflow.key), json())
}

/// Waits until a step is open for whose header is in `$who`.
fn open(url: &str, who: &str, step: &str) -> String {
    until(&format!("curl -sS {url}/api/participant/run -H \"${who}\""), &format!("\"step\":\"{step}\""))
}

/// Answers a step, as whose header is in `$who`; says nothing.
fn answer(url: &str, who: &str, step: &str, value: &str) -> String {
    format!(
        "curl -sS -o /dev/null {url}/api/participant/steps/{step} -H \"${who}\" {} -d '{{\"value\":{value}}}'",
        json()
    )
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
        "K=$(curl -sS {}/v1/api-keys {} {} -d '{{\"name\":\"{name}\",\"scopes\":[\"bots:read\"]}}') && ID={} && {then}",
        trial.url,
        bearer(&trial.keys.secret),
        json(),
        r#"$(printf %s "$K" | sed 's/.*"id":"\(key_[^"]*\)".*/\1/')"#,
    )
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
            deployment: "cf_a".into(),
            restricted: "sk_live_b".into(),
        };
        let workflows: Vec<_> = [SURVEY, REVIEW, INTAKE]
            .map(|name| TrialWorkflow {
                name: name.to_owned(),
                workflow_id: "wf_00000000000000000000000004".parse().unwrap(),
                deployment_id: "dep_00000000000000000000000005".parse().unwrap(),
                key: "cf_a".into(),
            })
            .into();
        Trial {
            url: "http://127.0.0.1:8787".into(),
            workspace_id: "ws_00000000000000000000000001".parse().unwrap(),
            owner: None,
            bot_id: "bot_00000000000000000000000002".parse().unwrap(),
            service_account_id: "svc_00000000000000000000000003".parse().unwrap(),
            workflow_id: workflows[0].workflow_id,
            deployment_id: workflows[0].deployment_id,
            survey_url: "http://127.0.0.1:8787/s/dep_a".into(),
            survey_demo_url: "http://127.0.0.1:8787/demo#deployment=dep_a".into(),
            survey_embed: "<script></script>".into(),
            workflows,
            demo_url: "http://127.0.0.1:8787/demo#key=tk_widget_a&agent=bot_b".into(),
            embed: "<script></script>".into(),
            keys,
        }
    }

    #[test]
    fn each_is_one_line_of_valid_shell() {
        let lines = try_lines(&trial(), Path::new("/opt/o'neil/chatelaine"));
        assert!(lines.len() > 14);
        for Line { title, command, .. } in lines {
            assert!(!command.contains('\n') && !title.contains('\n'), "{command}");
            assert!(!command.contains('!'), "an interactive shell would expand it: {command}");
            let parsed = Command::new("sh").args(["-n", "-c", &command]).output().unwrap();
            assert!(parsed.status.success(), "{command}: {}", String::from_utf8_lossy(&parsed.stderr));
        }
    }
}
