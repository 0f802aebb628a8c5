//! What the commands print. Results go to stdout, all else to stderr.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::ValueEnum;
use regionwatch::alert::Message;
use regionwatch::alert::text::clean;

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
    match writeln!(io::stdout().lock(), "{text}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(128 + 13),
        Err(error) => Err(format!("stdout: {error}")),
    }
}

/// One message as it would be sent.
pub fn print_message(message: &Message, format: Format) -> Result<(), String> {
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

/// `1 alert`, `2 alerts`.
pub fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
