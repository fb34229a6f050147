//! Other services, as far as their logs tell: what a service under test follows.

/// Plays another service, whose events a test then makes with [`given`](crate::testing::given).
///
/// ```ignore
/// play! {
///     /// The service that posts come from.
///     Posts: sources::POSTS {
///         Post.id by PostEvent: |before, event| match event {
///             PostEvent::Created(post) => Some(post.clone()),
///             PostEvent::Retitled(to) => before.map(|post| Post { title: to.title.clone(), ..post }),
///         }
///     }
/// }
/// ```
/// Each of its entities is named with the field that is its id, with its events, and with what it becomes by them, as
/// [`Aggregate::evolve`](crate::Aggregate::evolve) says it.
#[macro_export]
macro_rules! play {
    ($(#[$docs:meta])* $service:ident: $source:path {
        $($entity:ident.$id:ident by $event:ty: $evolve:expr),+ $(,)?
    }) => {
        $(#[$docs])*
        #[derive(Debug)]
        pub struct $service;

        impl $crate::Service for $service {
            const NAME: &str = $source.name;
            const VERSION: &str = "0.0.0";
            const PARTITIONS: u32 = $source.partitions;
            const ROUTES: &[$crate::Route] = &[];
            const ENTITIES: &[$crate::Entity] = &[$($crate::Entity::of::<$entity>()),+];
        }

        $(
            impl $crate::Aggregate for $entity {
                type Service = $service;
                type Event = $event;

                fn id(&self) -> &str {
                    &self.$id
                }

                fn evolve(before: Option<Self>, event: &$event) -> Option<Self> {
                    let evolve: fn(Option<Self>, &$event) -> Option<Self> = $evolve;
                    evolve(before, event)
                }
            }
        )+
    };
}

pub use play;
