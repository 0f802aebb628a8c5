//! Any bytes as a payload, as gzip data of a subscription and of a stream, as an inflated batch, and as history: read in bounded
//! memory without a panic, however they are cut, and as serde reads them.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use regionwatch::delivery::Delivery;
use regionwatch::envelope::each;
use regionwatch::source;
use regionwatch_fuzz::batch::{look, read_in_steps, read_whole};

/// More than may be allocated at once.
const MAX_INFLATED: u64 = 16 * 1024 * 1024;

fuzz_target!(|data: &[u8]| {
    open(data);
    let packed = STANDARD.encode(data);
    open(format!(r#"{{"awslogs":{{"data":"{packed}"}}}}"#).as_bytes());
    open(format!(r#"{{"Records":[{{"kinesis":{{"data":"{packed}"}}}}]}}"#).as_bytes());

    let at_once = read_in_steps(data, &[]);
    for steps in [&[0][..], &[1, 250, 0, 30]] {
        assert_eq!(read_in_steps(data, steps), at_once);
    }
    if let Some(entries) = read_whole(data) {
        assert_eq!(at_once.0, entries);
        assert!(at_once.1.is_ok(), "{:?}", at_once.1);
    }
    // A value of history may have 16 MiB, which a few bytes are when they are inflated.
    if !data.starts_with(&[31, 139]) {
        // What cannot be read on is an error, and what was handed over before stands.
        let _ = source::read(data, |_| ());
    }
});

fn open(payload: &[u8]) {
    let Ok(delivery) = Delivery::open(payload) else { return };
    for parcel in delivery.parcels() {
        let mut entries = 0;
        let batch = parcel.entries(
            MAX_INFLATED,
            each(|_, entry| {
                entries += 1;
                let _ = look(&entry);
            }),
        );
        if let Ok(batch) = batch {
            assert!(batch.inflated_bytes <= MAX_INFLATED && entries <= batch.inflated_bytes);
        }
    }
}
