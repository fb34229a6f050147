//! How pages look and what they are to those who do not see them: on a phone and a desk, in the light and the dark, with
//! a keyboard alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use browser::{Blog, Browser, Scripts};
use serde_json::Value;

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
        browser.size(1100, 900).await;
        browser.open(&blog.url(path)).await;
        check_structure(&browser, name).await;
        for (look, is_dark) in [("light", false), ("dark", true)] {
            browser.dark(is_dark).await;
            check_contrast(&browser, &format!("{name} {look}")).await;
            for (device, width, height) in [("desk", 1100, 900), ("phone", 320, 640)] {
                browser.size(width, height).await;
                check_width(&browser, &format!("{name} {device}"), width).await;
                browser.picture(&format!("{name}-{device}-{look}")).await;
            }
        }
        browser.dark(false).await;
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

/// One document, in a language, with its parts named, and nothing that cannot be told by its name.
async fn check_structure(browser: &Browser, page: &str) {
    let complaints = browser
        .run(
            r#"
            const all = (css) => [...document.querySelectorAll(css)];
            const bad = [];
            const expect = (is, what) => { if (!is) bad.push(what); };
            expect(document.documentElement.lang, 'the language');
            expect(document.title.trim(), 'a title');
            for (const part of ['main', 'body > header', 'body > footer', 'h1']) {
                expect(all(part).length === 1, `one ${part}`);
            }
            expect(document.querySelector('a.skip')?.hash === '#main', 'a way past the header');
            const ids = all('[id]').map((element) => element.id);
            expect(new Set(ids).size === ids.length, 'ids that are there once');
            for (const field of all('input:not([type=hidden]), textarea')) {
                expect(field.labels.length === 1 && field.labels[0].textContent.trim(), `a label of ${field.name}`);
                for (const id of (field.getAttribute('aria-describedby') ?? '').split(' ')) {
                    expect(document.getElementById(id), `the description ${id}`);
                }
            }
            for (const named of all('a, button')) expect(named.textContent.trim(), `a name of ${named.outerHTML}`);
            for (const image of all('img')) expect(image.hasAttribute('alt'), `the words for ${image.src}`);
            const levels = all('h1, h2, h3, h4, h5, h6').map((heading) => Number(heading.localName[1]));
            levels.forEach((level, at) => expect(level <= (levels[at - 1] ?? 0) + 1, `heading ${at + 1} in its place`));
            for (const said of all('article.post, header.post, .latest li, .said')) expect(said.dir === 'auto', 'a direction of its own');
            for (const time of all('time')) expect(!Number.isNaN(Date.parse(time.dateTime)), `an instant: ${time.dateTime}`);
            for (const target of all('button, .pager a, .brand, input:not([type=hidden])')) {
                const { width, height } = target.getBoundingClientRect();
                expect(width >= 40 && height >= 40, `room for a finger on ${target.textContent || target.name}`);
            }
            for (const { name } of performance.getEntriesByType('resource')) {
                expect(new URL(name).origin === location.origin, `nothing from elsewhere: ${name}`);
            }
            return bad;
            "#,
        )
        .await;
    assert_eq!(complaints, Value::Array(vec![]), "{page}");
}

/// Every text stands out from what is behind it: by 4.5 to 1, or 3 to 1 if it is large. Borders of fields by 3 to 1.
async fn check_contrast(browser: &Browser, page: &str) {
    let complaints = browser
        .run(
            r#"
            const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
            const rgba = (color) => {
                canvas.clearRect(0, 0, 1, 1);
                canvas.fillStyle = color;
                canvas.fillRect(0, 0, 1, 1);
                return canvas.getImageData(0, 0, 1, 1).data;
            };
            const light = ([r, g, b]) => {
                const part = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
                return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
            };
            const contrast = (one, two) => {
                const [dark, bright] = [light(one), light(two)].sort((a, b) => a - b);
                return (bright + 0.05) / (dark + 0.05);
            };
            const behind = (element) => {
                for (let at = element; at; at = at.parentElement) {
                    const color = rgba(getComputedStyle(at).backgroundColor);
                    if (color[3] === 255) return color;
                }
                return [255, 255, 255];
            };
            document.getAnimations().forEach((animation) => animation.finish());
            const bad = [];
            const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            let seen = 0;
            while (texts.nextNode()) {
                const element = texts.currentNode.parentElement;
                if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
                const style = getComputedStyle(element);
                const size = parseFloat(style.fontSize);
                const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
                const ratio = contrast(rgba(style.color), behind(element));
                seen += 1;
                if (ratio < (large ? 3 : 4.5)) bad.push(`${ratio.toFixed(2)}: ${texts.currentNode.data}`);
            }
            for (const field of document.querySelectorAll('input:not([type=hidden]), textarea')) {
                const ratio = contrast(rgba(getComputedStyle(field).borderTopColor), behind(field.parentElement));
                if (ratio < 3) bad.push(`${ratio.toFixed(2)}: the border of ${field.name}`);
            }
            if (seen < 3) bad.push('no text');
            return bad;
            "#,
        )
        .await;
    assert_eq!(complaints, Value::Array(vec![]), "{page}");
}

/// Nothing is wider than the screen.
async fn check_width(browser: &Browser, page: &str, width: u32) {
    let wide = browser
        .run(
            r#"
            const { clientWidth, scrollWidth } = document.scrollingElement;
            const wide = [...document.querySelectorAll('body *')].filter((element) =>
                element.getBoundingClientRect().right > clientWidth + 0.5).map((element) => element.outerHTML);
            return [innerWidth, scrollWidth - clientWidth, wide];
            "#,
        )
        .await;
    assert_eq!(wide, serde_json::json!([width, 0, []]), "{page}");
}

/// Whoever has the focus shows it.
async fn check_focus(browser: &Browser) {
    let outline = browser
        .run("const style = getComputedStyle(document.activeElement); return [style.outlineStyle, parseFloat(style.outlineWidth)]")
        .await;
    assert_eq!(outline[0], "solid", "{outline}");
    assert!(outline[1].as_f64().unwrap() >= 2.0, "{outline}");
}
