use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::results::rows::tests::questions;

fn question(kind: &str, extra: &Value) -> Question {
    let mut node = json!({"type": "Input", "id": "a", "prompt": "?", "input_type": kind});
    node.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    questions(json!([node]))[0].clone()
}

fn tallied(question: &Question, answers: &[Option<Value>]) -> QuestionSummary {
    let mut tally = Tally::new(question);
    answers.iter().for_each(|answer| tally.add(answer.as_ref()));
    tally.summary(question)
}

#[expect(clippy::needless_pass_by_value, reason = "a call reads as a sentence")]
fn answers(values: Value) -> Vec<Option<Value>> {
    values.as_array().unwrap().iter().cloned().map(Some).collect()
}

fn options() -> Value {
    json!({"options": [{"value": "x", "label": "Ex"}, {"value": "y"}, {"value": "z"}]})
}

proptest! {
    #[test]
    fn the_counts_of_a_select_come_to_those_who_answered(chosen in prop::collection::vec(0..5_usize, 0..200)) {
        let question = question("select", &options());
        let value = |at: &usize| [Some(json!("x")), Some(json!("y")), Some(json!("z")), Some(json!(null)), None][*at].clone();
        let given: Vec<_> = chosen.iter().map(value).collect();
        let summary = tallied(&question, &given);
        let choices = summary.choices.unwrap();
        prop_assert_eq!(choices.iter().map(|choice| choice.count).sum::<u64>(), summary.answered);
        prop_assert_eq!(summary.answered, chosen.iter().filter(|at| **at < 3).count() as u64);
        prop_assert_eq!(summary.skipped, chosen.iter().filter(|at| **at == 3).count() as u64);
        let shares: f64 = choices.iter().map(|choice| choice.share).sum();
        let whole = if summary.answered == 0 { 0.0 } else { 1.0 };
        prop_assert!((shares - whole).abs() < 0.001, "{}", shares);
    }

    #[test]
    fn a_score_is_what_its_definition_says(given in prop::collection::vec(0..=10_u8, 1..200)) {
        let question = question("nps", &json!({}));
        let summary = tallied(&question, &given.iter().map(|n| Some(json!(n))).collect::<Vec<_>>());
        let count = |test: fn(u8) -> bool| given.iter().filter(|n| test(**n)).count() as u64;
        let nps = summary.nps.unwrap();
        prop_assert_eq!(nps.promoters, count(|n| n >= 9));
        prop_assert_eq!(nps.passives, count(|n| n == 7 || n == 8));
        prop_assert_eq!(nps.detractors, count(|n| n <= 6));
        prop_assert_eq!(nps.promoters + nps.passives + nps.detractors, summary.answered);
        let score = 100.0 * (float(nps.promoters) - float(nps.detractors)) / float(summary.answered);
        prop_assert!((nps.score.unwrap() - score).abs() <= 0.05 + 1e-9);
        prop_assert!((-100.0..=100.0).contains(&nps.score.unwrap()));
        prop_assert_eq!(summary.histogram.unwrap().iter().map(|bin| bin.count).sum::<u64>(), summary.answered);
    }
}

#[test]
fn a_score_goes_from_minus_100_to_100_and_is_not_there_without_answers() {
    let question = question("nps", &json!({}));
    let score = |values| tallied(&question, &answers(values)).nps.unwrap().score;
    assert_eq!(score(json!([0, 6])), Some(-100.0));
    assert_eq!(score(json!([9, 10])), Some(100.0));
    assert_eq!(score(json!([7, 8])), Some(0.0));
    assert_eq!(score(json!([10, 7, 0])), Some(0.0));
    assert_eq!(score(json!([10, 10, 0])), Some(33.3));
    assert_eq!(score(json!([null])), None);
}

#[test]
fn of_a_multiselect_each_choice_counts_and_each_run_once() {
    let question = question("multiselect", &options());
    let summary =
        tallied(&question, &answers(json!([["x", "y"], ["x"], null, ["x", "x"], ["unknown"], ["y", "unknown"]])));
    let choices: Vec<_> =
        summary.choices.unwrap().iter().map(|one| (one.label.clone(), one.count, one.share)).collect();
    assert_eq!((summary.answered, summary.skipped), (3, 1));
    let expected = [("Ex", 3, 1.0), ("y", 1, 0.3333), ("z", 0, 0.0)];
    assert_eq!(choices, expected.map(|(label, count, share)| (label.to_owned(), count, share)));
}

#[test]
fn a_boolean_is_yes_or_no() {
    let summary = tallied(&question("boolean", &json!({})), &answers(json!([true, false, true, "true"])));
    let shown = serde_json::to_value(&summary).unwrap();
    assert_eq!(shown["answered"], 3);
    let yes = json!({"value": true, "label": "Yes", "count": 2, "share": 0.6667});
    assert_eq!((&shown["choices"][0], &shown["choices"][1]["count"]), (&yes, &json!(1)));
}

#[test]
fn a_rating_has_a_bar_for_each_step_and_its_figures() {
    let question = question("rating", &json!({"max": 3}));
    let summary = tallied(&question, &answers(json!([1, 3, 3, 0, 4, 2.5, "3"])));
    let shown = serde_json::to_value(&summary).unwrap();
    assert_eq!((summary.answered, &shown["nps"]), (3, &Value::Null));
    assert_eq!(shown["numbers"], json!({"mean": 2.3333, "median": 3.0, "min": 1.0, "max": 3.0, "exact": true}));
    let counts: Vec<_> = summary.histogram.unwrap().iter().map(|bin| (bin.from, bin.to, bin.count)).collect();
    assert_eq!(counts, [(1.0, 1.0, 1), (2.0, 2.0, 0), (3.0, 3.0, 2)]);
}

#[test]
fn numbers_have_a_histogram_and_without_any_no_figures() {
    let question = question("number", &json!({}));
    let shown = serde_json::to_value(tallied(&question, &answers(json!([-5, 2.5, 2.5])))).unwrap();
    assert_eq!(shown["histogram"][0], json!({"from": -5.0, "to": -5.0, "count": 1, "share": 0.3333}));
    assert_eq!(shown["numbers"]["median"], 2.5);
    let none = serde_json::to_value(tallied(&question, &[None])).unwrap();
    assert_eq!((&none["numbers"]["mean"], &none["histogram"]), (&Value::Null, &json!([])));
}

#[test]
fn of_words_only_their_number_and_length_are_told() {
    let shown =
        serde_json::to_value(tallied(&question("text", &json!({})), &answers(json!(["äb", "secret"])))).unwrap();
    assert_eq!((&shown["answered"], &shown["mean_length"]), (&json!(2), &json!(4.0)));
    assert!(!shown.to_string().contains("secret"), "{shown}");
}

#[test]
fn dates_are_counted_by_day_and_merged_for_a_picture() {
    let question = question("date", &json!({}));
    let mut tally = Tally::new(&question);
    for day in 1..=28 {
        tally.add(Some(&json!(format!("2026-02-{day:02}"))));
        tally.add(Some(&json!("2026-02-01")));
    }
    let merged = tally.clone().with_dates_at_most(5).summary(&question).dates.unwrap();
    let dates = tally.summary(&question).dates.unwrap();
    assert_eq!((dates.by.as_str(), dates.counts.len(), dates.counts[0].count), ("day", 28, 29));
    assert_eq!((merged.by.as_str(), merged.counts.len(), merged.counts[0].count), ("month", 1, 56));
    assert_eq!(merged.counts[0].date, "2026-02");
}
