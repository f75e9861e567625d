//! The guardian: the tiny parent that brings a supervisor back.
//!
//! `baudbot guardian NAME STATE_DIR RUNTIME_DIR` is what a command starts when no supervisor
//! answers. It detaches, starts the supervisor as its child, and from then on does next to nothing:
//! one thread, no runtime, no memory to speak of, so that there is little in it that could fail.
//!
//! - A supervisor that crashes is started again: at once, then after 1, 2, 4 … 60 seconds, and at
//!   once again after it has lived for a minute. One that left in order, or that refused to begin
//!   when it was first started, is not.
//! - TERM, HUP and INT to the guardian are passed on as a wish for an orderly stop. While no
//!   supervisor runs, one is started for it: it takes over what is left, and stops that.
//! - What a dead supervisor's services and their children are orphaned to is the guardian, a child
//!   subreaper. It reaps them at once and writes down how they ended ([`crate::record::OrphanExit`]),
//!   before their number can be another's.
//! - The FIFOs that services print into are held open here too: what a service printed last is not
//!   lost when it ends while there is no supervisor.
//! - A supervisor that ends with [`HAND_OVER`] asks for a new program: the guardian becomes what lies
//!   at its own path now, or what the supervisor wrote into [`Project::hand_over_file`], and starts
//!   the supervisor from that.
//!
//! A guardian that is killed is replaced by its supervisor, which becomes one in its place
//! ([`take_its_place`]).
//!
//! In the foreground there is no guardian: the service manager does its work.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::control::handshake::Word;
use crate::event::{Did, Event, Supervision, What};
use crate::event_log;
use crate::id::ProjectName;
use crate::manifest::model;
use crate::record::{ORPHANS_KEPT, OrphanExit, newest_lines};
use crate::store::Project;
use crate::sys::fifo::HeldFifos;
use crate::sys::guardian::{self as system, Woken};
use crate::sys::identity::{Exit, Identity};
use crate::sys::{crash, detach, process};

/// The word that the program is called with.
pub const COMMAND: &str = "guardian";

/// The exit code of a supervisor that could not begin: there may be something that it should have
/// taken over.
pub const COULD_NOT_BEGIN: u8 = 71;

/// The exit code of a supervisor that wants to be followed by a new program.
pub const HAND_OVER: u8 = 72;

/// What a Rust program ends with when it panics.
const PANIC: i32 = 101;

/// After this long a supervisor counts as stable.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// The longest wait before a start.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// In place of a first start: an earlier image of this very process has begun.
const AGAIN: &str = "again";

/// What follows from the end of a supervisor.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It is not to come back; the guardian ends with the same code.
    Leave(u8),
    /// A new program takes over.
    HandOver,
    /// It crashed.
    Again,
}

/// What to do after the supervisor's end. `is_first`: it was the first one, and whoever started it
/// heard why it could not begin.
fn after(exit: Exit, is_first: bool) -> Next {
    match exit {
        Exit::Signal(_) | Exit::Code(PANIC) => Next::Again,
        Exit::Code(code) if code == i32::from(HAND_OVER) => Next::HandOver,
        Exit::Code(code) if code == i32::from(COULD_NOT_BEGIN) && !is_first => Next::Again,
        Exit::Code(code) => Next::Leave(u8::try_from(code).unwrap_or(1)),
    }
}

/// How long to wait after so many crashes in a row; the first is followed at once.
fn delay(crashes: u32) -> Duration {
    match crashes {
        0 | 1 => Duration::ZERO,
        more => LONGEST_DELAY.min(Duration::from_secs(1 << (more - 2).min(10))),
    }
}

/// Guards the project that the arguments name, until its supervisor leaves in order.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match Guardian::begin(&arguments.collect::<Vec<_>>()) {
        Ok(mut guardian) => guardian.guard(),
        Err(message) => {
            Word::Failed {
                message,
                help: None,
            }
            .say();
            ExitCode::FAILURE
        }
    }
}

/// Makes this very process, a supervisor whose guardian was killed, a guardian, which starts a
/// supervisor in its turn: what this one started stays its children, and what it knows is in the
/// ledger. The guardian is run by `program`. Returns only when that fails.
pub fn take_its_place(project: &Project, program: &Path) -> io::Error {
    // A wish to stop that comes from here on waits for the guardian.
    if let Err(error) = system::hold_signals() {
        return error;
    }
    let held = HeldFifos::of(&project.fifo_dir());
    become_program(project, program, &held)
}

/// Becomes a guardian of this project, run by `program`; it has begun already.
fn become_program(project: &Project, program: &Path, held: &HeldFifos) -> io::Error {
    for fifo in held.descriptors() {
        // One that is lost is opened again in a moment.
        let _ = system::keep_over_exec(fifo);
    }
    let arguments: [&OsStr; 5] = [
        COMMAND.as_ref(),
        project.name().as_str().as_ref(),
        project.state_dir().as_os_str(),
        project.runtime_dir().as_os_str(),
        AGAIN.as_ref(),
    ];
    system::become_program(program, arguments)
}

