use ambient::{OsRandom, SystemClock};
use axum::{body::Body, routing::get};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

struct Rig {
    address: SocketAddr,
    stage: watch::Sender<Stage>,
    connections: TaskTracker,
}

async fn start(router: Router) -> Rig {
    start_with(router, Caps::of_process(0, &[])).await
}

async fn start_with(router: Router, caps: Caps) -> Rig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stage, receiver) = watch::channel(Stage::Serving);
    let connections = TaskTracker::new();
    let listening = Listening {
        router,
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(OsRandom),
        stage: receiver,
        connections: connections.clone(),
        caps,
    };
    tokio::spawn(listening.accept(listener));
    Rig { address, stage, connections }
}

async fn talk(rig: &Rig, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    // The server may stop reading before everything is sent.
    let (_, read) = tokio::join!(writer.write_all(request), reader.read_to_end(&mut answer));
    read.unwrap();
    String::from_utf8(answer).unwrap()
}

fn hello() -> Router {
    Router::new().route(
        "/",
        get(|request: Request<Body>| async move {
            let peer = request.extensions().get::<gate::Peer>().map(|peer| peer.0.ip().to_string());
            peer.unwrap_or_default()
        }),
    )
}

#[tokio::test]
async fn a_handler_learns_the_clients_address() {
    let rig = start(hello()).await;
    let answer = talk(&rig, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn a_header_of_a_megabyte_is_answered_431_in_the_envelope() {
    let rig = start(hello()).await;
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let answer = talk(&rig, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"]["code"], "HEADERS_TOO_LARGE");
}

#[tokio::test]
async fn what_is_not_http_is_answered_400_in_the_envelope() {
    let rig = start(hello()).await;
    let answer = talk(&rig, b"\x16\x03\x01 hello\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("INVALID_REQUEST"), "{answer}");
}

#[tokio::test]
async fn a_drain_lets_the_answer_at_hand_finish_and_then_closes() {
    let (release, gate) = watch::channel(false);
    let router = Router::new().route(
        "/",
        get(move || {
            let mut gate = gate.clone();
            async move {
                gate.wait_for(|open| *open).await.unwrap();
                "done"
            }
        }),
    );
    let rig = start(router).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let idle = TcpStream::connect(rig.address).await.unwrap();
    while rig.connections.len() < 2 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    rig.stage.send_replace(Stage::Draining);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(rig.address).await.is_err(), "the listener is closed");
    assert_eq!(rig.connections.len(), 1, "the idle connection is closed, the busy one is not");
    release.send_replace(true);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    drop(idle);
    rig.connections.close();
    rig.connections.wait().await;
}

#[tokio::test]
async fn a_stream_that_does_not_end_is_cut_at_the_deadline() {
    let router = Router::new()
        .route("/", get(|| async { Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>()) }));
    let rig = start(router).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    rig.stage.send_replace(Stage::Draining);
    rig.connections.close();
    let waited = tokio::time::timeout(Duration::from_millis(200), rig.connections.wait()).await;
    assert!(waited.is_err(), "draining waits for it");
    rig.stage.send_replace(Stage::Closing);
    rig.connections.wait().await;
}

/// Answers 101 and says back what it reads.
fn echo() -> Router {
    let upgrade = |mut request: Request<Body>| async move {
        let connection = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(connection.await.unwrap());
            let mut byte = [0];
            while let Ok(1) = io.read(&mut byte).await {
                io.write_all(&byte).await.unwrap();
            }
        });
        let headers = [("connection", "upgrade"), ("upgrade", "websocket")];
        (StatusCode::SWITCHING_PROTOCOLS, headers, ())
    };
    hello().route("/socket", get(upgrade))
}

#[tokio::test]
async fn a_socket_keeps_its_place_and_is_not_asked_to_leave_it() {
    let rig = start_with(echo(), Caps::of(1, 0)).await;
    let mut socket = TcpStream::connect(rig.address).await.unwrap();
    let handshake = b"GET /socket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    socket.write_all(handshake).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    // The connection's task is over; the place is not.
    while !rig.connections.is_empty() {
        tokio::task::yield_now().await;
    }
    let mut next = TcpStream::connect(rig.address).await.unwrap();
    next.write_all(HELLO).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(500), next.read_u8()).await;
    assert!(waited.is_err(), "there is no room for another");
    socket.write_all(b"x").await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'x', "and the socket goes on");
    drop(socket);
    let answer = tokio::time::timeout(Duration::from_secs(5), next.read_u8()).await;
    assert_eq!(answer.unwrap().unwrap(), b'H', "its place is free when it has gone");
}

