//! A model and a tool on a bare socket. What is asked for says how they behave.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `POST /v1/chat/completions`, and the headers.
    pub(crate) head: String,
    pub(crate) body: Value,
}

#[derive(Clone)]
pub(crate) struct Outside {
    address: SocketAddr,
    asked: Arc<std::sync::Mutex<Vec<Asked>>>,
    hung_up: Arc<AtomicUsize>,
}

impl Outside {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let outside = Self { address, asked: Arc::default(), hung_up: Arc::default() };
        let serving = outside.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(socket));
            }
        });
        outside
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many left before they had an answer.
    pub(crate) fn hung_up(&self) -> usize {
        self.hung_up.load(Ordering::SeqCst)
    }

    async fn serve(self, mut socket: TcpStream) {
        let Some(asked) = read(&mut socket).await else { return };
        self.asked.lock().unwrap().push(asked.clone());
        let (status, body) = answer(&asked);
        if status == 0 {
            let _ = socket.read(&mut [0; 1]).await;
            self.hung_up.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
        sleep(Duration::from_millis(1)).await;
    }
}

fn answer(asked: &Asked) -> (u16, String) {
    let path = asked.head.split(' ').nth(1).unwrap_or_default();
    match path {
        "/v1/chat/completions" => {}
        "/hang" => return (0, String::new()),
        "/tool" => return (200, json!({"got": asked.body}).to_string()),
        _ => return (404, "no".to_owned()),
    }
    let said = asked.body["messages"].as_array().and_then(|all| all.last()).map(|last| last["content"].clone());
    let said = said.unwrap_or_default();
    let text = match asked.body["model"].as_str().unwrap_or_default() {
        "hang" => return (0, String::new()),
        "broken" => return (500, "{}".to_owned()),
        _ if asked.body["response_format"].is_object() => {
            json!({"summary": "It is broken.", "urgency": "high"}).to_string()
        }
        _ => format!("I heard {}", said.as_str().unwrap_or_default()),
    };
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 2});
    (200, json!({"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}).to_string())
}

async fn read(socket: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                let head = text.split_once("\r\n\r\n").map(|(head, _)| head.to_owned())?;
                return Some(Asked { head, body: serde_json::from_str(body).unwrap_or_default() });
            }
        }
        let mut chunk = [0; 4096];
        match socket.read(&mut chunk).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
            _ => return None,
        }
    }
}
