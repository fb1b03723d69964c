//! Use by the hour, drawn by the server.

use std::collections::HashMap;

use gate::{Ask, Problem};
use serde::Deserialize;

use crate::{
    desk::Desk,
    show::{One, When},
};

/// How high a drawing is, and how wide an hour in it.
const HEIGHT: u64 = 24;
const STEP: usize = 4;

/// A key's use, hour by hour.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bars {
    pub(crate) bars: Vec<Bar>,
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    pub(crate) hours: usize,
}

/// An hour with requests in it: what was let in, and on it what was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) x: usize,
    pub(crate) y: u64,
    pub(crate) height: u64,
    pub(crate) bad_y: u64,
    pub(crate) bad_height: u64,
}

impl Bars {
    fn of(requests: &[u64], refused: &[u64]) -> Self {
        let both = || requests.iter().copied().zip(refused.iter().copied());
        let most = both().map(|(requests, refused)| requests.saturating_add(refused)).max().unwrap_or(0).max(1);
        // Whatever happened is to be seen.
        let height = |count: u64| if count == 0 { 0 } else { (count.saturating_mul(HEIGHT - 2) / most).max(1) };
        let bars = both().enumerate().filter(|(_, counts)| *counts != (0, 0)).map(|(hour, (requests, refused))| {
            let (height, bad_height) = (height(requests), height(refused));
            let y = HEIGHT.saturating_sub(height);
            Bar { x: hour * STEP, y, height, bad_y: y.saturating_sub(bad_height), bad_height }
        });
        Self {
            bars: bars.collect(),
            requests: requests.iter().sum(),
            refused: refused.iter().sum(),
            hours: requests.len(),
        }
    }

    pub(crate) fn width(&self) -> usize {
        self.hours * STEP
    }

    pub(crate) fn is_unused(&self) -> bool {
        self.bars.is_empty()
    }

    /// What the drawing shows.
    pub(crate) fn words(&self) -> String {
        let plural = if self.requests == 1 { "" } else { "s" };
        format!("{} request{plural} and {} refused in {} hours", self.requests, self.refused, self.hours)
    }
}

#[derive(Deserialize)]
struct Hours {
    from: When,
    keys: Vec<KeyHours>,
}

#[derive(Deserialize)]
struct KeyHours {
    key_id: String,
    requests: Vec<u64>,
    refused: Vec<u64>,
}

/// The bars of these keys, at most 100, for so many hours, and when the first of these began.
///
/// # Errors
/// Those of the API.
pub(crate) async fn bars_of(
    desk: &Desk<'_>,
    ids: &[&str],
    hours: u32,
) -> Result<(HashMap<String, Bars>, Option<When>), Problem> {
    if ids.is_empty() {
        return Ok((HashMap::new(), None));
    }
    let ask = Ask::to("get_usage_hours").query("key_ids", ids.join(",")).query("hours", hours);
    let found = desk.get::<One<Hours>>(ask).await?.data;
    let bars = found.keys.into_iter().map(|key| (key.key_id, Bars::of(&key.requests, &key.refused)));
    Ok((bars.collect(), Some(found.from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_the_ground_and_never_leave_the_drawing() {
        let bars = Bars::of(&[0, 10, 1, 0, 100_000], &[0, 10, 0, 1, 50_000]);
        assert_eq!((bars.requests, bars.refused, bars.hours, bars.width()), (100_011, 50_011, 5, 20));
        assert_eq!(bars.bars.iter().map(|bar| bar.x).collect::<Vec<_>>(), [4, 8, 12, 16], "an hour of nothing is none");
        for bar in &bars.bars {
            assert_eq!((bar.y + bar.height, bar.bad_y + bar.bad_height), (HEIGHT, bar.y));
            assert!(bar.height + bar.bad_height > 0);
        }
        assert!(Bars::of(&[0; 36], &[0; 36]).is_unused());
        assert_eq!(bars.words(), "100011 requests and 50011 refused in 5 hours");
    }
}
