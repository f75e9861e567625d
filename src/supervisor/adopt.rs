//! Taking over what an earlier supervisor began.
//!
//! # No process is unknown
//!
//! There is no instant in which a process of a service runs that neither the ledger nor its mark
//! tells of, whenever the supervisor dies:
//!
//! 1. Before a run is begun, the ledger says that its service is to start, as which run and from
//!    which declaration. Nothing has been made then.
//! 2. A child is forked. It takes on its mark and stops at its gate; so does the shim in a pane, which
//!    until then carries the mark of its tmux server and is in a session whose name is the service's.
//!    If the supervisor dies now, the gate closes, and the process exits without having executed
//!    anything.
//! 3. The ledger gets the process's identity ([`Line::Started`]). A death now has the same outcome.
//! 4. The gate is opened. The process itself appends [`Line::Passed`] to the ledger and executes the
//!    command. So this line is there exactly if the command runs or has run.
//! 5. The end is written ([`Line::Gone`]) when nobody of the run is left, and not before.
//!
//! A signal is sent after the ledger says that the run is being stopped, so that it is sent again if
//! it may not have been.
//!
//! # What a new supervisor does
//!
//! It holds the lock, so nobody else acts. It waits for those that stand at the dead one's gates to
//! leave them, looks at each process that the ledger names (a pid counts only with its start time
//! and boot), asks how the leaders ended that are gone, ends what belongs to starts that never came
//! about and what marks alone tell of, and gives what it found to the machine
//! ([`machine::Project::restore`]). What lives is watched from then on, with its output, its probe
//! and its restarts, and keeps its pid.
//!
//! A leader that is not our child cannot be kept as a zombie when it ends; its number, and with it
//! that of its group, is free from then on. So of an adopted run whose leader is gone, members are
//! known by the mark alone, which each of them carries.
//!
//! How such a leader ended, the kernel tells whoever held a pidfd on it (Linux 6.15 and later, see
//! [`PidFd::exit`]). For those that ended while nobody watched, the guardian has made a note, if there
//! was one. Otherwise nobody knows, and it counts as a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use regex::bytes::Regex;
use tokio_util::task::AbortOnDropHandle;

use super::Supervisor;
use super::ending::{Ending, SIGTERM, look};
use super::finish::STRAY_GRACE;
use super::input::{Input, Outbox};
use super::output::Drainer;
use super::runs::{LiveRun, identity, recorded};
use super::sessions::Sessions;
use super::starting::ended;
use crate::event::Did;
use crate::id::{RunId, ServiceName};
use crate::log_format::plain::is_match;
use crate::log_format::read_record;
use crate::machine::{self, AdoptedStage, Ended, Found, Goal, RunEvent, Saved};
use crate::manifest::model::{Probe, Ready, Service};
use crate::record::{Ledger, Line, OrphanExit, RecordedProcess, StartedRun};
use crate::store::{Project, StoreError};
use crate::sys::census::{Owner, Roots, runs_present};
use crate::sys::crash;
use crate::sys::identity::{self as kernel, Identity, PidFd};
use crate::sys::inherited::{Inherited, look_at};
use crate::sys::mark::in_cycle;
use crate::sys::over::until_over;
use crate::sys::process;
use crate::sys::sweep;

/// How long those that stand at a dead supervisor's gates may take to leave them: nothing but time
/// on a processor is wanting.
const GATES_CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Between two looks at those.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// How long the kernel or the guardian may take to tell how a process ended.
const TOLD_WITHIN: Duration = Duration::from_millis(500);

/// What was found of a run, until the machine says what is to be done with it.
#[derive(Debug, Default)]
pub(super) struct Left {
    record: Option<StartedRun>,
    inherited: Inherited,
}

