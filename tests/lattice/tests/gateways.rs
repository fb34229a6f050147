//! Two gateways, each with an address and a host of its own. What accounts have answered by way of one is in force at both.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lattice_tests::{Running, with_second_gateway};
use serde_json::json;
use system::{Client, Load, OLAF, Request, Response, configured, eventually};

const USERS: usize = 10;
/// Sessions of each that are ended: half of them one by one, the others all at once.
const EACH: usize = 100;
const PASSWORD: &str = "correct horse";
/// How long after an answer a gateway may still go by what was before.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(1);

/// What both gateways refuse somebody by now.
#[derive(Clone)]
struct ShutOut {
    request: Request,
    /// When the change was answered by which they are refused.
    answered: Instant,
}

#[derive(Debug, Default)]
struct Counts {
    /// By status: requests that were sent after the answer.
    refused: BTreeMap<u16, usize>,
    /// Sent after the answer, and in time.
    accepted: usize,
    /// The latest that one of these was sent.
    latest: Duration,
}

struct Gateways {
    clients: [Client; 2],
    shut_out: Mutex<Vec<ShutOut>>,
    counts: Mutex<Counts>,
}

impl Gateways {
    #[track_caller]
    fn send(&self, by: usize, request: &Request) -> Response {
        let answer = self.clients[by % 2].send(request);
        answer.unwrap_or_else(|error| panic!("no answer to {request:?}: {error}"))
    }

    /// Both let somebody in, by which it shows later that they do not.
    #[track_caller]
    fn assert_accept(&self, request: &Request) {
        for by in 0..2 {
            eventually("both gateways let somebody in", || match self.send(by, request) {
                answer if answer.status == 200 => Ok(()),
                other => Err(format!("gateway {by}: {other:?}")),
            });
        }
    }

    /// Changes something by way of one gateway. From the answer on, both are asked until they refuse.
    #[track_caller]
    fn shut_out(&self, by: usize, change: Request, from: Vec<Request>, with: u16) {
        let answer = self.send(by, &change.clone());
        let answered = Instant::now();
        assert!(matches!(answer.status, 200 | 204), "{change:?}: {answer:?}");
        for request in from {
            let shut_out = ShutOut { request, answered };
            for asked in [by + 1, by] {
                let status = loop {
                    if let Some(status) = self.refusal(asked, &shut_out) {
                        break status;
                    }
                };
                assert_eq!(status, with, "{:?}", shut_out.request);
            }
            self.shut_out.lock().unwrap().push(shut_out);
        }
    }

    /// Asks once. Only who has asked in time may be let in.
    #[track_caller]
    fn refusal(&self, by: usize, shut_out: &ShutOut) -> Option<u16> {
        let ShutOut { request, answered } = shut_out;
        let sent = answered.elapsed();
        let status = self.send(by, request).status;
        let mut counts = self.counts.lock().unwrap();
        if matches!(status, 401 | 403) {
            *counts.refused.entry(status).or_default() += 1;
            return Some(status);
        }
        assert_eq!(status, 200, "{request:?}");
        assert!(
            sent < IN_FORCE_WITHIN,
            "gateway {} let somebody in who asked {sent:?} after the answer: {request:?}",
            by % 2
        );
        counts.accepted += 1;
        counts.latest = counts.latest.max(sent);
        None
    }

    /// Whom both have refused once, they refuse from then on.
    #[track_caller]
    fn assert_still_refuses(&self, by: usize, shut_out: &ShutOut) {
        let refusal = self.refusal(by, shut_out);
        assert!(refusal.is_some(), "gateway {} let in again: {:?}", by % 2, shut_out.request);
    }

    /// Goes round over all who are shut out by then.
    fn watch(&self, by: usize, is_done: &AtomicBool) {
        for nth in 0.. {
            if is_done.load(Ordering::SeqCst) {
                break;
            }
            let one = {
                let all = self.shut_out.lock().unwrap();
                all.get(nth % all.len().max(1)).cloned()
            };
            one.iter().for_each(|one| self.assert_still_refuses(by, one));
        }
    }

