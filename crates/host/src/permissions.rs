//! What a component may publish and ask: what `deploy/accounts` gives its user on NATS, out of the same table.
//!
//! A component says what it is, whom it asks and what it follows, in a section of its file (`trellis_kit::statement`). That
//! is read before anything of it runs, so a component that was taken over has the permissions that it was built with. One
//! that says nothing of itself may publish wherever services and NATS itself do not.
//!
//! The host also sees bodies, which a NATS server does not look at: what a component makes for itself must be its own. And
//! where somebody is asked to answer may only be where the asking component may publish: else others would publish for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use regex::bytes::{Regex, RegexBuilder};
use trellis_broker::{Broker, Subject};
use trellis_kit::access::Member;
use trellis_names as names;

use crate::metrics::ComponentMetrics;

/// Of one component so many refusals are logged; all are counted.
const LOGGED_MAX: usize = 32;

/// A message that a component sends.
pub(crate) struct Sent<'a> {
    pub(crate) subject: &'a Subject,
    /// Where it asks to be answered.
    pub(crate) reply: Option<&'a Subject>,
    pub(crate) body: &'a [u8],
    /// Where the message that it handles asks to be answered; whoever sent that one was allowed to ask so.
    pub(crate) answering: Option<&'a str>,
}

/// What one component may do.
pub(crate) struct Permissions {
    component: Arc<str>,
    /// What it says of itself, and the subjects that follow from that.
    stated: Option<(Member, Regex)>,
    metrics: Arc<ComponentMetrics>,
    /// The subjects that it was refused, as far as that was logged.
    logged: Mutex<BTreeSet<String>>,
}

impl Permissions {
    pub(crate) fn new(
        component: Arc<str>,
        stated: Option<Member>,
        metrics: Arc<ComponentMetrics>,
    ) -> Result<Permissions, String> {
        let with_subjects = |member: Member| matcher(&member.patterns()).map(|subjects| (member, subjects));
        let stated = stated.map(with_subjects).transpose()?;
        Ok(Permissions { component, stated, metrics, logged: Mutex::default() })
    }

    /// Whether the component may send this.
    pub(crate) fn check(&self, sent: &Sent<'_>) -> Result<(), String> {
        let result = self.find(sent);
        if let Err(refusal) = &result {
            let subject = sent.subject;
            self.metrics.refused_messages.add(1);
            let mut logged = self.logged.lock();
            if logged.len() < LOGGED_MAX && logged.insert(subject.to_string()) {
                tracing::warn!(component = %self.component, %subject, refusal, "message refused");
            }
        }
        result
    }

    fn find(&self, sent: &Sent<'_>) -> Result<(), String> {
        let &Sent { subject, reply, body, answering } = sent;
        self.may_publish(subject, answering)
            .map_err(|reason| format!("{} may not publish on {subject}: {reason}", self.component))?;
        if let Some(reply) = reply {
            self.may_publish(reply, answering).map_err(|reason| {
                format!("{} may not have {subject} answered on {reply}: {reason}", self.component)
            })?;
        }
        match &self.stated {
            Some((member, _)) => member
                .may_ask(subject.as_str(), body)
                .map_err(|reason| format!("{} may not ask {subject} for this: {reason}", self.component)),
            None => Ok(()),
        }
    }

    fn may_publish(&self, subject: &Subject, answering: Option<&str>) -> Result<(), &'static str> {
        if answering == Some(subject.as_str()) {
            return Ok(());
        }
        if Broker::is_own_inbox(subject) {
            return Err(
                "somebody else is answered there; answer where the message that is handled asks for it",
            );
        }
        match &self.stated {
            Some((_, subjects)) if !subjects.is_match(subject.as_str().as_bytes()) => Err(
                "that does not follow from what it says it is; say in its `Service` whom it asks (ASKS), what it follows \
                 (PROJECTIONS, REACTIONS, TIMERS), where it looks (READS) or that it looks at all others (WATCHES), and build it again",
            ),
            None if names::is_reserved(subject.as_str()) => Err(
                "services and NATS itself use subjects like that, and it does not say which service it is; make it a service \
                 with the kit, whose export! says so, or use a subject that begins otherwise",
            ),
            _ => Ok(()),
        }
    }
}

