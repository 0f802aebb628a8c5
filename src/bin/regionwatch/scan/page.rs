//! The page as a file. One that was there before stays until the new one is whole.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::input::name;

/// Whether a file can be there, which is better known before a long scan than after it.
pub fn has_folder(path: &Path) -> Result<(), String> {
    let is_folder = path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    match folder.unwrap_or(Path::new(".")) {
        _ if is_folder => Err(format!("--html {}: it is a folder, name a file", name(path))),
        folder if folder.is_dir() => Ok(()),
        folder => Err(format!("--html {}: there is no folder {}", name(path), name(folder))),
    }
}

/// Writes the page.
pub fn write(path: &Path, page: &str) -> Result<(), String> {
    // Of a link, the file that it names. A pipe or a device has no place that a file could take.
    let old = path.canonicalize().ok().filter(|old| old.is_file());
    let written = match &old {
        Some(old) => replace(old, page),
        None => fs::write(path, page),
    };
    written.map_err(|fault| format!("{}: {fault}", name(path)))
}

/// Writes a file beside the old one, and puts it into its place. Nobody may read it who could not read
/// that.
fn replace(old: &Path, page: &str) -> io::Result<()> {
    let permissions = old.metadata()?.permissions();
    let mut file = match NamedTempFile::new_in(old.parent().unwrap_or(Path::new("."))) {
        Ok(file) => file,
        // Where the folder takes no other file, the old one may still be written.
        Err(fault) if fault.kind() == io::ErrorKind::PermissionDenied => {
            return fs::write(old, page);
        }
        Err(fault) => return Err(fault),
    };
    file.as_file().set_permissions(permissions)?;
    file.write_all(page.as_bytes())?;
    file.persist(old)?;
    Ok(())
}
