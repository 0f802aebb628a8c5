//! Which policy it was that judged.

use std::fmt;

use sha2::{Digest, Sha256};

/// Which policy this is: the same wherever the same texts were laid over each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// Twelve hexadecimal digits, a hash over all texts that the policy is made of.
    pub digest: String,
    /// The version of the SSM parameter that held the user's text, where it came from one.
    pub parameter: Option<i64>,
}

impl Version {
    /// The version of a policy that is made of these texts, in this order.
    pub fn of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            // The length keeps one long text from passing for two short ones.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        let digest = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Version { digest, parameter: None }
    }

    /// The version after a change that stands in no file.
    #[must_use]
    pub fn changed(&self, change: &[&str]) -> Self {
        let texts = [self.digest.as_str()].into_iter().chain(change.iter().copied());
        Version { parameter: self.parameter, ..Version::of(texts) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digest)?;
        match self.parameter {
            Some(parameter) => write!(f, " (parameter version {parameter})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_texts_are_another_version() {
        let digest = |texts: &[&str]| Version::of(texts.iter().copied()).digest;
        assert_eq!(digest(&["a", "b"]), digest(&["a", "b"]));
        assert_eq!(digest(&["a", "b"]).len(), 12);
        assert_ne!(digest(&["a", "b"]), digest(&["b", "a"]));
        assert_ne!(digest(&["a", "b"]), digest(&["ab"]));
        let version = Version { parameter: Some(7), ..Version::of(["a"]) };
        assert_ne!(version.changed(&["b"]).digest, version.digest);
        assert_eq!(version.changed(&["b"]).parameter, Some(7));
    }
}
