//! Instants as people and JSON write them: RFC 3339, UTC, milliseconds.

/// `2026-11-20T04:01:12.345Z` for milliseconds since 1970.
pub(crate) fn rfc3339(ms_since_1970: u64) -> String {
    let (days, ms) = (ms_since_1970 / 86_400_000, ms_since_1970 % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute, second, milli) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The milliseconds since 1970 of an instant that is written just so.
pub(crate) fn parse(instant: &str) -> Option<u64> {
    let number = |from: usize, to: usize| instant.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, milli) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?);
    let days = days_since_1970(year, month, day)?;
    let ms = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + milli;
    (rfc3339(ms) == instant).then_some(ms)
}

/// Whether an instant in UTC, as JetStream or this service writes it, is older than another: to the second, since they
/// write fractions of it differently.
pub(crate) fn is_before(instant: &str, ms_since_1970: u64) -> bool {
    is_older(instant, &rfc3339(ms_since_1970))
}

/// The same for two instants that are written.
pub(crate) fn is_older(instant: &str, than: &str) -> bool {
    const TO_THE_SECOND: usize = "2026-11-20T04:01:12".len();
    instant.get(..TO_THE_SECOND) < than.get(..TO_THE_SECOND)
}

const DAYS_FROM_MARCH_0000_TO_1970: u64 = 719_468;

/// The inverse of [`civil`], for dates that there are.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month_from_march) =
        if month > 2 { (year, month.checked_sub(3)?) } else { (year.checked_sub(1)?, month + 9) };
    let days_of_year = (153 * month_from_march + 2) / 5 + day.checked_sub(1)?;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + days_of_year;
    days.checked_sub(DAYS_FROM_MARCH_0000_TO_1970)
}

/// The date of a day counted from 1970. Counting from a first of March makes the leap day the last day of its
/// year; 400 years always have the same number of days.
fn civil(days_since_1970: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let days = days_since_1970 + DAYS_FROM_MARCH_0000_TO_1970;
    let (era, day_of_era) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) =
        if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    (era * 400 + year_of_era + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::{is_before, parse, rfc3339};

    #[test]
    fn known_instants() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_795_147_272_345, "2026-11-20T04:01:12.345Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
            assert_eq!(parse(text), Some(ms));
        }
    }

    #[test]
    fn an_instant_is_read_as_it_is_written_and_in_no_other_way() {
        for day in 0..200_000 {
            let ms = day * 86_400_000 + day;
            assert_eq!(parse(&rfc3339(ms)), Some(ms));
        }
        for other in [
            "",
            "soon",
            "2026-02-29T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-00-01T00:00:00.000Z",
            "2026-01-00T00:00:00.000Z",
            "2026-01-01T24:00:00.000Z",
            "2026-01-01T00:00:60.000Z",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.000+01:00",
            "2026-01-01T00:00:00.0000Z",
            "2026-01-01T00:00:00.+10Z",
            "1969-12-31T23:59:59.999Z",
            "0000-01-01T00:00:00.000Z",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn instants_are_compared_to_the_second_however_they_are_written() {
        let noon = 1_795_176_000_000;
        assert_eq!(rfc3339(noon), "2026-11-20T12:00:00.000Z");
        for before in ["2026-11-20T11:59:59Z", "2026-11-20T11:59:59.999999999Z", "0001-01-01T00:00:00Z", ""] {
            assert!(is_before(before, noon), "{before}");
        }
        for not_before in ["2026-11-20T12:00:00Z", "2026-11-20T12:00:00.1Z", "2026-11-21T00:00:00.123Z"] {
            assert!(!is_before(not_before, noon), "{not_before}");
        }
    }
}
