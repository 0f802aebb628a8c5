//! `make smoke` against a deployed stack. Moto runs no function without a container engine, so that a
//! `sam` of ours hands the payload to the command line, which publishes to the deployed topic.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use super::deployed::Deployed;
use super::moto::Moto;
use super::tools::{command_line, tool};

/// What answers in the function's place: the words of its answer, and what it does before.
fn smoke(stack: &Deployed<'_>, name: &str, function: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let sam = folder.path().join("sam");
    fs::write(
        &sam,
        format!(
            "#!/bin/sh\nset -e\ntest \"$1 $2 $4\" = \"remote invoke --event-file\"\n{function}\n"
        ),
    )
    .unwrap();
    fs::set_permissions(&sam, fs::Permissions::from_mode(0o755)).unwrap();
    Command::new(tool("python").unwrap())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/smoke.py"))
        .args(["--stack-name", name])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .env("AWS_ENDPOINT_URL", stack.endpoint())
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .output()
        .unwrap()
}

#[test]
fn a_stack_that_tells_passes_and_says_who_hears_it() {
    let (Some(moto), Some(regionwatch)) = (Moto::shared(), command_line()) else { return };
    let given = [("LogGroupName", "aws/trail"), ("Dashboard", "false")];
    let Some(stack) = Deployed::new(moto, "smoked", &given) else { return };
    let topic = stack.output("TopicArn");
    let publish = format!(
        "cat >\"$0.json\"; '{}' invoke --topic-arn {topic} \"$0.json\" >&2\n\
         echo '{{\"entries\":1,\"alerts\":1,\"shadow\":false}}'",
        regionwatch.display()
    );

    let passed = smoke(&stack, "smoked", &publish);
    let (out, err) = texts(&passed);
    assert!(passed.status.success(), "{out}{err}");
    let told = "[high] regionwatch-smoke-test-";
    assert!(out.contains(told) && out.contains("ec2:RunInstances in zz-nowhere-1"), "{out}");
    assert!(err.contains("WARNING: nobody is subscribed"), "{err}");
    let asked = [("Action", "ListSubscriptionsByTopic"), ("TopicArn", topic)];
    assert!(!moto.query("sns", &asked).contains("<Protocol>sqs"), "the queue is still subscribed");

    let shadow = smoke(
        &stack,
        "smoked",
        "cat >\"$0.json\"; echo '{\"entries\":1,\"alerts\":1,\"shadow\":true}'",
    );
    assert_eq!(shadow.status.code(), Some(1));
    assert!(texts(&shadow).1.contains("Shadow=true"));
    let failed =
        smoke(&stack, "smoked", "cat >\"$0.json\"; echo 'Error: no such function' >&2; exit 1");
    assert_eq!(failed.status.code(), Some(1));
    assert!(texts(&failed).1.contains("the function failed"));
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
