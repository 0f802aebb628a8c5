//! Batches: written from pieces, packed, read in steps of any size, and read once more by serde,
//! which knows nothing of frames.

use std::borrow::Cow;
use std::io::{self, Read};

use arbitrary::{Result, Unstructured};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Crc;
use regionwatch::envelope::{
    Batch, EnvelopeError, LARGEST_ENTRY, LogEntry, RawEntry, each, read_batch,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::message::message;

/// A batch, mostly as CloudWatch Logs writes it.
pub fn batch(draws: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let kind = mostly(draws, "\"DATA_MESSAGE\"", &["\"CONTROL_MESSAGE\"", "\"X\"", "null"])?;
    let owner = mostly(draws, "\"111122223333\"", &["\"\\u0031\"", "7"])?;
    let mut members = vec![
        format!("\"messageType\":{kind}"),
        format!("\"owner\":{owner}"),
        "\"logGroup\":\"g\"".to_owned(),
        "\"logStream\":\"s\"".to_owned(),
        "\"subscriptionFilters\":[\"f\"]".to_owned(),
    ];
    if draws.ratio(1, 4)? {
        let (one, other) = (draws.choose_index(5)?, draws.choose_index(5)?);
        members.swap(one, other);
        members.truncate(draws.int_in_range(3..=5)?);
    }
    let entries = format!("\"logEvents\":[{}]", entries(draws)?);
    let at =
        if draws.ratio(1, 8)? { draws.choose_index(members.len() + 1)? } else { members.len() };
    members.insert(at, entries);
    if draws.ratio(1, 16)? {
        members.push(members[draws.choose_index(members.len())?].clone());
    }
    let mut batch = format!("{{{}}}", members.join(",")).into_bytes();
    if draws.ratio(1, 8)? {
        batch.truncate(draws.choose_index(batch.len())?);
    } else if draws.ratio(1, 8)? {
        let at = draws.choose_index(batch.len())?;
        batch[at] = draws.arbitrary()?;
    }
    Ok(batch)
}

fn entries(draws: &mut Unstructured<'_>) -> Result<String> {
    let mut entries = Vec::new();
    while !draws.is_empty() && !draws.ratio(1, 8)? && entries.len() < 50 {
        entries.push(entry(draws)?);
    }
    let comma = if draws.ratio(1, 8)? { " ,\n" } else { "," };
    Ok(entries.join(comma))
}

fn entry(draws: &mut Unstructured<'_>) -> Result<String> {
    let id = mostly(draws, "\"1\"", &["2", "\"\"", "007", "\"x\"", "null"])?;
    let time = mostly(draws, "1790000000000", &["0", "-1", "1e3", "\"1\"", "01"])?;
    let message = escaped(draws)?;
    Ok(match draws.int_in_range(0..=15)? {
        0..=9 => format!("{{\"id\":{id},\"timestamp\":{time},\"message\":{message}}}"),
        10 => format!("{{\"message\":{message},\"timestamp\":{time},\"id\":{id}}}"),
        11 => format!(
            "{{\"id\":{id},\"timestamp\":{time},\"message\":{message},\"extractedFields\":{{\"a\":\"b\"}}}}"
        ),
        12 => format!("{{ \"id\":{id}, \"timestamp\":{time},\"message\" :{message}}}"),
        13 => format!(
            "{{\"id\":{id},\"timestamp\":{time},\"message\":{message},\"message\":{message}}}"
        ),
        14 if draws.arbitrary()? => message,
        14 => format!("{{\"id\":{id},\"timestamp\":{time},\"message\":{message},\"x\":\"y\"}}"),
        _ => format!("{{\"id\":{id},\"timestamp\":{time},\"message\":{{\"m\":{message}}}}}"),
    })
}

fn mostly<'w>(draws: &mut Unstructured<'_>, usual: &'w str, odd: &[&'w str]) -> Result<&'w str> {
    Ok(if draws.ratio(1, 16)? { draws.choose(odd)? } else { usual })
}

/// A message as a JSON string; some are so long that the window must slide or grow, a few too long.
fn escaped(draws: &mut Unstructured<'_>) -> Result<String> {
    let mut text = message(draws)?;
    let filler = match draws.int_in_range(0..=255)? {
        0..=230 => 0,
        231..=254 => draws.int_in_range(0..=70_000)?,
        _ => draws.int_in_range(LARGEST_ENTRY - 500..=LARGEST_ENTRY + 70_000)?,
    };
    text.push_str(&draws.choose(&[" ", "\\", "\"", "\u{e9}"])?.repeat(filler));
    let escaped = serde_json::to_string(&text).unwrap_or_default();
    Ok(if draws.ratio(1, 16)? { escaped.replace("\\\"", "\\u0022") } else { escaped })
}

