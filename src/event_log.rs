//! The event log on disk: `events.jsonl`, appended to, rotated by size.
//!
//! A line is written with one system call to a file that is open for appending, so the lines of a
//! supervisor and of its guardian do not mix, and a kill leaves a line whole or, on a full disk, torn;
//! after a torn one the next begins on a new line, and readers skip it. Only a supervisor rotates,
//! and only one that holds the project's lock writes.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::event::{Event, What};
use crate::id::ServiceName;
use crate::machine::StateWord;

/// How large one file may become, in bytes: some five thousand events.
const LARGEST: u64 = 1 << 20;

/// How many files there are at most, the one being written among them.
const KEPT: u32 = 4;

/// The log, open for more.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: Option<File>,
    largest: u64,
    /// How many events could not be written since one last could.
    lost: u64,
}

impl EventLog {
    /// The log at `path`. Nothing is opened before there is something to write.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            largest: LARGEST,
            lost: 0,
        }
    }

    /// Adds an event. What cannot be written is dropped and counted: history is no reason to stop
    /// supervising.
    ///
    /// # Errors
    /// The first failure in a row. Later ones are only counted.
    pub fn add(&mut self, event: &Event) -> io::Result<()> {
        match self.write(event.text().as_bytes()) {
            Ok(()) => {
                self.lost = 0;
                Ok(())
            }
            Err(error) => {
                self.file = None;
                self.lost += 1;
                if self.lost == 1 { Err(error) } else { Ok(()) }
            }
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if let Some(file) = &self.file
            && file.metadata()?.len() + line.len() as u64 > self.largest
        {
            self.file = None;
            rotate(&self.path)?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open(&self.path)?),
        };
        file.write_all(line)
    }
}

/// Adds an event without rotating, for whoever does not hold the project's lock.
///
/// # Errors
/// When it cannot be written.
pub fn add_one(path: &Path, event: &Event) -> io::Result<()> {
    open(path)?.write_all(event.text().as_bytes())
}

/// The state that each service came into last, as far as the log reaches back.
pub fn last_states(path: &Path) -> BTreeMap<ServiceName, StateWord> {
    let mut states = BTreeMap::new();
    for path in [numbered(path, 1), path.to_owned()] {
        // One that is missing or cannot be read tells nothing.
        let text = fs::read(path).unwrap_or_default();
        for event in text.split(|byte| *byte == b'\n').filter_map(Event::read) {
            if let What::Service(change) = event.what {
                states.insert(change.service, change.to);
            }
        }
    }
    states
}

fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn rotate(path: &Path) -> io::Result<()> {
    let numbered = |number| numbered(path, number);
    let moves = (1..KEPT - 1)
        .rev()
        .map(|number| (numbered(number), numbered(number + 1)))
        .chain([(path.to_owned(), numbered(1))]);
    for (from, to) in moves {
        match fs::rename(from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Did, Supervision};
    use jiff::Timestamp;

    fn event(pid: i32) -> Event {
        let supervision = Supervision {
            did: Did::Began,
            pid,
            detail: None,
        };
        Event::at(Timestamp::UNIX_EPOCH, What::Supervisor(supervision))
    }

    fn pids(path: &Path) -> Vec<i32> {
        let text = fs::read(path).unwrap_or_default();
        text.split(|byte| *byte == b'\n')
            .filter_map(Event::read)
            .filter_map(|event| match event.what {
                What::Supervisor(one) => Some(one.pid),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn it_is_bounded_and_keeps_the_newest() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("events.jsonl");
        let mut log = EventLog::new(path.clone());
        log.largest = 1000;
        for pid in 0..200 {
            log.add(&event(pid)).unwrap();
        }
        let names = [
            "events.jsonl.3",
            "events.jsonl.2",
            "events.jsonl.1",
            "events.jsonl",
        ];
        let kept: Vec<i32> = names
            .iter()
            .flat_map(|name| pids(&scratch.path().join(name)))
            .collect();
        let expected: Vec<i32> = (200 - i32::try_from(kept.len()).unwrap()..200).collect();
        assert_eq!(kept, expected);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), names.len());
    }

    #[test]
    fn a_torn_line_swallows_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("events.jsonl");
        fs::write(&path, &event(1).text()[..20]).unwrap();
        EventLog::new(path.clone()).add(&event(2)).unwrap();
        add_one(&path, &event(3)).unwrap();
        assert_eq!(pids(&path), [2, 3]);
    }

    #[test]
    fn only_the_first_failure_in_a_row_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let mut log = EventLog::new(scratch.path().join("missing/events.jsonl"));
        log.add(&event(1)).unwrap_err();
        log.add(&event(2)).unwrap();
        fs::create_dir(scratch.path().join("missing")).unwrap();
        log.add(&event(3)).unwrap();
        assert_eq!(pids(&scratch.path().join("missing/events.jsonl")), [3]);
    }
}
