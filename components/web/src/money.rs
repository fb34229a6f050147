//! Money, as people who read a language write it, and as they type it.
//!
//! A few languages are known; for all others it is written as in English. A currency has a sign where no other has the same one, or
//! else its code.

use iso_currency::Currency;

use crate::trellis::tickets::types::Money;

/// Joins a number and its sign, so that they stay on one line.
const JOINT: char = '\u{a0}';

/// How those who read a language write money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    point: char,
    between_thousands: char,
    is_sign_first: bool,
    is_sign_apart: bool,
}

const ENGLISH: Style =
    Style { point: '.', between_thousands: ',', is_sign_first: true, is_sign_apart: false };
const GERMAN: Style = Style { point: ',', between_thousands: '.', is_sign_first: false, is_sign_apart: true };
const FRENCH: Style = Style { between_thousands: '\u{202f}', ..GERMAN };
const POLISH: Style = Style { between_thousands: JOINT, ..GERMAN };
const DUTCH: Style = Style { is_sign_first: true, ..GERMAN };
const SWISS: Style = Style { point: '.', between_thousands: '’', ..DUTCH };

/// By what a browser calls a language: what is longer says more.
const KNOWN: [(&str, Style); 19] = [
    ("en", ENGLISH),
    ("ja", ENGLISH),
    ("ko", ENGLISH),
    ("zh", ENGLISH),
    ("de", GERMAN),
    ("da", GERMAN),
    ("es", GERMAN),
    ("it", GERMAN),
    ("fr", FRENCH),
    ("cs", POLISH),
    ("fi", POLISH),
    ("nb", POLISH),
    ("pl", POLISH),
    ("pt", POLISH),
    ("sv", POLISH),
    ("uk", POLISH),
    ("nl", DUTCH),
    ("de-at", DUTCH),
    ("de-ch", SWISS),
];

impl Style {
    /// That of the language which a reader would rather have than all others that are known, as `Accept-Language` says it.
    pub fn of(languages: Option<&str>) -> Self {
        let mut best = (0, ENGLISH);
        for range in languages.unwrap_or_default().split(',') {
            let (tag, weight) = range.split_once(";q=").unwrap_or((range, "1"));
            let weight: f32 = weight.trim().parse().unwrap_or_default();
            let weight = (weight.clamp(0.0, 1.0) * 1000.0) as u16;
            // The first one of those that are wanted as much.
            if let Some(style) = style_of(tag.trim()).filter(|_| weight > best.0) {
                best = (weight, style);
            }
        }
        best.1
    }

    /// `€19.99` or `19,99 €` of 1999 cents.
    pub fn write(self, Money { amount, currency }: &Money) -> String {
        let known = Currency::from_code(currency);
        let number = self.number(*amount, digits(known));
        let sign = known.and_then(sign);
        let (text, apart) = match sign {
            Some(sign) => (sign, self.is_sign_apart),
            None => (currency.as_str(), true),
        };
        let joint = if apart { JOINT.to_string() } else { String::new() };
        if self.is_sign_first { format!("{text}{joint}{number}") } else { format!("{number}{joint}{text}") }
    }

    fn number(self, amount: u64, digits: usize) -> String {
        // At least one digit stands before the point.
        let text = format!("{amount:0>width$}", width = digits + 1);
        let (whole, rest) = text.split_at(text.len() - digits);
        let mut written = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                written.push(self.between_thousands);
            }
            written.push(digit);
        }
        if !rest.is_empty() {
            written.push(self.point);
            written.push_str(rest);
        }
        written
    }
}

fn style_of(tag: &str) -> Option<Style> {
    let tag = tag.to_ascii_lowercase();
    let fits =
        |known: &str| tag.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let fitting = KNOWN.iter().filter(|(known, _)| fits(known));
    fitting.max_by_key(|(known, _)| known.len()).map(|(_, style)| *style)
}

/// How many digits stand behind the point. Nothing is known of what is no currency, so it is not divided.
fn digits(currency: Option<Currency>) -> usize {
    currency.and_then(Currency::exponent).map_or(0, usize::from)
}

fn sign(currency: Currency) -> Option<&'static str> {
    match currency {
        Currency::EUR => Some("€"),
        Currency::GBP => Some("£"),
        Currency::JPY => Some("¥"),
        Currency::USD => Some("$"),
        _ => None,
    }
}

