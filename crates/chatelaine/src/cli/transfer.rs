//! The file in which keys go from one installation to another: a line of JSON that says what it is, one for each key,
//! and one that signs them. No key stands in it.

use std::collections::BTreeSet;

use access::{KeyKind, ScopeSet};
use ambient::{KeyId, Millis};
use credential::{Pepper, RootSecret, Transfer, key::Environment as KeyEnvironment};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{KeySettings, Store};

use crate::{
    cli::{Failure, Kind},
    config::Environment,
    rest::AtRest,
};

/// What a file of this form calls itself.
pub(super) const FORMAT: &str = "chatelaine-keys-1";

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: String,
    /// Of this file: what is sealed in it opens in no other.
    pub(super) id: String,
    pub(super) created_at: Millis,
    pub(super) workspace: String,
    pub(super) peppers: Vec<SealedPepper>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealedPepper {
    pub(super) id: String,
    pub(super) sealed: String,
}

/// A line for each key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportedKey {
    pub(super) id: KeyId,
    pub(super) environment: KeyEnvironment,
    pub(super) kind: KeyKind,
    pub(super) name: String,
    pub(super) scopes: ScopeSet,
    pub(super) settings: Value,
    pub(super) created_at: Millis,
    pub(super) expires_at: Option<Millis>,
    /// The newest first.
    pub(super) secrets: Vec<ExportedSecret>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportedSecret {
    /// 64 hex digits.
    pub(super) digest: String,
    pub(super) pepper: String,
    pub(super) display: String,
    pub(super) created_at: Millis,
    pub(super) expires_at: Option<Millis>,
}

impl ExportedKey {
    /// What the key is told besides its scopes. `None` when a setting is not known here: a limit that another
    /// version knows must not be lost in silence.
    pub(super) fn settings(&self) -> Option<KeySettings> {
        let settings: KeySettings = serde_json::from_value(self.settings.clone()).ok()?;
        let known = serde_json::to_value(&settings).ok()?;
        let said = self.settings.as_object()?;
        said.iter().all(|(name, value)| known.get(name) == Some(value)).then_some(settings)
    }
}

/// What both sign with.
pub(super) fn secret(environment: &Environment) -> Result<Transfer, Failure> {
    let Some(text) = environment.transfer_secret() else {
        return Err(Failure::usage(
            "CHATELAINE_TRANSFER_SECRET is missing: the same 32 random bytes at both installations, such as \
             `chatelaine export keys --new-transfer-secret` prints",
        ));
    };
    let root = RootSecret::parse(text.expose());
    root.map(|root| Transfer::new(&root))
        .map_err(|error| Failure::usage(format!("CHATELAINE_TRANSFER_SECRET: {error}")))
}

/// Whoever has the installation's secret can make tokens and open everything: it does not travel.
pub(super) fn must_not_be_own(transfer: &Transfer, rest: &AtRest) -> Result<(), Failure> {
    if transfer.is_of(&rest.secrets) {
        let told = "CHATELAINE_TRANSFER_SECRET is this installation's own secret, which no other may have: take a new \
                    one (`chatelaine export keys --new-transfer-secret`)";
        return Err(Failure::usage(told));
    }
    Ok(())
}

/// The peppers that were taken over and can be opened.
pub(super) async fn foreign(rest: &AtRest) -> Result<Vec<Pepper>, Failure> {
    let kept = Store::foreign_peppers(&rest.store).await.map_err(anyhow::Error::from)?;
    Ok(kept.iter().filter_map(|kept| Pepper::open(rest.secrets.sealer(), &kept.id, &kept.sealed).ok()).collect())
}

/// The whole file.
pub(super) fn write(transfer: &Transfer, header: &Header, keys: &[ExportedKey]) -> Result<String, Failure> {
    let mut body = String::new();
    let mut line = |text: Result<String, serde_json::Error>| -> Result<(), Failure> {
        body.push_str(&text.map_err(anyhow::Error::from)?);
        body.push('\n');
        Ok(())
    };
    line(serde_json::to_string(header))?;
    for key in keys {
        line(serde_json::to_string(key))?;
    }
    Ok(transfer.sign(&body))
}

