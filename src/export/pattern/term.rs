//! The terms of a filter pattern, each a text.

use crate::policy::{Pattern, Patterns};
use crate::record::region;

use super::names::{Names, without_first};

pub(super) const NO_REGION: [&str; 2] = ["$.awsRegion NOT EXISTS", "$.awsRegion IS NULL"];

/// A string that is not `true`, too; `!=` alone would leave open what becomes of a bool.
pub(super) const READ_ONLY_IS_NOT_TRUE: [&str; 4] = [
    "$.readOnly IS FALSE",
    "($.readOnly = \"*\" && $.readOnly != \"true\")",
    "$.readOnly NOT EXISTS",
    "$.readOnly IS NULL",
];

/// `EnableRegion` and `DisableRegion` concern another region than they are recorded in.
pub(super) const SWITCHES: &str = "$.eventName = \"*ableRegion\"";

pub(super) const EVERY_CALL: &str = "$.eventName = \"*\"";

/// A regular expression is looked for anywhere in the text. A pattern has two at most, of letters,
/// digits, `|` and a few others ("Supported regular expressions (regex) syntax").
pub(super) fn named_any(names: &Names) -> Option<String> {
    let pieces: Vec<&str> = names.texts().collect();
    match pieces.as_slice() {
        [] => None,
        [only] => Some(named(only)),
        _ => Some(format!("$.eventName = %{}%", pieces.join("|"))),
    }
}

fn named(piece: &str) -> String {
    format!("$.eventName = \"*{piece}*\"")
}

/// Terms of which one must hold, to stand among terms that must all hold.
pub(super) fn any(terms: Vec<String>) -> String {
    match terms.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        _ => format!("({})", terms.join(" || ")),
    }
}

/// Terms that must all hold, to stand among terms of which one must.
pub(super) fn all(terms: Vec<String>) -> String {
    match terms.as_slice() {
        [only] => only.clone(),
        _ => format!("({})", terms.join(" && ")),
    }
}

/// A pattern as the language has it, where it can: with a `*` at the beginning and the end alone.
pub(super) fn like(pattern: &Pattern) -> Option<String> {
    let text = pattern.as_str().to_ascii_lowercase();
    let inner = text.strip_prefix('*').unwrap_or(&text);
    let inner = inner.strip_suffix('*').unwrap_or(inner);
    (!inner.is_empty() && inner.bytes().all(is_plain)).then_some(text)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

/// Whatever matches the pattern is like this; `None` where that is everything.
fn at_least_like(pattern: &Pattern) -> Option<String> {
    like(pattern).or_else(|| {
        let text = pattern.as_str().to_ascii_lowercase();
        let longest = text.split(|c| !u8::try_from(c).is_ok_and(is_plain)).max_by_key(|s| s.len());
        longest.filter(|longest| !longest.is_empty()).map(|longest| format!("*{longest}*"))
    })
}

/// Of lists: `None` where a member says nothing.
fn each(list: &Patterns, term: impl Fn(&Pattern) -> Option<String>) -> Option<String> {
    list.iter().map(term).collect::<Option<Vec<String>>>().map(any)
}

pub(super) fn sources(services: &Patterns) -> Option<String> {
    each(services, source)
}

/// `eventSource` has a domain behind the service.
pub(super) fn source(service: &Pattern) -> Option<String> {
    let like = at_least_like(service)?;
    Some(format!("$.eventSource = \"{}*\"", like.trim_end_matches('*')))
}

pub(super) fn in_regions(regions: &Patterns) -> Option<String> {
    each(regions, |pattern| {
        let there = at_least_like(pattern).map(|like| format!("$.awsRegion = \"{like}\""))?;
        let nowhere =
            NO_REGION.map(str::to_owned).into_iter().filter(|_| pattern.matches(region::UNKNOWN));
        Some(any([there].into_iter().chain(nowhere).collect()))
    })
}

/// Where a record names no recipient, it may still be of this account.
pub(super) fn of_accounts(accounts: &Patterns) -> Option<String> {
    let recipients = each(accounts, |account| {
        Some(format!("$.recipientAccountId = \"{}\"", at_least_like(account)?))
    })?;
    let nobody = ["$.recipientAccountId NOT EXISTS", "$.recipientAccountId IS NULL"];
    Some(any([recipients].into_iter().chain(nobody.map(str::to_owned)).collect()))
}

/// Names have a first letter of either case, and perhaps a version behind them; the first letter of
/// what stands behind a wildcard may be anywhere in a word. `None` where nothing can be looked for.
pub(super) fn name_like(name: &Pattern) -> Option<String> {
    let pieces = name.as_str().split(|c| !u8::try_from(c).is_ok_and(is_plain));
    let pieces = pieces.filter(|piece| is_in_aws_case(piece)).filter_map(without_first);
    let longest = pieces.max_by_key(|piece| piece.len()).filter(|piece| !piece.is_empty())?;
    Some(named(longest))
}

/// A rule's names hold in any case, and the language looks for one: AWS writes none without a
/// capital.
pub(super) fn is_in_aws_case(name: &str) -> bool {
    name.bytes().any(|b| b.is_ascii_uppercase())
}
