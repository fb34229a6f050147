//! Links: who may call what, with which settings.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use trellis_manifest::types::{Component, ConfigProperty, LinkProperty, Properties, TraitProperty};
use trellis_manifest::{SUBSCRIPTIONS, Subscription};

use super::check::{Capability, Checking, capability};
use super::plan::{Application, ComponentPlan, HttpPlan, SubscriptionPlan};
use crate::capabilities::keyvalue::is_bucket_name;

/// Settings that say how to reach NATS, or how buckets come to be there. In one process there is nothing to reach.
const LATTICE_ONLY: [&str; 10] = [
    "cluster_uri",
    "cluster_uris",
    "client_jwt",
    "client_seed",
    "tls_ca",
    "tls_ca_file",
    "ping_interval_sec",
    "js_domain",
    "enable_bucket_auto_create",
    "custom_inbox_prefix",
];

/// One end of a link, as the manifest declares it.
enum End {
    Component,
    Capability(Capability),
}

/// A link with its place in the manifest.
struct Link<'a> {
    at: [String; 2],
    source: &'a Component,
    target: &'a Component,
    properties: &'a LinkProperty,
}

pub(super) fn connect(checking: &mut Checking<'_>, application: &mut Application) {
    let components = checking.manifest.spec.components.clone();
    for (c, source) in components.iter().enumerate() {
        for (t, link) in source.traits.iter().flatten().enumerate() {
            let TraitProperty::Link(properties) = &link.properties else { continue };
            let at = [c.to_string(), t.to_string()];
            let Some(target) = components.iter().find(|other| other.name == properties.target.name) else {
                let what = format!(
                    "the link of {} goes to {}, which is not declared",
                    source.name, properties.target.name
                );
                checking.problem(
                    &path(&at, &["target"]),
                    what,
                    "declare it under spec.components, or correct the name",
                );
                continue;
            };
            let link = Link { at, source, target, properties };
            link.connect(checking, application);
        }
    }
}

