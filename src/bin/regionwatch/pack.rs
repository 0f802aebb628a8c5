//! `regionwatch pack`: records to a payload, as CloudWatch Logs would send it, or a Kinesis stream that it
//! writes to.

use std::io::Write;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use regionwatch::alert::text::clean;
use regionwatch::record::Record;
use regionwatch::source::{self, Item};
use serde_json::json;

use crate::Done;
use crate::input::{Folder, Input, Listed};
use crate::output::print;

/// Arguments of `pack`.
#[derive(clap::Args)]
pub struct Args {
    /// The account that owns the log group; the first record's account if not given
    #[arg(long, value_name = "ACCOUNT")]
    owner: Option<String>,
    /// The log group's name
    #[arg(long, default_value = "aws-cloudtrail-logs")]
    log_group: String,
    /// The log stream's name
    #[arg(long, value_name = "NAME")]
    log_stream: Option<String>,
    /// Make a control message, as CloudWatch Logs sends to see whether the function is there
    #[arg(long, conflicts_with = "records")]
    control: bool,
    /// Make the payload of a Kinesis stream, in which each file is a record
    #[arg(long, conflicts_with = "control")]
    kinesis: bool,
    /// Files with records, in any form that `scan` reads, or -
    #[arg(required_unless_present = "control", value_name = "RECORD")]
    records: Vec<PathBuf>,
}

/// Runs the command. The same records make the same payload, byte for byte.
pub fn run(args: Args) -> Result<Done, String> {
    let payload = match (args.control, args.kinesis) {
        (true, _) => subscription(&packed(&control_message())?),
        (false, false) => subscription(&packed(&data_message(&args, &args.records)?)?),
        (false, true) => stream(&args)?,
    };
    print(&payload)?;
    Ok(Done::Fine)
}

fn packed(batch: &str) -> Result<String, String> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let packed = gzip.write_all(batch.as_bytes()).and_then(|()| gzip.finish());
    packed.map(|packed| STANDARD.encode(packed)).map_err(|error| error.to_string())
}

fn subscription(data: &str) -> String {
    json!({ "awslogs": { "data": data } }).to_string()
}

/// Lambda guide, "Using Lambda to process records from Amazon Kinesis Data Streams": the form of a
/// record.
fn stream(args: &Args) -> Result<String, String> {
    let mut records = Vec::new();
    for (number, path) in args.records.iter().enumerate() {
        let data = packed(&data_message(args, std::slice::from_ref(path))?)?;
        // 56 digits that rise within a shard.
        let sequence_number = format!("4967{number:052}");
        records.push(json!({
            "eventID": format!("shardId-000000000000:{sequence_number}"),
            "eventName": "aws:kinesis:record",
            "eventSource": "aws:kinesis",
            "eventSourceARN": "arn:aws:kinesis:us-east-1:111122223333:stream/regionwatch",
            "eventVersion": "1.0",
            "awsRegion": "us-east-1",
            "invokeIdentityArn": "arn:aws:iam::111122223333:role/regionwatch",
            "kinesis": {
                "approximateArrivalTimestamp": 1_795_000_000.123,
                "data": data,
                "kinesisSchemaVersion": "1.0",
                "partitionKey": format!("{number:032x}"),
                "sequenceNumber": sequence_number,
            },
        }));
    }
    Ok(json!({ "Records": records }).to_string())
}

/// CloudWatch Logs guide, "Using CloudWatch Logs subscription filters": the form of both messages.
fn control_message() -> String {
    json!({
        "messageType": "CONTROL_MESSAGE",
        "owner": "CloudwatchLogs",
        "logGroup": "",
        "logStream": "",
        "subscriptionFilters": [],
        "logEvents": [{
            "id": "",
            "timestamp": 0,
            "message": "CWL CONTROL MESSAGE: Checking health of destination Lambda function.",
        }],
    })
    .to_string()
}

fn data_message(args: &Args, records: &[PathBuf]) -> Result<String, String> {
    let Listed { inputs, faults, .. } = Input::list(records, Folder::Records);
    if faults > 0 {
        return Err("nothing was packed".to_owned());
    }
    let mut entries = Entries::default();
    for input in &inputs {
        let opened = input.open().map_err(|fault| format!("{}: {fault}", input.name()))?;
        source::read(opened, |item| entries.take(item))
            .map_err(|fault| format!("{}: {fault}", input.name()))?;
    }
    if entries.packed.is_empty() {
        return Err("there are no records to pack".to_owned());
    }
    let owner = args.owner.clone().or(entries.owner).unwrap_or("111122223333".to_owned());
    let log_stream = args.log_stream.clone();
    let log_stream = log_stream.unwrap_or_else(|| format!("{owner}_CloudTrail_us-east-1"));
    // Keys in the order of the real thing, which json! would sort.
    let quoted = |text: &str| json!(text).to_string();
    Ok(format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":{},"logGroup":{},"logStream":{},"subscriptionFilters":["regionwatch"],"logEvents":[{}]}}"#,
        quoted(&owner),
        quoted(&args.log_group),
        quoted(&log_stream),
        entries.packed.join(","),
    ))
}

#[derive(Default)]
struct Entries {
    packed: Vec<String>,
    owner: Option<String>,
    last_time: i64,
}

impl Entries {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Record { text, record, .. } => {
                if let Ok(record) = record {
                    self.note(&record);
                }
                self.push(&without_space(text));
            }
            Item::Unreadable { raw, .. } => self.push(&String::from_utf8_lossy(raw)),
        }
    }

    fn note(&mut self, record: &Record<'_>) {
        let account = record.account("");
        if self.owner.is_none() && !account.is_empty() {
            self.owner = Some(clean(account, 64));
        }
        if let Some(time) = record.time() {
            self.last_time = time.as_millisecond();
        }
    }

    /// Entry ids are numbers of 56 digits that rise with time.
    fn push(&mut self, message: &str) {
        let (time, number) = (self.last_time, self.packed.len());
        let id = format!("{time:020}{number:036}");
        let message = json!(message);
        self.packed.push(format!(r#"{{"id":"{id}","timestamp":{time},"message":{message}}}"#));
    }
}

/// JSON without white space between its tokens, as CloudTrail writes it; all else stays.
fn without_space(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let keep = |c: &char| {
        match (in_string, *c) {
            (true, _) if escaped => escaped = false,
            (true, '\\') => escaped = true,
            (_, '"') => in_string = !in_string,
            (false, ' ' | '\t' | '\r' | '\n') => return false,
            _ => {}
        }
        true
    };
    json.chars().filter(keep).collect()
}
