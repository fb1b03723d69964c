//! One request, one line; see `docs/request-log.md`. The line is put together off the request's
//! path, from a bounded queue that counts what it drops: a slow disk slows nobody down.

use std::{
    io::Write,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use access::Caller;
use ambient::{Millis, RequestId, Ulid, WorkspaceId};
use parking_lot::Mutex;

/// Where lines go.
pub type LogSink = Box<dyn Write + Send>;

/// How many lines may wait: two megabytes of them.
const QUEUE: usize = 16_384;

/// How long the writer rests when nothing waits. It is never woken: a wake-up would cost the
/// request more than the line does.
const REST: Duration = Duration::from_millis(20);

/// What is written about one request. Ids only: no credential, no path parameter, no query.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// When it arrived.
    pub time: Millis,
    /// The request.
    pub id: RequestId,
    /// The method of the operation, or `-`.
    pub method: &'static str,
    /// The operation's id, `not_found` or `method_not_allowed`.
    pub operation: &'static str,
    /// The answer's status.
    pub status: u16,
    /// Until the answer's head, in microseconds.
    pub micros: u64,
    /// The stable code of a refusal.
    pub code: Option<&'static str>,
    /// What kind of credential, and which.
    pub caller: Option<(&'static str, &'static str, Option<Ulid>)>,
    /// Whose.
    pub workspace: Option<WorkspaceId>,
    /// The client.
    pub address: IpAddr,
}

impl LogLine {
    pub(crate) fn caller_of(caller: &Caller) -> Option<(&'static str, &'static str, Option<Ulid>)> {
        match caller {
            Caller::Anonymous => None,
            Caller::Key(key) => Some((key.kind.as_str(), ambient::KeyId::PREFIX, Some(key.key.0))),
            Caller::Session(session) => {
                Some(("session", ambient::ConversationId::PREFIX, Some(session.conversation.0)))
            }
            // Of the run; the role is the workflow's word and not ours.
            Caller::Participant(participant) => Some(("participant", ambient::RunId::PREFIX, Some(participant.run.0))),
            Caller::Member(member) => Some(("member", ambient::MemberId::PREFIX, Some(member.member.0))),
            Caller::Static(key) => Some(("static_key", key.kind.as_str(), None)),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        // Every value is a number, an id or one of our own words: nothing needs escaping.
        let _ = write!(
            out,
            r#"{{"time":"{}","request_id":"{}","method":"{}","operation":"{}","status":{},"duration_us":{}"#,
            self.time, self.id, self.method, self.operation, self.status, self.micros
        );
        if let Some(code) = self.code {
            let _ = write!(out, r#","code":"{code}""#);
        }
        if let Some((kind, prefix, id)) = self.caller {
            let _ = write!(out, r#","credential":"{kind}","credential_id":"{prefix}"#);
            if let Some(id) = id {
                let _ = write!(out, "{id}");
            }
            out.push(b'"');
        }
        if let Some(workspace) = self.workspace {
            let _ = write!(out, r#","workspace_id":"{workspace}""#);
        }
        let _ = writeln!(out, r#","address":"{}"}}"#, self.address);
    }
}

/// The queue and its writer. Clones share; [`RequestLog::close`] writes what waits.
#[derive(Clone)]
pub struct RequestLog(Option<Arc<Inner>>);

struct Inner {
    sender: SyncSender<LogLine>,
    dropped: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl RequestLog {
    /// Writes nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Writes JSON lines to `sink`, from a thread of its own.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn to(sink: LogSink) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let (dropped, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ending) = (Arc::clone(&dropped), Arc::clone(&stop));
        let writer = std::thread::Builder::new()
            .name("request-log".to_owned())
            .spawn(move || write_lines(&receiver, sink, &count, &ending))?;
        Ok(Self(Some(Arc::new(Inner { sender, dropped, stop, writer: Mutex::new(Some(writer)) }))))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn record(&self, line: LogLine) {
        let Some(inner) = &self.0 else { return };
        if inner.sender.try_send(line).is_err() {
            inner.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many lines were dropped because the writer did not keep up.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.dropped.load(Ordering::Relaxed))
    }

    /// Writes what waits, and ends the writer. Blocks for as long as that takes.
    pub fn close(&self) {
        let Some(inner) = &self.0 else { return };
        inner.stop.store(true, Ordering::Release);
        if let Some(writer) = inner.writer.lock().take() {
            // A writer that panicked has nothing more to write.
            let _ = writer.join();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, not a worker of the runtime")]
fn write_lines(receiver: &Receiver<LogLine>, mut sink: LogSink, dropped: &AtomicU64, stop: &AtomicBool) {
    let mut buffer = Vec::with_capacity(64 * 1024);
    let mut reported = 0;
    loop {
        let ending = stop.load(Ordering::Acquire);
        let closed = loop {
            match receiver.try_recv() {
                Ok(line) => line.write(&mut buffer),
                Err(TryRecvError::Empty) => break false,
                Err(TryRecvError::Disconnected) => break true,
            }
            if buffer.len() > 60 * 1024 {
                break false;
            }
        };
        let lost = dropped.load(Ordering::Relaxed);
        if lost > reported {
            let _ = writeln!(buffer, r#"{{"event":"request_log_dropped","lines":{}}}"#, lost - reported);
            reported = lost;
        }
        if buffer.is_empty() {
            if closed || ending {
                return;
            }
            std::thread::sleep(REST);
            continue;
        }
        // A full disk must not stop the server; the count of dropped lines tells.
        if sink.write_all(&buffer).and_then(|()| sink.flush()).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
        buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn line(status: u16) -> LogLine {
        LogLine {
            time: Millis(0),
            id: RequestId(Ulid(1)),
            method: "GET",
            operation: "get_me",
            status,
            micros: 12,
            code: (status != 200).then_some("NOT_FOUND"),
            caller: Some(("secret", "key_", Some(Ulid(2)))),
            workspace: Some(WorkspaceId(Ulid(3))),
            address: IpAddr::from([127, 0, 0, 1]),
        }
    }

    #[test]
    fn every_line_is_json_and_none_is_lost_at_close() {
        let sink = Shared::default();
        let log = RequestLog::to(Box::new(sink.clone())).unwrap();
        for i in 0..5000 {
            log.record(line(if i % 2 == 0 { 200 } else { 404 }));
        }
        log.close();
        let text = String::from_utf8(sink.0.lock().clone()).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!((lines.len(), log.dropped()), (5000, 0));
        assert_eq!(lines[1]["code"], "NOT_FOUND");
        assert_eq!(lines[0]["credential_id"], "key_00000000000000000000000002");
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        struct Stuck;
        impl Write for Stuck {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                std::thread::park();
                Ok(0)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let log = RequestLog::to(Box::new(Stuck)).unwrap();
        for _ in 0..QUEUE * 2 {
            log.record(line(200));
        }
        assert!(log.dropped() >= (QUEUE / 2) as u64, "{}", log.dropped());
    }
}
