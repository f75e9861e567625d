//! From a service's FIFOs to its log.
//!
//! Each service has two FIFOs, one for each stream. The service holds its end open for reading and
//! writing, and so does the pump here: neither ever sees an end of file or a SIGPIPE because the
//! other is away, and nothing that stands in the FIFO is lost. The price is that "no more output"
//! cannot be read off the FIFO; [`Drainer::drain`] reads until nothing is left *now*, which is all
//! that the run has written when it is called after the run's end.
//!
//! What stands in the FIFO when this process is killed waits there for the next supervisor. So does
//! what was taken out of it ([`spool`]), with the place up to which it is in the log ([`bookmark`]).
//! What cannot be written to the disk is dropped and counted, and the service is not held up by it;
//! what comes faster than it can be written fills the FIFO, and holds the service up.

mod bookmark;
mod sink;
mod spool;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use regex::bytes::Regex;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::id::RunId;
use crate::log_format::Stream;
use crate::manifest::model::Log;
use crate::sys::fifo::Fifo;
pub(super) use sink::Heard;
use sink::{Sink, Watch};

/// How long a stream must be quiet for an unfinished line to be compared with what is watched for: a
/// program that writes a line in several pieces has written the rest of it by then, and one that
/// prompts for input waits.
const QUIET: Duration = Duration::from_millis(200);

/// The pumps of one service.
#[derive(Debug)]
pub(super) struct Output {
    stdout: PathBuf,
    stderr: PathBuf,
    /// The FIFOs that the pumps read, by device and inode.
    inodes: [(u64, u64); 2],
    sink: Arc<Mutex<Sink>>,
    watch: Option<watch::Receiver<Heard>>,
    /// Wakes the pumps when a watch begins: an unfinished line may be there already.
    watch_began: Arc<Notify>,
    /// What the pumps read.
    fifos: Vec<(Arc<Fifo>, Stream)>,
    drains: Vec<mpsc::UnboundedSender<oneshot::Sender<()>>>,
    _pumps: Vec<AbortOnDropHandle<()>>,
}

impl Output {
    /// As [`Output::open_for`], where nothing runs.
    #[cfg(test)]
    fn open(directory: &Path, service: &str, log: PathBuf, bounds: Log) -> io::Result<Self> {
        Self::open_for(None, directory, service, log, bounds)
    }

