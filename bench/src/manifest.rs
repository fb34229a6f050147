//! The application as it is measured: `wadm.yaml`, except that nobody's requests are counted or logged, since one client
//! sends more here than anybody may, and that there can be more ways in.

use anyhow::{Context, Result};

const HTTP: &str = "    - name: httpserver\n";

pub fn unlimited() -> Result<String> {
    const SETTINGS: &str = "          - name: gateway-service\n            properties:\n";
    const OFF: &str = "              limits: 'off'\n              access-log: 'off'\n";
    let text = std::fs::read_to_string("wadm.yaml").context("this runs in the root of the repository")?;
    let (before, after) = text.split_once(SETTINGS).context("wadm.yaml has no settings of the gateway")?;
    Ok([before, SETTINGS, OFF, after].concat())
}

/// With an address at which a component answers HTTP without the gateway.
pub fn with_http(manifest: &str, component: &str, address: &str) -> Result<String> {
    let missing = "wadm.yaml has no HTTP server";
    let (before, server) = manifest.split_once(HTTP).context(missing)?;
    let (server, after) = server.split_once("\n\n").context(missing)?;
    let link = format!(
        "
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            name: {component}
            target:
              name: {component}
            source:
              config:
                - name: {component}-http
                  properties:
                    address: {address}

"
    );
    Ok([before, HTTP, server, &link, after].concat())
}

/// With the component that says hello, at an address of its own.
pub fn with_hello(manifest: &str, address: &str) -> Result<String> {
    const HELLO: &str = "    - name: hello
      type: component
      properties:
        image: file://build/test/hello.wasm
      traits:
        - type: spreadscaler
          properties:
            instances: 64

";
    let (before, after) = manifest.split_once(HTTP).context("wadm.yaml has no HTTP server")?;
    with_http(&[before, HELLO, HTTP, after].concat(), "hello", address)
}

/// For `trellis up` in whatever folder the manifest is, with the gateway at this address.
pub fn embedded(manifest: &str, gateway: &str) -> Result<String> {
    let root = std::env::current_dir()?;
    let manifest = manifest.replace("file://build", &format!("file://{}/build", root.display()));
    Ok(manifest.replace("127.0.0.1:8080", gateway))
}
