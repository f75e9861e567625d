//! The bound of `supervisor.log`, which is the standard error of the supervisor and of its guardian.
//!
//! The supervisor copies the file to `supervisor.log.1` and empties it. To rename it would not do: the
//! guardian has it open too. Both append (`O_APPEND`), so they go on at the new end. A line that the
//! guardian writes between the copy and the cut is lost.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The size, in bytes, from which on it is cut.
const LARGEST: u64 = 1 << 20;

/// The least time between two looks at its size.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Keeps the supervisor's own log within its bound.
pub(super) struct OwnLog {
    path: PathBuf,
    looked: Option<Instant>,
}

impl OwnLog {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, looked: None }
    }

    /// Cuts the log if it has grown too large. The loop calls this at each turn; it looks once in a while.
    pub(super) fn bound(&mut self) {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        // A line on standard error about the failure would only make the log larger.
        let _ = cut_if_larger(&self.path, LARGEST);
    }
}

/// Copies the file aside and empties it, if it is larger than `largest` bytes.
fn cut_if_larger(path: &Path, largest: u64) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    // What is no regular file is not the supervisor's.
    if !found.is_file() || found.len() <= largest {
        return Ok(());
    }
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut aside = path.as_os_str().to_owned();
    aside.push(".1");
    let mut fresh = aside.clone();
    fresh.push(".new");
    let copied = (|| {
        let mut copy = fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)?;
        // One that was left to grow for long is not kept whole.
        io::Seek::seek(
            &mut file,
            io::SeekFrom::Start(found.len().saturating_sub(2 * largest)),
        )?;
        io::copy(&mut file, &mut copy)?;
        fs::rename(&fresh, &aside)
    })();
    // On a full disk there is no room for the copy, and all the more reason to cut.
    file.set_len(0)?;
    copied
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn it_is_cut_at_its_bound_and_both_writers_go_on() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("supervisor.log");
        let open = || {
            let mut options = fs::OpenOptions::new();
            options.create(true).append(true).open(&path).unwrap()
        };
        let (mut guardian, mut supervisor) = (open(), open());
        for number in 0..1000 {
            writeln!(guardian, "guardian {number}").unwrap();
            writeln!(supervisor, "supervisor {number}").unwrap();
            cut_if_larger(&path, 1000).unwrap();
        }
        let size = |name: &str| fs::metadata(scratch.path().join(name)).unwrap().len();
        assert!(size("supervisor.log") <= 1000 && size("supervisor.log.1") <= 2000);
        let last = fs::read_to_string(&path).unwrap();
        assert!(last.is_empty() || last.ends_with("supervisor 999\n"));
        let aside = fs::read_to_string(scratch.path().join("supervisor.log.1")).unwrap();
        assert!(aside.contains("guardian 9") && aside.contains("supervisor 9"));
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2);
    }
}
