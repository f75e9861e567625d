//! What the screen knows, what happens to it, and what it wants done.

use crossterm::event::KeyEvent;
use indexmap::IndexMap;
use jiff::Timestamp;

use super::layout::Areas;
use super::log::{Log, LogLine};
use crate::control::protocol::{ServiceStatus, Status};
use crate::id::{ProjectName, ServiceName};
use crate::machine::Goal;

/// All that the screen knows.
#[derive(Debug, Clone)]
pub struct Model {
    pub(super) project: ProjectName,
    pub(super) link: Link,
    /// In the order of the manifest.
    pub(super) services: IndexMap<ServiceName, ServiceStatus>,
    pub(super) selected: Option<ServiceName>,
    /// The first row of the list that is shown, counted among those that pass the filter.
    pub(super) list_top: usize,
    /// Only services whose name, state or group has this are listed.
    pub(super) filter: String,
    pub(super) focus: Focus,
    pub(super) mode: Mode,
    pub(super) log: Log,
    /// Whether the log has the whole width.
    pub(super) is_zoomed: bool,
    pub(super) has_times: bool,
    /// The commands that are under way, as they would be typed.
    pub(super) running: Vec<String>,
    pub(super) message: Option<Outcome>,
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) now: Timestamp,
    pub(super) has_unicode: bool,
    pub(super) has_colour: bool,
}

/// Whether there is a supervisor to hear from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It is there.
    Connected {
        /// Its process id.
        pid: i32,
    },
    /// None runs, and none should.
    Down,
    /// It went away without a word; it is looked for.
    Lost,
}

/// What the keys that move act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Focus {
    Services,
    Log,
}

/// What the keys mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    Normal,
    /// A filter is typed; Esc brings back what it was before.
    Filtering {
        before: String,
    },
    /// A text to look for in the log is typed.
    Searching {
        before: String,
    },
    /// A page of text covers the screen.
    Page {
        title: String,
        lines: Vec<String>,
        top: usize,
    },
    /// Whether to take the whole project down.
    AskingDown,
}

/// What a command came to, in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The words.
    pub text: String,
    /// Whether it did not do what was asked.
    pub is_bad: bool,
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has this many columns and rows.
    Resized(u16, u16),
    /// It is this late.
    Now(Timestamp),
    /// All services as they are.
    Status(Status),
    /// One service changed; `None`: it is no longer held.
    Service(ServiceName, Option<Box<ServiceStatus>>),
    /// The supervisor came or went.
    Link(Link),
    /// Lines were printed by the service whose log is shown.
    Lines(ServiceName, Vec<LogLine>),
    /// The log of the service cannot be read.
    LogError(ServiceName, String),
    /// A command is over.
    Ended {
        /// The command as it would be typed.
        command: String,
        /// What it came to.
        outcome: Outcome,
        /// All that it printed, if that should be read.
        page: Option<Vec<String>>,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Run this command of baudbot beside the screen, and tell what it came to.
    Run {
        /// Its words after `baudbot`.
        words: Vec<String>,
        /// Whether what it prints is what was asked for.
        shows_page: bool,
    },
    /// Give the terminal to this command of baudbot.
    HandOver(Vec<String>),
    /// Read this service's log from now on, and no other.
    ShowLog(ServiceName),
    /// Stop this program as Ctrl-Z does.
    Suspend,
    /// Leave.
    Quit,
}

impl Model {
    /// A screen that knows nothing yet.
    pub fn new(project: ProjectName, now: Timestamp, has_unicode: bool, has_colour: bool) -> Self {
        Self {
            project,
            link: Link::Down,
            services: IndexMap::new(),
            selected: None,
            list_top: 0,
            filter: String::new(),
            focus: Focus::Services,
            mode: Mode::Normal,
            log: Log::default(),
            is_zoomed: false,
            has_times: false,
            running: Vec::new(),
            message: None,
            width: 80,
            height: 24,
            now,
            has_unicode,
            has_colour,
        }
    }

    /// The services that pass the filter.
    pub(super) fn listed(&self) -> Vec<(&ServiceName, &ServiceStatus)> {
        let wanted = self.filter.to_lowercase();
        self.services
            .iter()
            .filter(|(name, service)| {
                wanted.is_empty()
                    || name.as_str().to_lowercase().contains(&wanted)
                    || service.state.word().contains(&wanted)
                    || service
                        .groups
                        .iter()
                        .any(|group| format!("@{group}").to_lowercase().contains(&wanted))
            })
            .collect()
    }

    pub(super) fn selected(&self) -> Option<(&ServiceName, &ServiceStatus)> {
        self.services.get_key_value(self.selected.as_ref()?)
    }

    /// Whether nothing runs and nothing is wanted.
    pub(super) fn is_idle(&self) -> bool {
        self.services
            .values()
            .all(|service| service.goal == Goal::Down && service.state.is_down())
    }

    pub(super) fn areas(&self) -> Areas {
        let longest = self.services.keys().map(|name| name.as_str().len()).max();
        Areas::new(
            self.width,
            self.height,
            self.is_zoomed,
            longest.unwrap_or(0),
        )
    }

    /// The width that is left for a line of the log.
    pub(super) fn log_text_width(&self) -> usize {
        let times = if self.has_times { CLOCK_WIDTH + 1 } else { 0 };
        usize::from(self.areas().log.width)
            .saturating_sub(times)
            .max(1)
    }
}

/// `08:15:30`.
pub(super) const CLOCK_WIDTH: usize = 8;
