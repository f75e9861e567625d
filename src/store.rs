//! Where a project lives on disk: its directories, its lock, its ledger.
//!
//! Two directories belong to a project. The *state directory* outlives reboots and holds the lock,
//! the ledger and the logs. The *runtime directory* holds sockets and FIFOs. Which runtime
//! directory is in use depends on the environment of whoever started the supervisor (`cron` and a
//! login shell differ), so the supervisor writes it into the lock file, and everybody else reads it
//! there: the state directory alone decides which project this is.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{User, geteuid};
use serde::{Deserialize, Serialize};

use crate::catalogue::Code;
use crate::code;
use crate::id::{ProjectName, RunId, ServiceName};
use crate::record::{Damage, Ledger, LedgerError, Line, RecordedProcess};
use crate::sys::crash;
use crate::sys::identity::{Identity, PidFd};
use crate::sys::sweep::name_of_user;
use crate::sys::trust::{self, Distrust};

/// The longest path that a unix socket may have, from `unix(7)`: 108 bytes with the closing zero.
const LONGEST_SOCKET_PATH: usize = 107;

/// The project that this process is a service of, or that a person means.
const PROJECT_VARIABLE: &str = "BAUDBOT_PROJECT";

/// The state directory of that project.
const STATE_VARIABLE: &str = "BAUDBOT_STATE_DIR";

/// What can go wrong with the files of a project.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried, as in "create".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another user owns a part of the way to the project's files or sockets, or listens on its
    /// control socket.
    #[error("{} belongs to {}, who could answer in the project's place", path.display(), name_of_user(*owner))]
    ForeignDirectory {
        /// What the other user owns: a directory, a link, a file or a socket.
        path: PathBuf,
        /// Its owner's number.
        owner: u32,
        /// The variables that lead elsewhere.
        place: Place,
    },
    /// Other users may write to a directory on the way.
    #[error("other users may write to {} (its rights are {mode:04o}), and could answer in the project's place", path.display())]
    OpenDirectory {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Something else lies in the place of a socket.
    #[error("{} is not a socket", path.display())]
    NotASocket {
        /// What lies there.
        path: PathBuf,
    },
    /// A link or file stands where the directory should be.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// No place can be derived for the state.
    #[error("neither XDG_STATE_HOME nor HOME is set, so there is no place for the project's state")]
    NoHome,
    /// A socket's path is longer than the kernel takes.
    #[error("the socket path {} has {length} bytes, the kernel takes at most {LONGEST_SOCKET_PATH}", path.display())]
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        length: usize,
    },
    /// The ledger is not one that can be read.
    #[error("cannot read the ledger {}", path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: LedgerError,
    },
}

impl StoreError {
    /// What kind of error it is.
    pub fn code(&self) -> Code {
        match self {
            Self::File { .. } => code!("store::file"),
            Self::ForeignDirectory { .. } | Self::OpenDirectory { .. } => {
                code!("store::foreign_directory")
            }
            Self::NotASocket { .. } => code!("store::not_a_socket"),
            Self::NotADirectory { .. } => code!("store::not_a_directory"),
            Self::NoHome => code!("store::no_home"),
            Self::SocketPathTooLong { .. } => code!("store::socket_path_too_long"),
            Self::Ledger { .. } => code!("store::ledger"),
        }
    }

    /// What to do about it, where that can be said.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::File { source, path, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => Some(format!(
                    "make {} writable for you, or choose another place with XDG_STATE_HOME and XDG_RUNTIME_DIR",
                    path.display()
                )),
                io::ErrorKind::StorageFull => Some("make room on that file system".into()),
                io::ErrorKind::ReadOnlyFilesystem => {
                    Some("choose another place with XDG_STATE_HOME and XDG_RUNTIME_DIR".into())
                }
                _ => None,
            },
            Self::ForeignDirectory { path, place, .. } => Some(format!(
                "choose a directory of yours, as in `{}`, or have {} removed",
                place.way_out(),
                path.display()
            )),
            Self::OpenDirectory { path, .. } => Some(format!(
                "if all that lies in it is yours, close it to the others: `chmod go-w {}`",
                path.display()
            )),
            Self::NotADirectory { path } | Self::NotASocket { path } => {
                Some(format!("move {} out of the way", path.display()))
            }
            Self::NoHome => Some("set HOME".into()),
            Self::SocketPathTooLong { .. } => Some(
                "set XDG_RUNTIME_DIR to a shorter path, or choose a shorter project name".into(),
            ),
            Self::Ledger {
                source: LedgerError::Newer { .. },
                ..
            } => Some("use the program that wrote it, at least for `baudbot down`".into()),
        }
    }
}

