//! `/flow/traces/{id}`: what one request led to, as a tree across the services. It is read from the events themselves: each says
//! which trace it is part of, and what led to it.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use trellis_kit::http::encoded;
use trellis_kit::time::since_1970;

use crate::api::Page;
use crate::ask::{Services, Trouble};
use crate::backlog::{PATH, at};
use crate::trellis::registry::types::{ListedEvent, Look, Trace};
use crate::{flow, page, time};

/// How many digits the name of a request has, as opposed to the id of an event.
const REQUEST_LEN: usize = 16;

pub fn page(services: Services<'_>, id: &str, around: Option<&str>) -> Page {
    let read = services.trace(id, around);
    if let Err(Trouble::Refused(problem)) = &read {
        return page::refusal(Some(services.cx()), problem);
    }
    let status = read.as_ref().err().map_or(200, Trouble::status);
    let main = html! {
        h1 { "One trace" }
        p.lead { "What one request led to, across the services. Below each event stands what it led to." }
        @match &read {
            Ok(trace) => { (show(trace, around)) }
            Err(_) => { (flow::unreadable()) }
        }
        p.pager { a href=(PATH) { "All services" } }
    };
    page::document(Some(services.cx()), status, "One trace", &main)
}

fn show(trace: &Trace, around: Option<&str>) -> Markup {
    let tree = Tree::new(&trace.events);
    let services: BTreeSet<&str> = trace.events.iter().map(|event| event.service.as_str()).collect();
    html! {
        p.about { "Trace " code { (trace.id) } }
        @if let Some(first) = trace.events.first() {
            p.about {
                (flow::plural(trace.events.len() as u64, "event")) " in " (flow::plural(services.len() as u64, "service"))
                ", from " (time::shown(&first.time)) " on"
            }
            ol.tree {
                @for (cause, roots) in tree.roots() {
                    li {
                        span.cause { (cause) }
                        ol { @for root in roots { (branch(&tree, root, &first.time)) } }
                    }
                }
            }
            @if trace.more > 0 {
                p.notice { (flow::plural(u64::from(trace.more), "later event")) " of this trace were found, and are not shown." }
            }
        } @else {
            div.empty {
                strong { "Nothing of this trace was found" }
                p { "It may be older than what was looked at. Say when it was." }
            }
        }
        (looks(trace, around))
    }
}

fn branch(tree: &Tree<'_>, event: &ListedEvent, begin: &str) -> Markup {
    html! {
        li {
            p {
                a href=(at(PATH, &event.service)) { (event.service) } " "
                strong { (event.kind) }
                @if let Some(later) = later(begin, &event.time) { " " span.about { (later) } }
            }
            p.about { code { (event.entity) } }
            @let next = tree.led_to(event);
            @if !next.is_empty() { ol { @for event in next { (branch(tree, event, begin)) } } }
        }
    }
}

/// Which part of the logs was looked at, and the way to look at another.
fn looks(trace: &Trace, around: Option<&str>) -> Markup {
    let (whole, parts): (Vec<&Look>, Vec<&Look>) = trace.looks.iter().partition(|look| look.complete);
    let whole: Vec<&str> =
        whole.into_iter().filter(|look| look.events > 0).map(|look| look.service.as_str()).collect();
    html! {
        h2 { "Where this was looked for" }
        p.about {
            "Traces are kept nowhere but in the events. No more than 100 events of each log were looked at, "
            @if around.is_some() { "those before and after the time that is given." } @else { "the last ones." }
        }
        ul.looks {
            @if !whole.is_empty() { li { "All events of " (whole.join(", ")) } }
            @for look in parts {
                li data-key=(look.service) {
                    (look.service) ": "
                    @if let (Some(since), Some(until)) = (&look.since, &look.until) {
                        (flow::plural(u64::from(look.events), "event")) ", from " (time::shown(since)) " to " (time::shown(until))
                    } @else { "nothing, as there was no time for it" }
                }
            }
        }
        form.composer method="get" action={ (PATH) "/traces/" (encoded(&trace.id)) } {
            label for="around" { "Look at another time" }
            input #around type="text" name="around" value=[around] aria-describedby="around-hint" autocomplete="off"
                spellcheck="false" maxlength="24";
            div.row {
                p.hint #around-hint { "As logs write it: 2026-11-20T04:01:12.345Z" }
                button type="submit" { "Look" }
            }
        }
    }
}

