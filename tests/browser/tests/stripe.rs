//! Stripe's form for a card in the page of an order. A stand-in plays Stripe's script, its frame and its API, from an origin of its
//! own: the browser loads them only because the page's policy says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use browser::{Blog, Browser, Scripts, look_at_page_with};

const RESERVE: &str = "form:has(input[name=amount]) button";
const PAY: &str = "form:has(#card) button";
const STANDING: &str = ".standing";

/// What is typed into the frame goes to the API from there, and comes back as what Stripe calls the card.
const SCRIPT: &str = "
    const { origin } = new URL(document.currentScript.src);
    window.Stripe = (key) => ({
        elements: () => ({ create: () => ({
            mount(place) {
                this.frame = document.createElement('iframe');
                Object.assign(this.frame, { src: `${origin}/frame`, title: 'Card', id: 'stripe-frame', width: '100%', height: '24', frameBorder: '0' });
                this.frame.onload = () => { this.frame.dataset.loaded = 'yes'; };
                place.append(this.frame);
            },
        }) }),
        async createPaymentMethod({ card }) {
            const number = await new Promise((told) => {
                addEventListener('message', ({ data }) => told(data), { once: true });
                card.frame.contentWindow.postMessage('number?', origin);
            });
            return (await fetch(`${origin}/v1/payment_methods?key=${key}`, { method: 'POST', body: number })).json();
        },
    });";
const FRAME: &str = "<!doctype html><input aria-label='Card number'><script>
    const input = document.querySelector('input');
    addEventListener('message', ({ data, source }) => {
        if (data.type) input.value = data.type; else source.postMessage(input.value, '*');
    });
    </script>";

/// Stripe, as much of it as a page sees. Returns where its script is.
fn stripe() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v3/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let mut first = String::new();
            reader.read_line(&mut first).unwrap();
            let mut length = 0;
            for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut number = vec![0; length];
            reader.read_exact(&mut number).unwrap();
            let (media, body) = match first.split(' ').nth(1).unwrap() {
                "/v3/" => ("text/javascript", SCRIPT.to_owned()),
                "/frame" => ("text/html", FRAME.to_owned()),
                "/v1/payment_methods?key=pk_test_1" => (
                    "application/json",
                    match number.as_slice() {
                        b"4242424242424242" => r#"{"paymentMethod":{"id":"tok_ok"}}"#.to_owned(),
                        b"4000000000000002" => r#"{"paymentMethod":{"id":"tok_declined"}}"#.to_owned(),
                        _ => r#"{"error":{"message":"Your card number is incomplete."}}"#.to_owned(),
                    },
                ),
                other => panic!("nobody asks Stripe for {other}"),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ncontent-length: {}\r\naccess-control-allow-origin: *\r\n\
                 cross-origin-resource-policy: cross-origin\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok();
        }
    });
    url
}

/// Types into the frame, which is of another origin.
async fn type_number(browser: &Browser, number: &str) {
    browser.find("#stripe-frame[data-loaded]").await;
    browser
        .run(&format!(
            "document.getElementById('stripe-frame').contentWindow.postMessage({{ type: '{number}' }}, '*')"
        ))
        .await;
}

#[tokio::test]
async fn somebody_pays_by_a_card_that_only_stripe_is_told() {
    let script = stripe();
    let settings =
        [("web", "stripe-publishable-key", "pk_test_1"), ("web", "stripe-script", script.as_str())];
    let blog = Blog::start_configured(&settings);
    blog.person("sue", &[]);
    blog.person("ann", &[]);
    let [sue, ann] = [Browser::start(Scripts::On).await, Browser::start(Scripts::On).await];
    blog.sign_in(&sue, "sue", "/market/new").await;
    sue.fill("[name=title]", "Peas in concert").await;
    sue.fill("[name='price.amount']", "19.99").await;
    sue.press("form:has([name=title]) button").await;
    sue.shows("h1", "Peas in concert").await;
    let ticket = sue.path().await;
    blog.sign_in(&ann, "ann", &ticket).await;
    ann.press(RESERVE).await;
    ann.shows(STANDING, "It is yours to pay for").await;
    look_at_page_with(&ann, "order-stripe", script.strip_suffix("/v3/").unwrap()).await;

    ann.find(PAY).await.click().await.unwrap();
    ann.shows("#card-trouble", "Your card number is incomplete.").await;
    type_number(&ann, "4000000000000002").await;
    ann.press(PAY).await;
    ann.shows("[role=alert]", "The card was declined.").await;
    // The form came back without the page being loaded, with another frame in it.
    type_number(&ann, "4242424242424242").await;
    ann.press(PAY).await;
    ann.shows(STANDING, "Paid. The ticket is yours").await;

    let late = Browser::start(Scripts::Off).await;
    let another = {
        sue.open(&blog.url("/market/new")).await;
        sue.fill("[name=title]", "Beans in concert").await;
        sue.fill("[name='price.amount']", "5").await;
        sue.press("form:has([name=title]) button").await;
        sue.shows("h1", "Beans in concert").await;
        sue.path().await
    };
    blog.sign_in(&late, "ann", &another).await;
    late.press(RESERVE).await;
    late.shows(STANDING, "needs JavaScript").await;
    late.press("form[action$=cancellation] button").await;
    late.shows(STANDING, "You have given the ticket back").await;
}
