//! What somebody sees first: the last 24 hours in numbers, and what wants attention.

use std::collections::BTreeMap;

use access::{Access, Limit, Role, Scope};
use ambient::{KeyId, Millis, WebhookId};
use gate::{Call, Data, Nothing, Operation, Problem, Reason, Routes};
use schemars::JsonSchema;
use serde::Serialize;
use store::{Attention, OutcomeCount};

use crate::App;

pub(crate) const GET_OVERVIEW: Operation<Nothing, Data<Overview>> = Operation::get(
    "/v1/overview",
    "get_overview",
    "Show the last 24 hours in numbers, by the hour (UTC), and what wants attention. Requests that other nodes have \
     answered within the last minute may be missing.",
    Access::closed(Limit::Read).member(Role::Member).key(Scope::UsageRead),
);

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Hours that are shown.
const HOURS: i64 = 24;
/// Of each kind.
const MOST: u32 = 6;
/// How far ahead an end is told.
const EXPIRING: i64 = 7 * DAY;
/// How long a key may rest.
const UNUSED: i64 = 90 * DAY;
/// How long a leak, or a server's key in a browser, is told.
const EXPOSED: i64 = 30 * DAY;
/// Codes that are told apart.
const CODES: usize = 8;

pub(crate) fn mount(routes: &mut Routes<App>) {
    routes.mount(GET_OVERVIEW, get_overview);
}

/// See [`GET_OVERVIEW`].
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Overview {
    /// The last 24 hours, the oldest first; the last one is not over.
    hours: Vec<Hour>,
    /// What was refused in them, by code, the most frequent first.
    refusals: Vec<Refusals>,
    /// What wants attention.
    attention: Wanting,
    /// What there is, for whom is new here.
    has: Has,
}

/// An hour. Of conversations and credits the newest 5,000 are counted.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Hour {
    /// When it began.
    start: Millis,
    /// Requests that were let in.
    requests: u64,
    /// Requests that were refused.
    refused: u64,
    /// Conversations that began.
    conversations: u64,
    /// Credits that the workspace was charged, of both environments.
    credits: u64,
}

/// How often a code was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Refusals {
    /// The code; `other` for those that are not told apart.
    code: String,
    /// How many requests.
    requests: u64,
}

/// What wants attention: six of each kind at most, of what the caller may list.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Wanting {
    /// Keys that end within seven days.
    expiring: Vec<KeyAt>,
    /// Keys that were not used for ninety days.
    unused: Vec<KeyAt>,
    /// Keys that were reported as leaked in the last thirty days, and are not revoked.
    leaked: Vec<KeyAt>,
    /// Keys for servers that came from a browser in the last thirty days, and are not revoked.
    exposed: Vec<KeyAt>,
    /// Keys that were refused because a budget was used up, among the latest requests; `at` is the last time.
    over_budget: Vec<KeyAt>,
    /// Endpoints that were disabled: by the server, because they failed for too long, or by somebody.
    webhooks: Vec<WebhookAt>,
    /// Endpoints that are still tried, of which every attempt fails; `at` is since when.
    failing_webhooks: Vec<WebhookAt>,
}

/// A key, and when.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct KeyAt {
    id: KeyId,
    name: String,
    /// Its end, its last use, or when it was seen; `null` is never.
    at: Option<Millis>,
}

/// An endpoint, and when.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct WebhookAt {
    id: WebhookId,
    /// Where it is: the host of its URL; the rest of that may be a secret.
    host: String,
    /// When it was disabled, or since when it fails.
    at: Millis,
    /// `gone`, `failing` or `paused`, as on the endpoint.
    reason: String,
}

/// What there is.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct Has {
    /// Any key.
    keys: bool,
    /// Any bot.
    bots: bool,
    /// Any conversation.
    conversations: bool,
}

impl From<Attention> for KeyAt {
    fn from(attention: Attention) -> Self {
        Self { id: attention.key, name: attention.name, at: attention.at }
    }
}

/// The most frequent codes, and the rest as one.
fn by_code(counts: &[OutcomeCount]) -> Vec<Refusals> {
    let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
    for count in counts.iter().filter(|count| count.code != OutcomeCount::LET_IN) {
        *codes.entry(&count.code).or_default() += count.requests;
    }
    let mut codes: Vec<_> =
        codes.into_iter().map(|(code, requests)| Refusals { code: code.to_owned(), requests }).collect();
    codes.sort_by_key(|refusals| std::cmp::Reverse(refusals.requests));
    let rest: u64 = codes.split_off(codes.len().min(CODES)).iter().map(|refusals| refusals.requests).sum();
    if rest > 0 {
        codes.push(Refusals { code: "other".to_owned(), requests: rest });
    }
    codes
}

