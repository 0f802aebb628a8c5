//! What the on-failure destination kept, back to the payloads that the function never handled.
//!
//! | form | looks like |
//! |---|---|
//! | invocation record | `{"requestContext":{...},"requestPayload":{...}}`, as Lambda writes it |
//! | the same of a stream | `{"requestContext":{...},"KinesisBatchInfo":{...},"payload":"..."}`, which has the payload in S3 alone |
//! | payload | `{"awslogs":{"data":"..."}}`, as a dead-letter queue keeps it; or of a stream |
//! | messages | `{"Messages":[{"Body":"..."}]}`, as `aws sqs receive-message` prints it, or one of them |
//! | notification | `{"Type":"Notification","Message":"..."}`, as SNS sends it to a queue |
//!
//! Forms may be nested, and follow each other in a file, each on a line or over several. What is
//! none of them is a [`Fault`] and stops nothing. One value is held at a time, of at most
//! [`LARGEST_VALUE`] bytes.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::Read;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::alert::text::clean;
use crate::delivery::Delivery;
use crate::envelope::{EnvelopeError, Escaped, each};
use crate::frame::{FrameError, Frames, Lines};

/// Bytes of one value. Lambda invokes asynchronously with 1 MB at most (Lambda guide, "Quotas"), and
/// `receive-message` prints ten messages.
pub const LARGEST_VALUE: usize = 16 * 1024 * 1024;

/// A payload that was not handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The payload, as the function was invoked with it.
    pub payload: String,
    /// Identifies it: the same as in the invocation that failed.
    pub id: String,
    /// The request id of that invocation, where an invocation record has one.
    pub request: Option<String>,
    /// When Lambda gave it up, where an invocation record says so.
    given_up: Option<Timestamp>,
}

impl Undelivered {
    /// When it was the function's turn: the time to which the ledger's windows belong. Lambda gives
    /// a payload up minutes after it failed first, hours where the function was throttled. Without
    /// that, the newest of its entries; `None` where it cannot be read, or tells no time.
    pub fn time(&self, max_inflated: u64) -> Option<Timestamp> {
        self.given_up.or_else(|| newest_entry(&self.payload, max_inflated))
    }
}

/// When the newest entry of a payload was written.
fn newest_entry(payload: &str, max_inflated: u64) -> Option<Timestamp> {
    let mut newest = None;
    for parcel in Delivery::open(payload.as_bytes()).ok()?.parcels() {
        let mut newest_here = None;
        let whole = parcel.entries(
            max_inflated,
            each(|_, entry| {
                newest_here = newest_here.max(entry.read().ok().and_then(|entry| entry.timestamp));
            }),
        );
        newest = newest.max(whole.ok().and(newest_here));
    }
    Timestamp::from_millisecond(newest?).ok()
}

