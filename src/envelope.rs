//! A packed batch, opened: base64, gunzip, the outer JSON, one log entry at a time.
//!
//! Lambda hands over `{"awslogs":{"data":"<base64 gzip>"}}` (Lambda guide, "Using Lambda with
//! CloudWatch Logs"). [`Envelope::open`] finds the data, [`Envelope::entries`] streams the batch
//! inside it to whoever reads them, in a window of bounded size. The message of an entry is handed
//! on still escaped, for most of them are dropped without anyone reading them. A batch is trusted
//! only when `entries` returns `Ok`: what was read of it before an error must be thrown away.

mod entry;
mod packed;

use std::borrow::Cow;
use std::convert::Infallible;
use std::io::{self, Read};

use memchr::memchr2;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::frame::{self, Frame, FrameError, Frames, Looked, Tail};
use crate::inflate::{Inflate, InflateError};

pub use entry::{Escaped, LogEntry, RawEntry, Reject};

pub(crate) use entry::Text;

use entry::Message;
use packed::{Base64, Base64Error};

/// An entry beyond this many bytes is not read. CloudTrail keeps events under 256 KB
/// (CloudTrail guide, "Quotas"); escaping may nearly double that.
pub const LARGEST_ENTRY: usize = 1024 * 1024;

/// One batch, packed: base64 of gzip. A subscription hands over one, a stream one in each record.
#[derive(Debug)]
pub struct Envelope<'p> {
    data: Cow<'p, [u8]>,
}

/// Who reads the entries of a batch.
pub trait ReadEntries {
    /// What a look at a message tells of its entry.
    type Foreseen;

    /// Looks at the message of the next entry before its end is searched. `ahead` is what is at hand
    /// behind its first quote, and may end before the message does or go on behind it. What it tells,
    /// and how many bytes of the message need not be searched: they are ASCII, hold no end of the
    /// message, and end between two characters of it. `None` where it tells nothing.
    fn look(&mut self, batch: &Batch, ahead: &[u8]) -> Option<(Self::Foreseen, usize)>;

    /// Takes the entry. `foreseen` is what the look at its message told, where [`RawEntry::message`]
    /// is known.
    fn take(&mut self, batch: &Batch, entry: RawEntry<'_>, foreseen: Option<Self::Foreseen>);
}

/// Reads entries with a function, which looks at nothing ahead.
pub fn each<F: FnMut(&Batch, RawEntry<'_>)>(take: F) -> Each<F> {
    Each(take)
}

/// See [`each`].
pub struct Each<F>(F);

impl<F: FnMut(&Batch, RawEntry<'_>)> ReadEntries for Each<F> {
    type Foreseen = Infallible;

    fn look(&mut self, _: &Batch, _: &[u8]) -> Option<(Infallible, usize)> {
        None
    }

    fn take(&mut self, batch: &Batch, entry: RawEntry<'_>, _: Option<Infallible>) {
        self.0(batch, entry);
    }
}

/// What a batch says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The account that owns the log group.
    pub owner: String,
    /// The log group the entries come from.
    pub log_group: String,
    /// The log stream the entries come from.
    pub log_stream: String,
    /// `CONTROL_MESSAGE`: CloudWatch Logs only checks that we are there; nothing to judge.
    pub control: bool,
    /// Size of the inflated batch in bytes; 0 until it was read to its end.
    pub inflated_bytes: u64,
}

