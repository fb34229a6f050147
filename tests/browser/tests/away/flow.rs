//! What operators see of a service that is away.

use browser::{Blog, Browser, Scripts, check_weight, look_at};

/// What is on its way to a service that is away is seen to wait, and to arrive once it is back.
#[tokio::test]
async fn the_page_follows_the_events() {
    let blog = Blog::start();
    blog.write("While everybody listens");
    let browser = Browser::start(Scripts::On).await;
    browser.open(&blog.url("/flow")).await;
    browser.shows("h1", "This is for those who are signed in").await;
    browser.press("main a[href='/signin']").await;
    browser.shows("h1", "Sign in").await;
    blog.person("olaf", &["operator"]);
    drop(browser);
    let browser = Browser::start(Scripts::On).await;
    blog.sign_in(&browser, "olaf", "/flow").await;
    browser.shows(".map", "query").await;
    look_at(&browser, "flow").await;
    check_weight(&browser, "flow").await;
    browser.run("window.same = document").await;
    assert_eq!(browser.count(".map li[data-state=missing]").await, 0);
    blog.run(&["stop", "query"]);
    browser.shows(".map li[data-state=missing]", "query is away").await;
    blog.send_form("/", "title", "While query is away");
    browser.shows("tr[data-key=posts]", "2 ").await;
    let waits =
        async || (browser.count(".map [data-key=posts-query][data-state=behind]").await == 1).then_some(());
    browser.eventually("the line to query is broken", waits).await;
    look_at(&browser, "flow-behind").await;
    assert_eq!(browser.run("return window.same === document").await, true, "the page was not loaded again");

    browser.press(".map a[href='/flow?service=posts']").await;
    browser.run("window.same = document").await;
    browser.shows(".told tr[data-key=query]", "query 1 0 0").await;
    look_at(&browser, "flow-service-behind").await;
    blog.run(&["start", "query"]);
    browser.shows(".told tr[data-key=query]", "query 0 0 0").await;
    blog.write("While everybody listens again");
    browser.shows(".told-events > li:nth-child(3)", "post.created.v1").await;
    let is_back = async || (browser.count(".map li[data-state=missing]").await == 0).then_some(());
    browser.eventually("nobody is away", is_back).await;
    assert_eq!(browser.run("return window.same === document").await, true, "the page was not loaded again");
}
