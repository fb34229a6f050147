//! The pages of the market: each shows how something stands, and what can be done about it.

use super::*;

const ORDER: &str = r#"{"id":"T1-O1","ticket_id":"T1","buyer":"bob","seller":"sue","title":"Concert","price":{"amount":1999,"currency":"EUR"},"status":"reserved","payment":null,"placed_at":"2026-11-20T04:01:12.345Z","expires_at":"2026-11-20T04:16:12.345Z"}"#;

fn ticket(status: &str, free_at: &str) -> String {
    format!(
        r#"{{"id":"T1","seller":"sue","seller_name":"Sue","title":"Concert <1>","price":{{"amount":1999,"currency":"EUR"}},"status":"{status}","reservation":3,"free_at":{free_at},"listed_at":"2026-11-20T04:01:12.345Z","version":1}}"#
    )
}

fn payment(status: &str, reason: &str) -> String {
    format!(
        r#"{{"id":"P1","order_id":"T1-O1","buyer":"bob","amount":{{"amount":1999,"currency":"EUR"}},"status":"{status}","reason":{reason},"requested_at":"2026-11-20T04:01:12.345Z","version":1}}"#
    )
}

fn ask(method: &str, target: &str, who: &str, body: &str) -> Response {
    platform().configure("caller-header", "x-caller");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let headers = [form, ("host", "blog.example"), ("x-caller", who), ("accept-language", "de")];
    request::<Web>(method, target, if who.is_empty() { &headers[..2] } else { &headers }, body)
}

fn seen(target: &str, who: &str) -> String {
    text(&ask("GET", target, who, ""))
}

#[test]
fn money_is_written_as_the_reader_does() {
    answering("query", 200, "", &format!("[{}]", ticket("for_sale", "null")));
    let german = seen("/market", "bob");
    assert!(german.contains("19,99\u{a0}€") && german.contains("Concert &lt;1&gt;"), "{german}");
    assert!(seen("/market", "").contains("€19.99"));
    for (path, ticket) in [("/market/live", false), ("/market", true)] {
        assert_eq!(seen(path, "bob").contains("<html"), ticket, "{path}");
    }
}

#[test]
fn a_ticket_says_whether_it_can_be_had_and_by_whom() {
    let until = "\"2026-11-20T04:16:12.345Z\"";
    let rows = [
        ("for_sale", "null", "bob", "Reserve it", true),
        ("for_sale", "null", "", "/signin?to=%2Fmarket%2FT1", false),
        ("for_sale", "null", "sue", "Withdraw it", true),
        ("reserved", until, "bob", "data-left", false),
        ("reserved", until, "bob", "href=\"/me\">what is yours", false),
        ("reserved", "null", "bob", "being paid just now", false),
        ("reserved", until, "sue", "if it becomes free again", false),
        ("sold", "null", "bob", "Sold", false),
        ("withdrawn", "null", "bob", "Withdrawn by its seller", false),
    ];
    for (status, free_at, who, words, has_form) in rows {
        answering("query", 200, "", &ticket(status, free_at));
        let page = seen("/market/T1", who);
        assert!(page.contains(words), "{status} for {who:?}: {page}");
        assert_eq!(page.contains("action=\"/market/T1"), has_form, "{status} for {who:?}");
        let part = seen("/market/T1/live", who);
        assert!(page.contains(&part) && !part.contains("<html"), "{part}");
    }
    refusing("query", 404, "There is no such ticket.", "[]");
    assert_eq!(ask("GET", "/market/T2", "bob", "").status, 404);
}

#[test]
fn as_long_as_nothing_has_happened_a_form_has_one_key() {
    answering("query", 200, "", &ticket("for_sale", "null"));
    let key = |page: &str| attribute(page, "name=\"key\"", "value");
    let reserve = key(&seen("/market/T1", "bob"));
    assert_eq!(key(&seen("/market/T1", "bob")), reserve);
    let free_again = ticket("for_sale", "null").replace("\"reservation\":3", "\"reservation\":5");
    let another = ticket("for_sale", "null").replace("\"id\":\"T1\"", "\"id\":\"T2\"");
    for (other, why) in [(free_again, "what was reserved and is free again"), (another, "another ticket")] {
        answering("query", 200, "", &other);
        assert_ne!(key(&seen("/market/T1", "bob")), reserve, "{why}");
    }
    answering("orders", 200, "", ORDER);
    let first = key(&seen("/o/T1-O1", "bob"));
    assert_eq!(key(&seen("/o/T1-O1", "bob")), first);
    answering("payments", 200, "", &payment("failed", "\"card_declined\""));
    assert_ne!(key(&seen("/o/T1-O1?payment=P1", "bob")), first, "another attempt");
}

