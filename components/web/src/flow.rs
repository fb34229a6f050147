//! `/flow`: which services there are, what each has told, and who has yet to hear it, as a picture and as a table; of one of
//! them, its last events as well: what happened to which entity, and nothing of what was said.

use std::collections::BTreeSet;

use maud::{Markup, html};
use trellis_kit::http::encoded;
use trellis_kit::services::LATELY;

use crate::api::Page;
use crate::ask::{Services, Trouble};
use crate::backlog::{Backlog, PATH, at, backlogs};
use crate::trellis::registry::types::{EventPage, Flow, ListedEvent, Presence};
use crate::{map, page, time};

const LIVE: &str = "/flow/live";

/// What is shown: everything, or beside that one service.
struct Shown {
    flows: Vec<Flow>,
    one: Option<One>,
}

struct One {
    service: String,
    events: Result<EventPage, Trouble>,
    /// Whether there are later events than these.
    is_older: bool,
}

pub fn page(services: Services<'_>, chosen: Option<&str>, after: Option<&str>) -> Page {
    let read = read(services, chosen, after);
    if let Err(Trouble::Refused(problem)) = &read {
        return page::refusal(Some(services.cx()), problem);
    }
    let status = match &read {
        Err(trouble) => trouble.status(),
        Ok(Shown { one: Some(One { events: Err(trouble), .. }), .. }) => trouble.status(),
        Ok(_) => 200,
    };
    let shown = read.as_ref().map_or_else(|_| unreadable(), show);
    let live = chosen.map_or_else(|| LIVE.to_owned(), |service| at(LIVE, service));
    let main = html! {
        h1 { "What flows" }
        p.lead {
            "Each service writes what happens into a log of its own, and hears of the others from theirs. Nobody waits for \
             anybody: who was away catches up."
        }
        (page::kept_up_to_date(after.is_none().then_some(live.as_str()), &shown))
    };
    page::document(Some(services.cx()), status, chosen.unwrap_or("What flows"), &main)
}

/// The same, as it is now.
pub fn live(services: Services<'_>, chosen: Option<&str>) -> Result<Markup, Trouble> {
    Ok(show(&read(services, chosen, None)?))
}

fn read(services: Services<'_>, chosen: Option<&str>, after: Option<&str>) -> Result<Shown, Trouble> {
    let mut flows = services.flows()?;
    // Who is gone is of interest for as long as something waits for it.
    let awaited: BTreeSet<String> = flows.iter().flat_map(awaited).map(str::to_owned).collect();
    flows.retain(|flow| flow.presence != Presence::Gone || awaited.contains(&flow.service));
    flows.sort_by(|one, other| one.service.cmp(&other.service));
    let one = chosen.map(|service| One {
        service: service.to_owned(),
        events: services.events(service, after),
        is_older: after.is_some(),
    });
    Ok(Shown { flows, one })
}

/// Those for whom events of a log wait.
fn awaited(flow: &Flow) -> impl Iterator<Item = &str> {
    backlogs(flow).into_iter().filter(|(_, backlog)| backlog.waiting > 0).map(|(follower, _)| follower)
}

fn show(Shown { flows, one }: &Shown) -> Markup {
    let there: Vec<&Flow> = flows.iter().collect();
    let chosen = one.as_ref().map(|one| one.service.as_str());
    html! {
        @if flows.is_empty() {
            div.empty { p { "No service has said anything of itself yet." } }
        } @else {
            div.flows {
                // What was asked for comes first, also where there is room for one column alone.
                @if let Some(one) = one { (told(&there, one)) }
                div.overview {
                    (map::picture(&there, chosen))
                    p.hint { "An arrow leads to who hears a log. A thick line: events flow. A broken one: some wait." }
                }
                @if one.is_none() { (logs(&there)) }
            }
        }
    }
}

/// All that have a log, a line or two for each.
fn logs(there: &[&Flow]) -> Markup {
    html! {
        table.flow {
            caption { "Logs" }
            thead {
                tr {
                    th scope="col" { "Of" }
                    th scope="col" { "Events" }
                    th scope="col" { "A second" }
                    th scope="col" { "Waiting" }
                }
            }
            tbody {
                @for flow in there.iter().filter(|flow| flow.stream.is_some()) { (log(flow)) }
            }
        }
    }
}

fn log(flow: &Flow) -> Markup {
    let backlogs = backlogs(flow);
    let heard_by =
        |name: &&str| if **name == flow.service { "itself".to_owned() } else { (*name).to_owned() };
    let heard_by: Vec<String> = backlogs.keys().map(heard_by).collect();
    let waiting: u64 = backlogs.values().map(|backlog| backlog.waiting).sum();
    html! {
        tr data-key=(flow.service) data-state=[(waiting > 0).then_some("behind")] {
            th scope="row" {
                a href=(at(PATH, &flow.service)) { (flow.service) }
                @if heard_by.is_empty() { span { "Nobody hears it." } }
                @else { span { "heard by " (heard_by.join(", ")) } }
                (dead_letters(flow))
            }
            td { (grouped(flow.events)) }
            td { (rate(flow.lately)) }
            td { (grouped(waiting)) }
        }
    }
}

