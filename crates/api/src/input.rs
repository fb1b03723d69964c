//! Checks that several resources share; each adds to the list of what is wrong.

use std::{borrow::Cow, fmt, net::IpAddr};

use gate::{FieldError, Problem, field};
use ipnet::{IpNet, Ipv4Net};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value, json};

/// Notes of the customer's own: a JSON object.
pub(crate) type Metadata = Map<String, Value>;

/// The most bytes of [`Metadata`], written out.
pub(crate) const MAX_METADATA: usize = 4096;

/// The most entries of `allowed_ips`.
const MAX_ADDRESSES: usize = 50;

/// Nothing when the list is empty, else 422 with all of it.
pub(crate) fn done(errors: Vec<FieldError>) -> Result<(), Problem> {
    if errors.is_empty() { Ok(()) } else { Err(Problem::validation(errors)) }
}

/// A text that may be absent or `null`.
pub(crate) fn optional_text(errors: &mut Vec<FieldError>, name: &str, value: Option<&String>, max: usize) {
    if let Some(value) = value {
        field::text(errors, name, value, 0, max);
    }
}

/// What is different, for the audit record: each field that was sent, with what it was before.
#[derive(Debug, Default)]
pub(crate) struct Changes(Map<String, Value>);

impl Changes {
    /// With a field, if it was sent and is another one now.
    pub(crate) fn of<T: Serialize + PartialEq>(mut self, name: &str, before: &T, after: Option<&T>) -> Self {
        if let Some(after) = after.filter(|after| *after != before) {
            self.0.insert(name.to_owned(), json!({"before": before, "after": after}));
        }
        self
    }

    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// A name: not empty, and not only blanks.
pub(crate) fn name(errors: &mut Vec<FieldError>, value: &str, max: usize) {
    if value.trim().is_empty() {
        errors.push(FieldError::new("name", format!("must be 1 to {max} characters, not only blanks")));
    } else {
        field::text(errors, "name", value, 1, max);
    }
}

/// Of at most [`MAX_METADATA`] bytes, and without NUL: PostgreSQL has no room for it in a text.
pub(crate) fn metadata(errors: &mut Vec<FieldError>, value: &Metadata) {
    let size = serde_json::to_string(value).map_or(usize::MAX, |text| text.len());
    if size > MAX_METADATA {
        errors.push(FieldError::new("metadata", "must be at most 4 KiB, written as JSON"));
    } else if members_hold_nul(value) {
        errors.push(FieldError::new("metadata", "must not contain the character U+0000"));
    }
}

fn members_hold_nul(members: &Metadata) -> bool {
    members.iter().any(|(name, value)| name.contains('\0') || holds_nul(value))
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(members) => members_hold_nul(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Addresses and CIDR blocks; an address is the block that holds it alone.
pub(crate) fn addresses(errors: &mut Vec<FieldError>, texts: &[String]) -> Vec<IpNet> {
    if texts.len() > MAX_ADDRESSES {
        errors.push(FieldError::new("allowed_ips", format!("must be at most {MAX_ADDRESSES} entries")));
        return Vec::new();
    }
    let mut blocks = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let block = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical())).ok();
        match block.or_else(|| text.parse::<IpNet>().ok()) {
            Some(block) => blocks.push(canonical(block.trunc())),
            None => errors.push(FieldError::new(
                format!("allowed_ips[{index}]"),
                "must be an address or a CIDR block, such as 203.0.113.7 or 2001:db8::/32",
            )),
        }
    }
    blocks
}

/// A block of IPv4 in IPv6 is one of IPv4, as clients' addresses are.
fn canonical(block: IpNet) -> IpNet {
    let IpNet::V6(v6) = block else { return block };
    let mapped = v6.prefix_len().checked_sub(96).zip(v6.network().to_ipv4_mapped());
    let v4 = mapped.and_then(|(prefix, network)| Ipv4Net::new(network, prefix).ok());
    v4.map_or(block, IpNet::V4)
}

