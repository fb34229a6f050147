//! An application that runs, whatever it runs on: where it is, and what it is asked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::bus::Bus;
use crate::client::{Client, Request, Response};
use crate::eventually;
use crate::nats::Nats;

#[derive(Clone, Debug)]
pub struct Application {
    http: SocketAddr,
    nats: Option<SocketAddr>,
    /// With which arguments a command of `trellis` finds it.
    found_by: Vec<String>,
}

impl Application {
    /// `found_by` are the arguments with which a command of `trellis` finds it.
    pub fn new<A: Into<String>>(
        http: SocketAddr,
        nats: Option<SocketAddr>,
        found_by: impl IntoIterator<Item = A>,
    ) -> Self {
        Self { http, nats, found_by: found_by.into_iter().map(Into::into).collect() }
    }

    pub fn client(&self) -> Client {
        Client::new(self.http)
    }

    /// A client of NATS.
    #[track_caller]
    pub fn nats(&self) -> Nats {
        Nats::new(self.nats_address())
    }

    /// A connection to NATS that can listen.
    #[track_caller]
    pub fn bus(&self) -> Bus {
        Bus::connect(self.nats_address())
    }

    #[track_caller]
    fn nats_address(&self) -> SocketAddr {
        self.nats.expect("it says where NATS is")
    }

    /// Runs another command of `trellis` on this application, to its end.
    #[track_caller]
    pub fn command(&self, arguments: &[&str]) -> Output {
        command().args(arguments).args(&self.found_by).stdin(Stdio::null()).output().unwrap()
    }

    /// What such a command prints that must succeed.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Sends a request that must be answered.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Response {
        self.client().send(request).unwrap_or_else(|error| panic!("no answer to {request:?}: {error}"))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.send(&Request::get(path))
    }

    /// Waits until the gateway has heard of every service: at a first start, they tell each other.
    #[track_caller]
    pub(crate) fn wait_for_routes(&self) {
        let routes = [
            ("/posts", "post"),
            ("/posts", "get"),
            ("/posts/{id}/comments", "post"),
            ("/moderation/queue", "get"),
            ("/registry", "get"),
        ];
        eventually("the gateway knows the services", || {
            let get = |path: &str| match self.client().send(&Request::get(path)) {
                Ok(answer) if answer.status == 200 => Ok(answer),
                other => Err(format!("GET {path}: {other:?}")),
            };
            // Pages are not in the document.
            get("/")?;
            let document = get("/openapi.json")?.json();
            let missing = routes.iter().find(|(path, method)| !document["paths"][path][method].is_object());
            missing.map_or(Ok(()), |route| Err(format!("{route:?} is not in the document")))
        });
    }
}

/// The `trellis` command that was built beside the tests, ready to be given arguments.
pub fn command() -> Command {
    let test = std::env::current_exe().unwrap();
    // The tests are in `<profile>/deps`.
    let program = test.parent().unwrap().parent().unwrap().join("trellis");
    assert!(program.is_file(), "{} is not there: `cargo xtask test` builds it", program.display());
    let mut command = Command::new(program);
    command.current_dir(repository());
    command
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}
