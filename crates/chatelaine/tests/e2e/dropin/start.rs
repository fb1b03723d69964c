//! What the first start makes, what later starts change, and whom the workspace belongs to.

use serde_json::{Value, json};
use testkit::{Backend, Options, Process, TestDatabase, TestServer, Upstream, WIDGET_API_KEY, drop_in};

use crate::{
    harness::{BINARY, block_on},
    serve::{ENDS, all_printed, client_of},
};

use super::{CHAT, LIST, aim, message, send};

on_each! {
    the_workspace_waits_for_its_owner;
    each_start_brings_the_model_to_the_settings;
}

async fn start(database: Options, backend: Backend) -> TestServer {
    TestServer::start_with(backend, database).await
}

/// Takes the workspace over, as the operator does with the link; the first key.
async fn take_over(server: &TestServer) -> String {
    let token = api::setup::issue(server.running().app()).await.unwrap();
    let body =
        json!({"token": token, "email": "ada@example.com", "password": "a few easy words", "workspace_name": "Acme"});
    server.client().post("/v1/setup", &body).send().await.expect(201).json()["key"].as_str().unwrap().to_owned()
}

async fn the_workspace_waits_for_its_owner(backend: Backend) {
    let server = start(Options { drop_in: Some(drop_in()), ..Options::default() }, backend).await;
    let client = server.client();
    let answer = send(&client, CHAT, "s", "hello").send().await.expect(200).json();
    assert_eq!(answer["message"], "You said: hello", "without a model the bot repeats what it is told");
    assert!(client.get("/").send().await.text().contains("/setup"), "the landing page shows the way");
    let key = take_over(&server).await;
    let get = |path: &str| client.get(path).bearer(&key).send();
    let bots = get("/v1/bots").await.expect(200).json();
    assert_eq!((&bots["meta"]["total"], &bots["data"][0]["name"]), (&json!(1), &json!("Assistant")));
    let path = format!("/v1/conversations/{}", answer["conversationId"].as_str().unwrap());
    let _ = get(&path).await.expect(200);
    // What is deleted is gone, and the visitor begins anew.
    let _ = client.request("DELETE", &path).bearer(&key).send().await;
    let again = send(&client, CHAT, "s", "hello").send().await.expect(200).json();
    assert_ne!(again["conversationId"], answer["conversationId"]);
    let server = server.restart().await;
    let bots = server.client().get("/v1/bots").bearer(&key).send().await.expect(200).json();
    assert_eq!(bots["meta"]["total"], 1, "the bot is found again");
    let _ = client_deletes_the_bot(&server, &key, &bots).await;
    let server = server.restart().await;
    let after = send(&server.client(), CHAT, "s", "again").send().await.expect(200).json();
    assert_eq!(after["conversationId"], again["conversationId"], "a new bot goes on with the old conversations");
    drop(server.stop().await);
}

async fn client_deletes_the_bot(server: &TestServer, key: &str, bots: &Value) -> u16 {
    let path = format!("/v1/bots/{}", bots["data"][0]["id"].as_str().unwrap());
    let status = server.client().request("DELETE", &path).bearer(key).send().await.status;
    let answer = send(&server.client(), CHAT, "s", "x").send().await;
    super::refused(&answer, 503, "No bot is configured");
    status
}

async fn each_start_brings_the_model_to_the_settings(backend: Backend) {
    let upstream = Upstream::start().await;
    let mut settings = drop_in();
    aim(&mut settings, &upstream, "one");
    let server = start(Options { drop_in: Some(settings.clone()), ..Options::default() }, backend).await;
    let key = take_over(&server).await;
    let of = async |server: &TestServer| -> Vec<(String, u64, Value)> {
        let client = server.client();
        let get = |path: String| client.get(&path).bearer(&key).send();
        let bots = get("/v1/bots".to_owned()).await.expect(200).json();
        let bot = bots["data"][0]["id"].as_str().unwrap().to_owned();
        let list = get(format!("/v1/bots/{bot}/integrations")).await.expect(200).json();
        assert!(!list.to_string().contains("sk-model-key"), "{list}");
        let rows = list["data"].as_array().unwrap().iter();
        rows.map(|row| {
            (row["kind"].as_str().unwrap().to_owned(), row["weight"].as_u64().unwrap(), row["model"].clone())
        })
        .collect()
    };
    let echo = |weight| ("echo".to_owned(), weight, Value::Null);
    assert_eq!(of(&server).await, [echo(0), ("openai".to_owned(), 1, json!("one"))]);
    let ask = async |server: &TestServer| {
        let _ = send(&server.client(), CHAT, "s", "hi").send().await.expect(200);
        upstream
            .requests()
            .last()
            .map(|request| (request.body["model"].clone(), request.header("authorization").to_owned()))
    };
    assert_eq!(ask(&server).await, Some((json!("one"), "Bearer sk-model-key".to_owned())));

    settings.openai_model = "two".to_owned();
    settings.openai_api_key = Some(chatelaine::config::Concealed::new("sk-another-key".to_owned()));
    let server = server.restart_with(|options| options.drop_in = Some(settings.clone())).await;
    assert_eq!(of(&server).await, [echo(0), ("openai".to_owned(), 1, json!("two"))]);
    assert_eq!(ask(&server).await, Some((json!("two"), "Bearer sk-another-key".to_owned())));

    settings.openai_api_key = None;
    let server = server.restart_with(|options| options.drop_in = Some(settings.clone())).await;
    assert_eq!(of(&server).await, [echo(1)], "the credential is gone with its setting");
    let count = upstream.requests().len();
    let _ = ask(&server).await;
    assert_eq!(upstream.requests().len(), count);
    let database = server.stop().await;
    let bytes = database.bytes().await;
    for secret in ["sk-another-key", WIDGET_API_KEY] {
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} is in the database");
    }
}