#[test]
fn what_is_reserved_is_reserved_for_the_price_that_was_shown() {
    answering("orders", 201, "", ORDER);
    let sent = ask("POST", "/market/T1", "bob", "key=k&amount=1999&currency=EUR");
    assert_eq!((sent.status, sent.header("location")), (303, Some("/o/T1-O1")));
    let asked = asked("orders").remove(0);
    assert_eq!((asked.target.as_str(), asked.header("idempotency-key")), ("/orders", Some("k")));
    let body = serde(&asked.body);
    assert_eq!((&body["ticket_id"], &body["price"]["amount"]), (&"T1".into(), &1999.into()));
    answering("query", 200, "", &ticket("reserved", "null"));
    refusing("orders", 409, "Somebody has reserved this ticket.", "[]");
    let lost = ask("POST", "/market/T1", "bob", "key=k&amount=1999&currency=EUR");
    assert!(lost.status == 409 && text(&lost).contains("Somebody has reserved this ticket."));
    refusing("orders", 401, "Sign in.", "[]");
    let out = ask("POST", "/market/T1", "", "key=k&amount=1999&currency=EUR");
    assert!(out.status == 401 && text(&out).contains("/signin?to=%2Fmarket%2FT1"));
    for body in ["key=k&amount=x&currency=EUR", "key=k&amount=1"] {
        assert_eq!(ask("POST", "/market/T1", "bob", body).status, 400, "{body}");
    }
}

#[test]
fn what_was_done_is_not_denied_because_it_cannot_be_read() {
    for (path, title) in [("/market/T1", "A ticket"), ("/o/T1-O1", "Your order")] {
        for (query, words) in [("?position=tickets:1:2", "What you wrote is safe"), ("", "Nothing is lost")] {
            let page = ask("GET", &format!("{path}{query}"), "sue", "");
            let html = text(&page);
            assert_eq!((page.status, page.header("retry-after")), (503, Some("2")), "{path}{query}");
            assert!(html.contains(words) && html.contains(title), "{html}");
            assert!(html.contains(&format!("data-live=\"{path}/live\"")), "{html}");
            assert!(!html.contains("Nothing was changed"), "{html}");
        }
    }
}

#[test]
fn why_an_offer_was_not_changed_is_said_where_one_sees_it() {
    let change = || {
        let form = "title=Concert&price.amount=25&price.currency=EUR&key=k";
        text(&ask("POST", "/market/T1/offer", "sue", form))
    };
    refusing("tickets", 409, "Somebody has reserved this ticket.", "[]");
    for (status, has_form) in [("for_sale", true), ("reserved", false), ("sold", false)] {
        answering("query", 200, "", &ticket(status, "null"));
        let html = change();
        assert_eq!(html.matches("Somebody has reserved this ticket.").count(), 1, "{status}: {html}");
        assert_eq!(html.contains("action=\"/market/T1/offer\""), has_form, "{status}");
    }
}

