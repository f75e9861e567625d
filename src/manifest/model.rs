//! What a manifest means: every value checked, every default applied, every `${…}` replaced.
//!
//! A [`Manifest`] is the *resolved form*: the command that gives an order makes it, with that
//! command's environment, sends it to the supervisor and the supervisor keeps it, so that a restart
//! sees the same as the first start did. Only env files are read anew at each start.
//! There is no `Option` here that merely means "not yet defaulted".

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::any_of::AnyOf;
use super::reference::Reference;
use crate::id::{GroupName, ProjectName, ServiceName};
use crate::port::Port;

/// One manifest's world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The project's name.
    pub project: ProjectName,
    /// The manifest file that was named or found; absolute.
    pub file: PathBuf,
    /// Which tmux server the project uses.
    pub tmux: TmuxServer,
    /// The groups, in the order of the manifest.
    pub groups: IndexMap<GroupName, Group>,
    /// The services, in the order of the manifest, and the instances that there are.
    pub services: IndexMap<ServiceName, Service>,
    /// What instances can be made of.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub templates: IndexMap<ServiceName, Template>,
}

/// What a template says beside what each instance becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// What may or must be given when an instance is started.
    pub params: IndexMap<String, Param>,
    /// How many instances there may be at a time; `None`: any number.
    pub max_instances: Option<u32>,
}

/// Something that an instance is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// Whether it must be given.
    pub required: bool,
    /// What it is otherwise; `None`: nothing.
    pub default: Option<String>,
    /// The regular expression that the whole value matches.
    pub pattern: Option<String>,
}

/// Which instance of which template a service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The template.
    pub template: ServiceName,
    /// Its own name, `${instance}`.
    pub name: String,
    /// What it was given: `${param.NAME}`.
    pub params: BTreeMap<String, String>,
}

impl Manifest {
    /// The names of the services that belong to `group`, in the order of the manifest.
    pub fn members(&self, group: &GroupName) -> impl Iterator<Item = &ServiceName> {
        self.services
            .values()
            .filter(move |service| service.groups.contains(group))
            .map(|service| &service.name)
    }
}

/// The tmux server that holds the project's sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TmuxServer {
    /// A server of the project's own, on a socket in its runtime directory, without configuration.
    Private,
    /// The user's ordinary server: shared property, of which only matching sessions are touched.
    Default,
    /// The same, in this directory: the `TMUX_TMPDIR` of the command that gave the order (`tmux(1)`).
    DefaultIn(PathBuf),
    /// The server on this socket: shared property too.
    Socket(PathBuf),
}

/// A named set of services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The group's name.
    pub name: GroupName,
    /// What people read about it.
    pub description: Option<String>,
    /// The cleanup strategy of members that have none of their own. In a group without members, a
    /// prefix here sweeps the sessions that a service started by itself.
    pub cleanup: Option<Cleanup>,
}

/// One declared service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The service's name.
    pub name: ServiceName,
    /// What people read about it.
    pub description: Option<String>,
    /// What sort of thing it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What is executed.
    pub command: Command,
    /// The directory that it starts in; absolute.
    pub working_dir: PathBuf,
    /// The file mode creation mask; `None` keeps the supervisor's, which is the user's.
    pub umask: Option<u32>,
    /// Who it runs as, by name or number; `None`: the user of the supervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Limits of resources, by their names (see [`LIMITS`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Limit>,
    /// Its whole environment, but for the contents of the env files.
    pub env: Environment,
    /// The groups that it belongs to.
    pub groups: Vec<GroupName>,
    /// What it needs before it can start; group references are already replaced by their members.
    pub depends_on: IndexMap<ServiceName, Dependency>,
    /// What must be so for it to run here.
    #[serde(default)]
    pub when: When,
    /// The ports that it owns.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// How it shows that it is ready; `None`: ready once started (a task: once completed).
    pub ready: Option<Ready>,
    /// How long it must have lived, where nothing else shows that it is ready, before it counts as
    /// settled; zero: settled once started.
    #[serde(default = "default_settle")]
    pub settle: Duration,
    /// Values that others learn once it is ready, by name.
    #[serde(default)]
    pub exports: IndexMap<String, Export>,
    /// What its texts ask of others, which is filled in when a run is started.
    #[serde(default)]
    pub references: Vec<Reference>,
    /// How it is found out whether it is still well; `None`: by its end alone.
    #[serde(default)]
    pub health: Option<Health>,
    /// When and how often it is started again.
    pub restart: Restart,
    /// How it is asked to stop.
    pub stop: Stop,
    /// What runs beside it.
    #[serde(default)]
    pub hooks: Hooks,
    /// The ways to end that count as well done, beside the signal that we sent ourselves.
    pub success_exit: Vec<Exit>,
    /// How the last of it is found and ended.
    pub cleanup: Cleanup,
    /// Names of tmux sessions that are ended before it starts and when it stops.
    #[serde(default)]
    pub legacy_sessions: Vec<String>,
    /// What happens to its run when the supervisor was killed.
    #[serde(default)]
    pub on_supervisor_loss: OnSupervisorLoss,
    /// The bounds of its log.
    pub log: Log,
    /// Variables that its environment must have at each start, or it is blocked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_required: Vec<AnyOf>,
    /// Which instance of a template it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
    /// What of the things that it names was missing when the manifest was resolved (a variable, an
    /// env file), in words without values. While something is, it cannot be started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// How long a service without a probe must live before it counts as settled, unless its manifest says
