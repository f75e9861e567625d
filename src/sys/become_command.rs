//! This process becomes another program.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;

use super::account::Account;

/// What to become.
#[derive(Debug)]
pub struct Become<'a> {
    /// The executable.
    pub program: &'a Path,
    /// The words, the first of which is what the program is told that it is called.
    pub arguments: &'a [OsString],
    /// All of the environment.
    pub environment: &'a BTreeMap<String, String>,
    /// The directory.
    pub working_dir: &'a Path,
    /// The file mode creation mask; `None` keeps ours.
    pub umask: Option<u32>,
    /// Who; `None`: who we are.
    pub user: Option<&'a Account>,
}

/// Executes it in place of this program, as execve(2) does. Returns only when that fails.
#[must_use]
pub fn become_command(what: &Become<'_>) -> io::Error {
    let mut command = std::process::Command::new(what.program);
    if let Some((first, rest)) = what.arguments.split_first() {
        command.arg0(first).args(rest);
    }
    command
        .env_clear()
        .envs(what.environment)
        .current_dir(what.working_dir);
    if let Some(mask) = what.umask {
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
    }
    if let Some(user) = what.user {
        // SAFETY: there is no fork, so nothing that another thread holds can be missing; and the
        // identity is given up for good, since this process ends if the execution fails.
        if let Err(error) = unsafe { user.become_it() } {
            return error;
        }
    }
    command.exec()
}
