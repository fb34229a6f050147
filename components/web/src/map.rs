//! The picture of what flows: a row for each service, in its group, and a line from each log to whoever hears it.
//!
//! Lines that lead to one service run together, in a lane beside the rows. So there are as many lanes as there are services that
//! hear others, and not as many as there are lines. Lanes that pass no row in common stand one below the other, and short ones next
//! to the rows.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::backlog::{Backlog, PATH, at, backlogs};
use crate::trellis::registry::types::{Flow, Presence};

/// How high things are, in sixteenths of a rem: the style has the same heights.
const HEADING: usize = 32;
const ROW: usize = 40;
const GAP: usize = 12;
/// How far lanes are apart, how far before a lane its lines turn, and how far from the middle of a row they end.
const LANE: usize = 14;
const TURN: usize = 6;
const ASIDE: usize = 7;

/// Services that belong together, and where the middle of each row is.
struct Group<'a> {
    name: Option<&'a str>,
    rows: Vec<(&'a Flow, usize)>,
}

/// From a log to a service that hears it.
struct Line<'a> {
    flow: &'a Flow,
    to: &'a str,
    backlog: Backlog,
    /// Where the rows of both are.
    ends: (usize, usize),
}

pub fn picture(there: &[&Flow], chosen: Option<&str>) -> Markup {
    let groups = groups(there);
    let lines = lines(&groups);
    let lanes = lanes(&lines);
    let width = LANE * (lanes.values().max().map_or(0, |last| last + 1) + 1);
    let height = bottom(&groups);
    html! {
        div.map data-chosen=[chosen] {
            @for group in &groups {
                @let name = group.name.unwrap_or(if groups.len() > 1 { "others" } else { "services" });
                div.group data-key=(name) {
                    h2 { (name) }
                    ul { @for (flow, _) in &group.rows { (row(flow, chosen)) } }
                }
            }
            svg.lines width={ (rem(width)) "rem" } height={ (rem(height)) "rem" } viewBox={ "0 0 " (width) " " (height) } aria-hidden="true" {
                @for Line { flow, to, backlog, ends } in &lines {
                    @let is_other = chosen.is_some_and(|chosen| chosen != flow.service && chosen != *to);
                    path data-key={ (flow.service) "-" (to) } data-state=(state(flow, backlog)) data-other[is_other]
                        d=(path(*ends, lanes.get(to).copied().unwrap_or_default())) {}
                }
                @for (to, y) in heads(&lines) { path.head data-key={ "to-" (to) } d=(head(y)) {} }
            }
        }
    }
}

fn row(flow: &Flow, chosen: Option<&str>) -> Markup {
    let (state, word) = match flow.presence {
        Presence::Present => ("present", None),
        Presence::Missing | Presence::Gone => ("missing", Some("is away")),
    };
    let is_chosen = chosen == Some(flow.service.as_str());
    html! {
        li data-key=(flow.service) data-state=(state) {
            a href=(at(PATH, &flow.service)) aria-current=[is_chosen.then_some("true")] {
                span { (flow.service) @if let Some(word) = word { " " small { (word) } } }
            }
        }
    }
}

/// By the names of groups and services; those that name no group come last.
fn groups<'a>(there: &[&'a Flow]) -> Vec<Group<'a>> {
    let mut named: BTreeMap<(bool, Option<&str>), Vec<&'a Flow>> = BTreeMap::new();
    for flow in there {
        let name = flow.group.as_deref();
        named.entry((name.is_none(), name)).or_default().push(flow);
    }
    let mut top = 0;
    let groups = named.into_iter().map(|((_, name), mut flows)| {
        flows.sort_by(|one, other| one.service.cmp(&other.service));
        let first = top + HEADING + ROW / 2;
        let rows: Vec<_> = flows.into_iter().zip((first..).step_by(ROW)).collect();
        top += HEADING + ROW * rows.len() + GAP;
        Group { name, rows }
    });
    groups.collect()
}

fn bottom(groups: &[Group<'_>]) -> usize {
    groups.last().and_then(|group| group.rows.last()).map_or(0, |(_, y)| y + ROW / 2)
}

/// One for each log and service that hears it, itself apart.
fn lines<'a>(groups: &[Group<'a>]) -> Vec<Line<'a>> {
    let rows = || groups.iter().flat_map(|group| &group.rows);
    let places: BTreeMap<&str, usize> = rows().map(|(flow, y)| (flow.service.as_str(), *y)).collect();
    let mut lines: Vec<Line<'a>> = Vec::new();
    for &(flow, from) in rows() {
        for (to, backlog) in backlogs(flow) {
            if let Some(at) = places.get(to).filter(|_| to != flow.service) {
                lines.push(Line { flow, to, backlog, ends: (from, *at) });
            }
        }
    }
    // Where they run together, the one on top is seen.
    lines.sort_by_key(|line| (line.backlog.waiting > 0, line.flow.lately > 0));
    lines
}

