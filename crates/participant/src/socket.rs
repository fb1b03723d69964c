//! One run by a participant's WebSocket: what waits for the role and what happens come down, answers go up,
//! and another token is taken in place (docs/decisions/0015).
//!
//! Between two messages a socket holds its place in the timeline, its grant and a bell, and nothing of the
//! run: it is read anew whenever the bell rings.

use std::{fmt, time::Duration};

use access::{Access, Caller, Limit, ParticipantCaller, Refusal};
use ambient::{Millis, RequestId};
use api::{App, problem_of_run};
use cluster::{Grant, Opener};
use gate::{Call, Operation, Problem, Routes, Socket, SocketConfig, TokenDoor, Upgraded};
use runs::RunFollower;
use tokio::time::{sleep, timeout};

use crate::{
    frames::{Farewell, Said, Told, Up},
    taking_part::{EventsQuery, SeenEvent, view},
};

pub(crate) const FOLLOW_RUN: Operation<EventsQuery, Upgraded> = Operation::socket(
    "/api/participant/ws",
    "follow_participant_run",
    "Take part by WebSocket: what is after a number, then what comes; answers and new tokens go up.",
    Access::closed(Limit::Participant).participant().first_message(),
);

/// What a client that offers subprotocols must offer.
const PROTOCOL: &str = "chatelaine.v1";
/// How long a stranger may take to say who it is.
const FIRST_WITHIN: Duration = Duration::from_secs(5);
/// How long before its end a token is said to end.
const WARNING_MS: i64 = 120_000;
/// The longest sleep before another look at the clock, which may have been set.
const NAP: Duration = Duration::from_secs(30);
/// Messages in a row that are none, or that no budget pays for, after which the socket closes.
const STRIKES: u8 = 20;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(FOLLOW_RUN, follow_run);
}

/// Whose socket it is, and what it has been told.
struct Seat {
    app: App,
    by: ParticipantCaller,
    follower: RunFollower,
    request: RequestId,
    /// [`crate::taking_part::View::mark`] and the number of the view that was sent last.
    shown: (u64, u64),
    is_warned: bool,
    strikes: u8,
}

/// Who comes with a handshake.
enum Arrival {
    Seated(Box<(Seat, Grant)>),
    Stranger { after: u64, request: RequestId },
}

/// Why a socket that waited goes on.
enum Woken {
    Seated,
    Time,
    More,
    Said(String),
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("request", &self.request).finish_non_exhaustive()
    }
}

async fn follow_run(app: App, call: Call<EventsQuery>) -> Result<Upgraded, Problem> {
    let (after, request) = (call.input.number()?, call.request.id);
    let arrival = match &call.caller {
        Caller::Participant(by) => Arrival::Seated(Box::new(Seat::take(&app, by.clone(), after, request).await?)),
        Caller::Anonymous => Arrival::Stranger { after, request },
        _ => return Err(Refusal::WrongCredential.into()),
    };
    call.request.upgrade(Some(PROTOCOL), SocketConfig::default(), move |socket| take_part(app, arrival, socket))
}

/// A stranger is asked first, in a box that is gone before the socket waits: it is as large as what a first
/// message may make the house do.
async fn take_part(app: App, arrival: Arrival, mut socket: Socket) {
    let seated = match arrival {
        Arrival::Seated(seated) => Ok(*seated),
        Arrival::Stranger { after, request } => Box::pin(first_message(&app, after, request, &mut socket)).await,
    };
    drop(app);
    match seated {
        Ok((seat, mut grant)) => {
            grant.sit(seat.by.run, &seat.by.role);
            attend(seat, grant, socket).await;
        }
        Err(farewell) => Box::pin(farewell.say(socket)).await,
    }
}