/// What a file says, once its signature was checked: of one that is not as it was signed nothing is read.
pub(super) fn read(transfer: &Transfer, file: &[u8]) -> Result<(Header, Vec<ExportedKey>), Failure> {
    let failed = |code, message: &str| Failure::new(Kind::Failure, code, message);
    let body = transfer.open(file).ok_or_else(|| {
        failed(
            "NOT_SIGNED",
            "the file is not one that was signed with this CHATELAINE_TRANSFER_SECRET, or it was changed or cut \
             since; nothing was read from it",
        )
    })?;
    let wrong =
        || failed("VALIDATION_FAILED", "the file is signed and comes from another version; nothing was imported");
    let mut lines = std::str::from_utf8(body).map_err(|_| wrong())?.lines();
    let header: Header = lines.next().and_then(|line| serde_json::from_str(line).ok()).ok_or_else(wrong)?;
    let ids: BTreeSet<&str> = header.peppers.iter().map(|pepper| pepper.id.as_str()).collect();
    if header.format != FORMAT || ids.len() != header.peppers.len() {
        return Err(wrong());
    }
    let keys: Result<Vec<ExportedKey>, _> = lines.map(serde_json::from_str).collect();
    Ok((header, keys.map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use ambient::SeededRandom;
    use serde_json::json;

    use super::*;

    fn key(settings: &Value) -> ExportedKey {
        serde_json::from_value(json!({
            "id": "key_00000000000000000000000001", "environment": "live", "kind": "secret", "name": "A",
            "scopes": ["bots:read"], "settings": settings, "created_at": "2026-01-01T00:00:00.001Z",
            "expires_at": null, "secrets": [],
        }))
        .unwrap()
    }

    #[test]
    fn a_setting_that_is_not_known_here_is_not_lost() {
        let all = KeySettings {
            allowed_ips: vec!["10.0.0.0/8".parse().unwrap()],
            rate_limit: Some(7),
            metadata: Some(json!({"a": [1, null]})),
            rotate_after: Some(Millis(1_700_000_000_123)),
            ..KeySettings::default()
        };
        assert_eq!(key(&serde_json::to_value(&all).unwrap()).settings(), Some(all));
        assert_eq!(key(&json!({"rate_limit": 7})).settings().unwrap().rate_limit, Some(7), "of an older version");
        assert_eq!(key(&json!({"allowed_ips": [], "allowed_countries": ["CH"]})).settings(), None);
        assert_eq!(key(&json!([])).settings(), None);
    }

    #[test]
    fn what_is_written_is_read_and_nothing_without_its_signature() {
        let of = |seed| Transfer::new(&RootSecret::generate(&SeededRandom::new(seed)).unwrap());
        let header = |format: &str, peppers: &[&str]| Header {
            format: format.to_owned(),
            id: "f".to_owned(),
            created_at: Millis(1),
            workspace: "ws".to_owned(),
            peppers: peppers.iter().map(|id| SealedPepper { id: (*id).into(), sealed: String::new() }).collect(),
        };
        let file = write(&of(1), &header(FORMAT, &["a", "b"]), &[key(&json!({}))]).unwrap();
        let (read_header, keys) = read(&of(1), file.as_bytes()).unwrap();
        assert_eq!((read_header.id.as_str(), keys.len(), keys[0].created_at), ("f", 1, Millis(1_767_225_600_001)));
        let code = |transfer: &Transfer, file: &str| read(transfer, file.as_bytes()).unwrap_err().code;
        assert_eq!(code(&of(2), &file), "NOT_SIGNED");
        assert_eq!(code(&of(1), &file.replace("bots:read", "bots:fly!")), "NOT_SIGNED");
        let signed = |header| write(&of(1), &header, &[]).unwrap();
        assert_eq!(code(&of(1), &signed(header("chatelaine-keys-2", &[]))), "VALIDATION_FAILED");
        assert_eq!(code(&of(1), &signed(header(FORMAT, &["a", "a"]))), "VALIDATION_FAILED");
        assert_eq!(code(&of(1), &of(1).sign("{\"format\":\"chatelaine-keys-1\"}\n")), "VALIDATION_FAILED");
    }
}