#[test]
fn the_widget_key_alone_gives_a_working_chat() {
    block_on(async {
        let database = TestDatabase::new(Backend::Sqlite).await;
        let data = database.data();
        let settings = [
            ("CHATELAINE_DATA", data.to_str().unwrap()),
            ("CHATELAINE_LISTEN", "127.0.0.1:0"),
            ("WIDGET_API_KEY", WIDGET_API_KEY),
        ];
        let mut process = Process::start(BINARY, &["serve"], &settings);
        let client = client_of(&process).await;
        let link = process.line(|line| line.contains("/setup#")).await;
        let answer = send(&client, CHAT, "s", "hello").send().await.expect(200).json();
        assert_eq!(answer["message"], "You said: hello");
        let answer = client.get(LIST).send().await;
        super::refused(&answer, 503, "ADMIN_API_KEY is not configured on this deployment");
        assert!(!link.is_empty() && process.stderr().join("\n").contains("CORS_ORIGIN is `*`"));
        process.terminate().await;
        assert!(process.ended(ENDS).await.success());
        let printed = all_printed(&process);
        assert!(!printed.contains(WIDGET_API_KEY), "{printed}");
    });
}

#[test]
fn a_start_that_would_be_unsafe_names_the_variable() {
    block_on(async {
        let database = TestDatabase::new(Backend::Sqlite).await;
        let data = database.data();
        let base = [("CHATELAINE_DATA", data.to_str().unwrap()), ("CHATELAINE_LISTEN", "127.0.0.1:0")];
        let private = [
            ("WIDGET_API_KEY", WIDGET_API_KEY),
            ("OPENAI_API_KEY", "sk-model"),
            ("OPENAI_BASE_URL", "http://10.0.0.1/v1"),
        ];
        for (settings, needle) in [
            (&[("WIDGET_API_KEY", "too-short")][..], "WIDGET_API_KEY"),
            (&[("WIDGET_API_KEY", WIDGET_API_KEY), ("NODE_ENV", "production")], "CORS_ORIGIN"),
            (&private, "OPENAI_BASE_URL"),
        ] {
            let mut process = Process::start(BINARY, &["serve"], &[&base[..], settings].concat());
            assert!(!process.ended(ENDS).await.success());
            let printed = all_printed(&process);
            assert!(printed.contains(needle) && !printed.contains("sk-model"), "{printed}");
            assert!(settings.iter().all(|(name, value)| !name.ends_with("_API_KEY") || !printed.contains(value)));
        }
    });
}

#[test]
fn what_a_newcomer_plays_with_does_not_look_at_the_originals_names() {
    block_on(async {
        let settings = [("WIDGET_API_KEY", "too-short"), ("OPENAI_API_KEY", "sk-model"), ("PORT", "x")];
        let mut process = Process::start(BINARY, &["try", "--json", "--listen", "127.0.0.1:0"], &settings);
        let line = process.line(|line| line.starts_with('{')).await;
        let made: Value = serde_json::from_str(&line).unwrap();
        let address = made["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        let request = testkit::Client::new(address).post(CHAT, &message("s", "hi")).header("x-api-key", "too-short");
        super::refused(&request.send().await, 401, "Unauthorized");
        process.terminate().await;
        assert!(process.ended(ENDS).await.success());
    });
}
