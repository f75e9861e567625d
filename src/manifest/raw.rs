//! What may be written: the mirror of the YAML, from which the JSON Schema is made too.
//!
//! The texts on the fields are what people read in their editor. A type says only what shape a value
//! has; what a text means (a duration, a signal, a reference) is looked at when the raw form is
//! resolved, where all the rest is known.

use schemars::JsonSchema;
use serde::Deserialize;

use super::field::{Field, Spanned, Table, read_by_shape};
use super::scalars::{
    Argument, Duration, Exit, LimitValue, Listen, MaxFailures, Port, PortNumber, Signal, Size,
    Status, Timeout, Umask, Variable, Version,
};
use super::schema::{alternatives, inherit, paths, variables};
use super::source::Span;

/// One manifest: everything that should run, and how.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["version"], "patternProperties" = {
    "^x-": {"description": "Free for anything, for example a home for YAML anchors."}
}))]
pub(crate) struct Manifest {
    /// Required. The version of the manifest language that this file is written in: 1.
    #[schemars(extend("examples" = [1]))]
    pub(crate) version: Field<Version>,
    /// The project's name. It names the directories, the control socket and the tmux server.
    /// Only in the manifest that is named on the command line, not in an included file.
    /// Default: the name of the directory that holds the manifest, or of that directory's parent
    /// when it is called `manifests`.
    #[schemars(regex(pattern = NAME), length(max = LONGEST_NAME), extend("examples" = ["shop"]))]
    pub(crate) project: Field<String>,
    /// Further manifest files whose services and groups belong to this project: a path or a list of
    /// paths, relative to this file. `*`, `?` and `[…]` in a path pick up whatever files match, in
    /// the order of their names: a package drops a file there and belongs to it. The settings of this manifest (`env`, `env_files`,
    /// `env_inherit`, `defaults`) hold for them too; settings in an included file hold for its own
    /// services and win over these.
    #[schemars(schema_with = "paths", extend("default" = [], "examples" = ["services.d/*.yaml", ["web.yaml", "workers.yaml"]]))]
    pub(crate) include: Field<OneOrMany>,
    /// Environment variables of all services. A service's `env` wins over `defaults.env`, which wins
    /// over this. A value may use `${NAME}`.
    #[schemars(extend(
        "default" = {}, "examples" = [{"RUST_LOG": "info"}], "propertyNames" = {"pattern": VARIABLE}
    ))]
    pub(crate) env: Field<Table<Variable>>,
    /// Files with environment variables for all services, read again at each start. They come before
    /// the files of `defaults` and of the service itself: later files win.
    #[schemars(extend("default" = [], "examples" = ["~/.config/.env", [".env", "secrets.env?"]]))]
    pub(crate) env_files: Field<EnvFiles>,
    /// What all services take over from the environment of the command that starts them, beside the
    /// short fixed list (HOME, USER, LOGNAME, SHELL, PATH, LANG, LC_*, TZ, TMPDIR, XDG_RUNTIME_DIR):
    /// `NAME`, `PREFIX_*` or `all`. A name must be set, unless a `?` follows it. `defaults.env_inherit`
    /// replaces this list, a service's own replaces both.
    #[schemars(schema_with = "inherit", extend("default" = [], "examples" = [["SSH_AUTH_SOCK?", "AWS_*"], ["all"]]))]
    pub(crate) env_inherit: Field<OneOrMany>,
    /// The tmux server that holds the sessions of this project. Only in the manifest that is named
    /// on the command line.
    #[schemars(extend("default" = {"server": "private"}, "examples" = [{"server": "default", "prefix": "shop-"}]))]
    pub(crate) tmux: Field<Tmux>,
    /// What services have where they do not say otherwise.
    #[schemars(extend("default" = {}, "examples" = [{"restart": "always", "stop": {"timeout": "5s"}}]))]
    pub(crate) defaults: Field<Defaults>,
    /// Groups of services, by name. A group is written `@name` wherever a service name may stand. A
    /// service joins a group by its own `groups`.
    #[schemars(extend(
        "default" = {}, "examples" = [{"core": {"description": "what must run to answer"}}],
        "propertyNames" = {"pattern": NAME, "maxLength": LONGEST_NAME}
    ))]
    pub(crate) groups: Field<Table<Group>>,
    /// The services, by name.
    #[schemars(extend(
        "default" = {}, "examples" = [{"web": {"command": ["python3", "-m", "http.server", "8080"]}}],
        "propertyNames" = {"pattern": NAME, "maxLength": LONGEST_NAME}
    ))]
    pub(crate) services: Field<Table<Service>>,
    /// Services that `up` does not start. Each is started by hand, under a name of its own and any
    /// number of times: `baudbot start dev@repo-42 --param worktree=/srv/repo`. `${instance}` is that
    /// name, `${param.worktree}` what was given.
    #[schemars(extend(
        "default" = {}, "examples" = [{"dev": {"command": ["./agent", "${param.worktree}"], "params": {"worktree": {}}, "max_instances": 4}}],
        "propertyNames" = {"pattern": NAME, "maxLength": LONGEST_NAME}
    ))]
    pub(crate) templates: Field<Table<Service>>,
}

/// The pattern of names of projects, services and groups.
pub(crate) const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]*$";
/// The longest name.
pub(crate) const LONGEST_NAME: usize = crate::id::LONGEST_NAME;
/// The pattern of names of environment variables.
pub(crate) const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// Variables of which one is enough, as an expression of the schema.
pub(crate) const ALTERNATIVES: &str = "^[A-Za-z_][A-Za-z0-9_]*(\\|[A-Za-z_][A-Za-z0-9_]*)*$";
/// The pattern of what an environment takes over.
pub(crate) const INHERIT: &str = r"^[A-Za-z_][A-Za-z0-9_]*\*?\??$";
/// The pattern of names of tmux sessions. tmux itself would turn `.` and `:` into `_`.
pub(crate) const SESSION: &str = r"^([A-Za-z0-9_][A-Za-z0-9_-]*|.*\$\{.*)$";
/// The pattern of the beginnings of such names; a prefix may be empty where it only names.
pub(crate) const SESSION_PREFIX: &str = "^([A-Za-z0-9_][A-Za-z0-9_-]*)?$";