async fn get_overview(app: App, call: Call<Nothing>) -> Result<Data<Overview>, Problem> {
    let (tenant, data, now) = (call.tenant()?, app.workspace(&call)?, call.request.now);
    let last = now.0.div_euclid(HOUR);
    let first = last - HOURS + 1;
    let since = Millis(first * HOUR);
    // What waits is read first: what is written meanwhile is then counted twice rather than not at all.
    let mut counts = app.cluster().fresh_outcomes(tenant);
    counts.retain(|count| (first..=last).contains(&count.hour));
    counts.extend(data.outcomes(first, last).await?);
    let (conversations, credits) = (data.conversation_hours(since).await?, data.credit_hours(since).await?);
    let hours = (first..=last).map(|hour| {
        let of = |let_in: bool| {
            let own =
                counts.iter().filter(|count| count.hour == hour && (count.code == OutcomeCount::LET_IN) == let_in);
            own.map(|count| count.requests).sum()
        };
        let total = |rows: &[store::HourCount]| rows.iter().filter(|row| row.hour == hour).map(|row| row.total).sum();
        Hour {
            start: Millis(hour * HOUR),
            requests: of(true),
            refused: of(false),
            conversations: total(&conversations),
            credits: total(&credits),
        }
    });
    let (may_see_keys, may_see_webhooks) = {
        let may = |operation| call.request.may(&call.caller, operation);
        (may("list_api_keys"), may("list_webhooks"))
    };
    let show = |rows: Vec<Attention>| rows.into_iter().map(KeyAt::from).collect::<Vec<_>>();
    let mut attention = Wanting::default();
    if may_see_keys {
        attention = Wanting {
            expiring: show(data.expiring_keys(now, now.plus(EXPIRING), MOST).await?),
            unused: show(data.unused_keys(now.plus(-UNUSED), now, MOST).await?),
            leaked: show(data.leaked_keys(now.plus(-EXPOSED), MOST).await?),
            exposed: show(data.exposed_keys(now.plus(-EXPOSED), MOST).await?),
            over_budget: over_budget(&call, &data, since).await?,
            ..attention
        };
    }
    if may_see_webhooks {
        let resting = data.webhooks_at_rest(MOST).await?.into_iter();
        let shown = resting.map(|found| WebhookAt {
            id: found.id,
            host: host_of(&found.url),
            at: found.at,
            reason: found.reason,
        });
        attention.webhooks = shown.collect();
        let failing = data.failing_webhooks(MOST).await?.into_iter();
        let shown =
            failing.map(|(id, url, at)| WebhookAt { id, host: host_of(&url), at, reason: "failing".to_owned() });
        attention.failing_webhooks = shown.collect();
    }
    let (keys, bots, conversations) = data.has_any().await?;
    let has = Has { keys, bots, conversations };
    Ok(Data::new(Overview { hours: hours.collect(), refusals: by_code(&counts), attention, has }))
}

/// The host of an endpoint; the rest of its address may be a secret.
pub(crate) fn host_of(url: &str) -> String {
    url.parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_owned)).unwrap_or_default()
}

async fn over_budget(call: &Call<Nothing>, data: &store::Workspace, since: Millis) -> Result<Vec<KeyAt>, Problem> {
    let tenant = call.tenant()?;
    let is_spent = |decision: &gate::Decision| {
        decision.time >= since && decision.why.as_ref().is_some_and(|why| why.reason == Reason::LimitReached)
    };
    let mut keys: Vec<(KeyId, Millis)> = Vec::new();
    for row in call.request.recent().list(tenant, is_spent).await? {
        let Some(key) = row.decision.key() else { continue };
        if !keys.iter().any(|(known, _)| *known == key) {
            keys.push((key, row.decision.time));
        }
    }
    keys.truncate(MOST as usize);
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let names = data.names_of_keys(&keys.iter().map(|(key, _)| *key).collect::<Vec<_>>()).await?;
    let named = |(id, at): (KeyId, Millis)| {
        let name = names.iter().find(|(of, _)| *of == id).map(|(_, name)| name.clone())?;
        Some(KeyAt { id, name, at: Some(at) })
    };
    Ok(keys.into_iter().filter_map(named).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_endpoint_the_host_alone_is_told() {
        assert_eq!(host_of("https://user:pass@hooks.example.com:8443/T0/secret?token=x"), "hooks.example.com");
        assert_eq!(host_of("no url"), "");
    }

    #[test]
    fn the_most_frequent_codes_are_told_apart() {
        let count = |code: &str, requests| OutcomeCount { hour: 1, code: code.to_owned(), requests };
        let mut counts: Vec<_> = (0..12).map(|n| count(&format!("CODE_{n:02}"), n + 1)).collect();
        counts.extend([count(OutcomeCount::LET_IN, 1000), count("CODE_00", 20)]);
        let shown = by_code(&counts);
        assert_eq!(shown[0], Refusals { code: "CODE_00".to_owned(), requests: 21 });
        assert_eq!((shown.len(), shown[1].requests), (CODES + 1, 12));
        assert_eq!(shown[CODES], Refusals { code: "other".to_owned(), requests: 2 + 3 + 4 + 5 });
    }
}
