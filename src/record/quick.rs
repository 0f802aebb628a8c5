//! A record read in one go, where nothing about it is odd.
//!
//! The plain way finds the members first and reads them then, and what stands in them again, since
//! each may be of any type. Nearly no record needs that. What is read here is what the plain way
//! would have read (`tests/it/quick.rs`); wherever that is not certain, it is left to the plain way:
//! a member twice, a key with escapes, a number or a list where a text or an object should be, half of
//! a surrogate pair, damage.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::{Record, Text, UserIdentity, flag};

impl<'a> Record<'a> {
    /// The record that a text begins with, and what of the text is its own. `None` where that is left
    /// to the plain way, or where it has a key that only wrappers of records have.
    pub(crate) fn quick(text: &'a str) -> Option<(Self, &'a str)> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let Members(read) = Members::<Reading<'a>>::deserialize(&mut reader).ok()?;
        let length = reader.into_iter::<IgnoredAny>().byte_offset();
        Some((read.record, text.get(..length)?))
    }
}

/// Something that is made of the members of an object.
trait Fields<'a>: Default {
    /// Takes the next member's value.
    fn take<A: MapAccess<'a>>(&mut self, key: &'a str, members: &mut A) -> Result<(), A::Error>;
}

/// The members of an object; without any where it is none.
struct Members<T>(T);

impl<'a, T: Fields<'a>> Deserialize<'a> for Members<T> {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Object(PhantomData)).map(Members)
    }
}

struct Object<T>(PhantomData<T>);

impl<'a, T: Fields<'a>> Visitor<'a> for Object<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<T, A::Error> {
        let mut fields = T::default();
        while let Some(key) = members.next_key::<&'a str>()? {
            fields.take(key, &mut members)?;
        }
        Ok(fields)
    }
}

/// Remembers which fields were there: a second one of the same name is left to the plain way.
#[derive(Default)]
struct Seen(u32);

impl Seen {
    fn once<E: Error>(&mut self, number: u32) -> Result<(), E> {
        let bit = 1 << number;
        if self.0 & bit != 0 {
            return Err(E::custom("a field twice"));
        }
        self.0 |= bit;
        Ok(())
    }
}

/// A record while it is read.
#[derive(Default)]
struct Reading<'a> {
    record: Record<'a>,
    seen: Seen,
}

/// Keys that no record has, and at least one of which everything has that wraps one, or is a digest.
/// A test holds them to the keys that [`crate::source`] tells dialects by.
const WRAPPING: &[&str] = &[
    "Records",
    "Events",
    "events",
    "CloudTrailEvent",
    "awslogs",
    "kinesis",
    "logEvents",
    "message",
    "detail",
    "detail-type",
    "digestStartTime",
];

impl<'a> Fields<'a> for Reading<'a> {
    fn take<A: MapAccess<'a>>(&mut self, key: &'a str, members: &mut A) -> Result<(), A::Error> {
        let Reading { record, seen } = self;
        let mut once = |number| seen.once(number);
        let (number, place) = match key {
            "eventSource" => (0, &mut record.event_source),
            "eventName" => (1, &mut record.event_name),
            "awsRegion" => (2, &mut record.aws_region),
            "eventTime" => (3, &mut record.event_time),
            "eventID" => (4, &mut record.event_id),
            "eventType" => (5, &mut record.event_type),
            "eventCategory" => (6, &mut record.event_category),
            "recipientAccountId" => (7, &mut record.recipient_account_id),
            "sourceIPAddress" => (8, &mut record.source_ip_address),
            "userAgent" => (9, &mut record.user_agent),
            "errorCode" => (10, &mut record.error_code),
            "readOnly" => {
                once(11)?;
                record.read_only = members.next_value::<Word<'a>>()?.flag();
                return Ok(());
            }
            "sessionCredentialFromConsole" => {
                once(12)?;
                record.from_console = members.next_value::<Word<'a>>()?.flag() == Some(true);
                return Ok(());
            }
            "userIdentity" => {
                once(13)?;
                record.user_identity = members.next_value::<Members<Identity<'a>>>()?.0.identity;
                return Ok(());
            }
            "requestParameters" => {
                once(14)?;
                record.request_parameters = members.next_value()?;
                return Ok(());
            }
            "responseElements" => {
                once(15)?;
                record.response_elements = members.next_value()?;
                return Ok(());
            }
            "resources" => {
                once(16)?;
                record.resources = members.next_value()?;
                return Ok(());
            }
            _ if WRAPPING.contains(&key) => return Err(A::Error::custom("a wrapper")),
            _ => return members.next_value::<IgnoredAny>().map(drop),
        };
        once(number)?;
        *place = members.next_value::<Word<'a>>()?.text();
        Ok(())
    }
}

/// `userIdentity` while it is read.
#[derive(Default)]
struct Identity<'a> {
    identity: UserIdentity<'a>,
    seen: Seen,
}