fn dead_letters(flow: &Flow) -> Markup {
    html! {
        @if flow.dead_letters > 0 {
            span.wrong { (plural(flow.dead_letters, "event")) " that it could not handle" }
        }
    }
}

/// One service: who hears it, and its last events.
fn told(there: &[&Flow], one: &One) -> Markup {
    let flow = there.iter().find(|flow| flow.service == one.service);
    html! {
        section.told data-key=(one.service) {
            h2 { (one.service) }
            @if let Some(flow) = flow { (standing(flow)) }
            @match &one.events {
                Ok(events) => { (listed(one, events)) }
                Err(Trouble::Refused(problem)) => {
                    p.notice { (problem.detail.as_deref().unwrap_or(&problem.title)) }
                }
                Err(_) => { p.notice { "Its events cannot be read right now." } }
            }
            p.pager { a href=(PATH) { "All services" } }
        }
    }
}

fn standing(flow: &Flow) -> Markup {
    html! {
        @if flow.presence != Presence::Present { p.notice { "It is away. What it is to hear waits for it." } }
        @if flow.stream.is_some() {
            p.about { (plural(flow.events, "event")) " · " (rate(flow.lately)) " per second" (dead_letters(flow)) }
            (followers(flow))
        } @else {
            p.about { "It has no log: it only hears others." (dead_letters(flow)) }
        }
    }
}

fn followers(flow: &Flow) -> Markup {
    let backlogs = backlogs(flow);
    html! {
        table.flow {
            caption.unseen { "Who hears it" }
            thead {
                tr {
                    th scope="col" { "Heard by" }
                    th scope="col" { "Waiting" }
                    th scope="col" { "In hand" }
                    th scope="col" { "Again" }
                }
            }
            tbody {
                @for (follower, Backlog { waiting, under_way, redelivered, not_due }) in &backlogs {
                    tr data-key=(follower) data-state=[(*waiting > 0).then_some("behind")] {
                        th scope="row" {
                            @if *follower == flow.service { "itself" } @else { a href=(at(PATH, follower)) { (follower) } }
                            @if *not_due > 0 { span { (plural(*not_due, "event")) " not due yet" } }
                        }
                        td { (grouped(*waiting)) }
                        td { (grouped(*under_way)) }
                        td { (grouped(*redelivered)) }
                    }
                }
                @if backlogs.is_empty() { tr { td colspan="4" { "Nobody hears it." } } }
            }
        }
    }
}

fn listed(one: &One, EventPage { items, next }: &EventPage) -> Markup {
    html! {
        @if !items.is_empty() || one.is_older {
            h3 { @if one.is_older { "Older events" } @else { "Last events" } }
            ol.told-events { @for event in items { (event_in_list(event)) } }
        }
        @if let Some(next) = next {
            p.pager { a rel="next" href={ (at(PATH, &one.service)) "&after=" (encoded(next)) } { "Older events" } }
        }
    }
}

fn event_in_list(event: &ListedEvent) -> Markup {
    html! {
        li data-key=(event.seq) data-kind="event" {
            p { strong { (event.kind) } " " span.about { (time::shown(&event.time)) } }
            p.about {
                code { (event.entity) }
                @if let Some(trace) = &event.trace {
                    " " a href={ "/flow/traces/" (encoded(trace)) "?around=" (encoded(&event.time)) } { "Trace" }
                }
            }
        }
    }
}

/// What there is while the registry is away.
pub fn unreadable() -> Markup {
    html! {
        div.notice {
            strong { "This cannot be read right now" }
            p { "The registry, which looks after the services, is away. Events flow all the same." }
        }
    }
}

pub fn plural(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Events per second, to a tenth.
fn rate(lately: u64) -> String {
    let tenths = lately * 10 / LATELY.as_secs();
    format!("{}.{}", grouped(tenths / 10), tenths % 10)
}

/// `1,234,567`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let places = digits.chars().enumerate();
    let comma = |place: usize| place > 0 && (digits.len() - place).is_multiple_of(3);
    places.fold(String::new(), |text, (place, digit)| {
        let text = if comma(place) { text + "," } else { text };
        text + digit.encode_utf8(&mut [0; 4])
    })
}

#[cfg(test)]
mod tests {
    use super::{grouped, rate};

    #[test]
    fn numbers() {
        let rows = [
            (0, "0"),
            (7, "7"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
            (100_000, "100,000"),
        ];
        for (number, text) in rows {
            assert_eq!(grouped(number), text);
        }
        for (lately, text) in [(0, "0.0"), (1, "0.1"), (12, "1.2"), (123_456, "12,345.6")] {
            assert_eq!(rate(lately), text);
        }
    }
}
