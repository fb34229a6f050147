//! What the pages ask of the services, on behalf of whoever looks at them.

use std::time::Duration;

use trellis_kit::http::{Answer, AskError, Asker, CallError, encoded};
use trellis_kit::{Descriptor, PageRequest, Problem, id, log};

use crate::api::{Cx, Decision, Window};
use crate::clients::{accounts, comments, moderation, orders, payments, posts, query, registry, tickets};
use crate::trellis::accounts::types::{
    AdminCode, Credentials, IssuedKey, KeyPage, NewKey, NewName, NewPassword, NewRoles, NewUser, SessionPage,
    SignedIn, UserPage,
};
use crate::trellis::comments::types::{Comment, NewComment};
use crate::trellis::moderation::types::{NewOutcome, Outcome, Verdict, VerdictPage};
use crate::trellis::orders::types::{NewOrder, ReadOrder};
use crate::trellis::payments::types::{NewPayment, Payment};
use crate::trellis::posts::types::{NewPost, Post};
use crate::trellis::query::types::{FeedPage, OwnOrderPage, PostPage, ReadTicket, ReadTicketPage, SalesPage};
use crate::trellis::registry::types::{EventPage, Flow, Trace};
use crate::trellis::tickets::types::{Offer, Ticket};
use crate::trellis::web::types::Shown;

/// A read may wait for a second until it has what was just written, a write for its disk. One after the other they take
/// less time than the gateway gives: what was typed is lost if it answers for us.
const READ_PATIENCE: Duration = Duration::from_millis(2500);
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// How many services the page of flows has room for.
const FLOWS_MAX: u32 = 100;

/// How many entries a list has of several on one page.
const BESIDE_OTHERS: u32 = 10;

/// Why there is nothing to show.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// The service is not there. Nothing has happened.
    Away,
    /// It gave no answer, or no good one. What was asked for may have happened.
    Unsure { status: u16 },
    /// It said no.
    Refused(Problem),
}

/// The services, as they are asked on behalf of whoever looks at a page.
#[derive(Debug, Clone, Copy)]
pub struct Services<'a> {
    /// The service of the pages, which asks the others.
    by: &'static Descriptor,
    cx: &'a Cx,
}

impl<'a> Services<'a> {
    pub fn new(by: &'static Descriptor, cx: &'a Cx) -> Self {
        Self { by, cx }
    }

