//! What an earlier supervisor left when it was killed: found by the ledger, checked against the
//! kernel, ended.
//!
//! A run of the ledger is looked for by its mark, and by its leader's identity where the leader
//! still lives; nothing else is believed. Dependents go before what they need. Whatever carries the
//! project's mark without being told of by the ledger goes last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::ending::{Ending, force, look};
use super::runs::identity;
use super::sessions::{PrivateServer, Sessions};
use crate::graph::Graph;
use crate::id::ServiceName;
use crate::record::{Ledger, StartedRun};
use crate::store::Project;
use crate::sys::census::{Owner, Roots, recorded_leader};
use crate::sys::guardian::ourselves;
use crate::sys::identity::boot_id;
use crate::sys::mark::{Mark, Nesting, ProjectId};
use crate::sys::sweep::{self, who_is_there};

/// Ends what is left of the runs that `ledger` tells of; returns what was done, in sentences.
pub(super) async fn recover(
    project: &Project,
    project_id: ProjectId,
    nesting: Option<Nesting>,
    ledger: &Ledger,
    note: &mut dyn FnMut(&str),
) -> Vec<String> {
    let private = PrivateServer::new(
        project,
        nesting.map(|nesting| Mark::for_project(project_id, nesting)),
        None,
    );
    private.find().await;
    let spared: Vec<i32> = ourselves().into_iter().chain(private.pid()).collect();
    let boot = boot_id().unwrap_or_default();
    let open: Vec<&StartedRun> = ledger
        .open
        .values()
        .filter(|run| run.leader.boot_id == boot)
        .collect();
    thaw(project_id, &open).await;
    let mut told = Vec::new();
    if !open.is_empty() {
        let names: BTreeSet<&str> = open.iter().map(|run| run.service.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        note(&format!(
            "ending what a supervisor that was killed left: {}",
            names.join(", ")
        ));
        told.push(format!(
            "what a supervisor that was killed left was ended: {}",
            names.join(", ")
        ));
    }
    for wave in stop_waves(ledger, &open) {
        let ends = wave.into_iter().map(|run| {
            let ending = ending_of(run, project_id, &spared, &private);
            async move {
                let grace = Duration::from_millis(run.stop_timeout_ms);
                if let Err(error) = ending.end(run.stop_signal, grace).await {
                    eprintln!("`{}` of an earlier supervisor: {error}", run.service);
                    return Some(format!("`{}`: {error}", run.service));
                }
                None
            }
        });
        for error in join_all(ends).await.into_iter().flatten() {
            note(&error);
            told.push(error);
        }
    }
    private.end().await;
    // What the ledger does not tell of, and the server itself should it not have answered.
    let manifest = ledger.manifest.as_ref();
    let shared = private.choose(manifest.map(|manifest| &manifest.tmux));
    let whole = Roots {
        owner: Some(Owner::Project(project_id)),
        spared: ourselves(),
        shared_servers: shared.shared_server_pid().await.into_iter().collect(),
        ..Roots::default()
    };
    tell_leftovers(&whole, note).await;
    for survivor in force(whole).await {
        let text = format!(
            "process {} ({}) does not end: {}",
            survivor.pid, survivor.command, survivor.reason
        );
        note(&text);
        told.push(text);
    }
    told
}

/// Continues whatever an earlier supervisor froze when it was killed in the middle of a sweep.
async fn thaw(project_id: ProjectId, open: &[&StartedRun]) {
    let unmarked = open.iter().filter(|run| !run.is_marked);
    let roots = Roots {
        owner: Some(Owner::Project(project_id)),
        leaders: unmarked.map(|run| identity(&run.leader)).collect(),
        spared: ourselves(),
        ..Roots::default()
    };
    match look(move || sweep::thaw(&roots)).await {
        Ok(0) => {}
        Ok(count) => eprintln!("{count} processes stood still, and were continued"),
        Err(error) => eprintln!("cannot look for processes that stand still: {error}"),
    }
}

/// Says what is about to be ended although the ledger does not tell of it.
async fn tell_leftovers(roots: &Roots, note: &mut dyn FnMut(&str)) {
    let roots = roots.clone();
    // What cannot be looked at is told by the sweep that follows.
    let found = look(move || who_is_there(&roots)).await.unwrap_or_default();
    let names: Vec<String> = found
        .iter()
        .map(|one| format!("{} ({})", one.pid, one.command))
        .collect();
    if !names.is_empty() {
        note(&format!(
            "ending what is left of an earlier life of this project, which nothing on disk tells of: {}",
            names.join(", ")
        ));
    }
}

pub(super) fn ending_of(
    run: &StartedRun,
    project_id: ProjectId,
    spared: &[i32],
    private: &PrivateServer,
) -> Ending {
    let owner = run.is_marked.then_some(Owner::Run(project_id, run.run));
    let leader = recorded_leader(identity(&run.leader), owner.as_ref());
    let roots = Roots {
        owner,
        // What cannot be looked at is not believed.
        leaders: leader.ok().flatten().into_iter().collect(),
        spared: spared.to_vec(),
        ..Roots::default()
    };
    let sessions = run.sessions.clone().map(|own| {
        Arc::new(Sessions {
            own,
            tmux: private.choose(run.server.as_ref()),
        })
    });
    Ending::new(roots, sessions)
}

/// The runs in the order in which they are ended: whoever needs another goes before it.
fn stop_waves<'a>(ledger: &Ledger, open: &[&'a StartedRun]) -> Vec<Vec<&'a StartedRun>> {
    let mut by_service: BTreeMap<&ServiceName, Vec<&'a StartedRun>> = BTreeMap::new();
    for run in open {
        by_service.entry(&run.service).or_default().push(run);
    }
    let graph = ledger
        .manifest
        .as_ref()
        .and_then(|manifest| Graph::new(manifest).ok());
    let names: BTreeSet<ServiceName> = by_service.keys().map(|name| (*name).clone()).collect();
    let mut waves: Vec<Vec<&StartedRun>> = Vec::new();
    if let Some(graph) = graph {
        for wave in graph.waves(&names).into_iter().rev() {
            waves.push(
                wave.iter()
                    .filter_map(|name| by_service.remove(name))
                    .flatten()
                    .collect(),
            );
        }
    }
    // What no manifest tells of needs nobody that it knows.
    waves.insert(0, by_service.into_values().flatten().collect());
    waves
}
