//! From a service's FIFOs to its log.
//!
//! Each service has two FIFOs, one for each stream. The service holds its end open for reading and
//! writing, and so does the pump here: neither ever sees an end of file or a SIGPIPE because the
//! other is away, and nothing that stands in the FIFO is lost. The price is that "no more output"
//! cannot be read off the FIFO; [`Drainer::drain`] reads until nothing is left *now*, which is all
//! that the run has written when it is called after the run's end.
//!
//! A line is kept in memory until its end comes, up to [`LONGEST_PIECE`]; what is longer is written
//! in pieces. What cannot be written to the disk is dropped and counted, and the service is not
//! held up by it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use nix::sys::stat::Mode;
use regex::bytes::Regex;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::log_writer::LogWriter;
use crate::log_format::{Record, Stream};
use crate::manifest::model::Log;

/// The longest content of one record, in bytes: what the container runtimes use.
const LONGEST_PIECE: usize = 16 << 10;

/// How much is read at once, in bytes: what a pipe holds (`pipe(7)`).
const CHUNK: usize = 64 << 10;

/// The pumps of one service.
#[derive(Debug)]
pub(super) struct Output {
    stdout: PathBuf,
    stderr: PathBuf,
    sink: Arc<Mutex<Sink>>,
    watch: Option<oneshot::Receiver<()>>,
    drains: Vec<mpsc::UnboundedSender<oneshot::Sender<()>>>,
    _pumps: Vec<AbortOnDropHandle<()>>,
}

/// Waits for a line of output.
#[derive(Debug)]
struct Watch {
    pattern: Regex,
    seen: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
struct Sink {
    writer: LogWriter,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    watch: Option<Watch>,
    lost: u64,
}

impl Output {
    /// Makes the FIFOs of `service` in `directory`, if they are not there, and begins to pump.
    ///
    /// # Errors
    /// What keeps a FIFO from being made or opened.
    pub(super) fn open(
        directory: &Path,
        service: &str,
        log: PathBuf,
        bounds: Log,
    ) -> io::Result<Self> {
        let sink = Arc::new(Mutex::new(Sink {
            writer: LogWriter::new(log, bounds),
            stdout: Vec::new(),
            stderr: Vec::new(),
            watch: None,
            lost: 0,
        }));
        let mut drains = Vec::new();
        let mut pumps = Vec::new();
        let mut begin = |stream: Stream| -> io::Result<PathBuf> {
            let path = directory.join(format!("{service}.{}", stream.word()));
            match nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR) {
                Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            let receiver = pipe::OpenOptions::new()
                .read_write(true)
                .open_receiver(&path)?;
            let (sender, requests) = mpsc::unbounded_channel();
            drains.push(sender);
            let pump = pump(receiver, stream, Arc::clone(&sink), requests);
            pumps.push(AbortOnDropHandle::new(tokio::spawn(pump)));
            Ok(path)
        };
        let (stdout, stderr) = (begin(Stream::Stdout)?, begin(Stream::Stderr)?);
        Ok(Self {
            stdout,
            stderr,
            sink,
            watch: None,
            drains,
            _pumps: pumps,
        })
    }

    pub(super) fn stdout(&self) -> &Path {
        &self.stdout
    }

    pub(super) fn stderr(&self) -> &Path {
        &self.stderr
    }

    pub(super) fn set_bounds(&self, bounds: Log) {
        lock(&self.sink).writer.set_bounds(bounds);
    }

    /// Watches for a line that matches `pattern`, from now on. It replaces the watch before it.
    pub(super) fn watch(&mut self, pattern: Regex) {
        let (seen, receiver) = oneshot::channel();
        lock(&self.sink).watch = Some(Watch {
            pattern,
            seen: Some(seen),
        });
        self.watch = Some(receiver);
    }

    /// What answers once such a line came.
    pub(super) fn take_watch(&mut self) -> Option<oneshot::Receiver<()>> {
        self.watch.take()
    }

    /// Whoever holds it can drain.
    pub(super) fn drainer(&self) -> Drainer {
        Drainer(self.drains.clone())
    }
}

/// Brings a service's output into its log on demand.
#[derive(Debug, Clone)]
pub(super) struct Drainer(Vec<mpsc::UnboundedSender<oneshot::Sender<()>>>);

impl Drainer {
    /// Returns when all that was written before is in the log, unfinished lines too.
    pub(super) async fn drain(&self) {
        for drain in &self.0 {
            let (done, is_done) = oneshot::channel();
            if drain.send(done).is_ok() {
                // A pump that is gone has nothing left to say.
                let _ = is_done.await;
            }
        }
    }
}

fn lock(sink: &Mutex<Sink>) -> MutexGuard<'_, Sink> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pump(
    receiver: pipe::Receiver,
    stream: Stream,
    sink: Arc<Mutex<Sink>>,
    mut drains: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
) {
    let mut chunk = Vec::new();
    loop {
        tokio::select! {
            ready = receiver.readable() => {
                if ready.is_err() {
                    return;
                }
                chunk.resize(CHUNK, 0);
                if let Ok(length) = receiver.try_read(&mut chunk) {
                    lock(&sink).take(stream, &chunk[..length]);
                }
                // An idle service costs no buffer.
                chunk = Vec::new();
            }
            request = drains.recv() => {
                let Some(done) = request else { return };
                drain_now(&receiver, stream, &sink);
                // Whoever asked may have gone.
                let _ = done.send(());
            }
        }
    }
}

