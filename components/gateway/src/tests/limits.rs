//! How often one may ask.

use std::time::Duration;

use super::*;

fn limited(reads: u64, writes: u64) {
    configure_keys();
    platform().configure("forwarded-hops", "1");
    let limits = format!(r#"{{"window_seconds": 60, "reads": {reads}, "writes": {writes}}}"#);
    platform().configure("limits", &limits);
    serves("blog", &["GET /blog", "POST /posts"]);
}

fn read_from(address: &str) -> Response {
    send("GET", "/blog", &[("x-forwarded-for", address)], "")
}

#[test]
fn every_answer_says_how_much_is_left() {
    limited(3, 1);
    let left = |response: &Response| {
        let header = |name| response.header(name).unwrap_or_default().to_owned();
        (response.status, header("ratelimit"), header("ratelimit-policy"))
    };
    let policy = r#""reads";q=3;w=60"#.to_owned();
    for (status, rest) in [(200, 2), (200, 1), (200, 0), (429, 0)] {
        let told = left(&read_from("10.0.0.1"));
        assert_eq!(told, (status, format!(r#""reads";r={rest};t=60"#), policy.clone()));
    }
    let nowhere = send("GET", "/nowhere", &[("x-forwarded-for", "10.0.0.2")], "");
    assert_eq!(left(&nowhere), (404, r#""reads";r=2;t=60"#.to_owned(), policy));
    assert_eq!(asked().len(), 3);
}

#[test]
fn a_caller_beyond_the_limit_is_told_when_to_come_again() {
    limited(1, 1);
    platform().advance(Duration::from_millis(12_300));
    assert_eq!(read_from("10.0.0.1").status, 200);
    let refused = read_from("10.0.0.1");
    assert_problem(&refused, 429);
    assert_eq!(refused.header("retry-after"), Some("48"));
    platform().advance(Duration::from_secs(48));
    assert_eq!(read_from("10.0.0.1").status, 200);
}

#[test]
fn reads_and_writes_and_callers_are_counted_apart() {
    limited(1, 1);
    let post = |headers: &[(&str, &str)]| send("POST", "/posts", headers, "").status;
    let ann = ("x-forwarded-for", "10.0.0.1");
    assert_eq!([read_from("10.0.0.1").status, post(&[ann]), post(&[ann])], [200, 200, 429]);
    assert_eq!(read_from("10.0.0.2").status, 200, "another address");
    let (mia, pat) = (bearer("s3cret"), bearer("plain"));
    assert_eq!([post(&[ann, ("authorization", &mia)]), post(&[ann, ("authorization", &mia)])], [200, 429]);
    assert_eq!(post(&[ann, ("authorization", &pat)]), 200, "another key");
}

#[test]
fn requests_with_unknown_keys_count_against_the_limit() {
    limited(2, 1);
    let guess = |key: &str| {
        send("GET", "/blog", &[("authorization", &bearer(key)), ("x-forwarded-for", "10.0.0.1")], "").status
    };
    assert_eq!([guess("a"), guess("b"), guess("c")], [401, 401, 429]);
    assert_eq!(guess("s3cret"), 200, "who has a key is not kept out by those beside them");
}

#[test]
fn callers_without_an_address_share_a_larger_limit() {
    limited(2, 1);
    platform().configure("forwarded-hops", "0");
    let statuses: Vec<u16> = (0..21).map(|nth| read_from(&format!("10.0.0.{nth}")).status).collect();
    assert_eq!((statuses.iter().filter(|status| **status == 200).count(), statuses[20]), (20, 429));
}

/// On `trellis up` the host says that its HTTP server adds the peer's address; a lattice's says nothing.
#[test]
fn the_host_says_whether_its_own_hop_counts() {
    limited(5, 2);
    platform().configure("forwarded-hops", "0");
    let sign_in = |address: &str| send("POST", "/posts", &[("x-forwarded-for", address)], "").status;
    let one_after_all = |count: usize| (0..count).map(|_| sign_in("10.0.0.9")).filter(|s| *s == 200).count();
    assert_eq!((one_after_all(30), sign_in("10.0.0.1")), (20, 429), "one locks out all others");
    platform().advance(Duration::from_secs(60));
    platform().unset("forwarded-hops");
    assert_eq!((one_after_all(30), sign_in("10.0.0.1")), (20, 429), "a lattice's server adds no address");
    platform().advance(Duration::from_secs(60));
    platform().configure("host-hops", "1");
    assert_eq!((one_after_all(30), sign_in("10.0.0.1")), (2, 200));
    assert_eq!(sign_in("6.6.6.6, 10.0.0.9"), 429, "what clients claim is not believed");
    let here = (0..30).map(|_| sign_in("127.0.0.1")).filter(|status| *status == 200).count();
    assert_eq!(here, 20, "a proxy on this machine may stand for many");
}

/// As long as it is not known how often somebody asked, nobody is refused who may be far below.
#[test]
fn a_counter_that_gives_up_refuses_nobody() {
    limited(5, 1);
    assert_eq!(read_from("10.0.0.1").status, 200);
    platform().contend(u64::MAX);
    assert!((0..20).all(|_| read_from("10.0.0.1").status == 200));
    platform().contend(0);
    for _ in 0..4 {
        assert_eq!(read_from("10.0.0.1").status, 200);
    }
    platform().contend(u64::MAX);
    assert_eq!(read_from("10.0.0.1").status, 429, "who is at the limit stays there");
}

#[test]
fn limits_can_be_off() {
    limited(1, 1);
    platform().configure("limits", "off");
    for _ in 0..5 {
        let response = read_from("10.0.0.1");
        assert_eq!((response.status, response.header("ratelimit")), (200, None));
    }
}
