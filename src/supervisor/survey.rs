//! What belongs to a project now, and why: what `down` would end. Nothing is touched.
//!
//! It needs no supervisor. The ledger tells which runs there are, marks and identities tell which
//! processes are theirs (as in [`sys::census`](crate::sys::census)), and names which tmux sessions
//! are. What carries the project's mark and is told of by no ledger line is a *leftover*.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::ending::{Ending, look};
use super::runs::{identity, own_names};
use super::sessions::{PrivateServer, Sessions};
use crate::catalogue::Code;
use crate::code;
use crate::id::ServiceName;
use crate::manifest::model::{Cleanup, Manifest};
use crate::record::{Ledger, StartedRun};
use crate::store::{Project, StoreError};
use crate::sys::census::{Member, Owner, Roots, look as look_at_processes, recorded_leader};
use crate::sys::identity::boot_id;
use crate::sys::mark::{Decoded, ProjectId, read_mark};
use crate::sys::sweep::{command_of, user_of};

/// What belongs to a project.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// What the last order wanted to run, if there was one.
    pub manifest: Option<Manifest>,
    /// Whether a supervisor answers.
    pub supervisor: Option<i32>,
    /// Everything that is there.
    pub owned: Vec<Owned>,
}

/// One thing that belongs to a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Of whom it is.
    pub of: Of,
    /// What it is.
    pub what: What,
    /// Why it is ours, in words.
    pub why: String,
}

/// Of whom something is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// A run of this service.
    Service(ServiceName),
    /// The group of this name, by its cleanup prefix.
    Group(String),
    /// The project itself: its supervisor, its tmux server.
    Project,
    /// Nobody that is known any more.
    Leftover,
}

/// What something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A process.
    Process {
        /// Its process id.
        pid: i32,
        /// Its command line, or its name in brackets.
        command: String,
        /// The user that it runs as.
        user: String,
    },
    /// A tmux session.
    Session {
        /// Its name.
        name: String,
    },
}

impl What {
    fn process(pid: i32) -> Self {
        Self::Process {
            pid,
            command: command_of(pid),
            user: user_of(pid),
        }
    }
}

/// Looks at everything that belongs to `project`.
///
/// # Errors
/// A ledger or `/proc` that cannot be read.
pub async fn survey(project: &Project) -> Result<Survey, SurveyError> {
    let answering = project.where_it_answers();
    let holder = project.lock_holder().filter(|_| answering.is_some());
    let project = answering.as_ref().unwrap_or(project);
    let ledger = project.read_ledger()?;
    let private = PrivateServer::new(project, project_id(project), None, None);
    private.find().await;
    let supervisors: Vec<i32> = holder
        .iter()
        .flat_map(|holder| {
            let guardian = holder.guardian.as_ref().map(|guardian| guardian.pid);
            std::iter::once(holder.pid).chain(guardian)
        })
        .collect();
    let mut surveyor = Surveyor {
        project: project_id(project),
        supervisors,
        private,
        seen: BTreeSet::new(),
        owned: Vec::new(),
    };
    let boot = boot_id()?;
    for run in ledger
        .open
        .values()
        .filter(|run| run.leader.boot_id == boot)
    {
        surveyor.run(run).await?;
    }
    if let Some(manifest) = &ledger.manifest {
        surveyor.groups(manifest).await;
    }
    surveyor.rest(&ledger).await?;
    Ok(Survey {
        manifest: ledger.manifest.map(|manifest| *manifest),
        supervisor: holder.map(|holder| holder.pid),
        owned: surveyor.owned,
    })
}

/// Which project this is for marks.
fn project_id(project: &Project) -> ProjectId {
    let state = std::fs::canonicalize(project.state_dir());
    // Where there is no directory there was never a supervisor.
    let state = state.unwrap_or_else(|_| project.state_dir().to_owned());
    ProjectId::new(project.name(), &state)
}

/// Whether any process carries the project's mark, whatever is on disk. Blocking.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn is_anybody_marked(project: &Project) -> io::Result<bool> {
    let roots = Roots {
        owner: Some(Owner::Project(project_id(project))),
        ..Roots::default()
    };
    Ok(!look_at_processes(&roots)?.members(&roots).is_empty())
}

/// Why it cannot be told what belongs to a project.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `/proc`.
    #[error("cannot look at the processes")]
    Processes(#[from] io::Error),
}

impl SurveyError {
    /// What kind of error it is.
    pub fn code(&self) -> Code {
        match self {
            Self::Store(error) => error.code(),
            Self::Processes(_) => code!("cli::system"),
        }
    }

    /// What to do about it, where that can be said.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.help(),
            Self::Processes(_) => None,
        }
    }
}

struct Surveyor {
    project: ProjectId,
    /// The supervisor that answers, and its guardian.
    supervisors: Vec<i32>,
    private: PrivateServer,
    /// The processes and the ids of sessions (with their server) that are told already.
    seen: BTreeSet<String>,
    owned: Vec<Owned>,
}

impl Surveyor {
    fn spared(&self) -> Vec<i32> {
        self.supervisors
            .iter()
            .copied()
            .chain(self.private.pid())
            .collect()
    }

    fn add(&mut self, key: String, of: &Of, what: impl FnOnce() -> What, why: String) {
        if self.seen.insert(key) {
            self.owned.push(Owned {
                of: of.clone(),
                what: what(),
                why,
            });
        }
    }

    fn add_process(&mut self, pid: i32, of: &Of, why: String) {
        self.add(format!("process {pid}"), of, || What::process(pid), why);
    }