fn path<'a>(at: &'a [String; 2], rest: &[&'a str]) -> Vec<&'a str> {
    let [c, t] = at;
    ["spec", "components", c, "traits", t, "properties"].into_iter().chain(rest.iter().copied()).collect()
}

fn end(component: &Component) -> Option<End> {
    match &component.properties {
        Properties::Component { .. } => Some(End::Component),
        // What is not recognised has been reported where it is declared.
        Properties::Capability { properties } => {
            capability(properties.image.as_deref().unwrap_or_default()).map(End::Capability)
        }
    }
}

impl Link<'_> {
    fn connect(&self, checking: &mut Checking<'_>, application: &mut Application) {
        let (Some(source), Some(target)) = (end(self.source), end(self.target)) else { return };
        for interface in &self.properties.interfaces {
            match (&source, &target, self.name_of(interface).as_str()) {
                (End::Component, End::Capability(Capability::KeyValue), "wasi:keyvalue/store") => {
                    self.bucket(checking, application);
                }
                (
                    End::Component,
                    End::Capability(Capability::KeyValue),
                    "wasi:keyvalue/atomics" | "wasi:keyvalue/batch",
                )
                | (End::Component, End::Capability(Capability::Messaging), "wasmcloud:messaging/consumer") => {
                    self.known_only(checking, "target", &["bucket"]);
                }
                (End::Component, End::Capability(Capability::HttpClient), "wasi:http/outgoing-handler") => {}
                (End::Capability(Capability::HttpServer), End::Component, "wasi:http/incoming-handler") => {
                    self.address(checking, application);
                    continue;
                }
                (End::Capability(Capability::Messaging), End::Component, "wasmcloud:messaging/handler") => {
                    self.subscriptions(checking, application);
                    continue;
                }
                _ => {
                    self.impossible(checking, interface);
                    continue;
                }
            }
            let import = self.name_of(interface);
            if let Some(component) = plan(application, &self.source.name) {
                component.imports.push(import);
            }
        }
    }

    fn name_of(&self, interface: &str) -> String {
        format!("{}:{}/{interface}", self.properties.namespace, self.properties.package)
    }

    fn impossible(&self, checking: &mut Checking<'_>, interface: &str) {
        let (name, source, target) = (self.name_of(interface), &self.source.name, &self.target.name);
        let remedy = match (end(self.source), end(self.target)) {
            (Some(End::Component), Some(End::Component)) => {
                "components reach each other by messages here, not by links: remove it"
            }
            _ => {
                "link a component to a capability that provides the interface, or a capability to a component that exports it"
            }
        };
        checking.problem(
            &path(&self.at, &["interfaces"]),
            format!("{source} and {target} cannot be linked by {name}"),
            remedy,
        );
    }

    /// The link's settings for one side, on top of those of the capability itself.
    fn settings(
        &self,
        checking: &mut Checking<'_>,
        side: &str,
        capability: &Component,
    ) -> BTreeMap<String, String> {
        let configs = match side {
            "source" => {
                self.properties.source.as_ref().map(|source| source.config.clone()).unwrap_or_default()
            }
            _ => self.properties.target.config.clone(),
        };
        let mut values = BTreeMap::new();
        if let Properties::Capability { properties } = &capability.properties {
            let [c, _] = &self.at;
            values.extend(checking.resolve(&["spec", "components", c, "properties"], &properties.config));
        }
        values.extend(checking.resolve(&path(&self.at, &[side]), &configs));
        values
    }

    /// Reports a setting at the line where the link gives it; where it does not, at the link's side.
    fn problem_with(
        &self,
        checking: &mut Checking<'_>,
        side: &str,
        setting: &str,
        what: String,
        remedy: &str,
    ) {
        let configs = match side {
            "source" => self.properties.source.as_ref().map(|source| &source.config),
            _ => Some(&self.properties.target.config),
        };
        let gives =
            |config: &ConfigProperty| config.properties.as_ref().is_some_and(|all| all.contains_key(setting));
        match configs.and_then(|configs| configs.iter().position(gives)) {
            Some(i) => {
                let i = i.to_string();
                checking.problem(&path(&self.at, &[side, "config", &i, "properties", setting]), what, remedy);
            }
            None => checking.problem(&path(&self.at, &[side]), what, remedy),
        }
    }

    /// Reports settings that would be ignored.
    fn known_only(
        &self,
        checking: &mut Checking<'_>,
        side: &str,
        known: &[&str],
    ) -> BTreeMap<String, String> {
        let capability = if side == "source" { self.source } else { self.target };
        let settings = self.settings(checking, side, capability);
        for setting in settings.keys() {
            if !known.contains(&setting.as_str()) && !LATTICE_ONLY.contains(&setting.as_str()) {
                let what = format!("the setting {setting} is not honoured by {} here", capability.name);
                let remedy = format!("remove it; known are {}", known.join(", "));
                self.problem_with(checking, side, setting, what, &remedy);
            }
        }
        settings
    }

    fn bucket(&self, checking: &mut Checking<'_>, application: &mut Application) {
        let settings = self.known_only(checking, "target", &["bucket"]);
        let bucket = settings.get("bucket").cloned().unwrap_or_else(|| self.source.name.clone());
        if !is_bucket_name(&bucket) {
            let what = format!("{bucket:?} cannot be the name of a bucket");
            checking.problem(
                &path(&self.at, &["target", "config"]),
                what,
                "use up to 64 letters, digits, - and _",
            );
        }
        let name = self.properties.name.clone().unwrap_or_else(|| "default".to_owned());
        let Some(component) = plan(application, &self.source.name) else { return };
        if component.buckets.insert(name.clone(), bucket).is_some() {
            let what = format!("{} has two key-value links named {name}", self.source.name);
            checking.problem(&path(&self.at, &[]), what, "give one of them another name");
        }
    }

    fn address(&self, checking: &mut Checking<'_>, application: &mut Application) {
        // The provider of a lattice lets pages of every site read answers unless it is told of which; this host, of none.
        let known = ["address", "default_address", "cors_allowed_origins"];
        let settings = self.known_only(checking, "source", &known);
        let at = path(&self.at, &["source"]);
        let Some(text) = settings.get("address").or_else(|| settings.get("default_address")) else {
            let what = format!("the link from {} to {} has no address", self.source.name, self.target.name);
            checking.problem(
                &at,
                what,
                "add source: { config: [{ name: ..., properties: { address: \"127.0.0.1:8000\" } }] }",
            );
            return;
        };
        let Ok(address) = text.parse::<SocketAddr>() else {
            let remedy = "write an IP address and a port, such as 127.0.0.1:8000";
            self.problem_with(
                checking,
                "source",
                "address",
                format!("{text:?} is not an address to listen on"),
                remedy,
            );
            return;
        };
        if address.port() != 0 && application.http.iter().any(|other| other.address == address) {
            let what = format!("{address} is used by two links");
            self.problem_with(checking, "source", "address", what, "give each its own port");
            return;
        }
        application.http.push(HttpPlan {
            line: checking.line(&at),
            component: self.target.name.clone(),
            address,
        });
    }

    fn subscriptions(&self, checking: &mut Checking<'_>, application: &mut Application) {
        let settings = self.known_only(checking, "source", &[SUBSCRIPTIONS]);
        let at = path(&self.at, &["source"]);
        let line = checking.line(&at);
        let list = settings.get(SUBSCRIPTIONS).map(String::as_str).unwrap_or_default();
        for Subscription { subject, queue } in Subscription::list(list) {
            if let Err(error) = trellis_broker::Pattern::new(subject) {
                let remedy = "write subject or subject|queue, with commas between";
                let what = format!("{subject:?} cannot be subscribed to: {error}");
                self.problem_with(checking, "source", SUBSCRIPTIONS, what, remedy);
                continue;
            }
            if let Some(component) = plan(application, &self.target.name) {
                let (subject, queue) = (subject.to_owned(), queue.map(str::to_owned));
                component.subscriptions.push(SubscriptionPlan { line, subject, queue });
            }
        }
    }
}

fn plan<'a>(application: &'a mut Application, name: &str) -> Option<&'a mut ComponentPlan> {
    application.components.iter_mut().find(|component| component.name == name)
}