const HELLO: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Whether a new connection is answered.
async fn is_answered(stream: &mut TcpStream) -> bool {
    let _ = stream.write_all(HELLO).await;
    let mut start = [0; 12];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut start)).await;
    matches!(read, Ok(Ok(_))) && &start == b"HTTP/1.1 200"
}

#[tokio::test]
async fn a_full_house_lets_the_next_one_in_for_one_that_waits() {
    let rig = start_with(hello(), Caps::of(3, 0)).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(rig.address).await.unwrap());
    }
    while rig.connections.len() < 3 {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        silent.push(TcpStream::connect(rig.address).await.unwrap());
        assert!(is_answered(silent.last_mut().unwrap()).await);
        assert!(rig.connections.len() <= 4, "{}", rig.connections.len());
    }
}

#[tokio::test]
async fn an_address_that_has_its_share_gets_no_more_until_one_of_its_connections_ends() {
    let rig = start_with(hello(), Caps::of(100, 2)).await;
    let mut first = TcpStream::connect(rig.address).await.unwrap();
    let second = TcpStream::connect(rig.address).await.unwrap();
    let mut third = TcpStream::connect(rig.address).await.unwrap();
    assert!(!is_answered(&mut third).await, "closed at once");
    assert!(is_answered(&mut first).await, "the others stay");
    drop(second);
    while rig.connections.len() > 1 {
        tokio::task::yield_now().await;
    }
    assert!(is_answered(&mut TcpStream::connect(rig.address).await.unwrap()).await);
}

#[tokio::test]
async fn a_house_full_of_work_makes_the_next_one_wait_and_cuts_nobody() {
    let (release, gate) = watch::channel(false);
    let router = Router::new().route(
        "/",
        get(move || {
            let mut gate = gate.clone();
            async move {
                gate.wait_for(|open| *open).await.unwrap();
                "done"
            }
        }),
    );
    let rig = start_with(router, Caps::of(2, 0)).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(HELLO).await.unwrap();
        busy.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut next = TcpStream::connect(rig.address).await.unwrap();
    next.write_all(HELLO).await.unwrap();
    let mut start = [0; 12];
    let waited = tokio::time::timeout(Duration::from_millis(300), next.read_exact(&mut start)).await;
    assert!(waited.is_err() && rig.connections.len() == 2, "it waits");
    release.send_replace(true);
    for stream in busy.iter_mut().chain([&mut next]) {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut start)).await;
        assert!(matches!(read, Ok(Ok(_))) && &start == b"HTTP/1.1 200");
    }
}

#[tokio::test]
async fn a_house_that_is_full_still_stops() {
    let router = Router::new().route("/", get(std::future::pending::<()>));
    let rig = start_with(router, Caps::of(1, 0)).await;
    let mut busy = TcpStream::connect(rig.address).await.unwrap();
    busy.write_all(HELLO).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let _next = TcpStream::connect(rig.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    rig.stage.send_replace(Stage::Draining);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(rig.address).await.is_err(), "the listener is closed");
}

#[tokio::test]
async fn a_request_without_one_host_is_refused_in_the_envelope_and_nothing_after_it_is_read() {
    let rig = start(hello()).await;
    for head in ["", "host: a\r\nhost: b\r\n"] {
        let request = format!("GET / HTTP/1.1\r\n{head}\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let answer = talk(&rig, request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 "), "{answer}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], "INVALID_REQUEST");
        let id = body["error"]["request_id"].as_str().unwrap();
        assert!(head.contains(&format!("x-request-id: {id}")) && head.contains("application/json"), "{head}");
    }
    assert!(talk(&rig, b"GET / HTTP/1.0\r\n\r\n").await.contains(" 200 "), "HTTP/1.0 has none");
}
