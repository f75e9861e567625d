//! `when`: what must be so for a service to run here.
//!
//! It is looked at while the manifest is resolved, so by the command that gives the order and with
//! what that command sees: the plan can tell who is skipped, and a restart by policy never finds
//! another answer than the start did.

use super::environment::{self, Resolved};
use super::service::Values;
use super::text::Texts;
use super::world::World;
use crate::manifest::any_of::AnyOf;
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::field::{Field, Spanned};
use crate::manifest::model::When;
use crate::manifest::raw::{self, OneOrMany};

/// What lies in the circumstances and not in the text. A service that is skipped does without what
/// it would need; any other cannot be started as long as it is so.
const CIRCUMSTANCES: &[&str] = &[
    "unset_variable",
    "required_variable",
    "unset_inherited",
    "unset_required",
    "missing_env_file",
    "bad_env_file",
    "unreadable_env_file",
    "unknown_user",
    "needs_root",
    "unfit_params",
];

/// Whether this lies in the circumstances.
pub(super) fn is_circumstance(diagnostic: &Diagnostic) -> bool {
    CIRCUMSTANCES.contains(&diagnostic.code)
}

/// Resolves `when`.
pub(super) fn resolve(
    raw: &raw::Service,
    resolved: &Resolved,
    texts: &Texts<'_>,
    world: &World<'_>,
    values: &mut Values<'_>,
) -> When {
    let Some(raw) = raw.when.value() else {
        return When::default();
    };
    let file = raw.file.written().and_then(|file| {
        let what = values.what("when.file");
        texts.path(&file.value, file.span, &what, values.diagnostics)
    });
    let mut when = When {
        env: environment::alternatives(&raw.env, values.diagnostics),
        no_env: names(&raw.no_env, values),
        file,
        executable: raw
            .executable
            .written()
            .and_then(|program| executable(program, texts, values)),
        unmet: None,
    };
    never_holds(raw, values);
    when.unmet = unmet(&when, resolved, texts, world);
    when
}

/// A variable that must be set and unset at once.
fn never_holds(raw: &raw::When, values: &mut Values<'_>) {
    let (Some(set), Some(unset)) = (raw.env.written(), raw.no_env.written()) else {
        return;
    };
    let unset = OneOrMany::items(unset);
    for (name, span) in OneOrMany::items(set) {
        let Some((_, other)) = unset.iter().find(|(other, _)| *other == name) else {
            continue;
        };
        values.diagnostics.push(
            Diagnostic::error(
                "impossible_when",
                format!("{} can never hold", values.what("when")),
            )
            .label(span, format!("`{name}` must be set"))
            .label(*other, "and must not be")
            .help("remove one of the two"),
        );
    }
}

fn names(field: &Field<OneOrMany>, values: &mut Values<'_>) -> Vec<String> {
    let Some(written) = field.written() else {
        return Vec::new();
    };
    let names = OneOrMany::items(written);
    for (name, span) in &names {
        if !environment::is_variable(name) {
            values
                .diagnostics
                .push(environment::bad_variable(name, *span));
        }
    }
    names.into_iter().map(|(name, _)| name.to_owned()).collect()
}

fn executable(
    program: &Spanned<String>,
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> Option<String> {
    let what = values.what("when.executable");
    let text = &program.value;
    if text.contains('/') || text.starts_with('~') {
        let path = texts.path(text, program.span, &what, values.diagnostics)?;
        return Some(path.to_string_lossy().into_owned());
    }
    let name = texts.expand_word(text, program.span, &what, values.diagnostics)?;
    if name.is_empty() {
        values.diagnostics.push(
            Diagnostic::error("empty_command", format!("{what} is empty"))
                .label(program.span, "the program has no name")
                .help("it takes the name of a program, or its path"),
        );
    }
    Some(name)
}

/// All that is not as it should be, in words.
fn unmet(when: &When, resolved: &Resolved, texts: &Texts<'_>, world: &World<'_>) -> Option<String> {
    let value = |name: &str| {
        let found = texts.variables.get(name).or(texts.fallback.get(name));
        found.map(String::as_str).filter(|value| !value.is_empty())
    };
    let unset = when.env.iter().filter(|any| !any.is_met(value));
    let set = when.no_env.iter().filter(|name| value(name).is_some());
    let mut reasons: Vec<String> = unset.map(AnyOf::unmet).collect();
    reasons.extend(set.map(|name| format!("{name} is set")));
    if let Some(file) = &when.file
        && !(world.input.exists)(file)
    {
        reasons.push(format!("{} does not exist", file.display()));
    }
    if let Some(program) = &when.executable {
        let path = resolved.variables.get("PATH").map(String::as_str);
        if !(world.input.context.finds_program)(program, path, texts.directory) {
            reasons.push(format!("no program `{program}` is found"));
        }
    }
    (!reasons.is_empty()).then(|| reasons.join(", "))
}
