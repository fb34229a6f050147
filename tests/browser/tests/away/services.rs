//! Services that are away, and what people see of that: nothing is lost, and it goes on when they come back.

use browser::{Blog, Browser, Scripts, check_contrast, look_at};

const FIRST_COMMENT: &str = ".comments > li:first-child";

#[tokio::test]
async fn services_that_are_away_are_spoken_of_and_lose_nothing() {
    let blog = Blog::start();
    let post = blog.write("Written while all was well");
    let blog = blog.restart_deaf(&["svc.posts", "svc.comments"]);
    let browser = Browser::start(Scripts::On).await;
    for (path, words) in [("/".to_owned(), "A post for later"), (format!("/p/{post}"), "A comment for later")]
    {
        browser.open(&blog.url(&path)).await;
        browser.shows("main", "Written while all was well").await;
        browser.send(words).await;
        browser.shows("[role=alert]", "Nothing was sent").await;
        assert_eq!(browser.value("#text").await, words);
        browser.shows("main", "Written while all was well").await;
        check_contrast(&browser, "away").await;
        browser.dark(true).await;
        check_contrast(&browser, "away in the dark").await;
        browser.dark(false).await;
    }
    browser.picture("comments-away").await;
    // The same page, once the service is there again: pressed once more, it is written.
    let blog = blog.restart_deaf(&[]);
    browser.click("button").await;
    browser.shows(".comments > li:first-child", "A comment for later").await;

    let blog = blog.restart_deaf(&["svc.query"]);
    browser.open(&blog.url("/")).await;
    browser.shows("#live", "This cannot be read right now").await;
    browser.picture("query-away").await;
    browser.send("Written blindly").await;
    browser.shows("#live", "What you wrote is safe").await;
    let blog = blog.restart_deaf(&[]);
    browser.shows(".feed > li:first-child", "Written blindly").await;
    drop(blog);
}

#[tokio::test]
async fn a_comment_waits_until_moderation_comes_back() {
    let blog = Blog::start_deaf(&["deliver.moderation"]);
    let post = blog.write("Who reads this first?");
    let browser = Browser::start(Scripts::On).await;
    browser.open(&blog.url(&format!("/p/{post}"))).await;
    browser.send("Not the readers").await;
    browser.shows(FIRST_COMMENT, "Waiting for moderation").await;
    assert!(!browser.text(FIRST_COMMENT).await.unwrap().contains("Not the readers"));
    browser.send("An orange, for one").await;
    browser.shows("#comments", "2 comments").await;
    browser.picture("post-waiting").await;
    browser.size(375, 700).await;
    browser.picture("post-waiting-phone").await;

    let blog = blog.restart_deaf(&[]);
    browser.shows(FIRST_COMMENT, "This comment was not published").await;
    browser.shows(".comments > li:nth-child(2)", "Not the readers").await;
    drop(blog);
    browser.shows("#news", "This page is not up to date at the moment").await;
    browser.picture("post-out-of-date").await;
}

#[tokio::test]
async fn a_verdict_that_cannot_be_given_just_now_is_as_it_was() {
    const FIRST: &str = ".verdicts > li:first-child";
    let blog = Blog::start();
    let post = blog.write("Fruit");
    for _ in 0..2 {
        blog.comment(&post, "An orange, and another orange");
    }
    blog.wait_for_verdicts(&post, 2);
    let browser = Browser::start(Scripts::On).await;
    blog.person("mia", &["moderator"]);
    blog.sign_in(&browser, "mia", "/moderation").await;
    browser.shows(FIRST, "An orange").await;
    blog.run(&["stop", "moderation"]);
    browser.press(&format!("{FIRST} button")).await;
    browser.shows("[role=alert]", "Nothing was changed").await;
    look_at(&browser, "moderation-away").await;
    blog.run(&["start", "moderation"]);
}