/// Why something holds no payload. Never shows anything of it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be read on; payloads before that are whole.
    #[error(transparent)]
    Unread(FrameError),
    /// It is not JSON.
    #[error("no JSON object in {lines} {} from byte {offset} on: {looks_like}", if *.lines == 1 { "line" } else { "lines" })]
    NotJson {
        /// How many lines, one behind the other.
        lines: u64,
        /// Where the first of them begins.
        offset: u64,
        /// What it seems to be.
        looks_like: &'static str,
    },
    /// It is JSON of another kind.
    #[error("{0}")]
    Foreign(EnvelopeError),
    /// An invocation record that there is nothing to do about.
    #[error("it is an invocation record {0}")]
    Record(&'static str),
    /// Text inside a message, or a list of them, that is no JSON object.
    #[error("{0}")]
    Damaged(&'static str),
}

/// A destination that did not do as it was asked, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DestinationError(pub String);

/// The payloads in a source, in their order.
pub struct Payloads<R> {
    frames: Frames<R>,
    found: VecDeque<Result<Undelivered, Fault>>,
    /// How often a damaged line may still be taken for the first of several: each such search may
    /// read [`LARGEST_VALUE`] bytes in vain.
    searches: u32,
    ended: bool,
}

const MOST_SEARCHES: u32 = 16;

impl<R: Read> Payloads<R> {
    /// Payloads in `source`, which is read as they are asked for.
    pub fn new(source: R) -> Self {
        let frames = Frames::new(source);
        Payloads { frames, found: VecDeque::new(), searches: MOST_SEARCHES, ended: false }
    }

    /// Reads on until something is found, or the end.
    fn read_on(&mut self) -> Result<(), FrameError> {
        let mut damage: Option<Fault> = None;
        while self.found.is_empty() {
            let Some(byte) = self.frames.peek()? else {
                self.ended = true;
                break;
            };
            if byte == b'{' && self.take_object()? {
                break;
            }
            self.pass_over_line(&mut damage)?;
        }
        // In front of what it stands in front of.
        damage.into_iter().for_each(|fault| self.found.push_front(Err(fault)));
        Ok(())
    }

    /// An object on one line or over several; `false` where there is none.
    fn take_object(&mut self) -> Result<bool, FrameError> {
        if self.try_object(Lines::One)? {
            return Ok(true);
        }
        if self.searches == 0 {
            return Ok(false);
        }
        let taken = self.try_object(Lines::Any)?;
        self.searches -= u32::from(!taken);
        Ok(taken)
    }

    fn try_object(&mut self, lines: Lines) -> Result<bool, FrameError> {
        let text = match self.frames.peek_value(LARGEST_VALUE, lines) {
            Ok(Some(text)) => text,
            Ok(None) | Err(FrameError::Unexpected { .. } | FrameError::Ended { .. }) => {
                return Ok(false);
            }
            Err(error @ FrameError::Read(_)) => return Err(error),
        };
        let length = text.len();
        let Some(found) = std::str::from_utf8(text).ok().and_then(unwrap) else { return Ok(false) };
        self.found.extend(found);
        self.frames.take_bytes(length);
        Ok(true)
    }

    /// Damaged lines that follow each other are one fault: a file that is none of ours has many.
    fn pass_over_line(&mut self, damage: &mut Option<Fault>) -> Result<(), FrameError> {
        if let Some(Fault::NotJson { lines, .. }) = damage {
            *lines += 1;
        } else {
            let offset = self.frames.offset();
            let looks_like = looks_like(self.frames.peek_ahead(HEAD));
            *damage = Some(Fault::NotJson { lines: 1, offset, looks_like });
        }
        self.frames.skip_line()
    }
}

/// Enough to tell a foreign file by.
const HEAD: usize = 16;

fn looks_like(head: &[u8]) -> &'static str {
    match head {
        [0x1F, 0x8B, ..] => "it is gzip data, unpack it first",
        [0xEF, 0xBB, 0xBF, ..] => "it begins with a byte order mark, save it without",
        [b'<', ..] => "it looks like XML or HTML",
        [b'[', ..] => "it is a list, and forms stand one behind the other",
        [b'{', ..] => "it is damaged, too large, or only a part",
        _ => "it is no form that Lambda, SQS or SNS writes",
    }
}

impl<R: Read> Iterator for Payloads<R> {
    type Item = Result<Undelivered, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.found.is_empty()
            && !self.ended
            && let Err(error) = self.read_on()
        {
            self.ended = true;
            self.found.push_back(Err(Fault::Unread(error)));
        }
        self.found.pop_front()
    }
}

type Found = Vec<Result<Undelivered, Fault>>;

/// Forms within forms that are looked into. The deepest that anybody makes: a list of messages, each
/// with a notification, of an invocation record.
const NESTING: u32 = 4;

/// What is in one JSON value; `None` where it is not JSON.
fn unwrap(text: &str) -> Option<Found> {
    let value: &RawValue = serde_json::from_str(text).ok()?;
    let mut found = Vec::new();
    open(value.get(), NESTING, &mut found);
    Some(found)
}

/// The keys that forms are told by.
#[derive(Deserialize)]
struct Form<'a> {
    #[serde(borrow)]
    awslogs: Option<&'a RawValue>,
    #[serde(borrow, rename = "requestContext")]
    request_context: Option<&'a RawValue>,
    #[serde(borrow, rename = "requestPayload")]
    request_payload: Option<&'a RawValue>,
    #[serde(borrow, rename = "KinesisBatchInfo")]
    kinesis_batch: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, rename = "Messages")]
    messages: Option<&'a RawValue>,
    #[serde(borrow, rename = "Body")]
    body: Option<&'a RawValue>,
    #[serde(borrow, rename = "Type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, rename = "Message")]
    message: Option<&'a RawValue>,
}

