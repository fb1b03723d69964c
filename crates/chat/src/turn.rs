//! One message of a conversation is answered at a time; the next ones wait in line.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use ambient::ConversationId;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many messages of one conversation may wait behind the one that is answered.
pub(crate) const MAX_WAITING: usize = 8;

/// The line of this conversation is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineFull;

/// The lines of all conversations. Holds only those in which something happens now.
#[derive(Clone, Default)]
pub(crate) struct Turns {
    lines: Arc<Mutex<HashMap<ConversationId, Line>>>,
}

struct Line {
    turn: Arc<Semaphore>,
    /// The one whose turn it is, and those who wait.
    members: usize,
}

/// The turn of one message; dropping it calls the next.
pub(crate) struct Turn {
    // Declared first, so dropped first: the next in line goes before the line is counted.
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

struct Place {
    turns: Turns,
    conversation: ConversationId,
}

impl Turns {
    /// Waits, first come first served. Dropping the future leaves the line.
    pub(crate) async fn wait(&self, conversation: ConversationId) -> Result<Turn, LineFull> {
        let (turn, place) = self.join(conversation)?;
        // Nobody closes the semaphore; a closed one would mean that there is no line.
        let permit = turn.acquire_owned().await.map_err(|_| LineFull)?;
        Ok(Turn { _permit: permit, _place: place })
    }

    fn join(&self, conversation: ConversationId) -> Result<(Arc<Semaphore>, Place), LineFull> {
        let mut lines = self.lines.lock();
        let line = lines.entry(conversation).or_insert_with(|| Line { turn: Arc::new(Semaphore::new(1)), members: 0 });
        if line.members > MAX_WAITING {
            return Err(LineFull);
        }
        line.members += 1;
        Ok((Arc::clone(&line.turn), Place { turns: self.clone(), conversation }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut line) = self.turns.lines.lock().entry(self.conversation) {
            line.get_mut().members -= 1;
            if line.get().members == 0 {
                line.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ambient::Ulid;
    use tokio::time::timeout;

    use super::*;

    const A: ConversationId = ConversationId(Ulid(1));
    const B: ConversationId = ConversationId(Ulid(2));
    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn the_second_waits_for_the_first_and_another_conversation_for_nobody() {
        let turns = Turns::default();
        let first = turns.wait(A).await.unwrap();
        assert!(timeout(SOON, turns.wait(A)).await.is_err(), "waits");
        assert!(timeout(SOON, turns.wait(B)).await.is_ok());
        drop(first);
        assert!(timeout(SOON, turns.wait(A)).await.is_ok());
    }

    #[tokio::test]
    async fn the_line_is_served_in_order() {
        let turns = Turns::default();
        let first = turns.wait(A).await.unwrap();
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..MAX_WAITING {
            let (turns, served) = (turns.clone(), Arc::clone(&served));
            waiting.push(tokio::spawn(async move {
                let _turn = turns.wait(A).await.unwrap();
                served.lock().push(number);
            }));
            tokio::task::yield_now().await;
        }
        drop(first);
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*served.lock(), (0..MAX_WAITING).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_full_line_refuses_and_who_leaves_makes_room() {
        let turns = Turns::default();
        let first = turns.wait(A).await.unwrap();
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(turns.wait(A))).collect();
        for place in &mut waiting {
            assert!(timeout(Duration::ZERO, place).await.is_err());
        }
        assert!(matches!(timeout(SOON, turns.wait(A)).await, Ok(Err(LineFull))));
        waiting.pop();
        assert!(timeout(SOON, turns.wait(A)).await.is_err(), "there is room to wait again");
        drop((waiting, first));
        assert!(turns.lines.lock().is_empty(), "an empty line is forgotten");
    }
}
