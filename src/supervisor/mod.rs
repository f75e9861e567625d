//! The long-lived process that carries plans out and watches.
//!
//! One thread, one loop. Everything that happens comes in as one item: a request on the control
//! socket, a word from a task (a probe's verdict, the end of a leader, an emptied member set), a
//! signal, a deadline. The item is given to the [`machine`](crate::machine), which answers with
//! effects, and these are begun, never awaited: whatever takes time is a task that reports back.
//! So the loop is always ready for the next item, and the state of the project has one owner.
//!
//! What the supervisor starts is written into the ledger first (`record`), so that the next one can
//! go on with it whatever happens to this one (`adopt`).

/// As the standard one, for every module below; but a full disk below the log is no reason to panic.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::supervisor::say(format_args!($($text)*)) };
}

mod adopt;
mod asking;
mod background;
mod clock;
mod descriptors;
mod ending;
mod exports;
mod finish;
mod foreground;
mod hand_over;
mod history;
mod hooks;
mod input;
mod instances;
mod listening;
mod log_writer;
mod manager;
mod notified;
mod orders;
mod orphans;
mod output;
mod own_log;
mod patience;
mod ports;
mod preflight;
mod probes;
mod proofs;
mod report;
mod runs;
mod sessions;
mod starting;
pub mod survey;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{broadcast, mpsc, watch};

use crate::catalogue::Code;
use crate::code;
use crate::control::protocol::{News, Notice};
use crate::control::server::{Request, Shared};
use crate::event::Did;
use crate::event_log::EventLog;
use crate::id::{RunId, ServiceName};
use crate::layers::Layers;
use crate::machine::{self, Effect, Event, RunEvent};
use crate::manifest::model::Manifest;
use crate::record::{Damage, Ledger, Line};
use crate::store::{LedgerWriter, Lock, Project, StoreError};
use crate::sys::crash;
use crate::sys::fifo::HeldFifos;
use crate::sys::guardian;
use crate::sys::identity::Identity;
use crate::sys::mark::{Mark, Nesting, ProjectId};
use crate::sys::oom::OomWatch;
use clock::Clock;
use input::{Input, Outbox};
use output::Output;
use patience::Deferral;
use runs::LiveRun;
use upkeep::{Door, Watch};

pub use background::supervise;
pub use foreground::{Foreground, ForegroundError, run_in_foreground};
pub use manager::ReadyWhen;

/// How many notices a slow client may be behind before it gets a new snapshot instead.
const NOTICES_KEPT: usize = 1024;

/// What goes wrong before the supervisor answers.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The project's files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel refuses something that nothing can be done without.
    #[error("cannot {action}")]
    System {
        /// What.
        action: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The limit of open files is so low that nothing could be stopped.
    #[error("the limit of open files, {limit}, is too low to supervise anything")]
    FewDescriptors {
        /// The limit.
        limit: u64,
    },
    /// Another supervisor has the project.
    #[error("another supervisor (pid {pid}) runs this project")]
    Locked {
        /// Its process id; 0 when it has not told yet.
        pid: i32,
    },
}

impl SupervisorError {
    /// What kind of error it is.
    pub fn code(&self) -> Code {
        match self {
            Self::Store(error) => error.code(),
            Self::System { .. } => code!("supervisor::system"),
            Self::FewDescriptors { .. } => code!("supervisor::few_descriptors"),
            Self::Locked { .. } => code!("supervisor::locked"),
        }
    }

    /// What to do about it, where that can be said.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.help(),
            Self::System { .. } => None,
            Self::FewDescriptors { .. } => Some(RAISE_OPEN_FILES.into()),
            Self::Locked { .. } => Some(
                "`baudbot status` asks it; `baudbot down` ends what it runs, and it too".into(),
            ),
        }
    }
}

/// One line with its time to standard error, which for a supervisor in the background is its log.
/// The journal of a service manager keeps the time itself.
fn say(text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let mut stderr = std::io::stderr();
    let _ = match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => writeln!(stderr, "{text}"),
        None => writeln!(stderr, "{} {text}", log_time(jiff::Timestamp::now())),
    };
}

