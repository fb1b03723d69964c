//! How a test is run on both databases.

use testkit::{Backend, World};

/// Makes of each function a test on SQLite and one on PostgreSQL, each in a new world.
macro_rules! on_both {
    ($($name:ident;)+) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                crate::harness::in_a_world(testkit::Backend::Sqlite, super::$name);
            }

            #[test]
            fn postgres() {
                crate::harness::in_a_world(testkit::Backend::Postgres, super::$name);
            }
        }
    )+};
}

/// As `on_both`, for functions that make their server themselves.
macro_rules! on_each {
    ($($name:ident;)+) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                crate::harness::block_on(super::$name(testkit::Backend::Sqlite));
            }

            #[test]
            fn postgres() {
                crate::harness::block_on(super::$name(testkit::Backend::Postgres));
            }
        }
    )+};
}

pub(crate) fn in_a_world(backend: Backend, test: impl AsyncFnOnce(&World)) {
    block_on(async {
        let world = World::new(backend).await;
        test(&world).await;
        world.end().await;
    });
}

pub(crate) fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_chatelaine");
