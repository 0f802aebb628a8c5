//! What the commands print. Results go to stdout, all else to stderr.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::io::{self, BufWriter, Write};

use clap::ValueEnum;
use indicatif::ProgressBar;
use jiff::Timestamp;
use regionwatch::alert::Message;
use regionwatch::alert::text::clean;
use regionwatch::metrics::Summary;
use regionwatch::publish::{Publish, PublishError};
use serde::Serialize;

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Says on stderr what is wrong. Where even that fails, nobody is there to hear it.
pub fn complain(what: &str) {
    let lines: Vec<String> = what.lines().map(|line| clean(line, usize::MAX)).collect();
    drop(writeln!(io::stderr().lock(), "regionwatch: {}", lines.join("\n")));
}

/// Prints to stdout. A reader that went away, such as `head`, has seen enough: the command ends as
/// the signal for that would end it, so that nobody takes the rest for judged.
pub fn print(text: &str) -> Result<(), String> {
    printed(writeln!(io::stdout().lock(), "{text}"))
}

fn printed(written: io::Result<()>) -> Result<(), String> {
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(128 + 13),
        Err(error) => Err(format!("stdout: {error}")),
    }
}

/// Prints JSON to stdout as it is made, on one line.
pub fn print_json(value: &impl Serialize) -> Result<(), String> {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = serde_json::to_writer(&mut out, value).map_err(io::Error::from);
    let written = written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    printed(written)
}

/// What is not a result itself: beside results for people on stdout, else on stderr.
pub fn print_beside(line: &str, format: Format) -> Result<(), String> {
    match format {
        Format::Text => print(line),
        Format::Json => {
            complain(line);
            Ok(())
        }
    }
}

/// Prints messages instead of sending them.
pub struct Printer {
    format: Format,
    /// Gets out of the way while something is printed.
    bar: ProgressBar,
}

impl Printer {
    /// A printer where there is no bar.
    pub fn new(format: Format) -> Self {
        Printer::beside(ProgressBar::hidden(), format)
    }

    /// A printer beside this bar.
    pub fn beside(bar: ProgressBar, format: Format) -> Self {
        Printer { format, bar }
    }
}

impl Publish for Printer {
    fn publish(
        &self,
        messages: &[Message],
        _: Timestamp,
    ) -> impl Future<Output = Vec<Result<(), PublishError>>> + Send {
        let print = |message| print_message(message, self.format).map_err(PublishError::Permanent);
        ready(self.bar.suspend(|| messages.iter().map(print).collect()))
    }
}

/// One message as it would be sent.
fn print_message(message: &Message, format: Format) -> Result<(), String> {
    match format {
        Format::Json => print(&message.json()),
        Format::Text => {
            let rule = "-".repeat(72);
            print(&format!("{rule}\nSubject: {}\n\n{}", message.subject, message.mail()))
        }
    }
}

/// `12 entries: 3 alerts, 8 ignored (5 approved-region, 3 read-only), 1 unreadable`.
pub fn counts(
    entries: u64,
    alerts: u64,
    ignored_by: &BTreeMap<String, u64>,
    rejected: u64,
) -> String {
    let ignored: u64 = ignored_by.values().sum();
    let mut reasons: Vec<_> = ignored_by.iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let reasons: Vec<String> =
        reasons.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let reasons =
        if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    let (entries, alerts) =
        (plural(entries, "entry", "entries"), plural(alerts, "alert", "alerts"));
    format!("{entries}: {alerts}, {ignored} ignored{reasons}, {rejected} unreadable")
}

/// What became of a payload, so that nothing that was not told goes unmentioned.
pub fn summary_line(name: &str, summary: &Summary) -> String {
    let what = if summary.control {
        "a control message, nothing to judge".to_owned()
    } else {
        counts(summary.entries, summary.alerts, &summary.ignored_by, summary.rejected)
    };
    let told = match summary.incidents {
        0 => String::new(),
        incidents => {
            let incidents = plural(incidents, "incident", "incidents");
            format!("; {incidents}, {} told, {} held back", summary.told, summary.held)
        }
    };
    let records = match summary.kinesis_records {
        None => String::new(),
        Some(records) => plural(records, "record of a stream, ", "records of a stream, "),
    };
    format!("{name}: {records}{what}{told}")
}

/// `1 alert`, `2 alerts`.
pub fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