    /// The same, asked with another context of the same call.
    pub fn with<'b>(self, cx: &'b Cx) -> Services<'b> {
        Services { by: self.by, cx }
    }

    /// The call that a page is the answer to.
    pub fn cx(self) -> &'a Cx {
        self.cx
    }

    pub fn feed(self, window: &Window) -> Result<Answer<FeedPage>, Trouble> {
        Ok(query::feed(&self.reads(window), &part(window))?)
    }

    pub fn post(self, id: &str, window: &Window) -> Result<Answer<PostPage>, Trouble> {
        Ok(query::get(&self.reads(window), known(id)?, &part(window))?)
    }

    pub fn write_post(self, title: &str) -> Result<Answer<Post>, Trouble> {
        Ok(posts::create(&self.writes(), &NewPost { title: title.to_owned() })?)
    }

    pub fn write_comment(self, post: &str, content: &str) -> Result<Answer<Comment>, Trouble> {
        let new = NewComment { content: content.to_owned() };
        Ok(comments::create(&self.writes(), known(post)?, &new)?)
    }

    pub fn tickets(self, window: &Window) -> Result<Answer<ReadTicketPage>, Trouble> {
        Ok(query::tickets(&self.reads(window), &part(window))?)
    }

    pub fn ticket(self, id: &str, window: &Window) -> Result<Answer<ReadTicket>, Trouble> {
        Ok(query::ticket(&self.reads(window), known(id)?)?)
    }

    pub fn own_posts(self, window: &Window) -> Result<Answer<FeedPage>, Trouble> {
        Ok(query::own_posts(&self.reads(window), &one_of_several(window))?)
    }

    pub fn orders(self, window: &Window) -> Result<Answer<OwnOrderPage>, Trouble> {
        Ok(query::orders(&self.reads(window), &one_of_several(window))?)
    }

    pub fn sales(self, window: &Window) -> Result<Answer<SalesPage>, Trouble> {
        Ok(query::sales(&self.reads(window), &one_of_several(window))?)
    }

    pub fn offer(self, offer: &Offer) -> Result<Answer<Ticket>, Trouble> {
        Ok(tickets::create(&self.writes(), offer)?)
    }

    /// Each of these two says at which position it was written.
    pub fn change_offer(self, id: &str, to: &Offer) -> Result<Option<String>, Trouble> {
        Ok(tickets::change(&self.writes(), known(id)?, to)?.position)
    }

    pub fn withdraw(self, id: &str) -> Result<Option<String>, Trouble> {
        Ok(orders::withdraw(&self.writes(), known(id)?)?.position)
    }

    pub fn reserve(self, new: &NewOrder) -> Result<ReadOrder, Trouble> {
        Ok(orders::place(&self.writes(), new)?.value)
    }

    pub fn order(self, id: &str) -> Result<ReadOrder, Trouble> {
        Ok(orders::get(&self.asker(READ_PATIENCE), known(id)?)?.value)
    }

    pub fn cancel_order(self, id: &str) -> Result<(), Trouble> {
        orders::cancel(&self.writes(), known(id)?)?;
        Ok(())
    }

    pub fn pay(self, new: &NewPayment) -> Result<Payment, Trouble> {
        Ok(payments::pay(&self.writes(), new, None)?.value)
    }

    pub fn payment(self, id: &str) -> Result<Payment, Trouble> {
        Ok(payments::get(&self.asker(READ_PATIENCE), known(id)?)?.value)
    }

    pub fn verdicts(self, shown: Shown, window: &Window) -> Result<Answer<VerdictPage>, Trouble> {
        let status = match shown {
            Shown::Rejected => Some(Outcome::Rejected),
            Shown::Approved => Some(Outcome::Approved),
            Shown::All => None,
        };
        Ok(moderation::queue(&self.reads(window), status, &part(window))?)
    }

    pub fn verdict(self, comment: &str) -> Result<Verdict, Trouble> {
        Ok(moderation::get(&self.asker(READ_PATIENCE), known(comment)?)?.value)
    }

    pub fn decide(self, Decision { comment, status, .. }: &Decision) -> Result<Answer<Verdict>, Trouble> {
        Ok(moderation::overturn(&self.writes(), known(comment)?, &NewOutcome { status: *status })?)
    }

    pub fn flows(self) -> Result<Vec<Flow>, Trouble> {
        let first = PageRequest { limit: Some(FLOWS_MAX), after: None };
        Ok(registry::flow(&self.asker(READ_PATIENCE), &first)?.value.items)
    }

    /// The last events of a service, or those before what a page ended with.
    pub fn events(self, service: &str, after: Option<&str>) -> Result<EventPage, Trouble> {
        let part = PageRequest { limit: None, after: after.map(str::to_owned) };
        Ok(registry::list_events(&self.asker(READ_PATIENCE), known(service)?, &part)?.value)
    }

    pub fn trace(self, id: &str, around: Option<&str>) -> Result<Trace, Trouble> {
        let around = around.map(str::to_owned);
        Ok(registry::find_trace(&self.asker(READ_PATIENCE), known(id)?, around)?.value)
    }

    pub fn sign_up(self, new: &NewUser) -> Result<SignedIn, Trouble> {
        Ok(accounts::sign_up(&self.writes(), new)?.value)
    }

    pub fn sign_in(self, shown: &Credentials) -> Result<SignedIn, Trouble> {
        Ok(accounts::sign_in(&self.writes(), shown)?.value)
    }

    pub fn sign_out(self) -> Result<Answer<()>, Trouble> {
        Ok(accounts::sign_out(&self.writes())?)
    }

    pub fn sessions(self, window: &Window) -> Result<SessionPage, Trouble> {
        Ok(accounts::list_sessions(&self.reads(window), &part(window))?.value)
    }

    pub fn users(self, window: &Window) -> Result<UserPage, Trouble> {
        Ok(accounts::list_users(&self.reads(window), &part(window))?.value)
    }

    pub fn keys(self, window: &Window) -> Result<KeyPage, Trouble> {
        Ok(accounts::list_keys(&self.reads(window), &part(window))?.value)
    }

    pub fn issue_key(self, new: &NewKey) -> Result<Answer<IssuedKey>, Trouble> {
        Ok(accounts::issue_key(&self.writes(), new)?)
    }

    /// Each of these says at which position it was written.
    pub fn rename(self, to: &NewName) -> Result<Option<String>, Trouble> {
        Ok(accounts::rename(&self.writes(), to)?.position)
    }

    pub fn set_password(self, to: &NewPassword) -> Result<Option<String>, Trouble> {
        Ok(accounts::set_password(&self.writes(), to)?.position)
    }

    pub fn end_session(self, id: &str) -> Result<Option<String>, Trouble> {
        Ok(accounts::end_session(&self.writes(), known(id)?)?.position)
    }

    pub fn end_sessions(self) -> Result<Option<String>, Trouble> {
        Ok(accounts::end_sessions(&self.writes())?.position)
    }

    pub fn become_admin(self, shown: &AdminCode) -> Result<Option<String>, Trouble> {
        Ok(accounts::become_admin(&self.writes(), shown)?.position)
    }

    pub fn set_roles(self, user: &str, to: &NewRoles) -> Result<Option<String>, Trouble> {
        Ok(accounts::set_roles(&self.writes(), known(user)?, to)?.position)
    }

    pub fn block(self, user: &str) -> Result<Option<String>, Trouble> {
        Ok(accounts::block(&self.writes(), known(user)?)?.position)
    }

    pub fn unblock(self, user: &str) -> Result<Option<String>, Trouble> {
        Ok(accounts::unblock(&self.writes(), known(user)?)?.position)
    }

    pub fn end_key(self, id: &str) -> Result<Option<String>, Trouble> {
        Ok(accounts::end_key(&self.writes(), known(id)?)?.position)
    }

    fn reads(self, window: &'a Window) -> Asker<'a> {
        self.asker(READ_PATIENCE).at(window.position.as_deref())
    }

    fn writes(self) -> Asker<'a> {
        self.asker(WRITE_PATIENCE)
    }

    fn asker(self, patience: Duration) -> Asker<'a> {
        Asker::new(self.by, self.cx, patience)
    }
}

