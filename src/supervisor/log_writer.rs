//! One service's log on disk: records appended to a file, rotated by size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::log_format::{Record, write_record};
use crate::manifest::model::Log;

/// The log that is being written, and its bounds.
#[derive(Debug)]
pub(super) struct LogWriter {
    path: PathBuf,
    bounds: Log,
    file: Option<File>,
    inode: u64,
    size: u64,
    /// The inode of the file that was rotated away last, until its successor has named it.
    before: Option<u64>,
    buffer: Vec<u8>,
    /// Whole lines in the buffer.
    lines: u64,
}

impl LogWriter {
    pub(super) fn new(path: PathBuf, bounds: Log) -> Self {
        let found = fs::metadata(&path);
        let (inode, size) = found.map_or((0, 0), |found| (found.ino(), found.len()));
        // A writer that was killed may have rotated and written nothing since.
        let before = match inode {
            0 => fs::metadata(numbered(&path, 1)).ok(),
            _ => None,
        };
        Self {
            path,
            bounds,
            file: None,
            inode,
            size,
            before: before.map(|found| found.ino()),
            buffer: Vec::new(),
            lines: 0,
        }
    }

    /// Takes over new bounds; they hold from the next record on.
    pub(super) fn set_bounds(&mut self, bounds: Log) {
        self.bounds = bounds;
    }

    /// Goes on where a writer that was killed had last made sure of: the file with this inode was
    /// this long. What is beyond that is cut off. The file may have been rotated away since; then
    /// nothing was written into its successor.
    pub(super) fn resume(&mut self, inode: u64, length: u64) -> io::Result<()> {
        for path in [self.path.clone(), numbered(&self.path, 1)] {
            let file = match OpenOptions::new().append(true).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let found = file.metadata()?;
            if found.ino() == inode && found.len() > length {
                file.set_len(length)?;
                if self.inode == inode {
                    self.size = length;
                }
            }
        }
        Ok(())
    }

    /// Whether a record with so much content fits into the file that is being written.
    pub(super) fn has_room(&self, content: usize) -> bool {
        let taken = self.size + self.buffer.len() as u64;
        taken == 0 || taken + (HEAD + content) as u64 <= self.bounds.max_size
    }

    /// Puts a record into the buffer, the first of a file with the name of the file before it; [`LogWriter::flush`] writes it.
    pub(super) fn push(&mut self, record: &Record<'_>) {
        let is_first = self.size == 0 && self.buffer.is_empty();
        let record = &Record {
            after_file: self.before.take().filter(|_| is_first),
            ..*record
        };
        write_record(&mut self.buffer, record);
        self.lines += u64::from(!record.is_partial);
    }

    /// Whether there is something to flush.
    pub(super) fn is_pending(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Opens the file, if need be; whether it was not the one before.
    pub(super) fn open(&mut self) -> io::Result<bool> {
        // A file that somebody removed goes on to exist for us alone.
        if let Some(file) = &self.file
            && file.metadata()?.nlink() > 0
        {
            return Ok(false);
        }
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)?;
        let found = file.metadata()?;
        self.size = found.len();
        self.inode = found.ino();
        if self.size > 0 && !ends_with_newline(&self.path)? {
            file.write_all(b"\n")?;
            self.size += 1;
        }
        self.file = Some(file);
        Ok(true)
    }

    /// Writes what is in the buffer. What cannot be written is dropped, whole: a full disk must not
    /// fill the memory too.
    ///
    /// # Errors
    /// How many lines were dropped, and why.
    pub(super) fn flush(&mut self) -> Result<(), (u64, io::Error)> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let lines = std::mem::take(&mut self.lines);
        let written = match &mut self.file {
            Some(file) => file.write_all(&buffer),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        match written {
            Ok(()) => self.size += buffer.len() as u64,
            Err(_) => {
                // Part of it may stand there.
                if let Some(file) = self.file.take() {
                    let _ = file.set_len(self.size);
                }
            }
        }
        buffer.clear();
        self.buffer = buffer;
        written.map_err(|error| (lines, error))
    }

    /// Drops what is in the buffer; how many lines that were.
    pub(super) fn drop_pending(&mut self) -> u64 {
        self.buffer.clear();
        std::mem::take(&mut self.lines)
    }

