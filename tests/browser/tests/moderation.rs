//! What moderators see and do, with and without scripts, and what others cannot do in their name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use browser::{Blog, Browser, Scripts, look_at, serve};

const FIRST: &str = ".verdicts > li:first-child";

/// A blog with a comment that the rules refuse, and the post that it is on.
fn with_a_refused_comment() -> (Blog, String) {
    let blog = Blog::start();
    let post = blog.write("Fruit");
    blog.comment(&post, "I like apples");
    blog.comment(&post, "I like oranges, and this orange above all");
    blog.wait_for_verdicts(&post, 2);
    (blog, post)
}

/// Mia, who is a moderator, looks at what is held back.
async fn sign_in(browser: &Browser, blog: &Blog) {
    blog.person("mia", &["moderator"]);
    blog.sign_in(browser, "mia", "/moderation").await;
}

#[tokio::test]
async fn a_moderator_overturns_a_verdict_and_readers_see_it() {
    for scripts in [Scripts::On, Scripts::Off] {
        let (blog, post) = with_a_refused_comment();
        let browser = Browser::start(scripts).await;
        let reader = Browser::start(Scripts::On).await;
        let page = blog.url(&format!("/p/{post}"));
        reader.open(&page).await;
        reader.shows(".comments > li:first-child", "This comment was not published").await;

        sign_in(&browser, &blog).await;
        browser.shows(FIRST, "I like oranges, and this orange above all").await;
        browser.shows(FIRST, "by the rule orange").await;
        assert_eq!(browser.count(".verdicts > li").await, 1, "what is published is elsewhere");
        browser.press(&format!("{FIRST} button")).await;
        browser.shows(".done", "is published").await;
        browser.shows(".empty", "Nothing is held back.").await;
        reader.shows(".comments > li:first-child", "this orange above all").await;

        browser.press(".done button").await;
        browser.shows(".done", "is not published any more").await;
        browser.shows(FIRST, "Not published by").await;
        reader.shows(".comments > li:first-child", "This comment was not published").await;

        browser.press(".whoever button").await;
        browser.shows(".whoever", "Sign in").await;
        browser.back().await;
        browser.reload().await;
        browser.shows("main", "This is for moderators.").await;
        assert_eq!(browser.count(".verdicts").await, 0);
    }
}

#[tokio::test]
async fn whoever_is_no_moderator_is_told_so() {
    let (blog, _post) = with_a_refused_comment();
    let browser = Browser::start(Scripts::On).await;
    blog.person("ann", &[]);
    blog.sign_in(&browser, "ann", "/moderation").await;
    browser.shows("[role=alert]", "This is for moderators").await;
    assert_eq!(browser.count(".verdicts").await, 0);
    look_at(&browser, "moderation-forbidden").await;
}

#[tokio::test]
async fn no_page_of_another_origin_moderates() {
    let (blog, post) = with_a_refused_comment();
    let browser = Browser::start(Scripts::On).await;
    sign_in(&browser, &blog).await;
    let comment = browser.value("input[name=comment]").await;
    let cookie = browser.run("return document.cookie").await;
    assert_eq!(cookie, "", "scripts do not see the key");
    let form = format!(
        "<!doctype html><form method=post action='{}'><input name=comment value={comment}><input name=status value=approved>\
         <input name=shown value=all><button>Win</button></form>",
        blog.url("/moderation")
    );
    // Another site altogether, and another port of the same: to that one, browsers send cookies that are strict.
    for host in ["localhost", "127.0.0.1"] {
        browser.open(&format!("http://{host}:{}/", serve(form.clone()))).await;
        browser.press("button").await;
        browser.shows("body", "another site").await;
    }
    browser.open(&blog.url(&format!("/p/{post}"))).await;
    browser.shows(".comments > li:first-child", "This comment was not published").await;
    browser.open(&blog.url("/moderation")).await;
    browser.shows(FIRST, "by the rule orange").await;
}

#[tokio::test]
async fn the_page_fits_and_is_accessible() {
    let (blog, post) = with_a_refused_comment();
    for n in 0..24 {
        blog.comment(
            &post,
            &format!("Orange number {n}\n\n{}", "Lopadotemachoselachogaleo".repeat(n % 3 * 3)),
        );
    }
    blog.comment(&post, "orange שלום עולם");
    blog.wait_for_verdicts(&post, 27);
    let browser = Browser::start(Scripts::On).await;
    browser.open(&blog.url("/moderation")).await;
    browser.shows("main", "This is for moderators.").await;
    look_at(&browser, "moderation-signin").await;
    sign_in(&browser, &blog).await;
    browser.shows(FIRST, "שלום").await;
    look_at(&browser, "moderation").await;
    browser.press(&format!("{FIRST} button")).await;
    browser.shows(".done", "is published").await;
    look_at(&browser, "moderation-done").await;
    browser.click(".pager a[rel=next]").await;
    browser.shows(".pager", "Latest verdicts").await;
    assert_eq!(browser.count(".verdicts > li").await, 5);
    browser.open(&blog.url("/moderation?status=all")).await;
    browser.shows(".tabs [aria-current]", "All").await;
}
