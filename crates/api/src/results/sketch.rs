//! What is remembered of many values in little memory: exact while there are few different ones.

use std::collections::BTreeMap;

/// Different numbers that are remembered. There are never more than 4096 whose last 52 bits are left out.
const MAX_NUMBERS: usize = 4096;
/// Different days, months or years; years are not merged further.
const MAX_DATES: usize = 1000;
/// How many of a number's last bits are left out, one step after the other.
const COARSE: [u32; 6] = [0, 32, 40, 46, 49, 52];

/// Numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    count: u64,
    mean: f64,
    min: f64,
    max: f64,
    step: usize,
    /// By keys that sort as the numbers do.
    seen: BTreeMap<u64, u64>,
}

impl Numbers {
    pub(super) fn add(&mut self, number: f64) {
        if !number.is_finite() {
            return;
        }
        // No negative zero.
        let number = number + 0.0;
        self.count += 1;
        (self.min, self.max) =
            if self.count == 1 { (number, number) } else { (self.min.min(number), self.max.max(number)) };
        let count = float(self.count);
        // The difference of the two largest numbers is no number.
        self.mean += number / count - self.mean / count;
        *self.seen.entry(self.key(number)).or_default() += 1;
        while self.seen.len() > MAX_NUMBERS && self.step + 1 < COARSE.len() {
            self.step += 1;
            for (key, count) in std::mem::take(&mut self.seen) {
                *self.seen.entry(self.key(number_of(key))).or_default() += count;
            }
        }
    }

    #[cfg(test)]
    fn count(&self) -> u64 {
        self.count
    }

    /// Whether the median and the histogram are exact, as the rest always is.
    pub(super) fn is_exact(&self) -> bool {
        self.step == 0
    }

    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean.clamp(self.min, self.max))
    }

    pub(super) fn range(&self) -> Option<(f64, f64)> {
        (self.count > 0).then_some((self.min, self.max))
    }

    /// The middle one, or the middle of the middle two.
    pub(super) fn median(&self) -> Option<f64> {
        let lower = self.at(self.count.checked_sub(1)? / 2)?;
        let upper = self.at(self.count / 2)?;
        Some((lower / 2.0 + upper / 2.0).clamp(self.min, self.max))
    }

    fn at(&self, place: u64) -> Option<f64> {
        let mut passed = 0;
        let found = self.seen.iter().find(|(_, count)| {
            passed += **count;
            passed > place
        });
        found.map(|(key, _)| number_of(*key))
    }

    /// Different numbers with their counts, or `bins` equally wide parts of the range: least, greatest, count.
    pub(super) fn histogram(&self, bins: u32) -> Vec<(f64, f64, u64)> {
        let few = usize::try_from(bins).unwrap_or(usize::MAX);
        if self.is_exact() && self.seen.len() <= few {
            let bin = |(key, count): (&u64, &u64)| (number_of(*key), number_of(*key), *count);
            return self.seen.iter().map(bin).collect();
        }
        // Weighed, because the width of the widest range is no number.
        let edge = |bin: u32| {
            let part = f64::from(bin) / f64::from(bins);
            self.min * (1.0 - part) + self.max * part
        };
        let mut histogram: Vec<_> = (0..bins).map(|bin| (edge(bin), edge(bin + 1), 0)).collect();
        for (key, count) in &self.seen {
            let number = number_of(*key);
            // The last one takes in its end.
            let bin = histogram.iter().rposition(|(from, _, _)| *from <= number).unwrap_or(0);
            if let Some((_, _, sum)) = histogram.get_mut(bin) {
                *sum += count;
            }
        }
        histogram
    }

    fn key(&self, number: f64) -> u64 {
        let left_out = COARSE.get(self.step).copied().unwrap_or(52);
        let bits = number.to_bits() >> left_out << left_out;
        if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
    }
}

