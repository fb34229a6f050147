//! `trellis demo`: a site to look at, once, however often it is cut off and run again.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use serde_json::{Value, json};
use system::{Embedded, Request, command, eventually};
use tempfile::tempdir;

/// Runs the demo against an address. Returns whether it went well, and what it said.
fn demo(address: SocketAddr) -> (bool, String) {
    let output = command().args(["demo", &format!("http://{address}")]).output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
    (output.status.success(), said)
}

/// An address that passes requests on, each on a connection of its own, until the nth: what that asks for is done, and its answer
/// is lost.
fn losing_the_answer(nth: usize, to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (before, client) in listener.incoming().map_while(Result::ok).enumerate() {
            let server = TcpStream::connect(to).unwrap();
            if before + 1 == nth {
                return lose_answer(client, server);
            }
            pass_on(client, server);
        }
    });
    address
}

fn pass_on(client: TcpStream, server: TcpStream) {
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        std::io::copy(&mut from_client, &mut to_server).ok();
        to_server.shutdown(Shutdown::Both).ok();
    });
    std::io::copy(&mut &server, &mut &client).ok();
}

fn lose_answer(mut client: TcpStream, mut server: TcpStream) {
    let (mut request, mut some) = (Vec::new(), [0; 4096]);
    while !is_whole(&request) {
        let count = client.read(&mut some).unwrap();
        assert_ne!(count, 0, "a whole request comes");
        request.extend_from_slice(&some[..count]);
    }
    server.write_all(&request).unwrap();
    assert_ne!(server.read(&mut some).unwrap(), 0, "it is answered");
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    request.len() == head.len() + 4 + length.unwrap_or(0)
}

/// Signs in as somebody of the demo.
fn token(trellis: &Embedded, name: &str) -> String {
    let shown = json!({ "email": format!("{name}@demo.example.com"), "password": "only a demo of Trellis" });
    let answer = trellis.send(&Request::post("/users/signin", shown.to_string()));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["token"].as_str().unwrap().to_owned()
}

/// What a reader sees of the site, and what buyers and a seller see of their own.
fn seen(trellis: &Embedded, [ada, bo, chi]: &[String; 3]) -> Value {
    let get = |path: &str, token: &str| trellis.send(&Request::get(path).by(token)).json();
    let column = |list: &Value, name: &str| -> Vec<Value> {
        list.as_array().unwrap().iter().map(|item| item[name].clone()).collect()
    };
    let (posts, tickets) = (trellis.get("/posts?limit=100").json(), trellis.get("/tickets?limit=100").json());
    let orders = [bo, chi].map(|token| column(&get("/orders", token), "status"));
    json!({
        "comments": column(&posts, "comment_count"), "tickets": column(&tickets, "status"),
        "orders": orders, "totals": get("/sales", ada)["totals"],
    })
}

#[test]
fn a_demo_that_is_cut_off_is_run_again_and_comes_to_the_same() {
    let data = tempdir().unwrap();
    let trellis = Embedded::start(data.path());
    let address = trellis.client().address();
    // While somebody signs up, writes a post, a comment and a ticket; orders, pays, orders for the third time and cancels that.
    for nth in [4, 9, 17, 27, 30, 32, 36, 38] {
        let (is_well, said) = demo(losing_the_answer(nth, address));
        assert!(!is_well && said.contains("run `trellis demo` again"), "{nth}: {said}");
    }
    for time in ["whole", "again"] {
        let (is_well, said) = demo(address);
        assert!(is_well, "{time}: {said}");
        for words in [
            "6 posts, 10 comments, 6 tickets",
            "park\": paid",
            "cellar\": reserved",
            "hurdy-gurdy\": cancelled",
        ] {
            assert!(said.contains(words), "{time}: {words} in {said}");
        }
        let wanted = json!({
            "comments": [2, 4, 0, 1, 1, 2],
            "tickets": ["sold", "for_sale", "reserved", "for_sale", "for_sale", "for_sale"],
            "orders": [["cancelled", "paid"], ["reserved"]],
            "totals": [{ "currency": "EUR", "count": 1, "amount": 1999 }],
        });
        let people = ["ada", "bo", "chi"].map(|name| token(&trellis, name));
        eventually("everybody sees all of it, once", || {
            let seen = seen(&trellis, &people);
            (seen == wanted).then_some(()).ok_or_else(|| seen.to_string())
        });
    }
    let written = trellis.send(&Request::post("/posts", r#"{"title": "Mine"}"#));
    assert_eq!(written.status, 201);
    let position = written.header("trellis-position").unwrap();
    assert_eq!(trellis.get(&format!("/posts?position={position}")).json().as_array().unwrap().len(), 7);
    let (is_well, said) = demo(address);
    assert!(!is_well && said.contains("this site is not empty: it has \"Mine\""), "{said}");
    trellis.stop();
}

#[test]
fn nobodys_site_gets_a_demo_on_top() {
    let data = tempdir().unwrap();
    let trellis = Embedded::start(data.path());
    let address = trellis.client().address();
    assert_eq!(trellis.send(&Request::post("/posts", r#"{"title": "Mine"}"#)).status, 201);
    eventually("the post is seen", || (trellis.get("/posts").json()[0]["title"] == "Mine").then_some(()));
    let (is_well, said) = demo(address);
    assert!(!is_well && said.contains("nothing was written"), "{said}");
    let shown = json!({ "email": "ada@demo.example.com", "password": "only a demo of Trellis" });
    assert_eq!(
        trellis.send(&Request::post("/users/signin", shown.to_string())).status,
        401,
        "nobody has signed up"
    );
    trellis.stop();
    let (is_well, said) = demo(address);
    assert!(!is_well && said.contains("GET http://"), "{said}");
}
