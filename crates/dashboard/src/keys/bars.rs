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

/// A key's use, hour by hour: what was let in, and on it what was refused, each as the outline of all its bars.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bars {
    pub(crate) good: String,
    pub(crate) bad: String,
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    pub(crate) hours: usize,
}

/// Adds a bar to an outline; whole numbers, because a page has thousands of bars.
fn add_bar(outline: &mut String, x: usize, y: u64, height: u64) {
    if height > 0 {
        outline.push_str(&format!("M{x} {y}h3v{height}h-3z"));
    }
}

impl Bars {
    fn of(requests: &[u64], refused: &[u64]) -> Self {
        let both = || requests.iter().copied().zip(refused.iter().copied());
        let most = both().map(|(requests, refused)| requests.saturating_add(refused)).max().unwrap_or(0).max(1);
        // Whatever happened is to be seen.
        let height = |count: u64| if count == 0 { 0 } else { (count.saturating_mul(HEIGHT - 2) / most).max(1) };
        let (mut good, mut bad) = (String::new(), String::new());
        for (hour, (requests, refused)) in both().enumerate() {
            let (height, bad_height) = (height(requests), height(refused));
            let y = HEIGHT.saturating_sub(height);
            add_bar(&mut good, hour * STEP, y, height);
            add_bar(&mut bad, hour * STEP, y.saturating_sub(bad_height), bad_height);
        }
        Self { good, bad, requests: requests.iter().sum(), refused: refused.iter().sum(), hours: requests.len() }
    }

    pub(crate) fn width(&self) -> usize {
        self.hours * STEP
    }

    pub(crate) fn is_unused(&self) -> bool {
        self.good.is_empty() && self.bad.is_empty()
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
        // An hour of nothing is none; 22 is as high as the highest pair, and 1 is to be seen.
        assert_eq!(bars.good, "M4 23h3v1h-3zM8 23h3v1h-3zM16 10h3v14h-3z");
        assert_eq!(bars.bad, "M4 22h3v1h-3zM12 23h3v1h-3zM16 3h3v7h-3z");
        assert!(Bars::of(&[0; 36], &[0; 36]).is_unused());
        assert_eq!(bars.words(), "100011 requests and 50011 refused in 5 hours");
    }
}