/// Why a payload could not be opened. Never shows anything of its content.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The payload is not JSON.
    #[error("the payload is not JSON: wrong at line {line}, column {column}")]
    NotJson {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
    },
    /// The payload is JSON, but nothing that CloudWatch Logs sends.
    #[error("the payload has no `awslogs.data` string: {looks_like}")]
    NotASubscription {
        /// What the payload seems to be instead.
        looks_like: &'static str,
    },
    /// A record of a stream has no data.
    #[error("the record has no `kinesis.data` string")]
    NoData,
    /// The data is not base64.
    #[error("the data is not base64: wrong at about character {offset}")]
    Base64 {
        /// Offset of the character that does not fit, where the decoder told it.
        offset: u64,
    },
    /// The data is not whole gzip data, or is too large.
    #[error("the data cannot be inflated: {0}")]
    Gzip(#[from] InflateError),
    /// The inflated batch is not JSON.
    #[error("the inflated batch is not JSON: {0}")]
    Json(FrameError),
    /// The inflated batch is JSON of another kind.
    #[error("the inflated batch is not from a subscription filter: {0}")]
    NotABatch(&'static str),
}

impl EnvelopeError {
    /// What is wrong, as the fault of a reject: a fixed text.
    pub fn fault(&self) -> &'static str {
        match self {
            EnvelopeError::NotJson { .. } | EnvelopeError::NotASubscription { .. } => {
                "the payload is none of a trigger"
            }
            EnvelopeError::NoData => "the record has no `kinesis.data` string",
            EnvelopeError::Base64 { .. } => "the data is not base64",
            EnvelopeError::Gzip(InflateError::TooLarge { .. }) => {
                "the batch is too large when inflated"
            }
            EnvelopeError::Gzip(_) => "the data is no whole gzip data",
            EnvelopeError::Json(_) => "the inflated batch is not JSON",
            EnvelopeError::NotABatch(_) => "the inflated batch is not from a subscription filter",
        }
    }
}

impl<'p> Envelope<'p> {
    /// Finds `awslogs.data` in the payload; other keys are passed over.
    pub fn open(payload: &'p [u8]) -> Result<Self, EnvelopeError> {
        if let Some(data) = plain_data(payload) {
            return Ok(Envelope { data: data.into() });
        }
        let payload: Payload<'p> = serde_json::from_slice(payload).map_err(|e| not_json(&e))?;
        let data = payload.awslogs.and_then(|raw| serde_json::from_str::<AwsLogs>(raw.get()).ok());
        match data.and_then(|logs| logs.data) {
            Some(Text(data)) => Ok(Envelope::of_data(data)),
            None => Err(EnvelopeError::NotASubscription { looks_like: payload.looks_like() }),
        }
    }

    /// The batch that was packed to this text.
    pub fn of_data(data: Cow<'p, str>) -> Self {
        let data = match data {
            Cow::Borrowed(data) => data.as_bytes().into(),
            Cow::Owned(data) => data.into_bytes().into(),
        };
        Envelope { data }
    }

    /// The packed data: the same for every delivery of the same payload.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Streams the batch to `reader`, and says what batch it was once its end was seen whole.
    /// A batch that inflates to more than `max_inflated` bytes is an error.
    pub fn entries(
        &self,
        max_inflated: u64,
        reader: impl ReadEntries,
    ) -> Result<Batch, EnvelopeError> {
        let unpacked = || Inflate::new(Base64::of(&self.data), max_inflated);
        read_in_windows(unpacked, window(self.data.len()), reader)
    }
}

/// The window for a batch that was packed to so many bytes: much of a small one, for to make a large
/// one costs more than to read a few entries; a large one has fewer seams.
fn window(packed: usize) -> usize {
    (packed * 8).clamp(2 * AHEAD, 256 * 1024)
}

