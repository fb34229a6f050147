//! The repository's application, configured for a test.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::json;
use trellis_manifest::{FILE, Manifest};

use crate::repository;

/// Keys with which somebody calls: Ann, whom nobody trusts with anything, Mia the moderator, and Olaf the operator and admin.
pub const ANN: &str = "key-of-ann";
pub const MIA: &str = "key-of-mia";
pub const OLAF: &str = "key-of-olaf";

/// What the gateway knows of a key is its SHA-256.
const HOLDERS: [(&str, &str, &[&str]); 3] = [
    ("ca64daa8b294dc4835d29ca02a6a47427ebc6a225ea3ac2e15f8417fb6601db2", "ann", &[]),
    ("a3be6886ea240ca8ad8cc0654c72cc42c3e4ddf68ec648349404917d7c8e586a", "mia", &["moderator"]),
    (
        "873f319f16893f7994215c30b18e3fba0469007fb09b543c45f52803cc918e8d",
        "olaf",
        &["operator", "moderator", "admin"],
    ),
];

/// A setting: of which service, which key, which value.
pub type Setting<'a> = (&'a str, &'a str, &'a str);

/// A manifest: that of the repository, with these settings, without limits, and with keys.
pub fn configured(settings: &[Setting<'_>]) -> Manifest {
    let keys: serde_json::Map<_, _> = HOLDERS
        .iter()
        .map(|(hash, name, roles)| ((*hash).to_owned(), json!({ "name": name, "roles": roles })))
        .collect();
    let keys = serde_json::Value::from(keys).to_string();
    let mut all: Vec<Setting<'_>> = vec![("gateway", "api-keys", &keys)];
    for service in ["gateway", "accounts"] {
        if !settings.iter().any(|setting| (setting.0, setting.1) == (service, "limits")) {
            all.push((service, "limits", "off"));
        }
    }
    all.extend(settings);
    let text = std::fs::read_to_string(repository().join("wadm.yaml")).unwrap();
    let mut manifest = Manifest::read(&text).unwrap();
    for image in manifest.images_mut() {
        if let Some(file) = image.strip_prefix(FILE) {
            *image = format!("{FILE}{}", repository().join(file).display());
        }
    }
    // A lattice starts a component anew if its settings have another name; that they are others comes to it at some time.
    let mut hasher = DefaultHasher::new();
    all.hash(&mut hasher);
    let name = format!("of-{:016x}", hasher.finish());
    for (service, key, value) in all {
        let [plain, renamed] = [format!("{service}-service"), format!("{service}-{name}-service")];
        let mut configs = manifest.configs_mut();
        let config = configs.find(|config| config.name == plain || config.name == renamed);
        let config = config.unwrap_or_else(|| panic!("wadm.yaml has no config {plain}"));
        config.name = renamed;
        config.properties.get_or_insert_default().insert(key.to_owned(), value.to_owned());
    }
    manifest
}
