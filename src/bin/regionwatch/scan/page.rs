//! The page as a file: all of it, or none.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::input::name;

/// Whether a file can be there, which is better known before a long scan than after it.
pub fn has_folder(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    match folder.unwrap_or(Path::new(".")) {
        _ if path.is_dir() => Err(format!("--html {}: it is a folder, name a file", name(path))),
        folder if folder.is_dir() => Ok(()),
        folder => Err(format!("--html {}: there is no folder {}", name(path), name(folder))),
    }
}

/// Writes the page.
pub fn write(path: &Path, page: &str) -> Result<(), String> {
    let is_other = path.metadata().is_ok_and(|found| !found.is_file());
    // A pipe or a device is no file whose place another could take.
    let written = if is_other { fs::write(path, page) } else { replace(path, page) };
    written.map_err(|fault| format!("{}: {fault}", name(path)))
}

/// Writes a file beside it first, so that a page that was there is whole until the new one is.
fn replace(path: &Path, page: &str) -> io::Result<()> {
    // Of a link, the file that it names.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let beside = path.with_file_name(format!(".regionwatch-{}.html", std::process::id()));
    let mut file = File::create_new(&beside)?;
    let written = file.write_all(page.as_bytes()).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // What cannot be removed stays: the fault that is told is the one before.
        drop(fs::remove_file(&beside));
    }
    written
}
