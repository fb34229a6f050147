//! `trellis up`: the application of a manifest, running in this process until a signal.
//!
//! What is said on standard output is for programs too, and everything else goes to standard error. First comes one line for
//! each component, `name  N at once` or, if it answers HTTP, `name  http://ADDR  N at once`; then `nats  nats://ADDR` and
//! `admin  http://ADDR`, where there are such; and when all of them answer, last `open  http://ADDR`, the first HTTP address of
//! the manifest. A terminal gets the second column aligned.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use trellis_host::App;
use trellis_host::env::{Env, Options};
use trellis_host::manifest::{Application, ComponentPlan};
use trellis_host::observe::Crashes;
use trellis_host::secrets::Secrets;
use trellis_host::server::{ServerLimits, serve, serve_admin};
use trellis_host::threads::RequestThreads;
use trellis_store::Store;

use crate::connection::{NATS_ADDRESS, Published};
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
    /// Let NATS clients connect here, or `off`. By default on 127.0.0.1:4222 or, if that is taken, on any free port of
    /// 127.0.0.1, which other commands find through the data directory
    #[arg(long, value_name = "ADDR")]
    nats: Option<Nats>,
    /// Give components the secrets that the manifest names: a file of mode 0600, with a JSON object of keys and texts
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Serve /metrics, /healthz and /readyz here
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// How many calls an instance of a component serves; 1 makes a fresh one for each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    reuse: Option<u32>,
    /// End an instance at one host call in N, at random, to see that nothing is lost by it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    crash_one_in: Option<u64>,
    /// What decides at which calls instances end
    #[arg(long, value_name = "SEED", default_value_t = 0, requires = "crash_one_in")]
    crash_seed: u64,
    /// Allow addresses that other machines can reach. NATS and the admin port ask nobody who they are
    #[arg(long)]
    allow_remote: bool,
}

/// Whether and where NATS clients are let in.
#[derive(Clone, Copy, Debug)]
enum Nats {
    Off,
    At(SocketAddr),
}

impl FromStr for Nats {
    type Err = String;

    fn from_str(text: &str) -> Result<Nats, String> {
        match text {
            "off" => Ok(Nats::Off),
            address => address
                .parse()
                .map(Nats::At)
                .map_err(|_| "write an IP address and a port, such as 127.0.0.1:4222, or off".to_owned()),
        }
    }
}