/// An entry as it was read: its id, time and message, or its id and fault.
pub type Seen = std::result::Result<(String, Option<i64>, String), (String, &'static str)>;

fn seen(entry: std::result::Result<LogEntry<'_>, regionwatch::envelope::Reject>) -> Seen {
    match entry {
        Ok(entry) => {
            let message = String::from_utf8(entry.message.inside().to_vec()).unwrap();
            Ok((entry.id.into_owned(), entry.timestamp, message))
        }
        Err(reject) => Err((reject.entry_id, reject.fault)),
    }
}

/// An entry, read. What it shows at a glance must be what is found when it is read, and be UTF-8
/// even where it cannot be read; and it must be unescaped as serde does it.
pub fn look(entry: &RawEntry<'_>) -> Seen {
    let read = entry.read();
    if let Some(glance) = entry.message() {
        assert!(std::str::from_utf8(glance.inside()).is_ok());
        if let Ok(read) = &read {
            assert_eq!(glance, read.message);
        }
    }
    if let Ok(read) = &read {
        assert_eq!(read.message.unescape(), unescaped(read.message.inside()).map(Cow::Owned));
    }
    seen(read)
}

/// What stands inside a JSON string, as serde unescapes it.
pub fn unescaped(inside: &[u8]) -> Option<String> {
    serde_json::from_slice(&[b"\"", inside, b"\""].concat()).ok()
}

/// A batch, read in steps of these sizes, over and over: its entries, and the batch or the text of
/// what is wrong with it.
pub fn read_in_steps(
    batch: &[u8],
    steps: &[u8],
) -> (Vec<Seen>, std::result::Result<Batch, String>) {
    let mut entries = Vec::new();
    let source = || Steps { rest: batch, sizes: steps.iter().cycle() };
    let read = read_batch(source, each(|_, entry| entries.push(look(&entry))));
    (entries, read.map_err(|error: EnvelopeError| error.to_string()))
}

struct Steps<'b> {
    rest: &'b [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'b, u8>>,
}

impl Read for Steps<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes.next().map_or(usize::MAX, |size| usize::from(*size) + 1);
        let size = size.min(out.len());
        self.rest.read(&mut out[..size])
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'b> {
    message_type: String,
    #[serde(borrow, rename = "owner")]
    _owner: Option<&'b RawValue>,
    #[serde(borrow, rename = "logGroup")]
    _log_group: Option<&'b RawValue>,
    #[serde(borrow, rename = "logStream")]
    _log_stream: Option<&'b RawValue>,
    #[serde(borrow)]
    log_events: Vec<&'b RawValue>,
}

/// The entries as serde finds them; `None` for what it does not take for a batch.
pub fn read_whole(batch: &[u8]) -> Option<Vec<Seen>> {
    let batch = std::str::from_utf8(batch).ok()?;
    let is_object = batch.trim_start().starts_with('{');
    let whole: Whole<'_> = serde_json::from_str(batch).ok().filter(|_| is_object)?;
    match whole.message_type.as_str() {
        "DATA_MESSAGE" => Some(whole.log_events.into_iter().map(read_alone).collect()),
        "CONTROL_MESSAGE" => Some(Vec::new()),
        _ => None,
    }
}

fn read_alone(entry: &RawValue) -> Seen {
    let text = entry.get();
    match text.len() > LARGEST_ENTRY {
        true => Err((oversize_id(text), "the entry is larger than 1 MiB")),
        false => seen(LogEntry::parse(text.as_bytes())),
    }
}

/// The digits behind the first `"id":` in what is kept of an entry that is too large.
fn oversize_id(text: &str) -> String {
    let head = String::from_utf8_lossy(&text.as_bytes()[..regionwatch::frame::HEAD]).into_owned();
    let Some((_, behind)) = head.split_once("\"id\":") else { return String::new() };
    let behind = behind.trim_start().trim_start_matches('"');
    behind.chars().take_while(char::is_ascii_digit).collect()
}

/// A payload around a batch, gzipped in two members.
pub fn pack(batch: &[u8]) -> Vec<u8> {
    let (front, back) = batch.split_at(batch.len() / 3);
    let packed = [stored(front), stored(back)].concat();
    format!(r#"{{"awslogs":{{"data":"{}"}}}}"#, STANDARD.encode(packed)).into_bytes()
}

/// Gzip data in stored blocks (RFC 1951, RFC 1952): to compress would take longer than all the rest.
fn stored(content: &[u8]) -> Vec<u8> {
    let mut gzip = vec![31, 139, 8, 0, 0, 0, 0, 0, 0, 255];
    for block in content.chunks(65_535) {
        let length = block.len() as u16;
        gzip.push(0);
        gzip.extend(length.to_le_bytes());
        gzip.extend((!length).to_le_bytes());
        gzip.extend(block);
    }
    gzip.extend([1, 0, 0, 255, 255]);
    let mut crc = Crc::new();
    crc.update(content);
    gzip.extend(crc.sum().to_le_bytes());
    gzip.extend(crc.amount().to_le_bytes());
    gzip
}
