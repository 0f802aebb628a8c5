//! What is wrong with a policy, where, and what to do about it.

use std::fmt;
use std::sync::Arc;

use super::DEFAULT_NAME;

/// A place in a policy file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's name as the user gave it.
    pub file: Arc<str>,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One fault of a policy. It is printed on one line, whatever the text holds that it names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyFault {
    /// Where it is.
    pub place: Place,
    /// What is wrong.
    pub what: String,
    /// What to do, where there is something to say.
    pub hint: Option<String>,
}

/// All faults of a policy, in the order of the file; at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PolicyFaults(Vec<PolicyFault>);

impl PolicyFaults {
    /// `Err` with the faults where there are any, else `value`.
    pub(super) fn unless_none<T>(mut faults: Vec<PolicyFault>, value: T) -> Result<T, Self> {
        if faults.is_empty() {
            return Ok(value);
        }
        faults.sort();
        Err(PolicyFaults(faults))
    }

    /// The faults.
    pub fn iter(&self) -> impl Iterator<Item = &PolicyFault> {
        self.0.iter()
    }
}

impl Place {
    /// Whether it is in a file that was laid over the default policy.
    pub fn is_users(&self) -> bool {
        &*self.file != DEFAULT_NAME
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, on_one_line(&self.what))?;
        match &self.hint {
            Some(hint) => write!(f, "; {}", on_one_line(hint)),
            None => Ok(()),
        }
    }
}

/// `text` with its line breaks and other control characters as escapes.
fn on_one_line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.into() };
    text.chars().map(shown).collect()
}

impl fmt::Display for PolicyFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}
