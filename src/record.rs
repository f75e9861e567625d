//! What is on disk about what was started: the ledger's lines, and what they add up to.
//!
//! The ledger is a file of JSON lines that is only ever appended to; once it is much longer than
//! what it adds up to, it is written afresh beside and put in place by a rename. A new supervisor
//! folds it and goes on from there: it tells what should run ([`Line::Manifest`]), what lives
//! ([`Line::Started`], [`Line::Gone`]) and how far each service has come ([`Line::Service`]).
//!
//! A line is written *before* the deed that it tells of: before a process may execute anything,
//! before a run is signalled. So no process runs that the ledger does not know. Only
//! [`Line::Passed`] is written after the fact, and by the very process that it is about.
//!
//! **Damage.** Each line says something by itself, so one that cannot be read costs what it said and
//! no more: what is readable counts, on either side of it. A start that was lost so is found by the
//! marks of its processes; an end that was lost is found out by looking.
//!
//! A crash of the whole machine needs no `fsync`: the boot id then differs, and nothing that the
//! ledger tells of can be alive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{ProjectName, RunId, ServiceName};
use crate::machine::{Life, Saved};
use crate::manifest::model::{Exit, Manifest, Service, TmuxServer};

/// The version that this program writes. It reads version 1 too, in which there was no
/// [`Line::Service`] and no [`Line::Passed`].
pub const VERSION: u32 = 2;

/// A process, beyond the reuse of its number: the kernel's start time (in clock ticks since boot,
/// field 22 of `/proc/PID/stat`) and the boot's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedProcess {
    /// Process id; also its process group and session, for it leads both.
    pub pid: i32,
    /// Clock ticks between boot and its start.
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// First in the file.
    Ledger {
        /// [`VERSION`].
        version: u32,
        /// The project.
        project: ProjectName,
        /// The lowest run number that was never used.
        next_run: RunId,
        /// The boot in which it is written. Moments are counted from it.
        #[serde(default)]
        boot_id: Option<String>,
        /// The manifest that the project was brought up from last, also when nothing of it is up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest_file: Option<PathBuf>,
    },
    /// From here on this is what should run.
    Manifest(Box<Manifest>),
    /// How far a service has come; [`Ledger::service_line`] makes it.
    Service {
        /// Which.
        name: ServiceName,
        /// How it is declared; absent when that is as the last line about it said or, if there was
        /// none, as the manifest says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        declaration: Option<Box<Service>>,
        /// What is wanted and what is true of it.
        life: Box<Life>,
    },
    /// The project no longer holds this service.
    Dropped(ServiceName),
    /// A run is about to execute its command.
    Started(Box<StartedRun>),
    /// The first process of this run is past its gate and executes the command. Written by that
    /// process itself, so that it is there if and only if it is true.
    Passed(RunId),
    /// Nothing is left of this run.
    Gone(RunId),
    /// The supervisor makes way for another in order: nothing is lost.
    HandedOver,
    /// The project's own tmux server was started.
    TmuxServer(RecordedProcess),
}

/// A run whose leader exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedRun {
    /// The service.
    pub service: ServiceName,
    /// The run.
    pub run: RunId,
    /// The leader.
    pub leader: RecordedProcess,
    /// Whether its processes carry the run's mark: where no mark can be set, they do not.
    pub is_marked: bool,
    /// The number of the signal that asks it to stop.
    pub stop_signal: i32,
    /// How long it has before KILL, in milliseconds.
    pub stop_timeout_ms: u64,
    /// The tmux sessions that are its own.
    pub sessions: Option<Sessions>,
    /// The server that these are on.
    pub server: Option<TmuxServer>,
    /// The pane that it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pane: Option<Pane>,
    /// When the start began, by the clock that files are stamped with, since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Duration>,
    /// The inodes of the sockets that listened on the port of its `ready` probe before it began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listened_before: Vec<u64>,
    /// The abstract name of the socket on which it tells of itself; absent in older ledgers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_socket: Option<String>,
}

/// Where in tmux a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pane {
    /// The session's id, as in `$3`.
    pub session_id: String,
    /// The pane's id, as in `%5`.
    pub pane_id: String,
}