pub fn is_currency(code: &str) -> bool {
    Currency::from_code(code).is_some()
}

/// What somebody has typed as a price: `19.99` or `19,99`, and no more digits behind the point than the currency has. Whether such a
/// price can be asked is not said here.
pub fn read(text: &str, currency: &str) -> Option<u64> {
    let digits = digits(Some(Currency::from_code(currency)?));
    let (whole, rest) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(rest) || rest.len() > digits {
        return None;
    }
    format!("{whole}{rest:0<digits$}").parse().ok()
}

/// The same as it would be typed.
pub fn typed(Money { amount, currency }: &Money) -> String {
    let plain = Style { between_thousands: '\0', ..ENGLISH };
    plain.number(*amount, digits(Currency::from_code(currency))).replace('\0', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(amount: u64, currency: &str) -> Money {
        Money { amount, currency: currency.to_owned() }
    }

    #[test]
    fn as_people_of_a_language_write_it() {
        let rows = [
            ("en", 1999, "EUR", "€19.99"),
            ("en-GB", 5, "GBP", "£0.05"),
            ("de", 1999, "EUR", "19,99\u{a0}€"),
            ("de-DE", 123_456_789, "EUR", "1.234.567,89\u{a0}€"),
            ("de-CH", 123_456, "CHF", "CHF\u{a0}1’234.56"),
            ("de-AT", 1999, "EUR", "€\u{a0}19,99"),
            ("fr", 123_456, "EUR", "1\u{202f}234,56\u{a0}€"),
            ("sv-SE", 123_456, "SEK", "1\u{a0}234,56\u{a0}SEK"),
            ("ja", 2500, "JPY", "¥2,500"),
            ("de", 2500, "JPY", "2.500\u{a0}¥"),
            ("en", 1999, "KWD", "KWD\u{a0}1.999"),
            ("en", 99_999_999, "USD", "$999,999.99"),
            ("en", u64::MAX, "JPY", "¥18,446,744,073,709,551,615"),
            ("en", 0, "EUR", "€0.00"),
            ("en", 7, "???", "???\u{a0}7"),
        ];
        for (language, amount, currency, expected) in rows {
            assert_eq!(Style::of(Some(language)).write(&money(amount, currency)), expected, "{language}");
        }
    }

    #[test]
    fn the_language_that_a_reader_would_rather_have() {
        let rows = [
            (Some("de-DE,de;q=0.9,en;q=0.8"), GERMAN),
            (Some("en;q=0.8, de;q=0.9"), GERMAN),
            (Some("xx, fr;q=0.1"), FRENCH),
            (Some("de-CH"), SWISS),
            (Some("DE-ch, en"), SWISS),
            (Some("den, deu"), ENGLISH),
            (Some("de;q=0, en;q=0.1"), ENGLISH),
            (Some("de;q=much"), ENGLISH),
            (Some("*"), ENGLISH),
            (Some(",;;q=,=,"), ENGLISH),
            (Some(""), ENGLISH),
            (None, ENGLISH),
        ];
        for (languages, expected) in rows {
            assert_eq!(Style::of(languages), expected, "{languages:?}");
        }
    }

    #[test]
    fn what_is_typed_and_what_is_none() {
        let good = [
            ("19.99", "EUR", 1999),
            ("19,99", "EUR", 1999),
            ("19", "EUR", 1900),
            ("19.9", "EUR", 1990),
            ("0,01", "EUR", 1),
            ("19.", "EUR", 1900),
            ("2500", "JPY", 2500),
            ("1.999", "KWD", 1999),
        ];
        for (text, currency, amount) in good {
            assert_eq!(read(text, currency), Some(amount), "{text} {currency}");
            assert_eq!(read(&typed(&money(amount, currency)), currency), Some(amount), "{text} {currency}");
        }
        let bad = [
            "",
            ".",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1.999",
            "1,000.00",
            "1 000",
            "19.99 €",
            "1..2",
            "٣",
            "99999999999999999999",
        ];
        for text in bad {
            assert_eq!(read(text, "EUR"), None, "{text}");
        }
        for (text, currency) in [("19.99", "JPY"), ("19.99", "ZZZ"), ("19.99", ""), ("19.99", "eur")] {
            assert_eq!(read(text, currency), None, "{text} {currency}");
        }
    }
}
