//! `trellis up`: the application of a manifest, running in this process until a signal.
//!
//! What is said on standard output is for programs too: first one line for each address on which a component answers HTTP,
//! then NATS and the admin port where asked for, each `name  address`. Everything else goes to standard error.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use trellis_host::App;
use trellis_host::env::{Env, Options};
use trellis_host::manifest::Application;
use trellis_host::server::{ServerLimits, serve, serve_admin};
use trellis_store::Store;

use crate::failure::Failure;

/// What still runs this long after a signal is cut off.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The manifest
    #[arg(default_value = "wadm.yaml")]
    manifest: PathBuf,
    /// Where all data is kept; made when missing
    #[arg(long, default_value = "data", value_name = "DIR")]
    data: PathBuf,
    /// Answer HTTP here instead of where the manifest says. Port 0 is any free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Let NATS clients connect here, such as 127.0.0.1:4222
    #[arg(long, value_name = "ADDR")]
    nats: Option<SocketAddr>,
    /// Serve /metrics, /healthz and /readyz here
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// How many calls an instance of a component serves; 1 makes a fresh one for each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    reuse: Option<u32>,
    /// Allow addresses that other machines can reach. NATS and the admin port ask nobody who they are
    #[arg(long)]
    allow_remote: bool,
}

impl Up {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
        let result = runtime.block_on(self.run_until_signal());
        // Whatever still hangs has had its time.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    }

    async fn run_until_signal(self) -> Result<ExitCode, Failure> {
        // Before anything else, so that no signal finds the default handler.
        let mut signals =
            Signals::new().map_err(|error| Failure::new(format!("cannot handle signals: {error}")))?;
        let mut application = Application::read(&self.manifest)?;
        self.listen_here(&mut application)?;
        let listeners = self.listeners(&application).await?;
        let store = Store::open_dir(&self.data).map_err(|error| Failure::data(&self.data, &error))?;
        let app = App::start(&application, Env::real(store.clone(), self.options())).await?;
        let (stop, stopped) = watch::channel(());
        let mut servers = listeners.serve(&app, &application, stopped)?;
        let code = signals.next().await;
        tracing::info!("stopping; a second signal stops at once");
        // Only fails when every server has ended already.
        let _ = stop.send(());
        let stopping = async {
            while servers.join_next().await.is_some() {}
            let all_ended = app.stop(STOP_TIME_MAX).await;
            drop(app);
            store.close().await;
            all_ended
        };
        tokio::select! {
            biased;
            all_ended = stopping => {
                if !all_ended {
                    tracing::warn!("calls that had not ended were cut off");
                }
                Ok(ExitCode::SUCCESS)
            }
            _ = signals.next() => {
                tracing::warn!("stopped at once; what was answered is durable");
                Ok(ExitCode::from(code))
            }
        }
    }

    fn options(&self) -> Options {
        let default = Options::default();
        Options { reuse: self.reuse.unwrap_or(default.reuse), cache_dir: cache_dir(), ..default }
    }

    /// Puts `--listen` in the place of the manifest's addresses.
    fn listen_here(&self, application: &mut Application) -> Result<(), Failure> {
        let Some(listen) = self.listen else { return Ok(()) };
        if application.http.is_empty() {
            return Err(Failure::usage("--listen: no component of the manifest answers HTTP; leave it out"));
        }
        if application.http.len() > 1 && listen.port() != 0 {
            let count = application.http.len();
            return Err(Failure::usage(format!(
                "--listen: the manifest has {count} HTTP addresses, and they cannot share one port; use port 0, or leave it out"
            )));
        }
        application.http.iter_mut().for_each(|http| http.address = listen);
        Ok(())
    }

    async fn listeners(&self, application: &Application) -> Result<Listeners, Failure> {
        let http = application.http.iter().map(|plan| (&*plan.component, plan.address));
        let others = [("nats", self.nats), ("admin", self.admin)];
        let others = others.into_iter().filter_map(|(name, address)| Some((name, address?)));
        http.chain(others).try_for_each(|(name, address)| self.allowed(name, address))?;

        let mut http = Vec::new();
        for plan in &application.http {
            http.push(self.bind(&plan.component, plan.address).await?);
        }
        let nats = match self.nats {
            Some(address) => Some(self.bind("nats", address).await?),
            None => None,
        };
        let admin = match self.admin {
            Some(address) => Some(self.bind("admin", address).await?),
            None => None,
        };
        Ok(Listeners { http, nats, admin })
    }

    fn allowed(&self, name: &str, address: SocketAddr) -> Result<(), Failure> {
        if !address.ip().is_loopback() && !self.allow_remote {
            return Err(Failure::usage(format!(
                "{name}: {address} can be reached by other machines; use 127.0.0.1, or say --allow-remote"
            )));
        }
        Ok(())
    }

    async fn bind(&self, name: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
        TcpListener::bind(address).await.map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "stop what uses it, or choose another with --listen, --nats or --admin"
                }
                _ => "choose another with --listen, --nats or --admin",
            };
            Failure::new(format!("{name}: cannot listen on {address}: {error}; {remedy}"))
        })
    }
}

/// Bound before anything is started, so that a taken port is told at once and nothing has to be undone.
struct Listeners {
    http: Vec<TcpListener>,
    nats: Option<TcpListener>,
    admin: Option<TcpListener>,
}

impl Listeners {
    fn serve(
        self,
        app: &App,
        application: &Application,
        stopped: watch::Receiver<()>,
    ) -> Result<JoinSet<()>, Failure> {
        let mut servers = JoinSet::new();
        let until_stopped = || {
            let mut stopped = stopped.clone();
            // A sender that is gone means the same.
            async move { _ = stopped.changed().await }
        };
        for (plan, listener) in application.http.iter().zip(self.http) {
            say(&plan.component, "http://", &listener)?;
            let (app, component, stopped) = (app.clone(), plan.component.clone(), until_stopped());
            servers.spawn(
                async move { serve(app, &component, listener, ServerLimits::default(), stopped).await },
            );
        }
        if let Some(listener) = self.nats {
            say("nats", "nats://", &listener)?;
            let (broker, stopped) = (app.broker().clone(), until_stopped());
            servers.spawn(async move {
                if let Err(error) = broker.serve(listener, stopped).await {
                    tracing::error!(%error, "NATS clients are no longer served");
                }
            });
        }
        if let Some(listener) = self.admin {
            say("admin", "http://", &listener)?;
            servers.spawn(serve_admin(app.clone(), listener, until_stopped()));
        }
        Ok(servers)
    }
}

fn say(name: &str, scheme: &str, listener: &TcpListener) -> Result<(), Failure> {
    let address = listener.local_addr().map_err(|error| Failure::new(format!("{name}: {error}")))?;
    println!("{name}  {scheme}{address}");
    Ok(())
}

/// `$XDG_CACHE_HOME/trellis/components/<version>`, in the home directory by default.
fn cache_dir() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("trellis/components").join(env!("CARGO_PKG_VERSION")))
}

/// The signals that ask for an end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one. Its exit code is that of a process which the signal has ended.
    async fn next(&mut self) -> u8 {
        let number = tokio::select! {
            biased;
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        };
        u8::try_from(128 + number.as_raw_value()).unwrap_or(1)
    }
}