/// Which tmux sessions belong to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// These names, exactly.
    pub names: Vec<String>,
    /// That of them under which the service's own session is made. On a server that others use too, a
    /// session of this name counts only when this project made it. Absent in older ledgers, and for
    /// what has no session of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<String>,
    /// All names that begin with one of these.
    pub prefixes: Vec<String>,
}

impl Sessions {
    /// Whether a session of this name belongs.
    pub fn contains(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
            || self
                .prefixes
                .iter()
                .any(|prefix| name.starts_with(prefix.as_str()))
    }
}

/// What the lines of a ledger add up to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    /// The lowest run number that was never used.
    pub next_run: RunId,
    /// The boot in which it was written; unknown in version 1.
    pub boot_id: Option<String>,
    /// What should run, if anything ever was ordered.
    pub manifest: Option<Box<Manifest>>,
    /// The manifest file of the last order that brought one. It outlives `down` and the boot, so that
    /// the project can be brought up again by its name.
    pub manifest_file: Option<PathBuf>,
    /// How far the services have come.
    pub services: BTreeMap<ServiceName, Saved>,
    /// Runs of which something may be left, in the order of their start.
    pub open: BTreeMap<RunId, StartedRun>,
    /// Those of them that are known to be past their gate.
    pub passed: BTreeSet<RunId>,
    /// Whether the supervisor that wrote it made way in order.
    pub is_handed_over: bool,
    /// The project's own tmux server, if it was started.
    pub tmux_server: Option<RecordedProcess>,
}

/// A line that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Counted from 1.
    pub line: usize,
    /// What the parser said.
    pub message: String,
}

/// Why a ledger cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Written by a later version of the program.
    #[error("it has version {found}; this program reads versions up to {VERSION}")]
    Newer {
        /// Its version.
        found: u32,
    },
}

#[derive(Deserialize)]
struct Header {
    ledger: HeaderVersion,
}

#[derive(Deserialize)]
struct HeaderVersion {
    version: u32,
}

impl Ledger {
    /// Folds the text of a ledger, and tells which lines could not be read. An empty text is an
    /// empty ledger.
    ///
    /// # Errors
    /// A version that is newer than ours.
    pub fn read(text: &str) -> Result<(Self, Vec<Damage>), LedgerError> {
        let mut ledger = Self::default();
        let mut damages = Vec::new();
        let mut version = VERSION;
        for (index, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.is_empty())
        {
            if index == 0
                && let Ok(header) = serde_json::from_str::<Header>(line)
            {
                version = header.ledger.version;
                if version > VERSION {
                    return Err(LedgerError::Newer { found: version });
                }
            }
            match serde_json::from_str(line) {
                Ok(line) => ledger.take(line),
                Err(error) => damages.push(Damage {
                    line: index + 1,
                    message: error.to_string(),
                }),
            }
        }
        if version < 2 {
            ledger.passed = ledger.open.keys().copied().collect();
        }
        Ok((ledger, damages))
    }

    /// Takes one more line into account.
    pub fn take(&mut self, line: Line) {
        match line {
            Line::Ledger {
                next_run,
                boot_id,
                manifest_file,
                ..
            } => {
                self.next_run = self.next_run.max(next_run);
                self.boot_id = boot_id;
                self.manifest_file = manifest_file;
            }
            Line::Manifest(manifest) => {
                self.manifest_file = Some(manifest.file.clone());
                self.manifest = Some(manifest);
            }
            Line::Service {
                name,
                declaration,
                life,
            } => {
                if let Some(run) = life.run() {
                    self.next_run = self.next_run.max(RunId(run.0 + 1));
                }
                let declaration = match declaration {
                    Some(declaration) => Some(Arc::new(*declaration)),
                    None => self.declaration(&name),
                };
                // Without a declaration the line that had it is damaged; what lives of the service
                // is told of by other lines.
                if let Some(declaration) = declaration {
                    let life = *life;
                    self.services.insert(name, Saved { declaration, life });
                }
            }
            Line::Dropped(name) => {
                self.services.remove(&name);
            }
            Line::Started(started) => {
                self.next_run = self.next_run.max(RunId(started.run.0 + 1));
                self.open.insert(started.run, *started);
            }
            Line::Passed(run) => {
                if self.open.contains_key(&run) {
                    self.passed.insert(run);
                }
            }
            Line::Gone(run) => {
                self.open.remove(&run);
                self.passed.remove(&run);
            }
            Line::HandedOver => self.is_handed_over = true,
            Line::TmuxServer(process) => self.tmux_server = Some(process),
        }
    }

