//! Whether a path leads to what is ours, and who is at the other end of a socket.
//!
//! A user who owns a directory, or may write to one that is not sticky, decides what is found below
//! it. So each directory on the way to a socket or a record must belong to us or to root, and must
//! be closed to the writes of others; a symbolic link counts as a step of its own, and the way to its
//! target is walked like the rest. The walk and the use of the path are two moments: a caller that
//! connects asks in addition who listens ([`check_peer`]), before it sends anything.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Gid, Group, Uid, User};

/// The owner that the kernel shows for users who do not exist in our user namespace
/// (`user_namespaces(7)`). Elsewhere it is the ordinary user `nobody`.
const OVERFLOW_USER: u32 = 65534;

/// How many symbolic links one path may lead through, as for the kernel (`path_resolution(7)`).
const MOST_LINKS: u32 = 40;

/// Why a path is not trusted.
#[derive(Debug)]
pub enum Distrust {
    /// Another ordinary user owns this directory, link, file or socket.
    Foreign {
        /// What is owned.
        path: PathBuf,
        /// The number of its owner.
        owner: u32,
    },
    /// Other users may write to this directory.
    OpenToOthers {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Something that is not a directory lies on the way.
    NotADirectory {
        /// What lies there.
        path: PathBuf,
    },
    /// Something that is not a socket lies in the place of one.
    NotASocket {
        /// What lies there.
        path: PathBuf,
    },
    /// This part of the path cannot be examined.
    Unknown {
        /// The part.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Whether what `uid` owns is under our control, or under that of root.
pub fn is_trusted_owner(uid: u32) -> bool {
    uid == 0 || uid == own_uid()
}

fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Checks every directory on the way to the directory `path`, and that one too, as far as they
/// exist. The last one must not be writable by others even if it is sticky.
///
/// # Errors
/// The first part of the way that is not trusted.
pub fn check_directory(path: &Path) -> Result<(), Distrust> {
    let absolute = std::path::absolute(path).map_err(unknown(path))?;
    let mut left: VecDeque<OsString> = parts(&absolute);
    let mut links = MOST_LINKS;
    let mut at = PathBuf::from("/");
    let mut found = fs::symlink_metadata(&at).map_err(unknown(&at))?;
    loop {
        check_owner(&at, &found, true)?;
        if !found.is_dir() {
            return Err(Distrust::NotADirectory { path: at });
        }
        if is_open_to_others(&found) && (left.is_empty() || !is_sticky(&found)) {
            return Err(Distrust::OpenToOthers {
                path: at,
                mode: found.mode() & 0o7777,
            });
        }
        // Links and dots lead on without being directories of the way.
        loop {
            let Some(part) = left.pop_front() else {
                return Ok(());
            };
            if part == ".." {
                at.pop();
                found = fs::symlink_metadata(&at).map_err(unknown(&at))?;
                break;
            }
            let next = at.join(&part);
            found = match fs::symlink_metadata(&next) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(unknown(&next)(error)),
            };
            if !found.is_symlink() {
                at = next;
                break;
            }
            check_owner(&next, &found, true)?;
            links = links
                .checked_sub(1)
                .ok_or_else(|| unknown(&next)(io::Error::from_raw_os_error(libc::ELOOP)))?;
            let target = fs::read_link(&next).map_err(unknown(&next))?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for part in parts(&target).into_iter().rev() {
                left.push_front(part);
            }
        }
    }
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Checks the way to the socket at `path`, and what lies there.
///
/// # Errors
/// The first part of the way that is not trusted, and something there that is not a socket.
pub fn check_socket(path: &Path) -> Result<(), Distrust> {
    if let Some(directory) = path.parent() {
        check_directory(directory)?;
    }
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unknown(path)(error)),
    };
    check_owner(path, &found, false)?;
    match found.file_type().is_socket() {
        true => Ok(()),
        false => Err(Distrust::NotASocket {
            path: path.to_owned(),
        }),
    }
}

/// Checks who listens at the other end of `stream`, which was connected to `path`. The kernel noted
/// it when the listener called `listen(2)`.
///
/// # Errors
/// [`Distrust::Foreign`] for another ordinary user.
pub fn check_peer(stream: &impl AsFd, path: &Path) -> Result<(), Distrust> {
    let peer = getsockopt(stream, PeerCredentials)
        .map_err(|errno| unknown(path)(io::Error::from(errno)))?;
    match is_trusted_owner(peer.uid()) {
        true => Ok(()),
        false => Err(Distrust::Foreign {
            path: path.to_owned(),
            owner: peer.uid(),
        }),
    }
}

/// Whether users other than the owner and root may write to what this tells of. The group of its
/// owner's own name, which many distributions give to each user, does not count while it has no
/// other members.
pub fn is_open_to_others(found: &Metadata) -> bool {
    let mode = found.mode();
    mode & 0o002 != 0 || (mode & 0o020 != 0 && !is_private_group(found.gid(), found.uid()))
}

fn is_private_group(group: u32, owner: u32) -> bool {
    let group = Group::from_gid(Gid::from_raw(group));
    let owner = User::from_uid(Uid::from_raw(owner));
    let (Ok(Some(group)), Ok(Some(owner))) = (group, owner) else {
        return false;
    };
    group.name == owner.name && group.mem.iter().all(|member| *member == owner.name)
}

fn is_sticky(found: &Metadata) -> bool {
    found.mode() & libc::S_ISVTX != 0
}

/// In a user namespace without all users, those above us on the way may have no number here: the
/// kernel keeps every user of this namespace from being them.
fn check_owner(path: &Path, found: &Metadata, may_be_unmapped: bool) -> Result<(), Distrust> {
    let owner = found.uid();
    if is_trusted_owner(owner) || (may_be_unmapped && found.is_dir() && is_unmapped(owner)) {
        return Ok(());
    }
    Err(Distrust::Foreign {
        path: path.to_owned(),
        owner,
    })
}

/// Whether `user` stands for those who have no number in our user namespace. Where that cannot be
/// read, it is an ordinary user.
pub(super) fn is_unmapped(user: u32) -> bool {
    if user != OVERFLOW_USER {
        return false;
    }
    let Ok(map) = fs::read_to_string("/proc/self/uid_map") else {
        return false;
    };
    !map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) => {
                (first..first.saturating_add(count)).contains(&u64::from(user))
            }
            _ => true,
        }
    })
}

