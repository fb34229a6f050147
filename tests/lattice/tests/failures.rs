//! What dies or is held up, under load. What was answered is there once, and every read model is the one that is built anew.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use lattice_tests::{LateWrites, Running, for_a_while, on_every_host, with_buckets_by_way_of};
use system::{Load, configured, done};
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

/// What the key-value provider says of a write without an answer.
const UNKNOWN: &str = "while trying to set a key";

/// Each write by way of one of two providers comes late. Meanwhile its event is delivered again, perhaps to a service that
/// writes by way of the other. Many comments on one post change the same values, so what lands late would cover what is newer.
#[test]
fn writes_that_land_late_change_nothing() {
    const NAME: &str = "late-writes";
    let late = LateWrites::before(|| Running::server_of(NAME));
    let manifest = with_buckets_by_way_of(&on_every_host(&configured(&[])), late.address());
    let mut running = Running::start_with(NAME, 2, 1, manifest);
    let load = Load::on_one_post(&running.application(), 1);
    running.under(load, |_| {
        for_a_while();
        late.hold(true);
        for_a_while();
        late.hold(false);
        for_a_while();
    });
    let unknown: usize = running.hosts().map(|host| running.log(host).matches(UNKNOWN).count()).sum();
    eprintln!("{} writes came late, and {unknown} had no answer", late.held());
    assert!(unknown > 0, "writes came too late for an answer");
}
