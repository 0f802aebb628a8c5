//! What `make build` leaves for these tests, and how a server is run that ends with them.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// How long anything is waited for. What is waited for takes seconds at most.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The function, as it is deployed.
pub fn bootstrap() -> Option<PathBuf> {
    built(".aws-sam/build/Function/bootstrap")
}

/// The command line with the AWS SDK.
pub fn command_line() -> Option<PathBuf> {
    built("target/aws/debug/regionwatch")
}

/// A program of the virtual environment.
pub fn tool(name: &str) -> Option<PathBuf> {
    built(&format!(".venv/bin/{name}"))
}

/// A file below the project's root. Where it is absent the test is skipped, unless
/// `REGIONWATCH_E2E=required` says that there is no excuse.
fn built(path: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if file.exists() {
        return Some(file);
    }
    absent(path);
    None
}

/// Says that a test is skipped for want of something that `make build` makes.
pub fn absent(what: &str) {
    assert!(!required(), "there is no {what}: run `make build` first");
    eprintln!("skipped: there is no {what}; `make build` makes it");
}

#[expect(clippy::disallowed_methods, reason = "how tests are run is no setting of the function")]
fn required() -> bool {
    std::env::var("REGIONWATCH_E2E").is_ok_and(|value| value == "required")
}

/// A server that ends when this is dropped, and also when the tests end without dropping it: its
/// shell waits for the end of a pipe that only we hold open, and then kills it.
pub struct Tethered(Child);

const TETHER: &str = r#""$@" & exec >/dev/null 2>&1; cat; kill -9 $!; wait"#;

impl Tethered {
    /// Starts the program; the lines that it prints can be received.
    pub fn start(program: &Path, arguments: &[&str]) -> (Self, Receiver<String>) {
        let mut shell = Command::new("sh")
            .args(["-c", TETHER, "sh"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, output) = channel();
        send_lines(shell.stdout.take().unwrap(), lines.clone());
        send_lines(shell.stderr.take().unwrap(), lines);
        (Tethered(shell), output)
    }
}

impl Drop for Tethered {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// What `pick` finds in the first line where it finds anything. `Err` holds the lines of a program
/// that ended, or fell silent, before.
pub fn await_line<T>(
    output: &Receiver<String>,
    pick: impl Fn(&str) -> Option<T>,
) -> Result<T, Vec<String>> {
    let mut seen = Vec::new();
    while let Ok(line) = output.recv_timeout(PATIENCE) {
        if let Some(found) = pick(&line) {
            return Ok(found);
        }
        seen.push(line);
    }
    Err(seen)
}

/// Reads to the end, whether or not anybody listens, so that the writer is never blocked.
pub fn send_lines(source: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            lines.send(line).ok();
        }
    });
}
