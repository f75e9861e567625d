//! Reads the logs of services: merged by time, from the start or from the end, and followed.
//!
//! A service's log is a chain of files: `FILE` is being written, `FILE.1` was before it, up to
//! `FILE.N`, the oldest. The reader needs nobody's help: it works while a supervisor writes and
//! while none runs. It holds three promises.
//!
//! **Nothing is lost or doubled by a rotation.** Files are told apart by their inode, never by their
//! name, and are kept open while they matter. A chain is opened from the newest file to the oldest,
//! so that a file that is renamed meanwhile is met twice (and recognised) rather than never. When
//! the file at the end of the chain is found to be rotated away, it is read to its end once more,
//! since the writer may have added lines before it turned, and only then is the next one begun.
//!
//! **What is missing is told.** A reader that is slower than the log is rotated loses files, and goes
//! on with what is left. The first line after such a gap says so ([`Line::is_after_gap`]). A file
//! tells which one was before it, so a reader that lost nothing claims no loss.
//!
//! **Memory does not depend on the size of the logs.** Going forward, each service holds one buffer
//! and one line of at most [`LONGEST_LINE`] bytes. Going back for the last lines, only positions are
//! kept: the files are read in blocks from their ends until enough lines were counted, and then
//! forward from there. A time is found by halving: the lines of a log stand in the order of time,
//! as the clock went.

mod backward;
mod chain;
mod follow;
mod forward;
mod merge;
mod seek;

pub use follow::{Watch, Woken};
pub use merge::{Merged, Start};

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::id::{RunId, ServiceName};
use crate::log_format::Stream;

/// How many bytes of one line are kept; what goes beyond is cut off.
pub const LONGEST_LINE: usize = 256 * 1024;

/// One line of a service's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When its last byte was read from the service.
    pub time: Timestamp,
    /// Where it came from.
    pub stream: Stream,
    /// The line without its newline: any bytes.
    pub content: Vec<u8>,
    /// Whether bytes beyond [`LONGEST_LINE`] are missing at its end.
    pub is_cut: bool,
    /// The run that begins with this line.
    pub begins_run: Option<RunId>,
    /// Whether lines before this one were rotated away before they were read.
    pub is_after_gap: bool,
}

/// One log, and which of its lines are looked at.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file that is being written; those that were before it stand beside it.
    pub path: PathBuf,
    /// No line before this.
    pub since: Option<Timestamp>,
    /// No line after this.
    pub until: Option<Timestamp>,
}

impl Source {
    /// All lines of the log at `path`.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            since: None,
            until: None,
        }
    }
}

/// The log of a service among the logs in `directory`.
pub fn path_of(directory: &Path, service: &ServiceName) -> PathBuf {
    directory.join(format!("{service}.log"))
}

/// The services that have left a log in `directory`, by name.
///
/// # Errors
/// A directory that exists and cannot be read.
pub fn logged(directory: &Path) -> io::Result<Vec<ServiceName>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names: Vec<ServiceName> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let name = Path::new(&name);
            (name.extension()? == "log").then_some(())?;
            ServiceName::new(name.file_stem()?.to_str()?).ok()
        })
        .collect();
    names.sort();
    Ok(names)
}

type Judge = dyn Fn(&[u8]) -> bool + Send + Sync;

/// Which lines are wanted, by what they say.
pub struct Filter(Box<Judge>);

impl Filter {
    /// Those of which `judge` says so.
    pub fn new(judge: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(judge))
    }

    fn lets_pass(&self, content: &[u8]) -> bool {
        (self.0)(content)
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Filter")
    }
}

#[cfg(test)]
mod tests;
