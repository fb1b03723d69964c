//! Carries out what is due.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use ambient::RunId;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::runs::Inner;

/// What is under way, and the bell for whoever begins it.
#[derive(Default)]
pub(crate) struct Desk {
    bell: Notify,
    under_way: Mutex<HashMap<(RunId, String), CancellationToken>>,
}

impl Desk {
    /// There is something to begin.
    pub(crate) fn wake(&self) {
        self.bell.notify_one();
    }

    /// Nobody waits for these any more.
    pub(crate) fn cut(&self, run: RunId, effects: &[String]) {
        let under_way = self.under_way.lock();
        for effect in effects {
            if let Some(token) = under_way.get(&(run, effect.clone())) {
                token.cancel();
            }
        }
    }
}

pub(crate) fn spawn(inner: &Arc<Inner>) {
    let _inner: Weak<Inner> = Arc::downgrade(inner);
}
