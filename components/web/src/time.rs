//! Instants, as people read them.

use maud::{Markup, html};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// An instant, in words; scripts may say it in other words, from the attribute.
pub fn shown(timestamp: &str) -> Markup {
    let words = words(timestamp).unwrap_or_else(|| timestamp.to_owned());
    html! { time datetime=(timestamp) { (words) } }
}

/// When something is over: scripts say in how many minutes and seconds that is, by the clock of the server.
pub fn left(timestamp: &str) -> Markup {
    let words = words(timestamp).unwrap_or_else(|| timestamp.to_owned());
    html! { time datetime=(timestamp) data-left { "on " (words) } }
}

/// `20 November 2026, 04:01 UTC` of `2026-11-20T04:01:12.345Z`.
fn words(timestamp: &str) -> Option<String> {
    let (date, time) = timestamp.split_once('T')?;
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    Some(format!("{} {month} {year}, {} UTC", day.parse::<u32>().ok()?, time.get(..5)?))
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn instants() {
        assert_eq!(words("2026-11-20T04:01:12.345Z").as_deref(), Some("20 November 2026, 04:01 UTC"));
        assert_eq!(words("2026-01-02T00:00:00.000Z").as_deref(), Some("2 January 2026, 00:00 UTC"));
        for odd in
            ["", "yesterday", "2026-00-01T00:00:00Z", "2026-13-01T00:00:00Z", "2026-1T1", "2026-01-02Tx"]
        {
            assert_eq!(words(odd), None, "{odd}");
        }
    }
}