/// Waits for the first message, which brings the token.
async fn first_message(
    app: &App,
    after: u64,
    request: RequestId,
    socket: &mut Socket,
) -> Result<(Seat, Grant), Farewell> {
    let Ok(text) = timeout(FIRST_WITHIN, socket.recv()).await else { return Err(Farewell::UNKNOWN) };
    let Said { id, message } = Said::read(&text.ok_or(Farewell::Gone)?);
    let door = socket.door();
    let seated = async {
        let Ok(Up::Auth { token, after: said_after }) = message else {
            return Err(Problem::from(Refusal::MissingCredential));
        };
        let by = door.authenticate_participant(&token).await?;
        door.charge(&by)?;
        let after = EventsQuery::after(said_after.unwrap_or(after)).number()?;
        Seat::take(app, by, after, request).await
    };
    match seated.await {
        Ok(seated) => Ok(seated),
        Err(problem) => {
            note(&problem, request);
            let farewell = Farewell::of_refusal(&problem);
            send(socket, &Told::refusal(id, &problem)).await?;
            Err(farewell)
        }
    }
}

/// Until the run is over, the token or its key has ended, or nobody listens. Its state is what an idle socket
/// costs, so whatever it does in between is boxed.
async fn attend(mut seat: Seat, grant: Grant, mut socket: Socket) {
    let mut woken = Woken::Seated;
    let farewell = loop {
        let end = seat.by.expires_at;
        let app = seat.app.clone();
        let done = tokio::select! {
            biased;
            reason = grant.cancelled() => Err(reason.into()),
            () = until(&app, end) => Err(Farewell::EXPIRED),
            done = Box::pin(seat.act(woken, &mut socket)) => done,
        };
        if let Err(farewell) = done {
            break farewell;
        }
        let next = seat.next_moment();
        woken = tokio::select! {
            biased;
            reason = grant.cancelled() => break reason.into(),
            () = until(&app, next) => Woken::Time,
            rung = seat.follower.ready() => match rung {
                Ok(()) => Woken::More,
                Err(error) => break unreadable(&problem_of_run(error), seat.request),
            },
            said = socket.recv() => match said {
                Some(text) => Woken::Said(text),
                None => break Farewell::Gone,
            },
        };
    };
    Box::pin(farewell.say(socket)).await;
}

/// Sleeps until a time of the house's clock.
async fn until(app: &App, time: Millis) {
    loop {
        let left = Duration::from_millis(u64::try_from(time.since(app.clock().now())).unwrap_or(0));
        if left.is_zero() {
            return;
        }
        sleep(left.min(NAP)).await;
    }
}

async fn send(socket: &mut Socket, told: &Told<'_>) -> Result<(), Farewell> {
    socket.send(told.text()).await.map_err(|_| Farewell::Gone)
}

/// For the operator, if it is our own fault; never what was said.
fn note(problem: &Problem, request: RequestId) {
    if let Some(cause) = problem.cause() {
        tracing::error!(%request, cause, "a participant's message failed on our side");
    }
}

fn unreadable(problem: &Problem, request: RequestId) -> Farewell {
    note(problem, request);
    Farewell::of_refusal(problem)
}

impl Seat {
    /// # Errors
    /// 401 when the token's key has gone by now, 404 without such a run or role in it.
    async fn take(app: &App, by: ParticipantCaller, after: u64, request: RequestId) -> Result<(Self, Grant), Problem> {
        let opener = Opener { key: by.key, epoch: by.epoch, origin: None };
        let grant = app.cluster().hold_opened(&opener).ok_or(Refusal::InvalidToken)?;
        let last = view(app, &by).await?.last_seq;
        // Whoever is ahead of the run is at its end.
        let follower = app.runs().follow(by.tenant, by.run, after.min(last)).await.map_err(problem_of_run)?;
        let (shown, is_warned, strikes) = ((0, 0), false, 0);
        Ok((Self { app: app.clone(), by, follower, request, shown, is_warned, strikes }, grant))
    }

    /// When the clock matters next.
    fn next_moment(&self) -> Millis {
        if self.is_warned { self.by.expires_at } else { self.by.expires_at.plus(-WARNING_MS) }
    }

    async fn act(&mut self, woken: Woken, socket: &mut Socket) -> Result<(), Farewell> {
        let now = self.app.clock().now();
        if now >= self.by.expires_at {
            return Err(Farewell::EXPIRED);
        }
        match woken {
            Woken::Seated => {
                self.show(true, socket).await?;
                self.tell(socket).await?;
            }
            Woken::More => self.tell(socket).await?,
            Woken::Said(text) => self.hear(&text, socket).await?,
            Woken::Time => {}
        }
        if !self.is_warned && now >= self.next_moment() {
            self.is_warned = true;
            send(socket, &Told::Expiring { expires_at: self.by.expires_at.0 }).await?;
        }
        Ok(())
    }

