//! A run's timeline as it goes on: a WebSocket for the deployment's key, to servers alone.

use std::fmt;

use access::Refusal;
use cluster::{CutReason, Grant, Opener};
use gate::{Call, Gone, Operation, Problem, Routes, Socket, SocketConfig, Upgraded};
use runs::RunFollower;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use workflow::Event;

use crate::{
    App,
    problem::of_run,
    runs::{READ, deployment_of, event_number, own_run},
};

pub(crate) const STREAM_RUN: Operation<FollowQuery, Upgraded> = Operation::socket(
    "/api/v1/runs/{id}/stream",
    "stream_run",
    "Follow a run's timeline by WebSocket: what is after a number, then what comes, until the run is over.",
    READ,
);

/// What a client that offers subprotocols must offer.
const PROTOCOL: &str = "chatelaine.v1";

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(STREAM_RUN, stream_run);
}

/// From where a run is followed.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct FollowQuery {
    /// Events after this number; from the first without it.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    after: Option<u64>,
}

/// A text of the socket.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Told<'a> {
    Event(&'a Event),
}

/// What a socket has, besides itself.
struct Following {
    follower: RunFollower,
    grant: Grant,
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following").field("follower", &self.follower).finish_non_exhaustive()
    }
}

/// Why a socket ends: a code of RFC 6455 or of ours, and the same in a word.
const fn farewell(reason: CutReason) -> (u16, &'static str) {
    match reason {
        CutReason::Revoked | CutReason::Disabled | CutReason::OriginRemoved => (4403, "revoked"),
        CutReason::Expired => (4401, "expired"),
        CutReason::Shutdown => (1001, "shutdown"),
        CutReason::Ended => (1000, "ended"),
        CutReason::Replaced => (1013, "replaced"),
    }
}

async fn stream_run(app: App, call: Call<FollowQuery>) -> Result<Upgraded, Problem> {
    let after = event_number(call.input.after)?;
    let run = own_run(&app, &call).await?;
    let (key, _) = deployment_of(&call)?;
    let opener = Opener { key: key.key, epoch: key.epoch, origin: key.origin.clone() };
    let grant = app.cluster().hold_opened(&opener).ok_or(Refusal::InvalidApiKey)?;
    let follower = app.runs().follow(call.tenant()?, run.id, after).await.map_err(of_run)?;
    let following = Following { follower, grant };
    call.request.upgrade(Some(PROTOCOL), SocketConfig::default(), move |socket| following.tell(socket))
}

impl Following {
    /// Until the run is over, the key is revoked or nobody listens.
    async fn tell(mut self, mut socket: Socket) {
        let (code, word) = loop {
            let events = tokio::select! {
                biased;
                reason = self.grant.cancelled() => break farewell(reason),
                events = self.follower.next() => events,
                // Nothing is asked here; what comes is read so that a goodbye is heard.
                said = socket.recv() => match said {
                    Some(_) => continue,
                    None => return,
                },
            };
            let events = match events {
                Ok(Some(events)) => events,
                Ok(None) => break (1000, "ended"),
                Err(error) => {
                    tracing::warn!(%error, "a run's timeline cannot be read");
                    break (1011, "unavailable");
                }
            };
            let sent = tokio::select! {
                biased;
                reason = self.grant.cancelled() => break farewell(reason),
                sent = send_all(&mut socket, &events) => sent,
            };
            if sent.is_err() {
                return;
            }
        };
        if code != 1000 {
            let _ = socket.send(json!({"type": "error", "code": word}).to_string()).await;
        }
        socket.close(code, word).await;
    }
}

async fn send_all(socket: &mut Socket, events: &[Event]) -> Result<(), Gone> {
    for event in events {
        socket.send(serde_json::to_string(&Told::Event(event)).unwrap_or_default()).await?;
    }
    Ok(())
}
