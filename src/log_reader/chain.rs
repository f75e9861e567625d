//! The files of one log, told apart by their inodes.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a file is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Inode {
    device: u64,
    number: u64,
}

/// One open file of a log.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) file: File,
    pub(super) inode: Inode,
}

/// Which file has the name `path` now; `None` when there is none.
pub(super) fn inode_at(path: &Path) -> io::Result<Option<Inode>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(Inode {
            device: metadata.dev(),
            number: metadata.ino(),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn open(path: &Path) -> io::Result<Option<LogFile>> {
    match File::open(path) {
        Ok(file) => {
            let metadata = file.metadata()?;
            let inode = Inode {
                device: metadata.dev(),
                number: metadata.ino(),
            };
            Ok(Some(LogFile { file, inode }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn rotated(path: &Path, age: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{age}"));
    name.into()
}

/// How often a chain that is being rotated is looked at anew. A rotation is a handful of renames;
/// one look more is nearly always enough.
const MOST_LOOKS: u32 = 1000;

/// Opens the files of the log at `path` that are newer than `known` (all, when it is `None` or no
/// longer there), oldest first. Whoever holds `known` must hold it open, or its inode could be
/// another file's by now.
///
/// A rotation moves the files one by one, the oldest first, and the newest name appears last. A look
/// that fell into one is thrown away: it met a gap, or the newest file is another one afterwards.
pub(super) fn open_newer_than(path: &Path, known: Option<Inode>) -> io::Result<Vec<LogFile>> {
    for _ in 0..MOST_LOOKS {
        let before = inode_at(path)?;
        if let Some(mut files) = look(path, known)?
            && inode_at(path)? == before
        {
            files.reverse();
            return Ok(files);
        }
        std::thread::yield_now();
    }
    Err(io::Error::other(format!(
        "{} is rotated faster than it can be read",
        path.display()
    )))
}

/// One look at the files, newest first; `None`: it fell into a rotation.
fn look(path: &Path, known: Option<Inode>) -> io::Result<Option<Vec<LogFile>>> {
    let mut files: Vec<LogFile> = Vec::new();
    for age in 0.. {
        let name = if age == 0 {
            path.to_owned()
        } else {
            rotated(path, age)
        };
        match open(&name)? {
            Some(file) if Some(file.inode) == known => break,
            // Moved between two opens.
            Some(file) if files.iter().any(|other| other.inode == file.inode) => return Ok(None),
            Some(file) => files.push(file),
            None if inode_at(&rotated(path, age + 1))?.is_some() => {
                // Between its last rename and the first line after it, a log has no newest file.
                if age == 0 && inode_at(path)?.is_none() {
                    continue;
                }
                return Ok(None);
            }
            None => break,
        }
    }
    Ok(Some(files))
}