struct Guardian {
    project: Project,
    /// How we are called, for the program that is called in our place.
    arguments: Vec<OsString>,
    is_first: bool,
    supervisor: Option<i32>,
    started: Instant,
    crashes: u32,
    /// When the next one is started, while none runs.
    start_at: Instant,
    /// Whether the next one is to stop everything.
    is_stopping: bool,
    /// The FIFOs of services.
    held: HeldFifos,
    /// What the supervisor gets; ours is higher.
    open_files_limit: Option<(u64, u64)>,
}

impl Guardian {
    fn begin(arguments: &[OsString]) -> Result<Self, String> {
        let [name, state_dir, runtime_dir, rest @ ..] = arguments else {
            return Err("a guardian is told a project's name and its two directories".into());
        };
        let name = name.to_str().and_then(|name| ProjectName::new(name).ok());
        let name = name.ok_or("a guardian is told a project's name")?;
        let project = Project::at(name, PathBuf::from(state_dir), PathBuf::from(runtime_dir));
        let is_first = !rest.iter().any(|word| word == AGAIN);
        // What an earlier image of this process did already need not be done again.
        let is_detached = if is_first { detach::detach() } else { Ok(()) };
        is_detached
            .and_then(|()| process::set_subreaper())
            .and_then(|()| system::hold_signals())
            .map_err(|error| format!("the guardian cannot begin: {error}"))?;
        // What that image held is held on until it is held anew.
        let inherited = if is_first {
            Vec::new()
        } else {
            system::inherited_descriptors().unwrap_or_default()
        };
        let held = HeldFifos::of(&project.fifo_dir());
        drop(inherited);
        let now = Instant::now();
        Ok(Self {
            held,
            open_files_limit: process::raise_open_files_limit().ok(),
            project,
            arguments: arguments[..3].to_vec(),
            is_first,
            supervisor: None,
            started: now,
            crashes: 0,
            start_at: now,
            is_stopping: false,
        })
    }

    fn guard(&mut self) -> ExitCode {
        loop {
            if let Some(next) = self.reap() {
                match next {
                    Next::Leave(code) => return ExitCode::from(code),
                    Next::HandOver => self.hand_over(),
                    Next::Again => self.crashed(),
                }
            }
            let mut limit = None;
            if self.supervisor.is_none() {
                let left = self.start_at.saturating_duration_since(Instant::now());
                if left.is_zero() || self.is_stopping {
                    if let Err(code) = self.start() {
                        return code;
                    }
                    continue;
                }
                limit = Some(left);
            }
            match system::next_signal(limit) {
                Ok(Woken::StopAsked) => self.stop(),
                Ok(Woken::StartAsked) => self.start_at = Instant::now(),
                Ok(Woken::FifosMade) => self.held.renew(),
                Ok(Woken::ChildEnded | Woken::TimeOver) => {}
                Err(error) => {
                    self.say(&format!("cannot wait for signals: {error}"));
                    return ExitCode::FAILURE;
                }
            }
        }
    }

    fn start(&mut self) -> Result<(), ExitCode> {
        let me = std::process::id().to_string();
        let mut arguments: Vec<OsString> = vec!["supervise".into()];
        let options = ["--name", "--state-dir", "--runtime-dir"];
        for (option, value) in options.into_iter().zip(&self.arguments) {
            arguments.extend([option.into(), value.clone()]);
        }
        arguments.extend(["--guardian".into(), me.into()]);
        let program = system::own_program();
        // A test has one supervisor killed, not each that follows it.
        let left_out = if self.is_first { &[] } else { crash::VARIABLES };
        let spawned = system::spawn(
            &program,
            arguments,
            self.is_first,
            left_out,
            self.open_files_limit,
        );
        self.started = Instant::now();
        match spawned {
            Ok(pid) => self.supervisor = Some(pid),
            Err(error) => {
                let message = format!("the guardian cannot start the supervisor: {error}");
                if self.is_first {
                    let help = None;
                    Word::Failed { message, help }.say();
                    return Err(ExitCode::FAILURE);
                }
                self.say(&message);
                self.crashed();
                // No waiting shorter than that, however urgent: it would be a busy loop.
                self.is_stopping = false;
                return Ok(());
            }
        }
        if self.is_first
            && let Err(error) = detach::close_stdout()
        {
            self.say(&format!("cannot let go of standard output: {error}"));
        }
        if std::mem::take(&mut self.is_stopping) {
            self.stop();
        }
        Ok(())
    }

    /// Passes the wish for an orderly stop on; without a supervisor, to the next one.
    fn stop(&mut self) {
        let Some(supervisor) = self.supervisor else {
            self.is_stopping = true;
            return;
        };
        if let Err(error) = system::ask_to_stop(supervisor) {
            self.say(&format!("cannot ask the supervisor to stop: {error}"));
        }
    }

