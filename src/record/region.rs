//! Regions: their codes, their shape, what people call them, and the partition they are in.

use super::{Text, lower_case};

/// Stands for a record that tells no region. Nothing approves it.
pub const UNKNOWN: &str = "unknown";

/// A code as policies and alerts know it: trimmed, in lower case, never empty.
pub fn normal(region: Option<&str>) -> Text<'_> {
    match region.map(str::trim) {
        Some(region) if !region.is_empty() => lower_case(region),
        _ => UNKNOWN.into(),
    }
}

/// Whether `code` could be a region's: letters, then parts behind hyphens, the last a number, as
/// in `us-gov-west-1`. New regions come every year, so no list is asked.
pub fn is_code(code: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let Some((words, last)) = code.rsplit_once('-') else { return false };
    words.contains('-') && words.split('-').all(word) && number(last)
}

/// What people call the region (AWS General Reference, "Regions and zones"); `None` for one that
/// is newer than this table.
pub fn name(code: &str) -> Option<&'static str> {
    let at = NAMES.binary_search_by_key(&code, |(code, _)| code).ok()?;
    NAMES.get(at).map(|(_, name)| *name)
}

/// The codes of the regions that are known by name; there may be newer ones.
#[cfg(feature = "cli")]
pub fn known() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(code, _)| *code)
}

/// The partition that a region belongs to: `aws`, `aws-cn`, `aws-us-gov` or `aws-eusc`
/// (IAM guide, "Amazon Resource Names").
pub fn partition(code: &str) -> &'static str {
    match code {
        _ if code.starts_with("cn-") => "aws-cn",
        _ if code.starts_with("us-gov-") => "aws-us-gov",
        _ if code.starts_with("eusc-") => "aws-eusc",
        _ => "aws",
    }
}

/// The domain of a partition's console.
pub fn console_domain(code: &str) -> &'static str {
    match partition(code) {
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        "aws-eusc" => "console.amazonaws-eusc.eu",
        _ => "console.aws.amazon.com",
    }
}

/// Sorted by code.
const NAMES: &[(&str, &str)] = &[
    ("af-south-1", "Africa (Cape Town)"),
    ("ap-east-1", "Asia Pacific (Hong Kong)"),
    ("ap-east-2", "Asia Pacific (Taipei)"),
    ("ap-northeast-1", "Asia Pacific (Tokyo)"),
    ("ap-northeast-2", "Asia Pacific (Seoul)"),
    ("ap-northeast-3", "Asia Pacific (Osaka)"),
    ("ap-south-1", "Asia Pacific (Mumbai)"),
    ("ap-south-2", "Asia Pacific (Hyderabad)"),
    ("ap-southeast-1", "Asia Pacific (Singapore)"),
    ("ap-southeast-2", "Asia Pacific (Sydney)"),
    ("ap-southeast-3", "Asia Pacific (Jakarta)"),
    ("ap-southeast-4", "Asia Pacific (Melbourne)"),
    ("ap-southeast-5", "Asia Pacific (Malaysia)"),
    ("ap-southeast-6", "Asia Pacific (New Zealand)"),
    ("ap-southeast-7", "Asia Pacific (Thailand)"),
    ("ca-central-1", "Canada (Central)"),
    ("ca-west-1", "Canada West (Calgary)"),
    ("cn-north-1", "China (Beijing)"),
    ("cn-northwest-1", "China (Ningxia)"),
    ("eu-central-1", "Europe (Frankfurt)"),
    ("eu-central-2", "Europe (Zurich)"),
    ("eu-north-1", "Europe (Stockholm)"),
    ("eu-south-1", "Europe (Milan)"),
    ("eu-south-2", "Europe (Spain)"),
    ("eu-west-1", "Europe (Ireland)"),
    ("eu-west-2", "Europe (London)"),
    ("eu-west-3", "Europe (Paris)"),
    ("eusc-de-east-1", "AWS European Sovereign Cloud (Germany)"),
    ("il-central-1", "Israel (Tel Aviv)"),
    ("me-central-1", "Middle East (UAE)"),
    ("me-south-1", "Middle East (Bahrain)"),
    ("mx-central-1", "Mexico (Central)"),
    ("sa-east-1", "South America (Sao Paulo)"),
    ("us-east-1", "US East (N. Virginia)"),
    ("us-east-2", "US East (Ohio)"),
    ("us-gov-east-1", "AWS GovCloud (US-East)"),
    ("us-gov-west-1", "AWS GovCloud (US-West)"),
    ("us-west-1", "US West (N. California)"),
    ("us-west-2", "US West (Oregon)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_of_the_right_shape() {
        assert!(NAMES.is_sorted_by_key(|(code, _)| code));
        assert!(NAMES.iter().all(|(code, _)| is_code(code)));
        assert_eq!(name("eu-west-3"), Some("Europe (Paris)"));
        assert_eq!(name("xx-west-9"), None);
    }

    #[test]
    fn a_code_is_told_by_its_shape() {
        for code in ["us-east-1", "us-gov-west-1", "eusc-de-east-1", "ap-southeast-12"] {
            assert!(is_code(code), "{code}");
        }
        for code in ["", "us", "us-east", "us-1", "us-east-1a", "us-east-*", "US-EAST-1", "a--1"] {
            assert!(!is_code(code), "{code}");
        }
    }

    #[test]
    fn no_region_is_unknown() {
        assert_eq!(normal(None), UNKNOWN);
        assert_eq!(normal(Some("  ")), UNKNOWN);
        assert_eq!(normal(Some(" EU-West-1 ")), "eu-west-1");
    }
}
