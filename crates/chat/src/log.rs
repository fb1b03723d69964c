//! What a reply has said so far, kept once however many read it.
//!
//! A reader is a place in the log and needs no queue of its own: who falls behind reads the same text in
//! larger pieces, and the one who writes never waits.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{EventId, Numbered, ReplyEvent};

/// A reader no further behind than this gets each event as it was said.
pub(crate) const NEAR: usize = 64;
/// The longest text that a reader who is further behind gets in one piece, in bytes.
const MAX_PIECE: usize = 16 * 1024;

/// One reply: its events in order, from any number of which a reader may go on.
pub(crate) struct ReplyLog {
    /// The place of the message that is answered.
    pub(crate) position: u64,
    /// What its sender called the message.
    pub(crate) client_key: Option<Box<str>>,
    /// Tells another text under the same key.
    pub(crate) text_hash: u64,
    /// Which reply of its conversation, in the order of their beginnings; set when it is entered there.
    pub(crate) sequence: u64,
    /// Events are numbered from here on: 0, unless an earlier answer to the message had numbers of its own.
    base: u64,
    state: Mutex<State>,
    wake: Notify,
    readers: watch::Sender<usize>,
    stop: CancellationToken,
}

#[derive(Default)]
struct State {
    text: String,
    /// Where in the text each event ends. One that adds no text is in `others`.
    marks: Vec<u32>,
    /// By the number of its mark, in order.
    others: Vec<(u32, ReplyEvent)>,
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Told,
    /// Overtakes what is unread: after a revocation not one more word goes out.
    Cut,
}

/// What a reader finds at its place.
pub(crate) enum Found {
    Event(Numbered),
    /// Nothing yet.
    Later,
    /// Nothing more.
    Over,
}

/// Whoever reads a reply on its way; dropping it says that the client left.
pub(crate) struct Reader(Arc<ReplyLog>);

impl ReplyLog {
    pub(crate) fn new(position: u64, base: u64, text: &str, client_key: Option<&str>) -> Self {
        Self {
            position,
            client_key: client_key.map(Box::from),
            text_hash: hash(text),
            sequence: 0,
            base,
            state: Mutex::default(),
            wake: Notify::new(),
            readers: watch::Sender::new(0),
            stop: CancellationToken::new(),
        }
    }

    /// Appends text to the answer; its reader has it at once.
    pub(crate) fn say(&self, delta: &str) {
        let mut state = self.state.lock();
        state.text.push_str(delta);
        state.mark();
        drop(state);
        self.wake.notify_waiters();
    }

    /// Appends a whole answer, in pieces: one who reads slowly holds no more than one of them, and after a cut
    /// gets no more than that.
    pub(crate) fn say_whole(&self, mut text: &str) {
        while !text.is_empty() {
            let (piece, rest) = text.split_at(text.floor_char_boundary(MAX_PIECE));
            self.say(piece);
            text = rest;
        }
    }

    /// Appends an event that is not text.
    pub(crate) fn add(&self, event: ReplyEvent) {
        self.state.lock().add(event);
        self.wake.notify_waiters();
    }

    /// Appends the last event; nothing comes after it.
    pub(crate) fn end(&self, event: ReplyEvent) {
        self.finish(event, End::Told);
    }

    /// Ends it before whatever is unread, and forgets the text.
    pub(crate) fn cut(&self, event: ReplyEvent) {
        self.finish(event, End::Cut);
    }

    fn finish(&self, event: ReplyEvent, end: End) {
        let mut state = self.state.lock();
        if state.end.is_none() {
            state.add(event);
            state.end = Some(end);
            if end == End::Cut {
                state.text = String::new();
            }
            state.text.shrink_to_fit();
            state.marks.shrink_to_fit();
        }
        drop(state);
        self.wake.notify_waiters();
    }

    /// The answer so far.
    pub(crate) fn text(&self) -> String {
        self.state.lock().text.clone()
    }