/// One text, or a list of texts. What the texts look like, the schema of each field says.
#[derive(Debug)]
pub(crate) enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<Field<String>>),
}

read_by_shape!(OneOrMany, "text or a list of texts", Scalar => One, List => Many);

/// The tmux server of a project.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Tmux {
    /// `private`: a server of the project's own, without the user's configuration. `default`: the
    /// user's ordinary server. A path: the server on this socket. A server that is not private is
    /// shared property: only sessions of this project are touched, never the server.
    #[schemars(length(min = 1), extend("default" = "private", "examples" = ["private", "default", "~/.tmux/agents.sock"]))]
    pub(crate) server: Field<String>,
    /// What the names of the project's sessions begin with, where a service does not name its own
    /// `session`. Default: the project's name and a dash.
    #[schemars(regex(pattern = SESSION_PREFIX), extend("examples" = ["shop-"]))]
    pub(crate) prefix: Field<String>,
}

/// What services have where they do not say otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Defaults {
    /// The directory that services start in, relative to this file.
    #[schemars(length(min = 1), extend("default" = ".", "examples" = ["~", "/srv/shop"]))]
    pub(crate) working_dir: Field<String>,
    /// The file mode creation mask of services, in octal. Default: the one of the command that
    /// starts the project.
    #[schemars(extend("examples" = ["077", "022"]))]
    pub(crate) umask: Field<Umask>,
    /// Who services run as; see `user` of a service. Default: the user who gives the order.
    #[schemars(length(min = 1), extend("examples" = ["www-data"]))]
    pub(crate) user: Field<String>,
    /// Limits of resources, by name. A service's own win name by name.
    #[schemars(extend("default" = {}, "examples" = [{"core": "unlimited"}], "propertyNames" = {"enum": limit_names()}))]
    pub(crate) limits: Field<Table<Limit>>,
    /// Environment variables of all services, over the top-level `env` and under a service's own. A
    /// value may use `${NAME}`.
    #[schemars(extend("default" = {}, "examples" = [{"PORT": 8080}], "propertyNames" = {"pattern": VARIABLE}))]
    pub(crate) env: Field<Table<Variable>>,
    /// Files with environment variables, after the top-level ones and before a service's own.
    #[schemars(extend("default" = [], "examples" = ["~/.config/.env", ["a.env", "b.env?"]]))]
    pub(crate) env_files: Field<EnvFiles>,
    /// What services take over from the environment of the command that starts them: replaces the
    /// top-level list, and is replaced by a service's own.
    #[schemars(schema_with = "inherit", extend("default" = [], "examples" = [["SSH_AUTH_SOCK?"]]))]
    pub(crate) env_inherit: Field<OneOrMany>,
    /// Variables that services do not see, wherever they come from. A service's own list replaces
    /// this one.
    #[schemars(inner(regex(pattern = VARIABLE)), extend("default" = [], "examples" = [["DEBUG"]]))]
    pub(crate) env_unset: Field<Vec<Field<String>>>,
    /// How long services that have no `ready` must live before they count as settled. A service's own
    /// `settle` replaces this one.
    #[schemars(extend("default" = "500ms", "examples" = ["2s", 0]))]
    pub(crate) settle: Field<Duration>,
    /// When and how often services are started again. A service's own `restart` wins field by field.
    /// The policy does not hold for tasks: those are not started again unless they say so themselves.
    #[schemars(extend("default" = "on-failure", "examples" = ["always", {"policy": "on-failure", "delay": "5s"}]))]
    pub(crate) restart: Field<Restart>,
    /// How services are asked to stop. A service's own `stop` wins field by field.
    #[schemars(extend("default" = {"signal": "TERM", "timeout": "10s"}, "examples" = [{"timeout": "30s"}]))]
    pub(crate) stop: Field<Stop>,
    /// Commands that run beside services. A service's own `hooks` win field by field.
    #[schemars(extend("default" = {"timeout": "30s"}, "examples" = [{"before_start": ["./migrate"], "timeout": "5m"}]))]
    pub(crate) hooks: Field<Hooks>,
    /// The ways to end that count as well done; a list that leaves out 0 makes 0 a failure. A service's
    /// own list replaces this one.
    #[schemars(extend("default" = [0], "examples" = [[0, 143]]))]
    pub(crate) success_exit: Field<Vec<Field<Exit>>>,
    /// What the next supervisor does with a run whose supervisor was killed. A service's own word
    /// replaces this one.
    #[schemars(extend("default" = "adopt", "examples" = ["stop"]))]
    pub(crate) on_supervisor_loss: Field<OnSupervisorLoss>,
    /// The bounds of a service's log. A service's own `log` wins field by field.
    #[schemars(extend("default" = {"max_size": "10MiB", "keep": 5}, "examples" = [{"max_size": "1MiB"}]))]
    pub(crate) log: Field<Log>,
}

/// A named set of services.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Group {
    /// What people read about it. Default: none.
    #[schemars(extend("examples" = ["what must run to answer"]))]
    pub(crate) description: Field<String>,
    /// How the last process of a member is found and ended, where the member does not say so itself.
    /// In a group without members, a prefix here sweeps the sessions that a service started by itself.
    /// Default: by each member's type.
    #[schemars(extend("examples" = ["pgid", {"strategy": "tmux-prefix", "prefix": "dev-agent-"}]))]
    pub(crate) cleanup: Field<Cleanup>,
}