    /// How a service is declared, as far as the lines until here tell.
    pub fn declaration(&self, name: &ServiceName) -> Option<Arc<Service>> {
        let saved = self.services.get(name).map(|saved| &saved.declaration);
        let declared = || self.manifest.as_ref()?.services.get(name);
        saved
            .map(Arc::clone)
            .or_else(|| declared().map(|service| Arc::new(service.clone())))
    }

    /// The line after which the ledger knows this of a service; `None` when it does already.
    pub fn service_line(&self, name: &ServiceName, saved: Option<&Saved>) -> Option<Line> {
        let known = self.services.get(name);
        let Some(saved) = saved else {
            return known.map(|_| Line::Dropped(name.clone()));
        };
        if known == Some(saved) {
            return None;
        }
        let is_known = match known {
            Some(known) => known.declaration == saved.declaration,
            None => self.is_declared_so(name, &saved.declaration),
        };
        Some(Line::Service {
            name: name.clone(),
            declaration: (!is_known).then(|| Box::new((*saved.declaration).clone())),
            life: Box::new(saved.life.clone()),
        })
    }

    fn is_declared_so(&self, name: &ServiceName, declaration: &Service) -> bool {
        let manifest = self.manifest.as_ref();
        manifest.is_some_and(|manifest| manifest.services.get(name) == Some(declaration))
    }

    /// The shortest text that adds up to the same.
    pub fn write(&self, project: &ProjectName) -> String {
        let mut lines = vec![Line::Ledger {
            version: VERSION,
            project: project.clone(),
            next_run: self.next_run,
            boot_id: self.boot_id.clone(),
            manifest_file: self.manifest_file.clone(),
        }];
        lines.extend(self.manifest.clone().map(Line::Manifest));
        lines.extend(self.tmux_server.clone().map(Line::TmuxServer));
        let without = Self {
            services: BTreeMap::new(),
            ..self.clone()
        };
        let services = self.services.iter();
        lines.extend(services.filter_map(|(name, saved)| without.service_line(name, Some(saved))));
        let started = self.open.values().cloned().map(Box::new);
        lines.extend(started.map(Line::Started));
        lines.extend(self.passed.iter().copied().map(Line::Passed));
        lines.iter().map(Line::text).collect()
    }

    /// Whether anything of the project runs, or is wanted to: then it belongs to its manifest, and an
    /// order that comes from another one is refused. Ask it of what counts in this boot.
    pub fn is_anything_up(&self) -> bool {
        !self.open.is_empty() || self.services.values().any(|saved| !saved.life.is_down())
    }

    /// What of it counts in the boot `boot_id`. After another, nothing is alive that it tells of,
    /// and its moments mean nothing: only which run numbers were used is of use, and
    /// which manifest it ran from.
    pub fn in_boot(self, boot_id: &str) -> Self {
        let is_same = match &self.boot_id {
            Some(own) => own == boot_id,
            // Version 1 told with each process.
            None => self.open.values().all(|run| run.leader.boot_id == boot_id),
        };
        let known = if is_same {
            self
        } else {
            Self {
                next_run: self.next_run,
                manifest_file: self.manifest_file,
                ..Self::default()
            }
        };
        Self {
            boot_id: Some(boot_id.to_owned()),
            ..known
        }
    }
}

