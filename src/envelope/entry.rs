//! One log entry, unread at first: most are dropped on a look at their message.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::LARGEST_ENTRY;
use crate::blocks::{digits, find};

/// An entry as it stands in its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawEntry<'a>(Held<'a>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held<'a> {
    Whole {
        text: &'a [u8],
        /// In an entry that is written as CloudWatch Logs does.
        message: Option<Message>,
    },
    /// The first bytes of one that is larger than [`LARGEST_ENTRY`].
    Head(&'a [u8]),
}

/// A message that ends right before the entry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message {
    /// Where its first quote stands.
    pub(super) start: usize,
    /// Whether all of it is ASCII.
    pub(super) ascii: bool,
}

/// One CloudWatch Logs entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry<'a> {
    /// The entry's id, unique within its log stream.
    pub id: Cow<'a, str>,
    /// When CloudTrail wrote the entry, in milliseconds since 1970, where it says so.
    pub timestamp: Option<i64>,
    /// The message: a JSON string, quotes and escapes included.
    pub message: Escaped<'a>,
}

/// The text of a JSON string as it stands in its document, quotes included. It is UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escaped<'a>(&'a [u8]);

/// An entry that is no readable CloudTrail record. It is counted and told, never dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The entry's id where it could be read, else empty.
    pub entry_id: String,
    /// What is wrong: a fixed text, nothing from the entry.
    pub fault: &'static str,
}

impl<'a> RawEntry<'a> {
    /// One JSON value as [`crate::frame`] cuts it.
    pub(super) fn whole(text: &'a [u8]) -> Self {
        RawEntry(Held::Whole { text, message: None })
    }

    /// One that begins as [`head`] has it, and has no string behind the message.
    pub(super) fn with_message(text: &'a [u8], message: Message) -> Self {
        RawEntry(Held::Whole { text, message: Some(message) })
    }

    /// The first bytes of a value that was too large to hold.
    pub(super) fn oversize(head: &'a [u8]) -> Self {
        RawEntry(Held::Head(head))
    }

    /// The message, where the entry is written exactly as CloudWatch Logs writes it:
    /// `{"id":"1","timestamp":2,"message":"..."}`. In another dialect it takes [`RawEntry::read`]
    /// to find it. What is escaped in it may be no text, as `\x` is none.
    pub fn message(&self) -> Option<Escaped<'a>> {
        let Held::Whole { text, message: Some(Message { start, ascii }) } = self.0 else {
            return None;
        };
        let message = text.get(start..)?.strip_suffix(b"}")?;
        let is_utf8 = ascii || std::str::from_utf8(message).is_ok();
        (is_utf8 && message.ends_with(b"\"")).then_some(Escaped(message))
    }

    /// Reads the entry: id, timestamp and message in any order, with whatever else stands there.
    ///
    /// # Errors
    /// It has no message that is a string, is no JSON object, is not UTF-8, or is larger than
    /// [`LARGEST_ENTRY`]. In an entry of which [`RawEntry::message`] is known, what is escaped may
    /// still be no text.
    pub fn read(&self) -> Result<LogEntry<'a>, Reject> {
        if let Some(entry) = self.read_at_a_glance() {
            return Ok(entry);
        }
        match self.0 {
            Held::Whole { text, .. } => LogEntry::parse(text),
            Held::Head(head) => Err(oversize(head)),
        }
    }

    /// An entry whose message is known: there is nothing else in it but digits.
    fn read_at_a_glance(&self) -> Option<LogEntry<'a>> {
        let message = self.message()?;
        let Held::Whole { text, message: Some(Message { start, .. }) } = self.0 else {
            return None;
        };
        let head = std::str::from_utf8(text.get(..start)?).ok()?;
        let mut numbers = head.split(|c: char| !c.is_ascii_digit()).filter(|text| !text.is_empty());
        let (id, timestamp) = (numbers.next()?, numbers.next()?);
        Some(LogEntry { id: id.into(), timestamp: timestamp.parse().ok(), message })
    }
}

