//! The files of one log, told apart by their inodes.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::log_format::read_record;

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

/// The files of a log that are newer than one that was read.
#[derive(Debug)]
pub(super) struct Newer {
    /// Oldest first.
    pub(super) files: Vec<LogFile>,
    /// Whether files between the one that was read and these are missing.
    pub(super) has_gap: bool,
}

impl Inode {
    /// Whether a record names this file as the one before its own.
    fn is(self, number: u64) -> bool {
        self.number == number
    }
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
/// that fell into one is thrown away: it met a gap, or the newest file is another one afterwards. A log
/// that is rotated all the time is read from its newest file on.
pub(super) fn open_newer_than(path: &Path, known: Option<Inode>) -> io::Result<Newer> {
    for _ in 0..MOST_LOOKS {
        let before = inode_at(path)?;
        if let Some(Look { mut files, met }) = look(path, known)?
            && inode_at(path)? == before
        {
            files.reverse();
            let has_gap = match (known, files.first()) {
                (Some(known), Some(oldest)) if !met => !comes_after(oldest, known)?,
                _ => false,
            };
            return Ok(Newer { files, has_gap });
        }
        std::thread::yield_now();
    }
    let newest = open(path)?.filter(|file| Some(file.inode) != known);
    Ok(Newer {
        has_gap: newest.is_some(),
        files: newest.into_iter().collect(),
    })
}

/// Whether `known` was the file right before this one, as its first record says.
fn comes_after(file: &LogFile, known: Inode) -> io::Result<bool> {
    let mut head = [0; LONGEST_HEAD];
    let length = file.file.read_at(&mut head, 0)?;
    let record = read_record(&head[..length]);
    let before = record.and_then(|record| record.after_file);
    Ok(before.is_some_and(|number| known.is(number)))
}

/// Longer than the head of any record: the time, the stream and the tags.
const LONGEST_HEAD: usize = 160;

/// The files of one look.
struct Look {
    /// Newest first.
    files: Vec<LogFile>,
    /// Whether the file was met up to which it looked.
    met: bool,
}

/// One look at the files that are newer than `known`; `None`: it fell into a rotation.
fn look(path: &Path, known: Option<Inode>) -> io::Result<Option<Look>> {
    let mut files: Vec<LogFile> = Vec::new();
    for age in 0.. {
        let name = if age == 0 {
            path.to_owned()
        } else {
            rotated(path, age)
        };
        match open(&name)? {
            Some(file) if Some(file.inode) == known => return Ok(Some(Look { files, met: true })),
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
    Ok(Some(Look { files, met: false }))
}
