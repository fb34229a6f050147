//! The application on hosts of wasmCloud that run, which one test after the other has to itself.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trellis_manifest::Manifest;
use trellis_names as names;
use xtask::lattice::{Hosts, Lattice, Tools, V2, on_hosts};

use crate::application::{Application, repository};
use crate::nats::Nats;

/// How long what an earlier test has left behind may take to be handled.
const IDLE_PATIENCE: Duration = Duration::from_secs(10);

/// What is stored in the logs, the dead letters and the services' own streams.
const LOGS: [&str; 3] = ["log.>", "dead.>", "own.>"];
/// How the keys of all tallies begin.
const TALLIES: &str = "tally.";

/// How many lines of each host are shown when a test fails.
const COMPLAINTS_MAX: usize = 15;
/// What a provider says of each link, twice.
const ADVICE: &str = "Prefer using secrets";

#[derive(Debug)]
pub struct Deployed {
    hosts: Box<dyn Hosts>,
    application: Application,
    /// How long the log of each host was before.
    log_begins: Vec<(String, usize)>,
}

impl Deployed {
    /// On the lattice of a folder; with nothing in it, unless it was started with the same `data` before.
    #[track_caller]
    pub fn on_lattice(folder: &Path, data: &Path, manifest: &Manifest) -> Self {
        Self::start(Box::new(lattice(folder)), data, manifest)
    }

    /// The same, where components have these secrets.
    #[track_caller]
    pub fn on_lattice_with_secrets(folder: &Path, data: &Path, manifest: &Manifest, secrets: &Value) -> Self {
        let lattice = lattice(folder);
        done(lattice.keep_secrets(secrets));
        Self::start(Box::new(lattice), data, manifest)
    }

    /// The same, on wasmCloud 2.
    #[track_caller]
    pub fn on_v2(folder: &Path, data: &Path, manifest: &Manifest) -> Self {
        Self::start(Box::new(done(V2::attach(folder))), data, manifest)
    }

    #[track_caller]
    fn start(hosts: Box<dyn Hosts>, data: &Path, manifest: &Manifest) -> Self {
        let log_begins =
            hosts.names().into_iter().map(|host| (host.clone(), hosts.log(&host).len())).collect();
        let nats = hosts.nats().to_owned();
        let application =
            Application::new(hosts.http().parse().unwrap(), nats.parse().ok(), ["--nats", &nats]);
        let mut deployed = Self { hosts, application, log_begins };
        deployed.begin(data, manifest);
        deployed
    }

    #[track_caller]
    fn begin(&mut self, data: &Path, manifest: &Manifest) {
        // Says, for the next start with this folder, that what is there now is to be kept.
        let mark = data.join("is-on-the-lattice");
        let is_again = mark.is_file();
        let (hosts, application) = (&mut self.hosts, &self.application);
        let names = hosts.names();
        for host in &names {
            if is_again && hosts.is_running(host) {
                hosts.processes().stop(host).unwrap();
            }
        }
        // Stopped or killed, perhaps by a test that failed.
        let ended: Vec<&String> = names.iter().filter(|host| !hosts.is_running(host)).collect();
        for host in &ended {
            done(hosts.start_again(host));
        }
        let manifest = on_hosts(manifest, names.len());
        if !ended.is_empty() || done(hosts.is_other(&manifest)) {
            done(hosts.deploy(&manifest));
        }
        if !is_again {
            // Only now, when everybody hears that there is something to make anew.
            empty(application);
            application.bus().publish("trellis.announce", b"");
            std::fs::create_dir_all(data).unwrap();
            std::fs::write(&mark, "").unwrap();
        }
        done(hosts.wait_for_answer());
        application.wait_for_routes();
    }

    /// The machines on which hosts run lose their power. NATS has others.
    pub fn kill(mut self) {
        for (host, _) in &self.log_begins {
            self.hosts.processes().kill(host).unwrap();
        }
    }

    /// Hosts go on, for the next test; they are stopped when this application is started again. Whether a component has
    /// failed by its own fault shows now.
    #[track_caller]
    pub fn stop(self) {
        let output = self.output();
        let complaints: Vec<&str> = output.lines().filter(|line| line.contains("wasm trap:")).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    }

    pub fn output(&self) -> String {
        self.logs().map(|(_, log)| log).collect()
    }

    /// What each host has written since the start.
    fn logs(&self) -> impl Iterator<Item = (&str, String)> {
        let begins = self.log_begins.iter();
        begins.map(|(host, begin)| (host.as_str(), self.hosts.log(host).split_off(*begin)))
    }
}

/// Whoever reads that a test has failed may not have the logs.
impl Drop for Deployed {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (host, log) in self.logs() {
            let complains =
                |line: &&str| (line.contains(" ERROR ") || line.contains(" WARN ")) && !line.contains(ADVICE);
            let complaints: Vec<&str> = log.lines().filter(complains).collect();
            let last = &complaints[complaints.len().saturating_sub(COMPLAINTS_MAX)..];
            eprintln!("the last of {} complaints of {host}:\n{}", complaints.len(), last.join("\n"));
        }
    }
}

