//! Access tokens of a LiveKit server: JWTs signed with its API secret, which LiveKit checks and we do not.

use std::fmt;

use ambient::Millis;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::token::SignError;

/// The life of every voice token, in seconds (contract, section 5).
pub const VOICE_S: i64 = 3600;
/// How much earlier than now a token is valid: the media server has a clock of its own. In seconds.
const EARLY_S: i64 = 10;

/// A LiveKit server: where browsers find it, and the pair that its tokens are signed with.
#[derive(Clone)]
pub struct LiveKit {
    url: String,
    api_key: String,
    api_secret: Zeroizing<String>,
}

/// Why these are no settings of a LiveKit server. Says nothing about the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LiveKitError {
    /// Not an address of one.
    #[error("the address of a LiveKit server begins with wss:// (or ws://) and names a host")]
    Url,
    /// Empty, or not visible ASCII.
    #[error("the API key of a LiveKit server is visible ASCII text")]
    Key,
    /// Empty, or not visible ASCII. How long it is, is between LiveKit and its operator.
    #[error("the API secret of a LiveKit server is visible ASCII text")]
    Secret,
}

/// Who may enter which room.
#[derive(Clone, Debug)]
pub struct VoiceGrant {
    /// The room, and no other.
    pub room: String,
    /// The participant's identity: unique in the room.
    pub identity: String,
    /// What the others see.
    pub name: String,
    /// JSON for whoever joins the room to answer.
    pub metadata: String,
    /// Names this token.
    pub id: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    name: &'a str,
    nbf: i64,
    exp: i64,
    jti: &'a str,
    video: Video<'a>,
    metadata: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Video<'a> {
    room: &'a str,
    room_join: bool,
    can_publish: bool,
    can_subscribe: bool,
    can_publish_data: bool,
}

impl LiveKit {
    /// Takes the settings over.
    ///
    /// # Errors
    /// The first of the three that cannot be right.
    pub fn new(url: &str, api_key: &str, api_secret: &str) -> Result<Self, LiveKitError> {
        let parsed = url::Url::parse(url).map_err(|_| LiveKitError::Url)?;
        let plain = parsed.username().is_empty() && parsed.password().is_none();
        if !matches!(parsed.scheme(), "ws" | "wss") || !parsed.has_host() || !plain {
            return Err(LiveKitError::Url);
        }
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible(api_key) {
            return Err(LiveKitError::Key);
        }
        if !visible(api_secret) {
            return Err(LiveKitError::Secret);
        }
        let api_secret = Zeroizing::new(api_secret.to_owned());
        Ok(Self { url: url.to_owned(), api_key: api_key.to_owned(), api_secret })
    }

    /// Where browsers connect.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// An access token for one participant of one room, good for [`VOICE_S`] seconds. Nobody can call it
    /// back: LiveKit checks it alone.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn sign(&self, grant: &VoiceGrant, now: Millis) -> Result<String, SignError> {
        let video = Video {
            room: &grant.room,
            room_join: true,
            can_publish: true,
            can_subscribe: true,
            can_publish_data: true,
        };
        let claims = Claims {
            iss: &self.api_key,
            sub: &grant.identity,
            name: &grant.name,
            nbf: now.seconds().saturating_sub(EARLY_S),
            exp: now.seconds().saturating_add(VOICE_S),
            jti: &grant.id,
            video,
            metadata: &grant.metadata,
        };
        let key = EncodingKey::from_secret(self.api_secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|_| SignError::Crypto)
    }
}

impl fmt::Debug for LiveKit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveKit").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::*;

    const SECRET: &str = "a-secret-that-nobody-uses-anywhere";

    fn livekit() -> LiveKit {
        LiveKit::new("wss://voice.example.com", "APIkey", SECRET).unwrap()
    }

    fn grant() -> VoiceGrant {
        VoiceGrant {
            room: "conv_1".to_owned(),
            identity: "user_conv_1".to_owned(),
            name: "Visitor".to_owned(),
            metadata: r#"{"conversation_id":"conv_1"}"#.to_owned(),
            id: "vs_1".to_owned(),
        }
    }

    #[test]
    fn a_token_is_these_bytes_and_no_others() {
        let token = livekit().sign(&grant(), Millis(1_700_000_000_999)).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = message.split_once('.').unwrap();
        let text = |part: &str| String::from_utf8(BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap();
        assert_eq!(text(header), r#"{"typ":"JWT","alg":"HS256"}"#);
        assert_eq!(
            text(claims),
            concat!(
                r#"{"iss":"APIkey","sub":"user_conv_1","name":"Visitor","nbf":1699999990,"exp":1700003600,"#,
                r#""jti":"vs_1","video":{"room":"conv_1","roomJoin":true,"canPublish":true,"canSubscribe":true,"#,
                r#""canPublishData":true},"metadata":"{\"conversation_id\":\"conv_1\"}"}"#,
            )
        );
        let mac = crate::mac::Keyed::new(SECRET.as_bytes()).mac(&[message.as_bytes()]);
        assert_eq!(signature, BASE64URL_NOPAD.encode(&mac), "HMAC-SHA-256 under the API secret");
    }

    #[test]
    fn settings_that_cannot_be_right_are_refused_by_name() {
        let new = |url, key, secret| LiveKit::new(url, key, secret).err();
        for url in ["", "https://voice.example.com", "wss://", "voice.example.com", "wss://user:pass@voice.example.com"]
        {
            assert_eq!(new(url, "APIkey", SECRET), Some(LiveKitError::Url), "{url}");
        }
        assert_eq!(new("ws://localhost:7880", "", SECRET), Some(LiveKitError::Key));
        assert_eq!(new("ws://localhost:7880", "API key", SECRET), Some(LiveKitError::Key));
        assert_eq!(new("ws://localhost:7880", "APIkey", ""), Some(LiveKitError::Secret));
        assert_eq!(new("ws://localhost:7880", "devkey", "a secret with blanks in it"), Some(LiveKitError::Secret));
        assert_eq!(new("ws://localhost:7880", "devkey", SECRET), None);
    }

    #[test]
    fn the_secret_is_not_shown() {
        assert!(!format!("{:?}", livekit()).contains("secret"));
    }
}