    /// What happened since, and what is open now.
    async fn tell(&mut self, socket: &mut Socket) -> Result<(), Farewell> {
        loop {
            let read = self.follower.read().await;
            let events = read.map_err(|error| unreadable(&problem_of_run(error), self.request))?;
            let mut is_mine = false;
            for event in events {
                if let Some(event) = SeenEvent::of(event, &self.by.role) {
                    is_mine = true;
                    send(socket, &Told::Event(event)).await?;
                }
            }
            // The view that was sent last may be ahead of the events.
            if self.follower.position() > self.shown.1 {
                self.show(is_mine, socket).await?;
            }
            if self.follower.is_ended() {
                return Err(Farewell::ENDED);
            }
            if self.follower.is_drained() {
                return Ok(());
            }
        }
    }

    /// Sends the view; one that shows what the last one showed, only with `always`.
    async fn show(&mut self, always: bool, socket: &mut Socket) -> Result<(), Farewell> {
        let read = view(&self.app, &self.by).await;
        let view = read.map_err(|problem| unreadable(&problem, self.request))?;
        let shown = (view.mark(), view.last_seq);
        let is_new = always || shown.0 != self.shown.0;
        self.shown = shown;
        if is_new {
            send(socket, &Told::View { view, expires_at: self.by.expires_at.0 }).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, text: &str, socket: &mut Socket) -> Result<(), Farewell> {
        let Said { id, message } = Said::read(text);
        let door = socket.door();
        let taken = match door.charge(&self.by).and(message) {
            Ok(message) => self.take_in(message, &door).await,
            Err(problem) => Err(problem),
        };
        let problem = match taken {
            Ok(is_renewed) => {
                self.strikes = 0;
                let told =
                    if is_renewed { Told::Renewed { id, expires_at: self.by.expires_at.0 } } else { Told::Ok { id } };
                return send(socket, &told).await;
            }
            Err(problem) => problem,
        };
        note(&problem, self.request);
        let is_strike = matches!(problem.code(), "INVALID_REQUEST" | "RATE_LIMITED");
        self.strikes = if is_strike { self.strikes + 1 } else { 0 };
        send(socket, &Told::refusal(id, &problem)).await?;
        if self.strikes < STRIKES { Ok(()) } else { Err(Farewell::FLOOD) }
    }

    /// Says whether it was another token.
    async fn take_in(&mut self, message: Up, door: &TokenDoor) -> Result<bool, Problem> {
        let (runs, by) = (self.app.runs(), &self.by);
        let taken = match message {
            Up::Answer { step, value } => runs.answer(by.tenant, by.run, &by.role, &step, value).await,
            Up::Say { step, text } => runs.say(by.tenant, by.run, &by.role, &step, &text).await,
            Up::Done { step } => runs.done(by.tenant, by.run, &by.role, &step).await,
            Up::Renew { token } => {
                let next = door.authenticate_participant(&token).await?;
                self.renew(next)?;
                return Ok(true);
            }
            Up::Auth { .. } => {
                let message = "You are in; another token comes as `auth.renew`";
                return Err(Problem::invalid_request(message));
            }
        };
        taken.map(|_| false).map_err(problem_of_run)
    }

    /// Goes on under another token of the same run and role; under the one that lives longer.
    fn renew(&mut self, next: ParticipantCaller) -> Result<(), Problem> {
        let by = &self.by;
        let is_same = (next.tenant, next.run, next.deployment, next.key, next.epoch)
            == (by.tenant, by.run, by.deployment, by.key, by.epoch)
            && next.role == by.role;
        if !is_same {
            return Err(Problem::wrong_credential("This token is of another run or role; the one before it counts"));
        }
        if next.expires_at > by.expires_at {
            self.by = next;
            self.is_warned = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_socket_that_waits_is_small() {
        let (seated, arrived) = (size(attend), size(take_part));
        assert!(seated <= 2048, "{seated} bytes for each open socket");
        assert!(arrived <= 4096, "{arrived} bytes for each open socket, however its token came");
    }
}
