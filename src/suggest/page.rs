//! The suggestion as a policy file. Texts of records stand in it as TOML strings, or cleaned behind
//! a `#`, where nothing ends a line.

use std::collections::BTreeSet;

use jiff::civil::Date;
use toml_writer::ToTomlValue;

use crate::alert::text::{clean, is_harmful};
use crate::policy::PolicyFile;
use crate::policy::calls::CallAccess;
use crate::record::Access;

use super::{
    Activity, Actor, Place, REGION_DAYS, REGION_SPAN, REGULAR_DAYS, REGULAR_SPAN, REGULARS,
    Refused, Seen,
};

/// A region of nobody: a policy has to approve something.
const NOWHERE: &str = "no-region-0";

/// Characters of a text from a record.
const LONGEST_TEXT: usize = 100;

/// Places that are spoken of one by one.
const MOST_PLACES: usize = 100;

impl Seen {
    /// The policy. `until` is the last day of what it exempts; `tried` says what it makes of the
    /// same history.
    pub fn to_toml(&self, until: Date, tried: &str) -> String {
        let mut page = vec![
            format!("# A policy to begin with, suggested from {}.", self.in_words()),
            "# Read it first: whoever acted unseen for long enough is in it as if they were right to.".to_owned(),
        ];
        page.extend(tried.lines().map(|line| format!("# {}", clean(line, usize::MAX))));
        page.push(String::new());
        page.extend(self.regions());
        page.extend(self.refused());
        let rules =
            self.recurring().into_iter().enumerate().flat_map(|(at, (place, actor, role))| {
                self.rule(at + 1, place, actor, role, until).unwrap_or_else(|| {
                    let who = comment(&actor.name);
                    vec![
                        String::new(),
                        format!("# No exemption for {who}: no rule can name what it does."),
                    ]
                })
            });
        page.extend(rules);
        page.join("\n") + "\n"
    }

    fn in_words(&self) -> String {
        let days = self.days.first().zip(self.days.last());
        let days = days.map(|(first, last)| format!(" of {first} to {last}"));
        let count = self.records;
        let records = if count == 1 { "record" } else { "records" };
        format!("{count} {records}{}", days.unwrap_or_default())
    }

    /// What is approved in every account stands for all of them; an account with more has a list of
    /// its own.
    fn regions(&self) -> Vec<String> {
        let approved = self.approved();
        let mut common: Vec<&str> = approved.values().next().cloned().unwrap_or_default();
        common.retain(|code| approved.values().all(|own| own.contains(code)));
        let mut lines = vec![
            format!(
                "# A region is here where {REGULARS} principals or more made changes on {REGION_DAYS} days or more, over"
            ),
            format!(
                "# {REGION_SPAN} days at least, each of them on {REGULAR_DAYS} days over {REGULAR_SPAN}. Root does not count, nor who did"
            ),
            "# what a watch tells of, nor what did not succeed.".to_owned(),
        ];
        if common.is_empty() {
            lines.push(
                "# None is, for every account: this approves nothing. Write yours.".to_owned(),
            );
            lines.push(format!("approved_regions = [\"{NOWHERE}\"]"));
        } else {
            let accounts: Vec<&str> = approved.keys().copied().collect();
            lines.extend(self.list(&accounts, &common));
        }
        for (account, own) in approved.iter().filter(|(_, own)| own.len() > common.len()) {
            lines.push(format!("\n[accounts.\"{account}\"]"));
            lines.extend(self.list(&[account], own));
        }
        lines
    }

    fn list(&self, accounts: &[&str], codes: &[&str]) -> Vec<String> {
        let mut lines = vec!["approved_regions = [".to_owned()];
        for code in codes {
            let places = self.places.iter().filter(|(place, _)| {
                place.region == *code && accounts.contains(&place.account.as_str())
            });
            let evidence = places.map(|(_, activity)| self.evidence(activity));
            let evidence: Vec<String> = evidence.collect();
            let evidence = match evidence.as_slice() {
                [only] => only.clone(),
                many => format!("in each of {} accounts", many.len()),
            };
            lines.push(format!("    \"{code}\", # {evidence}"));
        }
        lines.push("]".to_owned());
        lines
    }

    fn evidence(&self, activity: &Activity) -> String {
        let regulars = self.regulars(activity);
        let days: BTreeSet<Date> =
            regulars.iter().flat_map(|actor| actor.days.iter()).copied().collect();
        let names: Vec<String> =
            regulars.iter().take(3).map(|actor| comment(&actor.name)).collect();
        let more = if regulars.len() > 3 { ", ..." } else { "" };
        let calls: u64 = regulars.iter().map(|actor| actor.succeeded).sum();
        format!("{calls} calls on {} days by {}{more}", days.len(), names.join(", "))
    }