/// The data of a payload that is written exactly as Lambda writes it, in which there is nothing to
/// unescape.
fn plain_data(payload: &[u8]) -> Option<&[u8]> {
    let data = payload.strip_prefix(br#"{"awslogs":{"data":""#)?.strip_suffix(br#""}}"#)?;
    // What else must not stand in a string is no base64 either.
    memchr2(b'"', b'\\', data).is_none().then_some(data)
}

/// Streams a batch that is already inflated.
///
/// The entries may stand before the fields that say whose they are. `source` is then read a second
/// time, for nothing may be judged without its owner and nothing may be held back in memory.
pub fn read_batch<R: Read>(
    source: impl Fn() -> R,
    reader: impl ReadEntries,
) -> Result<Batch, EnvelopeError> {
    read_in_windows(source, frame::WINDOW, reader)
}

fn read_in_windows<R: Read>(
    source: impl Fn() -> R,
    window: usize,
    mut reader: impl ReadEntries,
) -> Result<Batch, EnvelopeError> {
    let frames = || Frames::with_window(source(), window);
    let mut pass = Pass::default();
    pass.run(frames(), &mut reader)?;
    if pass.entries_skipped {
        let header = pass.header;
        pass = Pass { header, header_known: true, ..Pass::default() };
        pass.run(frames(), &mut reader)?;
    }
    match pass.header.message_type.as_deref() {
        None => return Err(EnvelopeError::NotABatch("it has no `messageType`")),
        Some("DATA_MESSAGE") if !pass.entries_seen => {
            return Err(EnvelopeError::NotABatch("it has no `logEvents`"));
        }
        Some("DATA_MESSAGE" | "CONTROL_MESSAGE") => {}
        Some(_) => return Err(EnvelopeError::NotABatch("its `messageType` is unknown")),
    }
    Ok(Batch { inflated_bytes: pass.length, ..pass.header.batch() })
}

/// One reading of a batch from start to end.
#[derive(Default)]
struct Pass {
    header: Header,
    header_known: bool,
    entries_seen: bool,
    entries_skipped: bool,
    length: u64,
}

#[derive(Default)]
struct Header {
    message_type: Option<String>,
    owner: Option<String>,
    log_group: Option<String>,
    log_stream: Option<String>,
}

/// Bytes of an entry that are at hand when somebody looks at it; few are longer.
const AHEAD: usize = 8 * 1024;

/// Fields of the header are short; one that is not counts as absent.
const LONGEST_FIELD: usize = 4096;

/// The fields that decide what becomes of a batch.
const FIELDS: [&str; 5] = ["messageType", "owner", "logGroup", "logStream", "logEvents"];

impl Pass {
    fn run<R: Read>(
        &mut self,
        mut frames: Frames<R>,
        reader: &mut impl ReadEntries,
    ) -> Result<(), EnvelopeError> {
        frames.take(b'{', "the start of an object")?;
        let mut first = true;
        let mut seen = Vec::new();
        while let Some(key) = frames.next_key(&mut first)? {
            if let Some(field) = FIELDS.iter().find(|field| **field == key) {
                if seen.contains(field) {
                    return Err(EnvelopeError::NotABatch("it names a field twice"));
                }
                seen.push(field);
            }
            match key.as_str() {
                "messageType" => self.header.message_type = text(&mut frames)?,
                "owner" => self.header.owner = text(&mut frames)?,
                "logGroup" => self.header.log_group = text(&mut frames)?,
                "logStream" => self.header.log_stream = text(&mut frames)?,
                "logEvents" => self.log_events(&mut frames, reader)?,
                _ => skip(&mut frames)?,
            }
        }
        if frames.peek()?.is_some() {
            return Err(EnvelopeError::NotABatch("something follows its closing bracket"));
        }
        self.length = frames.offset();
        Ok(())
    }

    fn log_events<R: Read>(
        &mut self,
        frames: &mut Frames<R>,
        reader: &mut impl ReadEntries,
    ) -> Result<(), EnvelopeError> {
        self.entries_seen = true;
        if !(self.header_known || self.header.is_complete()) {
            self.entries_skipped = true;
            return skip(frames);
        }
        let batch = self.header.batch();
        if batch.control {
            return skip(frames);
        }
        frames.take(b'[', "the start of the entries")?;
        let mut first = true;
        while frames.next_element(&mut first)? {
            frames.peek_ahead(AHEAD);
            let ahead = frames.at_hand();
            let head = entry::head(ahead);
            let message = ahead.get(head..).filter(|_| head > 0);
            let foreseen = message.and_then(|message| reader.look(&batch, message));
            let (foreseen, inside) =
                foreseen.map_or((None, 0), |(told, passed)| (Some(told), passed));
            let entry = match frames.value_behind(Looked { head, inside }, LARGEST_ENTRY)? {
                (Frame::Whole(text), Tail::String { ascii }) => {
                    RawEntry::with_message(text, Message { start: head - 1, ascii })
                }
                (Frame::Whole(text), Tail::Other) => RawEntry::whole(text),
                (Frame::Oversize { head, .. }, _) => RawEntry::oversize(head),
            };
            let foreseen = foreseen.filter(|_| entry.message().is_some());
            reader.take(&batch, entry, foreseen);
        }
        Ok(())
    }
}

impl Header {
    fn is_complete(&self) -> bool {
        self.message_type.is_some()
            && self.owner.is_some()
            && self.log_group.is_some()
            && self.log_stream.is_some()
    }

    fn batch(&self) -> Batch {
        Batch {
            owner: self.owner.clone().unwrap_or_default(),
            log_group: self.log_group.clone().unwrap_or_default(),
            log_stream: self.log_stream.clone().unwrap_or_default(),
            control: self.message_type.as_deref() == Some("CONTROL_MESSAGE"),
            inflated_bytes: 0,
        }
    }
}

fn text<R: Read>(frames: &mut Frames<R>) -> Result<Option<String>, FrameError> {
    Ok(match frames.value(LONGEST_FIELD)? {
        Frame::Whole(value) => serde_json::from_slice(value).ok(),
        Frame::Oversize { .. } => None,
    })
}

fn skip<R: Read>(frames: &mut Frames<R>) -> Result<(), EnvelopeError> {
    frames.value(0)?;
    Ok(())
}

#[derive(Deserialize)]
struct Payload<'p> {
    #[serde(borrow)]
    awslogs: Option<&'p RawValue>,
    #[serde(borrow, rename = "Records")]
    records: Option<&'p RawValue>,
    #[serde(borrow)]
    detail: Option<&'p RawValue>,
    #[serde(borrow, rename = "logEvents")]
    log_events: Option<&'p RawValue>,
    #[serde(borrow, rename = "eventSource")]
    event_source: Option<&'p RawValue>,
}

