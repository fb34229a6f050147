//! Dates in JSON: RFC 3339 in UTC with nanoseconds, trailing zeros cut, as nats-server writes them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The date that stands for "never" in answers.
pub(crate) const ZERO: &str = "0001-01-01T00:00:00Z";

pub(crate) fn format(unix_nanos: i64) -> String {
    let date = OffsetDateTime::from_unix_timestamp_nanos(unix_nanos.into()).ok();
    // So many nanoseconds reach from 1677 to 2262, and years of four digits can always be written.
    date.and_then(|date| date.format(&Rfc3339).ok()).unwrap_or_else(|| ZERO.to_owned())
}

/// Reads a date with `Z` or a numeric offset.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    date.unix_timestamp_nanos().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        let rows = [
            (0, "1970-01-01T00:00:00Z"),
            (1_000_000_000_000_000_000, "2001-09-09T01:46:40Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
            (1_795_147_349_164_494_510, "2026-11-20T04:02:29.16449451Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
        ];
        for (nanos, text) in rows {
            assert_eq!(format(nanos), text);
            assert_eq!(parse(text), Some(nanos), "{text}");
        }
        assert_eq!(parse("1970-01-01T02:00:00+02:00"), Some(0));
    }

    #[test]
    fn every_day_that_can_be_said_round_trips() {
        const DAY: i64 = 86_400_000_000_000;
        for day in i64::MIN / DAY..=i64::MAX / DAY {
            assert_eq!(parse(&format(day * DAY)), Some(day * DAY), "{day}");
        }
        for end in [i64::MIN, i64::MAX] {
            assert_eq!(parse(&format(end)), Some(end));
        }
    }

    #[test]
    fn hostile_dates_are_refused() {
        for text in [
            "",
            "2026",
            "2026-13-01T00:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "é026-01-01T0",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
