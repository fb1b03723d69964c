//! Schedules: the five fields of cron, meant on the clocks of a place.

use ambient::Millis;
use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone},
};

/// The longest gap between two times of a schedule is that of 29 February around a century.
const MAX_DAYS: usize = 8 * 366 + 1;
/// Longer expressions are no cron's.
const MAX_TEXT: usize = 200;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 8] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// When something is due again and again, by the clocks of a place.
///
/// A time that these clocks skip (summer time begins) is due once, at the first moment after; one that they
/// show twice (it ends) is due the first time.
#[derive(Clone, Debug)]
pub struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day need only be one of `days` or one of `weekdays`: when neither field begins with `*`.
    is_either: bool,
    zone: TimeZone,
}

/// What is wrong with a schedule, as a sentence for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The expression.
    #[error("{0}")]
    Expression(String),
    /// The place.
    #[error("Write a time zone of the IANA database, such as Europe/Berlin or UTC.")]
    Zone,
}

/// A field: its name, its least and greatest value, and the names of values, from the least.
struct Field(&'static str, u32, u32, &'static [&'static str]);

const FIELDS: [Field; 5] = [
    Field("minute", 0, 59, &[]),
    Field("hour", 0, 23, &[]),
    Field("day of the month", 1, 31, &[]),
    Field("month", 1, 12, &MONTHS),
    Field("day of the week", 0, 7, &WEEKDAYS),
];

impl Schedule {
    /// Reads `*/5 * * * *` or `@daily`, and `Europe/Berlin`.
    ///
    /// # Errors
    /// What is wrong, also when there is no such day.
    pub fn parse(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        let zone = zone_of(zone)?;
        let wrong = |sentence: String| ScheduleError::Expression(sentence);
        if expression.len() > MAX_TEXT {
            return Err(wrong(format!("Shorten the schedule to at most {MAX_TEXT} characters.")));
        }
        let text = match expression.trim().to_ascii_lowercase().as_str() {
            "@hourly" => "0 * * * *".to_owned(),
            "@daily" | "@midnight" => "0 0 * * *".to_owned(),
            "@weekly" => "0 0 * * 0".to_owned(),
            "@monthly" => "0 0 1 * *".to_owned(),
            "@yearly" | "@annually" => "0 0 1 1 *".to_owned(),
            other => other.to_owned(),
        };
        let parts: Vec<&str> = text.split_ascii_whitespace().collect();
        let Ok(parts): Result<[&str; 5], _> = parts.try_into() else {
            let sentence = "Write five fields (minute, hour, day of the month, month, day of the week), or @hourly, \
                            @daily, @weekly, @monthly, @yearly.";
            return Err(wrong(sentence.to_owned()));
        };
        let mut sets = [0; 5];
        for ((set, field), part) in sets.iter_mut().zip(&FIELDS).zip(parts) {
            *set = field.parse(part).map_err(ScheduleError::Expression)?;
        }
        let [minutes, hours, days, months, weekdays] = sets;
        // Sunday is 0 and 7.
        let weekdays = (weekdays | (weekdays >> 7)) & 0x7f;
        let is_either = !parts[2].starts_with('*') && !parts[4].starts_with('*');
        let schedule = Self { minutes, hours, days, months, weekdays, is_either, zone };
        // From a year of which the eighth after is no leap year, so that 29 February is found from everywhere.
        let begin = Date::constant(2096, 3, 1).at(0, 0, 0, 0);
        match schedule.next_civil(begin) {
            Some(_) => Ok(schedule),
            None => Err(wrong("There is no such day in any year.".to_owned())),
        }
    }

    /// The place, as the database spells it.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The first time after `now`; none at the end of the calendar.
    #[must_use]
    pub fn next_after(&self, now: Millis) -> Option<Millis> {
        let now = Timestamp::from_millisecond(now.0).ok()?;
        // The same minute again: it may be one that the clocks show twice.
        let mut civil = minute_of(self.zone.to_datetime(now))?;
        loop {
            civil = self.next_civil(civil)?;
            let at = self.moment(civil)?;
            if at > now {
                return Some(Millis(at.as_millisecond()));
            }
            civil = civil.checked_add(jiff::Span::new().minutes(1)).ok()?;
        }
    }

    /// The next `count` times after `now`.
    #[must_use]
    pub fn upcoming(&self, now: Millis, count: usize) -> Vec<Millis> {
        std::iter::successors(self.next_after(now), |last| self.next_after(*last)).take(count).collect()
    }

    /// The first minute from `from` on that the fields name, on clocks that never change.
    fn next_civil(&self, from: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        let mut least = (from.hour(), from.minute());
        for _ in 0..MAX_DAYS {
            if self.is_day(date) {
                let hours = (least.0..24).filter(|hour| holds(self.hours, i64::from(*hour)));
                for hour in hours {
                    let first = if hour == least.0 { least.1 } else { 0 };
                    if let Some(minute) = (first..60).find(|minute| holds(self.minutes, i64::from(*minute))) {
                        return Some(date.at(hour, minute, 0, 0));
                    }
                }
            }
            date = date.tomorrow().ok()?;
            least = (0, 0);
        }
        None
    }

    fn is_day(&self, date: Date) -> bool {
        let day = holds(self.days, i64::from(date.day()));
        let weekday = holds(self.weekdays, i64::from(date.weekday().to_sunday_zero_offset()));
        let is_day = if self.is_either { day || weekday } else { day && weekday };
        is_day && holds(self.months, i64::from(date.month()))
    }

    /// When the clocks show this, the first time; when they skip it, the moment at which they do.
    fn moment(&self, civil: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(civil).ok()
            }
            AmbiguousOffset::Gap { before, .. } => {
                // As far behind the change as the time is behind the beginning of the gap.
                let behind = before.to_timestamp(civil).ok()?.checked_add(jiff::SignedDuration::from_nanos(1)).ok()?;
                self.zone.preceding(behind).next().map(|change| change.timestamp())
            }
        }
    }
}

