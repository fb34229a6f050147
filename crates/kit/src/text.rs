//! Text from callers, made safe to show.

use crate::Problem;

/// One line of 1 to `max` characters, without the blanks around it; otherwise what to tell the caller about the
/// field.
///
/// Refused is what would show something else than it says: control characters, line breaks of any kind,
/// characters that turn the direction of the text around them, and text in which there is nothing to see.
pub fn one_line(field: &str, text: &str, max: usize) -> Result<String, Problem> {
    let line = text.trim();
    if line.chars().any(is_deceptive) {
        return Err(Problem::invalid(field, "Must be one line of plain text, without control characters."));
    }
    if line.chars().all(is_invisible) {
        return Err(Problem::invalid(field, "Must not be empty."));
    }
    if line.chars().nth(max).is_some() {
        return Err(Problem::invalid(field, format!("Must not have more than {max} characters.")));
    }
    Ok(line.to_owned())
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

/// Characters that belong into words, syllables and emoji, and are nothing alone.
const INVISIBLE: [(char, char); 8] = [
    ('\u{00ad}', '\u{00ad}'), // a hyphen that may be
    ('\u{034f}', '\u{034f}'), // joiners
    ('\u{200c}', '\u{200d}'),
    ('\u{115f}', '\u{1160}'), // fillers
    ('\u{3164}', '\u{3164}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{2800}', '\u{2800}'), // a braille cell without dots
    ('\u{fe00}', '\u{fe0f}'), // variants
];

fn is_deceptive(c: char) -> bool {
    c.is_control() || is_among(c, &DECEPTIVE)
}

fn is_invisible(c: char) -> bool {
    c.is_whitespace() || is_among(c, &INVISIBLE)
}

fn is_among(c: char, ranges: &[(char, char)]) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

#[cfg(test)]
mod tests {
    use super::one_line;

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
}
