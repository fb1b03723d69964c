//! WebSockets at the gate: the handshake, credentials in it and after it, and what a socket bears.

use std::time::Duration;

use access::{Access, Caller, Limit};
use futures_util::{SinkExt, StreamExt};
use gate::{Call, Nothing, Operation, Routes, Socket, SocketConfig, Upgraded};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::CloseFrame},
};

use crate::world::{Reached, World};

const PROTOCOL: &str = "chatelaine.v1";
const SOCKET: Operation<Nothing, Upgraded> = Operation::socket(
    "/api/participant/ws",
    "follow_run",
    "Follows.",
    Access::closed(Limit::Participant).participant().first_message(),
);

/// Says who came in, then says everything again; `bye` closes, `pay` is charged, `flood` says more than fits.
async fn echo(mut socket: Socket, caller: Caller) {
    let door = socket.door();
    let participant = match caller {
        Caller::Participant(participant) => participant,
        _ => match socket.recv().await {
            None => return,
            Some(token) => match door.authenticate_participant(&token).await {
                Ok(participant) => participant,
                Err(problem) => return socket.close(4401, problem.code()).await,
            },
        },
    };
    let _ = socket.send(format!("hello {}", participant.role)).await;
    while let Some(text) = socket.recv().await {
        if text == "bye" {
            return socket.close(4000, "as you wish").await;
        }
        if text == "pay" && door.charge(&participant).is_err() {
            return socket.close(4429, "RATE_LIMITED").await;
        }
        while text == "flood" && socket.send("a".repeat(64 * 1024)).await.is_ok() {}
        if socket.send(text).await.is_err() {
            return;
        }
    }
}

pub(crate) fn mount(routes: &mut Routes<Reached>) {
    let follow = |_: Reached, call: Call<Nothing>| {
        let config = SocketConfig {
            ping_every: Duration::from_millis(500),
            send_within: Duration::from_millis(500),
            ..SocketConfig::default()
        };
        let caller = call.caller;
        let upgraded = call.request.upgrade(Some(PROTOCOL), config, move |socket| echo(socket, caller));
        std::future::ready(upgraded)
    };
    routes.mount(SOCKET, follow);
}