/// The time of a line in the supervisor's log: `2026-11-25T09:00:00Z`.
fn log_time(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How to raise the limit of open files.
const RAISE_OPEN_FILES: &str =
    "raise it with `ulimit -n 1024` in a new shell, or LimitNOFILE= of the unit";

fn system(action: &'static str) -> impl FnOnce(std::io::Error) -> SupervisorError {
    move |source| SupervisorError::System { action, source }
}

/// All that the loop owns.
struct Supervisor {
    project: Project,
    lock: Option<Lock>,
    ledger: LedgerWriter,
    machine: machine::Project,
    clock: Clock,
    /// What was ordered last; groups and the choice of tmux server are taken from here.
    manifest: Option<Manifest>,
    runs: BTreeMap<RunId, LiveRun>,
    /// Runs of an earlier supervisor, until they are taken over.
    left: BTreeMap<RunId, adopt::Left>,
    outputs: BTreeMap<ServiceName, Output>,
    /// The last run of each service that had one.
    last_runs: BTreeMap<ServiceName, proofs::LastRun>,
    /// Who holds them although nothing is left of the service.
    ports_held: BTreeMap<ServiceName, Vec<machine::Survivor>>,
    outbox: Outbox,
    notices: broadcast::Sender<Notice>,
    sequence: u64,
    project_id: ProjectId,
    /// How deep in other projects we are; `None` where no mark can be set.
    nesting: Option<Nesting>,
    open_files_limit: Option<(u64, u64)>,
    private_tmux: sessions::PrivateServer,
    /// Which layers of containment hold here.
    layers: Layers,
    /// Whether anybody ever gave an order: until then there is nothing to be down from.
    had_order: bool,
    /// Whether this is the main process of a unit, or of a terminal.
    is_in_foreground: bool,
    /// Whether a signal asked this process to end.
    was_asked_to_end: bool,
    /// The program that the next supervisor is run by, once another shall take over.
    successor: Option<std::path::PathBuf>,
    /// Sentences about what was found at the start, for the proof.
    recovered: Vec<String>,
    events: EventLog,
    oom: OomWatch,
    ordered: Option<history::Ordered>,
    goals: history::Goals,
}

/// What feeds the loop.
struct Sources {
    inputs: mpsc::UnboundedReceiver<Input>,
    requests: mpsc::UnboundedReceiver<Request>,
    children: Signal,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// A command found no socket.
    socket_asked: Signal,
    runtime_dir: Watch,
}

/// What the loop was woken by.
enum Item {
    Input(Input),
    Request(Request),
    ChildEnded,
    StopAsked {
        again: bool,
    },
    /// The control socket may be gone; whether a command has said so.
    FilesMayBeGone {
        is_asked: bool,
    },
    /// What was due at this moment.
    Deadline(tokio::time::Instant),
}

impl Supervisor {
    /// Takes the lock, takes over what an earlier supervisor left, and answers on the control socket.
    async fn begin(
        project: Project,
        guardian: Option<i32>,
        note: &mut dyn FnMut(&str),
    ) -> Result<(Self, Sources, Door), SupervisorError> {
        let open_files_limit = crate::sys::process::raise_open_files_limit().ok();
        descriptors::check_reserve()?;
        project.create_directories()?;
        // Before the lock names this process: from then on it may be asked.
        let socket_asked = signal(SignalKind::from_raw(guardian::LOOK_AFTER_SOCKET))
            .map_err(system("listen for signals"))?;
        let guardian = guardian::set_guardian(guardian).map_err(system("look at our parent"))?;
        let Some(lock) = take_lock(&project, guardian.as_ref()).await? else {
            return Err(SupervisorError::Locked {
                pid: project.lock_holder().map_or(0, |holder| holder.pid),
            });
        };
        crate::sys::process::ignore_file_size_signal().map_err(system("ignore a signal"))?;
        crate::sys::process::set_subreaper().map_err(system("become a subreaper"))?;
        let state_dir = std::fs::canonicalize(project.state_dir())
            .map_err(system("resolve the state directory"))?;
        let project_id = ProjectId::new(project.name(), &state_dir);
        let nesting = Nesting::here().ok();
        // Signals are heard from here on, so that one that comes while it takes over is not lost.
        let (sender, inputs) = mpsc::unbounded_channel();
        let (request_sender, requests) = mpsc::unbounded_channel();
        let listen = |kind| signal(kind).map_err(system("listen for signals"));
        let sources = Sources {
            inputs,
            requests,
            children: listen(SignalKind::child())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            socket_asked,
            runtime_dir: Watch::of(&project),
        };
        guardian::let_stop_signals_in().map_err(system("unblock signals"))?;
        if let Some(guardian) = guardian {
            tokio::spawn(watch_guardian(guardian, Outbox::new(sender.clone())));
        }

        // What services that end from here on have printed last must not go with them.
        let held = HeldFifos::of(&project.fifo_dir());
        let boot_id = crate::sys::identity::boot_id()
            .map_err(system("tell which boot of the host this is"))?;
        let (found, damages) = adopt::read_settled(&project, &boot_id).await?;
        let recovered = tell_damages(&project, &damages, note);
        let ledger = project.begin_ledger(found.clone()).or_else(|error| {
            // On a full disk too, what runs can be taken over and stopped.
            let ledger = project.continue_ledger(found.clone()).map_err(|_| error)?;
            eprintln!("the ledger cannot be written afresh, and is continued as it is");
            Ok::<_, StoreError>(ledger)
        })?;
        let notices = broadcast::Sender::new(NOTICES_KEPT);
        let (leaving, is_leaving) = watch::channel(false);
        let shared = Shared {
            requests: request_sender,
            notices: notices.clone(),
            log_dir: project.log_dir(),
            leaving: is_leaving,
            last: Arc::default(),
        };
        let mut supervisor = Self {
            events: EventLog::new(project.events_file()),
            oom: OomWatch::begin(),
            ordered: None,
            goals: history::Goals::default(),
            machine: machine::Project::new(seed(), found.next_run),
            layers: crate::sys::layers::probe(),
            private_tmux: sessions::PrivateServer::new(
                &project,
                project_id,
                nesting.map(|nesting| Mark::for_project(project_id, nesting)),
                open_files_limit,
            ),
            project,
            lock: Some(lock),
            ledger,
            clock: Clock::start(),
            manifest: None,
            runs: BTreeMap::new(),
            left: BTreeMap::new(),
            outputs: BTreeMap::new(),
            last_runs: BTreeMap::new(),
            ports_held: BTreeMap::new(),
            outbox: Outbox::new(sender),
            notices,
            sequence: 0,
            project_id,
            nesting,
            open_files_limit,
            had_order: false,
            is_in_foreground: false,
            was_asked_to_end: false,
            successor: None,
            recovered,
        };
        supervisor.take_up_outputs(&found);
        drop(held);
        supervisor.note_supervision(Did::Began, None);
        supervisor.take_over(&found, note).await;
        if !supervisor.recovered.is_empty() {
            supervisor.note_supervision(Did::Recovered, Some(supervisor.recovered.join("; ")));
        }
        let door = Door::open(&supervisor.project, leaving, shared)
            .map_err(system("bind the control socket"))?;
        Ok((supervisor, sources, door))
    }

    /// Takes one item after the other until the project is down; `after` is called after each.
    async fn turn(&mut self, sources: &mut Sources, door: &mut Door, mut after: impl FnMut(&Self)) {
        let mut stops_asked = 0_u32;
        let mut deferral = Deferral::default();
        let mut own_log = own_log::OwnLog::new(self.project.supervisor_log());
        loop {
            let is_over = self.machine.is_down()
                // The process that waits for this one's end learns of it by that end.
                || self.is_in_foreground && self.machine.is_down_or_stuck();
            if self.successor.is_some() || self.had_order && is_over {
                return;
            }
            own_log.bound();
            match self.next_item(sources, &deferral).await {
                Item::Input(input) => self.take(input),
                Item::Request(request) => self.answer(request),
                Item::ChildEnded => {
                    if let Err(error) = crate::sys::process::reap_orphans() {
                        eprintln!("cannot reap orphans: {error}");
                    }
                }
                Item::StopAsked { again } => {
                    stops_asked += 1;
                    self.was_asked_to_end = true;
                    self.order_all_down(again && stops_asked > 1);
                }
                Item::FilesMayBeGone { is_asked } => {
                    self.look_after_files(door, is_asked);
                    sources.runtime_dir = Watch::of(&self.project);
                }
                Item::Deadline(due) if deferral.puts_off(due) => {}
                Item::Deadline(_) if !self.had_order => return,
                Item::Deadline(_) => {
                    let effects = self.machine.handle_deadline(self.clock.now());
                    self.carry_out(effects);
                }
            }
            after(self);
        }
    }

    async fn next_item(&self, sources: &mut Sources, deferral: &Deferral) -> Item {
        let deadline = if self.had_order {
            self.machine
                .next_deadline()
                .map(|moment| self.clock.instant(moment))
        } else {
            // Whoever started us died before giving an order.
            Some(
                self.clock
                    .instant(self.clock.begun_at() + ORDER_EXPECTED_WITHIN),
            )
        };
        let sleep = async {
            match deadline.map(|deadline| deferral.due(deadline)) {
                Some(due) => {
                    tokio::time::sleep_until(due).await;
                    due
                }
                None => std::future::pending().await,
            }
        };
        // The supervisor holds a sender of its own, so neither channel can end.
        tokio::select! {
            Some(input) = sources.inputs.recv() => Item::Input(input),
            Some(request) = sources.requests.recv() => Item::Request(request),
            Some(()) = sources.children.recv() => Item::ChildEnded,
            Some(()) = sources.terminate.recv() => Item::StopAsked { again: false },
            Some(()) = sources.hangup.recv() => Item::StopAsked { again: false },
            Some(()) = sources.interrupt.recv() => Item::StopAsked { again: true },
            Some(()) = sources.socket_asked.recv() => Item::FilesMayBeGone { is_asked: true },
            () = sources.runtime_dir.changed() => Item::FilesMayBeGone { is_asked: false },
            due = sleep => Item::Deadline(due),
        }
    }

    /// Begins what the machine wants done. Some of it fails at once and is an event again, so this
    /// goes on until nothing is left to do.
    fn carry_out(&mut self, effects: Vec<Effect>) {
        self.save(&effects);
        let mut queue = std::collections::VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Spawn { run, service } => {
                    if let Err(failure) = self.start(run, &service) {
                        let effects =
                            self.tell(service.name.clone(), run, RunEvent::SpawnFailed(failure));
                        self.save(&effects);
                        queue.extend(effects);
                    }
                }
                Effect::Adopt {
                    run,
                    service,
                    stage,
                } => self.adopt(run, &service, stage),
                Effect::Redeclare { run, service } => self.redeclare(run, service),
                Effect::Examine { run, service } => {
                    let lacks = self.lacks(&service);
                    let effects = self.tell(service.name.clone(), run, RunEvent::Examined(lacks));
                    self.save(&effects);
                    queue.extend(effects);
                }
                Effect::Terminate { run, .. } => self.terminate(run),
                Effect::Kill { run, .. } => self.kill(run),
                Effect::Announce(service) => self.announce(service),
                Effect::Note(transition) => self.note_transition(*transition),
            }
        }
        // A child at its gate may be about to append to the ledger.
        if self.runs.values().all(|run| run.is_past_gate)
            && let Err(error) = self.ledger.compact_if_due()
        {
            eprintln!("{error}");
        }
    }

    /// Gives an event to the machine.
    fn tell(&mut self, service: ServiceName, run: RunId, what: RunEvent) -> Vec<Effect> {
        self.machine
            .handle(Event { service, run, what }, self.clock.now())
    }

    /// Writes down how far the services have come that `effects` announce, before anything is done
    /// about it.
    fn save(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Announce(name) = effect {
                let saved = self.machine.saved(name);
                if let Some(line) = self.ledger.sum().service_line(name, saved.as_ref())
                    && let Err(error) = self.write_ledger(line)
                {
                    // The next supervisor will know less of it; its run is known all the same.
                    eprintln!("{error}");
                }
            }
        }
    }

    fn announce(&mut self, service: ServiceName) {
        self.retire_if_over(&service);
        let status = self.service_status(&service);
        self.publish(News::Service {
            name: service,
            status: status.map(Box::new),
        });
    }

    fn publish(&mut self, what: News) {
        self.sequence += 1;
        // Nobody may be listening.
        let _ = self.notices.send(Notice {
            sequence: self.sequence,
            what,
        });
    }

    fn write_ledger(&mut self, line: Line) -> Result<(), StoreError> {
        if !self.ledger.is_in_place() {
            self.restore_state()?;
        }
        self.ledger.append(line)
    }

    /// Somebody removed the state directory under us: lock and ledger are made anew, as they were.
    fn restore_state(&mut self) -> Result<(), StoreError> {
        self.project.create_directories()?;
        let guardian = guardian::guardian_pid().and_then(|pid| Identity::of(pid).ok()?);
        match self.project.lock(guardian.as_ref().map(runs::recorded))? {
            Some(lock) => self.lock = Some(lock),
            None => eprintln!(
                "the state directory was removed, and another supervisor has the new one: \
                 end one of the two"
            ),
        }
        self.ledger = self.project.begin_ledger(self.ledger.sum().clone())?;
        eprintln!("the state directory was removed while in use, and was written anew");
        Ok(())
    }

    /// Nothing is left: the ledger has nothing to tell but which run numbers were used, and which
    /// manifest the project ran from.
    fn close_ledger(&mut self) {
        let closed = Ledger {
            next_run: self.ledger.sum().next_run,
            manifest_file: self.ledger.sum().manifest_file.clone(),
            ..Ledger::default()
        };
        match self.project.begin_ledger(closed) {
            Ok(ledger) => self.ledger = ledger,
            // What it tells of is gone, as the next supervisor will find.
            Err(error) => eprintln!("{error}"),
        }
    }

    /// Tells whoever listens how it ended, and leaves.
    async fn leave(mut self, door: Door) -> crate::control::protocol::Proof {
        let proof = finish::finish(&mut self).await;
        // First where it stays: a client that is told nothing in time finds it there.
        self.write_last_word(&proof);
        let _ = door.last.set(Notice {
            sequence: self.sequence + 1,
            what: News::Finished(proof.clone()),
        });
        self.publish(News::Finished(proof.clone()));
        self.note_supervision(Did::Left, None);
        self.outputs.clear();
        if proof.is_clean() {
            self.close_ledger();
        }
        crash::point("leaving: before the files go");
        self.project.remove_runtime_files();
        crash::point("leaving: after the files went");
        // From here on the next supervisor may begin: nothing of the project is ours any more, and
        // whoever hears the streams end may rely on it.
        if let Some(lock) = self.lock.take() {
            lock.release();
        }
        // Nobody listens for it any more only when the server has ended, which is as good.
        let _ = door.leaving.send(true);
        drop(self.notices);
        let _ = tokio::time::timeout(LEAVING_TAKES_AT_MOST, door.server).await;
        proof
    }
}

