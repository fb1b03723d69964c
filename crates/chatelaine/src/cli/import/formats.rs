//! What other products' lists of keys look like.

use ambient::Millis;
use credential::{Digest, Parser};
use serde_json::{Map, Value};

use super::row::{Row, Verdict, not_a_hash, time};
use crate::cli::args::KeyFormat;

/// Every key of a list, with the number of its line or element, from 1.
pub(super) fn read(text: &str, format: KeyFormat, parser: &Parser, now: Millis) -> Result<Vec<(u64, Verdict)>, String> {
    let reader = Reader { parser, now };
    match format {
        KeyFormat::Sha256Hex | KeyFormat::Sha256Base64 | KeyFormat::Sha256Base64url => {
            let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
            Ok(lines.map(|(line, number)| (number, reader.plain(line, format))).collect())
        }
        KeyFormat::Chatelaine => Err("it is read otherwise".to_owned()),
        KeyFormat::Unkey | KeyFormat::Litellm | KeyFormat::BetterAuth => {
            let all = elements(text)?;
            let verdict = |element: &Value| match element {
                Value::Object(fields) => reader.object(fields, format).unwrap_or_else(Verdict::Refuse),
                _ => Verdict::Refuse("is no JSON object".to_owned()),
            };
            Ok(all.iter().zip(1..).map(|(element, number)| (number, verdict(element))).collect())
        }
    }
}

/// A list, an object that holds one, or a line for each.
fn elements(text: &str) -> Result<Vec<Value>, String> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if let Ok(whole) = serde_json::from_str::<Value>(text) {
        return match whole {
            Value::Array(all) => Ok(all),
            Value::Object(mut fields) => {
                let list =
                    ["keys", "data", "apiKeys"].into_iter().find(|name| fields.get(*name).is_some_and(Value::is_array));
                match list.and_then(|name| fields.remove(name)) {
                    Some(Value::Array(all)) => Ok(all),
                    _ => Ok(vec![Value::Object(fields)]),
                }
            }
            _ => Err("the file is JSON and no list of keys".to_owned()),
        };
    }
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let parsed = lines.map(|(line, number): (&str, u64)| {
        // What stands there may be a key: it is not repeated.
        serde_json::from_str(line).map_err(|_| format!("line {number} is no JSON; neither is the file as a whole"))
    });
    parsed.collect()
}

struct Reader<'a> {
    parser: &'a Parser,
    now: Millis,
}

/// Never the text itself.
const TELLS: &str = "a text beside the hash is the key itself; keys are never imported in clear. Treat it as leaked";

type Fields = Map<String, Value>;

fn text<'a>(fields: &'a Fields, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| fields.get(*name)?.as_str())
}

fn number(fields: &Fields, names: &[&str]) -> Option<u64> {
    let read = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    names.iter().find_map(|name| read(fields.get(*name)?))
}

fn flag(fields: &Fields, names: &[&str]) -> Option<bool> {
    let read = |value: &Value| value.as_bool().or_else(|| value.as_u64().map(|number| number != 0));
    names.iter().find_map(|name| read(fields.get(*name)?))
}