    /// How long the answer is, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().text.len()
    }

    /// What it takes in memory, roughly, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let state = self.state.lock();
        size_of::<Self>() + state.text.capacity() + state.marks.capacity() * size_of::<u32>()
    }

    /// What is after the first `seen` events; moves `seen` on.
    pub(crate) fn read(&self, seen: &mut usize) -> Found {
        let state = self.state.lock();
        let count = state.marks.len();
        if state.end == Some(End::Cut) && *seen < count {
            *seen = count - 1;
        }
        if *seen >= count {
            return if state.end.is_some() { Found::Over } else { Found::Later };
        }
        let (event, next) = state.event(*seen);
        *seen = next;
        Found::Event(Numbered { id: self.id(next), event })
    }

    /// The name of the event before which `seen` events were.
    pub(crate) fn id(&self, seen: usize) -> EventId {
        let number = match seen {
            0 => 0,
            seen => self.base + u64::try_from(seen).unwrap_or(u64::MAX),
        };
        EventId { position: self.position, number }
    }

    pub(crate) fn last_id(&self) -> EventId {
        self.id(self.state.lock().marks.len())
    }

    /// How many events a reader has seen whose last one was `number`; `None` when it is none of these.
    pub(crate) fn place_of(&self, number: u64) -> Option<usize> {
        if number == 0 {
            return Some(0);
        }
        let seen = usize::try_from(number.checked_sub(self.base)?).ok()?;
        (1..=self.state.lock().marks.len()).contains(&seen).then_some(seen)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().end.is_some()
    }

    pub(crate) fn was_cut(&self) -> bool {
        self.state.lock().end == Some(End::Cut)
    }

    /// Whether it came to its end, and how many events it has.
    pub(crate) fn outcome(&self) -> Option<(bool, usize)> {
        let state = self.state.lock();
        state.end?;
        let whole = matches!(state.others.last(), Some((_, ReplyEvent::End { .. })));
        Some((whole, state.marks.len()))
    }

    /// For a reader: enable it, look, then wait.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.wake.notified()
    }

    pub(crate) async fn over(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed());
            changed.as_mut().enable();
            if self.is_over() {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn reader(self: &Arc<Self>) -> Reader {
        self.readers.send_modify(|readers| *readers += 1);
        Reader(Arc::clone(self))
    }

    /// How many read it.
    pub(crate) fn readers(&self) -> watch::Receiver<usize> {
        self.readers.subscribe()
    }

    /// Its user wants no more of it.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

impl Reader {
    pub(crate) fn log(&self) -> &Arc<ReplyLog> {
        &self.0
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.readers.send_modify(|readers| *readers -= 1);
    }
}

impl State {
    fn mark(&mut self) {
        // An answer has a mebibyte at most.
        self.marks.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    fn add(&mut self, event: ReplyEvent) {
        self.others.push((u32::try_from(self.marks.len()).unwrap_or(u32::MAX), event));
        self.mark();
    }

    fn offset(&self, events: usize) -> usize {
        events.checked_sub(1).and_then(|last| self.marks.get(last)).map_or(0, |end| *end as usize)
    }

    /// The event after the first `seen`, and how many have been seen with it.
    fn event(&self, seen: usize) -> (ReplyEvent, usize) {
        let next_other = self.others.partition_point(|(mark, _)| (*mark as usize) < seen);
        let other = self.others.get(next_other);
        let limit = match other {
            Some((mark, event)) if *mark as usize == seen => return (event.clone(), seen + 1),
            Some((mark, _)) => *mark as usize,
            None => self.marks.len(),
        };
        let (start, behind) = (self.offset(seen), self.marks.len() - seen);
        let next = if behind > NEAR {
            let within = self.marks[seen..limit].partition_point(|end| *end as usize - start <= MAX_PIECE);
            seen + within.max(1)
        } else {
            seen + 1
        };
        (ReplyEvent::Delta(self.text.get(start..self.offset(next)).unwrap_or_default().to_owned()), next)
    }
}

pub(crate) fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ReplyErrorCode, Usage};

    fn log() -> ReplyLog {
        ReplyLog::new(7, 0, "hi", None)
    }

    fn end() -> ReplyEvent {
        ReplyEvent::End { usage: Usage::default(), end_session: false }
    }

    fn read_all(log: &ReplyLog, seen: &mut usize) -> Vec<Numbered> {
        let mut all = Vec::new();
        while let Found::Event(event) = log.read(seen) {
            all.push(event);
        }
        all
    }

    fn text_of(events: &[Numbered]) -> String {
        let text = |n: &Numbered| if let ReplyEvent::Delta(text) = &n.event { text.clone() } else { String::new() };
        events.iter().map(text).collect()
    }

    #[test]
    fn every_place_goes_on_without_a_loss_and_without_a_double() {
        let log = log();
        log.add(ReplyEvent::Start { agent_name: "Ada".to_owned() });
        for word in 0..40 {
            log.say(&format!("wörd{word} "));
        }
        log.add(ReplyEvent::Handoff { to: "human".to_owned() });
        for word in 40..500 {
            log.say(&format!("wörd{word} "));
        }
        log.end(end());
        let whole: String = (0..500).map(|word| format!("wörd{word} ")).collect();
        assert_eq!(log.text(), whole);
        for stop in 0..=503 {
            // Read one event at a time up to `stop` as it was said, then the rest from the last id.
            let end_of_first = log.state.lock().offset(stop);
            let mut place = log.place_of(stop as u64).unwrap();
            let rest = read_all(&log, &mut place);
            assert_eq!(format!("{}{}", &whole[..end_of_first], text_of(&rest)), whole, "{stop}");
            assert!(rest.windows(2).all(|pair| pair[0].id < pair[1].id));
            assert!(stop == 503 || rest.last().is_some_and(|last| last.id == EventId { position: 7, number: 503 }));
            assert!(stop > 41 || rest.iter().filter(|n| matches!(n.event, ReplyEvent::Handoff { .. })).count() == 1);
        }
    }

    #[test]
    fn who_keeps_up_gets_each_event_and_who_does_not_gets_fewer_larger_ones() {
        let log = log();
        let mut near = 0;
        for _ in 0..NEAR {
            log.say("a");
        }
        assert_eq!(read_all(&log, &mut near).len(), NEAR);
        log.say("b");
        let far = read_all(&log, &mut 0);
        assert_eq!((far.len(), text_of(&far).len(), far[0].id.number), (1, NEAR + 1, 65));
        for _ in 0..3 {
            log.say(&"x".repeat(MAX_PIECE));
        }
        let sizes: Vec<_> = {
            for _ in 0..NEAR {
                log.say("c");
            }
            read_all(&log, &mut 0).iter().map(|event| text_of(std::slice::from_ref(event)).len()).collect()
        };
        assert!(sizes.iter().all(|size| *size <= MAX_PIECE), "one piece is bounded too: {sizes:?}");
    }

    #[test]
    fn a_cut_overtakes_what_is_unread_and_leaves_no_text() {
        let log = log();
        for _ in 0..100 {
            log.say("secret");
        }
        log.cut(ReplyErrorCode::Revoked.event());
        log.end(end());
        let mut seen = 3;
        let rest = read_all(&log, &mut seen);
        assert_eq!(
            rest,
            [Numbered { id: EventId { position: 7, number: 101 }, event: ReplyErrorCode::Revoked.event() }]
        );
        assert!(matches!(log.read(&mut seen), Found::Over) && log.was_cut() && log.text().is_empty());
    }

    #[test]
    fn a_whole_answer_is_said_in_pieces_and_no_character_is_cut_through() {
        let (log, text) = (log(), "aü€😀".repeat(10_000));
        log.say_whole(&text);
        log.say_whole("");
        log.end(end());
        let all = read_all(&log, &mut 0);
        let sizes: Vec<_> = all.iter().map(|event| text_of(std::slice::from_ref(event)).len()).collect();
        assert!(text_of(&all) == text && sizes.iter().all(|size| *size <= MAX_PIECE), "{sizes:?}");
        assert_eq!(sizes.len(), text.len().div_ceil(MAX_PIECE) + 1);
    }

    #[test]
    fn numbers_of_an_earlier_answer_are_nobodys() {
        let log = ReplyLog::new(7, 1 << 21, "hi", None);
        log.say("a");
        assert_eq!(log.place_of(0), Some(0));
        assert_eq!((log.place_of(1), log.place_of(1 << 21), log.place_of((1 << 21) + 2)), (None, None, None));
        assert_eq!(log.place_of((1 << 21) + 1), Some(1));
        assert_eq!(read_all(&log, &mut 0)[0].id.number, (1 << 21) + 1);
    }

    #[test]
    fn an_open_reply_takes_little_memory_besides_its_text() {
        let log = log();
        log.add(ReplyEvent::Start { agent_name: "Ada".to_owned() });
        for _ in 0..64 {
            log.say("word ");
        }
        assert!(log.bytes() < 2048, "{}", log.bytes());
    }
}
