//! The rooms in their order: a room uses only rooms above it.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The rooms, as `lib.rs` lists them.
fn rooms() -> Vec<String> {
    let lib = fs::read_to_string(source().join("lib.rs")).unwrap();
    let rooms = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    rooms.map(str::to_owned).collect()
}

/// All the code of a room, its own rooms included, without tests and comments: docs may point
/// anywhere.
fn code(room: &str) -> String {
    let mut files = vec![source().join(room).with_extension("rs")];
    if source().join(room).is_dir() {
        let inner = WalkDir::new(source().join(room)).into_iter().map(Result::unwrap);
        files.extend(
            inner.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path()),
        );
    }
    let code = files.iter().map(|file| {
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    });
    code.collect()
}

/// The rooms that the code of a room names.
fn used(code: &str) -> Vec<String> {
    let behind = code.match_indices("crate::").map(|(at, found)| &code[at + found.len()..]);
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    behind.map(|text| text.chars().take_while(|c| word(*c)).collect()).collect()
}

#[test]
fn a_room_uses_only_rooms_above_it() {
    let rooms = rooms();
    assert!(rooms.len() >= 13, "lib.rs was not read: {rooms:?}");
    let mut checked = 0;
    for (floor, room) in rooms.iter().enumerate() {
        for other in used(&code(room)) {
            let above = rooms.iter().position(|known| *known == other);
            let above = above.unwrap_or_else(|| panic!("{room} names crate::{other}"));
            assert!(above <= floor, "{room} uses {other}, which stands below it");
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} uses found");
}

#[test]
fn a_breach_would_be_seen() {
    assert_eq!(used("use crate::handler::{Handler}; crate::inflate::x()"), ["handler", "inflate"]);
}

#[test]
fn every_setting_of_the_template_is_one_that_the_function_knows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let template = fs::read_to_string(root.join("template.yaml")).unwrap();
    let config = fs::read_to_string(root.join("src/config.rs")).unwrap();
    let (_, variables) = template.split_once("        Variables:\n").unwrap();
    let mut names = Vec::new();
    for line in variables.lines().take_while(|line| line.starts_with("          ")) {
        names.push(line.trim().split(':').next().unwrap());
    }
    assert!(names.contains(&"TOPIC_ARN") && names.contains(&"POLICY_PARAMETER"), "{names:?}");
    for name in names {
        assert!(config.contains(&format!("\"{name}\"")), "config does not know {name}");
    }
}
