//! What rules ask, as conditions of SQL: none of them is ever NULL, for `NOT` of that is no answer.

use std::collections::BTreeMap;

use crate::policy::rule::{CallPattern, Exempt, Matcher, Members, Test, Value};
use crate::policy::{Pattern, Patterns};
use crate::record::access::without_date;

/// What stands in the place of what cannot be said: a watch then matches more, and an exemption
/// less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsaid {
    Holds,
    Fails,
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(super) fn all_of(conditions: impl IntoIterator<Item = String>) -> String {
    format!("({})", conditions.into_iter().collect::<Vec<_>>().join(" AND "))
}

/// `field IN ('a', 'b')`.
pub(super) fn one_of<S: AsRef<str>>(field: &str, words: &[S]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word.as_ref())).collect();
    format!("{field} IN ({})", words.join(", "))
}

/// Whether any pattern matches a field, which is in lower case.
pub(super) fn any_of(field: &str, patterns: &Patterns) -> String {
    let (globs, words): (Vec<&Pattern>, Vec<&Pattern>) = patterns.iter().partition(|p| p.is_glob());
    let words: Vec<String> = words.iter().map(|word| word.as_str().to_lowercase()).collect();
    let words = (!words.is_empty()).then(|| one_of(field, &words));
    either(words.into_iter().chain(globs.into_iter().map(|glob| like(field, glob))))
}

fn either(conditions: impl IntoIterator<Item = String>) -> String {
    let conditions: Vec<String> = conditions.into_iter().collect();
    match conditions.as_slice() {
        [] => "FALSE".to_owned(),
        [only] => only.clone(),
        _ => format!("({})", conditions.join(" OR ")),
    }
}

fn matches(field: &str, pattern: &Pattern) -> String {
    match pattern.is_glob() {
        true => like(field, pattern),
        false => format!("{field} = {}", quoted(&pattern.as_str().to_lowercase())),
    }
}

fn like(field: &str, glob: &Pattern) -> String {
    let mut like = String::new();
    for letter in glob.as_str().to_lowercase().chars() {
        match letter {
            '*' => like.push('%'),
            '?' => like.push('_'),
            '%' | '_' | '#' => like.extend(['#', letter]),
            _ => like.push(letter),
        }
    }
    let escape = if like.contains('#') { " ESCAPE '#'" } else { "" };
    format!("{field} LIKE {}{escape}", quoted(&like))
}

/// Whether the name of a call is one of these of `[access.calls]`: as written, without the version
/// behind it, or with a small first letter where the table has no entry for that.
pub(super) fn spelled(names: &[&str], has_entry: impl Fn(&str) -> bool) -> String {
    let (dated, undated): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| is_dated(name));
    let small = undated.iter().filter_map(|name| {
        let mut letters = name.chars();
        let first = letters.next().filter(char::is_ascii_uppercase)?;
        Some(format!("{}{}", first.to_ascii_lowercase(), letters.as_str()))
    });
    let small = small.filter(|name| !has_entry(name));
    let undated: Vec<String> = undated.iter().map(|name| (*name).to_owned()).chain(small).collect();
    let asked =
        [("name", dated.iter().map(|name| (*name).to_owned()).collect()), ("undated", undated)];
    either(
        asked
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(field, names)| one_of(field, names)),
    )
}

pub(super) fn is_dated(name: &str) -> bool {
    without_date(name).is_some()
}

/// Whether any of these exemptions silences a call; empty where there is none.
pub(super) fn any_rule<'p>(exempts: impl Iterator<Item = &'p Exempt>) -> String {
    let exempts: Vec<String> = exempts.map(|rule| exempt(rule, &mut Vec::new())).collect();
    if exempts.is_empty() { String::new() } else { format!("({})", exempts.join(" OR ")) }
}

/// Whether an exemption silences a call. By the record's own time, as far as that is in UTC.
pub(super) fn exempt(exempt: &Exempt, notes: &mut Vec<String>) -> String {
    let matches = matcher(&exempt.matcher, Unsaid::Fails, notes, exempt.id());
    match exempt.until() {
        None => matches,
        Some(until) => format!(
            "({matches} AND regexp_like(coalesce(eventtime, ''), '^\\d{{4}}-\\d\\d-\\d\\dT[0-9:.]+Z$') \
             AND substr(eventtime, 1, 10) <= '{until}')"
        ),
    }
}

