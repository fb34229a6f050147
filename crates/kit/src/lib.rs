//! The kit with which every service of Trellis is made.
//!
//! A service implements the functions of its WIT contract and says how its entities follow from their events.
//! Everything between that and the platform is here. `components/posts` is the example to read first; it has
//!
//! * `bindings!(posts)`: the types and functions of `wit/posts`, in Rust and in JSON;
//! * [`Service`]: its name, its routes, its entities, and the events that its read models ([`Docs`], [`Series`], [`Index`],
//!   [`Lists`], [`Shares`]) follow; the documents of the whole are made of these;
//! * the functions themselves, which [create](Cx::create), [load](Cx::load) and
//!   [change](Cx::update) entities, [once](Cx::once) for each idempotency key if need be;
//! * [`Event`] and [`Aggregate`]: what can happen to an entity, and what it becomes then;
//! * [`export!`], which makes a component of all that and puts into it what the service is, and [`testing`] in its tests.
//!
//! # Adding a service
//!
//! 1. `cargo xtask new service likes` writes a service that keeps likes: the contract in `wit/likes`, the code with its tests in
//!    `components/likes`, and the entry in `wadm.yaml`. Nothing else has to know of it; cargo notes it in `Cargo.lock`.
//! 2. `cargo xtask up` builds it and runs it with the others. Once it has set itself up, it says on `trellis.hello.likes` what it
//!    is, and the gateway lets in by its [routes](routes!) whom they are for.
//! 3. Change `wit/likes/likes.wit`: what it keeps, what can happen to that, and what can be asked. Then change
//!    `components/likes`, until `cargo xtask test -E 'package(likes)'` passes. It builds all that tests may need, which takes
//!    minutes the first time and seconds from then on. Give `cargo xtask up` another `--data` when the contract has changed:
//!    until there are events to keep, what is stored needs no versions.
//! 4. `cargo fmt` and `cargo xtask check`.
//!
//! What most services come to need:
//!
//! | to | use |
//! |---|---|
//! | follow what another service tells | `bindings!(likes: posts)`, and a line `sources::POSTS => follow` in [`projections!`] |
//! | do something because of it | the same, and a line in [`reactions!`] |
//! | do something some time after it | the same, and a line `sources::POSTS => at(due, act)` in [`timers!`] |
//! | do something because of it that takes its time, and needs no order | the same, with `at_once(act)` |
//! | try again in a while, as somebody outside cannot do it now | [`Failure::later`]: it counts as no attempt, for a day |
//! | answer at once, or to whoever waits with what came of it | `awaited(Self::pay)` and `?wait` in [`routes!`], with [`Cx::wait_for`] |
//! | ask another service, for somebody who waits | `bindings!(web; posts)`, and `clients::posts::create` with an [`http::Asker`] |
//! | have one entity for two things, whoever asks and how often | [`Cx::execute`] with an id of [`id::derived`] |
//! | change an entity at most once, however often the same request comes | [`Cx::once`]: its answer stays that of the first time |
//! | keep entities in order that belong to one other | [`Cx::create_below`]: they are its family, and share its partition. The ids of a family begin with that of its root, and then `-` |
//! | both: one like for each caller and post | [`Cx::execute`] with an id of `{post}-` and [`id::derived`] |
//! | ask a server that is no part of the application | [`Reaction::send`] or [`Cx::send`], with a link to an `http-client` in `wadm.yaml`; [`outgoing`] has the rest |
//! | know what only the operator knows, as the key of another service | [`config::secret`], and `secrets` in `wadm.yaml` |
//! | keep what nobody else may read | [`Service::PRIVATE`], and `Self::PRIVATE_LOG => function` in [`reactions!`] for what follows from it |
//! | list what belongs to a caller, or to anything else that is of another family | [`Lists::of_anybody`] |
//! | count, by what they belong to | [`Docs::update`] of a document of the same family; each event changes it once |
//! | add up what belongs to a caller, or to anything else that is of another family | [`Shares::update`]: whoever reads puts the shares together |
//! | stand beside others on the page of what flows | [`Service::GROUP`] |
//! | refuse what does not go | an enum of the service's own errors (`thiserror`), and `impl From` of that for [`Problem`]: what each is in HTTP |
//! | let in callers with a role only | `only("moderator")` before the route |
//! | let in callers only who are known | `cx.caller`, or else [`Problem::unauthorized`] |
//! | change what a projection makes of events, or follow a source no more | a higher [`Service::VIEWS_SCHEMA`], but not for a source that is new: all is built anew while the old answers |
//! | change events or entities that are stored | `bindings!(likes except LikeEvent)`, and [`Event`] by hand: a higher [`Event::SCHEMA`], and [`Event::upcast`] for the old ones |
//! | answer with a field more | an `option<…>` in WIT: a caller of today may ask a version that does not know it. Callers of before skip it |
//! | have entities that belong to those of another service | [`Lookup::expect`] of what they belong to, as `components/comments` has it, and its log in [`Service::READS`] |
//! | decide by what another service's entity is just now | [`Lookup::find`], as `components/orders` has it, where its event may not have come yet; and the same |
//! | play the services that it follows, in tests | [`play!`](testing::play), [`testing::given`] with their events, and [`testing::settle`] |
//! | see that nothing is lost or done twice, in tests | [`testing::every_event_twice`] and [`testing::trouble_at_every_call`] |
//!
//! # What is promised
//!
//! Whatever fails, a change is stored once or not at all. A caller who cannot be told which may ask again. An event
//! is handled until it is done or put among the dead letters, and its effect is there once. An instance may be killed
//! at any moment. A rebuild makes everything that is derived anew, while the old answers.
//!
//! A [timer](timers!) acts when its time has come by the clock of the service that has it:
//!
//! * never early, by that clock: not by a millisecond;
//! * within a second, as long as what comes is handled and no clock jumps, however many events wait; a million take no more memory
//!   than a hundred, in the service and in the server, for they wait in the log;
//! * within ten seconds of a step of the service's clock, forth; after a step back it waits until that clock has come to the time
//!   again;
//! * within half a minute of a restart, of the service or the server: whatever is late then is done at once, first come, first
//!   served;
//! * a server's clock matters nowhere on the embedded host. nats-server goes by its date: set forth, events come to be asked
//!   early, and wait on; set back, it asks nothing, which is seen within two minutes;
//! * all its events are due after the same time. One that is due sooner than those before it in the log may wait for these if
//!   they are 64 or more, so it is late by the difference at most. That is also how a new delay in a config begins.
//!
//! What is due and fails is tried again, eight times or more, and is a dead letter then. What is [put off](Failure::later) is tried
//! when it says, or up to ten seconds later, and is a dead letter once it has been due for a day.
//!
//! # What a caller is told
//!
//! A write is answered with the header `Trellis-Position`. A read that brings it back, as that header or as
//! `?position=`, waits up to a second for the read models to have that write. The `Location` of what was created
//! brings it along. What is answered out of read
//! models says in `X-Trellis-Lag` how many events they are behind.
//!
//! # What an operator can ask
//!
//! `GET /readyz` of any service says whether it keeps up with the events that it follows, and `trellis status` asks them
//! all. What a service could not handle is among its dead letters, each of which it can be asked to try again.
//!
//! # What an operator can set
//!
//! The component is subscribed, in a queue group of its name, to the subjects in the table of `messages.rs`. Its config:
//!
//! | key | meaning |
//! |---|---|
//! | `caller-header` | the header in which a gateway says who calls; unset, every caller is anonymous |
//! | `roles-header` | the header in which it says what the caller is trusted with: roles, with commas between them |
//! | `session-header` | the header in which it says by which session the caller is known, and in which it is told the token of a new one |
//! | `name-header` | the header in which it says what the caller wants to be called, encoded as in a path |
//! | `address-header` | the header in which it says where the request comes from |
//! | `jetstream-api` | how the subjects of requests to JetStream begin where services are kept apart; `$JS.API` if unset |
//! | `replicas` | how many servers keep a copy of the service's streams; 1 if unset |
//! | `outgoing-origins` | the servers outside that may be asked, as JSON: `["https://api.example.com"]`; none if unset |
//! | `own-bucket` | `on` where a bucket is called what it is opened as, as on wasmCloud 2: it is opened by the name of the service |
//!
//! # How it is built
//!
//! Imports point one way, from the last of these to the first:
//!
//! 1. `platform`, and the ground that all share: names, limits, errors, and the [`Descriptor`], a service as plain data;
//! 2. `jetstream` and what is spoken with it: streams, deliveries, positions;
//! 3. `models`: documents, lists, their generations and offsets; and [`Cx`], a call that reads them;
//! 4. `eventlog`: events, entities, and how they are stored;
//! 5. `upkeep`: consumers, rebuilds, and whether all keeps up;
//! 6. `handling`: projections, reactions, timers and dead letters; beside it `http` and `describe`;
//! 7. [`Service`], which authors implement, and `messages`, `testing` and the exports, which know all of it.

