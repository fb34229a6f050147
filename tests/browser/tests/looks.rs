//! How pages look and what they are to those who do not see them: on a phone and a desk, in the light and the dark, with
//! a keyboard alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use browser::{Blog, Browser, Scripts, check_contrast, check_structure, look_at};

/// Texts that are hard on a layout.
const TITLES: [&str; 6] = [
    "Lopadotemachoselachogaleokranioleipsanodrimhypotrimmatosilphiokarabomelitokatakechymenokichlepikossyphophattoperisteralektryonoptekephalliokigklopeleiolagoiosiraiobaphetraganopterygon",
    "שלום עולם, this part is English, וזה שוב עברית",
    "مرحبا بالعالم: المدونة تعمل",
    "👩‍👩‍👧‍👦 Families 🌱🌿🍃 grow 🏳️‍🌈 here",
    "日本語の見出しは単語の間に空白がありませんが、それでも行の終わりで正しく折り返されるべきです。",
    "A title of ordinary words, long enough to take more than one line on anything but a very wide screen, as titles do when somebody has a lot to say",
];

#[tokio::test]
async fn everything_fits_and_is_accessible() {
    let blog = Blog::start();
    let posts = TITLES.map(|title| blog.write(title));
    let busy = posts.last().unwrap();
    for n in 0..25 {
        blog.comment(busy, &format!("Comment {n}: {}", TITLES[n % TITLES.len()]));
    }
    blog.comment(busy, "Paragraphs.\n\nOf two lines\neach.");
    blog.comment(busy, "An orange");
    blog.wait_for_verdicts(busy, 27);
    for n in 0..20 {
        blog.write(&format!("Filler number {n}"));
    }
    let browser = Browser::start(Scripts::On).await;
    let pages = [
        ("feed", "/".to_owned()),
        ("feed-older", blog.older("/")),
        ("post-busy", format!("/p/{busy}")),
        ("post-older", blog.older(&format!("/p/{busy}"))),
        ("post-rtl", format!("/p/{}", posts[1])),
        ("missing", "/p/nothing".to_owned()),
    ];
    for (name, path) in &pages {
        browser.open(&blog.url(path)).await;
        look_at(&browser, name).await;
    }
}

#[tokio::test]
async fn forms_say_what_is_wrong_beside_the_field() {
    let blog = Blog::start();
    blog.write("Something that is there");
    let browser = Browser::start(Scripts::On).await;
    browser.open(&blog.url("/")).await;
    let long = "Too long ".repeat(30);
    browser.send(&long).await;
    browser.shows("#wrong", "Must not have more than 200 characters.").await;
    assert_eq!(browser.value("#text").await, long, "what was typed is kept");
    assert_eq!(browser.run("return document.activeElement.id").await, "text");
    assert!(browser.title().await.starts_with("Error: "));
    check_structure(&browser, "form with an error").await;
    for (look, is_dark) in [("light", false), ("dark", true)] {
        browser.dark(is_dark).await;
        check_contrast(&browser, look).await;
        browser.picture(&format!("form-error-{look}")).await;
    }
    browser.find("#text").await.clear().await.unwrap();
    browser.send("Short enough").await;
    browser.shows(".feed > li:first-child", "Short enough").await;
}

#[tokio::test]
async fn a_keyboard_is_enough() {
    const TAB: &str = "\u{e004}";
    const ENTER: &str = "\u{e007}";
    let blog = Blog::start();
    let browser = Browser::start(Scripts::On).await;
    browser.open(&blog.url("/")).await;
    browser.keys(TAB).await;
    browser.shows(".skip", "Skip to the content").await;
    assert_eq!(browser.run("return document.activeElement.className").await, "skip");
    check_focus(&browser).await;
    browser.picture("focus-skip").await;
    browser.keys(ENTER).await;
    browser.keys(TAB).await;
    assert_eq!(browser.run("return document.activeElement.id").await, "text", "past the header");
    check_focus(&browser).await;
    browser.keys("By keyboard").await;
    browser.keys(TAB).await;
    check_focus(&browser).await;
    browser.picture("focus-button").await;
    browser.keys(ENTER).await;
    browser.shows(".feed > li:first-child h2", "By keyboard").await;
    browser.run("document.querySelector('button').focus()").await;
    browser.keys(TAB).await;
    check_focus(&browser).await;
    browser.keys(ENTER).await;
    browser.shows("h1", "By keyboard").await;
}

/// Whoever has the focus shows it.
async fn check_focus(browser: &Browser) {
    let outline = browser
        .run("const style = getComputedStyle(document.activeElement); return [style.outlineStyle, parseFloat(style.outlineWidth)]")
        .await;
    assert_eq!(outline[0], "solid", "{outline}");
    assert!(outline[1].as_f64().unwrap() >= 2.0, "{outline}");
}