impl Line {
    /// The line as it stands in the file, line feed included.
    pub fn text(&self) -> String {
        // The types hold nothing that JSON cannot say: no maps with other keys than text.
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// How large the guardian's notes about orphans may become, in bytes: some thousand lines.
pub const ORPHANS_KEPT: u64 = 256 << 10;

/// How a process ended that a dead supervisor's services had orphaned: one line of the guardian's
/// notes, for the supervisor that took the service over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanExit {
    /// Its process id.
    pub pid: i32,
    /// Clock ticks between boot and its start.
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// How it ended.
    pub status: Exit,
}

impl OrphanExit {
    /// The line as it stands in the file, line feed included.
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// What the notes tell of `process`, if anything. A line that cannot be read tells nothing.
    pub fn find(notes: &str, process: &RecordedProcess) -> Option<Exit> {
        notes
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .find(|one: &Self| {
                one.pid == process.pid
                    && one.start_time == process.start_time
                    && one.boot_id == process.boot_id
            })
            .map(|one| one.status)
    }
}

/// The last whole lines of a text, no more than `limit` bytes of them.
pub fn newest_lines(text: &[u8], limit: u64) -> &[u8] {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let Some(start) = text.len().checked_sub(limit).filter(|start| *start > 0) else {
        return text;
    };
    // Where the line before ends; what begins there is whole.
    match text[start - 1..].iter().position(|byte| *byte == b'\n') {
        Some(end) => &text[start + end..],
        None => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guardian_s_notes_tell_of_one_process_and_no_other() {
        let process = |pid, start_time| RecordedProcess {
            pid,
            start_time,
            boot_id: "b".into(),
        };
        let note = |pid, start_time, code| {
            OrphanExit {
                pid,
                start_time,
                boot_id: "b".into(),
                status: Exit::Code(code),
            }
            .text()
        };
        let notes = format!("{}garbage\n{}", note(7, 1, 3), note(7, 2, 4));
        let find = |pid, start_time| OrphanExit::find(&notes, &process(pid, start_time));
        assert_eq!(find(7, 1), Some(Exit::Code(3)));
        assert_eq!(find(7, 2), Some(Exit::Code(4)));
        assert_eq!(find(7, 3), None);
        assert_eq!(find(8, 1), None);
    }

    #[test]
    fn only_whole_lines_are_kept() {
        let text = b"one\ntwo\nthree\n";
        let kept = |limit| std::str::from_utf8(newest_lines(text, limit)).unwrap();
        assert_eq!(kept(100), "one\ntwo\nthree\n");
        assert_eq!(kept(10), "two\nthree\n");
        assert_eq!(kept(9), "three\n");
        assert_eq!(kept(6), "three\n");
        assert_eq!(kept(5), "");
    }

    fn started(run: u64) -> StartedRun {
        StartedRun {
            service: ServiceName::new("web").unwrap(),
            run: RunId(run),
            leader: RecordedProcess {
                pid: 4711,
                start_time: 99,
                boot_id: "b".into(),
            },
            is_marked: true,
            stop_signal: 15,
            stop_timeout_ms: 10_000,
            sessions: None,
            server: None,
            pane: None,
            began: Some(Duration::new(1_700_000_000, 5)),
            listened_before: vec![4711],
            notify_socket: Some("baudbot/notify/0f".into()),
        }
    }

    fn project() -> ProjectName {
        ProjectName::new("p").unwrap()
    }

    #[test]
    fn what_is_gone_is_not_open_and_its_number_is_not_used_again() {
        let mut ledger = Ledger::default();
        ledger.take(Line::Started(Box::new(started(7))));
        ledger.take(Line::Started(Box::new(started(8))));
        ledger.take(Line::Gone(RunId(8)));
        let (again, damages) = Ledger::read(&ledger.write(&project())).unwrap();
        assert_eq!(damages, []);
        assert_eq!(again, ledger);
        assert_eq!(again.open.keys().copied().collect::<Vec<_>>(), [RunId(7)]);
        assert_eq!(again.next_run, RunId(9));
    }

    #[test]
    fn a_half_written_last_line_is_no_line() {
        let mut ledger = Ledger::default();
        ledger.take(Line::Started(Box::new(started(1))));
        let text = ledger.write(&project());
        let torn = format!(
            "{text}{}",
            &Line::Started(Box::new(started(2))).text()[..40]
        );
        let (found, damages) = Ledger::read(&torn).unwrap();
        assert_eq!(found, ledger);
        assert_eq!(damages.iter().map(|d| d.line).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn what_stands_around_a_damaged_line_counts() {
        let mut ledger = Ledger::default();
        ledger.take(Line::Started(Box::new(started(1))));
        let text = format!(
            "{}garbage\n\n{}",
            ledger.write(&project()),
            Line::Started(Box::new(started(2))).text()
        );
        let (found, damages) = Ledger::read(&text).unwrap();
        assert_eq!(found.open.len(), 2);
        assert_eq!(damages.iter().map(|d| d.line).collect::<Vec<_>>(), [3]);
    }

    /// Wherever the text breaks off, what can be read is what stood before that place.
    #[test]
    fn a_text_that_breaks_off_anywhere_is_read_up_to_there() {
        let mut ledger = Ledger::default();
        for run in 1..4 {
            ledger.take(Line::Started(Box::new(started(run))));
        }
        let text = ledger.write(&project());
        for end in 0..text.len() {
            let (found, damages) = Ledger::read(&text[..end]).unwrap();
            // A line that lacks nothing but its end is whole.
            let whole = text[..=end].matches('\n').count().saturating_sub(1);
            assert_eq!(found.open.len(), whole, "cut at {end}");
            let is_cut = !text[..end].is_empty() && !text[..=end].ends_with('\n');
            let is_cut = is_cut && !text[..end].ends_with('\n');
            assert_eq!(damages.len(), usize::from(is_cut), "cut at {end}");
        }
    }

    #[test]
    fn a_newer_version_is_refused_even_when_its_lines_cannot_be_read() {
        let newer = VERSION + 1;
        let text = format!("{{\"ledger\":{{\"version\":{newer},\"something\":\"new\"}}}}\n");
        assert_eq!(
            Ledger::read(&text),
            Err(LedgerError::Newer { found: newer })
        );
    }

    /// Written by the first released form of the program; what its runs are is still understood.
    #[test]
    fn yesterdays_file_is_read() {
        let (ledger, damages) = Ledger::read(include_str!("record/version-1.jsonl")).unwrap();
        assert_eq!(damages, []);
        let open: Vec<&str> = ledger
            .open
            .values()
            .map(|run| run.service.as_str())
            .collect();
        assert_eq!(open, ["web", "chat"]);
        assert_eq!(
            ledger.passed.len(),
            2,
            "its runs were known to execute something"
        );
        assert!(ledger.tmux_server.is_some());
        let boot = ledger.open[&RunId(0)].leader.boot_id.clone();
        assert_eq!(ledger.clone().in_boot(&boot).open.len(), 2);
        let elsewhere = ledger.in_boot("another");
        assert!(elsewhere.open.is_empty() && elsewhere.manifest.is_none());
        assert_eq!(elsewhere.next_run, RunId(2), "numbers are not used again");
    }

    #[test]
    fn a_service_is_written_when_something_is_new_and_its_declaration_when_that_is() {
        let mut ledger = Ledger::default();
        let (manifest, _) = Ledger::read(include_str!("record/version-1.jsonl")).unwrap();
        let manifest = manifest.manifest.unwrap();
        ledger.take(Line::Manifest(manifest.clone()));
        let web = ServiceName::new("web").unwrap();
        let declared = Arc::new(manifest.services[&web].clone());
        let saved = Saved::of_live_run(Arc::clone(&declared), RunId(4), Default::default());
        let line = ledger.service_line(&web, Some(&saved)).unwrap();
        assert!(
            matches!(
                &line,
                Line::Service {
                    declaration: None,
                    ..
                }
            ),
            "{line:?}"
        );
        ledger.take(line);
        assert_eq!(ledger.services[&web], saved);
        assert_eq!(ledger.next_run, RunId(5));
        assert_eq!(ledger.service_line(&web, Some(&saved)), None);

        let mut edited = Service::clone(&declared);
        edited.description = Some("other".into());
        let edited = Saved {
            declaration: Arc::new(edited),
            ..saved
        };
        let line = ledger.service_line(&web, Some(&edited)).unwrap();
        assert!(matches!(
            &line,
            Line::Service {
                declaration: Some(_),
                ..
            }
        ));
        ledger.take(line);
        let (again, damages) = Ledger::read(&ledger.write(&project())).unwrap();
        assert_eq!(damages, []);
        assert_eq!(again, ledger);

        let line = ledger.service_line(&web, None).unwrap();
        ledger.take(line);
        assert!(ledger.services.is_empty());
        assert_eq!(ledger.service_line(&web, None), None);
    }

    #[test]
    fn a_prefix_matches_what_begins_with_it_and_a_name_only_itself() {
        let own = Sessions {
            names: vec!["baudbot".into()],
            own: None,
            prefixes: vec!["dev-agent-".into()],
        };
        assert!(own.contains("baudbot"));
        assert!(!own.contains("baudbot-x"));
        assert!(own.contains("dev-agent-1"));
        assert!(!own.contains("dev-agent"));
    }
}
