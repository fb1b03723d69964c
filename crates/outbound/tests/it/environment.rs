use std::{process::Command, time::Duration};

use outbound::{ApiClient, Method};

use crate::server::{Server, client, post};

const OK: &[&str] = &["HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"];

#[tokio::test]
async fn a_call_goes_to_the_server_itself() {
    let server = Server::start(OK, Duration::ZERO).await;
    assert_eq!(client().post_json_stream(post(server.url())).await.unwrap().status, 200);
    let url = server.url();
    assert_eq!(ApiClient::new().unwrap().send(Method::GET, url.as_str(), None, None).await.unwrap().0, 200);
    assert_eq!(server.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_in_the_environment_is_not_used() {
    let proxy = Server::start(OK, Duration::ZERO).await;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "environment::a_call_goes_to_the_server_itself"]);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, format!("http://{}", proxy.address));
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert_eq!(proxy.connections(), 0);
}
