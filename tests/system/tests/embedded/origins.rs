//! Pages of other sites that may read answers. On a lattice, the HTTP provider answers for that.

use system::{Embedded, Request};
use tempfile::tempdir;

#[test]
fn a_page_of_an_allowed_origin_may_read() {
    let data = tempdir().unwrap();
    let origins = r#"["https://friend.example"]"#;
    let settings = [("gateway", "cors-origins", origins)];
    let trellis = Embedded::start_configured(data.path(), &settings, &[]);
    let read = trellis.send(&Request::get("/posts").header("origin", "https://friend.example"));
    assert_eq!(read.header("access-control-allow-origin"), Some("https://friend.example"));
    let preflight = Request::new("OPTIONS", "/posts")
        .header("origin", "https://friend.example")
        .header("access-control-request-method", "POST");
    let preflight = trellis.send(&preflight);
    assert_eq!(
        (preflight.status, preflight.header("access-control-allow-methods")),
        (204, Some("GET, HEAD, OPTIONS, POST"))
    );
    trellis.stop();
}
