//! The market, as people see it who want the same ticket: with and without scripts, in time and too late.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use browser::{Blog, Browser, Scripts, check_weight, look_at};
use serde_json::Value;

const RESERVE: &str = "form:has(input[name=amount]) button";
const PAY: &str = "form:has(#token) button";
const GIVE_BACK: &str = "form[action$=cancellation] button";
const STANDING: &str = ".standing";

/// People with browsers, by their names: each has signed in and looks at this page.
async fn people<const N: usize>(blog: &Blog, names: [&str; N], scripts: Scripts) -> [Browser; N] {
    let mut browsers = Vec::new();
    for name in names {
        blog.person(name, &[]);
        let browser = Browser::start(scripts).await;
        blog.sign_in(&browser, name, "/market").await;
        browsers.push(browser);
    }
    browsers.try_into().unwrap()
}

/// Offers a ticket in the form for it. Returns the path of its page.
async fn offer(browser: &Browser, blog: &Blog, title: &str, price: &str) -> String {
    browser.open(&blog.url("/market/new")).await;
    browser.fill("[name=title]", title).await;
    browser.fill("[name='price.amount']", price).await;
    browser.press("form:has([name=title]) button").await;
    browser.shows("h1", title).await;
    browser.path().await
}

async fn choose(browser: &Browser, token: &str) {
    browser.find("#token").await.select_by_value(token).await.unwrap();
}

/// Waits until a part of the page shows this: by itself, or where no script runs when it is loaded again.
async fn shows(browser: &Browser, scripts: Scripts, css: &str, words: &str) {
    match scripts {
        Scripts::On => browser.shows(css, words).await,
        Scripts::Off => browser.shows_when_reloaded(css, words).await,
    }
}

/// The page is as old as it can be when the next button is pressed.
async fn be_left_behind(browser: &Browser) {
    browser.run("document.querySelector('[data-live]').removeAttribute('data-live')").await;
}

/// How many of these one sees.
async fn to_see(browser: &Browser, css: &str) -> u64 {
    let all = format!("[...document.querySelectorAll('{css}')]");
    browser
        .run(&format!("return {all}.filter((part) => part.checkVisibility()).length"))
        .await
        .as_u64()
        .unwrap()
}

#[tokio::test]
async fn of_two_who_want_a_ticket_one_has_it_and_the_other_sees_why() {
    for scripts in [Scripts::On, Scripts::Off] {
        let blog = Blog::start();
        let [sue, ann, bob] = people(&blog, ["sue", "ann", "bob"], scripts).await;
        let ticket = offer(&sue, &blog, "Peas in concert", "19.99").await;
        for browser in [&ann, &bob] {
            browser.open(&blog.url(&ticket)).await;
            browser.shows(STANDING, "For sale").await;
        }
        be_left_behind(&bob).await;
        ann.press(RESERVE).await;
        ann.shows(STANDING, "It is yours to pay for").await;
        if bob.count(RESERVE).await == 1 {
            bob.press(RESERVE).await;
            bob.shows("[role=alert]", "Somebody has reserved this ticket").await;
        }
        shows(&bob, scripts, STANDING, "Reserved. Free again").await;
        assert_eq!(bob.count(RESERVE).await, 0);
        shows(&sue, scripts, STANDING, "Reserved").await;
        assert_eq!(
            to_see(&sue, ".for-seller").await,
            0,
            "nothing can be changed now, on an old page neither"
        );

        choose(&ann, "tok_ok").await;
        ann.press(PAY).await;
        // Without a script the browser comes again by itself.
        ann.shows(STANDING, "Paid. The ticket is yours").await;
        shows(&bob, scripts, STANDING, "Sold").await;
        bob.open(&blog.url("/market")).await;
        shows(&bob, scripts, ".market > li", "Sold").await;
        sue.open(&blog.url("/me")).await;
        sue.shows_when_reloaded(".totals", "€19.99 from 1 sale").await;
        ann.open(&blog.url("/me")).await;
        ann.shows_when_reloaded(".market > li", "Paid").await;
    }
}

#[tokio::test]
async fn a_card_is_declined_and_another_one_is_not() {
    for scripts in [Scripts::On, Scripts::Off] {
        let blog = Blog::start();
        let [sue, ann] = people(&blog, ["sue", "ann"], scripts).await;
        let ticket = offer(&sue, &blog, "Peas in concert", "19.99").await;
        ann.open(&blog.url(&ticket)).await;
        ann.press(RESERVE).await;
        for (token, words) in
            [("tok_declined", "The card was declined."), ("tok_insufficient", "not enough money on the card")]
        {
            choose(&ann, token).await;
            ann.press(PAY).await;
            ann.shows("[role=alert]", words).await;
            ann.shows("[role=alert]", "Choose another card").await;
            ann.find(PAY).await;
        }
        choose(&ann, "tok_unknown").await;
        ann.press(PAY).await;
        ann.shows(STANDING, "Paid. The ticket is yours").await;
        assert_eq!(ann.count(PAY).await, 0);
    }
}

