//! The services of the application.

use trellis_kit::access::Member;

/// A service that `wadm.yaml` has and this has not is an error, so none is forgotten.
pub fn all() -> Vec<Member> {
    vec![
        Member::of::<gateway::Gateway>(),
        Member::of::<registry::Registry>(),
        Member::of::<posts::Posts>(),
        Member::of::<comments::Comments>(),
        Member::of::<moderation::Moderation>(),
        Member::of::<query::Query>(),
        Member::of::<web::Web>(),
    ]
}
