/// Seconds of `90d`, `24h`, `1h30m`, `45s`, `2w`, or `0`.
pub(crate) fn parse_seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a duration such as 30m, 24h, 90d or 1h30m");
    if text == "0" {
        return Ok(0);
    }
    let (mut total, mut number) = (0_u64, None::<u64>);
    for letter in text.chars() {
        if let Some(digit) = letter.to_digit(10) {
            let tens = number.unwrap_or(0).checked_mul(10).ok_or_else(wrong)?;
            number = Some(tens.checked_add(u64::from(digit)).ok_or_else(wrong)?);
            continue;
        }
        let unit = match letter {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            'y' => 31_536_000,
            _ => return Err(wrong()),
        };
        let part = number.take().ok_or_else(wrong)?.checked_mul(unit).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
    }
    // A number without a unit could mean anything; nothing at all is no duration.
    if number.is_some() || text.is_empty() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_durations_with_units() {
        for (text, seconds) in [
            ("45s", 45),
            ("30m", 1_800),
            ("24h", 86_400),
            ("90d", 7_776_000),
            ("1h30m", 5_400),
            ("2w", 1_209_600),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse_seconds(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for text in [
            "24",
            "",
            "h",
            "1h30",
            "-1h",
            "1 h",
            "1.5h",
            "99999999999999999999d",
            "18446744073709551615w",
            "1fortnight",
        ] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
