//! The environment of a service, layer by layer, and what its texts see of it meanwhile.

use std::collections::BTreeMap;

use super::Document;
use super::exports::References;
use super::given::{Given, NOTHING, param_in};
use super::text::Texts;
use super::world::World;
use crate::id::ServiceName;
use crate::manifest::User;
use crate::manifest::any_of::AnyOf;
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::environment::EnvironmentError;
use crate::manifest::field::{Field, Spanned, Table};
use crate::manifest::model::{EnvFile, Environment};
use crate::manifest::raw::{self, OneOrMany};
use crate::manifest::scalars::Variable;
use crate::manifest::source::Span;

/// What every service takes over, where it is set.
const BASE: &[&str] = &[
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PATH",
    "LANG",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
];

/// The environment of a service, and all that its texts see.
pub(super) struct Resolved {
    pub(super) environment: Environment,
    /// The variables that the service will have, env files as they are now included.
    pub(super) variables: BTreeMap<String, String>,
    /// Those of them that hold a value which another party gives.
    pub(super) given: Given,
    pub(super) facts: BTreeMap<String, String>,
    /// The user that it runs as, where that is said and known.
    pub(super) user: Option<User>,
}

impl Resolved {
    /// What `~` stands for.
    pub(super) fn home(&self) -> Option<&str> {
        home(self.user.as_ref())
    }
}

fn home(user: Option<&User>) -> Option<&str> {
    user.filter(|user| !user.is_self)
        .map(|user| user.home.as_str())
}

/// The keys of one layer: of the top level, of `defaults`, or of the service.
#[derive(Clone, Copy)]
struct Layer<'a> {
    /// As in "`env` …".
    owner: &'a str,
    document: &'a Document,
    env: &'a Field<Table<Variable>>,
    files: &'a Field<raw::EnvFiles>,
    inherit: &'a Field<OneOrMany>,
    unset: Option<&'a Field<Vec<Field<String>>>>,
}

impl<'a> Layer<'a> {
    fn what(&self, key: &str) -> String {
        format!("`{key}`{}", self.owner)
    }

    fn of_settings(document: &'a Document) -> Vec<Self> {
        let raw = &document.raw;
        let mut layers = vec![Self {
            owner: "",
            document,
            env: &raw.env,
            files: &raw.env_files,
            inherit: &raw.env_inherit,
            unset: None,
        }];
        if let Some(defaults) = raw.defaults.value() {
            layers.push(Self {
                owner: " of `defaults`",
                document,
                env: &defaults.env,
                files: &defaults.env_files,
                inherit: &defaults.env_inherit,
                unset: Some(&defaults.env_unset),
            });
        }
        layers
    }
}

/// Resolves the environment of a service.
pub(super) fn resolve(
    world: &World<'_>,
    name: &ServiceName,
    raw: &raw::Service,
    document: &Document,
    user: Option<User>,
    references: &References,
    diagnostics: &mut Vec<Diagnostic>,
) -> Resolved {
    let owner = format!(" of service `{name}`");
    let mut layers: Vec<Layer<'_>> = world
        .settings(document)
        .into_iter()
        .flat_map(Layer::of_settings)
        .collect();
    layers.push(Layer {
        owner: &owner,
        document,
        env: &raw.env,
        files: &raw.env_files,
        inherit: &raw.env_inherit,
        unset: Some(&raw.env_unset),
    });
    let ordering = &world.input.context.environment;
    let mut environment = Environment {
        base: base(ordering),
        inherited: inherited(&layers, ordering, diagnostics),
        ..Environment::default()
    };
    if let Some(user) = &user {
        super::user::follow(&mut environment.base, user);
    }
    let facts = world.facts(Some(name));
    let home = home(user.as_ref());
    let is_service = |name: &str| world.services.contains_key(name);
    let mut variables = environment.base.clone();
    variables.extend(environment.inherited.clone());
    let mut of_files = Vec::new();
    let mut given = Given::new();
    for layer in &layers {
        let texts = texts(
            world,
            &is_service,
            (&variables, &NOTHING),
            &facts,
            None,
            home,
            layer.document,
        );
        for file in files(layer, &texts, diagnostics) {
            let read = read(world, &file, diagnostics);
            for (name, _) in &read {
                note(&mut given, name, file.given.clone());
            }
            of_files.extend(read);
            environment.files.push(file.file);
        }
    }
    variables.extend(of_files);
    for layer in &layers {
        // A value sees what lies below its layer, not its neighbours.
        let (mut above, mut given_above) = (BTreeMap::new(), given.clone());
        let texts = texts(
            world,
            &is_service,
            (&variables, &given),
            &facts,
            Some(references),
            home,
            layer.document,
        );
        for (name, value, origin) in set(layer, &texts, diagnostics) {
            note(&mut given_above, &name, origin);
            environment.set.insert(name.clone(), value.clone());
            above.insert(name, value);
        }
        variables.extend(above);
        given = given_above;
    }
    reserved(&layers, raw, diagnostics);
    environment.unset = unset(&layers, diagnostics);
    for name in &environment.unset {
        variables.remove(name);
        given.remove(name);
    }
    Resolved {
        environment,
        variables,
        given,
        facts,
        user,
    }
}

