//! Durations in Go's words: `1m30s`, `1.5s`, `250ms`.

/// In nanoseconds.
pub(crate) fn parse(text: &str) -> Option<i64> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];
    let mut rest = text;
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let len = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(len)?;
        let number: f64 = number.parse().ok()?;
        let (unit, factor) = UNITS.iter().find(|(unit, _)| tail.starts_with(unit))?;
        nanos += number * factor;
        rest = tail.strip_prefix(unit)?;
    }
    // Out of range saturates, which is what a far-away date does anyway.
    Some(nanos as i64)
}

/// Of nanoseconds.
pub(crate) fn format(nanos: i64) -> String {
    let number = |value: f64, unit: &str| format!("{value}{unit}");
    let seconds = nanos as f64 / 1e9;
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => number(nanos as f64, "ns"),
        1_000..1_000_000 => number(nanos as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => number(nanos as f64 / 1e6, "ms"),
        1_000_000_000..60_000_000_000 => number(seconds, "s"),
        60_000_000_000..3_600_000_000_000 => {
            format!("{}m{}", (seconds / 60.0).trunc(), number(seconds % 60.0, "s"))
        }
        _ => {
            let minutes = (seconds / 60.0).trunc();
            format!("{}h{}m{}", (minutes / 60.0).trunc(), minutes % 60.0, number(seconds % 60.0, "s"))
        }
    }
}
