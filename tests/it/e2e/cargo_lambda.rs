//! `cargo lambda watch` and `cargo lambda invoke`, as one tries the function by hand.
//!
//! `watch` serves its APIs alone (`--only-lambda-apis`), and the function is the one that was built
//! to be deployed: left to itself `watch` would compile another one, SDK and all.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::Value;

use super::function::command;
use super::moto::{Delivery, Moto};
use super::tools::{Tethered, await_line, bootstrap, tool};
use crate::samples::events;

#[test]
fn cargo_lambda_invokes_the_function_with_a_sample() {
    let Some(moto) = Moto::shared() else { return };
    let (Some(cargo_lambda), Some(bootstrap)) = (tool("cargo-lambda"), bootstrap()) else { return };
    let topic = moto.topic("cargo-lambda", Delivery::Raw);
    let (_watch, port) = watch(&cargo_lambda);
    let runtime_api = format!("http://127.0.0.1:{port}/.rt");
    let mut function =
        command(&bootstrap, &runtime_api, &moto.settings(&topic.arn)).spawn().unwrap();

    let answer = invoke(&cargo_lambda, port, &events().join("mutating-unapproved-region.json"));
    let of_stream = invoke(&cargo_lambda, port, &events().join("kinesis.json"));

    function.kill().unwrap();
    function.wait().unwrap();
    let summary = answer.unwrap();
    assert_eq!(summary["alerts"], 5, "{summary}");
    assert_eq!(of_stream.unwrap(), serde_json::json!({"batchItemFailures": []}));
    let received = topic.take();
    // Of the stream's incidents the first was told by then: it is the same batch.
    assert_eq!(received.len(), 4, "{received:?}");
    assert_eq!(received[0].body["region"], "ap-southeast-1");
    let kinds: Vec<_> = received.iter().map(|message| message.body["kind"].clone()).collect();
    assert_eq!(kinds, ["incident", "incident", "incident", "unreadable"]);
}

/// `watch` on a port that is free. It cannot choose one by itself, so another may take it first;
/// `watch` then says that it starts, and ends.
fn watch(cargo_lambda: &Path) -> (Tethered, u16) {
    let mut refusals = Vec::new();
    for _ in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let number = port.to_string();
        let options = ["--only-lambda-apis", "--ignore-changes", "--invoke-address", "127.0.0.1"];
        let arguments = [&["lambda", "watch"], &options[..], &["--invoke-port", &number]].concat();
        let (server, output) = Tethered::start(cargo_lambda, &arguments);
        let starts = await_line(&output, |line| line.contains("starting Runtime").then_some(()));
        match starts.and_then(|()| listens(port, &output)) {
            Ok(()) => return (server, port),
            Err(lines) => refusals.push(lines),
        }
    }
    panic!("`cargo lambda watch` does not start: {refusals:?}")
}

/// Whether the server whose output this is comes to listen, rather than to an end.
fn listens(port: u16, output: &Receiver<String>) -> Result<(), Vec<String>> {
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if output.recv_timeout(Duration::from_millis(10)) == Err(RecvTimeoutError::Disconnected) {
            return Err(vec![format!("nothing listens on {port}")]);
        }
    }
    Ok(())
}

/// What the function answered, or what was printed instead.
fn invoke(cargo_lambda: &Path, port: u16, payload: &Path) -> Result<Value, String> {
    let output = Command::new(cargo_lambda)
        .args(["lambda", "invoke", "--invoke-address", "127.0.0.1", "--invoke-port"])
        .arg(port.to_string())
        .arg("--data-file")
        .arg(payload)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout)
        .map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())
}