impl World {
    /// The client's end of a connection to this server.
    fn connect(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(256 * 1024);
        let service = TowerToHyperService::new(self.router.clone());
        tokio::spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(server), service).with_upgrades().await;
        });
        client
    }

    async fn open(&self, protocols: Option<&str>, headers: &[(&'static str, &str)]) -> Result<Client, u16> {
        let mut request = "ws://localhost/api/participant/ws".into_client_request().unwrap();
        for (name, value) in headers.iter().copied().chain(protocols.map(|text| ("sec-websocket-protocol", text))) {
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let answered = client_async(request, self.connect()).await;
        if let Err(Error::Http(answer)) = &answered {
            return Err(answer.status().as_u16());
        }
        let (client, answer) = answered.unwrap();
        let chosen = answer.headers().get("sec-websocket-protocol").map(|name| name.to_str().unwrap());
        assert_eq!(chosen, protocols.map(|_| PROTOCOL), "no more than the protocol is said back");
        assert!(answer.headers().contains_key("x-request-id"));
        Ok(client)
    }
}

type Client = WebSocketStream<DuplexStream>;

async fn text(client: &mut Client) -> String {
    client.next().await.unwrap().unwrap().into_text().unwrap().to_string()
}

/// The close, after whatever comes before it.
async fn closed(client: &mut Client) -> Option<(u16, String)> {
    let wait = async {
        while let Some(Ok(message)) = client.next().await {
            if let Message::Close(frame) = message {
                return frame.map(|CloseFrame { code, reason }| (code.into(), reason.to_string()));
            }
        }
        None
    };
    tokio::time::timeout(Duration::from_secs(5), wait).await.unwrap()
}

#[tokio::test]
async fn a_token_comes_as_a_subprotocol_as_a_header_or_as_the_first_message() {
    let world = World::new(|_| None).await;
    let token = world.participant(5, "customer");
    let offered = format!("{PROTOCOL}, chatelaine.bearer.{token}");
    let mut client = world.open(Some(&offered), &[("origin", "https://any.example")]).await.unwrap();
    assert_eq!(text(&mut client).await, "hello customer");
    client.send(Message::text("one")).await.unwrap();
    assert_eq!(text(&mut client).await, "one");
    client.send(Message::text("bye")).await.unwrap();
    assert_eq!(closed(&mut client).await, Some((4000, "as you wish".to_owned())));
    let mut client = world.open(None, &[("authorization", &format!("Bearer {token}"))]).await.unwrap();
    assert_eq!(text(&mut client).await, "hello customer");
    let mut client = world.open(Some(PROTOCOL), &[]).await.unwrap();
    client.send(Message::text(token)).await.unwrap();
    assert_eq!(text(&mut client).await, "hello customer");
    let mut client = world.open(None, &[]).await.unwrap();
    client.send(Message::text(world.deployment.1.as_str())).await.unwrap();
    assert_eq!(closed(&mut client).await, Some((4401, "INVALID_TOKEN".to_owned())));
}

#[tokio::test]
async fn a_handshake_is_refused_before_anything_is_upgraded() {
    let world = World::new(|_| None).await;
    let token = world.participant(5, "customer");
    let bearer = format!("Bearer {token}");
    let in_list = format!("chatelaine.bearer.{token}");
    let refused = async |protocols: Option<&str>, headers: &[(&'static str, &str)]| {
        world.open(protocols, headers).await.err().unwrap()
    };
    assert_eq!(refused(Some(&format!("{PROTOCOL}, {in_list}")), &[("authorization", &bearer)]).await, 400, "two");
    assert_eq!(refused(Some(&format!("{in_list}, {in_list}")), &[]).await, 400, "two in the list");
    assert_eq!(refused(Some("soap"), &[("authorization", &bearer)]).await, 400, "none that we speak");
    assert_eq!(refused(Some(&format!("{PROTOCOL}, chatelaine.bearer.")), &[]).await, 401);
    assert_eq!(refused(Some(&format!("{PROTOCOL}, {in_list}x")), &[]).await, 401);
    assert_eq!(refused(Some(&format!("{PROTOCOL}, chatelaine.bearer.{}", world.secret)), &[]).await, 403);
    for origin in ["null", "", "https://", "nonsense", "https://a.example/path", "https://a b", "https://a.example,b"] {
        assert_eq!(refused(None, &[("authorization", &bearer), ("origin", origin)]).await, 403, "{origin:?}");
    }
    for origin in ["https://a.example", "http://[::1]:80", "capacitor://localhost"] {
        assert!(world.open(None, &[("authorization", &bearer), ("origin", origin)]).await.is_ok(), "{origin:?}");
    }
    assert!(world.sockets.tracker.len() <= 3, "a refused handshake leaves no task");
}

#[tokio::test]
async fn what_is_no_handshake_of_version_13_is_400_for_whoever_is_admitted() {
    let world = World::new(|_| None).await;
    let bearer = format!("Bearer {}", world.participant(5, "customer"));
    let whole = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let ask = async |method: &str, headers: &[(&str, &str)]| {
        let mut client = world.connect();
        let mut head = format!("{method} /api/participant/ws HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        client.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        let count = client.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..count]).into_owned()
    };
    let upgraded = ask("GET", &whole).await;
    // The vector of RFC 6455, section 1.3.
    assert!(upgraded.starts_with("HTTP/1.1 101") && upgraded.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{upgraded}");
    for missing in 0..whole.len() {
        let headers: Vec<_> = whole.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, one)| *one).collect();
        assert!(ask("GET", &headers).await.starts_with("HTTP/1.1 400"), "without {}", whole[missing].0);
    }
    for (at, wrong) in [(2, "8"), (3, "c2hvcnQ="), (3, "not base64 at all, is it"), (1, "h2c")] {
        let mut headers = whole;
        headers[at].1 = wrong;
        assert!(ask("GET", &headers).await.starts_with("HTTP/1.1 400"), "{wrong}");
    }
    assert!(ask("HEAD", &whole).await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_socket_bears_no_large_binary_or_endless_talk() {
    let world = World::new(|_| None).await;
    let bearer = format!("Bearer {}", world.participant(5, "customer"));
    let open = async || {
        let mut client = world.open(None, &[("authorization", &bearer)]).await.unwrap();
        assert_eq!(text(&mut client).await, "hello customer");
        client
    };
    let mut client = open().await;
    let fits = "a".repeat(64 * 1024);
    client.send(Message::text(fits.as_str())).await.unwrap();
    assert_eq!(text(&mut client).await, fits);
    let _ = client.send(Message::text("a".repeat(64 * 1024 + 1))).await;
    assert_eq!(closed(&mut client).await.map(|(code, _)| code), Some(1009));
    let mut client = open().await;
    client.send(Message::binary(vec![1, 2])).await.unwrap();
    assert_eq!(closed(&mut client).await.map(|(code, _)| code), Some(1003));
    let mut client = open().await;
    for _ in 0..=100 {
        client.feed(Message::Ping(bytes::Bytes::new())).await.unwrap();
    }
    client.flush().await.unwrap();
    assert_eq!(closed(&mut client).await.map(|(code, _)| code), Some(1008));
}

#[tokio::test]
async fn who_answers_pings_stays_and_who_is_silent_goes() {
    let world = World::new(|_| None).await;
    let bearer = format!("Bearer {}", world.participant(5, "customer"));
    let silent = world.open(None, &[("authorization", &bearer)]).await.unwrap();
    let mut lively = world.open(None, &[("authorization", &bearer)]).await.unwrap();
    assert_eq!(text(&mut lively).await, "hello customer");
    // Some pings later; reading is what answers them.
    let pings = tokio::time::timeout(Duration::from_millis(2500), async {
        let mut pings = 0;
        while let Some(Ok(Message::Ping(_))) = lively.next().await {
            pings += 1;
        }
        pings
    });
    assert!(pings.await.is_err(), "it was not closed");
    assert_eq!(world.sockets.tracker.len(), 1, "the silent one has gone");
    lively.send(Message::text("still here")).await.unwrap();
    while text_or_ping(&mut lively).await != "still here" {}
    drop(silent);
}

async fn text_or_ping(client: &mut Client) -> String {
    match client.next().await.unwrap().unwrap() {
        Message::Text(text) => text.to_string(),
        _ => String::new(),
    }
}

#[tokio::test]
async fn a_server_that_closes_its_door_has_no_socket_left() {
    let world = World::new(|_| None).await;
    let bearer = format!("Bearer {}", world.participant(5, "customer"));
    let mut client = world.open(None, &[("authorization", &bearer)]).await.unwrap();
    assert_eq!(text(&mut client).await, "hello customer");
    world.sockets.closing.cancel();
    world.sockets.tracker.close();
    world.sockets.tracker.wait().await;
    assert!(closed(&mut client).await.is_none());
}

#[tokio::test]
async fn a_message_in_a_socket_costs_what_a_request_costs() {
    let world = World::new(|_| None).await;
    let bearer = format!("Bearer {}", world.participant(5, "customer"));
    let mut client = world.open(None, &[("authorization", &bearer)]).await.unwrap();
    assert_eq!(text(&mut client).await, "hello customer");
    for _ in 0..59 {
        client.send(Message::text("pay")).await.unwrap();
        assert_eq!(text_or_ping(&mut client).await, "pay");
    }
    client.send(Message::text("pay")).await.unwrap();
    assert_eq!(closed(&mut client).await, Some((4429, "RATE_LIMITED".to_owned())));
    assert_eq!(world.open(None, &[("authorization", &bearer)]).await.err(), Some(429));
}

#[tokio::test]
async fn who_reads_nothing_is_not_waited_for() {
    let world = World::new(|_| None).await;
    let bearer = format!("Bearer {}", world.participant(5, "customer"));
    let mut client = world.open(None, &[("authorization", &bearer)]).await.unwrap();
    client.send(Message::text("flood")).await.unwrap();
    world.sockets.tracker.close();
    tokio::time::timeout(Duration::from_secs(5), world.sockets.tracker.wait()).await.expect("it was given up");
    drop(client);
}
