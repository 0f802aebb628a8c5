//! A history as a page that can be shown: one file, nothing from any network, no script.
//!
//! The template escapes whatever stands in it ([`maud`]), and the page's own rules
//! (`Content-Security-Policy`) allow the one style sheet that it has, by its hash, and nothing
//! else. What is listed in full is bounded, so that a page about 50,000 alerts still opens; what is
//! left out is counted, and said.

mod alerts;
mod heat;
mod who;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};
use sha2::{Digest, Sha256};

use crate::alert::text::clean;

use super::report::{Damaged, Report, Rule, Sources};

/// Sources that are named as damaged.
const MOST_DAMAGED: usize = 50;

/// Calls that are named of an exemption.
const MOST_CALLS: usize = 5;

const STYLE: &str = include_str!("page/style.css");

impl Report<'_> {
    /// The page. `policy` is the text of the policy in force, `made` the time of the page.
    pub fn page(&self, policy: &str, made: Timestamp) -> String {
        let title = "What regionwatch would have told";
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(rules());
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="referrer" content="no-referrer";
                    title { (title) }
                    style { (maud::PreEscaped(STYLE)) }
                }
                body {
                    header { h1 { (title) } (self.summary()) }
                    main {
                        (heat::section(self))
                        (alerts::timeline(self))
                        (alerts::section(self))
                        (who::section(self))
                        (self.rules_section())
                        (self.policy_section(policy))
                    }
                    footer { (self.notes(made)) }
                }
            }
        };
        page.into_string()
    }

    fn summary(&self) -> Markup {
        let span = match (self.all.first, self.all.last) {
            (Some(first), Some(last)) => format!("{} to {}", day(first), day(last)),
            _ => "No time is known".to_owned(),
        };
        let approved =
            |region: &&super::report::Region| region.approved != super::report::Approved::None;
        let (all, approved) = (self.regions.len(), self.regions.iter().filter(approved).count());
        let tile = |value: u64, one: &str, many: &str| {
            let what = if value == 1 { one } else { many };
            html! { li { b { (number(value)) } span { (what) } } }
        };
        html! {
            p.dim {
                (span) " · " (counted(self.entries, "record", "records")) " in "
                (counted(self.sources.files as u64, "file", "files"))
                " · judged by policy "
                code { (self.policy.version().digest) }
            }
            p {
                "Approved regions: "
                @for region in self.policy.approved_for("").iter() { span.tag { (region.as_str()) } }
            }
            ul.tiles {
                (tile(self.messages.list.len() as u64, "message would have been sent", "messages would have been sent"))
                (tile(self.alerts(), "call would have alerted", "calls would have alerted"))
                (tile(self.messages.seen.incidents() as u64, "incident", "different incidents"))
                (tile((all - approved) as u64, "region in use, not approved", "regions in use, not approved"))
                (tile(approved as u64, "approved region in use", "approved regions in use"))
                (tile(self.all.mutating, "call that changes something", "calls that change something"))
            }
        }
    }

    fn rules_section(&self) -> Markup {
        let never = self.rules.iter().filter(|rule| rule.hits == 0);
        let never: Vec<&str> = never.map(|rule| rule.id.as_str()).collect();
        html! {
            section {
                h2 { "What the rules did" }
                p.dim { "Watches alert in every region. Exemptions keep silent: this is what they hid." }
                @if self.rules.iter().all(|rule| rule.hits == 0) { p.nothing { "No rule decided anything." } }
                @else { div.wide { table {
                    thead { tr { th { "rule" } th.n { "times" } th { "what it hid" } th.wideonly { "last" } } }
                    tbody {
                        @for rule in self.rules.iter().filter(|rule| rule.hits > 0) { (rule_row(rule)) }
                    }
                } } }
                @if !never.is_empty() { p.note { "Never hit: " (never.join(", ")) } }
            }
        }
    }

    fn policy_section(&self, policy: &str) -> Markup {
        html! {
            section {
                h2 { "The policy in force" }
                details {
                    summary.policy { span.sev.low { "policy" } span.when { (self.policy.version().digest) }
                        span { "every key, and where it comes from" } }
                    pre { @for line in policy.lines() { (clean(line, usize::MAX)) "\n" } }
                }
            }
        }
    }

    fn notes(&self, made: Timestamp) -> Markup {
        let Sources { damaged, digests, interrupted, .. } = &self.sources;
        html! {
            ul {
                li { "A message is what the function would have sent: its ledger, with the time of the records \
                      for a clock. What an account did within five minutes counts as one payload." }
                @if self.messages.held > 0 {
                    li { (counted(self.messages.held, "alerting call was", "alerting calls were")) " held back by the ledger, \
                          where nothing new was seen. The next message of the same incident counts what was held." }
                }
                @if self.rejects.count > 0 {
                    li { (counted(self.rejects.count, "entry is", "entries are")) " unreadable." }
                }
                @if self.unwanted > 0 {
                    li { (counted(self.unwanted, "record was", "records were")) " outside of what was asked for." }
                }
                @if *digests > 0 { li { (counted(*digests, "file or entry", "files and entries")) " without records passed over." } }
                @if *interrupted { li { b { "Reading was broken off: this is not all." } } }
                @for Damaged { path, fault } in damaged.iter().take(MOST_DAMAGED) {
                    li { "Damaged: " code { (path) } ": " (fault) }
                }
                @if damaged.len() > MOST_DAMAGED {
                    li { (counted((damaged.len() - MOST_DAMAGED) as u64, "more damaged file", "more damaged files")) ": " code { "--format json" } " has them." }
                }
                li { "All times are UTC. Made by regionwatch " (env!("CARGO_PKG_VERSION")) ", " (minute(made)) "." }
            }
        }
    }
}

fn rule_row(rule: &Rule) -> Markup {
    html! {
        tr {
            td { (rule.id) " " span.dim { (rule.kind) } }
            td.n { (number(rule.hits)) }
            td {
                @for call in rule.calls.iter().take(MOST_CALLS) {
                    span.mono { (call.name) } span.dim { " " (number(call.count)) "  " }
                }
                @if rule.calls.len() > MOST_CALLS { span.dim { "and others" } }
            }
            td.wideonly { @if let Some(last) = rule.last { (minute(last)) } }
        }
    }
}

/// What the page may load: its own style sheet.
fn rules() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

/// `12,345`.
fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// `1 file`, `2 files`.
fn counted(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(value), if value == 1 { one } else { many })
}

fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

fn day(time: Timestamp) -> String {
    time.strftime("%-d %B %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
    }
}
