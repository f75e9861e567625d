//! The end of a project: what belongs to no service goes, and it is proven that nothing is left.

use std::sync::Arc;

use super::Supervisor;
use super::ending::{Ending, SIGTERM, USUAL_GRACE, force};
use super::runs::own_names;
use super::sessions::Sessions;
use crate::control::protocol::Proof;
use crate::id::{GroupName, ServiceName};
use crate::machine::Survivor;
use crate::manifest::model::{Cleanup, Group};
use crate::sys::census::{Owner, Roots};
use crate::sys::guardian::ourselves;

/// Ends the sessions of groups, the tmux server and whatever carries the project's mark.
pub(super) async fn finish(supervisor: &mut Supervisor) -> Proof {
    let mut proof = Proof {
        verified: supervisor.recovered.clone(),
        ..Proof::default()
    };
    let groups: Vec<Group> = supervisor
        .manifest
        .iter()
        .flat_map(|manifest| manifest.groups.values().cloned())
        .collect();
    for group in groups {
        let Some(sessions) = supervisor.group_sessions(&group) else {
            continue;
        };
        let ended = sweep_group(&sessions, supervisor.spared()).await;
        record_end(&mut proof, &group.name, &sessions, ended);
    }
    let server = supervisor.private_tmux.pid();
    let roots = Roots {
        owner: supervisor
            .nesting
            .map(|_| Owner::Project(supervisor.project_id)),
        orphans_of: ourselves(),
        spared: supervisor.spared(),
        // One that was founded by us is an orphan of ours, and people's all the same.
        shared_servers: supervisor
            .tmux()
            .shared_server_pid()
            .await
            .into_iter()
            .collect(),
        ..Roots::default()
    };
    let ending = Ending::of_processes(roots.clone());
    // What a service left behind without being one gets its chance too, but a short one.
    if let Err(left) = ending.end(SIGTERM, STRAY_GRACE).await {
        eprintln!("{left}");
    }
    if server.is_some() {
        supervisor.private_tmux.end().await;
    }
    // Panes that the server still had have lost it now; and the server itself must be gone.
    let mut survivors = force(Roots {
        spared: ourselves(),
        ..roots
    })
    .await;
    // What outlived the stop of its service need not carry a mark that can be read.
    let stuck = supervisor.prove(&supervisor.stuck()).await.survivors;
    let told: Vec<i32> = stuck.values().flatten().map(|one| one.pid).collect();
    survivors.retain(|one| !told.contains(&one.pid));
    let is_clean = survivors.is_empty() && stuck.is_empty();
    proof.survivors.extend(stuck);
    if is_clean {
        proof
            .verified
            .push("no process of the project is left".into());
        if server.is_some() {
            proof
                .verified
                .push("the project's tmux server has ended".into());
        }
    } else if !survivors.is_empty() {
        proof
            .survivors
            .insert(supervisor.project.name().to_string(), survivors);
    }
    prove_ports_free(supervisor, &mut proof).await;
    if let Err(error) = crate::sys::process::reap_orphans() {
        eprintln!("cannot reap orphans: {error}");
    }
    proof
}

/// The ports that services were started with must be free.
async fn prove_ports_free(supervisor: &Supervisor, proof: &mut Proof) {
    let mut free = Vec::new();
    for (service, last) in &supervisor.last_runs {
        let held = super::ports::still_held(&last.ports, service).await;
        if held.is_empty() {
            free.extend(last.ports.iter().copied());
        } else {
            let survivors = proof.survivors.entry(service.to_string()).or_default();
            survivors.extend(held);
        }
    }
    if !free.is_empty() {
        proof.verified.push(super::ports::are_free(&free));
    }
}

/// What strays get between TERM and KILL.
pub(super) const STRAY_GRACE: std::time::Duration = std::time::Duration::from_secs(2);

fn record_end(
    proof: &mut Proof,
    group: &GroupName,
    sessions: &Sessions,
    ended: Result<(), String>,
) {
    match ended {
        Ok(()) => proof.verified.push(format!(
            "no tmux session whose name begins with `{}` is left",
            sessions.own.prefixes.join("`, `")
        )),
        Err(reason) => {
            let survivor = Survivor {
                pid: 0,
                command: format!("tmux sessions `{}…`", sessions.own.prefixes.join("…`, `")),
                user: String::new(),
                reason,
                is_killed: false,
            };
            proof
                .survivors
                .entry(format!("@{group}"))
                .or_default()
                .push(survivor);
        }
    }
}

/// Ends the sessions that services started by themselves.
pub(super) async fn sweep_group(sessions: &Arc<Sessions>, spared: Vec<i32>) -> Result<(), String> {
    let roots = Roots {
        spared,
        ..Roots::default()
    };
    let ending = Ending::new(roots, Some(Arc::clone(sessions)));
    ending.end(SIGTERM, USUAL_GRACE).await
}

impl Supervisor {
    /// The services of which something outlived the stop.
    fn stuck(&self) -> Vec<ServiceName> {
        let mut names = self.machine.services();
        names.retain(|name| self.machine.view(name).is_some_and(|view| view.is_stuck));
        names
    }

    /// The sessions that a group's cleanup prefix names, where the group has no members: then they
    /// are nobody else's to end.
    pub(super) fn group_sessions(&self, group: &Group) -> Option<Arc<Sessions>> {
        let manifest = self.manifest.as_ref()?;
        let Some(cleanup @ Cleanup::TmuxPrefix { .. }) = &group.cleanup else {
            return None;
        };
        if manifest.members(&group.name).next().is_some() {
            return None;
        }
        let own = own_names(None, cleanup);
        Some(Arc::new(Sessions {
            own,
            tmux: self.tmux(),
        }))
    }
}
