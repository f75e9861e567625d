//! Users of this host, and becoming one of them.

use std::io;
use std::path::PathBuf;

use nix::unistd::{Gid, Uid, User};
use serde::{Deserialize, Serialize};

/// A user of this host, as the user database has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The login name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
    /// The numbers of all groups that the user is in.
    pub groups: Vec<u32>,
    /// The home directory.
    pub home: PathBuf,
    /// The login shell.
    pub shell: PathBuf,
}

impl Account {
    /// The account with this name or number; `None`: there is none.
    ///
    /// # Errors
    /// When the user database cannot be read.
    pub fn find(user: &str) -> io::Result<Option<Self>> {
        let found = match user.parse::<u32>() {
            Ok(uid) => User::from_uid(Uid::from_raw(uid))?,
            Err(_) => User::from_name(user)?,
        };
        let Some(found) = found else {
            return Ok(None);
        };
        let name = std::ffi::CString::new(found.name.as_str())?;
        let groups = nix::unistd::getgrouplist(&name, found.gid)?;
        Ok(Some(Self {
            uid: found.uid.as_raw(),
            gid: found.gid.as_raw(),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
            home: found.dir,
            shell: found.shell,
            name: found.name,
        }))
    }

    /// Whether we are this user already.
    pub fn is_self(&self) -> bool {
        Uid::effective().as_raw() == self.uid
    }

    /// Whether we may become this user: we are, or we are root.
    pub fn may_become(&self) -> bool {
        self.is_self() || Uid::effective().is_root()
    }

    /// Calls `look` with the rights that this user has to files, and returns what it returns. Only
    /// root can do that; elsewhere, and if no thread can be started for it, the rights are ours.
    ///
    /// It is called in a thread of its own, whose rights alone change: the kernel keeps groups and
    /// file-system ids for each thread (`setfsuid(2)`), and takes root's capabilities over files away
    /// with the id.
    pub fn with_its_rights<T: Send>(&self, look: impl Fn() -> T + Sync) -> T {
        let in_thread = || {
            // SAFETY: integers, and a list of as many integers as is said. The calls go past the C
            // library, which would tell every thread.
            unsafe {
                libc::syscall(libc::SYS_setgroups, self.groups.len(), self.groups.as_ptr());
                libc::syscall(libc::SYS_setfsgid, self.gid);
                libc::syscall(libc::SYS_setfsuid, self.uid);
            }
            look()
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, in_thread);
            thread.ok().and_then(|thread| thread.join().ok())
        })
        .unwrap_or_else(look)
    }

    /// Becomes this user for good: groups, group and user, real, effective and saved. Nothing is
    /// allocated: it may be called between fork and exec.
    ///
    /// It goes past the C library, which would tell every thread of the process (`nptl(7)`): after a
    /// fork there is one.
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Safety
    /// Only in a process with one thread that is to become a command.
    pub(crate) unsafe fn become_it(&self) -> io::Result<()> {
        let done = |result: libc::c_long| match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        // SAFETY: integers, and a list of as many integers as is said.
        unsafe {
            done(libc::syscall(
                libc::SYS_setgroups,
                self.groups.len(),
                self.groups.as_ptr(),
            ))?;
            done(libc::syscall(
                libc::SYS_setresgid,
                self.gid,
                self.gid,
                self.gid,
            ))?;
            done(libc::syscall(
                libc::SYS_setresuid,
                self.uid,
                self.uid,
                self.uid,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_by_name_and_number_and_nobody_else_is() {
        let root = Account::find("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(Account::find("0").unwrap(), Some(root));
        assert_eq!(Account::find("no-such-user-here").unwrap(), None);
    }

    #[test]
    fn root_looks_with_the_rights_of_another_user_and_keeps_its_own() {
        let (true, Some(nobody)) = (Uid::effective().is_root(), Account::find("nobody").unwrap())
        else {
            return;
        };
        let closed = tempfile::tempdir().unwrap();
        let rights = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(closed.path(), rights).unwrap();
        let may_look = || crate::sys::directory::may_enter(closed.path()).is_ok();
        assert!(may_look());
        assert!(!nobody.with_its_rights(may_look));
        assert!(may_look());
    }
}
