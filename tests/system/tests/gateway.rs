//! The one way in, as the world sees it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use serde_json::{Value, json};
use system::{ANN, MIA, OLAF, Request, Response, Reuse, Runtime, Trellis, eventually};
use tempfile::tempdir;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn policy(rules: &[Value]) -> String {
    let operators =
        json!({ "who": "role:operator", "methods": ["*"], "path": "/gateway/**", "effect": "allow" });
    let rules: Vec<&Value> = rules.iter().chain([&operators]).collect();
    json!({ "rules": rules }).to_string()
}

#[track_caller]
fn assert_problem(answer: &Response, status: u16) {
    assert_eq!(answer.status, status, "{answer:?} {}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["trace_id"].as_str().unwrap().len(), 32);
}

#[test]
fn healthy_ready_and_described() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    assert_eq!(trellis.get("/healthz").json(), json!({ "status": "ok" }));
    assert_eq!(trellis.get("/readyz").status, 200);
    let openapi = trellis.get("/api/openapi.json");
    assert_eq!((openapi.status, &openapi.json()["openapi"]), (200, &"3.1.0".into()));
    assert_eq!(trellis.get("/asyncapi.json").json()["asyncapi"], "3.0.0");
    trellis.stop();
}

#[test]
fn who_calls_is_what_the_gateway_says() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let write = |request: Request| trellis.send(&request).json()["author"].clone();
    let new = || Request::post("/api/posts", r#"{"title": "Hello"}"#);
    assert_eq!(write(new().by(ANN)), "ann");
    assert_eq!(
        write(new().header("trellis-caller", "ann").header("Trellis-Roles", "moderator")),
        Value::Null
    );
    let unknown = trellis.send(&new().by("guess"));
    assert_problem(&unknown, 401);
    assert_eq!(unknown.header("www-authenticate"), Some("Bearer"));
    let queue = |key: Option<&str>| {
        let request = Request::get("/moderation/queue").header("trellis-roles", "moderator");
        trellis.send(&key.map_or(request.clone(), |key| request.by(key))).status
    };
    assert_eq!([queue(None), queue(Some(ANN)), queue(Some(MIA))], [401, 403, 200]);
    trellis.stop();
}