#[derive(Deserialize)]
struct AwsLogs<'p> {
    #[serde(borrow)]
    data: Option<Text<'p>>,
}

impl Payload<'_> {
    fn looks_like(&self) -> &'static str {
        if self.awslogs.is_some() {
            "`awslogs` is there without it"
        } else if self.records.is_some() {
            "it looks like an S3, SQS or SNS trigger, or a CloudTrail log file"
        } else if self.detail.is_some() {
            "it looks like an EventBridge event"
        } else if self.log_events.is_some() {
            "it looks like a batch that was already inflated"
        } else if self.event_source.is_some() {
            "it looks like a bare CloudTrail record"
        } else {
            "it is not from a CloudWatch Logs subscription filter"
        }
    }
}

fn not_json(error: &serde_json::Error) -> EnvelopeError {
    if error.is_data() {
        let looks_like = "it is no JSON object, or has a key twice";
        return EnvelopeError::NotASubscription { looks_like };
    }
    EnvelopeError::NotJson { line: error.line(), column: error.column() }
}

impl From<FrameError> for EnvelopeError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Read(error) => error.into(),
            other => EnvelopeError::Json(other),
        }
    }
}

impl From<io::Error> for EnvelopeError {
    fn from(error: io::Error) -> Self {
        match error.downcast::<InflateError>() {
            Ok(error) => EnvelopeError::Gzip(error),
            Err(error) => EnvelopeError::Base64 { offset: base64_offset(&error) },
        }
    }
}

