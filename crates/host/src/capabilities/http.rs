//! `wasi:http`: the types, the incoming handler's parameters, and the outgoing handler, which is closed.
//!
//! A component answers HTTP by exporting `wasi:http/incoming-handler`; [`crate::call`] runs it. Asking others over HTTP
//! needs a link to an `http-client` capability; without one every request is refused with `HTTP-request-denied`.

use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Chunks of a response that may wait for a slow reader before the guest has to wait too, and the size of each.
const BODY_CHUNKS: usize = 64;
const BODY_CHUNK_BYTES_MAX: usize = 64 << 10;

/// How `wasi:http` behaves for one component.
#[derive(Debug)]
pub(crate) struct Hooks {
    client: bool,
}

impl Hooks {
    pub(crate) fn new(client: bool) -> Hooks {
        Hooks { client }
    }
}

type Sent = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if !self.client {
            let uri = request.uri().to_string();
            tracing::warn!(
                uri,
                "outgoing HTTP refused: link the component to an http-client capability in the manifest"
            );
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        Box::new(async move {
            let (response, connection) = wasmtime_wasi_http::default_send_request(request, options).await?;
            let connection: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(connection);
            Ok((response.map(http_body_util::BodyExt::boxed_unsync), connection))
        })
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        BODY_CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES_MAX
    }
}