/// A list of texts, or one text with commas between them (seed S2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Domains {
    One(String),
    Many(Vec<String>),
}

impl Domains {
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }

    /// How the entry is called in an error.
    pub(crate) fn field(&self, index: usize) -> String {
        match self {
            Self::Many(texts) if index < texts.len() => format!("allowed_domains[{index}]"),
            _ => "allowed_domains".to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Domains {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Domains;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of domains, or one text with commas between them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Domains, E> {
                Ok(Domains::One(text.to_owned()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Domains, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(Domains::Many)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Domains {
    fn schema_name() -> Cow<'static, str> {
        "Domains".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"oneOf": [
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 50},
            {"type": "string", "description": "Domains with commas between them"},
        ]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(texts: &[&str]) -> (Vec<String>, Vec<String>) {
        let mut errors = Vec::new();
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        let blocks = addresses(&mut errors, &texts);
        (blocks.iter().map(ToString::to_string).collect(), errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn an_address_is_a_block_and_a_block_loses_its_host_bits() {
        let (blocks, errors) =
            blocks(&["203.0.113.7", "10.1.2.3/8", "2001:db8::1", "::ffff:192.0.2.1", "x", "1.2.3.4/33"]);
        assert_eq!(blocks, ["203.0.113.7/32", "10.0.0.0/8", "2001:db8::1/128", "192.0.2.1/32"]);
        let (mapped, _) = self::blocks(&["::ffff:10.1.2.3/104", "::ffff:10.1.2.3/128", "::ffff:0:0/95", "::/0"]);
        assert_eq!(mapped, ["10.0.0.0/8", "10.1.2.3/32", "::fffe:0:0/95", "::/0"], "as clients' addresses are");
        assert_eq!(errors, ["allowed_ips[4]", "allowed_ips[5]"]);
    }

    #[test]
    fn domains_are_a_list_or_a_text_and_nothing_else() {
        let read = |json: &str| serde_json::from_str::<Domains>(json);
        assert_eq!(read("\"a.com, b.com\"").unwrap(), Domains::One("a.com, b.com".to_owned()));
        assert_eq!(read("[\"a.com\"]").unwrap(), Domains::Many(vec!["a.com".to_owned()]));
        assert!(read("1").is_err() && read("[1]").is_err() && read("null").is_err());
    }

    #[test]
    fn metadata_ends_at_4_kib() {
        let sized = |size: usize| {
            let mut errors = Vec::new();
            let value = Map::from_iter([("a".to_owned(), Value::from("x".repeat(size - 8)))]);
            assert_eq!(serde_json::to_string(&value).unwrap().len(), size);
            metadata(&mut errors, &value);
            errors.len()
        };
        assert_eq!((sized(MAX_METADATA), sized(MAX_METADATA + 1)), (0, 1));
    }

    #[test]
    fn metadata_holds_nul_nowhere() {
        for (text, wrong) in [
            (r#"{"a":"b\u0000"}"#, 1),
            (r#"{"a\u0000":1}"#, 1),
            (r#"{"a":[{"b":["\u0000"]}]}"#, 1),
            (r#"{"a":{"b\u0000":null}}"#, 1),
            (r#"{"a":["b\n\\u0000",1,null,true]}"#, 0),
        ] {
            let mut errors = Vec::new();
            metadata(&mut errors, &serde_json::from_str(text).unwrap());
            assert_eq!(errors.len(), wrong, "{text}");
        }
    }

    #[test]
    fn a_name_of_blanks_is_no_name() {
        for (value, wrong) in [("", 1), ("  ", 1), ("a", 0), ("ü".repeat(50).as_str(), 0), ("x".repeat(51).as_str(), 1)]
        {
            let mut errors = Vec::new();
            name(&mut errors, value, 50);
            assert_eq!(errors.len(), wrong, "{value:?}");
        }
    }
}