    fn ending(&self, run: &StartedRun) -> Ending {
        let owner = run.is_marked.then_some(Owner::Run(self.project, run.run));
        let leader = recorded_leader(identity(&run.leader), owner.as_ref());
        let roots = Roots {
            owner,
            // What cannot be looked at is not believed.
            leaders: leader.ok().flatten().into_iter().collect(),
            spared: self.spared(),
            ..Roots::default()
        };
        let sessions = run.sessions.clone().map(|own| {
            Arc::new(Sessions {
                own,
                tmux: self.private.choose(run.server.as_ref()),
            })
        });
        Ending::new(roots, sessions)
    }

    /// What belongs to a run that the ledger knows.
    async fn run(&mut self, run: &StartedRun) -> Result<(), SurveyError> {
        let of = Of::Service(run.service.clone());
        let ending = self.ending(run);
        let roots = ending.roots_now().await;
        for member in members(roots).await? {
            self.add_process(member.identity.pid, &of, member.why.to_string());
        }
        if let Some(sessions) = &ending.sessions {
            self.sessions(sessions, &of).await;
        }
        Ok(())
    }

    async fn sessions(&mut self, sessions: &Sessions, of: &Of) {
        // A server that cannot be asked has none that could be told.
        for session in sessions.present().await.unwrap_or_default() {
            let own = &sessions.own;
            let why = match own
                .prefixes
                .iter()
                .find(|one| session.name.starts_with(*one))
            {
                _ if own.names.contains(&session.name) => "has the declared name".to_owned(),
                Some(prefix) => format!("its name begins with the declared prefix `{prefix}`"),
                None => continue,
            };
            let name = session.name.clone();
            let key = format!("session {} {}", sessions.tmux.name(), session.id);
            self.add(key, of, || What::Session { name }, why);
        }
    }

    /// The sessions that groups without members sweep, and what runs in them.
    async fn groups(&mut self, manifest: &Manifest) {
        for group in manifest.groups.values() {
            let Some(cleanup @ Cleanup::TmuxPrefix { .. }) = &group.cleanup else {
                continue;
            };
            if manifest.members(&group.name).next().is_some() {
                continue;
            }
            let sessions = Sessions {
                own: own_names(None, cleanup),
                tmux: self.private.choose(Some(&manifest.tmux)),
            };
            let of = Of::Group(group.name.to_string());
            self.sessions(&sessions, &of).await;
            let leaders = sessions.pane_processes().await.unwrap_or_default();
            let shared = sessions.tmux.shared_server_pid().await;
            let roots = Roots {
                leaders,
                spared: self.spared(),
                shared_servers: shared.into_iter().collect(),
                ..Roots::default()
            };
            for member in members(roots).await.unwrap_or_default() {
                self.add_process(member.identity.pid, &of, member.why.to_string());
            }
        }
    }

    /// What carries the project's mark and was not told yet, the tmux server, the supervisor.
    async fn rest(&mut self, ledger: &Ledger) -> Result<(), SurveyError> {
        let roots = Roots {
            owner: Some(Owner::Project(self.project)),
            orphans_of: self.supervisors.clone(),
            spared: self.spared(),
            shared_servers: self.shared_server(ledger).await,
            ..Roots::default()
        };
        for Member { identity, why } in members(roots).await? {
            let of = self.owner_of(identity.pid, ledger);
            self.add_process(identity.pid, &of, why.to_string());
        }
        self.private_server().await;
        let supervisors = self.supervisors.clone();
        for (pid, what) in supervisors.iter().zip(["the supervisor", "its guardian"]) {
            self.add_process(*pid, &Of::Project, format!("{what}, which leaves last"));
        }
        Ok(())
    }

    /// A server that people use too, which is never ended.
    async fn shared_server(&self, ledger: &Ledger) -> Vec<i32> {
        let manifest = ledger.manifest.as_ref();
        let chosen = self.private.choose(manifest.map(|manifest| &manifest.tmux));
        chosen.shared_server_pid().await.into_iter().collect()
    }

    /// Of whom a process with the project's mark is that no run of the ledger took.
    fn owner_of(&self, pid: i32, ledger: &Ledger) -> Of {
        let run = |mark: Decoded| mark.run_of(self.project);
        match read_mark(pid).ok().flatten() {
            Some(mark) if mark.is_project_itself(self.project) => Of::Project,
            // It was started since the ledger was read, or came as a child of its run's.
            Some(mark) => match ledger
                .open
                .values()
                .find(|one| mark.is_run(self.project, one.run))
            {
                Some(known) => Of::Service(known.service.clone()),
                None if self.supervisors.is_empty() || run(mark).is_some() => Of::Leftover,
                None => Of::Project,
            },
            None => Of::Project,
        }
    }

    /// The sessions on the project's own server that nobody declared, and the server.
    async fn private_server(&mut self) {
        let Some(pid) = self.private.pid() else {
            return;
        };
        let server = self.private.choose(None);
        for session in server.server().sessions().await.unwrap_or_default() {
            let key = format!("session {} {}", server.name(), session.id);
            let why = "is on the project's own tmux server".to_owned();
            self.add(
                key,
                &Of::Project,
                || What::Session { name: session.name },
                why,
            );
        }
        let why = "is the project's own tmux server".to_owned();
        self.add_process(pid, &Of::Project, why);
    }
}

/// The members of what these roots describe. `/proc` is looked at without holding anybody up.
async fn members(roots: Roots) -> io::Result<Vec<Member>> {
    look(move || Ok(look_at_processes(&roots)?.members(&roots))).await
}
