//! History's dialects: wherever CloudTrail records come to lie, back to records.
//!
//! | dialect | looks like |
//! |---|---|
//! | CloudTrail S3 object | `{"Records":[{...}]}`, often gzipped |
//! | NDJSON | one record a line |
//! | `lookup-events` output | `{"Events":[{"CloudTrailEvent":"{...}"}]}` |
//! | EventBridge event | `{"detail":{...},"detail-type":"..."}` |
//! | subscription payload, packed or inflated | `{"awslogs":{...}}`, `{"logEvents":[...]}` |
//! | the same from a Kinesis stream | `{"Records":[{"kinesis":{...}}]}` |
//! | export of CloudWatch Logs | `2026-11-20T09:14:00.000Z {...}` a line |
//!
//! What AWS writes beside them and holds no records is passed over and counted: CloudTrail's
//! digests, and the file by which an export tries whether it may write.
//!
//! Dialects may be mixed and nested. What is none of them is taken for a record and judged as one:
//! an object that is no record is then a reject, and counted. Arrays are streamed; one value that
//! is held whole has at most [`LARGEST_VALUE`] bytes.

mod wrapper;

use std::io::{self, Read};

use memchr::memmem;

use crate::envelope::Reject;
use crate::frame::{FrameError, Frames, Lines};
use crate::inflate::Inflate;
use crate::record::{Record, RecordError};

use wrapper::{NESTING, classify, item, unreadable};

/// Bytes of a line or a value, in an array or not: a subscription payload has up to 6 MB, and a record
/// of a stream, whose data is in base64, more than one.
pub const LARGEST_VALUE: usize = 16 * 1024 * 1024;

/// Something found in a source.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is handed on and never kept")]
pub enum Item<'a> {
    /// The text of what should be a record.
    Record {
        /// The text, a JSON object.
        text: &'a str,
        /// The same as a record, or why it is none.
        record: Result<Record<'a>, RecordError>,
        /// The account that owns the log group it came from, where that is known.
        owner: &'a str,
        /// The log entry it came in, where there was one.
        entry_id: &'a str,
    },
    /// Something that is not even an object.
    Unreadable {
        /// The bytes as they stand.
        raw: &'a [u8],
        /// Why it is not readable.
        reject: Reject,
    },
}

impl<'a> Item<'a> {
    fn of(text: &'a str, owner: &'a str, entry_id: &'a str) -> Self {
        Item::Record { text, record: Record::parse(text), owner, entry_id }
    }
}

