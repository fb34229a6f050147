//! `trellis demo`: a few people, and what they write, sell and buy, so that a newcomer sees life at once.
//!
//! It is made by the public API alone, as anybody would. Every request has an idempotency key that is always the same, and everything
//! that is made can be told from what others make. So a demo that was cut off is run again, and comes to the same.

use std::process::ExitCode;

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use crate::connection::block_on;
use crate::failure::Failure;
use crate::http::{Answer, Api, Ask};

/// More than the demo makes of anything, and as much as a list gives at once.
const LISTED: usize = 100;
const AGAIN: &str = "run `trellis demo` again: it goes on where it ended";
/// Everybody's. Nobody here is trusted with anything.
const PASSWORD: &str = "only a demo of Trellis";

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where the application answers, as `trellis up` says it
    #[arg(default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Allow an address of another machine. Whoever knows the password of the demo can sign in there as its people
    #[arg(long)]
    allow_remote: bool,
}

/// Their names say what they are, with whatever they write.
const PEOPLE: [(&str, &str); 3] = [
    ("ada@demo.example.com", "Ada (demo)"),
    ("bo@demo.example.com", "Bo (demo)"),
    ("chi@demo.example.com", "Chi (demo)"),
];
const ADA: usize = 0;
const BO: usize = 1;
const CHI: usize = 2;

/// Who says what.
type Said = (usize, &'static str);
type Comments = &'static [Said];

/// Who writes which posts, and who says what about them.
const POSTS: [(Said, Comments); 6] = [
    (
        (CHI, "Juice for beginners"),
        &[(BO, "Nothing beats an orange in the morning."), (ADA, "Moderation sees to that word.")],
    ),
    ((BO, "Ten terminals, and none of them said what was wrong"), &[(CHI, "We had eleven.")]),
    ((ADA, "こんにちは、世界"), &[(BO, "よろしくお願いします")]),
    ((BO, "Our read model had stopped in March. It was May"), &[]),
    (
        (ADA, "A state change is one append, and nothing else"),
        &[
            (BO, "So the row and the message cannot disagree?"),
            (ADA, "They are the same thing: the event is stored once, and everybody reads it."),
            (CHI, "And what if a service is away?"),
            (ADA, "Stop one and see. It catches up."),
        ],
    ),
    (
        (CHI, "Who comes along to the concert in the park?"),
        &[(BO, "I have just bought a ticket."), (ADA, "Mine!")],
    ),
];

/// Who sells which tickets, for how many cents.
const TICKETS: [(usize, &str, u64); 6] = [
    (CHI, "A night at the museum", 1200),
    (ADA, "Chess in the tower, with tea", 850),
    (BO, "Open-air cinema, two seats", 2400),
    (ADA, "Jazz in the cellar", 1500),
    (CHI, "A harp and a hurdy-gurdy", 1800),
    (ADA, "The concert in the park", 1999),
];

/// Who orders which of them, and what becomes of it.
const ORDERS: [(usize, usize, Fate); 3] =
    [(BO, 5, Fate::Paid), (CHI, 3, Fate::Reserved), (BO, 4, Fate::Cancelled)];

#[derive(Debug, Clone, Copy)]
enum Fate {
    Paid,
    Reserved,
    Cancelled,
}

impl Demo {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        block_on(self.make())?;
        Ok(ExitCode::SUCCESS)
    }

    async fn make(self) -> Result<(), Failure> {
        let site = Site { api: Api::at(&self.url, self.allow_remote).await? };
        site.check_empty().await?;
        let mut tokens = Vec::new();
        for (email, name) in PEOPLE {
            tokens.push(site.sign_in(email, name).await?);
        }
        let people: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let comments = site.write(&people).await?;
        let tickets = site.offer(&people).await?;
        println!("{} posts, {comments} comments, {} tickets", POSTS.len(), tickets.len());
        for status in site.order(&people, &tickets).await? {
            println!("{status}");
        }
        println!("sign in as one of them, with the password \"{PASSWORD}\":");
        for (email, name) in PEOPLE {
            println!("  {email}  {name}");
        }
        println!("open  {}", self.url);
        Ok(())
    }
}

/// An application that answers.
struct Site {
    api: Api,
}

impl Site {
    /// Nobody's site gets a demo on top of what they have.
    async fn check_empty(&self) -> Result<(), Failure> {
        let posts: Vec<&str> = POSTS.iter().map(|((_, title), _)| *title).collect();
        let tickets: Vec<&str> = TICKETS.iter().map(|(_, title, _)| *title).collect();
        for (path, known) in [("/posts?limit=100", posts), ("/tickets?limit=100", tickets)] {
            let listed = self.ask(Ask::get(path), &[200]).await?.body;
            let listed = listed.as_array().map(Vec::as_slice).unwrap_or_default();
            let titles = listed.iter().map(|item| text(item, "title").unwrap_or_default());
            let foreign = titles.clone().find(|title| !known.contains(title));
            if let Some(title) = foreign.or_else(|| titles.clone().next().filter(|_| listed.len() >= LISTED))
            {
                return Err(Failure::new(format!(
                    "this site is not empty: it has {title:?}, which is not of the demo, and nothing was written. Start an empty one \
                     with `trellis up --data demo`"
                )));
            }
        }
        Ok(())
    }

