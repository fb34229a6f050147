//! Every route that takes a body, with bodies that are wrong in every way. What is sent is made from what
//! `/openapi.json` says of the route, so that a new route is tested by being there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use serde_json::{Map, Value, json};
use system::{ANN, OLAF, Request, Response, Trellis};
use tempfile::tempdir;

/// More than any body may have.
const TOO_LARGE: usize = 2 << 20;
/// Deeper than any parser should follow.
const DEEP: usize = 100_000;

/// A route that takes a body.
struct Write {
    method: String,
    path: String,
    operation: Value,
    schema: Value,
}

struct Api {
    trellis: Trellis,
    document: Value,
    /// What stands in a path for a word in braces.
    post: String,
    /// What can be ordered.
    ticket: String,
    /// What can be paid.
    order: String,
}

/// Texts of which a schema does not know what they must be, each with another one.
const KNOWN: [(&str, &str, &str); 6] = [
    ("currency", "EUR", "USD"),
    ("email", "x@example.org", "y@example.org"),
    ("password", "correct horse", "another horse"),
    ("current_password", "correct horse", "another horse"),
    ("new_password", "another horse", "correct horse"),
    ("token", "tok_ok", "tok_declined"),
];

impl Api {
    #[track_caller]
    fn start(data: &std::path::Path) -> Self {
        let trellis = Trellis::start(data);
        let document = trellis.get("/openapi.json").json();
        let post = trellis.send(&Request::post("/posts", r#"{"title": "The only one"}"#));
        let id = |created: &Response| {
            assert_eq!(created.status, 201, "{created:?}");
            created.json()["id"].as_str().unwrap().to_owned()
        };
        let price = json!({ "amount": 1, "currency": "EUR" });
        let ticket = json!({ "title": "Concert", "price": price }).to_string();
        let [ticket, ordered] =
            [(); 2].map(|()| id(&trellis.send(&Request::post("/tickets", &*ticket).by(ANN))));
        let order = json!({ "ticket_id": ordered, "price": price }).to_string();
        let order = id(&trellis.send(&Request::post("/orders", order).by(OLAF)));
        Self { post: id(&post), trellis, document, ticket, order }
    }

    fn operations(&self) -> impl Iterator<Item = (&String, &String, &Value)> {
        let paths = self.document["paths"].as_object().unwrap();
        paths.iter().flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, operation)| (method, path, operation))
        })
    }

    /// All that take a body.
    fn writes(&self) -> Vec<Write> {
        let writes = self.operations().filter_map(|(method, path, operation)| {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let schema = schema.is_object().then(|| self.resolve(schema).clone())?;
            let word = |word: &str| if word.starts_with('{') { self.post.clone() } else { word.to_owned() };
            let path = path.split('/').map(word).collect::<Vec<_>>().join("/");
            Some(Write { method: method.to_uppercase(), path, operation: operation.clone(), schema })
        });
        writes.collect()
    }

    fn resolve<'v>(&'v self, schema: &'v Value) -> &'v Value {
        let Some(reference) = schema["$ref"].as_str() else { return schema };
        let place = reference.strip_prefix('#').unwrap();
        self.document.pointer(place).unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    /// The least that the schema takes, as far as a schema knows.
    fn sample(&self, schema: &Value) -> Value {
        let schema = self.resolve(schema);
        if let Some(words) = schema["enum"].as_array() {
            return words[0].clone();
        }
        if let Some(any) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
            return self.sample(&any[0]);
        }
        match schema["type"].as_str() {
            Some("string") => json!("x"),
            Some("integer" | "number") => json!(1),
            Some("boolean") => json!(true),
            Some("array") => json!([self.sample(&schema["items"])]),
            Some("object") => {
                let properties = schema["properties"].as_object().cloned().unwrap_or_default();
                let sample = |(name, schema): (&String, &Value)| {
                    let ids = [("ticket_id", &*self.ticket), ("order_id", &*self.order)];
                    let mut known = KNOWN.map(|(name, text, _)| (name, text)).into_iter().chain(ids);
                    let known = known.find(|(known, _)| known == name).map(|(_, text)| json!(text));
                    (name.clone(), known.unwrap_or_else(|| self.sample(schema)))
                };
                properties.iter().map(sample).collect()
            }
            other => panic!("{other:?} of {schema}"),
        }
    }

    /// Whether the schema takes values of this type.
    fn takes(&self, schema: &Value, kind: &str) -> bool {
        let schema = self.resolve(schema);
        let any = schema["anyOf"].as_array().or(schema["oneOf"].as_array());
        any.map_or(schema["type"] == kind, |any| any.iter().any(|schema| self.takes(schema, kind)))
    }

    fn request(write: &Write, body: impl Into<Vec<u8>>) -> Request {
        let mut request =
            Request::new(&write.method, &write.path).header("content-type", "application/json").by(OLAF);
        request.body = body.into();
        request
    }

    /// Sends what must be refused, with one of these statuses and, if a field is named, because of it.
    #[track_caller]
    fn refused(
        &self,
        write: &Write,
        what: &str,
        body: impl Into<Vec<u8>>,
        statuses: &[u16],
        field: Option<&str>,
    ) {
        let answer = self.trellis.send(&Self::request(write, body));
        let Write { method, path, operation, .. } = write;
        let text = String::from_utf8_lossy(&answer.body);
        let said = format!("{what} for {method} {path}: {} {text}", answer.status);
        assert!(statuses.contains(&answer.status), "{said}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{said}");
        assert!(
            operation["responses"].get(answer.status.to_string()).is_some(),
            "not in the document: {said}"
        );
        if let Some(field) = field {
            let named = answer.json()["errors"][0]["field"].as_str().unwrap_or_default().to_owned();
            assert!(named == field || named.starts_with(&format!("{field}.")), "should name {field}: {said}");
        }
    }
}