/// The lane of each service that hears another.
fn lanes<'a>(lines: &[Line<'a>]) -> BTreeMap<&'a str, usize> {
    let mut spans: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for Line { to, ends: (from, at), .. } in lines {
        let (top, end) = spans.entry(*to).or_insert((*at, *at));
        (*top, *end) = ((*top).min(*from), (*end).max(*from));
    }
    let mut spans: Vec<_> = spans.into_iter().collect();
    spans.sort_by_key(|(to, (top, end))| (end - top, *top, *to));
    let mut taken: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut lanes = BTreeMap::new();
    for (to, (top, end)) in spans {
        let is_free = |lane: &Vec<(usize, usize)>| lane.iter().all(|(t, e)| end < *t || *e < top);
        let lane = taken.iter().position(is_free).unwrap_or(taken.len());
        match taken.get_mut(lane) {
            Some(spans) => spans.push((top, end)),
            None => taken.push(vec![(top, end)]),
        }
        lanes.insert(to, lane);
    }
    lanes
}

/// Where lines end.
fn heads<'a>(lines: &[Line<'a>]) -> BTreeMap<&'a str, usize> {
    lines.iter().map(|line| (line.to, line.ends.1)).collect()
}

fn state(flow: &Flow, backlog: &Backlog) -> &'static str {
    match (backlog.waiting, flow.lately) {
        (1.., _) => "behind",
        (0, 1..) => "flowing",
        (0, 0) => "idle",
    }
}

/// Out of one row above its middle, along the lane, and into the other row below its middle.
fn path((from, to): (usize, usize), lane: usize) -> String {
    let x = LANE * (lane + 1);
    let (out, into) = (from - ASIDE, to + ASIDE);
    let (begin, end) = if from < to { (out + TURN, into - TURN) } else { (out - TURN, into + TURN) };
    let before = x - TURN;
    format!("M0 {out}H{before}Q{x} {out} {x} {begin}V{end}Q{x} {into} {before} {into}H4")
}

fn head(y: usize) -> String {
    let y = y + ASIDE;
    format!("M6 {}L0 {y}L6 {}Z", y - 4, y + 4)
}

/// Sixteenths of a rem, as the browser reads them.
fn rem(sixteenths: usize) -> String {
    format!("{}.{:04}", sixteenths / 16, sixteenths % 16 * 625)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trellis::registry::types::Consumer;

    fn flow(service: &str, group: Option<&str>, followers: &[&str]) -> Flow {
        let consumer = |service: &&str| Consumer {
            name: format!("{service}-g1-0"),
            service: (*service).to_owned(),
            waiting: 0,
            under_way: 0,
            redelivered: 0,
            not_due: None,
        };
        Flow {
            service: service.to_owned(),
            group: group.map(str::to_owned),
            presence: Presence::Present,
            stream: Some(format!("LOG_{service}")),
            events: 1,
            lately: 0,
            bytes: 1,
            dead_letters: 0,
            consumers: followers.iter().map(consumer).collect(),
        }
    }

    #[test]
    #[allow(clippy::type_complexity, reason = "it is what the picture is made of")]
    fn services_stand_in_their_groups_and_lines_to_one_run_in_one_lane() {
        let flows = [
            flow("likes", None, &[]),
            flow("posts", Some("blog"), &["posts", "comments", "query"]),
            flow("comments", Some("blog"), &["query"]),
            flow("tickets", Some("market"), &["orders", "query"]),
            flow("orders", Some("market"), &["tickets", "gone"]),
            flow("query", Some("platform"), &[]),
        ];
        let there: Vec<&Flow> = flows.iter().collect();
        let groups = groups(&there);
        let shown: Vec<(Option<&str>, Vec<(&str, usize)>)> = groups
            .iter()
            .map(|group| (group.name, group.rows.iter().map(|(flow, y)| (&*flow.service, *y)).collect()))
            .collect();
        assert_eq!(
            shown,
            [
                (Some("blog"), vec![("comments", 52), ("posts", 92)]),
                (Some("market"), vec![("orders", 176), ("tickets", 216)]),
                (Some("platform"), vec![("query", 300)]),
                (None, vec![("likes", 384)]),
            ]
        );
        assert_eq!(bottom(&groups), 404);
        let lines = lines(&groups);
        let ends = |to: &str| {
            let mut from: Vec<_> = lines.iter().filter(|line| line.to == to).map(|line| line.ends).collect();
            from.sort_unstable();
            from
        };
        assert_eq!((lines.len(), ends("query")), (6, vec![(52, 300), (92, 300), (216, 300)]));
        // Those within a group share the first two lanes, and what hears everybody is outside.
        let lanes: Vec<_> = lanes(&lines).into_iter().collect();
        assert_eq!(lanes, [("comments", 0), ("orders", 0), ("query", 2), ("tickets", 1)]);
    }

    #[test]
    fn a_line_leaves_above_the_middle_and_arrives_below_it() {
        assert_eq!(path((52, 92), 0), "M0 45H8Q14 45 14 51V93Q14 99 8 99H4");
        assert_eq!(path((92, 52), 1), "M0 85H22Q28 85 28 79V65Q28 59 22 59H4");
        assert_eq!(
            (rem(40), rem(1), rem(404)),
            ("2.5000".to_owned(), "0.0625".to_owned(), "25.2500".to_owned())
        );
    }
}
