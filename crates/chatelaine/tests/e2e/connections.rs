//! A client that opens more connections than the process may have.

use std::time::Duration;

use testkit::{Client, Process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{BINARY, block_on};

/// A server that may have `files` open files.
async fn start(files: u32, temporary: &tempfile::TempDir) -> (Process, Client) {
    let limited = format!("ulimit -n {files} && exec \"$0\" try --json --listen 127.0.0.1:0");
    let settings = [("TMPDIR", temporary.path().to_str().unwrap())];
    let process = Process::start("/bin/sh", &["-c", &limited, BINARY], &settings);
    let made: serde_json::Value = serde_json::from_str(&process.line(|line| line.starts_with('{')).await).unwrap();
    let client = Client::new(made["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap());
    (process, client)
}

#[test]
fn one_client_with_more_sockets_than_there_are_files_shuts_nobody_out() {
    block_on(async {
        let temporary = tempfile::tempdir().unwrap();
        let (process, client) = start(200, &temporary).await;
        let mut held = Vec::new();
        for n in 0..230 {
            let mut socket =
                timeout(Duration::from_secs(5), TcpStream::connect(client.address())).await.unwrap().unwrap();
            if n % 2 == 0 {
                // Kept open after an answer, as browsers do.
                socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
                let mut start = [0; 12];
                timeout(Duration::from_secs(5), socket.read_exact(&mut start)).await.unwrap().unwrap();
                assert_eq!(&start, b"HTTP/1.1 200");
            }
            held.push(socket);
        }
        for _ in 0..20 {
            let answer =
                timeout(Duration::from_secs(5), client.get("/readyz").send()).await.expect("an answer in time");
            let _ = answer.expect(200);
        }
        let said = process.stderr();
        let warnings = said.iter().filter(|line| line.contains("connection")).count();
        assert!(warnings <= 2, "{warnings} lines: {said:?}");
    });
}