/// `{"a": 1, "a": 1}`, which no JSON value can be.
fn twice(object: &Map<String, Value>, name: &str) -> String {
    let again = format!(",{}:{}}}", json!(name), object[name]);
    Value::Object(object.clone()).to_string().strip_suffix('}').unwrap().to_owned() + &again
}

#[test]
fn every_body_that_is_wrong_is_refused_and_nothing_comes_of_it() {
    let data = tempdir().unwrap();
    let api = Api::start(data.path());
    let writes = api.writes();
    let known = ["POST /posts", "PUT /posts/", "POST /moderation/", "PUT /gateway/policy"];
    for known in known {
        let is_there = |write: &Write| format!("{} {}", write.method, write.path).starts_with(known);
        assert!(writes.iter().any(is_there), "{known} is among the routes that take a body");
    }
    for write in &writes {
        let sample = api.sample(&write.schema);
        let fields = sample.as_object().unwrap_or_else(|| panic!("{sample} is no object"));
        whole(&api, write, &sample);
        for name in fields.keys() {
            field(&api, write, fields, name);
        }
    }
    let posts = system::eventually("the post is in the feed", || {
        let posts = api.trellis.get("/posts").json();
        (posts != json!([])).then_some(posts)
    });
    assert_eq!((posts.as_array().unwrap().len(), &posts[0]["id"]), (1, &json!(api.post)), "{posts}");
    assert_eq!(posts[0]["title"], "The only one");
    assert_eq!(posts[0]["comment_count"], 0);
    assert_eq!(api.trellis.send(&Request::get("/gateway/policy").by(OLAF)).json()["version"], 0);
    api.trellis.stop();
}

/// The body as a whole.
fn whole(api: &Api, write: &Write, sample: &Value) {
    let text = sample.to_string();
    let (half, more) = (&text[..text.len() - 1], format!("{text} {{}}"));
    for (what, body) in [
        ("nothing", ""),
        ("no JSON", "title=x"),
        ("half of it", half),
        ("more after it", more.as_str()),
        ("half of a surrogate pair", r#""\ud800""#),
    ] {
        api.refused(write, what, body, &[400, 422], None);
    }
    for (what, body) in
        [("null", json!(null)), ("a number", json!(7)), ("a text", json!("x")), ("a list", json!([sample]))]
    {
        api.refused(write, what, body.to_string(), &[422], None);
    }
    let values: Vec<&Value> = sample.as_object().unwrap().values().collect();
    api.refused(write, "its values in a list", json!(values).to_string(), &[422], None);
    api.refused(write, "brackets without end", "[".repeat(DEEP), &[400, 422], None);
    api.refused(write, "bytes that are no text", b"{\"\xff\xfe\": 1}".to_vec(), &[400, 422], None);
    let mut more = sample.clone();
    more["no_such_field"] = json!(true);
    api.refused(write, "a field that there is not", more.to_string(), &[422], Some("no_such_field"));
    api.refused(write, "two mebibytes", " ".repeat(TOO_LARGE), &[413], None);
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        let mut request =
            Request::new(&write.method, &write.path).header("content-type", media_type).by(OLAF);
        request.body = text.clone().into_bytes();
        let answer = api.trellis.send(&request);
        assert_eq!(answer.status, 415, "{media_type:?} for {} {}: {answer:?}", write.method, write.path);
    }
}

