//! What a call does, as far as its name can tell.

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// It looks.
    ReadOnly,
    /// It looks at secrets or is handed credentials.
    SensitiveRead,
    /// It changes something, spends money, or nobody knows.
    Mutating,
}

impl Access {
    /// The word for it in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Access::ReadOnly => "read-only",
            Access::SensitiveRead => "sensitive",
            Access::Mutating => "mutating",
        }
    }
}

/// Whether `name` begins with `verb` on a word boundary: `Check` is no verb of `CheckoutLicense`.
/// The first letter may be of either case; the boundary is an upper-case letter, a digit, an
/// underscore, or the end of the name.
pub fn has_verb(name: &str, verb: &str) -> bool {
    let (Some(start), Some(rest)) = (name.get(..verb.len()), name.get(verb.len()..)) else {
        return false;
    };
    let mut letters = start.chars().zip(verb.chars());
    let first = letters.next().is_some_and(|(a, b)| a.eq_ignore_ascii_case(&b));
    let boundary = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    first && letters.all(|(a, b)| a == b) && rest.bytes().next().is_none_or(boundary)
}

/// `name` without the API version that some services write behind it: `ListFunctions20150331`,
/// `UpdateFunctionCode20150331v2`, `GetDistribution2020_05_31`. `None` where there is none.
pub fn without_date(name: &str) -> Option<&str> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let version = stem.strip_suffix('v').filter(|_| stem.len() < name.len());
    version.and_then(without_date_at_end).or_else(|| without_date_at_end(name))
}

/// Strips `20\d\d_?\d\d_?\d\d`.
fn without_date_at_end(name: &str) -> Option<&str> {
    let name = without_digits(name)?;
    let name = without_digits(name.strip_suffix('_').unwrap_or(name))?;
    let name = without_digits(name.strip_suffix('_').unwrap_or(name))?;
    name.strip_suffix("20")
}

/// Strips two digits.
fn without_digits(name: &str) -> Option<&str> {
    let digit = |c: char| c.is_ascii_digit();
    name.strip_suffix(digit)?.strip_suffix(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_end_on_a_word_boundary() {
        for name in ["Get", "GetObject", "getObject", "Get2", "Get_x"] {
            assert!(has_verb(name, "Get"), "{name}");
        }
        for name in ["Getaway", "GETObject", "Ge", "", "Get-x", "Geté", "gEtObject"] {
            assert!(!has_verb(name, "Get"), "{name}");
        }
        assert!(!has_verb("CheckoutLicense", "Check"));
    }

    #[test]
    fn dates_are_stripped_from_the_end() {
        assert_eq!(without_date("ListFunctions20150331"), Some("ListFunctions"));
        assert_eq!(without_date("UpdateFunctionCode20150331v2"), Some("UpdateFunctionCode"));
        assert_eq!(without_date("GetDistribution2020_05_31"), Some("GetDistribution"));
        assert_eq!(without_date("GetDistribution2020_0531v12"), Some("GetDistribution"));
        assert_eq!(without_date("UpdateFunction20150331v20200101"), Some("UpdateFunction"));
        assert_eq!(without_date("Getv20150331"), Some("Getv"));
        for name in ["ListFunctions", "Get19990331", "GetIpv4", "Get2015033", "v2", ""] {
            assert_eq!(without_date(name), None, "{name}");
        }
    }
}
