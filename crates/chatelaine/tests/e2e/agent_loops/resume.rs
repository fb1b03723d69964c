//! Executions through a power cut and a drain: they go on where they were, and a call that may have been made says
//! which one it is.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Client, Process, Upstream, eventually};

use super::tools::ToolServer;
use crate::harness::{BINARY, block_on};

struct Served {
    process: Process,
    client: Client,
    secret: String,
}

impl Served {
    async fn start(data: &str) -> Self {
        let arguments = ["try", "--json", "--listen", "127.0.0.1:0", "--data", data];
        let process = Process::start(BINARY, &arguments, &[("CHATELAINE_DRAIN_SECONDS", "2")]);
        let made: Value = serde_json::from_str(&process.line(|line| line.starts_with('{')).await).unwrap();
        let client = Client::new(made["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap());
        Self { process, client, secret: made["keys"]["secret"].as_str().unwrap().to_owned() }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.client.post(path, &body).bearer(&self.secret).send().await;
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.text());
        answer.data()
    }

    async fn look(&self, id: &str) -> Value {
        self.client.get(&format!("/v1/executions/{id}")).bearer(&self.secret).send().await.expect(200).data()
    }

    async fn begin(&self, upstream: &Upstream, server: &ToolServer) -> String {
        let bot = self.post("/v1/bots", json!({"name": "B"})).await["id"].as_str().unwrap().to_owned();
        let integration = json!({"name": "s", "kind": "openai", "url": upstream.url(), "model": "script"});
        let _ = self.post(&format!("/v1/bots/{bot}/integrations"), integration).await;
        let call = |name: &str| json!({"call": [{"name": format!("http__{name}"), "arguments": {}}]});
        let script = json!([call("first"), call("second"), {"say": "end"}]).to_string();
        let tool = |name: &str| json!({"type": "http", "name": name, "url": format!("{}/{name}", server.origin)});
        let tools = [tool("first"), tool("second")];
        let body = json!({"name": "L", "prompt": script, "bot_id": bot, "tools": tools});
        let agent_loop = self.post("/v1/agent-loops", body).await["id"].as_str().unwrap().to_owned();
        let started = self.post(&format!("/v1/agent-loops/{agent_loop}/run"), json!({})).await;
        assert!(eventually(Duration::from_secs(20), async || !server.seen("/second").is_empty()).await);
        started["id"].as_str().unwrap().to_owned()
    }
}

async fn goes_on(stop: impl AsyncFnOnce(Process)) {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data").to_str().unwrap().to_owned();
    let (upstream, server) = (Upstream::start().await, ToolServer::start().await);
    let served = Served::start(&data).await;
    let id = served.begin(&upstream, &server).await;
    assert_eq!(served.look(&id).await["status"], "running");
    stop(served.process).await;
    let served = Served::start(&data).await;
    let over = eventually(Duration::from_secs(20), async || !served.look(&id).await["finished_at"].is_null()).await;
    let done = served.look(&id).await;
    assert!(over && done["status"] == "completed" && done["output"] == "end", "{done}");
    assert_eq!((server.seen("/first").len(), &done["iterations"]), (1, &json!(3)), "what has a result is not repeated");
    let keys: Vec<_> = server.seen("/second").iter().map(|seen| seen.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys, vec![format!("{id}/5"); 2], "the same call, made again, says so");
    let positions: Vec<_> =
        done["steps"].as_array().unwrap().iter().map(|step| step["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=7).collect::<Vec<_>>());
    served.process.kill().await;
}

#[test]
fn an_execution_goes_on_after_a_power_cut() {
    block_on(goes_on(async |process: Process| process.kill().await));
}

#[test]
fn a_drain_ends_in_time_and_leaves_the_execution_to_the_next_start() {
    block_on(goes_on(async |mut process: Process| {
        let started = testkit::now();
        process.terminate().await;
        assert!(process.ended(Duration::from_secs(10)).await.success());
        assert!(started.elapsed() < Duration::from_secs(7), "{:?}", started.elapsed());
    }));
}
