//! A body in small pieces that is given up when nobody takes them: what it holds is free then, whether or not
//! its connection goes.

use std::{
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::{sync::Mutex, time::sleep};

/// Few of them are in a connection's own buffers.
const PIECE: usize = 16 * 1024;
/// Looks at a body in the time that it may stand still.
const LOOKS: u32 = 3;

struct Shared<S> {
    /// None once it is given up. Held while the next piece is waited for: then it is not the client who waits.
    sending: Mutex<Option<Sending<S>>>,
    taken: AtomicU64,
}

struct Sending<S> {
    parts: Pin<Box<S>>,
    part: Bytes,
}

impl<S, E> Sending<S>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    async fn next(&mut self) -> Option<Result<Bytes, E>> {
        while self.part.is_empty() {
            match self.parts.next().await? {
                Ok(part) => self.part = part,
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(self.part.split_to(PIECE.min(self.part.len()))))
    }
}

/// The same bytes; they end with `error` once nobody has asked for the next for `idle`, or a third longer.
pub(super) fn cut<S, E>(parts: S, idle: Duration, error: E) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Copy + Send + Sync + 'static,
{
    let sending = Sending { parts: Box::pin(parts), part: Bytes::new() };
    let shared = Arc::new(Shared { sending: Mutex::new(Some(sending)), taken: AtomicU64::new(0) });
    tokio::spawn(watch(Arc::downgrade(&shared), idle / LOOKS));
    stream::unfold(Some(shared), move |shared| async move {
        let shared = shared?;
        let next = match &mut *shared.sending.lock().await {
            Some(sending) => sending.next().await,
            None => return Some((Err(error), None)),
        };
        shared.taken.fetch_add(1, Ordering::Relaxed);
        Some((next?, Some(shared)))
    })
}

/// Until the body is given up, or gone by itself.
async fn watch<S>(shared: Weak<Shared<S>>, pause: Duration) {
    let (mut seen, mut quiet) = (0, 0);
    loop {
        sleep(pause).await;
        let Some(shared) = shared.upgrade() else { return };
        let Ok(mut sending) = shared.sending.try_lock() else {
            quiet = 0;
            continue;
        };
        let taken = shared.taken.load(Ordering::Relaxed);
        quiet = if taken == seen { quiet + 1 } else { 0 };
        seen = taken;
        if quiet >= LOOKS {
            *sending = None;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_millis(90);

    type Body = Pin<Box<dyn Stream<Item = Result<Bytes, &'static str>> + Send>>;

    /// Parts of a file, with something that is held while it is written.
    fn body(parts: usize) -> (Arc<()>, Body) {
        let held = Arc::new(());
        let parts = stream::unfold((0, Arc::clone(&held)), move |(n, held)| async move {
            (n < parts).then(|| (Ok(Bytes::from(vec![b'x'; PIECE + 1])), (n + 1, held)))
        });
        (held, Box::pin(cut(parts, IDLE, "idle")))
    }

    #[tokio::test]
    async fn a_body_that_is_taken_arrives_whole_in_small_pieces() {
        let (held, mut body) = body(6);
        let mut taken = Vec::new();
        while let Some(piece) = body.next().await {
            taken.push(piece.unwrap().len());
            // Slowly, and longer in all than it may stand still.
            sleep(IDLE / 4).await;
        }
        assert_eq!(taken, [PIECE, 1].repeat(6));
        drop(body);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test]
    async fn what_nobody_takes_is_let_go_of_and_ends_in_an_error() {
        let (held, mut body) = body(6);
        assert!(body.next().await.unwrap().is_ok());
        assert_eq!(Arc::strong_count(&held), 2);
        sleep(IDLE * 3).await;
        assert_eq!(Arc::strong_count(&held), 1, "before anybody looks at it again");
        assert_eq!(body.next().await.unwrap(), Err("idle"));
        assert!(body.next().await.is_none());
    }

    #[tokio::test]
    async fn a_body_whose_next_part_takes_long_is_not_given_up() {
        let parts = stream::once(async {
            sleep(IDLE * 3).await;
            Ok::<_, &'static str>(Bytes::from_static(b"late"))
        });
        let mut body = Box::pin(cut(parts, IDLE, "idle"));
        assert_eq!(body.next().await.unwrap().unwrap(), "late");
        assert!(body.next().await.is_none());
    }
}
