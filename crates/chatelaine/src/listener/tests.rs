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
