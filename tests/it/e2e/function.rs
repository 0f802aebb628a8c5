//! The function's binary as a child, with an environment of its own.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use super::runtime_api::{Fault, RuntimeApi, TIMEOUT};
use super::tools::{PATIENCE, bootstrap, send_lines};

/// A function that waits for invocations. It is killed when this is dropped; were it not, it would
/// end by itself for want of a Runtime API.
pub struct Function {
    child: Child,
    api: RuntimeApi,
    log: Receiver<String>,
    invoked: u32,
}

/// What became of one invocation.
pub struct Invoked {
    /// What the function answered.
    pub outcome: Result<Value, Fault>,
    /// The one line that it logs of each invocation.
    pub line: Value,
    /// The line behind it, from which CloudWatch makes metrics.
    pub metrics: Value,
    /// What it logged before, since the invocation before.
    pub before: Vec<Value>,
}

impl Function {
    /// Starts the function with these settings; `None` where it was not built.
    pub fn start(settings: &[(&str, &str)]) -> Option<Self> {
        let api = RuntimeApi::start();
        let mut child = command(&bootstrap()?, &api.address(), settings).spawn().unwrap();
        let (lines, log) = channel();
        send_lines(child.stdout.take().unwrap(), lines);
        Some(Function { child, api, log, invoked: 0 })
    }

    /// Invokes the function, and checks that its line about that adds up.
    pub fn invoke(&mut self, payload: &[u8]) -> Invoked {
        self.invoke_within(TIMEOUT, payload)
    }

    /// The same, with so much time for it.
    pub fn invoke_within(&mut self, time: Duration, payload: &[u8]) -> Invoked {
        self.invoked += 1;
        let id = format!("request-{}", self.invoked);
        let outcome = self.api.invoke(&id, payload, time);
        let mut before = Vec::new();
        let line = loop {
            let line = self.next_line();
            if line["message"] == "invocation" {
                break line;
            }
            before.push(line);
        };
        assert_eq!(line["request_id"], id);
        adds_up(&line);
        let metrics = self.next_line();
        assert!(metrics["_aws"].is_object(), "{metrics}");
        Invoked { outcome, line, metrics, before }
    }

    fn next_line(&self) -> Value {
        let line = self.log.recv_timeout(PATIENCE).expect("no line about the invocation");
        serde_json::from_str(&line).expect("a line of the log is no JSON")
    }

    /// The most memory that the function ever had, in KiB.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }
}

impl Invoked {
    /// The lines of this level that were logged before its own.
    pub fn at_level(&self, level: &str) -> Vec<&Value> {
        self.before.iter().filter(|line| line["level"] == level).collect()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The function with the environment that Lambda gives, these settings, and nothing else.
pub fn command(bootstrap: &Path, runtime_api: &str, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(bootstrap);
    command
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
        .env("AWS_LAMBDA_FUNCTION_NAME", "regionwatch")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .envs(settings.iter().copied())
        .stdout(Stdio::piped());
    command
}

/// The two identities: every entry is counted once, and every ignored one has its reason.
fn adds_up(line: &Value) {
    let count = |key: &str| line[key].as_u64().unwrap();
    assert_eq!(count("entries"), count("alerts") + count("ignored") + count("rejected"), "{line}");
    let reasons = line["ignored_by"].as_object().unwrap().values();
    assert_eq!(count("ignored"), reasons.map(|n| n.as_u64().unwrap()).sum::<u64>(), "{line}");
}
