//! Who calls.

use super::*;
use crate::callers::address;

#[test]
fn a_key_that_is_not_known_is_refused() {
    configure_keys();
    serves("blog", &["GET /blog"]);
    assert_eq!(send("GET", "/blog", &[("Authorization", "bEARER s3cret")], "").status, 200);
    let two = format!("Bearer {}", "x".repeat(513));
    for bad in [
        "Bearer s3cre",
        "Bearer s3crett",
        "Bearer",
        "Bearer ",
        "Basic s3cret",
        "s3cret",
        "",
        "Bearer a b",
        &two,
    ] {
        let refused = send("GET", "/blog", &[("authorization", bad)], "");
        assert_problem(&refused, 401);
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"), "{bad}");
    }
    let hash = trellis_kit::id::sha256("s3cret");
    assert_problem(&send("GET", "/blog", &[("authorization", &bearer(&hash))], ""), 401);
    let twice = [("authorization", "Bearer s3cret"), ("Authorization", "Bearer s3cret")];
    assert_problem(&send("GET", "/blog", &twice, ""), 401);
    assert_eq!(asked().len(), 1, "nothing of it reaches the service");
}

#[test]
fn the_hash_is_that_of_sha256sum() {
    assert_eq!(
        trellis_kit::id::sha256("abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn an_address_is_believed_as_far_as_our_own_proxies_say_it() {
    let of = |lists: &[&str], hops| {
        let headers = lists.iter().map(|list| ("X-Forwarded-For".to_owned(), list.as_bytes().to_vec()));
        address(&Request { headers: headers.collect(), ..Request::new("GET", "/") }, hops)
    };
    let rows: [(&[&str], usize, Option<&str>); 16] = [
        (&[], 1, None),
        (&["10.0.0.1"], 0, None),
        (&["10.0.0.1"], 1, Some("10.0.0.1")),
        (&["6.6.6.6, 10.0.0.1"], 1, Some("10.0.0.1")),
        (&["6.6.6.6", "10.0.0.1"], 1, Some("10.0.0.1")),
        (&["6.6.6.6, 10.0.0.1,10.0.0.2"], 2, Some("10.0.0.1")),
        (&["10.0.0.1"], 2, None),
        (&["10.0.0.1, unknown"], 1, None),
        (&["10.0.0.1:1234"], 1, None),
        (&[""], 1, None),
        (&["2001:db8:1:2:3:4:5:6"], 1, Some("2001:db8:1:2::/64")),
        (&["2001:db8:1:2::9"], 1, Some("2001:db8:1:2::/64")),
        (&["::ffff:10.0.0.1"], 1, Some("10.0.0.1")),
        (&["::1"], 1, None),
        (&["10.0.0.1, 127.0.0.1"], 1, None),
        (&["::ffff:127.0.0.1"], 1, None),
    ];
    for (lists, hops, expected) in rows {
        assert_eq!(of(lists, hops).as_deref(), expected, "{lists:?} {hops}");
    }
}
