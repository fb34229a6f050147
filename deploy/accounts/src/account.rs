//! The accounts and their users, signed, as servers and clients read them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow};
use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};
use trellis_kit::access::Member;
use trellis_names as names;

use crate::folder::{Folder, For};
use crate::jwt;
use crate::manifest::{Credentials, Link, Manifest};
use crate::network::{self, Import, Party, Way};
use crate::permissions::Permissions;

pub fn write(folder: &Folder, all: &[Member], manifest: &Manifest) -> Result<()> {
    let operator = folder.key(KeyPairType::Operator, "operator")?;
    let mut parties = vec![Party::System, Party::Lattice, Party::Application];
    for member in all {
        parties.extend([Party::Service(member.name), Party::Bucket(member.name)]);
    }
    let mut keys = BTreeMap::new();
    for party in parties {
        keys.insert(party, folder.key(KeyPairType::Account, &account_key(party))?);
    }
    let mut accounts = Accounts { operator, keys, text: String::new() };

    let nothing = BTreeSet::new();
    accounts.add(Party::System, Storage::None, manifest, &nothing, None)?;
    for (party, name) in [(Party::Lattice, "lattice"), (Party::Application, "operator")] {
        accounts.add(party, Storage::Any, manifest, &nothing, None)?;
        let user = User { signer: accounts.key(party)?, account: accounts.key(party)?, name };
        folder.write_credentials(name, &user.sign(folder, &format!("{name}-user"), unlimited_user())?)?;
    }
    let mut credentials = BTreeMap::new();
    for member in all {
        let links = manifest.links(member.name);
        let says = member.publishes(all);
        let imports = network::imports(member, all, manifest, &says);
        let of_messages = Permissions::of(member, &says, &links);
        let of_bucket = Permissions::of_buckets(&Party::Bucket(member.name).name(), &links.buckets);
        for (party, link, storage, imports, permissions) in [
            (Party::Service(member.name), Link::Messages, Storage::None, &imports, of_messages),
            (Party::Bucket(member.name), Link::Bucket, Storage::OneStream, &nothing, of_bucket),
        ] {
            let name = party.name();
            let signer = folder.key(KeyPairType::Account, &format!("{name}-role"))?;
            accounts.add(party, storage, manifest, imports, Some(role(&name, &signer, &permissions)))?;
            let user = User { signer: &signer, account: accounts.key(party)?, name: &name };
            let signed = user.sign(folder, &name, json!({}))?;
            folder.write_credentials(&name, &signed)?;
            credentials.insert((member.name, link), signed);
        }
    }
    folder.write("accounts.conf", For::Everybody, &accounts.configuration()?)?;
    folder.write("wadm.yaml", For::Owner, &manifest.with(&credentials))
}

/// Users of the first two kinds have keys of their own names beside these.
fn account_key(party: Party) -> String {
    match party {
        Party::Service(_) | Party::Bucket(_) => format!("{}-account", party.name()),
        _ => party.name(),
    }
}

/// What servers are told.
struct Accounts {
    operator: KeyPair,
    keys: BTreeMap<Party, KeyPair>,
    text: String,
}

impl Accounts {
    fn key(&self, party: Party) -> Result<&KeyPair> {
        self.keys.get(&party).ok_or_else(|| anyhow!("{} has no account", party.name()))
    }

    fn add(
        &mut self,
        party: Party,
        storage: Storage,
        manifest: &Manifest,
        imports: &BTreeSet<Import>,
        role: Option<Value>,
    ) -> Result<()> {
        let imports = imports
            .iter()
            .map(|import| Ok(import.claim(self.key(import.from)?)))
            .collect::<Result<Vec<_>>>()?;
        let exports: Vec<Value> = network::exports(party, manifest).iter().map(export).collect();
        let claims = json!({
            "limits": limits(storage), "exports": exports, "imports": imports, "signing_keys": Vec::from_iter(role),
        });
        let (name, key) = (party.name(), self.key(party)?);
        let signed = jwt::sign(&self.operator, &name, &key.public_key(), "account", claims)?;
        self.text += &format!("  # {name}\n  {}: {signed}\n", key.public_key());
        Ok(())
    }

    fn configuration(&self) -> Result<String> {
        let system = self.key(Party::System)?.public_key();
        let claims = json!({ "system_account": system });
        Ok(format!(
            "# Made by deploy/accounts: who may do what. There are no secrets in it.\n\
             operator: {}\nsystem_account: {system}\nresolver: MEMORY\nresolver_preload {{\n{}}}\n",
            jwt::sign(&self.operator, "trellis", &self.operator.public_key(), "operator", claims)?,
            self.text
        ))
    }
}

/// Somebody who signs in, and who vouches for that.
struct User<'a> {
    signer: &'a KeyPair,
    account: &'a KeyPair,
    name: &'a str,
}

impl User<'_> {
    fn sign(&self, folder: &Folder, key: &str, mut claims: Value) -> Result<Credentials> {
        let Self { signer, account, name } = self;
        let user = folder.key(KeyPairType::User, key)?;
        if let Value::Object(claims) = &mut claims {
            claims.insert("issuer_account".to_owned(), account.public_key().into());
        }
        Ok(Credentials {
            jwt: jwt::sign(signer, key, &user.public_key(), "user", claims)?,
            seed: user.seed().map_err(|error| anyhow!("the key of {name} has no seed: {error}"))?,
            inbox: names::inbox(name),
        })
    }
}

impl Import {
    fn claim(&self, from: &KeyPair) -> Value {
        json!({
            "name": self.subject, "subject": self.subject, "account": from.public_key(),
            "local_subject": self.local, "type": self.way.name(),
        })
    }
}

fn export((way, subject): &(Way, String)) -> Value {
    json!({ "name": subject, "subject": subject, "type": way.name() })
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
    /// A bucket, and nothing beside it.
    OneStream,
    Any,
}

fn limits(storage: Storage) -> Value {
    let mut limits = json!({
        "subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "wildcards": true,
    });
    let streams = match storage {
        Storage::None => return limits,
        Storage::OneStream => 1,
        Storage::Any => -1,
    };
    if let Value::Object(limits) = &mut limits {
        limits.insert("streams".to_owned(), streams.into());
        for name in ["mem_storage", "disk_storage", "consumer"] {
            limits.insert(name.to_owned(), (-1).into());
        }
    }
    limits
}