/// Whether every test of a rule holds.
pub(super) fn matcher(
    matcher: &Matcher,
    unsaid: Unsaid,
    notes: &mut Vec<String>,
    id: &str,
) -> String {
    all_of(matcher.0.iter().map(|test| {
        condition(test).unwrap_or_else(|| {
            let (what, holds) = match unsaid {
                Unsaid::Holds => ("matches whatever its", "TRUE"),
                Unsaid::Fails => ("silences nothing, for SQL cannot ask for its", "FALSE"),
            };
            notes.push(format!("`{id}` {what} {}", test.key()));
            holds.to_owned()
        })
    }))
}

/// `None` where it cannot be said.
fn condition(test: &Test) -> Option<String> {
    Some(match test {
        Test::Services(list) => any_of("service", list),
        Test::Calls(list) => calls(list),
        Test::Regions(list) => any_of("region", list),
        Test::Accounts(list) => any_of("account", list),
        Test::Outcomes(outcomes) => {
            one_of("outcome", &outcomes.iter().map(|outcome| outcome.as_str()).collect::<Vec<_>>())
        }
        Test::Principals(list) => {
            either(["principal_arn", "role_arn", "invoked_by"].map(|field| {
                format!("({field} <> '' AND {})", any_of(&format!("lower({field})"), list))
            }))
        }
        Test::SourceIps(networks) => either(networks.iter().map(|network| {
            // Trino's functions on addresses; what is none is in no network.
            format!(
                "coalesce(contains('{}', TRY_CAST(sourceipaddress AS IPADDRESS)), FALSE)",
                network.trunc()
            )
        })),
        Test::Request(list) => members(list)?,
    })
}

/// Calls that are written out are asked for together, service by service.
fn calls(calls: &[CallPattern]) -> String {
    let mut words: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut globs = Vec::new();
    for call in calls {
        let name = call.name.as_str().to_lowercase();
        // A version may be a part of what is asked for, or stand behind it.
        let may_be_dated = name.bytes().any(|b| b.is_ascii_digit());
        if call.service.is_glob() || call.name.is_glob() || may_be_dated {
            globs.push(glob(call));
        } else {
            words.entry(call.service.as_str().to_lowercase()).or_default().push(name);
        }
    }
    let words = words.into_iter().map(|(service, names)| {
        all_of([format!("service = {}", quoted(&service)), one_of("lower(undated)", &names)])
    });
    either(words.chain(globs))
}

fn glob(call: &CallPattern) -> String {
    let service = matches("service", &call.service);
    if call.name.matches_everything() {
        return service;
    }
    let names = ["lower(name)", "lower(undated)"].map(|field| matches(field, &call.name));
    all_of([service, either(names)])
}

/// Whether every member is there with one of its values. `None` for a member that no path leads to.
pub(super) fn members(members: &Members) -> Option<String> {
    let conditions = members.0.iter().map(|(member, values)| {
        if member.is_empty() || member.contains(['"', '\\']) {
            return None;
        }
        let is_plain = member.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let found = match is_plain {
            true => format!("json_extract_scalar(requestparameters, '$.{member}')"),
            false => format!(
                "json_extract_scalar(requestparameters, {})",
                quoted(&format!("$[\"{member}\"]"))
            ),
        };
        let values = either(values.iter().map(|value| self::value(&found, value)));
        Some(format!("coalesce({values}, FALSE)"))
    });
    conditions.collect::<Option<Vec<String>>>().map(all_of)
}

fn value(found: &str, value: &Value) -> String {
    match value {
        Value::Text(pattern) => matches(&format!("lower({found})"), pattern),
        Value::Bool(flag) => format!("lower({found}) = '{flag}'"),
        Value::Integer(number) => format!(
            "CASE WHEN regexp_like({found}, '[.eE]') THEN TRY_CAST({found} AS DOUBLE) = {number} \
             ELSE TRY_CAST({found} AS BIGINT) = {number} END"
        ),
        Value::Float(number) => format!("TRY_CAST({found} AS DOUBLE) = {number:?}"),
    }
}
