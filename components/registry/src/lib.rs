//! Registry: which services there are. Each says so itself; one with no subscriber is marked missing, and after a while gone.
//!
//! A service has its public routes from when it registers until it is gone: another that claims one of them meanwhile is
//! in conflict, and does not get it.

mod catalogue;
mod documents;
mod error;
mod events;
mod flow;
mod hello;
#[cfg(test)]
mod tests;
mod watch;

use api::{Cx, DescribedService, EventPage, FlowPage, Guest, PageRequest, Problem, ServicePage, Trace};
use catalogue::{CATALOGUE, Catalogue, THE_CATALOGUE};
use error::RegistryError;
use trellis::registry::events::{DocumentsEvent, ServiceEvent};
use trellis::registry::types::{
    Documents, ListedRoute, ListedService, Outline, Parts, Presence, Service as Registered, Sighting,
};
use trellis_kit::event::Old;
use trellis_kit::services::Others;
use trellis_kit::{
    Aggregate, Docs, Entity, Event, Failure, Index, OPERATOR, Projections, Recorded, Route, Service, Writer,
    log, projections, routes,
};

trellis_kit::bindings!(registry except ServiceEvent);
trellis_kit::export!(Registry);

#[derive(Debug)]
pub struct Registry;

/// Every service that has ever been there.
const SERVICES: Docs<Registered> = Docs::new(sources::REGISTRY, "service");
/// Their names, as they first came.
const ALL: Index = Index::new(sources::REGISTRY, "all");

impl Service for Registry {
    const NAME: &str = "registry";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const GROUP: Option<&str> = Some("platform");
    /// Events of all services are in one order, so that it is known who was there first.
    const PARTITIONS: u32 = sources::REGISTRY.partitions;
    const ROUTES: &[Route] = routes! {
        only(OPERATOR) GET "/registry" => page(Self::list),
        only(OPERATOR) GET "/registry/{name}" => ok(Self::get),
        only(OPERATOR) GET "/registry/flow" => page(Self::flow),
        only(OPERATOR) GET "/registry/{name}/events" => page(Self::list_events),
        only(OPERATOR) GET "/registry/traces/{id}?around" => ok(Self::find_trace),
    };
    const ENTITIES: &[Entity] = &[Entity::of::<Registered>(), Entity::of::<Documents>()];
    const FUNCTIONS: &[(&str, &str)] = FUNCTIONS;
    const PROJECTIONS: Projections =
        projections! { sources::REGISTRY => follow, sources::REGISTRY => documents::follow };
    /// Documents are by themselves since 2.
    const VIEWS_SCHEMA: u32 = 2;
    const WATCHES: bool = true;
    const PROVISIONS: bool = true;

    fn look_around() -> Result<(), Failure> {
        watch::look(Others::of::<Self>())
    }

    fn hear(subject: &str, body: &[u8]) -> Result<(), Failure> {
        hello::hear(subject, body)
    }
}

impl Guest for Registry {
    fn list(cx: &Cx, page: PageRequest) -> Result<ServicePage, Problem> {
        let views = cx.views()?;
        let listed = ALL.list(&views, &page)?;
        let catalogue = CATALOGUE.get(&views, THE_CATALOGUE)?.unwrap_or_default();
        let services = SERVICES.get_many(&views, &listed.ids)?;
        let items = services.into_iter().map(|service| shown(service, &catalogue)).collect();
        Ok(ServicePage { items, next: listed.next })
    }

    fn get(cx: &Cx, name: String) -> Result<DescribedService, Problem> {
        let views = cx.views()?;
        let service = SERVICES.get(&views, &name)?.ok_or(RegistryError::NoSuchService)?;
        let Registered { name, description, presence, since, version, .. } = service;
        let description = documents::whole(&views, description)?;
        Ok(DescribedService { name, description, presence, since, version })
    }

    fn flow(cx: &Cx, page: PageRequest) -> Result<FlowPage, Problem> {
        let views = cx.views()?;
        let listed = ALL.list(&views, &page)?;
        let services = SERVICES.get_many(&views, &listed.ids)?;
        let others = Others::of::<Self>();
        let items =
            services.into_iter().map(|service| flow::of(others, service)).collect::<Result<_, _>>()?;
        Ok(FlowPage { items, next: listed.next })
    }

    fn list_events(cx: &Cx, name: String, page: PageRequest) -> Result<EventPage, Problem> {
        if SERVICES.get(&cx.views()?, &name)?.is_none() {
            return Err(RegistryError::NoSuchService.into());
        }
        events::list(Others::of::<Self>(), &name, &page)
    }

    fn find_trace(cx: &Cx, id: String, around: Option<String>) -> Result<Trace, Problem> {
        let catalogue = CATALOGUE.get(&cx.views()?, THE_CATALOGUE)?.unwrap_or_default();
        let services = catalogue.services.into_iter().map(|entry| entry.name).collect();
        events::find_trace(Others::of::<Self>(), id, services, around.as_deref())
    }
}

fn shown(service: Registered, catalogue: &Catalogue) -> ListedService {
    let Registered { name, description, presence, since, .. } = service;
    let Outline { version, routes, stream, partitions, projects, reacts_to, .. } = description;
    let routes = routes.into_iter().map(|route| {
        let conflict = catalogue.conflict(&name, &route).map(str::to_owned);
        ListedRoute { method: route.method, path: route.path, public: route.public, conflict }
    });
    let routes = routes.collect();
    ListedService { name, version, presence, since, routes, stream, partitions, projects, reacts_to }
}

impl Event for ServiceEvent {
    const OF: &str = "service";
    const SCHEMA: u32 = 2;

    /// Version 1 had the documents in it, and counted no news.
    fn upcast(old: &mut Old) -> Result<(), String> {
        if let Some(sighting) = old.data.as_object_mut() {
            documents::name(sighting)?;
            sighting.insert("news".to_owned(), 0.into());
        }
        let state = old.state.as_object_mut().ok_or("a service is an object")?;
        documents::name(state)?;
        let since = state.get("since").cloned().unwrap_or_default();
        state.insert("news".to_owned(), 0.into());
        state.insert("news_since".to_owned(), since);
        Ok(())
    }
}

impl Aggregate for Registered {
    type Service = Registry;
    type Event = ServiceEvent;

    fn id(&self) -> &str {
        &self.name
    }

    fn evolve(before: Option<Self>, event: &ServiceEvent) -> Option<Self> {
        let seen = |to: &Sighting, before: Option<Self>| {
            let (news, news_since) = match (&before, to.news) {
                (Some(before), 0) => (before.news, before.news_since.clone()),
                (Some(before), 2..) => (to.news, before.news_since.clone()),
                _ => (to.news, to.at.clone()),
            };
            Self {
                name: to.description.name.clone(),
                description: to.description.clone(),
                presence: Presence::Present,
                since: to.at.clone(),
                news,
                news_since,
                version: before.map_or(1, |before| before.version + 1),
            }
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

impl Aggregate for Documents {
    type Service = Registry;
    type Event = DocumentsEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &DocumentsEvent) -> Option<Self> {
        let DocumentsEvent::Noted(Parts { openapi, asyncapi }) = event;
        before.is_none().then(|| Self { id: documents::id_of(openapi, asyncapi), version: 1 })
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
fn complain(service: &Outline, catalogue: &Catalogue) {
    for route in &service.routes {
        if let Some(owner) = catalogue.conflict(&service.name, route) {
            let Outline { name, .. } = service;
            log::warn(&format!(
                "{name} does not get {} {}: {owner} has it, and was there first",
                route.method, route.path
            ));
        }
    }
}
