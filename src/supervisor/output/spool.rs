//! What came out of a FIFO and is not in the log yet.
//!
//! The bytes are moved into a file by the kernel ([`splice`](crate::sys::fifo)), never through our
//! memory alone; so whenever this process is killed, each byte is in exactly one of the FIFO, the
//! spool and the log. How much of the spool is in the log the [bookmark](super::bookmark) tells.
//!
//! A spool that has grown gives way to one of the next generation, which begins with what was not in
//! the log yet. The bookmark names the generation that counts.
//!
//! Where the file cannot be written (a full disk, a file system without `splice`) the bytes go
//! through memory: then a kill can lose what was just read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::sys::fifo::move_into_file;

/// How much is taken out of a FIFO at once, in bytes: what a pipe holds (`pipe(7)`).
pub(super) const CHUNK: usize = 64 << 10;

/// A spool without a rest is emptied when it has become this large, in bytes.
const EMPTIED_FROM: u64 = 16 << 10;

/// A spool with a rest is followed by another when it has become this large, in bytes.
const FOLLOWED_FROM: u64 = 1 << 20;

/// The spool of one stream.
#[derive(Debug)]
pub(super) struct Spool {
    /// Its path without the generation.
    stem: PathBuf,
    generation: u64,
    file: Option<File>,
    length: u64,
    /// How much of it is in the log.
    offset: u64,
    /// What came after the file's end, while the file could not be written.
    memory: Vec<u8>,
}

impl Spool {
    /// The spool at `stem`, as the bookmark tells.
    pub(super) fn open(stem: PathBuf, generation: u64, offset: u64) -> Self {
        let path = numbered(&stem, generation);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, file) = match opened {
            Ok((length, file)) => (length, Some(file)),
            Err(_) => (0, None),
        };
        if let Some(before) = generation.checked_sub(1) {
            // A kill may have come between the bookmark's turn and this.
            let _ = std::fs::remove_file(numbered(&stem, before));
        }
        Self {
            stem,
            generation,
            file,
            length,
            // One that was emptied before the bookmark could tell.
            offset: if offset > length { 0 } else { offset },
            memory: Vec::new(),
        }
    }

    /// The generation, and how much of it is in the log.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.generation, self.offset)
    }

    /// Takes what is in the FIFO, at most [`CHUNK`] bytes; returns how many.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing is in it.
    pub(super) fn fill(&mut self, fifo: BorrowedFd<'_>) -> io::Result<usize> {
        if let (Some(file), true) = (&self.file, self.memory.is_empty()) {
            match move_into_file(fifo, file.as_fd(), self.length, CHUNK) {
                Ok(moved) => {
                    self.length += moved as u64;
                    return Ok(moved);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // Through memory, then.
                Err(_) => {}
            }
        }
        let start = self.memory.len();
        self.memory.resize(start + CHUNK, 0);
        let read = loop {
            match nix::unistd::read(fifo, &mut self.memory[start..]) {
                Err(Errno::EINTR) => {}
                other => break other,
            }
        };
        self.memory.truncate(start + *read.as_ref().unwrap_or(&0));
        read.map_err(io::Error::from)
    }

    /// What is not in the log yet.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn rest(&self) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.length - self.offset).unwrap_or(usize::MAX);
        let mut rest = vec![0; left];
        if let Some(file) = &self.file {
            file.read_exact_at(&mut rest, self.offset)?;
        }
        rest.extend_from_slice(&self.memory);
        Ok(rest)
    }

    /// Whether anything of it is not in the log.
    pub(super) fn has_rest(&self) -> bool {
        self.length > self.offset || !self.memory.is_empty()
    }

    /// So many more bytes are in the log, or are given up.
    pub(super) fn advance(&mut self, count: usize) {
        let left = self.length - self.offset;
        let of_file = left.min(count as u64);
        self.offset += of_file;
        let of_memory = count - usize::try_from(of_file).unwrap_or(count);
        self.memory.drain(..of_memory.min(self.memory.len()));
    }

    /// Gives up what cannot be read.
    pub(super) fn give_up(&mut self) {
        self.offset = self.length;
        self.memory.clear();
    }

    /// Makes room, if it is time. When it returns true, the bookmark is to be set; then
    /// [`Spool::forget_older`] is to be called.
    pub(super) fn tidy(&mut self) -> bool {
        let is_empty = self.offset == self.length;
        if is_empty && self.offset >= EMPTIED_FROM {
            let is_emptied = self
                .file
                .as_ref()
                .is_some_and(|file| file.set_len(0).is_ok());
            if is_emptied {
                (self.length, self.offset) = (0, 0);
            }
            return is_emptied;
        }
        if is_empty || self.offset < FOLLOWED_FROM || !self.memory.is_empty() {
            return false;
        }
        let next = || -> io::Result<(File, u64)> {
            let rest = self.rest()?;
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(numbered(&self.stem, self.generation + 1))?;
            file.write_all(&rest)?;
            Ok((file, rest.len() as u64))
        };
        // Should it fail, this one grows on.
        let Ok((file, length)) = next() else {
            return false;
        };
        (self.file, self.length, self.offset) = (Some(file), length, 0);
        self.generation += 1;
        true
    }

    /// The bookmark names this generation now.
    pub(super) fn forget_older(&self) {
        if let Some(before) = self.generation.checked_sub(1) {
            let _ = std::fs::remove_file(numbered(&self.stem, before));
        }
    }
}

fn numbered(stem: &Path, generation: u64) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(format!(".{generation}"));
    name.into()
}