/// Takes the project's lock; `None` when another supervisor has it. A child of a killed supervisor that
/// has not executed its command yet shares the lock for a moment: that is waited for.
async fn take_lock(
    project: &Project,
    guardian: Option<&Identity>,
) -> Result<Option<Lock>, StoreError> {
    let begun = std::time::Instant::now();
    loop {
        let lock = project.lock(guardian.map(runs::recorded))?;
        let is_left_over = || {
            let holder = project.lock_holder();
            let is_known = holder.is_some_and(|holder| holder.supervisor.is_some());
            is_known && project.living_supervisor().is_none()
        };
        if lock.is_some() || begun.elapsed() >= LOCK_LEFT_WITHIN || !is_left_over() {
            return Ok(lock);
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// How long what a killed supervisor has forked may keep the lock.
const LOCK_LEFT_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Learns of the guardian's end.
async fn watch_guardian(guardian: Identity, outbox: Outbox) {
    starting::until_over(&guardian).await;
    outbox.put(Input::GuardianEnded(guardian.pid));
}

/// Says what of the ledger could not be read, and keeps it aside.
fn tell_damages(project: &Project, damages: &[Damage], note: &mut dyn FnMut(&str)) -> Vec<String> {
    let Some(first) = damages.first() else {
        return Vec::new();
    };
    let what = format!(
        "{} of the ledger could not be read (line {}: {})",
        match damages.len() {
            1 => "1 line".to_owned(),
            many => format!("{many} lines"),
        },
        first.line,
        first.message
    );
    let text = match project.keep_damaged_ledger() {
        Ok(aside) => format!("{what}; as it was, it is kept in {}", aside.display()),
        Err(error) => format!("{what}; {error}"),
    };
    note(&text);
    vec![text]
}

/// How long a supervisor that nobody gives an order stays.
const ORDER_EXPECTED_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// How long clients may take to hear the last notice.
const LEAVING_TAKES_AT_MOST: std::time::Duration = std::time::Duration::from_secs(2);

/// For the jitter of restart delays: services of two hosts should not restart in step.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}