    fn refused(&self) -> Vec<String> {
        let refused: Vec<String> = self
            .places
            .iter()
            .filter_map(|(place, activity)| {
                let why = self.refusal(place, activity)?.in_words();
                let account = if place.account.is_empty() { "unknown" } else { &place.account };
                let (region, account) = (comment(&place.region), comment(account));
                Some(format!("# - {region}, account {account}: {why}{}", seen(activity)))
            })
            .collect();
        if refused.is_empty() {
            return Vec::new();
        }
        let mut lines =
            vec![String::new(), "# Not approved, although something happened there:".to_owned()];
        let more = refused.len().saturating_sub(MOST_PLACES);
        lines.extend(refused.into_iter().take(MOST_PLACES));
        if more > 0 {
            lines.push(format!("# - and {more} more"));
        }
        lines
    }

    /// An exemption for what a service does through a role: these calls alone, where they succeed.
    /// `None` where no policy takes it. It names no watch, and no sensitive call was counted.
    fn rule(
        &self,
        number: usize,
        place: &Place,
        actor: &Actor,
        role: &str,
        until: Date,
    ) -> Option<Vec<String>> {
        if actor.calls.iter().any(|call| self.may_be_sensitive(call)) {
            return None;
        }
        // Patterns know no escape: the wildcard for one character stands for another, also for one
        // that would hide or reorder what is read here.
        let one = |c: char| if c == '*' || is_harmful(c) { '?' } else { c };
        let list = |words: &[String]| {
            let words: Vec<String> =
                words.iter().map(|word| word.chars().map(one).collect()).collect();
            words.to_toml_value()
        };
        let slug = |text: &str| {
            let words =
                text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
            words.collect::<Vec<_>>().join("-").to_lowercase()
        };
        let id = format!("{}-in-{}-{number}", slug(role.rsplit('/').next()?), place.region);
        let calls: Vec<String> = actor.calls.iter().cloned().collect();
        let lines = vec![
            String::new(),
            format!(
                "# {} calls on {} days, each by a service of AWS through this role.",
                actor.succeeded,
                actor.days.len()
            ),
            "[[exempt]]".to_owned(),
            format!("id = {}", id.to_toml_value()),
            "reason = \"suggested: say here why this is all right\"".to_owned(),
            format!("accounts = {}", list(std::slice::from_ref(&place.account))),
            format!("regions = {}", list(std::slice::from_ref(&place.region))),
            format!("principals = {}", list(&[role.to_owned()])),
            format!("calls = {}", list(&calls)),
            "outcomes = [\"success\"]".to_owned(),
            format!("until = {until}"),
        ];
        PolicyFile::parse("", &lines.join("\n")).ok().map(|_| lines)
    }

    /// Whether the table of calls has a call among the sensitive ones, at least with some parameters.
    fn may_be_sensitive(&self, call: &str) -> bool {
        self.policy.calls.entries().iter().any(|(service, name, access)| {
            let is_sensitive = matches!(
                access,
                CallAccess::Always(Access::SensitiveRead)
                    | CallAccess::When(Access::SensitiveRead, _)
            );
            is_sensitive && call.eq_ignore_ascii_case(&format!("{service}:{name}"))
        })
    }
}

impl Refused {
    fn in_words(self) -> String {
        match self {
            Refused::NoRegion => "this is no region".to_owned(),
            Refused::NoAccount => "nobody knows whose it is".to_owned(),
            Refused::FewRegulars(0) => "nobody came back".to_owned(),
            Refused::FewRegulars(count) => format!("only {count} came back"),
            Refused::FewDays => "too few days".to_owned(),
        }
    }
}

/// What was seen in a place that is not suggested.
fn seen(activity: &Activity) -> String {
    let changes = |count: fn(&Actor) -> u64| activity.actors.values().map(count).sum::<u64>();
    let seen = [
        (changes(|actor| actor.succeeded), "change"),
        (changes(|actor| actor.others), "change that did not succeed"),
        (activity.root, "call of root"),
        (activity.sensitive, "sensitive read"),
        (activity.watched, "watched call"),
    ];
    let seen = seen.iter().filter(|(count, _)| *count > 0);
    seen.map(|(count, what)| format!("; {count} x {what}")).collect()
}

/// A text from a record, to stand in a comment.
fn comment(text: &str) -> String {
    clean(text, LONGEST_TEXT)
}
