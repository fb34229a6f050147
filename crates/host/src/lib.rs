//! The embedded host: runs the components of a wadm manifest in this process.
//!
//! * [`manifest`] turns `wadm.yaml` into an [`Application`](manifest::Application): decisions only.
//! * [`App::start`] makes it run, on the [`Env`](env::Env) that it is given. Storage, time, randomness and the scheduler all
//!   come from there or from the ambient tokio runtime, so that a simulation can be all of them.
//! * [`server`] answers HTTP for it on real sockets; [`App::http`] is the same without sockets.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use trellis_host::{App, env::{Env, Options}, manifest::Application};
//!
//! let application = Application::read("wadm.yaml".as_ref())?;
//! let app = App::start(&application, Env::real(trellis_store::Store::in_memory(), Options::default())).await?;
//! let request = http::Request::get("http://localhost/posts").body(bytes::Bytes::new())?;
//! let response = app.http("posts", request).await?;
//! # Ok(()) }
//! ```

mod app;
mod bodies;
mod cache;
mod call;
mod capabilities;
mod component;
pub mod control;
mod engine;
pub mod env;
mod files;
mod imports;
mod keys;
mod linker;
mod maker;
pub mod manifest;
mod metrics;
pub mod observe;
mod output;
pub mod outside;
mod permissions;
mod permits;
mod problem;
mod randomness;
pub mod secrets;
pub mod server;
mod start;
mod state;
mod subscriptions;
pub mod threads;
mod waiting;

pub use app::App;
pub use call::Body;
pub use component::CallError;
pub use start::StartError;
