//! What judging a folder of history costs, against gunzip alone on the same files.
//!
//! 4,000 objects with 30,000 records, as `aws s3 sync` leaves them, are made in a folder for the
//! while. `gunzip`, a program that only reads and inflates them with the inflater that the scan has,
//! and `regionwatch scan` run in turns, each with as many threads, as processes of their own; what
//! counts is the median of the ratios. `cargo bench --bench scan` prints them, and the most memory
//! that each took; `-- --guard`
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

/// Rounds, of which the median counts.
const ROUNDS: usize = 21;

/// What a scan may take, in times of `gunzip`.
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
        "{RECORDS} records in {OBJECTS} objects, {bytes} bytes, {threads} threads, {ROUNDS} rounds"
    );
    let mut runs: Vec<[Run; CONTENDERS.len()]> = Vec::new();
    for round in 0..ROUNDS {
        let mut took = [Run::default(); CONTENDERS.len()];
        // Who goes first changes with every round.
        for turn in 0..CONTENDERS.len() {
            let at = (turn + round) % CONTENDERS.len();
            took[at] = run(&mut (CONTENDERS[at].1)(folder.path(), threads));
        }
        runs.push(took);
    }
    let seconds = |at: usize| median(runs.iter().map(|took| took[at].time.as_secs_f64()));
    let over = |base: usize| {
        let ratio = |took: &[Run; 3]| took[SCAN].time.as_secs_f64() / took[base].time.as_secs_f64();
        median(runs.iter().map(ratio))
    };
    let memory = |at: usize| runs.iter().map(|took| took[at].memory).fold(0.0, f64::max);
    println!("{:>9} {:>11} {:>8}  {:>6}", "seconds", "records/s", "MB", "scan x");
    for (at, (name, _)) in CONTENDERS.iter().enumerate() {
        let (seconds, memory) = (seconds(at), memory(at));
        let rate = RECORDS as f64 / seconds;
        println!("{seconds:>9.3} {rate:>11.0} {memory:>8.1}  {:>6.2}  {name}", over(at));
    }
    match !guards || (over(GUNZIP_ALONE) <= MOST_TIMES && memory(SCAN) < MOST_MEMORY) {
        true => ExitCode::SUCCESS,
        false => {
            println!("over {MOST_TIMES} times gunzip, or {MOST_MEMORY} MB");
            ExitCode::FAILURE
        }
    }
}

type Contender = (&'static str, fn(&Path, usize) -> Command);

const CONTENDERS: [Contender; 3] = [
    ("gunzip", plain_gunzip_command),
    ("our inflater alone", gunzip_command),
    ("regionwatch scan", scan_command),
];
const GUNZIP_ALONE: usize = 0;
const SCAN: usize = 2;

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

/// The program that every machine has; several of it where there are several threads. Its memory is
/// that of the shell.
fn plain_gunzip_command(folder: &Path, threads: usize) -> Command {
    let mut command = Command::new("sh");
    let script =
        "find \"$0\" -name '*.gz' -print0 | xargs -0 -P \"$1\" -n 500 gunzip -c >/dev/null";
    command.arg("-c").arg(script).arg(folder).arg(threads.to_string());
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
