//! What people see when a part is away, whichever it is.

use browser::{Blog, Browser, Scripts, look_at};

#[tokio::test]
async fn a_page_says_what_is_wrong_and_what_to_do() {
    let blog = Blog::start();
    blog.write("Written while all was well");
    let browser = Browser::start(Scripts::On).await;
    blog.run(&["stop", "query"]);
    browser.open(&blog.url("/")).await;
    browser.shows("#live", "This cannot be read right now").await;
    browser.shows("form", "What is on your mind?").await;
    blog.run(&["start", "query"]);
    browser.shows(".feed", "Written while all was well").await;

    // Nobody is there who could make a page but the gateway.
    blog.run(&["stop", "web"]);
    browser.reload().await;
    browser.shows("h1", "This part is away at the moment").await;
    browser.shows("main", "Come again in 2 seconds.").await;
    assert!(browser.title().await.starts_with("Error: "));
    look_at(&browser, "refusal-away").await;
    let styled = browser.run("return getComputedStyle(document.querySelector('ul')).listStyleType").await;
    assert_eq!(styled, "none", "the style is let in");
    blog.run(&["start", "web"]);
    browser.press("main a").await;
    browser.shows(".feed", "Written while all was well").await;

    browser.open(&blog.url("/nowhere")).await;
    browser.shows("h1", "There is nothing here").await;
    look_at(&browser, "refusal-nowhere").await;
    browser.press("main a").await;
    browser.shows(".feed", "Written while all was well").await;
}
