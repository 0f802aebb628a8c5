//! Who acted, and what it was that alerted.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::super::report::{Principal, Report};
use super::{counted, number};

/// Principals and calls that are listed.
const MOST_LISTED: usize = 20;

/// Regions that are named of a principal.
const MOST_REGIONS: usize = 4;

/// Both tables.
pub fn section(report: &Report<'_>) -> Markup {
    html! { (who(report)) (what(report)) }
}

fn who(report: &Report<'_>) -> Markup {
    let more = report.principals_in_all.saturating_sub(MOST_LISTED);
    html! {
        section {
            h2 { "Who" }
            @if report.principals.is_empty() { p.nothing { "Nobody did anything." } }
            @else {
                p.dim { "The busiest principals: by calls that alert, then by what they change." }
                div.wide { table {
                    thead { tr { th { "principal" } th.n { "calls" } th.n { "mutating" } th.n { "alerts" } } }
                    tbody { @for principal in report.principals.iter().take(MOST_LISTED) { (row(principal)) } }
                } }
                @if more > 0 { p.note { (number(more as u64)) " more: " code { "--format json" } " has them." } }
            }
        }
    }
}

fn row(principal: &Principal) -> Markup {
    let Principal { who, regions, accounts, activity } = principal;
    let more = regions.len().saturating_sub(MOST_REGIONS);
    let regions: Vec<&str> = regions.iter().take(MOST_REGIONS).map(String::as_str).collect();
    let accounts = match accounts.len() {
        0 | 1 => accounts.first().cloned().unwrap_or_default(),
        many => format!("{many} accounts"),
    };
    html! {
        tr {
            td {
                (who.name) " " span.dim { (who.kind) }
                div.note {
                    (regions.join(", ")) @if more > 0 { " and " (more) " more" }
                    @if !accounts.is_empty() { " · " (accounts) }
                }
            }
            td.n { (number(activity.calls)) }
            td.n { (number(activity.mutating)) }
            td.n { (number(activity.alerts)) }
        }
    }
}

/// Which calls alerted, the most frequent first.
fn what(report: &Report<'_>) -> Markup {
    let seen = &report.messages.seen;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (_, _, sighting) in &seen.sightings {
        for (call, count) in seen.calls(sighting) {
            *counts.entry(call).or_default() += count;
        }
    }
    let mut calls: Vec<(String, u64)> = counts.into_iter().collect();
    calls.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let most = calls.first().map_or(1, |(_, count)| *count);
    let more = calls.len().saturating_sub(MOST_LISTED);
    html! {
        section {
            h2 { "What" }
            @if calls.is_empty() { p.nothing { "No call would have alerted." } }
            @else {
                p.dim { "The calls that would have alerted." }
                table.what { tbody { @for (call, count) in calls.iter().take(MOST_LISTED) {
                    tr {
                        td.mono { (call) }
                        td.n { (number(*count)) }
                        td.wideonly { (meter(*count, most)) }
                    }
                } } }
                @if more > 0 { p.note { (counted(more as u64, "call", "calls")) " of other names." } }
            }
        }
    }
}

fn meter(count: u64, most: u64) -> Markup {
    let width = (count.saturating_mul(1000) / most.max(1)).max(4);
    html! {
        svg.meter viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true" {
            rect width=(width) height="8" rx="2" {}
        }
    }
}
