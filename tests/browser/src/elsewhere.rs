//! Pages of other origins.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

/// One page for whoever asks, until the test ends.
pub fn serve(page: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let request = BufReader::new(&stream).lines();
            request.map_while(Result::ok).find(String::is_empty);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                page.len()
            );
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(page.as_bytes())).ok();
        }
    });
    port
}
