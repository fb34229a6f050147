//! What the kit's macros need to reach from inside a component. Not for people.
#![doc(hidden)]

use std::marker::PhantomData;

pub use serde;
pub use wit_bindgen;

#[allow(
    unsafe_code,
    missing_debug_implementations,
    clippy::indexing_slicing,
    reason = "written by the binding generator"
)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "events",
        additional_derives: [PartialEq, trellis_kit::Wire],
        generate_unused_types: true,
        pub_export_macro: true,
        default_bindings_module: "::trellis_kit::rt::bindings",
        export_macro_name: "export_events",
        runtime_path: "::trellis_kit::rt::wit_bindgen::rt",
        with: {
            "trellis:common/types@0.1.0": generate,
            "wasmcloud:messaging/types@0.2.0": ::wasmcloud_component::wasmcloud::messaging::types,
        },
    });
}
#[cfg(target_arch = "wasm32")]
pub use bindings::export_events;
#[cfg(target_arch = "wasm32")]
pub use wasmcloud_component::wasi;

/// The messaging export of a service.
#[derive(Debug)]
pub struct Events<S>(PhantomData<S>);

/// The `wasi:http` export of a service.
#[derive(Debug)]
pub struct Http<S>(PhantomData<S>);

#[cfg(target_arch = "wasm32")]
mod exports {
    use wasmcloud_component::wasi::exports::http::incoming_handler;
    use wasmcloud_component::wasi::http::types::{IncomingRequest, ResponseOutparam};
    use wasmcloud_component::wasmcloud::messaging::types::BrokerMessage;

    use super::bindings::exports::wasmcloud::messaging::handler;
    use super::{Events, Http};
    use crate::Service;

    impl<S: Service> handler::Guest for Events<S> {
        fn handle_message(message: BrokerMessage) -> Result<(), String> {
            crate::messages::handle::<S>(&message.subject, message.reply_to.as_deref(), &message.body)
        }
    }

    impl<S: Service> incoming_handler::Guest for Http<S> {
        fn handle(request: IncomingRequest, out: ResponseOutparam) {
            crate::http::serve::<S>(request, out);
        }
    }
}