/// Which of a project's two directories an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The state directory.
    State,
    /// The runtime directory.
    Runtime,
}

impl Place {
    /// A command that leads to another directory, one of the user's own.
    fn way_out(self) -> String {
        let (unit, xdg, below) = match self {
            Self::State => ("STATE_DIRECTORY", "XDG_STATE_HOME", ".local/state"),
            Self::Runtime => ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", ".local/run"),
        };
        // A service manager's variable counts before the others.
        let unset = match std::env::var_os(unit) {
            Some(_) => format!("unset {unit}; "),
            None => String::new(),
        };
        // HOME may be the other user's too, where it came along with `su` or `sudo`.
        let home = User::from_uid(geteuid()).ok().flatten();
        let home = home.map_or_else(|| PathBuf::from("/tmp"), |user| user.dir);
        let directory = home.join(below).display().to_string();
        format!("{unset}mkdir -p -m 700 {directory}; export {xdg}={directory}")
    }

    fn distrusted(self, distrust: Distrust) -> StoreError {
        match distrust {
            Distrust::Foreign { path, owner } => StoreError::ForeignDirectory {
                path,
                owner,
                place: self,
            },
            Distrust::OpenToOthers { path, mode } => StoreError::OpenDirectory { path, mode },
            Distrust::NotADirectory { path } => StoreError::NotADirectory { path },
            Distrust::NotASocket { path } => StoreError::NotASocket { path },
            Distrust::Unknown { path, source } => file_error("look at", &path)(source),
        }
    }
}

fn file_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::File {
        action,
        path: path.to_owned(),
        source,
    }
}

/// The projects that have a place of their own among this user's, by name. What a service manager
/// keeps elsewhere (`STATE_DIRECTORY`) is not among them.
///
/// # Errors
/// [`StoreError::NoHome`], and what reading the directory says.
pub fn all_projects() -> Result<Vec<Project>, StoreError> {
    let mut environment = environment();
    environment.remove("STATE_DIRECTORY");
    environment.remove("RUNTIME_DIRECTORY");
    environment.remove(PROJECT_VARIABLE);
    let places = places(&environment)?;
    trust::check_directory(&places).map_err(|why| Place::State.distrusted(why))?;
    let entries = match fs::read_dir(&places) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(file_error("read", &places)(error)),
    };
    let mut names: Vec<ProjectName> = entries
        .filter_map(|entry| ProjectName::new(entry.ok()?.file_name().to_str()?).ok())
        .collect();
    names.sort();
    let names = names.iter();
    names
        .map(|name| Project::in_environment(name, &environment))
        .collect()
}

fn environment() -> BTreeMap<String, PathBuf> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, PathBuf::from(value))))
        .collect()
}

/// A directory that the environment names. The XDG base directory specification: a path that is not
/// absolute is to be ignored.
fn directory<'a>(environment: &'a BTreeMap<String, PathBuf>, name: &str) -> Option<&'a PathBuf> {
    environment.get(name).filter(|path| path.is_absolute())
}

/// Where the state directories of all projects are.
fn places(environment: &BTreeMap<String, PathBuf>) -> Result<PathBuf, StoreError> {
    Ok(directory(environment, "XDG_STATE_HOME")
        .cloned()
        .or_else(|| Some(directory(environment, "HOME")?.join(".local/state")))
        .ok_or(StoreError::NoHome)?
        .join("baudbot"))
}

/// The directories of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    name: ProjectName,
    state_dir: PathBuf,
    runtime_dir: PathBuf,
}

impl Project {
    /// Derives the project's directories from the environment of this process. Looks at nothing.
    ///
    /// # Errors
    /// [`StoreError::NoHome`] when the environment names no place for the state.
    pub fn derived(name: &ProjectName) -> Result<Self, StoreError> {
        let uid = nix::unistd::getuid().as_raw();
        Self::derive(name, &environment(), uid)
    }

    /// Derives the project's directories from the environment of this process, and from the lock
    /// file where a supervisor has written which runtime directory is in use. Creates nothing.
    ///
    /// # Errors
    /// [`StoreError::NoHome`] when the environment names no place for the state, and what
    /// [`Project::check`] says.
    pub fn locate(name: &ProjectName) -> Result<Self, StoreError> {
        Self::in_environment(name, &environment())
    }

