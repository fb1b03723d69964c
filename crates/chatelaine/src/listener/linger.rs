//! Closing without losing the last words.
//!
//! When a socket is closed while bytes that nobody read are waiting in it, the kernel resets the
//! connection, and the client may never see the answer that told it why. So after a refusal we
//! say that we are done, and read and forget what still comes, for a short while.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};

const PATIENCE: Duration = Duration::from_secs(2);
const MOST: usize = 8 * 1024 * 1024;

pub(super) struct Linger {
    told: bool,
    read: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Linger {
    pub(super) fn new() -> Self {
        Self { told: false, read: 0, deadline: Box::pin(tokio::time::sleep(PATIENCE)) }
    }

    pub(super) fn poll(&mut self, stream: &mut TcpStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.told {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
            self.told = true;
        }
        let mut scrap = [0; 4096];
        while self.read < MOST {
            let mut buffer = ReadBuf::new(&mut scrap);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.read += buffer.filled().len(),
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return self.deadline.as_mut().poll(context).map(Ok),
            }
        }
        Poll::Ready(Ok(()))
    }
}
