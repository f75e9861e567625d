//! From the bytes of a service's streams to the records of its log.
//!
//! How the bytes are cut into records depends on the bytes alone, not on how they came: a record
//! that is written again after a kill is the same record.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use regex::bytes::Regex;
use tokio::sync::watch;

use super::super::log_writer::LogWriter;
use super::bookmark::{Bookmark, Place};
use super::spool::Spool;
use crate::id::RunId;
use crate::log_format::plain::is_match;
use crate::log_format::{Record, Stream};
use crate::manifest::model::Log;

/// The longest content of one record, in bytes: what the container runtimes use.
pub(super) const LONGEST_PIECE: usize = 16 << 10;

/// Waits for a line of output.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) pattern: Regex,
    pub(super) heard: watch::Sender<Heard>,
}

/// What a watch has heard of a run's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Heard {
    /// The run has printed nothing since the watch began.
    Nothing,
    /// The run has printed something, and no line of it matches.
    Other,
    /// A line matches.
    Match,
}

impl Watch {
    /// Takes note of a line; returns whether it matches.
    fn hear(&self, content: &[u8]) -> bool {
        let heard = if is_match(&self.pattern, content) {
            Heard::Match
        } else {
            Heard::Other
        };
        self.heard
            .send_if_modified(|known| std::mem::replace(known, heard) != heard);
        heard == Heard::Match
    }
}

#[derive(Debug)]
pub(super) struct Sink {
    writer: LogWriter,
    spools: [Spool; 2],
    bookmark: Bookmark,
    pub(super) watch: Option<Watch>,
    lost: Lost,
    /// The run that begins with the next record.
    beginning: Option<RunId>,
}

/// What could not be written lately.
#[derive(Debug, Default)]
struct Lost {
    lines: u64,
    /// Empty: nothing was lost.
    why: String,
    /// When it was last told: on a disk that is full but for a few bytes it comes and goes.
    told: Option<Instant>,
}

/// How often it is told at most.
const TOLD_EVERY: Duration = Duration::from_secs(60);