/// An object, or JSON of one in a text.
fn object(fields: &Fields, names: &[&str]) -> Option<Fields> {
    names.iter().find_map(|name| match fields.get(*name)? {
        Value::Object(map) => Some(map.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    })
}

impl Reader<'_> {
    /// `<hash> [name]`, with white space or a comma between.
    fn plain(&self, line: &str, format: KeyFormat) -> Verdict {
        let (hash, name) = line.trim().split_once([' ', '\t', ',']).unwrap_or((line.trim(), ""));
        match self.digest(hash, format) {
            Ok(digest) if self.tells(&digest, name) => Verdict::Refuse(TELLS.to_owned()),
            Ok(digest) => Verdict::Import(Box::new(Row::new(digest).named(name))),
            Err(why) => Verdict::Refuse(why),
        }
    }

    /// Whether one of the words is the key whose digest this is, or a key of ours: it would be kept in clear.
    fn tells(&self, digest: &Digest, text: &str) -> bool {
        std::iter::once(text.trim()).chain(text.split([' ', '\t', ',', ';', '"', '\''])).any(|word| {
            let is_ours = matches!(self.parser.parse(word), Ok(credential::Form::Generated { .. }));
            is_ours || (!word.is_empty() && Digest::of_import(word) == *digest)
        })
    }

    fn tells_anywhere(&self, digest: &Digest, value: &Value) -> bool {
        match value {
            Value::String(text) => self.tells(digest, text),
            Value::Array(items) => items.iter().any(|item| self.tells_anywhere(digest, item)),
            Value::Object(members) => {
                members.iter().any(|(name, item)| self.tells(digest, name) || self.tells_anywhere(digest, item))
            }
            _ => false,
        }
    }

    fn digest(&self, text: &str, format: KeyFormat) -> Result<Digest, String> {
        let text = text.trim();
        let (encoding, digest) = match format {
            KeyFormat::Sha256Hex | KeyFormat::Litellm | KeyFormat::Chatelaine => ("hex", Digest::from_hex(text)),
            KeyFormat::Sha256Base64 | KeyFormat::Unkey => ("base64", Digest::from_base64(text)),
            KeyFormat::Sha256Base64url | KeyFormat::BetterAuth => ("base64url", Digest::from_base64url(text)),
        };
        digest.ok_or_else(|| not_a_hash(text, self.parser, encoding))
    }

    fn object(&self, fields: &Fields, format: KeyFormat) -> Result<Verdict, String> {
        let row = match format {
            KeyFormat::Unkey => self.unkey(fields)?,
            KeyFormat::Litellm => self.litellm(fields)?,
            _ => self.better_auth(fields)?,
        };
        if fields.values().any(|value| self.tells_anywhere(&row.digest, value)) {
            return Err(TELLS.to_owned());
        }
        let is_off = flag(fields, &["enabled"]) == Some(false) || flag(fields, &["blocked"]) == Some(true);
        let is_used_up = number(fields, &["remaining", "remaining_requests"]).or_else(|| credits(fields)) == Some(0);
        let is_deleted = ["deletedAt", "deleted_at_m", "deleted_at"]
            .iter()
            .any(|name| fields.get(*name).is_some_and(|value| !value.is_null()));
        Ok(if is_off {
            Verdict::LeaveOut("it is switched off".to_owned())
        } else if is_deleted {
            Verdict::LeaveOut("it is deleted".to_owned())
        } else if is_used_up {
            Verdict::LeaveOut("its uses are used up".to_owned())
        } else if row.expires_at.is_some_and(|at| at <= self.now) {
            Verdict::LeaveOut("it has expired".to_owned())
        } else {
            Verdict::Import(Box::new(row))
        })
    }

    /// The body of Unkey's own migrations (v1 and v2), or a row of its table `keys`.
    fn unkey(&self, fields: &Fields) -> Result<Row, String> {
        let hash = match fields.get("hash") {
            Some(Value::Object(of)) => match text(of, &["variant"]) {
                None | Some("sha256_base64") => text(of, &["value"]),
                Some(_) => return Err("is hashed in a way that is not `sha256_base64`".to_owned()),
            },
            _ => text(fields, &["hash"]),
        };
        let digest = self.digest(hash.ok_or("has no `hash`")?, KeyFormat::Unkey)?;
        let start = text(fields, &["start", "prefix"]);
        let row =
            Row::new(digest).named(text(fields, &["name"]).unwrap_or_default()).begins_with(start, self.parser)?;
        let limits = fields.get("ratelimits").and_then(Value::as_array);
        let applied = limits.and_then(|all| {
            let auto = all.iter().find(|limit| limit["autoApply"] == true || limit["auto_apply"] == true);
            auto.or_else(|| all.first().filter(|_| all.len() == 1))?.as_object()
        });
        let applied = applied.or_else(|| fields.get("ratelimit")?.as_object());
        let (limit, window) = match applied {
            Some(of) => (number(of, &["limit"]), number(of, &["duration", "refillInterval"])),
            None => (number(fields, &["ratelimit_limit"]), number(fields, &["ratelimit_duration"])),
        };
        let mut row = row
            .owned(text(fields, &["externalId", "ownerId", "owner_id"]))
            .limited(limit, window.unwrap_or(60_000))
            .with_metadata(object(fields, &["meta"]))
            .noted(limits.filter(|all| all.len() > 1).map(|_| "one of its limits is kept".to_owned()))
            .noted(left(number(fields, &["remaining", "remaining_requests"]).or_else(|| credits(fields))));
        row = not_kept(row, fields, &["permissions", "roles"]);
        row.expires_at = time(fields.get("expires").unwrap_or(&Value::Null))?;
        Ok(row)
    }

    /// A row of LiteLLM's table `LiteLLM_VerificationToken`.
    fn litellm(&self, fields: &Fields) -> Result<Row, String> {
        let digest = self.digest(text(fields, &["token"]).ok_or("has no `token`")?, KeyFormat::Litellm)?;
        let start = text(fields, &["key_name"]).map(|name| name.split("...").next().unwrap_or(name));
        let row = Row::new(digest).named(text(fields, &["key_alias"]).unwrap_or_default());
        let mut row = row
            .begins_with(start, self.parser)?
            .owned(text(fields, &["user_id"]))
            .limited(number(fields, &["rpm_limit"]), 60_000)
            .with_metadata(object(fields, &["metadata"]));
        let names = ["models", "max_budget", "tpm_limit", "max_parallel_requests", "permissions", "allowed_routes"];
        row = not_kept(row, fields, &names);
        row.expires_at = time(fields.get("expires").unwrap_or(&Value::Null))?;
        Ok(row)
    }

    /// A row of better-auth's table `apikey`.
    fn better_auth(&self, fields: &Fields) -> Result<Row, String> {
        let digest = self.digest(text(fields, &["key"]).ok_or("has no `key`")?, KeyFormat::BetterAuth)?;
        let start = text(fields, &["start", "prefix"]);
        let row =
            Row::new(digest).named(text(fields, &["name"]).unwrap_or_default()).begins_with(start, self.parser)?;
        let is_limited = flag(fields, &["rateLimitEnabled", "rate_limit_enabled"]).unwrap_or(true);
        let limit = number(fields, &["rateLimitMax", "rate_limit_max"]).filter(|_| is_limited);
        let window = number(fields, &["rateLimitTimeWindow", "rate_limit_time_window"]).unwrap_or(60_000);
        let mut row = row
            .owned(text(fields, &["referenceId", "userId", "reference_id", "user_id"]))
            .limited(limit, window)
            .with_metadata(object(fields, &["metadata"]))
            .noted(left(number(fields, &["remaining"])));
        row = not_kept(row, fields, &["permissions"]);
        let expires = fields.get("expiresAt").or_else(|| fields.get("expires_at"));
        row.expires_at = time(expires.unwrap_or(&Value::Null))?;
        Ok(row)
    }
}

fn credits(fields: &Fields) -> Option<u64> {
    number(fields.get("credits")?.as_object()?, &["remaining"])
}

fn left(remaining: Option<u64>) -> Option<String> {
    remaining.map(|count| format!("the {count} uses that it has left are not kept: it is not counted here"))
}

/// Says which fields mean something there and nothing here.
fn not_kept(row: Row, fields: &Fields, names: &[&str]) -> Row {
    let says_something = |value: &Value| match value {
        Value::Null => false,
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => !all.is_empty(),
        Value::String(text) => !matches!(text.trim(), "" | "{}" | "[]" | "null"),
        _ => true,
    };
    let said: Vec<&str> = names.iter().copied().filter(|name| fields.get(*name).is_some_and(says_something)).collect();
    row.noted((!said.is_empty()).then(|| format!("not kept: {}; --scope decides what it may do", said.join(", "))))
}

#[cfg(test)]
#[path = "formats_tests.rs"]
mod tests;