/// otherwise. A declaration that an earlier version wrote down has no word about it.
pub fn default_settle() -> Duration {
    Duration::from_millis(500)
}

impl Service {
    /// The name of its tmux session, when it is a `tmux` service.
    pub fn session(&self) -> Option<&str> {
        match &self.kind {
            Kind::Tmux { session } => Some(session),
            Kind::Process | Kind::Task => None,
        }
    }

    /// Whether it is not to run here, by its `when`.
    pub fn is_skipped(&self) -> bool {
        self.when.unmet.is_some()
    }

    /// Whether it is ready at a later time than it is started.
    pub fn becomes_ready(&self) -> bool {
        self.is_task() || self.ready.is_some() || !self.exports.is_empty()
    }

    /// How long it must live once it is ready before it counts as settled: a probe, values of exports
    /// and the end of a task show as much at once.
    pub fn settling_time(&self) -> Duration {
        if self.becomes_ready() {
            Duration::ZERO
        } else {
            self.settle
        }
    }

    /// How long it has to become ready, and to have values for what it exports.
    pub fn start_timeout(&self) -> Option<Duration> {
        match &self.ready {
            Some(ready) => ready.timeout,
            None => (!self.exports.is_empty()).then_some(Duration::from_secs(60)),
        }
    }

    /// Whether it runs to completion.
    pub fn is_task(&self) -> bool {
        matches!(self.kind, Kind::Task)
    }
}

/// What sort of thing a service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A long-running process.
    Process,
    /// A command in a tmux session of this name.
    Tmux {
        /// The session's full name, prefix included.
        session: String,
    },
    /// Runs to completion.
    Task,
}

impl Kind {
    /// The word that the manifest uses.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Tmux { .. } => "tmux",
            Self::Task => "task",
        }
    }
}

/// What is executed. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Executed as it is.
    Exec(Vec<String>),
    /// Given to `sh -c`.
    Shell(String),
}

impl Command {
    /// The argument vector that is executed.
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Exec(argv) => argv.clone(),
            Self::Shell(text) => vec!["/bin/sh".into(), "-c".into(), text.clone()],
        }
    }
}

/// An environment built from nothing. Later layers win: `base`, `inherited`, `files`, `set`; then
/// `unset` removes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Environment {
    /// The short fixed list (HOME, USER, PATH, …) as the ordering command had it. A difference here
    /// is not a change of the service: two terminals must not restart each other's services.
    pub base: BTreeMap<String, String>,
    /// What `env_inherit` names, as the ordering command had it.
    pub inherited: BTreeMap<String, String>,
    /// Files that are read at each start.
    pub files: Vec<EnvFile>,
    /// `env`.
    pub set: BTreeMap<String, String>,
    /// `env_unset`.
    pub unset: Vec<String>,
}

/// A file with environment variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvFile {
    /// Where it is; absolute.
    pub path: PathBuf,
    /// Whether its absence keeps the service from starting.
    pub required: bool,
}

/// One edge of the dependency graph, seen from the dependent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What must be true of the dependency.
    pub condition: Condition,
    /// Whether it has to come true. Otherwise the dependent waits for the outcome only, and goes on
    /// whatever that is. Before there was a choice, it always had to.
    #[serde(default = "yes")]
    pub required: bool,
    /// Whether the dependent gets a new run when the condition is true of a new run of the dependency.
    #[serde(default)]
    pub restart: bool,
}

fn yes() -> bool {
    true
}

impl Dependency {
    /// The usual sort: it has to come true, once.
    pub fn on(condition: Condition) -> Self {
        Self {
            condition,
            required: true,
            restart: false,
        }
    }
}

/// What must be true of a dependency before its dependent may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Its command has been executed.
    Started,
    /// It is ready; a task: it completed.
    Ready,
    /// The task completed.
    Completed,
}

