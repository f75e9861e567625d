//! Limits of resources (`setrlimit(2)`) that a command gets.

use std::ffi::CString;
use std::io;

use serde::{Deserialize, Serialize};

/// One limit of one resource; what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The resource's name in the manifest: `nofile`.
    pub name: String,
    /// The kernel's number of the resource.
    pub resource: u32,
    /// What may be used; `u64::MAX`: any amount.
    pub soft: Option<u64>,
    /// How far the process itself may raise that.
    pub hard: Option<u64>,
}

/// A limit in the form that the kernel takes.
pub(crate) struct PreparedLimit {
    pub(crate) name: CString,
    resource: libc::__rlimit_resource_t,
    limit: libc::rlimit,
}

impl Limit {
    /// As it will be, beside what `inherited` (ours, or what the caller knows better) is.
    fn over(&self, inherited: libc::rlimit) -> libc::rlimit {
        let hard = self.hard.unwrap_or(inherited.rlim_max);
        // A soft limit that is not asked for gives way to a lower hard one.
        let soft = self.soft.unwrap_or_else(|| inherited.rlim_cur.min(hard));
        libc::rlimit {
            rlim_cur: soft,
            rlim_max: hard.max(self.soft.filter(|_| self.hard.is_none()).unwrap_or(0)),
        }
    }

    /// Why we cannot set it: a hard limit is raised by root alone.
    ///
    /// `inherited` is the limit that our children begin with, where that is not ours.
    pub fn refusal(&self, inherited: Option<(u64, u64)>) -> Option<String> {
        let inherited = inherited.map_or_else(
            || current(self.resource).ok(),
            |(rlim_cur, rlim_max)| Some(libc::rlimit { rlim_cur, rlim_max }),
        )?;
        let wanted = self.over(inherited);
        let is_raised = wanted.rlim_max > inherited.rlim_max;
        (is_raised && !nix::unistd::geteuid().is_root()).then(|| {
            format!(
                "`limits.{}` asks for {}, above the hard limit of {}, which root alone may raise",
                self.name,
                shown(wanted.rlim_max),
                shown(inherited.rlim_max)
            )
        })
    }

    /// Ready to be set.
    pub(crate) fn prepare(&self, inherited: Option<(u64, u64)>) -> io::Result<PreparedLimit> {
        let inherited = match inherited {
            Some((rlim_cur, rlim_max)) => libc::rlimit { rlim_cur, rlim_max },
            None => current(self.resource)?,
        };
        Ok(PreparedLimit {
            name: CString::new(self.name.as_str())?,
            resource: self.resource,
            limit: self.over(inherited),
        })
    }
}

impl PreparedLimit {
    /// Sets it; whether that went well. Async-signal-safe.
    pub(crate) fn set(&self) -> bool {
        // SAFETY: the pointer leads to a limit.
        unsafe { libc::setrlimit(self.resource, &raw const self.limit) == 0 }
    }
}

fn current(resource: u32) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer leads to a limit that is ours.
    match unsafe { libc::getrlimit(resource, &raw mut limit) } {
        0 => Ok(limit),
        _ => Err(io::Error::last_os_error()),
    }
}

fn shown(value: u64) -> String {
    match value {
        libc::RLIM_INFINITY => "unlimited".into(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(soft: Option<u64>, hard: Option<u64>) -> (u64, u64) {
        let limit = Limit {
            name: "nofile".into(),
            resource: 7,
            soft,
            hard,
        };
        let result = limit.over(libc::rlimit {
            rlim_cur: 100,
            rlim_max: 200,
        });
        (result.rlim_cur, result.rlim_max)
    }

    #[test]
    fn what_is_not_said_stays_or_gives_way() {
        assert_eq!(over(Some(50), None), (50, 200));
        assert_eq!(over(Some(300), None), (300, 300));
        assert_eq!(over(None, Some(150)), (100, 150));
        assert_eq!(over(None, Some(80)), (80, 80));
        assert_eq!(over(Some(60), Some(70)), (60, 70));
    }
}
