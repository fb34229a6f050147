//! What the kit's macros need to reach from inside a component. Not for people.
#![doc(hidden)]

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

pub use crate::statement::Statement;
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
        // What a function takes beside the body.
        additional_derives_ignore: ["context", "page-request"],
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

/// Reads the fields of a record from an object only.
#[derive(Debug)]
pub struct Object<D>(pub D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Object<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, Fields(visitor))
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(Fields(visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Fields<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Fields<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(fields)
    }
}

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