impl Condition {
    /// The word that the manifest uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Completed => "completed",
        }
    }
}

/// What must be so for a service to run: all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct When {
    /// Variables that are set and not empty.
    pub env: Vec<AnyOf>,
    /// Variables that are not.
    pub no_env: Vec<String>,
    /// Something that exists at this path; absolute.
    pub file: Option<PathBuf>,
    /// A program that is found.
    pub executable: Option<String>,
    /// What of it was not so when the manifest was resolved, in words without values. The service
    /// is then skipped.
    pub unmet: Option<String>,
}

/// How a service shows that it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// What is asked.
    pub probe: Probe,
    /// From the end of one attempt to the start of the next.
    pub interval: Duration,
    /// From the start of the service until it has failed to become ready; `None`: wait for ever.
    pub timeout: Option<Duration>,
}

/// A value that is known only once the service is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Where it comes from.
    pub source: Source,
    /// What of it counts: the first group of this expression, or all that matches it.
    pub pattern: Option<String>,
    /// How long to wait between two looks at what cannot be watched: a command.
    pub interval: Duration,
}

/// Where an exported value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// What this symbolic link says; absolute.
    Readlink(PathBuf),
    /// What this file holds, without white space around it; absolute.
    File(PathBuf),
    /// What this command writes to its standard output, without white space around it.
    Command(Command),
}

/// How it is found out whether a service that is ready is still well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What is asked; never the log.
    pub probe: Probe,
    /// From the end of one attempt to the start of the next.
    pub interval: Duration,
    /// The longest that one attempt may take.
    pub timeout: Duration,
    /// How many attempts in a row must fail for it to be unhealthy; at least 1.
    pub failures: u32,
    /// What is done then.
    pub action: HealthAction,
}

/// What the next supervisor does with a run whose supervisor was killed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnSupervisorLoss {
    /// It goes on as it was.
    #[default]
    Adopt,
    /// It is ended, and started anew if it is to run.
    Stop,
}

/// What is done about a service that is unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthAction {
    /// Its run is ended, and that counts as a failure: the restart policy says what comes then.
    Restart,
    /// It is shown, and nothing else.
    Report,
}

/// One way to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A TCP connection to `host:port` is accepted.
    Tcp {
        /// The host, a name or an address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A request is answered with a status that is expected. Redirections are not followed.
    Http(HttpProbe),
    /// A unix socket at this path, newer than the start, accepts a connection; a symbolic link is
    /// followed.
    Unix {
        /// The socket's path; absolute.
        path: PathBuf,
    },
    /// This command, in the service's environment and directory, exits with 0.
    Exec {
        /// The command.
        command: Command,
    },
    /// A line of the run's output matches this regular expression.
    Log {
        /// The expression.
        pattern: String,
    },
    /// A file exists at this path that is newer than the start.
    File {
        /// The file's path; absolute.
        path: PathBuf,
        /// How long ago it may have been written at most; `None`: any time since the start.
        #[serde(default)]
        max_age: Option<Duration>,
    },
    /// The service says so itself: READY=1 by `sd_notify(3)`.
    Notify,
    /// The service gives a sign of life at least so often: WATCHDOG=1 by `sd_notify(3)`.
    Watchdog {
        /// The longest silence.
        within: Duration,
    },
}

/// One HTTP request, and what it is expected to be answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// An `http://` URL.
    pub url: String,
    /// The method.
    pub method: String,
    /// Headers beside those that every request has, or instead of them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<String>,
    /// The statuses that are expected; never empty.
    pub status: Vec<Statuses>,
}

/// HTTP statuses, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statuses {
    /// The first.
    pub from: u16,
    /// The last.
    pub to: u16,
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { from, to } if from == to => write!(f, "{from}"),
            Self { from, to } => write!(f, "{from}-{to}"),
        }
    }
}

impl Probe {
    /// What is asked, for people. A command is told by its program only and a URL without its query,
    /// since either may hold a secret.
    pub fn question(&self) -> String {
        let asked = match self {
            Self::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port } => format!("{host}:{port}"),
            Self::Http(request) => {
                let without_query = request.url.split('?').next();
                without_query.unwrap_or_default().to_owned()
            }
            Self::Unix { path } | Self::File { path, .. } => path.display().to_string(),
            Self::Exec { command } => match command {
                Command::Shell(_) => "(a shell command)".into(),
                Command::Exec(words) => words.first().cloned().unwrap_or_default(),
            },
            Self::Log { pattern } => format!("`{pattern}`"),
            Self::Notify => "READY=1".into(),
            Self::Watchdog { within } => {
                format!("WATCHDOG=1 every {}", humantime::format_duration(*within))
            }
        };
        format!("{} {asked}", self.word())
    }

    /// The word that the manifest uses.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Tcp { .. } => "tcp",
            Self::Http(_) => "http",
            Self::Unix { .. } => "unix",
            Self::Exec { .. } => "exec",
            Self::Log { .. } => "log",
            Self::File { .. } => "file",
            Self::Notify => "notify",
            Self::Watchdog { .. } => "watchdog",
        }
    }
}

