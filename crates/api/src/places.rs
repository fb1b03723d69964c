//! Places for work that fills memory or keeps others waiting: each of many has a few, a few more may wait, and
//! the rest is told to come back.

use std::{collections::HashMap, hash::Hash, sync::Arc, time::Duration};

use gate::Problem;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Seconds after which who was refused may come back.
const RETRY_AFTER: u32 = 5;

/// What each has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) at_once: usize,
    pub(crate) waiting: usize,
    /// How long one waits at most.
    pub(crate) patience: Duration,
}

/// The places of everybody, by `K`; nothing is kept of who has none.
pub(crate) struct Places<K: Copy + Eq + Hash>(Arc<Inner<K>>);

struct Inner<K> {
    share: Share,
    lines: Mutex<HashMap<K, Line>>,
}

struct Line {
    free: Arc<Semaphore>,
    /// Who has a place, or waits for one.
    users: usize,
}

/// A place; free again when it is dropped.
pub(crate) struct Place<K: Copy + Eq + Hash> {
    // Before the line may go.
    _permit: OwnedSemaphorePermit,
    _turn: Turn<K>,
}

struct Turn<K: Copy + Eq + Hash> {
    inner: Arc<Inner<K>>,
    of: K,
}

impl<K: Copy + Eq + Hash> Places<K> {
    pub(crate) fn new(share: Share) -> Self {
        Self(Arc::new(Inner { share, lines: Mutex::default() }))
    }

    /// The next free place of `of`.
    ///
    /// # Errors
    /// 429 when as many wait as may, or when it took too long.
    pub(crate) async fn take(&self, of: K) -> Result<Place<K>, Problem> {
        let share = self.0.share;
        let (free, turn) = {
            let mut lines = self.0.lines.lock();
            let line =
                lines.entry(of).or_insert_with(|| Line { free: Arc::new(Semaphore::new(share.at_once)), users: 0 });
            if line.users >= share.at_once + share.waiting {
                return Err(Problem::rate_limited(RETRY_AFTER));
            }
            line.users += 1;
            (Arc::clone(&line.free), Turn { inner: Arc::clone(&self.0), of })
        };
        let permit = timeout(share.patience, free.acquire_owned()).await;
        let permit = permit.map_err(|_| Problem::rate_limited(RETRY_AFTER))?.map_err(Problem::unavailable)?;
        Ok(Place { _permit: permit, _turn: turn })
    }
}

impl<K: Copy + Eq + Hash + Send + Sync + 'static> Place<K> {
    /// Does the work to its end, also when nobody waits for it any more: what it keeps busy is busy so long, and so
    /// the place is taken.
    ///
    /// # Errors
    /// When it panicked.
    pub(crate) async fn held_for<T: Send + 'static>(
        self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Problem> {
        let done = tokio::spawn(async move {
            let done = work.await;
            drop(self);
            done
        });
        done.await.map_err(Problem::unavailable)
    }
}

impl<K: Copy + Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        let mut lines = self.inner.lines.lock();
        if let Some(line) = lines.get_mut(&self.of) {
            line.users -= 1;
            if line.users == 0 {
                lines.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(patience: Duration) -> Places<u8> {
        Places::new(Share { at_once: 2, waiting: 1, patience })
    }

    #[tokio::test]
    async fn each_has_its_places_and_one_more_waits_for_the_first_that_is_free() {
        let places = places(Duration::from_secs(60));
        let (first, second) = (places.take(1).await.unwrap(), places.take(1).await.unwrap());
        let other = places.take(2).await.unwrap();
        let (waited, refused, ()) = tokio::join!(places.take(1), places.take(1), async {
            tokio::task::yield_now().await;
            drop(first);
        });
        let refused = refused.err().unwrap();
        assert_eq!((refused.status().as_u16(), refused.retry_after()), (429, Some(RETRY_AFTER)));
        drop((waited.unwrap(), second, other));
        assert!(places.0.lines.lock().is_empty(), "nothing is kept of who has gone");
    }

    #[tokio::test]
    async fn work_keeps_its_place_until_it_ends_also_when_nobody_waits_for_it() {
        let places = places(Duration::from_millis(1));
        let place = places.take(1).await.unwrap();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let left = timeout(Duration::from_millis(1), place.held_for(ended)).await;
        assert!(left.is_err() && places.0.lines.lock()[&1].users == 1);
        end.send(()).unwrap();
        while !places.0.lines.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(places.take(1).await.unwrap().held_for(async { 7 }).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn who_waits_too_long_or_leaves_is_not_in_the_line() {
        let places = places(Duration::from_millis(20));
        let held = (places.take(1).await.unwrap(), places.take(1).await.unwrap());
        assert_eq!(places.take(1).await.err().unwrap().status().as_u16(), 429);
        assert!(timeout(Duration::from_millis(1), places.take(1)).await.is_err());
        assert_eq!(places.0.lines.lock()[&1].users, 2);
        drop(held);
        assert!(places.0.lines.lock().is_empty());
    }
}