/// Reads until nothing is left. It asks the kernel itself: what the runtime knows of the FIFO may be
/// as old as the last turn of its loop.
fn drain_now(receiver: &pipe::Receiver, stream: Stream, sink: &Mutex<Sink>) {
    let mut chunk = vec![0; CHUNK];
    let mut sink = lock(sink);
    // A service that is not quite gone may write as fast as we read; what a pipe holds, twice over,
    // is surely more than was there at the beginning.
    let mut left = 32 * CHUNK;
    while left > 0 {
        match nix::unistd::read(receiver, &mut chunk) {
            Ok(length) if length > 0 => {
                sink.take(stream, &chunk[..length]);
                left = left.saturating_sub(length);
            }
            Err(nix::errno::Errno::EINTR) => {}
            Ok(_) | Err(_) => break,
        }
    }
    sink.finish_line(stream);
}

impl Sink {
    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let time = Timestamp::now();
        let pieces = bytes.split_inclusive(|byte| *byte == b'\n').peekable();
        for piece in pieces {
            match piece.strip_suffix(b"\n") {
                Some(end) => {
                    let mut line = std::mem::take(self.rest(stream));
                    line.extend_from_slice(end);
                    self.line(stream, time, &line);
                }
                None => {
                    let rest = self.rest(stream);
                    rest.extend_from_slice(piece);
                    if rest.len() >= LONGEST_PIECE {
                        let rest = std::mem::take(rest);
                        self.pieces(stream, time, &rest);
                    }
                }
            }
        }
        let flushed = self.writer.flush();
        self.account(flushed);
    }

    fn rest(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// A line is complete. A terminal ends its lines with a carriage return too: not content.
    fn line(&mut self, stream: Stream, time: Timestamp, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut rest = line;
        while rest.len() > LONGEST_PIECE {
            let (piece, after) = rest.split_at(LONGEST_PIECE);
            self.record(stream, time, true, piece);
            rest = after;
        }
        self.record(stream, time, false, rest);
        if let Some(watch) = &mut self.watch
            && watch.pattern.is_match(line)
        {
            if let Some(seen) = watch.seen.take() {
                // The probe may have been given up.
                let _ = seen.send(());
            }
            self.watch = None;
        }
    }

    fn pieces(&mut self, stream: Stream, time: Timestamp, bytes: &[u8]) {
        for piece in bytes.chunks(LONGEST_PIECE) {
            self.record(stream, time, true, piece);
        }
    }

    fn finish_line(&mut self, stream: Stream) {
        let rest = std::mem::take(self.rest(stream));
        if !rest.is_empty() {
            self.line(stream, Timestamp::now(), &rest);
        }
        let flushed = self.writer.flush();
        self.account(flushed);
    }

    fn record(&mut self, stream: Stream, time: Timestamp, is_partial: bool, content: &[u8]) {
        let pushed = self.writer.push(&Record {
            time,
            stream,
            is_partial,
            content,
        });
        self.account(pushed);
    }

    /// The first failure in a row is told; the end of the row too, with what was lost.
    fn account(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) if self.lost > 0 => {
                eprintln!("a log can be written again; {} writes were lost", self.lost);
                self.lost = 0;
            }
            Ok(()) => {}
            Err(error) => {
                if self.lost == 0 {
                    eprintln!("a log cannot be written, output is dropped: {error}");
                }
                self.lost += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const BOUNDS: Log = Log {
        max_size: 10 << 20,
        keep: 3,
    };

    fn contents(log: &Path) -> Vec<(bool, String)> {
        std::fs::read(log)
            .unwrap()
            .split(|byte| *byte == b'\n')
            .filter_map(crate::log_format::read_record)
            .map(|r| {
                (
                    r.is_partial,
                    String::from_utf8_lossy(r.content).into_owned(),
                )
            })
            .collect()
    }

    #[tokio::test]
    async fn all_that_was_written_is_in_the_log_after_a_drain() {
        let scratch = tempfile::tempdir().unwrap();
        let log = scratch.path().join("log");
        let output = Output::open(scratch.path(), "web", log.clone(), BOUNDS).unwrap();
        let mut fifo = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(output.stdout())
            .unwrap();
        fifo.write_all(b"one\r\ntwo\n\nunfin").unwrap();
        output.drainer().drain().await;
        let expected = [
            (false, "one"),
            (false, "two"),
            (false, ""),
            (false, "unfin"),
        ];
        let found = contents(&log);
        let found: Vec<(bool, &str)> = found.iter().map(|(p, text)| (*p, text.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn a_line_longer_than_a_piece_comes_in_pieces() {
        let scratch = tempfile::tempdir().unwrap();
        let log = scratch.path().join("log");
        let output = Output::open(scratch.path(), "web", log.clone(), BOUNDS).unwrap();
        let mut fifo = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(output.stderr())
            .unwrap();
        let text = "x".repeat(LONGEST_PIECE + 10);
        fifo.write_all(format!("{text}\nnext\n").as_bytes())
            .unwrap();
        output.drainer().drain().await;
        let found = contents(&log);
        let (last, pieces) = found.split_last().unwrap();
        assert_eq!(last, &(false, "next".into()));
        let joined: String = pieces.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(joined, text);
        assert!(!pieces.last().unwrap().0 && pieces[..pieces.len() - 1].iter().all(|(p, _)| *p));
    }

    #[tokio::test]
    async fn a_watch_hears_of_a_matching_line_only() {
        let scratch = tempfile::tempdir().unwrap();
        let mut output =
            Output::open(scratch.path(), "web", scratch.path().join("log"), BOUNDS).unwrap();
        output.watch(Regex::new("^ready on \\d+$").unwrap());
        let mut seen = output.take_watch().unwrap();
        let mut fifo = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(output.stdout())
            .unwrap();
        fifo.write_all(b"not ready on 1\n").unwrap();
        output.drainer().drain().await;
        assert!(seen.try_recv().is_err());
        fifo.write_all(b"ready on 7890\n").unwrap();
        seen.await.unwrap();
    }
}
