//! What bounds the broker.

use std::time::Duration;

/// Bounds. The defaults are nats-server's where it has them, except for what would not fit into a gigabyte of memory.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Headers and payload of one message.
    pub payload_len_max: usize,
    /// How many messages wait for a subscriber of this process before publishers do.
    pub subscription_queue_len: usize,
    /// How long a publisher waits for slow subscribers before the message is dropped for them.
    pub publish_wait: Duration,
    pub subscriptions_max: usize,
    /// Each may have some tens of kilobytes that are counted nowhere else.
    pub connections_max: u64,
    /// How many of them one address may have. Everybody has the same on one machine or behind a proxy, so it is not few: half,
    /// so that there is always room for somebody else.
    pub connections_of_peer_max: u64,
    /// How many bytes of all clients together were published and are not yet where they go: in a stream, with subscribers.
    /// Beyond that clients are read no further.
    pub incoming_bytes_max: usize,
    /// How many bytes wait for all clients together. When more than half of it is used, whoever has most of it is disconnected
    /// as a slow consumer.
    pub pending_bytes_of_all_max: usize,
    /// How many bytes wait for a connected client before it is disconnected as a slow consumer.
    pub pending_bytes_max: usize,
    /// How long a write to a connected client may take before it is disconnected as a slow consumer.
    pub write_wait: Duration,
    /// How long a message of more than some tens of kilobytes may take to come in: others wait for the room that it takes.
    pub payload_wait: Duration,
    /// How often a silent client is asked whether it is there. After two unanswered questions it is disconnected.
    pub ping_interval: Duration,
    /// How long a new connection may take to introduce itself.
    pub connect_wait: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            payload_len_max: 1024 * 1024,
            subscription_queue_len: 256,
            publish_wait: Duration::from_secs(5),
            subscriptions_max: 1_000_000,
            connections_max: 4 * 1024,
            connections_of_peer_max: 2 * 1024,
            incoming_bytes_max: 64 * 1024 * 1024,
            pending_bytes_of_all_max: 128 * 1024 * 1024,
            pending_bytes_max: 64 * 1024 * 1024,
            write_wait: Duration::from_secs(10),
            payload_wait: Duration::from_secs(10),
            ping_interval: Duration::from_secs(120),
            connect_wait: Duration::from_secs(10),
        }
    }
}
