//! Whether the application that was deployed works, and what is done if it lacks a link.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{HOSTS_PATIENCE_SECONDS, Lattice, POLL};
use crate::failure::{Failure, Result};
use crate::lattice::http;
use crate::lattice::manifest::Provider;
use crate::lattice::servers::Server;

/// How long the application may take to answer once everything runs; then its providers are started again, and it gets twice
/// as long.
const ANSWER_PATIENCE: Duration = Duration::from_secs(45);

impl Lattice {
    /// Until the application answers and hears.
    ///
    /// A link that is put while a provider is starting can be lost: after the host has told the provider which links
    /// there are, and before the provider listens for more. Nobody notices, wadm neither. A provider that is started when
    /// the links are there gets them all, so one that seems to miss some is started again.
    pub fn wait_for_answer(&self) -> Result<()> {
        if self.answers_within(ANSWER_PATIENCE).is_ok() {
            return Ok(());
        }
        for Provider { id, image } in &self.manifest.providers {
            eprintln!(
                "xtask: no answer yet; starting the provider {id} ({image}) again, in case it has missed a link"
            );
            // One that is not there is about to be started: a host was lost, and wadm has noticed that by now.
            let hosts = self.hosts_running().to_string();
            if let Err(failure) =
                self.ask(&["restart-provider", "--hosts", &hosts], HOSTS_PATIENCE_SECONDS, &[id])
            {
                eprintln!("xtask: {failure}");
            }
        }
        self.answers_within(ANSWER_PATIENCE * 2)
    }

    fn answers_within(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let Err(missing) = self.answers() else { return Ok(()) };
            if Instant::now() >= deadline {
                return Err(Failure::new(format!("the application runs and does not work: {missing}")));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Or what is missing.
    fn answers(&self) -> std::result::Result<(), String> {
        let subscribed: Vec<String> = self.servers.iter().flat_map(Server::subscriptions).collect();
        if let Some(subject) = self.manifest.subjects.iter().find(|subject| !subscribed.contains(subject)) {
            return Err(format!("nobody is subscribed to {subject}"));
        }
        let http = &self.manifest.http;
        match http::get(http, "/readyz") {
            Some((200, _)) => {}
            // A policy that keeps us out: more cannot be seen from here.
            Some((401 | 403, _)) => return Ok(()),
            Some((status, body)) => return Err(format!("GET /readyz answers {status} {body}")),
            None => return Err(format!("nobody answers at http://{http}")),
        }
        // At a first start, services tell each other that they are there.
        let registry = match http::get(http, "/registry?limit=100") {
            // The policy keeps us out, as it is built in: more cannot be seen from here.
            Some((401 | 403, _)) => return Ok(()),
            Some((_, body)) => serde_json::from_str(&body).unwrap_or_default(),
            None => Value::Null,
        };
        let is_present = |name: &&str| {
            let mut services = registry.as_array().into_iter().flatten();
            services.any(|service: &Value| {
                text_of(service, "name") == Some(*name) && text_of(service, "presence") == Some("present")
            })
        };
        match self.manifest.services().find(|name| !is_present(name)) {
            Some(service) => Err(format!("the registry has not heard of {service}")),
            None => Ok(()),
        }
    }
}

fn text_of<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}
