//! Signed claims, as NATS reads them.

use anyhow::{Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use nkeys::KeyPair;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Version of the claims.
const VERSION: u32 = 2;

/// What `signer` says of the holder of a key. Without the time at which it says so: the same claims are the same text.
pub fn sign(signer: &KeyPair, name: &str, subject: &str, kind: &str, mut claims: Value) -> Result<String> {
    if let Value::Object(claims) = &mut claims {
        claims.insert("type".to_owned(), kind.into());
        claims.insert("version".to_owned(), VERSION.into());
    }
    let mut all = json!({ "iss": signer.public_key(), "name": name, "sub": subject, "nats": claims });
    let id = BASE64.encode(Sha256::digest(all.to_string()));
    if let Value::Object(all) = &mut all {
        all.insert("jti".to_owned(), id.into());
    }
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let text = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(all.to_string()));
    let signature =
        signer.sign(text.as_bytes()).map_err(|error| anyhow!("cannot sign for {name}: {error}"))?;
    Ok(format!("{text}.{}", BASE64.encode(signature)))
}
