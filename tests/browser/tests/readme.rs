//! What README shows at its top. `cargo xtask screenshots` puts it there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use browser::{Blog, Browser, Scripts};

/// Whoever reads it on a phone pays for it.
const BYTES_MAX: usize = 60 * 1024;

#[tokio::test]
async fn it_has_a_small_picture_of_a_site_with_life_in_it() {
    let blog = Blog::start();
    let mut browsers = Vec::new();
    for name in ["Ann", "Bob", "Sue"] {
        blog.person(name, &[]);
        let browser = Browser::start(Scripts::On).await;
        blog.sign_in(&browser, name, "/").await;
        browsers.push(browser);
    }
    let [ann, bob, sue]: [Browser; 3] = browsers.try_into().unwrap();

    let mut posts = Vec::new();
    let written = [
        (&sue, "The first frost is forecast for Friday"),
        (&bob, "Which beans do you dry for the winter?"),
        (&sue, "Two tickets too many for Saturday: see the market"),
        (&ann, "Peas like to climb"),
    ];
    for (by, title) in written {
        by.open(&blog.url("/")).await;
        by.send(title).await;
        by.shows(".feed > li:first-child h2", title).await;
        let link = "return document.querySelector('.feed h2 a').getAttribute('href')";
        posts.push(by.run(link).await.as_str().unwrap().to_owned());
    }
    let said = [
        (&bob, 3, "Mine are up to the gutter. Is there a way down?"),
        (&sue, 3, "A string, and patience."),
        (&ann, 1, "Borlotti. They keep, and they are beautiful."),
    ];
    for (by, post, words) in said {
        by.open(&blog.url(&posts[post])).await;
        by.send(words).await;
        by.shows(".comments > li:first-child", words).await;
    }

    let mut tickets = Vec::new();
    let offered = [
        ("Seed swap, Sunday morning", "0.50"),
        ("A concert of peas, row 4", "19.99"),
        ("The same, row 5", "17.50"),
    ];
    for (title, price) in offered {
        sue.open(&blog.url("/market/new")).await;
        sue.fill("[name=title]", title).await;
        sue.fill("[name='price.amount']", price).await;
        sue.press("form:has([name=title]) button").await;
        sue.shows("h1", title).await;
        tickets.push(sue.path().await);
    }
    for ticket in [&tickets[0], &tickets[1]] {
        bob.open(&blog.url(ticket)).await;
        bob.press("form:has(input[name=amount]) button").await;
        bob.shows(".standing", "yours to pay for").await;
        if ticket == &tickets[0] {
            bob.press("form:has(#token) button").await;
            bob.shows(".standing", "Paid").await;
        }
    }

    ann.open(&blog.url("/")).await;
    ann.shows(".feed > li:first-child", "A string, and patience.").await;
    ann.shows(".beside", "Reserved").await;
    ann.shows(".beside", "Sold").await;
    ann.size(1000, 740).await;
    let bytes = ann.small_picture("readme").await;
    assert!(bytes <= BYTES_MAX, "{bytes} bytes");
}
