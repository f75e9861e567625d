//! Finds where the last lines of one log begin, reading blocks from the ends of its files.

use std::io;
use std::os::unix::fs::FileExt;

use jiff::Timestamp;

use super::chain::LogFile;
use super::{Filter, LONGEST_LINE};
use crate::log_format::{Stream, read_record};

const BLOCK: usize = 64 * 1024;

/// More than the head of a record: time, stream, tag.
const HEAD: usize = 64;

/// Where a record begins, and what its head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    file: usize,
    offset: u64,
    /// Where it ends, its newline not counted.
    end: u64,
    time: Timestamp,
    /// The stream, and whether the line goes on in the next record; `None`: not a record.
    kind: Option<(Stream, bool)>,
}

/// A byte in a chain of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The file, counted from the oldest.
    pub(super) file: usize,
    /// The byte in it.
    pub(super) offset: u64,
}

/// Where a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineStart {
    /// The first byte of its first record.
    pub(super) place: Place,
    /// When the line was written.
    pub(super) time: Timestamp,
}

/// Walks the lines of a log from the last to the first.
pub(super) struct Backward<'a> {
    files: &'a [LogFile],
    /// The file being read and the end of what is still to be read of it.
    file: usize,
    end: u64,
    /// `block` holds the bytes of the file from `block_start` on.
    block: Vec<u8>,
    block_start: u64,
    last_time: Timestamp,
    ahead: Option<Found>,
    is_begun: bool,
    /// Which lines count; all, when there is none.
    filter: Option<&'a Filter>,
}

impl<'a> Backward<'a> {
    /// At the end of the newest of `files`, which are in the order of their age.
    pub(super) fn new(files: &'a [LogFile], filter: Option<&'a Filter>) -> Self {
        Self {
            files,
            file: files.len(),
            end: 0,
            block: Vec::new(),
            block_start: 0,
            last_time: Timestamp::MAX,
            ahead: None,
            is_begun: false,
            filter,
        }
    }

    /// At `place`, which is where a record begins: the record before it comes first.
    pub(super) fn from(self, place: Place) -> Self {
        Self {
            file: place.file,
            end: place.offset,
            block_start: place.offset,
            ..self
        }
    }

    /// The line that counts before the one that was returned last.
    pub(super) fn next_line(&mut self) -> io::Result<Option<LineStart>> {
        loop {
            let mut content = Vec::new();
            let Some(start) = self.next_any(&mut content)? else {
                return Ok(None);
            };
            if self.filter.is_none_or(|filter| filter.lets_pass(&content)) {
                return Ok(Some(start));
            }
        }
    }

    /// How far back the pieces of a line reach that goes on where this walk stands.
    pub(super) fn start_of_pieces(&mut self, of: Stream) -> io::Result<Option<Place>> {
        let mut start = None;
        while let Some(found) = self.next_record()?
            && found.kind == Some((of, true))
        {
            start = Some(Place {
                file: found.file,
                offset: found.offset,
            });
        }
        Ok(start)
    }

    /// The line before, whatever it says; its text is put into `content` if anybody looks at it.
    fn next_any(&mut self, content: &mut Vec<u8>) -> io::Result<Option<LineStart>> {
        if !self.is_begun {
            self.is_begun = true;
            self.ahead = self.next_record()?;
        }
        let last = loop {
            match self.ahead {
                None => return Ok(None),
                // A piece of a line that is not whole yet.
                Some(Found {
                    kind: Some((_, true)),
                    ..
                }) => self.ahead = self.next_record()?,
                Some(found) => break found,
            }
        };
        let mut first = last;
        self.put_before(last, content)?;
        self.ahead = self.next_record()?;
        // The pieces that a line was cut into stand before its last record.
        while let (Some(piece), Some((stream, _))) = (self.ahead, last.kind)
            && piece.kind == Some((stream, true))
        {
            first = piece;
            self.put_before(piece, content)?;
            self.ahead = self.next_record()?;
        }
        Ok(Some(LineStart {
            place: Place {
                file: first.file,
                offset: first.offset,
            },
            time: last.time,
        }))
    }

