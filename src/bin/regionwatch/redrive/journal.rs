//! The journal: what was published, a JSON line for each payload.
//!
//! A line is on the disk before anything is deleted. It names the topic, for what one topic was told
//! another was not. A line that was cut short is taken away, and its payload is published again.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::input::name;

/// A journal that is written, by this process alone.
pub struct Journal {
    file: File,
    /// What to call it.
    name: String,
    topic: String,
}

#[derive(Serialize, Deserialize)]
struct Note {
    /// What the ledger knows the payload by.
    payload: String,
    topic: String,
    source: String,
    published: Timestamp,
}

impl Journal {
    /// The payloads that the topic was told of; none where there is no journal.
    pub fn read(path: &Path, topic: &str) -> Result<HashSet<String>, String> {
        match File::open(path) {
            Ok(file) => Ok(notes(file, &name(path), topic)?.0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(HashSet::new()),
            Err(error) => Err(unusable(&name(path), &error.to_string())),
        }
    }

    /// The journal, and the payloads that the topic was told of. It is made where there is none.
    pub fn open(path: &Path, topic: &str) -> Result<(Self, HashSet<String>), String> {
        let name = name(path);
        let fault = |error: io::Error| unusable(&name, &error.to_string());
        let options = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = options.map_err(fault)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!("{name}: another redrive is at work with this journal"));
            }
            Err(TryLockError::Error(error)) => return Err(fault(error)),
        }
        let (told, whole) = notes(&file, &name, topic)?;
        file.set_len(whole).and_then(|()| file.seek(SeekFrom::End(0))).map_err(fault)?;
        let topic = topic.to_owned();
        Ok((Journal { file, name, topic }, told))
    }

    /// Notes that a payload was published; it is on the disk when this returns.
    pub fn note(&mut self, payload: &str, source: &str, now: Timestamp) -> Result<(), String> {
        let note = Note {
            payload: payload.to_owned(),
            topic: self.topic.clone(),
            source: source.to_owned(),
            published: now,
        };
        let line = serde_json::to_string(&note).map_err(io::Error::from);
        let written = line.and_then(|line| self.file.write_all(format!("{line}\n").as_bytes()));
        let synced = written.and_then(|()| self.file.sync_data());
        synced.map_err(|error| format!("{}: {error}", self.name))
    }
}

/// The payloads in the notes of a topic, and how many bytes are whole lines.
fn notes(file: impl Read, name: &str, topic: &str) -> Result<(HashSet<String>, u64), String> {
    let (mut payloads, mut whole) = (HashSet::new(), 0);
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
        read.map_err(|error| unusable(name, &error.to_string()))?;
        let note = serde_json::from_slice::<Note>(&line);
        match note {
            Ok(note) if line.ends_with(b"\n") => {
                whole += line.len() as u64;
                if note.topic == topic {
                    payloads.insert(note.payload);
                }
            }
            // The last line, cut short; or the end. One that is no note from its first byte on is
            // no line of ours.
            _ if !line.ends_with(b"\n") && is_cut(&line) => break,
            _ => {
                let what = format!("line {number} is no note, so this is no journal");
                return Err(unusable(name, &what));
            }
        }
    }
    Ok((payloads, whole))
}

fn unusable(name: &str, what: &str) -> String {
    format!("{name}: {what}; name another with --journal")
}

/// Names of sources are long at times: a key of S3 has up to 1,024 bytes.
const LONGEST_LINE: u64 = 64 * 1024;

/// How each note begins.
const BEGINNING: &[u8] = br#"{"payload":""#;

fn is_cut(line: &[u8]) -> bool {
    line.iter().zip(BEGINNING).all(|(found, expected)| found == expected)
        && (line.len() as u64) < LONGEST_LINE
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:alerts";

    fn note(journal: &mut Journal, payload: &str) {
        journal.note(payload, "a file", Timestamp::UNIX_EPOCH).unwrap();
    }

    fn told(payloads: &[&str]) -> HashSet<String> {
        payloads.iter().map(|payload| (*payload).to_owned()).collect()
    }

    #[test]
    fn what_was_noted_is_known_again_but_to_its_topic_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        assert_eq!(Journal::read(&path, TOPIC), Ok(told(&[])));
        assert!(!path.exists(), "reading makes none");
        let (mut journal, before) = Journal::open(&path, TOPIC).unwrap();
        assert!(before.is_empty());
        note(&mut journal, "one");
        note(&mut journal, "two");
        drop(journal);
        assert_eq!(Journal::read(&path, TOPIC), Ok(told(&["one", "two"])));
        assert_eq!(Journal::open(&path, "another topic").unwrap().1, told(&[]));
        assert_eq!(
            fs::read_to_string(&path).unwrap().lines().next().unwrap(),
            format!(
                r#"{{"payload":"one","topic":"{TOPIC}","source":"a file","published":"1970-01-01T00:00:00Z"}}"#
            )
        );
    }

    #[test]
    fn a_line_that_was_cut_short_anywhere_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path, TOPIC).unwrap();
        note(&mut journal, "one");
        let first = fs::metadata(&path).unwrap().len() as usize;
        note(&mut journal, "two");
        drop(journal);
        let whole = fs::read(&path).unwrap();
        for length in first..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(Journal::read(&path, TOPIC), Ok(told(&["one"])));
            let (mut journal, before) = Journal::open(&path, TOPIC).unwrap();
            assert_eq!(before, told(&["one"]), "{length}");
            note(&mut journal, "three");
            drop(journal);
            assert_eq!(Journal::read(&path, TOPIC), Ok(told(&["one", "three"])), "{length}");
        }
    }

    #[test]
    fn another_file_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        for content in ["{\"awslogs\":{}}", "\n", "{}\n", "note", "{\"payload\":\"x\"}\n"] {
            fs::write(&path, content).unwrap();
            let fault = Journal::open(&path, TOPIC).err().unwrap();
            let what = "line 1 is no note, so this is no journal; name another with --journal";
            assert!(fault.ends_with(what), "{fault}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn one_that_cannot_be_used_is_said_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let faults =
            [Journal::open(folder.path(), TOPIC).err(), Journal::read(folder.path(), TOPIC).err()];
        for fault in faults {
            assert!(fault.unwrap().ends_with("; name another with --journal"));
        }
    }

    #[test]
    fn two_at_once_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (first, _) = Journal::open(&path, TOPIC).unwrap();
        assert!(Journal::open(&path, TOPIC).err().unwrap().contains("another redrive"));
        drop(first);
        assert!(Journal::open(&path, TOPIC).is_ok());
    }
}
