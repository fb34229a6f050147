//! What only its service may read: it is in no event, letter or document that anybody else gets, and its service acts on it
//! as on any other event.

use super::*;
use crate::access::Member;
use crate::guard::{allow, concerns};
use crate::statement::Statement;
use crate::testing::{every_event_twice, given, message, parse, settle, start, trouble_at_every_call};
use trellis_subjects::matches;

/// A service that keeps words, and says to others only how long they are.
#[derive(Debug)]
pub struct Vault;

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Word {
    pub id: String,
    pub text: String,
    pub version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub enum WordEvent {
    Kept(Word),
    Changed(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Length {
    pub id: String,
    pub length: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub enum LengthEvent {
    Told(Length),
}

/// What nobody may read.
const SECRET: &str = "sesame-open";

impl Service for Vault {
    const NAME: &str = "vault";
    const VERSION: &str = "1.0.0";
    const ROUTES: &[Route] = routes! { POST "/words" => Self::keep };
    const ENTITIES: &[Entity] = &[Entity::of::<Length>()];
    const PRIVATE: &[Entity] = &[Entity::of::<Word>()];
    const REACTIONS: Reactions = reactions! { Self::PRIVATE_LOG => tell };
}

impl Vault {
    fn keep(call: &crate::Call<'_>) -> Result<Response, Problem> {
        keep(call.cx(), "w", SECRET)?;
        Ok(Response::empty(204))
    }
}

impl Event for WordEvent {
    const OF: &str = "word";
}

impl Event for LengthEvent {
    const OF: &str = "length";
}

impl Aggregate for Word {
    type Service = Vault;
    type Event = WordEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &WordEvent) -> Option<Self> {
        match (before, event) {
            (None, WordEvent::Kept(word)) => Some(word.clone()),
            (Some(word), WordEvent::Changed(text)) => {
                Some(Self { text: text.clone(), version: word.version + 1, ..word })
            }
            _ => None,
        }
    }
}

impl Aggregate for Length {
    type Service = Vault;
    type Event = LengthEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &LengthEvent) -> Option<Self> {
        let LengthEvent::Told(length) = event;
        before.is_none().then(|| length.clone())
    }
}

fn kept(id: &str, text: &str) -> WordEvent {
    WordEvent::Kept(Word { id: id.to_owned(), text: text.to_owned(), version: 1 })
}

fn keep(cx: &Cx, id: &str, text: &str) -> Result<Word, Problem> {
    cx.execute(id, |word: Option<&Word>| match word {
        None => Ok(Some(kept(id, text))),
        Some(_) => Err(Problem::conflict("There is a word.")),
    })
}

fn tell(event: &Recorded<WordEvent>, reaction: &Reaction) -> Result<(), Failure> {
    let WordEvent::Kept(word) = &event.data else { return Ok(()) };
    if crate::config::text("tells")?.as_deref() == Some("no") {
        return Err(Failure::lasting("not now"));
    }
    reaction.execute(&word.id, |length: Option<&Length>| {
        let told = Length { id: word.id.clone(), length: word.text.len() as u64 };
        Ok(length.is_none().then_some(LengthEvent::Told(told)))
    })?;
    Ok(())
}

/// How often something stands in a stream, in a message of any.
fn mentions(stream: &str, text: &str) -> usize {
    let stored = platform().stored(stream);
    stored.iter().filter(|message| String::from_utf8_lossy(&message.body).contains(text)).count()
}

#[test]
fn it_is_in_a_stream_of_its_own_and_nowhere_else() {
    start::<Vault>();
    let cx = anonymous();
    keep(&cx, "w1", SECRET).unwrap();
    assert_eq!(cx.position(), None, "no read model follows it");
    assert_eq!(cx.load::<Word>("w1").unwrap().text, SECRET);
    settle::<Vault>();
    assert_eq!(cx.load::<Length>("w1").unwrap().length, 11);
    let streams: Vec<String> = platform().all_stored().into_keys().collect();
    let told: Vec<&String> = streams.iter().filter(|stream| mentions(stream, SECRET) > 0).collect();
    assert_eq!(told, ["OWN_vault"]);
    assert_eq!((mentions("OWN_vault", SECRET), platform().stored("LOG_vault").len()), (1, 1));
    assert_eq!(platform().stored("OWN_vault").last().unwrap().subject, "own.vault.0.w1.1");
    for (key, value) in platform().bucket() {
        assert!(!String::from_utf8_lossy(&value).contains(SECRET), "{key}");
    }
    for (subject, body) in platform().take_published() {
        assert!(!String::from_utf8_lossy(&body).contains(SECRET), "{subject}");
    }
    for (_, line) in platform().take_lines() {
        assert!(!line.contains(SECRET), "{line}");
    }
}

#[test]
fn whoever_is_second_is_told_so() {
    keep(&anonymous(), "w1", SECRET).unwrap();
    assert_eq!(keep(&anonymous(), "w1", "other").unwrap_err().status, 409);
    given::<Word>("w2", [kept("w2", "a"), WordEvent::Changed("b".to_owned())])
        .when(|| anonymous().load::<Word>("w2"))
        .then_nothing();
}

#[test]
fn no_document_speaks_of_it() {
    message::<Vault>("$SRV.INFO.vault", Some("_INBOX.1"), b"").unwrap();
    let (_, info) = platform().take_published().pop().unwrap();
    let info: serde_json::Value = parse(&info);
    let description = info["metadata"]["trellis"].as_str().unwrap();
    let description: serde_json::Value = parse(description.as_bytes());
    assert_eq!(description["reacts_to"], serde_json::json!([]));
    let text = info.to_string();
    assert!(text.contains("length") && !text.contains("word.") && !text.contains("own/"), "{text}");
}

#[test]
fn what_it_leads_to_happens_once() {
    let tell = || {
        start::<Vault>();
        keep(&anonymous(), "w1", "a").unwrap();
        keep(&anonymous(), "w2", "bb").unwrap();
    };
    let check = |(): &(), when: &str| {
        assert_eq!(platform().stored("LOG_vault").len(), 2, "{when}");
        assert_eq!(anonymous().load::<Length>("w2").unwrap().length, 2, "{when}");
        assert_eq!(platform().stored("DEAD_vault").len(), 0, "{when}");
    };
    every_event_twice::<Vault, _>(tell, check);
    assert!(trouble_at_every_call::<Vault, _>(1, tell, check) > 3);
}

#[test]
fn a_dead_letter_says_where_it_is_and_not_what_it_says() {
    platform().configure("tells", "no");
    start::<Vault>();
    keep(&anonymous(), "w1", SECRET).unwrap();
    settle::<Vault>();
    let letters = platform().stored("DEAD_vault");
    assert_eq!(
        (letters.len(), mentions("DEAD_vault", SECRET), mentions("DEAD_vault", "own/vault")),
        (1, 0, 1)
    );
    assert_eq!(platform().stored("LOG_vault").len(), 0);
    platform().configure("tells", "yes");
    let request = format!(r#"{{"replay-dead":{}}}"#, letters[0].seq);
    message::<Vault>("deliver.vault", Some("_INBOX.1"), request.as_bytes()).unwrap();
    assert_eq!(anonymous().load::<Length>("w1").unwrap().length, 11);
    assert_eq!(platform().stored("DEAD_vault").len(), 0);
}

#[test]
fn its_service_may_do_all_that_it_does_and_no_other_any_of_it() {
    let (vault, notes) = (Member::of::<Vault>(), Member::of::<Notes>());
    start::<Vault>();
    keep(&anonymous(), "w1", SECRET).unwrap();
    settle::<Vault>();
    let exchanges = platform().take_exchanges();
    let all = [vault.clone(), notes.clone()];
    let of_own =
        exchanges.iter().filter(|of| of.subject.contains("OWN_vault") || of.subject.starts_with("own."));
    let mut seen = BTreeSet::new();
    for exchange in of_own {
        let subject = &exchange.subject;
        let may = |member: &Member| member.publishes(&all).iter().any(|pattern| matches(pattern, subject));
        assert!(may(&vault) && !may(&notes), "{subject}");
        if let Some(request) = subject.strip_prefix("$JS.API.").filter(|request| concerns(request)) {
            allow("vault", request, &exchange.request).unwrap();
            allow("notes", request, &exchange.request).unwrap_err();
        }
        seen.insert(subject.replace("$JS.API.", ""));
    }
    for done in ["own.vault.0.w1.1", "STREAM.CREATE.OWN_vault", "CONSUMER.CREATE.OWN_vault.vault-r-0"] {
        assert!(seen.contains(done), "{done} was not done: {seen:?}");
    }
}

#[test]
fn nobody_follows_the_private_log_of_another() {
    let consumer = |stream: &str, filter: &str| {
        let body = serde_json::json!({
            "stream_name": stream, "action": "",
            "config": {
                "name": "notes-r-0", "durable_name": "notes-r-0", "deliver_subject": "deliver.notes",
                "deliver_group": "notes", "deliver_policy": "all", "ack_policy": "explicit",
                "ack_wait": 30_000_000_000_u64, "max_ack_pending": 1, "filter_subject": filter,
            },
        });
        allow("notes", &format!("CONSUMER.CREATE.{stream}.notes-r-0"), body.to_string().as_bytes())
    };
    consumer("LOG_vault", "log.vault.0.*.*").unwrap();
    consumer("OWN_notes", "own.notes.0.*.*").unwrap();
    for (stream, filter) in [
        ("OWN_vault", "own.vault.0.*.*"),
        ("OWN_vault", "own.notes.0.*.*"),
        ("OWN_notes", "own.vault.0.*.*"),
        ("LOG_vault", "own.vault.0.*.*"),
    ] {
        consumer(stream, filter).unwrap_err();
    }
    // Nor does it help to say so.
    let stated = |source: &str| {
        Member::read(format!(r#"{{"name":"notes","private":true,"reacts_to":["{source}"]}}"#).as_bytes())
    };
    stated("own/notes").unwrap();
    for source in ["own/vault", "own/", "own/own/notes", "/notes", "OWN/notes"] {
        stated(source).unwrap_err();
    }
    let statement = Statement::of(Vault::DESCRIPTOR);
    assert_eq!(Member::read(statement.text()).unwrap(), Member::of::<Vault>());
}
