use std::{net::SocketAddr, time::Duration};

use outbound::{Client, OutboundError, Policy, Response, UrlRefusal};

use crate::server::{Names, Server, client, loopback, post};

const CLOSE: &[&str] = &["HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"];

async fn server() -> Server {
    Server::start(CLOSE, Duration::ZERO).await
}

fn is_refused(result: &Result<Response, OutboundError>, expected: &UrlRefusal) -> bool {
    matches!(result, Err(OutboundError::Refused(refusal)) if refusal == expected)
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_exactly_its_address_is_called() {
    let (server, names) = (server().await, Names::new(&[&["127.0.0.1"], &["10.0.0.1"]]));
    let client = Client::with_lookup(loopback(), names.clone()).unwrap();
    let answer = client.post_json_stream(post(server.url_of("models.example"))).await.unwrap();
    assert_eq!((answer.status, names.asked(), server.connections()), (200, 1, 1));
}

#[tokio::test]
async fn a_name_that_turns_private_later_is_refused_then() {
    let (server, names) = (server().await, Names::new(&[&["127.0.0.1"], &["10.0.0.1"]]));
    let client = Client::with_lookup(loopback(), names.clone()).unwrap();
    let url = server.url_of("rebind.example");
    client.post_json_stream(post(url.clone())).await.unwrap().bytes(10).await.unwrap();
    assert!(server.wait_until_closed(1).await);
    assert!(is_refused(&client.post_json_stream(post(url)).await, &UrlRefusal::Address));
    assert_eq!((names.asked(), server.connections()), (2, 1));
}

#[tokio::test]
async fn one_private_address_among_many_refuses_them_all() {
    for mixed in [["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["127.0.0.1", "::ffff:169.254.169.254"]] {
        let server = server().await;
        let client = Client::with_lookup(loopback(), Names::new(&[&mixed])).unwrap();
        let result = client.post_json_stream(post(server.url_of("mixed.example"))).await;
        assert!(is_refused(&result, &UrlRefusal::Address), "{mixed:?}: {result:?}");
        assert_eq!(server.connections(), 0);
    }
}

#[tokio::test]
async fn without_an_allow_list_a_name_cannot_mean_this_machine() {
    let names = Names::new(&[&["127.0.0.1"]]);
    let client = Client::with_lookup(Policy::default(), names.clone()).unwrap();
    let result = client.post_json_stream(post("https://innocent.example/".parse().unwrap())).await;
    assert!(is_refused(&result, &UrlRefusal::Address), "{result:?}");
    assert_eq!(names.asked(), 1);
}

#[tokio::test]
async fn literal_addresses_are_judged_at_every_call() {
    let server = server().await;
    let client = Client::new(Policy { allow_http: true, ..Policy::default() }).unwrap();
    for host in ["127.0.0.1", "2130706433", "[::1]", "[::ffff:7f00:1]", "169.254.169.254"] {
        let url = format!("http://{host}/").parse().unwrap();
        assert!(is_refused(&client.post_json_stream(post(url)).await, &UrlRefusal::Address), "{host}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_public_name_gets_neither_http_nor_another_port_from_the_allow_list() {
    for (url, expected) in [
        ("http://public.example/", UrlRefusal::Scheme),
        ("https://public.example:9999/", UrlRefusal::Port),
        ("https://intranet/", UrlRefusal::LocalName),
    ] {
        let client = Client::with_lookup(loopback(), Names::new(&[&["8.8.8.8"]])).unwrap();
        assert!(client.check_url(url).is_ok(), "{url}: nothing is known before the lookup");
        let result = client.post_json_stream(post(url.parse().unwrap())).await;
        assert!(is_refused(&result, &expected), "{url}: {result:?}");
    }
}

#[tokio::test]
async fn localhost_works_where_the_operator_opened_it() {
    let server = server().await;
    let answer = client().post_json_stream(post(server.url_of("localhost"))).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn the_server_does_not_call_itself_under_another_name() {
    let server = server().await;
    for own in [server.address, SocketAddr::new("0.0.0.0".parse().unwrap(), server.address.port())] {
        let policy = Policy { own_addresses: vec![own], ..loopback() };
        let client = Client::with_lookup(policy, Names::new(&[&["127.0.0.1"]])).unwrap();
        let result = client.post_json_stream(post(server.url_of("me.example"))).await;
        assert!(is_refused(&result, &UrlRefusal::Address), "{own}: {result:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_database_host_is_refused_under_another_name_and_by_its_address() {
    let server = server().await;
    for host in ["alias.example", "127.0.0.1"] {
        let policy = Policy { denied_hosts: vec!["db.example".to_owned()], ..loopback() };
        let client = Client::with_lookup(policy, Names::new(&[&["127.0.0.1"]])).unwrap();
        let result = client.post_json_stream(post(server.url_of(host))).await;
        assert!(is_refused(&result, &UrlRefusal::Address), "{host}: {result:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_without_addresses_is_a_resolve_error() {
    let client = Client::with_lookup(loopback(), Names::new(&[&[]])).unwrap();
    let result = client.post_json_stream(post("https://nothing.example/".parse().unwrap())).await;
    assert!(matches!(result, Err(OutboundError::Resolve(_))), "{result:?}");
}
