//! The bytes that are sent.

use ambient::{EventId, Millis};
use serde_json::{Number, Value};

/// `{"type","id","timestamp","data"}`, compact. Numbers and the order of members are as `JSON.stringify` writes them
/// after `JSON.parse`: receivers that sign what they have parsed and written again (seed 001) come to the same bytes.
/// Integers beyond 2⁵³ stay whole, although such a receiver has lost their last digits.
pub(crate) fn body(kind: &str, id: EventId, at: Millis, data: &str) -> Result<Vec<u8>, serde_json::Error> {
    let data: Value = serde_json::from_str(data)?;
    let mut out = String::with_capacity(128);
    out.push_str("{\"type\":");
    write(&mut out, &Value::from(kind));
    out.push_str(",\"id\":");
    write(&mut out, &Value::from(id.to_string()));
    out.push_str(",\"timestamp\":");
    write(&mut out, &Value::from(at.to_string()));
    out.push_str(",\"data\":");
    write(&mut out, &data);
    out.push('}');
    Ok(out.into_bytes())
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Object(members) => {
            // Names that are array indices come first, in their order (ECMA-262, OrdinaryOwnPropertyKeys).
            let mut indices: Vec<_> =
                members.iter().filter_map(|(name, value)| Some((index(name)?, name, value))).collect();
            indices.sort_by_key(|(index, ..)| *index);
            let indices = indices.into_iter().map(|(_, name, value)| (name, value));
            let named = members.iter().filter(|(name, _)| index(name).is_none());
            out.push('{');
            for (place, (name, value)) in indices.chain(named).enumerate() {
                if place > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write(out, value);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write(out, value);
            }
            out.push(']');
        }
        Value::Number(number) => out.push_str(&decimal(number)),
        Value::Null | Value::Bool(_) | Value::String(_) => out.push_str(&value.to_string()),
    }
}

fn index(name: &str) -> Option<u32> {
    let index: u32 = name.parse().ok()?;
    (index < u32::MAX && index.to_string() == name).then_some(index)
}

/// ECMA-262, `Number::toString`.
fn decimal(number: &Number) -> String {
    if !number.is_f64() {
        return number.to_string();
    }
    let Some(value) = number.as_f64().filter(|value| value.is_finite()) else { return number.to_string() };
    if value == 0.0 {
        return "0".to_owned();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let shortest = format!("{:e}", value.abs());
    let Some((mantissa, exponent)) = shortest.split_once('e') else { return number.to_string() };
    let Ok(exponent) = exponent.parse::<i32>() else { return number.to_string() };
    let digits = mantissa.replace('.', "");
    let (point, count) = (exponent + 1, i32::try_from(digits.len()).unwrap_or(i32::MAX));
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    let split = |at: i32| digits.split_at(usize::try_from(at).unwrap_or_default());
    let text = match point {
        22.. | ..=-6 => {
            let (first, rest) = split(1);
            let dot = if rest.is_empty() { "" } else { "." };
            let plus = if exponent < 0 { "" } else { "+" };
            format!("{first}{dot}{rest}e{plus}{exponent}")
        }
        1..=21 if count <= point => format!("{digits}{}", zeros(point - count)),
        1..=21 => {
            let (whole, rest) = split(point);
            format!("{whole}.{rest}")
        }
        _ => format!("0.{}{digits}", zeros(-point)),
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use ambient::Ulid;

    use super::*;

    fn data(text: &str) -> String {
        let mut out = String::new();
        write(&mut out, &serde_json::from_str(text).unwrap());
        out
    }

    #[test]
    fn a_body_is_compact_and_names_the_event() {
        let text =
            String::from_utf8(body("run.completed", EventId(Ulid(1)), Millis(0), r#"{ "a" : "ä/\u2028" }"#).unwrap());
        let expected = "{\"type\":\"run.completed\",\"id\":\"evt_00000000000000000000000001\",\
            \"timestamp\":\"1970-01-01T00:00:00.000Z\",\"data\":{\"a\":\"ä/\u{2028}\"}}";
        assert_eq!(text.unwrap(), expected);
        assert!(body("x", EventId(Ulid(1)), Millis(0), "{").is_err());
    }

    #[test]
    fn numbers_and_members_are_as_javascript_writes_them() {
        let numbers = [
            ("1.0", "1"),
            ("-0.0", "0"),
            ("1e21", "1e+21"),
            ("1e20", "100000000000000000000"),
            ("123456789012345680000.0", "123456789012345680000"),
            ("1.5e300", "1.5e+300"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("-1.25e-9", "-1.25e-9"),
            ("0.1", "0.1"),
            ("12.5", "12.5"),
            ("9007199254740993", "9007199254740993"),
        ];
        for (written, expected) in numbers {
            assert_eq!(data(written), expected, "{written}");
        }
        assert_eq!(
            data(r#"{"b":1,"10":2,"a":3,"9":4,"01":5,"4294967295":6,"-1":7}"#),
            r#"{"9":4,"10":2,"b":1,"a":3,"01":5,"4294967295":6,"-1":7}"#
        );
        assert_eq!(data(r#"[null,true,{"a":[]},"\u001f\n\"\\"]"#), r#"[null,true,{"a":[]},"\u001f\n\"\\"]"#);
    }
}
