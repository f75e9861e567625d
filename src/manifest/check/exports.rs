//! What a service exports, and who refers to it.

use std::cell::RefCell;
use std::time::Duration;

use indexmap::IndexMap;

use super::probe;
use super::service::Values;
use super::text::Texts;
use super::world::{World, kind_of};
use crate::id::ServiceName;
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::field::{Field, Spanned};
use crate::manifest::model::{Condition, Export, Source};
use crate::manifest::raw;
use crate::manifest::similar::nearest;
use crate::manifest::source::Span;

/// A reference as it was found in a text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) service: String,
    pub(crate) export: String,
    pub(crate) span: Span,
}

/// The references that the texts of one service hold.
#[derive(Debug, Default)]
pub(crate) struct References(RefCell<Vec<Found>>);

impl References {
    pub(crate) fn push(&self, found: Found) {
        let mut all = self.0.borrow_mut();
        if !all.contains(&found) {
            all.push(found);
        }
    }

    pub(crate) fn into_found(self) -> Vec<Found> {
        self.0.into_inner()
    }
}

/// Resolves `exports`.
pub(super) fn resolve(
    raw: &raw::Service,
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> IndexMap<String, Export> {
    let mut exports = IndexMap::new();
    let Some(written) = raw.exports.written() else {
        return exports;
    };
    if kind_of(raw) == Some(raw::Type::Task) && !written.value.0.is_empty() {
        values.diagnostics.push(
            Diagnostic::error(
                "exports_on_task",
                format!(
                    "{}: a task is over when it is ready, and nothing of it can be watched",
                    values.what("exports")
                ),
            )
            .label(written.key, "not for tasks")
            .help("let the service that needs the value read it, or make this one a process"),
        );
    }
    for (name, export) in &written.value.0 {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.value.is_empty() || !name.value.chars().all(is_word) {
            values.diagnostics.push(
                Diagnostic::error(
                    "bad_export",
                    format!(
                        "{} has `{}`, which is no name",
                        values.what("exports"),
                        name.value
                    ),
                )
                .label(name.span, "not a name")
                .help("a name has letters, digits, `_` and `-`, as in `session_id`"),
            );
            continue;
        }
        let Some(export) = export.written() else {
            continue;
        };
        if let Some(export) = one(&name.value, export, texts, values) {
            exports.insert(name.value.clone(), export);
        }
    }
    exports
}

fn one(
    name: &str,
    written: &Spanned<raw::Export>,
    texts: &Texts<'_>,
    values: &mut Values<'_>,
) -> Option<Export> {
    let raw = &written.value;
    let field = format!("exports.{name}");
    let what = values.what(&field);
    let sources = [
        ("readlink", raw.readlink.is_absent()),
        ("file", raw.file.is_absent()),
        ("command", raw.command.is_absent()),
    ];
    let count = sources.iter().filter(|(_, is_absent)| !is_absent).count();
    if count != 1 {
        values.diagnostics.push(
            Diagnostic::error(
                "bad_export",
                if count == 0 {
                    format!("{what} does not say where its value comes from")
                } else {
                    format!("{what} has more than one place where its value comes from")
                },
            )
            .label(written.key, "one of three is needed")
            .help("write one of `readlink`, `file` and `command`"),
        );
        return None;
    }
    if let (Some(interval), true) = (raw.interval.written(), raw.command.is_absent()) {
        values.diagnostics.push(
            Diagnostic::error(
                "bad_export",
                format!("{what} has an `interval`, although what it reads is watched"),
            )
            .label(interval.key, "only beside `command`")
            .help("remove it: a change is seen at once"),
        );
    }
    let interval = probe::interval(&raw.interval, &format!("{field}.interval"), values);
    let pattern = match raw.pattern.written() {
        Some(pattern) => {
            let what = values.what(&format!("{field}.pattern"));
            Some(probe::pattern(pattern, &what, texts, values)?)
        }
        None => None,
    };
    let path = |written: &Field<String>, name: &str, values: &mut Values<'_>| {
        let written = written.written()?;
        let what = values.what(&format!("{field}.{name}"));
        texts.path(&written.value, written.span, &what, values.diagnostics)
    };
    let source = if let Some(command) = raw.command.written() {
        Source::Command(values.command(command, &format!("{field}.command"), texts)?)
    } else if raw.file.is_absent() {
        Source::Readlink(path(&raw.readlink, "readlink", values)?)
    } else {
        Source::File(path(&raw.file, "file", values)?)
    };
    Some(Export {
        source,
        pattern,
        interval: interval.unwrap_or(Duration::from_secs(10)),
    })
}

/// A reference points at an export that exists, of a service that is waited for.
pub(super) fn unknown(
    world: &World<'_>,
    references: &IndexMap<ServiceName, Vec<Found>>,
) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    if !world.input.is_complete {
        return diagnostics;
    }
    for (dependent, found) in references {
        for one in found {
            diagnostics.extend(wrong(world, dependent, one));
        }
    }
    diagnostics
}

fn wrong(world: &World<'_>, dependent: &ServiceName, found: &Found) -> Option<Diagnostic> {
    let Found {
        service,
        export,
        span,
    } = found;
    let written = format!("${{{service}.{export}}}");
    let Some(declared) = world.services.get(service.as_str()) else {
        let names = world.services.keys().map(ServiceName::as_str).take(500);
        let help = match nearest(service, names) {
            Some(near) => format!("a service with a similar name exists: `{near}`"),
            None => format!(
                "declare it under `services`; `$${{{service}.{export}}}` leaves it to a shell"
            ),
        };
        let message =
            format!("service `{dependent}` asks for `{written}`, but `{service}` is not declared");
        let diagnostic = Diagnostic::error("unknown_dependency", message);
        return Some(diagnostic.label(*span, "not declared").help(help));
    };
    if declared.name == *dependent {
        let message = format!("service `{dependent}` asks for its own export, `{written}`");
        return Some(
            Diagnostic::error("self_dependency", message)
                .label(*span, "known only once it runs")
                .help("a service learns the values of others only"),
        );
    }
    let exports: Vec<&str> = declared
        .raw
        .and_then(|raw| raw.exports.value())
        .map(|exports| {
            exports
                .0
                .iter()
                .map(|(name, _)| name.value.as_str())
                .collect()
        })
        .unwrap_or_default();
    if !exports.contains(&export.as_str()) {
        let help = match nearest(export, exports.iter().copied()) {
            Some(near) => format!("an export with a similar name exists: `{near}`"),
            None if exports.is_empty() => {
                format!("`{service}` exports nothing; give it `exports: {{{export}: …}}`")
            }
            None => format!(
                "`{service}` exports {}",
                crate::manifest::similar::list(&exports)
            ),
        };
        let message = format!(
            "service `{dependent}` asks for `{written}`, which `{service}` does not export"
        );
        return Some(
            Diagnostic::error("unknown_export", message)
                .label(*span, "not exported")
                .label(declared.key, "declared here")
                .help(help),
        );
    }
    let edges = world.edges.decisive_of(dependent);
    let edge = edges
        .iter()
        .find(|edge| edge.dependency == declared.name && edge.group.is_none())?;
    let needs = edge.needs;
    (needs.condition != Condition::Ready || !needs.required).then(|| {
        let message = format!(
            "service `{dependent}` asks for `{written}`, and does not wait for `{service}` to be ready"
        );
        Diagnostic::error("export_before_ready", message)
            .label(*span, "known once it is ready")
            .label(edge.condition_span, "waits for less here")
            .help("let it wait for `ready`, and require it; or leave it out of `depends_on`: the reference implies it")
    })
}