/// One declared service.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline, extend("required" = ["command"]))]
pub(crate) struct Service {
    /// What people read about it in `status`. Default: none.
    #[schemars(extend("examples" = ["serves the shop on port 8080"]))]
    pub(crate) description: Field<String>,
    /// What sort of thing it is. `process`: runs until it is stopped. `tmux`: the same, in a tmux
    /// session that people can attach to. `task`: runs to its end once. The standard input of a process
    /// and of a task is empty; a program that needs a terminal, or ends when its input ends, runs
    /// as `tmux`.
    #[serde(rename = "type")]
    #[schemars(extend("default" = "process", "examples" = ["task"]))]
    pub(crate) kind: Field<Type>,
    /// Required. What is executed. A list is executed as it is: the program and its arguments. A text is given
    /// to `sh -c`. Both may use `${NAME}`, which is replaced when the order is given; in a text, a
    /// plain `$NAME` is left to the shell.
    #[schemars(extend("examples" = [["python3", "-m", "http.server", "8080"], "make data && exec ./serve"]))]
    pub(crate) command: Field<Command>,
    /// The directory that it starts in, relative to the file that the service is declared in.
    #[schemars(length(min = 1), extend("default" = ".", "examples" = ["web", "~/shop", "/srv/shop"]))]
    pub(crate) working_dir: Field<String>,
    /// The file mode creation mask, in octal. Default: the one of the command that starts the project.
    #[schemars(extend("examples" = ["077", "022"]))]
    pub(crate) umask: Field<Umask>,
    /// Who it runs as: the name or number of a user. Only root can start a service as somebody else;
    /// for the user who gives the order it says nothing new. Its HOME, USER, LOGNAME and SHELL are
    /// that user's, and so is `~`. Default: the user who gives the order.
    #[schemars(length(min = 1), extend("examples" = ["www-data"]))]
    pub(crate) user: Field<String>,
    /// Limits of resources (`ulimit`), by name: one value, or a map with `soft` and `hard`. A service's
    /// own win over those of `defaults` name by name.
    #[schemars(extend("default" = {}, "examples" = [{"nofile": 65536, "core": 0, "as": "2GiB"}], "propertyNames" = {"enum": limit_names()}))]
    pub(crate) limits: Field<Table<Limit>>,
    /// Environment variables. They win over all other sources. A value may use `${NAME}`, which sees
    /// what lies below: env files, `defaults.env` and the top-level `env`, not its neighbours here.
    #[schemars(extend("default" = {}, "examples" = [{"PORT": 8080, "PATH": "${HOME}/bin:${PATH}"}], "propertyNames" = {"pattern": VARIABLE}))]
    pub(crate) env: Field<Table<Variable>>,
    /// Files with environment variables, read again at each start; relative to the file that the
    /// service is declared in. They come after those of the top level and of `defaults`; later files
    /// win. A `?` at the end of a path makes the file optional.
    #[schemars(extend("default" = [], "examples" = ["web.env", ["web.env", "secrets.env?"], [{"path": "web.env", "required": false}]]))]
    pub(crate) env_files: Field<EnvFiles>,
    /// What it takes over from the environment of the command that starts it, beside the short fixed
    /// list (HOME, USER, LOGNAME, SHELL, PATH, LANG, LC_*, TZ, TMPDIR, XDG_RUNTIME_DIR): `NAME`,
    /// `PREFIX_*` or `all`. A name must be set, unless a `?` follows it. Replaces the lists of
    /// `defaults` and of the top level.
    #[schemars(schema_with = "inherit", extend("default" = [], "examples" = [["SSH_AUTH_SOCK?", "AWS_*"], ["all"]]))]
    pub(crate) env_inherit: Field<OneOrMany>,
    /// Variables that its environment must have, set and not empty, at each start: without them the
    /// service is blocked, and the missing names are told. Of `A|B` one is enough. Their values stay
    /// where they are, in an env file for example.
    #[schemars(schema_with = "alternatives", extend("default" = [], "examples" = ["API_TOKEN", ["API_URL", "ORG_ID|WORKSPACE_ID"]]))]
    pub(crate) env_required: Field<OneOrMany>,
    /// Variables that it does not see, wherever they come from.
    #[schemars(inner(regex(pattern = VARIABLE)), extend("default" = [], "examples" = [["DEBUG"]]))]
    pub(crate) env_unset: Field<Vec<Field<String>>>,
    /// The groups that it belongs to.
    #[schemars(inner(regex(pattern = NAME)), extend("default" = [], "examples" = [["core"]]))]
    pub(crate) groups: Field<Vec<Field<String>>>,
    /// What it needs before it can start: a list of services and `@groups`, which must be ready; or a
    /// map from each of them to its condition.
    #[schemars(extend("default" = [], "examples" = [["db", "@core"], {"migrate": {"condition": "completed"}}]))]
    pub(crate) depends_on: Field<DependsOn>,
    /// What must be so for it to run here. Where it is not, the service is skipped, which is no
    /// failure; a service that ran before is stopped. Looked at when an order is given.
    #[schemars(extend("default" = {}, "examples" = [{"env": ["SLACK_TOKEN"]}, {"no_env": "BROKER_URL", "executable": "node"}]))]
    pub(crate) when: Field<When>,
    /// The ports that it owns. Before it starts nobody else may hold them: another program keeps the
    /// service from starting and is named, never ended. After it stopped they are proven free.
    #[schemars(extend("default" = [], "examples" = [[8080], ["127.0.0.1:${API_PORT:-7890}"], [{"port": 53, "protocol": "udp"}]]))]
    pub(crate) ports: Field<Vec<Field<OwnedPort>>>,
    /// How it shows that it is ready: one of `tcp`, `http`, `unix`, `exec`, `log`, `file` and `notify`. Without
    /// it, a service is ready once it is started (but see `settle`), and a task when it has completed.
    /// Default: none.
    #[schemars(extend("examples" = [{"tcp": 8080}, {"log": "listening on", "timeout": "10s"}]))]
    pub(crate) ready: Field<Ready>,
    /// How long it must live before it counts as settled, when it has no `ready` (and no `exports`):
    /// `up`, `start`, `restart` and `status --wait` wait for that, and an end before it is a failure
    /// to start. What depends on it does not wait. `0`: it is settled once it is started.
    #[schemars(extend("default" = "500ms", "examples" = ["2s", 0]))]
    pub(crate) settle: Field<Duration>,
    /// Values that are known only once it is ready, by name: where each comes from. Other services use
    /// them as `${service.name}`, wait for it therefore, and are restarted when a value changes.
    #[schemars(extend("default" = {}, "examples" = [{"session_id": {"readlink": "~/agent.alias", "pattern": "^(.*)\\.sock$"}}], "propertyNames" = {"pattern": EXPORT}))]
    pub(crate) exports: Field<Table<Export>>,
    /// How it is found out whether it is still well once it is ready: one of `tcp`, `http`, `unix`,
    /// `exec`, `file` and `watchdog`. When too many checks in a row fail it is unhealthy, and is restarted by its
    /// restart policy, or only shown so. Default: none.
    #[schemars(extend("examples" = [{"tcp": 8080}, {"http": "http://127.0.0.1:8080/health", "interval": "30s", "action": "report"}]))]
    pub(crate) health: Field<Health>,
    /// When it is started again: a policy, or a map with the policy and its details. Default:
    /// `on-failure`; of a task: `never`.
    #[schemars(extend("default" = "on-failure", "examples" = ["always", {"policy": "always", "delay": "5s", "max_failures": "never"}]))]
    pub(crate) restart: Field<Restart>,
    /// How it is asked to stop. What is left after the timeout is killed.
    #[schemars(extend("default" = {"signal": "TERM", "timeout": "10s"}, "examples" = [{"signal": "INT", "timeout": "30s"}]))]
    pub(crate) stop: Field<Stop>,
    /// Commands that run beside it: before its start, once it is ready, after its end.
    #[schemars(extend("default" = {"timeout": "30s"}, "examples" = [{"before_start": ["./migrate"], "timeout": "5m"}]))]
    pub(crate) hooks: Field<Hooks>,
    /// The ways to end that count as well done, beside the signal that stops it: exit codes and
    /// signals. A list that leaves out 0 makes 0 a failure.
    #[schemars(extend("default" = [0], "examples" = [[0, 143], [0, "HUP"]]))]
    pub(crate) success_exit: Field<Vec<Field<Exit>>>,
    /// How the last of its processes is found and ended: `pgid` by its process group, `tmux-prefix` by
    /// the names of its tmux sessions. Default: `tmux-prefix` with the session's own name for a `tmux`
    /// service, `pgid` for others, unless its group says otherwise.
    #[schemars(extend("examples" = ["pgid", {"strategy": "tmux-prefix", "prefix": "shop-web"}]))]
    pub(crate) cleanup: Field<Cleanup>,
    /// The name of its tmux session; only of a `tmux` service. In a template it may use `${instance}`
    /// and `${param.NAME}`. Default: `tmux.prefix` and the
    /// service's name.
    #[schemars(regex(pattern = SESSION), extend("examples" = ["shop-console"]))]
    pub(crate) session: Field<String>,
    /// Names that its tmux session had once, or that it had before it was run by baudbot: sessions of
    /// exactly these names, on the project's tmux server, are ended before it starts and when it
    /// stops.
    #[schemars(inner(regex(pattern = SESSION)), extend("default" = [], "examples" = [["slack-bridge"]]))]
    pub(crate) legacy_sessions: Field<Vec<Field<String>>>,
    /// What the next supervisor does with a run whose supervisor was killed. It does not count as such
    /// when another takes over in order, by `upgrade`.
    #[schemars(extend("default" = "adopt", "examples" = ["stop"]))]
    pub(crate) on_supervisor_loss: Field<OnSupervisorLoss>,
    /// The bounds of its log.
    #[schemars(extend("default" = {"max_size": "10MiB", "keep": 5}, "examples" = [{"max_size": "1MiB"}]))]
    pub(crate) log: Field<Log>,
    /// Of a template: what may or must be given when an instance is started. Default: nothing.
    #[schemars(extend("examples" = [{"worktree": {"pattern": "/.+"}, "branch": {"default": "main"}}], "propertyNames" = {"pattern": VARIABLE}))]
    pub(crate) params: Field<Table<Param>>,
    /// Of a template: how many instances there may be at a time. Default: any number.
    #[schemars(range(min = 1), extend("examples" = [4]))]
    pub(crate) max_instances: Field<u32>,
}

