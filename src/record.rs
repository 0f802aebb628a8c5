//! One CloudTrail record, borrowed from its text.
//!
//! Field names and their meaning: CloudTrail guide, "CloudTrail record contents for management,
//! data, and network activity events". Records come from everywhere and are of every age, so only
//! what nobody could judge is refused: text that is no JSON object, or one that names a field
//! twice. A field of another type than documented counts as absent, and one that we do not know is
//! passed over. What it *means* for a policy is [`crate::policy`]'s business; the rooms below hold
//! what can be said of a record without one.

pub mod access;
pub mod outcome;
pub mod principal;
#[cfg(feature = "cli")]
mod quick;
pub mod region;

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::envelope::Escaped;

pub use access::Access;
pub use outcome::Outcome;
pub use principal::{Principal, UserIdentity};

/// A text that borrows from the record wherever it held no escapes.
pub type Text<'a> = Cow<'a, str>;

/// One CloudTrail record. Texts are as written; empty ones count as absent.
#[derive(Debug, Clone, Default)]
pub struct Record<'a> {
    /// `eventSource`, such as `ec2.amazonaws.com`.
    pub event_source: Option<Text<'a>>,
    /// `eventName`, such as `RunInstances`.
    pub event_name: Option<Text<'a>>,
    /// `awsRegion`, where the call was recorded.
    pub aws_region: Option<Text<'a>>,
    /// `eventTime`, RFC 3339.
    pub event_time: Option<Text<'a>>,
    /// `eventID`.
    pub event_id: Option<Text<'a>>,
    /// `eventType`, such as `AwsApiCall`.
    pub event_type: Option<Text<'a>>,
    /// `eventCategory`: Management, Data, NetworkActivity or Insight.
    pub event_category: Option<Text<'a>>,
    /// `readOnly`, a bool or a string that says one.
    pub read_only: Option<bool>,
    /// `recipientAccountId`.
    pub recipient_account_id: Option<Text<'a>>,
    /// `userIdentity`.
    pub user_identity: UserIdentity<'a>,
    /// `sourceIPAddress`: an address, or the name of an AWS service.
    pub source_ip_address: Option<Text<'a>>,
    /// `userAgent`.
    pub user_agent: Option<Text<'a>>,
    /// `errorCode`; a call without one succeeded.
    pub error_code: Option<Text<'a>>,
    /// `sessionCredentialFromConsole`: the call was made in the console.
    pub from_console: bool,
    /// `requestParameters`, unread.
    pub request_parameters: Option<&'a RawValue>,
    /// `responseElements`, unread.
    pub response_elements: Option<&'a RawValue>,
    /// `resources`, unread.
    pub resources: Option<&'a RawValue>,
}

/// Why a text is no record that could be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not valid JSON.
    #[error("{}", self.what())]
    NotJson,
    /// JSON, but no object.
    #[error("{}", self.what())]
    NotAnObject,
    /// An object that names a field twice.
    #[error("{}", self.what())]
    Twice,
}

impl RecordError {
    /// What is wrong, as a fixed text.
    pub fn what(self) -> &'static str {
        match self {
            RecordError::NotJson => "the message is not JSON",
            RecordError::NotAnObject => "the message is no JSON object",
            RecordError::Twice => "the message names a field of the record twice",
        }
    }
}

