//! What the processes of a set take of the machine. Read when somebody asks, never before.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

use super::census::{Census, Member, Roots};
use super::identity::is_no_process;

/// What the processes of a set take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many processes there are.
    pub processes: u32,
    /// The time that they and their reaped children spent on processors.
    pub cpu: Duration,
    /// Their memory in bytes, where pages that processes share are counted once, in shares (PSS).
    /// `None` when the kernel shows it of none of them: processes of another user.
    pub memory: Option<u64>,
}

/// What each of these sets takes, in their order.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn usage(all: &[Roots]) -> io::Result<Vec<Usage>> {
    let census = Census::take(all)?;
    // A process may be asked for by several.
    let mut known = BTreeMap::new();
    Ok(all
        .iter()
        .map(|roots| sum(&census.members(roots), &mut known))
        .collect())
}

/// What this process takes itself. What it reaped for others is not its own.
pub fn own_usage() -> Option<Usage> {
    let me = std::process::id().cast_signed();
    Some(Usage {
        processes: 1,
        cpu: cpu(me, Times::Own)?,
        memory: memory(me),
    })
}

/// What one process takes, whoever it belongs to; `None` when there is none.
fn usage_of(pid: i32) -> Option<Usage> {
    Some(Usage {
        processes: 1,
        cpu: cpu(pid, Times::WithReaped)?,
        memory: memory(pid),
    })
}

fn sum(members: &[Member], known: &mut BTreeMap<i32, Option<Usage>>) -> Usage {
    let mut total = Usage::default();
    for member in members {
        let pid = member.identity.pid;
        // One that is gone meanwhile takes nothing.
        let Some(one) = *known.entry(pid).or_insert_with(|| usage_of(pid)) else {
            continue;
        };
        total.processes += 1;
        total.cpu += one.cpu;
        if let Some(memory) = one.memory {
            *total.memory.get_or_insert(0) += memory;
        }
    }
    total
}

/// Whose times count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    /// `utime` and `stime` of `/proc/PID/stat`, the fields 14 and 15.
    Own,
    /// `cutime` and `cstime` too, the fields 16 and 17. The children that are counted there have
    /// been waited for, so none of them is counted twice.
    WithReaped,
}

fn cpu(pid: i32, times: Times) -> Option<Duration> {
    let line = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in field 2 may hold anything; no later field holds a `)`.
    let end_of_name = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(line.get(end_of_name + 1..)?).ok()?;
    let ticks: u64 = rest
        .split_ascii_whitespace()
        .skip(14 - 3)
        .take(match times {
            Times::Own => 2,
            Times::WithReaped => 4,
        })
        .map(|field| field.parse::<u64>().unwrap_or(0))
        .sum();
    Some(Duration::from_secs_f64(
        ticks as f64 / ticks_per_second() as f64,
    ))
}

/// The unit of times in `/proc`, from `sysconf(_SC_CLK_TCK)`; 100 on every Linux of today.
fn ticks_per_second() -> u64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        .ok()
        .flatten()
        .and_then(|ticks| u64::try_from(ticks).ok())
        .filter(|ticks| *ticks > 0)
        .unwrap_or(100)
}

/// `Pss:` of `/proc/PID/smaps_rollup` (`proc_pid_smaps(5)`), in bytes.
fn memory(pid: i32) -> Option<u64> {
    let read = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
    match read {
        Ok(text) => Some(parse_pss(&text).unwrap_or(0)),
        Err(error) if is_no_process(&error) => Some(0),
        Err(_) => None,
    }
}

fn parse_pss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::identity::Identity;

    #[test]
    fn the_share_of_memory_is_read() {
        let text = "5600-7ff rwxp 00000000 00:00 0  [rollup]\nRss:   2048 kB\nPss:    512 kB\n\
                    Pss_Dirty: 4 kB\n";
        assert_eq!(parse_pss(text), Some(512 * 1024));
        assert_eq!(parse_pss("Rss: 1 kB\n"), None);
    }

    #[test]
    fn what_this_process_takes_is_more_than_nothing() {
        let me = std::process::id().cast_signed();
        // Ten ticks of work at least, so that there is something to see.
        let begun = std::time::Instant::now();
        while cpu(me, Times::Own).unwrap() < Duration::from_millis(20) {
            assert!(begun.elapsed() < Duration::from_secs(60));
        }
        let roots = Roots {
            leaders: vec![Identity::of(me).unwrap().unwrap()],
            ..Roots::default()
        };
        let taken = usage(&[roots.clone(), Roots::default(), roots]).unwrap();
        assert!(taken[0].processes >= 1);
        assert!(taken[0].cpu >= Duration::from_millis(20));
        assert!(taken[0].memory.unwrap() > 100_000);
        assert_eq!(taken[1], Usage::default());
        assert_eq!(taken[2], taken[0], "each process is read once");
        assert!(own_usage().unwrap().cpu >= Duration::from_millis(20));
    }
}
