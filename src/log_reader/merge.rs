//! Several logs as one, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::backward::{Backward, LineStart, Place};
use super::chain::{LogFile, open_newer_than};
use super::forward::Cursor;
use super::seek::first_at_or_after;
use super::{Filter, Line, Source};
use crate::id::RunId;

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest line there is.
    Oldest,
    /// So many lines before the end, counted over all logs together.
    Last(usize),
}

/// Several logs, read as one.
#[derive(Debug)]
pub struct Merged {
    logs: Vec<Log>,
    filter: Option<Filter>,
    /// The time of the head of each log that has one.
    order: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

#[derive(Debug)]
struct Log {
    cursor: Cursor,
    head: Option<Line>,
    /// What lines that were not wanted would have told: the next one tells it.
    untold: Untold,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Merged {
    /// Opens the logs at these paths; one that does not exist yet is one without lines.
    ///
    /// # Errors
    /// A file that exists and cannot be read.
    pub fn open<P: AsRef<Path>>(paths: &[P], start: Start) -> io::Result<Self> {
        let sources = paths.iter().map(|path| Source::new(path.as_ref()));
        Self::open_chosen(sources.collect(), start, None)
    }

    /// Opens these logs; only the lines that `filter` lets pass are there, and only they count
    /// towards the last ones.
    ///
    /// # Errors
    /// A file that exists and cannot be read.
    pub fn open_chosen(
        sources: Vec<Source>,
        start: Start,
        filter: Option<Filter>,
    ) -> io::Result<Self> {
        let chains: Vec<Chain> = sources
            .into_iter()
            .map(|source| {
                let newer = open_newer_than(&source.path, None)?;
                Ok(Chain {
                    source,
                    files: newer.files,
                    has_gap: newer.has_gap,
                })
            })
            .collect::<io::Result<_>>()?;
        let logs: Vec<Log> = match start {
            Start::Oldest => chains.into_iter().map(Chain::read_from_oldest).collect(),
            Start::Last(count) => logs_at_last(chains, count, filter.as_ref()),
        }?;
        let mut merged = Self {
            logs: Vec::new(),
            filter,
            order: BinaryHeap::new(),
        };
        for log in logs {
            merged.push(log)?;
        }
        Ok(merged)
    }

    /// Adds a log that came into being since; its index is one more than the last one's.
    ///
    /// # Errors
    /// A file that exists and cannot be read.
    pub fn add(&mut self, path: PathBuf) -> io::Result<()> {
        let cursor = Cursor::new(path, Vec::new());
        self.push(Log::new(cursor, None, None))
    }

    fn push(&mut self, log: Log) -> io::Result<()> {
        self.logs.push(log);
        self.advance(self.logs.len() - 1)
    }

    fn advance(&mut self, index: usize) -> io::Result<()> {
        let log = &mut self.logs[index];
        while let Some(mut line) = log.cursor.next_line()? {
            if log.until.is_some_and(|until| line.time > until) {
                // Whatever comes is later still.
                return Ok(());
            }
            log.untold.hand_on(&mut line);
            let is_early = log.since.is_some_and(|since| line.time < since);
            let filter = self.filter.as_ref();
            if !is_early && filter.is_none_or(|filter| filter.lets_pass(&line.content)) {
                self.order.push(Reverse((line.time, index)));
                log.head = Some(line);
                return Ok(());
            }
            log.untold.take(&line);
        }
        Ok(())
    }

    /// Looks again at the logs that had no line left.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn refresh(&mut self) -> io::Result<()> {
        for index in 0..self.logs.len() {
            if self.logs[index].head.is_none() {
                self.advance(index)?;
            }
        }
        Ok(())
    }

    /// The next line and the index of its log; `None`: there is none before [`Merged::refresh`]
    /// finds one.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<(usize, Line)>> {
        let Some(Reverse((_, index))) = self.order.pop() else {
            return Ok(None);
        };
        let line = self.logs[index].head.take();
        self.advance(index)?;
        Ok(line.map(|line| (index, line)))
    }
}

