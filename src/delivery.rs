//! What Lambda hands over, by whichever trigger: packed batches, one behind the other.
//!
//! | trigger | payload |
//! |---|---|
//! | subscription | `{"awslogs":{"data":"<base64 gzip>"}}`: one batch |
//! | Kinesis stream | `{"Records":[{"kinesis":{"sequenceNumber":"...","data":"<base64 gzip>"}}]}`: a batch in each record, of several accounts and log groups |
//!
//! CloudWatch Logs writes one gzip batch into each record of a stream, the same as a subscription has
//! (CloudWatch Logs guide, "Cross-account log data sharing using Kinesis Data Streams"). It does not
//! use the aggregation of the Kinesis Producer Library, and a record that does is unreadable here.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::alert::incident::id_of;
use crate::envelope::{Batch, Envelope, EnvelopeError, ReadEntries, Text};

/// The batches that one invocation is given.
#[derive(Debug)]
pub struct Delivery<'p> {
    parcels: Vec<Parcel<'p>>,
    stream: Option<Stream>,
}

/// One batch, still packed.
#[derive(Debug)]
pub struct Parcel<'p> {
    /// `None` where a record of a stream has no data.
    envelope: Option<Envelope<'p>>,
    sequence: Cow<'p, str>,
}

/// The part of a stream that an invocation is given: records of one shard (Lambda guide, "Using Lambda
/// to process records from Amazon Kinesis Data Streams").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stream {
    /// ARN of the stream; empty where no record says it, as what follows.
    pub arn: String,
    /// The account that owns it.
    pub account: String,
    /// The shard.
    pub shard: String,
}

impl<'p> Delivery<'p> {
    /// Finds the batches in a payload.
    ///
    /// # Errors
    /// It is the payload of no trigger that is known here. A record of a stream that holds no batch is
    /// no error of the payload.
    pub fn open(payload: &'p [u8]) -> Result<Self, EnvelopeError> {
        let error = match Envelope::open(payload) {
            Ok(envelope) => {
                let parcel = Parcel { envelope: Some(envelope), sequence: Cow::Borrowed("") };
                return Ok(Delivery { parcels: vec![parcel], stream: None });
            }
            Err(error) => error,
        };
        let records = serde_json::from_slice::<Payload<'p>>(payload).ok();
        match records.and_then(|payload| payload.records).and_then(of_stream) {
            Some((stream, parcels)) => Ok(Delivery { parcels, stream: Some(stream) }),
            None => Err(error),
        }
    }

    /// The batches, in their order.
    pub fn parcels(&self) -> &[Parcel<'p>] {
        &self.parcels
    }

    /// The stream that they come from; `None` where a subscription handed over its one batch.
    pub fn stream(&self) -> Option<&Stream> {
        self.stream.as_ref()
    }

    /// What the payload as a whole is known by: the same for a replay of the same batches, and for a
    /// copy that was kept.
    pub fn id(&self) -> String {
        match self.parcels.as_slice() {
            [parcel] => parcel.id(),
            parcels => {
                let ids: Vec<String> = parcels.iter().map(Parcel::id).collect();
                id_of(&ids.iter().map(String::as_str).collect::<Vec<_>>())
            }
        }
    }
}

impl<'p> Parcel<'p> {
    /// The batch in one record of a stream, as it stands in a payload.
    pub fn of_record(record: &'p str) -> Self {
        let record: Record<'p> = serde_json::from_str(record).unwrap_or_default();
        let kinesis = record.kinesis.and_then(|kinesis| serde_json::from_str(kinesis.get()).ok());
        let Kinesis { data, sequence_number } = kinesis.unwrap_or_default();
        Parcel {
            envelope: string(data).map(Envelope::of_data),
            sequence: string(sequence_number).unwrap_or_default(),
        }
    }

    /// What the ledger knows the batch by: the same in every payload that brings it.
    pub fn id(&self) -> String {
        match &self.envelope {
            Some(envelope) => id_of(&[envelope.data()]),
            None => id_of(&["no data", &self.sequence]),
        }
    }

    /// Its number in the shard, which Lambda begins again with; empty for a subscription's.
    pub fn sequence(&self) -> &str {
        &self.sequence
    }

    /// Streams the entries to `reader`, as [`Envelope::entries`] does.
    pub fn entries(
        &self,
        max_inflated: u64,
        reader: impl ReadEntries,
    ) -> Result<Batch, EnvelopeError> {
        let envelope = self.envelope.as_ref().ok_or(EnvelopeError::NoData)?;
        envelope.entries(max_inflated, reader)
    }
}

#[derive(Deserialize)]
struct Payload<'p> {
    #[serde(borrow, rename = "Records")]
    records: Option<Vec<&'p RawValue>>,
}

/// Lambda guide, "Using Lambda to process records from Amazon Kinesis Data Streams".
#[derive(Deserialize, Default)]
struct Record<'p> {
    #[serde(borrow)]
    kinesis: Option<&'p RawValue>,
    /// `shardId-000000000006:` and the sequence number.
    #[serde(borrow, rename = "eventID")]
    event_id: Option<&'p RawValue>,
    #[serde(borrow, rename = "eventSourceARN")]
    event_source_arn: Option<&'p RawValue>,
}

#[derive(Deserialize, Default)]
struct Kinesis<'p> {
    #[serde(borrow)]
    data: Option<&'p RawValue>,
    #[serde(borrow, rename = "sequenceNumber")]
    sequence_number: Option<&'p RawValue>,
}

/// The batches of a stream's records; `None` where none is one.
fn of_stream(records: Vec<&RawValue>) -> Option<(Stream, Vec<Parcel<'_>>)> {
    let mut known = records.iter().filter_map(|record| serde_json::from_str(record.get()).ok());
    let first = known.find(|record: &Record<'_>| record.kinesis.is_some())?;
    let arn = string(first.event_source_arn).unwrap_or_default().into_owned();
    let account = arn.split(':').nth(4).unwrap_or_default().to_owned();
    let id = string(first.event_id).unwrap_or_default();
    let shard = id.split_once(':').map_or("", |(shard, _)| shard).to_owned();
    let parcels = records.into_iter().map(|record| Parcel::of_record(record.get()));
    Some((Stream { arn, account, shard }, parcels.collect()))
}

fn string(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(value?.get()).ok().map(|text| text.0)
}
