//! Our envelope against the type of `aws_lambda_events`: on what both can read they agree.

use aws_lambda_events::event::cloudwatch_logs::LogsEvent;
use regionwatch::envelope::{Envelope, each};

use crate::samples::{events, payload};

#[test]
fn both_read_the_same_entries_from_every_sample() {
    let mut compared = 0;
    for file in std::fs::read_dir(events()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name == "kinesis" {
            continue;
        }
        let payload = payload(name);
        let theirs: LogsEvent = serde_json::from_slice(&payload).unwrap();
        let theirs = theirs.aws_logs.data;
        let mut ours = Vec::new();
        let batch = Envelope::open(&payload).unwrap().entries(
            u64::MAX,
            each(|_, entry| {
                let entry = entry.read().unwrap();
                let message = entry.message.unescape().unwrap().into_owned();
                ours.push((entry.id.into_owned(), entry.timestamp.unwrap(), message));
            }),
        );
        let batch = batch.unwrap();
        assert_eq!(batch.owner, theirs.owner);
        assert_eq!(batch.log_group, theirs.log_group);
        assert_eq!(batch.log_stream, theirs.log_stream);
        assert_eq!(batch.control, theirs.message_type == "CONTROL_MESSAGE");
        let theirs = theirs.log_events.into_iter().filter(|_| !batch.control);
        let theirs: Vec<_> =
            theirs.map(|entry| (entry.id, entry.timestamp, entry.message)).collect();
        assert_eq!(ours, theirs, "{}", path.display());
        compared += 1;
    }
    assert!(compared >= 15, "{compared} samples");
}
