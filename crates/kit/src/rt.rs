//! What the kit's macros need to reach from inside a component. Not for people.
#![doc(hidden)]

use std::marker::PhantomData;

pub use crate::contract::bindings;
pub use crate::descriptor::{Described, Followed};
pub use crate::handling::{Due, Timer};
pub use crate::object::Object;
pub use crate::statement::Statement;
pub use serde;
pub use wit_bindgen;

#[cfg(target_arch = "wasm32")]
pub use crate::contract::bindings::export_events;
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

    use super::{Events, Http};
    use crate::contract::bindings::exports::wasmcloud::messaging::handler;
    use crate::http::serve;
    use crate::messages::handle;
    use crate::platform;
    use crate::service::Service;

    impl<S: Service> handler::Guest for Events<S> {
        fn handle_message(message: BrokerMessage) -> Result<(), String> {
            platform::is_of(S::NAME);
            handle::<S>(&message.subject, message.reply_to.as_deref(), &message.body)
        }
    }

    impl<S: Service> incoming_handler::Guest for Http<S> {
        fn handle(request: IncomingRequest, out: ResponseOutparam) {
            platform::is_of(S::NAME);
            serve(S::respond, S::refuse, request, out);
        }
    }
}
