//! The real binary as a child of the test.
#![expect(clippy::expect_used, clippy::panic, reason = "a test without its process is over")]

use std::{
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::eventually;

/// How long a line is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running program; killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
}

#[derive(Debug)]
struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    reading: JoinHandle<()>,
}

impl Output {
    fn of(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let reading = tokio::spawn(async move {
            let mut reader = BufReader::new(stream).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { lines, reading }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Process {
    /// Starts `program`. Of this process's environment it gets `PATH` and `HOME` alone, and of
    /// `settings` all.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "what any program gets from whoever starts it")]
    pub fn start(program: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(settings.iter().copied());
        for name in ["PATH", "HOME", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name).filter(|_| !settings.iter().any(|(given, _)| *given == name)) {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the program starts");
        let stdout = Output::of(child.stdout.take().expect("its output"));
        let stderr = Output::of(child.stderr.take().expect("its errors"));
        Self { child, stdout, stderr }
    }

    /// What it has printed.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lines()
    }

    /// What it has printed on the other one.
    #[must_use]
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lines()
    }

    /// The first line of either output that `wanted` likes.
    ///
    /// # Panics
    /// When none comes in 20 s; shows what came.
    pub async fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        let mut found = None;
        let seen = async || {
            let (out, err) = (self.stdout(), self.stderr());
            found = out.into_iter().chain(err).find(|line| wanted(line));
            found.is_some()
        };
        if !eventually(PATIENCE, seen).await {
            panic!("the line did not come; it printed {:#?} {:#?}", self.stdout(), self.stderr());
        }
        found.unwrap_or_default()
    }

    /// Its number; 0 when it has ended.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Asks it to end (SIGTERM).
    pub async fn terminate(&self) {
        self.signal("-TERM").await;
    }

    /// Ends it as a power cut does (SIGKILL), and waits until it is gone.
    pub async fn kill(mut self) {
        // It may have ended already.
        let _ = self.child.kill().await;
    }

    async fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let _ = Command::new("kill").args([signal, &id]).status().await;
    }

    /// Waits for its end, and for the last line.
    ///
    /// # Panics
    /// When it does not end in `patience`.
    pub async fn ended(&mut self, patience: Duration) -> ExitStatus {
        let Ok(status) = tokio::time::timeout(patience, self.child.wait()).await else {
            panic!("it did not end in {patience:?}; it printed {:#?} {:#?}", self.stdout(), self.stderr());
        };
        let _ = (&mut self.stdout.reading).await;
        let _ = (&mut self.stderr.reading).await;
        status.expect("its status")
    }
}
