//! One service: every value checked, every default applied.

use std::time::Duration;

use indexmap::IndexMap;

use super::environment;
use super::exports::{self, Found, References};
use super::given::Script;
use super::text::Texts;
use super::world::{Declared, Origin, World, kind_of, memberships};
use super::{Document, cleanup, limits, ports, templates, tmux, user, when};
use crate::id::ServiceName;
use crate::manifest::User;
use crate::manifest::diagnostic::{Diagnostic, Severity};
use crate::manifest::field::{Field, Spanned};
use crate::manifest::model::{
    Cleanup, Command, Dependency, Exit, Hooks, Kind, Log, OnSupervisorLoss, Policy, Restart,
    Service, Signal, Stop, default_settle,
};
use crate::manifest::raw;
use crate::manifest::scalars::{self, Unfit};
use crate::manifest::script::{is_of_shell, script_of};
use crate::manifest::unexpanded;

/// The most files of a log. Each rotation renames all of them.
const MOST_FILES: u32 = 10_000;

/// SIGTERM.
const TERM: Signal = Signal(15);

/// Resolves one service. What cannot be resolved has been reported, and stands there as a default:
/// the service is then not used.
pub(super) fn resolve(
    world: &World<'_>,
    declared: &Declared<'_, ServiceName, raw::Service>,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Service, Vec<Found>) {
    let mut found = Vec::new();
    let references = References::default();
    let mut service = resolved(world, declared, &references, &mut found);
    match &declared.origin {
        Origin::Service => {}
        Origin::Template(_) => {
            found.retain(|one| !templates::is_of_placeholders(one, world.input.sources));
        }
        Origin::Instance(instance) => {
            service.instance = Some(instance.clone());
            found.extend(templates::unfit_params(world, declared));
        }
    }
    let is_skipped = service.is_skipped();
    found.retain(|one| !(is_skipped && when::is_circumstance(one)));
    for one in &mut found {
        // What the host lacks is no mistake of the text: it keeps this service from starting, and
        // nothing else.
        if when::is_circumstance(one) {
            one.severity = Severity::Warning;
            if !service.missing.contains(&one.message) {
                service.missing.push(one.message.clone());
            }
        }
    }
    diagnostics.append(&mut found);
    (service, references.into_found())
}

fn resolved(
    world: &World<'_>,
    declared: &Declared<'_, ServiceName, raw::Service>,
    references: &References,
    diagnostics: &mut Vec<Diagnostic>,
) -> Service {
    let nothing = raw::Service::default();
    let raw = declared.raw.unwrap_or(&nothing);
    let name = &declared.name;
    let document = declared.document;
    let settings = world.settings(document);
    let defaults: Vec<&raw::Defaults> = settings
        .iter()
        .filter_map(|document| document.raw.defaults.value())
        .collect();
    let written_user = layered(&defaults, |one| &one.user, &raw.user);
    let user = written_user.and_then(|user| run_as(world, name, user, document, diagnostics));
    let resolved = environment::resolve(world, name, raw, document, user, references, diagnostics);
    let is_service = |name: &str| world.services.contains_key(name);
    let texts_in = |document| texts(world, &resolved, references, &is_service, document);
    let texts = texts_in(document);
    let mut values = Values {
        owner: format!(" of service `{name}`"),
        diagnostics,
    };
    let kind = kind(world, name, raw);
    let session = match &kind {
        Kind::Tmux { session } => Some(session.clone()),
        Kind::Process | Kind::Task => None,
    };
    if declared.raw.is_some() && raw.command.is_absent() {
        values.missing_command(declared);
    }
    let command = raw
        .command
        .written()
        .and_then(|command| values.command(command, "command", &texts))
        .unwrap_or_else(|| Command::Shell(String::new()));
    let working_dir = working_dir(raw, &texts, &settings, texts_in, &mut values);
    let when = when::resolve(
        raw,
        &resolved,
        &texts.without_references(),
        world,
        &mut values,
    );
    let umask = layered(&defaults, |one| &one.umask, &raw.umask);
    Service {
        name: name.clone(),
        description: raw.description.value().cloned(),
        command,
        working_dir,
        umask: umask.and_then(|umask| values.fit(umask, "umask", scalars::Umask::meaning)),
        user: resolved.user.as_ref().map(|user| user.name.clone()),
        limits: limits::resolve(raw, &defaults, &mut values),
        groups: memberships(Some(raw))
            .filter_map(|(group, _)| Some(world.groups.get(group)?.name.clone()))
            .collect(),
        // Known when all references are: see `check`.
        depends_on: IndexMap::new(),
        when,
        ports: ports::resolve(raw, &texts.without_references(), &mut values),
        ready: raw
            .ready
            .written()
            .and_then(|ready| super::ready::resolve(ready, &texts, &mut values)),
        settle: settle(raw, &defaults, &mut values),
        exports: exports::resolve(raw, &texts, &mut values),
        references: Vec::new(),
        health: raw
            .health
            .written()
            .and_then(|health| super::health::resolve(health, &texts, &mut values)),
        restart: restart(raw, &defaults, &kind, &mut values),
        stop: stop(raw, &defaults, &texts, &mut values),
        hooks: hooks(raw, &defaults, &texts, &mut values),
        success_exit: success_exit(raw, &defaults, &mut values),
        cleanup: cleanup(world, declared, session.as_deref(), &mut values),
        legacy_sessions: tmux::legacy_sessions(raw, name, values.diagnostics),
        on_supervisor_loss: on_supervisor_loss(raw, &defaults),
        log: log(raw, &defaults, &mut values),
        env: resolved.environment.clone(),
        env_required: environment::required(raw, name, &resolved.variables, values.diagnostics),
        kind,
        instance: None,
        missing: Vec::new(),
    }
}

