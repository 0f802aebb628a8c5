//! The peer: a handler in plain Python, in a process that walks when it is told to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A Python process that holds a payload. It ends with its input.
pub struct Peer {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// `None`, said on stdout, where there is no `python3`.
    pub fn start(payload: &[u8]) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/pipeline/peer.py");
        let child = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            println!("the peer is skipped: there is no python3");
            return None;
        };
        let mut orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        orders.write_all(payload).unwrap();
        orders.write_all(b"\n").unwrap();
        Some(Peer { child, orders: Some(orders), answers })
    }

    /// The processor's time, by its own clock, for so many walks over the payload.
    pub fn time(&mut self, times: u64) -> Duration {
        writeln!(self.orders.as_mut().unwrap(), "{times}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        Duration::from_nanos(answer.trim().parse().expect("the peer failed"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.orders = None;
        self.child.wait().unwrap();
    }
}
