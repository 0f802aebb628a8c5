//! `regionwatch redrive`, with the AWS SDK: what the function could not publish is kept, published
//! later, and deleted.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::deliver::run_instances;
use super::function::Function;
use super::http::{Response, serve};
use super::moto::{Delivery, Moto, Topic};
use super::tools::command_line;
use crate::handler::pack;
use crate::samples::payload;
use crate::schema::assert_valid;
use crate::undelivered::{given_up_at, invocation_record};

/// The command, in a folder of its own, which has the journal.
struct CommandLine<'m> {
    program: PathBuf,
    folder: TempDir,
    moto: &'m Moto,
}

/// How it ended.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl<'m> CommandLine<'m> {
    /// `None` where it was not built.
    fn new(moto: &'m Moto) -> Option<Self> {
        let (program, folder) = (command_line()?, tempfile::tempdir().unwrap());
        Some(CommandLine { program, folder, moto })
    }

    fn redrive(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("redrive")
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.moto.settings(""))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test");
        command
    }

    fn publish(&self, topic: &Topic<'_>, arguments: &[&str]) -> Ended {
        self.redrive(
            &[&["--publish", "--default-policy", "--topic-arn", &topic.arn], arguments].concat(),
        )
    }

    /// A file beside the journal.
    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.folder.path().join(name), content).unwrap();
    }

    /// The lines of the journal, if there is one.
    fn journal(&self) -> Option<Vec<Value>> {
        let journal = self.folder.path().join("regionwatch-redrive.journal");
        let lines = fs::read_to_string(journal).ok()?;
        Some(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

impl Ended {
    fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        Ended { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn says(&self, parts: &[&str]) {
        for part in parts {
            let said = format!("{}\n{}", self.stdout, self.stderr);
            assert!(said.contains(part), "{part} in {said}");
        }
    }
}

/// The key of an object that Lambda keeps, on this minute of a day.
fn key(minute: u32) -> String {
    let day = "aws/lambda/async/regionwatch/2026/11/23";
    format!("{day}/2026-11-23T12.{minute:02}.00-0b7cbd0e-3f0b-4a4e-8a9c-e6cb2a0ffb15")
}

/// What Lambda keeps of a payload that this function fails on.
fn undelivered(function: &mut Function, payload: &[u8]) -> String {
    let fault = function.invoke(payload).outcome.unwrap_err();
    assert_eq!(fault.kind, "PublishRefused");
    invocation_record(payload).to_string()
}

/// A payload that no run can read.
fn damaged() -> String {
    let payload = json!({"awslogs": {"data": "H4sIAAAAAAAA/6tW"}}).to_string();
    invocation_record(payload.as_bytes()).to_string()
}

fn call(user: &str) -> Vec<u8> {
    pack(&[run_instances(user, "eu-west-3")])
}

/// Who is told of, in the order of the messages. On a machine with much else to do an answer may come
/// too late, and SNS is asked once more: what follows itself counts once.
fn told(topic: &Topic<'_>) -> Vec<String> {
    let received = topic.take();
    received.iter().for_each(|message| assert_valid(&message.body));
    let name = |alert: &Value| alert["principal"]["name"].as_str().unwrap().to_owned();
    let mut told: Vec<String> = received.iter().map(|message| name(&message.body)).collect();
    told.dedup();
    told
}

const NO_TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:no-such-topic";

#[test]
fn a_bucket_is_published_and_loses_exactly_what_was() {
    let Some(moto) = Moto::shared() else { return };
    let Some(command) = CommandLine::new(moto) else { return };
    let Some(mut function) = Function::start(&moto.settings(NO_TOPIC)) else { return };
    let topic = moto.topic("redrive-bucket", Delivery::Raw);
    moto.bucket("undelivered");
    for (minute, user) in [(1, "anna"), (2, "ben"), (4, "carl"), (5, "dora")] {
        let kept = undelivered(&mut function, &call(user));
        moto.put_object("undelivered", &key(minute), kept.as_bytes());
    }
    moto.put_object("undelivered", &key(3), damaged().as_bytes());
    moto.put_object("undelivered", "notes/else.txt", b"not Lambda's");
    let before = moto.keys("undelivered");
    assert_eq!(before.len(), 6);

    let dry = command.redrive(&["--bucket", "undelivered", "--topic-arn", &topic.arn]);
    assert_eq!(dry.code, 2, "{}", dry.stderr);
    dry.says(&[
        "Subject: [high] anna called",
        "dry run: 5 payloads: 4 handled, 0 done before, 1 failed; 4 messages; 0 deleted",
        "nothing was published, noted or deleted; to do it, add --publish --policy-parameter NAME\n",
        &format!("s3://undelivered/{}: the data cannot be inflated", key(3)),
    ]);
    assert_eq!((moto.keys("undelivered"), command.journal()), (before, None));
    assert!(topic.take().is_empty());

    let done = command.publish(&topic, &["--bucket", "undelivered"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    done.says(&[
        "5 payloads: 4 handled, 0 done before, 1 failed; 4 messages; 4 deleted",
        &format!("still to be done:\n  s3://undelivered/{}", key(3)),
    ]);
    assert_eq!(told(&topic), ["anna", "ben", "carl", "dora"], "the oldest first");
    assert_eq!(moto.keys("undelivered"), [key(3), "notes/else.txt".to_owned()]);
    let journal = command.journal().unwrap();
    assert_eq!(journal.len(), 4);
    assert_eq!(journal[0]["source"], format!("s3://undelivered/{}", key(1)));
}

#[test]
fn a_queue_is_published_and_loses_exactly_what_was() {
    let Some(moto) = Moto::shared() else { return };
    let Some(command) = CommandLine::new(moto) else { return };
    let Some(mut function) = Function::start(&moto.settings(NO_TOPIC)) else { return };
    let topic = moto.topic("redrive-queue", Delivery::Raw);
    let queue = moto.queue("undelivered");
    for user in ["anna", "ben"] {
        moto.send(&queue, &undelivered(&mut function, &call(user)));
    }
    moto.send(&queue, &damaged());
    let seen = |visible: &str| (visible.to_owned(), "0".to_owned());

    let dry = command.redrive(&["--queue-url", &queue]);
    dry.says(&["dry run: 3 payloads: 2 handled, 0 done before, 1 failed; 2 messages; 0 deleted"]);
    assert_eq!(moto.in_queue(&queue), seen("3"), "nothing is gone or hidden");

    let done = command.publish(&topic, &["--queue-url", &queue]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    done.says(&["3 payloads: 2 handled, 0 done before, 1 failed; 2 messages; 2 deleted"]);
    assert_eq!(told(&topic), ["anna", "ben"]);
    assert_eq!(moto.in_queue(&queue), seen("1"));
}

#[test]
fn a_run_goes_on_where_the_one_before_ended() {
    let Some(moto) = Moto::shared() else { return };
    let Some(command) = CommandLine::new(moto) else { return };
    let topic = moto.topic("redrive-journal", Delivery::Raw);
    for user in ["anna", "ben", "carl", "dora"] {
        command.write(user, invocation_record(&call(user)).to_string().as_bytes());
    }
    let files = ["anna", "ben", "carl", "dora"];
    let refused =
        [&["--publish", "--default-policy", "--topic-arn", NO_TOPIC], &files[..]].concat();
    let refused = command.redrive(&refused);
    assert_eq!(refused.code, 2);
    refused.says(&[
        "3 payloads: 0 handled, 0 done before, 3 failed; 0 messages; 0 deleted",
        "3 payloads in a row could not be published, and the others were left",
        "NotFound",
    ]);
    assert_eq!(command.journal(), Some(vec![]));

    let first = command.publish(&topic, &files[..2]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(told(&topic), ["anna", "ben"]);
    let second = command.publish(&topic, &files);
    assert_eq!(second.code, 0, "{}", second.stderr);
    second.says(&["4 payloads: 2 handled, 2 done before, 0 failed; 2 messages; 0 deleted"]);
    assert_eq!(told(&topic), ["carl", "dora"]);
    assert!(files.iter().all(|file| command.folder.path().join(file).exists()));

    let dry = command.redrive(&[&["--topic-arn", &topic.arn], &files[..]].concat());
    dry.says(&["dry run: 4 payloads: 0 handled, 4 done before, 0 failed; 0 messages"]);
    // Killed between SNS and the journal: one payload is told again, and no other.
    let journal = fs::read(command.folder.path().join("regionwatch-redrive.journal")).unwrap();
    command.write("regionwatch-redrive.journal", &journal[..journal.len() - 9]);
    command.publish(&topic, &files).says(&["4 payloads: 1 handled, 3 done before, 0 failed"]);
    assert_eq!(told(&topic), ["dora"]);

    let other = moto.topic("redrive-other-topic", Delivery::Raw);
    command.publish(&other, &files).says(&["4 payloads: 4 handled, 0 done before"]);
    assert_eq!(told(&other), files, "another topic was told nothing yet");
}

#[test]
fn what_was_published_and_kept_is_deleted_by_the_next_run() {
    let Some(moto) = Moto::shared() else { return };
    let Some(command) = CommandLine::new(moto) else { return };
    let topic = moto.topic("redrive-keep", Delivery::Raw);
    moto.bucket("kept");
    let both = [call("anna"), call("ben")].map(|call| invocation_record(&call).to_string());
    moto.put_object("kept", "two", both.join("\n").as_bytes());
    moto.put_object("kept", "none", format!("{}\n<p>", both[0]).as_bytes());
    let bucket = ["--bucket", "kept", "--prefix", ""];

    let kept = command.publish(&topic, &[&bucket[..], &["--keep"]].concat());
    kept.says(&[
        "3 payloads: 2 handled, 1 done before, 0 failed; 2 messages; 1 other fault; 0 deleted",
    ]);
    assert_eq!((told(&topic).len(), moto.keys("kept").len()), (2, 2));
    let deleted = command.publish(&topic, &bucket);
    deleted.says(&[
        "3 payloads: 0 handled, 3 done before, 0 failed; 0 messages; 1 other fault; 1 deleted",
    ]);
    assert_eq!(moto.keys("kept"), ["none"], "a part of it was never read");
    assert!(topic.take().is_empty());
}

#[test]
fn the_ledger_and_the_policy_are_the_functions() {
    let Some(moto) = Moto::shared() else { return };
    let Some(command) = CommandLine::new(moto) else { return };
    let topic = moto.topic("redrive-ledger", Delivery::Raw);
    moto.table("redrive-ledger");
    let mut settings = moto.settings(&topic.arn).to_vec();
    settings.push(("LEDGER_TABLE", "redrive-ledger"));
    let Some(mut function) = Function::start(&settings) else { return };
    function.invoke(&call("anna")).outcome.unwrap();
    assert_eq!(told(&topic), ["anna"]);

    let again = pack(&[run_instances("anna", "eu-west-3"), run_instances("ben", "eu-west-3")]);
    command.write("kept", &given_up_at(&now().to_string(), &again));
    let done = command.publish(&topic, &["--ledger-table", "redrive-ledger", "kept"]);
    done.says(&[
        "kept: 2 entries: 2 alerts, 0 ignored, 0 unreadable; 2 incidents, 1 told, 1 held back",
    ]);
    assert_eq!(told(&topic), ["ben"]);

    moto.put_parameter("redrive-policy", "String", "approved_regions = [\"eu-*\"]");
    let policy = ["--policy-parameter", "redrive-policy", "kept"];
    command.redrive(&policy).says(&[
        "2 entries: 0 alerts, 2 ignored (2 approved-region)",
        "judged by parameter redrive-policy, ",
        " (parameter version 1): approved regions eu-*\n",
    ]);
}

/// Three attacks by one user on three days, kept until they are redriven in one run.
#[test]
fn attacks_on_several_days_are_each_told_with_and_without_the_table() {
    let Some(moto) = Moto::shared() else { return };
    let Some(command) = CommandLine::new(moto) else { return };
    moto.table("redrive-days");
    for (name, table) in
        [("days-memory", &[][..]), ("days-table", &["--ledger-table", "redrive-days"])]
    {
        let topic = moto.topic(name, Delivery::Raw);
        moto.bucket(name);
        for (day, minute) in [("05", 0), ("05", 30), ("12", 0), ("20", 0)] {
            let key = format!("aws/lambda/async/f/2026/01/{day}/{minute:02}");
            let time = format!("2026-01-{day}T12:{minute:02}:00Z");
            // Of another time each, else it were the same payload.
            let call = run_instances("eve", "eu-west-3").replace("2026-11-23T11:59:00Z", &time);
            moto.put_object(name, &key, &given_up_at(&time, &pack(&[call])));
        }
        let done = command.publish(&topic, &[&["--bucket", name], table].concat());
        assert_eq!(done.code, 0, "{}", done.stderr);
        done.says(&["4 payloads: 4 handled, 0 done before, 0 failed; 3 messages; 4 deleted"]);
        assert!(topic.take().len() >= 3);
        assert!(moto.keys(name).is_empty());
    }
    let items = moto.items("redrive-days");
    let expires: i64 = items[0]["expires"]["N"].as_str().unwrap().parse().unwrap();
    assert!(items.len() == 1 && expires > now().as_second(), "else the table forgets it");
}

#[test]
fn a_table_that_cannot_be_written_is_said_before_anything_is_published() {
    let Some(moto) = Moto::shared() else { return };
    let Some(command) = CommandLine::new(moto) else { return };
    let topic = moto.topic("redrive-no-table", Delivery::Raw);
    moto.bucket("no-table");
    for user in ["anna", "ben"] {
        moto.put_object("no-table", user, &given_up_at("2026-01-05T12:00:00Z", &call(user)));
    }
    let bucket = ["--bucket", "no-table", "--prefix", "", "--ledger-table"];
    let wrong = command.publish(&topic, &[&bucket[..], &["mistyped"]].concat());
    assert_eq!(wrong.code, 2);
    wrong.says(&[
        "--ledger-table mistyped: ResourceNotFoundException",
        "; the stack's output LedgerTable is its name; set AWS_REGION to its region; nothing was",
    ]);
    assert_eq!((topic.take().len(), moto.keys("no-table").len()), (0, 2));
    assert_eq!(command.journal(), None);

    moto.table("redrive-table");
    command.publish(&topic, &[&bucket[..], &["redrive-table"]].concat()).says(&["2 deleted"]);
    assert_eq!(told(&topic), ["anna", "ben"]);
    assert_eq!(moto.items("redrive-table").len(), 2, "the check leaves no item");
}

#[test]
fn a_ledger_that_fails_on_the_way_silences_nothing_and_is_counted() {
    let Some(moto) = Moto::shared() else { return };
    let Some(command) = CommandLine::new(moto) else { return };
    let topic = moto.topic("redrive-ledger-fails", Delivery::Raw);
    let asked = AtomicUsize::new(0);
    let ledger = serve(move |_| {
        Some(match asked.fetch_add(1, Ordering::Relaxed) {
            0 => fault("dynamodb.v20120810#ConditionalCheckFailedException"),
            _ => Response::new("500 Internal Server Error", "{}"),
        })
    });
    command.write("anna", invocation_record(&call("anna")).to_string().as_bytes());
    let table = ["--ledger-table", "the-table", "anna", "--publish", "--default-policy"];
    let mut run = command.command(&[&table[..], &["--topic-arn", &topic.arn]].concat());
    let ended = Ended::of(run.env("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{ledger}")));
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    ended.says(&[
        "anna: the ledger failed: table the-table: the answer was HTTP 500",
        "1 payload: 1 handled, 0 done before, 0 failed; 1 message; 1 error of the ledger; 0 deleted",
    ]);
    assert_eq!(told(&topic), ["anna"]);
}

/// Keys may have characters that XML cannot hold. The first of them begins a page: S3 as it is here
/// would repeat the last one of a page as it is, which S3 does not.
#[test]
fn an_odd_key_keeps_nobody_waiting() {
    let Some(moto) = Moto::shared() else { return };
    let Some(command) = CommandLine::new(moto) else { return };
    let topic = moto.topic("redrive-odd-keys", Delivery::Raw);
    moto.bucket("odd-keys");
    for key in ["a%01b", "a%26%3C", "a%2Bb%20c", "a%25%C3%A4", "b", "c"] {
        moto.put_object("odd-keys", key, &given_up_at("2026-01-05T12:00:00Z", &call(key)));
    }
    let done = command.publish(&topic, &["--bucket", "odd-keys", "--prefix", ""]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    done.says(&["6 payloads: 6 handled, 0 done before, 0 failed; 6 messages; 6 deleted"]);
    assert_eq!(told(&topic).len(), 6);
    assert!(moto.keys("odd-keys").is_empty());
}

#[test]
fn an_answer_that_cannot_be_read_is_said_to_be_that() {
    let Some(moto) = Moto::shared() else { return };
    let Some(command) = CommandLine::new(moto) else { return };
    let bucket =
        serve(|_| Some(Response::new("200 OK", "<ListBucketResult><Contents><Key>\u{1}</Key>")));
    let mut run = command.command(&["--bucket", "b"]);
    let ended = Ended::of(run.env("AWS_ENDPOINT_URL", format!("http://{bucket}")));
    assert_eq!(ended.code, 2);
    ended.says(&["bucket b: the answer, HTTP 200, cannot be read"]);
    assert!(!ended.stdout.contains("to do it, add"), "{}", ended.stdout);
}

/// As a run does that is killed.
#[test]
fn what_somebody_else_hides_in_a_queue_is_not_taken_for_done() {
    let Some(moto) = Moto::shared() else { return };
    let Some(command) = CommandLine::new(moto) else { return };
    let topic = moto.topic("redrive-hidden", Delivery::Raw);
    let queue = moto.queue("hidden");
    for user in ["anna", "ben", "carl"] {
        moto.send(&queue, &invocation_record(&call(user)).to_string());
    }
    moto.hide_one(&queue);
    let hidden = "about 1 message is there besides, 1 of them hidden by another receive";
    let dry = command.redrive(&["--queue-url", &queue]);
    assert_eq!(dry.code, 2);
    dry.says(&["dry run: 2 payloads: 2 handled", hidden, "; run this again in two minutes"]);

    let done = command.publish(&topic, &["--queue-url", &queue]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    done.says(&[
        "2 payloads: 2 handled, 0 done before, 0 failed; 2 messages; 1 other fault; 2 deleted",
        &format!("queue {queue}: {hidden}"),
    ]);
    assert_eq!(told(&topic), ["ben", "carl"]);
}

/// A server of ours in the place of SQS; a message of its own each time, `received` times.
fn odd_queue(received: usize, message: impl Fn(usize) -> Value + Send + Sync + 'static) -> String {
    let asked = AtomicUsize::new(0);
    let address = serve(move |request| {
        let body = String::from_utf8(request.body).unwrap();
        let none = Response::new("200 OK", "{}");
        Some(if body.contains("AttributeNames") {
            fault("sqs#AccessDeniedException")
        } else if body.contains("Entries") {
            let failed = json!({"Id": "m0", "Code": "ReceiptHandleIsInvalid", "SenderFault": true});
            Response::new("200 OK", &json!({"Successful": [], "Failed": [failed]}).to_string())
        } else {
            match asked.fetch_add(1, Ordering::Relaxed) {
                number if number < received => {
                    let messages = json!({"Messages": [message(number)]});
                    Response::new("200 OK", &messages.to_string())
                }
                _ => none,
            }
        })
    });
    format!("http://{address}")
}

#[test]
fn what_a_queue_does_not_tell_or_do_is_said() {
    let Some(moto) = Moto::shared() else { return };
    let Some(command) = CommandLine::new(moto) else { return };
    let body = |user| invocation_record(&call(user)).to_string();
    let message = move |id: usize| json!({"MessageId": id.to_string(), "ReceiptHandle": "r", "Body": body("anna")});
    let queue = |endpoint: String| {
        let mut run = command.command(&["--queue-url", "http://127.0.0.1/1/failed"]);
        Ended::of(run.env("AWS_ENDPOINT_URL_SQS", endpoint))
    };
    let silent = queue(odd_queue(3, message));
    assert_eq!(silent.code, 0, "{}", silent.stderr);
    silent.says(&[
        "dry run: 3 payloads: 1 handled, 2 done before",
        "messages that were received stay hidden for up to 120 s (1 of them): ReceiptHandleIsInvalid",
        "AccessDeniedException",
        "; you need sqs:GetQueueAttributes on it; messages may be hidden still: run this again in",
    ]);

    let endless = queue(odd_queue(usize::MAX, move |number| message(number.min(20))));
    assert_eq!(endless.code, 2);
    endless.says(&[
        "dry run: 21 payloads: 1 handled, 20 done before",
        "it went on to hand out what was seen before, and may have messages that were not",
    ]);
    // What came into sight again is not the end, however much it is.
    let late = queue(odd_queue(50, move |number| message(number.min(20).max(number / 49 * 99))));
    late.says(&["dry run: 22 payloads: 1 handled, 21 done before"]);
}

#[test]
fn a_queue_of_which_nobody_knows_where_it_is_is_said() {
    let Some(moto) = Moto::shared() else { return };
    let Some(command) = CommandLine::new(moto) else { return };
    let mut run = command.command(&["--queue-url", "https://sqs.example.com/1/failed"]);
    let ended = Ended::of(run.env_remove("AWS_REGION"));
    assert_eq!(ended.code, 2);
    ended.says(&["queue https://sqs.example.com/1/failed: its URL names no region that is known"]);
    assert!(!ended.stdout.contains("to do it, add"), "{}", ended.stdout);
}

/// An error as the JSON protocols of AWS have it.
fn fault(code: &str) -> Response {
    Response::new("400 Bad Request", &json!({"__type": code, "message": "no"}).to_string())
}

#[expect(clippy::disallowed_methods, reason = "the function's window begins now")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[test]
fn what_is_not_there_is_said_with_what_to_do() {
    let Some(moto) = Moto::shared() else { return };
    let Some(command) = CommandLine::new(moto) else { return };
    let fails = |arguments: &[&str], parts: &[&str]| {
        let ended = command.redrive(arguments);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        ended.says(parts);
    };
    let bucket = ["bucket no-such-bucket: NoSuchBucket", "the stack's output UndeliveredBucket"];
    fails(&["--bucket", "no-such-bucket"], &bucket);
    let queue = ["queue http://127.0.0.1/1/no-such-queue: ", "write its whole URL"];
    fails(&["--queue-url", "http://127.0.0.1/1/no-such-queue"], &queue);
    let parameter = ["--policy-parameter: ", "no-such-policy could not be read: ParameterNotFound"];
    fails(&["--policy-parameter", "no-such-policy", "x"], &parameter);
    fails(&["--ledger-table", "a b", "x"], &["--ledger-table: `a b` is no table"]);
    command.write("kept", invocation_record(&payload("root")).to_string().as_bytes());
    command.write("none.journal", b"something else");
    let publish = ["--publish", "--default-policy", "--topic-arn", NO_TOPIC, "kept"];
    fails(
        &[&publish[..], &["--journal", "none.journal"]].concat(),
        &["none.journal: line 1 is no note, so this is no journal; name another"],
    );
}