impl Sink {
    /// The sink for the log at `log`; what it keeps besides lies at `stem` with various endings.
    pub(super) fn open(stem: &Path, log: PathBuf, bounds: Log) -> Self {
        let ending = |ending: &str| {
            let mut name = stem.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        let (bookmark, place) = Bookmark::open(&ending(".place"));
        let mut writer = LogWriter::new(log, bounds);
        if place.inode != 0
            && let Err(error) = writer.resume(place.inode, place.length)
        {
            eprintln!("a log cannot be taken up where it was left: {error}");
        }
        let spool = |stream: Stream| {
            let (generation, offset) = place.spools[index(stream)];
            Spool::open(
                ending(&format!(".{}.spool", stream.word())),
                generation,
                offset,
            )
        };
        let mut sink = Self {
            writer,
            spools: [spool(Stream::Stdout), spool(Stream::Stderr)],
            bookmark,
            watch: None,
            lost: Lost::default(),
            beginning: None,
        };
        // What an earlier supervisor took from the FIFOs and had no time to write.
        sink.write(Stream::Stdout, false);
        sink.write(Stream::Stderr, false);
        sink.mark();
        sink
    }

    pub(super) fn set_bounds(&mut self, bounds: Log) {
        self.writer.set_bounds(bounds);
    }

    /// What is read from now on was printed by this run.
    pub(super) fn begin_run(&mut self, run: RunId) {
        self.beginning = Some(run);
    }

    /// Brings what is in the FIFO into the log, one chunk of it.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing is in it.
    pub(super) fn take(&mut self, stream: Stream, fifo: BorrowedFd<'_>) -> io::Result<usize> {
        let taken = self.spools[index(stream)].fill(fifo)?;
        self.write(stream, false);
        Ok(taken)
    }

    /// What has no end of line yet gets none any more.
    pub(super) fn finish_line(&mut self, stream: Stream) {
        self.write(stream, true);
    }

    /// Makes records of the spool's bytes; of the last line too, if `is_end` says that it is whole.
    fn write(&mut self, stream: Stream, is_end: bool) {
        let rest = match self.spools[index(stream)].rest() {
            Ok(rest) => rest,
            Err(error) => {
                self.spools[index(stream)].give_up();
                return self.lose(0, &error);
            }
        };
        let time = Timestamp::now();
        let mut cutting = Cutting {
            stream,
            time,
            left: &rest,
            done: 0,
        };
        while let Some((piece, is_partial)) = cutting.next(is_end) {
            self.record(&mut cutting, piece, is_partial);
        }
        self.commit(&mut cutting);
        let spool = &mut self.spools[index(stream)];
        if spool.tidy() {
            self.mark();
            self.spools[index(stream)].forget_older();
        }
    }

    fn record(&mut self, cutting: &mut Cutting<'_>, piece: Piece<'_>, is_partial: bool) {
        // A terminal ends its lines with a carriage return too: not content.
        let content = match piece.content.strip_suffix(b"\r") {
            Some(content) if !is_partial => content,
            _ => piece.content,
        };
        if !self.writer.has_room(content.len()) {
            self.commit(cutting);
            if let Err(error) = self.writer.rotate() {
                eprintln!("a log cannot be rotated: {error}");
            }
        }
        self.writer.push(&Record {
            time: cutting.time,
            stream: cutting.stream,
            is_partial,
            begins_run: self.beginning.take(),
            after_file: None,
            content,
        });
        cutting.done += piece.length;
        if let Some(watch) = &self.watch
            && !is_partial
            && watch.hear(content)
        {
            self.watch = None;
        }
    }

    /// Whether a line without an end is waited on: it may be what the watch is for.
    pub(super) fn has_watched_rest(&self, stream: Stream) -> bool {
        self.watch.is_some() && self.spools[index(stream)].has_rest()
    }

    /// Compares a line without an end, a prompt for instance, with what is watched for. It stays
    /// what it is: more of the line may come.
    pub(super) fn hear_rest(&mut self, stream: Stream) {
        let Some(watch) = &self.watch else { return };
        if let Ok(rest) = self.spools[index(stream)].rest()
            && !rest.is_empty()
            && watch.hear(&rest)
        {
            self.watch = None;
        }
    }

    /// Writes the records that were made so far, and makes sure of them.
    fn commit(&mut self, cutting: &mut Cutting<'_>) {
        if self.writer.is_pending() {
            match self.writer.open() {
                // A kill between the first write and the mark after it: then the file's length before
                // that must be known.
                Ok(true) => self.mark(),
                Ok(false) => {}
                Err(error) => {
                    let lines = self.writer.drop_pending();
                    self.lose(lines, &error);
                }
            }
        }
        if self.writer.is_pending() {
            match self.writer.flush() {
                Ok(()) => self.tell_lost(cutting.time),
                Err((lines, error)) => self.lose(lines, &error),
            }
        }
        let count = std::mem::take(&mut cutting.done);
        if count > 0 {
            self.spools[index(cutting.stream)].advance(count);
            self.mark();
        }
    }

    fn mark(&self) {
        let (inode, length) = self.writer.place();
        let place = Place {
            inode,
            length,
            spools: [self.spools[0].place(), self.spools[1].place()],
        };
        if let Err(error) = self.bookmark.set(&place) {
            eprintln!("the place in a log cannot be marked: {error}");
        }
    }

    /// The first failure in a row is told.
    fn lose(&mut self, lines: u64, error: &io::Error) {
        if self.lost.why.is_empty() {
            self.lost.why = error.to_string();
            if self
                .lost
                .told
                .is_none_or(|told| told.elapsed() >= TOLD_EVERY)
            {
                eprintln!("a log cannot be written, output is dropped: {error}");
                self.lost.told = Some(Instant::now());
            }
        }
        self.lost.lines += lines;
    }

    /// Writes a line of the supervisor's own.
    pub(super) fn say(&mut self, text: &str) {
        let text = format!("[baudbot] {text}");
        self.writer.push(&Record {
            time: Timestamp::now(),
            stream: Stream::Stderr,
            is_partial: false,
            begins_run: None,
            after_file: None,
            content: text.as_bytes(),
        });
        let written = match self.writer.open() {
            Ok(_) => self.writer.flush().map_err(|(_, error)| error),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            let lines = self.writer.drop_pending();
            self.lose(lines.max(1), &error);
        }
        self.mark();
    }

    /// Where lines are missing, the log says so.
    fn tell_lost(&mut self, time: Timestamp) {
        if self.lost.why.is_empty() {
            return;
        }
        let (lines, why) = (self.lost.lines, std::mem::take(&mut self.lost.why));
        self.lost.lines = 0;
        let text = format!("[baudbot] {lines} lines before this one were lost: {why}");
        self.writer.push(&Record {
            time,
            stream: Stream::Stderr,
            is_partial: false,
            begins_run: None,
            after_file: None,
            content: text.as_bytes(),
        });
        if let Err((_, error)) = self.writer.flush() {
            self.lose(lines, &error);
        }
    }
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

/// Bytes that are being cut into records.
struct Cutting<'a> {
    stream: Stream,
    time: Timestamp,
    left: &'a [u8],
    /// How many bytes went into records since the last commit.
    done: usize,
}

/// What one record is made of.
#[derive(Clone, Copy)]
struct Piece<'a> {
    content: &'a [u8],
    /// How many bytes it takes with it, the end of the line among them.
    length: usize,
}

impl<'a> Cutting<'a> {
    /// The next piece, and whether its line goes on. A line that is longer than a record is cut as
    /// soon as it is known to be, and not before.
    fn next(&mut self, is_end: bool) -> Option<(Piece<'a>, bool)> {
        let seen = &self.left[..self.left.len().min(LONGEST_PIECE + 1)];
        let (content, length, is_partial) = match seen.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&seen[..end], end + 1, false),
            None if seen.len() > LONGEST_PIECE => (&seen[..LONGEST_PIECE], LONGEST_PIECE, true),
            None if is_end && !seen.is_empty() => (seen, seen.len(), false),
            None => return None,
        };
        self.left = &self.left[length..];
        Some((Piece { content, length }, is_partial))
    }
}
