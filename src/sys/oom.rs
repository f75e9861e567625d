//! Whether the kernel ended a process for want of memory.
//!
//! Nobody is told whose process it was, without privilege: the kernel's log names it, and only root
//! reads that. But everybody may read how many it has ended since it booted: `oom_kill` in
//! `/proc/vmstat` (`mm/oom_kill.c`, `count_vm_event(OOM_KILL)`, of control groups too). A process
//! that SIGKILL ended while that number grew may have been one of them.

use std::fs;

/// Counts what the kernel ended for want of memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct OomWatch {
    seen: Option<u64>,
}

impl OomWatch {
    /// From now on.
    pub fn begin() -> Self {
        Self { seen: count() }
    }

    /// Whether the kernel has ended any process for want of memory since the last time that this was
    /// asked.
    pub fn has_struck(&mut self) -> bool {
        let now = count();
        let before = std::mem::replace(&mut self.seen, now);
        matches!((before, now), (Some(before), Some(now)) if now > before)
    }
}

fn count() -> Option<u64> {
    parse(&fs::read_to_string("/proc/vmstat").ok()?)
}

fn parse(vmstat: &str) -> Option<u64> {
    let value = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse().ok();
    vmstat.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_the_kernel_is_read() {
        assert_eq!(parse("nr_free_pages 1\noom_kill 7\nnuma_hit 3\n"), Some(7));
        assert_eq!(parse("nr_free_pages 1\n"), None);
    }

    #[test]
    fn it_strikes_only_when_the_count_grows() {
        let mut watch = OomWatch { seen: Some(0) };
        let now = count();
        assert_eq!(watch.has_struck(), now.is_some_and(|now| now > 0));
        let mut watch = OomWatch { seen: None };
        assert!(!watch.has_struck(), "what was before is not known");
    }
}
