//! The largest payloads that Lambda takes, and the memory that the function needs for them.

use std::time::Instant;

use super::function::Function;
use super::moto::{Delivery, Moto};
use crate::trail::{ALERTING, long, payload, records, stream};

/// Lambda guide, "Lambda quotas": what a synchronous invocation may carry, and an asynchronous one.
const LARGEST: usize = 6 * 1024 * 1024;
const LARGEST_ASYNCHRONOUS: usize = 1024 * 1024;

/// What the largest payload inflates to where it is of one entry again and again.
const LONG: u64 = 399_000_000;

/// The most memory in KiB: for an asynchronous payload, for a synchronous one, and how much more
/// for one that inflates to [`LONG`] bytes.
const MOST_FOR_ASYNCHRONOUS: u64 = 20 * 1024;
const MOST: u64 = 32 * 1024;
const MOST_MORE_FOR_LONG: u64 = 4 * 1024;

#[cfg(target_os = "linux")]
#[test]
fn no_payload_takes_more_memory_than_its_bound() {
    let Some(moto) = Moto::shared() else { return };
    let Some(asynchronous) = peak(moto, LARGEST_ASYNCHRONOUS, &payload(3_800), 3_800) else {
        return;
    };
    let Some(largest) = peak(moto, LARGEST, &payload(21_600), 21_600) else { return };
    let Some(stream) = peak(moto, LARGEST, &stream(&records(20_500), 64), 20_500) else { return };
    let (long, entries) = long(&records(500), LONG);
    let Some(long) = peak(moto, LARGEST, &long, entries) else { return };
    assert!(asynchronous <= MOST_FOR_ASYNCHRONOUS, "{asynchronous} KiB");
    assert!(largest <= MOST, "{largest} KiB");
    assert!(stream <= MOST, "{stream} KiB");
    assert!(long <= largest + MOST_MORE_FOR_LONG, "{long} KiB");
}

/// The most memory that a function of its own ever had, in KiB, for a payload of that many entries.
/// The payload nearly fills what Lambda lets through.
fn peak(moto: &Moto, lets_through: usize, payload: &[u8], entries: u64) -> Option<u64> {
    assert!(payload.len() <= lets_through, "{} bytes", payload.len());
    assert!(payload.len() > lets_through / 4 * 3, "{} bytes", payload.len());
    let topic = moto.topic(&format!("memory-{entries}"), Delivery::Raw);
    let mut function = Function::start(&moto.settings(&topic.arn))?;
    let start = now();
    let invoked = function.invoke(payload);
    let (took, peak) = (start.elapsed(), function.peak_memory());
    let inflated = invoked.line["inflated_bytes"].as_u64().unwrap();
    eprintln!(
        "{entries} records, {} of {inflated} bytes: {took:.2?}, at most {peak} KiB",
        payload.len()
    );
    assert_eq!(invoked.line["payload_bytes"], payload.len());
    assert_eq!(invoked.line["entries"], entries);
    assert_eq!(invoked.line["messages"], ALERTING.len());
    assert_eq!(topic.take().len(), ALERTING.len());
    Some(peak)
}

#[expect(clippy::disallowed_methods, reason = "said, and never judged: it depends on the machine")]
fn now() -> Instant {
    Instant::now()
}
