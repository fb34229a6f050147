//! A service asks servers outside, that behave and that do not: what it is told of it is the same on every host.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use system::{Request, Trellis, configured, eventually, repository};
use tempfile::tempdir;
use trellis_manifest::Manifest;

/// A server that does what the path says, and keeps the first lines of requests.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Self { address, requests }
    }
}

fn serve(mut stream: TcpStream, requests: &Mutex<Vec<String>>) {
    let (mut request, mut buffer) = (String::new(), [0; 4096]);
    // Errands of this test have a body of one letter, at the end.
    while !request.ends_with("\r\n\r\nx") {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => request.push_str(&String::from_utf8_lossy(&buffer[..count])),
            _ => return,
        }
    }
    let first = request.lines().next().unwrap_or_default().to_owned();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    requests.lock().unwrap().push(first);
    let close = "connection: close\r\n";
    let answer = match path.as_str() {
        "/declined?a=b" => {
            format!("HTTP/1.1 402 Payment Required\r\n{close}content-length: 8\r\n\r\ndeclined")
        }
        "/redirect" => format!("HTTP/1.1 302 Found\r\n{close}location: /other\r\ncontent-length: 0\r\n\r\n"),
        "/html" => {
            format!("HTTP/1.1 200 OK\r\n{close}content-type: text/html\r\ncontent-length: 6\r\n\r\n<html>")
        }
        "/half" => format!("HTTP/1.1 200 OK\r\n{close}content-length: 10\r\n\r\nhalf"),
        "/large" => {
            format!("HTTP/1.1 200 OK\r\n{close}content-length: 1048577\r\n\r\n{}", "x".repeat(1 << 20)) + "x"
        }
        "/whole" => {
            format!("HTTP/1.1 200 OK\r\n{close}content-length: 1048576\r\n\r\n{}", "x".repeat(1 << 20))
        }
        "/nothing" => String::new(),
        "/ssh" => "SSH-2.0-OpenSSH\r\n".to_owned(),
        "/hang" => {
            while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
            return;
        }
        _ => panic!("nobody asks for {path}"),
    };
    let _ = stream.write_all(answer.as_bytes());
}

/// The repository's application, with the service that runs errands, which is like expiration but for its image. It may ask these servers.
fn with_envoy(origins: &[String]) -> Manifest {
    let renamed = |value: &Value| -> Value {
        serde_json::from_str(&value.to_string().replace("expiration", "envoy")).unwrap()
    };
    let of_expiration = |link: &&Value| link["properties"]["target"]["name"] == "expiration";
    let mut manifest = serde_json::to_value(configured(&[]).as_wadm()).unwrap();
    let components = manifest["spec"]["components"].as_array_mut().unwrap();
    let mut envoy = renamed(components.iter().find(|component| component["name"] == "expiration").unwrap());
    let image = repository().join("build/test/envoy.wasm");
    envoy["properties"]["image"] = json!(format!("file://{}", image.display()));
    // A lattice takes settings of another name for others.
    let config = &mut envoy["properties"]["config"][0];
    let name: String = origins.concat().chars().filter(char::is_ascii_digit).collect();
    config["name"] = json!(format!("envoy-{name}-service"));
    config["properties"]["outgoing-origins"] = json!(json!(origins).to_string());
    let link = json!({ "type": "link", "properties": {
        "namespace": "wasi", "package": "http", "interfaces": ["outgoing-handler"], "target": { "name": "httpclient" },
    } });
    envoy["traits"].as_array_mut().unwrap().push(link);
    for component in components.iter_mut() {
        let Some(links) = component["traits"].as_array_mut() else { continue };
        let own: Vec<Value> = links.iter().filter(of_expiration).map(renamed).collect();
        links.extend(own);
    }
    components.push(envoy);
    components.push(json!({
        "name": "httpclient", "type": "capability", "properties": { "image": "ghcr.io/wasmcloud/http-client:0.13.1" },
    }));
    Manifest::read(&manifest.to_string()).unwrap()
}

#[test]
fn a_service_is_told_what_became_of_what_it_asked_outside() {
    let server = Server::start();
    // Nobody listens there any more.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let [open, closed] = [server.address, closed].map(|address| format!("http://{address}"));
    let data = tempdir().unwrap();
    let trellis = Trellis::start_on(data.path(), &with_envoy(&[open.clone(), closed.clone()]));
    let run = |url: &str| {
        let errand = json!({ "method": "POST", "url": url, "headers": {}, "body": "x", "patience_ms": 2000 });
        let request = Request::post("/errands", errand.to_string());
        // The gateway may not have heard of the service yet.
        let answer = eventually("somebody runs errands", || {
            let answer = trellis.send(&request);
            (answer.status != 404).then_some(answer)
        });
        assert_eq!(answer.status, 200, "{url}: {answer:?}");
        answer.json()
    };
    let answered = |path: &str| run(&format!("{open}{path}"))["answer"].clone();
    let declined = answered("/declined?a=b");
    assert_eq!((&declined["status"], &declined["body"]), (&json!(402), &json!("declined")), "{declined}");
    let redirect = answered("/redirect");
    assert_eq!((&redirect["status"], &redirect["headers"]["location"]), (&json!(302), &json!("/other")));
    let html = answered("/html");
    assert_eq!((&html["status"], &html["body"]), (&json!(200), &json!("<html>")), "{html}");
    assert_eq!(answered("/whole")["body_len"], 1 << 20);

    for (path, why) in [
        ("/hang", "no answer within 2s"),
        ("/half", "whole"),
        ("/nothing", "whole"),
        ("/ssh", "whole"),
        ("/large", "more than 1048576 bytes"),
    ] {
        let outcome = run(&format!("{open}{path}"));
        let said = outcome["unknown"].as_str().unwrap_or_else(|| panic!("{path}: {outcome}"));
        assert!(said.contains(why), "{path}: {said}");
    }

    let port = server.address.port();
    for (url, why) in [
        (format!("{closed}/"), "connection refused"),
        (format!("http://localhost:{port}/whole"), "config outgoing-origins"),
        (format!("https://127.0.0.1:{port}/whole"), "config outgoing-origins"),
        ("http://127.0.0.1:1/".to_owned(), "config outgoing-origins"),
    ] {
        let outcome = run(&url);
        let said = outcome["not_sent"].as_str().unwrap_or_else(|| panic!("{url}: {outcome}"));
        assert!(said.contains(why), "{url}: {said}");
    }
    let requests = server.requests.lock().unwrap();
    assert_eq!(requests.len(), 9, "each was sent once, and no redirect was followed: {requests:?}");
    trellis.stop();
}