/// Something that an instance of a template is given.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Param {
    /// What people read about it. Default: none.
    #[schemars(extend("examples" = ["where the work is checked out"]))]
    pub(crate) description: Field<String>,
    /// Whether it must be given. Default: true, unless it has a default.
    #[schemars(extend("examples" = [false]))]
    pub(crate) required: Field<bool>,
    /// What it is when it is not given. Default: nothing, where it is not required.
    #[schemars(extend("examples" = ["main"]))]
    pub(crate) default: Field<Variable>,
    /// The regular expression that the whole value must match. Default: anything.
    #[schemars(extend("examples" = ["[a-z0-9-]+"]))]
    pub(crate) pattern: Field<String>,
}

/// The names of the limits that can be set.
fn limit_names() -> Vec<&'static str> {
    super::model::LIMITS
        .iter()
        .map(|(name, ..)| *name)
        .collect()
}

/// A limit of one resource.
#[derive(Debug, JsonSchema)]
#[schemars(inline, untagged)]
pub(crate) enum Limit {
    /// Soft and hard alike.
    One(LimitValue),
    /// Each by itself.
    Both(LimitSettings),
}

read_by_shape!(Limit, "a number, `unlimited`, or a map with `soft` and `hard`", Scalar => One, Map => Both);

/// The two sides of a limit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct LimitSettings {
    /// What may be used. Default: as it is, but not above `hard`.
    #[schemars(extend("examples" = [1024]))]
    pub(crate) soft: Field<LimitValue>,
    /// How far the service itself may raise that; root alone may raise it further. Default: as it is.
    #[schemars(extend("examples" = ["unlimited"]))]
    pub(crate) hard: Field<LimitValue>,
}

