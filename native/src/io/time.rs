//! Dates and times in table cells.

/// Milliseconds since 1970-01-01 UTC of an ISO 8601 text: `2010-12-01`, `2010-12-01 08:26`,
/// `2010-12-01T08:26:00.5+01:00`. Without a zone it counts as UTC.
pub fn timestamp(text: &str) -> Option<i64> {
    let text = text.trim().as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some(
            digits
                .iter()
                .fold(0, |sum, digit| sum * 10 + (digit - b'0') as i64),
        )
    };
    let is = |at: usize, wanted: &[u8]| text.get(at).is_some_and(|byte| wanted.contains(byte));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, 28 + leap as i64, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !is(4, b"-") || !is(7, b"-") || !(1..=12).contains(&month) {
        return None;
    }
    if day < 1 || day > lengths[month as usize - 1] {
        return None;
    }
    // Days from the civil calendar, counted from 1 March (Hinnant, "chrono-compatible
    // low-level date algorithms").
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let mut milliseconds = days * 86_400_000;
    if text.len() == 10 {
        return Some(milliseconds);
    }
    let (hour, minute) = (number(11, 13)?, number(14, 16)?);
    if !is(10, b" T") || !is(13, b":") || hour > 23 || minute > 59 {
        return None;
    }
    milliseconds += (hour * 60 + minute) * 60_000;
    let mut at = 16;
    if is(at, b":") {
        let second = number(17, 19)?;
        if second > 60 {
            return None;
        }
        milliseconds += second * 1000;
        at = 19;
        if is(at, b".") {
            let digits = text[at + 1..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if digits == 0 {
                return None;
            }
            let mut fraction = number(at + 1, at + 1 + digits.min(3))?;
            for _ in digits..3 {
                fraction *= 10;
            }
            milliseconds += fraction;
            at += 1 + digits;
        }
    }
    match text.get(at) {
        None => Some(milliseconds),
        Some(b'Z') if text.len() == at + 1 => Some(milliseconds),
        Some(sign @ (b'+' | b'-')) if text.len() == at + 6 && is(at + 3, b":") => {
            let offset = (number(at + 1, at + 3)? * 60 + number(at + 4, at + 6)?) * 60_000;
            Some(if *sign == b'+' {
                milliseconds - offset
            } else {
                milliseconds + offset
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::timestamp;

    #[test]
    fn timestamps_parse() {
        assert_eq!(timestamp("1970-01-01"), Some(0));
        assert_eq!(timestamp("2010-12-01 08:26:00"), Some(1_291_191_960_000));
        assert_eq!(
            timestamp("2010-12-01T08:26:00.5+01:00"),
            Some(1_291_188_360_500)
        );
        assert_eq!(
            timestamp("2010-12-01T08:26:00.123456789Z"),
            Some(1_291_191_960_123)
        );
        assert_eq!(timestamp("1969-12-31 23:59"), Some(-60_000));
        assert_eq!(timestamp("2000-02-29"), Some(951_782_400_000));
        for wrong in [
            "",
            "2010",
            "2010-13-01",
            "2011-02-29",
            "2010-12-01x",
            "2010-12-01 25:00",
            "2010-12-01 10:00+1",
            "12/01/2010",
        ] {
            assert_eq!(timestamp(wrong), None, "{wrong}");
        }
    }
}