#[tokio::test]
async fn a_page_that_is_left_open_says_that_the_time_is_over() {
    let blog = Blog::start_configured(&[("orders", "hold-seconds", "5")]);
    let [sue, ann] = people(&blog, ["sue", "ann"], Scripts::On).await;
    let ticket = offer(&sue, &blog, "Peas in concert", "19.99").await;
    let late = Browser::start(Scripts::Off).await;
    blog.sign_in(&late, "ann", &ticket).await;
    ann.open(&blog.url(&ticket)).await;
    ann.press(RESERVE).await;
    ann.shows(STANDING, "Your time is over in 0:0").await;
    let order = ann.path().await;
    late.open(&blog.url(&order)).await;
    late.shows(STANDING, "It is yours to pay for").await;
    ann.run("window.same = document").await;
    ann.shows(STANDING, "It was not paid in time").await;
    assert_eq!(ann.run("return window.same === document").await, true, "nothing was loaded");
    assert_eq!(ann.run("return document.querySelector('#news').textContent").await, "Your time is over");
    // Whoever has no scripts learns it when they want to pay.
    late.press(PAY).await;
    late.shows("[role=alert]", "The time to pay for this order is over").await;
    late.shows(STANDING, "It was not paid in time").await;
    sue.open(&blog.url(&ticket)).await;
    sue.shows(STANDING, "For sale").await;
    // It can be had again.
    ann.press(".standing .pager a").await;
    ann.press(RESERVE).await;
    ann.shows(STANDING, "It is yours to pay for").await;
}

/// A clock of the browser that is wrong by an hour counts down all the same.
#[tokio::test]
async fn what_is_left_is_left_by_the_clock_of_the_server() {
    let blog = Blog::start();
    let [sue, ann] = people(&blog, ["sue", "ann"], Scripts::On).await;
    let ticket = offer(&sue, &blog, "Peas in concert", "19.99").await;
    ann.open(&blog.url(&ticket)).await;
    ann.press(RESERVE).await;
    ann.shows("time[data-left]", "in 14:").await;
    ann.run(
        "const now = Date.now; Date.now = () => now() + 3600000;
         dispatchEvent(new Event('online'));",
    )
    .await;
    ann.eventually("it has counted on", async || {
        let words = ann.text("time[data-left]").await?;
        (words.starts_with("in 14:") && words != "in 14:59").then_some(())
    })
    .await;
    sue.open(&blog.url(&ticket)).await;
    sue.shows("time[data-left]", "in 14:").await;
}

#[tokio::test]
async fn what_is_given_back_is_for_sale_again_and_can_be_withdrawn() {
    for scripts in [Scripts::On, Scripts::Off] {
        let blog = Blog::start();
        let [sue, ann] = people(&blog, ["sue", "ann"], scripts).await;
        let ticket = offer(&sue, &blog, "Peas in concert", "19.99").await;
        sue.find("[name='price.amount']").await.clear().await.unwrap();
        sue.fill("[name='price.amount']", "25").await;
        sue.press("form:has([name='price.amount']) button").await;
        sue.shows("header .price", "€25.00").await;
        ann.open(&blog.url(&ticket)).await;
        be_left_behind(&sue).await;
        ann.press(RESERVE).await;
        sue.press("form[action$=withdrawal] button").await;
        sue.shows("[role=alert]", "Withdraw it when the order has ended").await;
        ann.press(GIVE_BACK).await;
        ann.shows(STANDING, "You have given the ticket back").await;
        // What was sent in vain would be sent again if this page were loaded again.
        sue.open(&blog.url(&ticket)).await;
        shows(&sue, scripts, STANDING, "For sale").await;
        sue.reload().await;
        sue.press("form[action$=withdrawal] button").await;
        sue.shows(STANDING, "Withdrawn by its seller").await;
    }
}

#[tokio::test]
async fn pressed_twice_and_in_two_windows_it_is_one_order_and_one_payment() {
    let blog = Blog::start();
    let [sue, ann] = people(&blog, ["sue", "ann"], Scripts::On).await;
    let ticket = offer(&sue, &blog, "Peas in concert", "19.99").await;
    ann.open(&blog.url(&ticket)).await;
    let send_eight = |css: &str| {
        format!(
            "const form = document.querySelector('{css}');
             const body = () => new URLSearchParams(new FormData(form));
             const send = () => fetch(form.action, {{ method: 'POST', body: body() }}).then((answer) => answer.url);
             return Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(send));"
        )
    };
    let one = |answers: Value| {
        let urls: std::collections::BTreeSet<String> =
            answers.as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned()).collect();
        assert_eq!(urls.len(), 1, "{urls:?}");
        urls.into_iter().next().unwrap()
    };
    let order = one(ann.run(&send_eight("form:has([name=amount])")).await);
    ann.open(&order).await;
    let other = Browser::start(Scripts::Off).await;
    blog.sign_in(&other, "ann", "/me").await;
    other.open(&order).await;
    one(ann.run(&send_eight("form:has(#token)")).await);
    // The other window still has the form, and another card.
    choose(&other, "tok_declined").await;
    other.press(PAY).await;
    other.shows("[role=alert]", "You are paying already").await;
    ann.reload().await;
    ann.shows(STANDING, "Paid. The ticket is yours").await;
    ann.open(&blog.url("/me")).await;
    assert_eq!(ann.count(".market > li").await, 1);
    sue.open(&blog.url("/me")).await;
    sue.shows_when_reloaded(".totals", "€19.99 from 1 sale").await;
}