// The macros speak of this crate by its name, here as everywhere.
extern crate self as trellis_kit;

#[cfg(not(target_arch = "wasm32"))]
pub mod access;
pub mod config;
mod context;
pub mod contract;
mod cx;
mod delivery;
mod describe;
mod descriptor;
mod document;
mod eventlog;
mod failure;
pub mod guard;
mod handling;
pub mod http;
pub mod id;
mod instant;
mod jetstream;
mod json;
mod limits;
pub mod log;
mod lookup;
mod macros;
mod messages;
mod models;
mod object;
pub mod outgoing;
pub mod platform;
mod position;
mod problem;
pub mod rt;
pub mod schema;
mod service;
pub mod services;
mod statement;
mod streams;
pub mod tally;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod text;
pub mod time;
mod trace;
mod undecodable;
mod upkeep;

pub use context::OPERATOR;
pub use contract::types::{Context, PageRequest};
pub use cx::Cx;
pub use descriptor::{Asks, Described, Descriptor, Entity, Followed, Source};
pub use eventlog::{Aggregate, Event, Incoming, Recorded, event};
pub use failure::{Cause, Failure};
pub use handling::{History, Project, Projections, React, Reaction, Reactions, Table, Timer, Timers};
pub use http::{Call, Request, Response, Route};
pub use lookup::Lookup;
pub use models::{
    DocKey, Docs, Glimpse, Index, Listed, Lists, Page, Reader, Series, Shares, Watch, Writer, glance,
};
pub use problem::{FieldError, Problem};
pub use schema::Wire;
pub use service::Service;
pub use trace::Trace;
pub use trellis_kit_macros::{Wire, bindings};
pub use undecodable::Undecodable;
pub use upkeep::readiness::ready;