impl<'a> Record<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// Where the text is no JSON object or a field that we read stands in it twice: there is then
    /// no telling which of the two CloudTrail meant.
    pub fn parse(text: &'a str) -> Result<Self, RecordError> {
        let is_object = text.trim_start().starts_with('{');
        let raw: Result<RawRecord<'a>, _> = serde_json::from_str(text);
        let raw = match raw {
            Ok(raw) if is_object => raw,
            // A list of as many values would pass for the fields in their order.
            Ok(_) => return Err(RecordError::NotAnObject),
            Err(error) if !error.is_data() => return Err(RecordError::NotJson),
            Err(_) if is_object => return Err(RecordError::Twice),
            Err(_) => return Err(RecordError::NotAnObject),
        };
        Ok(Record {
            event_source: string(raw.event_source),
            event_name: string(raw.event_name),
            aws_region: string(raw.aws_region),
            event_time: string(raw.event_time),
            event_id: string(raw.event_id),
            event_type: string(raw.event_type),
            event_category: string(raw.event_category),
            read_only: bool_or_text(raw.read_only),
            recipient_account_id: string(raw.recipient_account_id),
            user_identity: UserIdentity::parse(raw.user_identity),
            source_ip_address: string(raw.source_ip_address),
            user_agent: string(raw.user_agent),
            error_code: string(raw.error_code),
            from_console: bool_or_text(raw.session_credential_from_console) == Some(true),
            request_parameters: raw.request_parameters,
            response_elements: raw.response_elements,
            resources: raw.resources,
        })
    }

    /// `eventSource` in lower case without its domain: `ec2`, `iam`.
    pub fn service(&self) -> Text<'_> {
        let source = self.event_source.as_deref().unwrap_or_default();
        let lower = lower_case(source);
        let suffix = [".amazonaws.com.cn", ".amazonaws.com"]
            .into_iter()
            .find_map(|domain| Some(lower.strip_suffix(domain)?.len()));
        match (lower, suffix) {
            (lower, None) => lower,
            (Cow::Borrowed(text), Some(length)) => {
                Cow::Borrowed(text.get(..length).unwrap_or(text))
            }
            (Cow::Owned(mut text), Some(length)) => {
                text.truncate(length);
                Cow::Owned(text)
            }
        }
    }

    /// `eventName`, empty where there is none.
    pub fn name(&self) -> &str {
        self.event_name.as_deref().unwrap_or_default()
    }

    /// The region the call concerns, in lower case; [`region::UNKNOWN`] where none is told.
    ///
    /// Opening or closing a region is recorded where the account service lives; it concerns the
    /// region that it opens or closes (Account Management guide, "Enable or disable AWS Regions").
    pub fn region(&self) -> Text<'_> {
        if !self.switches_region() {
            return region::normal(self.aws_region.as_deref());
        }
        let named = self.request("RegionName").and_then(|raw| string(Some(raw)));
        Cow::Owned(region::normal(named.as_deref()).into_owned())
    }

    /// Whether the call opens or closes a region for the account.
    pub fn switches_region(&self) -> bool {
        matches!(self.name(), "EnableRegion" | "DisableRegion") && self.service() == "account"
    }

    /// The account the record is about, else the one that acts, else the owner of the log group.
    pub fn account<'r>(&'r self, batch_owner: &'r str) -> &'r str {
        self.recipient_account_id
            .as_deref()
            .or(self.user_identity.account_id.as_deref())
            .unwrap_or(batch_owner)
    }

    /// When the call was made, where `eventTime` tells it.
    pub fn time(&self) -> Option<Timestamp> {
        self.event_time.as_deref()?.parse().ok()
    }

    /// What became of the call.
    pub fn outcome(&self) -> Outcome {
        Outcome::of(self.error_code.as_deref())
    }

    /// One member of `requestParameters`, where that is an object and has it; of two of the same
    /// name the last. Nothing is copied on the way.
    pub fn request(&self, member: &str) -> Option<&'a RawValue> {
        let mut parameters = serde_json::Deserializer::from_str(self.request_parameters?.get());
        parameters.deserialize_map(MemberNamed(member)).ok().flatten()
    }
}

/// Whether a text is an account: 12 digits (AWS Account Management guide, "View AWS account identifiers").
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Looks for one member of an object.
struct MemberNamed<'m>(&'m str);

impl<'a> Visitor<'a> for MemberNamed<'_> {
    type Value = Option<&'a RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_named) = members.next_key_seed(IsNamed(self.0))? {
            let value = members.next_value()?;
            if is_named {
                found = Some(value);
            }
        }
        Ok(found)
    }
}

/// Compares a key with a name.
struct IsNamed<'m>(&'m str);

impl<'a> DeserializeSeed<'a> for IsNamed<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'a>>(self, key: D) -> Result<bool, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for IsNamed<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

/// Every field that may be of a wrong type, taken as it stands.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRecord<'a> {
    #[serde(borrow)]
    event_source: Option<&'a RawValue>,
    #[serde(borrow)]
    event_name: Option<&'a RawValue>,
    #[serde(borrow)]
    aws_region: Option<&'a RawValue>,
    #[serde(borrow)]
    event_time: Option<&'a RawValue>,
    #[serde(borrow, rename = "eventID")]
    event_id: Option<&'a RawValue>,
    #[serde(borrow)]
    event_type: Option<&'a RawValue>,
    #[serde(borrow)]
    event_category: Option<&'a RawValue>,
    #[serde(borrow)]
    read_only: Option<&'a RawValue>,
    #[serde(borrow)]
    recipient_account_id: Option<&'a RawValue>,
    #[serde(borrow)]
    user_identity: Option<&'a RawValue>,
    #[serde(borrow, rename = "sourceIPAddress")]
    source_ip_address: Option<&'a RawValue>,
    #[serde(borrow)]
    user_agent: Option<&'a RawValue>,
    #[serde(borrow)]
    error_code: Option<&'a RawValue>,
    #[serde(borrow)]
    session_credential_from_console: Option<&'a RawValue>,
    #[serde(borrow)]
    request_parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    response_elements: Option<&'a RawValue>,
    #[serde(borrow)]
    resources: Option<&'a RawValue>,
}

