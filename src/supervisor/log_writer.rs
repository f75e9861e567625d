//! One service's log on disk: records appended to a file, rotated by size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::log_format::{Record, write_record};
use crate::manifest::model::Log;

/// The log that is being written, and its bounds.
#[derive(Debug)]
pub(super) struct LogWriter {
    path: PathBuf,
    bounds: Log,
    file: Option<File>,
    size: u64,
    buffer: Vec<u8>,
}

impl LogWriter {
    pub(super) fn new(path: PathBuf, bounds: Log) -> Self {
        Self {
            path,
            bounds,
            file: None,
            size: 0,
            buffer: Vec::new(),
        }
    }

    /// Takes over new bounds; they hold from the next record on.
    pub(super) fn set_bounds(&mut self, bounds: Log) {
        self.bounds = bounds;
    }

    /// Puts a record into the buffer; [`LogWriter::flush`] writes it.
    pub(super) fn push(&mut self, record: &Record<'_>) -> io::Result<()> {
        let start = self.buffer.len();
        write_record(&mut self.buffer, record);
        let length = (self.buffer.len() - start) as u64;
        let pending = start as u64;
        if self.size + pending > 0 && self.size + pending + length > self.bounds.max_size {
            let record = self.buffer.split_off(start);
            let rotated = self.flush().and_then(|()| self.rotate());
            self.buffer = record;
            rotated?;
        }
        Ok(())
    }

    /// Writes what is in the buffer. What cannot be written is dropped: a full disk must not fill
    /// the memory too.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.open().and_then(|file| file.write_all(&buffer));
        self.size += buffer.len() as u64;
        if written.is_err() {
            // Part of a record may stand at the end; the next one begins on a new line or file.
            self.file = None;
        }
        self.buffer = buffer;
        self.buffer.clear();
        written
    }

    fn open(&mut self) -> io::Result<&mut File> {
        match self.file {
            Some(ref mut file) => Ok(file),
            None => {
                let mut file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .mode(0o600)
                    .open(&self.path)?;
                self.size = file.metadata()?.len();
                if self.size > 0 && !ends_with_newline(&self.path)? {
                    file.write_all(b"\n")?;
                }
                Ok(self.file.insert(file))
            }
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        self.size = 0;
        let numbered = |number: u32| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        // `keep` counts the file being written too.
        let oldest = self.bounds.keep.saturating_sub(1);
        if oldest == 0 {
            return ignore_missing(fs::remove_file(&self.path));
        }
        for number in (1..oldest).rev() {
            ignore_missing(fs::rename(numbered(number), numbered(number + 1)))?;
        }
        ignore_missing(fs::rename(&self.path, numbered(1)))
    }
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

    fn push(writer: &mut LogWriter, text: &str) {
        let record = Record {
            time: jiff::Timestamp::UNIX_EPOCH,
            stream: Stream::Stdout,
            is_partial: false,
            content: text.as_bytes(),
        };
        writer.push(&record).unwrap();
    }

    #[test]
    fn rotation_loses_and_doubles_nothing_that_it_keeps() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("web.log");
        let mut writer = LogWriter::new(
            path.clone(),
            Log {
                max_size: 400,
                keep: 3,
            },
        );
        for number in 0..20 {
            push(&mut writer, &format!("line {number:02}"));
            if number % 3 == 0 {
                writer.flush().unwrap();
            }
        }
        writer.flush().unwrap();
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
    fn a_half_written_record_of_an_earlier_life_does_not_swallow_the_next() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("web.log");
        fs::write(&path, "1970-01-01T00:00:00Z stdout F hal").unwrap();
        let mut writer = LogWriter::new(
            path.clone(),
            Log {
                max_size: 1 << 20,
                keep: 2,
            },
        );
        push(&mut writer, "whole");
        writer.flush().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().nth(1).unwrap().ends_with(" F whole"), "{text}");
    }
}
