//! The least that a service can be: it says hello at `GET /hello` and `GET /hello/{name}`. Tests start and stop it while
//! the application that has never heard of it runs. At `GET /hello/secrets/{name}` it says of a secret the hash, and how it is
//! printed.

use trellis_kit::config::{self, ExposeSecret};
use trellis_kit::{Problem, Response, Route, Service, id, routes};

#[derive(Debug)]
pub struct Greeter;

impl Service for Greeter {
    const NAME: &str = "hello";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const PARTITIONS: u32 = 0;
    const ROUTES: &[Route] = routes! {
        GET "/hello" => |_| Response::json(200, &"Hello!"),
        GET "/hello/{name}" => |r| Response::json(200, &format!("Hello, {}!", r.param("name"))),
        GET "/hello/secrets/{name}" => |r| secret(&r.param("name")),
    };
}

fn secret(name: &str) -> Result<Response, Problem> {
    let none = || Problem::not_found(format!("There is no secret {name}."));
    let secret = config::secret(name)?.ok_or_else(none)?;
    Response::json(200, &[id::sha256(secret.expose_secret()), format!("{secret:?}")])
}

trellis_kit::statement!(Greeter);

/// It has no contract of its own, only what the kit answers for every service.
#[cfg(target_arch = "wasm32")]
#[allow(
    unsafe_code,
    reason = "the exports of a component are raw functions, written by the binding generators"
)]
mod exports {
    use trellis_kit::rt;

    type Events = rt::Events<super::Greeter>;
    type Http = rt::Http<super::Greeter>;
    rt::export_events!(Events with_types_in trellis_kit::rt::bindings);
    rt::wasi::http::proxy::export!(Http with_types_in trellis_kit::rt::wasi);
}
