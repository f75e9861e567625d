//! Several logs as one, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Line;
use super::backward::{Backward, LineStart};
use super::chain::{LogFile, open_newer_than};
use super::forward::Cursor;

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
    /// The time of the head of each log that has one.
    order: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

#[derive(Debug)]
struct Log {
    cursor: Cursor,
    head: Option<Line>,
}

impl Merged {
    /// Opens the logs at these paths; one that does not exist yet is one without lines.
    ///
    /// # Errors
    /// A file that exists and cannot be read.
    pub fn open<P: AsRef<Path>>(paths: &[P], start: Start) -> io::Result<Self> {
        let chains: Vec<(PathBuf, Vec<LogFile>)> = paths
            .iter()
            .map(|path| {
                let path = path.as_ref().to_owned();
                let files = open_newer_than(&path, None)?;
                Ok((path, files))
            })
            .collect::<io::Result<_>>()?;
        let cursors = match start {
            Start::Oldest => chains
                .into_iter()
                .map(|(path, files)| Cursor::new(path, files))
                .collect(),
            Start::Last(count) => cursors_at_last(chains, count)?,
        };
        let mut merged = Self {
            logs: Vec::new(),
            order: BinaryHeap::new(),
        };
        for cursor in cursors {
            merged.push(cursor)?;
        }
        Ok(merged)
    }

    /// Adds a log that came into being since; its index is one more than the last one's.
    ///
    /// # Errors
    /// A file that exists and cannot be read.
    pub fn add(&mut self, path: PathBuf) -> io::Result<()> {
        self.push(Cursor::new(path, Vec::new()))
    }

    fn push(&mut self, cursor: Cursor) -> io::Result<()> {
        self.logs.push(Log { cursor, head: None });
        self.advance(self.logs.len() - 1)
    }

    fn advance(&mut self, index: usize) -> io::Result<()> {
        let log = &mut self.logs[index];
        log.head = log.cursor.next_line()?;
        if let Some(line) = &log.head {
            self.order.push(Reverse((line.time, index)));
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

/// Walks all logs back together, the latest line first, until `count` lines are behind.
fn cursors_at_last(chains: Vec<(PathBuf, Vec<LogFile>)>, count: usize) -> io::Result<Vec<Cursor>> {
    let mut starts: Vec<Option<LineStart>> = vec![None; chains.len()];
    {
        let mut walks: Vec<Backward<'_>> = chains
            .iter()
            .map(|(_, files)| Backward::new(files))
            .collect();
        let mut heads: Vec<Option<LineStart>> = Vec::with_capacity(walks.len());
        let mut order = BinaryHeap::new();
        for (index, walk) in walks.iter_mut().enumerate() {
            let head = walk.next_line()?;
            if let Some(line) = head {
                order.push((line.time, index));
            }
            heads.push(head);
        }
        for _ in 0..count {
            let Some((_, index)) = order.pop() else {
                break;
            };
            starts[index] = heads[index];
            heads[index] = walks[index].next_line()?;
            if let Some(line) = heads[index] {
                order.push((line.time, index));
            }
        }
    }
    chains
        .into_iter()
        .zip(starts)
        .map(|((path, mut files), start)| match start {
            Some(start) => Cursor::new_at(path, files.split_off(start.file), start.offset),
            // Nothing of this log is among the last lines: it is read from its end on.
            None => match files.pop() {
                Some(newest) => {
                    let end = newest.file.metadata()?.len();
                    Cursor::new_at(path, vec![newest], end)
                }
                None => Ok(Cursor::new(path, files)),
            },
        })
        .collect()
}
