//! `cargo xtask new service <name>`: a service that builds, passes its tests and answers through the gateway.
//!
//! It is written from templates, in which the service is called `samples` and what it keeps is a `sample`. Besides its own
//! folders it is in `wadm.yaml` alone.

use std::path::PathBuf;

use clap::Subcommand;

use crate::failure::{Failure, Result};
use crate::files;
use crate::process;
use crate::workspace::Workspace;

const CONTRACT: &str = include_str!("new/service.wit.template");
const PACKAGE: &str = include_str!("new/Cargo.toml.template");
const LIBRARY: &str = include_str!("new/lib.rs.template");
const TESTS: &str = include_str!("new/tests.rs.template");
const COMPONENT: &str = include_str!("new/component.yaml.template");
const LINK: &str = include_str!("new/link.yaml.template");

const MANIFEST: &str = "wadm.yaml";
const NAME_LEN_MAX: usize = 32;
/// Words that are names of something else in the code of a service, or in WIT.
const TAKEN: [&str; 12] = [
    "api", "common", "context", "event", "events", "list", "page", "problem", "service", "trellis", "types",
    "world",
];

#[derive(Subcommand)]
pub enum Task {
    /// Write a service: its contract, its code with tests, and its entry in wadm.yaml
    Service {
        /// What it is called: a plural, in small letters
        name: String,
        /// What it keeps one of; the name without its last `s` if not given
        #[arg(long)]
        entity: Option<String>,
    },
}

pub fn run(task: &Task, workspace: &Workspace) -> Result<()> {
    let Task::Service { name, entity } = task;
    let names = Names::new(name, entity.as_deref())?;
    let at = |path: String| workspace.root.join(path);
    let manifest = at(MANIFEST.to_owned());
    let files: [(PathBuf, String); 5] = [
        (at(format!("wit/{name}/{name}.wit")), names.fill(CONTRACT)),
        (at(format!("components/{name}/Cargo.toml")), names.fill(PACKAGE)),
        (at(format!("components/{name}/src/lib.rs")), names.fill(LIBRARY)),
        (at(format!("components/{name}/src/tests.rs")), names.fill(TESTS)),
        (manifest.clone(), with_service(&files::read_text(&manifest)?, &names)?),
    ];
    for folder in ["wit", "components"].map(|folder| at(format!("{folder}/{name}"))) {
        if folder.exists() {
            return Err(Failure::new(format!("{} is there already", folder.display()))
                .remedy("choose another name, or remove the folder"));
        }
    }
    for (file, text) in &files {
        files::create_folder(file.parent().unwrap_or(&workspace.root))?;
        files::write_if_changed(file, text.as_bytes())?;
        eprintln!("  {}", file.strip_prefix(&workspace.root).unwrap_or(file).display());
    }
    // The order of imports follows from the names.
    process::run(process::cargo().current_dir(&workspace.root).args(["fmt", "--package", name]))?;
    eprintln!("\n`cargo xtask up` builds it and runs it with the others; then");
    eprintln!("  curl -i localhost:8080/{name} --json '{{\"text\": \"Hello\"}}'");
    eprintln!("\nIts contract is wit/{name}/{name}.wit: change that first, and then components/{name}.");
    Ok(())
}

/// What stands in the place of `samples` and `sample`.
struct Names {
    service: String,
    entity: String,
}

impl Names {
    fn new(service: &str, entity: Option<&str>) -> Result<Self> {
        let entity = match (entity, service.strip_suffix('s')) {
            (Some(entity), _) | (None, Some(entity)) => entity,
            (None, None) => {
                return Err(Failure::new(format!("{service} is no plural"))
                    .remedy("say with --entity what the service keeps one of"));
            }
        };
        for name in [service, entity] {
            let is_word = (2..=NAME_LEN_MAX).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                && name.starts_with(|first: char| first.is_ascii_lowercase());
            if !is_word || TAKEN.contains(&name) {
                return Err(Failure::new(format!("{name:?} cannot be a name")).remedy(format!(
                    "2 to {NAME_LEN_MAX} small letters and digits, a letter first, and none of {}",
                    TAKEN.join(", ")
                )));
            }
        }
        if entity == service {
            return Err(Failure::new(format!("{service} would be both the service and what it keeps"))
                .remedy("name the service by a plural"));
        }
        Ok(Self { service: service.to_owned(), entity: entity.to_owned() })
    }

