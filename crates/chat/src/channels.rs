//! Answers what came in through channels: finds it in the database, and has nothing that the database has not. So what
//! was taken in before a crash is answered after it, once: the reply is stored with the note that there is one.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
    time::Duration,
};

use access::Tenant;
use ambient::{MessageId, WorkspaceId};
use credential::Environment;
use futures_util::StreamExt;
use parking_lot::Mutex;
use store::{ChannelTurn, DueChannelMessage, StoreError};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{Chat, ChatError, ReplyErrorCode, ReplyEvent, chat::ChatParts, job::chain, live::Registry, turn::Turns};

/// Messages that are answered at once.
const AT_ONCE: usize = 64;
/// Those of one workspace, a quarter: the rest is for the others.
const AT_ONCE_OF_WORKSPACE: usize = AT_ONCE / 4;
/// Among them those of its `test`: what is tried out there keeps no customer waiting.
const AT_ONCE_OF_TEST: usize = AT_ONCE_OF_WORKSPACE / 2;
/// How many are looked at of each environment of a workspace: more than can be under way, so that something is found.
const SCAN_OF_EACH: u32 = 64;
/// And of all of them.
const SCAN_OF_ALL: u32 = 4096;
/// The longest time without a look.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After a failure of the database.
const RETRY: Duration = Duration::from_secs(1);
/// Before a message is tried again for something that is nobody's fault, in milliseconds.
const SOON_MS: i64 = 1000;
/// Before the second attempt, the third and the fourth at a bot that fails. Then its sender is told.
const AFTER_FAILURE_MS: [i64; 3] = [5_000, 30_000, 120_000];

/// What is under way, and the bell for whoever begins it.
#[derive(Default)]
pub(crate) struct Desk {
    bell: Notify,
    places: Mutex<Places>,
    stopping: CancellationToken,
}

#[derive(Default)]
struct Places {
    under_way: HashSet<MessageId>,
    of_workspace: HashMap<WorkspaceId, usize>,
    of_test: HashMap<WorkspaceId, usize>,
}

/// The place of a message that is answered; dropping it makes room, and the next one of its conversation is looked for.
struct Place {
    desk: Arc<Desk>,
    tenant: Tenant,
    message: MessageId,
}

impl Desk {
    fn admit(self: &Arc<Self>, due: &DueChannelMessage) -> Option<Place> {
        let mut places = self.places.lock();
        let (workspace, is_test) = (due.tenant.workspace, due.tenant.environment == Environment::Test);
        let own = |counts: &HashMap<_, _>| counts.get(&workspace).copied().unwrap_or_default();
        let is_full = places.under_way.len() >= AT_ONCE
            || own(&places.of_workspace) >= AT_ONCE_OF_WORKSPACE
            || is_test && own(&places.of_test) >= AT_ONCE_OF_TEST;
        if is_full || !places.under_way.insert(due.turn.message) {
            return None;
        }
        *places.of_workspace.entry(workspace).or_default() += 1;
        if is_test {
            *places.of_test.entry(workspace).or_default() += 1;
        }
        Some(Place { desk: Arc::clone(self), tenant: due.tenant, message: due.turn.message })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.desk.places.lock();
        places.under_way.remove(&self.message);
        leave(&mut places.of_workspace, self.tenant.workspace);
        if self.tenant.environment == Environment::Test {
            leave(&mut places.of_test, self.tenant.workspace);
        }
        drop(places);
        self.desk.bell.notify_one();
    }
}

fn leave(counts: &mut HashMap<WorkspaceId, usize>, workspace: WorkspaceId) {
    if let Some(own) = counts.get_mut(&workspace) {
        *own -= 1;
        if *own == 0 {
            counts.remove(&workspace);
        }
    }
}