fn number_of(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// Days; when there are too many months, and then years.
#[derive(Clone, Debug)]
pub(super) struct Dates {
    /// How much of `YYYY-MM-DD` is looked at.
    length: usize,
    seen: BTreeMap<String, u64>,
}

impl Default for Dates {
    fn default() -> Self {
        Self { length: 10, seen: BTreeMap::new() }
    }
}

impl Dates {
    /// Counts a date that an answer's check has let through; whether it is one.
    pub(super) fn add(&mut self, date: &str) -> bool {
        let Some(part) = date.get(..self.length).filter(|_| date.len() == 10) else { return false };
        *self.seen.entry(part.to_owned()).or_default() += 1;
        self.coarsen_to(MAX_DATES);
        true
    }

    /// Merges until there are at most so many, or they are years.
    pub(super) fn coarsen_to(&mut self, most: usize) {
        while self.seen.len() > most && self.length > 4 {
            self.length -= 3;
            for (date, count) in std::mem::take(&mut self.seen) {
                *self.seen.entry(date.get(..self.length).unwrap_or_default().to_owned()).or_default() += count;
            }
        }
    }

    /// What is counted: `day`, `month` or `year`.
    pub(super) fn unit(&self) -> &'static str {
        match self.length {
            10 => "day",
            7 => "month",
            _ => "year",
        }
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.seen.iter().map(|(date, count)| (date.as_str(), *count))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(values: &[f64]) -> Numbers {
        let mut numbers = Numbers::default();
        values.iter().for_each(|value| numbers.add(*value));
        numbers
    }

    proptest! {
        #[test]
        fn few_numbers_are_remembered_exactly(mut values in prop::collection::vec(-1e9..1e9_f64, 1..200)) {
            let numbers = numbers(&values);
            values.sort_by(f64::total_cmp);
            let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
            prop_assert!(numbers.is_exact());
            prop_assert!((numbers.median().unwrap() - median).abs() <= median.abs() * 1e-12);
            prop_assert_eq!(numbers.range(), Some((values[0], values[values.len() - 1])));
            let mean = values.iter().sum::<f64>() / float(values.len() as u64);
            prop_assert!((numbers.mean().unwrap() - mean).abs() < 1e-3);
            let histogram = numbers.histogram(10);
            prop_assert_eq!(histogram.iter().map(|bin| bin.2).sum::<u64>(), values.len() as u64);
            prop_assert!(histogram.windows(2).all(|pair| pair[0].1 <= pair[1].0 || pair[0].0 < pair[1].0));
        }

        #[test]
        fn any_number_is_counted_and_the_answers_are_finite(values in prop::collection::vec(any::<f64>(), 0..300)) {
            let numbers = numbers(&values);
            let count = values.iter().filter(|value| value.is_finite()).count() as u64;
            prop_assert_eq!(numbers.count(), count);
            prop_assert_eq!(numbers.histogram(10).iter().map(|bin| bin.2).sum::<u64>(), count);
            for one in [numbers.mean(), numbers.median()] {
                prop_assert_eq!(one.is_some_and(f64::is_finite), count > 0);
            }
        }

        #[test]
        fn a_key_stands_for_its_number(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            prop_assert_eq!(number_of(Numbers::default().key(value + 0.0)), value + 0.0);
        }
    }

    #[test]
    fn zero_has_one_sign() {
        assert_eq!(numbers(&[-0.0, 0.0]).histogram(10), [(0.0, 0.0, 2)]);
    }

    #[test]
    fn many_different_numbers_take_no_more_memory_and_the_median_stays_near() {
        let mut numbers = Numbers::default();
        for n in 0..200_000_u32 {
            numbers.add(f64::from(n) + 0.5);
        }
        assert!(numbers.seen.len() <= MAX_NUMBERS && !numbers.is_exact(), "{}", numbers.seen.len());
        let (median, mean) = (numbers.median().unwrap(), numbers.mean().unwrap());
        assert!((median - 100_000.0).abs() < 1_000.0, "{median}");
        assert!((mean - 100_000.0).abs() < 0.01, "{mean}");
        assert_eq!(numbers.range(), Some((0.5, 199_999.5)));
        assert_eq!(numbers.histogram(10).iter().map(|bin| bin.2).sum::<u64>(), 200_000);
        // Every size that a number can have.
        let mut wild = Numbers::default();
        for bits in (0..u64::from(u16::MAX)).map(|high| high << 48 | 0xABCD) {
            wild.add(f64::from_bits(bits));
        }
        assert!(wild.seen.len() <= MAX_NUMBERS, "{}", wild.seen.len());
        assert_eq!(wild.seen.values().sum::<u64>(), wild.count());
    }

    #[test]
    fn many_days_become_months_and_many_months_years() {
        let mut dates = Dates::default();
        let mut total = 0;
        for (year, month) in (2000..2100).flat_map(|year| (1..=12).map(move |month| (year, month))) {
            for day in 1..=2 {
                assert!(dates.add(&format!("{year}-{month:02}-{day:02}")));
                total += 1;
            }
            if (year, month) == (2010, 1) {
                assert_eq!(dates.unit(), "day");
            }
            if (year, month) == (2060, 1) {
                assert_eq!(dates.unit(), "month");
            }
        }
        assert_eq!((dates.unit(), dates.counts().map(|(_, count)| count).sum::<u64>()), ("year", total));
        assert_eq!(dates.counts().next(), Some(("2000", 24)));
        assert!(!dates.add("2000") && !dates.add("é2000-01-0"));
    }
}
