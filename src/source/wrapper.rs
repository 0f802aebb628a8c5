//! One object, and the records that are in it.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::delivery::Parcel;
use crate::envelope::{Envelope, LogEntry, Reject, each, read_batch};
use crate::frame::Frame;
use crate::record::string;

use super::Item;

/// Lists within lists that are looked into; deeper ones are no dialect of anybody.
pub(super) const NESTING: u32 = 4;

pub(super) fn item(frame: Frame<'_>, nesting: u32, on_item: &mut impl FnMut(Item<'_>)) {
    match frame {
        Frame::Whole(text) => {
            if classify(text, nesting, on_item).is_err() {
                on_item(unreadable(text, "it is not a JSON object"));
            }
        }
        Frame::Oversize { head, .. } => on_item(unreadable(head, "it is too large for a record")),
    }
}

pub(super) fn unreadable<'a>(raw: &'a [u8], fault: &'static str) -> Item<'a> {
    Item::Unreadable { raw, reject: Reject { entry_id: String::new(), fault } }
}

/// Not one JSON object.
pub(super) struct NotAnObject;

/// Tells the dialect of one object and hands over what is in it.
pub(super) fn classify(
    text: &[u8],
    nesting: u32,
    on_item: &mut impl FnMut(Item<'_>),
) -> Result<(), NotAnObject> {
    let text = std::str::from_utf8(text).map_err(|_| NotAnObject)?;
    let text = text.trim();
    if !text.starts_with('{') {
        return Err(NotAnObject);
    }
    let wrapper: Wrapper<'_> = match serde_json::from_str(text) {
        Ok(wrapper) => wrapper,
        // A key twice: still an object, and whoever reads it as a record will refuse it.
        Err(error) if error.is_data() => Wrapper::default(),
        Err(_) => return Err(NotAnObject),
    };
    let lists = [wrapper.records, wrapper.events, wrapper.lower_events].into_iter().flatten();
    let lists = lists.filter(|_| nesting > 0);
    let mut lists =
        lists.filter_map(|list| serde_json::from_str::<Vec<&RawValue>>(list.get()).ok()).peekable();
    if lists.peek().is_some() {
        for element in lists.flatten() {
            item(Frame::Whole(element.get().as_bytes()), nesting - 1, on_item);
        }
    } else if let Some(record) = string(wrapper.cloud_trail_event) {
        on_item(Item::of(&record, "", ""));
    } else if wrapper.awslogs.is_some() {
        payload(text, on_item);
    } else if wrapper.kinesis.is_some() {
        record_of_stream(text, on_item);
    } else if wrapper.log_events.is_some() {
        batch(text, on_item);
    } else if wrapper.event_name.is_none() && wrapper.message.is_some() {
        entry(LogEntry::parse(text.as_bytes()), "", on_item);
    } else if let Some(detail) = wrapper.detail.filter(|_| wrapper.detail_type.is_some()) {
        on_item(Item::of(detail.get(), "", ""));
    } else {
        on_item(Item::of(text, "", ""));
    }
    Ok(())
}

/// The keys that dialects are told by.
#[derive(Deserialize, Default)]
struct Wrapper<'a> {
    #[serde(borrow, rename = "Records")]
    records: Option<&'a RawValue>,
    #[serde(borrow, rename = "Events")]
    events: Option<&'a RawValue>,
    #[serde(borrow, rename = "events")]
    lower_events: Option<&'a RawValue>,
    #[serde(borrow, rename = "CloudTrailEvent")]
    cloud_trail_event: Option<&'a RawValue>,
    #[serde(borrow)]
    awslogs: Option<&'a RawValue>,
    #[serde(borrow)]
    kinesis: Option<&'a RawValue>,
    #[serde(borrow, rename = "logEvents")]
    log_events: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow, rename = "eventName")]
    event_name: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow, rename = "detail-type")]
    detail_type: Option<&'a RawValue>,
}

/// History is told as far as it can be read: entries before the damage count, and so does the
/// damage.
fn payload(text: &str, on_item: &mut impl FnMut(Item<'_>)) {
    let read = Envelope::open(text.as_bytes()).and_then(|envelope| {
        envelope.entries(u64::MAX, each(|batch, found| entry(found.read(), &batch.owner, on_item)))
    });
    if read.is_err() {
        on_item(unreadable(text.as_bytes(), "it is a damaged subscription payload"));
    }
}

fn record_of_stream(text: &str, on_item: &mut impl FnMut(Item<'_>)) {
    let parcel = Parcel::of_record(text);
    let read =
        parcel.entries(u64::MAX, each(|batch, found| entry(found.read(), &batch.owner, on_item)));
    if read.is_err() {
        on_item(unreadable(text.as_bytes(), "it is a damaged record of a stream"));
    }
}

fn batch(text: &str, on_item: &mut impl FnMut(Item<'_>)) {
    let read = read_batch(
        || text.as_bytes(),
        each(|batch, found| entry(found.read(), &batch.owner, on_item)),
    );
    if read.is_err() {
        on_item(unreadable(text.as_bytes(), "it is a damaged batch of log entries"));
    }
}

fn entry(found: Result<LogEntry<'_>, Reject>, owner: &str, on_item: &mut impl FnMut(Item<'_>)) {
    let entry = match found {
        Ok(entry) => entry,
        Err(reject) => return on_item(Item::Unreadable { raw: b"", reject }),
    };
    match entry.message.unescape() {
        Some(text) => on_item(Item::of(&text, owner, &entry.id)),
        None => on_item(unreadable(b"", "the message has escapes that make no text")),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserializer;
    use serde::de::value::Error;
    use serde::de::{Error as _, Visitor};

    use super::*;
    use crate::record::Record;

    /// Notes the keys that are asked for, and has none of them.
    struct Keys<'k>(&'k mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Keys<'_> {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(Error::custom("it is a struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            keys: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Error> {
            *self.0 = keys;
            Err(Error::custom("it has none of them"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    #[test]
    fn nothing_that_might_be_a_wrapper_is_read_as_a_record_in_one_go() {
        let mut keys: &[&str] = &[];
        assert!(Wrapper::deserialize(Keys(&mut keys)).is_err());
        assert!(keys.contains(&"kinesis"), "{keys:?}");
        let is_quick = |key: &str| {
            Record::quick(&format!("{{\"eventVersion\":\"1\",\"{key}\":null}}")).is_some()
        };
        // Records have a name, too.
        let quick: Vec<&&str> = keys.iter().filter(|key| is_quick(key)).collect();
        assert_eq!(quick, [&"eventName"]);
    }
}