    /// Opens sessions. The first is kept when the others are ended.
    fn open(&self, user: usize) -> Vec<String> {
        let shown = json!({ "email": format!("{user}@example.org"), "password": PASSWORD }).to_string();
        let open = |nth: usize| {
            let path = if nth == 0 { "/users/signup" } else { "/users/signin" };
            let answer = self.send(nth, &Request::post(path, shown.clone()));
            answer.json()["token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
        };
        (0..=EACH).map(open).collect()
    }

    /// Ends sessions one by one and all at once, takes a role and blocks, by way of one gateway and the other in turn.
    fn change(&self, user: usize, sessions: &[String]) {
        let (kept, others) = sessions.split_first().unwrap();
        let (one_by_one, at_once) = others.split_at(EACH / 2);
        let read = |token: &String| Request::get("/posts?limit=1").by(token);
        let end = |path: &str| Request::new("DELETE", path).by(kept);
        for (nth, token) in one_by_one.iter().enumerate() {
            let id = token.split('.').next().unwrap();
            self.shut_out(user + nth, end(&format!("/users/sessions/{id}")), vec![read(token)], 401);
        }
        self.shut_out(user, end("/users/sessions"), at_once.iter().map(read).collect(), 401);

        let id = kept.split('-').next().unwrap();
        let queue = Request::get("/moderation/queue").by(kept);
        let roles = |roles: &[&str]| {
            let roles = json!({ "roles": roles }).to_string();
            Request::put(&format!("/users/{id}/roles"), roles).by(OLAF)
        };
        assert_eq!(self.send(user, &roles(&["moderator"])).status, 200);
        self.assert_accept(&queue);
        self.shut_out(user, roles(&[]), vec![queue], 403);
        self.assert_accept(&read(kept));
        let block = Request::post(&format!("/users/{id}/block"), "").by(OLAF);
        self.shut_out(user + 1, block, vec![read(kept)], 401);
    }
}

/// Each at once for every user. Whoever fails lets the others end.
fn for_each_user(work: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        let working: Vec<_> = (0..USERS)
            .map(|user| {
                scope.spawn({
                    let work = &work;
                    move || work(user)
                })
            })
            .collect();
        working.into_iter().for_each(|one| one.join().unwrap());
    });
}

#[test]
fn whom_accounts_shut_out_no_gateway_lets_in_a_second_later() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let manifest = with_second_gateway(&configured(&[]), address);
    let lattice = Running::start_with("gateways", 2, 1, manifest);
    let application = lattice.application();
    let gateways = Gateways {
        clients: [application.client(), Client::new(address)],
        shut_out: Mutex::default(),
        counts: Mutex::default(),
    };
    eventually("the second gateway answers", || {
        gateways.clients[1].send(&Request::get("/posts")).ok().filter(|answer| answer.status == 200)
    });

    let opened: Vec<Mutex<Vec<String>>> = (0..USERS).map(|_| Mutex::default()).collect();
    for_each_user(|user| {
        let sessions = gateways.open(user);
        sessions.iter().for_each(|token| gateways.assert_accept(&Request::get("/posts?limit=1").by(token)));
        *opened[user].lock().unwrap() = sessions;
    });

    let load = Load::start(&application, 14);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for by in 0..2 {
            let (gateways, is_done) = (&gateways, &is_done);
            scope.spawn(move || gateways.watch(by, is_done));
        }
        let changed = catch_unwind(AssertUnwindSafe(|| {
            for_each_user(|user| gateways.change(user, &opened[user].lock().unwrap()));
        }));
        is_done.store(true, Ordering::SeqCst);
        changed.unwrap_or_else(|panic| resume_unwind(panic));
    });
    let written = load.finish();

    let shut_out = gateways.shut_out.lock().unwrap();
    assert_eq!(shut_out.len(), USERS * (EACH + 2));
    shut_out.iter().for_each(|one| (0..2).for_each(|by| gateways.assert_still_refuses(by, one)));
    println!(
        "{} sessions ended, {USERS} roles taken and {USERS} users blocked, by way of two gateways in turn, beside {written}. Sent after \
         the answer: {:?}",
        USERS * EACH,
        gateways.counts.lock().unwrap()
    );
}
