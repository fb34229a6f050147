//! The accounts and their users, signed, as servers and clients read them.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};
use trellis_kit::access::Member;

use crate::folder::{Folder, For};
use crate::jwt;
use crate::manifest::{Credentials, Manifest};
use crate::permissions::Permissions;

/// What hosts tell: a service hears of it that it was linked, and that time passes.
const LATTICE_EVENTS: &str = "wasmbus.evt.*.*";

pub fn write(folder: &Folder, all: &[Member], manifest: &Manifest) -> Result<()> {
    let operator = folder.key(KeyPairType::Operator, "operator")?;
    let [system, lattice, application] =
        ["system", "lattice", "application"].map(|name| folder.key(KeyPairType::Account, name));
    let (system, lattice, application) = (system?, lattice?, application?);

    let (mut roles, mut credentials) = (Vec::new(), BTreeMap::new());
    for member in all {
        let permissions = Permissions::of(member, all, &manifest.links(member.name));
        let signer = folder.key(KeyPairType::Account, &format!("{}-role", member.name))?;
        roles.push(role(member.name, &signer, &permissions));
        let user = Signer { key: &signer, account: &application };
        let signed = user.user(folder, member.name, json!({}))?;
        folder.write_credentials(member.name, &signed)?;
        credentials.insert(member.name, signed);
    }
    for (name, account) in [("lattice", &lattice), ("operator", &application)] {
        let user = Signer { key: account, account };
        folder.write_credentials(name, &user.user(folder, &format!("{name}-user"), unlimited_user())?)?;
    }

    let hears = json!([{
        "name": "lattice events", "subject": LATTICE_EVENTS, "account": lattice.public_key(), "type": "stream",
    }]);
    let tells = json!([{ "name": "lattice events", "subject": LATTICE_EVENTS, "type": "stream" }]);
    let accounts = [
        (&system, "SYSTEM", json!({ "limits": limits(Storage::None) })),
        (&lattice, "LATTICE", json!({ "limits": limits(Storage::Any), "exports": tells })),
        (
            &application,
            "APPLICATION",
            json!({ "limits": limits(Storage::Any), "imports": hears, "signing_keys": roles }),
        ),
    ];
    let system_claims = json!({ "system_account": system.public_key() });
    let mut text = format!(
        "# Made by deploy/accounts: who may do what. There are no secrets in it.\n\
         operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{\n",
        jwt::sign(&operator, "trellis", &operator.public_key(), "operator", system_claims)?,
        system.public_key()
    );
    for (key, name, claims) in accounts {
        let signed = jwt::sign(&operator, name, &key.public_key(), "account", claims)?;
        text += &format!("  # {name}\n  {}: {signed}\n", key.public_key());
    }
    text += "}\n";
    folder.write("accounts.conf", For::Everybody, &text)?;
    folder.write("wadm.yaml", For::Owner, &manifest.with(&credentials))
}

/// Who may sign users of an account.
struct Signer<'a> {
    key: &'a KeyPair,
    account: &'a KeyPair,
}

impl Signer<'_> {
    fn user(&self, folder: &Folder, name: &str, mut claims: Value) -> Result<Credentials> {
        let user = folder.key(KeyPairType::User, name)?;
        if let Value::Object(claims) = &mut claims {
            claims.insert("issuer_account".to_owned(), self.account.public_key().into());
        }
        Ok(Credentials {
            jwt: jwt::sign(self.key, name, &user.public_key(), "user", claims)?,
            seed: user.seed().map_err(|error| anyhow!("the key of {name} has no seed: {error}"))?,
        })
    }
}

/// What users may do that are signed with this key. They say nothing of it themselves.
fn role(name: &str, signer: &KeyPair, permissions: &Permissions) -> Value {
    let Permissions { publish, subscribe } = permissions;
    let mut template = unlimited_user();
    if let Value::Object(template) = &mut template {
        template.insert("pub".to_owned(), json!({ "allow": publish }));
        template.insert("sub".to_owned(), json!({ "allow": subscribe }));
    }
    json!({ "kind": "user_scope", "key": signer.public_key(), "role": name, "template": template })
}

fn unlimited_user() -> Value {
    json!({ "subs": -1, "data": -1, "payload": -1 })
}

#[derive(Clone, Copy)]
enum Storage {
    None,
    Any,
}

fn limits(storage: Storage) -> Value {
    let mut limits = json!({
        "subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "wildcards": true,
    });
    if let (Value::Object(limits), Storage::Any) = (&mut limits, storage) {
        for name in ["mem_storage", "disk_storage", "streams", "consumer"] {
            limits.insert(name.to_owned(), (-1).into());
        }
    }
    limits
}
