//! What flows: services and who hears whom, the last events of one, and a trace across several.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use browser::{Blog, Browser, Scripts, check_weight, look_at};
use system::{MIA, OLAF};

async fn operator(blog: &Blog, scripts: Scripts) -> Browser {
    let browser = Browser::start(scripts).await;
    blog.sign_in(&browser, "olaf", "/flow").await;
    browser.shows(".map", "query").await;
    browser
}

/// What somebody wrote led to a verdict, and that to a comment that everybody sees: three events in two logs.
#[tokio::test]
async fn a_trace_is_a_tree_across_services() {
    for scripts in [Scripts::Off, Scripts::On] {
        let blog = Blog::start();
        blog.person("olaf", &["operator"]);
        let post = blog.write("A post that somebody comments on");
        for _ in 0..2 {
            blog.comment(&post, "Said by somebody");
        }
        blog.wait_for_verdicts(&post, 2);
        let browser = operator(&blog, scripts).await;
        browser.press(".map a[href='/flow?service=comments']").await;
        browser.shows(".told-events > li:first-child", "comment.approved.v1").await;
        assert!(
            !browser.text("main").await.unwrap().contains("Said by somebody"),
            "no event says what it says"
        );
        browser.press(".told-events > li:first-child a").await;
        browser.shows("h1", "One trace").await;
        for (place, words) in [
            (".tree > li > .cause", "A request"),
            (".tree > li > ol > li > p", "comments comment.created.v1 +0 ms"),
            (".tree ol ol > li > p", "moderation verdict.given.v1"),
            (".tree ol ol ol > li > p", "comments comment.approved.v1"),
            ("main", "3 events in 2 services"),
            (".looks", "comments"),
        ] {
            browser.shows(place, words).await;
        }
        if scripts == Scripts::On {
            look_at(&browser, "trace").await;
            check_weight(&browser, "trace").await;
        }
        // A time at which it was not.
        browser.find("#around").await.clear().await.unwrap();
        browser.fill("#around", "2020-01-01T00:00:00.000Z").await;
        browser.press(".composer button").await;
        browser.shows("main", "those before and after the time").await;
        browser.press("p.pager a[href='/flow']").await;
        browser.shows("h1", "What flows").await;
    }
}

#[tokio::test]
async fn it_is_for_operators() {
    let blog = Blog::start();
    blog.write("A post");
    for path in [
        "/flow",
        "/flow?service=posts",
        "/flow/live?service=posts",
        "/flow/traces/4bf92f3577b34da6a3ce929d0e0e4736",
        "/registry/posts/events",
        "/registry/traces/4bf92f3577b34da6a3ce929d0e0e4736",
    ] {
        assert_eq!((blog.status_by(path, MIA), blog.status_by(path, OLAF)), (403, 200), "{path}");
    }
}