/// When a run that ended by itself is followed by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Whatever the exit was.
    Always,
    /// Only when the exit was not a success.
    OnFailure,
    /// Not at all.
    Never,
}

/// When and how often a service is started again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Restart {
    /// When.
    pub policy: Policy,
    /// Before the first restart.
    pub delay: Duration,
    /// What each further delay is multiplied by; at least 1.
    pub factor: f64,
    /// The longest delay.
    pub max_delay: Duration,
    /// The share of the delay by which it may vary at random, 0 to 1.
    pub jitter: f64,
    /// How long a run must be ready for its earlier failures to be forgotten.
    pub stable_after: Duration,
    /// Failures in a row after which the service is given up; `None`: never.
    pub max_failures: Option<u32>,
    /// Exits after which it is given up at once.
    pub no_retry_exit: Vec<Exit>,
}

/// How a service is asked to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// A command that asks it before the signal does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
    /// The signal's number.
    pub signal: Signal,
    /// How long it has before KILL.
    pub timeout: Duration,
}

/// Commands that run beside a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// Before each start.
    pub before_start: Option<Command>,
    /// Once a run is ready.
    pub after_ready: Option<Command>,
    /// Once nothing of a run is left.
    pub after_stop: Option<Command>,
    /// How long each may take.
    pub timeout: Duration,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            before_start: None,
            after_ready: None,
            after_stop: None,
            timeout: Duration::from_secs(30),
        }
    }
}

/// A limit of one resource. What is `None` stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What may be used; `u64::MAX`: any amount.
    pub soft: Option<u64>,
    /// How far the process itself may raise that.
    pub hard: Option<u64>,
}

/// The limits that can be set: name, number on Linux (`asm-generic/resource.h`: x86, ARM, RISC-V),
/// whether it counts bytes.
pub const LIMITS: &[(&str, u32, bool)] = &[
    ("cpu", 0, false),
    ("fsize", 1, true),
    ("data", 2, true),
    ("stack", 3, true),
    ("core", 4, true),
    ("rss", 5, true),
    ("nproc", 6, false),
    ("nofile", 7, false),
    ("memlock", 8, true),
    ("as", 9, true),
    ("sigpending", 11, false),
    ("msgqueue", 12, true),
    ("nice", 13, false),
    ("rtprio", 14, false),
    ("rttime", 15, false),
];

/// The limit that nobody else may set: it carries the mark.
pub const RESERVED_LIMIT: &str = "locks";

/// A signal, by its number on this kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signal(pub i32);

/// The names of signals without their `SIG`, with their numbers on Linux (signal(7), the column of
/// x86 and ARM).
pub const SIGNALS: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

impl fmt::Display for Signal {
    /// As people know it: `SIGTERM`; `signal 34` where there is no name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIGNALS.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// One way for a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It called exit with this code, 0 to 255.
    Code(i32),
    /// This signal ended it.
    Signal(Signal),
}

/// How the last process of a service is found and ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "kebab-case")]
pub enum Cleanup {
    /// By its process group.
    Pgid,
    /// By the name of its tmux sessions on the project's server.
    TmuxPrefix {
        /// The prefix; never empty.
        prefix: String,
        /// Whether the prefix is the whole name. So it is where the manifest leaves the prefix to
        /// the session's own name: `web` must not take `web-admin` along.
        #[serde(default)]
        exact: bool,
    },
}

impl Cleanup {
    /// Whether a tmux session of this name, on the project's server, is one to sweep.
    pub fn owns_session(&self, name: &str) -> bool {
        match self {
            Self::Pgid => false,
            Self::TmuxPrefix {
                prefix,
                exact: true,
            } => name == prefix,
            Self::TmuxPrefix { prefix, .. } => name.starts_with(prefix.as_str()),
        }
    }

    /// The word that the manifest uses.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pgid => "pgid",
            Self::TmuxPrefix { .. } => "tmux-prefix",
        }
    }
}

/// The bounds of a service's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Bytes after which a new file is begun.
    pub max_size: u64,
    /// How many files there are at most, the one being written included.
    pub keep: u32,
}
