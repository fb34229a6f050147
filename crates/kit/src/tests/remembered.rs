//! What an instance remembers of its answers changes what they cost, and nothing else.

use super::*;
use crate::http::remembered::forget;
use crate::testing::{deliver, message, request, settle, start};

/// Has nothing of its own: it shows what it hears of notes.
#[derive(Debug)]
struct Board;

impl Service for Board {
    const NAME: &str = "board";
    const VERSION: &str = "1";
    const PARTITIONS: u32 = 0;
    const ROUTES: &[Route] = routes! {
        GET "/notes" => page(Notes::list),
        GET "/mine" => ok(Self::mine),
        GET "/now" => |_| Ok(Response::empty(200).with("now", platform().random().to_string())),
    };
    const FUNCTIONS: &[(&str, &str)] = &[];
    const PROJECTIONS: Projections = projections! { SOURCE => follow };
}

impl Board {
    fn mine(cx: &Cx) -> Result<Note, Problem> {
        let views = cx.views()?;
        let newest = FEED.list(&views, &PageRequest { limit: Some(1), after: None })?.ids;
        let note = NOTES.get_many(&views, &newest)?.pop().ok_or_else(|| Problem::not_found("No note."))?;
        let text = format!("{} for {} of {:?}", note.text, cx.caller.clone().unwrap_or_default(), cx.roles);
        Ok(Note { text, ..note })
    }
}

fn get(target: &str, caller: &str) -> Response {
    request::<Board>("GET", target, &[("caller", caller)], "")
}

fn started() {
    platform().configure("caller-header", "caller");
    start::<Notes>();
    start::<Board>();
}

#[test]
fn a_read_of_the_same_is_answered_for_one_call() {
    started();
    write(&anonymous(), new("a")).unwrap();
    settle::<Board>();
    let first = get("/notes", "ann");
    assert_eq!(get("/notes", "ann"), first, "the second finds out what there is to compare");
    let before = platform().calls();
    assert_eq!(get("/notes", "ann"), first);
    // The places, and the two clocks that waiting and lag go by, which are none.
    assert_eq!(platform().calls() - before, 1);
    assert_eq!(first.header("x-trellis-lag"), Some("0"));
}

#[test]
fn a_remembered_answer_is_for_the_same_caller_only() {
    started();
    write(&anonymous(), new("a")).unwrap();
    settle::<Board>();
    for caller in ["ann", "bob", "ann"] {
        assert!(crate::testing::json::<Note>(&get("/mine", caller)).text.contains(caller));
    }
}

#[test]
fn only_what_follows_from_read_models_is_remembered() {
    started();
    assert_ne!(get("/now", ""), get("/now", ""), "a closure may answer with anything");
    start::<Notes>();
    assert_eq!(get("/mine", "").status, 404);
    write(&anonymous(), new("a")).unwrap();
    settle::<Board>();
    assert_eq!(get("/mine", "").status, 200, "a refusal is not");
}

/// Every answer of an instance with a memory is that of one without, whatever happens between them.
#[test]
fn remembering_comes_to_the_same_as_forgetting() {
    started();
    let mut ids = vec![write(&anonymous(), new("a")).unwrap().id];
    let mut differ = 0;
    let mut last = None;
    for step in 0..600 {
        match platform().random() % 6 {
            0 => ids.push(write(&anonymous(), new(&step.to_string())).unwrap().id),
            1 => {
                let id = &ids[(platform().random() % ids.len() as u64) as usize];
                edit(&anonymous(), id, &step.to_string()).unwrap();
            }
            2 | 3 => {
                if let Some(delivery) = platform().deliver("board") {
                    deliver::<Board>(&delivery).unwrap();
                    // It comes twice, as anything may.
                    deliver::<Board>(&delivery).unwrap();
                }
            }
            4 if step % 40 == 0 => message::<Board>(names::ANNOUNCE, None, br#"{"replay":"board"}"#).unwrap(),
            _ => platform().advance(Duration::from_millis(platform().random() % 700)),
        }
        let all = || ["/notes", "/mine", "/notes?limit=1"].map(|target| get(target, "ann").body);
        let remembering = all();
        forget();
        let forgetful = all();
        assert_eq!(remembering, forgetful, "at step {step}");
        if last.replace(forgetful.clone()).is_some_and(|last| last != forgetful) {
            differ += 1;
        }
    }
    assert!(differ > 10, "the answers must have changed: {differ}");
}

#[test]
fn an_instance_that_was_just_made_answers_with_what_it_reads_of_the_list() {
    started();
    write(&anonymous(), new("a")).unwrap();
    settle::<Board>();
    get("/notes", "ann");
    forget();
    let before = platform().calls();
    assert_eq!(get("/notes", "bob").header("x-trellis-lag"), Some("0"));
    // The heads of the list with what says which of them count, and the documents.
    assert_eq!(platform().calls() - before, 2);
}
