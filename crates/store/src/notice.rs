//! When the owners of a key are to be told of its end, and that it should be rotated.

use ambient::Millis;

/// A day, in milliseconds.
const DAY: i64 = 86_400_000;

/// Days before its end at which a key's owners are warned, and what each warning is stored as.
const WARNINGS: [(i64, &str); 3] = [(30, "expiring_30"), (7, "expiring_7"), (1, "expiring_1")];

/// Something to be told of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It ends soon. `name` is one of [`WARNINGS`], `days_left` are begun days.
    Expiring { name: &'static str, end: Millis, days_left: i64 },
    /// The time has come at which it should be rotated.
    RotationDue { at: Millis },
}

/// What a key says about itself that notices depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dates {
    pub(crate) expires_at: Option<Millis>,
    pub(crate) rotate_after: Option<Millis>,
}

impl Dates {
    fn warnings(self) -> impl Iterator<Item = (Millis, &'static str, Millis)> {
        let end = self.expires_at.into_iter();
        end.flat_map(|end| WARNINGS.map(|(days, name)| (end.plus(-days * DAY), name, end)))
    }

    /// When to look at a key whose dates were set at `now`: warnings whose time is over are not given any more,
    /// a rotation that is overdue is told at once.
    pub(crate) fn first_look(self, now: Millis) -> Option<Millis> {
        let rotation = self.rotate_after.map(|at| at.max(now));
        self.next_warning(now).into_iter().chain(rotation).min()
    }

    /// When to look again, after everything was told that was due by `now`.
    pub(crate) fn next_look(self, now: Millis) -> Option<Millis> {
        let rotation = self.rotate_after.filter(|at| *at > now);
        self.next_warning(now).into_iter().chain(rotation).min()
    }

    fn next_warning(self, now: Millis) -> Option<Millis> {
        self.warnings().map(|(at, ..)| at).filter(|at| *at > now).min()
    }

    /// What is to be told at `now`, when the last look was for `since`. Of several warnings that came due while
    /// nobody looked, the last one alone; of an end that has come, nothing.
    pub(crate) fn due(self, since: Millis, now: Millis) -> Vec<Notice> {
        let passed = self.warnings().filter(|(at, _, end)| *at >= since && *at <= now && *end > now);
        let warning = passed.max_by_key(|(at, ..)| *at).map(|(_, name, end)| {
            let days_left = (end.since(now) + DAY - 1) / DAY;
            Notice::Expiring { name, end, days_left }
        });
        let rotation = self.rotate_after.filter(|at| *at <= now).map(|at| Notice::RotationDue { at });
        warning.into_iter().chain(rotation).collect()
    }
}

impl Notice {
    /// What it is stored as, and the time that it is about: with the key, that is what is told once.
    pub(crate) const fn key(self) -> (&'static str, Millis) {
        match self {
            Self::Expiring { name, end, .. } => (name, end),
            Self::RotationDue { at } => ("rotation_due", at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_767_225_600_000);

    fn ending(days: i64) -> Dates {
        Dates { expires_at: Some(NOW.plus(days * DAY)), rotate_after: None }
    }

    fn names(dates: Dates, since: Millis, now: Millis) -> Vec<(&'static str, i64)> {
        let shown = |notice: Notice| match notice {
            Notice::Expiring { name, days_left, .. } => (name, days_left),
            Notice::RotationDue { .. } => ("rotation_due", 0),
        };
        dates.due(since, now).into_iter().map(shown).collect()
    }

    #[test]
    fn only_warnings_that_are_still_ahead_are_waited_for() {
        for (days, first) in [(365, Some(335)), (31, Some(1)), (30, Some(23)), (8, Some(1)), (7, Some(6)), (1, None)] {
            assert_eq!(ending(days).first_look(NOW), first.map(|days| NOW.plus(days * DAY)), "{days}");
        }
        assert_eq!(Dates { expires_at: None, rotate_after: None }.first_look(NOW), None);
    }

    #[test]
    fn an_overdue_rotation_is_told_at_once_and_then_not_waited_for() {
        let dates = Dates { expires_at: None, rotate_after: Some(NOW.plus(-DAY)) };
        assert_eq!((dates.first_look(NOW), dates.next_look(NOW)), (Some(NOW), None));
        assert_eq!(names(dates, NOW, NOW), [("rotation_due", 0)]);
        let later = Dates { rotate_after: Some(NOW.plus(1)), ..dates };
        assert_eq!((later.next_look(NOW), later.due(NOW, NOW).len()), (Some(NOW.plus(1)), 0));
    }

    #[test]
    fn of_warnings_that_nobody_gave_in_time_the_last_one_counts() {
        let dates = ending(40);
        let at = |days: i64| NOW.plus(days * DAY);
        assert_eq!(names(dates, at(10), at(10)), [("expiring_30", 30)]);
        assert_eq!(names(dates, at(10), at(34)), [("expiring_7", 6)], "one, with the days that are left");
        assert_eq!(names(dates, at(10), at(40)), [], "it has ended");
        assert_eq!(names(dates, at(11), at(12)), [], "its time was over before the end was set");
    }
}