/// Reads a source to its end, gunzipping it where it is gzipped, and hands every item to `on_item`.
/// Returns how many things were passed over that are known to hold no records.
///
/// # Errors
/// Where the source cannot be read on: items before that were handed over.
pub fn read(mut source: impl Read, mut on_item: impl FnMut(Item<'_>)) -> Result<u64, FrameError> {
    let start = read_start(&mut source)?;
    if start.starts_with(&GZIP) {
        let mut text = Inflate::new(io::Cursor::new(start).chain(source), u64::MAX);
        let start = read_start(&mut text)?;
        read_text(start, text, &mut on_item)
    } else {
        read_text(start, source, &mut on_item)
    }
}

/// Reads a source that is a text, of which the start was read before.
fn read_text(
    start: Vec<u8>,
    source: impl Read,
    on_item: &mut impl FnMut(Item<'_>),
) -> Result<u64, FrameError> {
    if UTF_16.iter().any(|mark| start.starts_with(mark)) {
        let fault = "the file is UTF-16; CloudTrail writes UTF-8";
        return Err(io::Error::new(io::ErrorKind::InvalidData, fault).into());
    }
    let mut start = io::Cursor::new(start);
    if start.get_ref().starts_with(&BYTE_ORDER_MARK) {
        start.set_position(BYTE_ORDER_MARK.len() as u64);
    }
    Reader::new(start.chain(source)).read(on_item)
}

/// Bytes that are looked at first: all of most files.
const START: usize = 4 * 1024;

/// Reads until there is enough to tell by what it is; at the end of the source less.
fn read_start(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut start, mut length) = (vec![0; START], 0);
    while length < BYTE_ORDER_MARK.len() {
        match source.read(start.get_mut(length..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    start.truncate(length);
    Ok(start)
}

/// How gzip data begins (RFC 1952).
const GZIP: [u8; 2] = [0x1F, 0x8B];

/// What some editors put before a text in UTF-8.
const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// How a text in UTF-16 begins, in either order, as Windows' shells write what is redirected.
const UTF_16: [[u8; 2]; 2] = [[0xFF, 0xFE], [0xFE, 0xFF]];

struct Reader<R> {
    frames: Frames<R>,
    /// How often a damaged line may still be taken for the first of several: each such search may
    /// read [`LARGEST_VALUE`] bytes in vain.
    searches: u32,
    passed_over: u64,
}

/// The first size of the window: most files are small.
const WINDOW: usize = 32 * 1024;

/// Bytes that should be at hand, so that a record among them is there to its end.
const AT_HAND: usize = WINDOW / 2;

/// What became of the attempt to read an object.
enum Tried {
    Taken,
    /// It is none; nothing was taken.
    Damaged,
}

const MOST_SEARCHES: u32 = 16;

impl<R: Read> Reader<R> {
    fn new(source: R) -> Self {
        Reader {
            frames: Frames::with_window(source, WINDOW),
            searches: MOST_SEARCHES,
            passed_over: 0,
        }
    }

    fn read(mut self, on_item: &mut impl FnMut(Item<'_>)) -> Result<u64, FrameError> {
        while let Some(byte) = self.frames.peek()? {
            match byte {
                b'[' => self.array(on_item)?,
                b'{' => match self.begins() {
                    Beginning::List => self.list(on_item)?,
                    Beginning::Digest => self.pass_over()?,
                    Beginning::Other => self.object(on_item)?,
                },
                b'0'..=b'9' if self.takes_time() => {}
                // It parts two records, as whoever took a list apart leaves it, and is none.
                b',' => self.frames.take(b',', "a comma")?,
                _ => self.line(on_item)?,
            }
        }
        Ok(self.passed_over)
    }

    /// Looks at the first key of the object that comes next.
    fn begins(&mut self) -> Beginning {
        let ahead = self.frames.peek_ahead(HEAD_OF_OBJECT);
        let Some((key, value)) = first_member(ahead) else { return Beginning::Other };
        let is_list = LISTS.iter().any(|list| list.as_bytes() == key) && value.starts_with(b"[");
        let is_digest = key == DIGEST.0 && memmem::find(value, DIGEST.1).is_some();
        match (is_list, is_digest) {
            (true, _) => Beginning::List,
            (_, true) => Beginning::Digest,
            _ => Beginning::Other,
        }
    }

    fn pass_over(&mut self) -> Result<(), FrameError> {
        self.passed_over += 1;
        self.frames.value(0)?;
        Ok(())
    }

    /// Takes the time that an export writes before each message, where an object stands behind it.
    fn takes_time(&mut self) -> bool {
        let takes = begins_with_time(self.frames.peek_ahead(TIME.len() + 1));
        if takes {
            self.frames.take_bytes(TIME.len());
        }
        takes
    }

    fn list(&mut self, on_item: &mut impl FnMut(Item<'_>)) -> Result<(), FrameError> {
        self.frames.take(b'{', "the start of an object")?;
        let mut first = true;
        while let Some(key) = self.frames.next_key(&mut first)? {
            if self.frames.peek()? == Some(b'[') && LISTS.contains(&key.as_str()) {
                self.array(on_item)?;
            } else {
                self.frames.value(0)?;
            }
        }
        Ok(())
    }

    fn array(&mut self, on_item: &mut impl FnMut(Item<'_>)) -> Result<(), FrameError> {
        self.frames.take(b'[', "the start of an array")?;
        let mut first = true;
        while self.frames.next_element(&mut first)? {
            if self.records(|behind| behind.strip_prefix(','), on_item)? {
                continue;
            }
            item(self.frames.value(LARGEST_VALUE)?, NESTING, on_item);
        }
        Ok(())
    }

    /// Takes the records that are at hand, as long as each is one for certain: most are, and need not
    /// be read twice. `behind` passes over what parts two of them.
    fn records(
        &mut self,
        behind: fn(&str) -> Option<&str>,
        on_item: &mut impl FnMut(Item<'_>),
    ) -> Result<bool, FrameError> {
        self.frames.peek()?;
        self.frames.peek_ahead(AT_HAND);
        let ahead = self.frames.at_hand();
        if !ahead.starts_with(RECORD) {
            return Ok(false);
        }
        let ahead = valid(ahead);
        let (mut next, mut taken) = (Some(ahead), 0);
        while let Some(rest) = next.map(str::trim_ascii_start)
            && let Some((record, text)) = Record::quick(rest)
            && text.len() <= LARGEST_VALUE
        {
            on_item(Item::Record { text, record: Ok(record), owner: "", entry_id: "" });
            taken = ahead.len() - rest.len() + text.len();
            next = rest.get(text.len()..).map(str::trim_ascii_start).and_then(behind);
        }
        self.frames.take_bytes(taken);
        Ok(taken > 0)
    }

    /// An object on a line of its own, or beside others, or over several lines. What never becomes
    /// one costs its own line and no more: a damaged line must not swallow those behind it.
    fn object(&mut self, on_item: &mut impl FnMut(Item<'_>)) -> Result<(), FrameError> {
        if self.records(|behind| Some(without_time(behind)), on_item)? {
            return Ok(());
        }
        match self.try_object(Lines::One, on_item)? {
            Tried::Taken => return Ok(()),
            Tried::Damaged if self.searches == 0 => {}
            Tried::Damaged => match self.try_object(Lines::Any, on_item)? {
                Tried::Taken => return Ok(()),
                Tried::Damaged => self.searches -= 1,
            },
        }
        self.line(on_item)
    }

    fn try_object(
        &mut self,
        lines: Lines,
        on_item: &mut impl FnMut(Item<'_>),
    ) -> Result<Tried, FrameError> {
        let text = match self.frames.peek_value(LARGEST_VALUE, lines) {
            Ok(Some(text)) => text,
            Ok(None) | Err(FrameError::Unexpected { .. } | FrameError::Ended { .. }) => {
                return Ok(Tried::Damaged);
            }
            Err(error @ FrameError::Read(_)) => return Err(error),
        };
        let length = text.len();
        if classify(text, NESTING, on_item).is_err() {
            return Ok(Tried::Damaged);
        }
        self.frames.take_bytes(length);
        Ok(Tried::Taken)
    }

    /// A line that is no object.
    fn line(&mut self, on_item: &mut impl FnMut(Item<'_>)) -> Result<(), FrameError> {
        let raw = self.frames.peek_line(LARGEST_VALUE)?.trim_ascii_end();
        if raw == WRITE_TEST {
            self.passed_over += 1;
        } else {
            on_item(unreadable(raw, "the line is not a JSON object"));
        }
        self.frames.skip_line()
    }
}

/// As much of some bytes as is a text.
fn valid(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_else(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        std::str::from_utf8(valid).unwrap_or_default()
    })
}

/// Keys whose lists are streamed: CloudTrail's S3 objects, `lookup-events`, `filter-log-events`.
const LISTS: &[&str] = &["Records", "Events", "events"];

/// Enough of an object to see its first key.
const HEAD_OF_OBJECT: usize = 256;

/// The first key of a digest, and one that follows (CloudTrail guide, "CloudTrail digest file
/// structure"). Records begin with another.
const DIGEST: (&[u8], &[u8]) = (b"awsAccountId", b"\"digestStartTime\"");

/// The shape of the time before a message; `0` stands for any digit (CloudWatch Logs guide,
/// "Exporting log data to Amazon S3").
const TIME: &[u8] = b"0000-00-00T00:00:00.000Z ";

/// Whether that time stands there, and an object behind it.
fn begins_with_time(text: &[u8]) -> bool {
    let fits = |(shape, byte): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        shape => shape == byte,
    };
    let is_time = text.len() > TIME.len() && TIME.iter().zip(text).all(fits);
    is_time && text.get(TIME.len()) == Some(&b'{')
}

fn without_time(text: &str) -> &str {
    let behind = begins_with_time(text.as_bytes()).then(|| text.get(TIME.len()..)).flatten();
    behind.unwrap_or(text)
}

/// How CloudTrail writes a record.
const RECORD: &[u8] = b"{\"eventVersion\"";

/// All that is in `aws-logs-write-test`, which an export writes beside its files.
const WRITE_TEST: &[u8] = b"Permission Check Successful";

/// What an object begins with.
enum Beginning {
    /// A list that may be long.
    List,
    /// What only a digest begins with.
    Digest,
    Other,
}

/// The first key of an object, and what stands behind its colon.
fn first_member(object: &[u8]) -> Option<(&[u8], &[u8])> {
    let key = object.strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"")?;
    let (key, behind) = key.split_at_checked(memchr::memchr(b'"', key)?)?;
    let value = behind.strip_prefix(b"\"")?.trim_ascii_start().strip_prefix(b":")?;
    Some((key, value.trim_ascii_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(source: &[u8]) -> Vec<String> {
        let mut seen = Vec::new();
        read(source, |item| {
            seen.push(match item {
                Item::Record { text, owner, entry_id, .. } => format!("{owner}{entry_id}{text}"),
                Item::Unreadable { raw, reject } => {
                    format!("{}: {}", reject.fault, String::from_utf8_lossy(raw))
                }
            });
        })
        .unwrap();
        seen
    }

    #[test]
    fn every_dialect_comes_back_to_records() {
        let record = r#"{"eventName":"A"}"#;
        let escaped = r#""{\"eventName\":\"A\"}""#;
        for dialect in [
            record.to_owned(),
            format!("\u{FEFF}{record}\r\n"),
            format!("[{record}]"),
            format!("{{\"Records\":[{record}]}}"),
            format!("{{\n  \"Records\": [\n {record}\n ]\n}}\n"),
            format!("{{\"Events\":[{{\"EventId\":\"1\",\"CloudTrailEvent\":{escaped}}}]}}"),
            format!("{{\"version\":\"0\",\"detail-type\":\"x\",\"detail\":{record}}}"),
            format!("{{\"NextToken\":\"x\",\"Records\":[{record}]}}"),
        ] {
            assert_eq!(items(dialect.as_bytes()), [record], "{dialect}");
        }
        let batch = format!(
            r#"{{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[{{"id":"2","message":{escaped}}}]}}"#
        );
        assert_eq!(items(batch.as_bytes()), [format!("12{record}")]);
    }

    #[test]
    fn a_damaged_line_hides_none_of_the_others() {
        let text = "{\"a\":1}\nplain text\n{\"b\":{\"c\":1,\n{\"d\":2}\n{\"e\":\"\n\n{\"f\":3}";
        let damaged = |raw| format!("the line is not a JSON object: {raw}");
        let expected = [
            "{\"a\":1}".to_owned(),
            damaged("plain text"),
            damaged("{\"b\":{\"c\":1,"),
            "{\"d\":2}".to_owned(),
            damaged("{\"e\":\""),
            "{\"f\":3}".to_owned(),
        ];
        assert_eq!(items(text.as_bytes()), expected);
    }

    #[test]
    fn commas_between_records_are_no_entries() {
        let plain = |name| format!("{{\"eventName\":\"{name}\"}}");
        let quick = |name| format!("{{\"eventVersion\":\"1\",\"eventName\":\"{name}\"}}");
        let (time, damaged) = ("2026-11-20T09:14:00.000Z ", "the line is not a JSON object: ");
        for (a, b) in [(plain("A"), plain("B")), (quick("A"), quick("B")), (quick("A"), plain("B"))]
        {
            for behind in ["\n", "", " ", "\n,\n", "\n , "] {
                assert_eq!(
                    items(format!("{a},{behind}{b}").as_bytes()),
                    [&a, &b].map(Clone::clone)
                );
                assert_eq!(items(format!(",{a}\n,{time}{b},").as_bytes()).len(), 2);
            }
            let odd = items(format!("{a}\n,oops\n{b},7,{a}\n{a}").as_bytes());
            let rest = format!("{damaged}7,{a}");
            assert_eq!(odd, [a.clone(), format!("{damaged}oops"), b.clone(), rest, a.clone()]);
        }
    }

    #[test]
    fn a_list_that_is_none_is_still_counted() {
        for text in [
            r#"{"Records":{"eventName":"A"}}"#,
            r#"{"Records":null}"#,
            r#"{"events":5,"eventName":"A"}"#,
        ] {
            assert_eq!(items(text.as_bytes()), [text]);
        }
        let both = br#"{"x":1,"Records":[{"a":1}],"Events":[{"b":2},{"c":3}]}"#;
        assert_eq!(items(both).len(), 3);
    }

    #[test]
    fn an_object_that_never_closes_takes_its_own_line_only() {
        let text = b"{\"a\":1}\n{\"b\":{\"c\":1,\n{\"d\":2}\n{\"e\":3}\n";
        assert_eq!(items(text).len(), 4);
    }

    #[test]
    fn lists_in_lists_are_not_looked_into_for_ever() {
        let deep = format!("{}{}", "{\"Records\":[".repeat(100_000), "]}".repeat(100_000));
        assert_eq!(items(deep.as_bytes()).len(), 1);
    }

    #[test]
    fn a_record_may_be_as_large_in_every_dialect() {
        let name = "x".repeat(2 * 1024 * 1024);
        for version in ["\"eventVersion\":\"1\",", ""] {
            let record = format!("{{{version}\"eventName\":\"{name}\"}}");
            let list = format!("{{\"Records\":[{record},{record}]}}");
            for text in [format!("{record}\n{record}"), format!("[{record},{record}]"), list] {
                let items = items(text.as_bytes());
                assert!(items.iter().all(|item| *item == record) && items.len() == 2);
            }
        }
    }

    #[test]
    fn objects_on_one_line_follow_each_other() {
        let text = "{\"a\":1} {\"b\":{}}{\"c\":3}\n{\"d\":4}".repeat(20_000);
        assert_eq!(items(text.as_bytes()).len(), 80_000);
    }

    #[test]
    fn many_damaged_lines_are_many_rejects() {
        let text = "{\"a\":{\"b\":1,\n".repeat(20_000) + "{\"c\":1}";
        assert_eq!(items(text.as_bytes()).len(), 20_001);
    }

    #[test]
    fn objects_over_several_lines_follow_each_other() {
        assert_eq!(items(b"{\n\"a\":1\n}\n{\n\"b\":2\n}").len(), 2);
    }

    #[test]
    fn an_end_within_a_value_is_an_error() {
        assert!(read(&b"{\"Records\":[{\"a\":1},{"[..], |_| ()).is_err());
    }
}