/// What sort of thing a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Type {
    /// Runs until it is stopped.
    Process,
    /// The same, in a tmux session that people can attach to.
    Tmux,
    /// Runs to its end once.
    Task,
}

/// What is executed.
#[derive(Debug, JsonSchema)]
#[schemars(inline, untagged)]
pub(crate) enum Command {
    /// The program and its arguments, executed as they are.
    #[schemars(extend("minItems" = 1))]
    Exec(Vec<Field<Argument>>),
    /// A script for `sh -c`.
    #[schemars(extend("pattern" = r"\S"))]
    Shell(String),
}

read_by_shape!(Command, "text or a list of texts", Scalar => Shell, List => Exec);

/// Env files: one, or a list.
#[derive(Debug, JsonSchema)]
#[schemars(inline, untagged)]
pub(crate) enum EnvFiles {
    /// One path.
    #[schemars(extend("minLength" = 1))]
    One(String),
    /// Several.
    Many(Vec<Field<EnvFile>>),
}

read_by_shape!(EnvFiles, "text or a list", Scalar => One, List => Many);

/// One env file.
#[derive(Debug, JsonSchema)]
#[schemars(inline, untagged)]
pub(crate) enum EnvFile {
    /// Its path; a `?` at the end makes it optional.
    #[schemars(extend("minLength" = 1))]
    Path(String),
    /// Its path, and whether it must exist.
    Full(EnvFileSettings),
}

read_by_shape!(EnvFile, "text or a map", Scalar => Path, Map => Full);

/// One env file, in full.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline, extend("required" = ["path"]))]
pub(crate) struct EnvFileSettings {
    /// Required. Where it is, relative to the manifest file.
    #[schemars(length(min = 1), extend("examples" = ["web.env"]))]
    pub(crate) path: Field<String>,
    /// Whether its absence keeps the service from starting.
    #[schemars(extend("default" = true, "examples" = [false]))]
    pub(crate) required: Field<bool>,
}

/// What a service needs.
#[derive(Debug, JsonSchema)]
#[schemars(inline, untagged)]
pub(crate) enum DependsOn {
    /// Services and `@groups`, all of which must be ready.
    List(#[schemars(inner(regex(pattern = REFERENCE)))] Vec<Field<String>>),
    /// Services and `@groups` with their conditions.
    #[schemars(extend("propertyNames" = {"pattern": REFERENCE}))]
    Map(Table<Dependency>),
}

/// The pattern of a service's name or an `@group`.
pub(crate) const REFERENCE: &str = "^@?[A-Za-z0-9][A-Za-z0-9._-]*$";

read_by_shape!(DependsOn, "a list of services, or a map with their conditions", List => List, Map => Map);

/// One dependency.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Dependency {
    /// What must be true of it before this service may start. `started`: its command has been
    /// executed. `ready`: it is ready; a task: it has completed. `completed`: the task has completed.
    #[schemars(extend("default" = "ready", "examples" = ["completed"]))]
    pub(crate) condition: Field<Condition>,
    /// Whether that has to come true. With `false`, this service waits for the outcome and goes on
    /// whatever it is: also when that one failed, is blocked or is skipped.
    #[schemars(extend("default" = true, "examples" = [false]))]
    pub(crate) required: Field<bool>,
    /// Whether this service is restarted when the condition is true of a new run of that one: after
    /// a restart by order, by a change or by its restart policy.
    #[schemars(extend("default" = false, "examples" = [true]))]
    pub(crate) restart: Field<bool>,
}

/// What must be true of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Condition {
    /// Its command has been executed.
    Started,
    /// It is ready; a task: it has completed.
    Ready,
    /// The task has completed.
    Completed,
}

/// What must be so for a service to run: all of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct When {
    /// Variables that are set and not empty: in the environment of the service (its env files are
    /// read for it), or where the order is given. Of `A|B` one is enough. Default: none.
    #[schemars(schema_with = "alternatives", extend("default" = [], "examples" = ["SLACK_TOKEN", ["BROKER_URL|OLD_BROKER_URL", "BROKER_TOKEN"]]))]
    pub(crate) env: Field<OneOrMany>,
    /// Variables that are unset or empty, in both places. Default: none.
    #[schemars(schema_with = "variables", extend("default" = [], "examples" = ["BROKER_URL"]))]
    pub(crate) no_env: Field<OneOrMany>,
    /// A file or directory that exists, relative to the file that the service is declared in.
    /// Default: not asked.
    #[schemars(length(min = 1), extend("examples" = ["~/.pi/agent/auth.json"]))]
    pub(crate) file: Field<String>,
    /// A program that is found in the service's PATH, or at a path. Default: not asked.
    #[schemars(length(min = 1), extend("examples" = ["node"]))]
    pub(crate) executable: Field<String>,
}

/// A port that a service owns.
#[derive(Debug, JsonSchema)]
#[schemars(inline, untagged)]
pub(crate) enum OwnedPort {
    /// A TCP port on every address, or `address:port`.
    Short(Listen),
    /// A port, and where.
    Full(PortSettings),
}

read_by_shape!(OwnedPort, "a port, `address:port`, or a map", Scalar => Short, Map => Full);

