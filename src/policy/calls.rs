//! What single calls do, whatever their name or CloudTrail says.

use std::collections::HashMap;

use crate::record::Access;

use super::rule::{Call, Members};

/// `[access.calls]`: by service, then by the name of the call.
#[derive(Debug, Clone, Default)]
pub struct CallTable(HashMap<String, HashMap<String, CallAccess>>);

/// One entry of the table.
#[derive(Debug, Clone)]
pub enum CallAccess {
    /// The call does this.
    Always(Access),
    /// It does this when its request parameters are like that.
    When(Access, Members),
    /// As if there were no entry: go by CloudTrail's field and the verb.
    ByField,
}

/// `name` with a capital first letter: some services write theirs small, and a secret handed out is
/// one by either name. `None` where it has one.
fn capital(name: &str) -> Option<String> {
    let first = name.chars().next().filter(char::is_ascii_lowercase)?;
    Some(name.replacen(first, &first.to_ascii_uppercase().to_string(), 1))
}

impl CallTable {
    /// Adds or changes one entry.
    pub fn insert(&mut self, service: &str, name: &str, access: CallAccess) {
        let service = self.0.entry(service.to_ascii_lowercase()).or_default();
        service.insert(name.to_owned(), access);
    }

    /// What the table says about a call, by its name as written, else without the API version.
    pub fn access(&self, call: &Call<'_>) -> Option<Access> {
        let service = self.0.get(call.service.as_ref())?;
        let named = |name: &str| service.get(name);
        let entry = named(call.name)
            .or_else(|| named(call.undated_name?))
            .or_else(|| named(&capital(call.undated_name.unwrap_or(call.name))?));
        match entry? {
            CallAccess::Always(access) => Some(*access),
            CallAccess::When(access, members) => members.match_all(call).then_some(*access),
            CallAccess::ByField => None,
        }
    }
}
