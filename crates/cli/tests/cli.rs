//! The command as people and programs meet it: what it prints, how it ends, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    assert!(root.join("build/posts.wasm").is_file(), "build/posts.wasm is missing: run `cargo xtask build`");
    root
}

/// One service, so that what is printed is the same whatever the application grows to.
const MANIFEST: &str = "crates/cli/tests/posts.yaml";
/// One that needs a secret.
const SECRETIVE: &str = "crates/cli/tests/hello.yaml";
/// All that our own code logs, and components do.
const OURS: &str =
    "info,trellis_cli=trace,trellis_host=trace,trellis_broker=trace,trellis_store=trace,guest=trace";

fn trellis() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trellis"));
    command.current_dir(root()).stdin(Stdio::null()).env("RUST_LOG", "warn");
    command
}

fn run(arguments: &[&str]) -> Output {
    trellis().args(arguments).output().unwrap()
}

/// What a failed run says on standard error, after checking its exit code.
#[track_caller]
fn refused(code: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// A running `trellis up` that has said all its addresses. Killed when dropped.
struct Up {
    child: Child,
    stdout: BufReader<ChildStdout>,
    addresses: Vec<(String, String)>,
}

impl Up {
    fn start(data: &Path, more: &[&str]) -> Up {
        Up::start_on(MANIFEST, data, more, Stdio::inherit(), "warn")
    }

    /// With a manifest, and a place and a measure for what is logged.
    fn start_on(manifest: &str, data: &Path, more: &[&str], stderr: Stdio, filter: &str) -> Up {
        let mut command = trellis();
        command.env("RUST_LOG", filter).stderr(stderr);
        command.args(["up", manifest, "--listen", "127.0.0.1:0", "--data"]).arg(data).args(more);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut addresses: Vec<(String, String)> = Vec::new();
        while addresses.last().is_none_or(|(name, _)| name != "open") {
            let mut line = String::new();
            assert!(
                stdout.read_line(&mut line).unwrap() > 0,
                "it ended after saying {addresses:?}: {:?}",
                child.wait()
            );
            let (name, address) = line.trim_end().split_once("  ").unwrap();
            addresses.push((name.to_owned(), address.to_owned()));
        }
        Up { child, stdout, addresses }
    }

    fn address(&self, name: &str) -> SocketAddr {
        let (_, url) = self.addresses.iter().find(|(other, _)| other == name).unwrap();
        let address = url.split_once("://").unwrap().1;
        address.split(' ').next().unwrap().parse().unwrap()
    }

    fn http(&self, name: &str, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address(name)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, name: &str, path: &str) -> String {
        self.http(name, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    /// Writes a post and returns its id.
    fn post(&self, title: &str) -> String {
        let body = format!(r#"{{"title":"{title}"}}"#);
        let answer = self.http(
            "posts",
            &format!(
                "POST /posts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
        answer.split_once(r#""id":""#).unwrap().1.split_once('"').unwrap().0.to_owned()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it as a user would, and says how it ended.
    fn stop(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        let code = self.child.wait().unwrap().code();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "only addresses belong on standard output");
        code
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Fails when it has ended already, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn up_says_where_it_listens_keeps_data_and_stops_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path(), &["--admin", "127.0.0.1:0", "--nats", "127.0.0.1:0"]);
    let address = |name| up.address(name).to_string();
    let expected = [
        ("posts", format!("http://{}  32 at once", address("posts"))),
        ("nats", format!("nats://{}", address("nats"))),
        ("admin", format!("http://{}", address("admin"))),
        ("open", format!("http://{}", address("posts"))),
    ];
    assert_eq!(up.addresses, expected.map(|(name, what)| (name.to_owned(), what)));
    assert!(up.get("admin", "/healthz").starts_with("HTTP/1.1 200 "));
    assert!(up.get("admin", "/readyz").starts_with("HTTP/1.1 200 "));
    assert!(up.get("admin", "/nothing").starts_with("HTTP/1.1 404 "));
    let id = up.post("kept");
    assert!(up.get("admin", "/metrics").contains("trellis_http_calls_total{component=\"posts\"} 1\n"));
    assert_eq!(up.stop(), Some(0));

    for reuse in ["1", "50"] {
        let up = Up::start(dir.path(), &["--reuse", reuse]);
        let answer = up.get("posts", &format!("/posts/{id}"));
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(r#""title":"kept""#), "{answer}");
        assert_eq!(up.stop(), Some(0));
    }
    let verified = run(&["verify", dir.path().to_str().unwrap()]);
    assert!(verified.status.success());
    assert!(String::from_utf8(verified.stdout).unwrap().trim_end().ends_with("sound"));
}

#[test]
fn events_are_printed_one_line_each_short_or_whole() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path(), &["--nats", "127.0.0.1:0"]);
    let nats = up.address("nats").to_string();
    let long = "a long title ".repeat(15);
    let ids: Vec<String> = [long.trim_end(), "b", "c"].map(|title| up.post(title)).into();
    let lines = |arguments: &[&str]| -> Vec<String> {
        let output = trellis().args(["events", "--nats", &nats]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    let all = lines(&["--json"]);
    assert_eq!(all.len(), 3, "{all:#?}");
    for (line, id) in all.iter().zip(&ids) {
        assert!(line.contains(r#""service":"posts""#) && line.contains(id), "{line}");
    }
    assert!(all[0].contains(long.trim_end()), "{}", all[0]);
    assert_eq!(lines(&["--json", "--service", "posts", "--from", "3"]), all[2..]);

    let short = lines(&[]);
    assert_eq!(short.len(), 3, "{short:#?}");
    for (line, id) in short.iter().zip(&ids) {
        let expected = format!("Z  posts  post.created.v1  {id}  1  {{");
        assert!(line.contains(&expected) && line.chars().count() <= 240, "{line}");
    }
    assert!(short[0].ends_with('…') && short[2].ends_with('}'), "{short:#?}");
    assert_eq!(lines(&["--service", "posts", "--from", "3"]), short[2..]);

    let mut follow = trellis();
    follow.args(["events", "--follow", "--from", "4", "--nats", &nats]);
    let mut follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut followed = BufReader::new(follow.stdout.take().unwrap()).lines();
    let id = up.post("later");
    assert!(followed.next().unwrap().unwrap().contains(&id));

    let unknown = refused(1, &["events", "--nats", &nats, "--service", "nobody"]);
    assert!(unknown.contains("there is no service nobody; there are posts"), "{unknown}");
    let unread = refused(1, &["events", "--nats", &nats, "--creds", "nowhere.creds"]);
    assert!(unread.contains("cannot read the credentials in nowhere.creds"), "{unread}");

    assert_eq!(up.stop(), Some(0));
    let mut said = BufReader::new(follow.stderr.take().unwrap()).lines();
    let lost = said.next().unwrap().unwrap();
    assert_eq!(lost, format!("trellis: NATS on {nats} is gone; trying to reach it again"));
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn a_data_directory_is_used_by_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let up = Up::start(dir.path(), &[]);
    for arguments in [&["up", MANIFEST, "--listen", "127.0.0.1:0", "--data", data][..], &["verify", data]] {
        let said = refused(3, arguments);
        assert!(said.contains(data) && said.contains("in use by another process"), "{said}");
    }
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn data_of_a_newer_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    assert_eq!(Up::start(dir.path(), &[]).stop(), Some(0));
    let format = std::fs::read_to_string(dir.path().join("format")).unwrap();
    let newer = newer(&format);
    std::fs::write(dir.path().join("format"), &newer).unwrap();
    for arguments in [&["up", MANIFEST, "--listen", "127.0.0.1:0", "--data", data][..], &["verify", data]] {
        let said = refused(3, arguments);
        assert!(said.contains("newer version"), "{said}");
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("format")).unwrap(), newer);
}

/// The same description of a directory with a format number that no version has yet.
fn newer(format: &str) -> String {
    let digits = format.find(|c: char| c.is_ascii_digit()).unwrap();
    let end = format[digits..].find(|c: char| !c.is_ascii_digit()).map_or(format.len(), |len| digits + len);
    format!("{}999{}", &format[..digits], &format[end..])
}

#[test]
fn what_cannot_be_verified_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let said = refused(3, &["verify", dir.path().to_str().unwrap()]);
    assert!(said.contains("there is no store"), "{said}");
    let said = refused(3, &["verify", dir.path().join("nothing").to_str().unwrap()]);
    assert!(said.contains("nothing"), "{said}");
    assert!(!dir.path().join("nothing").exists(), "verify must not create anything");
}

#[test]
fn addresses_are_checked_before_anything_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data_text = data.to_str().unwrap();
    for option in ["--listen", "--nats", "--admin"] {
        let said = refused(2, &["up", "--data", data_text, option, "0.0.0.0:0"]);
        assert!(said.contains("--allow-remote"), "{option}: {said}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(1, &["up", MANIFEST, "--data", data_text, "--listen", &address]);
    assert!(said.contains(&address) && said.contains("stop what uses it"), "{said}");
    assert!(!data.exists());
}

#[test]
fn what_is_wrong_with_the_command_line_or_the_manifest_is_told() {
    let said = refused(2, &["up", "--reuse", "0"]);
    assert!(said.contains("--reuse"), "{said}");
    refused(2, &["down"]);
    let said = refused(1, &["up", "nothing.yaml"]);
    assert!(said.contains("nothing.yaml: cannot be read"), "{said}");
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("wadm.yaml");
    let text = std::fs::read_to_string(root().join("wadm.yaml"))
        .unwrap()
        .replace("ghcr.io/wasmcloud/keyvalue-nats", "x/vault");
    std::fs::write(&manifest, text).unwrap();
    let said = refused(1, &["up", manifest.to_str().unwrap()]);
    assert!(said.contains("wadm.yaml:") && said.contains("\"x/vault:0.3.0\", is no capability"), "{said}");
    let said = refused(1, &["events", "--nats", "127.0.0.1:1"]);
    assert!(said.contains("trellis up --nats 127.0.0.1:1"), "{said}");
    let said = refused(2, &["up", "--nats", "on"]);
    assert!(said.contains("such as 127.0.0.1:4222, or off"), "{said}");
    refused(2, &["stop"]);
    refused(2, &["scale", "posts"]);
    let said = refused(2, &["scale", "posts", "0"]);
    assert!(said.contains("to have none, stop the service"), "{said}");
    let said = refused(2, &["start", "hello", "--manifest", "nothing.yaml"]);
    assert!(said.contains("nothing.yaml cannot be read"), "{said}");
}

/// A file of secrets, with a mode.
fn secrets(folder: &Path, mode: u32, text: &str) -> String {
    let file = folder.join("secrets.json");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_component_has_the_secrets_that_its_manifest_names_and_nobody_prints_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = secrets(dir.path(), 0o600, r#"{"hello-word": "open sesame", "another": "swordfish"}"#);
    let log = dir.path().join("log");
    let stderr = std::fs::File::create(&log).unwrap();
    let more = ["--secrets", &file, "--admin", "127.0.0.1:0"];
    let up = Up::start_on(SECRETIVE, &dir.path().join("data"), &more, stderr.into(), OURS);
    let answer = up.get("hello", "/hello/secrets/word");
    // printf %s 'open sesame' | sha256sum
    let hash = "41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb";
    assert!(answer.contains(&format!(r#"["{hash}","SecretBox<str>([REDACTED])"]"#)), "{answer}");
    for other in ["hello-word", "another"] {
        let answer = up.get("hello", &format!("/hello/secrets/{other}"));
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    let metrics = up.get("admin", "/metrics");
    assert!(metrics.contains("hello"), "{metrics}");
    assert_eq!(up.stop(), Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.is_empty());
    for said in [log, metrics] {
        assert!(!said.contains("sesame") && !said.contains("swordfish"), "{said}");
    }
}

#[test]
fn without_the_secrets_that_its_manifest_names_no_component_starts() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let up = ["up", SECRETIVE, "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let said = refused(1, &up);
    assert!(said.contains("hello.yaml:") && said.contains("nobody has said what hello-word is"), "{said}");
    let with = |mode, text| {
        let file = secrets(dir.path(), mode, text);
        let said = refused(1, &[&up[..], &["--secrets", &file]].concat());
        assert!(!said.contains("sesame"), "{said}");
        said
    };
    let said = with(0o600, r#"{"word": "open sesame"}"#);
    assert!(said.contains("--secrets FILE"), "{said}");
    let said = with(0o644, r#"{"hello-word": "open sesame"}"#);
    assert!(said.contains("is 0644") && said.contains("chmod 600"), "{said}");
    let said = with(0o600, "hello-word: open sesame");
    assert!(said.contains("line 1, column 1: this is no JSON object"), "{said}");
    let said = refused(1, &[&up[..], &["--secrets", "nothing.json"]].concat());
    assert!(said.contains("cannot read the secrets in nothing.json"), "{said}");
}

#[test]
fn a_second_signal_stops_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path(), &[]);
    // A request that is half-way through keeps the server waiting for its end.
    let mut busy = TcpStream::connect(up.address("posts")).unwrap();
    busy.write_all(b"POST /posts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{").unwrap();
    up.get("posts", "/posts/none");
    up.signal(Signal::INT);
    // Once it takes no more connections, it has seen the first.
    for _ in 0..500 {
        if TcpStream::connect(up.address("posts")).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    up.signal(Signal::INT);
    assert_eq!(up.child.wait().unwrap().code(), Some(130));
}

#[test]
fn commands_find_the_application_through_its_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let none = format!(
        "no application with NATS runs on the data directory {data}; start `trellis up --data {data}`"
    );
    let said = refused(1, &["events", "--data", data]);
    assert!(said.contains(&none), "{said}");

    let up = Up::start(dir.path(), &[]);
    let id = up.post("found");
    let events = run(&["events", "--data", data]);
    assert!(events.status.success() && String::from_utf8(events.stdout).unwrap().contains(&id));
    assert_eq!(up.stop(), Some(0));
    assert!(!dir.path().join("nats").exists(), "the address is taken back");

    let mut up = Up::start(dir.path(), &[]);
    up.child.kill().unwrap();
    up.child.wait().unwrap();
    assert!(dir.path().join("nats").exists());
    let said = refused(1, &["events", "--data", data]);
    assert!(said.contains(&none), "what a killed process has left is not believed: {said}");

    let up = Up::start(dir.path(), &["--nats", "off"]);
    assert!(up.addresses.iter().all(|(name, _)| name != "nats"), "{:?}", up.addresses);
    assert!(refused(1, &["stop", "posts", "--data", data]).contains(&none));
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn a_service_is_stopped_started_and_scaled_while_the_application_runs() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let up = Up::start(dir.path(), &[]);
    let id = up.post("kept");
    let says = |arguments: &[&str]| -> String {
        let output = trellis().args(arguments).args(["--data", data]).output().unwrap();
        let (said, complained) = (output.stdout, String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "{complained}");
        String::from_utf8(said).unwrap()
    };
    assert_eq!(says(&["stop", "posts"]), "posts  stopped\n");
    assert_eq!(says(&["stop", "posts"]), "posts  already stopped\n");
    let answer = up.get("posts", &format!("/posts/{id}"));
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("application/problem+json"), "{answer}");
    let said = refused(1, &["scale", "posts", "5", "--data", data]);
    assert!(said.contains("posts is stopped; start it first"), "{said}");

    assert_eq!(says(&["start", "posts"]), "posts  running, 32 at once\n");
    let again = "posts  already running, 32 at once; a new build is loaded by stop and start\n";
    assert_eq!(says(&["start", "posts"]), again);
    let answer = up.get("posts", &format!("/posts/{id}"));
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("kept"), "{answer}");
    assert_eq!(says(&["scale", "posts", "5"]), "posts  running, 5 at once\n");
    let said = refused(1, &["scale", "posts", "1000", "--data", data]);
    assert!(said.contains("room for 160"), "{said}");
    for arguments in [&["stop", "nobody"][..], &["start", "nobody"], &["scale", "nobody", "1"]] {
        let said = refused(1, &[arguments, &["--data", data]].concat());
        assert!(said.contains("there is no component nobody; there are posts"), "{said}");
    }
    let said = refused(1, &["start", "posts", "--manifest", MANIFEST, "--data", data]);
    assert!(said.contains("posts runs already; stop it before"), "{said}");
    assert_eq!(up.stop(), Some(0));
}
