//! What is on disk about what was started: the ledger's lines, and what they add up to.
//!
//! The ledger is a file of JSON lines that is only ever appended to; a new supervisor folds it,
//! acts on it and writes it afresh. A line is written *before* the process that it tells of may
//! execute anything, so no process runs that the ledger does not know. A last line that a dying
//! supervisor left half-written is no line: the process that it would have told of was still
//! waiting at its gate, and exits when the gate's other end is gone.
//!
//! A crash of the whole machine needs no `fsync`: the boot id then differs, and nothing that the
//! ledger tells of can be alive.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{ProjectName, RunId, ServiceName};
use crate::manifest::model::{Exit, Manifest, TmuxServer};

/// The version that this program writes. It reads this one only: there is no older one.
pub const VERSION: u32 = 1;

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
    },
    /// From here on this is what should run.
    Manifest(Box<Manifest>),
    /// A run is about to execute its command.
    Started(StartedRun),
    /// What a run exports, from here on.
    Exports {
        /// The service.
        service: ServiceName,
        /// The run.
        run: RunId,
        /// The values by their names.
        values: BTreeMap<String, String>,
    },
    /// Nothing is left of this run.
    Gone(RunId),
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
}

/// Which tmux sessions belong to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// These names, exactly.
    pub names: Vec<String>,
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
    /// What should run, if anything ever was ordered.
    pub manifest: Option<Box<Manifest>>,
    /// Runs of which something may be left, in the order of their start.
    pub open: BTreeMap<RunId, StartedRun>,
    /// What these export.
    pub exports: BTreeMap<RunId, BTreeMap<String, String>>,
    /// The project's own tmux server, if it was started.
    pub tmux_server: Option<RecordedProcess>,
}

/// Why a ledger cannot be taken for what it seems to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Written by a later version of the program.
    #[error("it has version {found}; this program reads version {VERSION}")]
    Newer {
        /// Its version.
        found: u32,
    },
    /// A line that is no ledger line, with whole lines after it.
    #[error("line {line} is not a ledger line: {message}")]
    Corrupt {
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        message: String,
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
    /// Folds the text of a ledger. An empty text is an empty ledger.
    ///
    /// # Errors
    /// A version that is not ours, or a damaged line before the last.
    pub fn read(text: &str) -> Result<Self, LedgerError> {
        let mut ledger = Self::default();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        for (index, line) in whole.lines().enumerate() {
            if index == 0
                && let Ok(header) = serde_json::from_str::<Header>(line)
                && header.ledger.version != VERSION
            {
                return Err(LedgerError::Newer {
                    found: header.ledger.version,
                });
            }
            let line = serde_json::from_str(line).map_err(|error| LedgerError::Corrupt {
                line: index + 1,
                message: error.to_string(),
            })?;
            ledger.take(line);
        }
        Ok(ledger)
    }

    /// Takes one more line into account.
    pub fn take(&mut self, line: Line) {
        match line {
            Line::Ledger { next_run, .. } => self.next_run = self.next_run.max(next_run),
            Line::Manifest(manifest) => self.manifest = Some(manifest),
            Line::Started(started) => {
                self.next_run = self.next_run.max(RunId(started.run.0 + 1));
                self.open.insert(started.run, started);
            }
            Line::Exports { run, values, .. } => {
                if self.open.contains_key(&run) {
                    self.exports.insert(run, values);
                }
            }
            Line::Gone(run) => {
                self.exports.remove(&run);
                self.open.remove(&run);
            }
            Line::TmuxServer(process) => self.tmux_server = Some(process),
        }
    }

    /// The shortest text that adds up to the same.
    pub fn write(&self, project: &ProjectName) -> String {
        let mut lines = vec![Line::Ledger {
            version: VERSION,
            project: project.clone(),
            next_run: self.next_run,
        }];
        lines.extend(self.manifest.clone().map(Line::Manifest));
        lines.extend(self.tmux_server.clone().map(Line::TmuxServer));
        lines.extend(self.open.values().cloned().map(Line::Started));
        lines.extend(self.exports.iter().filter_map(|(run, values)| {
            Some(Line::Exports {
                service: self.open.get(run)?.service.clone(),
                run: *run,
                values: values.clone(),
            })
        }));
        lines.iter().map(Line::text).collect()
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
        }
    }

    fn project() -> ProjectName {
        ProjectName::new("p").unwrap()
    }

    #[test]
    fn what_is_gone_is_not_open_and_its_number_is_not_used_again() {
        let mut ledger = Ledger::default();
        ledger.take(Line::Started(started(7)));
        ledger.take(Line::Started(started(8)));
        ledger.take(Line::Gone(RunId(8)));
        let again = Ledger::read(&ledger.write(&project())).unwrap();
        assert_eq!(again, ledger);
        assert_eq!(again.open.keys().copied().collect::<Vec<_>>(), [RunId(7)]);
        assert_eq!(again.next_run, RunId(9));
    }

    #[test]
    fn a_half_written_last_line_is_no_line() {
        let mut ledger = Ledger::default();
        ledger.take(Line::Started(started(1)));
        let text = ledger.write(&project());
        let torn = format!("{text}{}", &Line::Started(started(2)).text()[..40]);
        assert_eq!(Ledger::read(&torn).unwrap(), ledger);
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_an_error_that_names_it() {
        let text = format!("{}garbage\n{}", Ledger::default().write(&project()), "{}\n");
        assert!(matches!(
            Ledger::read(&text),
            Err(LedgerError::Corrupt { line: 2, .. })
        ));
    }

    #[test]
    fn a_newer_version_is_refused_even_when_its_lines_cannot_be_read() {
        let text = "{\"ledger\":{\"version\":2,\"something\":\"new\"}}\n";
        assert_eq!(Ledger::read(text), Err(LedgerError::Newer { found: 2 }));
    }

    #[test]
    fn a_prefix_matches_what_begins_with_it_and_a_name_only_itself() {
        let own = Sessions {
            names: vec!["baudbot".into()],
            prefixes: vec!["dev-agent-".into()],
        };
        assert!(own.contains("baudbot"));
        assert!(!own.contains("baudbot-x"));
        assert!(own.contains("dev-agent-1"));
        assert!(!own.contains("dev-agent"));
    }
}
