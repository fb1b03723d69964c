use std::{fmt, str::FromStr};

use crate::ReplyEvent;

/// Names an event of a conversation: the place of the message that is answered, and the event's number
/// in the answer, from 1. It prints as `12-5`, stays the same over restarts and sorts as it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The place of the user's message in its conversation, from 1.
    pub position: u64,
    /// Which event of its answer; 0 is the moment before the first.
    pub number: u64,
}

impl EventId {
    /// No event has it: what a client sent that is no id of ours.
    pub const UNKNOWN: Self = Self { position: u64::MAX, number: u64::MAX };

    /// What a client says that it has seen last. Text that is no id is an event that nobody knows.
    #[must_use]
    pub fn of_last_event(text: &str) -> Self {
        text.parse().unwrap_or(Self::UNKNOWN)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.position, self.number)
    }
}

/// It is not the text of an [`EventId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an event id")]
pub struct EventIdError;

impl FromStr for EventId {
    type Err = EventIdError;

    /// Only what [`EventId`] prints.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (position, number) = text.split_once('-').ok_or(EventIdError)?;
        Ok(Self { position: read_number(position)?, number: read_number(number)? })
    }
}

fn read_number(text: &str) -> Result<u64, EventIdError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().map_err(|_| EventIdError) } else { Err(EventIdError) }
}

/// An event and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// A reader that comes back with it goes on after this event.
    pub id: EventId,
    /// What happened.
    pub event: ReplyEvent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_from_its_text() {
        for (position, number) in [(1, 0), (12, 5), (u64::MAX, 1 << 53)] {
            let id = EventId { position, number };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert!(EventId { position: 2, number: 9 } < EventId { position: 10, number: 1 }, "numbers, not text");
    }

    #[test]
    fn what_is_not_printed_so_is_nobodys_id() {
        for text in [
            "",
            "-",
            "5",
            "1-",
            "-1",
            "1-2-3",
            "+1-2",
            "01-2",
            "1-02",
            " 1-2",
            "1-2 ",
            "1-a",
            "18446744073709551616-1",
            "١-٢",
        ] {
            assert_eq!(text.parse::<EventId>(), Err(EventIdError), "{text:?}");
            assert_eq!(EventId::of_last_event(text), EventId::UNKNOWN);
        }
    }
}
