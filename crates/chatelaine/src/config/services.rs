//! What replies cost, and the media server of voice sessions.

use serde::Deserialize;

use super::{Concealed, ConfigError, Environment, value};

/// LiveKit's own names for its settings.
pub(super) const LIVEKIT_NAMES: [&str; 3] = [LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET];
const LIVEKIT_URL: &str = "LIVEKIT_URL";
const LIVEKIT_API_KEY: &str = "LIVEKIT_API_KEY";
const LIVEKIT_API_SECRET: &str = "LIVEKIT_API_SECRET";

/// What replies of metered workspaces cost, in credits.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credits {
    /// Held while a reply is made, at least 1.
    #[serde(deserialize_with = "value::budget")]
    pub reserve_per_reply: u32,
    /// For 1,000 tokens of the prompt.
    pub per_1k_input: u32,
    /// For 1,000 tokens of the answer.
    pub per_1k_output: u32,
    /// For a voice session.
    pub per_voice_session: u32,
    /// How long credits are held at most, in seconds, at least 1.
    #[serde(deserialize_with = "value::budget")]
    pub hold_seconds: u32,
}

/// The LiveKit server of voice sessions: all three settings, or none.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveKit {
    /// Where browsers connect, `wss://…`.
    pub url: String,
    /// Names the secret.
    pub api_key: String,
    /// Signs the tokens.
    #[serde(deserialize_with = "value::concealed")]
    pub api_secret: Option<Concealed>,
}

impl From<Credits> for chat::Prices {
    fn from(credits: Credits) -> Self {
        let Credits { reserve_per_reply, per_1k_input, per_1k_output, per_voice_session, hold_seconds } = credits;
        Self { reserve_per_reply, per_1k_input, per_1k_output, per_voice_session, hold_seconds }
    }
}

impl LiveKit {
    /// The server, checked; `None` when nothing is set.
    ///
    /// # Errors
    /// When a part is missing or cannot be right.
    pub fn server(&self) -> Result<Option<credential::LiveKit>, ConfigError> {
        let secret = self.api_secret.as_ref().map_or("", Concealed::expose);
        let parts = [("url", self.url.as_str()), ("api_key", &self.api_key), ("api_secret", secret)];
        if parts.iter().all(|(_, text)| text.is_empty()) {
            return Ok(None);
        }
        if let Some((name, _)) = parts.iter().find(|(_, text)| text.is_empty()) {
            let sentence = format!("`livekit.{name}` is missing: `url`, `api_key` and `api_secret` go together");
            return Err(ConfigError::Value(sentence));
        }
        let server = credential::LiveKit::new(&self.url, &self.api_key, secret);
        server.map(Some).map_err(|error| ConfigError::Value(format!("`livekit`: {error}")))
    }

    /// Takes what is not set from LiveKit's own names.
    pub(super) fn fill(&mut self, environment: &Environment) {
        let plain = |name| environment.get_plain(name).unwrap_or_default().to_owned();
        if self.url.is_empty() {
            self.url = plain(LIVEKIT_URL);
        }
        if self.api_key.is_empty() {
            self.api_key = plain(LIVEKIT_API_KEY);
        }
        if self.api_secret.is_none() {
            self.api_secret = Some(plain(LIVEKIT_API_SECRET)).filter(|text| !text.is_empty()).map(Concealed::new);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConfigError, Environment, Flags};

    fn serving(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load_for_serving(&Flags::default(), &Environment::from_pairs(pairs))
    }

    #[test]
    fn livekit_is_set_by_its_own_names_and_ours_go_before_them() {
        assert!(serving(&[]).unwrap().livekit.server().unwrap().is_none());
        let pairs = [
            ("LIVEKIT_URL", "wss://voice.example.com"),
            ("LIVEKIT_API_KEY", "APIkey"),
            ("LIVEKIT_API_SECRET", "a-secret"),
        ];
        let server = serving(&pairs).unwrap().livekit.server().unwrap().unwrap();
        assert_eq!(server.url(), "wss://voice.example.com");
        let ours = [pairs[0], pairs[1], pairs[2], ("CHATELAINE_LIVEKIT__URL", "ws://127.0.0.1:7880")];
        let config = serving(&ours).unwrap();
        assert_eq!(config.livekit.server().unwrap().unwrap().url(), "ws://127.0.0.1:7880");
        assert!(!format!("{config:?}").contains("a-secret"));
        let other = Config::load(&Flags::default(), &Environment::from_pairs([("LIVEKIT_URL".into(), "x".into())]));
        assert!(other.unwrap().livekit.server().unwrap().is_none(), "they count where the server is run in earnest");
    }

    #[test]
    fn half_a_livekit_is_refused_by_the_name_of_what_is_missing() {
        let refusal = |pairs: &[(&str, &str)]| serving(pairs).unwrap_err().to_string();
        let missing = refusal(&[("LIVEKIT_URL", "wss://voice.example.com"), ("LIVEKIT_API_KEY", "APIkey")]);
        assert!(missing.contains("`livekit.api_secret` is missing"), "{missing}");
        let wrong = refusal(&[
            ("LIVEKIT_URL", "voice.example.com"),
            ("LIVEKIT_API_KEY", "APIkey"),
            ("LIVEKIT_API_SECRET", "a-secret"),
        ]);
        assert!(wrong.contains("wss://") && !wrong.contains("a-secret"), "{wrong}");
    }

    #[test]
    fn the_defaults_of_the_file_are_the_defaults_of_the_room() {
        let (file, room) = (chat::Prices::from(Config::defaults().unwrap().credits), chat::Prices::default());
        assert_eq!(format!("{file:?}"), format!("{room:?}"));
        assert!(serving(&[("CHATELAINE_CREDITS__HOLD_SECONDS", "0")]).is_err());
        assert!(serving(&[("CHATELAINE_CREDITS__RESERVE_PER_REPLY", "0")]).is_err());
    }
}
