//! Tricks of daemons: the process that did the double fork and left its session does something more.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};

use super::super::part::{Part, Played, TRICK_COMMAND, Unplayed};
use crate::sys::escape;

/// A daemon and no more.
pub(super) fn plain(part: &Part) -> Played {
    part.daemonize(|| part.sign())?;
    part.sign()?;
    part.rest()
}

pub(super) fn with_port(part: &Part) -> Played {
    part.daemonize(|| {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        part.note("port", &listener.local_addr()?.port().to_string())?;
        // It listens for as long as the process lives.
        std::mem::forget(listener);
        part.sign()
    })?;
    part.sign_and_be_ready_with(2)?;
    part.rest()
}

pub(super) fn bare(part: &Part) -> Played {
    let executable = std::env::current_exe()?;
    part.daemonize(|| {
        let mut command = Command::new(&executable);
        command.env_clear().args([TRICK_COMMAND, "as-member"]);
        command.arg(&part.dir).arg(part.phase.word());
        Err(command.exec())
    })?;
    part.sign_and_be_ready_with(2)?;
    part.rest()
}

pub(super) fn closed(part: &Part) -> Played {
    part.daemonize(|| {
        escape::close_all_descriptors();
        part.sign()
    })?;
    part.sign_and_be_ready_with(2)?;
    part.rest()
}

pub(super) fn renamed(part: &Part) -> Played {
    part.daemonize(|| {
        escape::rename("[kworker/0:1]")?;
        part.sign()
    })?;
    part.sign_and_be_ready_with(2)?;
    part.rest()
}

/// By less than the slack of the mark.
pub(super) fn lowered(part: &Part) -> Played {
    part.daemonize(|| {
        escape::lower_mark(20)?;
        part.sign()
    })?;
    part.sign_and_be_ready_with(2)?;
    part.rest()
}

/// The usual number of `nobody`; that there is such a user is not needed.
const OTHER_USER: u32 = 65534;

pub(super) fn other_user(part: &Part) -> Played {
    if !geteuid().is_root() {
        return Err(Unplayed::Skipped(
            "only root can become another user".into(),
        ));
    }
    // Opened while it still may.
    let register = part.register()?;
    part.daemonize(|| {
        setgroups(&[])?;
        setgid(Gid::from_raw(OTHER_USER))?;
        setuid(Uid::from_raw(OTHER_USER))?;
        register.sign()
    })?;
    part.sign_and_be_ready_with(2)?;
    part.rest()
}
