//! Files that are written while they are sent: a part of one is in memory, however long it is.

mod idle;
mod leave;

use std::{error::Error, fmt, time::Duration};

use access::Tenant;
use ambient::WorkspaceId;
use bytes::Bytes;
use credential::key::Environment;
use futures_util::{Stream, stream};
use gate::{Call, Download, Problem};
use serde::Serialize;
use tokio::time::sleep;
use tracing::warn;

pub(crate) use self::leave::Leave;
use crate::{App, places::Place};

/// How long the last words of a file that is cut may take to leave: with the connection goes what is not sent.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long nobody may take anything of a file before it is cut: it has one of its workspace's few places.
const IDLE: Duration = Duration::from_secs(30);

/// What a file is made of.
pub(crate) trait Parts: Send + 'static {
    /// The next part; `None` after the last. It is asked for when the one before is on its way.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Problem>> + Send;

    /// What says in the file that it ends early, where its form has words for that.
    fn error(&self, code: &str) -> Option<Bytes>;
}

/// Writes a line of NDJSON.
pub(crate) fn write_json_line(out: &mut Vec<u8>, line: &impl Serialize) {
    out.extend(serde_json::to_vec(line).unwrap_or_default());
    out.push(b'\n');
}

/// Why a file is cut. The client sees a connection that breaks.
#[derive(Clone, Copy, Debug)]
struct Cut(&'static str);

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Cut {}

/// One of a workspace's few places for a file, under the leave of whoever asked for it.
pub(crate) struct FilePlace {
    leave: Leave,
    environment: Environment,
    _place: Place<WorkspaceId>,
}

impl FilePlace {
    /// Waits for it.
    pub(crate) async fn take<I>(app: &App, call: &Call<I>) -> Result<Self, Problem> {
        let Tenant { workspace, environment, .. } = call.tenant()?;
        let place = app.exports().take(workspace).await?;
        Ok(Self { leave: Leave::take(app, call)?, environment, _place: place })
    }

    /// The file; its name says where it is of the test data. It ends early when whoever asked for it no longer may, and
    /// when nobody takes it.
    pub(crate) fn file(self, parts: impl Parts, content_type: &'static str, name: &str) -> Download {
        let half = if self.environment == Environment::Test { "test-" } else { "" };
        let name = format!("{half}{name}");
        let writing = Writing { stage: Stage::Parts, parts, place: self };
        Download::new(content_type, &name, idle::cut(stream_of(writing), IDLE, Cut("idle")))
    }
}

enum Stage {
    Parts,
    Cut(Cut),
    Over,
}

struct Writing<P> {
    stage: Stage,
    parts: P,
    place: FilePlace,
}

impl<P: Parts> Writing<P> {
    async fn next(&mut self) -> Option<Result<Bytes, Cut>> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Over => None,
            Stage::Cut(cut) => {
                sleep(LAST_WORDS).await;
                Some(Err(cut))
            }
            Stage::Parts => self.part().await,
        }
    }

    async fn part(&mut self) -> Option<Result<Bytes, Cut>> {
        if let Err(problem) = self.place.leave.look().await {
            return Some(self.cut(if problem.status().is_client_error() { "revoked" } else { "unavailable" }));
        }
        let read = tokio::select! {
            biased;
            () = self.place.leave.revoked() => return Some(self.cut("revoked")),
            read = self.parts.next() => read,
        };
        match read {
            Ok(part) => {
                let part = part?;
                self.stage = Stage::Parts;
                Some(Ok(part))
            }
            Err(problem) => {
                warn!(cause = ?problem.cause(), "an export was cut");
                Some(self.cut("unavailable"))
            }
        }
    }

    /// Says why, where the form has words for it, and breaks off.
    fn cut(&mut self, code: &'static str) -> Result<Bytes, Cut> {
        let Some(said) = self.parts.error(code) else { return Err(Cut(code)) };
        self.stage = Stage::Cut(Cut(code));
        Ok(said)
    }
}

fn stream_of<P: Parts>(writing: Writing<P>) -> impl Stream<Item = Result<Bytes, Cut>> + Send + 'static {
    stream::unfold(writing, |mut writing| async move {
        let part = writing.next().await?;
        Some((part, writing))
    })
}
