use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use ambient::{Clock, Random};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{activity::Activity, admission::Place, linger::Linger, refusal};

/// A client's stream that reports what happens on it, and puts our refusals in place of hyper's.
pub(super) struct Socket {
    stream: TcpStream,
    activity: Arc<Activity>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    replacing: Option<Replacing>,
    linger: Option<Linger>,
    _place: Option<Place>,
}

/// Bytes that go out in place of `of` bytes of hyper's.
struct Replacing {
    bytes: Vec<u8>,
    sent: usize,
    of: usize,
}

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        activity: Arc<Activity>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { stream, activity, clock, random, replacing: None, linger: None, _place: None }
    }

    /// Keeps a place until it is dropped.
    pub(super) fn holding(self, place: Place) -> Self {
        Self { _place: Some(place), ..self }
    }

    /// Looks at what begins to be written. Only refusals begin with `HTTP/1.1 4`.
    fn inspect(&mut self, bytes: &[u8]) {
        if self.replacing.is_some() || !bytes.starts_with(b"HTTP/1.1 4") {
            return;
        }
        if let Some(ours) = refusal::replacement(bytes, &*self.clock, &*self.random) {
            self.replacing = Some(Replacing { bytes: ours, sent: 0, of: bytes.len() });
            self.linger.get_or_insert_with(Linger::new);
        } else if refusal::leaves_input_unread(bytes) {
            self.linger.get_or_insert_with(Linger::new);
        }
    }

    /// Sends our bytes; says that hyper's went out when the last of ours did.
    fn poll_replacing(&mut self, context: &mut Context<'_>) -> Option<Poll<io::Result<usize>>> {
        let replacing = self.replacing.as_mut()?;
        while replacing.sent < replacing.bytes.len() {
            match Pin::new(&mut self.stream).poll_write(context, &replacing.bytes[replacing.sent..]) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(sent)) => replacing.sent += sent,
                other => return Some(other),
            }
        }
        let of = replacing.of;
        self.replacing = None;
        Some(Poll::Ready(Ok(of)))
    }

    fn report(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.activity.block(),
            Poll::Ready(Ok(bytes)) => self.activity.wrote(*bytes),
            Poll::Ready(Err(_)) => {}
        }
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.activity.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.inspect(bytes);
        let written = match self.poll_replacing(context) {
            Some(written) => written,
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        };
        self.report(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = slices.first() {
            self.inspect(first);
        }
        let written = match self.poll_replacing(context) {
            Some(written) => written,
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        };
        self.report(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match &mut this.linger {
            Some(linger) => linger.poll(&mut this.stream, context),
            None => Pin::new(&mut this.stream).poll_shutdown(context),
        }
    }
}