fn texts<'a>(
    world: &'a World<'_>,
    resolved: &'a environment::Resolved,
    references: &'a References,
    is_service: &'a dyn Fn(&str) -> bool,
    document: &'a Document,
) -> Texts<'a> {
    Texts {
        sources: world.input.sources,
        is_service,
        variables: &resolved.variables,
        given: &resolved.given,
        fallback: &world.input.context.environment,
        facts: &resolved.facts,
        references: Some(references),
        home: resolved.home(),
        directory: &document.directory,
    }
}

/// Who it runs as. The environment is not known yet: it follows from this.
fn run_as(
    world: &World<'_>,
    name: &ServiceName,
    written: &Spanned<String>,
    document: &Document,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<User> {
    let facts = world.facts(Some(name));
    let texts = Texts {
        sources: world.input.sources,
        is_service: &|name| world.services.contains_key(name),
        variables: &std::collections::BTreeMap::new(),
        given: &super::given::NOTHING,
        fallback: &world.input.context.environment,
        facts: &facts,
        references: None,
        home: None,
        directory: &document.directory,
    };
    let mut values = Values {
        owner: format!(" of service `{name}`"),
        diagnostics,
    };
    user::resolve(written, &texts, world.input.context.find_user, &mut values)
}

fn kind(world: &World<'_>, name: &ServiceName, raw: &raw::Service) -> Kind {
    match kind_of(raw) {
        None | Some(raw::Type::Process) => Kind::Process,
        Some(raw::Type::Task) => Kind::Task,
        Some(raw::Type::Tmux) => Kind::Tmux {
            session: world
                .sessions
                .get(name)
                .map(|session| session.name.clone())
                .unwrap_or_default(),
        },
    }
}

fn default_cleanup(session: Option<&str>) -> Cleanup {
    match session {
        None => Cleanup::Pgid,
        Some(session) => Cleanup::TmuxPrefix {
            prefix: session.to_owned(),
            exact: true,
        },
    }
}

/// The value that counts: the service's own, else that of the highest `defaults` that has one.
fn layered<'a, T>(
    defaults: &[&'a raw::Defaults],
    of: impl Fn(&'a raw::Defaults) -> &'a Field<T>,
    own: &'a Field<T>,
) -> Option<&'a Spanned<T>> {
    own.written()
        .or_else(|| defaults.iter().rev().find_map(|layer| of(layer).written()))
}

fn working_dir<'a>(
    raw: &raw::Service,
    texts: &Texts<'a>,
    settings: &[&'a Document],
    texts_in: impl Fn(&'a Document) -> Texts<'a>,
    values: &mut Values<'_>,
) -> std::path::PathBuf {
    let what = values.what("working_dir");
    let written = match raw.working_dir.written() {
        Some(own) => texts.path(&own.value, own.span, &what, values.diagnostics),
        // A path of `defaults` starts from the file in which it stands.
        None => settings.iter().rev().find_map(|document| {
            let default = document.raw.defaults.value()?.working_dir.written()?;
            let what = "`working_dir` of `defaults`";
            texts_in(document).path(&default.value, default.span, what, values.diagnostics)
        }),
    };
    written.unwrap_or_else(|| texts.directory.to_owned())
}

pub(super) fn dependencies(
    world: &World<'_>,
    name: &ServiceName,
) -> IndexMap<ServiceName, Dependency> {
    world
        .edges
        .decisive_of(name)
        .into_iter()
        .map(|edge| (edge.dependency.clone(), edge.needs))
        .collect()
}

fn restart(
    raw: &raw::Service,
    defaults: &[&raw::Defaults],
    kind: &Kind,
    values: &mut Values<'_>,
) -> Restart {
    let own = raw.restart.value();
    let all: Vec<&raw::Restart> = defaults
        .iter()
        .filter_map(|layer| layer.restart.value())
        .chain(own)
        .collect();
    let policy = |restart: &raw::Restart| match restart {
        raw::Restart::Word(policy) => Some(*policy),
        raw::Restart::Settings(settings) => settings.policy.value().copied(),
    };
    // A task is not started again because services in general are.
    let policy = match kind {
        Kind::Task => own.and_then(policy).unwrap_or(raw::Policy::Never),
        Kind::Process | Kind::Tmux { .. } => all
            .iter()
            .rev()
            .find_map(|restart| policy(restart))
            .unwrap_or(raw::Policy::OnFailure),
    };
    let settings: Vec<&raw::RestartSettings> = all
        .iter()
        .filter_map(|restart| match restart {
            raw::Restart::Settings(settings) => Some(settings),
            raw::Restart::Word(_) => None,
        })
        .collect();
    let delay = pick(&settings, |one| &one.delay)
        .and_then(|delay| values.fit(delay, "restart.delay", scalars::Duration::meaning))
        .unwrap_or(Duration::from_secs(1));
    let restart = Restart {
        policy: match policy {
            raw::Policy::Always => Policy::Always,
            raw::Policy::OnFailure => Policy::OnFailure,
            raw::Policy::Never => Policy::Never,
        },
        delay,
        factor: pick(&settings, |one| &one.factor)
            .and_then(|factor| values.number(factor, "restart.factor", 1.0, 1000.0))
            .unwrap_or(2.0),
        max_delay: max_delay(&settings, delay, values),
        jitter: pick(&settings, |one| &one.jitter)
            .and_then(|jitter| values.number(jitter, "restart.jitter", 0.0, 1.0))
            .unwrap_or(0.1),
        stable_after: pick(&settings, |one| &one.stable_after)
            .and_then(|after| values.fit(after, "restart.stable_after", scalars::Duration::meaning))
            .unwrap_or(Duration::from_secs(60)),
        max_failures: match pick(&settings, |one| &one.max_failures) {
            Some(most) => values
                .fit(most, "restart.max_failures", scalars::MaxFailures::meaning)
                .flatten(),
            None => Some(10),
        },
        no_retry_exit: pick(&settings, |one| &one.no_retry_exit)
            .map(|exits| values.exits(&exits.value, "restart.no_retry_exit"))
            .unwrap_or_default(),
    };
    if let Some(delay) = pick(&settings, |one| &one.delay) {
        warn_of_endless_restarts(&restart, delay.span, values);
    }
    restart
}

/// A delay between restarts below this is short.
const SHORT_DELAY: Duration = Duration::from_millis(200);

/// A service that ends at once, is started again at once and is never given up keeps a host busy.
fn warn_of_endless_restarts(
    restart: &Restart,
    delay: crate::manifest::source::Span,
    values: &mut Values<'_>,
) {
    let grows = !restart.delay.is_zero() && restart.factor > 1.0;
    let longest = if grows {
        restart.max_delay
    } else {
        restart.delay
    };
    if longest >= SHORT_DELAY || restart.max_failures.is_some() || restart.policy == Policy::Never {
        return;
    }
    let what = values.what("restart.delay");
    values.diagnostics.push(
        Diagnostic::warning(
            "endless_restarts",
            format!("{what} is very short, and `max_failures` is `never`"),
        )
        .label(delay, "restarts follow each other without a pause, for ever")
        .help(
            "after five of them the supervisor waits at least 100 ms; a longer `delay`, or a number of \
             `max_failures`, says what is meant",
        ),
    );
}

/// The longest delay. The default gives way to a longer first delay; a written one must not be
/// shorter than that.
fn max_delay(
    settings: &[&raw::RestartSettings],
    delay: Duration,
    values: &mut Values<'_>,
) -> Duration {
    let Some(written) = pick(settings, |one| &one.max_delay) else {
        return delay.max(Duration::from_secs(60));
    };
    let longest = values.fit(written, "restart.max_delay", scalars::Duration::meaning);
    let Some(longest) = longest else { return delay };
    if longest < delay {
        let mut diagnostic = Diagnostic::error(
            "delay_over_maximum",
            format!(
                "{} is shorter than the first delay",
                values.what("restart.max_delay")
            ),
        )
        .label(written.span, "the longest delay")
        .help("make `max_delay` at least as long as `delay`");
        if let Some(delay) = pick(settings, |one| &one.delay) {
            diagnostic = diagnostic.label(delay.span, "the first delay");
        }
        values.diagnostics.push(diagnostic);
    }
    longest
}

/// The value of the highest layer that has one.
fn pick<'a, S, T>(layers: &[&'a S], of: impl Fn(&'a S) -> &'a Field<T>) -> Option<&'a Spanned<T>> {
    layers.iter().rev().find_map(|layer| of(layer).written())
}

