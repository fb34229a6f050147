//! Which form of an answer whoever asks would rather have.

use trellis_kit::Request;

/// Whether a page is preferred to JSON, as the `Accept` header says it. Without a preference it is JSON.
pub fn prefers_page(request: &Request) -> bool {
    let lists = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("accept"));
    let lists = lists.filter_map(|(_, list)| std::str::from_utf8(list).ok());
    let ranges: Vec<Range<'_>> = lists.flat_map(|list| list.split(',')).filter_map(Range::parse).collect();
    let page = quality(&ranges, "text", "html");
    let json = ["problem+json", "json"].map(|subtype| quality(&ranges, "application", subtype));
    json.into_iter().all(|json| page > json)
}

/// A range of media types, and how much they are wanted: in thousandths.
#[derive(Debug)]
struct Range<'h> {
    kind: &'h str,
    subtype: &'h str,
    quality: u16,
}

impl<'h> Range<'h> {
    /// A range that makes no sense is none.
    fn parse(text: &'h str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let mut weights = parts.filter_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
        });
        let quality = weights.next().map_or(Some(1000), thousandths)?;
        Some(Self { kind, subtype, quality })
    }

    /// How much it says of a media type; none if it does not speak of it.
    fn nearness(&self, kind: &str, subtype: &str) -> Option<u8> {
        let is = |word: &str, of: &str| word.eq_ignore_ascii_case(of);
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (own, "*") if is(own, kind) => Some(1),
            (own, sub) if is(own, kind) && is(sub, subtype) => Some(2),
            _ => None,
        }
    }
}

/// What the range that says most of a media type says.
fn quality(ranges: &[Range<'_>], kind: &str, subtype: &str) -> u16 {
    let about = ranges.iter().filter_map(|range| Some((range.nearness(kind, subtype)?, range.quality)));
    about.max().map_or(0, |(_, quality)| quality)
}

/// `0.8` is 800: a number from 0 to 1 with up to three digits after the point.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || rest.len() > 3 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{whole}{rest:0<3}").parse().ok().filter(|quality| *quality <= 1000)
}

#[cfg(test)]
mod tests {
    use super::{Request, prefers_page};

    #[test]
    fn browsers_get_pages_and_programs_json() {
        let chromium = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,\
                        application/signed-exchange;v=b3;q=0.7";
        let rows: [(&[&str], bool); 25] = [
            (&[chromium], true),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], true),
            (&["text/html"], true),
            (&["TEXT/HTML; charset=utf-8"], true),
            (&["text/*"], true),
            (&["application/json;q=0.9", "text/html"], true),
            (&["text/html;q=0.801, application/problem+json;q=0.8"], true),
            (&["*/*;q=0.1, text/html;q=0.2"], true),
            (&["text/html ; Q=1.000 , application/json ; q=0.999"], true),
            (&[], false),
            (&[""], false),
            (&["*/*"], false),
            (&["text/*;q=0.5, */*"], false),
            (&["application/json"], false),
            (&["text/html;q=0"], false),
            (&["text/html;q=0.0"], false),
            (&["text/html, application/json"], false),
            (&["text/html;q=0.9, application/problem+json"], false),
            (&["text/*, text/html;q=0.1, application/json;q=0.2"], false),
            (&["text/html, application/*"], false),
            (&["text/html;q=2"], false),
            (&["text/html;q=1.001"], false),
            (&["text/html;q=0.1234"], false),
            (&["text/html;q=-1, html, text/html;q=, /"], false),
            (&["application/xhtml+xml"], false),
        ];
        for (lists, expected) in rows {
            let request =
                lists.iter().fold(Request::new("GET", "/"), |request, list| request.with("Accept", *list));
            assert_eq!(prefers_page(&request), expected, "{lists:?}");
        }
    }
}
