//! Whether a condition holds.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::Value;

use crate::{
    model::{Condition, Operand, Operator},
    template::Scope,
};

/// Whether it holds; every comparison adds one to `work`.
pub(crate) fn holds(condition: &Condition, scope: Scope<'_>, work: &mut usize) -> bool {
    match condition {
        Condition::All { all } => all.iter().all(|one| holds(one, scope, work)),
        Condition::Any { any } => any.iter().any(|one| holds(one, scope, work)),
        Condition::Not { not } => !holds(not, scope, work),
        Condition::Compare { left, op, right } => {
            *work += 1;
            compare(left, *op, right.as_ref(), scope)
        }
    }
}

fn compare(left: &Operand, op: Operator, right: Option<&Operand>, scope: Scope<'_>) -> bool {
    let left = read(left, scope);
    let right = right.and_then(|right| read(right, scope));
    let order = || order(left.as_deref()?, right.as_deref()?);
    match op {
        Operator::Exists => left.is_some_and(|value| !value.is_null()),
        Operator::Empty => left.is_none_or(|value| is_empty(&value)),
        Operator::Eq => equal(left.as_deref(), right.as_deref()),
        Operator::Ne => !equal(left.as_deref(), right.as_deref()),
        Operator::Gt => order() == Some(Ordering::Greater),
        Operator::Ge => order().is_some_and(Ordering::is_ge),
        Operator::Lt => order() == Some(Ordering::Less),
        Operator::Le => order().is_some_and(Ordering::is_le),
        Operator::Contains => contains(left.as_deref(), right.as_deref()),
        Operator::In => contains(right.as_deref(), left.as_deref()),
    }
}

/// The value, or nothing when a lone reference leads nowhere.
fn read<'s>(operand: &'s Operand, scope: Scope<'s>) -> Option<Cow<'s, Value>> {
    match operand {
        Operand::Value(value) => Some(Cow::Borrowed(value)),
        Operand::Template(text) => match text.whole() {
            Some(reference) => scope.find(reference),
            None => Some(text.render(scope)),
        },
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What is missing equals null and the empty text, as a template would have it.
fn equal(left: Option<&Value>, right: Option<&Value>) -> bool {
    match (left, right) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => a.as_f64() == b.as_f64(),
        (Some(a), Some(b)) => a == b,
        (None, Some(value)) | (Some(value), None) => value.is_null() || value.as_str() == Some(""),
        (None, None) => true,
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn contains(whole: Option<&Value>, part: Option<&Value>) -> bool {
    match (whole, part) {
        (Some(Value::String(text)), Some(Value::String(part))) => text.contains(part.as_str()),
        (Some(Value::Array(items)), part) => items.iter().any(|item| equal(Some(item), part)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Map, json};

    use super::*;
    use crate::template::Template;

    fn operand(value: &Value) -> Operand {
        value.as_str().map_or_else(|| Operand::Value(value.clone()), |t| Operand::Template(Template::parse(t).unwrap()))
    }

    fn check(left: &Value, op: Operator, right: &Value) -> bool {
        let results = BTreeMap::from([
            ("n".to_owned(), json!(9)),
            ("list".to_owned(), json!(["a", 2])),
            ("none".to_owned(), Value::Null),
            ("blank".to_owned(), json!(" ")),
        ]);
        let input = Map::new();
        let condition = Condition::Compare { left: operand(left), op, right: Some(operand(right)) };
        holds(&condition, Scope { results: &results, input: &input, index: None }, &mut 0)
    }

    #[test]
    fn values_compare_by_their_type() {
        use Operator::{Contains, Empty, Eq, Exists, Ge, Gt, In, Le, Lt, Ne};
        for (left, op, right, expected) in [
            (json!("{{n}}"), Eq, json!(9.0), true),
            (json!("{{n}}"), Eq, json!("9"), false),
            (json!("{{n}}"), Ne, json!(8), true),
            (json!("{{n}}"), Gt, json!(8), true),
            (json!("{{n}}"), Gt, json!(9), false),
            (json!("{{n}}"), Ge, json!(9), true),
            (json!("{{n}}"), Lt, json!(9), false),
            (json!("{{n}}"), Le, json!(9), true),
            (json!("{{n}}"), Lt, json!("z"), false),
            (json!("2026-01-31"), Lt, json!("2026-02-01"), true),
            (json!("{{list}}"), Contains, json!("a"), true),
            (json!("{{list}}"), Contains, json!("b"), false),
            (json!("hay"), Contains, json!("a"), true),
            (json!("{{n}}"), In, json!([1, 9]), true),
            (json!("{{n}}"), In, json!([1, 8]), false),
            (json!("{{n}}"), Exists, json!(null), true),
            (json!("{{none}}"), Exists, json!(null), false),
            (json!("{{gone}}"), Exists, json!(null), false),
            (json!("{{gone}}"), Empty, json!(null), true),
            (json!("{{blank}}"), Empty, json!(null), true),
            (json!("{{n}}"), Empty, json!(null), false),
            (json!("{{gone}}"), Eq, json!(""), true),
            (json!("{{gone}}"), Ge, json!(0), false),
        ] {
            assert_eq!(check(&left, op, &right), expected, "{left} {op:?} {right}");
        }
    }

    #[test]
    fn conditions_combine_and_count_their_work() {
        let leaf = |n: i64| Condition::Compare {
            left: Operand::Value(json!(n)),
            op: Operator::Eq,
            right: Some(Operand::Value(json!(1))),
        };
        let (results, input, mut work) = (BTreeMap::new(), Map::new(), 0);
        let scope = Scope { results: &results, input: &input, index: None };
        assert!(holds(&Condition::Any { any: vec![leaf(0), leaf(1), leaf(1)] }, scope, &mut work));
        assert_eq!(work, 2);
        assert!(!holds(&Condition::All { all: vec![leaf(1), leaf(0)] }, scope, &mut work));
        assert!(holds(&Condition::Not { not: Box::new(leaf(0)) }, scope, &mut work));
        assert_eq!(work, 5);
    }
}
