//! Components that are stopped and started while the others run.

use std::time::{Duration, Instant};

use system::{Embedded, configured, eventually, repository};
use tempfile::tempdir;

/// How soon a component that is started is reached.
const SOON: Duration = Duration::from_secs(2);

/// The application with `tests/guests/greeter` in it, a service that no other file of the application names.
fn with_greeter() -> String {
    let guest = std::fs::read_to_string(repository().join("tests/guests/greeter/wadm.yaml")).unwrap();
    let wasm = format!("file://{}/build/test/greeter.wasm", repository().display());
    let guest = guest.replace("file://../../../build/test/greeter.wasm", &wasm);
    let between = |from: &str, to: &str| {
        let (_, rest) = guest.split_once(from).expect(from);
        format!("{from}{}", rest.split_once(to).expect(to).0)
    };
    let component = between("    - name: hello\n", "    - name: messaging\n");
    let link = between(
        "        - type: link\n          properties:\n            namespace: wasmcloud\n            package: messaging\n            interfaces: [handler]\n",
        "    - name: keyvalue\n",
    );
    let manifest = configured(&[]);
    assert!(!manifest.contains("svc.hello"), "nobody knows the service");
    let manifest =
        manifest.replacen("    - name: registry\n", &format!("{component}    - name: registry\n"), 1);
    manifest.replacen(
        "    - name: keyvalue\n      type: capability\n",
        &format!("{link}    - name: keyvalue\n      type: capability\n"),
        1,
    )
}

#[test]
fn a_component_that_is_stopped_and_started_goes_and_comes() {
    let data = tempdir().unwrap();
    let trellis = Embedded::start_on(data.path(), &with_greeter(), &[]);
    let answers = || trellis.get("/hello/you");
    eventually("it is reached", || (answers().status == 200).then_some(()));
    assert_eq!(answers().json(), "Hello, you!");
    for _ in 0..3 {
        trellis.run(&["stop", "hello"]);
        let nobody = answers();
        assert_eq!((nobody.status, nobody.header("retry-after").is_some()), (503, true), "{nobody:?}");
        trellis.run(&["start", "hello"]);
        let started = Instant::now();
        eventually("it is reached again", || {
            assert!(started.elapsed() < SOON, "not within {SOON:?}");
            (answers().status == 200).then_some(())
        });
    }
    trellis.stop();
}