#[test]
fn a_policy_is_in_force_as_soon_as_it_is_answered_and_after_a_restart() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let get = Request::get("/gateway/policy").by(OLAF);
    assert_eq!(trellis.send(&get).json()["version"], 0);
    let read = json!({ "who": "anyone", "methods": ["GET"], "path": "/**", "effect": "allow" });
    let write = json!({ "who": "key:ann", "methods": ["POST"], "path": "/posts", "effect": "allow" });
    let post = |key: Option<&str>| {
        let request = Request::post("/posts", r#"{"title": "Hello"}"#);
        trellis.send(&key.map_or(request.clone(), |key| request.by(key))).status
    };
    for _ in 0..10 {
        for (rules, expected) in
            [(vec![read.clone()], [403, 403, 403]), (vec![read.clone(), write.clone()], [401, 201, 403])]
        {
            let set = trellis.send(&Request::put("/gateway/policy", policy(&rules)).by(OLAF));
            assert_eq!(set.status, 200, "{set:?}");
            assert_eq!([post(None), post(Some(ANN)), post(Some(MIA))], expected);
        }
    }
    assert_problem(&trellis.send(&Request::put("/gateway/policy", policy(&[])).by(MIA)), 403);
    let locked_out = trellis.send(&Request::put("/gateway/policy", r#"{"rules": []}"#).by(OLAF));
    assert_problem(&locked_out, 422);
    let wrong = json!({ "who": "all", "methods": ["GET"], "path": "/", "effect": "deny" });
    let wrong = trellis.send(&Request::put("/gateway/policy", policy(&[wrong])).by(OLAF));
    assert_eq!(wrong.json()["errors"][0]["field"], "rules.0.who");
    assert_eq!(trellis.send(&get).json()["version"], 20);
    trellis.kill();

    let trellis = Trellis::start(data.path());
    let refused = trellis.send(&Request::post("/posts", r#"{"title": "Hello"}"#));
    assert_problem(&refused, 401);
    trellis.stop();
}

#[test]
fn the_config_can_say_the_policy() {
    let data = tempdir().unwrap();
    let read = |path: &str| json!({ "who": "anyone", "methods": ["GET"], "path": path, "effect": "allow" });
    let rules = policy(&["/", "/openapi.json", "/posts"].map(read));
    let trellis = Trellis::start_configured(data.path(), &[("gateway", "policy", &rules)]);
    assert_eq!(trellis.get("/posts").status, 200);
    assert_problem(&trellis.get("/registry"), 403);
    trellis.stop();
}

/// Counted over all instances, whether they serve one request or many.
#[test]
fn limits_are_exact_when_many_ask_at_once() {
    for reuse in Reuse::all() {
        let data = tempdir().unwrap();
        // A day has no end within the test but once a day, and then there is a second one.
        let limits = r#"{"window_seconds": 86400, "reads": 100000, "writes": 40}"#;
        let settings = [("gateway", "limits", limits)];
        let trellis = Trellis::start_reusing(data.path(), &settings, *reuse);
        let client = trellis.client();
        let send = || client.send(&Request::post("/posts", r#"{"title": "Hello"}"#).by(ANN)).unwrap();
        let round = || -> Vec<Response> {
            std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..8).map(|_| scope.spawn(|| (0..10).map(|_| send()).collect::<Vec<_>>())).collect();
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
            })
        };
        // On wasmCloud 2 nobody compares the first counts of a counter: all eight who begin at once may be the first.
        let most = if trellis.runtime() == Runtime::V2 { 47 } else { 40 };
        let day = |answer: &Response| answer.header("ratelimit").unwrap().to_owned();
        let answers = eventually("a round within one day", || {
            let answers = round();
            let through = answers.iter().filter(|answer| answer.status == 201).count();
            assert!(through <= most, "{through} with {reuse:?}");
            (through >= 40).then_some(answers)
        });
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            assert_problem(answer, 429);
            assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
            assert!(day(answer).starts_with("\"writes\";r=0;t="), "{answer:?}");
        }
        let read = trellis.send(&Request::get("/posts").by(ANN));
        assert_eq!(read.header("ratelimit-policy"), Some("\"reads\";q=100000;w=86400"));
        trellis.stop();
    }
}

#[test]
fn pages_of_other_sites() {
    let data = tempdir().unwrap();
    let origins = r#"["https://friend.example"]"#;
    let trellis = Trellis::start_configured(data.path(), &[("gateway", "cors-origins", origins)]);
    let post = |headers: &[(&str, &str)]| {
        let request = Request::post("/posts", r#"{"title": "Hello"}"#);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        trellis.send(&request)
    };
    assert_eq!(post(&[("origin", "https://friend.example"), ("sec-fetch-site", "cross-site")]).status, 201);
    assert_problem(&post(&[("origin", "https://evil.example")]), 403);
    assert_problem(&post(&[("sec-fetch-site", "cross-site")]), 403);
    // The client says that the host is localhost.
    assert_eq!(post(&[("origin", "http://localhost")]).status, 201, "a page of our own");
    trellis.stop();
}

#[test]
fn each_request_is_a_line_in_the_log_and_keeps_its_trace() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let request = Request::get("/nowhere?token=hush").header("traceparent", TRACE).by(ANN);
    assert_eq!(trellis.send(&request).json()["trace_id"], TRACE[3..35]);
    let line = eventually("the line is there", || {
        let output = trellis.output();
        output.lines().find(|line| line.contains("/nowhere")).map(str::to_owned)
    });
    let json = &line[line.find("{\"").unwrap()..=line.rfind('}').unwrap()];
    assert!(json.contains(&TRACE[3..35]) && json.contains("404"), "{line}");
    // A host of wasmCloud 2 writes the whole target before what the gateway says.
    let said = if trellis.runtime() == Runtime::V2 { json } else { &line };
    assert!(!said.contains("hush") && !line.contains(ANN), "{line}");
    trellis.stop();
}

#[test]
fn heads_and_lengths() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    for path in ["/posts", "/healthz", "/nowhere"] {
        let get = trellis.get(path);
        assert_eq!(get.header("content-length"), Some(get.body.len().to_string().as_str()), "{path}");
        let head = trellis.send(&Request::new("HEAD", path));
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        assert_eq!(get.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    assert_problem(&trellis.send(&Request::new("BREW", "/posts")), 405);
    trellis.stop();
}
