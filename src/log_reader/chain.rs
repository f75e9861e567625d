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

/// Opens the files of the log at `path` that are newer than `known` (all, when it is `None` or no
/// longer there), oldest first.
pub(super) fn open_newer_than(path: &Path, known: Option<Inode>) -> io::Result<Vec<LogFile>> {
    let mut files: Vec<LogFile> = Vec::new();
    for age in 0.. {
        let found = if age == 0 {
            open(path)?
        } else {
            open(&rotated(path, age))?
        };
        match found {
            Some(file) if Some(file.inode) == known => break,
            // Renamed between two opens: this is the file that was met under its younger name.
            Some(file) if files.iter().any(|other| other.inode == file.inode) => {}
            Some(file) => files.push(file),
            // In the middle of a rotation `FILE` is missing for an instant.
            None if age == 0 => {}
            None => break,
        }
    }
    files.reverse();
    Ok(files)
}