/// What becomes of a message after an attempt.
#[derive(Debug, PartialEq, Eq)]
enum After {
    /// Its reply is stored.
    Answered,
    /// It gets none; a word that says why.
    Failed(&'static str),
    /// It is tried again so much later, in milliseconds.
    Again { by: i64, counts: bool },
}

/// A [`Chat`] that does not keep it alive.
struct WeakChat {
    parts: Weak<ChatParts>,
    turns: Turns,
    live: Registry,
    grace: Duration,
    channels: Arc<Desk>,
}

impl WeakChat {
    fn upgrade(&self) -> Option<Chat> {
        let WeakChat { parts, turns, live, grace, channels } = self;
        let (turns, live, channels) = (turns.clone(), live.clone(), Arc::clone(channels));
        Some(Chat { parts: parts.upgrade()?, turns, live, grace: *grace, channels })
    }
}

impl Chat {
    /// Begins to answer what came in through channels, and what a crash left of it. Once.
    pub fn resume_channels(&self) {
        let weak = WeakChat {
            parts: Arc::downgrade(&self.parts),
            turns: self.turns.clone(),
            live: self.live.clone(),
            grace: self.grace,
            channels: Arc::clone(&self.channels),
        };
        let stopping = self.channels.stopping.clone();
        tokio::spawn(async move { stopping.run_until_cancelled(work(weak)).await });
    }

    /// Looks for what came in, without waiting for its time. For a message that was just stored, and for a clock that
    /// jumped.
    pub fn wake_channels(&self) {
        self.channels.bell.notify_one();
    }

    /// Cuts the replies to channels that are under way, and begins no more: whoever resumes answers them anew.
    pub fn stop_channels(&self) {
        self.channels.stopping.cancel();
    }

    /// Begins what is due and finds a place; says how long to wait for more.
    async fn begin_channel_messages(&self) -> Result<Duration, StoreError> {
        let ChatParts { store, clock, drain, .. } = &*self.parts;
        let now = clock.now();
        for due in store.due_channel_messages(now, SCAN_OF_EACH, SCAN_OF_ALL).await? {
            // What finds no place is found again by the next that is over.
            if let Some(place) = self.channels.admit(&due) {
                drain.spawn(self.clone().carry_channel_message(due, place));
            }
        }
        let next = store.next_channel_message_after(now).await?;
        let pause = next.map(|next| u64::try_from(next.since(clock.now())).unwrap_or_default());
        Ok(pause.map_or(LOOK_EVERY, |ms| Duration::from_millis(ms.max(1)).min(LOOK_EVERY)))
    }

    async fn carry_channel_message(self, due: DueChannelMessage, place: Place) {
        let after = tokio::select! {
            biased;
            // Whoever resumes finds it.
            () = self.channels.stopping.cancelled() => return,
            after = self.answer_channel_message(&due) => after,
        };
        let DueChannelMessage { tenant, turn, attempts, .. } = &due;
        let data = self.parts.store.workspace(*tenant);
        let kept = match after {
            After::Answered => Ok(()),
            After::Failed(code) => {
                tracing::warn!(channel = %turn.channel, message = %turn.message, code, "a channel's message got no reply");
                data.fail_channel_message(turn, code).await
            }
            After::Again { by, counts } => {
                let until = self.parts.clock.now().plus(by);
                data.postpone_channel_message(turn, until, attempts.saturating_add(u32::from(counts))).await
            }
        };
        if let Err(error) = kept {
            tracing::warn!(channel = %turn.channel, cause = %chain(&error), "a channel's message is tried again");
            // It stays due. Not at once again: the database has just failed.
            sleep(RETRY).await;
        }
        drop(place);
    }