#[test]
fn an_offer_keeps_what_was_typed() {
    answering(
        "tickets",
        201,
        "trellis-position: tickets:1:2\r\n",
        &ticket("for_sale", "null").replace(r#""free_at":null,"#, ""),
    );
    let typed = |price: &str, currency: &str| {
        ask(
            "POST",
            "/market/new",
            "sue",
            &format!("title=Concert&price.amount={price}&price.currency={currency}&key=k"),
        )
    };
    let sent = typed("19%2C99", "eur+");
    assert_eq!(sent.header("location"), Some("/market/T1?position=tickets%3A1%3A2"), "{}", text(&sent));
    let body = serde(&asked("tickets")[0].body);
    assert_eq!((&body["price"]["amount"], &body["price"]["currency"]), (&1999.into(), &"EUR".into()));
    for (price, currency, field) in [
        ("1.999", "EUR", "price.amount"),
        ("1e3", "EUR", "price.amount"),
        ("19.99", "Euro", "price.currency"),
    ] {
        let wrong = typed(price, currency);
        let page = text(&wrong);
        assert_eq!((wrong.status, asked("tickets").len()), (422, 0), "{price} {currency}");
        assert_eq!(attribute(&page, &format!("<input id=\"{field}\""), "aria-invalid"), "true");
        assert_eq!(attribute(&page, "<input id=\"price.amount\"", "value"), price);
        assert_eq!(attribute(&page, "name=\"key\"", "value"), "k");
    }
    assert_eq!(ask("GET", "/market/new", "", "").status, 401);
}

#[test]
fn an_order_says_how_it_stands_and_what_to_do() {
    let card = "name=\"token\"";
    let rows = [
        ("reserved", None, "It is yours to pay for", true),
        ("reserved", Some(("requested", "null")), "Being paid", false),
        ("reserved", Some(("failed", "\"card_declined\"")), "The card was declined.", true),
        ("reserved", Some(("failed", "\"insufficient_funds\"")), "not enough money", true),
        ("reserved", Some(("failed", "\"other\"")), "did not go through", true),
        ("reserved", Some(("refused", "null")), "another one was first", true),
        ("paying", Some(("requested", "null")), "Being paid", false),
        ("paid", Some(("succeeded", "null")), "The ticket is yours", false),
        ("cancelled", None, "given the ticket back", false),
        ("expired", None, "Your time is over", false),
        ("expired", Some(("failed", "\"card_declined\"")), "The card was declined.", false),
    ];
    for (status, paid, words, can_pay) in rows {
        answering("orders", 200, "", &ORDER.replace("\"reserved\"", &format!("\"{status}\"")));
        let (status_of_payment, reason) = paid.unwrap_or(("requested", "null"));
        answering("payments", 200, "", &payment(status_of_payment, reason));
        let path = if paid.is_some() { "/o/T1-O1?payment=P1" } else { "/o/T1-O1" };
        let page = seen(path, "bob");
        assert!(page.contains(words), "{status} {paid:?}: {page}");
        assert_eq!(page.contains(card), can_pay, "{status} {paid:?}");
        assert_eq!(page.contains("http-equiv=\"refresh\""), words == "Being paid", "without scripts");
        let part = seen(&attribute(&page, "id=\"live\"", "data-live"), "bob");
        assert!(page.contains(&part), "{part}");
    }
    answering("orders", 200, "", &ORDER.replace("\"bob\"", "null"));
    let sellers = seen("/o/T1-O1", "sue");
    assert!(
        sellers.contains("Somebody has reserved your ticket")
            && !sellers.contains("<form class=\"composer\"")
    );
    answering("orders", 200, "", ORDER);
    answering("payments", 200, "", &payment("failed", "null").replace("T1-O1", "T1-O2"));
    let page = seen("/o/T1-O1?payment=P1", "bob");
    assert!(
        page.contains("yours to pay for") && !page.contains("did not go through"),
        "another order's: {page}"
    );
    assert_eq!(ask("GET", "/o/T1-O1", "", "").status, 401);
    refusing("orders", 404, "There is no such order.", "[]");
    assert_eq!(ask("GET", "/o/T1-O1", "eve", "").status, 404);
}

#[test]
fn a_form_of_an_order_is_sent_once() {
    answering("orders", 200, "", ORDER);
    answering("payments", 202, "", &payment("requested", "null"));
    let sent = ask("POST", "/o/T1-O1/payment", "bob", "key=k&token=tok_ok");
    assert_eq!((sent.status, sent.header("location")), (303, Some("/o/T1-O1?payment=P1")));
    assert_eq!(asked("payments")[0].header("idempotency-key"), Some("k"));
    refusing("payments", 422, "no", r#"[{"field":"idempotency-key","message":"used"}]"#);
    let again = ask("POST", "/o/T1-O1/payment", "bob", "key=k&token=tok_declined");
    assert!(text(&again).contains("You are paying already"), "{}", text(&again));
    answering("orders", 204, "", "");
    let back = ask("POST", "/o/T1-O1/cancellation", "bob", "");
    assert_eq!(back.header("location"), Some("/o/T1-O1"), "{}", text(&back));
    for (path, body) in [
        ("/market/T1", "key=k&amount=1999&currency=EUR"),
        ("/market/new", "title=a&price.amount=1&price.currency=EUR&key=k"),
        ("/market/T1/offer", "title=a&price.amount=1&price.currency=EUR&key=k"),
        ("/market/T1/withdrawal", ""),
        ("/o/T1-O1/payment", "key=k&token=tok_ok"),
        ("/o/T1-O1/cancellation", ""),
    ] {
        platform().take_exchanges();
        let form = ("content-type", "application/x-www-form-urlencoded");
        let elsewhere = [form, ("x-caller", "bob"), ("sec-fetch-site", "cross-site")];
        assert_eq!(request::<Web>("POST", path, &elsewhere, body).status, 403, "{path}");
        assert_eq!(platform().take_exchanges().len(), 0, "{path}");
    }
}

#[test]
fn what_is_yours_has_totals_as_you_write_them() {
    let order = ORDER.replace("\"buyer\":\"bob\",", "\"seller_name\":null,");
    platform().listen("svc.query", move |exchange| {
        let sales = r#"{"totals":[{"currency":"EUR","count":2,"amount":123456},{"currency":"JPY","count":1,"amount":null}],"items":[{"order_id":"T1-O1","ticket_id":"T1","title":"Concert","price":{"amount":1999,"currency":"EUR"},"sold_at":"2026-11-20T04:01:12.345Z"}]}"#;
        let (body, next) = match exchange.split(|byte| *byte == b'?').next().unwrap() {
            b"GET /sales" => (sales.to_owned(), ""),
            b"GET /users/currentuser/posts" => {
                (format!("[{POST}]"), "link: </users/currentuser/posts?after=c1>; rel=\"next\"\r\n")
            }
            _ => (format!("[{order}]"), ""),
        };
        Some(format!("HTTP/1.1 200 X\r\n{next}content-length: {}\r\n\r\n{body}", body.len()).into_bytes())
    });
    let page = seen("/me", "bob");
    for words in [
        "1.234,56\u{a0}€",
        "from 2 sales",
        "JPY: more than can be counted",
        "To be paid",
        "href=\"/o/T1-O1\"",
        "<a href=\"/p/P1\">Hello</a>",
        "<a rel=\"next\" href=\"/me?posts=c1\">Earlier posts</a>",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let earlier = seen("/me?posts=c1", "bob");
    assert!(earlier.contains("Hello") && !earlier.contains("Your orders"), "{earlier}");
    assert!(earlier.contains("href=\"/me\">The newest"), "{earlier}");
    assert_eq!(ask("GET", "/me", "", "").status, 401);
}

#[test]
fn a_card_of_stripes_is_told_to_stripe_alone() {
    let policy = |answer: &Response| answer.header("content-security-policy").unwrap().to_owned();
    let look = |who: &str| {
        answering("orders", 200, "", ORDER);
        ask("GET", "/o/T1-O1", who, "")
    };
    let sandbox = look("bob");
    assert!(text(&sandbox).contains("tok_declined") && text(&sandbox).contains("no money moves"));
    assert!(!policy(&sandbox).contains("http"));

    platform().configure("stripe-publishable-key", "pk_test_1");
    let page = look("bob");
    let html = text(&page);
    assert!(html.contains("https://js.stripe.com/v3/") && html.contains("data-key=\"pk_test_1\""), "{html}");
    assert!(!html.contains("tok_ok") && !html.contains("sandbox"), "{html}");
    let opened = policy(&page);
    for part in [
        "script-src 'self' https://js.stripe.com ",
        "; frame-src https://js.stripe.com ",
        "connect-src 'self' https://api.stripe.com;",
    ] {
        assert!(opened.contains(part), "{part}: {opened}");
    }
    assert!(!opened.contains("unsafe"), "{opened}");
    answering("query", 200, "", "[]");
    assert_eq!(policy(&ask("GET", "/market", "bob", "")), policy(&sandbox), "no other page");
    answering("orders", 200, "", &ORDER.replace("\"bob\"", "null"));
    assert!(!seen("/o/T1-O1", "sue").contains("stripe.com"), "a seller pays nothing");

    platform().configure("stripe-script", "http://127.0.0.1:4242/v3/");
    assert!(policy(&look("bob")).contains("frame-src http://127.0.0.1:4242;"));
    for wrong in [
        "stripe",
        "http:///v3/",
        "javascript://x/",
        "https://a;b/",
        "https://*/",
        "https://a b/",
        "https://a",
    ] {
        platform().configure("stripe-script", wrong);
        assert_eq!(look("bob").status, 503, "{wrong}");
    }
    platform().configure("stripe-script", "https://js.example/");
    for wrong in ["", "sk_live_1", "pk_\"", "pk_1;"] {
        platform().configure("stripe-publishable-key", wrong);
        assert_eq!(look("bob").status, 503, "{wrong}");
    }
}
