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
        match named(call.name).or_else(|| named(call.undated_name?))? {
            CallAccess::Always(access) => Some(*access),
            CallAccess::When(access, members) => members.match_all(call).then_some(*access),
            CallAccess::ByField => None,
        }
    }
}
