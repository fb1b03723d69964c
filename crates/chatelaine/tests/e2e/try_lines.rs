//! `chatelaine try`: every line it prints works when it is pasted.

use std::{path::Path, time::Duration};

use serde_json::Value;
use testkit::{Client, Process, now};

use crate::harness::{BINARY, block_on};

const ENDS: Duration = Duration::from_secs(15);
const LOOPBACK: &str = "127.0.0.1:0";

/// Starts it with a directory of its own for temporary files; says what it left there at the end.
fn start(temporary: &Path, arguments: &[&str]) -> Process {
    let all = [&["try", "--listen", LOOPBACK], arguments].concat();
    Process::start(BINARY, &all, &[("TMPDIR", temporary.to_str().unwrap())])
}

fn left_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Runs it as somebody who pastes it would.
async fn pasted(shell: &str, command: &str) -> (Option<i32>, String, String) {
    let output = tokio::process::Command::new(shell).args(["-c", command]).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The demo's address and the line for a page, followed as a browser would.
async fn the_printed_chat_is_there(printed: &[String]) {
    let after = |mark: &str| {
        let line =
            printed.iter().find_map(|line| line.split_once(mark)).unwrap_or_else(|| panic!("{mark}: {printed:#?}"));
        line.1.to_owned()
    };
    let (demo, embed) = (after("in a browser: "), after("on localhost: "));
    let (page, fragment) = demo.split_once('#').unwrap();
    let (url, path) = page.split_at(page.rfind('/').unwrap());
    assert_eq!(path, "/demo", "the key is in the fragment alone, which is not sent");
    let body = client(url).get(path).send().await.expect(200).text();
    let (key, agent) = fragment.strip_prefix("key=").unwrap().split_once("&agent=").unwrap();
    assert!(key.starts_with("tk_widget_") && !body.contains(key));
    let attribute =
        |name: &str| embed.split_once(&format!(" {name}=\"")).unwrap().1.split('"').next().unwrap().to_owned();
    assert_eq!((attribute("data-widget-key"), attribute("data-agent-id")), (key.to_owned(), agent.to_owned()));
    let source = attribute("src");
    let script = client(url).get(source.strip_prefix(url).unwrap()).send().await.expect(200);
    assert!(script.header("content-type").starts_with("text/javascript"));
    let open = client(url).post("/v1/chat/sessions", &serde_json::json!({"agent_id": agent})).bearer(key);
    let _ = open.origin(url).send().await.expect(201);
}

/// The survey and the other examples, each with a key that starts runs of it.
async fn the_deployments_are_there(url: &str, made: &Value) {
    let workflows = made["workflows"].as_array().unwrap();
    assert_eq!(workflows.len(), 3, "{workflows:#?}");
    let survey = workflows.iter().find(|one| one["deployment_id"] == made["deployment_id"]).unwrap();
    assert_eq!((&survey["workflow_id"], &survey["key"]), (&made["workflow_id"], &made["keys"]["deployment"]));
    let id = made["deployment_id"].as_str().unwrap();
    assert_eq!(made["survey_url"], format!("{url}/s/{id}"));
    assert_eq!(made["survey_demo_url"], format!("{url}/demo#deployment={id}"));
    assert!(made["survey_embed"].as_str().unwrap().contains(&format!(" data-deployment-id=\"{id}\"")));
    for page in ["survey_url", "survey_demo_url"] {
        let path = made[page].as_str().unwrap().strip_prefix(url).unwrap().split('#').next().unwrap();
        let page = client(url).get(path).send().await.expect(200);
        assert!(page.header("content-type").starts_with("text/html"));
    }
    for one in workflows {
        let start = client(url).post("/api/v1/runs", &serde_json::json!({}));
        let run = start.bearer(one["key"].as_str().unwrap()).send().await.expect(202).json();
        assert_eq!(run["status"], "pending");
    }
    let path = |of: &Value| format!("/api/public/surveys/{}/start", of["deployment_id"].as_str().unwrap());
    for one in workflows {
        let is_survey = one["deployment_id"] == made["deployment_id"];
        let start = client(url).request("POST", &path(one)).send().await;
        let _ = start.expect(if is_survey { 200 } else { 404 });
    }
}

async fn json_line(process: &Process) -> Value {
    let line = process.line(|line| line.starts_with('{')).await;
    serde_json::from_str(&line).unwrap()
}

fn client(url: &str) -> Client {
    Client::new(url.trim_start_matches("http://").parse().unwrap())
}

#[test]
fn every_printed_line_works_when_it_is_pasted() {
    block_on(async {
        let temporary = tempfile::tempdir().unwrap();
        let mut process = start(temporary.path(), &[]);
        let _ = process.line(|line| line.contains("openapi.json") && line.contains("curl")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let printed = process.stdout();
        let commands: Vec<&String> = printed.iter().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert!(commands.len() >= 16, "{printed:#?}");
        the_printed_chat_is_there(&printed).await;
        let (mut streamed, mut completed, mut refused) = (0, 0, Vec::new());
        // Debian's `sh` is dash: no line needs more than a plain shell.
        for shell in ["bash", "sh"] {
            for command in &commands {
                let (status, out, err) = pasted(shell, command).await;
                assert_eq!((status, err.as_str()), (Some(0), ""), "{command}\n{out}");
                assert!(!out.trim().is_empty(), "{command}");
                if out.contains("\"error\":{") {
                    assert!(out.trim_end().ends_with("403"), "{command}\n{out}");
                    refused.push(
                        serde_json::from_str::<Value>(out.lines().next().unwrap()).unwrap()["error"]["code"].clone(),
                    );
                }
                if out.contains("\"current_step_id\":") {
                    completed += usize::from(out.contains("\"status\":\"completed\""));
                    assert!(out.contains("\"score\":9") || out.contains("\"decision\":\"approve\""), "{out}");
                }
                if out.contains("data: ") {
                    streamed += 1;
                    assert!(
                        out.contains("\"type\":\"stream_start\"")
                            && out.contains("\"type\":\"chunk\"")
                            && out.contains("\"type\":\"stream_end\""),
                        "{out}"
                    );
                    assert!(!out.contains("\"type\":\"error\""), "{out}");
                }
            }
        }
        assert_eq!((streamed, completed), (4, 4), "two streams and two runs a round");
        assert_eq!(
            refused,
            ["INSUFFICIENT_PERMISSIONS", "SECRET_KEY_IN_BROWSER", "INSUFFICIENT_PERMISSIONS", "SECRET_KEY_IN_BROWSER"]
        );
        process.terminate().await;
        assert!(process.ended(ENDS).await.success());
        assert_eq!(left_in(temporary.path()), Vec::<String>::new(), "the throw-away directory is gone");
    });
}

#[test]
fn json_is_one_line_and_each_credential_in_it_works() {
    block_on(async {
        let temporary = tempfile::tempdir().unwrap();
        let started = now();
        let mut process = start(temporary.path(), &["--json"]);
        let made = json_line(&process).await;
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        let members: Vec<&String> = made.as_object().unwrap().keys().collect();
        for member in [
            "demo_url",
            "embed",
            "url",
            "workspace_id",
            "owner",
            "bot_id",
            "service_account_id",
            "workflow_id",
            "deployment_id",
            "survey_url",
            "survey_demo_url",
            "survey_embed",
            "workflows",
            "keys",
        ] {
            assert!(members.iter().any(|given| *given == member), "{member}: {members:?}");
        }
        let (url, keys) = (made["url"].as_str().unwrap(), &made["keys"]);
        the_deployments_are_there(url, &made).await;
        assert!(made["owner"]["email"].is_string() && made["owner"]["password"].as_str().unwrap().len() >= 15);
        let me = async |name: &str| {
            client(url).get("/v1/me").bearer(keys[name].as_str().unwrap()).send().await.expect(200).data()
        };
        assert_eq!(me("secret").await["workspace_id"], made["workspace_id"]);
        assert_eq!(me("service_account").await["service_account_id"], made["service_account_id"]);
        assert_eq!(me("restricted").await["scopes"], serde_json::json!(["bots:read", "conversations:read"]));
        let body = serde_json::json!({"agent_id": made["bot_id"]});
        for origin in ["https://example.com", "http://localhost:3000"] {
            let request = client(url).post("/v1/chat/sessions", &body).bearer(keys["widget"].as_str().unwrap());
            let _ = request.origin(origin).send().await.expect(201);
        }
        assert_eq!(process.stdout().len(), 1, "{:#?}", process.stdout());
        process.terminate().await;
        assert!(process.ended(ENDS).await.success());
        assert_eq!(left_in(temporary.path()), Vec::<String>::new());
    });
}

#[test]
fn a_named_directory_is_kept_and_served_again_with_new_keys() {
    block_on(async {
        let temporary = tempfile::tempdir().unwrap();
        let data = temporary.path().join("kept");
        let data = data.to_str().unwrap();
        let mut process = start(temporary.path(), &["--json", "--data", data]);
        let first = json_line(&process).await;
        let mut second = start(temporary.path(), &["--json", "--data", data]);
        assert!(!second.ended(ENDS).await.success(), "two servers on one directory");
        assert!(second.stderr().join("\n").contains("another server"), "{:?}", second.stderr());
        let run = client(first["url"].as_str().unwrap()).post("/api/v1/runs", &serde_json::json!({}));
        let run = run.bearer(first["keys"]["deployment"].as_str().unwrap()).send().await.expect(202).json();
        process.terminate().await;
        assert!(process.ended(ENDS).await.success());
        let mut process = start(temporary.path(), &["--json", "--data", data]);
        let again = json_line(&process).await;
        assert_eq!((&again["workspace_id"], &again["bot_id"]), (&first["workspace_id"], &first["bot_id"]));
        for made in [&first, &again] {
            let key = made["keys"]["secret"].as_str().unwrap();
            let _ = client(again["url"].as_str().unwrap()).get("/v1/me").bearer(key).send().await.expect(200);
        }
        // The survey's link and its runs are the same; both secrets of its key read them.
        assert_eq!(again["deployment_id"], first["deployment_id"]);
        assert_ne!(again["keys"]["deployment"], first["keys"]["deployment"]);
        for made in [&first, &again] {
            let path = format!("/api/v1/runs/{}", run["run_id"].as_str().unwrap());
            let key = made["keys"]["deployment"].as_str().unwrap();
            let _ = client(again["url"].as_str().unwrap()).get(&path).bearer(key).send().await.expect(200);
        }
        process.terminate().await;
        assert!(process.ended(ENDS).await.success());
    });
}

#[test]
fn it_stays_on_this_machine() {
    block_on(async {
        let temporary = tempfile::tempdir().unwrap();
        let mut process = Process::start(
            BINARY,
            &["try", "--listen", "0.0.0.0:0"],
            &[("TMPDIR", temporary.path().to_str().unwrap())],
        );
        let status = process.ended(ENDS).await;
        assert!(!status.success() && process.stdout().is_empty(), "{:?}", process.stdout());
    });
}
