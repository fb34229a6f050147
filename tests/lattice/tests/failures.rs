//! What dies, under load. What was answered is there once, and every read model is the one that is built anew.

use std::time::{Duration, Instant};

use lattice_tests::{Running, done};

/// How long load goes on before and after what happens.
const WHILE: Duration = Duration::from_secs(5);

fn for_a_while() {
    let end = Instant::now() + WHILE;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn one_host_of_three_is_killed() {
    Running::start("host-killed", 3, 1).under_load(|lattice, _| {
        for_a_while();
        done(lattice.processes().kill("host-2"));
        for_a_while();
        done(lattice.processes().start_again("host-2"));
        done(lattice.wait_for_hosts(3));
        for_a_while();
    });
}
