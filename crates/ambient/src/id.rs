use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Clock, Millis, Random, RandomError};

/// 48 bits of milliseconds and 80 random bits, written as 26 lower-case Crockford base32 digits
/// (the ULID layout). Ids are public names, never secrets: authorisation is by credential alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ulid(pub u128);

/// The text is not an identifier of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier of this kind")]
pub struct IdError;

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl Ulid {
    /// A new value for the clock's present millisecond.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn mint(clock: &dyn Clock, random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = [0; 16];
        random.fill(&mut bytes[6..])?;
        let millis = u128::try_from(clock.now().0).unwrap_or(0);
        Ok(Self((millis << 80) | u128::from_be_bytes(bytes)))
    }

    /// The millisecond for which it was minted.
    #[must_use]
    pub fn time(self) -> Millis {
        // 48 bits always fit.
        Millis(i64::try_from(self.0 >> 80).unwrap_or(i64::MAX))
    }

    /// The 26 digits.
    #[must_use]
    pub fn digits(self) -> [u8; 26] {
        let mut out = [b'0'; 26];
        let mut rest = self.0;
        for slot in out.iter_mut().rev() {
            *slot = DIGITS[(rest & 31) as usize];
            rest >>= 5;
        }
        out
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Ulid {
    type Err = IdError;

    /// Exactly the form that [`fmt::Display`] writes: one value has one spelling.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes: &[u8; 26] = text.as_bytes().try_into().map_err(|_| IdError)?;
        if bytes[0] > b'7' {
            return Err(IdError);
        }
        let mut value = 0_u128;
        for byte in bytes {
            let digit = DIGITS.iter().position(|d| d == byte).ok_or(IdError)?;
            value = (value << 5) | digit as u128;
        }
        Ok(Self(value))
    }
}

macro_rules! ids {
    ($($name:ident $prefix:literal $what:literal;)*) => {$(
        #[doc = concat!("Names ", $what, ": `", $prefix, "` and a [`Ulid`].")]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Ulid);

        impl $name {
            /// What every identifier of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new identifier.
            ///
            /// # Errors
            /// When the random source fails.
            pub fn mint(clock: &dyn Clock, random: &dyn Random) -> Result<Self, RandomError> {
                Ulid::mint(clock, random).map(Self)
            }
        }

        impl From<Ulid> for $name {
            fn from(value: Ulid) -> Self {
                Self(value)
            }
        }

        impl From<$name> for Ulid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix).ok_or(IdError)?.parse().map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(|_| de::Error::custom(concat!("not an identifier that begins with ", $prefix)))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": concat!("^", $prefix, "[0-7][0-9a-hjkmnp-tv-z]{25}$")})
            }

            fn inline_schema() -> bool {
                true
            }
        }
    )*};
}

ids! {
    AgentLoopId "loop_" "an agent loop";
    AttemptId "att_" "an attempt to deliver an event";
    AuditId "aud_" "an audit record";
    BotId "bot_" "a bot";
    ChannelId "ch_" "a channel of a bot";
    ConnectionId "conn_" "the secrets of a tool";
    ContactId "con_" "a contact";
    ConversationId "conv_" "a conversation";
    CreditEntryId "crd_" "a line of a workspace's credit ledger";
    CreditHoldId "hold_" "credits held for a reply under way";
    DeploymentId "dep_" "a deployment of a workflow";
    EventId "evt_" "an event";
    ExecutionId "exec_" "an execution of an agent loop";
    ImportId "imp_" "an import of contacts";
    IntegrationId "int_" "an integration of a bot";
    InvitationId "inv_" "an invitation to a workspace";
    KeyId "key_" "an API key";
    LeakId "leak_" "a report of a leaked key";
    MemberSessionId "ses_" "a person's signed-in browser";
    MemberId "usr_" "a member of a workspace";
    MessageId "msg_" "a message";
    ParticipantId "par_" "a person in a run";
    RequestId "req_" "a request";
    RunId "run_" "an execution of a deployment";
    ServiceAccountId "svc_" "a service account";
    TriggerId "trg_" "what starts runs of a deployment";
    WebhookId "whk_" "where events are delivered";
    WorkflowId "wf_" "a workflow";
    WorkspaceId "ws_" "a workspace";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ManualClock, SeededRandom};

    proptest! {
        #[test]
        fn what_is_written_is_read(value: u128) {
            let id = KeyId(Ulid(value));
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn order_of_text_is_order_of_value(a: u128, b: u128) {
            prop_assert_eq!(Ulid(a).cmp(&Ulid(b)), Ulid(a).to_string().cmp(&Ulid(b).to_string()));
        }

        #[test]
        fn nothing_else_is_read(text in "\\PC{0,40}") {
            if let Ok(id) = text.parse::<BotId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn a_later_id_sorts_later() {
        let (clock, random) = (ManualClock::new(Millis(1)), SeededRandom::new(7));
        let first = BotId::mint(&clock, &random).unwrap();
        assert_eq!(first.0.time(), Millis(1));
        clock.advance(std::time::Duration::from_millis(1));
        let second = BotId::mint(&clock, &random).unwrap();
        assert!(first.to_string() < second.to_string());
    }

    #[test]
    fn one_value_has_one_spelling() {
        let id = KeyId(Ulid(42)).to_string();
        assert!(id.to_uppercase().parse::<KeyId>().is_err());
        assert!(id.replace("key_", "bot_").parse::<KeyId>().is_err());
        assert!("key_8zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<KeyId>().is_err(), "over 128 bits");
    }
}