/// Where the decoder stopped; 0 where it does not say.
fn base64_offset(error: &io::Error) -> u64 {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<Base64Error>());
    error.map_or(0, |error| error.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#""messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"g","logStream":"s","subscriptionFilters":["f"]"#;

    /// Every entry as `id: message`, rejects as `id! fault`.
    fn read(batch: &str) -> Result<Vec<String>, EnvelopeError> {
        let mut seen = Vec::new();
        read_batch(
            || batch.as_bytes(),
            each(|batch, entry| {
                seen.push(match entry.read() {
                    Ok(entry) => {
                        let message = entry.message.unescape().unwrap();
                        format!("{} {}: {message}", batch.owner, entry.id)
                    }
                    Err(reject) => format!("{}! {}", reject.entry_id, reject.fault),
                });
            }),
        )?;
        Ok(seen)
    }

    #[test]
    fn field_order_extra_keys_and_kinds_of_id_do_not_matter() {
        let entries = r#""logEvents":[{"id":"7","timestamp":1,"message":"a\"b"}, {"message":"c","extractedFields":{},"id":8}]"#;
        let expected = ["111122223333 7: a\"b", "111122223333 8: c"];
        assert_eq!(read(&format!("{{{HEADER},{entries}}}")).unwrap(), expected);
        assert_eq!(read(&format!("{{{entries} , \"new\":[{{}}],{HEADER}}}\n")).unwrap(), expected);
    }

    #[test]
    fn an_entry_that_is_none_is_rejected_and_the_others_go_on() {
        let large = "x".repeat(LARGEST_ENTRY);
        let entries = format!(
            r#"{{"id":"1","message":{{}}}},7,{{"id":"2","message":"a","message":"b"}},{{"id":"3","message":"{large}"}},{{"id":"4","message":"ok"}}"#
        );
        let seen = read(&format!("{{{HEADER},\"logEvents\":[{entries}]}}")).unwrap();
        let not_an_entry = "! the entry is not a JSON object with one id and one message";
        let expected = [
            "1! the entry has no message that is a string",
            not_an_entry,
            not_an_entry,
            "3! the entry is larger than 1 MiB",
            "111122223333 4: ok",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_control_message_has_no_entries() {
        let batch = r#"{"logEvents":[{"id":"","message":"CWL CONTROL MESSAGE"}],"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":""}"#;
        assert!(read(batch).unwrap().is_empty());
        let read = read_batch(|| batch.as_bytes(), each(|_, _| ())).unwrap();
        assert!(read.control);
        assert_eq!(read.inflated_bytes, batch.len() as u64);
    }

    #[test]
    fn what_is_no_batch_is_named() {
        let fault = |batch: &str| read(batch).unwrap_err().to_string();
        assert!(fault("{}").ends_with("it has no `messageType`"));
        assert!(fault(&format!("{{{HEADER}}}")).ends_with("it has no `logEvents`"));
        assert!(fault(r#"{"messageType":"X","logEvents":[]}"#).ends_with("is unknown"));
        assert!(fault(&format!("{{{HEADER},\"logEvents\":[]}} {{}}")).contains("follows"));
        let twice = r#"{"messageType":"CONTROL_MESSAGE","messageType":"DATA_MESSAGE"}"#;
        assert!(fault(twice).ends_with("it names a field twice"));
        assert!(fault("[]").contains("byte 0 of the JSON text is not the start of an object"));
        assert!(fault(&format!("{{{HEADER},\"logEvents\":[{{")).contains("inside a value"));
    }

    #[test]
    fn what_is_no_payload_is_named() {
        let fault = |payload: &str| match Envelope::open(payload.as_bytes()) {
            Ok(envelope) => envelope.entries(1000, each(|_, _| ())).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(fault("{\n oops"), "the payload is not JSON: wrong at line 2, column 2");
        assert!(fault("[1]").contains("no JSON object"));
        assert!(fault(r#"{"Records":[]}"#).contains("S3, SQS"));
        assert!(fault(r#"{"detail":{}}"#).contains("EventBridge"));
        assert!(fault(r#"{"awslogs":{"data":7}}"#).contains("is there without it"));
        assert!(fault(r#"{"awslogs":{"data":"H4sI*"}}"#).contains("wrong at about character 4"));
        assert!(fault(r#"{"awslogs":{"data":"H4sIA"}}"#).contains("is not base64"));
        assert!(fault(r#"{"awslogs":{"data":"e30="}}"#).contains("the gzip data"));
    }
}
