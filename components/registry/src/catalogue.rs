//! Who has which public route.

use trellis_kit::{Docs, Wire, http};

use crate::sources;
use crate::trellis::registry::types::{Outline, Route};

/// It is one document.
pub const CATALOGUE: Docs<Catalogue> = Docs::of_one_partition(sources::REGISTRY, "catalogue");
/// The id of that document.
pub const THE_CATALOGUE: &str = "all";

/// The services that are not gone, the one that has been there longest first.
#[derive(Debug, Default, PartialEq, Wire)]
pub struct Catalogue {
    pub services: Vec<Entry>,
}

#[derive(Debug, PartialEq, Wire)]
pub struct Entry {
    pub name: String,
    /// The event with which it came.
    pub seq: u64,
    /// Its public routes.
    pub routes: Vec<Claim>,
}

/// A method, and a path without the names of its words in braces.
#[derive(Debug, PartialEq, Wire)]
pub struct Claim {
    pub method: String,
    pub shape: String,
}

impl Catalogue {
    /// Takes in a service that has come. One that was only missing keeps its place.
    pub fn register(&mut self, seq: u64, service: &Outline) {
        if self.services.iter().any(|entry| entry.name == service.name) {
            return self.change(service);
        }
        self.services.push(Entry { name: service.name.clone(), seq, routes: claims(service) });
    }

    pub fn change(&mut self, service: &Outline) {
        if let Some(entry) = self.services.iter_mut().find(|entry| entry.name == service.name) {
            entry.routes = claims(service);
        }
    }

    pub fn remove(&mut self, name: &str) {
        self.services.retain(|entry| entry.name != name);
    }

    /// Who has a route that a service claims, if it is somebody else.
    pub fn conflict(&self, service: &str, route: &Route) -> Option<&str> {
        let shape = http::shape(&route.path);
        let claims = |entry: &&Entry| {
            entry.routes.iter().any(|claim| claim.method == route.method && claim.shape == shape)
        };
        let owner = self.services.iter().find(claims)?;
        (route.public && owner.name != service).then_some(owner.name.as_str())
    }
}

fn claims(service: &Outline) -> Vec<Claim> {
    let public = service.routes.iter().filter(|route| route.public);
    public.map(|route| Claim { method: route.method.clone(), shape: http::shape(&route.path) }).collect()
}