/// The address at which something that is written now shows: the page there waits until it has it.
pub fn shown_at<T>(written: &Answer<T>, path: &str, name: &str, id: &str) -> String {
    format!("{}#{name}-{id}", at(path, written.position.as_deref()))
}

/// The address of a page that waits until it has what was written.
pub fn at(path: &str, position: Option<&str>) -> String {
    let position = position.map(|position| format!("?position={}", encoded(position)));
    format!("{path}{}", position.unwrap_or_default())
}

/// The part of a list that a page shows.
fn part(window: &Window) -> PageRequest {
    PageRequest { limit: None, after: window.after.clone() }
}

/// The part of a list that a page shows beside others: there is less room for each.
fn one_of_several(window: &Window) -> PageRequest {
    PageRequest { limit: Some(BESIDE_OTHERS), ..part(window) }
}

/// An id, if it could be one: nobody is asked for what cannot be there.
fn known(id: &str) -> Result<&str, Trouble> {
    if id::is_valid(id) {
        Ok(id)
    } else {
        Err(Trouble::Refused(Problem::not_found("There is nothing of that kind.")))
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(problem) => Self::Refused(problem),
            CallError::Failed { status } => Self::Unsure { status },
            CallError::NoAnswer { error: AskError::NoService, .. } => Self::Away,
            CallError::NoAnswer { error: AskError::TooLarge, .. } => {
                Self::Refused(Problem::too_large("That is more than can be sent."))
            }
            CallError::NoAnswer { service, error } => {
                log::warn(&format!("{service}: {error}"));
                Self::Unsure { status: Problem::from(error).status }
            }
        }
    }
}
