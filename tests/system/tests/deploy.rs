//! What is in `deploy/`, as far as it can be checked where there is no container engine: by those who know the formats, and
//! by the server that reads the configuration.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use system::{repository, within, wrong_for_kubernetes, wrong_in_dockerfile};
use tempfile::NamedTempFile;

/// How long anything may take that a healthy server does at once.
const PATIENCE: Duration = Duration::from_secs(20);

fn file(path: &str) -> PathBuf {
    repository().join("deploy").join(path)
}

/// A copy with something else in the place of something.
fn copy(of: &Path, text: &str, with: &str) -> NamedTempFile {
    let original = std::fs::read_to_string(of).unwrap();
    assert!(original.contains(text), "{} has {text}", of.display());
    let extension = format!(".{}", of.extension().unwrap_or_default().display());
    let mut copy = NamedTempFile::with_suffix(&extension).unwrap();
    copy.write_all(original.replacen(text, with, 1).as_bytes()).unwrap();
    copy
}

#[test]
fn the_dockerfile_is_well_made_and_a_slip_would_be_seen() {
    let dockerfile = file("Dockerfile");
    assert_eq!(wrong_in_dockerfile(&dockerfile), None);
    let broken = copy(&dockerfile, "FROM debian:bookworm-slim", "FROM debian");
    assert!(wrong_in_dockerfile(broken.path()).is_some());
}

#[test]
fn what_kubernetes_gets_is_as_its_schemas_say_and_a_slip_would_be_seen() {
    for name in ["embedded", "lattice", "nats"] {
        let manifest = file(&format!("kubernetes/{name}.yaml"));
        assert_eq!(wrong_for_kubernetes(&manifest), None, "{name}");
        let broken = copy(&manifest, "containerPort:", "containersPort:");
        assert!(wrong_for_kubernetes(broken.path()).is_some(), "{name}");
    }
}

#[test]
fn metrics_are_for_whoever_looks_after_the_application() {
    let manifest = std::fs::read_to_string(file("kubernetes/embedded.yaml")).unwrap();
    let policy =
        manifest.split("---").find(|document| document.contains("kind: NetworkPolicy")).expect("a policy");
    assert!(policy.contains("matchLabels: { app: trellis }"), "{policy}");
    // Each entry lets somebody in, on some ports; one without `from` lets in everybody.
    let (_, ingress) = policy.split_once("ingress:").expect("who is let in");
    let entries: Vec<&str> = ingress.split("\n    - ").skip(1).collect();
    let admin: Vec<_> = entries.iter().filter(|entry| entry.contains("port: admin")).collect();
    assert!(!admin.is_empty() && admin.iter().all(|entry| entry.starts_with("from:")), "{policy}");
    assert!(
        entries.iter().all(|entry| entry.contains("port: ")),
        "one without ports is for all of them: {policy}"
    );
}

/// What the servers of a cluster are configured with, without what is made for an application: `deploy/accounts` has tests of
/// its own.
fn configuration_of_nats() -> String {
    let manifest = std::fs::read_to_string(file("kubernetes/nats.yaml")).unwrap();
    let (_, after) = manifest.split_once("  nats.conf: |\n").expect("a configuration");
    let indented = after.split("---").next().unwrap();
    let configuration: String =
        indented.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    assert!(configuration.contains("include ../nats-accounts/accounts.conf"), "{configuration}");
    configuration.replace("include ../nats-accounts/accounts.conf", "")
}

/// The certificates of a cluster, made as the document says.
fn certificates(folder: &Path) -> PathBuf {
    let text = std::fs::read_to_string(file("README.md")).unwrap();
    let makes = text.split("```").find(|block| block.starts_with("sh\n") && block.contains("openssl req"));
    let made = Command::new("sh")
        .args(["-euc", makes.expect("how to make certificates").strip_prefix("sh\n").unwrap()])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    folder.join("build/cluster")
}

#[test]
fn nats_takes_its_configuration_and_would_refuse_another() {
    let folder = tempfile::tempdir().unwrap();
    let made = certificates(folder.path());
    let configuration = configuration_of_nats().replace("../nats-cluster", &made.display().to_string());
    assert!(configuration.contains("sync_interval: always"), "{configuration}");
    let tried = try_configuration(&configuration);
    assert!(tried.status.success(), "{tried:?}");
    let tried = try_configuration(&configuration.replace("sync_interval", "sync_intervall"));
    assert!(!tried.status.success(), "{tried:?}");
}

#[test]
fn the_servers_of_a_cluster_talk_to_who_has_a_certificate_of_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let made = certificates(folder.path());
    let here = folder.path().display().to_string();
    let configuration = configuration_of_nats()
        .replace("../nats-cluster", &made.display().to_string())
        .replace("0.0.0.0:4222", "127.0.0.1:-1")
        .replace("0.0.0.0:6222", "127.0.0.1:-1")
        .replace("http: 0.0.0.0:8222", &format!("ports_file_dir: {here:?}"))
        .replace("store_dir: /data", &format!("store_dir: {here:?}"));
    let file = folder.path().join("nats.conf");
    std::fs::write(&file, configuration).unwrap();
    let server = Started(command(&file).stderr(Stdio::null()).spawn().unwrap());
    let ports = folder.path().join(format!("nats-server_{}.ports", server.0.id()));
    let address = within(PATIENCE, "nats-server listens for others", || {
        let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(&ports).ok()?).ok()?;
        Some(ports["cluster"][0].as_str()?.rsplit_once('/')?.1.to_owned())
    });
    // A server says who it is to whoever comes through its door.
    assert!(told(&address, &made, true).starts_with("INFO {"));
    assert_eq!(told(&address, &made, false), "");
}

/// What is told on the port of the cluster, with a certificate of it or without any.
fn told(address: &str, certificates: &Path, with_certificate: bool) -> String {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-quiet", "-connect", address, "-CAfile", "ca.crt"]).current_dir(certificates);
    if with_certificate {
        client.args(["-cert", "tls.crt", "-key", "tls.key"]);
    }
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = Started(client.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(client.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line
}

/// A program that ends with its test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn try_configuration(text: &str) -> Output {
    let mut file = NamedTempFile::with_suffix(".conf").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    command(file.path()).arg("-t").output().unwrap()
}

fn command(configuration: &Path) -> Command {
    let server =
        std::env::var_os("TRELLIS_NATS_SERVER").expect("TRELLIS_NATS_SERVER: `cargo xtask test` sets it");
    let mut command = Command::new(server);
    command.arg("--config").arg(configuration).env("POD_NAME", "nats-0");
    command
}
