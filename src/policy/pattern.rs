//! Words with `*` and `?` in them, compared without regard to case.

use std::fmt;

use wildmatch::WildMatch;

use crate::record::region;

/// A list of patterns; a text matches when any of them does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patterns(Vec<Pattern>);

/// One pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    /// As it was written.
    text: String,
    /// `None` without a wildcard in it: compared as it stands, which is several times faster.
    glob: Option<WildMatch>,
}

/// What is wrong with a list of approved regions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegionFaults {
    /// There is nothing in it: then every call everywhere would alert.
    #[error("no region is approved")]
    Empty,
    /// These members, by their index, are no regions.
    #[error("{}", .0.iter().map(|(_, what)| what.as_str()).collect::<Vec<_>>().join("; "))]
    Members(Vec<(usize, String)>),
}

impl Patterns {
    /// Patterns of any shape.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Self {
        Patterns(patterns.into_iter().map(|pattern| Pattern::new(pattern.as_ref())).collect())
    }

    /// Approved regions: codes such as `eu-west-1`, or globs such as `eu-*`.
    ///
    /// # Errors
    /// All that is wrong with the list.
    pub fn regions<S: AsRef<str>>(codes: &[S]) -> Result<Self, RegionFaults> {
        if codes.is_empty() {
            return Err(RegionFaults::Empty);
        }
        let faults = codes.iter().enumerate().filter_map(|(index, code)| {
            let what = check_region(code.as_ref()).err()?;
            Some((index, format!("`{}` {what}", code.as_ref())))
        });
        let faults: Vec<_> = faults.collect();
        if !faults.is_empty() {
            return Err(RegionFaults::Members(faults));
        }
        Ok(Patterns::new(codes.iter().map(|code| code.as_ref().trim())))
    }

    /// Whether any pattern matches every text.
    pub fn match_everything(&self) -> bool {
        self.0.iter().any(Pattern::matches_everything)
    }

    /// The patterns.
    pub fn iter(&self) -> std::slice::Iter<'_, Pattern> {
        self.0.iter()
    }

    /// Whether any pattern matches all of `text`.
    pub fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(text))
    }
}

impl Pattern {
    /// A pattern of any shape.
    pub fn new(text: &str) -> Self {
        let glob = text.contains(['*', '?']).then(|| WildMatch::new_case_insensitive(text));
        Pattern { text: text.to_owned(), glob }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether there is a wildcard in it.
    pub fn is_glob(&self) -> bool {
        self.glob.is_some()
    }

    /// Whether it matches every text that there is something in.
    pub fn matches_everything(&self) -> bool {
        let wildcards = |wildcard| self.text.bytes().filter(|b| *b == wildcard).count();
        let (stars, marks) = (wildcards(b'*'), wildcards(b'?'));
        stars > 0 && marks <= 1 && stars + marks == self.text.len()
    }

    /// Whether it matches all of `text`.
    pub fn matches(&self, text: &str) -> bool {
        match &self.glob {
            None => self.text.eq_ignore_ascii_case(text) || same_but_for_case(&self.text, text),
            Some(glob) => glob.matches(text),
        }
    }
}

/// Letters of other alphabets have cases too.
fn same_but_for_case(a: &str, b: &str) -> bool {
    let in_lower_case = a.chars().flat_map(char::to_lowercase);
    !(a.is_ascii() && b.is_ascii()) && in_lower_case.eq(b.chars().flat_map(char::to_lowercase))
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Pattern::as_str).collect::<Vec<_>>().join(", "))
    }
}

/// Shape alone: a list of regions would be out of date within the year.
fn check_region(code: &str) -> Result<(), &'static str> {
    let code = code.trim().to_ascii_lowercase();
    let is_glob = code.contains(['*', '?']);
    if !(if is_glob { is_region(&code) } else { region::is_code(&code) }) {
        Err("is no region: write codes like eu-west-1, or globs like eu-*")
    } else if !code.bytes().any(|b| b.is_ascii_alphabetic()) {
        Err("would approve every region, and nothing would ever alert")
    } else {
        Ok(())
    }
}

/// Whether a record could name such a region, or one that this is a pattern for. What a record
/// names may be odder than what anybody would approve.
pub fn is_region(code: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-*?".contains(&b);
    let is_glob = code.contains(['*', '?']);
    code.bytes().all(allowed) && (is_glob || code.split('-').count() >= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_and_words_ignore_case_and_match_the_whole() {
        let patterns = Patterns::new(["ec2:Run*", "s3:?utObject", "iam:CreateUser"]);
        for text in ["EC2:RunInstances", "s3:putobject", "IAM:createuser"] {
            assert!(patterns.matches(text), "{text}");
        }
        assert!(Patterns::new(["*/zoË", "zoË"]).matches("Zoë"));
        assert!(Patterns::new(["*/zoË"]).matches("user/Zoë"));
        for text in ["xec2:Run", "s3:PutObjectAcl", "iam:CreateUsers", ""] {
            assert!(!patterns.matches(text), "{text}");
        }
    }

    #[test]
    fn approved_regions_are_checked_for_shape() {
        let regions = Patterns::regions(&[" EU-* ", "us-east-1"]).unwrap();
        assert!(regions.matches("eu-south-2"));
        assert!(!regions.matches("us-east-2"));
        let fault = |codes: &[&str]| Patterns::regions(codes).unwrap_err();
        assert_eq!(fault(&[]), RegionFaults::Empty);
        assert!(fault(&["us-east-1", "*"]).to_string().contains("every region"));
        let RegionFaults::Members(members) = fault(&["us-east", "us-east-1", "**?"]) else {
            panic!("no members")
        };
        assert_eq!(members.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 2]);
        for code in ["us-east", "eu_west_1", "eu west*", "", "us-east-1a"] {
            assert!(fault(&[code]).to_string().contains("is no region"), "{code}");
        }
    }
}
