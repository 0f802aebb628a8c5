//! What Lambda is to a function: the Runtime API, as far as a function uses it.
//!
//! Lambda guide, "Using the Lambda runtime API for custom runtimes".

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::http::{self, Request, Response};
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
    time: Duration,
}

struct Answer {
    /// Behind `/2018-06-01/runtime/`: `invocation/ID/response` or `invocation/ID/error`.
    path: String,
    body: Value,
}

/// What the template gives the function for one invocation.
pub const TIMEOUT: Duration = Duration::from_secs(60);

const ROOT: &str = "/2018-06-01/runtime/";

impl RuntimeApi {
    /// Listens on a port that is free.
    pub fn start() -> Self {
        let (invocations, waiting) = channel();
        let (answered, answers) = channel();
        let waiting = Mutex::new(waiting);
        let address = http::serve(move |request| answer(request, &waiting, &answered));
        RuntimeApi { address, invocations, answers }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Hands the payload to the function, which has so much time for it, and waits for what it
    /// answers.
    pub fn invoke(&self, id: &str, payload: &[u8], time: Duration) -> Result<Value, Fault> {
        let invocation = Invocation { id: id.to_owned(), payload: payload.to_vec(), time };
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

fn answer(
    request: Request,
    waiting: &Mutex<Receiver<Invocation>>,
    answered: &Sender<Answer>,
) -> Option<Response> {
    match (request.method.as_str(), request.path.strip_prefix(ROOT)?) {
        ("GET", "invocation/next") => Some(hand_over(waiting.lock().unwrap().recv().ok()?)),
        ("POST", path) => {
            let body = serde_json::from_slice(&request.body).unwrap();
            answered.send(Answer { path: path.to_owned(), body }).ok();
            Some(Response::new("202 Accepted", "{\"status\":\"OK\"}"))
        }
        _ => Some(Response::new("404 Not Found", "")),
    }
}

fn hand_over(invocation: Invocation) -> Response {
    let deadline = since_1970() + invocation.time;
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:regionwatch";
    let headers = vec![
        ("Lambda-Runtime-Aws-Request-Id", invocation.id),
        ("Lambda-Runtime-Deadline-Ms", deadline.as_millis().to_string()),
        ("Lambda-Runtime-Invoked-Function-Arn", arn.to_owned()),
        ("Content-Type", "application/json".to_owned()),
    ];
    Response { status: "200 OK", headers, body: invocation.payload }
}

#[expect(clippy::disallowed_methods, reason = "Lambda owns a clock")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
