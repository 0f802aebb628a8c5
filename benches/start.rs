//! What a cold start costs: from the start of the process to its first poll of the Runtime API.
//!
//! `cargo bench --bench start` starts the function that `make build` left, with the settings of the
//! template and with the fewest; other builds that are named behind `--` start in turns with it.
//! Everything that the function asks of AWS is answered at once by a server in this process.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "what a bench prints is its result")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

/// Starts of each, of which the median counts.
const STARTS: usize = 41;

/// The SSM parameter's policy: what the template makes.
const POLICY: &str = "approved_regions = [\"us-east-1\", \"us-west-2\"]\n";

/// Settings of the template, and the fewest.
const DEPLOYED: &[(&str, &str)] = &[
    ("TOPIC_ARN", "arn:aws:sns:us-east-1:111122223333:alerts"),
    ("POLICY_PARAMETER", "/regionwatch/policy"),
    ("LEDGER_TABLE", "ledger"),
];
const FEWEST: &[(&str, &str)] = &[("SHADOW", "true")];

fn main() {
    let named = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut functions: Vec<PathBuf> = named.map(PathBuf::from).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    functions.insert(0, root.join(".aws-sam/build/Function/bootstrap"));
    functions.retain(|function| function.exists());
    if functions.is_empty() {
        println!("no function to start: `make build` makes it");
        return;
    }
    println!("milliseconds to the first poll, the median and the least of {STARTS} starts");
    println!("{:>17} {:>17} {:>10}", "deployed", "fewest settings", "MiB");
    let mut took = vec![[Vec::new(), Vec::new()]; functions.len()];
    for _ in 0..STARTS {
        for (function, took) in functions.iter().zip(&mut took) {
            for (settings, took) in [DEPLOYED, FEWEST].iter().zip(took) {
                took.push(start(function, settings));
            }
        }
    }
    for (function, took) in functions.iter().zip(took) {
        let [deployed, fewest] = took.map(in_words);
        let size = fs::metadata(function).unwrap().len() as f64 / 1024.0 / 1024.0;
        let name = function.strip_prefix(root).unwrap_or(function).display();
        println!("{deployed:>17} {fewest:>17} {size:>10.2}  {name}");
    }
}

fn in_words(mut took: Vec<Duration>) -> String {
    took.sort();
    let milliseconds = |took: Option<&Duration>| took.unwrap().as_secs_f64() * 1000.0;
    format!("{:.2} {:.2}", milliseconds(took.get(STARTS / 2)), milliseconds(took.first()))
}

/// From the start of the process to its first poll.
#[expect(clippy::disallowed_methods, reason = "a bench owns a clock")]
fn start(function: &Path, settings: &[(&str, &str)]) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (polled, poll) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let polled = polled.clone();
            thread::spawn(move || answer(stream, &polled));
        }
    });
    let start = Instant::now();
    let mut child = Command::new(function)
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .env("AWS_ENDPOINT_URL", format!("http://{address}"))
        .env("AWS_LAMBDA_FUNCTION_NAME", "regionwatch")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .envs(settings.iter().copied())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let first: Instant = poll.recv_timeout(Duration::from_secs(30)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    first - start
}

/// The Runtime API, which says when it is polled and leaves it at that; else SSM, which has the
/// policy.
#[expect(clippy::disallowed_methods, reason = "a bench owns a clock")]
fn answer(stream: TcpStream, polled: &Sender<Instant>) {
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if !stream.read_line(&mut first).is_ok_and(|read| read > 0) {
            return;
        }
        if first.starts_with("GET /2018-06-01/runtime/invocation/next") {
            polled.send(Instant::now()).ok();
        }
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).unwrap();
            if header.trim().is_empty() {
                break;
            }
            let header = header.to_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        stream.read_exact(&mut vec![0; length]).unwrap();
        if first.starts_with("POST / ") {
            let body = json!({"Parameter": {"Value": POLICY, "Version": 1}}).to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.get_mut().write_all((head + &body).as_bytes()).unwrap();
        }
    }
}