    fn in_environment(
        name: &ProjectName,
        environment: &BTreeMap<String, PathBuf>,
    ) -> Result<Self, StoreError> {
        let uid = nix::unistd::getuid().as_raw();
        let project = Self::derive(name, environment, uid)?;
        trust::check_directory(&project.state_dir).map_err(|why| Place::State.distrusted(why))?;
        if let Some(answering) = project.where_it_answers() {
            return Ok(answering);
        }
        project.check()?;
        Ok(project)
    }

    /// Whether only we and root decide what is found in the project's directories and who listens on
    /// its socket.
    ///
    /// # Errors
    /// What another user owns or may write to on the way there, and what lies in the place of a
    /// directory or of the socket.
    pub fn check(&self) -> Result<(), StoreError> {
        trust::check_directory(&self.state_dir).map_err(|why| Place::State.distrusted(why))?;
        trust::check_socket(&self.control_socket()).map_err(|why| Place::Runtime.distrusted(why))
    }

    /// Whether the process that listens on the control socket, to which `stream` leads, is ours or
    /// root's. Ask before anything is sent.
    ///
    /// # Errors
    /// [`StoreError::ForeignDirectory`] when it is not.
    pub fn check_peer(&self, stream: &impl AsFd) -> Result<(), StoreError> {
        trust::check_peer(stream, &self.control_socket())
            .map_err(|why| Place::Runtime.distrusted(why))
    }

    /// The project with the runtime directory that its supervisor uses, if one lives or is about to be
    /// brought back. Whether it answers is not tried: that may take its time.
    pub fn where_it_answers(&self) -> Option<Self> {
        trust::check_directory(&self.state_dir).ok()?;
        let holder = self.lock_holder()?;
        let processes = [&holder.supervisor, &holder.guardian];
        let lives = processes
            .into_iter()
            .flatten()
            .any(|one| living(one).is_some());
        lives.then(|| Self {
            runtime_dir: holder.runtime_dir,
            ..self.clone()
        })
    }

    /// A project whose directories are given.
    pub fn at(name: ProjectName, state_dir: PathBuf, runtime_dir: PathBuf) -> Self {
        Self {
            name,
            state_dir,
            runtime_dir,
        }
    }

    fn derive(
        name: &ProjectName,
        environment: &BTreeMap<String, PathBuf>,
        uid: u32,
    ) -> Result<Self, StoreError> {
        // systemd may name several directories, separated by colons; the first is ours.
        let from_systemd = |name: &str| {
            let all = environment.get(name)?.to_str()?;
            let first = PathBuf::from(all.split(':').next()?);
            first.is_absolute().then_some(first)
        };
        // A service has an environment made from nothing, and is told where its own project is.
        let is_own = environment
            .get(PROJECT_VARIABLE)
            .is_some_and(|own| own.as_os_str() == name.as_str());
        let told = || directory(environment, STATE_VARIABLE).filter(|_| is_own);
        let state_dir = match from_systemd("STATE_DIRECTORY") {
            Some(given) => given,
            None => match (directory(environment, "XDG_STATE_HOME"), told()) {
                (None, Some(told)) => told.clone(),
                _ => places(environment)?.join(name.as_str()),
            },
        };
        let runtime_dir = from_systemd("RUNTIME_DIRECTORY").unwrap_or_else(|| {
            match directory(environment, "XDG_RUNTIME_DIR") {
                Some(home) => home.join("baudbot"),
                None => PathBuf::from(format!("/tmp/baudbot-{uid}")),
            }
            .join(name.as_str())
        });
        Ok(Self {
            name: name.clone(),
            state_dir,
            runtime_dir,
        })
    }

    /// What a service is told of itself and of its project, so that `baudbot` in it means this one.
    /// `may_look`: whether it runs as a user who may look into the project's directories.
    pub fn told_to(
        &self,
        service: &ServiceName,
        manifest_file: Option<&Path>,
        may_look: bool,
    ) -> Vec<(String, String)> {
        let path = |name: &str, path: &Path| (name.into(), path.to_string_lossy().into_owned());
        let mut told = vec![
            (PROJECT_VARIABLE.into(), self.name.to_string()),
            ("BAUDBOT_SERVICE".into(), service.to_string()),
        ];
        told.extend(manifest_file.map(|file| path("BAUDBOT_FILE", file)));
        told.extend(may_look.then(|| path(STATE_VARIABLE, &self.state_dir)));
        told
    }

    /// The project's name.
    pub fn name(&self) -> &ProjectName {
        &self.name
    }

    /// Lock, ledger, logs.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Sockets and FIFOs.
    pub fn runtime_dir(&self) -> &Path {
        &self.runtime_dir
    }