/// Takes a form apart.
fn open(text: &str, nesting: u32, found: &mut Found) {
    let Ok(form) = serde_json::from_str::<Form<'_>>(text) else {
        return found.push(Err(Fault::Damaged("it is no JSON object, or has a key twice")));
    };
    let inner = |found: &mut Found, text: &str| match nesting {
        0 => found.push(Err(Fault::Damaged("it is nested more deeply than anybody nests it"))),
        _ => open(text, nesting - 1, found),
    };
    if form.awslogs.is_some() {
        found.push(payload(text));
    } else if form.kinesis_batch.is_some() {
        record_of_stream(&form, found);
    } else if form.request_payload.is_some() || form.request_context.is_some() {
        record(&form, found);
    } else if let Some(list) = form.messages {
        match serde_json::from_str::<Vec<&RawValue>>(list.get()) {
            Ok(list) => list.into_iter().for_each(|message| inner(found, message.get())),
            Err(_) => found.push(Err(Fault::Damaged("its `Messages` are no list"))),
        }
    } else if let Some(body) = form.body {
        in_string(body, "the `Body` of the message is no JSON object", found, inner);
    } else if let (Some(message), Some(_)) = (form.message, form.kind) {
        in_string(message, "the `Message` of the notification is no JSON object", found, inner);
    } else {
        found.push(payload(text));
    }
}

/// JSON that stands in a string.
fn in_string(
    value: &RawValue,
    fault: &'static str,
    found: &mut Found,
    inner: impl FnOnce(&mut Found, &str),
) {
    let text = Escaped::of(value).and_then(Escaped::unescape);
    let text = text.filter(|text| {
        text.trim_start().starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok()
    });
    match text {
        Some(text) => inner(found, &text),
        None => found.push(Err(Fault::Damaged(fault))),
    }
}

#[derive(Deserialize, Default)]
struct RequestContext<'a> {
    #[serde(borrow, rename = "requestId")]
    request_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    condition: Option<Cow<'a, str>>,
}

/// Lambda guide, "Capturing records of Lambda asynchronous invocations": the form of a record.
fn record(form: &Form<'_>, found: &mut Found) {
    let context = context(form);
    if context.condition.as_deref() == Some("Success") {
        let what = "of an invocation that succeeded: its alerts were told";
        return found.push(Err(Fault::Record(what)));
    }
    let Some(request_payload) = form.request_payload else {
        return found.push(Err(Fault::Record("without a `requestPayload`")));
    };
    found.push(payload_of(form, request_payload.get()));
}

/// Lambda guide, "Retain discarded batch records for a Kinesis Data Streams event source": the form of
/// a record. Its payload, which only S3 gets, is a string there; an object will do.
fn record_of_stream(form: &Form<'_>, found: &mut Found) {
    let payload = form.payload.filter(|payload| payload.get() != "null");
    let text = payload.map(|payload| match Escaped::of(payload) {
        Some(string) => string.unescape().unwrap_or_default(),
        None => Cow::Borrowed(payload.get()),
    });
    found.push(match text {
        Some(text) => payload_of(form, &text),
        None => Err(Fault::Record(WITHOUT_PAYLOAD)),
    });
}

const WITHOUT_PAYLOAD: &str = "that names records of a stream and holds none of them: as long as the stream \
    has them (24 hours, unless it was told to keep them longer), get them with `aws kinesis get-records`; an \
    S3 bucket as on-failure destination keeps them";

/// The payload that an invocation record is of.
fn payload_of(form: &Form<'_>, text: &str) -> Result<Undelivered, Fault> {
    let request = context(form).request_id.map(|id| clean(&id, LONGEST_REQUEST_ID));
    let given_up = form.timestamp.and_then(|time| serde_json::from_str(time.get()).ok());
    payload(text).map(|payload| Undelivered { request, given_up, ..payload })
}

fn context<'a>(form: &Form<'a>) -> RequestContext<'a> {
    let context = form.request_context.map(|context| serde_json::from_str(context.get()));
    context.and_then(Result::ok).unwrap_or_default()
}

/// Lambda's are of 36 characters.
const LONGEST_REQUEST_ID: usize = 64;

fn payload(text: &str) -> Result<Undelivered, Fault> {
    let id = Delivery::open(text.as_bytes()).map_err(Fault::Foreign)?.id();
    Ok(Undelivered { payload: text.to_owned(), id, request: None, given_up: None })
}