/// A port that a service owns, in full.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline, extend("required" = ["port"]))]
pub(crate) struct PortSettings {
    /// Required. The number of the port.
    #[schemars(extend("examples" = [7890, "${API_PORT:-7890}"]))]
    pub(crate) port: Field<PortNumber>,
    /// An address of this host, or `localhost` for 127.0.0.1 and ::1. Default: every address.
    #[schemars(length(min = 1), extend("examples" = ["127.0.0.1", "::1", "localhost"]))]
    pub(crate) host: Field<String>,
    /// What is spoken on it.
    #[schemars(extend("default" = "tcp", "examples" = ["udp"]))]
    pub(crate) protocol: Field<Protocol>,
}

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// How a service shows that it is ready.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline, extend("oneOf" = [
    {"required": ["tcp"]}, {"required": ["http"]}, {"required": ["unix"]},
    {"required": ["exec"]}, {"required": ["log"]}, {"required": ["file"]},
    {"required": ["notify"]}
]))]
pub(crate) struct Ready {
    /// A TCP connection is accepted here: a port on 127.0.0.1, or `host:port`; `localhost` is both
    /// 127.0.0.1 and ::1. What listened there before the start and is not of the service does not
    /// count. Default: not asked.
    #[schemars(extend("examples" = [8080, "127.0.0.1:8080", "localhost:${PORT}"]))]
    pub(crate) tcp: Field<Port>,
    /// A GET of this `http://` URL is answered with a status of 200 to 399; or a map with another
    /// method, headers, a body and other statuses. Default: not asked.
    #[schemars(extend("examples" = ["http://127.0.0.1:8080/health", {"url": "http://127.0.0.1:7890/send", "method": "POST", "body": "{}", "status": [400, 429]}]))]
    pub(crate) http: Field<Http>,
    /// A unix socket at this path accepts a connection; a symbolic link is followed, and the socket
    /// must be newer than the start. Default: not asked.
    #[schemars(length(min = 1), extend("examples" = ["${baudbot.runtime_dir}/web.sock"]))]
    pub(crate) unix: Field<String>,
    /// This command, in the service's environment and directory, exits with 0. Default: not asked.
    #[schemars(extend("examples" = [["pg_isready", "-q"], "test -s out/index"]))]
    pub(crate) exec: Field<Command>,
    /// A line of its output matches this regular expression, as it was written or without its colours
    /// and other escape sequences. A prompt without a line end counts too. Default: not asked.
    #[schemars(length(min = 1), extend("examples" = ["listening on port \\d+"]))]
    pub(crate) log: Field<String>,
    /// A file exists at this path that is newer than the start; or a map with the path and how old
    /// the file may be at most. Default: not asked.
    #[schemars(extend("examples" = ["${baudbot.runtime_dir}/web.ready", {"path": "~/heartbeat.json", "max_age": "2m"}]))]
    pub(crate) file: Field<File>,
    /// `true`: the service says so itself, by READY=1 as `sd_notify(3)` does; `NOTIFY_SOCKET` is in its
    /// environment. What it says of itself (STATUS=) is shown, and it may ask for more time
    /// (EXTEND_TIMEOUT_USEC=). Only processes of the service are heard. Default: not waited for.
    #[schemars(extend("enum" = [true], "examples" = [true]))]
    pub(crate) notify: Field<bool>,
    /// How long to wait from the end of one attempt to the next. Default: 1s for `http` and `exec`,
    /// 100ms for others.
    #[schemars(extend("default" = "1s", "examples" = ["500ms"]))]
    pub(crate) interval: Field<Duration>,
    /// How long after its start it counts as failed when it is not ready. `never`: wait for ever.
    #[schemars(extend("default" = "60s", "examples" = ["10s", "never"]))]
    pub(crate) timeout: Field<Timeout>,
}

/// The pattern of names of exports.
pub(crate) const EXPORT: &str = "^[A-Za-z0-9_-]+$";

/// A value that is known only once the service is ready.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline, extend("oneOf" = [
    {"required": ["readlink"]}, {"required": ["file"]}, {"required": ["command"]}
]))]
pub(crate) struct Export {
    /// The target of the symbolic link at this path, as the link says it. Default: not read.
    #[schemars(length(min = 1), extend("examples" = ["~/.pi/session-control/control-agent.alias"]))]
    pub(crate) readlink: Field<String>,
    /// The contents of the file at this path, without white space around them. Default: not read.
    #[schemars(length(min = 1), extend("examples" = ["${baudbot.runtime_dir}/port"]))]
    pub(crate) file: Field<String>,
    /// What this command writes to its standard output, without white space around it; in the
    /// service's environment and directory. Default: not run.
    #[schemars(extend("examples" = [["./ctl", "session-id"]]))]
    pub(crate) command: Field<Command>,
    /// A regular expression: its first group is the value, or all that matches it. What does not
    /// match has no value yet. Colours and other escape sequences in the output of a command or in a
    /// file are left out. Default: all of it.
    #[schemars(length(min = 1), extend("examples" = ["^(.*)\\.sock$"]))]
    pub(crate) pattern: Field<String>,
    /// Only with `command`: how long to wait from the end of one look to the next. Links and files are
    /// watched, and a change is seen at once.
    #[schemars(extend("default" = "10s", "examples" = ["1m"]))]
    pub(crate) interval: Field<Duration>,
}

