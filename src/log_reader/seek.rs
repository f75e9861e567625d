//! Finds a time in a log by halving, so that a day in the past is as near as the last minute.

use std::io;
use std::os::unix::fs::FileExt;

use jiff::Timestamp;

use super::backward::{Backward, Place};
use super::chain::LogFile;
use crate::log_format::{Stream, read_record};

/// Below this, what is left is read through.
const BLOCK: u64 = 64 * 1024;

/// A record as far as its head.
#[derive(Debug, Clone, Copy)]
struct Head {
    offset: u64,
    /// Where the next record begins.
    next: u64,
    time: Timestamp,
    stream: Stream,
}

/// Where the first line begins that was written at `time` or later; the end, when there is none.
/// The lines of a log stand in the order of time unless the clock was set back meanwhile; then this
/// is one of the places where the times pass `time`.
pub(super) fn first_at_or_after(files: &[LogFile], time: Timestamp) -> io::Result<Place> {
    // The last file that begins before `time` has the place, or it is where the next one begins.
    let mut file = files.len();
    while file > 0 {
        file -= 1;
        let first = next_head(&files[file], 0)?;
        if first.is_some_and(|head| head.time < time) {
            break;
        }
    }
    let Some(searched) = files.get(file) else {
        return Ok(Place { file: 0, offset: 0 });
    };
    let (offset, stream) = search(searched, time)?;
    let place = Place { file, offset };
    // A long line is many records, and belongs where its last one is.
    let pieces = match stream {
        Some(stream) => Backward::new(files, None)
            .from(place)
            .start_of_pieces(stream)?,
        None => None,
    };
    Ok(pieces.unwrap_or(place))
}

/// The place in one file, and the stream of the record that stands there.
fn search(file: &LogFile, time: Timestamp) -> io::Result<(u64, Option<Stream>)> {
    // Every record that begins before `low` is too early; the one wanted begins at `high` or before.
    let mut low = 0;
    let mut high = file.file.metadata()?.len();
    let end = high;
    while high.saturating_sub(low) > BLOCK {
        let middle = low + (high - low) / 2;
        match next_head(file, middle)? {
            Some(head) if head.offset < high && head.time < time => low = head.next,
            _ => high = middle,
        }
    }
    let mut at = low;
    // The first record behind `low` need not begin there: what stands between is no record.
    while let Some(head) = head_from(file, at)? {
        if head.time >= time {
            return Ok((head.offset, Some(head.stream)));
        }
        at = head.next;
    }
    Ok((end, None))
}

/// The first record that begins at `at` or later.
fn next_head(file: &LogFile, at: u64) -> io::Result<Option<Head>> {
    if at == 0 {
        return head_from(file, 0);
    }
    match newline_at_or_after(file, at - 1)? {
        Some(newline) => head_from(file, newline + 1),
        None => Ok(None),
    }
}

/// The first record at `at`, where a line begins, or later.
fn head_from(file: &LogFile, mut at: u64) -> io::Result<Option<Head>> {
    let mut head = [0; 64];
    loop {
        let read = file.file.read_at(&mut head, at)?;
        let Some(newline) = newline_at_or_after(file, at)? else {
            return Ok(None);
        };
        let length = usize::try_from(newline - at)
            .unwrap_or(usize::MAX)
            .min(read);
        if let Some(record) = read_record(&head[..length]) {
            return Ok(Some(Head {
                offset: at,
                next: newline + 1,
                time: record.time,
                stream: record.stream,
            }));
        }
        at = newline + 1;
    }
}

fn newline_at_or_after(file: &LogFile, mut at: u64) -> io::Result<Option<u64>> {
    let mut bytes = [0; 4096];
    loop {
        let read = file.file.read_at(&mut bytes, at)?;
        if read == 0 {
            return Ok(None);
        }
        if let Some(newline) = bytes[..read].iter().position(|byte| *byte == b'\n') {
            return Ok(Some(at + newline as u64));
        }
        at += read as u64;
    }
}
