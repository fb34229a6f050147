//! Every page that there is, for somebody and for nobody, while there is nothing and when there is much.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use browser::{Blog, Browser, Scripts, check_weight, look_at};

/// Looks at all pages, with these ids in their paths.
async fn look_at_all(blog: &Blog, browser: &Browser, when: &str, ids: &[(&str, &str)]) {
    let pages = blog.pages();
    assert!(
        pages.len() > 12 && ids.iter().all(|(path, _)| pages.iter().any(|page| page == path)),
        "{pages:?}"
    );
    for page in pages {
        let id = ids.iter().find(|(path, _)| *path == page).map_or("nothing", |(_, id)| id);
        let path = page.replace("{id}", id);
        browser.open(&blog.url(&path)).await;
        let name = format!("{when}{}", page.replace(['/', '{', '}'], "-").trim_end_matches('-'));
        check_weight(browser, &name).await;
        look_at(browser, &name).await;
    }
}

#[tokio::test]
async fn every_page_is_accessible_and_light() {
    let blog = Blog::start();
    blog.person("ann", &["moderator", "operator", "admin"]);
    let (ann, nobody) = (Browser::start(Scripts::On).await, Browser::start(Scripts::On).await);
    blog.sign_in(&ann, "ann", "/me").await;
    look_at_all(&blog, &nobody, "nobody-empty", &[]).await;
    look_at_all(&blog, &ann, "ann-empty", &[]).await;

    let post = blog.write("Peas like to climb");
    for comment in ["They do.\nWith a string.", "Tie them to an orange tree", "Mine climb on each other."] {
        blog.comment(&post, comment);
    }
    blog.wait_for_verdicts(&post, 3);
    ann.open(&blog.url("/")).await;
    ann.send("What to sow in March").await;
    ann.open(&blog.url("/me")).await;
    ann.shows_when_reloaded("#posts + .market > li", "What to sow in March").await;
    assert_eq!(ann.count("#posts + .market > li").await, 1, "what nobody has signed is nobody's");
    ann.open(&blog.url("/market/new")).await;
    ann.fill("[name=title]", "A concert of peas").await;
    ann.fill("[name='price.amount']", "19.99").await;
    ann.press("form:has([name=title]) button").await;
    ann.shows("h1", "A concert of peas").await;
    let ticket = ann.path().await.rsplit('/').next().unwrap().to_owned();
    blog.person("bob", &[]);
    let bob = Browser::start(Scripts::On).await;
    blog.sign_in(&bob, "bob", &format!("/market/{ticket}")).await;
    bob.press("form:has(input[name=amount]) button").await;
    bob.shows(".standing", "yours to pay for").await;
    let order = bob.path().await.rsplit('/').next().unwrap().to_owned();

    let ids = [("/p/{id}", post.as_str()), ("/market/{id}", &ticket), ("/o/{id}", &order)];
    look_at_all(&blog, &nobody, "nobody", &ids).await;
    look_at_all(&blog, &ann, "ann", &ids).await;
    look_at_all(&blog, &bob, "bob", &ids).await;
}
