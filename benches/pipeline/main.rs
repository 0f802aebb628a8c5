//! What a payload costs: our walk against the floor, the plain ways, and a peer, in turns.
//!
//! The machine's speed and mood cancel out, since all run right after each other on the same
//! payload, what is measured is the processor's time and not the clock's, and what counts is the
//! median of the ratios within a round. `make bench` prints the table and the instructions that
//! valgrind counts, which are the same in every run. `make guard` fails where those of our walk are
//! over [`BUDGET`].

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that cannot go on fails, and what it prints is its result"
)]

mod contenders;
mod instructions;
mod peer;
#[expect(dead_code, reason = "the tests of memory use the rest")]
mod trail;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use contenders::{Contender, OURS, STREAM, WALKS};
use peer::Peer;

/// Instructions for one record of a batch of [`COUNTED`], all told.
const BUDGET: u64 = 18_000;

/// Records of the batch on which instructions are counted.
const COUNTED: u64 = 1_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => time_all(),
        ["--instructions"] => instructions::print(),
        ["--guard"] => return instructions::guard(),
        [instructions::WALK, name, times] => instructions::walk(name, times),
        _ => {
            println!("usage: cargo bench --bench pipeline [-- --instructions | --guard]");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn time_all() {
    for count in [1, 50, 1_000, 20_000] {
        compare(&trail::payload(count), count);
    }
    compare_stream();
    match corpus() {
        Some(records) => {
            println!("\nthe corpus:");
            compare(&trail::pack(&trail::batch(&records)), records.len() as u64);
        }
        None => println!("\nthe corpus is skipped: there is no ../shared/corpus"),
    }
}

/// The same records in one batch, and in the records of a stream, in turns.
fn compare_stream() {
    let records = trail::records(IN_STREAM);
    let (whole, alone) = (trail::pack(&trail::batch(&records)), WALKS[OURS]);
    println!("\n{IN_STREAM} records, ns a record:");
    for batches in [1, 64, 1_000] {
        let stream = trail::stream(&records, batches);
        let took: Vec<(f64, f64)> = (0..21)
            .map(|_| (alone.time(&whole, 1).as_secs_f64(), STREAM.time(&stream, 1).as_secs_f64()))
            .collect();
        let nanoseconds = median(took.iter().map(|took| took.1)) * 1e9 / IN_STREAM as f64;
        let ratio = median(took.iter().map(|took| took.1 / took.0));
        println!("{nanoseconds:>12.0} {ratio:>9.2} x one batch  in {batches} of a stream");
    }
}

/// Records that nearly fill a payload of a stream.
const IN_STREAM: u64 = 20_000;

/// Real records, one a line.
fn corpus() -> Option<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let mut records = Vec::new();
    for file in ["traildiscover.ndjson", "stratus-red-team.ndjson"] {
        let text = fs::read_to_string(root.join(file)).ok()?;
        records.extend(text.lines().map(str::to_owned));
    }
    Some(records)
}

fn compare(payload: &[u8], records: u64) {
    let mut contenders: Vec<Contender> = WALKS.map(Contender::Walk).into();
    contenders.extend(Peer::start(payload).map(Contender::Peer));
    // Rounds of some tens of milliseconds each, and few of them where one walk takes longer.
    let times = (2_000 / records).clamp(1, 500);
    let rounds = (400_000 / (records * times)).clamp(11, 101);
    let rounds: Vec<Vec<Duration>> =
        (0..rounds).map(|n| round(&mut contenders, payload, times, n as usize)).collect();

    println!("\n{records} records, {} bytes of payload", payload.len());
    println!("{:>12} {:>9} {:>9}", "ns a record", "x floor", "x ours");
    for (at, contender) in contenders.iter().enumerate() {
        let per_record =
            |took: &Vec<Duration>| took[at].as_nanos() as f64 / (records * times) as f64;
        let over = |base: usize| {
            median(rounds.iter().map(|took| took[at].as_secs_f64() / took[base].as_secs_f64()))
        };
        let nanoseconds = median(rounds.iter().map(per_record));
        println!("{nanoseconds:>12.0} {:>9.2} {:>9.2}  {}", over(0), over(OURS), contender.name());
    }
}

/// Each contender once, beginning with another one in every round.
fn round(contenders: &mut [Contender], payload: &[u8], times: u64, n: usize) -> Vec<Duration> {
    let count = contenders.len();
    let mut took = vec![Duration::ZERO; count];
    for turn in 0..count {
        let at = (turn + n) % count;
        took[at] = contenders[at].time(payload, times);
    }
    took
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
