//! Entities of another service, as its log has them, for a service that does not follow it.

use super::*;
use crate::Lookup;
use crate::access::Member;
use crate::platform::memory::Harm;
use crate::testing::{request, start};
use trellis_subjects::matches;

/// Has nothing of its own and follows nothing but its own log; it looks in that of notes.
#[derive(Debug)]
struct Margins;

impl Service for Margins {
    const NAME: &str = "margins";
    const VERSION: &str = "1";
    const PARTITIONS: u32 = 0;
    const ROUTES: &[Route] = routes! { GET "/margins/{note}" => ok(Self::get) };
    const PROJECTIONS: Projections = projections! { ELSEWHERE => follow };
    const READS: &[Source] = &[SOURCE];
}

impl Margins {
    fn get(_: &Cx, note: String) -> Result<Option<Note>, Problem> {
        NOTES_NOW.find(&note)
    }
}

/// What another kind of entity in the same log might tell.
#[derive(Debug, Clone, PartialEq, Eq, Wire)]
enum LabelEvent {
    Put(Tag),
}

impl Event for LabelEvent {
    const OF: &str = "label";
}

const ELSEWHERE: Source = Source::new("elsewhere", 1);
const NOTES_NOW: Lookup<NoteEvent> = Lookup::of::<Margins>(SOURCE);
const LABELS_NOW: Lookup<LabelEvent> = Lookup::of::<Margins>(SOURCE);

fn status<T>(looked: Result<T, Problem>) -> u16 {
    looked.map_or_else(|problem| problem.status, |_| 200)
}

#[test]
fn what_is_in_the_log_exists_whoever_has_been_told() {
    assert_eq!(status(NOTES_NOW.expect("n1")), 404, "there is no log");
    assert_eq!(NOTES_NOW.find::<Note>("n1").unwrap(), None);
    start::<Notes>();
    let note = write(&anonymous(), new("hello")).unwrap();
    NOTES_NOW.expect(&note.id).unwrap();
    assert_eq!(NOTES_NOW.find(&note.id).unwrap(), Some(note.clone()));
    let edited = edit(&anonymous(), &note.id, "hello again").unwrap();
    NOTES_NOW.expect(&note.id).unwrap();
    assert_eq!(NOTES_NOW.find(&note.id).unwrap(), Some(edited), "as it is now");
    assert_eq!(status(LABELS_NOW.expect(&note.id)), 404, "it is of another kind");
    assert_eq!(LABELS_NOW.find::<Tag>(&note.id).unwrap(), None);
    for never in ["n1", "", "a.b", "*", ">", &format!("{}-x", note.id), &"x".repeat(200)] {
        assert_eq!(status(NOTES_NOW.expect(never)), 404, "{never:?}");
        assert_eq!(NOTES_NOW.find::<Note>(never).unwrap(), None, "{never:?}");
    }
}

#[test]
fn only_the_root_of_a_family_can_have_something_that_belongs_to_it() {
    start::<Notes>();
    anonymous()
        .create_below::<Note>("n1", &"below", |id| {
            NoteEvent::Written(Note { id, text: "below".to_owned(), version: 1 })
        })
        .unwrap();
    let below = stored().remove(0).subject;
    assert!(NOTES_NOW.find::<Note>(&below).unwrap().is_some());
    assert_eq!(status(NOTES_NOW.expect(&below)), 404);
}

#[test]
fn who_cannot_look_does_not_say_that_there_is_nothing() {
    start::<Notes>();
    let note = write(&anonymous(), new("hello")).unwrap();
    for harm in [|| Harm::NotDone, || Harm::AnswerLost, || Harm::AnswerGarbled] {
        platform().harm(0, harm());
        assert_eq!(status(NOTES_NOW.expect(&note.id)), 503);
        platform().harm(0, harm());
        assert_eq!(status(NOTES_NOW.find::<Note>(&note.id)), 503);
    }
    platform().lose_jetstream();
    assert_eq!(status(NOTES_NOW.expect(&note.id)), 503);
}

#[test]
fn what_is_there_is_found_with_one_request_that_is_allowed() {
    start::<Notes>();
    let note = write(&anonymous(), new("hello")).unwrap();
    platform().take_exchanges();
    NOTES_NOW.expect(&note.id).unwrap();
    NOTES_NOW.find::<Note>(&note.id).unwrap();
    let asked: Vec<String> = platform().take_exchanges().into_iter().map(|asked| asked.subject).collect();
    assert_eq!(asked, ["$JS.API.STREAM.MSG.GET.LOG_notes"; 2]);
    let member = Member::of::<Margins>();
    for allowed in [member.publishes(&[member.clone(), Member::of::<Notes>()]), member.patterns()] {
        let of_notes = allowed.iter().filter(|subject| matches(subject, "$JS.API.STREAM.MSG.GET.LOG_notes"));
        assert_eq!(of_notes.count(), 1, "{allowed:?}");
        for not_allowed in ["$JS.API.STREAM.INFO.LOG_notes", "$JS.API.CONSUMER.CREATE.LOG_notes.margins-g1-0"]
        {
            assert!(!allowed.iter().any(|subject| matches(subject, not_allowed)), "{not_allowed}");
        }
    }
}

#[test]
fn nobody_else_looks_in_what_is_private() {
    let stated = |source: &str| {
        Member::read(format!(r#"{{"name":"margins","reads":["{source}"]}}"#).as_bytes()).map(|_| ())
    };
    stated("notes").unwrap();
    for source in ["own/margins", "own/notes", "*", "#", ">", "a.b", ""] {
        stated(source).unwrap_err();
    }
    const PRIVATE: Source = Source::new("own/notes", 1);
    let reader = crate::Descriptor { reads: &[PRIVATE], ..*Margins::DESCRIPTOR };
    assert!(!reader.reads(PRIVATE));
}

#[test]
#[should_panic(expected = "does not say in its READS")]
fn where_a_service_looks_it_has_said() {
    let _ = Lookup::<NoteEvent>::of::<Margins>(ELSEWHERE);
}

#[test]
fn what_was_looked_up_is_not_remembered() {
    start::<Margins>();
    let get = |id: &str| request::<Margins>("GET", &format!("/margins/{id}"), &[], "");
    start::<Notes>();
    let note = write(&anonymous(), new("hello")).unwrap();
    let first = [get(&note.id), get(&note.id), get(&note.id)];
    edit(&anonymous(), &note.id, "hello again").unwrap();
    let then = get(&note.id);
    assert!(first.iter().all(|answer| answer.body != then.body), "{then:?}");
}
