//! What dies, is held up or is replaced, under load. What was answered is there once, and every read model is the one that is
//! built anew.

use std::time::Duration;

use lattice_tests::{Running, done, with_instances};
use system::configured;
use xtask::lattice::Lattice;

/// How long load goes on before and after what happens.
const A_WHILE: Duration = Duration::from_secs(5);

fn for_a_while() {
    std::thread::sleep(A_WHILE);
}

fn start_again(lattice: &mut Lattice, host: &str) {
    done(lattice.processes().start_again(host));
    done(lattice.wait_for_hosts(3));
    for_a_while();
}

#[test]
fn one_host_of_three_is_killed() {
    Running::start("host-killed", 3, 1).under_load(|lattice, _| {
        for_a_while();
        done(lattice.processes().kill("host-2"));
        for_a_while();
        start_again(lattice, "host-2");
    });
}

/// It holds what was given to it, and is still believed to be there.
#[test]
fn one_host_of_three_is_held_up_and_goes_on() {
    Running::start("host-paused", 3, 1).under_load(|lattice, _| {
        for_a_while();
        done(lattice.processes().pause("host-3"));
        for_a_while();
        done(lattice.processes().resume("host-3"));
        for_a_while();
    });
}

#[test]
fn the_only_server_is_killed_and_comes_back() {
    Running::start("server-killed", 1, 1).under_load(|lattice, _| {
        for_a_while();
        done(lattice.processes().kill("nats-1"));
        for_a_while();
        done(lattice.processes().start_again("nats-1"));
        done(lattice.wait_for_servers());
        for_a_while();
    });
}

#[test]
fn one_server_of_three_is_killed_and_comes_back() {
    let mut running = Running::start("servers", 1, 3);
    // Whom the load and the application are not connected to may be the leader of anything.
    running.under_load(|lattice, _| {
        for_a_while();
        done(lattice.processes().kill("nats-3"));
        for_a_while();
        done(lattice.processes().start_again("nats-3"));
        done(lattice.wait_for_servers());
        for_a_while();
    });
}

#[test]
fn components_are_scaled_while_they_work() {
    Running::start("scaled", 1, 1).under_load(|lattice, _| {
        let manifest = lattice_tests::on_every_host(&configured(&[]));
        for instances in [4, 64, 8] {
            for_a_while();
            done(lattice.deploy(&with_instances(&manifest, instances)));
        }
    });
}
