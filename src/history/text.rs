//! A history for people at a terminal.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use jiff::Timestamp;

use crate::alert::Counted;
use crate::alert::text::clean;
use crate::policy::Reason;

use super::counts::{Activity, Who};
use super::report::{Approved, Principal, Region, Report, Rule};

/// Lines of each part; the rest is counted.
const MOST_REGIONS: usize = 20;
const MOST_PRINCIPALS: usize = 10;
const MOST_MESSAGES: usize = 20;
const MOST_CALLS: usize = 3;

/// Characters of why something is told again.
const LONGEST_CAUSE: usize = 40;

/// Columns of a name, and of a name with a code before it.
const NAME: usize = 44;

impl fmt::Display for Report<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_verdicts(to)?;
        self.write_regions(to)?;
        self.write_principals(to)?;
        self.write_rules(to)?;
        self.write_messages(to)
    }
}

impl Report<'_> {
    fn write_verdicts(&self, to: &mut impl Write) -> fmt::Result {
        if self.entries == 0 {
            return Ok(());
        }
        writeln!(to, "VERDICTS")?;
        let mut counts = Vec::new();
        for (word, by) in [("alert", &self.alerted), ("ignore", &self.ignored)] {
            let mut by: Vec<(&Reason, &u64)> = by.iter().collect();
            by.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            counts.extend(by.into_iter().map(|(reason, n)| (word, reason.to_string(), *n)));
        }
        let faults = self.rejects.faults.iter();
        counts.extend(faults.map(|(fault, n)| ("unreadable", (*fault).to_owned(), *n)));
        for (word, reason, count) in counts {
            writeln!(to, "  {word:<10}  {count:>9}  {reason}")?;
        }
        writeln!(to)
    }

    fn write_regions(&self, to: &mut impl Write) -> fmt::Result {
        if self.regions.is_empty() {
            return Ok(());
        }
        head(to, "REGIONS")?;
        for Region { region, name, approved, activity } in self.regions.iter().take(MOST_REGIONS) {
            let mark = match approved {
                Approved::All => "*",
                Approved::Some => "+",
                Approved::None => " ",
            };
            let name = format!("{mark} {region:<14} {}", name.unwrap_or_default());
            row(to, &name, activity, "")?;
        }
        rest(to, self.regions.len(), MOST_REGIONS, "regions")?;
        let some = self.regions.iter().any(|region| region.approved == Approved::Some);
        let some = if some { "; + for some of the accounts that are active there" } else { "" };
        writeln!(to, "  * approved{some}\n")
    }

    fn write_principals(&self, to: &mut impl Write) -> fmt::Result {
        if self.principals.is_empty() {
            return Ok(());
        }
        head(to, "PRINCIPALS")?;
        for principal in self.principals.iter().take(MOST_PRINCIPALS) {
            let Principal { who: Who { name, kind, .. }, regions, accounts, activity } = principal;
            let places = format!("{}, {}", few(regions, "regions"), few(accounts, "accounts"));
            row(to, &format!("  {name} ({kind})"), activity, &places)?;
        }
        rest(to, self.principals_in_all, MOST_PRINCIPALS, "principals")?;
        writeln!(to)
    }

    fn write_rules(&self, to: &mut impl Write) -> fmt::Result {
        writeln!(to, "RULES")?;
        for rule in self.rules.iter().filter(|rule| rule.hits > 0) {
            let Rule { kind, id, hits, calls, last } = rule;
            let what = if *kind == "watch" { String::new() } else { hidden(calls, *last) };
            writeln!(to, "  {kind:<10}  {hits:>9}  {id}{what}")?;
        }
        let never = self.rules.iter().filter(|rule| rule.hits == 0);
        let never: Vec<String> = never.map(|rule| format!("{} {}", rule.kind, rule.id)).collect();
        if !never.is_empty() {
            writeln!(to, "  never hit: {}", never.join(", "))?;
        }
        writeln!(to)
    }

    /// The gravest first, of equals the first.
    fn write_messages(&self, to: &mut impl Write) -> fmt::Result {
        let messages = &self.messages;
        let mut list: Vec<_> = messages.list.iter().collect();
        if list.is_empty() {
            return writeln!(to, "MESSAGES: none would have been sent\n");
        }
        let by_severity = messages.by_severity();
        let by_severity: Vec<String> =
            by_severity.into_iter().map(|(severity, n)| format!("{n} {severity}")).collect();
        let (first, again) = messages.first_and_again();
        writeln!(to, "MESSAGES: {} would have been sent, {}", list.len(), by_severity.join(", "))?;
        let digests = match messages.digests() {
            0 => String::new(),
            digests => format!(", {digests} tell many incidents in short"),
        };
        let unreadable = match messages.of_rejects() {
            0 => String::new(),
            count => format!(", {count} what is unreadable"),
        };
        let held = messages.held;
        writeln!(
            to,
            "  {first} tell what is new, {again} that it goes on{digests}{unreadable}; calls held back: {held}"
        )?;
        list.sort_by_key(|message| std::cmp::Reverse(message.severity));
        for message in list.iter().take(MOST_MESSAGES) {
            let line = messages.line(message);
            let at = line.at.map_or_else(|| "(no time)".to_owned(), minute);
            let account = match line.account.as_str() {
                "" => String::new(),
                account => format!(", account {account}"),
            };
            let again = match line.again.first() {
                Some(cause) => format!(" (again: {})", clean(cause, LONGEST_CAUSE)),
                None => String::new(),
            };
            writeln!(to, "  {:<8}  {at:<16}  {}{account}{again}", line.severity, line.title)?;
        }
        rest(to, list.len(), MOST_MESSAGES, "messages")?;
        writeln!(to)
    }
}

/// `: ssm:UpdateInstanceInformation 12, ssm:PutInventory 3, and others; last 2026-11-20 09:14`.
fn hidden(calls: &[Counted], last: Option<Timestamp>) -> String {
    let shown = calls.iter().take(MOST_CALLS).map(|call| format!("{} x {}", call.count, call.name));
    let shown: Vec<String> = shown.collect();
    let others = if calls.len() > MOST_CALLS { " and others" } else { "" };
    let last = last.map(|last| format!("; last {}", minute(last))).unwrap_or_default();
    format!(": {}{others}{last}", shown.join(", "))
}

/// The one word, or how many there are.
fn few(words: &BTreeSet<String>, what: &str) -> String {
    match (words.len(), words.first()) {
        (1, Some(word)) if word.is_empty() => format!("unknown {what}"),
        (1, Some(word)) => word.clone(),
        (many, _) => format!("{many} {what}"),
    }
}

fn head(to: &mut impl Write, title: &str) -> fmt::Result {
    writeln!(to, "{title:<NAME$}  {:>9}  {:>9}  {:>9}", "calls", "mutating", "alerts")
}

fn row(to: &mut impl Write, name: &str, done: &Activity, behind: &str) -> fmt::Result {
    let Activity { calls, mutating, alerts, .. } = done;
    let name = shortened(name);
    let line = format!("{name:<NAME$}  {calls:>9}  {mutating:>9}  {alerts:>9}  {behind}");
    writeln!(to, "{}", line.trim_end())
}

fn rest(to: &mut impl Write, all: usize, shown: usize, what: &str) -> fmt::Result {
    match all.saturating_sub(shown) {
        0 => Ok(()),
        1 => writeln!(to, "  and 1 more {}: --format json has it", what.trim_end_matches('s')),
        more => writeln!(to, "  and {more} more {what}: --format json has them"),
    }
}

/// A name that fits its column.
fn shortened(name: &str) -> String {
    clean(name, NAME)
}

fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}