/// How it is found out whether a service is still well.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline, extend("oneOf" = [
    {"required": ["tcp"]}, {"required": ["http"]}, {"required": ["unix"]},
    {"required": ["exec"]}, {"required": ["file"]}, {"required": ["watchdog"]}
]))]
pub(crate) struct Health {
    /// A TCP connection is accepted here: a port on 127.0.0.1, or `host:port`. Default: not asked.
    #[schemars(extend("examples" = [8080, "127.0.0.1:8080", "localhost:${PORT}"]))]
    pub(crate) tcp: Field<Port>,
    /// A GET of this `http://` URL is answered with a status of 200 to 399; or a map with another
    /// method, headers, a body and other statuses. Default: not asked.
    #[schemars(extend("examples" = ["http://127.0.0.1:8080/health", {"url": "http://127.0.0.1:8080/health", "status": ["200-399", 429]}]))]
    pub(crate) http: Field<Http>,
    /// A unix socket at this path accepts a connection; a symbolic link is followed, and the socket
    /// must be newer than the start. Default: not asked.
    #[schemars(length(min = 1), extend("examples" = ["${baudbot.runtime_dir}/web.sock"]))]
    pub(crate) unix: Field<String>,
    /// This command, in the service's environment and directory, exits with 0. Default: not asked.
    #[schemars(extend("examples" = [["pg_isready", "-q"], "test -s out/index"]))]
    pub(crate) exec: Field<Command>,
    /// A file exists at this path that is newer than the start; or a map with the path and how old
    /// the file may be at most: a heartbeat. Default: not asked.
    #[schemars(extend("examples" = [{"path": "~/heartbeat.json", "max_age": "2m"}]))]
    pub(crate) file: Field<File>,
    /// The service gives a sign of life itself, WATCHDOG=1 as `sd_notify(3)` does, at least so often;
    /// `NOTIFY_SOCKET` and `WATCHDOG_USEC` are in its environment. Then there is no `interval` and no
    /// `timeout`, and one silence is enough, unless `failures` says otherwise. Default: not waited for.
    #[schemars(extend("examples" = ["30s"]))]
    pub(crate) watchdog: Field<Duration>,
    /// How long to wait from the end of one check to the next.
    #[schemars(extend("default" = "10s", "examples" = ["1m"]))]
    pub(crate) interval: Field<Duration>,
    /// How long one check may take. What takes longer has failed, and is ended.
    #[schemars(extend("default" = "5s", "examples" = ["1s"]))]
    pub(crate) timeout: Field<Duration>,
    /// How many checks in a row must fail for it to be unhealthy.
    #[schemars(range(min = 1), extend("default" = 3, "examples" = [1]))]
    pub(crate) failures: Field<u32>,
    /// What is done when it is unhealthy. `restart`: it is stopped, and its restart policy says what
    /// comes then, as after any failure. `report`: it is shown as unhealthy until a check succeeds.
    #[schemars(extend("default" = "restart", "examples" = ["report"]))]
    pub(crate) action: Field<HealthAction>,
}

/// What the next supervisor does with a run whose supervisor was killed.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum OnSupervisorLoss {
    /// It goes on as it was.
    Adopt,
    /// It is ended, and started anew if it is to run.
    Stop,
}

/// What is done about a service that is unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum HealthAction {
    /// It is stopped, as after any failure.
    Restart,
    /// It is shown.
    Report,
}

/// An HTTP request that asks.
#[derive(Debug, JsonSchema)]
#[schemars(inline, untagged)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each service, for as long as the manifest is read"
)]
pub(crate) enum Http {
    /// A GET of this URL.
    Url(#[schemars(regex(pattern = HTTP))] String),
    /// A request in full.
    Settings(HttpSettings),
}

read_by_shape!(Http, "a URL or a map", Scalar => Url, Map => Settings);

/// An HTTP request in full.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline, extend("required" = ["url"]))]
pub(crate) struct HttpSettings {
    /// Required. Where it goes: `http://HOST:PORT/PATH`.
    #[schemars(regex(pattern = HTTP), extend("examples" = ["http://127.0.0.1:7890/send"]))]
    pub(crate) url: Field<String>,
    /// The method. Default: `GET`; with a body, `POST`.
    #[schemars(regex(pattern = METHOD), extend("default" = "GET", "examples" = ["POST", "HEAD"]))]
    pub(crate) method: Field<String>,
    /// Headers by their names. A value may use `${NAME}`.
    #[schemars(extend("default" = {}, "examples" = [{"Authorization": "Bearer ${TOKEN}"}], "propertyNames" = {"pattern": HEADER}))]
    pub(crate) headers: Field<Table<Variable>>,
    /// What is sent along. Default: nothing.
    #[schemars(extend("examples" = ["{}"]))]
    pub(crate) body: Field<String>,
    /// The statuses that are a good answer: numbers and ranges with both their ends. Redirections
    /// are not followed.
    #[schemars(length(min = 1), extend("default" = ["200-399"], "examples" = [["200-299", 429], [400]]))]
    pub(crate) status: Field<Vec<Field<Status>>>,
}

/// The pattern of HTTP methods.
pub(crate) const METHOD: &str = "^[A-Z]+$";
/// The pattern of names of HTTP headers.
pub(crate) const HEADER: &str = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";

/// A file that shows something.
#[derive(Debug, JsonSchema)]
#[schemars(inline, untagged)]
pub(crate) enum File {
    /// Its path.
    #[schemars(extend("minLength" = 1))]
    Path(String),
    /// Its path, and how old it may be.
    Settings(FileSettings),
}

read_by_shape!(File, "a path or a map", Scalar => Path, Map => Settings);

/// A file that shows something, in full.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline, extend("required" = ["path"]))]
pub(crate) struct FileSettings {
    /// Required. Where it is, relative to the file that the service is declared in.
    #[schemars(length(min = 1), extend("examples" = ["~/heartbeat.json"]))]
    pub(crate) path: Field<String>,
    /// How long ago it may have been written at most. Default: any time since the start.
    #[schemars(extend("examples" = ["2m"]))]
    pub(crate) max_age: Field<Duration>,
}

/// The pattern of URLs that can be probed.
pub(crate) const HTTP: &str = "^(http://.|\\$\\{)";

/// When a service is started again.
#[derive(Debug, JsonSchema)]
#[schemars(inline, untagged)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each service, for as long as the manifest is read"
)]
pub(crate) enum Restart {
    /// When.
    Word(Policy),
    /// When, and the details.
    Settings(RestartSettings),
}

read_by_shape!(Restart, "a policy or a map", Scalar => Word, Map => Settings);

