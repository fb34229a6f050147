//! Registry: which services there are. Each says so itself; who stops listening goes missing, and after a while is gone.
//!
//! A service has its public routes from when it registers until it is gone: another that claims one of them meanwhile is
//! in conflict, and does not get it.

mod catalogue;
mod flow;
mod hello;
#[cfg(test)]
mod tests;
mod watch;

use api::{Context, FlowPage, Guest, PageRequest, Problem, Service as Registered, ServicePage};
use catalogue::Catalogue;
use trellis::registry::events::ServiceEvent;
use trellis::registry::types::{Description, ListedRoute, ListedService, Presence, Sighting};
use trellis_kit::{
    Aggregate, Docs, Entity, Event, Failure, Index, Projection, Recorded, Route, Service, Writer, log,
    projections, routes,
};

trellis_kit::bindings!(registry);
trellis_kit::export!(Registry);

#[derive(Debug)]
pub struct Registry;

/// Every service that has ever been there.
const SERVICES: Docs<Registered> = Docs::new("registry", "service");
/// Their names, as they first came.
const ALL: Index = Index::new("registry", "all", Registry::PARTITIONS);
/// Those that are not gone, in one document.
const CATALOGUE: Docs<Catalogue> = Docs::of_one_partition("registry", "catalogue");
/// The id of that document.
const THE_CATALOGUE: &str = "all";

impl Service for Registry {
    const NAME: &str = "registry";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    /// Events of all services are in one order, so that it is known who was there first.
    const PARTITIONS: u32 = 1;
    const ROUTES: &[Route] = routes! {
        GET "/registry" => page(Self::list),
        GET "/registry/{name}" => ok(Self::get),
        GET "/registry/flow" => page(Self::flow),
    };
    const ENTITIES: &[Entity] = &[Entity::of::<Registered>()];
    const FUNCTIONS: &[(&str, &str)] = FUNCTIONS;
    const PROJECTIONS: &[Projection] = projections! { "registry" => follow };
    const WATCHES: bool = true;

    fn look_around() -> Result<(), Failure> {
        watch::look()
    }

    fn hear(_subject: &str, body: &[u8]) -> Result<(), Failure> {
        hello::hear(body)
    }
}

impl Guest for Registry {
    fn list(cx: Context, page: PageRequest) -> Result<ServicePage, Problem> {
        let views = cx.views()?;
        let listed = ALL.list(&views, &page)?;
        let catalogue = CATALOGUE.get(&views, THE_CATALOGUE)?.unwrap_or_default();
        let services = SERVICES.get_many(&views, &listed.ids)?;
        let items = services.into_iter().map(|service| shown(service, &catalogue)).collect();
        Ok(ServicePage { items, next: listed.next })
    }

    fn get(cx: Context, name: String) -> Result<Registered, Problem> {
        cx.load(&name)
    }

    fn flow(cx: Context, page: PageRequest) -> Result<FlowPage, Problem> {
        let views = cx.views()?;
        let listed = ALL.list(&views, &page)?;
        let services = SERVICES.get_many(&views, &listed.ids)?;
        let items = services.into_iter().map(flow::of).collect::<Result<_, _>>()?;
        Ok(FlowPage { items, next: listed.next })
    }
}

fn shown(service: Registered, catalogue: &Catalogue) -> ListedService {
    let Registered { name, description, presence, since, version: _ } = service;
    let Description { version, routes, stream, partitions, projects, reacts_to, .. } = description;
    let routes = routes.into_iter().map(|route| {
        let conflict = catalogue.conflict(&name, &route).map(str::to_owned);
        ListedRoute { method: route.method, path: route.path, public: route.public, conflict }
    });
    let routes = routes.collect();
    ListedService { name, version, presence, since, routes, stream, partitions, projects, reacts_to }
}

impl Event for ServiceEvent {
    const OF: &str = "service";
}

impl Aggregate for Registered {
    type Service = Registry;
    type Event = ServiceEvent;

    fn id(&self) -> &str {
        &self.name
    }

    fn evolve(before: Option<Self>, event: &ServiceEvent) -> Option<Self> {
        let seen = |to: &Sighting, before: Option<Self>| Self {
            name: to.description.name.clone(),
            description: to.description.clone(),
            presence: Presence::Present,
            since: to.at.clone(),
            version: before.map_or(1, |before| before.version + 1),
        };
        let unseen = |presence, at: &String, before: Self| Self {
            presence,
            since: at.clone(),
            version: before.version + 1,
            ..before
        };
        match (event, before) {
            (ServiceEvent::Registered(to), before) => Some(seen(to, before)),
            (ServiceEvent::Changed(to), Some(before)) if before.presence == Presence::Present => {
                Some(Self { since: before.since.clone(), ..seen(to, Some(before)) })
            }
            (ServiceEvent::Missing(at), Some(before)) if before.presence == Presence::Present => {
                Some(unseen(Presence::Missing, at, before))
            }
            (ServiceEvent::Gone(at), Some(before)) if before.presence == Presence::Missing => {
                Some(unseen(Presence::Gone, at, before))
            }
            _ => None,
        }
    }
}

fn follow(event: &Recorded<ServiceEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    let service: Registered = event.state()?;
    SERVICES.put(writer, &event.entity, &service)?;
    if event.version == 1 {
        ALL.add(writer, &event.entity)?;
    }
    CATALOGUE.update(writer, THE_CATALOGUE, |catalogue| {
        let mut catalogue = catalogue.unwrap_or_default();
        match &event.data {
            ServiceEvent::Registered(to) => {
                catalogue.register(event.seq, &to.description);
                complain(&to.description, &catalogue);
            }
            ServiceEvent::Changed(to) => {
                catalogue.change(&to.description);
                complain(&to.description, &catalogue);
            }
            ServiceEvent::Missing(_) => {}
            ServiceEvent::Gone(_) => catalogue.remove(&event.entity),
        }
        Some(catalogue)
    })
}

/// Says which routes a service claims in vain.
fn complain(service: &Description, catalogue: &Catalogue) {
    for route in &service.routes {
        if let Some(owner) = catalogue.conflict(&service.name, route) {
            let Description { name, .. } = service;
            log::warn(&format!(
                "{name} does not get {} {}: {owner} has it, and was there first",
                route.method, route.path
            ));
        }
    }
}
