//! Answers that an instance remembers: a service that has read models, no log of its own, and looks in no other answers a read
//! the same for as long as they are the same. An instance that remembers nothing comes to the same.

use std::cell::RefCell;
use std::rc::Rc;

use super::call::Call;
use super::exchange::Response;
use super::route::Route;
use crate::descriptor::Descriptor;
#[cfg(test)]
use crate::models::progress;
use crate::models::progress::Progress;
use crate::problem::Problem;

/// How much an instance remembers, in bytes of answers.
const ROOM: usize = 128 * 1024;

thread_local!(static ANSWERS: RefCell<Option<Answers>> = const { RefCell::new(None) });

/// What was answered from the same read models.
#[derive(Debug)]
struct Answers {
    from: Rc<Progress>,
    room: usize,
    all: Vec<(Asked, Response)>,
}

/// All that a function of the contract may make an answer from, besides the read models.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    target: String,
    caller: Option<String>,
    roles: Vec<String>,
}

/// Calls the route, unless what it would answer is known.
pub(super) fn answer(service: &Descriptor, route: &Route, call: &Call<'_>) -> Result<Response, Problem> {
    let follows_from_read_models =
        service.partitions == 0 && service.reads.is_empty() && !service.projected.is_empty();
    if !follows_from_read_models || route.method != "GET" || route.function.is_none() {
        return (route.call)(call);
    }
    if call.cx.needs_no_progress() {
        return (route.call)(call);
    }
    let from = call.cx.reached()?;
    let asked = Asked {
        target: call.request.target.clone(),
        caller: call.cx.caller.clone(),
        roles: call.cx.roles.clone(),
    };
    let known = ANSWERS.with_borrow(|answers| answers.as_ref()?.find(&from, &asked));
    if let Some(response) = known {
        return Ok(response);
    }
    let response = (route.call)(call)?;
    ANSWERS.with_borrow_mut(|answers| match answers {
        Some(answers) if answers.from.answer_like(&from) => answers.add(asked, &response),
        _ => answers.insert(Answers { from, room: ROOM, all: Vec::new() }).add(asked, &response),
    });
    Ok(response)
}

impl Answers {
    fn find(&self, from: &Progress, asked: &Asked) -> Option<Response> {
        if !self.from.answer_like(from) {
            return None;
        }
        self.all.iter().find(|(known, _)| known == asked).map(|(_, response)| response.clone())
    }

    /// What there is no room for is made again.
    fn add(&mut self, asked: Asked, response: &Response) {
        if let Some(room) = self.room.checked_sub(asked.target.len() + response.body.len()) {
            self.room = room;
            self.all.push((asked, response.clone()));
        }
    }
}

/// What an instance that was made anew knows.
#[cfg(test)]
pub(crate) fn forget() {
    ANSWERS.set(None);
    progress::forget();
}