/// What the head of a line tells beside its content, of lines that were passed over.
#[derive(Debug, Default)]
struct Untold {
    begins_run: Option<RunId>,
    is_after_gap: bool,
}

impl Untold {
    fn take(&mut self, line: &Line) {
        self.begins_run = line.begins_run;
        self.is_after_gap = line.is_after_gap;
    }

    fn hand_on(&mut self, line: &mut Line) {
        let before = std::mem::take(self);
        line.begins_run = line.begins_run.or(before.begins_run);
        line.is_after_gap |= before.is_after_gap;
    }
}

/// One log whose files are open.
struct Chain {
    source: Source,
    /// Oldest first.
    files: Vec<LogFile>,
    /// Whether it was rotated so fast that only its newest file could be opened.
    has_gap: bool,
}

impl Log {
    fn new(cursor: Cursor, since: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        Self {
            cursor,
            head: None,
            untold: Untold::default(),
            since,
            until,
        }
    }
}

impl Chain {
    /// Read from the first line that is late enough.
    fn read_from_oldest(self) -> io::Result<Log> {
        let place = match self.source.since {
            Some(since) => first_at_or_after(&self.files, since)?,
            None => Place { file: 0, offset: 0 },
        };
        self.read_from(place)
    }

    /// Read from its end on, for lines that are still to come.
    fn read_from_end(self) -> io::Result<Log> {
        let place = match self.files.last() {
            Some(newest) => Place {
                file: self.files.len() - 1,
                offset: newest.file.metadata()?.len(),
            },
            None => Place { file: 0, offset: 0 },
        };
        self.read_from(place)
    }

    fn read_from(mut self, place: Place) -> io::Result<Log> {
        let files = self.files.split_off(place.file.min(self.files.len()));
        let mut cursor = Cursor::new_at(self.source.path, files, place.offset)?;
        if self.has_gap && place == (Place { file: 0, offset: 0 }) {
            cursor.note_gap();
        }
        Ok(Log::new(cursor, self.source.since, self.source.until))
    }

    /// A walk back from the last line that is early enough.
    fn walk<'a>(&'a self, filter: Option<&'a Filter>) -> io::Result<Backward<'a>> {
        let walk = Backward::new(&self.files, filter);
        // The first nanosecond that is too late.
        let late = self
            .source
            .until
            .and_then(|until| until.checked_add(jiff::SignedDuration::from_nanos(1)).ok());
        Ok(match late {
            Some(late) if !self.files.is_empty() => {
                walk.from(first_at_or_after(&self.files, late)?)
            }
            _ => walk,
        })
    }
}

/// Walks all logs back together, the latest line first, until `count` lines are behind.
fn logs_at_last(chains: Vec<Chain>, count: usize, filter: Option<&Filter>) -> io::Result<Vec<Log>> {
    let mut starts: Vec<Option<LineStart>> = vec![None; chains.len()];
    if count > 0 {
        let mut walks: Vec<Backward<'_>> = chains
            .iter()
            .map(|chain| chain.walk(filter))
            .collect::<io::Result<_>>()?;
        let next_of = |walk: &mut Backward<'_>, chain: &Chain| -> io::Result<Option<LineStart>> {
            let line = walk.next_line()?;
            Ok(line.filter(|line| chain.source.since.is_none_or(|since| line.time >= since)))
        };
        let mut heads: Vec<Option<LineStart>> = Vec::with_capacity(walks.len());
        let mut order = BinaryHeap::new();
        for (index, walk) in walks.iter_mut().enumerate() {
            let head = next_of(walk, &chains[index])?;
            if let Some(line) = head {
                order.push((line.time, index));
            }
            heads.push(head);
        }
        for counted in 1..=count {
            let Some((_, index)) = order.pop() else {
                break;
            };
            starts[index] = heads[index];
            if counted == count {
                break;
            }
            heads[index] = next_of(&mut walks[index], &chains[index])?;
            if let Some(line) = heads[index] {
                order.push((line.time, index));
            }
        }
    }
    chains
        .into_iter()
        .zip(starts)
        .map(|(chain, start)| match start {
            Some(start) => chain.read_from(start.place),
            None => chain.read_from_end(),
        })
        .collect()
}
