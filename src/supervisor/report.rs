//! The state of the project as clients read it.

use tokio::sync::oneshot;

use super::Supervisor;
use crate::control::protocol::{ServiceStatus, Status, SupervisorStatus, Usage, VERSION};
use crate::control::server::Snapshot;
use crate::id::{RunId, ServiceName};
use crate::machine::{Goal, StateWord};
use crate::manifest::environment::{masked, secrets};
use crate::manifest::model::Service;
use crate::sys::census::Roots;
use crate::sys::usage;

/// What has to come true of a service that is starting.
fn awaited(service: &Service) -> Option<String> {
    match &service.ready {
        Some(ready) => Some(ready.probe.question()),
        None => service.is_task().then(|| "its end".into()),
    }
}

/// What was found out, as clients read it.
fn told(usage: usage::Usage) -> Usage {
    Usage {
        processes: usage.processes,
        cpu_ms: u64::try_from(usage.cpu.as_millis()).unwrap_or(u64::MAX),
        memory_bytes: usage.memory,
    }
}

impl Supervisor {
    pub(super) fn status(&self) -> Status {
        let services = self
            .machine
            .services()
            .into_iter()
            .filter_map(|name| Some((name.clone(), self.service_status(&name)?)))
            .collect();
        Status {
            version: VERSION,
            project: self.project.name().clone(),
            supervisor: Some(SupervisorStatus {
                pid: std::process::id().cast_signed(),
                guardian_pid: crate::sys::guardian::guardian_pid(),
                program_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
                began: Some(self.clock.timestamp(self.clock.begun_at())),
                manifest: self.manifest.as_ref().map(|manifest| manifest.file.clone()),
                layers: Some(Box::new(self.layers.clone())),
                usage: None,
            }),
            services,
        }
    }

    /// A text without the values that the run got from its env files and the like.
    pub(super) fn without_secrets(&self, run: Option<RunId>, text: String) -> String {
        let run = run.and_then(|run| self.runs.get(&run));
        match run {
            Some(run) => masked(text, &secrets(&run.service.env, &run.environment)),
            None => text,
        }
    }

    pub(super) fn service_status(&self, name: &ServiceName) -> Option<ServiceStatus> {
        let view = self.machine.view(name)?;
        let service: &Service = &view.service;
        Some(ServiceStatus {
            kind: service.kind.word().to_owned(),
            description: service.description.clone(),
            goal: view.goal,
            ordered: self.goals.of(name).cloned(),
            state: view.state,
            reason: view.reason.or_else(|| {
                let run = self.runs.get(&view.run?)?;
                run.intruder.clone().or_else(|| run.note.clone())
            }),
            pid: view.run.and_then(|run| self.leader_pid(run)),
            since: Some(self.clock.timestamp(view.since)),
            deadline: view.deadline.map(|deadline| self.clock.timestamp(deadline)),
            awaits: match view.state {
                StateWord::Starting => {
                    awaited(service).map(|awaited| self.without_secrets(view.run, awaited))
                }
                StateWord::Stopping if view.is_in_grace => {
                    let remaining = view
                        .run
                        .and_then(|run| self.runs.get(&run)?.remaining.as_ref());
                    remaining.map(|who| who.words(|text| self.without_secrets(view.run, text)))
                }
                _ => None,
            },
            waits_for: view.waits_for,
            lacks: view.lacks,
            left_behind: view.left_behind,
            is_stuck: view.is_stuck,
            settled: view.is_settled,
            failures: view.failures,
            has_been_ready: view.has_been_ready,
            root_cause: view.root_cause,
            restarts: view.restarts,
            run: view.run,
            instance: service.instance.clone().map(Box::new),
            groups: service.groups.clone(),
            ports: service.ports.iter().map(|port| port.number).collect(),
            session: service.session().map(str::to_owned),
            usage: None,
            exports: view.exports,
            says: view
                .run
                .and_then(|run| self.runs.get(&run)?.notified.as_ref()?.status.clone()),
            last_probe: view
                .run
                .and_then(|run| self.runs.get(&run)?.last_probe.clone()),
            survivors: match self.ports_held.get(name) {
                Some(holders) if view.survivors.is_empty() => holders.clone(),
                Some(_) | None => view.survivors,
            },
        })
    }

    /// Finds out what the live runs take of the machine, and answers. Looking at all processes takes
    /// its time, so it is done beside the loop.
    pub(super) fn answer_with_usage(
        &self,
        mut snapshot: Snapshot,
        answer: oneshot::Sender<Snapshot>,
    ) {
        let (names, roots): (Vec<ServiceName>, Vec<Roots>) = self
            .runs
            .iter()
            .map(|(id, run)| (run.service.name.clone(), self.roots(*id)))
            .unzip();
        tokio::task::spawn_blocking(move || {
            // A host on which /proc cannot be read shows no usage, and the rest of the status.
            let taken = usage::usage(&roots).unwrap_or_default();
            for (name, taken) in names.iter().zip(taken) {
                if let Some(service) = snapshot.status.services.get_mut(name) {
                    service.usage = Some(told(taken));
                }
            }
            if let Some(supervisor) = &mut snapshot.status.supervisor {
                supervisor.usage = usage::own_usage().map(told);
            }
            // Whoever asked may have gone.
            let _ = answer.send(snapshot);
        });
    }

    /// Whether every service that should be up rests there, and whether all of them do so well.
    pub(super) fn fulfilled(&self) -> Option<bool> {
        let mut is_well = true;
        for name in self.machine.services() {
            let view = self.machine.view(&name)?;
            if view.goal == Goal::Down {
                continue;
            }
            if !view.is_settled {
                return None;
            }
            is_well &= view.state.is_well();
        }
        Some(is_well)
    }
}