impl<'a> Fields<'a> for Identity<'a> {
    fn take<A: MapAccess<'a>>(&mut self, key: &'a str, members: &mut A) -> Result<(), A::Error> {
        let Identity { identity, seen } = self;
        let (number, place) = match key {
            "type" => (0, &mut identity.kind),
            "arn" => (1, &mut identity.arn),
            "principalId" => (2, &mut identity.principal_id),
            "accountId" => (3, &mut identity.account_id),
            "accessKeyId" => (4, &mut identity.access_key_id),
            "userName" => (5, &mut identity.user_name),
            "invokedBy" => (6, &mut identity.invoked_by),
            "identityProvider" => (7, &mut identity.identity_provider),
            "sessionContext" => {
                seen.once(8)?;
                let context = members.next_value::<Members<Context<'a>>>()?.0;
                identity.issuer_arn = context.issuer.arn;
                identity.issuer_name = context.issuer.name;
                identity.mfa = context.mfa;
                return Ok(());
            }
            "onBehalfOf" => {
                seen.once(9)?;
                identity.on_behalf_of = members.next_value::<Members<OnBehalfOf<'a>>>()?.0.user;
                return Ok(());
            }
            _ => return members.next_value::<IgnoredAny>().map(drop),
        };
        seen.once(number)?;
        *place = members.next_value::<Word<'a>>()?.text();
        Ok(())
    }
}

/// `sessionContext`.
#[derive(Default)]
struct Context<'a> {
    issuer: Issuer<'a>,
    mfa: Option<bool>,
    seen: Seen,
}

impl<'a> Fields<'a> for Context<'a> {
    fn take<A: MapAccess<'a>>(&mut self, key: &'a str, members: &mut A) -> Result<(), A::Error> {
        match key {
            "sessionIssuer" => {
                self.seen.once(0)?;
                self.issuer = members.next_value::<Members<Issuer<'a>>>()?.0;
            }
            "attributes" => {
                self.seen.once(1)?;
                self.mfa = members.next_value::<Members<Attributes>>()?.0.mfa;
            }
            _ => {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// `sessionIssuer`.
#[derive(Default)]
struct Issuer<'a> {
    arn: Option<Text<'a>>,
    name: Option<Text<'a>>,
    seen: Seen,
}

impl<'a> Fields<'a> for Issuer<'a> {
    fn take<A: MapAccess<'a>>(&mut self, key: &'a str, members: &mut A) -> Result<(), A::Error> {
        let (number, place) = match key {
            "arn" => (0, &mut self.arn),
            "userName" => (1, &mut self.name),
            _ => return members.next_value::<IgnoredAny>().map(drop),
        };
        self.seen.once(number)?;
        *place = members.next_value::<Word<'a>>()?.text();
        Ok(())
    }
}

/// `attributes` of a session.
#[derive(Default)]
struct Attributes {
    mfa: Option<bool>,
    seen: Seen,
}

impl<'a> Fields<'a> for Attributes {
    fn take<A: MapAccess<'a>>(&mut self, key: &'a str, members: &mut A) -> Result<(), A::Error> {
        if key != "mfaAuthenticated" {
            return members.next_value::<IgnoredAny>().map(drop);
        }
        self.seen.once(0)?;
        self.mfa = members.next_value::<Word<'a>>()?.flag();
        Ok(())
    }
}

/// `onBehalfOf`.
#[derive(Default)]
struct OnBehalfOf<'a> {
    user: Option<Text<'a>>,
    seen: Seen,
}

impl<'a> Fields<'a> for OnBehalfOf<'a> {
    fn take<A: MapAccess<'a>>(&mut self, key: &'a str, members: &mut A) -> Result<(), A::Error> {
        if key != "userId" {
            return members.next_value::<IgnoredAny>().map(drop);
        }
        self.seen.once(0)?;
        self.user = members.next_value::<Word<'a>>()?.text();
        Ok(())
    }
}

/// A value that should be a text or a bool.
enum Word<'a> {
    Text(Text<'a>),
    Bool(bool),
    /// It is neither.
    Other,
}

impl<'a> Word<'a> {
    /// The text, where there is something in it.
    fn text(self) -> Option<Text<'a>> {
        match self {
            Word::Text(text) => Some(text).filter(|text| !text.is_empty()),
            Word::Bool(_) | Word::Other => None,
        }
    }

    /// The bool, or the one that the text says.
    fn flag(self) -> Option<bool> {
        match self {
            Word::Bool(flag) => Some(flag),
            Word::Text(text) => flag(&text),
            Word::Other => None,
        }
    }
}

impl<'a> Deserialize<'a> for Word<'a> {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyWord)
    }
}

struct AnyWord;

impl<'a> Visitor<'a> for AnyWord {
    type Value = Word<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a bool")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Word<'a>, E> {
        Ok(Word::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Word<'a>, E> {
        Ok(Word::Text(text.to_owned().into()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Word<'a>, E> {
        Ok(Word::Bool(flag))
    }

    fn visit_unit<E>(self) -> Result<Word<'a>, E> {
        Ok(Word::Other)
    }
}
