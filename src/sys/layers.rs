//! Finding out which [layers](crate::layers) of containment hold here: by trying each on a child.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use super::identity::{Exit, PidFd};
use super::mark::{Mark, Nesting, NoMark, ProjectId, is_carried_by};
use super::process::{BlockedSignals, DeclaredChild, pipe, set_subreaper, wait_for_end};
use super::walk::is_listing_children;
use crate::layers::{Holding, Layers};

/// What the child exits with, so that it can be recognised.
const EXIT_CODE: i32 = 42;

/// Tries each layer on a child that lives for a moment. Blocking.
pub fn probe() -> Layers {
    let nesting = Nesting::here();
    let mark = nesting
        .as_ref()
        .ok()
        .map(|nesting| Mark::for_project(ProjectId::of_nobody(), *nesting));
    let seen = try_on_child(mark).unwrap_or_else(|error| {
        let missing = || Holding::missing(format!("it cannot be tried: {error}"));
        Seen {
            mark: missing(),
            subreaper: missing(),
            pidfd: missing(),
            exit_status: missing(),
        }
    });
    Layers {
        mark: match nesting {
            Ok(_) => seen.mark,
            Err(why) => Holding::missing(why.to_string()),
        },
        subreaper: seen.subreaper,
        pidfd: seen.pidfd,
        children: if is_listing_children() {
            Holding::Held
        } else {
            Holding::missing("the kernel was built without CONFIG_PROC_CHILDREN")
        },
        exit_status: seen.exit_status,
        cgroup: Holding::Unused,
    }
}

/// What was seen of a child that lived.
struct Seen {
    mark: Holding,
    subreaper: Holding,
    pidfd: Holding,
    exit_status: Holding,
}

/// Forks a child that takes on the mark, becomes a subreaper, tells how that went, and waits to be
/// let go. Looks at it from outside meanwhile, and at how it ended.
fn try_on_child(mark: Option<Mark>) -> io::Result<Seen> {
    let (gate_read, gate_write) = pipe()?;
    let (report_read, report_write) = pipe()?;
    let blocked = BlockedSignals::block_all()?;
    let (pid, declared) = DeclaredChild::spawn(|| {
        // SAFETY: the child makes a few async-signal-safe calls and exits.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let ends = [&gate_write, &gate_read, &report_write].map(AsRawFd::as_raw_fd);
            // SAFETY: we are the child of a fork, with these descriptors, and never return.
            unsafe { live(mark.as_ref(), ends) }
        }
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((pid, Some(pid)))
    })?;
    drop((blocked, gate_read, report_write));
    let mut errors = [0_u8; 2];
    // A child that was killed tells nothing, which is no error of the layers.
    let told = nix::unistd::read(&report_read, &mut errors)? == errors.len();
    let handle = PidFd::open(pid);
    let mark = told.then(|| mark_holds(mark, errors[0], pid));
    let pidfd = match &handle {
        Ok(Some(handle)) => handle.send(0).map(drop).into(),
        Ok(None) => Holding::missing("a child of ours was not found"),
        Err(error) => Holding::missing(error.to_string()),
    };
    // The end of the pipe lets the child go.
    drop(gate_write);
    wait_for_end(pid)?;
    drop(declared);
    let exit = handle.ok().flatten().and_then(|handle| handle.exit());
    let untold = || Holding::missing("it cannot be tried: the child was killed");
    Ok(Seen {
        mark: mark.unwrap_or_else(untold),
        subreaper: if told {
            refusal(errors[1]).into()
        } else {
            untold()
        },
        pidfd,
        exit_status: if exit == Some(Exit::Code(EXIT_CODE)) {
            Holding::Held
        } else {
            Holding::missing("the kernel does not tell; Linux 6.15 and later do")
        },
    })
}

/// The life of the child, which has `[gate_write, gate_read, report_write]`.
///
/// # Safety
/// Only in the child of a fork, before it has done anything else.
unsafe fn live(mark: Option<&Mark>, [gate_write, gate, report]: [RawFd; 3]) -> ! {
    let errno = |tried: io::Result<()>| {
        let error = tried.err().and_then(|error| error.raw_os_error());
        u8::try_from(error.unwrap_or(0)).unwrap_or(u8::MAX)
    };
    let errors = [
        errno(mark.map_or(Ok(()), Mark::apply)),
        errno(set_subreaper()),
    ];
    let mut byte = 0_u8;
    // SAFETY: async-signal-safe calls with descriptors that are open and buffers of these lengths.
    unsafe {
        libc::close(gate_write);
        libc::write(report, errors.as_ptr().cast(), errors.len());
        while libc::read(gate, (&raw mut byte).cast(), 1) > 0 {}
        libc::_exit(EXIT_CODE)
    }
}

/// The error that the child told by its number; 0 is none.
fn refusal(errno: u8) -> io::Result<()> {
    match errno {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno.into())),
    }
}

/// Whether the child, which had this error when it took on the mark, is seen to carry it.
fn mark_holds(mark: Option<Mark>, errno: u8, pid: i32) -> Holding {
    if let Err(error) = refusal(errno) {
        return Holding::missing(NoMark::Refused(error).to_string());
    }
    // Without a mark to try, the reason for that is told instead.
    match mark.map_or(Ok(true), |mark| is_carried_by(&mark, pid)) {
        Ok(true) => Holding::Held,
        Ok(false) => Holding::missing("the limit of file locks is not what it was set to"),
        Err(error) => Holding::missing(format!("the limit of file locks cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Layer;
    use crate::sys::mark::own_mark;

    #[test]
    fn every_layer_is_tried_and_nothing_is_left() {
        let before = own_mark().unwrap();
        let layers = probe();
        for (layer, holding) in Layer::ALL.map(|layer| (layer, layers.of(layer))) {
            if let Holding::Missing { why } = holding {
                eprintln!("{}: {why}", layer.name());
            }
        }
        // No host on which these tests can run lacks them.
        assert!(layers.subreaper.is_held() && layers.pidfd.is_held());
        assert_eq!(layers.cgroup, Holding::Unused);
        // Tried in a child, so nothing of it sticks to us.
        assert_eq!(own_mark().unwrap(), before);
    }

    #[test]
    fn a_refusal_is_told_by_its_reason() {
        let holding = mark_holds(None, u8::try_from(libc::EPERM).unwrap(), 1);
        let Holding::Missing { why } = holding else {
            panic!("{holding:?}");
        };
        assert!(why.contains("Operation not permitted"), "{why}");
    }
}