/// One expression for all patterns: it takes about as long for many as for one.
fn matcher(patterns: &BTreeSet<String>) -> Result<Regex, String> {
    let one = |pattern: &String| {
        let text = regex::escape(pattern).replace(r"\*", "[^.]+").replace(r"\#", "[0-9]+");
        match text.strip_suffix('>') {
            Some(before) => format!("{before}.+"),
            None => text,
        }
    };
    let all = patterns.iter().map(one).collect::<Vec<_>>().join("|");
    let regex = RegexBuilder::new(&format!("^(?:{all})$")).unicode(false).build();
    regex.map_err(|error| format!("what it may publish makes no expression: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions(statement: Option<&str>) -> Permissions {
        let member = statement.map(|text| Member::read(text.as_bytes()).unwrap());
        Permissions::new("query".into(), member, Arc::default()).unwrap()
    }

    fn may(permissions: &Permissions, subject: &str) -> bool {
        let subject = Subject::new(subject).unwrap();
        permissions.check(&Sent { subject: &subject, reply: None, body: b"", answering: None }).is_ok()
    }

    const QUERY: &str = r#"{"name":"query","partitions":2,"asks":["web"],"watches":false,"provisions":false,"projects":["posts"],"reacts_to":["comments"],"reads":["accounts"]}"#;
    const WATCHER: &str = r#"{"name":"query","partitions":0,"asks":["*"],"watches":true,"provisions":false,"projects":[],"reacts_to":[]}"#;

    #[test]
    fn a_service_may_do_what_follows_from_what_it_is() {
        let query = permissions(Some(QUERY));
        for subject in [
            "_INBOX.client.1",
            "trellis.announce",
            "log.query.7.x.1",
            "dead.query.posts.1.r",
            "svc.web",
            "$JS.API.STREAM.MSG.GET.LOG_posts",
            "$JS.API.CONSUMER.INFO.LOG_posts.query-g15-317",
            "$JS.ACK.LOG_posts.query-g1-0.1.17.1.1.0",
            "$JS.ACK.LOG_comments.query-r-0.1.17.1.1.0",
            "$JS.API.STREAM.MSG.GET.LOG_accounts",
        ] {
            assert!(may(&query, subject), "{subject}");
        }
        for subject in [
            "orders.new",
            "log.posts.0.x.1",
            "log.query.0.x",
            "svc.posts",
            "svc.web.x",
            "deliver.query",
            "trellis.host.stop",
            "_INBOX.trellis.7",
            "$SRV.PING.posts",
            "$JS.API.STREAM.DELETE.LOG_query",
            "$JS.API.STREAM.MSG.GET.LOG_moderation",
            "$JS.API.STREAM.INFO.LOG_accounts",
            "$JS.API.CONSUMER.INFO.LOG_accounts.query-g1-0",
            "$JS.API.CONSUMER.INFO.LOG_posts.web-g1-0",
            "$JS.API.CONSUMER.INFO.LOG_posts.query-gx-0",
            "$JS.API.CONSUMER.INFO.LOG_posts.query-g16-0",
            "own.posts.generation.1",
            "$JS.API.CONSUMER.INFO.LOG_posts.query-g1-0.x",
            "$JS.ACK.LOG_posts.posts-g1-0.1.17.1.1.0",
        ] {
            assert!(!may(&query, subject), "{subject}");
        }
        let watcher = permissions(Some(WATCHER));
        for subject in ["svc.anybody", "$SRV.PING.anybody", "$JS.API.STREAM.INFO.DEAD_anybody"] {
            assert!(may(&watcher, subject), "{subject}");
        }
        for subject in ["svc.any.body", "$SRV.PING.a.b", "$JS.API.STREAM.INFO.KV_posts", "log.query.0.x.1"] {
            assert!(!may(&watcher, subject), "{subject}");
        }
    }

    #[test]
    fn patterns_and_permissions_on_nats_are_of_one_table() {
        for statement in [QUERY, WATCHER] {
            let permissions = permissions(Some(statement));
            let (member, regex) = permissions.stated.as_ref().unwrap();
            let other = |name: &str| {
                let text = WATCHER.replace("query", name).replace(r#""partitions":0"#, r#""partitions":3"#);
                Member::read(text.as_bytes()).unwrap()
            };
            let all = [member.clone(), other("posts"), other("comments"), other("web")];
            let on_nats = member.publishes(&all);
            assert!(on_nats.len() > 10);
            for subject in on_nats {
                let example = subject.replace('>', "a.b").replace('*', "a");
                assert!(regex.is_match(example.as_bytes()), "{example}");
            }
        }
    }

    #[test]
    fn a_component_without_a_statement_publishes_only_outside_the_subjects_of_services() {
        let stranger = permissions(None);
        assert!(may(&stranger, "orders.new") && may(&stranger, "_INBOX.x"));
        for subject in
            ["svc.posts", "log.posts.0.x.1", "$JS.API.INFO", "trellis.host.stop", "_INBOX.trellis.7"]
        {
            assert!(!may(&stranger, subject), "{subject}");
        }
    }

    #[test]
    fn an_answer_goes_where_it_was_asked_for_and_nowhere_that_the_asker_may_not_publish() {
        let query = permissions(Some(QUERY));
        let check = |subject: &str, reply: Option<&str>, answering: Option<&str>| {
            let subject = Subject::new(subject).unwrap();
            let reply = reply.map(|reply| Subject::new(reply).unwrap());
            query.check(&Sent { subject: &subject, reply: reply.as_ref(), body: b"", answering })
        };
        assert_eq!(check("_INBOX.trellis.7", None, Some("_INBOX.trellis.7")), Ok(()));
        assert!(check("_INBOX.trellis.8", None, Some("_INBOX.trellis.7")).is_err());
        assert_eq!(check("svc.web", Some("_INBOX.client.1"), None), Ok(()));
        let refused = check("svc.web", Some("log.posts.0.x.1"), None).unwrap_err();
        assert!(refused.starts_with("query may not have svc.web answered on log.posts.0.x.1: "), "{refused}");
        assert_eq!(query.metrics.refused_messages.get(), 2);
    }
}
