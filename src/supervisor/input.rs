//! What tasks tell the loop.

use tokio::sync::mpsc;

use super::Supervisor;
use super::ending::Remaining;
use super::hooks::BeforeStart;
use super::sessions::MadeSession;
use crate::control::protocol::LastProbe;
use crate::event::Did;
use crate::id::{RunId, ServiceName};
use crate::machine::{Effect, LeftBehind, RunEvent, Survivor};
use crate::record::Line;
use crate::sys::guardian::own_program;
use crate::sys::notify::News;

/// One word of a task.
#[derive(Debug)]
pub(super) enum Input {
    /// Something happened to a run.
    Run {
        /// The service.
        service: ServiceName,
        /// The run.
        run: RunId,
        /// What happened.
        what: RunEvent,
    },
    /// A probe of a run was answered, or not.
    Probed(RunId, LastProbe),
    /// A process of a run told of it.
    Notified(RunId, News),
    /// This process told of a run, and may be none of it.
    NoticeBy(RunId, i32, News),
    /// The session of a run is there; the process in its pane waits at its gate.
    Session(Box<MadeSession>),
    /// The command before a run's start ended.
    BeforeStart(BeforeStart),
    /// Something that people should know about a live run.
    Note {
        /// The run.
        run: RunId,
        /// What.
        text: String,
    },
    /// What is in the way of a run that has not begun, in sentences.
    Checked {
        /// The run.
        run: RunId,
        /// Nothing, if it may begin.
        obstacles: Vec<String>,
    },
    /// Somebody else holds a port of a run, or nobody does any more.
    Intruder {
        /// The run.
        run: RunId,
        /// In a sentence.
        intruder: Option<String>,
    },
    /// Who holds the ports of a service of which nothing is left.
    PortsHeld {
        /// The service.
        service: ServiceName,
        /// They.
        survivors: Vec<Survivor>,
    },
    /// The line that this run is to be ready by was there before it was watched for.
    LineSeen(RunId),
    /// Who is still there of a run that is being stopped, for people.
    Remaining(RunId, Remaining),
    /// A run ended by itself and left these processes behind.
    Left {
        /// The service.
        service: ServiceName,
        /// The run.
        run: RunId,
        /// They.
        left: LeftBehind,
    },
    /// The project's own tmux server runs, as this process.
    TmuxServer(crate::record::RecordedProcess),
    /// This program is fit to be the next supervisor's.
    HandOver(std::path::PathBuf),
    /// The guardian, which was this process, has ended.
    GuardianEnded(i32),
}

/// Where tasks put their words.
#[derive(Debug, Clone)]
pub(super) struct Outbox(mpsc::UnboundedSender<Input>);

impl Outbox {
    pub(super) fn new(sender: mpsc::UnboundedSender<Input>) -> Self {
        Self(sender)
    }

    pub(super) fn put(&self, input: Input) {
        // The loop may have ended; then nobody wants to know any more.
        let _ = self.0.send(input);
    }

    pub(super) fn run(&self, service: &ServiceName, run: RunId, what: RunEvent) {
        self.put(Input::Run {
            service: service.clone(),
            run,
            what,
        });
    }
}

impl Supervisor {
    pub(super) fn take(&mut self, input: Input) {
        let effects = match input {
            Input::Run { service, run, what } => self.take_run_event(service, run, what),
            Input::Notified(run, news) => self.take_notice(run, news),
            Input::NoticeBy(run, sender, news) => self.take_notice_by(run, sender, news),
            Input::Probed(run, last) => {
                if let Some(run) = self.runs.get_mut(&run) {
                    run.last_probe = Some(last);
                }
                Vec::new()
            }
            Input::Session(made) => {
                self.session_made(*made);
                Vec::new()
            }
            Input::BeforeStart(ended) => {
                self.before_start_ended(ended);
                Vec::new()
            }
            Input::LineSeen(run) => {
                let run = self.runs.get(&run);
                if let Some(output) = run.and_then(|run| self.outputs.get(&run.service.name)) {
                    output.note_seen();
                }
                Vec::new()
            }
            Input::Remaining(run, text) => {
                self.note_remaining(run, text);
                Vec::new()
            }
            Input::Note { run, text } => {
                self.remark(run, text);
                Vec::new()
            }
            Input::Checked { run, obstacles } => match self.checked(run, &obstacles) {
                Some((service, failure)) => self.tell(service, run, RunEvent::SpawnFailed(failure)),
                None => Vec::new(),
            },
            Input::Intruder { run, intruder } => {
                self.note_intruder(run, intruder);
                Vec::new()
            }
            Input::PortsHeld { service, survivors } => {
                self.ports_held.insert(service, survivors);
                Vec::new()
            }
            Input::Left { service, run, left } => self.take_left(service, run, left),
            Input::TmuxServer(process) => {
                if let Err(error) = self.write_ledger(Line::TmuxServer(process)) {
                    eprintln!("{error}");
                }
                Vec::new()
            }
            Input::HandOver(program) => {
                self.successor = Some(program);
                Vec::new()
            }
            Input::GuardianEnded(pid) => {
                self.lost_guardian(pid);
                Vec::new()
            }
        };
        self.carry_out(effects);
    }

    /// The guardian was killed: this process takes its place, and another supervisor this one's.
    fn lost_guardian(&mut self, pid: i32) {
        crate::sys::guardian::forget_guardian();
        self.note_supervision(Did::LostGuardian, Some(format!("process {pid} ended")));
        if let Some((soft, hard)) = self.open_files_limit {
            crate::sys::process::set_open_files_limit((soft, hard));
        }
        let error = crate::guardian::take_its_place(&self.project, &own_program());
        // Nobody brings this one back now, as `status` tells.
        eprintln!("the guardian was killed, and cannot be replaced: {error}");
        let restored = crate::sys::process::raise_open_files_limit();
        let heard = crate::sys::guardian::let_all_signals_in();
        for error in restored.err().into_iter().chain(heard.err()) {
            eprintln!("{error}");
        }
    }

    fn take_run_event(&mut self, service: ServiceName, run: RunId, what: RunEvent) -> Vec<Effect> {
        if let RunEvent::SpawnFailed(failure) = &what
            && self.owes_after_stop(run)
        {
            self.give_up_start(service, run, failure.clone());
            return Vec::new();
        }
        let may_be_ready = matches!(what, RunEvent::Spawned | RunEvent::Ready);
        match &what {
            RunEvent::Spawned => self.spawned(run),
            RunEvent::Gone | RunEvent::SpawnFailed(_) => self.forget(run),
            RunEvent::Exited(_) => self.exited(run),
            RunEvent::Ready => self.became_ready(run),
            RunEvent::Exported(values) => self.exported(run, values),
            RunEvent::NotReady(_)
            | RunEvent::Extended(_)
            | RunEvent::Healthy
            | RunEvent::Unwell(_)
            | RunEvent::Survived(_)
            | RunEvent::Left(_)
            | RunEvent::Examined(_) => {}
        }
        let effects = self.tell(service, run, what);
        if may_be_ready {
            self.begin_after_ready(run);
        }
        effects
    }
}
