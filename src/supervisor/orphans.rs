//! What was orphaned to the supervisor or to its guardian, and of which service it is.
//!
//! A process that comes to us as an orphan is the project's, by the kernel's word; of which service it
//! is, its mark tells. One that shed its mark, left session and group and lost its parent has nothing
//! left that proves it, so its environment decides between the services of the project: it was started
//! with `BAUDBOT_PROJECT` and `BAUDBOT_SERVICE`, and what the kernel keeps of that does not change before the
//! next `execve`. What has no such environment either is claimed for no service, and told.

use std::fs;

use super::Supervisor;
use super::ending::look;
use crate::id::{RunId, ServiceName};
use crate::machine::LeftProcess;
use crate::sys::census::{ProcessInfo, orphans};
use crate::sys::guardian::ourselves;
use crate::sys::identity::Identity;
use crate::sys::mark::ProjectId;
use crate::sys::sweep;

/// What tells of an orphan whether it is of one service.
#[derive(Debug, Clone)]
pub(super) struct Orphans {
    project: ProjectId,
    project_name: String,
    service: String,
    spared: Vec<i32>,
    /// The runs that there are now, each with its leaders, but for those of the service.
    others: Vec<(RunId, Vec<i32>)>,
}

impl Supervisor {
    /// Where the tmux server is shared with people, what they started in it may be orphaned to us when
    /// a service founded it: then no orphan is judged by its environment.
    pub(super) fn orphans_of(&self, service: &ServiceName) -> Option<Orphans> {
        if !self.tmux().is_private() {
            return None;
        }
        let others = self
            .runs
            .iter()
            .filter(|(_, run)| run.service.name != *service)
            .map(|(id, run)| (*id, run.leader.iter().map(|leader| leader.pid).collect()));
        Some(Orphans {
            project: self.project_id,
            project_name: self.project.name().to_string(),
            service: service.to_string(),
            spared: self.spared(),
            others: others.collect(),
        })
    }
}

impl Orphans {
    /// The orphans that are of the service by their environment.
    pub(super) async fn claimed(&self) -> Vec<Identity> {
        let doubtful = self.doubtful().await.into_iter();
        let claimed = doubtful.filter(|(identity, of)| {
            of.as_ref().is_some_and(|of| *of == self.service) && identity.is_alive()
        });
        claimed.map(|(identity, _)| identity).collect()
    }

    /// The orphans of which it cannot be told of which service they are.
    pub(super) async fn unclaimed(&self) -> Vec<LeftProcess> {
        let doubtful = self.doubtful().await.into_iter();
        let unclaimed = doubtful.filter(|(identity, of)| of.is_none() && identity.is_alive());
        unclaimed
            .map(|(identity, _)| LeftProcess {
                pid: identity.pid,
                command: sweep::command_of(identity.pid),
            })
            .collect()
    }

    /// The orphans that nothing proves to be of another run, with the service that each names.
    async fn doubtful(&self) -> Vec<(Identity, Option<String>)> {
        let this = self.clone();
        let found = look(move || {
            let mut found = Vec::new();
            for orphan in orphans(&ourselves())? {
                if this.is_spared_or_of_another(&orphan) {
                    continue;
                }
                let named = this.named_by(orphan.pid);
                // The number may have changed hands meanwhile.
                if let Some(identity) = Identity::of(orphan.pid)?
                    && identity.start_time == orphan.start_time
                {
                    found.push((identity, named));
                }
            }
            Ok(found)
        });
        found.await.unwrap_or_else(|error| {
            eprintln!("cannot look at the orphans: {error}");
            Vec::new()
        })
    }

    fn is_spared_or_of_another(&self, orphan: &ProcessInfo) -> bool {
        let is_marked_by_another = |run: RunId| {
            let mark = orphan.mark.as_ref();
            mark.is_some_and(|mark| mark.is_run(self.project, run))
        };
        self.spared.contains(&orphan.pid)
            || self.others.iter().any(|(run, leaders)| {
                is_marked_by_another(*run)
                    || leaders.contains(&orphan.pgid)
                    || leaders.contains(&orphan.sid)
            })
    }

    /// The service of this project that the environment names.
    fn named_by(&self, pid: i32) -> Option<String> {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let value = |name: &str| {
            let mut variables = environment.split(|byte| *byte == 0);
            let value = variables.find_map(|one| one.strip_prefix(name.as_bytes()));
            value.map(|value| String::from_utf8_lossy(value).into_owned())
        };
        (value("BAUDBOT_PROJECT=")? == self.project_name).then(|| value("BAUDBOT_SERVICE="))?
    }
}
