use outbound::{Client, OutboundError, Policy, Request, Response};
use serde_json::{Value, json};

use super::*;

fn client() -> Client {
    Client::new(Policy { allow: vec!["127.0.0.0/8".parse().unwrap()], ..Policy::default() }).unwrap()
}

async fn ask(upstream: &Upstream, model: &str, stream: bool) -> Result<Response, OutboundError> {
    let client = client();
    let body = json!({
        "model": model, "stream": stream, "stream_options": {"include_usage": true},
        "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "one two three"}],
    });
    let url = client.check_url(&format!("{}/chat/completions", upstream.url())).unwrap();
    let headers = vec![outbound::check_header("authorization", "Bearer sk-test").unwrap()];
    let body = body.to_string().into();
    client.post_json_stream(Request { url, headers, body, timeout: Duration::from_secs(2) }).await
}

async fn read(upstream: &Upstream, model: &str) -> (u16, String) {
    let answer = ask(upstream, model, true).await.unwrap();
    let status = answer.status;
    (status, String::from_utf8_lossy(&answer.bytes(32 << 20).await.unwrap()).into_owned())
}

fn events(text: &str) -> Vec<Value> {
    text.split_terminator("\n\n").filter_map(|e| serde_json::from_str(e.strip_prefix("data: ")?).ok()).collect()
}

/// Waits, since a server sees a little later that its client has left.
async fn wait_for(condition: impl Fn() -> bool) -> bool {
    for _ in 0..200 {
        if condition() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

#[tokio::test]
async fn words_are_streamed_as_the_protocol_says() {
    let upstream = Upstream::start().await;
    let (status, text) = read(&upstream, "echo-words").await;
    assert!(status == 200 && text.ends_with("data: [DONE]\n\n"));
    let events = events(&text);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let words: Vec<_> = events.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(words, ["", "one ", "two ", "three"]);
    assert_eq!(events[4]["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        events[5],
        json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "echo-words", "choices": [],
            "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
        })
    );
    assert!(wait_for(|| upstream.active() == 0).await);
    assert_eq!((upstream.cancelled(), upstream.first_token_sent_at().len()), (0, 1));
    let request = &upstream.requests()[0];
    assert_eq!((request.header("authorization"), &request.body["stream"]), ("Bearer sk-test", &json!(true)));
}

#[tokio::test]
async fn a_request_without_stream_gets_one_object() {
    let upstream = Upstream::start().await;
    let answer = ask(&upstream, "any", false).await.unwrap().bytes(4096).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "one two three");
    assert_eq!(answer["usage"]["total_tokens"], 8);
}

#[tokio::test]
async fn a_client_that_leaves_is_counted() {
    let upstream = Upstream::start().await;
    for (gone, model) in [(1, "slow"), (2, "slow")] {
        let mut answer = ask(&upstream, model, true).await.unwrap();
        assert!(answer.chunk().await.unwrap().is_some());
        assert_eq!((upstream.active(), upstream.cancelled()), (1, gone - 1));
        drop(answer);
        assert!(wait_for(|| upstream.active() == 0 && upstream.cancelled() == gone).await);
    }
    let hanging = tokio::time::timeout(Duration::from_millis(100), ask(&upstream, "hang", true)).await;
    assert!(hanging.is_err());
    assert!(wait_for(|| upstream.active() == 0 && upstream.cancelled() == 3).await);
}

#[tokio::test]
async fn failures_are_told_as_statuses() {
    let upstream = Upstream::start().await;
    for (model, status) in [("status-500", 500), ("status-429", 429), ("status-503", 503)] {
        let (got, text) = read(&upstream, model).await;
        assert_eq!(got, status);
        assert!(serde_json::from_str::<Value>(&text).unwrap()["error"]["message"].is_string());
    }
    assert_eq!((upstream.active(), upstream.cancelled()), (0, 0));
}

#[tokio::test]
async fn broken_streams_break_in_their_own_way() {
    let upstream = Upstream::start().await;
    let (_, text) = read(&upstream, "midway-error").await;
    let sent = events(&text);
    assert_eq!(sent.len(), 5);
    assert_eq!(sent[4]["error"]["message"], "the model failed midway");
    assert!(!text.contains("[DONE]"));

    let mut answer = ask(&upstream, "cut", true).await.unwrap();
    let mut text = Vec::new();
    let end = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => text.extend_from_slice(&chunk),
            end => break end,
        }
    };
    assert!(matches!(end, Err(OutboundError::Transport(_))), "{end:?}");
    assert_eq!(String::from_utf8(text).unwrap().matches("word").count(), 3);

    let (_, text) = read(&upstream, "garbage").await;
    assert!(events(&text).is_empty());
}

#[tokio::test]
async fn huge_is_ten_mebibytes_of_tokens() {
    let (_, text) = read(&Upstream::start().await, "huge").await;
    let size: usize =
        events(&text).iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).map(str::len).sum();
    assert_eq!(size, 10 << 20);
}
