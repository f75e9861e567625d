//! Which other user decides what a file says: its owner, or a user who may write to it or replace it in
//! its directory. Root refuses such a file, since the other user would decide what runs as root;
//! anyone else is warned.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::manifest::diagnostic::Diagnostic;

/// The kernel's number for users who have none in this user namespace (`user_namespaces(7)`).
const UNMAPPED: u32 = 65534;

/// That another user decides what a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OtherWriter {
    /// The file, or the directory that it is in.
    path: PathBuf,
    who: Who,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Owner(u32),
    Group,
    Everybody,
}

impl OtherWriter {
    /// Looks at a file that decides what this process does, and at its directory: both must be its
    /// user's or root's. What cannot be examined says nothing: reading it tells.
    pub(super) fn of(file: &Path) -> Option<Self> {
        let me = own_uid()?;
        Self::beside(file, |owner| owner == me)
    }

    /// Looks at a file that decides what processes of the user `owner` do: it may be that user's too.
    pub(super) fn of_file_for(file: &Path, owner: Option<u32>) -> Option<Self> {
        let me = own_uid()?;
        Self::beside(file, |found| found == me || Some(found) == owner)
    }

    /// Looks at a file of which it is not known for which user it is: only at who may write to it.
    pub(super) fn of_file_of_any_owner(file: &Path) -> Option<Self> {
        Self::beside(file, |_| true)
    }

    fn beside(file: &Path, is_trusted: impl Fn(u32) -> bool) -> Option<Self> {
        let directory = file.parent().unwrap_or(file);
        [file, directory].into_iter().find_map(|path| {
            Some(Self {
                path: path.to_owned(),
                who: other_writer(path, &is_trusted)?,
            })
        })
    }

    /// Tells of it: an error where the command runs as root.
    pub(super) fn diagnostic(&self, is_root: bool) -> Diagnostic {
        let message = format!("{self}, and so decides what runs");
        let diagnostic = if is_root {
            Diagnostic::error("writable_by_others", message)
        } else {
            Diagnostic::warning("writable_by_others", message)
        };
        diagnostic.help(self.help(is_root))
    }

    fn help(&self, is_root: bool) -> String {
        let path = self.path.display();
        match self.who {
            Who::Owner(owner) if is_root => format!(
                "`chown root {path}` if root is to trust it, or run the command as user {owner}"
            ),
            Who::Owner(_) => format!("trust user and file, or copy {path} and own the copy"),
            Who::Group | Who::Everybody => format!("`chmod go-w {path}`"),
        }
    }
}

impl fmt::Display for OtherWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.who {
            Who::Owner(owner) => write!(f, "user {owner} owns {path}"),
            Who::Group => write!(f, "the group of {path} can write to it"),
            Who::Everybody => write!(f, "every user can write to {path}"),
        }
    }
}

/// The user that this process runs as.
pub(super) fn own_uid() -> Option<u32> {
    Some(std::fs::metadata("/proc/self").ok()?.uid())
}

fn other_writer(path: &Path, is_trusted: &impl Fn(u32) -> bool) -> Option<Who> {
    let found = std::fs::metadata(path).ok()?;
    let mode = found.mode();
    let owner = found.uid();
    // Who has no number here cannot be told from root.
    let is_unmapped = owner == UNMAPPED && !is_every_user_mapped();
    let is_sticky = found.is_dir() && mode & 0o1000 != 0;
    // A group of one's own, as many systems give to each user, is not others.
    let is_own_group = found.gid() == owner;
    if owner != 0 && !is_trusted(owner) && !is_unmapped {
        Some(Who::Owner(owner))
    } else if is_sticky {
        None
    } else if mode & 0o002 != 0 {
        Some(Who::Everybody)
    } else if mode & 0o020 != 0 && !is_own_group {
        Some(Who::Group)
    } else {
        None
    }
}

/// Whether this is the user namespace in which every number stands for a user of its own.
fn is_every_user_mapped() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    #[test]
    fn owner_group_and_everybody_are_told_apart() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("e.env");
        fs::write(&file, "").unwrap();
        let me = fs::metadata(&file).unwrap().uid();
        let who = |mode: u32, me: u32| {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            other_writer(&file, &|owner| owner == me)
        };
        assert_eq!(who(0o644, me), None);
        assert_eq!(who(0o666, me), Some(Who::Everybody));
        // Root's files are trusted by everybody.
        if me == 0 {
            assert_eq!(who(0o644, 1000), None);
            chown(&file, Some(12345), Some(12345)).unwrap();
            assert_eq!(who(0o600, 0), Some(Who::Owner(12345)));
            assert_eq!(who(0o660, 12345), None, "a group of one's own");
            chown(&file, None, Some(4242)).unwrap();
            assert_eq!(who(0o660, 12345), Some(Who::Group));
        }
    }

    #[test]
    fn a_directory_that_others_may_write_to_counts_for_its_files() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("open");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("e.env"), "").unwrap();
        let set = |mode| fs::set_permissions(&directory, Permissions::from_mode(mode)).unwrap();
        set(0o777);
        let found = OtherWriter::of(&directory.join("e.env")).unwrap();
        assert_eq!(found.path, directory);
        set(0o1777);
        assert_eq!(OtherWriter::of(&directory.join("e.env")), None);
    }
}