/// How much later something was: "+12 ms".
fn later(than: &str, time: &str) -> Option<String> {
    let millis = since_1970(time)?.checked_sub(since_1970(than)?)?.as_millis();
    Some(match millis {
        0..1_000 => format!("+{millis} ms"),
        1_000..60_000 => format!("+{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => format!("+{}:{:02} min", millis / 60_000, millis % 60_000 / 1_000),
    })
}

/// The events of a trace, by what led to them.
struct Tree<'a> {
    events: &'a [ListedEvent],
    led_to: BTreeMap<&'a str, Vec<&'a ListedEvent>>,
}

impl<'a> Tree<'a> {
    fn new(events: &'a [ListedEvent]) -> Self {
        let mut led_to: BTreeMap<&str, Vec<&ListedEvent>> = BTreeMap::new();
        for event in events {
            led_to.entry(event.causation.as_deref().unwrap_or_default()).or_default().push(event);
        }
        Self { events, led_to }
    }

    fn led_to(&self, event: &ListedEvent) -> &[&'a ListedEvent] {
        self.led_to.get(event.id.as_str()).map_or(&[], Vec::as_slice)
    }

    /// The events that no other one here led to, by what did, in the order of the first of each.
    fn roots(&self) -> Vec<(&'static str, Vec<&'a ListedEvent>)> {
        let known: BTreeSet<&str> = self.events.iter().map(|event| event.id.as_str()).collect();
        let mut causes: Vec<(Option<&str>, Vec<&ListedEvent>)> = Vec::new();
        for event in self.events {
            let cause = event.causation.as_deref();
            if cause.is_some_and(|cause| known.contains(cause)) {
                continue;
            }
            match causes.iter_mut().find(|(known, _)| *known == cause) {
                Some((_, roots)) => roots.push(event),
                None => causes.push((cause, vec![event])),
            }
        }
        let named = causes.into_iter().map(|(cause, roots)| {
            let name = match cause {
                Some(request) if request.len() == REQUEST_LEN => "A request",
                Some(_) => "An event that was not looked at",
                None => "The service itself",
            };
            (name, roots)
        });
        named.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, causation: Option<&str>) -> ListedEvent {
        ListedEvent {
            service: "orders".to_owned(),
            seq: 1,
            id: id.to_owned(),
            kind: "order.placed.v1".to_owned(),
            entity: "T-O".to_owned(),
            version: 1,
            time: "2026-11-20T04:01:12.345Z".to_owned(),
            trace: None,
            causation: causation.map(str::to_owned),
        }
    }

    #[test]
    fn events_stand_below_what_led_to_them() {
        const SPAN: &str = "00f067aa0ba902b7";
        let events = [
            event("b", Some("a")),
            event("a", Some(SPAN)),
            event("c", Some("a")),
            event("d", Some(SPAN)),
            event("e", Some("lost")),
            event("f", None),
        ];
        let tree = Tree::new(&events);
        let ids = |events: &[&ListedEvent]| events.iter().map(|event| event.id.clone()).collect::<String>();
        let roots: Vec<_> = tree.roots().into_iter().map(|(cause, roots)| (cause, ids(&roots))).collect();
        assert_eq!(
            roots,
            [
                ("A request", "ad".to_owned()),
                ("An event that was not looked at", "e".to_owned()),
                ("The service itself", "f".to_owned()),
            ]
        );
        assert_eq!(
            (ids(tree.led_to(&events[1])), ids(tree.led_to(&events[0]))),
            ("bc".to_owned(), String::new())
        );
    }

    #[test]
    fn how_much_later_something_was() {
        const BEGIN: &str = "2026-11-20T04:01:12.345Z";
        for (time, text) in [
            (BEGIN, Some("+0 ms")),
            ("2026-11-20T04:01:13.344Z", Some("+999 ms")),
            ("2026-11-20T04:01:13.595Z", Some("+1.2 s")),
            ("2026-11-20T04:16:12.345Z", Some("+15:00 min")),
            ("2026-11-20T04:01:12.344Z", None),
            ("later", None),
        ] {
            assert_eq!(later(BEGIN, time).as_deref(), text, "{time}");
        }
    }
}