/// One of its fields.
fn field(api: &Api, write: &Write, sample: &Map<String, Value>, name: &str) {
    let schema = &write.schema["properties"][name];
    let with = |value: Value| {
        let mut changed = sample.clone();
        changed.insert(name.to_owned(), value);
        Value::Object(changed).to_string()
    };
    if write.schema["required"].as_array().is_some_and(|required| required.contains(&json!(name))) {
        let mut without = sample.clone();
        without.remove(name);
        let body = Value::Object(without).to_string();
        api.refused(write, &format!("no {name}"), body, &[422], Some(name));
    }
    for (kind, value) in [
        ("null", json!(null)),
        ("boolean", json!(true)),
        ("integer", json!(7)),
        ("number", json!(1.5)),
        ("string", json!("no such word")),
        ("array", json!([[]])),
        ("object", json!({ "no_such_field": 1 })),
    ] {
        let is_word = kind == "string" && api.resolve(schema)["enum"].is_array();
        if is_word || !api.takes(schema, kind) {
            api.refused(write, &format!("{value} for {name}"), with(value), &[422], Some(name));
        }
    }
    api.refused(write, &format!("{name} twice"), twice(sample, name), &[422], Some(name));
    if api.takes(schema, "string") {
        api.refused(write, &format!("an endless {name}"), with(json!("x".repeat(TOO_LARGE))), &[413], None);
        api.refused(write, &format!("a long {name}"), with(json!("x".repeat(100_000))), &[422], Some(name));
        api.refused(write, &format!("an empty {name}"), with(json!("")), &[422], Some(name));
    }
    let nested = with(json!(null)).replacen("null", &("[".repeat(DEEP) + &"]".repeat(DEEP)), 1);
    api.refused(write, &format!("brackets for {name}"), nested, &[400, 422], None);
}

/// Makes something else of what was asked for, of the same thing.
fn change(fields: &mut Map<String, Value>) {
    for (name, value) in fields {
        let known = KNOWN.iter().find(|(known, ..)| known == name);
        match value {
            Value::String(text) if !name.ends_with("_id") => {
                *text = known.map_or("something else", |(.., other)| other).to_owned();
            }
            Value::Number(number) => *value = json!(number.as_u64().unwrap() + 1),
            Value::Object(fields) => change(fields),
            _ => {}
        }
    }
}

#[test]
fn a_key_finds_its_first_attempt_and_only_that() {
    let data = tempdir().unwrap();
    let api = Api::start(data.path());
    let takes_key = |operation: &Value| {
        let parameters = operation["parameters"].as_array().unwrap();
        parameters.iter().any(|parameter| parameter["$ref"] == "#/components/parameters/Idempotency-Key")
    };
    let mut tested = 0;
    for write in api.writes().iter().filter(|write| takes_key(&write.operation)) {
        let sample = api.sample(&write.schema);
        let send = |key: &str, body: &Value| {
            api.trellis.send(&Api::request(write, body.to_string()).header("idempotency-key", key))
        };
        let same = |answer: &Response| match answer.status {
            // What is only accepted goes on meanwhile.
            202 => (202, answer.json()["id"].clone(), None),
            status => (status, answer.json(), answer.header("location").map(str::to_owned)),
        };
        let first = send("once", &sample);
        assert!([201, 202].contains(&first.status), "{} {}: {first:?}", write.method, write.path);
        for _ in 0..3 {
            assert_eq!(same(&send("once", &sample)), same(&first));
        }
        let mut other = sample.clone();
        change(other.as_object_mut().unwrap());
        let refused = send("once", &other);
        assert_eq!((refused.status, &refused.json()["errors"][0]["field"]), (422, &json!("idempotency-key")));
        assert_ne!(send("twice", &sample).json()["id"], first.json()["id"], "another key is another request");
        for bad in ["", "two words", &"x".repeat(256)] {
            assert_eq!(send(bad, &sample).status, 400, "{bad:?}");
        }
        let anonymous = {
            let mut request = Api::request(write, sample.to_string()).header("idempotency-key", "once");
            request.headers.retain(|(name, _)| name != "authorization");
            api.trellis.send(&request)
        };
        assert_ne!(anonymous.json()["id"], first.json()["id"], "a key belongs to its caller");
        tested += 1;
    }
    assert!(tested >= 2, "posts and comments at least are created by a request with a body");
    api.trellis.stop();
}
