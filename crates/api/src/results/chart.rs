//! A bar chart of one question as SVG. Presentation attributes alone and no style, script or link: it is shown
//! under the strictest content security policy, in `<img>` and by itself.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;

use super::tally::QuestionSummary;

/// Dates in a chart, at most; more become months, then years.
pub(super) const MAX_DATES: usize = 40;
/// Bars at most: as many as a select has options. Of more years the last ones are shown.
const MAX_BARS: usize = 100;
/// Characters of a label, and of the title, that are seen; assistive technology reads all of them.
const SEEN: usize = 28;
const SEEN_OF_TITLE: usize = 70;
const WIDTH: u32 = 640;
const TOP: u32 = 56;
const ROW: u32 = 28;
const BARS_FROM: u32 = 220;
const BARS_WIDTH: f64 = 300.0;

/// On what the chart is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Theme {
    /// Dark on white.
    #[default]
    Light,
    /// Light on black.
    Dark,
}

impl Theme {
    /// Ground, words and bars: words have a contrast of 14:1 and more, bars of 5:1 (WCAG 2.2 asks for 4.5 and 3).
    const fn colours(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Light => ("#ffffff", "#1f2328", "#0b57d0"),
            Self::Dark => ("#15181c", "#e6e8eb", "#8ab4f8"),
        }
    }
}

struct Bar {
    label: String,
    count: u64,
    share: Option<f64>,
}

fn bars(summary: &QuestionSummary) -> Vec<Bar> {
    let bar = |label: String, count, share| Bar { label, count, share: Some(share) };
    let mut bars: Vec<Bar> = if let Some(choices) = &summary.choices {
        choices.iter().map(|one| bar(one.label.clone(), one.count, one.share)).collect()
    } else if let Some(bins) = &summary.histogram {
        let label = |from: f64, to: f64| {
            let [from, to] = [from, to].map(short);
            if from == to { from } else { format!("{from} to {to}") }
        };
        bins.iter().map(|bin| bar(label(bin.from, bin.to), bin.count, bin.share)).collect()
    } else if let Some(dates) = &summary.dates {
        dates.counts.iter().map(|one| bar(one.date.clone(), one.count, one.share)).collect()
    } else {
        Vec::new()
    };
    if bars.is_empty() {
        bars.push(Bar { label: "answered".to_owned(), count: summary.answered, share: None });
        bars.push(Bar { label: "left out".to_owned(), count: summary.skipped, share: None });
    }
    bars.split_off(bars.len().saturating_sub(MAX_BARS))
}