impl Up {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let cannot = |error: io::Error| Failure::new(format!("cannot start threads: {error}"));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(cannot)?;
        let count = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let (requests, running) = RequestThreads::start(count).map_err(cannot)?;
        let result = runtime.block_on(self.run_until_signal(requests));
        // Whatever still hangs has had its time.
        drop(running);
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    }

    async fn run_until_signal(self, requests: RequestThreads) -> Result<ExitCode, Failure> {
        // Before anything else, so that no signal finds the default handler.
        let mut signals =
            Signals::new().map_err(|error| Failure::new(format!("cannot handle signals: {error}")))?;
        let mut application = Application::read(&self.manifest)?;
        self.listen_here(&mut application)?;
        let secrets = self.secrets()?;
        let listeners = self.listeners(&application).await?;
        let store = Store::open_dir(&self.data).map_err(|error| Failure::data(&self.data, &error))?;
        let app = App::start(&application, self.env(store.clone(), secrets, requests)).await?;
        let (stop, stopped) = watch::channel(());
        let (mut servers, addresses) = listeners.serve(&app, &application, stopped)?;
        let published = addresses.nats.map(|address| Published::new(&self.data, address)).transpose()?;
        addresses.say(&app, &application);
        let code = signals.next().await;
        tracing::info!("stopping; a second signal stops at once");
        drop(published);
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

    fn secrets(&self) -> Result<Secrets, Failure> {
        let read = self.secrets.as_deref().map(Secrets::read).transpose();
        Ok(read.map_err(|error| Failure::new(format!("--secrets: {error}")))?.unwrap_or_default())
    }

    fn env(&self, store: Store, secrets: Secrets, requests: RequestThreads) -> Env {
        let mut env = Env { secrets, ..Env::real(store, self.options(requests)) };
        if let Some(one_in) = self.crash_one_in {
            tracing::warn!(one_in, seed = self.crash_seed, "instances end at random");
            env.observer = Some(Arc::new(Crashes::new(one_in, self.crash_seed)));
        }
        env
    }

    fn options(&self, requests: RequestThreads) -> Options {
        let default = Options::default();
        Options {
            reuse: self.reuse.unwrap_or(default.reuse),
            cache_dir: cache_dir(),
            request_threads: Some(requests),
            ..default
        }
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
        let nats = match self.nats {
            Some(Nats::At(address)) => Some(address),
            Some(Nats::Off) | None => None,
        };
        let others = [("nats", nats), ("admin", self.admin)];
        let others = others.into_iter().filter_map(|(name, address)| Some((name, address?)));
        http.chain(others).try_for_each(|(name, address)| self.allowed(name, address))?;

        let mut http = Vec::new();
        for plan in &application.http {
            http.push(self.bind(&plan.component, plan.address).await?);
        }
        let nats = match self.nats {
            Some(Nats::At(address)) => Some(self.bind("nats", address).await?),
            Some(Nats::Off) => None,
            None => Some(self.bind_any_nats().await?),
        };
        let admin = match self.admin {
            Some(address) => Some(self.bind("admin", address).await?),
            None => None,
        };
        Ok(Listeners { http, nats, admin })
    }

    async fn bind_any_nats(&self) -> Result<TcpListener, Failure> {
        match TcpListener::bind(NATS_ADDRESS).await {
            Ok(listener) => Ok(listener),
            Err(_) => self.bind("nats", SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await,
        }
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

/// Where all of them listen.
struct Addresses {
    /// In the order of the manifest.
    http: Vec<SocketAddr>,
    nats: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Listeners {
    fn serve(
        self,
        app: &App,
        application: &Application,
        stopped: watch::Receiver<()>,
    ) -> Result<(JoinSet<()>, Addresses), Failure> {
        let addresses = self.addresses().map_err(|error| Failure::new(format!("cannot listen: {error}")))?;
        let mut servers = JoinSet::new();
        let until_stopped = || {
            let mut stopped = stopped.clone();
            // A sender that is gone means the same.
            async move { _ = stopped.changed().await }
        };
        for (plan, listener) in application.http.iter().zip(self.http) {
            let (app, component, stopped) = (app.clone(), plan.component.clone(), until_stopped());
            let serve =
                async move { serve(app, &component, listener, ServerLimits::default(), stopped).await };
            servers.spawn(serve);
        }
        if let Some(listener) = self.nats {
            let (broker, stopped) = (app.broker().clone(), until_stopped());
            servers.spawn(async move {
                if let Err(error) = broker.serve(listener, stopped).await {
                    tracing::error!(%error, "NATS clients are no longer served");
                }
            });
        }
        if let Some(listener) = self.admin {
            servers.spawn(serve_admin(app.clone(), listener, until_stopped()));
        }
        Ok((servers, addresses))
    }

    fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses {
            http: self.http.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?,
            nats: self.nats.as_ref().map(TcpListener::local_addr).transpose()?,
            admin: self.admin.as_ref().map(TcpListener::local_addr).transpose()?,
        })
    }
}

impl Addresses {
    fn say(&self, app: &App, application: &Application) {
        let mut lines = Vec::new();
        let instances: BTreeMap<String, usize> =
            app.components().into_iter().map(|component| (component.name, component.instances)).collect();
        for ComponentPlan { name, .. } in &application.components {
            let http = application.http.iter().zip(&self.http).filter(|(plan, _)| plan.component == *name);
            let addresses: String = http.map(|(_, address)| format!("http://{address}  ")).collect();
            let instances = instances.get(name).copied().unwrap_or_default();
            lines.push((name.clone(), format!("{addresses}{instances} at once")));
        }
        lines.extend(self.nats.map(|address| ("nats".to_owned(), format!("nats://{address}"))));
        lines.extend(self.admin.map(|address| ("admin".to_owned(), format!("http://{address}"))));
        lines.extend(self.http.first().map(|address| ("open".to_owned(), format!("http://{address}"))));
        let longest = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let width = if io::stdout().is_terminal() { longest } else { 0 };
        for (name, what) in lines {
            println!("{name:width$}  {what}");
        }
    }
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
