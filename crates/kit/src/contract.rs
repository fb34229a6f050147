//! What `wit/common.wit` states for all services, as Rust.

/// The types that all services share.
pub use bindings::trellis::common::types;

#[doc(hidden)]
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
