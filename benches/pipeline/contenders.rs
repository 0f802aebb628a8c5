//! Who is compared: each walks over a payload, and says how many entries it would alert on.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::Duration;

use aws_lambda_events::event::cloudwatch_logs::LogsEvent;
use regionwatch::delivery::Delivery;
use regionwatch::envelope::Envelope;
use regionwatch::policy::Policy;
use regionwatch::skim::Seen;
use regionwatch::triage::Triage;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::peer::Peer;

/// A contender.
pub enum Contender {
    /// In this process.
    Walk(Walk),
    /// In one of its own.
    Peer(Peer),
}

/// A contender in this process.
#[derive(Clone, Copy)]
pub struct Walk {
    pub name: &'static str,
    /// What it is made of.
    pub what: &'static str,
    /// Alerts in a payload; the floors see none.
    pub run: fn(&Policy, &[u8]) -> u64,
}

/// The floor first.
pub const WALKS: [Walk; 5] = [
    Walk { name: "floor", what: "base64-simd and libdeflate, and nothing done", run: floor },
    Walk {
        name: "inflater",
        what: "base64-simd and zlib-rs as ours, and nothing done",
        run: inflater,
    },
    Walk { name: "ours", what: "open, inflate, judge, triage", run: ours },
    Walk { name: "warm", what: "ours, where the trail's sessions were seen before", run: warm },
    Walk { name: "naive", what: "LogsEvent and serde_json::Value, region and prefix", run: naive },
];

/// Ours, on the payload of a stream.
pub const STREAM: Walk = Walk { name: "stream", what: "the same from a stream", run: of_stream };

/// Where ours stands among [`WALKS`].
pub const OURS: usize = 2;

impl Contender {
    pub fn name(&self) -> String {
        match self {
            Contender::Walk(Walk { name, what, .. }) => format!("{name}: {what}"),
            Contender::Peer(_) => "peer: Python's base64, gzip and json".to_owned(),
        }
    }

    /// The processor's time for so many walks over the payload.
    pub fn time(&mut self, payload: &[u8], times: u64) -> Duration {
        match self {
            Contender::Walk(walk) => walk.time(payload, times),
            Contender::Peer(peer) => peer.time(times),
        }
    }
}

impl Walk {
    /// The processor's time for so many walks over the payload.
    pub fn time(&self, payload: &[u8], times: u64) -> Duration {
        let policy = Policy::embedded().unwrap();
        let start = spent();
        for _ in 0..times {
            black_box((self.run)(&policy, black_box(payload)));
        }
        spent() - start
    }
}

/// What this thread had of a processor.
fn spent() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

fn ours(policy: &Policy, payload: &[u8]) -> u64 {
    let mut triage = Triage::new(policy);
    let envelope = Envelope::open(payload).unwrap();
    envelope.entries(u64::MAX, &mut triage).unwrap();
    triage.finish().alerts()
}

/// As a container does once it has handled some batches of the trail.
fn warm(policy: &Policy, payload: &[u8]) -> u64 {
    static SEEN: Mutex<Option<Seen>> = Mutex::new(None);
    let mut seen = SEEN.lock().unwrap();
    let mut triage = Triage::new(policy).with_seen(seen.take().unwrap_or_default());
    let envelope = Envelope::open(payload).unwrap();
    envelope.entries(u64::MAX, &mut triage).unwrap();
    let (triaged, now_seen) = triage.part();
    *seen = Some(now_seen);
    triaged.alerts()
}

fn of_stream(policy: &Policy, payload: &[u8]) -> u64 {
    let mut triage = Triage::of_stream(policy);
    for (number, parcel) in Delivery::open(payload).unwrap().parcels().iter().enumerate() {
        triage.turn_to(number);
        parcel.entries(u64::MAX, &mut triage).unwrap();
    }
    triage.finish().alerts()
}

fn floor(_: &Policy, payload: &[u8]) -> u64 {
    let gzip = base64_simd::STANDARD.decode_to_vec(data(payload)).unwrap();
    // A gzip member ends with the length of its content (RFC 1952).
    let length = gzip.last_chunk().map(|bytes| u32::from_le_bytes(*bytes)).unwrap();
    let mut batch = vec![0; length as usize];
    libdeflater::Decompressor::new().gzip_decompress(&gzip, &mut batch).unwrap();
    black_box(&batch);
    0
}

/// In a window, as ours: a whole batch in memory costs more.
#[expect(clippy::disallowed_types, reason = "this is what the door costs by itself")]
fn inflater(_: &Policy, payload: &[u8]) -> u64 {
    let gzip = base64_simd::STANDARD.decode_to_vec(data(payload)).unwrap();
    let mut inflate = flate2::Decompress::new_gzip(15);
    let mut window = vec![0; 64 * 1024];
    loop {
        let rest = &gzip[inflate.total_in() as usize..];
        let status = inflate.decompress(rest, &mut window, flate2::FlushDecompress::None).unwrap();
        black_box(&window);
        if status == flate2::Status::StreamEnd {
            return 0;
        }
    }
}

fn data(payload: &[u8]) -> &[u8] {
    let data = payload.strip_prefix(br#"{"awslogs":{"data":""#).unwrap();
    data.strip_suffix(br#""}}"#).unwrap()
}

/// As it is written on a first day.
fn naive(_: &Policy, payload: &[u8]) -> u64 {
    let payload: LogsEvent = serde_json::from_slice(payload).unwrap();
    let mut alerts = 0;
    for entry in payload.aws_logs.data.log_events {
        let record: Value = serde_json::from_str(&entry.message).unwrap();
        let region = record["awsRegion"].as_str().unwrap_or_default();
        let name = record["eventName"].as_str().unwrap_or_default();
        let reads = ["Describe", "List", "Get"].iter().any(|verb| name.starts_with(verb));
        if !["us-east-1", "us-west-2"].contains(&region) && !reads {
            alerts += 1;
        }
    }
    alerts
}
