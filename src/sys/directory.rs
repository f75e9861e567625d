//! Directories and sockets that are ours alone.
//!
//! Whoever can put a file where the supervisor looks for its own can make it do things. So the
//! directories that hold sockets and records are checked each time they are used, not only made
//! well once.

use std::fs::{self, DirBuilder, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::trust::{is_trusted_owner, is_unmapped};

/// Makes the directory `path`, and its parents, with rights 0700; or checks that the one that is
/// there is a real directory and ours, and takes from others the right to look into it.
///
/// # Errors
/// When it cannot be made, is a symbolic link or no directory, belongs to somebody else, could be
/// written to by others, or lies where somebody else could replace it.
pub fn ensure_private(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder
        .mode(0o700)
        .recursive(true)
        .create(path)
        .map_err(|error| told(path, "cannot be made", &error))?;
    let found = fs::symlink_metadata(path).map_err(|e| told(path, "cannot be examined", &e))?;
    if !found.is_dir() {
        return Err(refused(
            path,
            "is not a directory, or a symbolic link to one",
        ));
    }
    if found.uid() != own_uid() {
        return Err(refused(path, &format!("belongs to user {}", found.uid())));
    }
    if found.mode() & 0o022 != 0 {
        return Err(refused(path, "could be written to by others"));
    }
    check_ancestors(path)?;
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(|error| told(path, "cannot be closed to others", &error))?;
    }
    Ok(())
}

/// Whoever owns a directory can replace what lies in it, and where everybody may write, everybody
/// can, unless the sticky bit keeps them from it.
fn check_ancestors(path: &Path) -> io::Result<()> {
    let real = fs::canonicalize(path).map_err(|error| told(path, "cannot be examined", &error))?;
    for ancestor in real.ancestors().skip(1) {
        let found = fs::symlink_metadata(ancestor)
            .map_err(|error| told(ancestor, "cannot be examined", &error))?;
        if !is_trusted_owner(found.uid()) && !is_unmapped(found.uid()) {
            let owner = found.uid();
            return Err(refused(
                path,
                &format!("lies in a directory of user {owner}"),
            ));
        }
        if is_open_to_all(&found) {
            let parent = ancestor.display();
            return Err(refused(
                path,
                &format!("could be replaced by anybody, in {parent}"),
            ));
        }
    }
    Ok(())
}

fn is_open_to_all(directory: &Metadata) -> bool {
    let sticky = libc::S_ISVTX;
    directory.mode() & 0o002 != 0 && directory.mode() & sticky == 0
}

fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

fn told(path: &Path, what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} {what}: {error}", path.display()))
}

fn refused(path: &Path, what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("{} {what}", path.display()),
    )
}

/// Whether we may enter the directory at `path`.
///
/// # Errors
/// As `access(2)`.
pub fn may_enter(path: &Path) -> io::Result<()> {
    // The C library's `eaccess` asks for the real user, unlike this, which goes by the rights of the
    // calling thread.
    nix::unistd::faccessat(
        nix::fcntl::AT_FDCWD,
        path,
        nix::unistd::AccessFlags::X_OK,
        nix::fcntl::AtFlags::AT_EACCESS,
    )
    .map_err(io::Error::from)
}

/// Listens on a unix socket at `path`, rights 0600, in place of whatever socket lay there: whoever
/// calls holds the lock, so that one can only be stale. The path may be longer than the 107 bytes
/// of a socket address (`unix(7)`).
///
/// # Errors
/// When something that is no socket is in the way, or the kernel refuses.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(refused(path, "is in the way, and is not a socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(told(path, "cannot be examined", &error)),
    }
    let listener = with_short_path(path, UnixListener::bind)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to the socket at `path`, however long that is.
///
/// # Errors
/// As `connect(2)`.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    with_short_path(path, UnixStream::connect)
}

/// The longest path that fits into a socket address with its NUL.
const LONGEST_SOCKET_PATH: usize = 107;

fn with_short_path<T>(path: &Path, act: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= LONGEST_SOCKET_PATH {
        return act(path.to_owned());
    }
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let parent = path.parent().ok_or_else(invalid)?;
    let name = path.file_name().ok_or_else(invalid)?;
    // The open directory has a short name of its own for as long as we hold it.
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(parent)?;
    act(PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_is_missing_is_made_for_us_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a/b/c");
        ensure_private(&path).unwrap();
        ensure_private(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&scratch.path().join("a")), 0o700);
    }

    #[test]
    fn others_lose_the_right_to_look() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        ensure_private(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn what_others_could_have_filled_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o770)).unwrap();
        let refusal = ensure_private(&path).unwrap_err().to_string();
        assert!(
            refusal.ends_with("could be written to by others"),
            "{refusal}"
        );

        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        let refusal = ensure_private(&path.join("b")).unwrap_err().to_string();
        assert!(
            refusal.contains("could be replaced by anybody"),
            "{refusal}"
        );
    }

    #[test]
    fn links_files_and_foreign_directories_are_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let real = scratch.path().join("real");
        ensure_private(&real).unwrap();
        let link = scratch.path().join("link");
        symlink(&real, &link).unwrap();
        assert!(ensure_private(&link).is_err());
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(ensure_private(&file).is_err());
        if own_uid() == 0 {
            std::os::unix::fs::chown(&real, Some(12345), None).unwrap();
            let refusal = ensure_private(&real).unwrap_err().to_string();
            assert!(refusal.ends_with("belongs to user 12345"), "{refusal}");
            let refusal = ensure_private(&real.join("a")).unwrap_err().to_string();
            assert!(
                refusal.ends_with("lies in a directory of user 12345"),
                "{refusal}"
            );
        }
    }

    #[test]
    fn sockets_work_at_paths_of_any_length() {
        let scratch = tempfile::tempdir().unwrap();
        for name in ["short", &"long".repeat(50)] {
            let directory = scratch.path().join(name);
            ensure_private(&directory).unwrap();
            let path = directory.join("socket");
            drop(listen(&path).unwrap());
            // The stale one is replaced.
            let listener = listen(&path).unwrap();
            assert_eq!(mode(&path), 0o600);
            let mut here = connect(&path).unwrap();
            let (mut there, _) = listener.accept().unwrap();
            there.write_all(b"well").unwrap();
            drop(there);
            let mut heard = String::new();
            here.read_to_string(&mut heard).unwrap();
            assert_eq!(heard, "well");
        }
    }

    #[test]
    fn only_a_socket_is_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        fs::write(&path, "precious").unwrap();
        assert!(listen(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
