//! How much there may be of something, and for how long: what several parts of the kit go by.

use std::time::Duration;

/// Events larger than this are refused when they are appended.
pub const EVENT_MAX: usize = 512 * 1024;
/// More partitions than anybody needs: what a stream states beyond that is a mistake.
pub const PARTITIONS_MAX: u32 = 1024;
/// How often an event is tried.
pub const ATTEMPTS: u64 = 8;
/// How old an event may be that is put off once more.
pub const PUT_OFF_MAX: Duration = Duration::from_hours(24);
/// How long a server outside may take for its answer, and how large the answer may be, or what it is sent.
pub const OUTSIDE_PATIENCE_MAX: Duration = Duration::from_secs(8);
pub const OUTSIDE_BODY_MAX: usize = 1024 * 1024;
/// When an event has taken so long, no server outside is asked for it any more, as the embedded host ends what takes ten seconds.
pub const OUTSIDE_TERM: Duration = Duration::from_secs(9);
/// How long an event may take before it is given to somebody else. Handlers stop writing after half of it.
pub const ACK_WAIT: Duration = Duration::from_secs(30);