/// A number in few letters.
fn short(number: f64) -> String {
    if number != 0.0 && !(0.001..1e9).contains(&number.abs()) {
        format!("{number:.2e}")
    } else {
        let text = format!("{number:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// The chart.
pub(super) fn svg(summary: &QuestionSummary, theme: Theme) -> String {
    let bars = bars(summary);
    let (ground, words, colour) = theme.colours();
    let height = TOP + ROW * u32::try_from(bars.len()).unwrap_or(0) + 12;
    let prompt = escape(&summary.question.prompt);
    let told = |bar: &Bar| match bar.share {
        Some(share) => format!("{} ({} %)", bar.count, short(share * 100.0)),
        None => bar.count.to_string(),
    };
    let all: Vec<_> = bars.iter().map(|bar| format!("{}: {}", escape(&bar.label), told(bar))).collect();
    let mut figures = format!("{} answered, {} left out", summary.answered, summary.skipped);
    if let Some(score) = summary.nps.and_then(|nps| nps.score) {
        let _ = write!(figures, ", score {}", short(score));
    }
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} \
         {height}\" role=\"img\" aria-labelledby=\"title desc\"><title id=\"title\">{prompt}</title>\
         <desc id=\"desc\">{figures}. {}</desc><rect width=\"{WIDTH}\" height=\"{height}\" fill=\"{ground}\"/>\
         <g font-family=\"system-ui, sans-serif\" font-size=\"14\" fill=\"{words}\">\
         <text x=\"16\" y=\"24\" font-size=\"16\" font-weight=\"600\">{}</text><text x=\"16\" y=\"44\">{figures}</text>",
        all.join(", "),
        escape(&cut(&summary.question.prompt, SEEN_OF_TITLE)),
    );
    let most = bars.iter().map(|bar| bar.count).max().unwrap_or(0).max(1);
    for (bar, row) in bars.iter().zip(0_u32..) {
        let (top, line) = (TOP + ROW * row, TOP + ROW * row + 19);
        let width = super::sketch::float(bar.count) / super::sketch::float(most) * BARS_WIDTH;
        let (label, told) = (escape(&cut(&bar.label, SEEN)), told(bar));
        let ends = f64::from(BARS_FROM) + width + 8.0;
        let _ = write!(
            out,
            "<g><title>{}: {told}</title><text x=\"{}\" y=\"{line}\" text-anchor=\"end\">{label}</text>\
             <rect x=\"{BARS_FROM}\" y=\"{}\" width=\"{width:.1}\" height=\"20\" fill=\"{colour}\"/>\
             <text x=\"{ends:.1}\" y=\"{line}\">{told}</text></g>",
            escape(&bar.label),
            BARS_FROM - 8,
            top + 4,
        );
    }
    out.push_str("</g></svg>");
    out
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Text as XML 1.0 has it; characters that it has not are blanks.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Direction marks could turn the figures behind a label around.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => out.push(' '),
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::results::{rows::tests::questions, tally::Tally};

    #[expect(clippy::needless_pass_by_value, reason = "a call reads as a sentence")]
    fn chart(node: Value, answers: &[Value], theme: Theme) -> String {
        let questions = questions(json!([node]));
        let mut tally = Tally::new(&questions[0]);
        answers.iter().for_each(|answer| tally.add(Some(answer)));
        svg(&tally.summary(&questions[0]), theme)
    }

    /// The names of elements and attributes, if every element is closed where it belongs and nothing but
    /// names, values and text is there.
    fn names(svg: &str) -> (Vec<String>, Vec<String>) {
        let (mut open, mut elements, mut attributes) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = svg;
        while let Some((text, behind)) = rest.split_once('<') {
            assert!(!text.contains('>'), "{text}");
            let (tag, after) = behind.split_once('>').unwrap();
            rest = after;
            if let Some(closed) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(closed));
                continue;
            }
            let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
            let (name, mut inside) = tag.split_once(' ').unwrap_or((tag, ""));
            elements.push(name.to_owned());
            while let Some((attribute, behind)) = inside.split_once("=\"") {
                let (_, after) = behind.split_once('"').unwrap();
                attributes.push(attribute.trim().to_owned());
                inside = after;
            }
            assert!(inside.trim().is_empty(), "{tag}");
            if !is_empty {
                open.push(name.to_owned());
            }
        }
        assert!(open.is_empty() && rest.is_empty(), "{open:?} {rest}");
        (elements, attributes)
    }

    #[test]
    fn what_people_write_is_text_and_never_markup() {
        let node = json!({
            "type": "Input", "id": "a", "prompt": "</title><script>alert(1)</script> & \"'", "input_type": "select",
            "options": [{"value": "x", "label": "<img src=x onerror=alert(1)>"}, {"value": "y", "label": "]]>\u{202e}"}],
        });
        let svg = chart(node, &[json!("x")], Theme::Light);
        let (elements, attributes) = names(&svg);
        let mut kinds = elements.clone();
        kinds.sort();
        kinds.dedup();
        assert_eq!(kinds, ["desc", "g", "rect", "svg", "text", "title"]);
        let risky = |name: &String| name.starts_with("on") || name == "style" || name == "href" || name == "class";
        assert!(!attributes.iter().any(risky), "{attributes:?}");
        assert!(svg.contains("&lt;script&gt;") && !svg.contains('\u{202e}'));
    }

    #[test]
    fn it_is_named_described_and_labelled_in_words() {
        let node = json!({"type": "Input", "id": "a", "prompt": "How likely?", "input_type": "nps"});
        let svg = chart(node, &[json!(10), json!(9), json!(0), json!(null)], Theme::Dark);
        names(&svg);
        assert!(svg.contains("role=\"img\" aria-labelledby=\"title desc\""));
        assert!(svg.contains("<title id=\"title\">How likely?</title>"));
        assert!(
            svg.contains("<desc id=\"desc\">3 answered, 1 left out, score 33.3. 0: 1 (33.33 %), 1: 0 (0 %)"),
            "{svg}"
        );
        assert_eq!(svg.matches("<g><title>").count(), 11);
        assert!(svg.contains("fill=\"#15181c\"") && !svg.contains("NaN"));
    }

    #[test]
    fn every_kind_of_question_has_a_chart_also_without_answers() {
        let option = json!([{"value": "x"}]);
        for kind in ["text", "textarea", "select", "multiselect", "rating", "nps", "boolean", "number", "date", "email"]
        {
            let mut node = json!({"type": "Input", "id": "a", "prompt": "?", "input_type": kind});
            if kind.ends_with("select") {
                node["options"] = option.clone();
            }
            let svg = chart(node, &[], Theme::Light);
            names(&svg);
            assert!(svg.contains("0 answered") && !svg.contains("NaN") && svg.contains("<g><title>"), "{kind}: {svg}");
        }
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 3.0, -1.5, 1.0 / 3.0, 1e12, 1e-7].map(short);
        assert_eq!(shown, ["0", "3", "-1.5", "0.333", "1.00e12", "1.00e-7"]);
    }
}