    /// Puts the text of a record before `content`.
    fn put_before(&mut self, found: Found, content: &mut Vec<u8>) -> io::Result<()> {
        if self.filter.is_none() {
            return Ok(());
        }
        let length = usize::try_from(found.end - found.offset).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(LONGEST_LINE + 2 * HEAD)];
        self.read(found.file, &mut bytes, found.offset)?;
        let text = read_record(&bytes).map_or(&bytes[..], |record| record.content);
        content.splice(0..0, text.iter().copied());
        content.truncate(LONGEST_LINE);
        Ok(())
    }

    /// Reads up to the end of the file, from the block where that holds it all.
    fn read(&self, file: usize, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        if file == self.file && at >= self.block_start {
            let from = usize::try_from(at - self.block_start).unwrap_or(usize::MAX);
            let held = self.block.get(from..from.saturating_add(buffer.len()));
            if let Some(held) = held {
                buffer.copy_from_slice(held);
                return Ok(buffer.len());
            }
        }
        let mut length = 0;
        while length < buffer.len() {
            let rest = &mut buffer[length..];
            match self.files[file].file.read_at(rest, at + length as u64)? {
                0 => break,
                read => length += read,
            }
        }
        Ok(length)
    }

    fn next_record(&mut self) -> io::Result<Option<Found>> {
        loop {
            while self.end == 0 {
                if self.file == 0 {
                    return Ok(None);
                }
                self.file -= 1;
                self.end = self.files[self.file].file.metadata()?.len();
                self.block.clear();
                self.block_start = self.end;
            }
            // The byte before `end` is the newline that ends the record, or the last byte of a
            // record that has none yet.
            let last = self.end - 1;
            let start = self.start_of_record(last)?;
            let has_newline = self.byte_at(last)? == b'\n';
            let is_empty = has_newline && start == last;
            let is_being_written = !has_newline && self.file + 1 == self.files.len();
            let found = self.judge(start, if has_newline { last } else { self.end })?;
            self.end = start;
            if !is_empty && !is_being_written {
                return Ok(Some(found));
            }
        }
    }

    /// Where the record begins whose last byte, its newline as a rule, is at `last`.
    fn start_of_record(&mut self, last: u64) -> io::Result<u64> {
        let mut before = last;
        loop {
            if before == 0 {
                return Ok(0);
            }
            if before <= self.block_start {
                self.fill_block_before(before)?;
            }
            let in_block = usize::try_from(before - self.block_start).unwrap_or(0);
            let newline = self.block[..in_block.min(self.block.len())]
                .iter()
                .rposition(|byte| *byte == b'\n');
            match newline {
                Some(at) => return Ok(self.block_start + at as u64 + 1),
                None => before = self.block_start,
            }
        }
    }

    fn byte_at(&self, offset: u64) -> io::Result<u8> {
        let mut byte = [0];
        self.read(self.file, &mut byte, offset)?;
        Ok(byte[0])
    }

    fn fill_block_before(&mut self, end: u64) -> io::Result<()> {
        let start = end.saturating_sub(BLOCK as u64);
        self.block
            .resize(usize::try_from(end - start).unwrap_or(BLOCK), 0);
        self.files[self.file]
            .file
            .read_exact_at(&mut self.block, start)?;
        self.block_start = start;
        Ok(())
    }

    fn judge(&mut self, start: u64, end: u64) -> io::Result<Found> {
        let mut head = [0; HEAD];
        let length = usize::try_from(end - start).unwrap_or(HEAD).min(HEAD);
        let read = self.read(self.file, &mut head[..length], start)?;
        let record = read_record(&head[..read]);
        if let Some(record) = record {
            self.last_time = record.time;
        }
        Ok(Found {
            file: self.file,
            offset: start,
            end,
            time: self.last_time,
            kind: record.map(|record| (record.stream, record.is_partial)),
        })
    }
}
