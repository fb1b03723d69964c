//! When an attempt is made again.

use ambient::{Millis, Random};
use jiff::fmt::rfc2822;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Milliseconds from an attempt to the next one, without jitter: the tenth is after 75:35:05.
pub const DELAYS: [i64; 9] =
    [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
/// With the first one.
pub const MAX_ATTEMPTS: u32 = 10;
/// The most that somebody may ask for.
const MAX_RETRY_AFTER: i64 = 24 * HOUR;
/// A delay is off by so many thousandths at most, either way: what failed together comes back spread.
const JITTER: i64 = 50;

/// The time of the next attempt; nothing after the last one. `before` are those before the one that has just failed.
/// `not_before` is what the answer has asked for.
pub(crate) fn next_attempt(
    before: u32,
    now: Millis,
    not_before: Option<Millis>,
    random: &dyn Random,
) -> Option<Millis> {
    let delay = *DELAYS.get(usize::try_from(before).ok()?)?;
    let mut bytes = [0; 2];
    // Without randomness there is no jitter.
    let drawn = random.fill(&mut bytes).map_or(0, |()| i64::from(i16::from_le_bytes(bytes)));
    let jitter = delay / 1000 * JITTER * drawn / i64::from(i16::MAX);
    let time = now.plus(delay + jitter);
    Some(not_before.map_or(time, |asked| time.max(asked)))
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds or a date, at most a day from now.
pub(crate) fn retry_after(text: &str, now: Millis) -> Option<Millis> {
    let text = text.trim();
    let asked = match text.parse::<u64>() {
        Ok(seconds) => i64::try_from(seconds).map_or(i64::MAX, |seconds| seconds.saturating_mul(SECOND)),
        Err(_) if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => i64::MAX,
        Err(_) => {
            let time = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Millis(time.as_millisecond()).since(now)
        }
    };
    (asked > 0).then(|| now.plus(asked.min(MAX_RETRY_AFTER)))
}

#[cfg(test)]
mod tests {
    use ambient::{RandomError, SeededRandom};

    use super::*;

    struct Fixed(u8);

    impl Random for Fixed {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
            buffer.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn ten_attempts_take_seventy_five_hours_and_thirty_five_minutes() {
        assert_eq!(DELAYS.iter().sum::<i64>(), 75 * HOUR + 35 * MINUTE + 5 * SECOND);
        assert_eq!(usize::try_from(MAX_ATTEMPTS).unwrap(), DELAYS.len() + 1);
        assert_eq!(next_attempt(9, Millis(0), None, &Fixed(0)), None);
        for (before, delay) in DELAYS.into_iter().enumerate() {
            let before = u32::try_from(before).unwrap();
            assert_eq!(next_attempt(before, Millis(7), None, &Fixed(0)), Some(Millis(7 + delay)));
            let random = SeededRandom::new(before.into());
            for _ in 0..100 {
                let off = next_attempt(before, Millis(0), None, &random).unwrap().0 - delay;
                assert!(off.abs() <= delay / 20 + 1, "{before}: {off}");
            }
        }
    }

    #[test]
    fn what_the_answer_asks_for_is_the_least_and_no_more_than_a_day() {
        let now = Millis(1_445_412_000_000);
        assert_eq!(retry_after("120", now), Some(now.plus(2 * MINUTE)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(now.plus(8 * MINUTE)));
        assert_eq!(retry_after("99999999999999999999999999", now), Some(now.plus(24 * HOUR)));
        assert_eq!(retry_after("Wed, 21 Oct 2099 07:28:00 GMT", now), Some(now.plus(24 * HOUR)));
        for nothing in ["", "0", "-5", "soon", "1.5", "Wed, 21 Oct 2015 07:19:00 GMT"] {
            assert_eq!(retry_after(nothing, now), None, "{nothing}");
        }
        let asked = Some(now.plus(MINUTE));
        assert_eq!(next_attempt(0, now, asked, &Fixed(0)), asked);
        assert_eq!(next_attempt(1, now, asked, &Fixed(0)), Some(now.plus(5 * MINUTE)), "it asks for no less");
    }
}
