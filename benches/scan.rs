//! What judging a folder of history costs, against gunzip alone on the same files.
//!
//! 4,000 objects with 30,000 records, as `aws s3 sync` leaves them, are made in a folder for the
//! while. `regionwatch scan` and a program that only reads and inflates them, with the same inflater
//! and as many threads, run in turns as processes of their own; what counts is the median of the
//! ratios. `cargo bench --bench scan` prints it, and the most memory that each took; `-- --guard`
//! fails where the scan is less than half as fast, or takes 100 MB, and `-- --make FOLDER` only makes
//! the files, to keep.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that cannot go on fails, and what it prints is its result"
)]

#[expect(dead_code, reason = "payloads are for the other bench")]
#[path = "pipeline/trail.rs"]
mod trail;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use regionwatch::inflate::Inflate;
use walkdir::WalkDir;

const OBJECTS: usize = 4_000;
const RECORDS: u64 = 30_000;

/// Pairs of runs, of which the median counts.
const PAIRS: usize = 21;

/// What a scan may take, in times of gunzip alone.
const MOST_TIMES: f64 = 2.0;

/// And in MB.
const MOST_MEMORY: f64 = 100.0;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [GUNZIP, folder, threads] => gunzip(Path::new(folder), threads.parse().unwrap()),
        ["--make", folder] => {
            make(Path::new(folder));
        }
        [] => return compare(false),
        ["--guard"] => return compare(true),
        _ => {
            println!("usage: cargo bench --bench scan [-- --guard | --make FOLDER]");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn compare(guards: bool) -> ExitCode {
    let folder = tempfile::tempdir().unwrap();
    let bytes = make(folder.path());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{RECORDS} records in {OBJECTS} objects, {bytes} bytes, {threads} threads, {PAIRS} pairs"
    );
    let (mut ratios, mut ours, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let mut took = [Run::default(); 2];
        // Who goes first changes with every pair.
        for turn in 0..2 {
            let at = (turn + pair) % 2;
            took[at] = match at {
                0 => run(&mut gunzip_command(folder.path(), threads)),
                _ => run(&mut scan_command(folder.path(), threads)),
            };
        }
        ratios.push(took[1].time.as_secs_f64() / took[0].time.as_secs_f64());
        floor.push(took[0]);
        ours.push(took[1]);
    }
    let times = median(ratios.iter().copied());
    for (name, runs) in [("gunzip alone", &floor), ("regionwatch scan", &ours)] {
        let time = median(runs.iter().map(|run| run.time.as_secs_f64()));
        let memory = runs.iter().map(|run| run.memory).fold(0.0, f64::max);
        let rate = RECORDS as f64 / time;
        println!("{:>8.3} s  {rate:>10.0} records/s  {memory:>6.1} MB at most  {name}", time);
    }
    println!("{times:>8.2} x  the time of gunzip alone");
    let memory = ours.iter().map(|run| run.memory).fold(0.0, f64::max);
    match !guards || (times <= MOST_TIMES && memory < MOST_MEMORY) {
        true => ExitCode::SUCCESS,
        false => {
            println!("over {MOST_TIMES} times, or {MOST_MEMORY} MB");
            ExitCode::FAILURE
        }
    }
}

/// Objects by day and region, their records in the order of time.
fn make(folder: &Path) -> u64 {
    let records = trail::records(RECORDS);
    let mut bytes = 0;
    for (number, records) in split(&records).into_iter().enumerate() {
        let day = folder.join(format!(
            "AWSLogs/111122223333/CloudTrail/us-east-1/2026/11/{:02}",
            number % 28 + 1
        ));
        fs::create_dir_all(&day).unwrap();
        let path = day.join(format!("111122223333_CloudTrail_us-east-1_{number:05}.json.gz"));
        let mut gzip = GzEncoder::new(File::create(&path).unwrap(), Compression::default());
        write!(gzip, "{{\"Records\":[{}]}}", records.join(",")).unwrap();
        bytes += gzip.finish().unwrap().metadata().unwrap().len();
    }
    bytes
}

/// As many parts as there are objects, of one record to some dozens.
fn split(records: &[String]) -> Vec<&[String]> {
    let (mut parts, mut left) = (Vec::new(), records);
    for number in 0..OBJECTS {
        let even = left.len() / (OBJECTS - number);
        // Most objects are small, and every twentieth is large.
        let size = if number % 20 == 0 { 5 * even } else { even - even / 5 };
        let size = if number == OBJECTS - 1 {
            left.len()
        } else {
            size.clamp(1, left.len() - (OBJECTS - number - 1))
        };
        let (part, rest) = left.split_at(size);
        parts.push(part);
        left = rest;
    }
    parts
}

fn scan_command(folder: &Path, threads: usize) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
    command.arg("scan").arg("--threads").arg(threads.to_string()).arg(folder);
    command
}

const GUNZIP: &str = "--gunzip";

fn gunzip_command(folder: &Path, threads: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(GUNZIP).arg(folder).arg(threads.to_string());
    command
}

/// Reads and inflates all files of a folder, and does nothing with them.
fn gunzip(folder: &Path, threads: usize) {
    let files: Vec<PathBuf> = WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut into = vec![0; 64 * 1024];
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut text = Inflate::new(File::open(file).unwrap(), u64::MAX);
                    while text.read(&mut into).unwrap() > 0 {}
                }
            });
        }
    });
}

/// One run of a program.
#[derive(Clone, Copy, Default)]
struct Run {
    time: Duration,
    /// In MB.
    memory: f64,
}

#[expect(clippy::disallowed_methods, reason = "a bench owns a clock")]
fn run(command: &mut Command) -> Run {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut memory = 0.0;
    loop {
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "{ended}");
            return Run { time: start.elapsed(), memory };
        }
        memory = fs::read_to_string(&status).ok().and_then(|s| peak(&s)).unwrap_or(memory);
        thread::sleep(Duration::from_millis(2));
    }
}

/// The most memory that a process had so far, in MB (`VmHWM`, proc(5)).
fn peak(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? * 1.024 / 1000.0)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
