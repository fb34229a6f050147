//! What dies or is held up, under load. What was answered is there once, and every read model is the one that is built anew.

use lattice_tests::{Running, for_a_while};
use system::done;
use xtask::lattice::Lattice;

/// It is killed, and after a while started again; `wait` sees that it is there.
fn dies_and_comes_back(
    lattice: &mut Lattice,
    process: &str,
    wait: impl FnOnce(&Lattice) -> Result<(), xtask::Failure>,
) {
    for_a_while();
    done(lattice.processes().kill(process));
    for_a_while();
    done(lattice.processes().start_again(process));
    done(wait(lattice));
    for_a_while();
}

#[test]
fn one_host_of_three_is_killed() {
    Running::start("host-killed", 3, 1).under_load(|lattice| {
        dies_and_comes_back(lattice, "host-2", |lattice| lattice.wait_for_hosts(3));
    });
}

/// It holds what was given to it, and is still believed to be there.
#[test]
fn one_host_of_three_is_held_up_and_goes_on() {
    Running::start("host-paused", 3, 1).under_load(|lattice| {
        for_a_while();
        done(lattice.processes().pause("host-3"));
        for_a_while();
        done(lattice.processes().resume("host-3"));
        for_a_while();
    });
}

#[test]
fn the_only_server_is_killed_and_comes_back() {
    Running::start("server-killed", 1, 1).under_load(|lattice| {
        dies_and_comes_back(lattice, "nats-1", Lattice::wait_for_servers);
    });
}

#[test]
fn one_server_of_three_is_killed_and_comes_back() {
    // Whom the load and the application are not connected to may be the leader of anything.
    Running::start("servers", 1, 3).under_load(|lattice| {
        dies_and_comes_back(lattice, "nats-3", Lattice::wait_for_servers);
    });
}
