//! One server at a time on one PostgreSQL database.

use std::{sync::Arc, time::Duration};

use ambient::{OsRandom, SystemClock};
use testkit::{Backend, Client, Process, TestDatabase};

use crate::{
    harness::block_on,
    serve::{ENDS, all_printed, client_of, serve},
};

/// It starts no matter what was before, and says nothing about it.
async fn starts_at_once(database: &TestDatabase) -> (Process, Client) {
    let process = serve(database, "127.0.0.1:0");
    let client = client_of(&process).await;
    assert!(!all_printed(&process).contains("another server"), "{}", all_printed(&process));
    (process, client)
}

#[test]
fn a_second_server_is_refused_and_the_next_one_after_a_clean_stop_is_not() {
    block_on(async {
        let database = TestDatabase::new(Backend::Postgres).await;
        let (mut first, client) = starts_at_once(&database).await;
        let mut second = serve(&database, "127.0.0.1:0");
        assert!(!second.ended(ENDS).await.success());
        let printed = all_printed(&second);
        assert!(printed.contains("another server is using this database") && printed.contains("--database-url"));
        let _ = client.get("/readyz").send().await.expect(200);
        first.terminate().await;
        assert!(first.ended(ENDS).await.success());
        let (mut third, _) = starts_at_once(&database).await;
        third.terminate().await;
        assert!(third.ended(ENDS).await.success());
    });
}

#[test]
fn after_a_power_cut_the_next_start_waits_until_it_is_sure() {
    block_on(async {
        let database = TestDatabase::new(Backend::Postgres).await;
        let (first, _) = starts_at_once(&database).await;
        first.kill().await;
        let mut next = serve(&database, "127.0.0.1:0");
        let _ = next.line(|line| line.contains("waiting up to 11 seconds")).await;
        // A server that is only slow has this long to show that it lives.
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert!(!all_printed(&next).contains(" listens on "), "{}", all_printed(&next));
        let client = client_of(&next).await;
        let _ = client.get("/readyz").send().await.expect(200);
        next.terminate().await;
        assert!(next.ended(ENDS).await.success());
    });
}

#[test]
fn a_server_that_has_lost_its_database_to_another_one_ends() {
    block_on(async {
        let database = TestDatabase::new(Backend::Postgres).await;
        let (mut process, client) = starts_at_once(&database).await;
        let url = database.url().unwrap();
        let store = store::Store::open(&url, Arc::new(SystemClock::new()), Arc::new(OsRandom)).await.unwrap();
        let mut taken = false;
        while !taken {
            let seen = store.lease().await.unwrap();
            taken = store.take_lease("other", seen.as_ref()).await.unwrap();
        }
        let _ = client.get("/healthz").send().await.expect(200);
        assert!(!process.ended(ENDS).await.success());
        assert!(all_printed(&process).contains("another server serves from this database"));
        assert_eq!(store.lease().await.unwrap().unwrap().node, "other", "it takes nothing along");
        store.close().await;
    });
}
