//! The scratch project: its directories, its manifest, the commands that are given, and how
//! everything of it is cleared away.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use super::part::{Phase, TRICK_COMMAND, members};
use super::tricks::Trick;
use crate::id::ProjectName;
use crate::sys::census::{Owner, Roots};
use crate::sys::helper::Helper;
use crate::sys::identity::Identity;
use crate::sys::mark::ProjectId;
use crate::sys::process;
use crate::sys::sweep::{self, Limits, Present};

const PROJECT: &str = "selftest";

/// The grace between TERM and KILL.
const GRACE: &str = "300ms";

/// The longest directory below which sockets still get short enough names.
const LONGEST_BASE: usize = 20;

/// How long an orderly `down` may take when everything is cleared away.
const CLEARING_TAKES_AT_MOST: Duration = Duration::from_secs(10);

/// The manifest of a project in which each of `tricks` is a service. Each has a directory in `dir`,
/// which must exist.
pub fn manifest<'a>(
    executable: &Path,
    dir: &Path,
    phase: Phase,
    tricks: impl IntoIterator<Item = &'a Trick>,
) -> Value {
    let services = tricks.into_iter().map(|trick| {
        let own = dir.join(trick.name);
        let ready = own.join("ready");
        let service = json!({
            "command": [literal(executable), TRICK_COMMAND, trick.name, literal(&own), phase.word()],
            "depends_on": trick.needs,
            "ready": {"file": literal(&ready), "interval": "20ms"},
            "restart": "never",
            "stop": {"timeout": GRACE},
        });
        (trick.name.to_owned(), service)
    });
    json!({
        "version": 1,
        "project": PROJECT,
        "services": services.collect::<serde_json::Map<_, _>>(),
    })
}

/// A path as it is, in a manifest, where `$` begins something else.
fn literal(path: &Path) -> String {
    path.to_string_lossy().replace('$', "$$")
}

/// A project that lives for as long as this is not cleared.
#[derive(Debug)]
pub(super) struct Stage {
    root: PathBuf,
    executable: PathBuf,
}

impl Stage {
    pub(super) fn set() -> io::Result<Self> {
        let executable = std::env::current_exe()?;
        // What the project starts and loses comes to us.
        process::set_subreaper()?;
        let wanted = std::env::temp_dir();
        let base = if wanted.as_os_str().len() <= LONGEST_BASE {
            wanted
        } else {
            PathBuf::from("/tmp")
        };
        let root = nix::unistd::mkdtemp(&base.join("baudbot-XXXXXX"))?;
        Ok(Self { root, executable })
    }

    /// The directory in which each trick has one, in this phase.
    pub(super) fn dir(&self, phase: Phase) -> PathBuf {
        self.root.join(phase.word())
    }

    /// Prepares a phase: its directories and its manifest.
    pub(super) fn prepare<'a>(
        &self,
        phase: Phase,
        tricks: impl IntoIterator<Item = &'a Trick> + Clone,
    ) -> io::Result<()> {
        let dir = self.dir(phase);
        for trick in tricks.clone() {
            fs::create_dir_all(dir.join(trick.name))?;
        }
        let manifest = manifest(&self.executable, &dir, phase, tricks);
        fs::write(self.root.join("baudbot.yaml"), manifest.to_string())
    }

    /// Runs `baudbot ARGUMENTS` on the project, to its end. It hears no Ctrl-C: that is for us.
    pub(super) async fn baudbot(&self, arguments: &[&str]) -> io::Result<Output> {
        let mut command = Command::new(&self.executable);
        command
            .args(arguments)
            .current_dir(&self.root)
            .env_clear()
            .env("HOME", &self.root)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("XDG_STATE_HOME", self.root.join("state"))
            .env("XDG_RUNTIME_DIR", self.root.join("run"))
            .env("TMPDIR", &self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        Helper::spawn(&mut command)?.output().await
    }

    /// Everything that is alive and belongs to the project, or came to us from it.
    pub(super) fn present(&self) -> io::Result<Vec<Present>> {
        let present = sweep::present(&self.roots()?)?;
        process::reap_orphans()?;
        Ok(present)
    }

    fn roots(&self) -> io::Result<Roots> {
        let me = std::process::id().cast_signed();
        Ok(Roots {
            owner: self.project_id()?.map(Owner::Project),
            leaders: self.signed(),
            orphans_of: vec![me],
            spared: vec![me],
            ..Roots::default()
        })
    }

    /// `None` before the project has been up.
    fn project_id(&self) -> io::Result<Option<ProjectId>> {
        let name: ProjectName = PROJECT.parse().map_err(io::Error::other)?;
        match fs::canonicalize(self.root.join("state/baudbot").join(PROJECT)) {
            Ok(state) => Ok(Some(ProjectId::new(&name, &state))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whoever has signed any register.
    fn signed(&self) -> Vec<Identity> {
        let tricks = [Phase::Stop, Phase::Kill]
            .into_iter()
            .filter_map(|phase| fs::read_dir(self.dir(phase)).ok())
            .flat_map(Iterator::flatten);
        tricks
            .filter_map(|trick| members(&trick.path()).ok())
            .flatten()
            .collect()
    }

    /// Ends everything that is left, and removes all files.
    pub(super) async fn clear(self) -> io::Result<()> {
        if self.root.join("state").exists() {
            let down = self.baudbot(&["down", "--now"]);
            // What it leaves is swept.
            let _ = tokio::time::timeout(CLEARING_TAKES_AT_MOST, down).await;
        }
        tokio::task::spawn_blocking(move || self.sweep())
            .await
            .map_err(io::Error::other)?
    }

    fn sweep(self) -> io::Result<()> {
        let outcome = sweep::sweep(&self.roots()?, &Limits::default())?;
        process::reap_orphans()?;
        fs::remove_dir_all(&self.root)?;
        match outcome.survivors.first() {
            None => Ok(()),
            Some(left) => Err(io::Error::other(format!(
                "process {} ({}) does not end: {}",
                left.pid, left.command, left.reason
            ))),
        }
    }
}
