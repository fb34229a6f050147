//! The macros with which authors write.

/// Makes a component of a service: exports its WIT functions, its routes over HTTP and as messages, and its
/// event handling. What the service says of itself is put beside the code, from where hosts know what it may do.
///
/// Natively it does nothing, so that the crate is a plain library there and its domain can be tested.
#[macro_export]
macro_rules! export {
    ($service:ident) => {
        $crate::statement!($service);
        #[cfg(target_arch = "wasm32")]
        #[allow(
            unsafe_code,
            reason = "the exports of a component are raw functions, written by the binding generators"
        )]
        const _: () = {
            type Events = $crate::rt::Events<$service>;
            type Http = $crate::rt::Http<$service>;
    bindings::export!($service with_types_in bindings);
    $crate::rt::export_events!(Events with_types_in $crate::rt::bindings);
    $crate::rt::wasi::http::proxy::export!(Http with_types_in $crate::rt::wasi);
        };
    };
}

/// A table of [`Route`](crate::Route)s: which function answers, and how.
///
/// ```ignore
/// const ROUTES: &[Route] = routes! {
///     POST "/posts" => created(Self::create),
///     own GET "/posts" => page(Self::list),
///     only(MODERATOR) PUT "/posts/{id}" => ok(Self::retitle),
///     GET "/posts/{id}" => ok(Self::get),
///     GET "/moderation/queue?status" => page(Self::queue),
///     GET "/" => |call| Ok(Response::empty(204)),
/// };
/// ```
/// The function takes the [`Cx`](crate::Cx) and then, each by its type, in the order of the pattern: its words in braces as
/// `String`, the parameters named after its question mark as `Option`, the [`PageRequest`](crate::PageRequest), and a record from the body.
/// A result is answered as `ok`, 200 with the JSON of it; `created`, 201 with the JSON of the entity and where it is found;
/// `accepted`, 202 with the JSON of what is to be done and where it is found; `awaited`, the same, or 201 for a caller who waited with `?wait=` until [something came of it](crate::http::Awaited); `made`, 201 with the JSON of what is found nowhere; `done`, 204, of a function without a result; or `page`, 200 with a part of a list and where the next one is found. A closure can answer with anything.
///
/// A route is for anyone who does not say otherwise. `own` is for services alone. `only(role)` is for callers who are trusted with the
/// role. Gateways hold to it unless their operator says otherwise, so a function whose sense depends on the role
/// [requires](crate::Context::require) it, too.
#[macro_export]
macro_rules! routes {
    (@ [$($done:expr),*]) => { &[$($done),*] };
    (@ [$($done:expr),*] own $($rest:tt)*) => {
        $crate::routes!(@ ($crate::http::Access::Own) [$($done),*] $($rest)*)
    };
    (@ [$($done:expr),*] only($role:expr) $($rest:tt)*) => {
        $crate::routes!(@ ($crate::http::Access::Role($role)) [$($done),*] $($rest)*)
    };
    (@ [$($done:expr),*] $($rest:tt)*) => {
        $crate::routes!(@ ($crate::http::Access::Anyone) [$($done),*] $($rest)*)
    };
    (@ ($access:expr) [$($done:expr),*]
        $method:ident $pattern:literal => $answer:ident($function:path) $(, $($rest:tt)*)?) => {
        $crate::routes!(@ [$($done,)* $crate::http::Route::to(
            stringify!($method),
            $pattern,
            $access,
            |call| $crate::http::answer::$answer(call, $function),
            $crate::http::function::$answer(stringify!($function), &$function),
        )] $($($rest)*)?)
    };
    (@ ($access:expr) [$($done:expr),*] $method:ident $pattern:literal => $call:expr $(, $($rest:tt)*)?) => {
        $crate::routes!(@ [$($done,)* $crate::http::Route::with(
            stringify!($method),
            $pattern,
            $access,
            $call,
        )] $($($rest)*)?)
    };
    ($($lines:tt)*) => { $crate::routes!(@ [] $($lines)*) };
}

/// A table of projections: `sources::POSTS => function`, in which the function takes a [`Recorded`](crate::Recorded) event and
/// a [`Writer`](crate::Writer).
#[macro_export]
macro_rules! projections {
    ($($source:expr => $function:expr),* $(,)?) => {
        $crate::Projections {
            followed: &[$($crate::rt::Followed::by($source, &$function)),*],
            functions: &[$(|event, writer| event.give($function, writer)),*],
        }
    };
}

/// A table of reactions: `sources::POSTS => function`, in which the function takes a [`Recorded`](crate::Recorded) event and
/// a [`Reaction`](crate::Reaction).
#[macro_export]
macro_rules! reactions {
    ($($source:expr => $function:expr),* $(,)?) => {
        $crate::Reactions {
            followed: &[$($crate::rt::Followed::by_reaction($source, &$function)),*],
            functions: &[$(|event, reaction| event.give($function, reaction)),*],
        }
    };
}

/// A table of timers: `sources::POSTS => at(due, act)`. The function `due` takes a [`Recorded`](crate::Recorded) event and says when
/// something is to be done about it, as [`Context::later`](crate::Context::later) writes an instant, or none. The function `act`
/// takes the event and a [`Reaction`](crate::Reaction), as soon as that has come and never before.
///
/// There is one timer for a source. It takes the events in the order of the log: **each is to be due after the same time**. One
/// that is due before others that were stored before it may have to wait for these, but never longer than they do.
///
/// `sources::POSTS => at_once(act)` is a reaction that **needs no order**: 64 events are out at once, of all partitions, so one that
/// takes long or is [put off](crate::Failure::later) holds up none but the sixty-fifth. What comes after an event may be
/// acted on before it, also of the same entity; so `act` decides by what is, and not by what came before.
#[macro_export]
macro_rules! timers {
    (@followed $source:expr, at($due:expr, $act:expr)) => {
        $crate::rt::Followed::by_timer($source, &$due, &$act)
    };
    (@followed $source:expr, at_once($act:expr)) => { $crate::rt::Followed::by_reaction($source, &$act) };
    (@timer at($due:expr, $act:expr)) => {
        $crate::rt::Timer {
            due: $crate::rt::Due::At(|event| event.due($due)),
            act: |event, reaction| event.give($act, reaction),
        }
    };
    (@timer at_once($act:expr)) => {
        $crate::rt::Timer {
            due: $crate::rt::Due::AtOnce,
            act: |event, reaction| event.give($act, reaction),
        }
    };
    ($($source:expr => $when:ident($($function:expr),+)),* $(,)?) => {
        $crate::Timers {
            followed: &[$($crate::timers!(@followed $source, $when($($function),+))),*],
            functions: &[$($crate::timers!(@timer $when($($function),+))),*],
        }
    };
}

/// Puts the statement of a service into its component.
#[macro_export]
macro_rules! statement {
    ($service:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "a section of its own is only for whoever reads it")]
        const _: () = {
            const STATEMENT: $crate::rt::Statement =
                $crate::rt::Statement::of(<$service as $crate::rt::Described>::DESCRIPTOR);
            // The name is `access::SECTION`.
            #[unsafe(link_section = "trellis:service")]
            #[used]
            static BYTES: [u8; STATEMENT.len()] = STATEMENT.bytes();
        };
    };
}