impl Deref for Deployed {
    type Target = Application;

    fn deref(&self) -> &Application {
        &self.application
    }
}

#[track_caller]
fn lattice(folder: &Path) -> Lattice {
    done(Lattice::attach(folder, done(Tools::built(&repository()))))
}

/// What has to succeed.
#[track_caller]
pub fn done<T>(result: Result<T, xtask::Failure>) -> T {
    result.unwrap_or_else(|failure| panic!("{failure}"))
}

/// Takes away whatever tests before this one have left: once nothing is handled any more, what is stored. Everything that it is
/// stored in, and everybody who follows it, stays and goes on from there; so how far they have come stays, too.
///
/// Services speak when they like: what one of them appends between the logs' turn and the read models' would be known in one and
/// not in the other. Then all of it is taken away once more.
#[track_caller]
fn empty(application: &Application) {
    let nats = application.nats();
    let deadline = Instant::now() + IDLE_PATIENCE;
    while Instant::now() < deadline {
        let before = written(&nats);
        if !before.keys().all(|log| is_idle(&nats, log)) {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        for stream in before.keys() {
            nats.jetstream(&format!("STREAM.PURGE.{stream}"), json!({}));
        }
        for bucket in buckets(&nats) {
            for begin in [names::doc_keys(0), names::doc_keys(1), TALLIES] {
                purge(&nats, &bucket, begin);
            }
        }
        if written(&nats) == before {
            return;
        }
    }
    begin_anew(&nats);
}

/// How much was ever written to each log, dead letters and streams of services' own among them.
fn written(nats: &Nats) -> BTreeMap<String, u64> {
    let last = |stream: String| {
        let info = nats.jetstream(&format!("STREAM.INFO.{stream}"), json!({}));
        (stream, info["state"]["last_seq"].as_u64().unwrap())
    };
    streams(nats, &LOGS).into_iter().map(last).collect()
}

/// Takes away every log, dead letter and change of generations, and gives services a new generation of their read models, with
/// nothing in it. Whatever is still being handled goes into the one before, which nobody reads any more.
fn begin_anew(nats: &Nats) {
    for stream in streams(nats, &LOGS) {
        nats.jetstream(&format!("STREAM.DELETE.{stream}"), json!({}));
    }
    // Only now, or the new generation would follow the old logs.
    for bucket in buckets(nats) {
        let service = service_of(&bucket);
        let mut generations = value(nats, service, "generation").unwrap_or(json!({ "active": 1 }));
        let read = generations["active"].as_u64().unwrap();
        generations["active"] = json!(read + 1);
        generations["building"] = Value::Null;
        generations["retired"] = json!(read);
        nats.ask(&format!("$KV.{service}.generation"), generations.to_string().as_bytes()).unwrap();
        purge(nats, &bucket, TALLIES);
    }
}

/// Takes away the values whose keys begin so.
fn purge(nats: &Nats, bucket: &str, begin: &str) {
    let those = json!({ "filter": format!("$KV.{}.{begin}>", service_of(bucket)) });
    nats.jetstream(&format!("STREAM.PURGE.{bucket}"), those);
}

fn streams(nats: &Nats, subjects: &[&str]) -> Vec<String> {
    let of = |subject: &&str| {
        let answer = nats.jetstream("STREAM.NAMES", json!({ "subject": subject }));
        let names = answer["streams"].as_array().into_iter().flatten();
        names.filter_map(|name| name.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of).collect()
}

/// Those of services: wasmCloud has buckets of its own, for hosts and for wadm.
fn buckets(nats: &Nats) -> Vec<String> {
    let mut buckets = streams(nats, &["$KV.>"]);
    buckets.retain(|bucket| repository().join("components").join(service_of(bucket)).is_dir());
    buckets
}

/// What is in the bucket of a service.
fn value(nats: &Nats, service: &str, key: &str) -> Option<Value> {
    let value = nats.ask(&format!("$JS.API.DIRECT.GET.KV_{service}.$KV.{service}.{key}"), b"").ok()?;
    serde_json::from_slice(&value).ok()
}

fn service_of(bucket: &str) -> &str {
    bucket.trim_start_matches("KV_")
}

/// Whether everybody who follows this log has handled all of it. What waits for its time is asked no more once it is gone.
fn is_idle(nats: &Nats, log: &str) -> bool {
    let consumers = nats.jetstream(&format!("CONSUMER.LIST.{log}"), json!({}));
    let is_timer = |consumer: &Value| {
        let service = consumer["config"]["deliver_group"].as_str();
        service.is_some_and(|service| consumer["name"] == names::timer_consumer(service))
    };
    let left = |consumer: &Value| {
        consumer["num_pending"].as_u64().unwrap_or(1) + consumer["num_ack_pending"].as_u64().unwrap_or(1)
    };
    let mut consumers = consumers["consumers"].as_array().into_iter().flatten();
    consumers.all(|consumer| is_timer(consumer) || left(consumer) == 0)
}