/// The fields of an object; without any where it is none, or names one of them twice.
pub(crate) fn object<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> T {
    let object = raw.filter(|raw| raw.get().starts_with('{'));
    object.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// A string, a number or a bool as text; `None` for null, lists and objects.
pub(crate) fn scalar(raw: &RawValue) -> Option<Text<'_>> {
    match raw.get().bytes().next()? {
        b'"' => Escaped::of(raw)?.unescape(),
        b'{' | b'[' | b'n' => None,
        _ => Some(raw.get().into()),
    }
}

/// The value where it is a string with something in it.
pub(crate) fn string(raw: Option<&RawValue>) -> Option<Text<'_>> {
    Escaped::of(raw?)?.unescape().filter(|text| !text.is_empty())
}

/// A bool, or the string `true` or `false` in any case: both are found in real records.
pub(crate) fn bool_or_text(raw: Option<&RawValue>) -> Option<bool> {
    if let Some(Ok(flag)) = raw.map(|raw| raw.get().parse()) {
        return Some(flag);
    }
    flag(&string(raw)?)
}

/// What a text says that should have been a bool.
pub(crate) fn flag(text: &str) -> Option<bool> {
    ["true", "false"]
        .into_iter()
        .find(|word| text.trim().eq_ignore_ascii_case(word))
        .map(|word| word == "true")
}

/// `text` in lower case, copied only where it is not already.
pub(crate) fn lower_case(text: &str) -> Text<'_> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) || !text.is_ascii() {
        Cow::Owned(text.to_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_types_count_as_absent() {
        let text = r#"{"eventName":7,"eventSource":"","awsRegion":null,"userIdentity":"root",
            "readOnly":" TRUE ","requestParameters":"{}","errorCode":{},"unknown":[1e999]}"#;
        let record = Record::parse(text).unwrap();
        assert_eq!(record.event_name, None);
        assert_eq!(record.event_source, None);
        assert_eq!(record.region(), region::UNKNOWN);
        assert_eq!(record.read_only, Some(true));
        assert_eq!(record.outcome(), Outcome::Success);
        assert_eq!(record.account("111122223333"), "111122223333");
        assert_eq!(record.request("x").map(RawValue::get), None);
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        assert_eq!(Record::parse("oops").unwrap_err(), RecordError::NotJson);
        assert_eq!(Record::parse(r#"{"eventName":"#).unwrap_err(), RecordError::NotJson);
        assert_eq!(Record::parse("[]").unwrap_err(), RecordError::NotAnObject);
        let twice = r#"{"awsRegion":"us-east-1","aws\u0052egion":"eu-west-1"}"#;
        assert_eq!(Record::parse(twice).unwrap_err(), RecordError::Twice);
    }

    #[test]
    fn a_request_parameter_is_found_by_name_whatever_stands_around_it() {
        let text = r#"{"requestParameters":{"a":{"b":1},"\u0062":[2],"c":null,"b":"3"}}"#;
        let record = Record::parse(text).unwrap();
        let request = |member: &str| record.request(member).map(RawValue::get);
        assert_eq!(request("a"), Some("{\"b\":1}"));
        assert_eq!(request("b"), Some("\"3\""));
        assert_eq!(request("c"), Some("null"));
        assert_eq!(request("d"), None);
    }

    #[test]
    fn a_service_is_its_event_source_without_the_domain() {
        let service = |source: &str| {
            let text = format!(r#"{{"eventSource":"{source}"}}"#);
            Record::parse(&text).unwrap().service().into_owned()
        };
        assert_eq!(service("EC2.amazonaws.com"), "ec2");
        assert_eq!(service("sts.amazonaws.com.cn"), "sts");
        assert_eq!(service("aws-marketplace"), "aws-marketplace");
    }

    #[test]
    fn a_region_switch_concerns_the_region_it_switches() {
        let text = r#"{"eventSource":"account.amazonaws.com","eventName":"EnableRegion",
            "awsRegion":"us-east-1","requestParameters":{"RegionName":" AP-South-2 "}}"#;
        assert_eq!(Record::parse(text).unwrap().region(), "ap-south-2");
        let text = text.replace("RegionName", "Other");
        assert_eq!(Record::parse(&text).unwrap().region(), region::UNKNOWN);
    }
}