    /// The control socket.
    pub fn control_socket(&self) -> PathBuf {
        self.runtime_dir.join("control.sock")
    }

    /// The directory that `TMUX_TMPDIR` names, so that a plain `tmux` reaches the project's server.
    pub fn tmux_tmpdir(&self) -> PathBuf {
        self.runtime_dir.clone()
    }

    /// The socket of the project's own tmux server: where `tmux(1)` looks below `TMUX_TMPDIR`.
    pub fn tmux_socket(&self) -> PathBuf {
        self.runtime_dir
            .join(format!("tmux-{}", nix::unistd::getuid()))
            .join("default")
    }

    /// The FIFOs that the output of services goes through.
    pub fn fifo_dir(&self) -> PathBuf {
        self.runtime_dir.join("output")
    }

    /// The gates at which panes wait.
    pub fn gate_dir(&self) -> PathBuf {
        self.runtime_dir.join("gates")
    }

    /// The guardian's notes about how orphans ended: [`OrphanExit`](crate::record::OrphanExit).
    pub fn orphans_file(&self) -> PathBuf {
        self.runtime_dir.join("orphans.jsonl")
    }

    /// The path of the program that the guardian is to become when the supervisor hands over.
    pub fn hand_over_file(&self) -> PathBuf {
        self.runtime_dir.join("hand-over")
    }

    /// The directory of the services' logs.
    pub fn log_dir(&self) -> PathBuf {
        self.state_dir.join("logs")
    }

    /// The log that is being written for `service`; older ones are `FILE.1` (the newest) and so on.
    pub fn log_file(&self, service: &ServiceName) -> PathBuf {
        self.log_dir().join(format!("{service}.log"))
    }

    /// What the supervisor itself has to say.
    pub fn supervisor_log(&self) -> PathBuf {
        self.state_dir.join("supervisor.log")
    }

    /// What happened, see [`event`](crate::event).
    pub fn events_file(&self) -> PathBuf {
        self.state_dir.join("events.jsonl")
    }

    fn last_word_file(&self) -> PathBuf {
        self.state_dir.join("last-word.json")
    }

    fn lock_file(&self) -> PathBuf {
        self.state_dir.join("lock")
    }

    fn ledger_file(&self) -> PathBuf {
        self.state_dir.join("ledger.jsonl")
    }

    /// A socket whose path is longer than the kernel takes, with its length.
    pub fn too_long_socket(&self) -> Option<(PathBuf, usize)> {
        let sockets = [self.control_socket(), self.tmux_socket()].into_iter();
        sockets
            .map(|path| (path.clone(), path.as_os_str().len()))
            .find(|(_, length)| *length > LONGEST_SOCKET_PATH)
    }

    /// Refuses a project whose sockets the kernel would not take.
    ///
    /// # Errors
    /// [`StoreError::SocketPathTooLong`].
    pub fn check_socket_paths(&self) -> Result<(), StoreError> {
        match self.too_long_socket() {
            Some((path, length)) => Err(StoreError::SocketPathTooLong { path, length }),
            None => Ok(()),
        }
    }

    /// Makes both directories, for us alone.
    ///
    /// # Errors
    /// What cannot be made, or is too long for a socket, and what [`Project::check`] says.
    pub fn create_directories(&self) -> Result<(), StoreError> {
        self.check_socket_paths()?;
        self.check()?;
        let both = [
            (&self.state_dir, Place::State),
            (&self.runtime_dir, Place::Runtime),
        ];
        for (directory, place) in both {
            if let Some(parent) = directory.parent() {
                // The parent below /tmp must be ours alone too; those of the XDG homes are made
                // like the directories themselves when they are missing.
                create_private(
                    parent,
                    parent.starts_with("/tmp") && parent != Path::new("/tmp"),
                    place,
                )?;
            }
            create_private(directory, true, place)?;
        }
        create_private(&self.log_dir(), true, Place::State)?;
        for directory in [self.fifo_dir(), self.gate_dir()] {
            create_private(&directory, true, Place::Runtime)?;
        }
        // Another user may have been faster with what was missing at first.
        self.check()
    }

    /// Who took the project's lock last and did not leave in order; it need not live any more.
    ///
    /// The lock itself is not tried: even a lock held for an instant could keep a supervisor that
    /// starts at that instant from getting it.
    pub fn lock_holder(&self) -> Option<LockHolder> {
        serde_json::from_str(&fs::read_to_string(self.lock_file()).ok()?).ok()
    }