    /// Signs somebody up, or in if they have signed up before. Returns the token of the session.
    async fn sign_in(&self, email: &str, name: &str) -> Result<String, Failure> {
        let new = json!({ "email": email, "password": PASSWORD, "display_name": name });
        let mut answer = self.ask(Ask::post("/users/signup", new), &[201, 409]).await?;
        if answer.status == 409 {
            let shown = json!({ "email": email, "password": PASSWORD });
            answer = self.ask(Ask::post("/users/signin", shown), &[200, 401]).await?;
        }
        let token = text(&answer.body, "token").map(str::to_owned);
        token.ok_or_else(|| {
            Failure::new(format!(
                "{email} has signed up here with another password: the demo needs a site of its own"
            ))
        })
    }

    /// Posts, and comments on them. Returns how many comments.
    async fn write(&self, people: &[&str]) -> Result<usize, Failure> {
        let mut comments = 0;
        for (nth, ((author, title), said)) in POSTS.iter().enumerate() {
            let key = format!("demo-post-{nth}");
            let post = self.create(people, *author, &key, "/posts", json!({ "title": title })).await?;
            let path = format!("/posts/{post}/comments");
            for (mth, (author, content)) in said.iter().enumerate() {
                let key = format!("demo-comment-{nth}-{mth}");
                self.create(people, *author, &key, &path, json!({ "content": content })).await?;
                comments += 1;
            }
        }
        Ok(comments)
    }

    /// Tickets. Returns their ids.
    async fn offer(&self, people: &[&str]) -> Result<Vec<String>, Failure> {
        let mut tickets = Vec::new();
        for (nth, (seller, title, cents)) in TICKETS.iter().enumerate() {
            let offer = json!({ "title": title, "price": price(*cents) });
            tickets
                .push(self.create(people, *seller, &format!("demo-ticket-{nth}"), "/tickets", offer).await?);
        }
        Ok(tickets)
    }

    /// Orders. Returns what became of each, in words.
    async fn order(&self, people: &[&str], tickets: &[String]) -> Result<Vec<String>, Failure> {
        let mut words = Vec::new();
        for (nth, (buyer, nth_ticket, fate)) in ORDERS.iter().enumerate() {
            let (Some((_, title, cents)), Some(ticket)) =
                (TICKETS.get(*nth_ticket), tickets.get(*nth_ticket))
            else {
                continue;
            };
            let token = people.get(*buyer).copied();
            let new = json!({ "ticket_id": ticket, "price": price(*cents) });
            let order = self.create(people, *buyer, &format!("demo-order-{nth}"), "/orders", new).await?;
            let path = format!("/orders/{order}");
            // By now, if it was made by a demo that was cut off.
            let look = || Ask { token, ..Ask::get(&path) };
            let is_reserved = text(&self.ask(look(), &[200]).await?.body, "status") == Some("reserved");
            match fate {
                Fate::Paid if is_reserved => {
                    let pay = json!({ "order_id": order, "token": "tok_ok" });
                    let key = format!("demo-payment-{nth}");
                    let pay = Ask { token, key: Some(&key), ..Ask::post("/payments?wait=5", pay) };
                    self.ask(pay, &[201, 202]).await?;
                }
                Fate::Cancelled if is_reserved => {
                    self.ask(Ask { method: Method::DELETE, ..look() }, &[204]).await?;
                }
                _ => {}
            }
            let status = self.ask(look(), &[200]).await?.body;
            words.push(format!("order of {title:?}: {}", text(&status, "status").unwrap_or("unknown")));
        }
        Ok(words)
    }

    /// Creates something by somebody, or finds that they have. Returns its id.
    async fn create(
        &self,
        people: &[&str],
        by: usize,
        key: &str,
        path: &str,
        new: Value,
    ) -> Result<String, Failure> {
        let ask = Ask { token: people.get(by).copied(), key: Some(key), ..Ask::post(path, new) };
        let made = self.ask(ask, &[201]).await?.body;
        let id =
            text(&made, "id").ok_or_else(|| Failure::new(format!("POST {path} answers no id: {made}")))?;
        Ok(id.to_owned())
    }

    /// Sends a request that must be answered with one of these.
    async fn ask(&self, ask: Ask<'_>, expected: &[u16]) -> Result<Answer, Failure> {
        let what = format!("{} {}", ask.method, ask.path);
        let answer = self.api.send(ask).await.map_err(|failure| failure.remedy(AGAIN))?;
        if expected.contains(&answer.status) {
            return Ok(answer);
        }
        let Answer { status, body } = answer;
        let said = text(&body, "detail").or(text(&body, "title")).unwrap_or("nothing else");
        Err(Failure::new(format!("{what} is answered with {status}: {said}")).remedy(AGAIN))
    }
}

fn text<'v>(of: &'v Value, name: &str) -> Option<&'v str> {
    of.get(name)?.as_str()
}

fn price(cents: u64) -> Value {
    json!({ "amount": cents, "currency": "EUR" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_less_than_a_list_gives_at_once() {
        assert!(POSTS.len() < LISTED && TICKETS.len() < LISTED);
        assert!(
            PEOPLE
                .iter()
                .all(|(email, name)| email.ends_with("@demo.example.com") && name.ends_with("(demo)"))
        );
        assert!(
            ORDERS.iter().all(|(buyer, ticket, _)| TICKETS[*ticket].0 != *buyer),
            "nobody buys their own"
        );
    }
}
