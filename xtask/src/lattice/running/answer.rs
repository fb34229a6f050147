//! Whether the application that was deployed works, and what is done if it lacks a link.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use trellis_names as names;

use super::{HOSTS_PATIENCE_SECONDS, Lattice, POLL};
use crate::failure::{Failure, Result};
use crate::lattice::accounts::Accounts;
use crate::lattice::http;
use crate::lattice::manifest::{Deployment, Provider};
use crate::lattice::servers::Server;
use crate::process;

/// How long the application may take to answer once everything runs; then its providers are started again, and it gets twice
/// as long.
const ANSWER_PATIENCE: Duration = Duration::from_secs(45);

/// What every service answers by itself: that it has no such path.
const QUESTION: &str = "GET /.well-known/nothing HTTP/1.1\r\nhost: lattice\r\n\r\n";
const ASK_SECONDS: u64 = 60;

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
        for Provider { id, image } in self.deployment.providers() {
            eprintln!(
                "xtask: no answer yet; starting the provider {id} ({image}) again, in case it has missed a link"
            );
            // One that is not there is about to be started: a host was lost, and wadm has noticed that by now.
            let hosts = self.hosts_running().to_string();
            if let Err(failure) =
                self.ask(&["restart-provider", "--hosts", &hosts], HOSTS_PATIENCE_SECONDS, &[&id])
            {
                eprintln!("xtask: {failure}");
            }
        }
        self.answers_within(ANSWER_PATIENCE * 2)
    }

    fn answers_within(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let answers = missing(&self.deployment, &self.servers).and_then(|()| self.each_service_answers());
            let Err(missing) = answers else { return Ok(()) };
            if Instant::now() >= deadline {
                return Err(Failure::new(format!("the application runs and does not work: {missing}")));
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Lattice {
    /// A service that lacks its link to the messaging provider hears what it is asked, and cannot answer.
    fn each_service_answers(&self) -> std::result::Result<(), String> {
        // On each host, as likely as not.
        let times = if self.plan.hosts == 1 { 1 } else { 3 * usize::from(self.plan.hosts) };
        let subjects = self.deployment.services().map(names::request_subject);
        let subjects = subjects.flat_map(|subject| std::iter::repeat_n(subject, times));
        let operator = self.plan.accounts.as_ref().map(|_| Accounts::operator(&self.plan.folder));
        let mut ask = self.ctl(&["unanswered"], ASK_SECONDS);
        ask.args(["--request", QUESTION])
            .args(operator.iter().flat_map(|file| ["--creds".as_ref(), file.as_os_str()]));
        let unanswered = process::output(ask.args(subjects)).map_err(|failure| failure.to_string())?;
        match unanswered.lines().next() {
            Some(subject) => Err(format!("nobody answers a request on {subject}")),
            None => Ok(()),
        }
    }
}

/// Whether the application answers and hears, or what is missing.
pub fn missing(deployment: &Deployment, servers: &[Server]) -> std::result::Result<(), String> {
    let subscribed: Vec<String> = servers.iter().flat_map(Server::subscriptions).collect();
    if let Some(subject) =
        deployment.subjects().find(|subject| !subscribed.iter().any(|other| other == subject))
    {
        return Err(format!("nobody is subscribed to {subject}"));
    }
    let http = &deployment.http;
    match http::get(http, "/readyz") {
        Some((200, _)) => {}
        // A policy that keeps us out: more cannot be seen from here.
        Some((401 | 403, _)) => return Ok(()),
        Some((status, body)) => return Err(format!("GET /readyz answers {status} {body}")),
        None => return Err(format!("nobody answers at http://{http}")),
    }
    // At a first start, services tell each other that they are there.
    let known =
        http::get_json(http, "/openapi.json").map(|document| services_in(&document)).unwrap_or_default();
    // Pages are in no document.
    let has_pages = || matches!(http::get(http, "/"), Some((200, _)));
    let is_known = |name: &&str| known.contains(*name) || (*name == PAGES && has_pages());
    match deployment.services().find(|name| !is_known(name)) {
        Some(service) => Err(format!("the gateway has not heard of {service}")),
        None => Ok(()),
    }
}

/// The service that makes pages.
const PAGES: &str = "web";

/// The services whose operations are in the document of the API: each operation is tagged with the name of its service.
fn services_in(document: &Value) -> BTreeSet<String> {
    let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
    let operations = paths.filter_map(|(_, item)| item.as_object()).flatten();
    let tags = operations.filter_map(|(_, operation)| operation.get("tags")?.as_array()).flatten();
    tags.filter_map(|tag| tag.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_are_those_whose_operations_are_documented() {
        let document = json!({ "paths": {
            "/posts": { "post": { "tags": ["posts"] }, "get": { "tags": ["query"] }, "summary": "both" },
            "/healthz": { "get": {} },
        } });
        let services: Vec<String> = services_in(&document).into_iter().collect();
        assert_eq!(services, ["posts", "query"]);
        assert!(services_in(&Value::Null).is_empty());
    }
}