    /// The supervisor that holds the project's lock, if it lives. It may be about to answer, or about
    /// to leave.
    pub fn living_supervisor(&self) -> Option<Identity> {
        let recorded = self.lock_holder()?.supervisor?;
        living(&recorded)
    }

    /// The process that brings the project's supervisor back, if it lives.
    pub fn living_guardian(&self) -> Option<Identity> {
        let recorded = self.lock_holder()?.guardian?;
        living(&recorded)
    }

    /// Takes the project's lock; `None` when another supervisor holds it. It is held until the
    /// returned value is dropped or the process ends, however it ends (`flock(2)`).
    ///
    /// # Errors
    /// What goes wrong with the lock file.
    pub fn lock(&self, guardian: Option<RecordedProcess>) -> Result<Option<Lock>, StoreError> {
        let path = self.lock_file();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(file_error("open", &path))?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(file_error("lock", &path)(errno.into())),
        };
        let pid = std::process::id().cast_signed();
        let identity = Identity::of(pid).map_err(file_error("lock", &path))?;
        let holder = LockHolder {
            pid,
            supervisor: identity.map(|identity| RecordedProcess {
                pid,
                start_time: identity.start_time,
                boot_id: identity.boot_id,
            }),
            runtime_dir: self.runtime_dir.clone(),
            guardian,
        };
        let text = serde_json::to_string(&holder).unwrap_or_default();
        let write = |file: &mut File| {
            // Over what a dead holder left: on a full disk there is no room but that.
            file.rewind()?;
            file.write_all(text.as_bytes())?;
            file.set_len(text.len() as u64)
        };
        write(&mut file).map_err(file_error("write", &path))?;
        Ok(Some(Lock { file }))
    }

    /// What the ledger adds up to, as far as it can be read.
    ///
    /// # Errors
    /// A ledger that cannot be read at all.
    pub fn read_ledger(&self) -> Result<Ledger, StoreError> {
        self.read_ledger_and_damages().map(|(ledger, _)| ledger)
    }

    /// What the ledger adds up to, and which of its lines cannot be read.
    ///
    /// # Errors
    /// A ledger that cannot be read at all.
    pub fn read_ledger_and_damages(&self) -> Result<(Ledger, Vec<Damage>), StoreError> {
        let path = self.ledger_file();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(file_error("read", &path)(error)),
        };
        Ledger::read(&String::from_utf8_lossy(&bytes))
            .map_err(|source| StoreError::Ledger { path, source })
    }

    /// Copies the ledger, damaged as it is, to where nobody writes it over but the next damage.
    ///
    /// # Errors
    /// What goes wrong with the copy.
    pub fn keep_damaged_ledger(&self) -> Result<PathBuf, StoreError> {
        let aside = self.state_dir.join("ledger.damaged.jsonl");
        fs::copy(self.ledger_file(), &aside).map_err(file_error("write", &aside))?;
        Ok(aside)
    }

    /// Writes the ledger afresh and opens it for more lines.
    ///
    /// # Errors
    /// What goes wrong with the file. The ledger is then as it was.
    pub fn begin_ledger(&self, ledger: Ledger) -> Result<LedgerWriter, StoreError> {
        let path = self.ledger_file();
        let (file, size) = write_afresh(&path, &ledger.write(&self.name))?;
        Ok(LedgerWriter {
            file,
            path,
            project: self.name.clone(),
            sum: ledger,
            size,
            fresh_size: size,
            is_torn: false,
        })
    }

    /// Opens the ledger as it is for more lines: where there is no room to write it afresh.
    ///
    /// # Errors
    /// What goes wrong with the file.
    pub fn continue_ledger(&self, ledger: Ledger) -> Result<LedgerWriter, StoreError> {
        let path = self.ledger_file();
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(file_error("open", &path))?;
        let size = file.metadata().map_err(file_error("look at", &path))?.len();
        Ok(LedgerWriter {
            file,
            path,
            project: self.name.clone(),
            sum: ledger,
            size,
            fresh_size: size,
            // Its last line may have been cut short.
            is_torn: true,
        })
    }

    /// Keeps what the supervisor that leaves has to say
    /// ([`LastWord`](crate::control::protocol::LastWord)).
    ///
    /// # Errors
    /// What goes wrong with the file.
    pub fn write_last_word(&self, text: &str) -> Result<(), StoreError> {
        let path = self.last_word_file();
        let fresh = path.with_extension("json.new");
        let write = || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.open(&fresh)?.write_all(text.as_bytes())?;
            fs::rename(&fresh, &path)
        };
        write().map_err(file_error("write", &path))
    }

    /// What the supervisor that left last had to say.
    pub fn last_word(&self) -> Option<String> {
        fs::read_to_string(self.last_word_file()).ok()
    }

    /// Removes what a supervisor that leaves has no more use for. The logs stay.
    pub fn remove_runtime_files(&self) {
        // Each may be missing; what cannot be removed is met again by the next supervisor.
        let _ = fs::remove_file(self.control_socket());
        let _ = fs::remove_dir_all(self.fifo_dir());
        let _ = fs::remove_dir_all(self.gate_dir());
        let _ = fs::remove_file(self.orphans_file());
        let _ = fs::remove_file(self.hand_over_file());
        if let Some(directory) = self.tmux_socket().parent() {
            let _ = fs::remove_dir_all(directory);
        }
        let _ = fs::remove_dir(&self.runtime_dir);
    }
}