/// Takes note of where the value of a variable comes from, if another party gives it.
fn note(given: &mut Given, name: &str, origin: Option<String>) {
    match origin {
        Some(origin) => given.insert(name.to_owned(), origin),
        None => given.remove(name),
    };
}

fn texts<'a>(
    world: &'a World<'_>,
    is_service: &'a dyn Fn(&str) -> bool,
    (variables, given): (&'a BTreeMap<String, String>, &'a Given),
    facts: &'a BTreeMap<String, String>,
    references: Option<&'a References>,
    home: Option<&'a str>,
    document: &'a Document,
) -> Texts<'a> {
    Texts {
        sources: world.input.sources,
        is_service,
        variables,
        given,
        fallback: &world.input.context.environment,
        facts,
        references,
        home,
        directory: &document.directory,
    }
}

fn base(ordering: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    ordering
        .iter()
        .filter(|(name, _)| BASE.contains(&name.as_str()) || name.starts_with("LC_"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// What the highest layer that has an `env_inherit` names.
fn inherited(
    layers: &[Layer<'_>],
    ordering: &BTreeMap<String, String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<String, String> {
    let mut inherited = BTreeMap::new();
    let chosen = layers
        .iter()
        .rev()
        .find_map(|layer| Some((layer, layer.inherit.written()?)));
    let Some((layer, written)) = chosen else {
        return inherited;
    };
    for (item, span) in OneOrMany::items(written) {
        let (pattern, is_optional) = match item.strip_suffix('?') {
            Some(pattern) => (pattern, true),
            None => (item, false),
        };
        let mut take = |matches: &dyn Fn(&str) -> bool| {
            inherited.extend(
                ordering
                    .iter()
                    .filter(|(name, _)| matches(name))
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
        };
        if pattern == "all" {
            take(&|_| true);
        } else if let Some(prefix) = pattern
            .strip_suffix('*')
            .filter(|prefix| is_variable(prefix))
        {
            take(&|name| name.starts_with(prefix));
        } else if !is_variable(pattern) {
            diagnostics.push(bad_pattern(item, span));
        } else if ordering.contains_key(pattern) {
            take(&|name| name == pattern);
        } else if !is_optional {
            let what = layer.what("env_inherit");
            diagnostics.push(
                Diagnostic::error(
                    "unset_inherited",
                    format!("{what} takes over the variable `{pattern}`, which is not set"),
                )
                .label(span, "not set")
                .help(format!(
                    "set it where the command is given; `{pattern}?` takes it only if it is set"
                )),
            );
        }
    }
    inherited
}

fn bad_pattern(item: &str, span: Span) -> Diagnostic {
    let help = if item == "*" {
        "`all` takes everything over".to_owned()
    } else {
        "it takes `NAME`, `PREFIX_*` or `all`, each with a `?` behind it when it may be unset"
            .to_owned()
    };
    Diagnostic::error(
        "bad_variable",
        format!("`{item}` names no variable to take over"),
    )
    .label(span, "not the name of a variable")
    .help(help)
}

pub(super) fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// An env file and where it is written.
struct WrittenFile {
    file: EnvFile,
    span: Span,
    what: String,
    /// The param that chooses it: whoever gives the param chooses what the variables hold.
    given: Option<String>,
}

fn files(
    layer: &Layer<'_>,
    texts: &Texts<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<WrittenFile> {
    let what = layer.what("env_files");
    let Some(written) = layer.files.written() else {
        return Vec::new();
    };
    let one = |text: &str, span: Span, required: bool, diagnostics: &mut Vec<Diagnostic>| {
        Some(WrittenFile {
            file: EnvFile {
                path: texts.path(text, span, &what, diagnostics)?,
                required,
            },
            span,
            what: what.clone(),
            given: param_in(text),
        })
    };
    let short =
        |text: &str, span: Span, diagnostics: &mut Vec<Diagnostic>| match text.strip_suffix('?') {
            Some(path) => one(path, span, false, diagnostics),
            None => one(text, span, true, diagnostics),
        };
    match &written.value {
        raw::EnvFiles::One(text) => short(text, written.span, diagnostics).into_iter().collect(),
        raw::EnvFiles::Many(items) => items
            .iter()
            .filter_map(Field::written)
            .filter_map(|item| match &item.value {
                raw::EnvFile::Path(text) => short(text, item.span, diagnostics),
                raw::EnvFile::Full(full) => match &full.path {
                    Field::Written(Spanned { value, span, .. }) => {
                        let required = full.required.value().copied().unwrap_or(true);
                        one(value, *span, required, diagnostics)
                    }
                    Field::Unfit(_) => None,
                    Field::Absent => {
                        diagnostics.push(
                            Diagnostic::error(
                                "missing_path",
                                format!("an entry of {what} has no path"),
                            )
                            .label(item.span, "no `path` in it")
                            .help("add `path: FILE`"),
                        );
                        None
                    }
                },
            })
            .collect(),
    }
}

fn read(
    world: &World<'_>,
    written: &WrittenFile,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(String, String)> {
    let WrittenFile {
        file, span, what, ..
    } = written;
    let path = file.path.display();
    let diagnostic = match (world.input.read_env_file)(&file.path) {
        Ok(Some(variables)) => return variables,
        Ok(None) if !file.required => return Vec::new(),
        Ok(None) => Diagnostic::error(
            "missing_env_file",
            format!("{what} needs the file {path}, which does not exist"),
        )
        .label(*span, "does not exist")
        .help("make the file, or put a `?` behind its name: it is then optional"),
        Err(EnvironmentError::Malformed { line, reason, .. }) => Diagnostic::error(
            "bad_env_file",
            format!("{what} names a file that is not an env file: {path}, line {line}: {reason}"),
        )
        .label(*span, format!("line {line} of it"))
        .help("an env file has lines of the form `NAME=value`, comments and empty lines"),
        Err(error) => Diagnostic::error("unreadable_env_file", error.to_string())
            .label(*span, "cannot be read")
            .help("make it a regular file that this user can read"),
    };
    diagnostics.push(diagnostic);
    Vec::new()
}

/// The variables that a layer sets: name, value, and where the value comes from if another party gives it.
fn set(
    layer: &Layer<'_>,
    texts: &Texts<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(String, String, Option<String>)> {
    let mut set = Vec::new();
    let Some(table) = layer.env.value() else {
        return set;
    };
    for (key, value) in &table.0 {
        if !is_variable(&key.value) {
            diagnostics.push(bad_variable(&key.value, key.span));
            continue;
        }
        let Some(written) = value.written() else {
            continue;
        };
        let what = layer.what(&format!("env.{}", key.value));
        let text = &written.value.0.text;
        texts.warn_of_word(text, written.span, &what, diagnostics);
        let expanded = texts.expand_noting(text, written.span, &what, false, diagnostics);
        if let Some((value, given)) = expanded {
            let origin = given.into_iter().next().map(|one| one.origin);
            set.push((key.value.clone(), value, origin));
        }
    }
    set
}

/// What the supervisor tells to every service.
const TOLD: &[&str] = &[
    "BAUDBOT_PROJECT",
    "BAUDBOT_SERVICE",
    "BAUDBOT_FILE",
    "BAUDBOT_STATE_DIR",
];

/// What it tells to a service that speaks as `sd_notify(3)` does.
const TOLD_TO_SPEAKERS: &[&str] = &["NOTIFY_SOCKET", "WATCHDOG_USEC"];

/// The supervisor's own variables are not to be set.
fn reserved(layers: &[Layer<'_>], raw: &raw::Service, diagnostics: &mut Vec<Diagnostic>) {
    let notifies = |ready: &raw::Ready| ready.notify.value() == Some(&true);
    let speaks = raw.ready.value().is_some_and(notifies)
        || raw
            .health
            .value()
            .is_some_and(|health| health.watchdog.value().is_some());
    for layer in layers {
        let Some(table) = layer.env.value() else {
            continue;
        };
        for (key, _) in &table.0 {
            let name = key.value.as_str();
            if !(TOLD.contains(&name) || speaks && TOLD_TO_SPEAKERS.contains(&name)) {
                continue;
            }
            diagnostics.push(
                Diagnostic::error(
                    "reserved_variable",
                    format!(
                        "{} sets `{name}`, which the supervisor sets",
                        layer.what("env")
                    ),
                )
                .label(key.span, "this value would be lost")
                .help("use another name"),
            );
        }
    }
}

pub(super) fn bad_variable(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error(
        "bad_variable",
        format!("`{name}` cannot be the name of a variable"),
    )
    .label(span, "not the name of a variable")
    .help("the name of a variable has letters, digits and `_`, and does not begin with a digit")
}

/// The variables of a list, each item of which may name several that one is enough of.
pub(super) fn alternatives(
    field: &Field<OneOrMany>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<AnyOf> {
    let Some(written) = field.written() else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (text, span) in OneOrMany::items(written) {
        let any = AnyOf::new(text);
        for name in any.names().filter(|name| !is_variable(name)) {
            diagnostics.push(bad_variable(name, span));
        }
        all.push(any);
    }
    all
}

/// What a service cannot be started without: `env_required`.
pub(super) fn required(
    raw: &raw::Service,
    name: &ServiceName,
    variables: &BTreeMap<String, String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<AnyOf> {
    let required = alternatives(&raw.env_required, diagnostics);
    let spans = raw.env_required.written().map(OneOrMany::items);
    for (any, (_, span)) in required.iter().zip(spans.into_iter().flatten()) {
        let is_fit = any.names().all(is_variable);
        if is_fit && !any.is_met(|name| variables.get(name).map(String::as_str)) {
            diagnostics.push(
                Diagnostic::error(
                    "unset_required",
                    format!("`env_required` of service `{name}`: {}", any.unmet()),
                )
                .label(span, "not set, or empty")
                .help("set it in a file of `env_files` or in `env`, or take it over with `env_inherit`"),
            );
        }
    }
    required
}

fn unset(layers: &[Layer<'_>], diagnostics: &mut Vec<Diagnostic>) -> Vec<String> {
    let Some(items) = layers.iter().rev().find_map(|layer| layer.unset?.value()) else {
        return Vec::new();
    };
    let names = raw::texts(items);
    for (name, span) in &names {
        if !is_variable(name) {
            diagnostics.push(bad_variable(name, *span));
        }
    }
    for layer in layers.iter().rev().take(1) {
        let Some(table) = layer.env.value() else {
            continue;
        };
        for (key, _) in &table.0 {
            let both = names.iter().find(|(name, _)| *name == key.value);
            if let Some((name, span)) = both {
                diagnostics.push(
                    Diagnostic::error(
                        "set_and_unset",
                        format!(
                            "{} sets `{name}`, which `env_unset` removes",
                            layer.what("env")
                        ),
                    )
                    .label(*span, "removed here")
                    .label(key.span, "set here")
                    .help("keep one of the two"),
                );
            }
        }
    }
    names.into_iter().map(|(name, _)| name.to_owned()).collect()
}
