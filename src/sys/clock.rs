//! Clocks of the kernel: the one that it stamps files with, and the time since boot.

use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// Now, as a file that is made now would be stamped: the coarse clock, up to a tick behind the fine
/// one (`clock_gettime(2)`, `inode_set_ctime_current` in the kernel). A file made after this call
/// never bears an earlier time.
pub fn file_time_now() -> SystemTime {
    let coarse = clock_gettime(ClockId::CLOCK_REALTIME_COARSE);
    coarse
        .ok()
        .and_then(|time| SystemTime::UNIX_EPOCH.checked_add(Duration::from(time)))
        .unwrap_or_else(SystemTime::now)
}

/// The time since the machine was booted, by the clock that [`std::time::Instant`] is on
/// (`CLOCK_MONOTONIC`, `clock_gettime(2)`): the same for every process, and never set.
pub fn since_boot() -> Duration {
    // It cannot fail: the clock is there on every Linux, and so is the room for the answer.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_made_afterwards_is_never_older() {
        let scratch = tempfile::tempdir().unwrap();
        for number in 0..200 {
            let before = file_time_now();
            let path = scratch.path().join(number.to_string());
            std::fs::write(&path, "").unwrap();
            assert!(std::fs::metadata(&path).unwrap().modified().unwrap() >= before);
        }
    }
}
