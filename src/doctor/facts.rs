//! What a host shows of itself and of a project.

use std::path::PathBuf;

use super::manager::ManagerFact;
use crate::id::ServiceName;
use crate::layers::Layers;
use crate::port::Port;

/// All that the checks know.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The release of the kernel.
    pub kernel: String,
    /// Which layers of containment hold.
    pub layers: Layers,
    /// The service manager, where there is one.
    pub manager: Option<ManagerFact>,
    /// tmux.
    pub tmux: TmuxFact,
    /// The project's directories; empty where it is not known which project this is.
    pub directories: Vec<Directory>,
    /// The manifest.
    pub manifest: ManifestFact,
    /// The ports that services which are to run here own.
    pub ports: Vec<OwnedPort>,
    /// Whether a supervisor answers: its process id.
    pub supervisor: Option<i32>,
    /// Processes of services, where no supervisor watches them.
    pub unwatched: Vec<Leftover>,
    /// Processes of the project that nothing on disk tells of.
    pub leftovers: Vec<Leftover>,
    /// What keeps us from knowing what belongs to the project.
    pub trouble: Option<Trouble>,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What went wrong.
    pub what: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// tmux, as far as it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TmuxFact {
    /// Whether the manifest has services that run in it.
    pub is_needed: bool,
    /// What `tmux -V` says, or why it cannot be asked.
    pub version: Result<String, String>,
}

/// A directory of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// As in "state directory".
    pub what: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// How it is.
    pub state: DirectoryState,
}

/// How a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryState {
    /// There, ours, and nobody else's.
    Private,
    /// There and ours, and others may look into it: these are its rights.
    Open(u32),
    /// There, and somebody else's: this user's.
    Foreign(String),
    /// Something else is there.
    NotADirectory,
    /// There, or its parent is, and we may not write there: the reason.
    Unwritable(String),
    /// Not there, and can be made.
    Absent,
    /// The name of a socket in it is longer than the kernel takes.
    TooLong,
}

/// The manifest, as far as it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestFact {
    /// There is none, in these words.
    Missing(String),
    /// It has mistakes.
    Wrong {
        /// The file.
        file: PathBuf,
        /// How many.
        errors: usize,
    },
    /// It is good.
    Good {
        /// The file.
        file: PathBuf,
        /// How many services it declares.
        services: usize,
    },
}

/// A port of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedPort {
    /// The service that owns it.
    pub service: ServiceName,
    /// The port.
    pub port: Port,
    /// Who holds it, or why that cannot be told.
    pub holders: Result<Vec<HeldPort>, String>,
}

/// Who holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPort {
    /// Process, command, user and unit, in words.
    pub who: String,
    /// The systemd service that it belongs to.
    pub unit: Option<String>,
    /// The service of this project that it belongs to.
    pub service: Option<ServiceName>,
    /// Whether it is a leftover of this project.
    pub is_leftover: bool,
}

/// A process that nobody watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its process id.
    pub pid: i32,
    /// Its command line.
    pub command: String,
    /// The user that it runs as.
    pub user: String,
    /// Why it is ours.
    pub why: String,
}
