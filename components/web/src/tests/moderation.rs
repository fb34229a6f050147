//! The page for moderators.

use super::*;

const MIA: [(&str, &str); 2] = [("trellis-caller", "mia"), ("trellis-roles", "moderator")];
const PAT: [(&str, &str); 1] = [("trellis-caller", "pat")];

fn behind_a_gateway() {
    platform().configure("caller-header", "trellis-caller");
    platform().configure("roles-header", "trellis-roles");
}

fn verdict(status: &str, content: &str, more: &str) -> String {
    format!(
        r#"{{"id":"P1-C1","status":"{status}","content":"{content}","author":"ann",{more},"decided_at":"2026-11-20T04:01:12.345Z","version":2}}"#
    )
}

fn by_rule(status: &str, content: &str) -> String {
    verdict(status, content, r#""reason":"orange","moderator":null,"review":null"#)
}

fn queue(verdicts: &[String]) {
    behind_a_gateway();
    answering("moderation", 200, "x-trellis-lag: 0\r\n", &format!("[{}]", verdicts.join(",")));
}

fn look(target: &str) -> Response {
    request::<Web>("GET", target, &MIA, "")
}

fn decide(body: &str) -> Response {
    let form = ("content-type", "application/x-www-form-urlencoded");
    let headers: Vec<_> = MIA.into_iter().chain([form, ("host", "blog.example")]).collect();
    request::<Web>("POST", "/moderation", &headers, body)
}

#[test]
fn a_moderator_sees_what_was_said_by_whom_and_why_it_is_held_back() {
    queue(&[
        by_rule("rejected", "An orange"),
        verdict("rejected", "No", r#""reason":null,"moderator":"max","review":null"#),
        verdict("approved", "Yes", r#""reason":null,"moderator":null,"review":"R1""#),
    ]);
    let page = look("/moderation");
    let html = text(&page);
    assert_eq!((page.status, page.header("cache-control")), (200, Some("no-store")));
    for words in [
        "<bdi class=\"author\">ann</bdi>",
        "An orange",
        "Not published, by the rule <bdi class=\"author\">orange</bdi>",
        "Not published by <bdi class=\"author\">max</bdi>",
        "Published, by the rules, when they were applied anew",
        "href=\"/p/P1#comment-P1-C1\"",
        "20 November 2026, 04:01 UTC",
    ] {
        assert!(html.contains(words), "{words} in {html}");
    }
    let asked_for = &asked("moderation")[0];
    assert_eq!(asked_for.target, "/moderation/queue?status=rejected");
    assert_eq!(asked_for.header("trellis-roles"), Some("moderator"));
}

#[test]
fn what_is_looked_at_can_be_chosen_and_is_shown_in_parts() {
    queue(&[by_rule("rejected", "An orange")]);
    for (status, target) in [
        ("approved", "/moderation/queue?status=approved&after=c1"),
        ("rejected", "/moderation/queue?status=rejected&after=c1"),
        ("all", "/moderation/queue?after=c1"),
    ] {
        let html = text(&look(&format!("/moderation?status={status}&after=c1")));
        assert_eq!(
            attribute(&html, &format!("href=\"/moderation?status={status}\""), "aria-current"),
            "page"
        );
        assert_eq!(asked("moderation")[0].target, target);
    }
    assert_eq!(look("/moderation?status=held").status, 400);
    let link = "link: </moderation/queue?after=c2&status=rejected>; rel=\"next\"\r\n";
    answering("moderation", 200, link, "[]");
    let html = text(&look("/moderation"));
    assert!(html.contains("decided otherwise since"), "{html}");
    assert_eq!(attribute(&html, "rel=\"next\"", "href"), "/moderation?status=rejected&amp;after=c2");
    queue(&[]);
    assert!(text(&look("/moderation")).contains("Nothing is held back."));
    assert!(text(&look("/moderation?after=c1")).contains("That was all."));
}

#[test]
fn a_decision_shows_on_the_page_that_follows_with_the_way_back() {
    behind_a_gateway();
    answering("moderation", 200, "trellis-position: moderation:1:9\r\n", &by_rule("approved", "An orange"));
    let decided = decide("comment=P1-C1&status=approved&shown=rejected");
    let location = "/moderation?status=rejected&decided=P1-C1&position=moderation%3A1%3A9";
    assert_eq!((decided.status, decided.header("location")), (303, Some(location)));
    let asked_for = &asked("moderation")[0];
    assert_eq!((asked_for.method.as_str(), asked_for.target.as_str()), ("POST", "/moderation/P1-C1"));
    assert_eq!(serde(&asked_for.body)["status"], "approved");
    assert_eq!(asked_for.header("trellis-caller"), Some("mia"));

    let one = by_rule("approved", "An orange").into_bytes();
    platform().listen("svc.moderation", move |request| {
        let body: &[u8] = if request.starts_with(b"GET /moderation/queue") { b"[]" } else { &one };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        Some([head.as_bytes(), body].concat())
    });
    let html = text(&look(location));
    assert_eq!(
        asked("moderation")[0].target,
        "/moderation/queue?status=rejected&position=moderation%3A1%3A9"
    );
    assert!(html.contains("is published.") && html.contains("Nothing is held back."), "{html}");
    assert_eq!(attribute(&html, "name=\"status\"", "value"), "rejected", "the way back");
}

#[test]
fn whoever_is_not_signed_in_is_shown_the_ways_in_and_asks_nobody() {
    queue(&[by_rule("rejected", "An orange")]);
    let page = get("/moderation");
    let html = text(&page);
    assert_eq!((page.status, page.header("www-authenticate")), (401, Some("Bearer")));
    assert!(html.contains("href=\"/signin?to=%2Fmoderation\""), "{html}");
    assert!(!html.contains("<form") && !html.contains("orange"), "{html}");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let body = "comment=P1-C1&status=approved&shown=all";
    assert_eq!(asked("moderation").len(), 0);
    refusing("moderation", 403, "This is for a moderator.", "[]");
    assert_eq!(request::<Web>("POST", "/moderation", &[form], body).status, 401);
    assert_eq!(asked("moderation").len(), 1, "the service alone knows who may decide");
}

#[test]
fn whoever_is_no_moderator_is_told_so() {
    behind_a_gateway();
    refusing("moderation", 403, "This is for a moderator.", "[]");
    let page = request::<Web>("GET", "/moderation", &PAT, "");
    let html = text(&page);
    assert_eq!(page.status, 403);
    assert!(html.contains("does not make you one"), "{html}");
}

#[test]
fn a_decision_in_vain_changes_nothing_and_is_spoken_of() {
    behind_a_gateway();
    let body = "comment=P1-C1&status=approved&shown=approved";
    let away = decide(body);
    assert_eq!(away.status, 503);
    let html = text(&away);
    assert!(html.contains("Nothing was changed") && html.contains("cannot be read right now"), "{html}");
    for (status, words) in [(409, "Somebody else"), (404, "No"), (503, "It is not certain")] {
        let refusal = format!(r#"{{"title":"No","status":{status},"detail":"no","errors":[]}}"#);
        platform().listen("svc.moderation", move |request| {
            let (head, body) = match request.starts_with(b"POST") {
                true => (format!("{status} X\r\ncontent-type: application/problem+json"), refusal.as_str()),
                false => ("200 OK".to_owned(), "[]"),
            };
            Some(format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
        });
        let page = decide(body);
        assert_eq!(page.status, status);
        let html = text(&page);
        assert!(html.contains(words) && html.contains("Nothing is published yet."), "{html}");
    }
}

#[test]
fn invalid_decisions_are_refused() {
    queue(&[]);
    for body in [
        "",
        "comment=P1-C1",
        "comment=P1-C1&status=approved",
        "comment=P1-C1&status=held&shown=all",
        "comment=P1-C1&status=approved&shown=some",
        "comment=P1-C1&status=approved&status=rejected&shown=all",
    ] {
        assert_eq!(decide(body).status, 400, "{body}");
    }
    assert_eq!(asked("moderation").len(), 0);
    assert_eq!(decide("comment=..%2Fx&status=approved&shown=all").status, 404);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let headers: Vec<_> = MIA.into_iter().chain([form, ("sec-fetch-site", "cross-site")]).collect();
    let body = "comment=P1-C1&status=approved&shown=all";
    assert_eq!(request::<Web>("POST", "/moderation", &headers, body).status, 403);
    assert!(asked("moderation").iter().all(|asked| asked.method == "GET"));
}

#[test]
fn what_moderators_read_is_text_as_well() {
    let markup = r#"<script>alert(1)</script>\"'><img src=x>"#;
    queue(&[verdict("rejected", markup, &format!(r#""reason":"{markup}","moderator":null,"review":null"#))]);
    let html = text(&look("/moderation?status=all&decided=P1-C1"));
    assert!(html.contains("&lt;script&gt;"), "{html}");
    let foreign = html.replace("<script src=\"/assets/", "").replace("<img src=\"/assets/", "");
    assert!(!foreign.contains("<script") && !foreign.contains("<img"), "{html}");
}
