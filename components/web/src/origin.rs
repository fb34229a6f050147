//! Where a form was sent from: only from our own pages.
//!
//! Browsers say it in `Sec-Fetch-Site` and in `Origin`, which no page can feign. A client that says neither is no
//! browser, and acts for nobody but itself.

use trellis_kit::Problem;
use trellis_kit::http::Request;

/// Refuses what another site's page had a browser send.
pub fn check(request: &Request) -> Result<(), Problem> {
    let site = said(request, "sec-fetch-site");
    let is_elsewhere = site.iter().any(|site| !matches!(*site, b"same-origin" | b"none"));
    let host = said(request, "host");
    let is_ours = |origin: &[u8]| match host.as_slice() {
        // A gateway passed this on: it has kept the name of the server to itself, and has looked.
        [] => true,
        [host] => authority(origin).is_some_and(|authority| authority.eq_ignore_ascii_case(host)),
        _ => false,
    };
    if is_elsewhere || !said(request, "origin").into_iter().all(is_ours) {
        return Err(Problem::forbidden(
            "This form was sent from a page of another site, so nothing was done. Fill it in here.",
        ));
    }
    Ok(())
}

/// Every value of a header.
fn said<'r>(request: &'r Request, name: &str) -> Vec<&'r [u8]> {
    let sent = request.headers.iter().filter(|(sent, _)| sent.eq_ignore_ascii_case(name));
    sent.map(|(_, value)| value.as_slice()).collect()
}

/// `example.org:8080` of `https://example.org:8080`.
fn authority(origin: &[u8]) -> Option<&[u8]> {
    origin.strip_prefix(b"https://").or_else(|| origin.strip_prefix(b"http://"))
}

#[cfg(test)]
mod tests {
    use super::{Request, check};

    fn refused(headers: &[(&str, &str)]) -> bool {
        let request = headers
            .iter()
            .fold(Request::new("POST", "/"), |request, (name, value)| request.with(*name, *value));
        check(&request).is_err()
    }

    #[test]
    fn our_own_pages_and_no_others() {
        let host = ("Host", "blog.example:8080");
        let good: [&[(&str, &str)]; 7] = [
            &[],
            &[host],
            &[host, ("Sec-Fetch-Site", "same-origin"), ("Origin", "http://blog.example:8080")],
            &[host, ("Origin", "https://BLOG.example:8080")],
            &[host, ("Sec-Fetch-Site", "none")],
            &[("Sec-Fetch-Site", "same-origin"), ("Origin", "https://blog.example")],
            &[("Origin", "https://blog.example")],
        ];
        for headers in good {
            assert!(!refused(headers), "{headers:?}");
        }
        let bad: [&[(&str, &str)]; 10] = [
            &[host, ("Sec-Fetch-Site", "cross-site")],
            &[host, ("Sec-Fetch-Site", "same-site")],
            &[host, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            &[host, ("Sec-Fetch-Site", "cross-site"), ("Origin", "http://blog.example:8080")],
            &[host, ("Origin", "https://evil.example")],
            &[host, ("Origin", "http://blog.example")],
            &[host, ("Origin", "null")],
            &[host, ("Origin", "http://blog.example:8080"), ("Origin", "http://evil.example")],
            &[host, ("Host", "evil.example"), ("Origin", "http://evil.example")],
            &[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://blog.example")],
        ];
        for headers in bad {
            assert!(refused(headers), "{headers:?}");
        }
    }
}
