//! `/flow`: which services there are, what each has told, and who has yet to hear it, as a picture and as a table.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use trellis_kit::services::LATELY;

use crate::api::Page;
use crate::ask::{Services, Trouble};
use crate::page;
use crate::trellis::registry::types::{Flow, Presence};

/// The picture: how wide it is, where its lines begin and end, and how high one name is.
const WIDTH: usize = 340;
const FROM: usize = 124;
const TO: usize = WIDTH - FROM;
const ROW: usize = 36;
const NAME_LEN_MAX: usize = 14;

pub fn page(services: Services<'_>) -> Page {
    let read = services.flows();
    if let Err(Trouble::Refused(problem)) = &read {
        return page::refusal(Some(services.cx()), problem);
    }
    let status = read.as_ref().err().map_or(200, Trouble::status);
    let shown = read.as_ref().map_or_else(|_| unreadable(), |flows| show(flows));
    let main = html! {
        h1 { "What flows" }
        p.lead {
            "Each service writes what happens into a log of its own, and hears of the others from theirs. Nobody waits for \
             anybody: who was away catches up."
        }
        (page::kept_up_to_date(Some("/flow/live"), &shown))
    };
    page::document(Some(services.cx()), status, "What flows", &main)
}

/// The same, as it is now.
pub fn live(services: Services<'_>) -> Result<Markup, Trouble> {
    Ok(show(&services.flows()?))
}

/// Who hears a log, and how much of it they have yet to hear.
#[derive(Debug, Default, Clone, Copy)]
struct Backlog {
    waiting: u64,
    under_way: u64,
    redelivered: u64,
    not_due: u64,
}

fn backlogs(flow: &Flow) -> BTreeMap<&str, Backlog> {
    let mut backlogs: BTreeMap<&str, Backlog> = BTreeMap::new();
    for consumer in &flow.consumers {
        let backlog = backlogs.entry(&consumer.service).or_default();
        backlog.waiting += consumer.waiting;
        backlog.under_way += consumer.under_way;
        backlog.redelivered += consumer.redelivered;
        backlog.not_due += consumer.not_due.unwrap_or_default();
    }
    backlogs
}

fn show(flows: &[Flow]) -> Markup {
    let mut there: Vec<&Flow> = flows.iter().filter(|flow| flow.presence != Presence::Gone).collect();
    there.sort_by(|one, other| one.service.cmp(&other.service));
    let logs: Vec<&Flow> = there.iter().filter(|flow| flow.stream.is_some()).copied().collect();
    html! {
        @if there.is_empty() {
            div.empty { p { "No service has said anything of itself yet." } }
        } @else {
            ul.services aria-label="Services" { @for flow in &there { (service(flow)) } }
        }
        @if !logs.is_empty() {
            (picture(&logs))
            (table(&logs))
        }
    }
}

fn service(flow: &Flow) -> Markup {
    let (state, word) = match flow.presence {
        Presence::Present => ("present", None),
        Presence::Missing | Presence::Gone => ("missing", Some("is away")),
    };
    html! {
        li data-key=(flow.service) data-state=(state) {
            (flow.service)
            @if let Some(word) = word { " " (word) }
        }
    }
}

/// Logs on the left, those who hear them on the right.
fn picture(logs: &[&Flow]) -> Markup {
    let heard: Vec<_> = logs.iter().map(|flow| backlogs(flow)).collect();
    let followers: BTreeSet<&str> = heard.iter().flat_map(|backlogs| backlogs.keys().copied()).collect();
    let height = ROW * logs.len().max(followers.len());
    let place = |nth: usize, of: usize| (2 * nth + 1) * height / (2 * of.max(1));
    let right = |name: &str| {
        let nth = followers.iter().position(|known| *known == name).unwrap_or_default();
        place(nth, followers.len())
    };
    html! {
        svg.map viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label="Who hears which log; the table says the same" {
            @for (nth, (flow, backlogs)) in logs.iter().zip(&heard).enumerate() {
                @let left = place(nth, logs.len());
                @for (follower, backlog) in backlogs {
                    path data-key={ (flow.service) "-" (follower) } data-state=(state(flow, backlog))
                        d=(line(left, right(follower))) {}
                }
                (name(&flow.service, 0, left, "start"))
            }
            @for follower in &followers { (name(follower, WIDTH, right(follower), "end")) }
        }
        p.hint { "Logs are on the left, who hears them on the right. A thick line: events flow. A broken one: some wait." }
    }
}

fn state(flow: &Flow, backlog: &Backlog) -> &'static str {
    match (backlog.waiting, flow.lately) {
        (1.., _) => "behind",
        (0, 1..) => "flowing",
        (0, 0) => "idle",
    }
}

fn line(left: usize, right: usize) -> String {
    let middle = WIDTH / 2;
    format!("M{FROM} {left}C{middle} {left} {middle} {right} {TO} {right}")
}

fn name(text: &str, x: usize, y: usize, anchor: &str) -> Markup {
    let short: String = match text.char_indices().nth(NAME_LEN_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    };
    html! {
        text data-key={ (anchor) "-" (text) } x=(x) y=(y) text-anchor=(anchor) dominant-baseline="middle" { (short) }
    }
}

fn table(logs: &[&Flow]) -> Markup {
    html! {
        table.flow {
            caption { "Events that somebody has yet to hear" }
            thead {
                tr {
                    th scope="col" { "Log" }
                    th scope="col" { "Waiting" }
                    th scope="col" { "In hand" }
                    th scope="col" { "Again" }
                }
            }
            @for flow in logs { (rows(flow)) }
        }
    }
}

fn rows(flow: &Flow) -> Markup {
    let backlogs = backlogs(flow);
    html! {
        tbody data-key=(flow.service) {
            tr {
                th.log scope="rowgroup" colspan="4" {
                    strong { (flow.service) } " "
                    span { (plural(flow.events, "event")) " · " (rate(flow.lately)) " per second" }
                    @if flow.dead_letters > 0 {
                        " " span.wrong { (plural(flow.dead_letters, "event")) " that it could not handle" }
                    }
                }
            }
            @for (follower, Backlog { waiting, under_way, redelivered, not_due }) in &backlogs {
                tr data-key=(follower) data-state=[(*waiting > 0).then_some("behind")] {
                    th scope="row" {
                        (follower)
                        @if *not_due > 0 { " " span { "(" (plural(*not_due, "event")) " not due yet)" } }
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

fn unreadable() -> Markup {
    html! {
        div.notice {
            strong { "This cannot be read right now" }
            p { "The registry, which looks after the services, is away. Events flow all the same." }
        }
    }
}

fn plural(count: u64, what: &str) -> String {
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
