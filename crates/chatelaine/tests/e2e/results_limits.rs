//! What results may take of a server: memory, and the time of others.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::World;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::results::{Survey, run_ids};

on_both! {
    a_page_of_large_runs_ends_early_and_says_where_it_goes_on;
    a_workspace_has_two_exports_and_few_wait_for_a_place;
    a_workspace_counts_once_at_a_time_and_few_wait;
}

async fn a_page_of_large_runs_ends_early_and_says_where_it_goes_on(world: &World) {
    let survey = Survey::of_long_answers(world, 30).await;
    let reads = async |rest: &str| -> (Value, u64) {
        let before = world.store().reads();
        let page = survey.get(rest).await.expect(200).json();
        (page, world.store().reads() - before)
    };
    // The first call also reads what is kept.
    let _ = reads("?per_page=1").await;
    let (one, few) = reads("?per_page=1").await;
    assert_eq!((&one["meta"]["truncated"], &one["meta"]["next"]), (&json!(false), &json!(null)));
    let (page, more) = reads("?per_page=100").await;
    let mut runs = run_ids(&page);
    // 8 MiB are reached by the 27th of 320 kB; of 4 MiB at once thirteen are read.
    assert_eq!((runs.len(), more - few, &page["meta"]["total"]), (27, 2, &json!(30)));
    assert_eq!((&page["meta"]["truncated"], &page["meta"]["next"]), (&json!(true), &json!(runs[26])));
    let (rest, _) = reads(&format!("?per_page=100&before={}", runs[26])).await;
    assert_eq!((&rest["meta"]["truncated"], &rest["meta"]["total"]), (&json!(false), &json!(3)));
    runs.extend(run_ids(&rest));
    assert!(runs.len() == 30 && runs.is_sorted_by(|newer, older| newer > older), "all, the newest first: {runs:?}");
    let _ = survey.get("?before=that").await.refused(400, "INVALID_REQUEST");

    let before = world.store().reads();
    let file = survey.get("/export?format=ndjson").await.expect(200).text();
    assert!(file.ends_with("{\"type\":\"end\",\"count\":30}\n"), "none is lost between two reads");
    let (whole, before) = (world.store().reads() - before, world.store().reads());
    let _ = survey.get("/export?format=ndjson&to=2020-01-01").await.expect(200);
    let empty = world.store().reads() - before;
    assert_eq!(whole - empty, 4, "thirteen, thirteen and four, and their sizes");
}

/// Asks for a file, and takes no more than how it begins.
async fn begin(world: &World, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(world.client().address()).await.unwrap();
    let credential = world.secret().credential().to_owned();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {credential}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    socket.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    socket
}

async fn a_workspace_has_two_exports_and_few_wait_for_a_place(world: &World) {
    let survey = Survey::of_long_answers(world, 60).await;
    let path = survey.path("/export?format=ndjson");
    let held = (begin(world, &path).await, begin(world, &path).await);
    let empty = survey.path("/export?to=2020-01-01");
    let ask = async || {
        let answer = world.secret().get(&empty).await;
        if answer.status == 429 {
            let _ = answer.refused(429, "RATE_LIMITED");
            return 429;
        }
        answer.expect(200).status
    };
    let (a, b, c, d, e, ()) = tokio::join!(ask(), ask(), ask(), ask(), ask(), async {
        sleep(Duration::from_secs(1)).await;
        drop(held);
    });
    let mut answers = [a, b, c, d, e];
    answers.sort_unstable();
    assert_eq!(answers, [200, 200, 200, 200, 429]);
    assert_eq!(ask().await, 200, "the places are free again");
}

async fn a_workspace_counts_once_at_a_time_and_few_wait(world: &World) {
    let survey = Survey::of_long_answers(world, 30).await;
    let ask = async || survey.get("/summary").await.status;
    let all = [ask(), ask(), ask(), ask(), ask(), ask(), ask(), ask(), ask(), ask(), ask(), ask()];
    let answers = futures_util::future::join_all(all).await;
    let of = |status| answers.iter().filter(|answer| **answer == status).count();
    assert!(of(200) >= 5 && of(429) >= 1 && of(200) + of(429) == 12, "{answers:?}");
    assert_eq!(ask().await, 200);
}
