use std::{
    io::{IsTerminal as _, Read, Write},
    sync::{Arc, Mutex, PoisonError},
};

type Sink = Arc<Mutex<Box<dyn Write + Send>>>;

/// Standard input, output and error as arguments: data goes to `out`, everything else to `err`.
/// What cannot be written is dropped: whoever reads has gone.
#[derive(Clone)]
pub struct Terminal {
    out: Sink,
    err: Sink,
    input: Arc<Mutex<Box<dyn Read + Send>>>,
    /// Whether `out` is a terminal, so that a person reads it.
    pub out_is_terminal: bool,
    /// Whether a person can be asked.
    pub in_is_terminal: bool,
    /// Whether `err` is a terminal.
    pub err_is_terminal: bool,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

impl Terminal {
    /// The process's.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            out: sink(std::io::stdout()),
            err: sink(std::io::stderr()),
            input: Arc::new(Mutex::new(Box::new(std::io::stdin()))),
            out_is_terminal: std::io::stdout().is_terminal(),
            in_is_terminal: std::io::stdin().is_terminal(),
            err_is_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Streams of the caller's; none of them is a terminal.
    pub fn of_streams(
        input: impl Read + Send + 'static,
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
    ) -> Self {
        Self {
            out: sink(out),
            err: sink(err),
            input: Arc::new(Mutex::new(Box::new(input))),
            out_is_terminal: false,
            in_is_terminal: false,
            err_is_terminal: false,
        }
    }

    /// A line of data.
    pub fn out(&self, line: impl AsRef<str>) {
        write(&self.out, line.as_ref());
    }

    /// A line for the person.
    pub fn err(&self, line: impl AsRef<str>) {
        write(&self.err, line.as_ref());
    }

    /// What is going on, in place of what was said so before; nothing takes it away.
    pub(crate) fn progress(&self, text: &str) {
        let mut sink = self.err.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = write!(sink, "\r{text}\u{1b}[K").and_then(|()| sink.flush());
    }

    /// The input, to be read piece by piece.
    pub(crate) fn reader(&self) -> impl Read + use<> {
        Input(Arc::clone(&self.input))
    }

    /// The first line of the input, without its end; at most 64 KiB.
    ///
    /// # Errors
    /// When it cannot be read or is not UTF-8.
    pub fn read_line(&self) -> std::io::Result<String> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut line, mut byte) = (Vec::new(), [0]);
        while line.len() < 64 * 1024 && input.read(&mut byte)? == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        let text = String::from_utf8(line).map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidData))?;
        Ok(text.trim().to_owned())
    }

    /// The whole input, at most `limit` bytes.
    ///
    /// # Errors
    /// When it cannot be read, is longer or is not UTF-8.
    pub fn read_all(&self, limit: usize) -> std::io::Result<String> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        input.by_ref().take(most).read_to_string(&mut text)?;
        if text.len() > limit { Err(too_large()) } else { Ok(text) }
    }
}

struct Input(Arc<Mutex<Box<dyn Read + Send>>>);

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(buffer)
    }
}

fn too_large() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::FileTooLarge, "the input is larger than what is read of it")
}

fn sink(stream: impl Write + Send + 'static) -> Sink {
    Arc::new(Mutex::new(Box::new(stream)))
}

fn write(sink: &Sink, line: &str) {
    let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = writeln!(sink, "{line}").and_then(|()| sink.flush());
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Keeps what a command writes.
    #[derive(Clone, Default)]
    pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
