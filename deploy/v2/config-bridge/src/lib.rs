//! Gives components on wasmCloud 2 their config: it answers under the version of `wasi:config` that they ask for, with what
//! the host says under the version that it knows.
//!
//! Asked for a secret, it says that there is none. Hosts of wasmCloud 2 give secrets under a version that nobody here asks for; but a
//! component that would only ask if it was told to must start there.

#[cfg(target_arch = "wasm32")]
#[allow(
    unsafe_code,
    missing_debug_implementations,
    clippy::indexing_slicing,
    reason = "written by the binding generator"
)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/deps/config", "../../../wit/deps/secrets"],
        // Of the host's version, the one function that is used.
        inline: "
            package trellis:config-bridge;

            package wasi:config@0.2.0-rc.1 {
                interface store {
                    variant error { upstream(string), io(string) }
                    get-all: func() -> result<list<tuple<string, string>>, error>;
                }
            }

            world bridge {
                import wasi:config/store@0.2.0-rc.1;
                export wasi:config/store@0.2.0-draft;
                export wasmcloud:secrets/store@0.1.0-draft;
                export wasmcloud:secrets/reveal@0.1.0-draft;
            }
        ",
        world: "trellis:config-bridge/bridge",
        generate_all,
    });

    use exports::wasi::config0_2_0_draft::store::{Error, Guest};
    use exports::wasmcloud::secrets::{reveal, store as secrets};
    use wasi::config0_2_0_rc_1::store;

    struct Bridge;

    impl Guest for Bridge {
        fn get(key: String) -> Result<Option<String>, Error> {
            let all = Self::get_all()?;
            Ok(all.into_iter().find_map(|(name, value)| (name == key).then_some(value)))
        }

        fn get_all() -> Result<Vec<(String, String)>, Error> {
            store::get_all().map_err(|error| match error {
                store::Error::Upstream(why) => Error::Upstream(why),
                store::Error::Io(why) => Error::Io(why),
            })
        }
    }

    /// There is none of these.
    enum Secret {}

    impl secrets::GuestSecret for Secret {}

    impl secrets::Guest for Bridge {
        type Secret = Secret;

        fn get(_name: String) -> Result<secrets::Secret, secrets::SecretsError> {
            Err(secrets::SecretsError::NotFound)
        }
    }

    impl reveal::Guest for Bridge {
        fn reveal(secret: secrets::SecretBorrow<'_>) -> secrets::SecretValue {
            match *secret.get::<Secret>() {}
        }
    }

    export!(Bridge);
}