    async fn answer_channel_message(&self, due: &DueChannelMessage) -> After {
        let said = self.say_in_channel(due.tenant, due.turn.clone(), due.content.clone()).await;
        let mut reply = match said {
            Ok(reply) => reply,
            Err(ChatError::NoCredits) => return After::Failed("no_credits"),
            Err(ChatError::NotFound | ChatError::Ended) => return After::Failed("ended"),
            Err(error) => {
                tracing::warn!(message = %due.turn.message, cause = %chain(&error), "a channel's message is tried again");
                return After::Again { by: SOON_MS, counts: false };
            }
        };
        while let Some(numbered) = reply.next().await {
            match numbered.event {
                ReplyEvent::End { .. } => return After::Answered,
                ReplyEvent::Error { code, .. } => return after_error(code, due.attempts),
                _ => {}
            }
        }
        After::Again { by: SOON_MS, counts: false }
    }
}

fn after_error(code: ReplyErrorCode, attempts: u32) -> After {
    use ReplyErrorCode as Code;
    match code {
        Code::UpstreamUnavailable | Code::UpstreamTimeout | Code::UpstreamRefused => {
            let delay = usize::try_from(attempts).ok().and_then(|attempts| AFTER_FAILURE_MS.get(attempts));
            delay.map_or(After::Failed(code.as_str()), |by| After::Again { by: *by, counts: true })
        }
        // Our own fault, or that of nobody.
        Code::Shutdown | Code::Internal => After::Again { by: SOON_MS, counts: false },
        _ => After::Failed(code.as_str()),
    }
}

async fn work(chat: WeakChat) {
    let desk = Arc::clone(&chat.channels);
    loop {
        let Some(chat) = chat.upgrade() else { return };
        let pause = chat.begin_channel_messages().await.unwrap_or_else(|error| {
            tracing::warn!(cause = %chain(&error), "what came in through channels could not be read");
            RETRY
        });
        drop(chat);
        tokio::select! {
            () = desk.bell.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

/// What of an answer is a channel's: it is stored with the note that it is to be sent.
pub(crate) async fn keep_reply(
    data: &store::Workspace,
    turn: &ChannelTurn,
    text: &str,
    tokens: u64,
) -> Result<(), StoreError> {
    if text.is_empty() {
        return data.fail_channel_message(turn, "empty_answer").await;
    }
    data.append_channel_reply(turn, text, Some(tokens)).await
}

#[cfg(test)]
mod tests {
    use ambient::{ChannelId, ConversationId, Ulid};

    use super::*;

    fn due(workspace: u128, message: u128) -> DueChannelMessage {
        DueChannelMessage {
            tenant: Tenant { workspace: WorkspaceId(Ulid(workspace)), environment: Environment::Live },
            turn: ChannelTurn {
                channel: ChannelId(Ulid(1)),
                delivery: message.to_string(),
                conversation: ConversationId(Ulid(message)),
                message: MessageId(Ulid(message)),
            },
            content: "hi".to_owned(),
            attempts: 0,
        }
    }

    #[test]
    fn one_workspace_leaves_room_for_the_others_and_nothing_is_begun_twice() {
        let desk = Arc::new(Desk::default());
        let places: Vec<_> = (0..40).filter_map(|message| desk.admit(&due(1, message))).collect();
        assert_eq!(places.len(), AT_ONCE_OF_WORKSPACE);
        let other = desk.admit(&due(2, 100)).unwrap();
        assert!(desk.admit(&due(2, 100)).is_none(), "it is under way");
        let more: Vec<_> = (3..20).flat_map(|of| (0..16).map(move |n| due(of, of * 1000 + n))).collect();
        let more: Vec<_> = more.iter().filter_map(|due| desk.admit(due)).collect();
        assert_eq!(places.len() + 1 + more.len(), AT_ONCE);
        drop((places, other, more));
        assert!(desk.places.lock().of_workspace.is_empty(), "what is over is forgotten");
        assert!(desk.admit(&due(1, 0)).is_some());
    }

    #[test]
    fn what_is_tried_out_takes_half_of_a_workspace_s_places() {
        let desk = Arc::new(Desk::default());
        let mut test: Vec<_> = (0..40).map(|message| due(1, message)).collect();
        test.iter_mut().for_each(|due| due.tenant.environment = Environment::Test);
        let test: Vec<_> = test.iter().filter_map(|due| desk.admit(due)).collect();
        assert_eq!(test.len(), AT_ONCE_OF_TEST);
        let live: Vec<_> = (100..140).filter_map(|message| desk.admit(&due(1, message))).collect();
        assert_eq!(test.len() + live.len(), AT_ONCE_OF_WORKSPACE);
        drop((test, live));
        let places = desk.places.lock();
        assert!(places.of_workspace.is_empty() && places.of_test.is_empty(), "what is over is forgotten");
    }

    #[test]
    fn a_bot_that_fails_is_asked_four_times_and_our_own_faults_count_for_nothing() {
        let refused = |attempts| after_error(ReplyErrorCode::UpstreamRefused, attempts);
        assert_eq!(refused(0), After::Again { by: 5_000, counts: true });
        assert_eq!(refused(2), After::Again { by: 120_000, counts: true });
        assert_eq!(refused(3), After::Failed("upstream_refused"));
        assert_eq!(after_error(ReplyErrorCode::Shutdown, 9), After::Again { by: SOON_MS, counts: false });
        assert_eq!(after_error(ReplyErrorCode::NotConfigured, 0), After::Failed("not_configured"));
    }
}
