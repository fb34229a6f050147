//! What an operator does to an application that works: scale it, restart what it runs on, take it away and bring it back.
//! Under load, what was answered is there once, and every read model is the one that is built anew.

use lattice_tests::{Running, for_a_while, on_every_host, only, updated, with_instances};
use serde_json::json;
use system::{Request, configured, done};

#[test]
fn components_are_scaled_while_they_work() {
    Running::start("scaled", 1, 1).under_load(|lattice| {
        let manifest = on_every_host(&configured(&[]));
        for instances in [4, 64, 8] {
            for_a_while();
            done(lattice.deploy(&with_instances(&manifest, instances)));
        }
    });
}

#[test]
fn components_are_updated_while_they_work() {
    Running::start("updated", 1, 1).under_load(|lattice| {
        let mut manifest = on_every_host(&configured(&[]));
        for component in ["moderation", "comments", "posts", "query", "gateway", "registry", "web"] {
            for_a_while();
            manifest = updated(&manifest, component);
            done(lattice.deploy(&manifest));
        }
        for_a_while();
    });
}

#[test]
fn every_host_is_restarted_one_after_the_other() {
    Running::start("rolling", 3, 1).under_load(|lattice| {
        for host in ["host-1", "host-2", "host-3"] {
            for_a_while();
            done(lattice.processes().stop(host));
            done(lattice.start_host_again(host));
            done(lattice.deploy_again());
        }
        for_a_while();
    });
}

/// What is derived can be made again, and whoever keeps it sees that it has to be.
#[test]
fn buckets_are_emptied_under_their_services() {
    let mut running = Running::start("emptied", 1, 1);
    let nats = running.application().nats();
    running.under_load(|_| {
        for service in ["query", "moderation", "comments", "posts", "registry", "gateway"] {
            for_a_while();
            let answer = nats.jetstream(&format!("STREAM.PURGE.KV_{service}"), json!({}));
            assert_eq!(answer["success"], true, "{answer}");
        }
        for_a_while();
    });
}

/// With the smallest application that is one: to deploy it takes seconds.
#[test]
fn deployed_in_every_way_ten_times_it_works_each_time() {
    let manifest = only(&on_every_host(&configured(&[])), &["gateway", "registry", "posts"]);
    let mut running = Running::start_with("deployed", 1, 1, manifest.clone());
    running.assert_works("deployed");
    for round in 0..10 {
        done(running.replace(&with_instances(&manifest, 16)));
        running.assert_works(&format!("replaced-{round}"));
        done(running.deploy(&with_instances(&manifest, 64)));
        running.assert_works(&format!("scaled-up-{round}"));
        done(running.deploy(&with_instances(&manifest, 4)));
        running.assert_works(&format!("scaled-down-{round}"));
        done(running.undeploy());
        let health = running.application().client().send(&Request::get("/healthz"));
        assert!(health.is_err(), "it is gone: {health:?}");
        done(running.deploy(&manifest));
        running.assert_works(&format!("deployed-{round}"));
    }
}