    /// Makes the FIFOs of `service` in `directory`, if they are not there, and begins to pump. A leader
    /// that runs already may still write into FIFOs that have lost their names: those are read then,
    /// through what it has open.
    ///
    /// # Errors
    /// What keeps a FIFO from being made or opened.
    pub(super) fn open_for(
        leader: Option<i32>,
        directory: &Path,
        service: &str,
        log: PathBuf,
        bounds: Log,
    ) -> io::Result<Self> {
        let sink = Sink::open(&directory.join(service), log, bounds);
        let sink = Arc::new(Mutex::new(sink));
        let watch_began = Arc::new(Notify::new());
        let mut drains = Vec::new();
        let mut pumps = Vec::new();
        let mut inodes = Vec::new();
        let mut fifos = Vec::new();
        let mut begin = |stream: Stream| -> io::Result<PathBuf> {
            let path = directory.join(format!("{service}.{}", stream.word()));
            let nameless = leader.and_then(|pid| nameless_fifo(pid, stream, &path));
            let fifo = match &nameless {
                Some(opened) => Fifo::open(opened)?,
                None => Fifo::open(&path)?,
            };
            inodes.push(fifo.inode()?);
            let (sender, requests) = mpsc::unbounded_channel();
            drains.push(sender);
            let fifo = Arc::new(fifo);
            fifos.push((Arc::clone(&fifo), stream));
            let pump = Pump {
                fifo,
                stream,
                sink: Arc::clone(&sink),
                watch_began: Arc::clone(&watch_began),
            };
            pumps.push(AbortOnDropHandle::new(tokio::spawn(pump.run(requests))));
            Ok(path)
        };
        let (stdout, stderr) = (begin(Stream::Stdout)?, begin(Stream::Stderr)?);
        Ok(Self {
            stdout,
            stderr,
            inodes: [inodes[0], inodes[1]],
            sink,
            watch: None,
            watch_began,
            fifos,
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

    /// Whether a run that begins now finds the FIFOs that are read here.
    pub(super) fn is_in_place(&self) -> bool {
        let at = |path: &Path| {
            let found = std::fs::symlink_metadata(path).ok()?;
            Some((found.dev(), found.ino()))
        };
        [at(&self.stdout), at(&self.stderr)] == self.inodes.map(Some)
    }

    pub(super) fn set_bounds(&self, bounds: Log) {
        lock(&self.sink).set_bounds(bounds);
    }

    /// A run is about to begin, and nothing of the one before it is left: the log says where.
    pub(super) fn begin_run(&self, run: RunId) {
        lock(&self.sink).begin_run(run);
    }

    /// Watches for a line that matches `pattern`, from now on. It replaces the watch before it.
    pub(super) fn watch(&mut self, pattern: Regex) {
        let (heard, receiver) = watch::channel(Heard::Nothing);
        lock(&self.sink).watch = Some(Watch { pattern, heard });
        self.watch = Some(receiver);
        self.watch_began.notify_waiters();
    }

    /// Such a line came before it was watched for.
    pub(super) fn note_seen(&self) {
        if let Some(watch) = lock(&self.sink).watch.take() {
            watch.heard.send_replace(Heard::Match);
        }
    }

    /// Writes a line of the supervisor's own into the log.
    pub(super) fn say(&self, text: &str) {
        lock(&self.sink).say(text);
    }

    /// What the watch hears.
    pub(super) fn take_watch(&mut self) -> Option<watch::Receiver<Heard>> {
        self.watch.take()
    }

    /// Brings into the log what stands in the FIFOs now: nothing comes through them any more.
    pub(super) fn drain_now(&self) {
        for (fifo, stream) in &self.fifos {
            drain_now(fifo, *stream, &self.sink);
        }
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

/// What leads to the FIFO at `path` that a process has open as this stream, if it has no name any more.
fn nameless_fifo(pid: i32, stream: Stream, path: &Path) -> Option<PathBuf> {
    let number = match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    let opened = PathBuf::from(format!("/proc/{pid}/fd/{number}"));
    // `proc_pid_fd(5)`: the name that it was opened by, and this after it.
    let mut expected = path.as_os_str().to_owned();
    expected.push(" (deleted)");
    let is_it = std::fs::read_link(&opened).ok()?.as_os_str() == expected;
    is_it.then_some(opened)
}

fn lock(sink: &Mutex<Sink>) -> MutexGuard<'_, Sink> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Brings one stream of a service into its log.
struct Pump {
    fifo: Arc<Fifo>,
    stream: Stream,
    sink: Arc<Mutex<Sink>>,
    watch_began: Arc<Notify>,
}

impl Pump {
    async fn run(self, mut drains: mpsc::UnboundedReceiver<oneshot::Sender<()>>) {
        // Whether the unfinished line was compared with what is watched for.
        let mut has_heard_rest = false;
        loop {
            let may_match = !has_heard_rest && lock(&self.sink).has_watched_rest(self.stream);
            tokio::select! {
                ready = self.fifo.readable() => {
                    let Ok(mut ready) = ready else { return };
                    match lock(&self.sink).take(self.stream, self.fifo.as_fd()) {
                        Ok(_) => has_heard_rest = false,
                        Err(error) => {
                            if error.kind() != io::ErrorKind::WouldBlock {
                                eprintln!("output cannot be read: {error}");
                            }
                            ready.clear_ready();
                        }
                    }
                    // Others have their turn, however much comes here.
                    tokio::task::yield_now().await;
                }
                request = drains.recv() => {
                    let Some(done) = request else { return };
                    drain_now(&self.fifo, self.stream, &self.sink);
                    // The task that asked may have ended.
                    let _ = done.send(());
                }
                () = self.watch_began.notified() => has_heard_rest = false,
                () = tokio::time::sleep(QUIET), if may_match => {
                    lock(&self.sink).hear_rest(self.stream);
                    has_heard_rest = true;
                }
            }
        }
    }
}

/// Reads until nothing is left. It asks the kernel itself: what the runtime knows of the FIFO may be
/// as old as the last turn of its loop.
fn drain_now(fifo: &Fifo, stream: Stream, sink: &Mutex<Sink>) {
    let mut sink = lock(sink);
    // A service that is not quite gone may write as fast as we read; what a pipe holds, many times
    // over, is surely more than was there at the beginning.
    for _ in 0..MOST_CHUNKS {
        match sink.take(stream, fifo.as_fd()) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    sink.finish_line(stream);
}

/// How much a drain reads at most, in chunks.
const MOST_CHUNKS: usize = 32;

#[cfg(test)]
mod tests {
    use super::sink::LONGEST_PIECE;
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
        assert_eq!(*seen.borrow(), Heard::Nothing);
        let mut fifo = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(output.stdout())
            .unwrap();
        fifo.write_all(b"not ready on 1\n").unwrap();
        output.drainer().drain().await;
        assert_eq!(*seen.borrow_and_update(), Heard::Other);
        fifo.write_all(b"\x1b[32mready\x1b[0m on 7890\n").unwrap();
        seen.wait_for(|heard| *heard == Heard::Match).await.unwrap();
    }

    /// A prompt has no line end. One that comes before the watch counts too: a supervisor that takes
    /// a run over finds it so.
    #[tokio::test]
    async fn a_watch_hears_of_a_prompt() {
        let scratch = tempfile::tempdir().unwrap();
        let log = scratch.path().join("log");
        let mut output = Output::open(scratch.path(), "web", log.clone(), BOUNDS).unwrap();
        let mut fifo = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(output.stdout())
            .unwrap();
        fifo.write_all(b"one\nPassword: ").unwrap();
        while !log.exists() || contents(&log).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        output.watch(Regex::new("^Password: $").unwrap());
        let mut seen = output.take_watch().unwrap();
        seen.wait_for(|heard| *heard == Heard::Match).await.unwrap();
        fifo.write_all(b"\n").unwrap();
        output.drainer().drain().await;
        assert_eq!(contents(&log).last().unwrap().1, "Password: ");
    }

    /// Cut short at each of the instants that matter, and taken up again.
    #[tokio::test]
    async fn a_kill_between_any_two_writes_loses_and_doubles_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let log = scratch.path().join("log");
        let place = scratch.path().join("web.place");
        let open = || Output::open(scratch.path(), "web", log.clone(), BOUNDS).unwrap();
        let output = open();
        let mut fifo = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(output.stdout())
            .unwrap();
        let take = |output: &Output| {
            let fifo = Fifo::open(output.stdout()).unwrap();
            let _ = lock(&output.sink).take(Stream::Stdout, fifo.as_fd());
        };
        fifo.write_all(b"one\ntw").unwrap();
        take(&output);
        let marked = std::fs::read(&place).unwrap();
        fifo.write_all(b"o\nthree\nfo").unwrap();
        take(&output);
        drop(output);
        // The log was written and the mark was not.
        std::fs::write(&place, &marked).unwrap();
        drop(open());
        // The log was written in part.
        std::fs::write(&place, &marked).unwrap();
        let length = std::fs::metadata(&log).unwrap().len();
        std::fs::OpenOptions::new()
            .write(true)
            .open(&log)
            .unwrap()
            .set_len(length - 9)
            .unwrap();
        let output = open();
        fifo.write_all(b"ur\n").unwrap();
        output.drainer().drain().await;
        let lines: Vec<String> = contents(&log).into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines, ["one", "two", "three", "four"]);
    }

    #[tokio::test]
    async fn spools_stay_small_however_much_goes_through_them() {
        let scratch = tempfile::tempdir().unwrap();
        let log = scratch.path().join("log");
        let output = Output::open(scratch.path(), "web", log.clone(), BOUNDS).unwrap();
        let path = output.stdout().to_owned();
        let writer = tokio::task::spawn_blocking(move || {
            let mut fifo = std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .unwrap();
            // No chunk ends with a line.
            for number in 0..40_000 {
                fifo.write_all(format!("{number:99}\n").as_bytes()).unwrap();
            }
        });
        writer.await.unwrap();
        output.drainer().drain().await;
        let found = contents(&log);
        assert_eq!(found.len(), 40_000);
        assert!(
            found
                .iter()
                .enumerate()
                .all(|(at, (_, line))| line.trim() == at.to_string())
        );
        for entry in std::fs::read_dir(scratch.path()).unwrap() {
            let entry = entry.unwrap();
            let is_spool = entry.file_name().to_string_lossy().contains(".spool.");
            let length = entry.metadata().unwrap().len();
            assert!(!is_spool || length < 2 << 20, "{entry:?}: {length}");
        }
    }

    #[tokio::test]
    async fn bytes_of_any_kind_come_through() {
        let scratch = tempfile::tempdir().unwrap();
        let log = scratch.path().join("log");
        let output = Output::open(scratch.path(), "web", log.clone(), BOUNDS).unwrap();
        let mut fifo = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(output.stdout())
            .unwrap();
        let bytes: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
        fifo.write_all(&bytes).unwrap();
        fifo.write_all(b"\n").unwrap();
        output.drainer().drain().await;
        let log = std::fs::read(&log).unwrap();
        let line = log.split(|byte| *byte == b'\n').next().unwrap();
        assert_eq!(crate::log_format::read_record(line).unwrap().content, bytes);
    }
}