    /// Reaps what has ended and writes it down; says what follows if the supervisor is among it.
    fn reap(&mut self) -> Option<Next> {
        let mut next = None;
        while let Ok(Some((pid, exit))) = system::ended_child() {
            if self.supervisor == Some(pid) {
                self.supervisor = None;
                next = Some(after(exit, self.is_first));
                self.is_first = false;
                if next == Some(Next::Again) {
                    self.tell_of(pid, exit);
                }
            } else if let Ok(Some(identity)) = Identity::of(pid) {
                self.record(&identity, exit);
            }
            if process::reap(pid).is_err() {
                break;
            }
        }
        next
    }

    fn crashed(&mut self) {
        if self.started.elapsed() >= STABLE_AFTER {
            self.crashes = 0;
        }
        self.crashes += 1;
        self.start_at = Instant::now() + delay(self.crashes);
    }

    /// Says that a supervisor did not end as it should, in its log and in the project's history.
    fn tell_of(&self, pid: i32, exit: Exit) {
        let detail = ended(exit);
        self.say(&format!("supervisor {pid} {detail}"));
        let did = match exit {
            Exit::Code(code) if code == i32::from(COULD_NOT_BEGIN) => Did::CouldNotBegin,
            Exit::Code(_) | Exit::Signal(_) => Did::Crashed,
        };
        let what = What::Supervisor(Supervision {
            did,
            pid,
            detail: Some(detail),
        });
        let event = Event::at(Timestamp::now(), what);
        // The line above stands for it then.
        let _ = event_log::add_one(&self.project.events_file(), &event);
    }

    /// Becomes the new program. Should that fail, the old one goes on.
    fn hand_over(&mut self) {
        let file = self.project.hand_over_file();
        let program = std::fs::read(&file).map_or_else(
            |_| system::newest_program(),
            |path| PathBuf::from(OsString::from_vec(path)),
        );
        // Missing, mostly.
        let _ = std::fs::remove_file(&file);
        if let Some(limit) = self.open_files_limit {
            process::set_open_files_limit(limit);
        }
        let error = become_program(&self.project, &program, &self.held);
        self.say(&format!("cannot become {}: {error}", program.display()));
        self.start_at = Instant::now();
    }

    /// Tells the supervisor, this one or the next, how an orphan ended.
    fn record(&self, identity: &Identity, exit: Exit) {
        let path = self.project.orphans_file();
        let line = OrphanExit {
            pid: identity.pid,
            start_time: identity.start_time,
            boot_id: identity.boot_id.clone(),
            status: match exit {
                Exit::Code(code) => model::Exit::Code(code),
                Exit::Signal(signal) => model::Exit::Signal(model::Signal(signal)),
            },
        }
        .text();
        let append = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            options.create(true).append(true).mode(0o600);
            let mut file = options.open(&path)?;
            file.write_all(line.as_bytes())?;
            if file.metadata()?.len() > ORPHANS_KEPT {
                let all = std::fs::read(&path)?;
                let fresh = path.with_extension("new");
                std::fs::write(&fresh, newest_lines(&all, ORPHANS_KEPT / 2))?;
                std::fs::rename(&fresh, &path)?;
            }
            Ok(())
        };
        // Without a directory the project is down, and nobody wants to know.
        if let Err(error) = append()
            && error.kind() != io::ErrorKind::NotFound
        {
            self.say(&format!("cannot write {}: {error}", path.display()));
        }
    }

    /// Into the supervisor's log, which is our standard error; a full disk is no reason to fail.
    fn say(&self, text: &str) {
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let _ = writeln!(io::stderr(), "{time} guardian: {text}");
    }
}

fn ended(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exited with {code}"),
        Exit::Signal(signal) => format!("was ended by signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_minute() {
        let delays: Vec<u64> = (1..=10).map(|crashes| delay(crashes).as_secs()).collect();
        assert_eq!(delays, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(delay(u32::MAX), LONGEST_DELAY);
    }

    #[test]
    fn only_a_crash_is_followed_by_another_start() {
        for is_first in [true, false] {
            assert_eq!(after(Exit::Code(0), is_first), Next::Leave(0));
            assert_eq!(after(Exit::Code(1), is_first), Next::Leave(1));
            assert_eq!(after(Exit::Code(72), is_first), Next::HandOver);
            assert_eq!(after(Exit::Signal(9), is_first), Next::Again);
            assert_eq!(after(Exit::Code(101), is_first), Next::Again);
        }
    }

    #[test]
    fn who_could_not_begin_is_tried_again_only_if_there_is_something_to_take_over() {
        let could_not_begin = Exit::Code(COULD_NOT_BEGIN.into());
        assert_eq!(after(could_not_begin, true), Next::Leave(71));
        assert_eq!(after(could_not_begin, false), Next::Again);
    }
}
