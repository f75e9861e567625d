//! Reads one log line by line, oldest first, across rotations.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use jiff::Timestamp;

use super::chain::{Inode, LogFile, inode_at, open_newer_than};
use super::{LONGEST_LINE, Line};
use crate::id::RunId;
use crate::log_format::{Stream, read_record};

/// A place in a log from which it is read on.
#[derive(Debug)]
pub(super) struct Cursor {
    path: PathBuf,
    /// Files to be read after the current one, oldest first.
    next: VecDeque<LogFile>,
    current: Option<Current>,
    /// The file that was read last: what is newer than it is still to be read.
    last: Option<Inode>,
    /// That file, once it was read to its end: as long as it is open, nobody else has its inode.
    held: Option<std::fs::File>,
    /// What was read of a record whose newline has not come yet.
    record: Vec<u8>,
    is_record_cut: bool,
    /// The pieces of lines that are not whole yet, of each stream.
    pieces: [Pieces; 2],
    /// Whether files were missing before the next line.
    is_after_gap: bool,
    last_time: Timestamp,
}

#[derive(Debug)]
struct Current {
    reader: BufReader<std::fs::File>,
    inode: Inode,
    /// Another file has its name now, so nothing more is written to it.
    is_final: bool,
}

#[derive(Debug, Default)]
struct Pieces {
    content: Vec<u8>,
    is_cut: bool,
    begins_run: Option<RunId>,
}

/// A record has a head of about forty bytes before its content.
const LONGEST_RECORD: usize = LONGEST_LINE + 128;

impl Cursor {
    /// Files before the one that is read are missing.
    pub(super) fn note_gap(&mut self) {
        self.is_after_gap = true;
    }

    /// At the start of the oldest of `files`, which must be in the order of their age.
    pub(super) fn new(path: PathBuf, files: Vec<LogFile>) -> Self {
        Self {
            path,
            next: files.into(),
            current: None,
            last: None,
            held: None,
            record: Vec::new(),
            is_record_cut: false,
            pieces: [Pieces::default(), Pieces::default()],
            is_after_gap: false,
            last_time: Timestamp::UNIX_EPOCH,
        }
    }

    /// At `offset` in the oldest of `files`.
    pub(super) fn new_at(path: PathBuf, mut files: Vec<LogFile>, offset: u64) -> io::Result<Self> {
        if let Some(first) = files.first_mut() {
            first.file.seek(SeekFrom::Start(offset))?;
        }
        Ok(Self::new(path, files))
    }

    /// The next whole line. `None`: there is none yet; ask again once the files have changed.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            if !self.has_current()? {
                return Ok(None);
            }
            if self.read_record_bytes()? {
                let record = std::mem::take(&mut self.record);
                let line = self.take_record(&record);
                // Gives the buffer back for the next record.
                self.record = record;
                self.record.clear();
                self.is_record_cut = false;
                if line.is_some() {
                    return Ok(line);
                }
                continue;
            }
            // The end of the current file, for now or for good.
            match self.turn()? {
                Turn::ReadOn => {}
                Turn::Wait => return Ok(None),
                Turn::Torn(line) => return Ok(Some(line)),
            }
        }
    }

    /// Whether there is a file to read from; takes the next one if need be.
    fn has_current(&mut self) -> io::Result<bool> {
        if self.current.is_some() {
            return Ok(true);
        }
        if self.next.is_empty() {
            let newer = open_newer_than(&self.path, self.last)?;
            if newer.has_gap {
                self.is_after_gap = true;
                // The lines that they begin end in what is missing.
                self.pieces = [Pieces::default(), Pieces::default()];
            }
            self.next = newer.files.into();
        }
        let Some(file) = self.next.pop_front() else {
            return Ok(false);
        };
        self.last = Some(file.inode);
        self.current = Some(Current {
            reader: BufReader::with_capacity(64 * 1024, file.file),
            inode: file.inode,
            is_final: !self.next.is_empty(),
        });
        Ok(true)
    }

    /// Reads up to the next newline into `self.record`; whether it came.
    fn read_record_bytes(&mut self) -> io::Result<bool> {
        let Some(current) = &mut self.current else {
            return Ok(false);
        };
        loop {
            let available = current.reader.fill_buf()?;
            if available.is_empty() {
                return Ok(false);
            }
            let newline = available.iter().position(|byte| *byte == b'\n');
            let end = newline.unwrap_or(available.len());
            let room = LONGEST_RECORD.saturating_sub(self.record.len());
            self.is_record_cut |= end > room;
            self.record.extend_from_slice(&available[..end.min(room)]);
            current.reader.consume(newline.map_or(end, |at| at + 1));
            if newline.is_some() {
                return Ok(true);
            }
        }
    }

    /// Makes a line of a record, or keeps it as a piece of one.
    fn take_record(&mut self, bytes: &[u8]) -> Option<Line> {
        let Some(record) = read_record(bytes) else {
            return (!bytes.is_empty()).then(|| self.raw_line(bytes));
        };
        self.last_time = record.time;
        let pieces = &mut self.pieces[usize::from(record.stream == Stream::Stderr)];
        let room = LONGEST_LINE.saturating_sub(pieces.content.len());
        pieces.is_cut |= self.is_record_cut || record.content.len() > room;
        pieces
            .content
            .extend_from_slice(&record.content[..record.content.len().min(room)]);
        pieces.begins_run = pieces.begins_run.or(record.begins_run);
        if record.is_partial {
            return None;
        }
        let Pieces {
            content,
            is_cut,
            begins_run,
        } = std::mem::take(pieces);
        Some(Line {
            time: record.time,
            stream: record.stream,
            content,
            is_cut,
            begins_run,
            is_after_gap: std::mem::take(&mut self.is_after_gap),
        })
    }

    /// A line that is not in the format: shown as it is rather than dropped, at the time of the one
    /// before it.
    fn raw_line(&mut self, bytes: &[u8]) -> Line {
        Line {
            time: self.last_time,
            stream: Stream::Stdout,
            content: bytes.to_vec(),
            is_cut: self.is_record_cut,
            begins_run: None,
            is_after_gap: std::mem::take(&mut self.is_after_gap),
        }
    }

    /// What to do at the end of the current file.
    fn turn(&mut self) -> io::Result<Turn> {
        let Some(current) = &mut self.current else {
            return Ok(Turn::ReadOn);
        };
        if !current.is_final {
            let newest = inode_at(&self.path)?;
            if newest.is_none() || newest == Some(current.inode) {
                return Ok(Turn::Wait);
            }
            current.is_final = true;
            return Ok(Turn::ReadOn);
        }
        self.held = self
            .current
            .take()
            .map(|current| current.reader.into_inner());
        if self.record.is_empty() {
            return Ok(Turn::ReadOn);
        }
        let torn = std::mem::take(&mut self.record);
        let line = self.take_record(&torn);
        self.is_record_cut = false;
        Ok(line.map_or(Turn::ReadOn, Turn::Torn))
    }
}

enum Turn {
    /// There is more to read, here or in the next file.
    ReadOn,
    /// There is no more for now.
    Wait,
    /// The file ended within a record: a crash or a full disk cut it.
    Torn(Line),
}
