//! One key of somebody else's list, in our terms.

use ambient::Millis;
use credential::{Digest, Form, Parser};
use serde_json::{Map, Value};

/// The longest name of a key.
const MAX_NAME: usize = 50;
const MAX_OWNER: usize = 200;
const MAX_METADATA: usize = 4096;
/// Requests a minute.
const MAX_RATE: u64 = 1_000_000;

/// A key that is to be made.
pub(super) struct Row {
    pub(super) digest: Digest,
    pub(super) name: String,
    /// What may be shown of it.
    pub(super) display: Option<String>,
    pub(super) expires_at: Option<Millis>,
    pub(super) rate_limit: Option<u32>,
    pub(super) owner: Option<String>,
    pub(super) metadata: Option<Value>,
    /// What is not kept, for the report.
    pub(super) notes: Vec<String>,
}

/// What becomes of a line or an element.
pub(super) enum Verdict {
    Import(Box<Row>),
    /// It does not work where it comes from, either.
    LeaveOut(String),
    /// It cannot be right: nothing at all is imported then.
    Refuse(String),
}

impl Row {
    pub(super) fn new(digest: Digest) -> Self {
        let (notes, name) = (Vec::new(), String::new());
        Self { digest, name, display: None, expires_at: None, rate_limit: None, owner: None, metadata: None, notes }
    }

    pub(super) fn named(mut self, text: &str) -> Self {
        let name: String = text.trim().chars().filter(|c| !c.is_control()).collect();
        if name.chars().count() > MAX_NAME {
            self.notes.push(format!("its name is cut to {MAX_NAME} characters"));
        }
        self.name = name.chars().take(MAX_NAME).collect::<String>().trim().to_owned();
        self
    }

    pub(super) fn owned(mut self, text: Option<&str>) -> Self {
        let owner = text.map(|text| text.chars().filter(|c| !c.is_control()).take(MAX_OWNER).collect::<String>());
        self.owner = owner.filter(|owner| !owner.is_empty());
        self
    }

    /// So many requests in so many milliseconds, as so many a minute.
    pub(super) fn limited(mut self, limit: Option<u64>, window_ms: u64) -> Self {
        if let Some(limit) = limit {
            let per_minute = limit.saturating_mul(60_000).div_ceil(window_ms.max(1)).clamp(1, MAX_RATE);
            self.rate_limit = u32::try_from(per_minute).ok();
            if window_ms != 60_000 {
                self.notes.push(format!("its limit of {limit} in {window_ms} ms becomes {per_minute} a minute"));
            }
        }
        self
    }

    pub(super) fn noted(mut self, note: Option<String>) -> Self {
        self.notes.extend(note);
        self
    }

    pub(super) fn with_metadata(mut self, metadata: Option<Map<String, Value>>) -> Self {
        let metadata = metadata.filter(|map| !map.is_empty()).map(Value::Object);
        if metadata.as_ref().is_some_and(|value| value.to_string().len() > MAX_METADATA) {
            self.notes.push(format!("its metadata are larger than {MAX_METADATA} bytes and not kept"));
        } else {
            self.metadata = metadata;
        }
        self
    }

    /// The first characters, which some products keep. Ours would take a key that begins like its own for a
    /// mistyped one.
    pub(super) fn begins_with(mut self, start: Option<&str>, parser: &Parser) -> Result<Self, String> {
        let Some(start) = start.map(str::trim).filter(|start| !start.is_empty()) else { return Ok(self) };
        let of = parser.prefixes();
        let ours = [
            &of.secret_live,
            &of.secret_test,
            &of.service_account_live,
            &of.service_account_test,
            &of.deployment,
            &of.widget,
        ];
        if let Some(prefix) = ours.into_iter().find(|prefix| start.starts_with(prefix.as_str())) {
            return Err(format!(
                "the key begins with `{prefix}`, which is how keys of this installation begin: change that in \
                 [keys.prefixes] first"
            ));
        }
        let shown: String =
            start.trim_end_matches(['.', '…', '*']).chars().filter(char::is_ascii_graphic).take(12).collect();
        self.display = Some(format!("{shown}****"));
        Ok(self)
    }
}

/// Why a text is not the hash that it should be. The text itself may be a key: it is not repeated.
pub(super) fn not_a_hash(text: &str, parser: &Parser, encoding: &str) -> String {
    if matches!(parser.parse(text), Ok(Form::Generated { .. })) {
        return "is a key and no hash; raw keys are never imported".to_owned();
    }
    format!("is no SHA-256 in {encoding}; should it be a key itself: raw keys are never imported")
}

/// RFC 3339, a time without a zone (UTC), seconds or milliseconds.
pub(super) fn time(value: &Value) -> Result<Option<Millis>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => {
            let number = number.as_f64().filter(|number| number.is_finite() && *number > 0.0 && *number < 1e15);
            let number = number.ok_or("its expiry is no time")?;
            // Whole numbers below 2^53 are exact.
            #[expect(clippy::cast_possible_truncation, reason = "checked above")]
            let whole = number as i64;
            Ok(Some(if number < 1e11 { Millis::from_seconds(whole) } else { Millis(whole) }))
        }
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => {
            let text = text.trim().replacen(' ', "T", 1);
            let zoned = [text.clone(), format!("{text}Z"), format!("{text}:00")];
            zoned.iter().find_map(|text| text.parse().ok()).map(Some).ok_or_else(|| "its expiry is no time".to_owned())
        }
        _ => Err("its expiry is no time".to_owned()),
    }
}
