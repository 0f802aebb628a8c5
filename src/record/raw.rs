//! The members of a record as they stand: found by name, each of whatever type it is.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::RecordError;

/// Every field that may be of a wrong type, taken as it stands.
#[derive(Default)]
pub(super) struct RawRecord<'a> {
    pub(super) event_source: Option<&'a RawValue>,
    pub(super) event_name: Option<&'a RawValue>,
    pub(super) aws_region: Option<&'a RawValue>,
    pub(super) event_time: Option<&'a RawValue>,
    pub(super) event_id: Option<&'a RawValue>,
    pub(super) event_type: Option<&'a RawValue>,
    pub(super) event_category: Option<&'a RawValue>,
    pub(super) read_only: Option<&'a RawValue>,
    pub(super) recipient_account_id: Option<&'a RawValue>,
    pub(super) user_identity: Option<&'a RawValue>,
    pub(super) source_ip_address: Option<&'a RawValue>,
    pub(super) user_agent: Option<&'a RawValue>,
    pub(super) error_code: Option<&'a RawValue>,
    pub(super) from_console: Option<&'a RawValue>,
    pub(super) request_parameters: Option<&'a RawValue>,
    pub(super) response_elements: Option<&'a RawValue>,
    pub(super) resources: Option<&'a RawValue>,
}

impl<'a> RawRecord<'a> {
    /// Reads the members of an object; `on_other_key` hears the names of those that are none of
    /// ours.
    pub(super) fn parse(
        text: &'a str,
        on_other_key: impl FnMut(&str),
    ) -> Result<Self, RecordError> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let fields = Fields { on_other_key };
        let read = (&mut reader).deserialize_map(fields);
        read.and_then(|raw| reader.end().map(|()| raw)).map_err(|error| {
            match (error.is_data(), text.trim_start().starts_with('{')) {
                (false, _) => RecordError::NotJson,
                (true, true) => RecordError::Twice,
                (true, false) => RecordError::NotAnObject,
            }
        })
    }

    /// The place of a field, and a bit of its own.
    fn field(&mut self, key: &str) -> Option<(u32, &mut Option<&'a RawValue>)> {
        let (number, place) = match key {
            "eventSource" => (0, &mut self.event_source),
            "eventName" => (1, &mut self.event_name),
            "awsRegion" => (2, &mut self.aws_region),
            "eventTime" => (3, &mut self.event_time),
            "eventID" => (4, &mut self.event_id),
            "eventType" => (5, &mut self.event_type),
            "eventCategory" => (6, &mut self.event_category),
            "readOnly" => (7, &mut self.read_only),
            "recipientAccountId" => (8, &mut self.recipient_account_id),
            "userIdentity" => (9, &mut self.user_identity),
            "sourceIPAddress" => (10, &mut self.source_ip_address),
            "userAgent" => (11, &mut self.user_agent),
            "errorCode" => (12, &mut self.error_code),
            "sessionCredentialFromConsole" => (13, &mut self.from_console),
            "requestParameters" => (14, &mut self.request_parameters),
            "responseElements" => (15, &mut self.response_elements),
            "resources" => (16, &mut self.resources),
            _ => return None,
        };
        Some((1 << number, place))
    }
}

/// Takes the fields out of an object, each once.
struct Fields<F> {
    on_other_key: F,
}

impl<'a, F: FnMut(&str)> Visitor<'a> for Fields<F> {
    type Value = RawRecord<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut members: A) -> Result<RawRecord<'a>, A::Error> {
        let (mut raw, mut seen) = (RawRecord::default(), 0);
        loop {
            let key = Key { raw: &mut raw, on_other_key: &mut self.on_other_key };
            match members.next_key_seed(key)? {
                None => return Ok(raw),
                Some(None) => {
                    members.next_value::<IgnoredAny>()?;
                }
                Some(Some((bit, _))) if seen & bit != 0 => {
                    return Err(A::Error::custom("a field stands there twice"));
                }
                Some(Some((bit, place))) => {
                    seen |= bit;
                    *place = members.next_value()?;
                }
            }
        }
    }
}

/// Finds the place that a key names.
struct Key<'r, 'a, F> {
    raw: &'r mut RawRecord<'a>,
    on_other_key: &'r mut F,
}

impl<'r, 'a, 'de, F: FnMut(&str)> DeserializeSeed<'de> for Key<'r, 'a, F> {
    type Value = Option<(u32, &'r mut Option<&'a RawValue>)>;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl<'r, 'a, F: FnMut(&str)> Visitor<'_> for Key<'r, 'a, F> {
    type Value = Option<(u32, &'r mut Option<&'a RawValue>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let field = self.raw.field(key);
        if field.is_none() {
            (self.on_other_key)(key);
        }
        Ok(field)
    }
}