fn unknown(path: &Path) -> impl FnOnce(io::Error) -> Distrust + '_ {
    move |source| Distrust::Unknown {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use std::os::unix::net::UnixListener;

    fn directory(path: &Path, mode: u32) {
        fs::create_dir_all(path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_way_of_ours_is_trusted_as_far_as_it_exists() {
        let scratch = tempfile::tempdir().unwrap();
        let real = scratch.path().join("real");
        directory(&real, 0o700);
        check_directory(&real).unwrap();
        check_directory(&real.join("a/b/c")).unwrap();
        let link = scratch.path().join("link");
        symlink("real/../real", &link).unwrap();
        check_directory(&link).unwrap();
        check_socket(&link.join("socket")).unwrap();
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_trusted_only_as_a_sticky_one_on_the_way() {
        let scratch = tempfile::tempdir().unwrap();
        let open = scratch.path().join("open");
        let below = open.join("below");
        directory(&open, 0o1777);
        directory(&below, 0o700);
        check_directory(&below).unwrap();
        assert!(matches!(
            check_directory(&open),
            Err(Distrust::OpenToOthers { mode: 0o1777, .. })
        ));
        directory(&open, 0o777);
        let Err(Distrust::OpenToOthers { path, .. }) = check_directory(&below) else {
            panic!("trusted");
        };
        assert_eq!(path, open);
    }

    #[test]
    fn what_is_no_directory_and_no_socket_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [&file, &file.join("below")] {
            let Err(Distrust::NotADirectory { path }) = check_directory(path) else {
                panic!("trusted");
            };
            assert_eq!(path, file);
        }
        assert!(matches!(
            check_socket(&file),
            Err(Distrust::NotASocket { .. })
        ));
        let round = scratch.path().join("round");
        symlink("round", &round).unwrap();
        assert!(matches!(
            check_directory(&round),
            Err(Distrust::Unknown { .. })
        ));
    }

    #[test]
    fn what_another_user_owns_is_not_trusted() {
        if own_uid() != 0 {
            return;
        }
        let scratch = tempfile::tempdir().unwrap();
        let theirs = scratch.path().join("theirs");
        directory(&theirs, 0o700);
        directory(&theirs.join("below"), 0o700);
        // `nobody` has the number that stands for unmapped users elsewhere.
        for user in [12345, OVERFLOW_USER] {
            chown(&theirs, Some(user), None).unwrap();
            let Err(Distrust::Foreign { path, owner }) = check_directory(&theirs.join("below"))
            else {
                panic!("trusted");
            };
            assert_eq!((path, owner), (theirs.clone(), user));
        }
        let link = scratch.path().join("link");
        symlink(scratch.path(), &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(12345), None).unwrap();
        assert!(matches!(
            check_directory(&link),
            Err(Distrust::Foreign { owner: 12345, .. })
        ));
        let socket = scratch.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        check_socket(&socket).unwrap();
        chown(&socket, Some(12345), None).unwrap();
        assert!(matches!(
            check_socket(&socket),
            Err(Distrust::Foreign { owner: 12345, .. })
        ));
    }

    #[test]
    fn a_listener_of_ours_is_trusted() {
        let scratch = tempfile::tempdir().unwrap();
        let socket = scratch.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        let stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        check_peer(&stream, &socket).unwrap();
    }
}
