//! Text from callers, made safe to show.

use crate::problem::Problem;

const LINE: &str = "Must be one line of plain text, without control characters.";
const LINES: &str = "Must be plain text: no control characters but the ends of lines.";

/// One line of 1 to `max` characters, without the blanks around it; otherwise what to tell the caller about the
/// field.
///
/// Refused is what would show something else than it says: control characters, line breaks of any kind,
/// characters that turn the direction of the text around them, and text in which there is nothing to see.
pub fn one_line(field: &str, text: &str, max: usize) -> Result<String, Problem> {
    plain(field, text.trim(), max, is_deceptive, LINE).map(str::to_owned)
}

/// Text of 1 to `max` characters on as many lines as it likes, which end in `\n` however they came; for the rest
/// as [`one_line`].
pub fn lines(field: &str, text: &str, max: usize) -> Result<String, Problem> {
    let text = text.replace("\r\n", "\n");
    plain(field, text.trim(), max, |c| c != '\n' && is_deceptive(c), LINES).map(str::to_owned)
}

/// The words of a text, in lower case, without what is unseen within them: what somebody reads when looking for a
/// word.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    let seen: String = text.chars().filter(|c| !is_among(*c, &UNSEEN)).collect();
    let ends_word = |c: char| !c.is_alphanumeric() || is_among(c, &BLANK);
    let words = seen.split(ends_word).filter(|word| !word.is_empty()).map(str::to_lowercase);
    words.collect::<Vec<_>>().into_iter()
}

fn plain<'t>(
    field: &str,
    text: &'t str,
    max: usize,
    is_bad: impl Fn(char) -> bool,
    why: &str,
) -> Result<&'t str, Problem> {
    if text.chars().any(is_bad) {
        return Err(Problem::invalid(field, why));
    }
    if text.chars().all(is_invisible) {
        return Err(Problem::invalid(field, "Must not be empty."));
    }
    if text.chars().nth(max).is_some() {
        return Err(Problem::invalid(field, format!("Must not have more than {max} characters.")));
    }
    Ok(text)
}

/// Characters that make text show as something else than it is.
const DECEPTIVE: [(char, char); 12] = [
    ('\u{2028}', '\u{2029}'), // separators of lines and paragraphs
    ('\u{061c}', '\u{061c}'), // marks of direction, and what turns it around
    ('\u{200e}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2066}', '\u{2069}'),
    ('\u{200b}', '\u{200b}'), // a space without width, and other things unseen
    ('\u{2060}', '\u{2064}'),
    ('\u{206a}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),   // annotations between lines
    ('\u{e0000}', '\u{e007f}'), // tags, in which a whole hidden text fits
    ('\u{e0100}', '\u{e01ef}'), // variants beyond those of emoji, likewise
];

/// Characters that belong into words and emoji, and are nothing alone.
const UNSEEN: [(char, char); 4] = [
    ('\u{00ad}', '\u{00ad}'), // a hyphen that may be
    ('\u{034f}', '\u{034f}'), // joiners
    ('\u{200c}', '\u{200d}'),
    ('\u{fe00}', '\u{fe0f}'), // variants
];

/// Characters that look like a blank without being one to Unicode.
const BLANK: [(char, char); 4] = [
    ('\u{115f}', '\u{1160}'), // fillers
    ('\u{3164}', '\u{3164}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{2800}', '\u{2800}'), // a braille cell without dots
];

fn is_deceptive(c: char) -> bool {
    c.is_control() || is_among(c, &DECEPTIVE)
}

fn is_invisible(c: char) -> bool {
    c.is_whitespace() || is_among(c, &UNSEEN) || is_among(c, &BLANK)
}

fn is_among(c: char, ranges: &[(char, char)]) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

#[cfg(test)]
mod tests {
    use super::{lines, one_line, words};

    #[test]
    fn lines_are_trimmed_and_counted_in_characters() {
        assert_eq!(one_line("title", " \t Grüße, Welt 👩‍👧 \u{3000}", 20).unwrap(), "Grüße, Welt 👩‍👧");
        assert_eq!(one_line("title", &"é".repeat(200), 200).unwrap(), "é".repeat(200));
    }

    #[test]
    fn what_is_empty_long_or_deceptive_is_refused() {
        let long = "é".repeat(201);
        let rows = [
            ("", "Must not be empty."),
            (" \u{3000}\n", "Must not be empty."),
            ("\u{200d}\u{200d}", "Must not be empty."),
            (&long, "Must not have more than 200 characters."),
            ("a\nb", "Must be one line of plain text, without control characters."),
            ("a\u{0}b", "Must be one line of plain text, without control characters."),
            ("a\u{85}b", "Must be one line of plain text, without control characters."),
            ("a\u{2028}b", "Must be one line of plain text, without control characters."),
            ("abc\u{202e}gpj.exe", "Must be one line of plain text, without control characters."),
            ("a\u{200b}b", "Must be one line of plain text, without control characters."),
        ];
        for (text, message) in rows {
            let problem = one_line("title", text, 200).unwrap_err();
            assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, "title"), "{text:?}");
            assert_eq!(problem.errors[0].message, message, "{text:?}");
        }
    }

    #[test]
    fn lines_may_end_and_nothing_else() {
        assert_eq!(lines("content", "\n a\r\nb\n\nc \n", 20).unwrap(), "a\nb\n\nc");
        assert_eq!(lines("content", &"é\n".repeat(1000), 2000).unwrap().chars().count(), 1999);
        for bad in ["a\rb", "a\tb", "a\u{0}", "a\u{2028}b", "\u{202e}", "a\u{85}b", "a\u{b}b"] {
            let problem = lines("content", bad, 20).unwrap_err();
            let errors: Vec<_> =
                problem.errors.iter().map(|error| (&*error.field, &*error.message)).collect();
            assert_eq!(errors, [("content", super::LINES)], "{bad:?}");
        }
        for empty in ["", "\n\n", " \r\n ", "\u{200d}\n"] {
            assert_eq!(lines("content", empty, 20).unwrap_err().errors[0].message, "Must not be empty.");
        }
        assert_eq!(lines("content", &"a\n".repeat(11), 20).unwrap_err().status, 422);
    }

    #[test]
    fn words_are_what_is_between_what_is_no_letter() {
        let of = |text: &str| words(text).collect::<Vec<_>>();
        assert_eq!(of("An ORANGE, oranges\nblood-orange?"), ["an", "orange", "oranges", "blood", "orange"]);
        assert_eq!(of("no\u{3164}orange\u{2800}here"), ["no", "orange", "here"]);
        assert_eq!(of("or\u{ad}an\u{200d}ge 👩‍👧 ... "), ["orange"]);
        assert_eq!(of("Grüße ÄÖ1"), ["grüße", "äö1"]);
        assert_eq!(of(" \n-"), [""; 0]);
    }
}