/// When a service is started again after it ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Policy {
    /// However it ended.
    Always,
    /// When it did not end well.
    OnFailure,
    /// Not at all.
    Never,
}

/// When a service is started again, in full.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct RestartSettings {
    /// When: `always`, however it ended; `on-failure`, when it did not end well; `never`. Default:
    /// `on-failure`; of a task: `never`.
    #[schemars(extend("default" = "on-failure", "examples" = ["always"]))]
    pub(crate) policy: Field<Policy>,
    /// How long to wait before the first restart. After five restarts in a row the supervisor waits at
    /// least 100 ms, however short this is.
    #[schemars(extend("default" = "1s", "examples" = ["5s"]))]
    pub(crate) delay: Field<Duration>,
    /// What each further delay is multiplied by; at least 1.
    #[schemars(range(min = 1), extend("default" = 2, "examples" = [1.5]))]
    pub(crate) factor: Field<f64>,
    /// The longest delay.
    #[schemars(extend("default" = "60s", "examples" = ["5m"]))]
    pub(crate) max_delay: Field<Duration>,
    /// The share of the delay by which it may vary at random: 0 to 1.
    #[schemars(range(min = 0, max = 1), extend("default" = 0.1, "examples" = [0.25]))]
    pub(crate) jitter: Field<f64>,
    /// How long it must have been ready for its earlier failures to be forgotten.
    #[schemars(extend("default" = "60s", "examples" = ["5m"]))]
    pub(crate) stable_after: Field<Duration>,
    /// After how many failures in a row it is given up; `never`: not at all.
    #[schemars(extend("default" = 10, "examples" = [3, "never"]))]
    pub(crate) max_failures: Field<MaxFailures>,
    /// Exit codes and signals after which it is given up at once.
    #[schemars(extend("default" = [], "examples" = [[78]]))]
    pub(crate) no_retry_exit: Field<Vec<Field<Exit>>>,
}

/// How a service is asked to stop.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Stop {
    /// A command that asks it before the signal does, in its environment, directory and user, with
    /// the process id of its leader in BAUDBOT_PID. It has `timeout`; when it succeeds, so has the
    /// service, before the signal comes, and `timeout` again after the signal, before KILL. Default: none.
    #[schemars(extend("examples" = [["nginx", "-s", "quit"]]))]
    pub(crate) command: Field<Command>,
    /// The signal that asks it.
    #[schemars(extend("default" = "TERM", "examples" = ["INT", "SIGQUIT", 15]))]
    pub(crate) signal: Field<Signal>,
    /// How long it has before it is killed.
    #[schemars(extend("default" = "10s", "examples" = ["30s"]))]
    pub(crate) timeout: Field<Duration>,
}

/// Commands that run beside a service: in its environment, directory, limits and user, their output in
/// its log.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Hooks {
    /// Before each start, restarts too. If it fails, the start has failed. Default: none.
    #[schemars(extend("examples" = [["./migrate"], "mkdir -p run"]))]
    pub(crate) before_start: Field<Command>,
    /// Once a run is ready. A failure is told in `status` and changes nothing; not of a task. Default: none.
    #[schemars(extend("examples" = [["curl", "-fsS", "http://127.0.0.1:8080/warm-up"]]))]
    pub(crate) after_ready: Field<Command>,
    /// Once nothing of a run is left, however it ended, also when its start failed. Default: none.
    #[schemars(extend("examples" = ["rm -f run/web.sock"]))]
    pub(crate) after_stop: Field<Command>,
    /// How long each of them may take before it is killed and has failed.
    #[schemars(extend("default" = "30s", "examples" = ["5m"]))]
    pub(crate) timeout: Field<Duration>,
}

/// How the last process of a service is found and ended.
#[derive(Debug, JsonSchema)]
#[schemars(inline, untagged)]
pub(crate) enum Cleanup {
    /// The strategy alone.
    Word(Strategy),
    /// The strategy and its details.
    Settings(CleanupSettings),
}

read_by_shape!(Cleanup, "a strategy or a map", Scalar => Word, Map => Settings);

/// How the last process is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Strategy {
    /// By its process group.
    Pgid,
    /// By the names of its tmux sessions, on the project's server.
    TmuxPrefix,
}

/// A cleanup strategy, in full.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline, extend("required" = ["strategy"]))]
pub(crate) struct CleanupSettings {
    /// Required. `pgid`: by its process group. `tmux-prefix`: by the names of its tmux sessions.
    #[schemars(extend("examples" = ["tmux-prefix"]))]
    pub(crate) strategy: Field<Strategy>,
    /// With `tmux-prefix`: what the names of its sessions begin with, never empty. Default: the name of
    /// the service's own session, and of that session alone.
    #[schemars(regex(pattern = SESSION), extend("examples" = ["dev-agent-"]))]
    pub(crate) prefix: Field<String>,
}

/// The bounds of a log.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Log {
    /// The size at which a new file is begun.
    #[schemars(extend("default" = "10MiB", "examples" = ["1MiB", "500kB", 65536]))]
    pub(crate) max_size: Field<Size>,
    /// How many files there are at most, the one being written included.
    #[schemars(range(min = 1, max = 10000), extend("default" = 5, "examples" = [3]))]
    pub(crate) keep: Field<u32>,
}

impl OneOrMany {
    /// The texts with their places; `own` is the place of the whole.
    pub(crate) fn items(whole: &Spanned<Self>) -> Vec<(&str, Span)> {
        match &whole.value {
            Self::One(text) => vec![(text, whole.span)],
            Self::Many(items) => texts(items),
        }
    }
}

/// The texts of a list, with their places.
pub(crate) fn texts(items: &[Field<String>]) -> Vec<(&str, Span)> {
    items
        .iter()
        .filter_map(Field::written)
        .map(|item| (item.value.as_str(), item.span))
        .collect()
}
