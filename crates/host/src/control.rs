//! Asking a running application for its components, and to stop, start and scale them, by messages:
//!
//! | subject | body |
//! |---|---|
//! | `trellis.host.list` | `{}` |
//! | `trellis.host.stop` | `{"component": "posts"}` |
//! | `trellis.host.start` | `{"component": "posts"}`, or with `"manifest": "/path/to/its.yaml"` if it is not part of the application |
//! | `trellis.host.scale` | `{"component": "posts", "instances": 8}` |
//!
//! Nobody answers there on a lattice: its own tools scale and deploy.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trellis_broker::Subject;
use trellis_names::HOST;

use crate::start::StartError;

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Command {
    List {},
    Stop {
        component: String,
    },
    Start {
        component: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest: Option<PathBuf>,
    },
    Scale {
        component: String,
        instances: usize,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    Components(Vec<ComponentStatus>),
    Changed(ComponentStatus),
    /// It was so already.
    Unchanged(ComponentStatus),
    Refused(String),
}

/// A component at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentStatus {
    pub name: String,
    pub running: bool,
    /// How many calls run at once, at most; of a stopped one, when it is started again.
    pub instances: usize,
}

/// What has become of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Made(ComponentStatus),
    /// It was so already.
    None(ComponentStatus),
}

/// Why a component was not stopped, started or scaled.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error(
        "there is no component {name}; there are {known}. One more can be started from a manifest of its own"
    )]
    Unknown { name: String, known: String },
    #[error("{}: there is no component {name}; there are {known}", file.display())]
    NotInManifest { file: PathBuf, name: String, known: String },
    #[error("{0} runs already; stop it before it is started from another manifest")]
    Runs(String),
    #[error("{0} is stopped; start it first")]
    Stopped(String),
    #[error("{0} needs at least one instance; to have none, stop it")]
    Zero(String),
    #[error(
        "{name} cannot have {instances} instances: there is room for {free} beside the other components. Scale another down, \
         or ask for more in the manifest and start the application again"
    )]
    NoRoom { name: String, instances: usize, free: usize },
    #[error("the application is stopping")]
    Stopping,
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Command {
    /// The subject and the body that ask for it.
    pub fn message(&self) -> (String, Vec<u8>) {
        // Names, numbers and paths that were text serialize to an object with one entry.
        let command = serde_json::to_value(self).unwrap_or_default();
        let entry = command.as_object().and_then(|command| command.iter().next());
        let (verb, body) =
            entry.map_or(("", Vec::new()), |(verb, body)| (verb, body.to_string().into_bytes()));
        (format!("{HOST}{verb}"), body)
    }

    pub(crate) fn parse(subject: &Subject, body: &[u8]) -> Result<Command, String> {
        let verb = subject.as_str().strip_prefix(HOST).unwrap_or_default();
        let body = if body.is_empty() { b"{}" } else { body };
        let body: Value =
            serde_json::from_slice(body).map_err(|error| format!("{subject}: not JSON: {error}"))?;
        let command = serde_json::Map::from_iter([(verb.to_owned(), body)]);
        serde_json::from_value(Value::Object(command)).map_err(|error| format!("{subject}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_as_it_was_written() {
        let component = || "posts".to_owned();
        let commands = [
            Command::List {},
            Command::Stop { component: component() },
            Command::Start { component: component(), manifest: None },
            Command::Start { component: component(), manifest: Some("/a/b.yaml".into()) },
            Command::Scale { component: component(), instances: 8 },
        ];
        for command in commands {
            let (subject, body) = command.message();
            assert_eq!(Command::parse(&Subject::new(&subject).unwrap(), &body), Ok(command));
        }
        assert_eq!(Command::parse(&Subject::new("trellis.host.list").unwrap(), b""), Ok(Command::List {}));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let refused = |subject: &str, body: &str| {
            Command::parse(&Subject::new(subject).unwrap(), body.as_bytes()).unwrap_err()
        };
        assert!(refused("trellis.host.fly", "{}").contains("unknown variant `fly`, expected one of `list`"));
        assert!(refused("trellis.host.stop", "{}").contains("missing field `component`"));
        assert!(refused("trellis.host.stop", "posts").contains("not JSON"));
        assert!(refused("trellis.host.scale", r#"{"component":"a","instances":-1}"#).contains("-1"));
        assert!(
            refused("trellis.host.stop", r#"{"component":"a","now":true}"#).contains("unknown field `now`")
        );
    }
}
