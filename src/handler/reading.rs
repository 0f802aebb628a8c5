//! A delivery, read and judged.
//!
//! The batch of a subscription counts when it was read to its end, or not at all. A stream brings
//! batches of many, and its shard stands still until Lambda is told to go on: there a batch that
//! nobody can read is a reject like any other, and the others count.

use std::collections::BTreeMap;
use std::mem;

use crate::delivery::{Delivery, Parcel};
use crate::envelope::{Batch, EnvelopeError, Reject};
use crate::policy::Policy;
use crate::skim::Seen;
use crate::triage::{Triage, Triaged};

/// What a delivery holds.
pub struct Reading {
    pub triaged: Triaged,
    /// Where the unreadable entries are: the batch of a subscription, or the stream.
    pub place: Place,
    /// Whether nothing but control messages came.
    pub control: bool,
    /// Bytes of all batches, inflated.
    pub inflated_bytes: u64,
}

/// Where records were read.
#[derive(Default)]
pub struct Place {
    /// The account that owns it.
    pub owner: String,
    /// The log group, or the ARN of the stream.
    pub group: String,
    /// The log stream, or the shard.
    pub part: String,
}

/// A record of a stream may inflate to so many bytes. Packed it has at most 1 MiB (Kinesis guide,
/// "Quotas and limits"), and records of CloudTrail are packed 7 to 1, or 20 to 1 where they are alike.
const LARGEST_OF_STREAM: u64 = 64 * 1024 * 1024;

/// Batches that cannot be read, by their number.
type Damage = BTreeMap<usize, EnvelopeError>;

impl Reading {
    /// Reads and judges a delivery, batch after batch.
    pub fn of(
        delivery: &Delivery<'_>,
        policy: &Policy,
        seen: &mut Seen,
        max_inflated: u64,
    ) -> Result<Self, EnvelopeError> {
        let mut damage = Damage::new();
        let reading = Reading::pass(delivery, policy, seen, max_inflated, &mut damage);
        match damage.pop_first() {
            None => Ok(reading),
            Some((_, error)) if delivery.stream().is_none() => Err(error),
            Some((number, error)) => {
                // What was judged of a batch before its damage showed must not count: without such,
                // all is read once more.
                damage.insert(number, error);
                drop(reading);
                Ok(Reading::pass(delivery, policy, seen, max_inflated, &mut damage))
            }
        }
    }

    /// Reads what is not known to be damaged, and notes what is.
    fn pass(
        delivery: &Delivery<'_>,
        policy: &Policy,
        seen: &mut Seen,
        max_inflated: u64,
        damage: &mut Damage,
    ) -> Self {
        let stream = delivery.stream();
        let triage = if stream.is_some() { Triage::of_stream(policy) } else { Triage::new(policy) };
        let mut triage = triage.with_seen(mem::take(seen));
        let mut place = stream.map(|stream| Place {
            owner: stream.account.clone(),
            group: stream.arn.clone(),
            part: stream.shard.clone(),
        });
        let (mut control, mut inflated_bytes) = (true, 0);
        for (number, parcel) in delivery.parcels().iter().enumerate() {
            triage.turn_to(number);
            if let Some(error) = damage.get(&number) {
                control = false;
                triage.reject(&reject(parcel, error));
                continue;
            }
            // All records of a stream share what a batch may be, and none has much of it alone.
            let left = max_inflated.saturating_sub(inflated_bytes);
            let most = if stream.is_some() { left.min(LARGEST_OF_STREAM) } else { left };
            match parcel.entries(most, &mut triage) {
                Ok(batch) => {
                    control &= batch.control;
                    inflated_bytes += batch.inflated_bytes;
                    place.get_or_insert_with(|| batch.into());
                }
                Err(error) => drop(damage.insert(number, error)),
            }
        }
        let place = place.unwrap_or_default();
        let (triaged, now_seen) = triage.part();
        *seen = now_seen;
        Reading { triaged, place, control, inflated_bytes }
    }
}

fn reject(parcel: &Parcel<'_>, error: &EnvelopeError) -> Reject {
    Reject { entry_id: parcel.sequence().to_owned(), fault: error.fault() }
}

impl From<Batch> for Place {
    fn from(batch: Batch) -> Self {
        Place { owner: batch.owner, group: batch.log_group, part: batch.log_stream }
    }
}