#[tokio::test]
async fn who_has_signed_out_elsewhere_or_whose_server_has_died_goes_on_where_they_were() {
    let blog = Blog::start();
    let [sue, ann] = people(&blog, ["sue", "ann"], Scripts::Off).await;
    let ticket = offer(&sue, &blog, "Peas in concert", "19.99").await;
    ann.open(&blog.url(&ticket)).await;
    ann.press(RESERVE).await;
    let order = ann.path().await;
    let blog = blog.restart();
    ann.shows_when_reloaded(STANDING, "It is yours to pay for").await;
    // Signing out in another window is what ends the session.
    ann.run(
        "return fetch('/signout', { method: 'POST', headers: { 'Content-Type': 'application/x-www-form-urlencoded' } })
             .then((answer) => answer.status);",
    )
    .await;
    ann.press(PAY).await;
    ann.shows("main", "Sign in").await;
    blog.sign_in(&ann, "ann", &order).await;
    ann.shows(STANDING, "It is yours to pay for").await;
    ann.press(PAY).await;
    ann.shows(STANDING, "Paid. The ticket is yours").await;
}

#[tokio::test]
async fn every_page_fits_is_accessible_and_light() {
    let blog = Blog::start();
    let [sue, ann] = people(&blog, ["sue", "ann"], Scripts::On).await;
    ann.open(&blog.url("/market")).await;
    look_at(&ann, "market-empty").await;
    blog.write("A post beside the market");
    let mut tickets = Vec::new();
    for n in 0..25 {
        let (title, price) = match n % 4 {
            0 => (
                "Lopadotemachoselachogaleokranioleipsanodrimhypotrimmatosilphiokarabomelitokata",
                "999999.99",
            ),
            1 => ("שלום עולם, a concert", "0.01"),
            2 => ("👩‍👩‍👧‍👦 Families 🌱🌿🍃", "20"),
            _ => ("A concert of peas, in the garden behind the house", "19.99"),
        };
        tickets.push(offer(&sue, &blog, title, price).await);
    }
    let [reserved, sold, given_back] = [&tickets[24], &tickets[23], &tickets[22]];
    for ticket in [given_back, sold, reserved] {
        ann.open(&blog.url(ticket)).await;
        ann.press(RESERVE).await;
        ann.shows(STANDING, "yours to pay for").await;
        look_at(&ann, "order").await;
        if ticket == given_back {
            ann.press(GIVE_BACK).await;
            ann.shows(STANDING, "given the ticket back").await;
            look_at(&ann, "order-cancelled").await;
        } else {
            choose(&ann, if ticket == sold { "tok_ok" } else { "tok_declined" }).await;
            ann.press(PAY).await;
            ann.shows(STANDING, if ticket == sold { "Paid" } else { "declined" }).await;
            look_at(&ann, if ticket == sold { "order-paid" } else { "order-declined" }).await;
        }
    }
    ann.open(&blog.url("/market")).await;
    ann.shows(".market > li:nth-child(2)", "Sold").await;
    let older = ann.run("return document.querySelector('.pager a[rel=next]').getAttribute('href')").await;
    let pages = [
        ("landing", &ann, "/"),
        ("market", &ann, "/market"),
        ("market-older", &ann, older.as_str().unwrap()),
        ("ticket", &ann, &tickets[0]),
        ("ticket-reserved", &ann, reserved),
        ("ticket-sold", &ann, sold),
        ("ticket-of-its-seller", &sue, &tickets[0]),
        ("offer", &sue, "/market/new"),
        ("mine-buyer", &ann, "/me"),
        ("mine-seller", &sue, "/me"),
    ];
    for (name, browser, path) in pages {
        browser.open(&blog.url(path)).await;
        browser.find("h1").await;
        check_weight(browser, name).await;
        look_at(browser, name).await;
    }
    sue.open(&blog.url("/market/new")).await;
    sue.fill("[name=title]", "Peas").await;
    sue.fill("[name='price.amount']", "cheap").await;
    sue.press("form:has([name=title]) button").await;
    sue.shows("[id='price.amount-wrong']", "Write a number").await;
    look_at(&sue, "offer-wrong").await;
}
