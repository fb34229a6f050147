//! What is pressed twice, sent from elsewhere, or meant as markup.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use browser::{Blog, Browser, Scripts, serve};

#[tokio::test]
async fn markup_is_text() {
    let blog = Blog::start();
    let browser = Browser::start(Scripts::On).await;
    let markup = r#"<script>window.owned = 1</script><img src=x onerror="window.owned = 1"></title>'"&lt;"#;
    browser.open(&blog.url("/")).await;
    browser.send(markup).await;
    browser.shows(".feed > li:first-child h2", markup).await;
    browser.click(".feed h2 a").await;
    browser.shows("h1", markup).await;
    assert_eq!(browser.title().await, format!("{markup} · Trellis"));
    browser.send(markup).await;
    browser.shows(".comments > li", markup).await;
    browser.open(&blog.url("/")).await;
    browser.shows(".latest", markup).await;
    assert_eq!(browser.run("return typeof window.owned").await, "undefined");
    // Even markup that is not ours brings nothing with it.
    browser.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.owned = 1\"><p style=\"color: red\" id=foreign>x</p>')").await;
    let color = browser.run("return getComputedStyle(document.getElementById('foreign')).color").await;
    assert_ne!(color, "rgb(255, 0, 0)");
    assert_eq!(browser.run("return typeof window.owned").await, "undefined");
}

#[tokio::test]
async fn pressed_twice_it_is_written_once() {
    let blog = Blog::start();
    for scripts in [Scripts::On, Scripts::Off] {
        let browser = Browser::start(scripts).await;
        browser.open(&blog.url("/")).await;
        let before = browser.count(".feed > li").await;
        browser.fill("#text", "Only once").await;
        browser.double_click("button").await;
        browser.shows(".feed > li:first-child", "Only once").await;
        assert_eq!(browser.count(".feed > li").await, before + 1, "{scripts:?}");
    }
    // Even past the script that lets a form go only once.
    let browser = Browser::start(Scripts::On).await;
    browser.open(&blog.url("/")).await;
    browser.fill("#text", "Eight at a time").await;
    let statuses = browser
        .run(
            "const form = new URLSearchParams(new FormData(document.querySelector('form')));
             const send = () => fetch('/', { method: 'POST', body: form }).then((answer) => answer.status);
             return Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(send));",
        )
        .await;
    assert_eq!(statuses, serde_json::json!(vec![200; 8]));
    browser.reload().await;
    browser.shows(".feed > li:first-child", "Eight at a time").await;
    assert_eq!(browser.count(".feed > li").await, 3);
}

#[tokio::test]
async fn a_form_that_was_gone_back_to_is_sent_again_only_on_purpose() {
    let blog = Blog::start();
    let browser = Browser::start(Scripts::On).await;
    browser.open(&blog.url("/")).await;
    let key = browser.value("[name=key]").await;
    browser.send("The first text").await;
    browser.shows(".feed > li:first-child", "The first text").await;
    // As a browser does that brings the old form back.
    browser.run(&format!("document.querySelector('[name=key]').value = '{key}'")).await;
    browser.send("The second text").await;
    browser.shows("[role=alert]", "This form was sent before, with another text").await;
    assert_eq!(browser.value("#text").await, "The second text");
    browser.picture("form-sent-before").await;
    browser.click("button").await;
    browser.shows(".feed > li:first-child", "The second text").await;
    assert_eq!(browser.count(".feed > li").await, 2);
}

#[tokio::test]
async fn a_page_of_another_site_writes_nothing() {
    let blog = Blog::start();
    let form = format!(
        "<!doctype html><form method=post action='{}'><input name=key value=k><input name=title value=Stolen><button>Win</button></form>",
        blog.url("/")
    );
    let elsewhere = serve(form);
    let browser = Browser::start(Scripts::On).await;
    browser.open(&format!("http://localhost:{elsewhere}/")).await;
    browser.click("button").await;
    browser.shows("body", "another site").await;
    browser.open(&blog.url("/")).await;
    browser.shows(".empty", "Nothing here yet.").await;
}
