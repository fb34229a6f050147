//! The application as it is measured: `wadm.yaml`, except that nobody's requests are counted or logged, since one
//! client sends more here than anybody may. There can be more ways in, too.

use std::path::Path;

use anyhow::{Context, Result};
use trellis_manifest::types::{
    Component, ComponentProperties, ConfigDefinition, ConfigProperty, LinkProperty, Properties,
    SpreadScalerProperty, TargetConfig, Trait, TraitProperty,
};
use trellis_manifest::{FILE, Manifest, Parts};

pub fn unlimited() -> Result<Manifest> {
    let text = std::fs::read_to_string("wadm.yaml").context("this runs in the root of the repository")?;
    let mut manifest = Manifest::read(&text)?;
    for (service, name) in [("gateway", "limits"), ("gateway", "access-log"), ("accounts", "limits")] {
        set(&mut manifest, service, name, "off")?;
    }
    Ok(manifest)
}

/// With this in the config of a service.
pub fn set(manifest: &mut Manifest, service: &str, name: &str, value: &str) -> Result<()> {
    let config = manifest.config_mut(&format!("{service}-service"));
    let config = config.with_context(|| format!("wadm.yaml has no settings of {service}"))?;
    config.properties.get_or_insert_default().insert(name.to_owned(), value.to_owned());
    Ok(())
}

/// With these components alone, and the providers.
pub fn only(manifest: &Manifest, components: &[&str]) -> Manifest {
    let mut manifest = manifest.clone();
    manifest
        .components_mut()
        .retain(|component| component.is_provider() || components.contains(&component.name.as_str()));
    let left: Vec<String> = manifest.components().iter().map(|component| component.name.clone()).collect();
    for component in manifest.components_mut() {
        component.traits_mut().retain(|of| match &of.properties {
            TraitProperty::Link(link) => left.contains(&link.target.name),
            _ => true,
        });
    }
    manifest
}

/// With an address at which a component answers HTTP without the gateway.
pub fn with_http(manifest: &Manifest, component: &str, address: &str) -> Result<Manifest> {
    let mut manifest = manifest.clone();
    let server = manifest.component_mut("httpserver").context("wadm.yaml has no HTTP server")?;
    let config = ConfigProperty {
        name: format!("{component}-http"),
        properties: Some([("address".to_owned(), address.to_owned())].into()),
    };
    server.traits_mut().push(Trait::new_link(LinkProperty {
        namespace: "wasi".to_owned(),
        package: "http".to_owned(),
        interfaces: vec!["incoming-handler".to_owned()],
        name: Some(component.to_owned()),
        target: TargetConfig { name: component.to_owned(), ..TargetConfig::default() },
        source: Some(ConfigDefinition { config: vec![config], ..ConfigDefinition::default() }),
        ..LinkProperty::default()
    }));
    Ok(manifest)
}

/// With the component that says hello, at an address of its own.
pub fn with_hello(manifest: &Manifest, address: &str) -> Result<Manifest> {
    let mut manifest = manifest.clone();
    let properties = ComponentProperties {
        image: Some(format!("{FILE}build/test/hello.wasm")),
        application: None,
        id: None,
        config: Vec::new(),
        secrets: Vec::new(),
    };
    let scaler = SpreadScalerProperty { instances: 64, spread: Vec::new() };
    manifest.components_mut().push(Component {
        name: "hello".to_owned(),
        properties: Properties::Component { properties },
        traits: Some(vec![Trait::new_spreadscaler(scaler)]),
    });
    with_http(&manifest, "hello", address)
}

/// For `trellis up` in whatever folder the manifest is, with the gateway at this address.
pub fn embedded(mut manifest: Manifest, gateway: &str) -> Result<Manifest> {
    let root = std::env::current_dir()?;
    for image in manifest.images_mut() {
        if let Some(file) = image.strip_prefix(FILE) {
            *image = format!("{FILE}{}", root.join(file).display());
        }
    }
    for (_, value) in manifest.settings_mut().filter(|(_, value)| *value == "127.0.0.1:8080") {
        gateway.clone_into(value);
    }
    Ok(manifest)
}

/// With what the host can do itself in place of provider processes. It has no key-value store.
pub fn with_builtins(manifest: &Manifest) -> Manifest {
    let mut manifest = manifest.clone();
    for image in manifest.images_mut() {
        if let Some(name) = ["http-server", "messaging-nats"].into_iter().find(|name| image.contains(name)) {
            *image = format!("wasmcloud+builtin://{name}");
        }
    }
    manifest
}

/// Written where `trellis up` finds it.
pub fn write(file: &Path, manifest: &Manifest) -> Result<()> {
    std::fs::write(file, manifest.to_string()).with_context(|| format!("cannot write {}", file.display()))
}