    /// The inode of the file, 0 when there is none yet, and its length.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.inode, self.size)
    }

    /// Moves the file out of the way; the next record begins another.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        self.before = Some(self.inode).filter(|inode| *inode != 0);
        (self.inode, self.size) = (0, 0);
        // `keep` counts the file being written too.
        let oldest = self.bounds.keep.saturating_sub(1);
        if oldest == 0 {
            return ignore_missing(fs::remove_file(&self.path));
        }
        // Up to the first gap, which a kill in the middle of these may have left: what is beyond it
        // has moved already.
        let gap = (1..oldest)
            .find(|number| !numbered(&self.path, *number).exists())
            .unwrap_or(oldest);
        for number in (1..gap).rev() {
            ignore_missing(fs::rename(
                numbered(&self.path, number),
                numbered(&self.path, number + 1),
            ))?;
        }
        ignore_missing(fs::rename(&self.path, numbered(&self.path, 1)))
    }
}

/// How long the head of a record is: the time to the nanosecond, the stream, the tag, the spaces
/// between them, and the newline at its end.
const HEAD: usize = "2026-03-01T08:15:30.000000042Z stdout F \n".len();

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn ends_with_newline(path: &Path) -> io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last[0] == b'\n')
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_format::Stream;

    fn record(text: &str) -> Record<'_> {
        Record {
            time: jiff::Timestamp::UNIX_EPOCH,
            stream: Stream::Stdout,
            is_partial: false,
            begins_run: None,
            after_file: None,
            content: text.as_bytes(),
        }
    }

    fn write(writer: &mut LogWriter, text: &str) {
        if !writer.has_room(text.len()) {
            writer.rotate().unwrap();
        }
        writer.open().unwrap();
        writer.push(&record(text));
        writer.flush().unwrap();
    }

    fn writer(path: &Path, max_size: u64, keep: u32) -> LogWriter {
        LogWriter::new(path.to_owned(), Log { max_size, keep })
    }

    #[test]
    fn the_length_of_a_head_is_known() {
        let mut bytes = Vec::new();
        write_record(&mut bytes, &record(""));
        assert_eq!(bytes.len(), HEAD);
    }

    #[test]
    fn rotation_loses_and_doubles_nothing_that_it_keeps() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("web.log");
        let mut writer = writer(&path, 400, 3);
        for number in 0..20 {
            write(&mut writer, &format!("line {number:02}"));
        }
        let read = |name: &str| fs::read_to_string(scratch.path().join(name)).unwrap();
        let all = read("web.log.2") + &read("web.log.1") + &read("web.log");
        let numbers: Vec<&str> = all
            .lines()
            .map(|line| line.rsplit(' ').next().unwrap())
            .collect();
        let first: usize = numbers[0].parse().unwrap();
        let expected: Vec<String> = (first..20).map(|number| format!("{number:02}")).collect();
        assert_eq!(numbers, expected);
        assert!(!scratch.path().join("web.log.3").exists());
        for name in ["web.log", "web.log.1", "web.log.2"] {
            assert!(fs::metadata(scratch.path().join(name)).unwrap().len() <= 400);
        }
    }

    #[test]
    fn a_rotation_that_was_cut_short_costs_no_file() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("web.log");
        fs::write(&path, "new\n").unwrap();
        // `.1` had moved to `.2` when the kill came.
        fs::write(numbered(&path, 2), "old\n").unwrap();
        writer(&path, 400, 3).rotate().unwrap();
        assert_eq!(fs::read_to_string(numbered(&path, 1)).unwrap(), "new\n");
        assert_eq!(fs::read_to_string(numbered(&path, 2)).unwrap(), "old\n");
    }

    #[test]
    fn a_half_written_record_of_an_earlier_life_does_not_swallow_the_next() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("web.log");
        fs::write(&path, "1970-01-01T00:00:00Z stdout F hal").unwrap();
        write(&mut writer(&path, 1 << 20, 2), "whole");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().nth(1).unwrap().ends_with(" F whole"), "{text}");
    }

    #[test]
    fn what_was_written_and_not_made_sure_of_is_cut_off_also_after_a_rotation() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("web.log");
        let mut first = writer(&path, 1 << 20, 3);
        write(&mut first, "sure");
        let (inode, length) = first.place();
        write(&mut first, "not sure");
        writer(&path, 1 << 20, 3).resume(inode, length).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), length);
        write(&mut first, "again not sure");
        first.rotate().unwrap();
        writer(&path, 1 << 20, 3).resume(inode, length).unwrap();
        assert_eq!(fs::metadata(numbered(&path, 1)).unwrap().len(), length);
    }

    #[test]
    fn a_file_that_was_removed_is_followed_by_another() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("logs/web.log");
        let mut writer = writer(&path, 1 << 20, 3);
        write(&mut writer, "one");
        fs::remove_dir_all(scratch.path().join("logs")).unwrap();
        write(&mut writer, "two");
        assert!(fs::read_to_string(&path).unwrap().ends_with(" F two\n"));
    }
}