/// The very process that was recorded, if it lives; a zombie does not.
pub fn living(recorded: &RecordedProcess) -> Option<Identity> {
    let identity = Identity {
        pid: recorded.pid,
        start_time: recorded.start_time,
        boot_id: recorded.boot_id.clone(),
    };
    let handle = PidFd::open_verified(&identity).ok()??;
    let is_over = handle.is_over().unwrap_or(true);
    (!is_over).then_some(identity)
}

fn create_private(path: &Path, must_be_ours: bool, place: Place) -> Result<(), StoreError> {
    match fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
    {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(StoreError::NotADirectory {
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(file_error("create", path)(error)),
    }
    if !must_be_ours {
        return Ok(());
    }
    let found = fs::symlink_metadata(path).map_err(file_error("look at", path))?;
    if !found.is_dir() {
        return Err(StoreError::NotADirectory {
            path: path.to_owned(),
        });
    }
    if found.uid() != geteuid().as_raw() {
        return Err(StoreError::ForeignDirectory {
            path: path.to_owned(),
            owner: found.uid(),
            place,
        });
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(file_error("restrict", path))?;
    }
    Ok(())
}

/// What the lock file says of its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// The supervisor's process id.
    pub pid: i32,
    /// The supervisor, so that it can be told from another process that has its number by now; `None`
    /// in what an earlier version wrote.
    #[serde(default)]
    pub supervisor: Option<RecordedProcess>,
    /// The runtime directory that it uses.
    pub runtime_dir: PathBuf,
    /// Who brings it back.
    #[serde(default)]
    pub guardian: Option<RecordedProcess>,
}

/// The project's lock, held.
#[derive(Debug)]
pub struct Lock {
    file: Flock<File>,
}

impl Lock {
    /// Lets go of the lock in order: nobody will look for this holder any more.
    pub fn release(self) {
        // Should this fail, the next one to look finds that nobody answers.
        let _ = self.file.set_len(0);
    }
}

/// Puts `text` in the place of the ledger at `path`, at once: whoever reads it finds the old text or
/// the new one, whenever we die. Returns the file, open for appending, and its size.
fn write_afresh(path: &Path, text: &str) -> Result<(File, u64), StoreError> {
    let fresh = path.with_extension("jsonl.new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(file_error("remove", &fresh)(error));
        }
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(file_error("create", &fresh))?;
    crash::point("ledger afresh: made");
    file.write_all(text.as_bytes())
        .map_err(file_error("write", &fresh))?;
    crash::point("ledger afresh: before the rename");
    fs::rename(&fresh, path).map_err(file_error("rename", &fresh))?;
    crash::point("ledger afresh: after the rename");
    Ok((file, text.len() as u64))
}

/// The ledger, open for more lines. The file is opened for appending, since a child at its gate
/// appends to it too.
#[derive(Debug)]
pub struct LedgerWriter {
    file: File,
    path: PathBuf,
    project: ProjectName,
    sum: Ledger,
    /// How many bytes we have put into the file, and how many it had when it was fresh.
    size: u64,
    fresh_size: u64,
    /// Whether a line broke off: the next one begins on a new line.
    is_torn: bool,
}

/// Below this size, in bytes, a ledger is not worth being written afresh.
const SMALL_LEDGER: u64 = 256 << 10;

/// How many times what it adds up to a ledger may be long.
const MOST_GROWTH: u64 = 4;

impl LedgerWriter {
    /// Whether the file is still where the next supervisor looks for it.
    pub fn is_in_place(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.nlink() > 0)
    }

    /// Appends a line. When this returns, the line survives the death of this process.
    ///
    /// # Errors
    /// The line could not be written whole; it is then as if it had never been.
    pub fn append(&mut self, line: Line) -> Result<(), StoreError> {
        let mut text = line.text();
        if self.is_torn {
            text.insert(0, '\n');
        }
        crash::point("ledger: before a line");
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            // Part of it may stand there: cut off, it counts for nothing.
            self.is_torn = true;
            return Err(file_error("write", &self.path)(error));
        }
        crash::point("ledger: after a line");
        self.is_torn = false;
        self.size += text.len() as u64;
        self.sum.take(line);
        Ok(())
    }

    /// Takes into account what a child has appended by itself.
    pub fn take_passed(&mut self, run: RunId) {
        self.sum.take(Line::Passed(run));
    }

    /// Writes the file afresh once it is much longer than what it adds up to. Not to be called while
    /// a child is at its gate: what that appends would be lost with the old file.
    ///
    /// # Errors
    /// What goes wrong with the file. The ledger goes on as it was, and this is tried again when it
    /// has grown as much once more.
    pub fn compact_if_due(&mut self) -> Result<(), StoreError> {
        if self.size < SMALL_LEDGER.max(MOST_GROWTH * self.fresh_size) {
            return Ok(());
        }
        self.fresh_size = self.size;
        let (file, size) = write_afresh(&self.path, &self.sum.write(&self.project))?;
        self.file = file;
        self.size = size;
        self.fresh_size = size;
        self.is_torn = false;
        Ok(())
    }

    /// Where the ledger is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the lines add up to.
    pub fn sum(&self) -> &Ledger {
        &self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> ProjectName {
        ProjectName::new("demo").unwrap()
    }

    fn me() -> i32 {
        std::process::id().cast_signed()
    }

    fn derive(pairs: &[(&str, &str)]) -> Result<Project, StoreError> {
        let environment = pairs
            .iter()
            .map(|(name, value)| ((*name).into(), PathBuf::from(value)))
            .collect();
        Project::derive(&name(), &environment, 1000)
    }

    #[test]
    fn directories_follow_the_environment() {
        let project = derive(&[("HOME", "/home/a")]).unwrap();
        assert_eq!(
            project.state_dir(),
            Path::new("/home/a/.local/state/baudbot/demo")
        );
        assert_eq!(project.runtime_dir(), Path::new("/tmp/baudbot-1000/demo"));
        let project = derive(&[
            ("HOME", "/home/a"),
            ("XDG_STATE_HOME", "/s"),
            ("XDG_RUNTIME_DIR", "/run/user/1000"),
        ])
        .unwrap();
        assert_eq!(project.state_dir(), Path::new("/s/baudbot/demo"));
        assert_eq!(
            project.runtime_dir(),
            Path::new("/run/user/1000/baudbot/demo")
        );
        let project = derive(&[
            ("HOME", "/home/a"),
            ("STATE_DIRECTORY", "/var/lib/b:/var/lib/c"),
            ("RUNTIME_DIRECTORY", "/run/b"),
        ])
        .unwrap();
        assert_eq!(project.state_dir(), Path::new("/var/lib/b"));
        assert_eq!(project.runtime_dir(), Path::new("/run/b"));
        let service = [
            ("HOME", "/home/a"),
            ("BAUDBOT_PROJECT", "demo"),
            ("BAUDBOT_STATE_DIR", "/var/lib/b"),
        ];
        let project = derive(&service).unwrap();
        assert_eq!(project.state_dir(), Path::new("/var/lib/b"));
        let elsewhere = [&service[..], &[("XDG_STATE_HOME", "/s")]].concat();
        let project = derive(&elsewhere).unwrap();
        assert_eq!(project.state_dir(), Path::new("/s/baudbot/demo"));
        let other = [&service[..], &[("BAUDBOT_PROJECT", "other")]].concat();
        let project = derive(&other).unwrap();
        assert_eq!(
            project.state_dir(),
            Path::new("/home/a/.local/state/baudbot/demo")
        );
        assert!(matches!(
            derive(&[("HOME", "relative")]),
            Err(StoreError::NoHome)
        ));
    }

    #[test]
    fn the_lock_is_held_once_and_tells_by_whom() {
        let scratch = tempfile::tempdir().unwrap();
        let project = Project::at(name(), scratch.path().join("s"), scratch.path().join("r"));
        project.create_directories().unwrap();
        assert_eq!(project.lock_holder(), None);
        let lock = project.lock(None).unwrap().expect("the lock is free");
        assert_eq!(project.living_supervisor().map(|one| one.pid), Some(me()));
        assert!(project.lock(None).unwrap().is_none());
        let holder = project.lock_holder().expect("the lock is held");
        assert_eq!(holder.runtime_dir, project.runtime_dir());
        lock.release();
        assert_eq!(project.lock_holder(), None);
        assert_eq!(project.living_supervisor(), None);
        assert!(project.lock(None).unwrap().is_some());
    }

    #[test]
    fn directories_are_ours_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let project = Project::at(name(), scratch.path().join("s"), scratch.path().join("r"));
        fs::create_dir(scratch.path().join("s")).unwrap();
        let rights = |mode| {
            fs::set_permissions(scratch.path().join("s"), fs::Permissions::from_mode(mode))
                .unwrap();
        };
        rights(0o777);
        assert!(matches!(
            project.create_directories(),
            Err(StoreError::OpenDirectory { mode: 0o777, .. })
        ));
        rights(0o755);
        project.create_directories().unwrap();
        for directory in ["s", "r", "s/logs", "r/output"] {
            let mode = fs::metadata(scratch.path().join(directory)).unwrap().mode();
            assert_eq!(mode & 0o777, 0o700, "{directory}");
        }
    }

    #[test]
    fn a_link_in_place_of_a_directory_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(scratch.path().join("elsewhere"), scratch.path().join("r"))
            .unwrap();
        let project = Project::at(name(), scratch.path().join("s"), scratch.path().join("r"));
        assert!(matches!(
            project.create_directories(),
            Err(StoreError::NotADirectory { .. })
        ));
    }

    #[test]
    fn a_socket_path_that_the_kernel_would_not_take_is_refused() {
        let long = PathBuf::from(format!("/tmp/{}", "x".repeat(100)));
        let project = Project::at(name(), "/tmp/s".into(), long);
        assert!(matches!(
            project.create_directories(),
            Err(StoreError::SocketPathTooLong { .. })
        ));
    }

    #[test]
    fn lines_survive_the_writer() {
        let scratch = tempfile::tempdir().unwrap();
        let project = Project::at(name(), scratch.path().join("s"), scratch.path().join("r"));
        project.create_directories().unwrap();
        assert_eq!(project.read_ledger().unwrap(), Ledger::default());
        let mut writer = project.begin_ledger(Ledger::default()).unwrap();
        writer.append(Line::Gone(RunId(3))).unwrap();
        drop(writer);
        assert_eq!(project.read_ledger().unwrap(), Ledger::default());
        let mode = fs::metadata(scratch.path().join("s/ledger.jsonl"))
            .unwrap()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_ledger_that_has_grown_is_written_afresh_and_says_the_same() {
        let scratch = tempfile::tempdir().unwrap();
        let project = Project::at(name(), scratch.path().join("s"), scratch.path().join("r"));
        project.create_directories().unwrap();
        // What an earlier attempt to write afresh left when it was killed is in nobody's way.
        fs::write(scratch.path().join("s/ledger.jsonl.new"), "half a li").unwrap();
        let mut writer = project.begin_ledger(Ledger::default()).unwrap();
        let size = || {
            let file = fs::metadata(scratch.path().join("s/ledger.jsonl"));
            file.unwrap().len()
        };
        let mut largest = 0;
        for pid in 0..20_000 {
            let process = RecordedProcess {
                pid,
                start_time: 1,
                boot_id: "b".into(),
            };
            writer.append(Line::TmuxServer(process)).unwrap();
            writer.compact_if_due().unwrap();
            largest = largest.max(size());
        }
        assert!(largest < 2 * SMALL_LEDGER, "{largest}");
        let (read, damages) = project.read_ledger_and_damages().unwrap();
        assert_eq!(damages, []);
        assert_eq!(read, *writer.sum());
        assert_eq!(read.tmux_server.unwrap().pid, 19_999);
    }

    #[test]
    fn what_cannot_be_read_is_kept_aside_whole() {
        let scratch = tempfile::tempdir().unwrap();
        let project = Project::at(name(), scratch.path().join("s"), scratch.path().join("r"));
        project.create_directories().unwrap();
        let path = scratch.path().join("s/ledger.jsonl");
        let text = format!("{}{{\"star", Ledger::default().write(&name()));
        fs::write(&path, &text).unwrap();
        let (_, damages) = project.read_ledger_and_damages().unwrap();
        assert_eq!(damages.len(), 1);
        let aside = project.keep_damaged_ledger().unwrap();
        assert_eq!(fs::read_to_string(aside).unwrap(), text);
    }
}
