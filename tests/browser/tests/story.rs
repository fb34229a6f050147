//! The blog from its first post on, as people with and without scripts see it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use browser::{Blog, Browser, Scripts};

const FIRST_COMMENT: &str = ".comments > li:first-child";

#[tokio::test]
async fn with_scripts() {
    let blog = Blog::start();
    let browser = Browser::start(Scripts::On).await;
    browser.open(&blog.url("/")).await;
    browser.shows(".empty", "Nothing here yet.").await;
    browser.picture("feed-empty").await;

    browser.send("Peas like to climb").await;
    browser.shows(".feed > li:first-child h2", "Peas like to climb").await;
    browser.shows(".feed time", "just now").await;
    assert_eq!(browser.value("#text").await, "", "the form is ready for the next one");
    let search = browser.run("return location.search").await;
    assert_eq!(search, "", "the address can be shared");

    browser.click(".feed h2 a").await;
    browser.shows("h1", "Peas like to climb").await;
    browser.shows(".empty", "Be the first.").await;
    browser.run("window.sameDocument = true").await;
    browser.send("They do.\nWith a string.").await;
    browser.shows(FIRST_COMMENT, "They do.\nWith a string.").await;

    browser.send("Tie them to an Orange tree").await;
    browser.shows(FIRST_COMMENT, "This comment was not published").await;
    let page = browser.run("return document.documentElement.innerHTML").await;
    assert!(!page.as_str().unwrap().contains("Orange"), "what was refused is shown to nobody");
    browser.picture("post").await;

    browser.click(".brand").await;
    browser.shows(".feed > li:first-child", "They do.").await;
    let feed = browser.text(".feed").await.unwrap();
    assert!(feed.contains("2 comments") && !feed.contains("Orange"), "{feed}");
}

#[tokio::test]
async fn without_scripts() {
    let blog = Blog::start();
    let browser = Browser::start(Scripts::Off).await;
    browser.open(&blog.url("/")).await;
    browser.send("Written without any script").await;
    // The page that follows has it; it is loaded once.
    let first = browser.text(".feed > li:first-child h2").await;
    assert_eq!(first.as_deref(), Some("Written without any script"));
    browser.shows(".feed time", "UTC").await;
    browser.reload().await;
    assert_eq!(browser.count(".feed > li").await, 1, "loaded again, it is not written again");

    browser.click(".feed h2 a").await;
    browser.send("So is this").await;
    let entry = browser.text(FIRST_COMMENT).await.expect("the page that follows has it");
    assert!(entry.contains("So is this") || entry.contains("Waiting for moderation"), "{entry}");
    browser.shows_when_reloaded(FIRST_COMMENT, "So is this").await;
    browser.send("An orange").await;
    browser.shows_when_reloaded(FIRST_COMMENT, "This comment was not published").await;
    browser.picture("post-without-scripts").await;
}

/// What others do shows while somebody is typing, who notices nothing else of it.
#[tokio::test]
async fn updates_arrive_while_a_form_is_filled_in() {
    let blog = Blog::start();
    blog.write("The first");
    let browser = Browser::start(Scripts::On).await;
    browser.open(&blog.url("/")).await;
    browser.shows(".feed", "The first").await;
    browser.run("window.same = document; window.entry = document.querySelector('.feed > li')").await;
    browser.fill("#text", "I am typ").await;
    blog.write("The second");
    browser.shows(".feed > li:first-child", "The second").await;
    browser.keys("ing this").await;
    assert_eq!(browser.value("#text").await, "I am typing this");
    assert_eq!(browser.run("return window.same === document").await, true, "nothing was loaded");
    let is_kept =
        browser.run("return window.entry === document.querySelector('.feed > li:nth-child(2)')").await;
    assert_eq!(is_kept, true, "what did not change is the same element");
    let said = browser.run("return document.querySelector('#news').textContent").await;
    assert_eq!(said, "1 new post", "those who do not see it hear it");

    // Focus inside of what is kept up to date stays, too.
    browser.run("document.querySelector('.feed > li:first-child h2 a').focus()").await;
    blog.write("The third");
    browser.shows(".feed > li:first-child", "The third").await;
    let focused = browser.run("return document.activeElement.textContent").await;
    assert_eq!(focused, "The second");
}
