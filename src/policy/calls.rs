//! What single calls do, whatever their name or CloudTrail says.

use std::collections::HashMap;

use crate::record::Access;

use super::rule::{Call, Members};

/// `[access.calls]`: by service, then by the name of the call without its first letter, then by
/// that letter. Some services write theirs small, and a secret handed out is one by either name.
#[derive(Debug, Clone, Default)]
pub struct CallTable(HashMap<String, HashMap<String, Vec<(char, CallAccess)>>>);

/// One entry of the table.
#[derive(Debug, Clone, PartialEq)]
pub enum CallAccess {
    /// The call does this.
    Always(Access),
    /// It does this when its request parameters are like that.
    When(Access, Members),
    /// As if there were no entry: go by CloudTrail's field and the verb.
    ByField,
}

impl CallTable {
    /// Adds an entry for a call that has none.
    pub fn insert(&mut self, service: &str, name: &str, access: CallAccess) {
        let Some((first, rest)) = split(name) else { return };
        let service = self.0.entry(service.to_ascii_lowercase()).or_default();
        service.entry(rest.to_owned()).or_default().push((first, access));
    }

    /// What the table says about a call.
    pub fn access(&self, call: &Call<'_>) -> Option<Access> {
        match self.entry(call)?.1 {
            CallAccess::Always(access) => Some(*access),
            CallAccess::When(access, members) => members.match_all(call).then_some(*access),
            CallAccess::ByField => None,
        }
    }

    /// The entry for a call, and the name it has in the table: the call's own as written, else
    /// without the API version, else with a capital first letter.
    pub fn entry(&self, call: &Call<'_>) -> Option<((char, &str), &CallAccess)> {
        let service = self.0.get(call.service.as_ref())?;
        let entry = |name: &str, capital: bool| {
            let (first, rest) = split(name)?;
            let first = if capital { first.to_ascii_uppercase() } else { first };
            let (rest, entries) = service.get_key_value(rest)?;
            let (_, access) = entries.iter().find(|(letter, _)| *letter == first)?;
            Some(((first, rest.as_str()), access))
        };
        let written = call.names().find_map(|name| entry(name, false));
        written.or_else(|| entry(call.undated_name.unwrap_or(call.name), true))
    }
}

impl CallTable {
    /// Every entry: its service, its name, what it does; by service and name.
    #[cfg(feature = "cli")]
    pub(crate) fn entries(&self) -> Vec<(&str, String, &CallAccess)> {
        let mut entries: Vec<_> = self
            .0
            .iter()
            .flat_map(|(service, names)| {
                names.iter().map(move |(rest, letters)| (service, rest, letters))
            })
            .flat_map(|(service, rest, letters)| {
                letters.iter().map(move |(first, access)| {
                    (service.as_str(), format!("{first}{rest}"), access)
                })
            })
            .collect();
        entries.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        entries
    }
}

/// The first letter, and the rest.
fn split(name: &str) -> Option<(char, &str)> {
    let mut letters = name.chars();
    Some((letters.next()?, letters.as_str()))
}