    fn fill(&self, template: &str) -> String {
        let Self { service, entity } = self;
        template
            .replace("Samples", &capital(service))
            .replace("samples", service)
            .replace("SAMPLES", &service.to_ascii_uppercase())
            .replace("Sample", &capital(entity))
            .replace("a sample", &format!("{} {entity}", article(entity)))
            .replace("a_sample", &format!("{}_{entity}", article(entity)))
            .replace("sample", entity)
    }
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_ascii_uppercase() + rest
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// The manifest with the component before the first provider, and with what delivers to it behind the other links of the
/// provider of messages. It is edited as text, since its comments are for those who read it.
fn with_service(manifest: &str, names: &Names) -> Result<String> {
    if manifest.lines().any(|line| line.trim() == format!("- name: {}", names.service)) {
        return Err(Failure::new(format!("{MANIFEST} has something that is called {}", names.service))
            .remedy("choose another name"));
    }
    let unknown = |what: &str| Failure::new(format!("{MANIFEST} has no {what}"));
    let lines: Vec<&str> = manifest.lines().collect();
    let begins: Vec<usize> = (0..lines.len()).filter(|at| is_item(&lines, *at)).collect();
    let end_of = |begin: usize| begins.iter().copied().find(|next| *next > begin).unwrap_or(lines.len());
    let of_type = |begin: usize, kind: &str| {
        let item = lines.get(begin..end_of(begin)).unwrap_or_default();
        item.iter().any(|line| line.trim() == format!("type: {kind}"))
    };
    let provider = begins.iter().copied().find(|begin| of_type(*begin, "capability"));
    let provider = above_comments(&lines, provider.ok_or_else(|| unknown("provider"))?);
    let messages = begins.iter().copied().find(|begin| lines.get(*begin) == Some(&"    - name: messaging"));
    let end = above_comments(&lines, end_of(messages.ok_or_else(|| unknown("provider called messaging"))?));
    let part = |lines: Option<&[&str]>| lines.unwrap_or_default().join("\n").trim_end().to_owned();
    let [before, between, after] =
        [part(lines.get(..provider)), part(lines.get(provider..end)), part(lines.get(end..))];
    let [component, link] = [COMPONENT, LINK].map(|template| names.fill(template).trim_end().to_owned());
    let parts = [before, component, between, link, after];
    Ok(parts
        .iter()
        .filter(|part| !part.is_empty())
        .map(|part| format!("{part}\n"))
        .collect::<Vec<_>>()
        .join("\n"))
}

fn is_item(lines: &[&str], at: usize) -> bool {
    lines.get(at).is_some_and(|line| line.starts_with("    - name: "))
}

/// Where the comments begin that stand right above a line.
fn above_comments(lines: &[&str], mut at: usize) -> usize {
    while at > 0 && lines.get(at - 1).is_some_and(|line| line.trim_start().starts_with('#')) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "\
spec:
  components:
    - name: posts
      type: component

    # The one way in.
    - name: httpserver
      type: capability

    - name: messaging
      type: capability
      traits:
        - type: link

    # Values.
    - name: keyvalue
      type: capability
";

    #[test]
    fn the_manifest_has_it_where_it_belongs_and_all_else_as_it_was() {
        let names = Names::new("likes", None).unwrap();
        let text = with_service(SMALL, &names).unwrap();
        let [component, link] = [COMPONENT, LINK].map(|template| names.fill(template));
        assert_eq!(text.replace(&format!("{component}\n"), "").replace(&format!("\n{link}"), ""), SMALL);
        let at = |what: &str| text.find(what).unwrap();
        assert!(at("name: posts") < at("name: likes\n") && at("name: likes\n") < at("# The one way in"));
        assert!(
            at("name: messaging") < at("likes-subscriptions") && at("likes-subscriptions") < at("# Values.")
        );
        assert!(with_service(&text, &names).is_err(), "it is there now");
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        for (service, entity) in [
            ("stock", None),
            ("Likes", None),
            ("my-likes", None),
            ("s", None),
            ("likes", Some("likes")),
            ("likes", Some("event")),
            ("../likes", None),
            ("1likes", None),
        ] {
            assert!(Names::new(service, entity).is_err(), "{service} {entity:?}");
        }
        assert_eq!(
            Names::new("stock", Some("item")).unwrap().fill("Samples of a sample"),
            "Stock of an item"
        );
    }
}
