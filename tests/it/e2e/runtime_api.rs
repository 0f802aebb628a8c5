//! What Lambda is to a function: the Runtime API, as far as a function uses it.
//!
//! Lambda guide, "Using the Lambda runtime API for custom runtimes".

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::tools::PATIENCE;

/// A server for one function.
pub struct RuntimeApi {
    address: SocketAddr,
    invocations: Sender<Invocation>,
    answers: Receiver<Answer>,
}

/// An error, as the function reported it.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: String,
    pub message: String,
}

struct Invocation {
    id: String,
    payload: Vec<u8>,
}

struct Answer {
    /// Behind `/2018-06-01/runtime/`: `invocation/ID/response` or `invocation/ID/error`.
    path: String,
    body: Value,
}

const TIMEOUT: Duration = Duration::from_secs(60);

const ROOT: &str = "/2018-06-01/runtime/";

impl RuntimeApi {
    /// Listens on a port that is free.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (invocations, waiting) = channel();
        let (answered, answers) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (waiting, answered) = (Arc::clone(&waiting), answered.clone());
                thread::spawn(move || serve(stream, &waiting, &answered));
            }
        });
        RuntimeApi { address, invocations, answers }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Hands the payload to the function, and waits for what it answers.
    pub fn invoke(&self, id: &str, payload: &[u8]) -> Result<Value, Fault> {
        let invocation = Invocation { id: id.to_owned(), payload: payload.to_vec() };
        self.invocations.send(invocation).unwrap();
        let answer = self.answers.recv_timeout(PATIENCE).expect("the function does not answer");
        if answer.path == format!("invocation/{id}/response") {
            return Ok(answer.body);
        }
        assert_eq!(answer.path, format!("invocation/{id}/error"));
        let text = |key: &str| answer.body[key].as_str().unwrap().to_owned();
        Err(Fault { kind: text("errorType"), message: text("errorMessage") })
    }
}

/// Serves one connection until either side is gone.
fn serve(stream: TcpStream, waiting: &Mutex<Receiver<Invocation>>, answered: &Sender<Answer>) {
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    while let Some(request) = Request::read(&mut stream) {
        let to = stream.get_mut();
        let sent = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "invocation/next") => {
                let Ok(invocation) = waiting.lock().unwrap().recv() else { return };
                hand_over(to, &invocation)
            }
            ("POST", _) => {
                let body = serde_json::from_slice(&request.body).unwrap();
                let accepted = respond(to, "202 Accepted", &[], b"{\"status\":\"OK\"}");
                answered.send(Answer { path: request.path, body }).ok();
                accepted
            }
            _ => respond(to, "404 Not Found", &[], b""),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn hand_over(to: &mut TcpStream, invocation: &Invocation) -> io::Result<()> {
    let deadline = since_1970() + TIMEOUT;
    let headers = [
        ("Lambda-Runtime-Aws-Request-Id", invocation.id.as_str()),
        ("Lambda-Runtime-Deadline-Ms", &deadline.as_millis().to_string()),
        (
            "Lambda-Runtime-Invoked-Function-Arn",
            "arn:aws:lambda:us-east-1:123456789012:function:regionwatch",
        ),
        ("Content-Type", "application/json"),
    ];
    respond(to, "200 OK", &headers, &invocation.payload)
}

fn respond(
    to: &mut TcpStream,
    status: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<()> {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    to.write_all(head.as_bytes())?;
    to.write_all(body)
}

struct Request {
    method: String,
    path: String,
    body: Vec<u8>,
}

impl Request {
    /// The next request, or `None` where the connection ended.
    fn read(from: &mut impl BufRead) -> Option<Self> {
        let first = read_line(from)?;
        let mut words = first.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.strip_prefix(ROOT)?);
        let mut headers = HashMap::new();
        while let Some((name, value)) = read_line(from)?.split_once(':') {
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        from.read_exact(&mut body).ok()?;
        Some(Request { method, path: path.to_owned(), body })
    }
}

fn read_line(from: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let read = from.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

#[expect(clippy::disallowed_methods, reason = "Lambda owns a clock")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
