//! Places at which a test can have the supervisor killed.
//!
//! Each is passed before and after a deed that outlives the supervisor: a line of the ledger, a
//! fork, an opened gate, a signal, a rename. With `BAUDBOT_CRASH_AT=N` in its environment the
//! process kills itself, as `kill -9` would, at the N-th one that it passes; with
//! `BAUDBOT_CRASH_TRACE=FILE` it writes down which ones it passes. Both exist in builds for tests
//! only (debug assertions, or the feature `crash-points`): a released program has none of this.

/// The variables that the tests steer this with.
#[cfg(any(debug_assertions, feature = "crash-points"))]
pub const VARIABLES: &[&str] = &["BAUDBOT_CRASH_AT", "BAUDBOT_CRASH_TRACE"];

/// A released program has none.
#[cfg(not(any(debug_assertions, feature = "crash-points")))]
pub const VARIABLES: &[&str] = &[];

/// Passes the place called `name`.
#[cfg(not(any(debug_assertions, feature = "crash-points")))]
#[inline]
pub fn point(_name: &'static str) {}

/// Passes the place called `name`.
#[cfg(any(debug_assertions, feature = "crash-points"))]
pub fn point(name: &'static str) {
    use std::io::Write as _;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static PASSED: AtomicU32 = AtomicU32::new(0);
    static STEERING: OnceLock<(Option<u32>, Option<std::path::PathBuf>)> = OnceLock::new();
    let (crash_at, trace) = STEERING.get_or_init(|| {
        let crash_at = std::env::var("BAUDBOT_CRASH_AT").ok();
        let trace = std::env::var_os("BAUDBOT_CRASH_TRACE").map(Into::into);
        (crash_at.and_then(|text| text.parse().ok()), trace)
    });
    if crash_at.is_none() && trace.is_none() {
        return;
    }
    let number = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
    if let Some(trace) = trace {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(trace);
        // Without a trace the test that wants it fails by itself.
        let _ = file.and_then(|mut file| writeln!(file, "{number} {name}"));
    }
    if *crash_at == Some(number) {
        // SAFETY: takes integers only. KILL is not survived, so nothing comes after it.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        loop {
            std::thread::park();
        }
    }
}
