//! Every process there is, those too that are made while we look.
//!
//! A listing of `/proc` is a picture of one instant, and looking at what it names takes some
//! milliseconds. A process that forks, and exits before its turn comes, was not found, and its child
//! is not in the picture. One that does nothing else is missed by look after look.
//!
//! So the listing is only the start. The kernel gives out pids in ascending order, round and round,
//! and tells the last one that it gave out. What was made since the listing is therefore known by
//! its number, and looked at within microseconds; and again what was made meanwhile, until nothing
//! new has been made ([`visit_all`]). A process that is alive then was visited after it was made.
//!
//! What remains is a fork in progress, whose number is given out before the child can be seen: the
//! last few numbers before the listing are visited again for that, and whoever wants to be certain
//! that nobody is left looks twice.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::identity::{Stat, is_no_process};

/// How many of the numbers before the listing may belong to forks in progress.
const IN_PROGRESS: i32 = 64;

/// After this long among processes that are made faster than we can look, or among numbers that make
/// no sense (they go down where a container imitates them), we give up. The next look is no worse for
/// it.
const CHASE_LIMIT: Duration = Duration::from_millis(500);

/// Calls `visit` with the pid of every process, those too that are made meanwhile; with some twice.
///
/// # Errors
/// When `/proc` cannot be read, and whatever `visit` returns.
pub(crate) fn visit_all(mut visit: impl FnMut(i32) -> io::Result<()>) -> io::Result<()> {
    let newest_before = newest_pid();
    let listed: BTreeSet<i32> = pids()?.into_iter().collect();
    for pid in &listed {
        visit(*pid)?;
    }
    // Where the kernel does not tell, the listing is all there is.
    let Some(newest_before) = newest_before else {
        return Ok(());
    };
    let deadline = Instant::now() + CHASE_LIMIT;
    let mut visited = (newest_before - IN_PROGRESS).max(0);
    loop {
        let Some(newest) = newest_pid().filter(|newest| *newest != visited) else {
            return Ok(());
        };
        for pid in given_out_between(visited, newest) {
            let is_old = pid <= newest_before && listed.contains(&pid);
            if !is_old && is_process(pid) {
                visit(pid)?;
            }
            if Instant::now() >= deadline {
                return Ok(());
            }
        }
        visited = newest;
    }
}

/// The numbers after `last` up to `newest`, around the end of the range if need be.
fn given_out_between(last: i32, newest: i32) -> impl Iterator<Item = i32> {
    let (upper, lower) = if newest >= last {
        (last + 1..newest + 1, 0..0)
    } else {
        (last + 1..highest_pid(), 1..newest + 1)
    };
    upper.chain(lower)
}

/// The first number that is never given out (`proc_sys_kernel(5)`, `pid_max`).
fn highest_pid() -> i32 {
    let text = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    text.trim().parse().unwrap_or(32768)
}

/// The number that the kernel gave out last in our pid namespace; `None` where it does not tell.
fn newest_pid() -> Option<i32> {
    // The first is there with CONFIG_CHECKPOINT_RESTORE; the second is sometimes replaced by an
    // imitation inside of containers.
    let number = |text: String| text.split_ascii_whitespace().last()?.parse().ok();
    ["/proc/sys/kernel/ns_last_pid", "/proc/loadavg"]
        .into_iter()
        .find_map(|path| fs::read_to_string(path).ok().and_then(number))
}

/// Whether the number is that of a process and not of a further thread of one: both come from the
/// same range, and `/proc` answers to either.
fn is_process(pid: i32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
        return false;
    };
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    group.is_some_and(|group| group.trim().parse() == Ok(pid))
}

/// The ids of all processes, as they are listed.
pub(crate) fn pids() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        if let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        {
            pids.push(pid);
        }
    }
    Ok(pids)
}

/// Whether the kernel lists the children of each thread (`CONFIG_PROC_CHILDREN`).
pub(crate) fn is_listing_children() -> bool {
    Path::new("/proc/thread-self/children").exists()
}

/// The children of all threads of a process, zombies too; none when the process is gone.
///
/// Complete as long as no child ends meanwhile (`proc_tid_children(5)`).
pub(crate) fn children_of(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|text| {
            let pids = text.split_ascii_whitespace().map(str::parse);
            pids.filter_map(Result::ok).collect::<Vec<i32>>()
        })
        .collect()
}

/// Calls `visit` with every child of a process, with those too that come to it meanwhile: one that
/// has forked and is gone when its turn comes has left its own child to the subreaper.
///
/// # Errors
/// Whatever `visit` returns.
pub(crate) fn visit_children(
    pid: i32,
    mut visit: impl FnMut(i32) -> io::Result<()>,
) -> io::Result<()> {
    let deadline = Instant::now() + CHASE_LIMIT;
    let mut visited = BTreeSet::new();
    loop {
        let mut children = children_of(pid);
        children.retain(|child| visited.insert(*child));
        if children.is_empty() || Instant::now() >= deadline {
            return Ok(());
        }
        for child in children {
            visit(child)?;
        }
    }
}

/// All children of this process, zombies too.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn own_children() -> io::Result<Vec<i32>> {
    let me = std::process::id().cast_signed();
    if is_listing_children() {
        return Ok(children_of(me));
    }
    let mut children = Vec::new();
    for pid in pids()? {
        match Stat::read(pid) {
            Ok(Some(stat)) if stat.ppid == me => children.push(pid),
            Ok(_) => {}
            Err(error) if is_no_process(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_round() {
        let between = |last, newest| given_out_between(last, newest).collect::<Vec<i32>>();
        assert!(between(7, 7).is_empty());
        assert_eq!(between(7, 9), [8, 9]);
        let highest = highest_pid();
        assert_eq!(between(highest - 2, 2), [highest - 1, 1, 2]);
    }

    #[test]
    fn a_thread_is_no_process() {
        let me = std::process::id().cast_signed();
        assert!(is_process(me));
        std::thread::spawn(move || {
            let thread = nix::unistd::gettid().as_raw();
            assert_ne!(thread, me);
            assert!(!is_process(thread));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn the_kernel_tells_the_newest_number() {
        let before = newest_pid().unwrap();
        let made = std::thread::spawn(|| nix::unistd::gettid().as_raw())
            .join()
            .unwrap();
        let after = newest_pid().unwrap();
        assert!(given_out_between(before, after).any(|pid| pid == made));
    }

    /// A child that comes to us while our children are being visited is visited too.
    #[test]
    fn who_is_orphaned_meanwhile_is_visited() {
        let spawn = || {
            let mut sleep = std::process::Command::new("sleep");
            sleep.arg("1000").spawn().unwrap()
        };
        let first = spawn();
        let mut late: Option<std::process::Child> = None;
        let mut seen = BTreeSet::new();
        visit_children(std::process::id().cast_signed(), |pid| {
            late.get_or_insert_with(spawn);
            seen.insert(pid);
            Ok(())
        })
        .unwrap();
        for mut child in [first, late.unwrap()] {
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(seen.contains(&child.id().cast_signed()));
        }
    }

    /// A process that is made while the listing is being visited is visited too.
    #[test]
    fn what_is_made_meanwhile_is_visited() {
        let mut child: Option<std::process::Child> = None;
        let mut is_visited = false;
        visit_all(|pid| {
            let child = child.get_or_insert_with(|| {
                let mut sleep = std::process::Command::new("sleep");
                sleep.arg("1000").spawn().unwrap()
            });
            is_visited |= pid == child.id().cast_signed();
            Ok(())
        })
        .unwrap();
        let mut child = child.unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_visited);
    }
}
