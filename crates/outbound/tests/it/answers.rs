use std::time::Duration;

use outbound::{
    ApiClient, Client, HeaderName, HeaderRefusal, HeaderValue, Method, OutboundError, Policy, Url, check_header,
};

use crate::server::{HANG_UP, Server, client, loopback, post};

const NO_PAUSE: Duration = Duration::ZERO;
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n";

#[tokio::test]
async fn an_answer_comes_with_status_headers_and_body() {
    let server = Server::start(&["HTTP/1.1 418 Teapot\r\nx-a: b\r\ncontent-length: 2\r\n\r\nhi"], NO_PAUSE).await;
    let mut request = post(server.url());
    request.headers.push(check_header("Authorization", "Bearer x").unwrap());
    let answer = client().post_json_stream(request).await.unwrap();
    assert_eq!((answer.status, answer.headers["x-a"].as_bytes()), (418, b"b".as_slice()));
    assert_eq!(answer.bytes(2).await.unwrap(), "hi");
    let head = server.seen.heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("post /v1 http/1.1\r\n") && head.ends_with("\r\n\r\n{}"), "{head}");
    assert!(head.contains("authorization: bearer x") && head.contains("content-type: application/json"), "{head}");
    assert!(!head.contains("accept-encoding") && !head.contains("cookie") && !head.contains("referer"), "{head}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let target = Server::start(&[OK], NO_PAUSE).await;
    let location = format!("HTTP/1.1 307 T\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", target.url()).leak();
    let server = Server::start(vec![&*location].leak(), NO_PAUSE).await;
    let answer = client().post_json_stream(post(server.url())).await.unwrap();
    assert_eq!(answer.status, 307);
    let sent = ApiClient::new().unwrap().send(Method::GET, server.url().as_str(), Some("key"), None).await;
    assert_eq!(sent.unwrap().0, 307);
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_an_error() {
    let server = Server::start(&[OK], NO_PAUSE).await;
    let answer = client().post_json_stream(post(server.url())).await.unwrap();
    assert!(matches!(answer.bytes(1).await, Err(OutboundError::TooLarge)));
}

#[tokio::test]
async fn calls_have_a_number_and_one_that_is_over_makes_room() {
    let server = Server::start(&[CHUNKED], NO_PAUSE).await;
    let client = Client::new(Policy { max_calls: Some(1), ..loopback() }).unwrap();
    let first = client.post_json_stream(post(server.url())).await.unwrap();
    assert!(matches!(client.post_json_stream(post(server.url())).await, Err(OutboundError::Busy)));
    assert_eq!(server.connections(), 1, "a refused call opens nothing");
    drop(first);
    client.post_json_stream(post(server.url())).await.unwrap();
}

#[tokio::test]
async fn silence_before_the_head_is_a_timeout() {
    let server = Server::start(&[], NO_PAUSE).await;
    let mut request = post(server.url());
    request.timeout = Duration::from_millis(100);
    assert!(matches!(client().post_json_stream(request).await, Err(OutboundError::Timeout)));
    assert!(server.wait_until_closed(1).await, "the connection is given up too");
}

#[tokio::test]
async fn silence_between_pieces_is_a_timeout_and_slowness_is_not() {
    let slow = Server::start(&[CHUNKED, "3\r\ntwo\r\n", "3\r\nend\r\n", "0\r\n\r\n"], Duration::from_millis(200)).await;
    let mut request = post(slow.url());
    request.timeout = Duration::from_millis(450);
    let answer = client().post_json_stream(request).await.unwrap();
    assert_eq!(answer.bytes(100).await.unwrap(), "onetwoend", "600 ms in all, but never 450 ms of silence");

    let silent = Server::start(&[CHUNKED], NO_PAUSE).await;
    let mut request = post(silent.url());
    request.timeout = Duration::from_millis(200);
    let mut answer = client().post_json_stream(request).await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "one");
    let silence = tokio::time::timeout(Duration::from_secs(2), answer.chunk()).await;
    assert!(matches!(silence, Ok(Err(OutboundError::Timeout))), "the request's own patience counts");
}

#[tokio::test]
async fn dropping_an_answer_closes_the_connection() {
    let server = Server::start(&[CHUNKED], NO_PAUSE).await;
    let client = client();
    let mut answer = client.post_json_stream(post(server.url())).await.unwrap();
    assert!(answer.chunk().await.unwrap().is_some());
    assert!(!server.wait_until_closed(1).await, "still open while the answer is held");
    drop(answer);
    assert!(server.wait_until_closed(1).await);
}

#[tokio::test]
async fn dropping_a_call_before_its_answer_closes_the_connection() {
    let server = Server::start(&[], NO_PAUSE).await;
    let client = client();
    let call = client.post_json_stream(post(server.url()));
    assert!(tokio::time::timeout(Duration::from_millis(200), call).await.is_err());
    assert_eq!(server.connections(), 1);
    assert!(server.wait_until_closed(1).await);
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_an_error_and_not_an_end() {
    const SHORT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi";
    const CASES: [&[&str]; 3] = [&[SHORT, HANG_UP], &[CHUNKED, HANG_UP], &[CHUNKED, "zz\r\n"]];
    for pieces in CASES {
        let server = Server::start(pieces, NO_PAUSE).await;
        let answer = client().post_json_stream(post(server.url())).await.unwrap();
        let result = answer.bytes(100).await;
        assert!(matches!(result, Err(OutboundError::Transport(_))), "{pieces:?}: {result:?}");
    }
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_a_connect_error_without_secrets() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url: Url = format!("http://{free}/v1?key=hunter2").parse().unwrap();
    let error = client().post_json_stream(post(url)).await.unwrap_err();
    assert!(matches!(error, OutboundError::Connect(_)), "{error:?}");
    let port = free.port().to_string();
    assert!(!error.to_string().contains(&port), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn headers_that_steer_the_connection_are_not_sent() {
    let server = Server::start(&[OK], NO_PAUSE).await;
    let mut request = post(server.url());
    request.headers.push((HeaderName::from_static("host"), HeaderValue::from_static("other")));
    let error = client().post_json_stream(request.clone()).await.unwrap_err();
    assert!(matches!(error, OutboundError::Header(HeaderRefusal::Reserved)));
    request.headers = (0..33).map(|i| check_header(&format!("x-{i}"), "v").unwrap()).collect();
    let error = client().post_json_stream(request.clone()).await.unwrap_err();
    assert!(matches!(error, OutboundError::Header(HeaderRefusal::TooMany)));
    request.headers = (0..2).map(|i| check_header(&format!("x-{i}"), &"v".repeat(9000)).unwrap()).collect();
    let error = client().post_json_stream(request).await.unwrap_err();
    assert!(matches!(error, OutboundError::Header(HeaderRefusal::TooMany)));
    assert_eq!(server.connections(), 0);
}

#[test]
fn debug_of_a_request_shows_nothing_of_it() {
    let mut request = post("http://127.0.0.1/?key=hunter2".parse().unwrap());
    request.headers.push((HeaderName::from_static("x-key"), HeaderValue::from_static("hunter2")));
    assert!(!format!("{request:?}").contains("hunter2"));
}