fn on_supervisor_loss(raw: &raw::Service, defaults: &[&raw::Defaults]) -> OnSupervisorLoss {
    let written = layered(
        defaults,
        |one| &one.on_supervisor_loss,
        &raw.on_supervisor_loss,
    );
    match written.map(|one| one.value) {
        None | Some(raw::OnSupervisorLoss::Adopt) => OnSupervisorLoss::Adopt,
        Some(raw::OnSupervisorLoss::Stop) => OnSupervisorLoss::Stop,
    }
}

fn settle(raw: &raw::Service, defaults: &[&raw::Defaults], values: &mut Values<'_>) -> Duration {
    layered(defaults, |one| &one.settle, &raw.settle)
        .and_then(|settle| values.fit(settle, "settle", scalars::Duration::meaning))
        .unwrap_or_else(default_settle)
}

fn success_exit(
    raw: &raw::Service,
    defaults: &[&raw::Defaults],
    values: &mut Values<'_>,
) -> Vec<Exit> {
    match layered(defaults, |one| &one.success_exit, &raw.success_exit) {
        Some(exits) => values.exits(&exits.value, "success_exit"),
        None => vec![Exit::Code(0)],
    }
}

fn cleanup(
    world: &World<'_>,
    declared: &Declared<'_, ServiceName, raw::Service>,
    session: Option<&str>,
    values: &mut Values<'_>,
) -> Cleanup {
    world
        .written_cleanup(declared)
        .and_then(|written| cleanup::resolve(&written.cleanup.value, session, values.diagnostics))
        .unwrap_or_else(|| default_cleanup(session))
}