impl Field {
    /// The values that a field names, as bits.
    fn parse(&self, text: &str) -> Result<u64, String> {
        let mut set = 0;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                None => (part, 1),
                Some((range, step)) => (range, self.step(range, step)?),
            };
            let (first, last) = match range.split_once('-') {
                _ if range == "*" => (self.1, self.2),
                None => (self.value(range)?, self.value(range)?),
                Some((first, last)) => (self.value(first)?, self.value(last)?),
            };
            if first > last {
                let Self(name, ..) = self;
                return Err(format!("Write a range of the {name} upwards: {range} begins after its end."));
            }
            set |= (first..=last).step_by(step).fold(0, |set, value| set | (1 << value));
        }
        Ok(set)
    }

    fn step(&self, range: &str, step: &str) -> Result<usize, String> {
        let Self(name, least, most, _) = self;
        let is_range = range == "*" || range.contains('-');
        let step = number(step).filter(|step| is_range && (1..=*most).contains(step));
        step.and_then(|step| usize::try_from(step).ok()).ok_or_else(|| {
            format!("Write a step of the {name} behind `*` or a range, such as */{most} or {least}-{most}/2.")
        })
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let Self(name, least, most, names) = self;
        let named = names.iter().position(|one| *one == text).and_then(|at| u32::try_from(at).ok());
        let value = named.map(|at| at + least).or_else(|| number(text));
        value.filter(|value| (*least..=*most).contains(value)).ok_or_else(|| {
            let text: String = text.chars().take(20).collect();
            format!("Write the {name} as {least} to {most}, and not as `{text}`.")
        })
    }
}

/// Digits alone: a sign is no part of a field.
fn number(text: &str) -> Option<u32> {
    let is_number = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn zone_of(name: &str) -> Result<TimeZone, ScheduleError> {
    let known = TimeZone::get(name).ok().filter(|zone| !zone.is_unknown());
    known.ok_or(ScheduleError::Zone)
}

fn holds(set: u64, value: i64) -> bool {
    u32::try_from(value).is_ok_and(|value| value < 64 && set & (1 << value) != 0)
}

fn minute_of(civil: DateTime) -> Option<DateTime> {
    civil.with().second(0).subsec_nanosecond(0).build().ok()
}

#[cfg(test)]
#[path = "cron_tests.rs"]
mod tests;