impl<'a> LogEntry<'a> {
    /// Reads `{"id":...,"timestamp":...,"message":"..."}`; the id may be a string or a number.
    pub fn parse(entry: &'a [u8]) -> Result<Self, Reject> {
        let reject = |fault| Reject { entry_id: String::new(), fault };
        let entry = std::str::from_utf8(entry).map_err(|_| reject("the entry is not UTF-8"))?;
        let entry: Members<'a> = serde_json::from_str(entry)
            .map_err(|_| reject("the entry is not a JSON object with one id and one message"))?;
        let id = entry.id.map(id_text).unwrap_or_default();
        match entry.message.and_then(Escaped::of) {
            Some(message) => {
                let timestamp = entry.timestamp.and_then(|t| t.get().parse().ok());
                Ok(LogEntry { id, timestamp, message })
            }
            None => Err(Reject {
                entry_id: id.into_owned(),
                fault: "the entry has no message that is a string",
            }),
        }
    }
}

impl<'a> Escaped<'a> {
    /// A JSON value that is a string.
    pub fn of(value: &'a RawValue) -> Option<Self> {
        value.get().starts_with('"').then(|| Escaped(value.get().as_bytes()))
    }

    /// What stands between the quotes, still escaped.
    pub fn inside(self) -> &'a [u8] {
        let inside = self.0.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
        inside.unwrap_or_default()
    }

    /// The text itself; a copy only where there is something to unescape.
    /// `None` where the escapes make no text, such as half of a surrogate pair.
    pub fn unescape(self) -> Option<Cow<'a, str>> {
        let inside = self.inside();
        if find(b'\\', inside).is_none() && !inside.iter().any(|byte| *byte < b' ') {
            return std::str::from_utf8(inside).ok().map(Cow::Borrowed);
        }
        if let Some(text) = self.unescape_plainly() {
            return Some(text.into());
        }
        serde_json::from_slice::<Text<'a>>(self.0).ok().map(|text| text.0)
    }

    /// The text, where there are escapes, and only of quotes and backslashes: such are messages.
    fn unescape_plainly(self) -> Option<String> {
        let mut rest = self.inside();
        let mut at = find(b'\\', rest)?;
        let mut text = Vec::with_capacity(rest.len());
        loop {
            let (before, escape) = rest.split_at_checked(at)?;
            let (_, behind) = escape.split_first()?;
            let (escaped, behind) = behind.split_first()?;
            if !matches!(escaped, b'"' | b'\\') {
                return None;
            }
            text.extend_from_slice(before);
            text.push(*escaped);
            rest = behind;
            let Some(next) = find(b'\\', rest) else { break };
            at = next;
        }
        text.extend_from_slice(rest);
        String::from_utf8(text).ok()
    }
}

/// `Cow` alone would always copy.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

/// How many bytes there are up to the message, its first quote among them, in an entry that is
/// written exactly as CloudWatch Logs writes it; 0 in any other.
pub(super) fn head(start: &[u8]) -> usize {
    behind_head(start).map_or(0, |behind| start.len() - behind.len())
}

fn behind_head(start: &[u8]) -> Option<&[u8]> {
    let behind_id = behind_id(start.strip_prefix(b"{\"id\":")?)?;
    let behind_time = behind_number(behind_id.strip_prefix(b",\"timestamp\":")?)?;
    behind_time.strip_prefix(b",\"message\":\"")
}

/// What follows an id, which is digits: CloudWatch Logs puts them in quotes, others do not.
fn behind_id(text: &[u8]) -> Option<&[u8]> {
    let Some(quoted) = text.strip_prefix(b"\"") else { return behind_number(text) };
    quoted.get(digits(quoted)..)?.strip_prefix(b"\"")
}

/// What follows a number of one or more digits, the first of which is not 0.
fn behind_number(text: &[u8]) -> Option<&[u8]> {
    let digits = digits(text);
    text.get(digits..).filter(|_| digits > 0 && !text.starts_with(b"0"))
}

fn oversize(head: &[u8]) -> Reject {
    const _: () = assert!(LARGEST_ENTRY == 1024 * 1024, "the text below says so");
    let head = String::from_utf8_lossy(head);
    let id = head.split_once("\"id\":").map(|(_, behind)| behind.trim_start());
    let id = id.map(|id| id.trim_start_matches('"').chars().take_while(char::is_ascii_digit));
    Reject {
        entry_id: id.map(Iterator::collect).unwrap_or_default(),
        fault: "the entry is larger than 1 MiB",
    }
}

fn id_text(raw: &RawValue) -> Cow<'_, str> {
    Escaped::of(raw).and_then(Escaped::unescape).unwrap_or(Cow::Borrowed(raw.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_surrogate_pair_is_no_text() {
        assert_eq!(Escaped(br#""\ud83d""#).unescape(), None);
        assert_eq!(Escaped(br#""\ud83d\ude00""#).unescape().unwrap(), "\u{1F600}");
    }
}