/// What the ledger tells once nobody stands at a gate of the dead supervisor any more.
///
/// # Errors
/// When the ledger cannot be read.
pub(super) async fn read_settled(
    project: &Project,
    boot_id: &str,
) -> Result<(Ledger, Vec<crate::record::Damage>), StoreError> {
    let begun = tokio::time::Instant::now();
    loop {
        let (ledger, damages) = project.read_ledger_and_damages()?;
        let ledger = ledger.in_boot(boot_id);
        let is_unsettled = at_gates(&ledger).any(|leader| {
            // What cannot be looked at is not waited for.
            matches!(look_at(&leader), Ok(Inherited::Alive { .. }))
        });
        if !is_unsettled || begun.elapsed() >= GATES_CLOSE_WITHIN {
            return Ok((ledger, damages));
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// The leaders that may not have executed anything yet.
fn at_gates(ledger: &Ledger) -> impl Iterator<Item = Identity> {
    ledger
        .services
        .values()
        .filter(|saved| saved.life.is_spawning())
        .filter_map(|saved| ledger.open.get(&saved.life.run()?))
        .filter(|started| !ledger.passed.contains(&started.run))
        .map(|started| identity(&started.leader))
}

impl Supervisor {
    /// Goes on with what the ledger tells of.
    pub(super) async fn take_over(&mut self, ledger: &Ledger, note: &mut dyn FnMut(&str)) {
        self.manifest = ledger.manifest.as_deref().cloned();
        if ledger.tmux_server.is_some() {
            self.private_tmux.find().await;
        }
        crash::point("taking over: begun");
        self.thaw(ledger).await;
        let saved = saved_services(ledger, self.clock.now());
        let marked = self.marked_runs().await;
        let found = self.find_runs(ledger, &saved, &marked).await;
        crash::point("taking over: all is found");
        self.end_cut_short(ledger, &saved, &found).await;
        let strays = self.end_strays(ledger, &found, &marked).await;
        crash::point("taking over: what is nobody's has ended");
        let taken_over = tell(&saved, &found);
        for text in taken_over.iter().chain(&strays) {
            eprintln!("{text}");
            note(text);
        }
        if !taken_over.is_empty() {
            self.note_supervision(Did::Adopted, Some(taken_over.join("; ")));
        }
        self.recovered.extend(strays);
        let (machine, effects) = machine::Project::restore(
            super::seed(),
            ledger.next_run,
            self.manifest.as_ref(),
            saved,
            &found,
            !ledger.is_handed_over,
            self.clock.now(),
        );
        self.machine = machine;
        self.had_order = !self.machine.is_down();
        self.carry_out(effects);
        self.left.clear();
        crash::point("taking over: done");
    }

    /// Continues whatever an earlier supervisor froze when it was killed in the middle of a sweep.
    async fn thaw(&self, ledger: &Ledger) {
        let unmarked = ledger.open.values().filter(|run| !run.is_marked);
        let roots = Roots {
            owner: self.nesting.map(|_| Owner::Project(self.project_id)),
            leaders: unmarked.map(|run| identity(&run.leader)).collect(),
            spared: self.spared(),
            ..Roots::default()
        };
        match look(move || sweep::thaw(&roots)).await {
            Ok(0) => {}
            Ok(count) => eprintln!("{count} processes stood still, and were continued"),
            Err(error) => eprintln!("cannot look for processes that stand still: {error}"),
        }
    }

    /// The runs whose mark some process carries.
    async fn marked_runs(&self) -> BTreeSet<RunId> {
        if self.nesting.is_none() {
            return BTreeSet::new();
        }
        let project = self.project_id;
        match look(move || runs_present(project)).await {
            Ok(runs) => runs,
            Err(error) => {
                eprintln!("cannot look for marked processes: {error}");
                BTreeSet::new()
            }
        }
    }

    /// Looks at each run that the services have.
    async fn find_runs(
        &mut self,
        ledger: &Ledger,
        saved: &BTreeMap<ServiceName, Saved>,
        marked: &BTreeSet<RunId>,
    ) -> BTreeMap<RunId, Found> {
        // Missing, unless there is a guardian and it had something to tell.
        let notes = std::fs::read_to_string(self.project.orphans_file()).unwrap_or_default();
        let mut found = BTreeMap::new();
        let mut in_panes = Vec::new();
        for (name, saved) in saved {
            let Some(id) = saved.life.run() else { continue };
            if saved.life.is_spawning() && !ledger.passed.contains(&id) {
                // Nobody is left at its gate: it has executed nothing.
                continue;
            }
            let Some(record) = ledger.open.get(&id) else {
                // Its line was damaged, or it had just gone.
                if marked.contains(&in_cycle(id)) {
                    found.insert(id, Found::Ended(Ended::Unknown));
                    self.left.insert(id, Left::default());
                }
                continue;
            };
            let leader = identity(&record.leader);
            let inherited = look_at(&leader).unwrap_or_else(|error| {
                eprintln!("cannot look at process {}: {error}", leader.pid);
                Inherited::Gone
            });
            let what = match &inherited {
                Inherited::Alive { .. } => Found::Alive,
                Inherited::Over { exit, .. } => Found::Ended(ended(*exit)),
                Inherited::Gone => Found::Ended(noted(&notes, &record.leader)),
            };
            if let (Found::Ended(_), Some(pane)) = (what, &record.pane)
                && let Some(sessions) = self.sessions_of(record)
            {
                let (name, pane) = (name.clone(), pane.pane_id.clone());
                in_panes.push(async move { (id, sessions.exit_of(&name, &pane).await) });
            }
            found.insert(id, what);
            let record = Some(record.clone());
            self.left.insert(id, Left { record, inherited });
        }
        for (id, exit) in join_all(in_panes).await {
            found.insert(id, Found::Ended(ended(exit)));
        }
        found
    }

    fn sessions_of(&self, record: &StartedRun) -> Option<Arc<Sessions>> {
        Some(Arc::new(Sessions {
            own: record.sessions.clone()?,
            tmux: self.private_tmux.choose(record.server.as_ref()),
        }))
    }

    fn run_roots(&self, id: RunId, record: Option<&StartedRun>) -> Roots {
        Roots {
            owner: self.nesting.map(|_| Owner::Run(self.project_id, id)),
            leaders: record
                .map(|record| identity(&record.leader))
                .into_iter()
                .collect(),
            spared: self.spared(),
            ..Roots::default()
        }
    }

    /// Ends what there is of starts that never came about: hardly ever anything but a session whose
    /// pane is dead.
    async fn end_cut_short(
        &mut self,
        ledger: &Ledger,
        saved: &BTreeMap<ServiceName, Saved>,
        found: &BTreeMap<RunId, Found>,
    ) {
        let cut_short: Vec<(RunId, Ending)> = cut_short(saved, found)
            .filter_map(|(_, saved)| {
                let id = saved.life.run()?;
                let sessions = self.own_sessions(saved.run_service()?.as_ref());
                let roots = self.run_roots(id, ledger.open.get(&id));
                Some((id, Ending::new(roots, sessions)))
            })
            .collect();
        let ends = cut_short
            .into_iter()
            .map(|(id, ending)| async move { (id, ending.end(SIGTERM, Duration::ZERO).await) });
        for (id, ended) in join_all(ends).await {
            if let Err(error) = ended {
                eprintln!("after a start that was cut short: {error}");
            }
            self.write_gone(ledger, id);
        }
    }

    fn write_gone(&mut self, ledger: &Ledger, id: RunId) {
        if ledger.open.contains_key(&id)
            && let Err(error) = self.write_ledger(Line::Gone(id))
        {
            eprintln!("{error}");
        }
    }

    /// Ends what marks and lines tell of that no service has for its run; says what was there.
    async fn end_strays(
        &mut self,
        ledger: &Ledger,
        found: &BTreeMap<RunId, Found>,
        marked: &BTreeSet<RunId>,
    ) -> Vec<String> {
        let known: BTreeSet<RunId> = found.keys().map(|id| in_cycle(*id)).collect();
        let recorded = ledger.open.keys().filter(|id| !found.contains_key(*id));
        let strays: BTreeSet<RunId> = recorded
            .copied()
            .chain(marked.difference(&known).copied())
            .collect();
        if strays.is_empty() {
            return Vec::new();
        }
        // What people do in a tmux server of theirs is none of this, whoever founded it.
        let shared = self.tmux().shared_server_pid().await;
        let ends = strays.into_iter().map(|id| {
            let record = ledger.open.get(&id);
            let roots = Roots {
                shared_servers: shared.into_iter().collect(),
                ..self.run_roots(id, record)
            };
            let ending = Ending::new(roots, None);
            let name = record.map(|record| record.service.clone());
            async move {
                let there = ending.members().await;
                let ended = ending.end(SIGTERM, STRAY_GRACE).await;
                (id, name, there, ended)
            }
        });
        let mut texts = Vec::new();
        for (id, name, there, ended) in join_all(ends).await {
            self.write_gone(ledger, id);
            let whose = match name {
                Some(name) => format!("run {id} of `{name}`"),
                None => "an earlier life of this project, which nothing on disk tells of".into(),
            };
            match ended {
                Err(error) => texts.push(format!("of {whose}: {error}")),
                Ok(()) if there.is_empty() => {}
                Ok(()) => texts.push(format!(
                    "ended what was left of {whose}: {}",
                    there.join(", ")
                )),
            }
        }
        texts
    }

    /// Takes over one run, as the machine says.
    pub(super) fn adopt(&mut self, id: RunId, service: &Arc<Service>, stage: AdoptedStage) {
        let Some(Left { record, inherited }) = self.left.remove(&id) else {
            return;
        };
        let circumstances = self.circumstances(service);
        let is_asked = circumstances.is_some();
        let (environment, user) = match circumstances {
            Some(known) => (known.environment, known.user),
            None => (BTreeMap::new(), None),
        };
        let mut run = LiveRun::new(Arc::clone(service), environment);
        run.user = user;
        run.is_past_gate = true;
        if let Some(record) = &record {
            run.leader = Some(identity(&record.leader));
            run.sessions = self.sessions_of(record);
            run.listened_before.clone_from(&record.listened_before);
            if let Some(began) = record.began {
                run.began = SystemTime::UNIX_EPOCH + began;
            }
        } else {
            run.sessions = self.own_sessions(service);
        }
        crash::point("taking over: a run");
        self.remember(id, &run);
        let socket = record.as_ref().and_then(|one| one.notify_socket.clone());
        if let Err(failure) = self.reopen_notify_socket(id, &mut run, socket) {
            eprintln!("`{}`: {}: {}", service.name, failure.stage, failure.message);
        }
        let leader = run.leader.as_ref().map(|leader| leader.pid);
        if let Err(failure) = self.output_of(service, leader) {
            eprintln!("`{}`: {}: {}", service.name, failure.stage, failure.message);
        }
        let pane = record.and_then(|record| record.pane);
        match inherited {
            Inherited::Alive { handle, is_child } => {
                run.is_child = is_child;
                if let Some(leader) = run.leader.clone() {
                    let watch = Adopted {
                        service: service.name.clone(),
                        run: id,
                        leader,
                        is_child,
                        pane: pane.and_then(|pane| Some((run.sessions.clone()?, pane.pane_id))),
                        orphans: self.project.orphans_file(),
                        drainer: self.drainer(&service.name),
                        outbox: self.outbox.clone(),
                    };
                    let watch = tokio::spawn(watch.until_over(handle));
                    run.watcher = Some(AbortOnDropHandle::new(watch));
                }
            }
            Inherited::Over { is_child, .. } => {
                run.is_child = is_child;
                run.is_ending = true;
            }
            Inherited::Gone => run.is_ending = true,
        }
        if let (true, Some(leader)) = (run.is_child, &run.leader) {
            process::answer_for(leader.pid);
        }
        let began = run.began;
        self.runs.insert(id, run);
        match stage {
            AdoptedStage::Starting if is_asked => {
                self.watch_log(id);
                self.search_log(id, service, began);
                self.spawned(id);
            }
            AdoptedStage::Ready if is_asked => {
                if let Some(run) = self.runs.get_mut(&id) {
                    // What comes after readiness came after it.
                    run.after_ready = Some(AbortOnDropHandle::new(tokio::spawn(async {})));
                }
                self.became_ready(id);
                // What it exported is known; a change of it is news.
                if !service.exports.is_empty()
                    && let Some(view) = self.machine.view(&service.name)
                {
                    self.begin_exporting(id, view.exports);
                }
            }
            AdoptedStage::Starting | AdoptedStage::Ready | AdoptedStage::Ending => {}
        }
    }

    /// Whether the line that a run is to be ready by came while it was an earlier supervisor's: that
    /// may have read it, and died before it could say so.
    fn search_log(&self, id: RunId, service: &Service, began: SystemTime) {
        let Some(Ready {
            probe: Probe::Log { pattern },
            ..
        }) = &service.ready
        else {
            return;
        };
        let Ok(pattern) = Regex::new(pattern) else {
            return;
        };
        let log = self.project.log_file(&service.name);
        let keep = service.log.keep;
        let outbox = self.outbox.clone();
        tokio::task::spawn_blocking(move || {
            if is_in_log(&log, keep, &pattern, began) {
                outbox.put(Input::LineSeen(id));
            }
        });
    }
}

/// An adopted run whose leader lives.
pub(super) struct Adopted {
    pub(super) service: ServiceName,
    pub(super) run: RunId,
    pub(super) leader: Identity,
    pub(super) is_child: bool,
    pub(super) pane: Option<(Arc<Sessions>, String)>,
    pub(super) orphans: PathBuf,
    pub(super) drainer: Option<Drainer>,
    pub(super) outbox: Outbox,
}

impl Adopted {
    /// Waits for the leader's end and tells how it ended.
    pub(super) async fn until_over(self, handle: PidFd) {
        let how = match &self.pane {
            Some((sessions, pane)) => {
                sessions
                    .until_pane_over(&self.service, &self.leader, pane)
                    .await
            }
            None => self.until_process_over(handle).await,
        };
        if let Some(drainer) = &self.drainer {
            drainer.drain().await;
        }
        self.outbox
            .run(&self.service, self.run, RunEvent::Exited(how));
    }

    async fn until_process_over(&self, handle: PidFd) -> Ended {
        let handle = match until_over(handle).await {
            Ok(handle) => Some(handle),
            Err(error) => {
                eprintln!("cannot watch process {}: {error}", self.leader.pid);
                None
            }
        };
        if self.is_child {
            return ended(process::observe_exit(self.leader.pid).ok().flatten());
        }
        self.ask_how(handle.as_ref()).await
    }

    /// How a process ended that is somebody else's child: whoever reaps it does so at once, as a
    /// rule, and then the kernel tells.
    async fn ask_how(&self, handle: Option<&PidFd>) -> Ended {
        let begun = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            let exit = handle
                .and_then(PidFd::exit)
                .or_else(|| kernel::exit_of_zombie(&self.leader));
            if exit.is_some() {
                return ended(exit);
            }
            if begun.elapsed() >= TOLD_WITHIN {
                // A kernel that does not tell.
                let notes = std::fs::read_to_string(&self.orphans).unwrap_or_default();
                return noted(&notes, &recorded(&self.leader));
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}

/// What the guardian's notes tell of how a process ended.
fn noted(notes: &str, process: &RecordedProcess) -> Ended {
    match OrphanExit::find(notes, process) {
        Some(exit) => Ended::Exit(exit),
        None => Ended::Unknown,
    }
}

/// The services as they were written down. Of a live run of which nothing else was, as in version 1
/// of the ledger, it is known that it was wanted.
fn saved_services(ledger: &Ledger, now: crate::time::Moment) -> BTreeMap<ServiceName, Saved> {
    let mut saved = ledger.services.clone();
    for started in ledger.open.values() {
        if !saved.contains_key(&started.service)
            && let Some(service) = ledger.declaration(&started.service)
        {
            let live = Saved::of_live_run(service, started.run, now);
            saved.insert(started.service.clone(), live);
        }
    }
    saved
}

/// The services whose start was ordered and never came about.
fn cut_short<'a>(
    saved: &'a BTreeMap<ServiceName, Saved>,
    found: &'a BTreeMap<RunId, Found>,
) -> impl Iterator<Item = (&'a ServiceName, &'a Saved)> {
    saved.iter().filter(|(_, saved)| {
        let is_found = saved.life.run().is_some_and(|run| found.contains_key(&run));
        saved.life.is_spawning() && !is_found
    })
}

/// What people are told of what was found.
fn tell(saved: &BTreeMap<ServiceName, Saved>, found: &BTreeMap<RunId, Found>) -> Vec<String> {
    let mut alive = Vec::new();
    let mut gone = Vec::new();
    for (name, saved) in saved {
        match saved.life.run().and_then(|run| found.get(&run)) {
            Some(Found::Alive) => alive.push(name.to_string()),
            Some(Found::Ended(_)) => gone.push(name.to_string()),
            Some(Found::Nothing) | None => {}
        }
    }
    let begun: Vec<String> = cut_short(saved, found)
        .filter(|(_, saved)| saved.life.goal() == Goal::Up)
        .map(|(name, _)| name.to_string())
        .collect();
    let parts = [
        (alive, "running, taken over from the supervisor before"),
        (gone, "ended while nobody watched"),
        (begun, "a start that was cut short begins anew"),
    ];
    parts
        .into_iter()
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, what)| format!("{what}: {}", listed(&names)))
        .collect()
}

/// Names for people: all of a few, the first of many.
fn listed(names: &[String]) -> String {
    const MOST: usize = 10;
    let mut text = names[..names.len().min(MOST)].join(", ");
    if names.len() > MOST {
        text += &format!(" and {} more", names.len() - MOST);
    }
    text
}

/// Whether a line that was logged since `began` matches.
fn is_in_log(log: &std::path::Path, keep: u32, pattern: &Regex, began: SystemTime) -> bool {
    let Ok(since) = jiff::Timestamp::try_from(began) else {
        return false;
    };
    let numbered = (1..keep).map(|number| {
        let mut name = log.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    });
    std::iter::once(log.to_owned()).chain(numbered).any(|file| {
        let is_newer = std::fs::metadata(&file)
            .and_then(|found| found.modified())
            .is_ok_and(|modified| modified >= began);
        is_newer
            && std::fs::read(&file).is_ok_and(|bytes| {
                bytes
                    .split(|byte| *byte == b'\n')
                    .filter_map(read_record)
                    .any(|record| record.time >= since && is_match(pattern, record.content))
            })
    })
}
