//! Charts of bars, drawn by the server; each has its numbers as text too.

use askama::Template;

/// Units of a bar with its gap, and of a bar.
const STEP: u64 = 10;
const WIDTH: u64 = 8;
/// Units of the highest bar.
const HEIGHT: u64 = 60;

/// One bar.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: u64,
    x: u64,
    y: u64,
    height: u64,
}

/// A chart of a number by the hour.
#[derive(Template)]
#[template(path = "decisions/chart.html")]
pub(crate) struct Chart {
    title: &'static str,
    class: &'static str,
    bars: Vec<Bar>,
    total: u64,
    most: u64,
    width: u64,
    height: u64,
}

impl Chart {
    /// Of labelled values; `class` is `bar` or `bad`.
    pub(crate) fn new(title: &'static str, class: &'static str, values: Vec<(String, u64)>) -> Self {
        let most = values.iter().map(|(_, value)| *value).max().unwrap_or(0);
        let total = values.iter().map(|(_, value)| value).sum();
        let width = STEP * values.len() as u64;
        let bars = (0..).zip(values).map(|(at, (label, value))| {
            // What is there at all is seen.
            let height = if value == 0 { 0 } else { (value.saturating_mul(HEIGHT) / most.max(1)).max(1) };
            Bar { label, value, x: at * STEP + 1, y: HEIGHT - height, height }
        });
        Self { title, class, bars: bars.collect(), total, most, width, height: HEIGHT }
    }

    fn bar_width(&self) -> u64 {
        WIDTH
    }

    /// What a reader who does not see it hears.
    fn told(&self) -> String {
        match self.bars.iter().max_by_key(|bar| bar.value) {
            Some(bar) if bar.value > 0 => {
                format!("{}: {} in 24 hours, the most at {}: {}", self.title, self.total, bar.label, bar.value)
            }
            _ => format!("{}: none in 24 hours", self.title),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_seen_and_nothing_is_higher_than_the_chart() {
        let values = vec![("a".to_owned(), 0), ("b".to_owned(), 1), ("c".to_owned(), 1_000_000)];
        let chart = Chart::new("X", "bar", values);
        let heights: Vec<_> = chart.bars.iter().map(|bar| (bar.y, bar.height)).collect();
        assert_eq!(heights, [(60, 0), (59, 1), (0, 60)]);
        assert_eq!((chart.total, chart.told().as_str()), (1_000_001, "X: 1000001 in 24 hours, the most at c: 1000000"));
        assert_eq!(Chart::new("X", "bar", Vec::new()).told(), "X: none in 24 hours");
    }
}