/// The commands that run beside it.
fn hooks(
    raw: &raw::Service,
    defaults: &[&raw::Defaults],
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> Hooks {
    let layers: Vec<&raw::Hooks> = defaults
        .iter()
        .filter_map(|layer| layer.hooks.value())
        .chain(raw.hooks.value())
        .collect();
    let mut command = |of: fn(&raw::Hooks) -> &Field<raw::Command>, field| {
        values.command(pick(&layers, of)?, field, texts)
    };
    Hooks {
        before_start: command(|one| &one.before_start, "hooks.before_start"),
        after_ready: command(|one| &one.after_ready, "hooks.after_ready"),
        after_stop: command(|one| &one.after_stop, "hooks.after_stop"),
        timeout: pick(&layers, |one| &one.timeout)
            .and_then(|timeout| {
                values.some_time(
                    timeout,
                    "hooks.timeout",
                    "give a hook some time, as in `30s`",
                )
            })
            .unwrap_or(Hooks::default().timeout),
    }
}

fn stop(
    raw: &raw::Service,
    defaults: &[&raw::Defaults],
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> Stop {
    let layers: Vec<&raw::Stop> = defaults
        .iter()
        .filter_map(|layer| layer.stop.value())
        .chain(raw.stop.value())
        .collect();
    let command = pick(&layers, |one| &one.command);
    let mut timeout = |timeout| {
        match command {
        None => values.fit(timeout, "stop.timeout", scalars::Duration::meaning),
        Some(_) => values.some_time(
            timeout,
            "stop.timeout",
            "give the command some time, as in `10s`; without `stop.command`, 0 kills the service at once",
        ),
    }
    };
    let timeout = pick(&layers, |one| &one.timeout).and_then(&mut timeout);
    Stop {
        command: command.and_then(|command| values.command(command, "stop.command", texts)),
        signal: pick(&layers, |one| &one.signal)
            .and_then(|signal| values.fit(signal, "stop.signal", scalars::Signal::meaning))
            .unwrap_or(TERM),
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
    }
}

fn log(raw: &raw::Service, defaults: &[&raw::Defaults], values: &mut Values<'_>) -> Log {
    let layers: Vec<&raw::Log> = defaults
        .iter()
        .filter_map(|layer| layer.log.value())
        .chain(raw.log.value())
        .collect();
    let keep = pick(&layers, |one| &one.keep);
    if let Some(keep) = keep
        && !(1..=MOST_FILES).contains(&keep.value)
    {
        let what = values.what("log.keep");
        values.diagnostics.push(
            Diagnostic::error("bad_number", format!("{what} is {}", keep.value))
                .label(keep.span, "out of range")
                .help(format!(
                    "the number of files counts the one that is being written: 1 to {MOST_FILES}"
                )),
        );
    }
    Log {
        max_size: pick(&layers, |one| &one.max_size)
            .and_then(|size| values.fit(size, "log.max_size", scalars::Size::meaning))
            .unwrap_or(10 << 20),
        keep: keep.map_or(5, |keep| keep.value),
    }
}

/// Values of one service, on the way from what is written to what it means.
pub(super) struct Values<'a> {
    /// As in "`stop.timeout` …".
    pub(super) owner: String,
    pub(super) diagnostics: &'a mut Vec<Diagnostic>,
}

impl Values<'_> {
    /// A field, in words.
    pub(super) fn what(&self, field: &str) -> String {
        format!("`{field}`{}", self.owner)
    }

    /// The meaning of a scalar; what is unfit is reported.
    pub(super) fn fit<T: AsRef<crate::manifest::field::Scalar>, M>(
        &mut self,
        written: &Spanned<T>,
        field: &str,
        meaning: impl Fn(&T) -> Result<M, Unfit>,
    ) -> Option<M> {
        match meaning(&written.value) {
            Ok(meaning) => Some(meaning),
            Err(unfit) => {
                let text = &written.value.as_ref().text;
                let diagnostic = self.unfit(&unfit, text, field, written.span);
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    /// A duration that must not be 0, with what to write instead.
    pub(super) fn some_time(
        &mut self,
        written: &Spanned<scalars::Duration>,
        field: &str,
        help: &str,
    ) -> Option<Duration> {
        let duration = self.fit(written, field, scalars::Duration::meaning)?;
        if duration.is_zero() {
            self.no_time(written.span, field, help);
        }
        Some(duration)
    }

    /// The diagnostic for a duration of 0 that leaves no time.
    pub(super) fn no_time(&mut self, span: crate::manifest::source::Span, field: &str, help: &str) {
        let what = self.what(field);
        self.diagnostics.push(
            Diagnostic::error("bad_duration", format!("{what} is 0"))
                .label(span, "no time at all")
                .help(help),
        );
    }

    /// The diagnostic for an unfit scalar.
    pub(super) fn unfit(
        &self,
        unfit: &Unfit,
        text: &str,
        field: &str,
        span: crate::manifest::source::Span,
    ) -> Diagnostic {
        let what = self.what(field);
        Diagnostic::error(
            unfit.code,
            format!("{what} is `{text}`, which is not {}", unfit.what),
        )
        .label(span, format!("not {}", unfit.what))
        .help(unfit.help.clone())
    }

    fn exits(&mut self, exits: &[Field<scalars::Exit>], field: &str) -> Vec<Exit> {
        exits
            .iter()
            .filter_map(Field::written)
            .filter_map(|exit| self.fit(exit, field, scalars::Exit::meaning))
            .collect()
    }

    fn number(
        &mut self,
        written: &Spanned<f64>,
        field: &str,
        least: f64,
        most: f64,
    ) -> Option<f64> {
        if (least..=most).contains(&written.value) {
            return Some(written.value);
        }
        let what = self.what(field);
        self.diagnostics.push(
            Diagnostic::error("bad_number", format!("{what} is {}", written.value))
                .label(written.span, "out of range")
                .help(format!("it takes a number from {least} to {most}")),
        );
        None
    }

    fn missing_command(&mut self, declared: &Declared<'_, ServiceName, raw::Service>) {
        self.diagnostics.push(
            Diagnostic::error(
                "missing_command",
                format!("service `{}` has no command", declared.name),
            )
            .label(declared.key, "no `command` in it")
            .help("add `command: [PROGRAM, ARGUMENT]`, or a text for the shell: `command: \"…\"`"),
        );
    }

    /// A command, expanded. `None` when there is something wrong with it.
    pub(super) fn command(
        &mut self,
        written: &Spanned<raw::Command>,
        field: &str,
        texts: &Texts<'_>,
    ) -> Option<Command> {
        let what = self.what(field);
        match &written.value {
            raw::Command::Shell(text) => {
                let script = Script {
                    text,
                    span: written.span,
                    is_of_shell: true,
                };
                let text = texts.expand_script(script, &what, self.diagnostics)?;
                if text.trim().is_empty() {
                    self.empty_command(&what, written.span, "nothing for the shell to do");
                    return None;
                }
                Some(Command::Shell(text))
            }
            raw::Command::Exec(items) => {
                let words: Vec<&str> = items
                    .iter()
                    .map(|item| item.value().map_or("", |argument| &*argument.0.text))
                    .collect();
                let script = script_among(&words, texts);
                let arguments: Vec<Option<(String, _)>> = items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| {
                        let item = item.written()?;
                        let (text, span) = (words[at], item.span);
                        let argument = match script {
                            Some((script, is_of_shell)) if script == at => {
                                let script = Script {
                                    text,
                                    span,
                                    is_of_shell,
                                };
                                texts.expand_script(script, &what, self.diagnostics)?
                            }
                            _ => self.word(&words, at, span, &what, texts)?,
                        };
                        Some((argument, span))
                    })
                    .collect();
                match arguments.first() {
                    None => {
                        self.empty_command(&what, written.span, "no program in it");
                        return None;
                    }
                    Some(Some((program, span))) if program.trim().is_empty() => {
                        self.empty_command(&what, *span, "the program has no name");
                        return None;
                    }
                    Some(_) => {}
                }
                let arguments: Option<Vec<_>> = arguments.into_iter().collect();
                let arguments = arguments?.into_iter().map(|(text, _)| text).collect();
                Some(Command::Exec(arguments))
            }
        }
    }

    /// One word of a list, expanded. The program may be a path in the home.
    fn word(
        &mut self,
        words: &[&str],
        at: usize,
        span: crate::manifest::source::Span,
        what: &str,
        texts: &Texts<'_>,
    ) -> Option<String> {
        let text = words[at];
        if at == 0 && text.starts_with("~/") {
            let path = texts.path(text, span, what, self.diagnostics)?;
            return Some(path.to_string_lossy().into_owned());
        }
        if unexpanded::is_script(words, at) {
            return texts.expand(text, span, what, self.diagnostics);
        }
        texts.expand_word(text, span, what, self.diagnostics)
    }

    fn empty_command(&mut self, what: &str, span: crate::manifest::source::Span, label: &str) {
        self.diagnostics.push(
            Diagnostic::error("empty_command", format!("{what} is empty"))
                .label(span, label)
                .help("a command is a list that begins with a program, or a text for the shell"),
        );
    }
}

/// Which of the words of a command is a script, and whether one of a shell: as the words are meant,
/// since `${SHELL}` may name the program.
fn script_among(words: &[&str], texts: &Texts<'_>) -> Option<(usize, bool)> {
    let meant: Vec<String> = words
        .iter()
        .map(|word| texts.meant(word).unwrap_or_else(|| (*word).to_owned()))
        .collect();
    let meant: Vec<&str> = meant.iter().map(String::as_str).collect();
    let at = script_of(&meant)?;
    Some((at, is_of_shell(&meant, at)))
}
